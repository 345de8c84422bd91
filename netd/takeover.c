/* SPDX-License-Identifier: Apache-2.0 */
/* See takeover.h. The order, there:
 *
 *     the bridge, with the MAC of the NIC, and up
 *     its addresses; IPv6 without duplicate detection, or it would be silent for a second
 *     the NIC becomes a port: from now on frames come in by the bridge, and still go out by the NIC
 *     its routes; IPv4 ones are replaced, IPv6 ones added beside the old ones, which go then; how they were is kept
 *     for each by itself, and does not hang on what has become of the bridge's
 *     the addresses of the NIC go, and with them the routes to their subnets
 *
 * and back: the addresses of the NIC, with the neighbours that the bridge knows, since a port hears no answer by which
 * it would learn them; its routes; the addresses of the bridge go; from now on frames still come in by the bridge, and
 * go out by the NIC, which leaves it then. What the bridge's own DHCP client has goes last, after the NIC has left. */
#include "netd/takeover.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "netd/aside-route.h"
#include "netd/dhcp-client.h"
#include "netd/link-map.h"
#include "netd/netlink-rows.h"

/* ---- what is taken over ---- */

static const struct held_address *address_at(const struct holdings *holdings, size_t i)
{
	return &list_at(&holdings->addresses, struct held_address, i);
}

static const struct held_route *route_at(const struct holdings *holdings, size_t i)
{
	return &list_at(&holdings->routes, struct held_route, i);
}

static bool holds_address(const struct holdings *holdings, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < holdings->addresses.n; i++) {
		const struct ip_prefix *held = &address_at(holdings, i)->address;
		if (held->len == prefix->len && ip_equal(&held->ip, &prefix->ip))
			return true;
	}
	return false;
}

static bool holds_route(const struct holdings *holdings, const char *key)
{
	for (size_t i = 0; i < holdings->routes.n; i++)
		if (streq(route_at(holdings, i)->key, key))
			return true;
	return false;
}

/* After a reboot the host's own configuration has set the link up again: what that gives it now counts, and what it had
 * before counts still. Had it nothing, since nobody but weft keeps it, what it had is all there is. */
static const struct holdings *merge(struct lowering *l, const struct holdings *kept, const struct holdings *now)
{
	struct arena *arena = lower_arena(l);
	struct holdings *both = arena_new_of(arena, struct holdings);
	*both = *now;
	size_t n = now->addresses.n, m = now->routes.n;
	struct held_address *addresses = arena_alloc(arena, (n + kept->addresses.n) * sizeof(*addresses));
	struct held_route *routes = arena_alloc(arena, (m + kept->routes.n) * sizeof(*routes));
	if (n)
		memcpy(addresses, now->addresses.items, n * sizeof(*addresses));
	if (m)
		memcpy(routes, now->routes.items, m * sizeof(*routes));
	for (size_t i = 0; i < kept->addresses.n; i++)
		if (!holds_address(now, &address_at(kept, i)->address))
			addresses[n++] = *address_at(kept, i);
	for (size_t i = 0; i < kept->routes.n; i++)
		if (!holds_route(now, route_at(kept, i)->key))
			routes[m++] = *route_at(kept, i);
	both->addresses = (struct list){addresses, n};
	both->routes = (struct list){routes, m};
	return both;
}

const struct holdings *takeover_read(struct lowering *l, const char *link)
{
	struct arena *arena = lower_arena(l);
	const struct holdings *kept = holdings_parse(alloc_kept(l, "takeover", link), arena);
	const struct holdings *now = holdings_parse(fact(l, "holds/%s", link), arena);
	if (kept && (!kept->addresses.n || !kept->boot))
		kept = NULL;
	if (kept && now && !streq(kept->boot, now->boot))
		now = merge(l, kept, now);
	else if (kept)
		now = kept;
	if (!now)
		return NULL;
	const char *holder = NULL;
	if (!alloc_fixed(l, "takeover", link, holdings_text(now, arena), &holder))
		lower_refuse_beside(l, lower_refuse(l, "spec.takeover", "%s takes '%s' over already", holder, link),
				    holder);
	return now;
}

