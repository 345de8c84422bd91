/* SPDX-License-Identifier: Apache-2.0 */
/* See link-map.h. */
#include "netd/link-map.h"

#include "core/strmap.h"
#include "netd/bridge.h"
#include "netd/link-common.h"
#include "netd/link.h"
#include "netd/network-spec.h"

enum { TOWER_MAX = 128 }; /* links upon links, of which the kernel takes far fewer */

struct names {
	const char **items;
	size_t n, cap;
};
/* With the facts that went into it: whoever asks for it counts as their reader too. What stands on itself, or on such a
 * thing, has none, wherever one begins to ask. */
struct known_mtu {
	uint32_t mtu;
	bool open, circular;
	uint64_t answer; /* what differs once anything of it does */
	struct lower_basis *basis;
	const char **facts;
	size_t n_facts;
};
/* What bridges a port is to be in; the first counts. */
struct membership {
	const char *bridge;
	struct membership *next;
};
/* Networks of one bridge. */
struct sharers {
	const struct object **items;
	size_t n, cap;
};
struct subnet {
	const struct ip_prefix *prefix;
	const char *link;
};
struct link_map {
	struct arena *arena;
	struct strmap objects; /* link -> struct object */
	struct strmap bridges; /* port -> struct membership */
	struct strmap ports;   /* bridge -> struct names */
	struct strmap holders; /* address -> struct subnet */
	struct strmap mtus;    /* link -> struct known_mtu */
	struct strmap sharers; /* link -> struct sharers */
	struct subnet *subnets;
	size_t n_subnets, cap_subnets;
	struct known_mtu *working_on; /* NULL: on none */
	struct names circular;        /* links of circles, found since it is worked on something */
	unsigned depth;
	const char **facts; /* read for the MTUs that are being worked out */
	size_t n_facts, cap_facts;
};

static bool is_network(const struct object *object)
{
	return object->kind == &netd_network_kind;
}

/* The name of the link that an object makes; NULL if it makes none. */
static const char *link_of(const struct object *object)
{
	if (object->kind->flags & KIND_NAME_IS_IFNAME)
		return object->name;
	bool makes_one = is_network(object) && ((const struct network_spec *)object->spec)->mode != NETWORK_BRIDGED;
	return makes_one ? network_bridge(object) : NULL;
}

static const struct list *addresses_of(const struct object *object)
{
	if (is_network(object))
		return &((const struct network_spec *)object->spec)->addresses;
	return &((const struct link_common *)object->spec)->addresses;
}

static uint32_t written_mtu(const struct object *object)
{
	if (is_network(object))
		return ((const struct network_spec *)object->spec)->mtu;
	return ((const struct link_common *)object->spec)->mtu;
}

static const struct link_kind *kind_of(const struct object *object)
{
	for (size_t i = 0; i < n_link_kinds; i++)
		if (link_kinds[i]->object == object->kind)
			return link_kinds[i];
	return NULL;
}

/* False if it was said before, by the other side. */
static bool add_membership(struct link_map *map, const char *bridge, const char *port)
{
	struct membership *first = strmap_get(&map->bridges, port), *last = first;
	for (struct membership *m = first; m; m = m->next) {
		if (streq(m->bridge, bridge))
			return false;
		last = m;
	}
	struct membership *new = arena_new_of(map->arena, struct membership);
	new->bridge = bridge;
	if (last)
		last->next = new;
	else
		strmap_put(&map->bridges, port, new);
	return true;
}

static void add_port(struct link_map *map, const char *bridge, const char *port)
{
	struct names *ports = strmap_get(&map->ports, bridge);
	if (!add_membership(map, bridge, port))
		return;
	if (!ports) {
		ports = arena_new_of(map->arena, struct names);
		strmap_put(&map->ports, bridge, ports);
	}
	arena_grow(map->arena, ports->items, ports->n, ports->cap);
	ports->items[ports->n++] = port;
}

