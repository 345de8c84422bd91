/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of logical volumes: VOLUME.SNAPSHOT beside the volume, with a tag that says whose they are. Those of thin
 * volumes are thin, those of ordinary ones have room for all of the volume's bytes, so that none is ever lost for want
 * of it. lvm's own way back (lvconvert --merge) uses the snapshot up, which is to stay:
 *
 *     thin       VOLUME+new is made of the snapshot, the volume becomes VOLUME+old, that one the volume, and the old
 *                one is removed; which of them there are tells lvm_mend() how far it came. All have the snapshots'
 *                tag meanwhile
 *     ordinary   what differs is copied back, with a tag on the volume meanwhile. Those blocks have changed since, and
 *                so the snapshot has them already: it takes up no more room
 */
#include <fcntl.h>

#include "stord/image-internal.h"
#include "stord/pool-lvm.h"
#include "stord/progress.h"

enum { PIECE = 1 << 20, CHUNK = 4096 };

static const char reverting_tag[] = "weft-reverting:", was_tag[] = "weft-was:";

char *lvm_snapshot_tag(const char *volume)
{
	return xprintf("weft-snapshot:%s", volume);
}

static char *full_name(const struct volume_call *call, const char *lv)
{
	return xprintf("%s/%s", ((const struct lvm_volume *)call->state->own)->group, lv);
}

static char *snapshot_name(const struct volume_call *call)
{
	return xprintf("%s.%s", call->name, call->snapshot);
}

static char *new_name(const struct volume_call *call)
{
	return xprintf("%s+new", call->name);
}

static char *old_name(const struct volume_call *call)
{
	return xprintf("%s+old", call->name);
}

static bool has_tag(const json_t *row, const char *tag)
{
	char found[IMAGE_TEXT_MAX];
	lvm_tag(row, "lv_tags", tag, found, sizeof(found));
	return streq(found, tag);
}

const json_t *lvm_row(const json_t *rows, const char *lv)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
		if (streq(lvm_text(row, "lv_name"), lv))
			return row;
	return NULL;
}

/* The name of a snapshot of the volume; NULL if the row is something else. */
static const char *snapshot_of(const struct volume_call *call, const json_t *row)
{
	size_t len = strlen(call->name);
	const char *lv = lvm_text(row, "lv_name");
	return strncmp(lv, call->name, len) == 0 && lv[len] == '.' ? lv + len + 1 : NULL;
}

unsigned lvm_count_snapshots(const struct volume_call *call, const json_t *rows)
{
	size_t i;
	json_t *row;
	unsigned n = 0;
	json_array_foreach(rows, i, row)
		n += snapshot_of(call, row) != NULL;
	return n;
}

bool lvm_is_half_reverted(const json_t *row, char problem[static IMAGE_TEXT_MAX])
{
	char tag[IMAGE_TEXT_MAX];
	lvm_tag(row, "lv_tags", reverting_tag, tag, sizeof(tag));
	if (!*tag)
		return false;
	snprintf(problem, IMAGE_TEXT_MAX,
		 "going back to its snapshot '%.*s' was interrupted or is under way; do it again", SNAPSHOT_NAME_MAX,
		 tag + strlen(reverting_tag));
	return true;
}

uint64_t lvm_volume_identity(const json_t *row)
{
	char tag[64];
	lvm_tag(row, "lv_tags", was_tag, tag, sizeof(tag));
	return *tag ? host_hash(tag + strlen(was_tag)) | 1 : lvm_identity(row, "lv_uuid");
}

/* ---- commands ---- */

static int change(const struct volume_call *call, const char *const *arguments)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_free char *what = xprintf("volume '%s' cannot be changed", call->name);
	return lvm_change(&lvm, what, arguments);
}

static int remove_lv(const struct volume_call *call, const char *lv)
{
	cleanup_free char *full = full_name(call, lv);
	return change(call, (const char *[]){"lvremove", "-y", full, NULL});
}

