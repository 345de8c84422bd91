/* SPDX-License-Identifier: Apache-2.0 */
/* Kind Volume: a disk that outlives its guest. */
#include "stord/volume-spec.h"

enum { SECTOR = 512 };

static const struct field source_rows[] = {
	F_PATH("file", struct source_spec, file, .flags = FIELD_REQUIRED, .max = 3800,
	       .doc = "Image to copy; relative to files/ in the state directory.", .example = "debian-12.qcow2"),
	F_STRING("sha256", struct source_spec, sha256, .max = 64, .doc = "Its SHA-256, checked before it is copied.",
		 .example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
	F_ENUM("format", struct source_spec, format, image_source_formats, .def = "qcow2",
	       .doc = "How the source is laid out; never guessed."),
};
static const struct table source_table = TABLE("Volume.source", struct source_spec, source_rows);

static const struct field volume_spec_rows[] = {
	F_REF("pool", struct volume_spec, pool, "Pool", .flags = FIELD_REQUIRED, .doc = "Pool that holds the image.",
	      .example = "local"),
	F_SIZE("size", struct volume_spec, size, .min = SECTOR, .max = (uint64_t)1 << 60,
	       .doc = "Size of the disk; left out, that of what it begins as. It can grow later, and never shrinks.",
	       .example = "20GiB"),
	F_ENUM("format", struct volume_spec, format, image_formats,
	       .doc = "How the bytes are laid out; qcow2 in pools of files, raw elsewhere, unless it says otherwise.",
	       .example = "qcow2"),
	F_ENUM("preallocation", struct volume_spec, preallocation, image_preallocations, .def = "off",
	       .doc = "What is allocated when it is made or grows: nothing, the tables (qcow2), all of its space, or "
		      "all of it and zeroes written. What grows under a running guest is allocated as that writes."),
	F_ENUM("reclaim", struct volume_spec, reclaim, reclaims, .def = "keep",
	       .doc = "What becomes of the bytes when the Volume is deleted."),
	F_STRUCT("source", struct volume_spec, source, source_table,
		 .doc = "The file that a new volume begins as a copy of. Without this, `base` or `clone` it begins "
			"empty."),
	F_REF("base", struct volume_spec, base, "Volume",
	      .doc = "Volume of the same Pool that it is a linked clone of: it holds only what differs. The base stays "
		     "as it is and cannot be deleted meanwhile.",
	      .example = "debian-12"),
	F_REF("clone", struct volume_spec, clone, "Volume",
	      .doc = "Volume that a new volume begins as a full copy of, taken once: while a guest writes to that, it "
		     "is waited until the guest is off, but on Ceph's RBD, where it is copied as it is at that moment. "
		     "Afterwards this says no more and may be left out.",
	      .example = "web-data"),
	F_BOOL("adopt", struct volume_spec, adopt, .def = "false",
	       .doc = "Use an image of that name that this weft did not make, such as one that another host made in a "
		      "pool "
		      "that both have. It is never deleted, whatever reclaim says."),
	F_BOOL("shared", struct volume_spec, shared, .def = "false",
	       .doc = "Several guests, of this and of other hosts, may use it at once, such as for a cluster's "
		      "filesystem. "
		      "Without it a volume in use is refused to everyone else. Only raw volumes can be shared."),
};
static const struct table volume_spec_table = TABLE("Volume", struct volume_spec, volume_spec_rows);

static bool is_sha256(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

static bool has_size(const struct volume_spec *spec)
{
	return is_present(spec, &volume_spec_table, table_field(&volume_spec_table, "size"));
}

static void check_origin(const struct check *check, const struct volume_spec *spec)
{
	if (!has_size(spec) && !spec->base && !spec->clone && !spec->source.file && !spec->adopt)
		check_fault(check, "spec", "a volume that begins empty needs a size, such as size: 20GiB");
	if (spec->base && spec->source.file)
		check_fault(check, "spec.base", "a volume begins as one thing: either base or source");
	if (spec->base && spec->clone)
		check_fault(check, "spec.base", "a volume begins as one thing: either base or clone");
	if (spec->clone && spec->source.file)
		check_fault(check, "spec.clone", "a volume begins as one thing: either clone or source");
}

static void volume_check(const struct check *check)
{
	const struct volume_spec *spec = check->object->spec;
	if (spec->source.sha256 && !is_sha256(spec->source.sha256))
		check_fault(check, "spec.source.sha256", "a SHA-256 is 64 hexadecimal digits");
	if (spec->size % SECTOR)
		check_fault(check, "spec.size", "a disk is a whole number of sectors of %d bytes", SECTOR);
	check_origin(check, spec);
	if (is_present(spec, &volume_spec_table, table_field(&volume_spec_table, "format")) &&
	    spec->format == IMAGE_RAW && spec->preallocation == PREALLOCATION_METADATA)
		check_fault(check, "spec.preallocation", "a raw image has no tables to preallocate; use off or falloc");
}

/* An image that was made stays where and what it is: a manifest that says otherwise would leave it behind and begin
 * with an empty one. */
static bool stays_in_place(struct lowering *l, const char *place)
{
	const char *kept = alloc_kept(l, "volume-place", "place");
	if (!kept || streq(kept, place) || !fact(l, "image/%s", kept))
		return true;
	const char *name = strrchr(place, '/');
	bool same_pool = strncmp(kept, place, (size_t)(name - place) + 1) == 0;
	if (same_pool)
		lower_refuse(l, "spec.format",
			     "the format of a Volume cannot be changed, its image is '%s': make another Volume and "
			     "copy it with qemu-img convert",
			     kept);
	else
		lower_refuse(l, "spec.pool",
			     "a Volume does not move between pools, its image is '%s': delete the Volume (its bytes "
			     "stay), move the image and apply it again",
			     kept);
	return false;
}

/* Compared with what is there, too: a size that was never reached may be taken back. */
static bool never_shrinks(struct lowering *l, const char *place, uint64_t size)
{
	const char *kept = alloc_kept(l, "volume-size", "size");
	const char *space = kept ? strrchr(kept, ' ') : NULL;
	uint64_t there;
	if (!size || !space || strtoull(space, NULL, 10) <= size || !fact_u64(l, &there, "image/%s", place) ||
	    there <= size)
		return true;
	lower_refuse(l, "spec.size",
		     "a volume never shrinks, and this one has %s: write that, or make a smaller Volume and copy what "
		     "is needed",
		     scalar_size.format(NULL, &there, lower_arena(l)));
	return false;
}

/* What others are read through stays as it is. */
static bool stays_whole(struct lowering *l, const char *name, const struct volume_state *state)
{
	uint64_t there;
	const char *clone;
	clone = state->size && pool_type_at(state->type)->volumes->layered ? volume_clone_of(l, name) : NULL;
	if (!clone || !fact_u64(l, &there, "image/%s", state->place) || there >= state->size)
		return true;
	lower_refuse(l, "spec.size",
		     "Volume '%s' is a linked clone of this one, which is not changed meanwhile: give "
		     "the clone more room instead",
		     clone);
	return false;
}

/* What its pool makes of it: layout and place. */
static bool place_volume(struct lowering *l, const struct object *object, const struct pool_state *pool,
			 struct volume_state *state)
{
	const struct volume_spec *spec = object->spec;
	const struct pool_type *type = pool_type_at(pool->type);
	const struct volume_verbs *volumes = type->volumes;
	if (!volumes) {
		lower_refuse(l, "spec.pool", "a Pool of type %s holds no volumes that a manifest could make%s%s",
			     type->name, type->instead ? ": " : "", type->instead ? type->instead : "");
		return false;
	}
	bool said = is_present(spec, &volume_spec_table, table_field(&volume_spec_table, "format"));
	state->type = pool->type;
	state->format = said ? spec->format : (int)volumes->format;
	if (!(volumes->formats >> state->format & 1)) {
		lower_refuse(l, "spec.format", "volumes in a Pool of type %s are %s; leave the format out", type->name,
			     image_formats[volumes->format]);
		return false;
	}
	if (spec->shared && state->format != IMAGE_RAW) {
		lower_refuse(
			l, "spec.shared",
			"a qcow2 image has tables that only one guest at a time can write: a shared volume is raw, set "
			"format: raw");
		return false;
	}
	return volumes->address(l, pool, object->name, state);
}

static void volume_lower(struct lowering *l, const struct object *object)
{
	const struct volume_spec *spec = object->spec;
	struct arena *arena = lower_arena(l);
	struct want *pool = want_find(l, "pool", spec->pool);
	struct volume_state state = {
		.present = has_size(spec) ? VOLUME_WANTED : VOLUME_WANTED & ~VOLUME_SIZE,
		.size = spec->size,
		.preallocation = spec->preallocation,
		.reclaim = spec->reclaim,
	};
	const char *holder = NULL;
	if (!pool)
		lower_refuse(l, "spec.pool", "Pool '%s' was refused", spec->pool);
	if (!pool || !place_volume(l, object, pool->spec, &state))
		return;
	if (!stays_in_place(l, state.place) || !never_shrinks(l, state.place, spec->size) ||
	    !volume_origin(l, spec, &state) || !stays_whole(l, object->name, &state))
		return;
	if (!alloc_fixed(l, "volume-place", "place", state.place, &holder)) {
		lower_refuse_beside(l, lower_refuse(l, "spec.pool", "'%s' is %s already", state.place, holder), holder);
		return;
	}
	if (state.size)
		alloc_fixed(l, "volume-size", "size",
			    arena_printf(arena, "%s %llu", state.place, (unsigned long long)state.size), NULL);
	if (spec->adopt) {
		state.adopt = true;
		state.present |= VOLUME_ADOPT;
	}
	struct want *volume = want(l, &stord_volume_class, &state, "%s/%s", spec->pool, object->name);
	volume->adopt = spec->adopt;
	volume_origin_needs(l, spec, volume);
	pool_needed(l, volume, pool);
}

static const char *base_of(struct lowering *l, const char *volume)
{
	const struct object *object = lower_find(l, "Volume", volume);
	return object ? ((const struct volume_spec *)object->spec)->base : NULL;
}

/* Its bases, down to the one that stands alone. References go in no circle. */
static void add_layers(struct lowering *l, const char *volume, struct stord_image *image)
{
	size_t cap = 0;
	while ((volume = base_of(l, volume))) {
		struct want *want = volume_want(l, volume);
		if (!want)
			return;
		const struct volume_state *state = want->spec;
		arena_grow(lower_arena(l), image->layers, image->n_layers, cap);
		image->layers[image->n_layers++] =
			(struct stord_layer){.path = state->place, .format = image_formats[state->format]};
	}
}

bool stord_volume_image(struct lowering *l, const char *volume, const char *path, struct stord_image *ret)
{
	struct want *want = volume_want(l, volume);
	if (!want) {
		lower_refuse(l, path,
			     lower_find(l, "Volume", volume) ? "Volume '%s' was refused" : "there is no Volume '%s'",
			     volume);
		return false;
	}
	const struct volume_state *state = want->spec;
	const struct volume_verbs *volumes = pool_type_at(state->type)->volumes;
	*ret = (struct stord_image){
		.want = want,
		.path = state->place,
		.format = image_formats[state->format],
		.attach = volumes->attach,
		.shared = ((const struct volume_spec *)lower_find(l, "Volume", volume)->spec)->shared,
		.clone = volumes->layered ? volume_clone_of(l, volume) : NULL,
	};
	if (volumes->remote)
		volumes->remote(l, state, &ret->remote);
	if (volumes->layered)
		add_layers(l, volume, ret);
	return true;
}

bool stord_volume_is_shared(const struct object *volume)
{
	return ((const struct volume_spec *)volume->spec)->shared;
}

static void lease_volume(struct lowering *l, const char *volume, const char *guest, enum lease_mode mode,
			 struct stord_leases *leases)
{
	const struct volume_spec *spec = lower_find(l, "Volume", volume)->spec;
	struct want *want = volume_want(l, volume);
	const struct volume_state *state = want->spec;
	const struct lease_means *means = volume_leases(state);
	const struct lease_plan plan = {
		.means = means,
		.pool = spec->pool,
		.volume = volume,
		.guest = guest,
		.place = state->place,
		.own = state->own,
		.mode = mode,
	};
	struct want *lease = lease_want(l, &plan);
	needs(l, lease, want);
	for (size_t i = 0; i < want->n_needs; i++) /* a volume that is kept is given up at once */
		needs(l, lease, want->needs[i]);
	arena_grow(lower_arena(l), leases->items, leases->n, leases->cap);
	leases->items[leases->n].want = lease;
	leases->items[leases->n++].lock = means && means->lock ? means->lock(lower_arena(l), state->place) : NULL;
}

void stord_volume_leases(struct lowering *l, const char *volume, const char *guest, bool reads,
			 struct stord_leases *leases)
{
	const struct object *object = lower_find(l, "Volume", volume);
	struct want *want = volume_want(l, volume);
	if (!want)
		return;
	bool layered = pool_type_at(((const struct volume_state *)want->spec)->type)->volumes->layered;
	lease_volume(l, volume, guest,
		     stord_volume_is_shared(object) ? LEASE_SHARED
		     : reads                        ? LEASE_READ
						    : LEASE_ALONE,
		     leases);
	for (const char *base = base_of(l, volume); layered && base && volume_want(l, base); base = base_of(l, base))
		lease_volume(l, base, guest, LEASE_READ, leases);
}

const struct kind stord_volume_kind = {
	.name = "Volume",
	.plural = "volumes",
	.shorts = "vol",
	.doc = "A disk that outlives its guest: an image in a Pool. Deleting the Volume leaves the bytes unless it "
	       "says reclaim: delete; applying it again takes them up.",
	.table = &volume_spec_table,
	.check = volume_check,
	.lower = volume_lower,
	.columns = "spec.pool,spec.size,spec.format,status.allocated",
};
