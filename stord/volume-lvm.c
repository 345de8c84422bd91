/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that are logical volumes: /dev/GROUP/NAME. The mark is a tag. What takes more than one command to be whole
 * has another tag until then, with the number of the daemon that is at it: it is no volume, and is removed by whoever
 * finds it. A new thin volume is whole at once, since there is nothing in it, and so is a linked clone, which is a thin
 * snapshot: nothing of it depends on its base once it is there. */
#include <fcntl.h>
#include <sys/stat.h>

#include "core/env.h"
#include "stord/image-internal.h"
#include "stord/pool-lvm.h"

enum { GROUP_ROW, THIN_POOL_ROW, DEVICES_ROW, SHARED_ROW, HOST_ID_ROW };

static const struct field volume_rows[] = {
	[GROUP_ROW] = F_STRING("volumeGroup", struct lvm_volume, group, .doc = "The volume group.", .example = "vg0"),
	[THIN_POOL_ROW] = F_STRING("thinPool", struct lvm_volume, thin_pool,
				   .doc = "The thin pool; none for an ordinary volume.", .example = "thin"),
	[DEVICES_ROW] = F_LIST("devices", struct lvm_volume, devices, scalar_string, .doc = "What the group stands on.",
			       .example = "/dev/disk/by-id/ata-SSD_1234"),
	[SHARED_ROW] = F_BOOL("shared", struct lvm_volume, shared, .doc = "Hosts share the group.", .example = "true"),
	[HOST_ID_ROW] =
		F_U32("hostId", struct lvm_volume, host_id, .doc = "This host's number among them.", .example = "1"),
};
const struct table lvm_volume_table = TABLE("volume of an lvm pool", struct lvm_volume, volume_rows);

static const char columns[] =
	"lv_name,lv_uuid,lv_size,lv_attr,lv_tags,lv_time,data_percent,lv_health_status,vg_name,vg_extent_size,origin,"
	"origin_size," LVM_OWNER_COLUMNS;

char *lvm_new_tag(void)
{
	return xprintf("weft-new:%s:", env.instance);
}

/* lvm has names of its own, but none with an underscore can come here. */
static bool is_free_name(const char *name)
{
	return !str_starts(name, "snapshot") && !str_starts(name, "pvmove");
}

static bool lvm_address(struct lowering *l, const struct pool_state *pool, const char *name, struct volume_state *state)
{
	const struct lvm_spec *spec = pool->own;
	struct arena *arena = lower_arena(l);
	if (!is_free_name(name)) {
		lower_refuse(l, "metadata.name",
			     "lvm keeps names that begin with snapshot or pvmove for itself; choose "
			     "another");
		return false;
	}
	if (streq(name, spec->thin.name)) {
		lower_refuse(l, "metadata.name", "'%s' is the thin pool's own name; choose another", name);
		return false;
	}
	struct lvm_volume *own = arena_alloc(arena, sizeof(*own));
	*own = (struct lvm_volume){
		.present = 1 << GROUP_ROW | (spec->thin.name ? 1 << THIN_POOL_ROW : 0) |
			   (spec->devices.n ? 1 << DEVICES_ROW : 0) | (spec->shared ? 1 << SHARED_ROW : 0) |
			   (spec->host_id ? 1 << HOST_ID_ROW : 0),
		.group = spec->group,
		.thin_pool = spec->thin.name,
		.devices = lvm_devices(arena, spec),
		.shared = spec->shared,
		.host_id = spec->host_id,
	};
	state->own = own;
	state->place = arena_printf(arena, "/dev/%s/%s", spec->group, name);
	state->active = true;
	state->present |= VOLUME_OWN | (spec->shared ? 0 : VOLUME_ACTIVE); /* else its lease puts it in use */
	return true;
}

static bool lvm_link(struct lowering *l, const struct volume_state *base, struct volume_state *state)
{
	if (((const struct lvm_volume *)state->own)->thin_pool)
		return true;
	lower_refuse(l, "spec.base",
		     "only a Pool of type lvm with a thinPool makes linked clones; `clone:` makes a full "
		     "copy");
	return false;
}

