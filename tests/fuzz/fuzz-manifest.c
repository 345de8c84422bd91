/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary text as manifests, all the way: decoding, checks, lowering, the store's lines and back. Laws: what is
 * refused says why; an object that is printed can be applied again and is the same; a generation that is read back from
 * the store is the one that was written, and is written the same. */
#include "core/store-internal.h"
#include "tests/fuzz/fuzz.h"

static void check_shown(const struct diags *diags)
{
	json_t *json = diags_to_json(diags);
	require(json_array_size(json) == diags->n, "all diagnostics become JSON");
	json_decref(json);
	free(diags_render(diags, true));
}

static void check_printed(const struct object *object)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	json_t *json = object_to_json(object, EMIT_SECRETS);
	const json_t *const docs[] = {json};
	cleanup_free char *text = yaml_from_json(docs, 1);
	struct source source = {"printed", text, strlen(text)};
	size_t n;
	struct node **nodes = yaml_parse(&source, arena, &diags, &n);
	struct object *again = n == 1 ? object_decode(nodes[0], arena, &diags) : NULL;
	require(again && !diags.n, "a printed object can be applied");
	json_t *second = object_to_json(again, EMIT_SECRETS);
	require(json_equal(json, second), "a printed object is the same when it is applied");
	json_decref(json);
	json_decref(second);
}

static void check_want(const struct want *a, const struct want *b)
{
	const struct table *table = a->class->table;
	require(a->class == b->class && streq(a->key, b->key) && streq(a->mark, b->mark) && a->adopt == b->adopt,
		"a stored resource is the same one");
	require(!table_diff(table, a->spec, b->spec) && !table_diff(table, b->spec, a->spec),
		"a stored resource has the same spec");
	require(a->n_owners == b->n_owners && a->n_needs == b->n_needs && a->n_handovers == b->n_handovers,
		"a stored resource has the same edges");
	for (size_t i = 0; i < a->n_needs; i++)
		require(a->needs[i]->index == b->needs[i]->index, "a stored need leads to the same resource");
}

static void check_stored(const struct generation *gen)
{
	cleanup_free char *lines = NULL, *again = NULL;
	size_t size, again_size;
	struct err err = {0};
	require(store_generation_write(gen, &lines, &size, &err) == 0, "what was lowered can be stored");
	struct generation *back = store_generation_read(&(struct source){.text = lines, .size = size}, 1, 1);
	require(back->n_objects == gen->n_objects && back->n_wants == gen->n_wants && back->n_allocs == gen->n_allocs &&
			back->n_facts == gen->n_facts,
		"all that was stored is read back");
	for (size_t i = 0; i < gen->n_wants; i++)
		check_want(gen->wants[i], back->wants[i]);
	require(store_generation_write(back, &again, &again_size, &err) == 0, "what was read back can be stored");
	require(size == again_size && memcmp(lines, again, size) == 0, "it is stored the same again");
	generation_unref(back);
}

static struct generation *lower(const struct source *source, bool lenient, struct diags *diags)
{
	enum { OBJECTS_MAX = 256 };
	struct generation *gen = generation_new(NULL);
	struct object **objects = arena_alloc(gen->arena, OBJECTS_MAX * sizeof(*objects));
	struct lower_input input = {.objects = objects, .lenient = lenient};
	size_t n;
	diags->arena = gen->arena;
	struct node **docs = yaml_parse(source, gen->arena, diags, &n);
	for (size_t i = 0; i < n && input.n_objects < OBJECTS_MAX; i++) {
		struct object *object = object_decode(docs[i], gen->arena, diags);
		if (object)
			objects[input.n_objects++] = object;
	}
	size_t before = diags->n_total;
	int r = before ? 0 : lower_all(gen, &input, diags);
	require((r == 0) == (lenient || diags->n_total == before), "a refusal says why");
	return gen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_setup();
	cleanup_free char *text = xcalloc(1, size + 1);
	memcpy(text, data, size);
	struct source source = {"fuzz.yaml", text, size};
	for (int lenient = 0; lenient < 2; lenient++) {
		struct diags diags = {0};
		struct generation *gen = lower(&source, lenient, &diags);
		size_t n_faults = diags.n_total;
		diags_sort(&diags);
		check_shown(&diags);
		for (size_t i = 0; !n_faults && i < gen->n_objects; i++)
			check_printed(gen->objects[i]);
		if (!n_faults || (lenient && gen->n_objects))
			check_stored(gen);
		generation_unref(gen);
	}
	return 0;
}
