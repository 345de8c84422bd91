/* SPDX-License-Identifier: Apache-2.0 */
/* Walks every row of every registered kind and class: what a table must have to carry documentation, output and
 * comparison, and that what is printed decodes to the same. A new kind is tested by being registered. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/kind.h"
#include "core/registry.h"
#include "core/resource.h"

static unsigned n_faults;

static void fault(const struct table *table, const struct field *row, const char *what)
{
	print_error("%s: '%s' %s\n", table->name, row->name, what);
	n_faults++;
}

static bool is_camel_case(const char *name)
{
	if (!islower((unsigned char)name[0]))
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c))
			return false;
	return true;
}

/* The next item of a list written as "[a, \"b\"]", or the text itself if it is none; NULL when there are no more. */
static const char *next_item(const struct field *row, const char **text, struct arena *arena)
{
	size_t len = *text ? strlen(*text) : 0;
	const char *start = *text;
	if (!len)
		return NULL;
	if (row->shape == FIELD_LIST && (start[0] == '[' || start[0] == ',')) {
		start += 1 + strspn(start + 1, " \"");
		len = strcspn(start, "\",]");
		*text = strpbrk(start + len, ",");
	} else {
		*text = NULL;
	}
	return arena_strndup(arena, start, len);
}

static void check_text(const struct table *table, const struct field *row, const char *text, const char *what)
{
	cleanup_arena struct arena *arena = arena_new();
	struct err err = {0};
	_Alignas(16) char value[256];
	const char *item;
	while (row->scalar && (item = next_item(row, &text, arena))) {
		if (row->scalar->parse(row, item, arena, value, &err) == 0)
			continue;
		print_error("%s: %s\n", item, err.text);
		fault(table, row, what);
	}
}

static void check_row(const struct table *table, const struct field *row)
{
	cleanup_arena struct arena *arena = arena_new();
	if (!row->doc || !*row->doc)
		fault(table, row, "has no doc");
	else if (row->doc[strlen(row->doc) - 1] != '.')
		fault(table, row, "has a doc that is no sentence");
	if (!is_camel_case(row->name) || (row->singular && !is_camel_case(row->singular)))
		fault(table, row, "is not camelCase");
	if ((row->shape == FIELD_SCALAR || row->shape == FIELD_LIST) != !!row->scalar)
		fault(table, row, "has no scalar, or one too many");
	if ((row->shape == FIELD_STRUCT || row->shape == FIELD_STRUCTS) != !!row->table)
		fault(table, row, "has no table, or one too many");
	if (row->scalar == &scalar_enum && !row->n_names)
		fault(table, row, "is a choice of nothing");
	if ((row->flags & FIELD_REQUIRED) && row->def)
		fault(table, row, "is required and has a default");
	if ((row->flags & FIELD_GROWS) &&
	    (!row->scalar || row->shape != FIELD_SCALAR || (row->scalar->size != 4 && row->scalar->size != 8)))
		fault(table, row, "grows and is no number");
	if (row->ref && (!row->scalar || !row->scalar->text))
		fault(table, row, "refers to an object and is no name");
	check_text(table, row, row->def, "has a default that it refuses");
	check_text(table, row, field_example(row, arena), "has an example that it refuses");
	for (const struct field *other = table->fields; other < row; other++)
		if (table_field(table, row->name) != row || (row->singular && table_field(table, row->singular) != row))
			fault(table, row, "is there twice");
}

static void check_table(const struct table *table, unsigned depth)
{
	assert_true(depth < 8);
	assert_true(table->n_fields > 0 && table->n_fields <= 64);
	assert_true(table->size >= sizeof(uint64_t));
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		check_row(table, row);
		if (row->offset < sizeof(uint64_t) || row->offset >= table->size)
			fault(table, row, "stands outside its struct");
		if (row->table)
			check_table(row->table, depth + 1);
		for (size_t t = 0; row->choice && row->choice(t); t++)
			check_table(row->choice(t), depth + 1);
	}
}

static void fill_scalars(const struct table *table, const struct field *row, void *spec, const char *text,
			 struct arena *arena)
{
	struct err err = {0};
	const char *item;
	while ((item = next_item(row, &text, arena)))
		if (table_set_text(&(struct set_into){table, spec, arena}, row->name, item, &err) < 0)
			fail_msg("%s: %s", table->name, err.text);
}