static void add_addresses(struct link_map *map, const char *link, const struct list *addresses)
{
	for (size_t i = 0; i < addresses->n; i++) {
		const struct ip_prefix *prefix = &list_at(addresses, struct ip_prefix, i);
		char text[IP_TEXT];
		struct subnet *holder = arena_new_of(map->arena, struct subnet);
		*holder = (struct subnet){prefix, link};
		strmap_put(&map->holders, arena_strdup(map->arena, ip_text(&prefix->ip, text)), holder);
		arena_grow(map->arena, map->subnets, map->n_subnets, map->cap_subnets);
		map->subnets[map->n_subnets++] = *holder;
	}
}

static void add_end(struct link_map *map, const struct object *object, const struct link_end *end)
{
	strmap_put(&map->objects, end->name, (void *)object);
	add_addresses(map, end->name, end->addresses);
	if (end->bridge)
		add_port(map, end->bridge, end->name);
}

static void add_sharer(struct link_map *map, const char *link, const struct object *network)
{
	struct sharers *sharers = strmap_get(&map->sharers, link);
	if (!sharers) {
		sharers = arena_new_of(map->arena, struct sharers);
		strmap_put(&map->sharers, link, sharers);
	}
	arena_grow(map->arena, sharers->items, sharers->n, sharers->cap);
	sharers->items[sharers->n++] = network;
}

static void add_object(struct link_map *map, const struct object *object)
{
	const char *link = link_of(object), *port;
	if (link && is_network(object))
		add_sharer(map, link, object);
	if (!link || (is_network(object) && strmap_get(&map->objects, link)))
		return; /* it joins a bridge that is an object of its own */
	strmap_put(&map->objects, link, (void *)object);
	add_addresses(map, link, addresses_of(object));
	if (is_network(object))
		return;
	const struct link_common *common = object->spec;
	const struct link_kind *kind = kind_of(object);
	if (common->bridge)
		add_port(map, common->bridge, object->name);
	if (kind && kind->other_end)
		add_end(map, object, kind->other_end(map->arena, object));
	for (size_t i = 0; (port = netd_bridge_port_at(object, i)); i++)
		add_port(map, object->name, port);
}

static void *make_map(struct lowering *l)
{
	const struct object *object;
	struct arena *arena = lower_memo_arena(l);
	struct link_map *map = arena_new_of(arena, struct link_map);
	*map = (struct link_map){.arena = arena,
				 .objects = strmap_in(arena),
				 .bridges = strmap_in(arena),
				 .ports = strmap_in(arena),
				 .holders = strmap_in(arena),
				 .mtus = strmap_in(arena),
				 .sharers = strmap_in(arena)};
	for (int networks = 0; networks < 2; networks++)
		for (size_t i = 0; (object = lower_object_at(l, i)); i++)
			if (is_network(object) == networks)
				add_object(map, object);
	return map;
}

static struct link_map *map_of(struct lowering *l)
{
	return lower_memo(l, "link-map", make_map);
}

/* ---- what a change of an object may change in the map ---- */

static uint64_t topic_number(const char *sort, const char *name)
{
	return lower_hash(lower_hash(0, sort), name);
}

static void touch_link(struct lowering *l, const char *name)
{
	lower_touches(l, topic_number("link", name));
}

static void touch_addresses(struct lowering *l, const struct list *addresses)
{
	char text[IP_TEXT];
	for (size_t i = 0; i < addresses->n; i++)
		lower_touches(l, topic_number("address", ip_text(&list_at(addresses, struct ip_prefix, i).ip, text)));
	if (addresses->n)
		lower_touches(l, topic_number("subnets", NULL));
}

/* A network's addresses count as long as no object of its own makes its bridge, and no other network. */
static void touch_sharers(struct lowering *l, const char *link)
{
	const struct sharers *sharers = strmap_get(&map_of(l)->sharers, link);
	for (size_t i = 0; sharers && i < sharers->n; i++)
		touch_addresses(l, addresses_of(sharers->items[i]));
}

