/* SPDX-License-Identifier: Apache-2.0 */
/* Kind Lun: a disk of a storage network under a name that lasts. */
#include "stord/lun.h"
#include "stord/pool-type.h"

struct lun_spec {
	uint64_t present;
	const char *wwid, *pool;
	uint64_t lun, size;
	bool multipath, shared;
};
enum { WWID_ROW, POOL_ROW, LUN_ROW, SIZE_ROW, MULTIPATH_ROW };

static const struct field lun_spec_rows[] = {
	[WWID_ROW] =
		F_STRING("wwid", struct lun_spec, wwid, .max = DISK_WWID_MAX - 1,
			 .doc = "World-wide name of the disk, as multipath and udev (ID_SERIAL) write it; weft lun "
				"list shows those that are there.",
			 .example = "3600805f30015987000000000768a0019"),
	[POOL_ROW] = F_REF("pool", struct lun_spec, pool, "Pool", .doc = "Instead: the Pool that offers it.",
			   .example = "san"),
	[LUN_ROW] = F_U64("lun", struct lun_spec, lun, .max = 16383, .doc = "Its number there.", .example = "1"),
	[SIZE_ROW] =
		F_SIZE("size", struct lun_spec, size,
		       .doc = "What it has at least; without it, what it had when it was first seen. A disk that is "
			      "smaller is not used.",
		       .example = "100GiB"),
	[MULTIPATH_ROW] = F_BOOL("multipath", struct lun_spec, multipath,
				 .doc = "Whether it is used through multipathd's map of its paths. Left out, its Pool "
					"says; without one, the map is used if there is one."),
	F_BOOL("shared", struct lun_spec, shared, .def = "false",
	       .doc = "Several guests, here and on other hosts, may write to it at once; they need a filesystem or "
		      "database made for that."),
};
static const struct table lun_spec_table = TABLE("Lun", struct lun_spec, lun_spec_rows);

static bool is_set(const struct lun_spec *spec, int row)
{
	return spec->present >> row & 1;
}

static void lun_check(const struct check *check)
{
	const struct lun_spec *spec = check->object->spec;
	if (!spec->wwid && !spec->pool)
		check_fault(check, "spec", "a Lun is named by its wwid, or by pool and lun");
	if (spec->pool && !spec->wwid && !is_set(spec, LUN_ROW))
		check_fault(check, "spec.pool", "which of its LUNs? write lun: NUMBER beside it");
	if (is_set(spec, LUN_ROW) && (!spec->pool || spec->wwid))
		check_fault(check, "spec.lun", "the number of a LUN goes with a pool, and not with a wwid");
	if (spec->wwid && !lun_wwid_is_plain(spec->wwid))
		check_fault(check, "spec.wwid",
			    "'%s' is no WWID; one is written like 3600805f30015987000000000768a0019, see weft lun list",
			    spec->wwid);
}

/* Of a name that is bound to a disk, another disk is not the same. */
static bool stays_bound(struct lowering *l, const struct object *object)
{
	const struct lun_spec *spec = object->spec;
	const char *bound = spec->wwid ? fact(l, "lun/%s", object->name) : NULL;
	if (!bound || streq(bound, spec->wwid))
		return true;
	lower_refuse(l, "spec.wwid",
		     "Lun '%s' is bound to the disk with WWID %s, and whoever uses it would be given another: choose "
		     "another name, or delete the Lun first",
		     object->name, bound);
	return false;
}

/* One disk has one name. */
static bool is_only_one(struct lowering *l, const char *text, const char *path)
{
	const char *holder = NULL;
	if (alloc_fixed(l, "lun-disk", "disk", text, &holder))
		return true;
	lower_refuse_beside(l, lower_refuse(l, path, "this disk is %s already", holder), holder);
	return false;
}