static const struct lease_means *lvm_leases_of(const struct volume_state *state)
{
	return ((const struct lvm_volume *)state->own)->shared ? &lease_by_lvmlockd : &lease_by_group;
}

/* The device of a volume that hosts share is there for what knows how to lock it. */
static bool lvm_lends(struct lowering *l, const struct volume_state *origin, const struct volume_state *to)
{
	const struct lvm_volume *from = origin->own, *own = to->own;
	if (!from->shared || (to->type == origin->type && streq(own->group, from->group)))
		return true;
	lower_refuse(l, "spec.clone",
		     "'%s' is in a volume group that hosts share, and is copied to volumes of the same group only",
		     origin->place);
	return false;
}

/* ---- in the child ---- */

struct lvm lvm_of(const struct lvm_volume *own)
{
	return (struct lvm){
		.group = own->group, .devices = &own->devices, .shared = own->shared, .host_id = own->host_id};
}

struct lvm lvm_of_volume(const struct volume_call *call)
{
	return lvm_of(call->state->own);
}

/* lvm lvchange -aey vg0/web */
int lvm_use(const struct volume_call *call, const char *place, bool alone)
{
	const struct lvm lvm = lvm_of_volume(call);
	const char *name = place + strlen("/dev/");
	cleanup_free char *what = xprintf("volume '%s' cannot be put in use", name);
	if (!lvm.shared || (!alone && access(place, F_OK) == 0))
		return 0;
	return lvm_change(&lvm, what, (const char *[]){"lvchange", "-aey", name, NULL});
}

void lvm_disuse(const struct volume_call *call, const char *place)
{
	const struct lvm lvm = lvm_of_volume(call);
	if (lvm.shared)
		lvm_put_out_of_use(&lvm, place);
}

/* "vg0/web" */
static const char *full_name(const struct volume_call *call)
{
	return call->state->place + strlen("/dev/");
}

/* A thin volume that this child has just made is not asked after: that would cost half as much again. */
static struct {
	char place[IMAGE_TEXT_MAX];
	struct image_state state;
} made;

/* A guest must not be given what is not what its name says: a thin pool, a snapshot's store, a mirror's leg. */
static bool is_disk(const char *attributes)
{
	return *attributes && !strchr("tTeDdilpv", *attributes);
}

/* lvm tells hundredths of a percent, and thin pools give out 64 KiB at least. */
static uint64_t allocated_of(uint64_t size, double percent)
{
	enum { CHUNK = 64 << 10 };
	return ((uint64_t)((double)size * percent / 100) + CHUNK / 2) / CHUNK * CHUNK;
}

/* What another weft is at, or was when it died, is no volume yet. */
static int check_whole(const struct volume_call *call, const json_t *row)
{
	cleanup_free char *ours = lvm_new_tag(), *by_hand = lvm_by_hand();
	char tag[IMAGE_MARK_MAX];
	lvm_tag(row, "lv_tags", "weft-new:", tag, sizeof(tag));
	if (!*tag || str_starts(tag, ours))
		return 0;
	return say(EBUSY,
		   "'%s' is being made by the weft of another host, or is what that one left when it died: then "
		   "remove it with lvremove %s%s",
		   call->state->place, full_name(call), by_hand);
}

static void describe(const struct volume_call *call, const json_t *row, struct image_state *ret)
{
	const char *attributes = lvm_text(row, "lv_attr"), *health = lvm_text(row, "lv_health_status");
	const struct lvm_volume *own = call->state->own;
	uint64_t size = lvm_bytes(row, "lv_size");
	bool thin = *attributes == 'V';
	cleanup_free char *half_made = lvm_new_tag();
	char tag[IMAGE_MARK_MAX];
	lvm_tag(row, "lv_tags", half_made, tag, sizeof(tag));
	if (*tag)
		return;
	*ret = (struct image_state){
		.exists = true,
		.regular = is_disk(attributes),
		.inactive = (strlen(attributes) > 4 && attributes[4] != 'a') || lvm_is_orphaned(call->state->place),
		.size = size,
		.grain = lvm_bytes(row, "vg_extent_size"),
		.allocated = thin ? allocated_of(size, lvm_percent(row, "data_percent")) : size,
		.stamp = {.inode = lvm_volume_identity(row), .size = size},
	};
	ret->readable = !lvm_is_half_reverted(row, ret->problem);
	lvm_tag(row, "lv_tags", "weft:", ret->mark, sizeof(ret->mark));
	/* Where the base has gone meanwhile nothing is missing. */
	if (call->state->base && *lvm_text(row, "origin"))
		snprintf(ret->stamp.backing, sizeof(ret->stamp.backing), "/dev/%s/%s", own->group,
			 lvm_text(row, "origin"));
	else if (call->state->base)
		snprintf(ret->stamp.backing, sizeof(ret->stamp.backing), "%s", call->state->base);
	if (streq(health, "partial"))
		snprintf(ret->health, sizeof(ret->health),
			 "a device that volume '%s' stands on is missing; what is there of it cannot be relied on",
			 lvm_text(row, "lv_name"));
}

