/* SPDX-License-Identifier: Apache-2.0 */
/* The list of pool types, as the build has written it, and the tables that depend on a type. See pool-type.h. */
#include "stord/pool-type.h"

#define DECLARE(name) extern const struct pool_type stord_##name##_pool;
#define POINTER(name) &stord_##name##_pool,
#define NAME(name)    #name,

STORD_POOL_TYPES(DECLARE)
static const struct pool_type *const types[] = {STORD_POOL_TYPES(POINTER)};
const char *const pool_types[N_POOL_TYPES] = {STORD_POOL_TYPES(NAME)};

const struct pool_type *pool_type_at(int type)
{
	return types[type];
}

/* What begins with a presence mask and the type: a Pool's spec, the states of pools and volumes. */
struct typed {
	uint64_t present;
	int type;
};

const struct table *pool_type_table(const void *around)
{
	const struct typed *typed = around;
	return typed->present & 1 ? types[typed->type]->table : NULL;
}

const struct table *pool_type_choice(size_t i)
{
	return i < ARRAY_SIZE(types) ? types[i]->table : NULL;
}

const struct table *pool_type_volume_table(const void *around)
{
	const struct typed *typed = around;
	const struct volume_verbs *volumes = types[typed->type]->volumes;
	return (typed->present & 1) && volumes ? volumes->table : NULL;
}

const struct lease_means *volume_leases(const struct volume_state *state)
{
	const struct volume_verbs *volumes = types[state->type]->volumes;
	return !volumes ? NULL : volumes->leases_of ? volumes->leases_of(state) : volumes->leases;
}

struct image volume_source(const struct volume_state *state)
{
	return (struct image){
		.size = state->size,
		.source = state->clone ? state->clone : state->source,
		.source_sha256 = state->clone ? NULL : state->source_sha256,
		.source_format = (enum image_format)(state->clone ? state->clone_format : state->source_format),
		.source_is_volume = state->clone,
	};
}

struct image volume_device(const struct volume_state *state)
{
	struct image image = volume_source(state);
	image.dir = "/";
	image.file = state->place + 1;
	image.format = IMAGE_RAW;
	return image;
}
