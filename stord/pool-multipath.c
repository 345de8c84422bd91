/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type multipath: the disks that multipathd has maps of, which come from elsewhere (Fibre Channel, SAS, sessions
 * that others keep). It holds no Volumes: its disks are Luns, by WWID. */
#include "stord/lun.h"
#include "stord/pool-type.h"

struct multipath_spec {
	uint64_t present;
	const char *vendor;
};

static const struct field multipath_rows[] = {
	F_STRING("vendor", struct multipath_spec, vendor, .max = DISK_TEXT_MAX - 1,
		 .doc = "Only the disks of this vendor, as weft lun list shows it; left out: all.",
		 .example = "NETAPP"),
};
static const struct table multipath_table =
	CHOICE_TABLE("Pool of type multipath", struct multipath_spec, multipath_rows,
		     "What multipathd has maps of, wherever it comes from: Fibre Channel, SAS, iSCSI sessions that "
		     "others keep. A Lun in it says its wwid. It is Degraded, and names the path, when one of a map's "
		     "paths is down.");

static bool multipath_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	const struct multipath_spec *spec = own;
	plan->source =
		spec->vendor ? arena_printf(lower_arena(l), "multipath maps of %s", spec->vendor) : "multipath maps";
	plan->what = "maps";
	plan->at = "spec.vendor";
	return true;
}

static bool is_of(const struct pool_call *call, const struct lun_host *host, const struct scsi_disk *map)
{
	const struct multipath_spec *spec = call->state->own;
	if (!map->map[0])
		return false;
	for (size_t i = 0; spec->vendor && i < host->n_disks; i++)
		if (streq(host->disks[i].holder, map->name))
			return streq(host->disks[i].vendor, spec->vendor);
	return !spec->vendor;
}

/* The first complaint of a map is the pool's. */
static void judge_map(const struct lun_host *host, const struct scsi_disk *map, struct pool_seen *ret)
{
	const struct lun_state state = {.present = LUN_WWID, .wwid = map->wwid, .use = LUN_MAP};
	const char *name = "";
	struct lun_seen seen;
	for (size_t i = 0; i < host->n_records; i++)
		if (streq(host->records[i].wwid, map->wwid))
			name = host->records[i].name;
	lun_judge(host, name, &state, &seen);
	const char *text = seen.code ? seen.text : seen.health;
	if (*text && !ret->health[0])
		snprintf(ret->health, sizeof(ret->health), "map %s: %.400s", map->map, text);
}

static int multipath_observe(const struct pool_call *call, struct pool_seen *ret)
{
	struct lun_host host;
	size_t n = 0;
	lun_host_read(&host);
	for (size_t i = 0; i < host.n_disks; i++) {
		if (!is_of(call, &host, &host.disks[i]))
			continue;
		n++;
		ret->capacity += host.disks[i].size;
		judge_map(&host, &host.disks[i], ret);
	}
	ret->exists = n > 0;
	if (!n)
		snprintf(ret->note, sizeof(ret->note), "multipathd has made no map%s",
			 host.maps.fault ? " and cannot be asked" : "; see multipath -v3 -d");
	lun_host_done(&host);
	return 0;
}

static struct lun_place multipath_lun(const struct pool_state *pool)
{
	return (struct lun_place){.multipath = true};
}

const struct pool_type stord_multipath_pool = {
	.name = "multipath",
	.doc = "disks that multipathd has maps of",
	.table = &multipath_table,
	.lower = multipath_lower,
	.observe = multipath_observe,
	.on_device = true,
	.lun = multipath_lun,
};
