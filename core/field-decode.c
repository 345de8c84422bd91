/* SPDX-License-Identifier: Apache-2.0 */
/* From nodes to structs by their tables. Decoding never stops at the first fault: each unknown, repeated, missing or
 * ill-typed field is queued with its position and what to do about it, and the rest is read all the same. See
 * field.h. */
#include "core/field-internal.h"

enum { SHOWN_BYTES = 48 };

struct decoding {
	struct arena *arena;
	struct diags *diags;
	bool stored; /* we wrote it ourselves: texts may hold what a person may not write */
};

/* One map that is being read. */
struct map {
	const struct table *table;
	void *out;
	struct pos where;
	const struct node *keys[64]; /* by row: the key that set it */
	struct node rest;            /* a map of what no row of the table is for; for what stands beside it */
};

static void decode_map(const struct decoding *d, const struct table *table, const struct node *node, struct pos where,
		       void *out);

const char *field_shown(struct arena *arena, const char *text)
{
	size_t size = strlen(text), take = size > SHOWN_BYTES ? SHOWN_BYTES : size;
	while (take < size && take && ((unsigned char)text[take] & 0xc0) == 0x80)
		take--;
	return arena_printf(arena, "%.*s%s", (int)take, text, take < size ? "..." : "");
}

static const char *shown(const struct decoding *d, const char *text)
{
	return field_shown(d->arena, text);
}

/* The names of a table's rows, with singular spellings if asked. */
static size_t field_names(const struct table *table, bool singulars, const char *names[static 128])
{
	size_t n = 0;
	for (size_t i = 0; i < table->n_fields; i++) {
		if (!(table->fields[i].flags & FIELD_BESIDE))
			names[n++] = table->fields[i].name;
		if (singulars && table->fields[i].singular)
			names[n++] = table->fields[i].singular;
	}
	return n;
}

static const char *list_fields(const struct decoding *d, const struct table *table)
{
	const char *names[128], *text = "";
	size_t n = field_names(table, false, names);
	for (size_t i = 0; i < n; i++)
		text = arena_printf(d->arena, "%s%s%s", text, i ? ", " : "", names[i]);
	return text;
}

/* A row of a map inside this one that has the name: a common slip of indentation. */
static const struct field *field_inside(const struct table *table, const char *name)
{
	for (size_t i = 0; i < table->n_fields; i++)
		if (table->fields[i].table && table_field(table->fields[i].table, name))
			return &table->fields[i];
	return NULL;
}

static void unknown_field(const struct decoding *d, const struct table *table, const struct node *key)
{
	struct diag *diag = diag_add(d->diags, key->pos, "unknown field '%s' in %s", shown(d, key->text), table->name);
	const char *names[128];
	size_t n = field_names(table, true, names);
	const char *near = nearest_name(key->text, names, n);
	const struct field *inside = field_inside(table, key->text);
	if (near)
		diag_hint(d->diags, diag, "did you mean '%s'?", near);
	else if (inside)
		diag_hint(d->diags, diag, "'%s' is a field of '%s'", key->text, inside->name);
	else
		diag_hint(d->diags, diag, "known fields: %s", list_fields(d, table));
}

/* How a row may be written: "lease: 1h", "hosts: [web]", "memory: {size: 512MiB}"; NULL if there is nothing to show. */
static const char *written(const struct decoding *d, const struct field *row)
{
	const char *text = "";
	if (row->shape == FIELD_SCALAR || row->shape == FIELD_LIST) {
		const char *example = field_example(row, d->arena);
		bool brackets = row->shape == FIELD_LIST && example && example[0] != '[';
		return example ? arena_printf(d->arena, brackets ? "%s: [%s]" : "%s: %s", row->name, example) : NULL;
	}
	for (size_t i = 0; row->table && i < row->table->n_fields; i++) {
		const struct field *inner = &row->table->fields[i];
		const char *one = inner->flags & FIELD_REQUIRED ? written(d, inner) : NULL;
		if (one)
			text = arena_printf(d->arena, "%s%s%s", text, *text ? ", " : "", one);
	}
	if (!*text)
		return NULL;
	return arena_printf(d->arena, row->shape == FIELD_STRUCT ? "%s: {%s}" : "%s: [{%s}]", row->name, text);
}

