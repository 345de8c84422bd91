/* SPDX-License-Identifier: Apache-2.0 */
/* The picture as SVG that needs nothing else, for light and dark backgrounds. See graph.h. */
#include "cli/graph.h"
#include "cli/terminal.h"

static const char style[] =
	"<style>\n"
	"text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
	".row,.detail{font-family:ui-monospace,SFMono-Regular,Menlo,'DejaVu Sans Mono',monospace;font-size:12px}\n"
	".over{font-size:11px;letter-spacing:.02em}\n"
	".title{font-size:16px;font-weight:600}\n"
	".wire{fill:none;stroke-width:2;stroke-linecap:round}\n"
	".card{stroke-width:1}\n"
	".bg{fill:#ffffff}.card{fill:#f8fafc;stroke:#cbd5e1}.rule{stroke:#e2e8f0}\n"
	".title{fill:#0f172a}.row{fill:#1e293b}.over,.detail{fill:#526074}\n"
	".h0{stroke:#94a3b8}.f0{fill:#94a3b8}.h1{stroke:#2563eb}.f1{fill:#2563eb}.h2{stroke:#0d9488}.f2{fill:#0d9488}\n"
	".h3{stroke:#9333ea}.f3{fill:#9333ea}.h4{stroke:#ea580c}.f4{fill:#ea580c}.h5{stroke:#db2777}.f5{fill:#db2777}\n"
	".h6{stroke:#65a30d}.f6{fill:#65a30d}\n"
	".good{fill:#16a34a}.waiting{fill:#d97706}.bad{fill:#dc2626}\n"
	"@media (prefers-color-scheme:dark){\n"
	".bg{fill:#0b1220}.card{fill:#172033;stroke:#3b4a63}.rule{stroke:#2b3850}\n"
	".title{fill:#f1f5f9}.row{fill:#e2e8f0}.over,.detail{fill:#a3b1c6}\n"
	".h0{stroke:#64748b}.f0{fill:#64748b}.h1{stroke:#60a5fa}.f1{fill:#60a5fa}.h2{stroke:#2dd4bf}.f2{fill:#2dd4bf}\n"
	".h3{stroke:#c084fc}.f3{fill:#c084fc}.h4{stroke:#fb923c}.f4{fill:#fb923c}.h5{stroke:#f472b6}.f5{fill:#f472b6}\n"
	".h6{stroke:#a3e635}.f6{fill:#a3e635}\n"
	".good{fill:#4ade80}.waiting{fill:#fbbf24}.bad{fill:#f87171}\n"
	"}\n"
	"</style>\n";

enum { HUES = 6 };

/* 0 is what has no colour of its own; links take turns. */
static unsigned hue_class(unsigned hue)
{
	return hue ? (hue - 1) % HUES + 1 : 0;
}

static void put_text(FILE *f, const char *text)
{
	cleanup_free char *visible = text_visible(text, false);
	for (const char *c = visible; *c; c++) {
		switch (*c) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		default:
			fputc(*c, f);
		}
	}
}

struct label {
	double x, y;
	const char *class;
	bool at_end; /* x is where it ends */
};

static void write_text(FILE *f, const struct label *label, const char *text)
{
	cleanup_free char *fitted = graph_fit(text, TEXT_MAX);
	if (!*fitted)
		return;
	fprintf(f, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\"%s>", label->class, label->x, label->y,
		label->at_end ? " text-anchor=\"end\"" : "");
	put_text(f, fitted);
	fputs("</text>\n", f);
}

static void write_wire(FILE *f, const struct graph_wire *wire)
{
	double bend = (wire->x2 - wire->x1) / 2;
	unsigned hue = hue_class(wire->hue);
	fprintf(f, "<path class=\"wire h%u\" d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\"/>\n", hue, wire->x1,
		wire->y1, wire->x1 + bend, wire->y1, wire->x2 - bend, wire->y2, wire->x2, wire->y2);
	fprintf(f,
		"<circle class=\"f%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/><circle class=\"f%u\" cx=\"%.1f\" "
		"cy=\"%.1f\" r=\"3.5\"/>\n",
		hue, wire->x1, wire->y1, hue, wire->x2, wire->y2);
}

static void write_rows(FILE *f, const struct graph_card *card)
{
	double left = card->x + CARD_PADDING, right = card->x + card->width - CARD_PADDING;
	if (card->n_rows)
		fprintf(f, "<line class=\"rule\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", left,
			card->y + CARD_HEAD - 2, right, card->y + CARD_HEAD - 2);
	for (size_t i = 0; i < card->n_rows; i++) {
		double y = graph_row_y(card, (int)i) + 4;
		bool alone = !*card->rows[i].text;
		write_text(f, &(struct label){.x = left, .y = y, .class = "row"}, card->rows[i].text);
		write_text(f, &(struct label){.x = alone ? left : right, .y = y, .class = "detail", .at_end = !alone},
			   card->rows[i].detail);
	}
}

static void write_card(FILE *f, const struct graph_card *card)
{
	static const char *const states[] = {
		[STATE_GOOD] = "good", [STATE_WAITING] = "waiting", [STATE_BAD] = "bad", [STATE_NONE] = NULL};
	static const char *const said[] = {
		[STATE_GOOD] = "Ready", [STATE_WAITING] = "on its way", [STATE_BAD] = "not Ready"};
	double left = card->x + CARD_PADDING;
	unsigned hue = hue_class(card->hue);
	fprintf(f, "<g><title>");
	put_text(f, card->id);
	fprintf(f,
		"%s%s</title>\n<rect class=\"card\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"9\"/>\n",
		states[card->state] ? ": " : "", states[card->state] ? said[card->state] : "", card->x, card->y,
		card->width, card->height);
	if (hue)
		fprintf(f, "<path class=\"f%u\" d=\"M%.1f %.1fh%.1fa9 9 0 0 1 9 9h%.1fa9 9 0 0 1 9 -9z\"/>\n", hue,
			card->x + 9, card->y, card->width - 18, -card->width);
	if (states[card->state])
		fprintf(f, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>\n", states[card->state],
			card->x + card->width - CARD_PADDING - 5, card->y + 39);
	write_text(f, &(struct label){.x = left, .y = card->y + 25, .class = "over"}, card->over);
	write_text(f, &(struct label){.x = left, .y = card->y + 44, .class = "title"}, card->title);
	write_rows(f, card);
	fputs("</g>\n", f);
}

void graph_write_svg(const struct graph *graph, FILE *f)
{
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
		"role=\"img\">\n"
		"<title>Links, guests and storage of this host</title>\n%s<rect class=\"bg\" width=\"100%%\" "
		"height=\"100%%\"/>\n",
		graph->width, graph->height, graph->width, graph->height, style);
	for (size_t i = 0; i < graph->n_cards; i++)
		write_card(f, &graph->cards[i]);
	for (size_t i = 0; i < graph->n_wires; i++)
		write_wire(f, &graph->wires[i]);
	if (!graph->n_cards)
		write_text(f, &(struct label){.x = 32, .y = 76, .class = "title"}, "There is nothing here yet.");
	fputs("</svg>\n", f);
}
