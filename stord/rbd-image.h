/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that are images in a pool of a Ceph cluster; see pool-type.h. */
#ifndef WEFT_STORD_RBD_IMAGE_H
#define WEFT_STORD_RBD_IMAGE_H

#include "stord/ceph.h"
#include "stord/pool-type.h"

/* volume_verbs, for children. */
int rbd_image_look(const struct volume_call *call, struct image_state *ret);
int rbd_image_make(const struct volume_call *call);
int rbd_image_change(const struct volume_call *call);
int rbd_image_remove(const struct volume_call *call);
/* Deletes what interrupted work of this instance has left: all of it, or, as somebody may be at work, what is older
 * than any work lasts. */
void rbd_image_sweep(const struct ceph_pool *pool, bool all);

/* rbd-import.c: copies a source, which was checked, over the image of that name. */
int rbd_import(const struct volume_call *call, const char *image);

#endif