const struct holdings *takeover_read_left(struct lowering *l, const char *link)
{
	return alloc_kept(l, "takeover", link) ? takeover_read(l, link) : NULL;
}

/* ---- addresses ---- */

struct moving {
	struct lowering *l;
	const struct takeover *t;
	struct want *leases[2]; /* of IPv4 and IPv6: that a client of its own has; NULL: it has none of that family */
	struct want **addresses, **asides; /* of the addresses, in their order */
};

/* That its own client has been given what another one leased for the port; NULL: what the address has is moved. */
static struct want *lease_of(const struct moving *m, const struct held_address *held)
{
	return held->lease_s ? m->leases[held->address.ip.family == 6] : NULL;
}

static struct want *want_address(const struct moving *m, const struct held_address *held)
{
	char text[IP_TEXT], key[IFNAMSIZ + 1 + IP_TEXT];
	snprintf(key, sizeof(key), "%s/%s", m->t->to->key, prefix_text(&held->address, text));
	if (m->t->written)
		return want_find(m->l, "address", key);
	struct want *w = want(m->l, class_find("address"), NULL, "%s", key);
	if (held->flags & IFA_F_NOPREFIXROUTE)
		want_set(m->l, w, "noPrefixRoute", "true");
	if (held->address.ip.family == 4 && !(held->flags & IFA_F_SECONDARY))
		want_set(m->l, w, "secondary", "false");
	if (held->scope)
		want_set(m->l, w, "scope", "%u", held->scope);
	if (held->metric)
		want_set(m->l, w, "metric", "%u", held->metric);
	needs(m->l, w, m->t->to);
	return w;
}

static struct want *set_aside(const struct moving *m, const struct held_address *held)
{
	char text[IP_TEXT];
	struct want *w = want(m->l, class_find("aside-address"), NULL, "%s/%s", m->t->port->key,
			      prefix_text(&held->address, text));
	want_set(m->l, w, "inPlace", "false");
	return w;
}

/* The kernel takes the first address of a subnet for the main one: it comes before the others, and goes after them. On
 * the link that gets them as well, if one does. */
static void order_subnet(const struct moving *m, size_t i)
{
	const struct held_address *held = address_at(m->t->holdings, i);
	struct ip_prefix net = prefix_network(&held->address);
	for (size_t k = 0; k < i && (held->flags & IFA_F_SECONDARY); k++) {
		struct ip_prefix other = prefix_network(&address_at(m->t->holdings, k)->address);
		if (other.len != net.len || !ip_equal(&other.ip, &net.ip))
			continue;
		if (m->addresses)
			needs(m->l, m->addresses[i], m->addresses[k]);
		after(m->l, m->asides[k], m->asides[i]);
		handover(m->l, m->asides[i], m->asides[k]);
	}
}

static void move_addresses(struct moving *m)
{
	const struct holdings *holdings = m->t->holdings;
	size_t n = holdings->addresses.n;
	m->addresses = arena_alloc(lower_arena(m->l), (n + 1) * sizeof(*m->addresses));
	m->asides = arena_alloc(lower_arena(m->l), (n + 1) * sizeof(*m->asides));
	for (size_t i = 0; i < n; i++) {
		const struct held_address *held = address_at(holdings, i);
		struct want *lease = lease_of(m, held), *address = lease ? NULL : want_address(m, held);
		struct want *aside = set_aside(m, held);
		after(m->l, aside, lease);
		handover(m->l, lease, aside);
		after(m->l, m->t->port, address);
		after(m->l, aside, m->t->port);
		handover(m->l, address, aside);
		rests_on(m->l, address, m->t->port);
		handover(m->l, m->t->port, aside);
		m->addresses[i] = address;
		m->asides[i] = aside;
		order_subnet(m, i);
	}
}