static void missing_field(const struct decoding *d, const struct map *map, const struct field *row)
{
	struct diag *diag = diag_add(d->diags, map->where, "missing field '%s' in %s", row->name, map->table->name);
	const char *example = written(d, row);
	if (example)
		diag_hint(d->diags, diag, "for example '%s'", example);
}

static const char *node_what(const struct node *node)
{
	switch (node->type) {
	case NODE_MAP:
		return "a map";
	case NODE_LIST:
		return "a list";
	case NODE_SCALAR:
		return node->quoted ? "text" : "a single value";
	case NODE_NULL:
		break;
	}
	return "nothing";
}

static void no_value(const struct decoding *d, const struct field *row, struct pos where)
{
	struct diag *diag = diag_add(d->diags, where, "'%s' has no value", row->name);
	const char *example = written(d, row), *otherwise = row->flags & FIELD_REQUIRED ? "" : "leave it out, or ";
	if (row->def)
		diag_hint(d->diags, diag, "leave it out for the default, %s", row->def);
	else if (row->shape == FIELD_LIST || row->shape == FIELD_STRUCTS)
		diag_hint(d->diags, diag, "%swrite '%s: []' for none", otherwise, row->name);
	else if (example)
		diag_hint(d->diags, diag, "%swrite for example '%s'", otherwise, example);
	else if (row->shape != FIELD_SCALAR)
		diag_hint(d->diags, diag, "%swrite '%s: {}' for a map with all its defaults", otherwise, row->name);
}

static void wrong_shape(const struct decoding *d, const struct field *row, const struct node *node,
			const char *expected)
{
	struct diag *diag =
		diag_add(d->diags, node->pos, "'%s': expected %s, not %s", row->name, expected, node_what(node));
	const char *example = row->shape == FIELD_LIST ? written(d, row) : NULL;
	if (node->type == NODE_MAP && example)
		diag_hint(d->diags, diag, "for example '%s'", example);
	else if (node->type == NODE_MAP && row->shape == FIELD_STRUCTS)
		diag_hint(d->diags, diag, "put '- ' before each item, or '[' and ']' around them");
	else if (node->type != NODE_MAP && row->table)
		diag_hint(d->diags, diag, "fields of '%s': %s", row->name, list_fields(d, row->table));
}

static void bad_value(const struct decoding *d, const struct field *row, const struct node *node, struct err *err)
{
	char *hint = strchr(err->text, '\n');
	if (hint)
		*hint++ = 0;
	struct diag *diag;
	if (row->flags & FIELD_SECRET)
		diag = diag_add(d->diags, node->pos, "'%s': %s", row->name, err->text);
	else
		diag = diag_add(d->diags, node->pos, "'%s': %s, not '%s'", row->name, err->text, shown(d, node->text));
	const char *near = row->n_names ? nearest_name(node->text, row->names, row->n_names) : NULL;
	if (near)
		diag_hint(d->diags, diag, "did you mean '%s'?", near);
	else if (hint)
		diag_hint(d->diags, diag, "%s", hint);
}

static bool has_control(const char *text)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return true;
	return false;
}

/* What is refused before the type sees the text. Line breaks in short texts would end up in other programs'
 * configuration files. */
