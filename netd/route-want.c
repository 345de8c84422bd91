/* SPDX-License-Identifier: Apache-2.0 */
/* The routes of a manifest: their rows, their rules, and what is wanted for them. See route.h. */
#include "netd/route.h"

#include <linux/rtnetlink.h>

#include "netd/link-map.h"
#include "netd/netlink-rows.h"

static const char *const type_names[] = {"unicast", "blackhole", "unreachable", "prohibit"};
static const int kernel_types[] = {RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT};

static const struct field rows[] = {
	F_DESTINATION("to", struct route_row, to, .flags = FIELD_REQUIRED, .doc = "Where it leads.",
		      .example = "default"),
	F_IP("via", struct route_row, via, .doc = "The router that it goes over; else what it leads to is on the link.",
	     .example = "192.0.2.1"),
	F_U32("metric", struct route_row, metric, .max = UINT32_MAX,
	      .doc = "Of routes to one destination the one with the lowest metric is used.", .example = "100"),
	F_U32("table", struct route_row, table, .min = 1, .max = UINT32_MAX, .def = "254",
	      .doc = "Routing table that it stands in; 254 is the main one.", .example = "100"),
	F_IP("source", struct route_row, source, .doc = "The address that the host uses as its own on this route.",
	     .example = "192.0.2.10"),
	F_BOOL("onLink", struct route_row, on_link, .def = "false",
	       .doc = "Whether the router is on the link although none of its addresses says so."),
	F_U32("mtu", struct route_row, mtu, .min = 68, .max = 65535, .doc = "MTU of the way to there.",
	      .example = "1400"),
	F_ENUM("type", struct route_row, type, type_names, .def = "unicast",
	       .doc = "Whether packets are sent on, dropped (blackhole), or refused (unreachable, prohibit)."),
};
const struct table route_row_table = TABLE("routes", struct route_row, rows);

static uint8_t family_of(const struct route_row *row)
{
	return row->to.ip.family ? row->to.ip.family : row->via.family ? row->via.family : row->source.family;
}

static void key_of(const struct route_row *row, const char *device, struct route_key *ret)
{
	bool ip6 = family_of(row) == 6;
	*ret = (struct route_key){.to = row->to, .table = row->table, .metric = row->metric};
	ret->to.ip.family = family_of(row);
	if (!ip6)
		return;
	if (!ret->metric)
		ret->metric = ROUTE_METRIC_IPV6;
	ret->via = row->via;
	snprintf(ret->device, sizeof(ret->device), "%s", row->type ? "lo" : device); /* as the kernel has it */
}

/* ---- rules ---- */

static void check_families(const struct check *check, const struct route_row *row, const char *path)
{
	uint8_t family = family_of(row);
	if (!family)
		check_fault(check, path,
			    "'default' could be of either family here; write 0.0.0.0/0 or ::/0, or say via");
	if (row->source.family && row->source.family != family)
		check_fault(check, path, "a route of IPv%d cannot have an IPv%d address as its source", family,
			    row->source.family);
	if (row->via.family == 4 && family == 6)
		check_fault(check, path, "an IPv6 route cannot go over an IPv4 router");
}

static void check_type(const struct check *check, const struct route_row *row, const char *path)
{
	if (row->type && (row->via.family || row->on_link || row->mtu))
		check_fault(check, path, "a route of the type %s leads nowhere: leave via, onLink and mtu out",
			    type_names[row->type]);
	else if (row->on_link && !row->via.family)
		check_fault(check, path, "onLink says something about the router, and there is no via");
}

/* Is the router on the link, as far as the manifest says? */
static bool reaches(const struct ip *via, const struct list *routes, const struct list *addresses)
{
	bool known = false;
	for (size_t i = 0; i < addresses->n; i++) {
		const struct ip_prefix *address = &list_at(addresses, struct ip_prefix, i);
		known |= address->ip.family == via->family;
		if (prefix_contains(address, via))
			return true;
	}
	for (size_t i = 0; i < routes->n; i++) {
		const struct route_row *row = &list_at(routes, struct route_row, i);
		if (!row->via.family && row->to.ip.family && prefix_contains(&row->to, via))
			return true;
	}
	return !known || ip_is_link_local(via);
}

