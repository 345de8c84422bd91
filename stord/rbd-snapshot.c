/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of images of Ceph. A client that has the image open is asked by librbd itself, so they are made and deleted
 * while a guest runs. One that a linked clone is read through goes out of sight when it is deleted, and is gone with
 * the last clone: Ceph sees to that (clones of version 2). */
#include "stord/rbd-image.h"

#include <time.h>

#include "stord/progress.h"

static const char revert_key[] = "weft.revert";

static bool is_shown(rbd_image_t image, const rbd_snap_info_t *snap)
{
	rbd_snap_namespace_type_t type;
	return ceph.rbd_snap_get_namespace_type(image, snap->id, &type) >= 0 && type == RBD_SNAP_NAMESPACE_TYPE_USER &&
	       !rbd_is_temporary(snap->name);
}

/* librbd wants room for one more than there are. */
static int list_all(rbd_image_t image, struct rbd_snaps *ret)
{
	int room = 16, r;
	do {
		free(ret->items);
		ret->items = xcalloc((size_t)room, sizeof(*ret->items));
		r = ceph.rbd_snap_list(image, ret->items, &room);
	} while (r == -ERANGE);
	ret->n_listed = r > 0 ? r : 0;
	return r < 0 ? r : 0;
}

int rbd_list_snaps(rbd_image_t image, struct rbd_snaps *ret)
{
	*ret = (struct rbd_snaps){0};
	int r = list_all(image, ret);
	for (int i = 0; r >= 0 && i < ret->n_listed; i++) {
		rbd_snap_info_t snap = ret->items[i];
		if (!is_shown(image, &snap))
			continue;
		ret->items[i] = ret->items[ret->n];
		ret->items[ret->n++] = snap;
	}
	return r;
}

/* Its texts end with the child: librbd's own function for that wants the list in its order. */
void rbd_free_snaps(struct rbd_snaps *snaps)
{
	free(snaps->items);
	*snaps = (struct rbd_snaps){0};
}

int rbd_purge_snaps(rbd_image_t image)
{
	struct rbd_snaps snaps = {0};
	int r = list_all(image, &snaps);
	for (int i = 0; r >= 0 && i < snaps.n_listed; i++) {
		rbd_snap_namespace_type_t type;
		int protected = 0;
		const char *name = snaps.items[i].name;
		if (ceph.rbd_snap_get_namespace_type(image, snaps.items[i].id, &type) < 0 ||
		    type != RBD_SNAP_NAMESPACE_TYPE_USER)
			continue;
		r = ceph.rbd_snap_is_protected(image, name, &protected);
		if (r >= 0 && protected)
			r = ceph.rbd_snap_unprotect(image, name);
		if (r >= 0)
			r = ceph.rbd_snap_remove(image, name);
	}
	rbd_free_snaps(&snaps);
	return r;
}

static int open_image(const struct volume_call *call, bool writes, rbd_image_t *ret)
{
	struct ceph_pool pool;
	int code = rbd_open_pool(call, 0, &pool);
	if (code)
		return code;
	int r = (writes ? ceph.rbd_open : ceph.rbd_open_read_only)(pool.io, rbd_name(call->state->place), ret, NULL);
	return r < 0 ? rbd_failed(call, "opening it", r) : 0;
}

static int snapshots_list(const struct volume_call *call, struct volume_snapshots *ret)
{
	rbd_image_t image;
	struct rbd_snaps snaps;
	int code = open_image(call, false, &image);
	if (code)
		return code;
	int r = rbd_list_snaps(image, &snaps);
	for (size_t i = 0; r >= 0 && i < snaps.n; i++) {
		struct timespec made = {0};
		grow(ret->items, ret->n, ret->cap);
		struct volume_snapshot *snapshot = &ret->items[ret->n++];
		*snapshot = (struct volume_snapshot){.size = snaps.items[i].size};
		snprintf(snapshot->name, sizeof(snapshot->name), "%s", snaps.items[i].name);
		if (ceph.rbd_snap_get_timestamp(image, snaps.items[i].id, &made) >= 0)
			snapshot->made_s = (uint64_t)made.tv_sec;
	}
	rbd_free_snaps(&snaps);
	ceph.rbd_close(image);
	return r < 0 ? rbd_failed(call, "listing its snapshots", r) : 0;
}

static int snapshot_failed(const struct volume_call *call, const char *doing, int r)
{
	if (r == -EEXIST)
		return say(EEXIST, "%s has a snapshot '%s' already", call->state->place, call->snapshot);
	if (r == -ENOENT)
		return say(ENOENT, "%s has no snapshot '%s'", call->state->place, call->snapshot);
	if (r == -EBUSY)
		return say(EBUSY, "snapshot '%s' of %s is protected: `rbd snap unprotect` it first", call->snapshot,
			   call->state->place);
	return rbd_failed(call, doing, r);
}

static int snapshot_make(const struct volume_call *call)
{
	rbd_image_t image;
	int code = open_image(call, true, &image);
	if (code)
		return code;
	int r = ceph.rbd_snap_create(image, call->snapshot);
	ceph.rbd_close(image);
	return r < 0 ? snapshot_failed(call, "making a snapshot", r) : 0;
}

static int snapshot_remove(const struct volume_call *call)
{
	rbd_image_t image;
	int code = open_image(call, true, &image);
	if (code)
		return code;
	int r = ceph.rbd_snap_remove(image, call->snapshot);
	ceph.rbd_close(image);
	return r < 0 ? snapshot_failed(call, "deleting a snapshot", r) : 0;
}

bool rbd_is_half_reverted(rbd_image_t image, char problem[static IMAGE_TEXT_MAX])
{
	char name[SNAPSHOT_NAME_MAX] = "";
	size_t size = sizeof(name);
	if (ceph.rbd_metadata_get(image, revert_key, name, &size) < 0)
		return false;
	snprintf(problem, IMAGE_TEXT_MAX,
		 "going back to its snapshot '%s' was interrupted or is under way; do it again", name);
	return true;
}

static int tell_reverted(uint64_t done, uint64_t total, void *ctx)
{
	progress_say("going back", total ? 100.0 * (double)done / (double)total : 0);
	return 0;
}

/* An interrupted one leaves a mixture, which is told by a note on the image, and the snapshot: done again it is whole.
 */
static int snapshot_revert(const struct volume_call *call)
{
	rbd_image_t image;
	bool exists = false;
	int code = open_image(call, true, &image);
	if (code)
		return code;
	int r = ceph.rbd_snap_exists(image, call->snapshot, &exists);
	if (r >= 0 && !exists)
		r = -ENOENT;
	if (r >= 0)
		r = ceph.rbd_metadata_set(image, revert_key, call->snapshot);
	if (r >= 0)
		r = ceph.rbd_snap_rollback_with_progress(image, call->snapshot, tell_reverted, NULL);
	if (r >= 0)
		r = ceph.rbd_metadata_remove(image, revert_key);
	ceph.rbd_close(image);
	return r < 0 ? snapshot_failed(call, "going back to a snapshot", r) : 0;
}

const struct snapshot_verbs rbd_snapshots = {
	.while_open = true,
	.list = snapshots_list,
	.make = snapshot_make,
	.revert = snapshot_revert,
	.remove = snapshot_remove,
};
