/* SPDX-License-Identifier: Apache-2.0 */
/* The spec of one link's object: see import.h. */
#include "netd/import.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "netd/address.h"
#include "netd/link-common.h"
#include "netd/vfs.h"

enum { PROTO_KERNEL_LINK_LOCAL = 3 /* IFAPROT_KERNEL_LL */ };

void import_remark(struct importing *host, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	json_array_append_new(host->remarks, json_string(arena_vprintf(host->arena, fmt, args)));
	va_end(args);
}

json_t *import_words(const char *text)
{
	json_t *words = json_array();
	for (size_t size; *text; text += size + (text[size] != '\0')) {
		size = strcspn(text, ", ");
		if (size)
			json_array_append_new(words, json_stringn(text, size));
	}
	return words;
}

bool import_takes(const struct netlink_link *link, const char **ret_why)
{
	const struct link_kind *kind = link_kind_of(link);
	const char *ignored;
	ret_why = ret_why ? ret_why : &ignored;
	*ret_why = NULL;
	if (link->flags & IFF_LOOPBACK || link_is_ours(link))
		return false;
	if (*link->kind && (!kind || !kind->object))
		*ret_why = "weft has no kind for such links";
	else if (kind && kind->passing)
		*ret_why = kind->passing;
	else if (kind && link->elsewhere)
		*ret_why = "what it stands on, or its other end, is in another network namespace";
	return !*ret_why;
}

/* ---- rows ---- */

/* A value in the normal form of its row; as it is where the row does not take it, which decoding then tells. */
static const char *normal(const struct field *row, const char *text, struct arena *arena)
{
	_Alignas(16) char value[64] = {0};
	struct err err = {0};
	struct field any = *row;
	any.min = any.max = 0;
	return row->scalar->parse(&any, text, arena, value, &err) < 0 ? text : row->scalar->format(row, value, arena);
}

/* How the kernel says that there is none. */
static bool is_nothing(const struct field *row, const char *text)
{
	static const char *const nothings[] = {"", "0.0.0.0", "::", "00:00:00:00:00:00"};
	for (size_t i = 0; i < ARRAY_SIZE(nothings); i++)
		if (streq(text, nothings[i]))
			return true;
	return row->scalar->json == JSON_FORM_NUMBER && row->min > 0 && !(row->flags & FIELD_REQUIRED) &&
	       strtoull(text, NULL, 10) < row->min;
}

/* The map that a path's last part stands in, made where it is missing; `path` becomes that part. */
static json_t *map_of(json_t *spec, const char **path)
{
	for (const char *dot; (dot = strchr(*path, '.')); *path = dot + 1) {
		json_t *map = json_object_getn(spec, *path, (size_t)(dot - *path));
		if (!map) {
			map = json_object();
			json_object_setn_new(spec, *path, (size_t)(dot - *path), map);
		}
		spec = map;
	}
	return spec;
}

static void put(const struct table *table, json_t *spec, const char *path, const char *text)
{
	cleanup_arena struct arena *arena = arena_new();
	const struct field *row = table_field_path(table, path);
	if (!row || (row->shape != FIELD_SCALAR && row->shape != FIELD_LIST) || is_nothing(row, text))
		return;
	const char *said = row->shape == FIELD_SCALAR ? normal(row, text, arena) : text;
	if (row->def && streq(said, normal(row, row->def, arena)))
		return;
	json_t *map = map_of(spec, &path), *value;
	if (row->shape == FIELD_LIST)
		value = import_words(text);
	else if (row->scalar->json == JSON_FORM_BOOL)
		value = json_boolean(streq(said, "true"));
	else if (row->scalar->json == JSON_FORM_NUMBER)
		value = json_integer(strtoll(said, NULL, 10));
	else
		value = json_string(said);
	json_object_set_new(map, row->name, value);
}

/* Of a scalar; NULL of what is none. */
static const char *text_of(const json_t *value, const char *unit, struct arena *arena)
{
	if (json_is_string(value))
		return arena_printf(arena, "%s%s", json_string_value(value), unit);
	if (json_is_integer(value))
		return arena_printf(arena, "%lld%s", (long long)json_integer_value(value), unit);
	return json_is_boolean(value) ? (json_is_true(value) ? "true" : "false") : NULL;
}

void import_rows(const struct table *table, json_t *spec, const json_t *from)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)from, name, value) {
		const char *text = text_of(value, "", arena);
		if (text)
			put(table, spec, name, text);
	}
}

