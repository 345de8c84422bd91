/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of a host: cards in columns (ports, links, guests, pools) with wires between them. graph.c makes it of
 * what weftd tells, graph-layout.c gives each card its place, graph-svg.c and graph-dot.c write it. */
#ifndef WEFT_CLI_GRAPH_H
#define WEFT_CLI_GRAPH_H

#include <jansson.h>

#include "core/util.h"

enum card_type { CARD_PORT, CARD_LINK, CARD_GUEST, CARD_POOL, CARD_OTHER };
enum card_state { STATE_GOOD, STATE_WAITING, STATE_BAD, STATE_NONE };

struct graph_row {
	char *text, *detail; /* detail may be "" */
};
struct graph_card {
	enum card_type type;
	char *id;   /* of the node that it stands for */
	char *over; /* small, above the title: "Network, nat" */
	char *title;
	enum card_state state;
	struct graph_row *rows;
	size_t n_rows, cap_rows;
	unsigned column;
	unsigned hue; /* of a link: wires to it have its colour */
	/* Set by the layout. */
	double x, y, width, height;
};

enum { ROW_NONE = -1 };
/* Always from a card in a column further left. */
struct graph_wire {
	size_t from, to; /* cards */
	int from_row, to_row;
	unsigned hue;
	double x1, y1, x2, y2;
};

struct graph {
	struct graph_card *cards;
	size_t n_cards, cap_cards;
	struct graph_wire *wires;
	size_t n_wires, cap_wires;
	unsigned n_columns;
	double width, height;
};

/* Of the answers of /v1/topology, /v1/objects and /v1/leases. */
struct graph *graph_new(const json_t *topology, const json_t *objects, const json_t *leases);
struct graph *graph_free(struct graph *graph);

/* Measures of the drawing, for layout and svg alike. */
enum {
	CARD_PADDING = 14,
	CARD_HEAD = 56, /* height of the two lines at its top */
	ROW_HEIGHT = 21,
};
void graph_layout(struct graph *graph);
/* Where a row of a card is, or its head (ROW_NONE). */
double graph_row_y(const struct graph_card *card, int row);
/* What of a text fits so many characters, with an ellipsis; freed by the caller. */
enum { TEXT_MAX = 34 };
char *graph_fit(const char *text, size_t max);

void graph_write_svg(const struct graph *graph, FILE *f);
void graph_write_dot(const struct graph *graph, FILE *f);

#endif
