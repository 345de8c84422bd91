/* SPDX-License-Identifier: Apache-2.0 */
/* The cards and wires of a host's picture, out of weftd's answers. See graph.h. */
#include "cli/graph.h"

#include "cli/columns.h"
#include "cli/json.h"

enum { DEPTH_MAX = 8, FORWARDS_SHOWN = 4 };

struct builder {
	struct graph *graph;
	const json_t *nodes, *edges, *objects, *leases;
	unsigned depth; /* of the longest chain of ports under links */
	unsigned hues;
};

static const json_t *find_link(const struct builder *b, const char *name)
{
	const json_t *node;
	size_t i;
	json_array_foreach(b->nodes, i, node)
		if (node_is(node, "link") && streq(json_text(node, "key"), name))
			return node;
	return NULL;
}

static bool has_edge(const struct builder *b, const char *type, const char *from, const char *to)
{
	const json_t *edge;
	size_t i;
	json_array_foreach(b->edges, i, edge)
		if (streq(json_text(edge, "type"), type) && streq(json_text(edge, "from"), from) &&
		    streq(json_text(edge, "to"), to))
			return true;
	return false;
}

/* The object that wants a resource, but for those that want `but` as well (a port's bridge); NULL if nobody does. */
static const char *owner_of(const struct builder *b, const char *id, const char *but)
{
	const json_t *edge;
	size_t i;
	json_array_foreach(b->edges, i, edge) {
		const char *from = json_text(edge, "from");
		if (streq(json_text(edge, "type"), "wants") && streq(json_text(edge, "to"), id) &&
		    !(but && has_edge(b, "wants", from, but)))
			return from;
	}
	return NULL;
}

/* ---- cards ---- */

static struct graph_card *add_card(struct builder *b, enum card_type type, const char *id)
{
	struct graph *graph = b->graph;
	grow(graph->cards, graph->n_cards, graph->cap_cards);
	struct graph_card *card = &graph->cards[graph->n_cards++];
	card->type = type;
	card->id = xstrdup(id);
	card->state = STATE_NONE;
	return card;
}

static int add_row(struct graph_card *card, const char *text, const char *detail)
{
	grow(card->rows, card->n_rows, card->cap_rows);
	card->rows[card->n_rows] = (struct graph_row){xstrdup(text), xstrdup(detail)};
	return (int)card->n_rows++;
}

static bool find_card(const struct builder *b, const char *id, size_t *ret)
{
	for (size_t i = 0; i < b->graph->n_cards; i++)
		if (streq(b->graph->cards[i].id, id)) {
			*ret = i;
			return true;
		}
	return false;
}

static void add_wire(struct builder *b, struct graph_wire wire)
{
	struct graph *graph = b->graph;
	grow(graph->wires, graph->n_wires, graph->cap_wires);
	graph->wires[graph->n_wires++] = wire;
}

static enum card_state state_of(const json_t *object)
{
	if (!object)
		return STATE_NONE;
	if (object_is_ready(object))
		return STATE_GOOD;
	return streq(json_text(object_condition(object, "Progressing"), "status"), "True") ? STATE_WAITING : STATE_BAD;
}

/* ---- links ---- */

static void add_addresses(struct builder *b, struct graph_card *card, const char *link)
{
	const json_t *node;
	size_t i, size = strlen(link);
	json_array_foreach(b->nodes, i, node) {
		const char *key = node_text(node, "key");
		if (node_is(node, "address") && strncmp(key, link, size) == 0 && key[size] == '/')
			add_row(card, key + size + 1, "");
	}
}

static void add_forwards(struct graph_card *card, const json_t *object)
{
	const json_t *forwards = json_at(object, "spec.forwards"), *forward;
	size_t i, n = json_array_size(forwards);
	json_array_foreach(forwards, i, forward) {
		const char *proto = json_text(forward, "proto");
		cleanup_free char *detail = xprintf("\u2192 %s", node_text(forward, "to"));
		cleanup_free char *listen = xprintf("%s %s", proto ? proto : "tcp", node_text(forward, "listen"));
		if (i < FORWARDS_SHOWN)
			add_row(card, listen, detail);
	}
	cleanup_free char *more = xprintf("and %zu more forwards", n - FORWARDS_SHOWN);
	if (n > FORWARDS_SHOWN)
		add_row(card, "", more);
}

static unsigned depth_of(const struct builder *b, const json_t *link)
{
	unsigned depth = 0;
	for (; link && *node_text(link, "spec.master") && depth < DEPTH_MAX; depth++)
		link = find_link(b, node_text(link, "spec.master"));
	return depth;
}

