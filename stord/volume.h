/* SPDX-License-Identifier: Apache-2.0 */
/* What a Volume offers to guests. */
#ifndef WEFT_STORD_VOLUME_H
#define WEFT_STORD_VOLUME_H

#include "core/lower.h"

/* How a guest gets at a volume. One that QEMU reaches over a network by itself would be a third way, with what it has
 * to be told beside `path`. */
enum stord_attach {
	STORD_FILE,  /* `path` is opened and passed to QEMU */
	STORD_BLOCK, /* likewise, a block device */
};

struct stord_image {
	struct want *want;        /* must be Present before the image is used */
	enum stord_attach attach; /* what `path` is */
	const char *path;         /* absolute */
	const char *format;       /* "qcow2", "raw" */
	bool shared;              /* others may write to it at the same time */
};
/* Finds a Volume's image for a guest's disk; false after a refusal at `path`. */
bool stord_volume_image(struct lowering *l, const char *volume, const char *path, struct stord_image *ret);

/* May several guests use it at once? Of a checked object. */
bool stord_volume_is_shared(const struct object *volume);

/* Wants the lease that a guest is to hold as long as it runs: Present before it is started, and gone after it. With
 * `ret_lock` the file of which its QEMU has to hold the byte stord_lease_byte() locked, NULL if there is none. NULL if
 * the volume was refused. */
struct want *stord_volume_lease(struct lowering *l, const char *volume, const char *guest, bool reads,
				const char **ret_lock);
uint64_t stord_lease_byte(const char *guest);

#endif