/* ---- routes ---- */

static struct want *set_route_aside(const struct moving *m, const struct held_route *held)
{
	const struct aside_route spec = {.present = 3, .in_place = false, .route = held->route};
	return want(m->l, &netd_aside_route_class, &spec, "%s/%s", m->t->port->key, held->key);
}

static struct want *want_route(const struct moving *m, const struct held_route *held, const struct route_key *key)
{
	char text[ROUTE_KEY_TEXT];
	struct route_spec spec = held->route;
	struct route_key there = *key;
	spec.device = m->t->to->key;
	spec.protocol = ROUTE_PROTOCOL;
	if (*there.device)
		snprintf(there.device, sizeof(there.device), "%s", m->t->to->key);
	return m->t->written ? want_find(m->l, "route", route_key_text(&there, text)) : route_want(m->l, &there, &spec);
}

/* Does the bridge's own client bring such a route along? */
static struct want *lease_for(const struct moving *m, const struct held_route *held, const struct route_key *key)
{
	bool brought = held->route.protocol == RTPROT_DHCP || held->route.protocol == RTPROT_RA ||
		       (!key->to.len && key->table == ROUTE_TABLE_MAIN);
	return brought ? m->leases[key->to.ip.family == 6] : NULL;
}

/* The port's own goes when the bridge's client has brought one, and comes back after the port has left. */
static void leave_route(const struct moving *m, const struct held_route *held, struct want *lease)
{
	struct want *aside = set_route_aside(m, held);
	after(m->l, aside, m->t->port);
	after(m->l, aside, lease);
	handover(m->l, aside, m->t->port);
	handover(m->l, lease, aside);
	for (size_t i = 0; i < m->t->holdings->addresses.n; i++)
		after(m->l, m->asides[i], aside);
}

static void move_route(const struct moving *m, const struct held_route *held)
{
	struct route_key key;
	struct err err;
	if (route_key_parse(held->key, &key, &err) < 0)
		return;
	if (!key.to.len && key.table == ROUTE_TABLE_MAIN)
		want_guards_gateway(m->t->port);
	struct want *lease = lease_for(m, held, &key);
	if (lease) {
		leave_route(m, held, lease);
		return;
	}
	bool ip6 = key.to.ip.family == 6;
	struct want *route = want_route(m, held, &key), *aside = set_route_aside(m, held);
	if (route && !ip6)
		route->adopt = true;
	needs(m->l, route, m->t->to);
	after(m->l, route, m->t->port);
	for (size_t i = 0; i < m->t->holdings->addresses.n; i++) {
		if (address_at(m->t->holdings, i)->address.ip.family != key.to.ip.family)
			continue;
		needs(m->l, route, m->addresses[i]);
		needs(m->l, route, lease_of(m, address_at(m->t->holdings, i)));
		after(m->l, m->asides[i], route);
		handover(m->l, route, m->asides[i]);
		handover(m->l, aside, m->asides[i]);
	}
	after(m->l, aside, route);
	handover(m->l, route, aside);
	handover(m->l, m->t->port, aside);
	rests_on(m->l, route, m->t->port);
}

/* ---- what it costs ---- */

static const char *time_left(uint64_t seconds, char buf[static 32])
{
	if (seconds < 120)
		snprintf(buf, 32, "%u s", (unsigned)seconds);
	else if (seconds < 7200)
		snprintf(buf, 32, "%u min", (unsigned)(seconds / 60));
	else
		snprintf(buf, 32, "%u h", (unsigned)(seconds / 3600));
	return buf;
}

