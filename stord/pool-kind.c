/* SPDX-License-Identifier: Apache-2.0 */
/* Kind Pool: a place for volumes. What carries it is the business of its type, see pool-type.h. */
#include "core/env.h"
#include "stord/pool-type.h"

struct pool_spec {
	uint64_t present;
	int type;
	void *own; /* the type's own struct */
};

static const struct field pool_spec_rows[] = {
	F_ENUM("type", struct pool_spec, type, pool_types, .flags = FIELD_REQUIRED,
	       .doc = "What carries the pool; its other fields depend on it.", .example = "dir"),
	F_BESIDE("own", struct pool_spec, own, pool_type_table, pool_type_choice, .doc = "The fields of its type."),
};
static const struct table pool_spec_table = TABLE("Pool", struct pool_spec, pool_spec_rows);

static void pool_check(const struct check *check)
{
	const struct pool_spec *spec = check->object->spec;
	if (!spec->own)
		return;
	const struct pool_type *type = pool_type_at(spec->type);
	if (type->check)
		type->check(check, spec->own);
}

/* What carries a pool that is there stays what it is: its volumes would be left behind. */
static bool stays_in_place(struct lowering *l, const struct pool_plan *plan)
{
	const char *kept = alloc_kept(l, "pool-source", "source"), *holder = NULL;
	if (kept && !streq(kept, plan->source) && fact(l, "pool/%s", kept)) {
		lower_refuse(l, plan->at,
			     "the %s of a Pool cannot be changed, it is '%s': make another Pool, or delete this one "
			     "with its Volumes (their bytes stay), move them and apply them again",
			     plan->what, kept);
		return false;
	}
	if (alloc_fixed(l, "pool-source", "source", plan->source, &holder))
		return true;
	lower_refuse_beside(
		l, lower_refuse(l, plan->at, "'%s' is the %s of %s already", plan->source, plan->what, holder), holder);
	return false;
}

/* What an earlier weftd knew it by. Since then it is in the record of the resource (observation.identity). */
static const char *known_from_before(struct lowering *l, const struct pool_plan *plan)
{
	const char *source = alloc_kept(l, "pool-source", "source"), *holder = NULL;
	const char *kept = streq(source, plan->source) ? alloc_kept(l, "pool-identity", "identity") : NULL;
	return kept && alloc_fixed(l, "pool-identity", "identity", kept, &holder) ? kept : NULL;
}

static void pool_lower(struct lowering *l, const struct object *object)
{
	const struct pool_spec *spec = object->spec;
	const struct pool_type *type = pool_type_at(spec->type);
	struct pool_plan plan = {0};
	if (!type->lower(l, object, spec->own, &plan) || !stays_in_place(l, &plan))
		return;
	const char *identity = known_from_before(l, &plan);
	struct pool_state state = {
		.present = POOL_WANTED | (plan.place ? POOL_PLACE : 0) | (plan.put_in_use ? POOL_ACTIVE : 0) |
			   (identity ? POOL_IDENTITY : 0) | (plan.grows ? POOL_GROWN : 0),
		.type = spec->type,
		.place = plan.place,
		.source = plan.source,
		.own = spec->own,
		.active = true,
		.grown = true,
		.identity = identity,
	};
	struct want *pool = want(l, &stord_pool_class, &state, "%s", object->name);
	needs(l, pool, plan.need);
	for (size_t i = 0; i < plan.n_also; i++)
		needs(l, pool, plan.also[i]);
	for (size_t i = 0; i < plan.n_legs; i++)
		rests_on(l, pool, plan.legs[i]);
}

/* A pool that weft did not make is given up at once; what it stands on must stay until what is in it has gone. */
void pool_needed(struct lowering *l, struct want *a, struct want *pool)
{
	needs(l, a, pool);
	for (size_t i = 0; i < pool->n_needs; i++)
		needs(l, a, pool->needs[i]);
	for (size_t i = 0; i < pool->n_rests; i++)
		rests_on(l, a, pool->rests[i]);
}

const struct kind stord_pool_kind = {
	.name = "Pool",
	.plural = "pools",
	.doc = "A place for volumes, such as a directory that holds their images. Deleting a Pool leaves the volumes "
	       "where they are.",
	.table = &pool_spec_table,
	.check = pool_check,
	.lower = pool_lower,
	.columns = "spec.type,status.location,status.available",
};
