/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type zfs: refused, in a sentence that says what to use instead. Debian's kernel has no ZFS; its module is built
 * on each host by hand, and what cannot be tested is not offered. */
#include "stord/pool-type.h"

struct zfs_spec {
	uint64_t present;
	const char *dataset;
};

static const struct field zfs_rows[] = {
	F_STRING("dataset", struct zfs_spec, dataset, .doc = "Dataset of the volumes.", .example = "tank/weft"),
};
static const struct table zfs_table = CHOICE_TABLE(
	"Pool of type zfs", struct zfs_spec, zfs_rows,
	"Not supported: for a dataset write a Pool of type dir with its mountpoint, for a zvol one of type "
	"disk with /dev/zvol/POOL/NAME.");

static void zfs_check(const struct check *check, const void *own)
{
	check_fault(
		check, "spec.type",
		"weft has no pools of type zfs, since Debian's kernel has no ZFS: for a dataset write type: dir with "
		"its mountpoint as path, for a zvol type: disk with device: /dev/zvol/POOL/NAME");
}

static bool zfs_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	return false; /* check() has refused it */
}

const struct pool_type stord_zfs_pool = {
	.name = "zfs",
	.doc = "not supported",
	.table = &zfs_table,
	.check = zfs_check,
	.lower = zfs_lower,
};
