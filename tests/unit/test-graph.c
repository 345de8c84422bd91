/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of a host: whole outputs, and what must be true of any: nothing covers anything, nothing is outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>

#include "cli/graph.h"
#include "tests/unit/golden.h"

static json_t *load_host(void)
{
	json_error_t error;
	json_t *host = json_load_file(WEFT_SOURCE_DIR "/tests/golden/topology/host.json", 0, &error);
	if (!host)
		fail_msg("%s", error.text);
	return host;
}

static struct graph *graph_of(const json_t *host)
{
	struct graph *graph = graph_new(json_object_get(host, "topology"), json_object_get(host, "objects"),
					json_object_get(host, "leases"));
	graph_layout(graph);
	return graph;
}

static char *text_of(const struct graph *graph, void (*write)(const struct graph *graph, FILE *f))
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	write(graph, f);
	fclose(f);
	return text;
}

static void test_whole_pictures(void **state)
{
	json_t *host = load_host();
	struct graph *graph = graph_of(host);
	cleanup_free char *svg = text_of(graph, graph_write_svg), *dot = text_of(graph, graph_write_dot);
	assert_true(golden_equal("topology/host.svg", svg));
	assert_true(golden_equal("topology/host.dot", dot));
	graph_free(graph);
	json_decref(host);
}

static void check_layout(const struct graph *graph)
{
	for (size_t i = 0; i < graph->n_cards; i++) {
		const struct graph_card *a = &graph->cards[i];
		assert_true(a->x >= 0 && a->y >= 0 && a->width > 0 && a->height > 0);
		assert_true(a->x + a->width <= graph->width && a->y + a->height <= graph->height);
		for (size_t k = 0; k < i; k++) {
			const struct graph_card *b = &graph->cards[k];
			bool beside = a->x >= b->x + b->width || b->x >= a->x + a->width;
			bool below = a->y >= b->y + b->height || b->y >= a->y + a->height;
			assert_true(beside || below);
		}
	}
	for (size_t i = 0; i < graph->n_wires; i++) {
		const struct graph_wire *wire = &graph->wires[i];
		assert_true(wire->x1 < wire->x2);
		assert_true(wire->y1 >= 0 && wire->y1 <= graph->height && wire->y2 >= 0 && wire->y2 <= graph->height);
	}
}

/* A network with many guests on it, and names that are no markup. */
static json_t *crowd(size_t n)
{
	json_t *nodes = json_array(), *edges = json_array(), *objects = json_array();
	json_array_append_new(nodes, json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "id", "link/a<&>\"", "type", "resource",
					       "class", "link", "key", "a<&>\"", "spec", "kind", "bridge"));
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *name = xprintf("g%zu|{<]]>&\"'\\ \n", i), *port = xprintf("p%zu", i),
				  *id = xprintf("link/%s", port);
		cleanup_free char *label = xprintf("Guest/%s", name);
		json_array_append_new(nodes, json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s}}", "id", id, "type",
						       "resource", "class", "link", "key", port, "spec", "kind", "tun",
						       "master", "a<&>\""));
		json_array_append_new(edges, json_pack("{s:s, s:s, s:s}", "from", label, "to", id, "type", "wants"));
		json_array_append_new(
			objects, json_pack("{s:s, s:{s:s}, s:{}}", "kind", "Guest", "metadata", "name", name, "spec"));
	}
	return json_pack("{s:{s:o, s:o}, s:o, s:[]}", "topology", "nodes", nodes, "edges", edges, "objects", objects,
			 "leases");
}

static void test_nothing_covers_anything(void **state)
{
	json_t *host = load_host();
	struct graph *graph = graph_of(host);
	assert_true(graph->n_cards > 8 && graph->n_wires > 8);
	check_layout(graph);
	graph_free(graph);
	json_decref(host);
	for (size_t n = 0; n < 60; n += 7) {
		host = crowd(n);
		graph = graph_of(host);
		assert_int_equal(graph->n_cards, n + 1);
		assert_int_equal(graph->n_wires, n);
		check_layout(graph);
		cleanup_free char *svg = text_of(graph, graph_write_svg), *dot = text_of(graph, graph_write_dot);
		assert_null(strstr(svg, "<]]>"));
		assert_null(strstr(svg, "a<&"));
		assert_non_null(strstr(svg, "a&lt;&amp;&gt;"));
		assert_null(strstr(dot, "g0|{"));
		graph_free(graph);
		json_decref(host);
	}
}

/* Links that name each other as master, pools of nobody, answers that lack everything. */
static void test_nonsense_is_drawn_somehow(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"topology\": {}, \"objects\": [{}], \"leases\": [{}]}",
		"{\"topology\": {\"nodes\": [{\"class\": \"link\", \"id\": \"link/a\", \"key\": \"a\", \"spec\": "
		"{\"master\": \"b\"}},"
		" {\"class\": \"link\", \"id\": \"link/b\", \"key\": \"b\", \"spec\": {\"master\": \"a\"}}], "
		"\"edges\": [{}]}}",
		"{\"topology\": {\"nodes\": [{\"class\": \"pool\"}, {\"class\": \"volume\"}, {\"class\": \"link\"}], "
		"\"edges\": []}}",
		"{\"topology\": {\"nodes\": [{\"class\": \"link\", \"id\": \"link/a\", \"key\": \"a\", \"spec\": "
		"{\"master\": \"a\"}}]}}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *host = json_loads(texts[i], 0, NULL);
		assert_non_null(host);
		struct graph *graph = graph_of(host);
		cleanup_free char *svg = text_of(graph, graph_write_svg), *dot = text_of(graph, graph_write_dot);
		assert_non_null(strstr(svg, "</svg>"));
		assert_null(strstr(svg, "nan"));
		assert_null(strstr(svg, "inf"));
		assert_non_null(strstr(dot, "}\n"));
		graph_free(graph);
		json_decref(host);
	}
}

static void test_texts_that_are_too_long(void **state)
{
	cleanup_free char *whole = graph_fit("abc", 3), *cut = graph_fit("abcdef", 4),
			  *wide = graph_fit("\u00e4\u00e4\u00e4\u00e4", 3);
	assert_string_equal(whole, "abc");
	assert_string_equal(cut, "abc\u2026");
	assert_string_equal(wide, "\u00e4\u00e4\u2026");
}

int main(void)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_pictures),
		cmocka_unit_test(test_nothing_covers_anything),
		cmocka_unit_test(test_nonsense_is_drawn_somehow),
		cmocka_unit_test(test_texts_that_are_too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