/* All of the group at once, when many are looked at in this child; the process ends with it. */
static struct {
	char group[IMAGE_TEXT_MAX];
	json_t *by_name;
	int code; /* it could not be had: for none of them */
} listing;

/* Under the name of each volume its row, and those of its snapshots. */
static void index_rows(const json_t *rows)
{
	size_t i;
	json_t *row;
	json_decref(listing.by_name);
	listing.by_name = json_object();
	json_array_foreach(rows, i, row) {
		const char *name = lvm_text(row, "lv_name");
		cleanup_free char *volume = xstrndup(name, strcspn(name, ".+")), *tag = lvm_snapshot_tag(volume);
		char found[IMAGE_TEXT_MAX];
		lvm_tag(row, "lv_tags", tag, found, sizeof(found));
		const char *key = streq(found, tag) ? volume : name;
		json_t *list = json_object_get(listing.by_name, key);
		if (!list) {
			list = json_array();
			json_object_set_new(listing.by_name, key, list);
		}
		json_array_append(list, row);
	}
}

static int list_group(const struct volume_call *call)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_json json_t *rows = NULL;
	listing.code = lvm_report(&lvm, (const char *[]){"lvs", "-o", columns, lvm.group, NULL}, &rows);
	snprintf(listing.group, sizeof(listing.group), "%s", lvm.group);
	if (!listing.code)
		index_rows(rows);
	return listing.code;
}

/* The active volumes of a group that is another host's are shown all the same, and must be nobody's here. */
static int check_owner(const struct lvm *lvm, const json_t *rows)
{
	const json_t *row = json_array_get(rows, 0);
	struct lvm_owner owner;
	lvm_owner_of(row, &owner);
	return row ? lvm_refuse(lvm, &owner) : 0;
}

int lvm_read_volume(const struct volume_call *call, json_t **ret)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_free char *tag = lvm_snapshot_tag(call->name), *tagged = xprintf("@%s", tag);
	int code = 0;
	*ret = NULL;
	if (call->among_many) {
		code = streq(listing.group, lvm.group) ? listing.code : list_group(call);
		*ret = code ? NULL : json_incref(json_object_get(listing.by_name, call->name));
	} else {
		code = lvm_report(&lvm, (const char *[]){"lvs", "-o", columns, full_name(call), tagged, NULL}, ret);
		for (size_t i = json_array_size(*ret); i > 0; i--) /* the tag may be known in other groups, too */
			if (!streq(lvm_text(json_array_get(*ret, i - 1), "vg_name"), lvm.group))
				json_array_remove(*ret, i - 1);
	}
	return code ? code : check_owner(&lvm, *ret);
}

static int read_row(const struct volume_call *call, json_t **ret)
{
	cleanup_json json_t *rows = NULL;
	int code = lvm_read_volume(call, &rows);
	*ret = code ? NULL : json_incref((json_t *)lvm_row(rows, call->name));
	return code;
}

/* A volume is gone only if its group is there without it. */
static int check_group(const struct volume_call *call)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_json json_t *rows = NULL;
	int code = lvm_report(&lvm, (const char *[]){"vgs", "-o", "vg_name", lvm.group, NULL}, &rows);
	if (!code && !json_array_size(rows))
		code = say(ENODEV,
			   "volume group '%s' is not there, and so nobody knows of volume '%s': bring its devices "
			   "back, or say reclaim: keep if it is to be forgotten",
			   lvm.group, call->name);
	return code;
}