/* lvm lvrename vg0/web+new vg0/web */
static int rename_lv(const struct volume_call *call, const char *from, const char *to)
{
	cleanup_free char *full_from = full_name(call, from), *full_to = full_name(call, to);
	return change(call, (const char *[]){"lvrename", full_from, full_to, NULL});
}

/* lvm lvchange --addtag TAG vg0/web */
static int tag_volume(const struct volume_call *call, const char *option, const char *tag)
{
	cleanup_free char *full = full_name(call, call->name);
	return change(call, (const char *[]){"lvchange", option, tag, full, NULL});
}

/* What there is while a thin volume goes back. */
struct parts {
	bool volume, new, old, tagged;
};

/* Undoes it as long as the volume is there, else goes on. Commands of a daemon that was killed may still run: whichever
 * comes first, the volume is never what is removed. */
static int settle(const struct volume_call *call, struct parts there)
{
	cleanup_free char *new = new_name(call), *old = old_name(call), *tag = lvm_snapshot_tag(call->name);
	int code = 0;
	if (there.volume && there.new) {
		code = remove_lv(call, new);
	} else if (there.new) {
		code = rename_lv(call, new, call->name);
	} else if (there.old && !there.volume) {
		code = rename_lv(call, old, call->name);
		there.old = false;
	}
	if (!code && there.old)
		code = remove_lv(call, old);
	return code ? code : tag_volume(call, "--deltag", tag);
}

/* lvcreate has made room for it, and not yet a snapshot of that. */
static bool is_half_made(const json_t *row)
{
	return !strchr("sSV", lvm_text(row, "lv_attr")[0]);
}

int lvm_mend(const struct volume_call *call, const json_t *rows, bool *ret_changed)
{
	cleanup_free char *new = new_name(call), *old = old_name(call), *tag = lvm_snapshot_tag(call->name);
	const json_t *volume = lvm_row(rows, call->name);
	const struct parts there = {
		.volume = volume,
		.new = lvm_row(rows, new),
		.old = lvm_row(rows, old),
		.tagged = volume &&has_tag(volume, tag),
	};
	size_t i;
	json_t *row;
	*ret_changed = there.new || there.old || there.tagged;
	int code = *ret_changed ? settle(call, there) : 0;
	json_array_foreach(rows, i, row) {
		if (code || !snapshot_of(call, row) || !is_half_made(row))
			continue;
		code = remove_lv(call, lvm_text(row, "lv_name"));
		*ret_changed = true;
	}
	return code;
}

/* ---- verbs ---- */

static bool is_thin(const json_t *row)
{
	return lvm_text(row, "lv_attr")[0] == 'V';
}

/* The volume's row, and that of the snapshot that it is about if there is one. */
static int read_both(const struct volume_call *call, json_t **rows, const json_t **volume, const json_t **snapshot)
{
	cleanup_free char *name = call->snapshot ? snapshot_name(call) : xstrdup("");
	int code = lvm_read_volume(call, rows);
	*volume = code ? NULL : lvm_row(*rows, call->name);
	*snapshot = code ? NULL : lvm_row(*rows, name);
	return code || *volume ? code : say(ENOENT, "volume '%s' is not there", call->name);
}

static int none_such(const struct volume_call *call)
{
	return say(ENOENT, "volume '%s' has no snapshot '%s'", call->name, call->snapshot);
}

static int by_time(const void *a, const void *b)
{
	const struct volume_snapshot *one = a, *other = b;
	return one->made_s == other->made_s ? strcmp(one->name, other->name) : one->made_s < other->made_s ? -1 : 1;
}

static int snapshots_list(const struct volume_call *call, struct volume_snapshots *ret)
{
	cleanup_json json_t *rows = NULL;
	const json_t *volume, *unused;
	size_t i;
	json_t *row;
	int code = read_both(call, &rows, &volume, &unused);
	json_array_foreach(rows, i, row) {
		const char *name = snapshot_of(call, row);
		if (code || !name)
			continue;
		grow(ret->items, ret->n, ret->cap);
		struct volume_snapshot *snapshot = &ret->items[ret->n++];
		*snapshot = (struct volume_snapshot){
			.made_s = lvm_bytes(row, "lv_time"),
			.size = lvm_bytes(row, is_thin(row) ? "lv_size" : "origin_size"),
		};
		snprintf(snapshot->name, sizeof(snapshot->name), "%s", name);
	}
	if (ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), by_time);
	return code;
}