/* All under which add_object() puts something. */
static void tell_topics(struct lowering *l, const struct object *object)
{
	const char *link = link_of(object), *port;
	if (!link)
		return;
	touch_link(l, link);
	touch_sharers(l, link);
	touch_addresses(l, addresses_of(object));
	if (is_network(object))
		return;
	const struct link_common *common = object->spec;
	const struct link_kind *kind = kind_of(object);
	if (common->bridge)
		touch_link(l, common->bridge);
	for (size_t i = 0; (port = netd_bridge_port_at(object, i)); i++)
		touch_link(l, port);
	const struct link_end *end = kind && kind->other_end ? kind->other_end(lower_memo_arena(l), object) : NULL;
	if (!end)
		return;
	touch_link(l, end->name);
	touch_sharers(l, end->name);
	touch_addresses(l, end->addresses);
	if (end->bridge)
		touch_link(l, end->bridge);
}

static struct lower_topic topic(const char *sort, const char *name)
{
	static const struct lower_topics topics = {tell_topics};
	return (struct lower_topic){&topics, topic_number(sort, name)};
}

/* ---- questions ---- */

static uint64_t ask_object(struct lowering *l, const char *name, const char *none)
{
	return (uintptr_t)strmap_get(&map_of(l)->objects, name);
}

const struct object *link_object(struct lowering *l, const char *name)
{
	const struct object *object = strmap_get(&map_of(l)->objects, name);
	lower_asked(l, &(struct lower_question){ask_object, name, NULL, (uintptr_t)object, topic("link", name)});
	return object;
}

static const char *bridge_of(struct lowering *l, const char *port)
{
	const struct membership *first = strmap_get(&map_of(l)->bridges, port);
	return first ? first->bridge : NULL;
}

static uint64_t ask_bridge(struct lowering *l, const char *name, const char *none)
{
	return lower_hash(0, bridge_of(l, name));
}

const char *link_bridge_of(struct lowering *l, const char *name)
{
	const char *bridge = bridge_of(l, name);
	lower_asked(l, &(struct lower_question){ask_bridge, name, NULL, lower_hash(0, bridge), topic("link", name)});
	return bridge;
}

static uint64_t ask_ports(struct lowering *l, const char *bridge, const char *none)
{
	const struct names *ports = strmap_get(&map_of(l)->ports, bridge);
	uint64_t answer = 0;
	for (size_t i = 0; ports && i < ports->n; i++)
		answer = lower_hash(answer, ports->items[i]);
	return answer;
}

const char *link_port_at(struct lowering *l, const char *bridge, size_t i)
{
	const struct names *ports = strmap_get(&map_of(l)->ports, bridge);
	if (i == 0)
		lower_asked(l, &(struct lower_question){ask_ports, bridge, NULL, ask_ports(l, bridge, NULL),
							topic("link", bridge)});
	return ports && i < ports->n ? ports->items[i] : NULL;
}

static uint64_t ask_address(struct lowering *l, const char *ip, const char *none)
{
	const struct subnet *holder = strmap_get(&map_of(l)->holders, ip);
	return holder ? lower_hash(holder->prefix->len, holder->link) : 0;
}

const char *link_address(struct lowering *l, const struct ip *ip)
{
	char text[IP_TEXT];
	const struct subnet *holder = strmap_get(&map_of(l)->holders, ip_text(ip, text));
	lower_asked(l, &(struct lower_question){ask_address, text, NULL, ask_address(l, text, NULL),
						topic("address", text)});
	return holder ? arena_printf(lower_arena(l), "%s/%s", holder->link, prefix_text(holder->prefix, text)) : NULL;
}

bool link_claim(struct lowering *l, const char *path, const char *what_fmt, ...)
{
	va_list args;
	va_start(args, what_fmt);
	cleanup_free char *what = xvprintf(what_fmt, args);
	va_end(args);
	const struct object *other = lower_claim(l, what);
	if (!other)
		return true;
	struct diag *diag = lower_refuse(l, path, "%s is taken by %s '%s'", what, other->kind->name, other->name);
	diag_related(lower_diags(l), diag, object_pos(other, path), "which has it here");
	return false;
}

