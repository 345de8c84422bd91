/* SPDX-License-Identifier: Apache-2.0 */
/* weft topology: what hangs on what, drawn as trees: links under their masters with addresses and guests, volumes under
 * their pools. */
#include "cli/cli.h"
#include "cli/columns.h"
#include "cli/graph.h"
#include "cli/json.h"
#include "cli/terminal.h"

struct options {
	int output;
};

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_SVG, FORMAT_DOT };
static const char *const formats[] = {"text", "json", "svg", "dot"};
static const struct cli_option rows[] = {
	OWN_OUTPUT_OPTION(struct options, output, formats),
};

enum { DEPTH_MAX = 16 };

struct drawing {
	const json_t *nodes, *edges;
	json_t *objects; /* with their status */
	json_t *leases;
	json_t *drawn; /* labels of the objects that were drawn */
	bool utf8;
	unsigned width;                     /* of the terminal, 0: unlimited */
	size_t column;                      /* in the present line */
	char prefix[DEPTH_MAX * 4 * 3 + 1]; /* of the lines under the present one */
	unsigned depth;
};

/* Prints a part of a line; what is beyond the terminal's width is cut, since a broken line would break the tree. */
static void put(struct drawing *d, enum style style, const char *fmt, ...) printf_like(3, 4);
static void put(struct drawing *d, enum style style, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args), *visible = text_visible(text, false);
	va_end(args);
	size_t columns = text_columns(visible), room = d->width > d->column ? d->width - d->column : 0;
	cleanup_free char *fitted = d->width && room ? graph_fit(visible, room) : xstrdup(d->width ? "" : visible);
	bool cut = d->width && room && columns > room;
	if (cut && !d->utf8) /* the ellipsis is the last character */
		strcpy(fitted + strlen(fitted) - strlen("\u2026"), "~");
	print_styled(stdout, style, "%s", fitted);
	/* What comes after a cut is not shown at all. */
	d->column = d->width && columns > room ? d->width : d->column + columns;
}

static void end_line(struct drawing *d)
{
	putchar('\n');
	d->column = 0;
}

/* ---- what is said of objects and links ---- */

/* "Guest/web", its state where it has one, and what is wrong with it. */
static void print_object(struct drawing *d, const char *label)
{
	const json_t *object = object_find(d->objects, label);
	cleanup_free char *state = json_line(object ? column_value(object, "status.runState") : NULL);
	cleanup_free char *note = object ? object_note(object) : NULL;
	bool ready = object && object_is_ready(object);
	json_object_set_new(d->drawn, label, json_true());
	put(d, STYLE_STRONG, "  %s", label);
	if (*state)
		put(d, streq(state, "running") ? STYLE_GOOD : STYLE_WARN, "  %s", state);
	if (!ready)
		put(d, STYLE_BAD, "  not Ready%s%s", note ? ": " : "", note ? note : "");
}

static void print_spec(struct drawing *d, const json_t *node, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *text = json_line(json_at(node, paths[i]));
		if (*text)
			put(d, STYLE_PLAIN, "  %s", text);
	}
}

static const char *edge_between(const json_t *edge, const char *type)
{
	return streq(json_text(edge, "type"), type) ? json_text(edge, "from") : NULL;
}

/* The objects that want a resource, but for those that want `but` as well (a port's bridge). */
static void print_owners(struct drawing *d, const char *id, const char *but)
{
	const json_t *edge, *other;
	size_t i, k;
	json_array_foreach(d->edges, i, edge) {
		const char *owner = edge_between(edge, "wants");
		bool left_out = false;
		if (!owner || !streq(json_text(edge, "to"), id))
			continue;
		json_array_foreach(d->edges, k, other) {
			if (but && streq(edge_between(other, "wants"), owner) && streq(json_text(other, "to"), but))
				left_out = true;
		}
		if (!left_out)
			print_object(d, owner);
	}
}