static bool text_is_fine(const struct decoding *d, const struct field *row, const struct node *node)
{
	if (row->scalar->json == JSON_FORM_BOOL && node->quoted) {
		struct diag *diag = diag_add(d->diags, node->pos, "'%s': expected true or false, not text", row->name);
		diag_hint(d->diags, diag, "write it without quotes");
		return false;
	}
	if (d->stored)
		return true;
	if ((row->flags & FIELD_SECRET) && streq(node->text, "***")) {
		struct diag *diag = diag_add(d->diags, node->pos, "'%s': the value is hidden here", row->name);
		diag_hint(d->diags, diag, "write the secret itself again; '***' only stands for it in output");
		return false;
	}
	if (!(row->flags & FIELD_LONG) && has_control(node->text)) {
		struct diag *diag = diag_add(d->diags, node->pos,
					     "'%s': line breaks and control characters are not allowed", row->name);
		diag_hint(d->diags, diag, "write it on one line");
		return false;
	}
	return true;
}

static bool decode_scalar(const struct decoding *d, const struct field *row, const struct node *node, void *out)
{
	if (node->type == NODE_NULL) {
		no_value(d, row, node->pos);
		return false;
	}
	if (node->type != NODE_SCALAR) {
		wrong_shape(d, row, node, "a single value");
		return false;
	}
	if (!text_is_fine(d, row, node))
		return false;
	struct err err = {0};
	if (row->scalar->parse(row, node->text, d->arena, out, &err) == 0)
		return true;
	bad_value(d, row, node, &err);
	return false;
}

/* A scalar that stands for a struct sets its first row. */
static void decode_short(const struct decoding *d, const struct field *list_row, const struct node *node, void *out)
{
	const struct table *table = list_row->table;
	const struct field *first = &table->fields[0];
	if (first->shape != FIELD_SCALAR) {
		wrong_shape(d, list_row, node, "a map");
		return;
	}
	struct map map = {.table = table, .out = out, .where = node->pos};
	if (decode_scalar(d, first, node, row_value(first, out)))
		*present_of(out) |= 1;
	for (size_t i = 1; i < table->n_fields; i++)
		if (table->fields[i].flags & FIELD_REQUIRED)
			missing_field(d, &map, &table->fields[i]);
}

/* False if there is no item to keep. */
static bool decode_item(const struct decoding *d, const struct field *row, const struct node *node, void *out)
{
	if (row->shape == FIELD_LIST)
		return decode_scalar(d, row, node, out);
	field_set_defaults(row->table, out, d->arena);
	if (node->type == NODE_NULL)
		diag_add(d->diags, node->pos, "an item of '%s' has no value", row->name);
	else if (node->type == NODE_SCALAR)
		decode_short(d, row, node, out);
	else if (node->type == NODE_MAP)
		decode_map(d, row->table, node, node->pos, out);
	else
		wrong_shape(d, row, node, "a map as an item");
	return true;
}

/* A set that names one thing twice is a slip. */
static void check_repeats(const struct decoding *d, const struct field *row, const struct node *const *nodes, size_t n)
{
	if (row->shape != FIELD_LIST || !(row->flags & FIELD_UNORDERED))
		return;
	for (size_t i = 1; i < n; i++) {
		size_t k = 0;
		while (k < i && (nodes[k]->type != NODE_SCALAR || nodes[i]->type != NODE_SCALAR ||
				 !streq(nodes[k]->text, nodes[i]->text)))
			k++;
		if (k == i)
			continue;
		struct diag *diag =
			diag_add(d->diags, nodes[i]->pos, "'%s' lists %s twice", row->name, shown(d, nodes[i]->text));
		diag_related(d->diags, diag, nodes[k]->pos, "first listed here");
	}
}