/* Where the ports of a bridge lead. */
struct ways {
	struct lowering *l;
	const char *bridge;
	struct strmap objects; /* that lead there, by where */
};

/* A second one to the same place is refused. */
static bool refuse_second_way(struct ways *ways, const struct object *object, const char *where)
{
	struct diags *diags = lower_diags(ways->l);
	const struct object *before = strmap_get(&ways->objects, where);
	if (!before) {
		strmap_put(&ways->objects, arena_strdup(lower_arena(ways->l), where), (void *)object);
		return false;
	}
	struct diag *diag =
		before == object
			? lower_refuse(ways->l, NULL, "both ends of '%s' are its ports, which is a loop", object->name)
			: lower_refuse(ways->l, NULL, "its ports '%s' and '%s' both lead to %s, which is a loop",
				       before->name, object->name, where);
	diag_related(diags, diag, object_pos(object, "metadata.name"), "%s",
		     before == object ? "this pair" : "one of the two");
	diag_hint(diags, diag, "leave one out, or enable the bridge's spanning tree");
	return true;
}

/* The bridge that a pair of links leads to from this end of it; NULL if there is none. One with a spanning tree closes
 * a loop by itself. */
static const char *bridge_beyond(struct lowering *l, const struct object *object, const char *port)
{
	const struct link_kind *kind = kind_of(object);
	const struct link_end *end = kind && kind->other_end ? kind->other_end(lower_arena(l), object) : NULL;
	const char *bridge = end ? link_bridge_of(l, streq(port, end->name) ? object->name : end->name) : NULL;
	const struct object *beyond = bridge ? link_object(l, bridge) : NULL;
	return beyond && !netd_bridge_has_stp(beyond) ? bridge : NULL;
}

static bool is_among(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(names[i], name))
			return true;
	return false;
}

enum { BRIDGES_MAX = 64 }; /* one behind the other: longer circles are nobody's intention, and not looked for */

/* The bridge behind a port, those behind that, and so on. */
static bool refuse_bridges_beyond(struct ways *ways, const struct object *object, const char *beyond)
{
	const char *bridges[BRIDGES_MAX] = {beyond}, *port;
	size_t n = 1;
	for (size_t i = 0; i < n; i++) {
		if (refuse_second_way(ways, object, arena_printf(lower_arena(ways->l), "bridge '%s'", bridges[i])))
			return true;
		for (size_t k = 0; !streq(bridges[i], ways->bridge) && n < BRIDGES_MAX &&
				   (port = link_port_at(ways->l, bridges[i], k));
		     k++) {
			const struct object *pair = link_object(ways->l, port);
			const char *next = pair ? bridge_beyond(ways->l, pair, port) : NULL;
			if (next && !streq(next, ways->bridge) && !is_among(bridges, n, next))
				bridges[n++] = next;
		}
	}
	return false;
}

bool link_refuse_loop(struct lowering *l, const char *bridge)
{
	struct ways ways = {l, bridge, strmap_in(lower_arena(l))};
	const char *port;
	for (size_t i = 0; (port = link_port_at(l, bridge, i)); i++) {
		const struct object *object = link_object(l, port);
		const struct link_kind *kind = object ? kind_of(object) : NULL;
		const char *beyond = object ? bridge_beyond(l, object, port) : NULL;
		struct ip peer;
		char text[IP_TEXT];
		if (beyond && refuse_bridges_beyond(&ways, object, beyond))
			return true;
		for (size_t k = 0; kind && kind->peer && kind->peer(object, k, &peer); k++)
			if (refuse_second_way(&ways, object, ip_text(&peer, text)))
				return true;
	}
	return false;
}

/* ---- MTU ---- */

