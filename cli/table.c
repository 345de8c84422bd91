/* SPDX-License-Identifier: Apache-2.0 */
/* See table.h. */
#include "cli/table.h"

#include "core/utf8.h"

enum { GAP = 2, COLUMN_MIN = 6, FIRST_MIN = 12 };

struct cell {
	char *text;
	enum style style;
};

struct text_table {
	size_t n_columns;
	struct cell *cells; /* the first row are the headings */
	size_t n, cap;
};

static void add_cell(struct text_table *table, enum style style, const char *text)
{
	grow(table->cells, table->n, table->cap);
	table->cells[table->n++] = (struct cell){text_visible(text && *text ? text : "-", false), style};
}

struct text_table *text_table_new(const char *const *headings, size_t n_columns)
{
	struct text_table *table = xcalloc(1, sizeof(*table));
	table->n_columns = n_columns;
	for (size_t i = 0; i < n_columns; i++)
		add_cell(table, STYLE_STRONG, headings[i]);
	return table;
}

struct text_table *text_table_free(struct text_table *table)
{
	if (!table)
		return NULL;
	for (size_t i = 0; i < table->n; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
	return NULL;
}

void text_table_cell(struct text_table *table, enum style style, const char *text)
{
	add_cell(table, text && *text ? style : STYLE_FAINT, text);
}

size_t text_table_rows(const struct text_table *table)
{
	return table->n / table->n_columns - 1;
}

static size_t least_width(const struct text_table *table, size_t column)
{
	size_t heading = text_columns(table->cells[column].text);
	size_t least = column == 0 ? FIRST_MIN : COLUMN_MIN;
	return heading > least ? heading : least;
}

/* The column that is to give way: the widest one that can, the first one only if no other can. */
static size_t column_to_cut(const struct text_table *table, const size_t *widths)
{
	size_t best = table->n_columns;
	for (size_t i = 1; i < table->n_columns; i++)
		if (widths[i] > least_width(table, i) && (best == table->n_columns || widths[i] >= widths[best]))
			best = i;
	if (best == table->n_columns && widths[0] > least_width(table, 0))
		best = 0;
	return best;
}

static void fit(const struct text_table *table, size_t *widths, size_t room)
{
	size_t total = 0;
	for (size_t i = 0; i < table->n; i++) {
		size_t columns = text_columns(table->cells[i].text);
		if (columns > widths[i % table->n_columns])
			widths[i % table->n_columns] = columns;
	}
	for (size_t i = 0; i < table->n_columns; i++)
		total += widths[i] + (i ? GAP : 0);
	for (; room && total > room; total--) {
		size_t column = column_to_cut(table, widths);
		if (column == table->n_columns)
			return;
		widths[column]--;
	}
}

/* The bytes of a text's first code points. */
static size_t bytes_of(const char *text, size_t columns)
{
	size_t size = strlen(text), i = 0;
	uint32_t c;
	for (; columns && i < size; columns--)
		i += utf8_decode(text + i, size - i, &c);
	return i;
}

static void print_cell(FILE *f, const struct cell *cell, size_t width, const struct terminal *terminal)
{
	const char *ellipsis = terminal->utf8 ? "\u2026" : "~";
	bool cut = text_columns(cell->text) > width;
	fprintf(f, "%s%.*s%s%s", style_on(terminal, cell->style), (int)bytes_of(cell->text, cut ? width - 1 : width),
		cell->text, cut ? ellipsis : "", style_off(terminal, cell->style));
}

char *text_table_render(const struct text_table *table, const struct terminal *terminal)
{
	char *out = NULL;
	size_t size = 0;
	cleanup_free size_t *widths = xcalloc(table->n_columns, sizeof(*widths));
	fit(table, widths, terminal->width);
	FILE *f = open_memstream(&out, &size);
	if (!f)
		abort();
	for (size_t i = 0; i < table->n; i++) {
		size_t column = i % table->n_columns, columns = text_columns(table->cells[i].text);
		bool last = column + 1 == table->n_columns;
		print_cell(f, &table->cells[i], widths[column], terminal);
		if (!last)
			fprintf(f, "%*s", (int)(GAP + (columns < widths[column] ? widths[column] - columns : 0)), "");
		else
			fputc('\n', f);
	}
	fclose(f);
	return out;
}

void text_table_print(const struct text_table *table)
{
	struct terminal terminal = terminal_of(stdout);
	cleanup_free char *text = text_table_render(table, &terminal);
	fputs(text, stdout);
}
