/* SPDX-License-Identifier: Apache-2.0 */
/* Laws of generations, for debug builds and tests: what was carried over is what lowering from nothing gives, and what
 * is stored as a difference is read back as it was. */
#include "core/lower-internal.h"

static bool same_edges(struct want *const *a, size_t n_a, struct want *const *b, size_t n_b)
{
	bool same = n_a == n_b;
	for (size_t i = 0; same && i < n_a; i++)
		same = a[i]->class == b[i]->class && streq(a[i]->key, b[i]->key);
	return same;
}

static bool same_owners(const struct want *a, const struct want *b)
{
	bool same = a->n_owners == b->n_owners;
	for (size_t i = 0; same && i < a->n_owners; i++)
		same = a->owners[i]->kind == b->owners[i]->kind && streq(a->owners[i]->name, b->owners[i]->name);
	return same;
}

static const char *difference(const struct want *a, const struct want *b)
{
	const struct table *table = a->class->table;
	if (*present_of(a->spec) != *present_of(b->spec) || table_diff(table, a->spec, b->spec) ||
	    table_diff(table, b->spec, a->spec))
		return "its spec";
	if (!same_owners(a, b) || !streq(a->mark, b->mark))
		return "its owners";
	if (!same_edges(a->needs, a->n_needs, b->needs, b->n_needs) ||
	    !same_edges(a->handovers, a->n_handovers, b->handovers, b->n_handovers) ||
	    !same_edges(a->afters, a->n_afters, b->afters, b->n_afters) ||
	    !same_edges(a->rests, a->n_rests, b->rests, b->n_rests) ||
	    !same_edges(&a->carrier, a->carrier != NULL, &b->carrier, b->carrier != NULL))
		return "its edges";
	bool same = a->adopt == b->adopt && a->spare == b->spare && a->guards_gateway == b->guards_gateway;
	return same ? NULL : "its flags";
}

static void require_same(bool same, const char *what, const char *of)
{
	if (same)
		return;
	fprintf(stderr, "weft: a generation is not what it should be: %s of %s\n", what, of);
	abort();
}

/* Of the host: it may have changed between the two. */
static bool same_facts(const struct generation *a, const struct generation *b)
{
	cleanup_arena struct arena *arena = arena_new();
	struct strmap known = strmap_in(arena);
	for (size_t i = 0; i < a->n_facts; i++)
		strmap_put(&known, a->facts[i].key, &a->facts[i]);
	for (size_t i = 0; i < b->n_facts; i++) {
		const struct fact_row *row = strmap_get(&known, b->facts[i].key);
		if (row && !streq(row->value, b->facts[i].value))
			return false;
	}
	for (size_t i = 0; i < b->n_facts; i++)
		require_same(strmap_get(&known, b->facts[i].key) != NULL, "the fact", b->facts[i].key);
	return true;
}

static void check_allocs(const struct generation *gen, const struct generation *whole)
{
	cleanup_arena struct arena *arena = arena_new();
	struct strmap known = strmap_in(arena);
	require_same(gen->n_allocs == whole->n_allocs, "the number", "choices");
	for (size_t i = 0; i < gen->n_allocs; i++) {
		const struct alloc_row *a = &gen->allocs[i];
		strmap_put(&known, arena_printf(arena, "%s\n%s\n%s", a->object, a->space, a->slot), (void *)a->text);
	}
	for (size_t i = 0; i < whole->n_allocs; i++) {
		const struct alloc_row *a = &whole->allocs[i];
		const char *text = strmap_get(&known, arena_printf(arena, "%s\n%s\n%s", a->object, a->space, a->slot));
		require_same(streq(text, a->text), "a choice", a->object);
	}
}

static void check_wants(const struct generation *gen, const struct generation *whole)
{
	require_same(gen->n_wants == whole->n_wants, "the number", "resources");
	for (size_t i = 0; i < whole->n_wants; i++) {
		const struct want *b = whole->wants[i], *a = generation_find(gen, b->class->name, b->key);
		const char *what = a ? difference(a, b) : "the presence";
		cleanup_free char *id = xprintf("%s/%s", b->class->name, b->key);
		require_same(!what, what, id);
	}
}

void lower_check(const struct generation *gen, const struct lower_input *input)
{
	struct generation *whole = generation_new(NULL);
	struct diags diags = {.arena = whole->arena};
	int r = lower_all(whole, input, &diags);
	if (same_facts(gen, whole)) {
		require_same(r == 0, "the outcome", "lowering");
		check_wants(gen, whole);
		for (size_t i = 0; i < whole->n_wants; i++) {
			const struct want *b = whole->wants[i], *a = generation_find(gen, b->class->name, b->key);
			require_same(a->costly == b->costly && streq(a->cost, b->cost), "the cost", b->key);
		}
		check_allocs(gen, whole);
	}
	generation_unref(whole);
}

void generation_check_stored(const struct generation *gen, const struct generation *back)
{
	require_same(gen->n_objects == back->n_objects, "the number", "stored objects");
	require_same(gen->n_facts == back->n_facts && same_facts(gen, back), "the facts", "what is stored");
	check_wants(gen, back);
	check_allocs(gen, back);
}
