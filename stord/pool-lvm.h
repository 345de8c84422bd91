/* SPDX-License-Identifier: Apache-2.0 */
/* What pool-lvm.c, a volume group as a pool, and volume-lvm.c, logical volumes as volumes, share. */
#ifndef WEFT_STORD_POOL_LVM_H
#define WEFT_STORD_POOL_LVM_H

#include "stord/lvm.h"
#include "stord/pool-type.h"

struct lvm_thin {
	uint64_t present;
	const char *name;
	const char *size; /* "90%" or "10GiB" */
};
struct lvm_spec {
	uint64_t present;
	const char *group;
	struct list devices; /* of struct lvm_device */
	struct lvm_thin thin;
	int reclaim;
};

/* Paths of the devices that a pool names; empty if it names none. */
struct list lvm_devices(struct arena *arena, const struct lvm_spec *spec);

/* "weft-new:ID:": begins the tag of what is not whole yet; the rest is the process that is at it. */
char *lvm_new_tag(void);

extern const struct volume_verbs lvm_volumes;

#endif
