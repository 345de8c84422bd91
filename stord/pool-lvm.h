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
	bool shared;
	uint32_t host_id;
};

/* What verbs on a volume know besides its place, and a lease on it. */
struct lvm_volume {
	uint64_t present;
	const char *group, *thin_pool;
	struct list devices;
	bool shared;
	uint32_t host_id;
};
extern const struct table lvm_volume_table;

/* Paths of the devices that a pool names; empty if it names none. */
struct list lvm_devices(struct arena *arena, const struct lvm_spec *spec);

/* "weft-new:ID:": begins the tag of what is not whole yet; the rest is the process that is at it. */
char *lvm_new_tag(void);

extern const struct volume_verbs lvm_volumes;

struct lvm lvm_of(const struct lvm_volume *own);
struct lvm lvm_of_volume(const struct volume_call *call);
/* A volume of a group that hosts share is in use on none of them, but while a guest has it or something is done to it.
 * For the latter: the device at `place`, of the volume's group, is there from lvm_use() to lvm_disuse(), which leaves
 * what a guest has, or another child is reading. `alone`: and on no other host. Elsewhere nothing happens. */
int lvm_use(const struct volume_call *call, const char *place, bool alone);
void lvm_disuse(const struct volume_call *call, const char *place);
/* lease-lvmlockd.c: a guest of this host has the volume, or is about to get it. */
bool lvm_is_leased(const char *volume);
/* Unless that is so: puts it out of use as soon as nobody has it open. Gives up after some seconds, with an errno after
 * a sentence. */
int lvm_put_out_of_use(const struct lvm *lvm, const char *place);
/* Rows of the volume, if there is one, and of its snapshots. */
int lvm_read_volume(const struct volume_call *call, json_t **ret);

/* Has anybody opened its device? Of one of its rows. */
bool lvm_is_open(const json_t *row);

/* ---- lvm-snapshot.c ---- */

extern const struct snapshot_verbs lvm_snapshots;
/* "weft-snapshot:VOLUME": snapshots of a volume have it, whichever weft made them. Freed by the caller. */
char *lvm_snapshot_tag(const char *volume);
/* Out of what lvm_read_volume() gives. */
const json_t *lvm_row(const json_t *rows, const char *lv);
unsigned lvm_count_snapshots(const struct volume_call *call, const json_t *rows);
/* Brings to an end what was interrupted; *ret_changed: the rows are no longer so. */
int lvm_mend(const struct volume_call *call, const json_t *rows, bool *ret_changed);
/* An ordinary volume that is neither what it was nor what its snapshot is. */
bool lvm_is_half_reverted(const json_t *row, char problem[static IMAGE_TEXT_MAX]);
/* Which one it is: the same after going back to a snapshot, although lvm has another by then. */
uint64_t lvm_volume_identity(const json_t *row);

#endif
