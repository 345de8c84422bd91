/* SPDX-License-Identifier: Apache-2.0 */
/* What all uses of field tables share: finding rows, defaults, setting a row from text, references. See field.h. */
#include "core/field-internal.h"

const struct field *field_by_name(const struct table *table, const char *name, size_t len, bool *ret_singular)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		bool singular = row->singular && strlen(row->singular) == len && memcmp(row->singular, name, len) == 0;
		if (!singular && (strlen(row->name) != len || memcmp(row->name, name, len) != 0))
			continue;
		if (ret_singular)
			*ret_singular = singular;
		return row;
	}
	return NULL;
}

const struct field *table_field(const struct table *table, const char *name)
{
	return field_by_name(table, name, strlen(name), NULL);
}

const struct field *table_beside(const struct table *table)
{
	for (size_t i = 0; i < table->n_fields; i++)
		if (table->fields[i].flags & FIELD_BESIDE)
			return &table->fields[i];
	return NULL;
}

const struct field *table_field_anywhere(const struct table *table, const char *name)
{
	const struct field *row = table_field(table, name), *beside = row ? NULL : table_beside(table);
	const struct table *inner;
	for (size_t i = 0; beside && !row && (inner = beside->choice(i)); i++)
		row = table_field(inner, name);
	return row && !(row->flags & FIELD_BESIDE) ? row : NULL;
}

const struct field *table_field_path(const struct table *table, const char *path)
{
	const struct field *row = NULL;
	while (table) {
		size_t len = strcspn(path, ".");
		row = field_by_name(table, path, len, NULL);
		if (!row || !path[len])
			return row;
		path += len + 1;
		table = row->shape == FIELD_STRUCT || row->shape == FIELD_STRUCTS ? row->table : NULL;
	}
	return NULL;
}

size_t field_item_size(const struct field *row)
{
	return row->shape == FIELD_STRUCTS ? row->table->size : row->scalar->size;
}

const struct table *field_variant(const struct field *row, const void *spec)
{
	return *(void *const *)row_const(row, spec) ? row->choose(spec) : NULL;
}

/* A default that its own type does not read is a fault of the table; tests walk all of them. */
static void parse_default(const struct field *row, struct arena *arena, void *out)
{
	struct err err = {0};
	if (row->scalar->parse(row, row->def, arena, out, &err) == 0)
		return;
	fprintf(stderr, "default of field '%s': %s\n", row->name, err.text);
	abort();
}

void field_set_defaults(const struct table *table, void *spec, struct arena *arena)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if (row->shape == FIELD_STRUCT)
			field_set_defaults(row->table, row_value(row, spec), arena);
		if (!row->def)
			continue;
		if (row->shape == FIELD_SCALAR) {
			parse_default(row, arena, row_value(row, spec));
		} else if (row->shape == FIELD_LIST) {
			struct list *list = row_value(row, spec);
			*list = (struct list){arena_alloc(arena, row->scalar->size), 1};
			parse_default(row, arena, list->items);
		}
	}
}

const char *field_example(const struct field *row, struct arena *arena)
{
	if (row->example || row->def)
		return row->example ? row->example : row->def;
	if (!row->scalar)
		return NULL;
	if (row->n_names)
		return row->names[0];
	uint64_t least = row->min ? row->min : row->max;
	if (row->scalar->json == JSON_FORM_NUMBER && least)
		return arena_printf(arena, "%lld", (long long)least);
	return row->scalar->example;
}

/* parse() for callers that show one line: the hint after the line break becomes a part of the sentence. */
static int parse_text(const struct field *row, const char *text, struct arena *arena, void *out, struct err *err)
{
	struct err local = {0};
	int r = row->scalar->parse(row, text, arena, out, &local);
	if (r == 0)
		return 0;
	char *hint = strchr(local.text, '\n');
	if (hint)
		*hint++ = 0;
	return err_set(err, EINVAL, "'%s': %s%s%s%s", row->name, local.text, hint ? " (" : "", hint ? hint : "",
		       hint ? ")" : "");
}

/* Adds room for one item at the end of a list. */
static void *append_item(const struct field *row, struct list *list, struct arena *arena)
{
	size_t size = field_item_size(row);
	char *items = arena_alloc(arena, (list->n + 1) * size);
	if (list->n)
		memcpy(items, list->items, list->n * size);
	list->items = items;
	return items + size * list->n++;
}

static int append_text(const struct field *row, struct list *list, const char *text, struct arena *arena,
		       struct err *err)
{
	if (list->n >= (row->list_max ? row->list_max : FIELD_LIST_MAX))
		return err_set(err, EINVAL, "'%s' has %zu items, more are not allowed", row->name, list->n);
	struct list longer = *list;
	void *item = append_item(row, &longer, arena);
	int r;
	if (row->shape == FIELD_LIST) {
		r = parse_text(row, text, arena, item, err);
	} else {
		field_set_defaults(row->table, item, arena);
		r = table_set_text(&(struct set_into){row->table, item, arena}, row->table->fields[0].name, text, err);
	}
	if (r == 0)
		*list = longer;
	return r;
}

