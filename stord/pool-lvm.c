/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type lvm: a volume group, or a thin pool in one; volumes are logical volumes (volume-lvm.c). A group that is
 * there is used as it is, unless it belongs to another host (lvm-host.c). What weft makes, group and thin pool, carries
 * the Pool's mark as a tag, and is removed only if it still does, nothing is left in it, and the Pool says so, or the
 * apply that made it is undone. */
#include <fcntl.h>

#include "core/env.h"
#include "stord/image-internal.h"
#include "stord/lun.h"
#include "stord/pool-lvm.h"
#include "stord/probe.h"
#include "stord/signature.h"

struct lvm_device {
	uint64_t present;
	const char *path, *lun;
};

/* sanlock takes its time until it is sure that nobody else has this host's number. */
enum { FULL_PERCENT = 90, NAME_MAX_LVM = 120, LOOK_MS = 20 * 1000, CHANGE_MS = 200 * 1000 };

static const struct field device_rows[] = {
	F_PATH("path", struct lvm_device, path, .max = 255,
	       .doc = "The device, by a name that lasts: below /dev/disk/by-id, /dev/mapper or /dev/weft.",
	       .example = "/dev/disk/by-id/ata-SSD_1234"),
	F_REF("lun", struct lvm_device, lun, "Lun", .doc = "Or a Lun.", .example = "vgdisk"),
};
static const struct table device_table = TABLE("Pool.devices", struct lvm_device, device_rows);

/* "90%" or "10GiB", in the normal form of either. */
static int parse_share(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	size_t len = strlen(text);
	bool is_share = len && text[len - 1] == '%';
	uint64_t bytes = 0;
	uint32_t percent = 0;
	int r = is_share ? scalar_percent.parse(NULL, text, arena, &percent, err)
			 : scalar_size.parse(NULL, text, arena, &bytes, err);
	if (r < 0)
		return r;
	if (!percent && !bytes)
		return err_set(err, EINVAL, "expected more than nothing, such as 90%% or 10GiB");
	*(const char **)out =
		is_share ? scalar_percent.format(NULL, &percent, arena) : scalar_size.format(NULL, &bytes, arena);
	return 0;
}

static const char *format_share(const struct field *field, const void *value, struct arena *arena)
{
	return *(const char *const *)value;
}

static bool equal_share(const void *a, const void *b)
{
	return streq(*(const char *const *)a, *(const char *const *)b);
}

static const struct scalar scalar_share = {
	.name = "share",
	.doc = "a size such as 10GiB, or a share such as 90%",
	.pattern = "^([0-9]+([.][0-9]+)?(B|KiB|MiB|GiB|TiB|PiB|EiB)|[0-9]+%)$",
	.example = "90%",
	.size = sizeof(const char *),
	.text = true,
	.parse = parse_share,
	.format = format_share,
	.equal = equal_share,
};

static const struct field thin_rows[] = {
	F_STRING("name", struct lvm_thin, name, .flags = FIELD_REQUIRED, .max = NAME_MAX_LVM,
		 .doc = "Name of the thin pool.", .example = "thin"),
	F_OF(scalar_share, const char *, "size", struct lvm_thin, size, .def = "90%",
	     .doc = "How large it is made if it is missing: a size, or a share of what is then free in the volume "
		    "group."),
};
static const struct table thin_table = TABLE("Pool.thinPool", struct lvm_thin, thin_rows);