static void print_addresses(struct drawing *d, const char *link)
{
	const json_t *node;
	size_t i;
	json_array_foreach(d->nodes, i, node) {
		const char *key = node_text(node, "key");
		size_t size = strlen(link);
		if (node_is(node, "address") && strncmp(key, link, size) == 0 && key[size] == '/')
			put(d, STYLE_NOTE, "  %s", key + size + 1);
	}
}

static bool wants(const struct drawing *d, const char *object, const char *id)
{
	const json_t *edge;
	size_t i;
	json_array_foreach(d->edges, i, edge) {
		if (streq(edge_between(edge, "wants"), object) && streq(json_text(edge, "to"), id))
			return true;
	}
	return false;
}

/* The addresses that DHCP has given to the guest at a port, by guest and network. */
static void print_leases(struct drawing *d, const char *port, const char *master)
{
	const json_t *lease;
	size_t i;
	json_array_foreach(d->leases, i, lease) {
		cleanup_free char *guest = xprintf("Guest/%s", node_text(lease, "guest"));
		cleanup_free char *network = xprintf("Network/%s", node_text(lease, "network"));
		if (wants(d, guest, port) && wants(d, network, master))
			put(d, STYLE_NOTE, "  %s", node_text(lease, "ip"));
	}
}

/* ---- trees ---- */

static void print_branch(struct drawing *d, bool last)
{
	static const char *const branches[] = {"|- ", "`- ", "\u251c\u2500 ", "\u2514\u2500 "};
	put(d, STYLE_PLAIN, "%s%s", d->prefix, branches[d->utf8 * 2 + last]);
}

static size_t descend(struct drawing *d, bool last)
{
	size_t before = strlen(d->prefix);
	d->depth++;
	strcat(d->prefix, last ? "   " : d->utf8 ? "\u2502  " : "|  ");
	return before;
}

static void ascend(struct drawing *d, size_t before)
{
	d->depth--;
	d->prefix[before] = '\0';
}

typedef bool child_fn(const json_t *node, const char *parent);

static size_t count_children(const struct drawing *d, child_fn *is_child, const char *parent)
{
	const json_t *node;
	size_t n = 0, i;
	json_array_foreach(d->nodes, i, node)
		n += is_child(node, parent);
	return n;
}

static bool is_port(const json_t *node, const char *master)
{
	return node_is(node, "link") && streq(json_text(node, "spec.master"), master);
}

static void draw_ports(struct drawing *d, const char *master)
{
	size_t left = count_children(d, is_port, master), i;
	cleanup_free char *master_id = xprintf("link/%s", master);
	const json_t *node;
	json_array_foreach(d->nodes, i, node) {
		if (!is_port(node, master) || d->depth >= DEPTH_MAX)
			continue;
		const char *name = node_text(node, "key"), *id = node_text(node, "id");
		bool last = --left == 0;
		print_branch(d, last);
		put(d, STYLE_PLAIN, "%s", name);
		print_owners(d, id, master_id);
		print_leases(d, id, master_id);
		print_addresses(d, name);
		end_line(d);
		size_t before = descend(d, last);
		draw_ports(d, name);
		ascend(d, before);
	}
}

static void draw_link(struct drawing *d, const json_t *node)
{
	static const char *const of_network[] = {"spec.mode"};
	const char *name = node_text(node, "key"), *id = node_text(node, "id");
	const json_t *edge;
	size_t i;
	put(d, STYLE_STRONG, "%s", name);
	put(d, STYLE_FAINT, "  %s", node_text(node, "spec.kind"));
	print_owners(d, id, NULL);
	json_array_foreach(d->edges, i, edge) {
		if (edge_between(edge, "wants") && streq(json_text(edge, "to"), id))
			print_spec(d, object_find(d->objects, json_text(edge, "from")), of_network,
				   ARRAY_SIZE(of_network));
	}
	print_addresses(d, name);
	end_line(d);
	draw_ports(d, name);
	end_line(d);
}

static bool is_volume(const json_t *node, const char *pool)
{
	const char *key = node_text(node, "key");
	size_t size = strlen(pool);
	return node_is(node, "volume") && strncmp(key, pool, size) == 0 && key[size] == '/';
}