/* A port whose other end is a guest is drawn as a wire; `ret_guest` is the guest's label. */
static bool is_guests_port(const struct builder *b, const json_t *link, const char **ret_guest)
{
	cleanup_free char *master = xprintf("link/%s", node_text(link, "spec.master"));
	const char *owner = owner_of(b, node_text(link, "id"), master);
	*ret_guest = owner;
	return owner && str_starts(owner, "Guest/");
}

static void add_link(struct builder *b, const json_t *link)
{
	const char *name = node_text(link, "key"), *id = node_text(link, "id"), *guest;
	unsigned depth = depth_of(b, link);
	if (depth > 0 && is_guests_port(b, link, &guest))
		return;
	cleanup_free char *master = xprintf("link/%s", node_text(link, "spec.master"));
	const char *owner = owner_of(b, id, depth ? master : NULL), *mode = NULL;
	const json_t *object = owner ? object_find(b->objects, owner) : NULL;
	struct graph_card *card = add_card(b, depth ? CARD_PORT : CARD_LINK, id);
	mode = object ? json_text(object, "spec.mode") : NULL;
	const char *kind = object ? node_text(object, "kind") : json_text(link, "spec.kind");
	card->over = xprintf("%s%s%s", kind ? kind : "link", mode ? ", " : "", mode ? mode : "");
	card->title = xstrdup(name);
	card->state = state_of(object);
	card->column = b->depth - depth;
	card->hue = depth ? 0 : ++b->hues;
	add_addresses(b, card, name);
	if (object)
		add_forwards(card, object);
}

static void add_links(struct builder *b)
{
	const json_t *node;
	const char *guest;
	size_t i;
	json_array_foreach(b->nodes, i, node) {
		unsigned depth = node_is(node, "link") ? depth_of(b, node) : 0;
		if (depth > b->depth && !is_guests_port(b, node, &guest))
			b->depth = depth;
	}
	json_array_foreach(b->nodes, i, node)
		if (node_is(node, "link"))
			add_link(b, node);
}

static void wire_ports(struct builder *b)
{
	const json_t *node;
	size_t i, from, to;
	json_array_foreach(b->nodes, i, node) {
		cleanup_free char *master = xprintf("link/%s", node_text(node, "spec.master"));
		if (node_is(node, "link") && find_card(b, node_text(node, "id"), &from) && find_card(b, master, &to))
			add_wire(b, (struct graph_wire){.from = from,
							.to = to,
							.from_row = ROW_NONE,
							.to_row = ROW_NONE,
							.hue = b->graph->cards[to].hue});
	}
}

/* ---- storage ---- */

static void add_pool(struct builder *b, const json_t *pool)
{
	const char *name = node_text(pool, "key"), *owner = owner_of(b, node_text(pool, "id"), NULL);
	struct graph_card *card = add_card(b, CARD_POOL, node_text(pool, "id"));
	card->over = xprintf("Pool, %s", node_text(pool, "spec.type"));
	card->title = xstrdup(name);
	card->state = state_of(owner ? object_find(b->objects, owner) : NULL);
	card->column = b->depth + 2;
	const json_t *node;
	size_t i, size = strlen(name);
	json_array_foreach(b->nodes, i, node) {
		const char *key = node_text(node, "key");
		if (!node_is(node, "volume") || strncmp(key, name, size) != 0 || key[size] != '/')
			continue;
		cleanup_free char *detail =
			xprintf("%s %s", node_text(node, "spec.size"), node_text(node, "spec.format"));
		add_row(card, key + size + 1, detail);
	}
}

/* The pool's card and row that a volume is drawn in. */
static bool find_volume(const struct builder *b, const char *volume, size_t *ret_card, int *ret_row)
{
	for (size_t i = 0; i < b->graph->n_cards; i++) {
		const struct graph_card *card = &b->graph->cards[i];
		for (size_t row = 0; card->type == CARD_POOL && row < card->n_rows; row++)
			if (streq(card->rows[row].text, volume)) {
				*ret_card = i;
				*ret_row = (int)row;
				return true;
			}
	}
	return false;
}

/* ---- guests ---- */

/* What DHCP has given to a guest on the network that a link is. */
static char *lease_text(const struct builder *b, const char *guest, const char *master)
{
	const json_t *lease;
	size_t i;
	char *text = xstrdup("");
	json_array_foreach(b->leases, i, lease) {
		cleanup_free char *network = xprintf("Network/%s", node_text(lease, "network"));
		if (!streq(json_text(lease, "guest"), guest) || !has_edge(b, "wants", network, master))
			continue;
		char *longer = xprintf("%s%s%s", text, *text ? " " : "", node_text(lease, "ip"));
		free(text);
		text = longer;
	}
	return text;
}