/* lvm lvcreate -s -n web.before --addtag TAG vg0/web, where that is ordinary with -l 100%ORIGIN */
static int snapshot_make(const struct volume_call *call)
{
	const struct lvm lvm = lvm_of_volume(call);
	cleanup_json json_t *rows = NULL;
	const json_t *volume, *snapshot;
	int code = read_both(call, &rows, &volume, &snapshot);
	if (code)
		return code;
	if (snapshot)
		return say(EEXIST, "volume '%s' has a snapshot '%s' already", call->name, call->snapshot);
	cleanup_free char *name = snapshot_name(call), *full = full_name(call, call->name);
	cleanup_free char *tag = lvm_snapshot_tag(call->name);
	cleanup_free char *what = xprintf("snapshot '%s' of volume '%s' cannot be made", call->snapshot, call->name);
	const char *argv[] = {"lvcreate", "-s", "-n", name, "--addtag", tag, full, NULL, NULL, NULL};
	if (!is_thin(volume)) {
		argv[7] = "-l";
		argv[8] = "100%ORIGIN";
	}
	return lvm_change(&lvm, what, argv);
}

static int snapshot_remove(const struct volume_call *call)
{
	cleanup_json json_t *rows = NULL;
	const json_t *volume, *snapshot;
	int code = read_both(call, &rows, &volume, &snapshot);
	if (code)
		return code;
	if (!snapshot)
		return none_such(call);
	/* It has no lock of its own, and a host that has the volume in use writes to it. */
	code = lvm_use(call, call->state->place, true);
	if (code)
		return code;
	code = remove_lv(call, lvm_text(snapshot, "lv_name"));
	lvm_disuse(call, call->state->place);
	return code;
}

/* lvm lvcreate -s -kn -n web+new --addtag ... vg0/web.before: with all that the volume is known by. */
static int make_new(const struct volume_call *call, const json_t *volume, const json_t *snapshot)
{
	const char *argv[LVM_ARGUMENTS_MAX] = {"lvcreate", "-s", "-kn", "-n"};
	cleanup_free char *name = new_name(call), *full = full_name(call, lvm_text(snapshot, "lv_name"));
	cleanup_free char *tag = lvm_snapshot_tag(call->name), *tags = xstrdup(lvm_text(volume, "lv_tags"));
	cleanup_free char *was = xprintf("%s%s", was_tag, lvm_text(volume, "lv_uuid"));
	char *rest = tags, known[64];
	size_t n = 4;
	argv[n++] = name;
	for (char *one; (one = strsep(&rest, ",")) && n < LVM_ARGUMENTS_MAX - 8;) {
		if (!*one)
			continue;
		argv[n++] = "--addtag";
		argv[n++] = one;
	}
	lvm_tag(volume, "lv_tags", was_tag, known, sizeof(known));
	argv[n++] = "--addtag";
	argv[n++] = tag;
	if (!*known) {
		argv[n++] = "--addtag";
		argv[n++] = was;
	}
	argv[n] = full;
	return change(call, argv);
}

static int revert_thin(const struct volume_call *call, const json_t *volume, const json_t *snapshot)
{
	cleanup_free char *old = old_name(call), *tag = lvm_snapshot_tag(call->name);
	struct parts there = {.volume = true, .new = true};
	int code = make_new(call, volume, snapshot);
	if (code)
		return code;
	code = tag_volume(call, "--addtag", tag);
	if (!code)
		code = rename_lv(call, call->name, old);
	if (!code)
		there = (struct parts){.new = true, .old = true};
	int settled = settle(call, there);
	return code ? code : settled;
}