static void tell_leases(const struct moving *m)
{
	const struct holdings *holdings = m->t->holdings;
	char text[IP_TEXT], left[32];
	for (size_t i = 0; i < holdings->addresses.n; i++) {
		const struct held_address *held = address_at(holdings, i);
		if (!held->lease_s)
			continue;
		prefix_text(&held->address, text);
		if (lease_of(m, held))
			want_cost(
				m->l, m->t->port, "master",
				"the address %s of %s is leased: %s asks for it by its own client, and until that has "
				"been answered, a second or two, answers may get lost; whoever leased it on %s is to "
				"be stopped",
				text, m->t->port->key, m->t->to->key, m->t->port->key);
		else
			want_cost(m->l, m->t->port, "master",
				  "the address %s of %s is leased for another %s: %s keeps it then, and whoever renews "
				  "it on %s puts it back there each time; dhcp%d: true has %s ask for it itself",
				  text, m->t->port->key, time_left(held->lease_s, left), m->t->to->key, m->t->port->key,
				  held->address.ip.family, m->t->to->key);
	}
}

/* Those stay behind, and the kernel forgets the ones of IPv4 with the last address. */
static void tell_neighbours(const struct moving *m)
{
	const struct list *neighbours = &m->t->holdings->neighbours;
	char more[32] = "";
	if (!neighbours->n)
		return;
	if (neighbours->n > 1)
		snprintf(more, sizeof(more), " and %zu more", neighbours->n - 1);
	want_cost(
		m->l, m->t->port, "master",
		"%s has permanent neighbours, %s%s, which are lost: set them on %s afterwards, and on %s again once %s "
		"is deleted",
		m->t->port->key, list_at(neighbours, const char *, 0), more, m->t->to->key, m->t->port->key,
		m->t->to->key);
}

static bool has_metric(const struct holdings *holdings, uint32_t metric)
{
	struct route_key key;
	struct err err;
	for (size_t i = 0; i < holdings->addresses.n; i++)
		if (address_at(holdings, i)->metric == metric)
			return true;
	for (size_t i = 0; i < holdings->routes.n; i++)
		if (route_key_parse(route_at(holdings, i)->key, &key, &err) == 0 && key.metric == metric)
			return true;
	return false;
}

/* The routes of the bridge's client come while the port still has its own, and the kernel takes no second one of the
 * same metric: then the client would do without, until it is told of them the next time. */
static void set_metric_apart(const struct moving *m, struct want *client)
{
	const struct table *table = client->class->table;
	const struct dhcp_client_spec *said =
		is_present(client->spec, table, table_field(table, "metric")) ? client->spec : client->defaults;
	uint32_t metric = said->metric;
	while (metric > 1 && has_metric(m->t->holdings, metric))
		metric--;
	if (metric == said->metric)
		return;
	if (m->t->has_metric)
		lower_refuse(m->l, "spec.dhcpMetric",
			     "%s has routes of metric %u, and for a moment both links have theirs; write another, such "
			     "as %u",
			     m->t->port->key, said->metric, metric);
	want_set(m->l, client, "metric", "%u", metric);
}

/* Whether a client asks for what was leased, or the bridge just keeps it, is not changed on the way: the same address
 * would be the client's and weft's own for a moment, and one of them would take the other's away. */
static void refuse_other_keeper(const struct moving *m, const struct held_address *held, bool client)
{
	char text[IP_TEXT];
	const char *port = m->t->port->key, *to = m->t->to->key;
	const char *since = client ? "has it as one of its own" : "renews it by its DHCP client";
	lower_refuse(m->l, "spec.takeover",
		     "the address %s of %s was leased, and %s %s since; delete the Bridge, which gives %s back what it "
		     "had, before you apply it with%s dhcp%d",
		     prefix_text(&held->address, text), port, to, since, port, client ? "" : "out",
		     held->address.ip.family);
}

