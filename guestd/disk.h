/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of running guests, which QEMU alone may change. */
#ifndef WEFT_GUESTD_DISK_H
#define WEFT_GUESTD_DISK_H

#include "guestd/instance.h"

/* A disk that a running guest may write to. */
struct open_disk {
	struct instance *instance;
	char node[32]; /* QEMU's name of it: "virtio-disk3" */
};
/* Who has the image at `place` open for writing; false if nobody has. */
bool disk_find_open(const char *place, struct open_disk *ret);
/* Tells QEMU of a volume that has grown, or makes it grow. */
extern const struct stord_user disk_user;

#endif