static const struct field lvm_rows[] = {
	F_STRING("volumeGroup", struct lvm_spec, group, .flags = FIELD_REQUIRED, .max = NAME_MAX_LVM,
		 .doc = "The volume group. One that is there is used as it is.", .example = "vg0"),
	F_STRUCTS("devices", struct lvm_spec, devices, device_table, .list_max = 64,
		  .doc = "What it stands on: lvm then looks at these devices alone. If there is no such group it is "
			 "made of them, if they are blank. Without them all is looked at that the host's lvm.conf lets "
			 "it see.",
		  .example = "{path: /dev/disk/by-id/ata-SSD_1234}"),
	F_STRUCT("thinPool", struct lvm_spec, thin, thin_table,
		 .doc = "Volumes are thin ones of this thin pool, which is made if it is missing. Without it they are "
			"ordinary ones, which take up all of their space at once."),
	F_ENUM("reclaim", struct lvm_spec, reclaim, reclaims, .def = "keep",
	       .doc = "What becomes of a volume group and a thin pool that weft has made, when the Pool goes: delete "
		      "removes them once they are empty."),
	F_BOOL("shared", struct lvm_spec, shared, .def = "false",
	       .doc = "Several hosts use the group at once, by lvmlockd and sanlock, which have to run on each of "
		      "them: a "
		      "volume is locked by the host whose guest has it. A group that weft makes is then made so.",
	       .example = "true"),
	F_U32("hostId", struct lvm_spec, host_id, .min = 1, .max = 2000,
	      .doc = "With shared: this host's number, another one on each of them. Without it the one of "
		     "lvmlocal.conf "
		     "(local/host_id) counts.",
	      .example = "1"),
};
static const struct table lvm_table = CHOICE_TABLE(
	"Pool of type lvm", struct lvm_spec, lvm_rows,
	"A volume group, or a thin pool in it, whose logical volumes are raw Volumes at /dev/GROUP/NAME. A group "
	"that weft makes has this host's system ID, which keeps other hosts off it, and grows with its devices. "
	"The Pool is Degraded when a device is missing, or a thin pool is more than 90% full.");

/* ---- lowering ---- */

static bool is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-";
	return *name && *name != '-' && strspn(name, allowed) == strlen(name) && !streq(name, ".") &&
	       !streq(name, "..");
}

static void lvm_check(const struct check *check, const void *own)
{
	const struct lvm_spec *spec = own;
	if (spec->group && !is_name(spec->group))
		check_fault(check, "spec.volumeGroup",
			    "'%s' is not a name of a volume group: letters, digits and + _ . -, not beginning with -",
			    spec->group);
	if (spec->thin.name && !is_name(spec->thin.name))
		check_fault(check, "spec.thinPool.name",
			    "'%s' is not a name of a thin pool: letters, digits and + _ . -, not beginning with -",
			    spec->thin.name);
	if (spec->shared && spec->thin.name)
		check_fault(check, "spec.thinPool",
			    "only one host at a time can use a thin pool, with all that is in it: take thinPool or "
			    "shared out");
	if (spec->host_id && !spec->shared)
		check_fault(check, "spec.hostId",
			    "hostId is for a volume group that hosts share: write `shared: true` as well");
	for (size_t i = 0; i < spec->devices.n; i++) {
		const struct lvm_device *device = &list_at(&spec->devices, struct lvm_device, i);
		cleanup_free char *path = xprintf("spec.devices[%zu].path", i),
				  *whole = xprintf("spec.devices[%zu]", i);
		if (!device->path == !device->lun)
			check_fault(check, whole, "a device is named by one of path and lun");
		if (device->path && (!str_starts(device->path, "/dev/") || strpbrk(device->path, ", ")))
			check_fault(check, path, "a device is below /dev");
	}
}

struct list lvm_devices(struct arena *arena, const struct lvm_spec *spec)
{
	struct list list = {.n = spec->devices.n};
	const char **paths = arena_alloc(arena, (list.n + 1) * sizeof(*paths));
	for (size_t i = 0; i < list.n; i++) {
		const struct lvm_device *device = &list_at(&spec->devices, struct lvm_device, i);
		paths[i] = device->lun ? arena_printf(arena, LUN_LINKS "/%s", device->lun) : device->path;
	}
	list.items = paths;
	return list;
}

