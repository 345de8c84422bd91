/* SPDX-License-Identifier: Apache-2.0 */
/* Where the cards of a picture stand. Columns are given; in its column a card comes as near as it can to the middle of
 * what it is wired to, and columns are gone through a few times, to the right and back, so that wires cross little. */
#include "cli/graph.h"

#include <math.h>

#include "core/utf8.h"

enum {
	MARGIN = 32,
	GAP = 22,        /* between cards of a column */
	COLUMN_GAP = 96, /* room for wires */
	WIDTH_MIN = 170,
	SWEEPS = 8,
};

static size_t columns_of(const char *text)
{
	size_t n = utf8_count(text, strlen(text));
	return n > TEXT_MAX ? TEXT_MAX : n;
}

char *graph_fit(const char *text, size_t max)
{
	size_t size = strlen(text), at = 0;
	uint32_t c;
	if (utf8_count(text, size) <= max)
		return xstrdup(text);
	for (size_t n = 1; n < max; n++) {
		size_t len = utf8_decode(text + at, size - at, &c);
		at += len ? len : 1;
	}
	return xprintf("%.*s\u2026", (int)at, text);
}

/* Widths are guesses about fonts that are not known here, on the large side. */
static double card_width(const struct graph_card *card)
{
	enum { MONO = 8, TITLE = 10, OVER = 7, DOT = 24 };
	double width = WIDTH_MIN, title = (double)columns_of(card->title) * TITLE + DOT,
	       over = (double)columns_of(card->over) * OVER;
	width = fmax(width, fmax(title, over) + 2 * CARD_PADDING);
	for (size_t i = 0; i < card->n_rows; i++) {
		size_t n = columns_of(card->rows[i].text) + columns_of(card->rows[i].detail) + 2;
		width = fmax(width, (double)n * MONO + 2 * CARD_PADDING);
	}
	return width;
}

static void measure(struct graph *graph)
{
	cleanup_free double *widths = xcalloc(graph->n_columns, sizeof(*widths));
	for (size_t i = 0; i < graph->n_cards; i++) {
		struct graph_card *card = &graph->cards[i];
		card->height = CARD_HEAD + (double)card->n_rows * ROW_HEIGHT + (card->n_rows ? CARD_PADDING : 4);
		widths[card->column] = fmax(widths[card->column], card_width(card));
	}
	double x = MARGIN;
	for (unsigned column = 0; column < graph->n_columns; column++) {
		for (size_t i = 0; i < graph->n_cards; i++)
			if (graph->cards[i].column == column) {
				graph->cards[i].x = x;
				graph->cards[i].width = widths[column];
			}
		x += widths[column] > 0 ? widths[column] + COLUMN_GAP : 0;
	}
	graph->width = fmax(x - COLUMN_GAP + MARGIN, 360);
}

double graph_row_y(const struct graph_card *card, int row)
{
	return row == ROW_NONE ? card->y + CARD_HEAD / 2.0 : card->y + CARD_HEAD + (row + 0.5) * ROW_HEIGHT;
}

/* ---- one column ---- */

struct place {
	struct graph_card *card;
	double wanted; /* y of its top */
	size_t order;  /* for those that do not care */
};

static int by_wanted(const void *a, const void *b)
{
	const struct place *left = a, *right = b;
	if (left->wanted != right->wanted)
		return left->wanted < right->wanted ? -1 : 1;
	return left->order < right->order ? -1 : 1;
}

/* The middle of what it is wired to, less where its own end of the wire is. */
static bool wanted_top(const struct graph *graph, const struct graph_card *card, double *ret)
{
	double sum = 0;
	size_t n = 0;
	for (size_t i = 0; i < graph->n_wires; i++) {
		const struct graph_wire *wire = &graph->wires[i];
		const struct graph_card *from = &graph->cards[wire->from], *to = &graph->cards[wire->to];
		if (from != card && to != card)
			continue;
		double own = graph_row_y(card, from == card ? wire->from_row : wire->to_row) - card->y;
		sum += (from == card ? graph_row_y(to, wire->to_row) : graph_row_y(from, wire->from_row)) - own;
		n++;
	}
	if (n)
		*ret = sum / (double)n;
	return n > 0;
}

