/* SPDX-License-Identifier: Apache-2.0 */
/* The picture in the language of Graphviz: records for cards, with a port for each row. See graph.h. */
#include "cli/graph.h"
#include "cli/terminal.h"

/* In the label of a record, within quotes. */
static void put_label(FILE *f, const char *text)
{
	cleanup_free char *visible = text_visible(text, false);
	for (const char *c = visible; *c; c++) {
		if (strchr("\"\\{}|<> ", *c))
			fputc('\\', f);
		fputc(*c, f);
	}
}

static void write_card(FILE *f, const struct graph_card *card, size_t index)
{
	static const char *const colors[] = {[STATE_GOOD] = "#16a34a",
					     [STATE_WAITING] = "#d97706",
					     [STATE_BAD] = "#dc2626",
					     [STATE_NONE] = "#64748b"};
	fprintf(f, "  c%zu [color=\"%s\", label=\"", index, colors[card->state]);
	put_label(f, card->over);
	fputs("\\n", f);
	put_label(f, card->title);
	for (size_t i = 0; i < card->n_rows; i++) {
		fprintf(f, "|<r%zu> ", i);
		put_label(f, card->rows[i].text);
		fputs(*card->rows[i].text && *card->rows[i].detail ? "\\ \\ " : "", f);
		put_label(f, card->rows[i].detail);
	}
	fputs("\"];\n", f);
}

static void write_end(FILE *f, size_t card, int row)
{
	if (row == ROW_NONE)
		fprintf(f, "c%zu", card);
	else
		fprintf(f, "c%zu:r%d", card, row);
}

void graph_write_dot(const struct graph *graph, FILE *f)
{
	fputs("graph weft {\n"
	      "  rankdir=LR;\n"
	      "  ranksep=1;\n"
	      "  node [shape=record, fontname=\"sans-serif\", fontsize=11];\n",
	      f);
	for (size_t i = 0; i < graph->n_cards; i++)
		write_card(f, &graph->cards[i], i);
	for (size_t i = 0; i < graph->n_wires; i++) {
		fputs("  ", f);
		write_end(f, graph->wires[i].from, graph->wires[i].from_row);
		fputs(" -- ", f);
		write_end(f, graph->wires[i].to, graph->wires[i].to_row);
		fputs(";\n", f);
	}
	fputs("}\n", f);
}