/* Sets every row from its example; of choices, the pick-th. */
static void fill(const struct table *table, void *spec, unsigned pick, struct arena *arena)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		const char *text = row->n_names ? row->names[pick % row->n_names] : field_example(row, arena);
		if (row->shape == FIELD_VARIANT)
			continue;
		if (row->shape == FIELD_STRUCT) {
			fill(row->table, (char *)spec + row->offset, pick, arena);
		} else if (row->shape == FIELD_STRUCTS) {
			struct list *list = (struct list *)((char *)spec + row->offset);
			*list = (struct list){arena_alloc(arena, row->table->size), 1};
			fill(row->table, list->items, pick, arena);
		} else {
			fill_scalars(table, row, spec, text, arena);
		}
		*present_of(spec) |= 1ULL << i;
	}
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		const struct table *inner = row->shape == FIELD_VARIANT ? row->choose(spec) : NULL;
		if (!inner)
			continue;
		void *inside = arena_alloc(arena, inner->size);
		fill(inner, inside, pick, arena);
		*(void **)((char *)spec + row->offset) = inside;
		*present_of(spec) |= 1ULL << i;
	}
}

static void check_round_trip(const struct table *table, unsigned pick)
{
	cleanup_arena struct arena *arena = arena_new();
	void *spec = arena_alloc(arena, table->size), *again = arena_alloc(arena, table->size);
	struct err err = {0};
	fill(table, spec, pick, arena);
	json_t *json = table_to_json(table, spec, EMIT_SECRETS);
	if (table_from_json(table, json, arena, again, &err) < 0)
		fail_msg("%s: its own output is refused: %s", table->name, err.text);
	json_t *second = table_to_json(table, again, EMIT_SECRETS);
	cleanup_free char *a = json_dumps(json, JSON_INDENT(1)), *b = json_dumps(second, JSON_INDENT(1));
	assert_string_equal(a, b);
	assert_int_equal(table_diff(table, spec, again), 0);
	assert_int_equal(table_diff(table, again, spec), 0);
	void *copy = table_copy(table, spec, arena);
	assert_int_equal(table_diff(table, copy, again), 0);
	assert_int_equal(table_merge(table, copy, again, arena), 0);
	for (size_t i = 0; i < table->n_fields; i++)
		assert_string_equal(table_row_text(table, copy, i, arena), table_row_text(table, again, i, arena));
	json_decref(json);
	json_decref(second);
}

/* What a person reads back: the YAML of an object decodes to the object. */
static void check_yaml(const struct kind *kind)
{
	cleanup_arena struct arena *arena = arena_new();
	struct object object = {.kind = kind, .name = "sample", .spec = arena_alloc(arena, kind->table->size)};
	fill(kind->table, object.spec, 0, arena);
	json_t *json = object_to_json(&object, EMIT_SECRETS);
	const json_t *const docs[] = {json};
	cleanup_free char *text = yaml_from_json(docs, 1);
	struct source source = {"sample.yaml", text, strlen(text)};
	struct diags diags = {.arena = arena};
	size_t n;
	struct node **nodes = yaml_parse(&source, arena, &diags, &n);
	struct object *again = n == 1 ? object_decode(nodes[0], arena, &diags) : NULL;
	cleanup_free char *faults = diags_render(&diags, false);
	if (diags.n)
		fail_msg("%s", faults);
	json_t *second = object_to_json(again, EMIT_SECRETS);
	assert_true(json_equal(json, second));
	json_decref(json);
	json_decref(second);
}

static void check_defaults(const struct table *table)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	struct pos nowhere = {0};
	void *spec = arena_alloc(arena, table->size);
	table_decode(table, NULL, nowhere,
		     &(struct decode_into){spec, arena, &diags}); /* aborts at a default that cannot be read */
	assert_int_equal(*present_of(spec), 0);
}

static void check_all(const struct table *table)
{
	check_table(table, 0);
	if (n_faults)
		return;
	check_defaults(table);
	for (unsigned pick = 0; pick < 12; pick++)
		check_round_trip(table, pick);
	json_t *schema = table_schema(table);
	assert_non_null(schema);
	json_decref(schema);
}

static void test_every_kind(void **state)
{
	const struct kind *kind;
	for (size_t i = 0; (kind = kind_at(i)); i++) {
		print_message("%s\n", kind->name);
		assert_non_null(kind->plural);
		assert_non_null(kind->doc);
		assert_non_null(kind->lower);
		assert_true(isupper((unsigned char)kind->name[0]));
		check_all(kind->table);
		if (!n_faults)
			check_yaml(kind);
	}
	json_t *schema = kinds_schema();
	assert_non_null(schema);
	json_decref(schema);
	assert_int_equal(n_faults, 0);
}

static void test_every_class(void **state)
{
	const struct resource_class *class;
	for (size_t i = 0; (class = class_at(i)); i++) {
		print_message("%s\n", class->name);
		assert_non_null(class->doc);
		assert_non_null(class->lane);
		check_all(class->table);
	}
	assert_int_equal(n_faults, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_kind), cmocka_unit_test(test_every_class)};
	registry_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
