/* SPDX-License-Identifier: Apache-2.0 */
/* Generations: the wants of one configuration and their index by class and key. Filled by lowering (lower.c) or read
 * back from the store. */
#include "core/lower.h"

struct generation *generation_new(struct arena *arena)
{
	struct generation *gen = xcalloc(1, sizeof(*gen));
	gen->arena = arena ? arena : arena_new();
	gen->lists = arena_new();
	static uint64_t serial;
	gen->serial = ++serial;
	gen->refs = 1;
	return gen;
}

struct generation *generation_ref(struct generation *gen)
{
	if (gen)
		gen->refs++;
	return gen;
}

struct generation *generation_unref(struct generation *gen)
{
	if (!gen || --gen->refs > 0)
		return NULL;
	for (size_t i = 0; i < gen->n_older; i++)
		arena_free(gen->older[i]);
	free(gen->older);
	free(gen->table);
	arena_free(gen->lists);
	arena_free(gen->arena);
	free(gen);
	return NULL;
}

/* FNV-1a: keys are ours, nobody chooses them against us. */
static size_t hash_id(const char *class, const char *key)
{
	uint64_t h = 0xcbf29ce484222325;
	for (const char *p = class; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	h = (h ^ '/') * 0x100000001b3;
	for (const char *p = key; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	return (size_t)(h ^ h >> 32);
}

static struct want **slot_of(const struct generation *gen, size_t hash, const char *class, const char *key)
{
	size_t i = hash & (gen->table_size - 1);
	for (; gen->table[i]; i = (i + 1) & (gen->table_size - 1)) {
		const struct want *w = gen->table[i];
		if (w->hash == hash && streq(w->class->name, class) && streq(w->key, key))
			break;
	}
	return &gen->table[i];
}

/* For one that is not in the table. */
static void table_put(struct generation *gen, struct want *want)
{
	size_t i = want->hash & (gen->table_size - 1);
	while (gen->table[i])
		i = (i + 1) & (gen->table_size - 1);
	gen->table[i] = want;
}

static void table_resize(struct generation *gen, size_t size)
{
	free(gen->table);
	gen->table_size = size;
	gen->table = xcalloc(gen->table_size, sizeof(*gen->table));
	for (size_t i = 0; i < gen->n_wants; i++)
		table_put(gen, gen->wants[i]);
}

struct want *generation_find(const struct generation *gen, const char *class, const char *key)
{
	return gen && gen->table_size ? *slot_of(gen, hash_id(class, key), class, key) : NULL;
}

void generation_reserve(struct generation *gen, size_t n)
{
	size_t size = gen->table_size ? gen->table_size : 64;
	while (size <= n * 2)
		size *= 2;
	if (size != gen->table_size)
		table_resize(gen, size);
	if (gen->cap_wants >= n)
		return;
	struct want **wants = arena_alloc(gen->lists, n * sizeof(struct want *));
	if (gen->n_wants)
		memcpy(wants, gen->wants, gen->n_wants * sizeof(struct want *));
	gen->wants = wants;
	gen->cap_wants = n;
}

void generation_share(struct generation *gen, struct want *want)
{
	if (gen->n_wants * 2 >= gen->table_size)
		table_resize(gen, gen->table_size ? gen->table_size * 2 : 64);
	arena_grow(gen->lists, gen->wants, gen->n_wants, gen->cap_wants);
	gen->wants[gen->n_wants++] = want;
	table_put(gen, want);
}

void generation_share_arenas(struct generation *gen, const struct generation *before)
{
	gen->older = xcalloc(before->n_older + 1, sizeof(struct arena *));
	for (size_t i = 0; i < before->n_older; i++)
		gen->older[gen->n_older++] = arena_ref(before->older[i]);
	gen->older[gen->n_older++] = arena_ref(before->arena);
}

struct want *generation_scrap(struct generation *gen, const struct resource_class *class, const char *key)
{
	struct want *want = arena_new_of(gen->arena, struct want);
	want->class = class;
	want->key = arena_strdup(gen->arena, key);
	want->hash = hash_id(class->name, key);
	want->spec = arena_alloc(gen->arena, class->table->size);
	return want;
}

struct want *generation_add(struct generation *gen, const struct resource_class *class, const char *key, void *spec)
{
	struct want *want = generation_scrap(gen, class, key);
	if (spec)
		want->spec = spec;
	want->index = gen->n_wants;
	generation_share(gen, want);
	return want;
}

bool generation_carries(const struct generation *gen, const struct want *want)
{
	return want->index < gen->n_carried || want->index >= gen->n_wants || gen->wants[want->index] != want;
}

void generation_clear_wants(struct generation *gen)
{
	if (gen->table)
		memset(gen->table, 0, gen->table_size * sizeof(*gen->table));
	gen->n_wants = gen->n_facts = gen->n_allocs = gen->n_refused = 0;
	gen->n_carried = gen->n_gone = 0;
}