static void put_spellings(const struct table *table, json_t *spec, const struct link_spelling *spellings,
			  const json_t *seen)
{
	cleanup_arena struct arena *arena = arena_new();
	for (const struct link_spelling *s = spellings; s && s->seen; s++) {
		const char *dot = strchr(s->seen, '.');
		const json_t *map = json_object_getn(seen, s->seen, (size_t)(dot - s->seen));
		const char *text = text_of(json_object_get(map, dot + 1), s->unit ? s->unit : "", arena);
		if (text)
			put(table, spec, s->spec, text);
	}
}

/* ---- ports, addresses, routes ---- */

static int compare_links(const void *a, const void *b)
{
	return (*(const struct netlink_link *const *)a)->index - (*(const struct netlink_link *const *)b)->index;
}

size_t import_links(const struct importing *host, int master, const struct netlink_link ***ret)
{
	const struct netlink_link **links = NULL;
	size_t n = 0, cap = 0;
	for (size_t i = 0; i < NETLINK_BUCKETS; i++) {
		for (const struct netlink_link *l = host->cache->by_index[i]; l; l = l->next_by_index) {
			if (master && l->master != master)
				continue;
			grow(links, n, cap);
			links[n++] = l;
		}
	}
	if (n)
		qsort(links, n, sizeof(*links), compare_links);
	*ret = links;
	return n;
}

json_t *import_ports(const struct link_import *import)
{
	const struct netlink_link **ports;
	size_t n = import_links(import->host, import->link->index, &ports);
	json_t *names = json_array();
	for (size_t i = 0; i < n; i++)
		if (import_takes(ports[i], NULL))
			json_array_append_new(names, json_string(ports[i]->name));
	free(ports);
	return names;
}

/* Why an address is not to be written; NULL if it is. "" where that goes without saying. */
static const char *why_not(const struct netlink_cache *cache, const struct netlink_address *address)
{
	const struct ip *ip = &address->prefix.ip;
	if (address->proto == ADDRESS_PROTO_OF_WEFT)
		return "";
	if (ip_is_link_local(ip) && (address->proto == PROTO_KERNEL_LINK_LOCAL || !cache->knows_proto))
		return "";
	bool temporary = ip->family == 6 && address->flags & IFA_F_TEMPORARY; /* of IPv4 the bit is IFA_F_SECONDARY */
	if (!(address->flags & IFA_F_PERMANENT) || address->valid_until_s || temporary)
		return "is leased or announced, by DHCP or by a router, and stays with the program that keeps it";
	if (address->peer.family && !ip_equal(&address->peer, ip))
		return "has another end of its own, which manifests cannot say";
	return NULL;
}

json_t *import_addresses(struct importing *host, const struct netlink_link *link, bool leases_are_said)
{
	json_t *addresses = json_array();
	char text[IP_TEXT];
	for (const struct netlink_address *a = link->addresses; a; a = a->next) {
		if (leases_are_said && address_is_leased(a))
			continue;
		const char *why = why_not(host->cache, a);
		if (!why)
			json_array_append_new(addresses, json_string(prefix_text(&a->prefix, text)));
		else if (*why)
			import_remark(host, "%s: its address %s %s.", link->name, prefix_text(&a->prefix, text), why);
	}
	return addresses;
}

bool import_is_static(const struct kernel_route *route)
{
	return route->protocol == RTPROT_BOOT || route->protocol == RTPROT_STATIC;
}

static void add_ip(json_t *json, const char *name, const struct ip *ip)
{
	char text[IP_TEXT];
	if (ip->family)
		json_object_set_new(json, name, json_string(ip_text(ip, text)));
}

static json_t *route_json(const struct kernel_route *route, struct arena *arena)
{
	struct route_spec *spec = arena_alloc(arena, sizeof(*spec));
	char text[IP_TEXT];
	bool ip6 = route->to.ip.family == 6, all = route->to.len == 0;
	route_decode(route, NULL, spec, arena);
	json_t *json = json_object();
	json_object_set_new(json, "to", json_string(!all ? prefix_text(&route->to, text) : ip6 ? "::/0" : "0.0.0.0/0"));
	add_ip(json, "via", &route->via);
	if (route->metric && !(ip6 && route->metric == ROUTE_METRIC_IPV6))
		json_object_set_new(json, "metric", json_integer(route->metric));
	if (route->table != ROUTE_TABLE_MAIN)
		json_object_set_new(json, "table", json_integer(route->table));
	add_ip(json, "source", &route->source);
	if (route->on_link && route->via.family)
		json_object_set_new(json, "onLink", json_true());
	if (spec->metrics.mtu)
		json_object_set_new(json, "mtu", json_integer(spec->metrics.mtu));
	return json;
}