static void want_lease(struct moving *m, const struct held_address *held)
{
	static const char space[] = "takeover-lease";
	struct arena *arena = lower_arena(m->l);
	int family = held->address.ip.family;
	const char *slot = arena_printf(arena, "%s/ipv%d", m->t->port->key, family), *holder;
	const char *kept = alloc_kept(m->l, space, slot);
	struct want *lease = m->leases[family == 6] = link_dhcp_want_known(m->l, m->t->to, family);
	const char *keeper = arena_printf(arena, "%s/%s", slot, lease ? "client" : "bridge");
	if (kept && !streq(kept, keeper))
		refuse_other_keeper(m, held, lease);
	else
		alloc_fixed(m->l, space, slot, keeper, &holder); /* nobody else has taken the port over */
}

/* Its client asks once the port has joined, over which it is answered. */
static void want_leases(struct moving *m)
{
	for (size_t i = 0; i < m->t->holdings->addresses.n; i++) {
		const struct held_address *held = address_at(m->t->holdings, i);
		if (held->lease_s && !m->leases[held->address.ip.family == 6])
			want_lease(m, held);
	}
	struct want *client = want_find(m->l, netd_dhcp_client_class.name, m->t->to->key);
	after(m->l, client, m->t->port);
	for (size_t i = 0; i < ARRAY_SIZE(m->leases); i++)
		handover(m->l, m->leases[i], m->t->port);
	if (client)
		set_metric_apart(m, client);
}

/* ---- what is written instead ---- */

struct missing {
	size_t n;
	const char *text; /* the first few of them */
};

static void add_missing(const struct moving *m, struct missing *missing, const char *what)
{
	enum { SHOWN = 3 };
	if (missing->n++ < SHOWN)
		missing->text =
			arena_printf(lower_arena(m->l), "%s%s%s", missing->text, *missing->text ? ", " : "", what);
}

static void find_missing(const struct moving *m, struct missing *missing)
{
	const struct holdings *holdings = m->t->holdings;
	char text[IP_TEXT];
	for (size_t i = 0; i < holdings->addresses.n; i++) {
		const struct held_address *held = address_at(holdings, i);
		if (!lease_of(m, held) && !m->addresses[i])
			add_missing(m, missing, prefix_text(&held->address, text));
	}
	for (size_t i = 0; i < holdings->routes.n; i++) {
		const struct held_route *held = route_at(holdings, i);
		struct route_key key;
		struct err err;
		if (held->route.type != RTN_UNICAST || route_key_parse(held->key, &key, &err) < 0 ||
		    lease_for(m, held, &key) || routes_lead_to(&m->t->written->routes, &key))
			continue;
		const char *to = key.to.len ? prefix_text(&key.to, text) : key.to.ip.family == 6 ? "::/0" : "0.0.0.0/0";
		const char *route = arena_printf(lower_arena(m->l), "the route to %s", to);
		if (key.table != ROUTE_TABLE_MAIN)
			route = arena_printf(lower_arena(m->l), "%s in table %u", route, key.table);
		add_missing(m, missing, route);
	}
}

/* In the step from `takeover` to what is written: what is neither has no place, since a port can do nothing with it.
 * Once it is done the manifest says what the bridge has, and may as well say less. */
static void refuse_missing(const struct moving *m, const char *path)
{
	static const char space[] = "takeover-written";
	const char *port = m->t->port->key, *to = m->t->to->key, *holder;
	struct missing missing = {.text = ""};
	char more[32] = "";
	bool done = alloc_kept(m->l, space, port) != NULL;
	alloc_fixed(m->l, space, port, arena_printf(lower_arena(m->l), "%s/%s", to, port), &holder);
	if (!done)
		find_missing(m, &missing);
	size_t shown = missing.n < 3 ? missing.n : 3;
	if (missing.n > shown)
		snprintf(more, sizeof(more), " and %zu more", missing.n - shown);
	if (missing.n)
		lower_refuse(m->l, path,
			     "%s stays a port of %s, where what %s took over from it would not work, and not all of "
			     "that is written here: %s%s; write it as addresses and routes of %s, or write takeover: "
			     "%s again, or take %s off the ports as well, which gives it back",
			     port, to, to, missing.text, more, to, port, port);
}