/* What its Pool says of it; false after a refusal. */
static bool place_in_pool(struct lowering *l, const struct lun_spec *spec, struct lun_state *state, struct want **pool)
{
	*pool = want_find(l, "pool", spec->pool);
	if (!*pool) {
		lower_refuse(l, "spec.pool", "Pool '%s' was refused", spec->pool);
		return false;
	}
	const struct pool_state *there = (*pool)->spec;
	const struct pool_type *type = pool_type_at(there->type);
	struct lun_place place = type->lun ? type->lun(there) : (struct lun_place){0};
	if (!type->lun || (!spec->wwid && !place.target)) {
		lower_refuse(l, "spec.pool",
			     type->lun ? "a Pool of type %s has no numbers for its LUNs; write the wwid of this one"
				       : "a Pool of type %s has no LUNs",
			     type->name);
		return false;
	}
	if (place.multipath)
		state->use = LUN_MAP;
	if (spec->wwid)
		return true;
	state->target = place.target;
	state->number = spec->lun;
	state->present |= LUN_TARGET | LUN_NUMBER;
	return is_only_one(l, arena_printf(lower_arena(l), "%s %llu", place.target, (unsigned long long)spec->lun),
			   "spec.lun");
}

static void lun_lower(struct lowering *l, const struct object *object)
{
	const struct lun_spec *spec = object->spec;
	struct want *pool = NULL;
	struct lun_state state = {.present = LUN_USE | LUN_GROWN, .use = LUN_EITHER, .grown = true};
	if (spec->pool && !place_in_pool(l, spec, &state, &pool))
		return;
	if (spec->wwid && (!stays_bound(l, object) || !is_only_one(l, spec->wwid, "spec.wwid")))
		return;
	if (spec->wwid) {
		state.wwid = spec->wwid;
		state.present |= LUN_WWID;
	}
	if (is_set(spec, MULTIPATH_ROW))
		state.use = spec->multipath ? LUN_MAP : LUN_DISK;
	if (is_set(spec, SIZE_ROW)) {
		state.least = spec->size;
		state.present |= LUN_LEAST;
	}
	struct want *lun = want(l, &stord_lun_class, &state, "%s", object->name);
	if (pool)
		pool_needed(l, lun, pool);
}

bool stord_lun_image(struct lowering *l, const char *lun, const char *path, struct stord_image *ret)
{
	struct want *want = want_find(l, "lun", lun);
	if (!want) {
		lower_refuse(l, path, lower_find(l, "Lun", lun) ? "Lun '%s' was refused" : "there is no Lun '%s'", lun);
		return false;
	}
	*ret = (struct stord_image){
		.want = want,
		.path = arena_printf(lower_arena(l), LUN_LINKS "/%s", lun),
		.format = "raw",
		.attach = STORD_BLOCK,
		.shared = stord_lun_is_shared(lower_find(l, "Lun", lun)),
	};
	return true;
}

bool stord_lun_is_shared(const struct object *lun)
{
	return ((const struct lun_spec *)lun->spec)->shared;
}

struct want *stord_lun_lease(struct lowering *l, const char *lun, const char *guest, bool reads)
{
	const struct object *object = lower_find(l, "Lun", lun);
	struct want *want = want_find(l, "lun", lun);
	if (!want)
		return NULL;
	const struct lease_plan plan = {
		.means = &lease_by_reservation,
		.pool = LEASE_OF_LUN,
		.volume = lun,
		.guest = guest,
		.place = arena_printf(lower_arena(l), LUN_LINKS "/%s", lun),
		.mode = stord_lun_is_shared(object) ? LEASE_SHARED
			: reads                     ? LEASE_READ
						    : LEASE_ALONE,
	};
	struct want *lease = lease_want(l, &plan);
	needs(l, lease, want);
	return lease;
}

const struct kind stord_lun_kind = {
	.name = "Lun",
	.plural = "luns",
	.doc = "A disk of a storage network, known by its WWID, under a name that lasts: /dev/weft/lun/NAME leads to "
	       "it "
	       "after logout and login, reboot and in whatever order disks come; with multipathd to the map of its "
	       "paths. A disk that shrank, another one in its place and two of one WWID are refused. Deleting a Lun "
	       "removes the name; the bytes stay.",
	.table = &lun_spec_table,
	.check = lun_check,
	.lower = lun_lower,
	.columns = "status.diskWwid,status.size,status.device",
};
