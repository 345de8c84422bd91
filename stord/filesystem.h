/* SPDX-License-Identifier: Apache-2.0 */
/* Filesystems that pools stand on, and those on block devices: resource filesystem/POOL, the device that has to be
 * there, and carry a filesystem, before it is mounted. */
#ifndef WEFT_STORD_FILESYSTEM_H
#define WEFT_STORD_FILESYSTEM_H

#include <sys/vfs.h>

#include "core/resource.h"

extern const char *const filesystem_types[2]; /* that weft makes: ext4, xfs */

struct filesystem_state {
	uint64_t present;
	const char *what;    /* "UUID=...", "LABEL=...", "/dev/..." */
	const char *fs_type; /* which it is to be; not present: any */
	bool make;           /* if the device is blank, make it */
	const char *device;  /* observed */
};
enum { FILESYSTEM_WHAT = 1 << 0, FILESYSTEM_TYPE = 1 << 1, FILESYSTEM_MAKE = 1 << 2, FILESYSTEM_DEVICE = 1 << 3 };

extern const struct resource_class stord_filesystem_class;

/* filesystem-sort.c */
enum filesystem_sort {
	FILESYSTEM_OTHER,
	FILESYSTEM_LASTING, /* of disks: number and birth of a directory stay what they are as long as it is there */
	FILESYSTEM_REMOTE,  /* other hosts change it, and inotify does not tell; watching it may hang */
	FILESYSTEM_PSEUDO,  /* of the kernel's own making: what is written there is a command, or nothing */
};
enum filesystem_sort filesystem_sort(const struct statfs *fs);

/* devices.c: block devices that come, go and change, as udev tells: marks filesystems, and pools whose type is
 * on_device, dirty. */
void devices_watch(struct engine *engine);
void devices_stop(void);

#endif