static bool decode_list(const struct decoding *d, const struct field *row, const struct node *node, bool singular,
			void *out)
{
	/* One item may stand for a list of one; a map only under the singular name, since under the plural one it is a
	 * forgotten '-'. */
	const struct node *const one[1] = {node}, *const *nodes = one;
	size_t n = 1, max = row->list_max ? row->list_max : FIELD_LIST_MAX;
	if (node->type == NODE_LIST) {
		nodes = (const struct node *const *)node->items;
		n = node->n;
	} else if (node->type == NODE_MAP && !(singular && row->shape == FIELD_STRUCTS)) {
		wrong_shape(d, row, node, "a list");
		return false;
	}
	if (n > max) {
		diag_add(d->diags, node->pos, "'%s' has %zu items, at most %zu are allowed", row->name, n, max);
		return false;
	}
	size_t size = field_item_size(row);
	struct list list = {n ? arena_alloc(d->arena, n * size) : NULL, 0};
	for (size_t i = 0; i < n; i++)
		if (decode_item(d, row, nodes[i], (char *)list.items + list.n * size))
			list.n++;
	check_repeats(d, row, nodes, n);
	*(struct list *)out = list;
	return true;
}

static bool decode_variant(const struct decoding *d, const struct field *row, const struct node *node,
			   const struct map *map)
{
	const struct node *key = map->keys[row - map->table->fields];
	const struct table *table = row->choose(map->out);
	if (!table) {
		diag_add(d->diags, key->pos, "'%s' does not go with the other fields of this %s", row->name,
			 map->table->name);
		return false;
	}
	void *inside = arena_alloc(d->arena, table->size);
	field_set_defaults(table, inside, d->arena);
	decode_map(d, table, node, key->pos, inside);
	*(void **)row_value(row, map->out) = inside;
	return true;
}

static void hide_lines(const struct decoding *d, const struct node *node)
{
	diags_hide(d->diags, node->pos);
	for (size_t i = 0; i < node->n; i++)
		hide_lines(d, node->items[i]);
}

static bool decode_struct(const struct decoding *d, const struct field *row, const struct node *key,
			  const struct node *node, void *out)
{
	size_t before = d->diags->n_total;
	if (node->type == NODE_MAP)
		decode_map(d, row->table, node, key->pos, out);
	else
		wrong_shape(d, row, node, "a map");
	if (row->table->hidden && d->diags->n_total > before)
		hide_lines(d, node);
	return true;
}

/* What a map has beside a secret may be that secret under another name. */
static bool has_secret(const struct table *table)
{
	for (size_t i = 0; i < table->n_fields; i++)
		if (table->fields[i].shape == FIELD_STRUCT && table->fields[i].table->hidden)
			return true;
	return false;
}

static bool decode_row(const struct decoding *d, const struct map *map, const struct field *row, const struct node *key,
		       const struct node *node)
{
	void *out = row_value(row, map->out);
	if (node->type == NODE_NULL) {
		no_value(d, row, key->pos);
		return false;
	}
	switch (row->shape) {
	case FIELD_SCALAR:
		return decode_scalar(d, row, node, out);
	case FIELD_LIST:
	case FIELD_STRUCTS:
		return decode_list(d, row, node, !streq(key->text, row->name), out);
	case FIELD_STRUCT:
		return decode_struct(d, row, key, node, out);
	case FIELD_VARIANT:
		return decode_variant(d, row, node, map);
	}
	return false;
}

/* Finds the row of each key; what is unknown or repeated is queued. Returns the rows' values. */
static void find_rows(const struct decoding *d, struct map *map, const struct node *node,
		      const struct node *values[static 64])
{
	for (size_t i = 0; i < node->n; i++) {
		const struct node *key = node->keys[i];
		const struct field *row = table_field(map->table, key->text);
		if (map->rest.keys && (!row || (row->flags & FIELD_BESIDE))) {
			map->rest.keys[map->rest.n] = node->keys[i];
			map->rest.items[map->rest.n++] = node->items[i];
			continue;
		}
		if (!row) {
			unknown_field(d, map->table, key);
			if (has_secret(map->table))
				hide_lines(d, node->items[i]);
			continue;
		}
		size_t index = (size_t)(row - map->table->fields);
		if (!map->keys[index]) {
			map->keys[index] = key;
			values[index] = node->items[i];
			continue;
		}
		struct diag *diag = diag_add(d->diags, key->pos, "'%s' says again what '%s' says", key->text,
					     map->keys[index]->text);
		diag_related(d->diags, diag, map->keys[index]->pos, "first set here");
		diag_hint(d->diags, diag, "keep one of the two");
	}
}