/* Of a group that is not this host's nothing was ever this volume: what its name has there is somebody else's. */
static bool is_elsewhere(const struct volume_call *call)
{
	const struct lvm lvm = lvm_of_volume(call);
	struct lvm_owner owner;
	if (call->known->inode || lvm_look_owner(&lvm, &owner) != 0)
		return false;
	cleanup_free char *refusal = lvm_refusal(&lvm, &owner);
	return refusal;
}

static int lvm_look(const struct volume_call *call, struct image_state *ret)
{
	cleanup_json json_t *rows = NULL, *mended = NULL;
	bool changed = false;
	if (streq(made.place, call->state->place)) {
		*ret = made.state;
		return 0;
	}
	int code = lvm_read_volume(call, &rows);
	if (code && is_elsewhere(call)) /* its pool says so */
		return 0;
	if (!code)
		code = lvm_mend(call, rows, &changed);
	if (!code && changed) {
		struct volume_call anew = *call;
		anew.among_many = false;
		code = lvm_read_volume(&anew, &mended);
	}
	const json_t *all = changed ? mended : rows, *row = code ? NULL : lvm_row(all, call->name);
	if (row)
		code = check_whole(call, row);
	if (row && !code) {
		describe(call, row, ret);
		ret->stamp.n_snapshots = ret->exists ? lvm_count_snapshots(call, all) : 0;
	} else if (!code && call->known->inode) {
		code = check_group(call);
	}
	return code;
}

/* Nothing is allocated of it yet. */
static void note_made(const struct volume_call *call)
{
	struct image_state *state = &made.state;
	cleanup_close int fd = open(call->state->place, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	char uuid[LVM_UUID_MAX];
	if (size <= 0 || !lvm_uuid_of_device(call->state->place, uuid))
		return;
	*state = (struct image_state){
		.exists = true,
		.regular = true,
		.readable = true,
		.size = (uint64_t)size,
		.grain = (uint64_t)size - call->state->size + 1,
		.stamp = {.inode = host_hash(uuid) | 1, .size = (uint64_t)size},
	};
	snprintf(state->mark, sizeof(state->mark), "%s", call->mark);
	snprintf(made.place, sizeof(made.place), "%s", call->state->place);
}

/* lvm lvcreate -n web --addtag TAG -V 8589934592b -T vg0/thin, or -L 8589934592b vg0. Of an ordinary volume the
 * beginning is zeroed, and what else lvm knows to be a sign of something: that was somebody's who is gone. */
static int create_empty(const struct volume_call *call, const char *tag, uint64_t bytes)
{
	const struct lvm_volume *own = call->state->own;
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_free char *size = xprintf("%llub", (unsigned long long)bytes);
	cleanup_free char *pool = xprintf("%s/%s", own->group, own->thin_pool ? own->thin_pool : "");
	cleanup_free char *what = xprintf("volume '%s' cannot be made", call->name);
	const char *thin[] = {"lvcreate", "-n", call->name, "--addtag", tag, "-Wn", "-V", size, "-T", pool, NULL};
	const char *ordinary[] = {"lvcreate", "-n",  call->name, "--addtag", tag,        "-y",
				  "-Wy",      "-Zy", "-L",       size,       own->group, NULL};
	return lvm_change(&lvm, what, own->thin_pool ? thin : ordinary);
}

/* lvm lvcreate -s -kn -n web --addtag TAG vg0/base: as large as its base, and in use at once. */
static int create_linked(const struct volume_call *call, const char *tag)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_free char *what = xprintf("linked clone '%s' cannot be made", call->name);
	const char *base = call->state->base + strlen("/dev/");
	return lvm_change(&lvm, what,
			  (const char *[]){"lvcreate", "-s", "-kn", "-n", call->name, "--addtag", tag, base, NULL});
}

static int create(const struct volume_call *call, const char *tag, uint64_t bytes)
{
	return call->state->base ? create_linked(call, tag) : create_empty(call, tag, bytes);
}

bool lvm_is_open(const json_t *row)
{
	const char *attributes = lvm_text(row, "lv_attr");
	return strlen(attributes) > 5 && attributes[5] == 'o';
}

