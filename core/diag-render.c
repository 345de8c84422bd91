/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics as text for people and as JSON for programs: see diag.h. Whatever is shown of a source or of a name in it
 * goes through show(), so that a manifest cannot send sequences to the terminal of whoever reads the error. */
#include "core/diag.h"
#include "core/utf8.h"

/* Code points of a line that are shown before and after the caret, and how many of them left of it at most. */
enum { WINDOW = 116, WINDOW_LEFT = 80 };

struct paint {
	const char *bold, *error, *note, *hint, *caret, *off;
};
static const struct paint plain = {"", "", "", "", "", ""};
static const struct paint colored = {"\033[1m", "\033[1;31m", "\033[1;36m", "\033[1;32m", "\033[1;31m", "\033[0m"};

/* Writes the code point at `s` so that it can be seen; returns its bytes, and in ret_columns what it took on the
 * screen. */
static size_t show_one(FILE *out, const char *s, size_t size, size_t *ret_columns)
{
	uint32_t c = 0;
	size_t len = utf8_decode(s, size, &c);
	int columns = 1;
	if (len == 0)
		columns = fprintf(out, "\\x%02x", (unsigned)(uint8_t)*s);
	else if (utf8_is_hidden(c) && c < 0x80)
		columns = fprintf(out, "\\x%02x", (unsigned)c);
	else if (utf8_is_hidden(c))
		columns = fprintf(out, "\\u%04x", (unsigned)c);
	else
		fwrite(s, 1, len, out);
	*ret_columns = columns > 0 ? (size_t)columns : 0;
	return len ? len : 1;
}

static void show(FILE *out, const char *text)
{
	size_t size = strlen(text), columns;
	for (size_t i = 0; i < size;)
		i += show_one(out, text + i, size - i, &columns);
}

static const char *source_name(const struct source *source)
{
	return streq(source->name, "-") ? "<stdin>" : source->name;
}

static void show_place(FILE *out, const struct pos *pos, const struct paint *paint)
{
	if (!pos->source)
		return;
	fputs(paint->bold, out);
	show(out, source_name(pos->source));
	if (pos->line)
		fprintf(out, ":%u", pos->line);
	if (pos->line && pos->column)
		fprintf(out, ":%u", pos->column);
	fprintf(out, ":%s ", paint->off);
}

/* The part of a line that is shown, in code points: [first, end). */
struct window {
	size_t first, end;
	bool cut_left, cut_right;
};

static struct window window_around(size_t n_line, size_t caret, size_t width)
{
	struct window w = {0, n_line, false, false};
	if (n_line <= WINDOW)
		return w;
	if (width > WINDOW - WINDOW_LEFT)
		width = WINDOW - WINDOW_LEFT;
	if (caret + width > WINDOW)
		w.first = caret > WINDOW_LEFT ? caret - WINDOW_LEFT : 0;
	if (w.first + WINDOW > n_line)
		w.first = n_line - WINDOW;
	w.end = w.first + WINDOW;
	w.cut_left = w.first > 0;
	w.cut_right = w.end < n_line;
	return w;
}

/* What the line under the source line looks like: the same tabs, blanks as wide as what is above, then the caret. */
static void underline(FILE *carets, size_t columns, bool is_tab, int where)
{
	if (where < 0 && is_tab)
		fputc('\t', carets);
	for (size_t i = 0; i < columns && !(where < 0 && is_tab); i++)
		fputc(where < 0 ? ' ' : where == 0 && i == 0 ? '^' : '~', carets);
}

static void show_window(FILE *out, FILE *carets, const char *line, size_t size, const struct pos *pos)
{
	size_t caret = pos->column - 1, width = pos->width ? pos->width : 1;
	size_t n_line = utf8_count(line, size);
	if (caret > n_line)
		caret = n_line;
	struct window w = window_around(n_line, caret, width);
	bool done = false;
	fputs(w.cut_left ? "..." : "", out);
	fputs(w.cut_left ? "   " : "", carets);
	for (size_t i = 0, at = 0; at < size && i < w.end; i++) {
		size_t columns = 1;
		bool is_tab = line[at] == '\t';
		uint32_t c;
		size_t len = utf8_decode(line + at, size - at, &c);
		if (i < w.first) {
			at += len ? len : 1;
			continue;
		}
		if (is_tab)
			fputc('\t', out);
		else
			show_one(out, line + at, size - at, &columns);
		at += len ? len : 1;
		/* An underline that met a tab or its end is over; the caret itself is shown in any case. */
		done = done || i >= caret + width || (is_tab && i > caret);
		if (!done)
			underline(carets, columns, is_tab, i < caret ? -1 : i == caret ? 0 : 1);
	}
	fputs(w.cut_right ? "..." : "", out);
	if (caret == n_line)
		fputc('^', carets);
}