/* Below each other as near to the wanted places as there is room, then all moved by what they are off on average. */
static void stack(struct place *places, size_t n)
{
	double y = -INFINITY, off = 0;
	qsort(places, n, sizeof(*places), by_wanted);
	for (size_t i = 0; i < n; i++) {
		places[i].card->y = fmax(y, places[i].wanted);
		y = places[i].card->y + places[i].card->height + GAP;
		off += places[i].wanted - places[i].card->y;
	}
	for (size_t i = 0; n && i < n; i++)
		places[i].card->y += off / (double)n;
}

static void place_column(struct graph *graph, unsigned column)
{
	cleanup_free struct place *places = xcalloc(graph->n_cards + 1, sizeof(*places));
	size_t n = 0;
	for (size_t i = 0; i < graph->n_cards; i++) {
		struct graph_card *card = &graph->cards[i];
		if (card->column != column)
			continue;
		places[n] = (struct place){.card = card, .wanted = card->y, .order = i};
		wanted_top(graph, card, &places[n].wanted);
		n++;
	}
	stack(places, n);
}

static void stack_all(struct graph *graph)
{
	for (unsigned column = 0; column < graph->n_columns; column++) {
		double y = MARGIN;
		for (size_t i = 0; i < graph->n_cards; i++)
			if (graph->cards[i].column == column) {
				graph->cards[i].y = y;
				y += graph->cards[i].height + GAP;
			}
	}
}

/* ---- wires ---- */

/* Wires that leave a card's head are spread along its side, in the order of where they go. */
static double spread(const struct graph *graph, size_t index)
{
	const struct graph_wire *wire = &graph->wires[index];
	const struct graph_card *card = &graph->cards[wire->from];
	size_t n = 0, before = 0;
	for (size_t i = 0; i < graph->n_wires; i++) {
		const struct graph_wire *other = &graph->wires[i];
		if (other->from != wire->from || other->from_row != ROW_NONE)
			continue;
		n++;
		before += other->y2 < wire->y2 || (other->y2 == wire->y2 && i < index);
	}
	return card->y + card->height * (double)(before + 1) / (double)(n + 1);
}

static void place_wires(struct graph *graph)
{
	for (size_t i = 0; i < graph->n_wires; i++) {
		struct graph_wire *wire = &graph->wires[i];
		const struct graph_card *from = &graph->cards[wire->from], *to = &graph->cards[wire->to];
		wire->x1 = from->x + from->width;
		wire->y1 = graph_row_y(from, wire->from_row);
		wire->x2 = to->x;
		wire->y2 = graph_row_y(to, wire->to_row);
	}
	for (size_t i = 0; i < graph->n_wires; i++)
		if (graph->wires[i].from_row == ROW_NONE)
			graph->wires[i].y1 = spread(graph, i);
}

void graph_layout(struct graph *graph)
{
	double top = INFINITY, bottom = 0;
	measure(graph);
	stack_all(graph);
	for (int sweep = 0; sweep < SWEEPS; sweep++) {
		for (unsigned column = 0; column < graph->n_columns; column++)
			place_column(graph, column);
		for (unsigned column = graph->n_columns; column-- > 0;)
			place_column(graph, column);
	}
	for (size_t i = 0; i < graph->n_cards; i++) {
		top = fmin(top, graph->cards[i].y);
		bottom = fmax(bottom, graph->cards[i].y + graph->cards[i].height);
	}
	for (size_t i = 0; i < graph->n_cards; i++)
		graph->cards[i].y += MARGIN - top;
	graph->height = graph->n_cards ? bottom - top + 2 * MARGIN : 140;
	place_wires(graph);
}
