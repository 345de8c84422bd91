/* SPDX-License-Identifier: Apache-2.0 */
/* What a block device carries: so that nothing is ever made over something. Blocking, for children; as in image.h. */
#ifndef WEFT_STORD_SIGNATURE_H
#define WEFT_STORD_SIGNATURE_H

#include "core/util.h"

struct signature {
	char device[256];  /* its path, links followed; empty: there is none */
	uint64_t number;   /* dev_t: which it is of those that are there now */
	uint64_t identity; /* which it is, also after a reboot: of its WWID, serial, UUID, else of its path */
	uint64_t size;     /* bytes */
	char type[64];     /* "ext4", "LVM2_member", "gpt"; empty: none that is known */
	bool is_fs;        /* a filesystem, not a partition table or a member of something */
	bool blank;        /* no signature, and the first and the last MiB are zero: nobody's data */
};
/* By path or tag (UUID=..., LABEL=...). 0 also if there is no such device; else a positive errno, and it was said. */
int signature_look(const char *what, struct signature *ret);
/* "a filesystem (ext4)", "a signature (gpt)", "data without a signature", "nothing"; for sentences. */
const char *signature_text(const struct signature *signature, char buf[static 128]);

#endif
