/* SPDX-License-Identifier: Apache-2.0 */
/* Kind Volume: a disk that outlives its guest. */
#include "core/env.h"
#include "stord/stord.h"
#include "stord/volume.h"

struct source_spec {
	uint64_t present;
	const char *file, *sha256;
	int format;
};
struct volume_spec {
	uint64_t present;
	struct source_spec source;
	const char *pool;
	uint64_t size;
	int format, preallocation, reclaim;
	bool adopt;
};

enum { SECTOR = 512 };

static const struct field source_rows[] = {
	F_PATH("file", struct source_spec, file, .flags = FIELD_REQUIRED, .max = 3800,
	       .doc = "Image to copy; relative to files/ in the state directory.", .example = "debian-12.qcow2"),
	F_STRING("sha256", struct source_spec, sha256, .max = 64, .doc = "Its SHA-256, checked before it is copied.",
		 .example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
	F_ENUM("format", struct source_spec, format, image_formats, .def = "qcow2",
	       .doc = "How the source is laid out; never guessed."),
};
static const struct table source_table = TABLE("Volume.source", struct source_spec, source_rows);

static const struct field volume_spec_rows[] = {
	F_REF("pool", struct volume_spec, pool, "Pool", .flags = FIELD_REQUIRED, .doc = "Pool that holds the image.",
	      .example = "local"),
	F_SIZE("size", struct volume_spec, size, .flags = FIELD_REQUIRED, .min = SECTOR, .max = (uint64_t)1 << 60,
	       .doc = "Size of the disk. It can grow later, and never shrinks.", .example = "20GiB"),
	F_ENUM("format", struct volume_spec, format, image_formats, .def = "qcow2",
	       .doc = "How the bytes are laid out in the image."),
	F_ENUM("preallocation", struct volume_spec, preallocation, image_preallocations, .def = "off",
	       .doc = "What is allocated when it is made or grows: nothing, the tables (qcow2), or all of its space."),
	F_ENUM("reclaim", struct volume_spec, reclaim, reclaims, .def = "keep",
	       .doc = "What becomes of the bytes when the Volume is deleted."),
	F_STRUCT("source", struct volume_spec, source, source_table,
		 .doc = "What a new volume begins as a copy of. Without it a volume begins empty."),
	F_BOOL("adopt", struct volume_spec, adopt, .def = "false",
	       .doc = "Take over an image of that name that weft did not make. It is never deleted, whatever reclaim "
		      "says."),
};
static const struct table volume_spec_table = TABLE("Volume", struct volume_spec, volume_spec_rows);

static bool is_sha256(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

static void volume_check(const struct check *check)
{
	const struct volume_spec *spec = check->object->spec;
	if (spec->source.sha256 && !is_sha256(spec->source.sha256))
		check_fault(check, "spec.source.sha256", "a SHA-256 is 64 hexadecimal digits");
	if (spec->size % SECTOR)
		check_fault(check, "spec.size", "a disk is a whole number of sectors of %d bytes", SECTOR);
	if (spec->format == IMAGE_RAW && spec->preallocation == PREALLOCATION_METADATA)
		check_fault(check, "spec.preallocation", "a raw image has no tables to preallocate; use off or falloc");
}

/* An image that was made stays where and what it is: a manifest that says otherwise would leave it behind and begin
 * with an empty one. */
static bool stays_in_place(struct lowering *l, const char *file)
{
	const char *kept = alloc_kept(l, "volume-file", "file");
	if (!kept || streq(kept, file) || !fact(l, "image/%s", kept))
		return true;
	const char *name = strrchr(file, '/');
	bool same_pool = strncmp(kept, file, (size_t)(name - file) + 1) == 0;
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
static bool never_shrinks(struct lowering *l, const char *file, uint64_t size)
{
	const char *kept = alloc_kept(l, "volume-size", "size");
	const char *space = kept ? strrchr(kept, ' ') : NULL;
	uint64_t there;
	if (!space || strtoull(space, NULL, 10) <= size || !fact_u64(l, &there, "image/%s", file) || there <= size)
		return true;
	lower_refuse(l, "spec.size",
		     "a volume never shrinks, and this one has %s: write that, or make a smaller Volume and copy what "
		     "is needed",
		     scalar_size.format(NULL, &there, lower_arena(l)));
	return false;
}

static void volume_lower(struct lowering *l, const struct object *object)
{
	const struct volume_spec *spec = object->spec;
	struct want *pool = want_find(l, "pool", spec->pool);
	if (!pool) {
		lower_refuse(l, "spec.pool", "Pool '%s' was refused", spec->pool);
		return;
	}
	const struct pool_state *directory = pool->spec;
	const char *file =
		arena_printf(lower_arena(l), "%s/%s.%s", directory->path, object->name, image_formats[spec->format]);
	const char *size = arena_printf(lower_arena(l), "%s %llu", file, (unsigned long long)spec->size);
	if (!stays_in_place(l, file) || !never_shrinks(l, file, spec->size))
		return;
	alloc_fixed(l, "volume-file", "file", file, NULL);
	alloc_fixed(l, "volume-size", "size", size, NULL);
	const char *source = spec->source.file;
	if (source && source[0] != '/')
		source = arena_printf(lower_arena(l), "%s/files/%s", env.state_dir, source);
	struct volume_state state = {
		.present = source ? (spec->source.sha256 ? 0xff : 0xbf) : 0x1f,
		.source = source,
		.source_sha256 = spec->source.sha256,
		.source_format = spec->source.format,
		.file = file,
		.format = spec->format,
		.size = spec->size,
		.preallocation = spec->preallocation,
		.reclaim = spec->reclaim,
	};
	struct want *volume = want(l, &stord_volume_class, &state, "%s/%s", spec->pool, object->name);
	volume->adopt = spec->adopt;
	needs(l, volume, pool);
}

bool stord_volume_image(struct lowering *l, const char *volume, const char *path, struct stord_image *ret)
{
	const struct object *object = lower_find(l, "Volume", volume);
	const struct volume_spec *spec = object ? object->spec : NULL;
	cleanup_free char *key = spec ? xprintf("%s/%s", spec->pool, volume) : NULL;
	struct want *want = key ? want_find(l, "volume", key) : NULL;
	if (!want) {
		lower_refuse(l, path, object ? "Volume '%s' was refused" : "there is no Volume '%s'", volume);
		return false;
	}
	const struct volume_state *state = want->spec;
	*ret = (struct stord_image){.want = want, .path = state->file, .format = image_formats[state->format]};
	return true;
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
