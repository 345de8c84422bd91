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
};
/* Finds a Volume's image for a guest's disk; false after a refusal at `path`. */
bool stord_volume_image(struct lowering *l, const char *volume, const char *path, struct stord_image *ret);

#endif