bool link_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	const struct link_kind *kind = kind_of(object);
	*ret = (struct link_room){0};
	return kind && kind->room && kind->room(l, object, ret) && ret->limit_mtu;
}

/* A fact that MTUs are worked out of. */
static const char *fact_of_path(struct lowering *l, const char *key)
{
	struct link_map *map = map_of(l);
	arena_grow(map->arena, map->facts, map->n_facts, map->cap_facts);
	map->facts[map->n_facts++] = key;
	return fact(l, "%s", key);
}

static uint32_t mtu_of_fact(struct lowering *l, const char *name)
{
	const char *text = fact_of_path(l, arena_printf(lower_memo_arena(l), "link/%s/mtu", name));
	uint64_t mtu = text && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
	return mtu <= UINT32_MAX ? (uint32_t)mtu : 0;
}

uint32_t link_mtu_of_ports(struct lowering *l, const char *bridge)
{
	const char *port;
	uint32_t lowest = 0;
	for (size_t i = 0; (port = link_port_at(l, bridge, i)); i++) {
		const struct object *object = link_object(l, port);
		const struct link_kind *kind = object ? kind_of(object) : NULL;
		if (kind && kind->follows_bridge && !written_mtu(object))
			continue;
		uint32_t mtu = link_mtu(l, port);
		if (mtu && (!lowest || mtu < lowest))
			lowest = mtu;
	}
	return lowest;
}

/* A bridge's own MTU, where it is written, is also its ports'. */
static uint32_t mtu_of_bridge(struct lowering *l, const char *port)
{
	const char *bridge = link_bridge_of(l, port);
	const struct object *object = bridge ? link_object(l, bridge) : NULL;
	return object ? written_mtu(object) : 0;
}

uint32_t link_mtu_written(struct lowering *l, const struct object *object)
{
	uint32_t mtu = written_mtu(object);
	return mtu ? mtu : mtu_of_bridge(l, object->name);
}

static uint32_t mtu_of_object(struct lowering *l, const struct object *object, const char *name)
{
	const struct link_kind *kind = kind_of(object);
	struct link_room room;
	uint32_t mtu = is_network(object) ? written_mtu(object) : link_mtu_written(l, object);
	if (!mtu && !kind && !is_network(object)) /* a link that is there already keeps what it has */
		return mtu_of_fact(l, name);
	if (!mtu && is_network(object))
		mtu = link_mtu_of_ports(l, name);
	if (!mtu && kind && kind->mtu)
		return kind->mtu(l, object);
	if (!mtu) {
		(void)link_room(l, object, &room);
		mtu = room.most;
	}
	return mtu ? mtu : STANDARD_MTU;
}

static void work_out_mtu(struct lowering *l, struct known_mtu *known, const char *name)
{
	struct link_map *map = map_of(l);
	struct known_mtu *around = map->working_on;
	map->working_on = known;
	map->depth++;
	known->open = true;
	known->basis = lower_gather(l);
	const struct object *object = link_object(l, name);
	known->mtu = object ? mtu_of_object(l, object, name) : mtu_of_fact(l, name);
	known->basis = lower_gathered(l, known->basis);
	known->open = false;
	map->depth--;
	map->working_on = around;
	if (known->circular)
		known->mtu = 0;
}

/* Of a circle only whoever is asked first has all the facts that went into it: the others are worked out anew when it
 * is their turn. */
static void forget_circular(struct link_map *map, struct known_mtu *but_for)
{
	for (size_t i = 0; i < map->circular.n; i++)
		if (strmap_get(&map->mtus, map->circular.items[i]) != but_for)
			strmap_put(&map->mtus, map->circular.items[i], NULL);
	map->circular.n = 0;
}

static void note_circular(struct link_map *map, const char *name)
{
	struct names *names = &map->circular;
	arena_grow(map->arena, names->items, names->n, names->cap);
	names->items[names->n++] = name;
}