/* With its snapshots, which go first: they are found by the volume. */
static int discard(const struct volume_call *call)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_free char *what = xprintf("volume '%s' cannot be removed", call->name);
	cleanup_json json_t *rows = NULL;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_free const char **argv = NULL;
	size_t n = 2, i;
	json_t *row;
	int code = lvm_read_volume(call, &rows);
	if (code)
		return code;
	argv = xcalloc(json_array_size(rows) + 4, sizeof(*argv));
	argv[0] = "lvremove";
	argv[1] = "-y";
	const json_t *volume = lvm_row(rows, call->name);
	if (lvm_is_open(volume))
		return say(EBUSY, "%s: it is in use", what);
	json_array_foreach(rows, i, row) {
		if (row != volume)
			argv[n++] = arena_printf(arena, "%s/%s", lvm.group, lvm_text(row, "lv_name"));
	}
	bool has_snapshots = n > 2; /* which have no locks of their own: the volume's must be had first */
	if (volume)
		argv[n++] = full_name(call);
	if (volume && has_snapshots)
		code = lvm_use(call, call->state->place, true);
	if (code || n == 2)
		return code;
	code = lvm_change(&lvm, what, argv);
	if (code && has_snapshots)
		lvm_disuse(call, call->state->place);
	return code;
}

/* What was left half-made under this name; anything else stays, and is in the way. */
static int clear_half_made(const struct volume_call *call)
{
	cleanup_json json_t *row = NULL;
	cleanup_free char *beginning = lvm_new_tag();
	char tag[IMAGE_MARK_MAX];
	int code = read_row(call, &row);
	if (code || !row)
		return code;
	lvm_tag(row, "lv_tags", beginning, tag, sizeof(tag));
	return *tag ? discard(call) : 0;
}

/* How large it is to be; without a size of its own as large as what it begins as, in whole sectors. What cannot be
 * copied is refused before anything is made. */
static int size_of(const struct volume_call *call, const struct image *image, uint64_t *ret)
{
	enum { SECTOR = 512 };
	uint64_t size = call->state->size, begins_as = 0;
	bool asked = image->source && (!size || image->source_is_volume); /* which may not be copied now */
	int code = asked ? image_check_source(image, &begins_as) : 0;
	size = size ? size : begins_as;
	*ret = (size + SECTOR - 1) / SECTOR * SECTOR;
	return code;
}

static int lvm_grow(const struct volume_call *call)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_free char *size = xprintf("%llub", (unsigned long long)call->state->size);
	cleanup_free char *what = xprintf("volume '%s' cannot grow", call->name);
	return lvm_change(&lvm, what, (const char *[]){"lvextend", "-L", size, full_name(call), NULL});
}

/* A linked clone that is to be larger than its base. */
static int grow_clone(const struct volume_call *call)
{
	cleanup_json json_t *row = NULL;
	int code = read_row(call, &row);
	return code || lvm_bytes(row, "lv_size") >= call->state->size ? code : lvm_grow(call);
}

static int make_and_fill(const struct volume_call *call)
{
	const struct lvm lvm = lvm_of_volume(call);
	const struct image image = volume_device(call->state);
	cleanup_free char *beginning = lvm_new_tag(), *tag = xprintf("%s%d", beginning, (int)getppid());
	cleanup_free char *what = xprintf("volume '%s' cannot be marked", call->name);
	uint64_t size;
	int code = size_of(call, &image, &size);
	if (!code)
		code = clear_half_made(call);
	if (!code)
		code = create(call, tag, size);
	if (code)
		return code;
	if (image.source)
		code = image_fill(&image);
	else if (call->state->base && call->state->size)
		code = grow_clone(call);
	if (!code)
		code = lvm_change(
			&lvm, what,
			(const char *[]){"lvchange", "--deltag", tag, "--addtag", call->mark, full_name(call), NULL});
	if (code)
		discard(call);
	else
		lvm_disuse(call, call->state->place);
	return code;
}