static bool lvm_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	const struct lvm_spec *spec = own;
	struct arena *arena = lower_arena(l);
	plan->place = arena_printf(arena, "/dev/%s", spec->group);
	plan->source = spec->thin.name ? arena_printf(arena, "%s/%s", spec->group, spec->thin.name) : spec->group;
	plan->what = spec->thin.name ? "thin pool" : "volume group";
	plan->at = spec->thin.name ? "spec.thinPool.name" : "spec.volumeGroup";
	plan->put_in_use = spec->shared;
	plan->grows = true;
	for (size_t i = 0; i < spec->devices.n; i++) {
		const char *lun = list_at(&spec->devices, struct lvm_device, i).lun;
		struct want *need = lun ? want_find(l, "lun", lun) : NULL;
		if (!lun)
			continue;
		if (!need) {
			lower_refuse(l, arena_printf(arena, "spec.devices[%zu].lun", i), "Lun '%s' was refused", lun);
			return false;
		}
		arena_grow(arena, plan->also, plan->n_also, plan->cap_also);
		plan->also[plan->n_also++] = need;
	}
	return true;
}

/* ---- in the child ---- */

/* What a verb on the pool works with. */
struct work {
	const struct pool_call *call;
	const struct lvm_spec *spec;
	struct arena *arena;
	struct list devices;
	struct lvm lvm;
};

static void work_begin(struct work *work, const struct pool_call *call)
{
	*work = (struct work){.call = call, .spec = call->state->own, .arena = arena_new()};
	work->devices = lvm_devices(work->arena, work->spec);
	work->lvm = (struct lvm){
		.group = work->spec->group,
		.devices = &work->devices,
		.shared = work->spec->shared,
		.host_id = work->spec->host_id,
	};
}

static void work_done(struct work *work)
{
	arena_free(work->arena);
}

/* A row for each physical volume of the group; none if there is no such group. */
static int read_group(const struct work *work, json_t **ret)
{
	return lvm_report(&work->lvm,
			  (const char *[]){"vgs", "--foreign", "--shared", "-o",
					   LVM_OWNER_COLUMNS
					   ",vg_uuid,vg_size,vg_free,vg_extent_size,lv_count,pv_name,pv_uuid,"
					   "pv_missing,pv_size,pe_start,dev_size",
					   work->spec->group, NULL},
			  ret);
}

static int read_thin_pool(const struct work *work, json_t **ret)
{
	return lvm_report(&work->lvm,
			  (const char *[]){"lvs", "-o",
					   "lv_name,lv_attr,lv_size,lv_tags,data_percent,metadata_percent,"
					   "lv_health_status,thin_count",
					   work->call->state->source, NULL},
			  ret);
}

/* The first device of the manifest that is not there; NULL if all are. */
static const char *absent_device(const struct work *work)
{
	for (size_t i = 0; i < work->devices.n; i++)
		if (access(list_at(&work->devices, const char *, i), F_OK) < 0)
			return list_at(&work->devices, const char *, i);
	return NULL;
}

static bool is_marked(const struct work *work, const json_t *row, const char *column)
{
	char mark[IMAGE_MARK_MAX];
	cleanup_free char *ours = xprintf("weft:%s:Pool/%s", env.instance, work->call->name);
	lvm_tag(row, column, "weft:", mark, sizeof(mark));
	return streq(mark, ours);
}

/* The device has grown since it became a physical volume. What lvm keeps at its end, or leaves there as less than an
 * extent, is no growth. */
static bool is_outgrown(const json_t *row)
{
	enum { SLACK = 16 << 20 };
	uint64_t used = lvm_bytes(row, "pe_start") + lvm_bytes(row, "pv_size");
	return lvm_bytes(row, "dev_size") > used + 2 * lvm_bytes(row, "vg_extent_size") + SLACK;
}