static int copy_failed(const char *path, const char *doing)
{
	return say(errno ? errno : EIO, "'%s' cannot be %s: %s", path, doing, strerror(errno ? errno : EIO));
}

struct copying {
	const char *from_path, *to_path;
	int from, to;
	uint8_t *theirs, *ours;
};

/* Runs of blocks that differ, of a piece that both have read. */
static int write_differences(const struct copying *c, size_t size, off_t at)
{
	for (size_t i = 0, end; i < size; i = end) {
		end = i + CHUNK < size ? i + CHUNK : size;
		if (memcmp(c->theirs + i, c->ours + i, end - i) == 0)
			continue;
		while (end < size) {
			size_t next = end + CHUNK < size ? end + CHUNK : size;
			if (memcmp(c->theirs + end, c->ours + end, next - end) == 0)
				break;
			end = next;
		}
		if (pwrite(c->to, c->theirs + i, end - i, at + (off_t)i) != (ssize_t)(end - i))
			return copy_failed(c->to_path, "written");
	}
	return 0;
}

static int copy_differences(const struct copying *c)
{
	off_t size = lseek(c->from, 0, SEEK_END);
	int code = 0;
	for (off_t at = 0; !code && at < size; at += PIECE) {
		size_t part = size - at < PIECE ? (size_t)(size - at) : PIECE;
		progress_say("going back", 100.0 * (double)at / (double)size);
		errno = 0;
		if (pread(c->from, c->theirs, part, at) != (ssize_t)part)
			return copy_failed(c->from_path, "read");
		if (pread(c->to, c->ours, part, at) != (ssize_t)part)
			return copy_failed(c->to_path, "read");
		code = write_differences(c, part, at);
	}
	return !code && fsync(c->to) < 0 ? copy_failed(c->to_path, "written") : code;
}

static int copy_back(const struct volume_call *call)
{
	cleanup_free char *from_path = xprintf("%s.%s", call->state->place, call->snapshot);
	cleanup_close int from = open(from_path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	cleanup_close int to = open(call->state->place, O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
	struct copying copying = {.from_path = from_path, .to_path = call->state->place, .from = from, .to = to};
	if (from < 0 || to < 0)
		return copy_failed(from < 0 ? from_path : call->state->place, "opened");
	copying.theirs = aligned_alloc(CHUNK, PIECE); /* both go with the child */
	copying.ours = aligned_alloc(CHUNK, PIECE);
	if (!copying.theirs || !copying.ours)
		return ENOMEM;
	return copy_differences(&copying);
}

static int revert_ordinary(const struct volume_call *call)
{
	cleanup_free char *tag = xprintf("%s%s", reverting_tag, call->snapshot);
	int code = lvm_use(call, call->state->place, true);
	if (code)
		return code;
	code = tag_volume(call, "--addtag", tag);
	if (!code)
		code = copy_back(call);
	if (!code)
		code = tag_volume(call, "--deltag", tag);
	lvm_disuse(call, call->state->place);
	return code;
}

/* An ordinary one that was interrupted is a mixture until it is done again, which its tag tells. */
static int snapshot_revert(const struct volume_call *call)
{
	cleanup_json json_t *rows = NULL;
	const json_t *volume, *snapshot;
	int code = read_both(call, &rows, &volume, &snapshot);
	if (code)
		return code;
	if (!snapshot)
		return none_such(call);
	if (lvm_is_open(volume))
		return say(EBUSY, "'%s' is open; whatever uses it has to let it go first", call->state->place);
	if (lvm_text(snapshot, "lv_attr")[0] == 'S')
		return say(EIO, "snapshot '%s' of volume '%s' is lost: it had no room for what changed", call->snapshot,
			   call->name);
	return is_thin(volume) ? revert_thin(call, volume, snapshot) : revert_ordinary(call);
}

const struct snapshot_verbs lvm_snapshots = {
	.while_open = true,
	.list = snapshots_list,
	.make = snapshot_make,
	.revert = snapshot_revert,
	.remove = snapshot_remove,
};
