/* SPDX-License-Identifier: Apache-2.0 */
/* Structs as JSON documents and as short text, by their tables. See field.h. */
#include "core/field-internal.h"
#include "core/json-text.h"

enum { SHORT_TEXT = 240, LONG_SHOWN = 40 };

static json_t *scalar_json(const struct field *row, const void *value)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *text = row->scalar->format(row, value, arena);
	if (!text)
		return NULL;
	switch (row->scalar->json) {
	case JSON_FORM_BOOL:
		return json_boolean(streq(text, "true"));
	case JSON_FORM_NUMBER: {
		errno = 0;
		long long n = strtoll(text, NULL, 10);
		return errno ? json_host_text(text) : json_integer(n); /* past 63 bits only text is exact */
	}
	case JSON_FORM_STRING:
		break;
	}
	return json_host_text(text);
}

static json_t *list_json(const struct field *row, const struct list *list, unsigned emit_flags)
{
	json_t *array = json_array();
	size_t size = field_item_size(row);
	for (size_t i = 0; i < list->n; i++) {
		const void *item = (const char *)list->items + i * size;
		json_t *json = row->shape == FIELD_STRUCTS ? table_to_json(row->table, item, emit_flags)
							   : scalar_json(row, item);
		if (json)
			json_array_append_new(array, json);
	}
	return array;
}

json_t *field_row_json(const struct field *row, const void *spec, unsigned emit_flags)
{
	const void *value = row_const(row, spec);
	const struct table *table;
	if ((row->flags & FIELD_SECRET) && !(emit_flags & EMIT_SECRETS))
		return json_string("***");
	switch (row->shape) {
	case FIELD_SCALAR:
		return scalar_json(row, value);
	case FIELD_LIST:
	case FIELD_STRUCTS:
		return list_json(row, value, emit_flags);
	case FIELD_STRUCT:
		return table_to_json(row->table, value, emit_flags);
	case FIELD_VARIANT:
		table = field_variant(row, spec);
		return table ? table_to_json(table, *(void *const *)value, emit_flags) : NULL;
	}
	return NULL;
}

json_t *table_to_json(const struct table *table, const void *spec, unsigned emit_flags)
{
	json_t *object = json_object();
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		bool present = is_present(spec, table, row);
		if (!present && !((emit_flags & EMIT_DEFAULTS) && (row->def || row->shape == FIELD_STRUCT)))
			continue;
		if ((row->flags & FIELD_STATUS) && (emit_flags & EMIT_NO_STATUS))
			continue;
		json_t *json = field_row_json(row, spec, emit_flags);
		if (!present && json_is_object(json) && json_object_size(json) == 0) {
			json_decref(json); /* an unset struct without defaults has nothing to show */
			continue;
		}
		if (json && (row->flags & FIELD_BESIDE)) {
			json_object_update_missing(object, json);
			json_decref(json);
		} else if (json) {
			json_object_set_new(object, row->name, json);
		}
	}
	return object;
}

/* Text that is cut between characters where it gets too long. */
struct text {
	char buf[SHORT_TEXT];
	size_t len;
	bool full;
};

/* The longest piece of at most `bound` bytes that ends between two characters. */
static size_t whole_chars(const char *text, size_t size, size_t bound)
{
	if (size <= bound)
		return size;
	while (bound && ((unsigned char)text[bound] & 0xc0) == 0x80)
		bound--;
	return bound;
}

static void add_text(struct text *text, const char *more, size_t bound)
{
	size_t size = strlen(more), shown = whole_chars(more, size, bound);
	size_t take = text->full ? 0 : whole_chars(more, shown, SHORT_TEXT - text->len);
	for (size_t i = 0; i < take; i++)
		text->buf[text->len++] = (unsigned char)more[i] < ' ' || more[i] == 0x7f ? ' ' : more[i];
	text->full = text->full || take < shown;
	if (shown < size)
		add_text(text, "...", SHORT_TEXT);
}

static void add_json(struct text *text, const json_t *json, size_t bound)
{
	char number[32];
	const char *key, *between = "";
	json_t *value;
	size_t i;
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		add_text(text, "{", SHORT_TEXT);
		json_object_foreach((json_t *)json, key, value) {
			add_text(text, between, SHORT_TEXT);
			add_text(text, key, SHORT_TEXT);
			add_text(text, ": ", SHORT_TEXT);
			add_json(text, value, bound);
			between = ", ";
		}
		add_text(text, "}", SHORT_TEXT);
		break;
	case JSON_ARRAY:
		add_text(text, "[", SHORT_TEXT);
		json_array_foreach(json, i, value) {
			add_text(text, i ? ", " : "", SHORT_TEXT);
			add_json(text, value, bound);
		}
		add_text(text, "]", SHORT_TEXT);
		break;
	case JSON_STRING:
		add_text(text, json_string_value(json), bound);
		break;
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json));
		add_text(text, number, SHORT_TEXT);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		add_text(text, json_is_true(json) ? "true" : "false", SHORT_TEXT);
		break;
	case JSON_REAL:
	case JSON_NULL:
		break;
	}
}

const char *table_row_text(const struct table *table, const void *spec, size_t row, struct arena *arena)
{
	const struct field *field = &table->fields[row];
	if (!spec || !is_present(spec, table, field))
		return "none";
	json_t *json = field_row_json(field, spec, 0);
	if (!json)
		return "none";
	struct text text = {0};
	add_json(&text, json, field->flags & FIELD_LONG ? LONG_SHOWN : SHORT_TEXT);
	json_decref(json);
	if (text.len == 0)
		return "none";
	return arena_printf(arena, "%.*s%s", (int)text.len, text.buf, text.full ? "..." : "");
}