/* What it is a copy of may have to be put in use first, if that is in the same group. */
static int make_in_steps(const struct volume_call *call)
{
	const char *origin = call->state->clone;
	cleanup_free char *group = xprintf("/dev/%s/", lvm_of_volume(call).group);
	bool beside = origin && str_starts(origin, group);
	int code = beside ? lvm_use(call, origin, false) : 0;
	if (code)
		return code;
	code = make_and_fill(call);
	if (beside)
		lvm_disuse(call, origin);
	return code;
}

static int lvm_make(const struct volume_call *call)
{
	const struct volume_state *state = call->state;
	bool empty_thin =
		((const struct lvm_volume *)state->own)->thin_pool && !state->source && !state->clone && !state->base;
	if (!empty_thin && !(state->base && !state->size))
		return make_in_steps(call);
	int code = create(call, call->mark, state->size);
	if (code == EEXIST) { /* perhaps what was left half-made when it was to begin otherwise */
		code = clear_half_made(call);
		code = code ? code : create(call, call->mark, state->size);
	}
	if (!code && empty_thin)
		note_made(call);
	return code;
}

/* One that was suspended, as an interrupted command leaves it, is active but hangs; one whose disk has gone and come
 * back is led to the one that came by the same, whoever has it open. */
static int activate(const struct volume_call *call)
{
	const struct lvm_volume *own = call->state->own;
	const struct lvm lvm = lvm_of(own);
	cleanup_free char *what = xprintf("volume '%s' cannot be put in use", call->name);
	bool led = own->thin_pool && lvm_is_orphaned(call->state->place);
	int code = led ? lvm_renew_parts(&lvm)
		       : lvm_change(&lvm, what, (const char *[]){"lvchange", "-ay", "-K", full_name(call), NULL});
	if (!code && !led)
		code = lvm_change(&lvm, what, (const char *[]){"lvchange", "--refresh", full_name(call), NULL});
	return code;
}

static int tag_and_activate(const struct volume_call *call, const struct image_state *state)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_free char *what = xprintf("volume '%s' cannot be changed", call->name);
	cleanup_free char *ours = xprintf("weft:%s:", env.instance);
	int code = 0;
	if (!state->mark[0] || str_starts(state->mark, ours)) /* else it is another weft's, and stays that one's */
		code = streq(state->mark, call->mark) ? 0
						      : lvm_change(&lvm, what,
								   (const char *[]){"lvchange", "--addtag", call->mark,
										    full_name(call), NULL});
	bool wanted = call->state->present & VOLUME_ACTIVE;
	if (!code && wanted && state->inactive)
		code = activate(call);
	return code;
}

static int lvm_update(const struct volume_call *call)
{
	struct image_state state = {0};
	int code = lvm_look(call, &state);
	if (!code && !state.exists)
		code = say(ENOENT, "volume '%s' is gone", full_name(call));
	if (!code)
		code = tag_and_activate(call, &state);
	if (code || !call->grow || state.size >= call->state->size)
		return code;
	if (state.stamp.n_snapshots && !((const struct lvm_volume *)call->state->own)->thin_pool)
		return say(EBUSY,
			   "volume '%s' has snapshots, beneath which an ordinary logical volume cannot grow: delete "
			   "them first (`weft volume snapshot list %s`)",
			   call->name, call->name);
	return lvm_grow(call);
}

static int lvm_remove(const struct volume_call *call)
{
	struct image_state state = {0};
	cleanup_free char *ours = xprintf("weft:%s:", env.instance);
	int code = lvm_look(call, &state);
	if (!code && !state.exists)
		return check_group(call);
	if (code)
		return code;
	if (!str_starts(state.mark, ours))
		return say(EPERM, "logical volume '%s' does not carry weft's mark and is left alone", full_name(call));
	return discard(call);
}

const struct volume_verbs lvm_volumes = {
	.table = &lvm_volume_table,
	.formats = 1 << IMAGE_RAW,
	.format = IMAGE_RAW,
	.attach = STORD_BLOCK,
	.leases_of = lvm_leases_of,
	.address = lvm_address,
	.look = lvm_look,
	.make = lvm_make,
	.change = lvm_update,
	.remove = lvm_remove,
	.link = lvm_link,
	.lends = lvm_lends,
	.snapshots = &lvm_snapshots,
	.at_once = 4, /* lvm has its commands wait for one another, and one `lvs` is for all of a queue */
};
