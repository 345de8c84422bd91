/* SPDX-License-Identifier: Apache-2.0 */
/* What a Volume offers to guests. */
#ifndef WEFT_STORD_VOLUME_H
#define WEFT_STORD_VOLUME_H

#include "core/lower.h"

struct stord_image {
	struct want *want;  /* must be Present before the image is used */
	const char *path;   /* file or block device, absolute */
	const char *format; /* "qcow2", "raw" */
	bool block;         /* a block device */
};
/* Finds a Volume's image for a guest's disk; false after a refusal at `path`. */
bool stord_volume_image(struct lowering *l, const char *volume, const char *path, struct stord_image *ret);

#endif