/* Of a group that somebody else made, or that hosts share, it is for people to say. */
static void look_at_growth(const struct work *work, const json_t *row, struct pool_seen *ret)
{
	const char *name = lvm_text(row, "pv_name");
	char has[32], used[32];
	if (!is_outgrown(row))
		return;
	ret->outgrown = !work->spec->shared && is_marked(work, row, "vg_tags");
	if (ret->outgrown || ret->note[0])
		return;
	cleanup_free char *by_hand = lvm_by_hand();
	snprintf(ret->note, sizeof(ret->note),
		 "device '%s' has %s, of which volume group '%s' uses %s: pvresize %s%s lets it use all", name,
		 tool_size_text(lvm_bytes(row, "dev_size"), has), work->spec->group,
		 tool_size_text(lvm_bytes(row, "pv_size"), used), name, by_hand);
}

static void look_at_devices(const struct work *work, const json_t *rows, struct pool_seen *ret)
{
	size_t i, at = 0;
	json_t *row;
	json_array_foreach(rows, i, row) {
		const char *name = lvm_text(row, "pv_name"), *absent = absent_device(work);
		bool missing = *lvm_text(row, "pv_missing");
		int n = missing ? 0 : snprintf(ret->devices + at, sizeof(ret->devices) - at, "%s\n", name);
		if (n > 0 && at + (size_t)n < sizeof(ret->devices))
			at += (size_t)n;
		ret->devices[at] = '\0';
		look_at_growth(work, row, ret);
		if (missing)
			snprintf(ret->health, sizeof(ret->health),
				 "volume group '%s' lacks device %s (UUID %s): what is on it cannot be read, and "
				 "nothing "
				 "can be made until it is back%s",
				 work->spec->group, absent ? absent : "it once had", lvm_text(row, "pv_uuid"),
				 work->devices.n && !absent ? "; if it is there, add it to devices" : "");
	}
}

/* A pool in a state that lvm has a word for, or nearly full. */
static void judge_thin_pool(const struct work *work, const json_t *row, struct pool_seen *ret)
{
	const char *name = work->call->state->source, *word = lvm_text(row, "lv_health_status");
	double data = lvm_percent(row, "data_percent"), metadata = lvm_percent(row, "metadata_percent");
	cleanup_free char *by_hand = lvm_by_hand();
	if (streq(word, "out_of_data"))
		snprintf(
			ret->health, sizeof(ret->health),
			"thin pool '%s' is full: guests that write are refused; extend it with lvextend -L +SIZE %s%s, "
			"or delete volumes",
			name, name, by_hand);
	else if (streq(word, "metadata_read_only") || streq(word, "failed"))
		snprintf(ret->health, sizeof(ret->health),
			 "thin pool '%s' is in state %s: nothing can be written; see lvconvert --repair %s%s", name,
			 word, name, by_hand);
	else if (data > FULL_PERCENT || metadata > FULL_PERCENT)
		snprintf(ret->health, sizeof(ret->health),
			 "thin pool '%s' is nearly full: %.1f %% of data, %.1f %% of metadata; extend it with lvextend "
			 "-L +SIZE %s%s, or --poolmetadatasize +SIZE",
			 name, data, metadata, name, by_hand);
}

static int look_at_thin_pool(const struct work *work, struct pool_seen *ret)
{
	cleanup_json json_t *rows = NULL;
	int code = read_thin_pool(work, &rows);
	const json_t *row = json_array_get(rows, 0);
	if (code)
		return code;
	if (!row) {
		ret->exists = false;
		snprintf(ret->note, sizeof(ret->note), "there is no thin pool '%s'", work->call->state->source);
		return 0;
	}
	if (lvm_text(row, "lv_attr")[0] != 't')
		return say(EEXIST, "'%s' is a logical volume and no thin pool; name another",
			   work->call->state->source);
	double used = lvm_percent(row, "data_percent");
	ret->capacity = lvm_bytes(row, "lv_size");
	ret->available = (uint64_t)((double)ret->capacity * (100 - used) / 100);
	judge_thin_pool(work, row, ret);
	return 0;
}