/* A bridge's ports mostly read the same. */
static void forget_twice(struct link_map *map, size_t first)
{
	size_t n = first;
	for (size_t i = first; i < map->n_facts; i++) {
		size_t k = first;
		while (k < n && !streq(map->facts[k], map->facts[i]))
			k++;
		if (k == n)
			map->facts[n++] = map->facts[i];
	}
	map->n_facts = n;
}

static struct known_mtu *mtu_new(struct lowering *l, const char *name)
{
	struct link_map *map = map_of(l);
	struct known_mtu *known = arena_new_of(map->arena, struct known_mtu);
	size_t first = map->n_facts;
	name = arena_strdup(map->arena, name);
	strmap_put(&map->mtus, name, known);
	work_out_mtu(l, known, name);
	known->answer = known->mtu;
	forget_twice(map, first);
	known->n_facts = map->n_facts - first;
	known->facts = arena_alloc(map->arena, known->n_facts * sizeof(*known->facts));
	for (size_t i = 0; i < known->n_facts; i++) {
		known->facts[i] = map->facts[first + i];
		known->answer = lower_hash(known->answer, known->facts[i]);
		known->answer = lower_hash(known->answer, fact(l, "%s", known->facts[i]));
	}
	if (known->circular)
		note_circular(map, name);
	if (!map->depth)
		forget_circular(map, known);
	return known;
}

/* NULL where links stand on each other in a circle. */
static const struct known_mtu *mtu_known(struct lowering *l, const char *name)
{
	struct link_map *map = map_of(l);
	const struct known_mtu *known = strmap_get(&map->mtus, name);
	bool is_new = !known;
	if (is_new && map->depth < TOWER_MAX)
		known = mtu_new(l, name);
	for (size_t i = 0; !is_new && i < known->n_facts; i++)
		fact_of_path(l, known->facts[i]);
	if (!map->depth)
		map->n_facts = 0;
	bool circular = !known || known->open || known->circular;
	if (map->working_on)
		map->working_on->circular |= circular;
	return circular ? NULL : known;
}

static uint64_t ask_mtu(struct lowering *l, const char *name, const char *none);

/* In a circle whatever changes may open it. */
static const struct known_mtu *mtu_asked(struct lowering *l, const char *name)
{
	const struct known_mtu *known = mtu_known(l, name);
	struct lower_question question = {.fn = ask_mtu, .a = name};
	if (known) {
		question.answer = known->answer;
		question.basis = known->basis;
	}
	lower_asked(l, &question);
	return known;
}

static uint64_t ask_mtu(struct lowering *l, const char *name, const char *none)
{
	const struct known_mtu *known = mtu_asked(l, name);
	return known ? known->answer : 0;
}

uint32_t link_mtu(struct lowering *l, const char *name)
{
	const struct known_mtu *known = mtu_asked(l, name);
	return known ? known->mtu : 0;
}

/* ---- what a link stands on ---- */

const char *link_room_text(struct lowering *l, const struct link_room *room)
{
	struct arena *arena = lower_arena(l);
	if (!room->overhead)
		return arena_printf(arena, "%s has %u, which is the most", room->limit, room->limit_mtu);
	const char *way = room->towards ? arena_printf(arena, ", the way to %s,", room->towards) : "";
	return arena_printf(arena, "%s%s has %u, %s takes %u, %u is the most", room->limit, way, room->limit_mtu,
			    room->overhead_of, room->overhead, room->most);
}

bool link_room_on(struct lowering *l, const char *lower, struct link_room *ret)
{
	uint32_t mtu = link_mtu(l, lower);
	*ret = (struct link_room){.most = mtu, .limit = lower, .limit_mtu = mtu};
	return mtu != 0;
}

static const char *subnet_towards(const struct link_map *map, const struct ip *remote)
{
	const struct subnet *best = NULL;
	for (size_t i = 0; i < map->n_subnets; i++) {
		const struct subnet *s = &map->subnets[i];
		if (prefix_contains(s->prefix, remote) && (!best || s->prefix->len > best->prefix->len))
			best = s;
	}
	return best ? best->link : NULL;
}

