/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that stand beside others and depend on them (FIELD_BESIDE): what is read, refused, shown and referred to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/field.h"

struct square {
	uint64_t present;
	uint32_t side;
	const char *pool;
};
static const struct field square_rows[] = {
	F_U32("side", struct square, side, .flags = FIELD_REQUIRED, .example = "3"),
	F_REF("pool", struct square, pool, "Pool"),
};
static const struct table square_table = TABLE("Shape of type square", struct square, square_rows);

struct circle {
	uint64_t present;
	uint32_t radius, points;
};
static const struct field circle_rows[] = {
	F_U32("radius", struct circle, radius),
	F_U32("points", struct circle, points, .def = "8"),
};
static const struct table circle_table = TABLE("Shape of type circle", struct circle, circle_rows);

struct shape {
	uint64_t present;
	int type;
	void *own;
	bool filled;
};
static const char *const types[] = {"square", "circle"};

static const struct table *choice(size_t i)
{
	return i == 0 ? &square_table : i == 1 ? &circle_table : NULL;
}

static const struct table *choose(const void *around)
{
	const struct shape *shape = around;
	return shape->present & 1 ? choice((size_t)shape->type) : NULL;
}

static const struct field shape_rows[] = {
	F_ENUM("type", struct shape, type, types, .flags = FIELD_REQUIRED),
	F_BESIDE("own", struct shape, own, choose, choice),
	F_BOOL("filled", struct shape, filled),
};
static const struct table shape_table = TABLE("Shape", struct shape, shape_rows);

static struct arena *arena;

/* The faults one a line, "line:column text (hint)"; "" if there are none. */
static const char *decode(const char *text, struct shape *ret)
{
	struct source *source = arena_new_of(arena, struct source);
	*source = (struct source){"shape.yaml", text, strlen(text)};
	struct diags diags = {.arena = arena};
	size_t n;
	struct node **docs = yaml_parse(source, arena, &diags, &n);
	table_decode(&shape_table, docs[0], (struct pos){source, 1, 1, 1}, &(struct decode_into){ret, arena, &diags});
	const char *faults = "";
	for (size_t i = 0; i < diags.n; i++) {
		const struct diag *d = diags.items[i];
		faults = arena_printf(arena, "%s%u:%u %s (%s)\n", faults, d->pos.line, d->pos.column, d->text,
				      d->hint ? d->hint : "");
	}
	return faults;
}

static void test_read_and_shown(void **state)
{
	struct shape shape, again;
	assert_string_equal(decode("{filled: true, radius: 4, type: circle}", &shape), "");
	const struct circle *circle = shape.own;
	assert_int_equal(circle->radius, 4);
	assert_int_equal(circle->points, 8);
	assert_int_equal(circle->present, 1);
	json_t *json = table_to_json(&shape_table, &shape, 0);
	cleanup_free char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text, "{\"type\":\"circle\",\"radius\":4,\"filled\":true}");
	assert_int_equal(table_from_json(&shape_table, json, arena, &again, NULL), 0);
	assert_int_equal(table_diff(&shape_table, &shape, &again), 0);
	((struct circle *)again.own)->radius = 5;
	assert_int_equal(table_diff(&shape_table, &shape, &again), 2);
	json_decref(json);
	assert_string_equal(decode("{type: circle}", &shape), "");
	assert_non_null(shape.own);
}

static void test_refused(void **state)
{
	struct shape shape;
	assert_string_equal(decode("type: square\nradius: 4\n", &shape),
			    "2:1 unknown field 'radius' in Shape of type square (known fields: side, pool)\n"
			    "1:1 missing field 'side' in Shape of type square (for example 'side: 3')\n");
	/* Without the type only what is in no choice is a fault of its own. */
	assert_string_equal(decode("{radius: 4, colour: red}", &shape),
			    "1:13 unknown field 'colour' in Shape (known fields: type, filled)\n"
			    "1:1 missing field 'type' in Shape (for example 'type: square')\n");
	assert_string_equal(decode("{type: circle, own: {radius: 4}}", &shape),
			    "1:16 unknown field 'own' in Shape of type circle (known fields: radius, points)\n");
}

static void note_ref(void *ctx, const char *kind, const char *name, const struct ref_path *path)
{
	char where[REF_PATH_TEXT];
	*(const char **)ctx = arena_printf(arena, "%s/%s at %s", kind, name, ref_path_text(path, where));
}

static void test_found(void **state)
{
	struct shape shape;
	const char *ref = NULL;
	assert_string_equal(decode("{type: square, side: 4, pool: fast}", &shape), "");
	table_refs(&shape_table, &shape, note_ref, &ref);
	assert_string_equal(ref, "Pool/fast at pool");
	assert_ptr_equal(table_field_anywhere(&shape_table, "points"), &circle_rows[1]);
	assert_ptr_equal(table_field_anywhere(&shape_table, "type"), &shape_rows[0]);
	assert_null(table_field_anywhere(&shape_table, "own"));
	json_t *schema = table_schema(&shape_table), *properties = json_object_get(schema, "properties");
	assert_int_equal(json_object_size(properties), 6);
	assert_null(json_object_get(properties, "own"));
	json_decref(schema);
}

static int setup(void **state)
{
	arena = arena_new();
	return 0;
}

static int teardown(void **state)
{
	arena_free(arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_shown),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_found),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