static void set_rest_aside(const struct decoding *d, struct map *map, const struct node *node)
{
	if (!table_beside(map->table))
		return;
	map->rest = (struct node){.type = NODE_MAP,
				  .pos = map->where,
				  .keys = arena_alloc(d->arena, (node->n + 1) * sizeof(*node->keys)),
				  .items = arena_alloc(d->arena, (node->n + 1) * sizeof(*node->items))};
}

/* Without the field that says which table it is, only what is in none of them is a fault of its own. */
static void decode_beside(const struct decoding *d, const struct map *map, const struct field *row)
{
	const struct table *table = row->choose(map->out);
	for (size_t i = 0; !table && i < map->rest.n; i++)
		if (!table_field_anywhere(map->table, map->rest.keys[i]->text))
			unknown_field(d, map->table, map->rest.keys[i]);
	if (!table)
		return;
	void *inside = arena_alloc(d->arena, table->size);
	field_set_defaults(table, inside, d->arena);
	decode_map(d, table, &map->rest, map->where, inside);
	*(void **)row_value(row, map->out) = inside;
	*present_of(map->out) |= row_bit(map->table, row);
}

/* `out` has its defaults. */
static void decode_map(const struct decoding *d, const struct table *table, const struct node *node, struct pos where,
		       void *out)
{
	struct map map = {.table = table, .out = out, .where = where};
	const struct node *values[64] = {0};
	if (node && node->type == NODE_MAP) {
		set_rest_aside(d, &map, node);
		find_rows(d, &map, node, values);
	} else if (node && node->type != NODE_NULL) {
		struct diag *diag =
			diag_add(d->diags, node->pos, "%s: expected a map, not %s", table->name, node_what(node));
		diag_hint(d->diags, diag, "known fields: %s", list_fields(d, table));
		return;
	}
	/* Variants come last: which table they have is said by rows that may stand behind them. */
	for (int variants = 0; variants < 2; variants++) {
		for (size_t i = 0; i < table->n_fields; i++) {
			const struct field *row = &table->fields[i];
			if (values[i] && (row->shape == FIELD_VARIANT) == variants &&
			    decode_row(d, &map, row, map.keys[i], values[i]))
				*present_of(out) |= 1ULL << i;
		}
	}
	const struct field *beside = table_beside(table);
	if (beside)
		decode_beside(d, &map, beside);
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if ((row->flags & FIELD_REQUIRED) && !values[i] && (row->shape != FIELD_VARIANT || row->choose(out)))
			missing_field(d, &map, row);
	}
}

static bool decode(const struct decoding *d, const struct table *table, const struct node *node, struct pos where,
		   void *out)
{
	size_t before = d->diags->n + d->diags->n_total;
	memset(out, 0, table->size);
	field_set_defaults(table, out, d->arena);
	decode_map(d, table, node, where, out);
	return d->diags->n + d->diags->n_total == before;
}

bool table_decode(const struct table *table, const struct node *node, struct pos where, const struct decode_into *into)
{
	struct decoding d = {into->arena, into->diags, false};
	return decode(&d, table, node, where, into->spec);
}

int table_from_json(const struct table *table, const json_t *json, struct arena *arena, void *out, struct err *err)
{
	struct diags diags = {.arena = arena};
	struct decoding d = {arena, &diags, true};
	struct pos nowhere = {0};
	if (decode(&d, table, json ? node_from_json(json, arena) : NULL, nowhere, out))
		return 0;
	const struct diag *diag = diags.items[0];
	return err_set(err, EINVAL, "%s%s%s%s", diag->text, diag->hint ? " (" : "", diag->hint ? diag->hint : "",
		       diag->hint ? ")" : "");
}
