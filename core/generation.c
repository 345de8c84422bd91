/* SPDX-License-Identifier: Apache-2.0 */
/* Generations: the wants of one configuration and their index by class and key. Filled by lowering (lower.c) or read
 * back from the store. */
#include "core/lower.h"

struct generation *generation_new(struct arena *arena)
{
	struct generation *gen = xcalloc(1, sizeof(*gen));
	gen->arena = arena ? arena : arena_new();
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
	free(gen->table);
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

static struct want **slot_of(const struct generation *gen, const char *class, const char *key)
{
	size_t i = hash_id(class, key) & (gen->table_size - 1);
	while (gen->table[i] && !(streq(gen->table[i]->class->name, class) && streq(gen->table[i]->key, key)))
		i = (i + 1) & (gen->table_size - 1);
	return &gen->table[i];
}

static void table_grow(struct generation *gen)
{
	free(gen->table);
	gen->table_size = gen->table_size ? gen->table_size * 2 : 64;
	gen->table = xcalloc(gen->table_size, sizeof(*gen->table));
	for (size_t i = 0; i < gen->n_wants; i++)
		*slot_of(gen, gen->wants[i]->class->name, gen->wants[i]->key) = gen->wants[i];
}

struct want *generation_find(const struct generation *gen, const char *class, const char *key)
{
	return gen && gen->table_size ? *slot_of(gen, class, key) : NULL;
}

struct want *generation_add(struct generation *gen, const struct resource_class *class, const char *key, void *spec)
{
	if (gen->n_wants * 2 >= gen->table_size)
		table_grow(gen);
	struct want *want = arena_new_of(gen->arena, struct want);
	want->class = class;
	want->key = arena_strdup(gen->arena, key);
	want->spec = spec ? spec : arena_alloc(gen->arena, class->table->size);
	want->index = gen->n_wants;
	arena_grow(gen->arena, gen->wants, gen->n_wants, gen->cap_wants);
	gen->wants[gen->n_wants++] = want;
	*slot_of(gen, class->name, key) = want;
	return want;
}

void generation_clear_wants(struct generation *gen)
{
	if (gen->table)
		memset(gen->table, 0, gen->table_size * sizeof(*gen->table));
	gen->n_wants = gen->n_facts = gen->n_allocs = gen->n_refused = 0;
}