static void sweep_one(const struct work *work, const json_t *row)
{
	cleanup_free char *half_made = lvm_new_tag();
	const char *lv = lvm_text(row, "lv_name"), *attributes = lvm_text(row, "lv_attr");
	cleanup_free char *place = xprintf("/dev/%s/%s", work->spec->group, lv);
	char made[IMAGE_MARK_MAX], mark[IMAGE_MARK_MAX];
	lvm_tag(row, "lv_tags", half_made, made, sizeof(made));
	lvm_tag(row, "lv_tags", "weft:", mark, sizeof(mark));
	bool active = strlen(attributes) > 4 && attributes[4] == 'a';
	if (*made && atoi(made + strlen(half_made)) != getppid())
		lvm_change(&work->lvm, "what was left half-made cannot be removed",
			   (const char *[]){"lvremove", "-y", place + strlen("/dev/"), NULL});
	else if (work->spec->shared && *mark && active && !lvm_is_open(row))
		lvm_put_out_of_use(&work->lvm, place);
}

/* What an earlier daemon has left half-made, or locked for itself; what carries our own number is in the making. */
static void sweep(const struct work *work)
{
	cleanup_json json_t *rows = NULL;
	size_t i;
	json_t *row;
	if (lvm_report(&work->lvm, (const char *[]){"lvs", "-o", "lv_name,lv_tags,lv_attr", work->spec->group, NULL},
		       &rows))
		return;
	json_array_foreach(rows, i, row)
		sweep_one(work, row);
}

static void look_at_locks(const struct work *work, struct pool_seen *ret)
{
	cleanup_free char *missing = lvm_locks_missing(&work->lvm);
	ret->inactive = missing;
	if (missing)
		snprintf(ret->note, sizeof(ret->note), "%s", missing);
	else if (!lvm_has_watchdog())
		snprintf(ret->note, sizeof(ret->note),
			 "sanlock runs without a watchdog here (use_watchdog=0): should this host lose its devices and "
			 "live on, another one gets volumes that guests of this one still write to");
}

static int look(const struct work *work, struct pool_seen *ret)
{
	cleanup_json json_t *rows = NULL;
	struct lvm_owner owner;
	if (work->call->sweep)
		lvm_learn_system_id();
	int code = read_group(work, &rows);
	const json_t *row = json_array_get(rows, 0);
	if (code)
		return code;
	if (!row) {
		const char *absent = absent_device(work);
		snprintf(ret->note, sizeof(ret->note), "there is no volume group '%s'%s%s", work->spec->group,
			 absent ? "; a device of it is not there: " : "", absent ? absent : "");
		return 0;
	}
	lvm_owner_of(row, &owner);
	cleanup_free char *refusal = lvm_refusal(&work->lvm, &owner);
	if (refusal) { /* no pool of this host's, until that changes */
		snprintf(ret->note, sizeof(ret->note), "%s", refusal);
		return 0;
	}
	if (work->call->sweep)
		code = lvm_claim(&work->lvm, &owner);
	if (code)
		return code;
	ret->exists = true;
	if (work->spec->shared)
		look_at_locks(work, ret);
	ret->incarnation = lvm_identity(row, "vg_uuid");
	ret->capacity = lvm_bytes(row, "vg_size");
	ret->available = lvm_bytes(row, "vg_free");
	snprintf(ret->mark, sizeof(ret->mark), "%s", owner.mark);
	if (work->call->sweep && !ret->inactive)
		sweep(work);
	if (work->spec->thin.name)
		code = look_at_thin_pool(work, ret);
	look_at_devices(work, rows, ret); /* what is missing is the better explanation */
	return code;
}

static int lvm_observe(const struct pool_call *call, struct pool_seen *ret)
{
	struct work work;
	work_begin(&work, call);
	int code = look(&work, ret);
	work_done(&work);
	return code;
}