json_t *import_routes(struct importing *host, const struct netlink_link *link)
{
	json_t *routes = json_array();
	char text[IP_TEXT];
	for (const struct kernel_route *r = host->routes; r; r = r->next) {
		if (r->device != link->index || !import_is_static(r))
			continue;
		if (r->type != RTN_UNICAST || r->shared || r->opaque || r->tos || r->expires_s)
			import_remark(host, "%s: its route to %s has what manifests cannot say, and stays as it is.",
				      link->name, prefix_text(&r->to, text));
		else
			json_array_append_new(routes, route_json(r, host->arena));
	}
	return routes;
}

/* ---- the whole ---- */

/* Is there something on this host that is said of other links and concerns this one? */
static bool is_part(const struct importing *host, const struct netlink_link *link)
{
	if (link->master)
		return true;
	for (size_t i = 0; i < NETLINK_BUCKETS; i++)
		for (const struct netlink_link *l = host->cache->by_index[i]; l; l = l->next_by_index)
			if (l->lower == link->index && !l->elsewhere && l != link)
				return true;
	return false;
}

static void put_link_rows(const struct link_import *import, const struct table *table, json_t *spec)
{
	const struct link_kind *kind = link_kind_of(import->link);
	json_t *seen = table_to_json(&link_table, import->seen, 0);
	import_rows(table, spec, seen);
	import_rows(table, spec, json_object_get(seen, "fixed"));
	import_rows(table, spec, json_object_get(seen, "paused"));
	import_rows(table, spec, json_object_get(seen, "info"));
	if (kind && kind->underlay && *import->seen->underlay)
		put(table, spec, "link", import->seen->underlay);
	if (kind)
		put_spellings(table, spec, kind->spellings, seen);
	/* A link that lets no packet out may have any MTU, also one that no manifest takes. */
	if (kind && kind->leads_nowhere && import->seen->mtu > UINT16_MAX)
		json_object_del(spec, "mtu");
	json_decref(seen);
}

static void put_list(json_t *spec, const char *name, json_t *list)
{
	if (json_array_size(list))
		json_object_set(spec, name, list);
	json_decref(list);
}

/* Whoever keeps them goes on with that; weft begins to ask when they are gone (dhcp-want.c). */
static void put_leases(const struct netlink_link *link, json_t *spec)
{
	for (const struct netlink_address *a = link->addresses; a; a = a->next)
		if (address_is_leased(a))
			json_object_set_new(spec, a->prefix.ip.family == 4 ? "dhcp4" : "dhcp6", json_true());
}

/* As many as somebody has given it. */
static void put_vfs(const struct netlink_link *link, const struct table *table, json_t *spec)
{
	struct vfs_seen seen;
	if (table_field(table, "vfs") && vfs_read(link->name, &seen) == 0 && seen.count)
		json_object_set_new(spec, "vfs", json_integer(seen.count));
}

json_t *import_spec(const struct link_import *import, const struct kind *kind)
{
	const struct link_kind *link_kind = link_kind_of(import->link);
	bool made = link_kind && link_kind->object == kind;
	json_t *spec = json_object();
	bool asks = table_field(kind->table, "dhcp4") && !import->link->master;
	put_list(spec, "addresses", import_addresses(import->host, import->link, asks));
	if (asks)
		put_leases(import->link, spec);
	put_list(spec, "routes", import_routes(import->host, import->link));
	put_vfs(import->link, kind->table, spec);
	bool idle = json_object_size(spec) == 0 && (*import->link->kind || !is_part(import->host, import->link));
	if (!made && idle) {
		json_decref(spec);
		return NULL;
	}
	if (made) {
		put_link_rows(import, kind->table, spec);
	} else {
		json_object_set_new(spec, "mtu", json_integer(import->seen->mtu));
		if (!import->seen->up)
			json_object_set_new(spec, "up", json_false());
	}
	if (made && link_kind->import)
		link_kind->import(import, spec);
	json_object_set_new(spec, "adopt", json_true());
	return spec;
}