void takeover_want(struct lowering *l, const struct takeover *takeover, const char *path)
{
	struct moving m = {.l = l, .t = takeover};
	const struct holdings *holdings = takeover->holdings;
	for (size_t i = 0; i < holdings->immovable.n; i++)
		lower_refuse(
			l, path,
			"the route %s of %s cannot be made over another link, since it has several next hops or an "
			"encapsulation; take it away first",
			list_at(&holdings->immovable, const char *, i), takeover->port->key);
	lower_at(l, path);
	want_leases(&m);
	move_addresses(&m);
	for (size_t i = 0; i < holdings->routes.n; i++)
		move_route(&m, route_at(holdings, i));
	if (takeover->written)
		refuse_missing(&m, path);
	tell_leases(&m);
	tell_neighbours(&m);
	lower_at(l, NULL);
}

static bool leads_to_gateway(const struct holdings *holdings)
{
	for (size_t i = 0; i < holdings->routes.n; i++)
		if (strstr(route_at(holdings, i)->key, "/main/default/"))
			return true;
	return false;
}

void takeover_set_aside(struct lowering *l, struct want *port)
{
	const struct holdings *holdings = holdings_parse(fact(l, "holds/%s", port->key), lower_arena(l));
	if (!holdings)
		return;
	struct moving m = {.l = l, .t = &(struct takeover){.port = port, .holdings = holdings}};
	size_t n = holdings->addresses.n;
	m.asides = arena_alloc(lower_arena(l), (n + 1) * sizeof(*m.asides));
	for (size_t i = 0; i < n; i++) {
		m.asides[i] = set_aside(&m, address_at(holdings, i));
		after(l, port, m.asides[i]);
		handover(l, m.asides[i], port);
		order_subnet(&m, i);
	}
	for (size_t i = 0; i < holdings->routes.n; i++) {
		struct want *route = set_route_aside(&m, route_at(holdings, i));
		after(l, port, route);
		handover(l, route, port);
		for (size_t k = 0; k < n; k++) {
			after(l, m.asides[k], route);
			handover(l, route, m.asides[k]);
		}
	}
	if (leads_to_gateway(holdings))
		want_guards_gateway(port);
}

void takeover_tell_cut(struct lowering *l, struct want *port, const char *master, const char *remedy)
{
	const struct holdings *holdings = holdings_parse(fact(l, "holds/%s", port->key), lower_arena(l));
	char text[IP_TEXT], more[32] = "";
	if (!holdings || !holdings->addresses.n)
		return;
	bool gateway = leads_to_gateway(holdings);
	if (holdings->addresses.n > 1)
		snprintf(more, sizeof(more), " and %zu more", holdings->addresses.n - 1);
	if (gateway)
		want_guards_gateway(port);
	want_cost(l, port, "master", "the address %s%s of %s%s: no traffic as long as it is a port of %s; %s",
		  prefix_text(&address_at(holdings, 0)->address, text), more, port->key,
		  gateway ? " goes, and with it the default route" : " goes", master, remedy);
}

void takeover_tell_leaving(struct lowering *l, struct want *port)
{
	const char *master = fact(l, "link/%s/foreignMaster", port->key);
	if (!master || link_object(l, master))
		return;
	const struct holdings *holdings = holdings_parse(fact(l, "holds/%s", master), lower_arena(l));
	char text[IP_TEXT], also[64] = "";
	if (holdings && holdings->addresses.n)
		snprintf(also, sizeof(also), ", and the host's own %s",
			 prefix_text(&address_at(holdings, 0)->address, text));
	if (holdings && leads_to_gateway(holdings))
		want_guards_gateway(port);
	want_cost(l, port, "master",
		  "%s is a port of %s, which is not weft's, and leaves it: what %s reaches by it%s is cut off",
		  port->key, master, master, also);
}