/* Blank, or a physical volume that no group has: what an interrupted vgcreate leaves. */
static int check_device(const struct work *work, const char *path)
{
	struct signature found;
	char text[128];
	int code = signature_look(path, &found);
	if (code)
		return code;
	if (!found.device[0])
		return say(ENODEV, "there is no volume group '%s', and no device '%s' to make it of", work->spec->group,
			   path);
	if (found.blank)
		return 0;
	cleanup_json json_t *rows = NULL;
	if (streq(found.type, "LVM2_member"))
		code = lvm_report(&work->lvm, (const char *[]){"pvs", "-o", "vg_name,pv_in_use", path, NULL}, &rows);
	const json_t *row = json_array_get(rows, 0);
	if (code || (row && !*lvm_text(row, "vg_name") && !*lvm_text(row, "pv_in_use")))
		return code;
	const char *group = lvm_text(row, "vg_name");
	if (*group)
		return say(EEXIST, "device '%s' is part of volume group '%s'; name that, or another device", path,
			   group);
	return say(
		EEXIST,
		"device '%s' carries %s; a volume group is made of blank devices only: clear it with wipefs -a if it "
		"is not needed",
		path, signature_text(&found, text));
}

static int make_group(const struct work *work)
{
	cleanup_free char *host = lvm_host_tag();
	const char *argv[LVM_ARGUMENTS_MAX] = {"vgcreate", "--addtag", work->call->mark,
					       "--addtag", host,       work->spec->group};
	size_t n = 6;
	if (work->spec->shared) {
		argv[n++] = "--shared";
		argv[n++] = "--lock-type";
		argv[n++] = "sanlock";
	}
	if (!work->devices.n)
		return say(ENOENT, "there is no volume group '%s': make it with vgcreate, or write its devices",
			   work->spec->group);
	for (size_t i = 0; i < work->devices.n; i++) {
		int code = check_device(work, list_at(&work->devices, const char *, i));
		if (code)
			return code;
		argv[n++] = list_at(&work->devices, const char *, i);
	}
	cleanup_free char *what = xprintf("volume group '%s' cannot be made", work->spec->group);
	int code = work->spec->shared ? lvm_locks_check(&work->lvm) : 0;
	return code ? code : lvm_change(&work->lvm, what, argv);
}

/* A full pool refuses writes instead of holding them for a minute and then refusing them: the guest is paused at once
 * and goes on when there is room, and nothing of the host hangs meanwhile. */
static int make_thin_pool(const struct work *work)
{
	const char *size = work->spec->thin.size, *source = work->call->state->source;
	bool is_share = strchr(size, '%');
	uint64_t bytes = 0;
	struct err err = {0};
	if (!is_share && scalar_size.parse(NULL, size, work->arena, &bytes, &err) < 0)
		return say(EINVAL, "%s", err.text);
	cleanup_free char *value = is_share ? xprintf("%sFREE", size) : xprintf("%llub", (unsigned long long)bytes);
	cleanup_free char *what = xprintf("thin pool '%s' cannot be made", source);
	return lvm_change(&work->lvm, what,
			  (const char *[]){"lvcreate", "-T", is_share ? "-l" : "-L", value, "--errorwhenfull", "y",
					   "-Zy", "--addtag", work->call->mark, source, NULL});
}

static int make_missing(const struct work *work)
{
	cleanup_json json_t *group = NULL, *thin = NULL;
	struct lvm_owner owner;
	int code = read_group(work, &group);
	lvm_owner_of(json_array_get(group, 0), &owner);
	if (!code)
		code = owner.exists ? lvm_refuse(&work->lvm, &owner) : make_group(work);
	if (!code && work->spec->shared)
		code = lvm_locks_start(&work->lvm);
	if (code || !work->spec->thin.name)
		return code;
	code = read_thin_pool(work, &thin);
	return code || json_array_size(thin) ? code : make_thin_pool(work);
}

