/* SPDX-License-Identifier: Apache-2.0 */
/* See columns.h. */
#include "cli/columns.h"

#include <ctype.h>

#include "cli/json.h"

enum { COLUMNS_MAX = 24 };

struct columns {
	char *headings[COLUMNS_MAX];
	char *paths[COLUMNS_MAX]; /* of those that the kind names; NULL: one of ours */
	size_t n;
};

json_t *column_value(const json_t *object, const char *path)
{
	json_t *value = json_at(object, path), *rows;
	const char *class;
	if (value || !str_starts(path, "status."))
		return value;
	json_t *details = json_at(object, "status.details");
	json_object_foreach(details, class, rows) {
		value = json_at(rows, path + strlen("status."));
		if (value)
			return value;
	}
	return json_at(details, path + strlen("status."));
}

/* "spec.cpu.count" is CPU, "status.runState" RUN-STATE: the second word says what it is, further ones only which part
 * of it. */
static char *heading_of(const char *path)
{
	const char *start = strchr(path, '.');
	start = start ? start + 1 : path;
	size_t size = strcspn(start, "."), n = 0;
	char *heading = xcalloc(size * 2 + 1, 1);
	for (size_t i = 0; i < size; i++) {
		if (isupper((unsigned char)start[i]))
			heading[n++] = '-';
		heading[n++] = (char)toupper((unsigned char)start[i]);
	}
	return heading;
}

static void add_column(struct columns *columns, char *heading, char *path)
{
	if (columns->n == COLUMNS_MAX) {
		free(heading);
		free(path);
		return;
	}
	columns->headings[columns->n] = heading;
	columns->paths[columns->n++] = path;
}

static void add_kind_columns(struct columns *columns, const json_t *kind)
{
	const char *list = json_text(kind, "columns");
	cleanup_free char *copy = xstrdup(list ? list : "");
	char *rest = copy;
	for (char *path; (path = strsep(&rest, ", "));)
		if (*path)
			add_column(columns, heading_of(path), xstrdup(path));
}

static void columns_clear(struct columns *columns)
{
	for (size_t i = 0; i < columns->n; i++) {
		free(columns->headings[i]);
		free(columns->paths[i]);
	}
}

static void ready_cell(struct text_table *table, const json_t *object)
{
	const json_t *ready = object_condition(object, "Ready");
	const char *text = ready ? json_text(ready, "status") : "Unknown";
	text_table_cell(table, streq(text, "True") ? STYLE_GOOD : STYLE_BAD, text);
}

static void wide_cells(struct text_table *table, const json_t *object)
{
	static const char *const paths[] = {"metadata.set", "metadata.generation", "status.repairs"};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		cleanup_free char *text = json_line(json_at(object, paths[i]));
		text_table_cell(table, STYLE_PLAIN, text);
	}
	const char *since = json_text(object_condition(object, "Ready"), "since");
	cleanup_free char *age = since ? time_ago(since) : NULL;
	text_table_cell(table, STYLE_PLAIN, age);
}

static bool any_note(const json_t *objects)
{
	const json_t *object;
	size_t i;
	json_array_foreach(objects, i, object) {
		cleanup_free char *note = object_note(object);
		if (note)
			return true;
	}
	return false;
}

static void add_row(struct text_table *table, const json_t *object, const struct columns *columns, bool any_kind)
{
	cleanup_free char *label = object_label(object);
	text_table_cell(table, STYLE_PLAIN, any_kind ? label : json_text(object, "metadata.name"));
	ready_cell(table, object);
	for (size_t i = 0; i < columns->n; i++) {
		cleanup_free char *text = columns->paths[i] ? json_line(column_value(object, columns->paths[i])) : NULL;
		if (columns->paths[i])
			text_table_cell(table, STYLE_PLAIN, text);
	}
}

struct text_table *objects_table(const json_t *objects, const json_t *kind, bool wide)
{
	static const char *const of_wide[] = {"SET", "GENERATION", "REPAIRS", "SINCE"};
	bool notes = any_note(objects);
	struct columns columns = {0};
	const json_t *object;
	size_t i;
	add_column(&columns, xstrdup("NAME"), NULL);
	add_column(&columns, xstrdup("READY"), NULL);
	add_kind_columns(&columns, kind);
	for (i = 0; wide && i < ARRAY_SIZE(of_wide); i++)
		add_column(&columns, xstrdup(of_wide[i]), NULL);
	if (notes)
		add_column(&columns, xstrdup("NOTE"), NULL);
	struct text_table *table = text_table_new((const char *const *)columns.headings, columns.n);
	json_array_foreach(objects, i, object) {
		cleanup_free char *note = object_note(object);
		add_row(table, object, &columns, !kind);
		if (wide)
			wide_cells(table, object);
		if (notes)
			text_table_cell(table, object_is_ready(object) ? STYLE_NOTE : STYLE_WARN, note ? note : " ");
	}
	columns_clear(&columns);
	return table;
}