static int set_row(const struct set_into *into, const struct field *row, const char *text, struct err *err)
{
	const struct table *table = into->table;
	void *spec = into->spec;
	int r;
	if (row->shape == FIELD_SCALAR) {
		r = parse_text(row, text, into->arena, row_value(row, spec), err);
	} else if (row->shape == FIELD_LIST || row->shape == FIELD_STRUCTS) {
		struct list *list = row_value(row, spec);
		if (!is_present(spec, table, row)) /* a default is replaced, not added to */
			*list = (struct list){0};
		r = append_text(row, list, text, into->arena, err);
	} else {
		r = err_set(err, EINVAL, "'%s' of %s is a map: set its fields, as '%s.FIELD'", row->name, table->name,
			    row->name);
	}
	if (r == 0)
		*present_of(spec) |= row_bit(table, row);
	return r;
}

/* The struct inside a STRUCT or VARIANT row, made if it is not there; its table in *ret_table. */
static void *enter_row(const struct field *row, void *spec, struct arena *arena, const struct table **ret_table)
{
	if (row->shape == FIELD_STRUCT) {
		*ret_table = row->table;
		return row_value(row, spec);
	}
	*ret_table = row->shape == FIELD_VARIANT ? row->choose(spec) : NULL;
	if (!*ret_table)
		return NULL;
	void **variant = row_value(row, spec);
	if (!*variant) {
		*variant = arena_alloc(arena, (*ret_table)->size);
		field_set_defaults(*ret_table, *variant, arena);
	}
	return *variant;
}

int table_set_text(const struct set_into *into, const char *path, const char *text, struct err *err)
{
	struct set_into at = *into;
	for (;;) {
		size_t len = strcspn(path, ".");
		const struct field *row = field_by_name(at.table, path, len, NULL);
		if (!row)
			return err_set(err, EINVAL, "there is no field '%.*s' in %s", (int)len, path, at.table->name);
		if (!path[len])
			return set_row(&at, row, text, err);
		const struct table *inner;
		void *inside = enter_row(row, at.spec, at.arena, &inner);
		if (!inside)
			return err_set(err, EINVAL, "'%s' of %s has no fields", row->name, at.table->name);
		*present_of(at.spec) |= row_bit(at.table, row);
		at.spec = inside;
		at.table = inner;
		path += len + 1;
	}
}

/* The steps down to where a walk is, each in the frame that takes it. */
struct ref_path {
	const struct ref_path *up;
	const char *name;
	long index; /* of an item; -1: it is no list */
};

struct ref_walk {
	table_ref_fn *fn;
	void *ctx;
};

static void walk_table(struct ref_walk *walk, const struct table *table, const void *spec, const struct ref_path *up);

/* Visits one value. */
static void walk_value(struct ref_walk *walk, const struct field *row, const void *value, const struct ref_path *at)
{
	if (row->table) {
		walk_table(walk, row->table, value, at);
		return;
	}
	const char *name = row->ref && row->scalar->text ? *(const char *const *)value : NULL;
	if (name)
		walk->fn(walk->ctx, row->ref, name, at);
}

static void walk_row(struct ref_walk *walk, const struct field *row, const void *spec, const struct ref_path *up)
{
	const void *value = row_const(row, spec);
	struct ref_path at = {up, row->name, -1};
	if (row->shape == FIELD_SCALAR || row->shape == FIELD_STRUCT) {
		walk_value(walk, row, value, &at);
	} else if (row->shape == FIELD_VARIANT) {
		const struct table *inner = field_variant(row, spec);
		if (inner)
			walk_table(walk, inner, *(void *const *)value, row->flags & FIELD_BESIDE ? up : &at);
	} else {
		const struct list *list = value;
		for (size_t i = 0; i < list->n; i++) {
			at.index = (long)i;
			walk_value(walk, row, (const char *)list->items + i * field_item_size(row), &at);
		}
	}
}

static bool may_refer(const struct field *row)
{
	return row->ref || row->table || row->shape == FIELD_VARIANT;
}

static void walk_table(struct ref_walk *walk, const struct table *table, const void *spec, const struct ref_path *up)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if (may_refer(row) && (is_present(spec, table, row) || row->def))
			walk_row(walk, row, spec, up);
	}
}

void table_refs(const struct table *table, const void *spec, table_ref_fn *fn, void *ctx)
{
	struct ref_walk walk = {.fn = fn, .ctx = ctx};
	walk_table(&walk, table, spec, NULL);
}

const char *ref_path_text(const struct ref_path *path, char buf[static REF_PATH_TEXT])
{
	buf[0] = 0;
	if (path->up)
		ref_path_text(path->up, buf);
	size_t len = strlen(buf);
	const char *dot = len ? "." : "";
	if (path->index < 0)
		snprintf(buf + len, REF_PATH_TEXT - len, "%s%s", dot, path->name);
	else
		snprintf(buf + len, REF_PATH_TEXT - len, "%s%s[%ld]", dot, path->name, path->index);
	return buf;
}