/* lvm pvresize /dev/sdb, of each device that has grown. */
static int use_growth(const struct work *work)
{
	cleanup_json json_t *rows = NULL;
	cleanup_free char *what = xprintf("volume group '%s' cannot grow with its device", work->spec->group);
	int code = read_group(work, &rows);
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row) {
		if (!code && is_outgrown(row))
			code = lvm_change(&work->lvm, what,
					  (const char *[]){"pvresize", lvm_text(row, "pv_name"), NULL});
	}
	return code;
}

static int lvm_activate(const struct pool_call *call, struct pool_seen *ret)
{
	struct work work;
	struct pool_call swept = *call;
	swept.sweep |= ((const struct lvm_spec *)call->state->own)->shared; /* without locks nothing could be swept */
	work_begin(&work, &swept);
	int code = make_missing(&work);
	if (!code && call->grow)
		code = use_growth(&work);
	if (!code)
		code = look(&work, ret);
	work_done(&work);
	return code;
}

/* Removes the thin pool if it is ours and empty. */
static int remove_thin_pool(const struct work *work)
{
	cleanup_json json_t *rows = NULL;
	int code = read_thin_pool(work, &rows);
	const json_t *row = json_array_get(rows, 0);
	if (code || !row || !is_marked(work, row, "lv_tags") || lvm_bytes(row, "thin_count"))
		return code;
	cleanup_free char *what = xprintf("thin pool '%s' cannot be removed", work->call->state->source);
	return lvm_change(&work->lvm, what, (const char *[]){"lvremove", "-y", work->call->state->source, NULL});
}

/* What lvm has written before the first extent, and pvremove leaves there. */
static int clear_metadata(const json_t *row)
{
	enum { PIECE = 64 << 10 };
	static const char zeros[PIECE];
	const char *path = lvm_text(row, "pv_name");
	uint64_t size = lvm_bytes(row, "pe_start"), at = 0;
	cleanup_close int fd = open(path, O_WRONLY | O_EXCL | O_CLOEXEC);
	bool fine = fd >= 0;
	while (fine && at < size) {
		ssize_t n = pwrite(fd, zeros, size - at < PIECE ? size - at : PIECE, (off_t)at);
		fine = n > 0;
		at += fine ? (uint64_t)n : 0;
	}
	if (fine && fsync(fd) == 0)
		return 0;
	return say(errno, "what lvm has written to '%s' cannot be cleared: %s", path, strerror(errno));
}

/* Removes the group if it is ours and empty, and then what made its devices physical volumes: they are as blank as they
 * were. */
static int remove_group(const struct work *work, const json_t *rows)
{
	const json_t *row = json_array_get(rows, 0);
	cleanup_free char *what = xprintf("volume group '%s' cannot be removed", work->spec->group);
	struct lvm bare = work->lvm;
	bare.shared = false; /* its locks have gone with it */
	int code = lvm_change(&work->lvm, what, (const char *[]){"vgremove", work->spec->group, NULL});
	size_t i;
	json_array_foreach(rows, i, row) {
		if (code || *lvm_text(row, "pv_missing"))
			continue;
		code = lvm_change(&bare, what, (const char *[]){"pvremove", lvm_text(row, "pv_name"), NULL});
		if (!code)
			code = clear_metadata(row);
	}
	return code;
}

/* Only what is ours is put out of use: whatever it stands on can then be let go. What is open stays. In a group that
 * has this weft's own ID that is what any has made, such as that of a host that died. */
static void put_out_of_use(const struct work *work, const struct lvm_owner *owner, struct pool_seen *ret)
{
	cleanup_json json_t *rows = NULL;
	cleanup_free char *id = xprintf("weft-%s", env.instance);
	cleanup_free char *ours = streq(owner->system_id, id) ? xstrdup("weft:") : xprintf("weft:%s:", env.instance);
	cleanup_free char *snapshot = lvm_snapshot_tag("");
	if (!work->devices.n ||
	    lvm_report(&work->lvm, (const char *[]){"lvs", "-o", "lv_name,lv_tags", work->spec->group, NULL}, &rows))
		return;
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row) {
		char mark[IMAGE_MARK_MAX];
		lvm_tag(row, "lv_tags", ours, mark, sizeof(mark));
		if (!*mark)
			lvm_tag(row, "lv_tags", snapshot, mark, sizeof(mark));
		if (!*mark)
			return;
	}
	if (lvm_change(&work->lvm, "it is left in use", (const char *[]){"vgchange", "-an", work->spec->group, NULL}))
		snprintf(ret->note, sizeof(ret->note), "volume group '%s' is in use and stays active",
			 work->spec->group);
}

