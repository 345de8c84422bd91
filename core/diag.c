/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of diagnostics: see diag.h. How they are printed is in diag-render.c. */
#include "core/diag.h"
#include "core/utf8.h"

#include <ctype.h>
#include <strings.h>

/* Texts quote what people wrote, which may be of any length. */
enum { TEXT_MAX = 600 };

static const char *text_bounded(struct arena *arena, const char *fmt, va_list args)
{
	char text[TEXT_MAX + 4];
	int len = vsnprintf(text, TEXT_MAX, fmt, args);
	if (len < TEXT_MAX)
		return arena_strdup(arena, text);
	size_t end = TEXT_MAX - 1;
	while (end > 0 && ((uint8_t)text[end] & 0xc0) == 0x80)
		end--;
	strcpy(text + end, "...");
	return arena_strdup(arena, text);
}

struct diag *diag_add(struct diags *diags, struct pos pos, const char *fmt, ...)
{
	diags->n_total++;
	if (diags->n >= DIAGS_MAX) {
		diags->scratch = (struct diag){0};
		return &diags->scratch;
	}
	struct diag *diag = arena_new_of(diags->arena, struct diag);
	va_list args;
	va_start(args, fmt);
	diag->text = text_bounded(diags->arena, fmt, args);
	va_end(args);
	diag->pos = pos;
	diags->items[diags->n++] = diag;
	return diag;
}

void diag_hint(struct diags *diags, struct diag *diag, const char *fmt, ...)
{
	if (diag == &diags->scratch)
		return;
	va_list args;
	va_start(args, fmt);
	diag->hint = text_bounded(diags->arena, fmt, args);
	va_end(args);
}

void diag_related(struct diags *diags, struct diag *diag, struct pos pos, const char *fmt, ...)
{
	if (diag == &diags->scratch || diag->n_related >= DIAG_RELATED_MAX)
		return;
	va_list args;
	va_start(args, fmt);
	diag->related[diag->n_related].text = text_bounded(diags->arena, fmt, args);
	va_end(args);
	diag->related[diag->n_related++].pos = pos;
}

static int compare_pos(const struct pos *a, const struct pos *b)
{
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return 0;
}

/* An insertion sort: there are few, and those at one position stay in the order in which they were found. */
static void sort_group(struct diag **items, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct diag *diag = items[i];
		size_t at = i;
		for (; at > 0 && compare_pos(&items[at - 1]->pos, &diag->pos) > 0; at--)
			items[at] = items[at - 1];
		items[at] = diag;
	}
}

void diags_hide(struct diags *diags, struct pos pos)
{
	if (diags->n_hidden < DIAG_HIDDEN_MAX)
		diags->hidden[diags->n_hidden] = pos;
	diags->n_hidden++;
}

void diags_sort(struct diags *diags)
{
	struct diag *sorted[DIAGS_MAX];
	bool taken[DIAGS_MAX] = {false};
	size_t n = 0;
	for (size_t i = 0; i < diags->n; i++) {
		size_t first = n;
		for (size_t k = i; k < diags->n; k++) {
			if (taken[k] || diags->items[k]->pos.source != diags->items[i]->pos.source)
				continue;
			taken[k] = true;
			sorted[n++] = diags->items[k];
		}
		sort_group(sorted + first, n - first);
	}
	memcpy(diags->items, sorted, n * sizeof(sorted[0]));
}

bool source_line(const struct source *source, unsigned line, const char **ret, size_t *ret_size)
{
	const char *at = source->text, *end = source->text + source->size;
	uint32_t c;
	if (utf8_decode(at, source->size, &c) == 3 && c == 0xfeff)
		at += 3;
	for (unsigned n = 1; n < line; n++) {
		size_t len = 0;
		while (at < end && (len = utf8_break(at, (size_t)(end - at))) == 0)
			at++;
		if (at >= end)
			return false;
		at += len;
	}
	const char *stop = at;
	while (stop < end && utf8_break(stop, (size_t)(end - stop)) == 0)
		stop++;
	*ret = at;
	*ret_size = (size_t)(stop - at);
	return true;
}

enum { NAME_MAX_NEAR = 40 };

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

/* Damerau-Levenshtein (optimal string alignment): insertions, deletions, substitutions, neighbours exchanged. */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][NAME_MAX_NEAR + 1];
	for (size_t k = 0; k <= b_len; k++)
		rows[0][k] = (unsigned)k;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t k = 1; k <= b_len; k++) {
			int x = tolower((uint8_t)a[i - 1]), y = tolower((uint8_t)b[k - 1]);
			row[k] = smallest(above[k] + 1, row[k - 1] + 1, above[k - 1] + (x != y));
			bool exchanged =
				i > 1 && k > 1 && x == tolower((uint8_t)b[k - 2]) && y == tolower((uint8_t)a[i - 2]);
			if (exchanged && above2[k - 2] + 1 < row[k])
				row[k] = above2[k - 2] + 1;
		}
	}
	return rows[a_len % 3][b_len];
}

/* How far apart two names may be for one to be a slip of the other: a third of the longer one. One that is the
 * beginning of the other ("proto") counts as one slip, but after every real one. Returns UINT_MAX if they are too far
 * apart. */
static unsigned slip(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);
	size_t longer = a_len > b_len ? a_len : b_len, shorter = a_len < b_len ? a_len : b_len;
	if (longer > NAME_MAX_NEAR || shorter == 0)
		return UINT32_MAX;
	unsigned distance = edit_distance(a, a_len, b, b_len);
	unsigned limit = longer < 3 ? 0 : longer < 6 ? 1 : longer < 9 ? 2 : 3;
	if (distance <= limit)
		return distance;
	if (shorter >= 3 && strncasecmp(a, b, shorter) == 0)
		return NAME_MAX_NEAR + distance;
	return UINT32_MAX;
}

const char *nearest_name(const char *name, const char *const *names, size_t n_names)
{
	const char *best = NULL;
	unsigned least = UINT32_MAX;
	for (size_t i = 0; i < n_names; i++) {
		unsigned distance = slip(name, names[i]);
		if (distance >= least)
			continue;
		least = distance;
		best = names[i];
	}
	return best;
}