static bool is_hidden(const struct diags *diags, const struct pos *pos)
{
	for (size_t i = 0; i < diags->n_hidden && i < DIAG_HIDDEN_MAX; i++)
		if (diags->hidden[i].source == pos->source && diags->hidden[i].line == pos->line)
			return true;
	return diags->n_hidden > DIAG_HIDDEN_MAX;
}

static void show_source(FILE *out, const struct pos *pos, const struct paint *paint)
{
	const char *line;
	size_t size;
	if (!pos->source || !pos->source->text || !pos->line || !pos->column ||
	    !source_line(pos->source, pos->line, &line, &size))
		return;
	cleanup_free char *carets = NULL;
	size_t carets_size;
	FILE *under = open_memstream(&carets, &carets_size);
	if (!under)
		abort();
	int number_width = fprintf(out, "%4u", pos->line);
	fputs(" | ", out);
	show_window(out, under, line, size, pos);
	fclose(under);
	fprintf(out, "\n%*s | %s%s%s\n", number_width, "", paint->caret, carets, paint->off);
}

static void show_diag(FILE *out, const struct diags *diags, const struct diag *diag, const struct paint *paint)
{
	show_place(out, &diag->pos, paint);
	fprintf(out, "%serror:%s ", paint->error, paint->off);
	show(out, diag->text);
	fputc('\n', out);
	if (!is_hidden(diags, &diag->pos))
		show_source(out, &diag->pos, paint);
	if (diag->hint) {
		fprintf(out, "  %shint:%s ", paint->hint, paint->off);
		show(out, diag->hint);
		fputc('\n', out);
	}
	for (size_t i = 0; i < diag->n_related; i++) {
		show_place(out, &diag->related[i].pos, paint);
		fprintf(out, "%snote:%s ", paint->note, paint->off);
		show(out, diag->related[i].text);
		fputc('\n', out);
	}
}

char *diags_render(const struct diags *diags, bool color)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	for (size_t i = 0; i < diags->n; i++)
		show_diag(out, diags, diags->items[i], color ? &colored : &plain);
	if (diags->n_total > diags->n)
		fprintf(out, "and %zu more\n", diags->n_total - diags->n);
	fclose(out);
	return text;
}

/* A JSON string may hold UTF-8 alone, and what is shown of it will meet a terminal too. */
static json_t *json_shown(const char *text)
{
	cleanup_free char *shown = NULL;
	size_t size;
	FILE *out = open_memstream(&shown, &size);
	if (!out)
		abort();
	show(out, text);
	fclose(out);
	return json_string(shown);
}

static json_t *place_to_json(const struct pos *pos, const char *text)
{
	json_t *json = json_object();
	if (pos->source)
		json_object_set_new(json, "file", json_shown(source_name(pos->source)));
	if (pos->source && pos->line)
		json_object_set_new(json, "line", json_integer(pos->line));
	if (pos->source && pos->line && pos->column)
		json_object_set_new(json, "column", json_integer(pos->column));
	json_object_set_new(json, "message", json_shown(text));
	return json;
}

json_t *diags_to_json(const struct diags *diags)
{
	json_t *list = json_array();
	for (size_t i = 0; i < diags->n; i++) {
		const struct diag *diag = diags->items[i];
		json_t *item = place_to_json(&diag->pos, diag->text);
		if (diag->hint)
			json_object_set_new(item, "hint", json_shown(diag->hint));
		json_t *related = json_array();
		for (size_t k = 0; k < diag->n_related; k++)
			json_array_append_new(related, place_to_json(&diag->related[k].pos, diag->related[k].text));
		json_object_set_new(item, "related", related);
		json_array_append_new(list, item);
	}
	return list;
}