static uint64_t ask_towards(struct lowering *l, const char *remote, const char *none)
{
	struct ip ip;
	return ip_parse(remote, &ip) == 0 ? lower_hash(0, subnet_towards(map_of(l), &ip)) : 0;
}

static const char *link_towards(struct lowering *l, const struct ip *remote)
{
	char text[IP_TEXT];
	const char *ours = subnet_towards(map_of(l), remote);
	lower_asked(l, &(struct lower_question){ask_towards, ip_text(remote, text), NULL, lower_hash(0, ours),
						topic("subnets", NULL)});
	return ours ? ours : fact_of_path(l, arena_printf(lower_memo_arena(l), "link-towards/%s", text));
}

static const char *holder_of(struct lowering *l, const char *ip, bool *ret_ours)
{
	const struct subnet *ours = strmap_get(&map_of(l)->holders, ip);
	const struct link_kind *kind = ours ? kind_of(strmap_get(&map_of(l)->objects, ours->link)) : NULL;
	*ret_ours = ours != NULL;
	return !ours || (kind && kind->leads_nowhere) ? NULL : ours->link;
}

static uint64_t ask_with(struct lowering *l, const char *local, const char *none)
{
	bool ours;
	uint64_t holder = lower_hash(0, holder_of(l, local, &ours));
	return holder + ours;
}

static const char *link_with(struct lowering *l, const struct ip *local)
{
	char text[IP_TEXT];
	bool ours;
	const char *holder = holder_of(l, ip_text(local, text), &ours);
	lower_asked(l, &(struct lower_question){ask_with, text, NULL, ask_with(l, text, NULL), topic("address", text)});
	return ours ? holder : fact_of_path(l, arena_printf(lower_memo_arena(l), "link-with/%s", text));
}

/* Takes what a link leaves, if that is less than what others do. */
static void narrow(struct lowering *l, const char *link, struct link_room *room)
{
	struct link_room on;
	if (!link_room_on(l, link, &on) || (room->limit && on.limit_mtu >= room->limit_mtu))
		return;
	room->limit = link;
	room->limit_mtu = on.limit_mtu;
	room->most = on.limit_mtu > room->overhead ? on.limit_mtu - room->overhead : 0;
}

/* Most of many other ends are reached by one link, which is looked at once. */
static void narrow_by_remotes(struct lowering *l, const struct link_path *path, struct link_room *room)
{
	struct strmap seen = strmap_in(lower_arena(l));
	char text[IP_TEXT];
	for (size_t i = 0; i < path->n_remotes; i++) {
		const struct ip *remote = &path->remotes[i];
		const char *link = remote->family ? link_towards(l, remote) : NULL, *limit = room->limit;
		if (!link || strmap_get(&seen, link))
			continue;
		strmap_put(&seen, link, (void *)link);
		if (streq(link, path->tunnel))
			room->inside = arena_strdup(lower_arena(l), ip_text(remote, text));
		else
			narrow(l, link, room);
		if (room->limit != limit && path->n_remotes > 1)
			room->towards = arena_strdup(lower_arena(l), ip_text(remote, text));
	}
}

bool link_room_under(struct lowering *l, const struct link_path *path, struct link_room *ret)
{
	const struct ip *end = path->n_remotes && path->remotes[0].family ? &path->remotes[0] : path->local;
	bool ip6 = end && end->family == 6;
	const char *link = path->link;
	*ret = (struct link_room){.overhead = ip6 ? path->overhead6 : path->overhead};
	ret->overhead_of = arena_printf(lower_arena(l), "%s over %s", path->what, ip6 ? "IPv6" : "IPv4");
	if (!link && path->local && path->local->family)
		link = link_with(l, path->local);
	if (link)
		narrow(l, link, ret);
	else
		narrow_by_remotes(l, path, ret);
	if (!ret->limit)
		ret->most = STANDARD_MTU - ret->overhead;
	return ret->limit != NULL;
}