static void add_guest_ports(struct builder *b, size_t index, const char *label)
{
	const json_t *link;
	const char *owner;
	size_t i, from;
	json_array_foreach(b->nodes, i, link) {
		if (!node_is(link, "link") || !*node_text(link, "spec.master") || !is_guests_port(b, link, &owner) ||
		    !streq(owner, label))
			continue;
		cleanup_free char *master = xprintf("link/%s", node_text(link, "spec.master"));
		cleanup_free char *leases = lease_text(b, label + strlen("Guest/"), master);
		int row = add_row(&b->graph->cards[index], node_text(link, "key"), leases);
		if (find_card(b, master, &from))
			add_wire(b, (struct graph_wire){.from = from,
							.from_row = ROW_NONE,
							.to = index,
							.to_row = row,
							.hue = b->graph->cards[from].hue});
	}
}

static void add_guest_disks(struct builder *b, size_t index, const char *label)
{
	const json_t *edge;
	size_t i, to;
	int to_row;
	json_array_foreach(b->edges, i, edge) {
		const char *volume = node_text(edge, "to");
		if (!streq(json_text(edge, "type"), "reference") || !streq(json_text(edge, "from"), label) ||
		    !str_starts(volume, "Volume/"))
			continue;
		int row = add_row(&b->graph->cards[index], volume + strlen("Volume/"), "disk");
		if (find_volume(b, volume + strlen("Volume/"), &to, &to_row))
			add_wire(b, (struct graph_wire){.from = index, .from_row = row, .to = to, .to_row = to_row});
	}
}

static void add_guest(struct builder *b, const json_t *object)
{
	cleanup_free char *label = object_label(object), *state = json_line(column_value(object, "status.runState"));
	cleanup_free char *cpus = json_line(json_at(object, "spec.cpu.count")),
			  *memory = json_line(json_at(object, "spec.memory.size"));
	const char *wanted = json_text(object, "spec.state"), *shown = *state ? state : wanted ? wanted : "";
	size_t index = b->graph->n_cards;
	struct graph_card *card = add_card(b, CARD_GUEST, label);
	card->over = xprintf("Guest%s%s, %s CPU%s, %s", *shown ? ", " : "", shown, *cpus ? cpus : "1",
			     *cpus && !streq(cpus, "1") ? "s" : "", memory);
	card->title = xstrdup(label + strlen("Guest/"));
	card->state = state_of(object);
	card->column = b->depth + 1;
	add_guest_ports(b, index, label);
	add_guest_disks(b, index, label);
}

/* Objects that stand for nothing drawn so far: still worth seeing, when they are not Ready above all. */
static void add_other(struct builder *b, const json_t *object)
{
	cleanup_free char *label = object_label(object), *note = object_note(object);
	const json_t *edge;
	size_t i, card;
	int row;
	if (str_starts(label, "Volume/") && find_volume(b, label + strlen("Volume/"), &card, &row))
		return;
	json_array_foreach(b->edges, i, edge)
		if (streq(json_text(edge, "type"), "wants") && streq(json_text(edge, "from"), label) &&
		    find_card(b, node_text(edge, "to"), &card))
			return;
	struct graph_card *other = add_card(b, CARD_OTHER, label);
	other->over = xstrdup(node_text(object, "kind"));
	other->title = xstrdup(node_text(object, "metadata.name"));
	other->state = state_of(object);
	other->column = b->depth + 3;
	if (note)
		add_row(other, "", note);
}

struct graph *graph_new(const json_t *topology, const json_t *objects, const json_t *leases)
{
	struct graph *graph = xcalloc(1, sizeof(*graph));
	struct builder b = {
		.graph = graph,
		.nodes = json_at(topology, "nodes"),
		.edges = json_at(topology, "edges"),
		.objects = objects,
		.leases = leases,
	};
	const json_t *node, *object;
	size_t i;
	add_links(&b);
	wire_ports(&b);
	json_array_foreach(b.nodes, i, node)
		if (node_is(node, "pool"))
			add_pool(&b, node);
	json_array_foreach(objects, i, object)
		if (streq(json_text(object, "kind"), "Guest"))
			add_guest(&b, object);
	json_array_foreach(objects, i, object)
		if (!streq(json_text(object, "kind"), "Guest"))
			add_other(&b, object);
	graph->n_columns = b.depth + 4;
	return graph;
}

struct graph *graph_free(struct graph *graph)
{
	if (!graph)
		return NULL;
	for (size_t i = 0; i < graph->n_cards; i++) {
		struct graph_card *card = &graph->cards[i];
		for (size_t row = 0; row < card->n_rows; row++) {
			free(card->rows[row].text);
			free(card->rows[row].detail);
		}
		free(card->rows);
		free(card->id);
		free(card->over);
		free(card->title);
	}
	free(graph->cards);
	free(graph->wires);
	free(graph);
	return NULL;
}
