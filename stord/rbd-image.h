/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that are images in a pool of a Ceph cluster: the verbs of pool-type.h, all for children, and what the files
 * that have them share. */
#ifndef WEFT_STORD_RBD_IMAGE_H
#define WEFT_STORD_RBD_IMAGE_H

#include "stord/ceph.h"
#include "stord/pool-type.h"

/* rbd-image.c */
int rbd_image_look(const struct volume_call *call, struct image_state *ret);
int rbd_image_change(const struct volume_call *call);
int rbd_image_remove(const struct volume_call *call);
/* Deletes what interrupted work of this instance has left: all of it, or, as others may have just begun, what is some
 * minutes old. What somebody has open stays in any case; for half a minute that is also who died. */
void rbd_image_sweep(const struct ceph_pool *pool, bool all);
/* rbd-make.c */
int rbd_image_make(const struct volume_call *call);
/* rbd-snapshot.c */
extern const struct snapshot_verbs rbd_snapshots;

/* ---- shared ---- */

/* Connects; a pool that is not there is a fault. */
int rbd_open_pool(const struct volume_call *call, unsigned seconds, struct ceph_pool *ret);
/* The image's name in its pool. */
static inline const char *rbd_name(const char *place)
{
	return strrchr(place, '/') + 1;
}
/* "web.ID.weft-new": the name of an image, or of a snapshot of another one, that is there only while this one is made
 * or deleted; known as ours by its instance. */
char *rbd_temporary_name(const char *image);
bool rbd_is_temporary(const char *name);
/* Says what went wrong; returns the errno. */
int rbd_failed(const struct volume_call *call, const char *doing, int r);
int rbd_write_mark(const struct volume_call *call, rbd_image_t image);
/* The mark; empty: none. 0 or -errno. */
int rbd_read_mark(rbd_image_t image, char ret[static IMAGE_MARK_MAX]);

/* Snapshots that people see: neither ours for a while nor those that Ceph keeps for clones only. The caller ends the
 * list with rbd_free_snaps(). */
struct rbd_snaps {
	rbd_snap_info_t *items;
	size_t n;
	int n_listed;
};
int rbd_list_snaps(rbd_image_t image, struct rbd_snaps *ret);
void rbd_free_snaps(struct rbd_snaps *snaps);
/* Was going back to a snapshot interrupted? Says so in `problem`. */
bool rbd_is_half_reverted(rbd_image_t image, char problem[static IMAGE_TEXT_MAX]);
/* Deletes all snapshots; those that clones are read through become Ceph's own. 0 or -errno. */
int rbd_purge_snaps(rbd_image_t image);

#endif