/* The objects that refer to one. */
static void print_users(struct drawing *d, const char *label)
{
	const json_t *edge;
	size_t i;
	json_array_foreach(d->edges, i, edge) {
		const char *from = edge_between(edge, "reference");
		if (from && streq(json_text(edge, "to"), label)) {
			put(d, STYLE_FAINT, "  %s", d->utf8 ? "\u2190" : "<-");
			print_object(d, from);
		}
	}
}

static void draw_pool(struct drawing *d, const json_t *pool)
{
	static const char *const of_pool[] = {"spec.type", "spec.path"};
	static const char *const of_volume[] = {"spec.size", "spec.format"};
	const char *name = node_text(pool, "key");
	size_t left = count_children(d, is_volume, name), i;
	const json_t *node;
	put(d, STYLE_STRONG, "%s", name);
	put(d, STYLE_FAINT, "  pool");
	print_owners(d, node_text(pool, "id"), NULL);
	print_spec(d, pool, of_pool, ARRAY_SIZE(of_pool));
	end_line(d);
	json_array_foreach(d->nodes, i, node) {
		if (!is_volume(node, name))
			continue;
		const char *volume = node_text(node, "key") + strlen(name) + 1;
		cleanup_free char *label = xprintf("Volume/%s", volume);
		print_branch(d, --left == 0);
		put(d, STYLE_PLAIN, "%s", volume);
		print_object(d, label);
		print_spec(d, node, of_volume, ARRAY_SIZE(of_volume));
		print_users(d, label);
		end_line(d);
	}
	end_line(d);
}

/* Whatever has no link and no image has not been drawn yet. */
static void draw_rest(struct drawing *d)
{
	const json_t *object;
	size_t i;
	json_array_foreach(d->objects, i, object) {
		cleanup_free char *label = object_label(object);
		if (json_object_get(d->drawn, label))
			continue;
		put(d, STYLE_FAINT, "-");
		print_object(d, label);
		end_line(d);
	}
}

static void draw(struct drawing *d)
{
	const json_t *node;
	size_t i;
	json_array_foreach(d->nodes, i, node) {
		if (node_is(node, "link") && !*node_text(node, "spec.master"))
			draw_link(d, node);
	}
	json_array_foreach(d->nodes, i, node) {
		if (node_is(node, "pool"))
			draw_pool(d, node);
	}
	draw_rest(d);
}

static void draw_graph(const json_t *topology, const struct drawing *d, enum format format)
{
	struct graph *graph = graph_new(topology, d->objects, d->leases);
	graph_layout(graph);
	if (format == FORMAT_SVG)
		graph_write_svg(graph, stdout);
	else
		graph_write_dot(graph, stdout);
	graph_free(graph);
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *topology = NULL;
	int status = cli_get(cli, "/v1/topology", &topology);
	if (status != CLI_DONE)
		return status;
	if (options->output == FORMAT_JSON) {
		print_json(topology);
		json_decref(topology);
		return CLI_DONE;
	}
	struct terminal terminal = terminal_of(stdout);
	struct drawing d = {
		.nodes = json_at(topology, "nodes"),
		.edges = json_at(topology, "edges"),
		.drawn = json_object(),
		.utf8 = terminal.utf8,
		.width = terminal.width,
	};
	status = cli_get(cli, "/v1/objects", &d.objects);
	if (status == CLI_DONE)
		status = cli_get(cli, "/v1/leases", &d.leases);
	if (status == CLI_DONE && options->output == FORMAT_TEXT)
		draw(&d);
	else if (status == CLI_DONE)
		draw_graph(topology, &d, options->output);
	json_decref(d.objects);
	json_decref(d.leases);
	json_decref(d.drawn);
	json_decref(topology);
	return status;
}

const struct verb verb_topology = {
	.name = "topology",
	.summary = "Draw what hangs on what: links, guests, pools, volumes",
	.text = "svg is a picture that any browser shows; dot is for Graphviz.",
	.examples = "  weft topology\n  weft topology -o svg >host.svg",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