static void check_key(const struct check *check, const struct list *routes, size_t i, const char *path)
{
	char mine[ROUTE_KEY_TEXT], other[ROUTE_KEY_TEXT];
	struct route_key key;
	key_of(&list_at(routes, struct route_row, i), check->object->name, &key);
	route_key_text(&key, mine);
	for (size_t k = 0; k < i; k++) {
		key_of(&list_at(routes, struct route_row, k), check->object->name, &key);
		if (!streq(route_key_text(&key, other), mine))
			continue;
		struct diag *d =
			check_fault(check, path, "there is a route with this destination, table and metric already");
		snprintf(other, sizeof(other), "spec.routes[%zu]", k);
		diag_related(check->diags, d, object_pos(check->object, other), "this is it");
		return;
	}
}

void routes_check(const struct check *check, const struct list *routes, const struct list *addresses)
{
	char path[48], text[IP_TEXT];
	for (size_t i = 0; i < routes->n; i++) {
		const struct route_row *row = &list_at(routes, struct route_row, i);
		snprintf(path, sizeof(path), "spec.routes[%zu]", i);
		check_families(check, row, path);
		check_type(check, row, path);
		check_key(check, routes, i, path);
		if (row->via.family && !row->on_link && !reaches(&row->via, routes, addresses))
			check_fault(check, path,
				    "none of this link's addresses reaches the router %s; write onLink: true if it "
				    "is on the link all the same",
				    ip_text(&row->via, text));
	}
}

bool routes_lead_to(const struct list *routes, const struct route_key *key)
{
	struct route_key mine;
	for (size_t i = 0; i < routes->n; i++) {
		key_of(&list_at(routes, struct route_row, i), "", &mine);
		if (mine.table == key->table && mine.to.ip.family == key->to.ip.family && mine.to.len == key->to.len &&
		    ip_equal(&mine.to.ip, &key->to.ip))
			return true;
	}
	return false;
}

/* ---- lowering ---- */

struct want *route_want(struct lowering *l, const struct route_key *key, const struct route_spec *spec)
{
	char text[ROUTE_KEY_TEXT];
	return want(l, &netd_route_class, spec, "%s", route_key_text(key, text));
}

static const char *text_of(struct lowering *l, const struct ip *ip)
{
	char text[IP_TEXT];
	return ip->family ? arena_strdup(lower_arena(l), ip_text(ip, text)) : "";
}

static uint32_t scope_of(const struct route_row *row)
{
	bool on_link = family_of(row) == 4 && !row->type && !row->via.family;
	return on_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

static struct want *want_one(struct lowering *l, const struct want *link, const struct route_row *row)
{
	struct route_key key;
	key_of(row, link->key, &key);
	bool ip6 = key.to.ip.family == 6;
	struct route_spec spec = {.type = kernel_types[row->type],
				  .device = !row->type ? link->key
					    : ip6      ? "lo"
						       : "",
				  .via = text_of(l, &row->via),
				  .source = text_of(l, &row->source),
				  .scope = scope_of(row),
				  .on_link = row->on_link,
				  .protocol = ROUTE_PROTOCOL,
				  .metrics = {.present = 1, .mtu = row->mtu}};
	for (size_t i = 0; i < route_table.n_fields; i++)
		if (i != ROUTE_PROTOCOL_ROW || !link->adopt)
			set_present(&spec, i);
	return route_want(l, &key, &spec);
}

void routes_want(struct lowering *l, struct want *link, const struct list *routes, const struct list *addresses)
{
	char text[IP_TEXT], key[IP_TEXT + IFNAMSIZ + 1];
	for (size_t i = 0; i < routes->n; i++) {
		lower_at(l, arena_printf(lower_arena(l), "spec.routes[%zu]", i));
		const struct route_row *row = &list_at(routes, struct route_row, i);
		struct want *route = want_one(l, link, row);
		route->adopt = link->adopt;
		needs(l, route, link);
		for (size_t k = 0; k < addresses->n; k++) {
			const struct ip_prefix *address = &list_at(addresses, struct ip_prefix, k);
			if (address->ip.family != family_of(row) && address->ip.family != row->via.family)
				continue;
			prefix_text(address, text);
			snprintf(key, sizeof(key), "%s/%s", link->key, text);
			needs(l, route, want_find(l, "address", key));
		}
		const char *source = row->source.family ? link_address(l, &row->source) : NULL;
		if (source) /* maybe another link's */
			needs(l, route, want(l, class_find("address"), NULL, "%s", source));
	}
	lower_at(l, NULL);
}