/* Then it stays this host's. */
static int look_for_use(const struct work *work, bool *ret)
{
	cleanup_json json_t *rows = NULL;
	int code = lvm_report(
		&work->lvm, (const char *[]){"lvs", "-o", "lv_name", "-S", "lv_active=active", work->spec->group, NULL},
		&rows);
	*ret = json_array_size(rows);
	return code;
}

/* What stays of the group is as it was for others. */
static int let_go(const struct work *work, const struct lvm_owner *owner, struct pool_seen *ret)
{
	bool used, shared = work->spec->shared;
	ret->exists = true;
	snprintf(ret->note, sizeof(ret->note), "volume group '%s' stays", work->spec->group);
	if (!shared)
		put_out_of_use(work, owner, ret);
	int code = look_for_use(work, &used);
	if (code) /* locks that stay started keep other hosts from removing the group */
		return shared ? code : 0;
	if (shared && used) /* by somebody on this host, without weft */
		snprintf(ret->note, sizeof(ret->note), "volumes of group '%s' are in use, and its locks stay started",
			 work->spec->group);
	if (!used)
		code = shared ? lvm_locks_stop(&work->lvm) : lvm_give_up(&work->lvm, owner);
	ret->inactive = shared && !used;
	return code;
}

/* Of an apply that is undone the group goes whatever its manifest says: empty, it has nothing to keep. */
static int give_up(const struct work *work, struct pool_seen *ret)
{
	cleanup_json json_t *rows = NULL, *fewer = NULL;
	struct lvm_owner owner;
	bool goes = work->spec->reclaim == RECLAIM_DELETE || work->call->fresh;
	bool thin = goes && work->spec->thin.name;
	int code = read_group(work, &rows);
	const json_t *row = json_array_get(rows, 0);
	lvm_owner_of(row, &owner);
	cleanup_free char *refusal = lvm_refusal(&work->lvm, &owner);
	if (code || !row || refusal) /* no business of this host's */
		return code;
	if (thin)
		code = remove_thin_pool(work);
	if (!code && thin)
		code = read_group(work, &fewer);
	const json_t *now = thin ? fewer : rows;
	row = json_array_get(now, 0);
	if (code || !row)
		return code;
	if (goes && is_marked(work, row, "vg_tags") && !lvm_bytes(row, "lv_count"))
		return remove_group(work, now);
	return let_go(work, &owner, ret);
}

static int lvm_deactivate(const struct pool_call *call, struct pool_seen *ret)
{
	struct work work;
	work_begin(&work, call);
	int code = give_up(&work, ret);
	work_done(&work);
	return code;
}

/* Do the devices answer that it was last seen to stand on? */
static int lvm_probe(const struct pool_call *call)
{
	int code = 0;
	for (size_t i = 0; i < call->state->devices.n && !code; i++)
		code = probe_device(list_at(&call->state->devices, const char *, i));
	return code;
}

const struct pool_type stord_lvm_pool = {
	.name = "lvm",
	.doc = "a volume group",
	.table = &lvm_table,
	.check = lvm_check,
	.lower = lvm_lower,
	.observe = lvm_observe,
	.activate = lvm_activate,
	.deactivate = lvm_deactivate,
	.on_device = true,
	.probe = lvm_probe,
	.look_ms = LOOK_MS,
	.change_ms = CHANGE_MS,
	.volumes = &lvm_volumes,
};
