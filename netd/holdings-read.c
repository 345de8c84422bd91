/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of the kernel what a link holds, and of the engine what weft has set aside of that. See holdings.h. */
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>

#include "core/env.h"
#include "netd/address.h"
#include "netd/holdings.h"
#include "netd/netd.h"
#include "netd/netlink-rows.h"
#include "netd/route-message.h"

struct reading {
	struct arena *arena;
	struct holdings *holdings;
	const char *name;
	int index;
	size_t cap_addresses, cap_routes, cap_immovable, cap_neighbours;
};

/* The one that the kernel makes of the MAC: the other link has one just like it. */
static bool is_of_mac(const struct ip *ip, const struct mac *mac)
{
	const uint8_t *m = mac->b;
	const uint8_t id[] = {m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
	return ip_is_link_local(ip) && memcmp(ip->b + 8, id, sizeof(id)) == 0;
}

static bool has_address(const struct holdings *holdings, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < holdings->addresses.n; i++) {
		const struct held_address *held = &list_at(&holdings->addresses, struct held_address, i);
		if (held->address.len == prefix->len && ip_equal(&held->address.ip, &prefix->ip))
			return true;
	}
	return false;
}

static void add_address(struct reading *r, const struct held_address *address)
{
	struct holdings *h = r->holdings;
	struct held_address *items = h->addresses.items;
	if (has_address(h, &address->address))
		return;
	arena_grow(r->arena, items, h->addresses.n, r->cap_addresses);
	items[h->addresses.n] = *address;
	for (size_t i = 0; i < table_field(&holdings_table, "addresses")->table->n_fields; i++)
		set_present(&items[h->addresses.n], i);
	h->addresses.items = items;
	h->addresses.n++;
}

/* Those that the kernel derives from another for the sake of privacy come by themselves, as it does. */
static void take_address(void *ctx, const struct nlmsghdr *message)
{
	struct reading *r = ctx;
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct netlink_address seen;
	uint64_t now = now_ms() / 1000;
	if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof(*header) ||
	    (int)header->ifa_index != r->index || !netlink_address_read(message, &seen))
		return;
	bool derived = seen.prefix.ip.family == 6 && (seen.flags & IFA_F_TEMPORARY);
	if (derived || is_of_mac(&seen.prefix.ip, &r->holdings->mac))
		return;
	add_address(r, &(struct held_address){.address = seen.prefix,
					      .flags = seen.flags,
					      .scope = seen.scope,
					      .metric = seen.metric,
					      .lease_s = seen.valid_until_s > now ? seen.valid_until_s - now : 0});
}

/* Does the kernel make this route by itself where the address is? */
static bool comes_with_address(const struct reading *r, const struct kernel_route *route)
{
	if (route->protocol != RTPROT_KERNEL)
		return false;
	if (ip_is_link_local(&route->to.ip) || (route->to.ip.family == 6 && route->to.ip.b[0] == 0xff))
		return true;
	for (size_t i = 0; i < r->holdings->addresses.n; i++) {
		const struct held_address *held = &list_at(&r->holdings->addresses, struct held_address, i);
		struct ip_prefix net = prefix_network(&held->address);
		if (!(held->flags & IFA_F_NOPREFIXROUTE) && net.len == route->to.len &&
		    ip_equal(&net.ip, &route->to.ip))
			return true;
	}
	return false;
}

static void add_route(struct reading *r, const char *key, const struct route_spec *spec)
{
	struct holdings *h = r->holdings;
	struct held_route *items = h->routes.items;
	for (size_t i = 0; i < h->routes.n; i++)
		if (streq(items[i].key, key))
			return;
	arena_grow(r->arena, items, h->routes.n, r->cap_routes);
	items[h->routes.n] = (struct held_route){.present = 3, .key = arena_strdup(r->arena, key), .route = *spec};
	h->routes.items = items;
	h->routes.n++;
}

static void add_immovable(struct reading *r, const char *key)
{
	struct holdings *h = r->holdings;
	const char **items = h->immovable.items;
	for (size_t i = 0; i < h->immovable.n; i++)
		if (streq(items[i], key)) /* another way of it */
			return;
	arena_grow(r->arena, items, h->immovable.n, r->cap_immovable);
	items[h->immovable.n] = arena_strdup(r->arena, key);
	h->immovable.items = items;
	h->immovable.n++;
}

static void take_way(struct reading *r, const struct kernel_route *route)
{
	struct route_key key = {.to = route->to, .table = route->table, .metric = route->metric, .tos = route->tos};
	char text[ROUTE_KEY_TEXT];
	bool movable = route->type == RTN_UNICAST || route->type == RTN_MULTICAST;
	if (route->device != r->index || route->table == RT_TABLE_LOCAL || !movable ||
	    (route->protocol == ROUTE_PROTOCOL && !route->shared) || comes_with_address(r, route))
		return;
	if (route->to.ip.family == 6) {
		snprintf(key.device, sizeof(key.device), "%s", r->name);
		key.via = route->via;
	}
	route_key_text(&key, text);
	if (route->opaque || (route->shared && route->to.ip.family == 4)) {
		add_immovable(r, text);
		return;
	}
	struct route_spec *spec = arena_new_of(r->arena, struct route_spec);
	route_decode(route, r->name, spec, r->arena);
	if (spec->protocol == ROUTE_PROTOCOL) /* told of another way of it, which is weft's */
		spec->protocol = RTPROT_STATIC;
	add_route(r, text, spec);
}

static void take_route(void *ctx, const struct nlmsghdr *message)
{
	struct kernel_route *route = message->nlmsg_type == RTM_NEWROUTE ? route_message_read(message) : NULL;
	for (struct kernel_route *next; route; route = next) {
		next = route->next;
		take_way(ctx, route);
		kernel_route_free(route);
	}
}

static void take_neighbour(void *ctx, const struct nlmsghdr *message)
{
	struct reading *r = ctx;
	struct holdings *h = r->holdings;
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	struct ip ip = {0};
	char text[IP_TEXT];
	if (message->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(message) < sizeof(*header) ||
	    header->ndm_ifindex != r->index || !(header->ndm_state & NUD_PERMANENT))
		return;
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		size_t size = mnl_attr_get_payload_len(attr);
		if (mnl_attr_get_type(attr) != NDA_DST || (size != 4 && size != 16))
			continue;
		ip.family = size == 4 ? 4 : 6;
		memcpy(ip.b, mnl_attr_get_payload(attr), size);
	}
	if (!ip.family)
		return;
	const char **items = h->neighbours.items;
	arena_grow(r->arena, items, h->neighbours.n, r->cap_neighbours);
	items[h->neighbours.n++] = arena_strdup(r->arena, ip_text(&ip, text));
	h->neighbours.items = items;
}

/* ---- what weft has taken from it already ---- */

static void take_aside(struct reading *r, const struct resource_view *view)
{
	const struct table *table = view->class->table;
	json_t *was = table_to_json(table, view->baseline, 0);
	struct address_key key;
	struct err err;
	if (json_is_true(json_object_get(was, "inPlace")) && address_key_parse(view->key, &key, &err) == 0 &&
	    streq(key.link, r->name)) {
		uint64_t until = (uint64_t)json_integer_value(json_object_get(was, "validUntil"));
		uint64_t now = now_ms() / 1000;
		add_address(r, &(struct held_address){
				       .address = key.prefix,
				       .flags = (uint32_t)json_integer_value(json_object_get(was, "flags")),
				       .scope = (uint32_t)json_integer_value(json_object_get(was, "scope")),
				       .metric = (uint32_t)json_integer_value(json_object_get(was, "metric")),
				       .lease_s = until > now ? until - now : until != 0});
	}
	json_decref(was);
}

static void take_moved_route(struct reading *r, const struct resource_view *view)
{
	const struct route_spec *was = view->baseline;
	if (streq(was->device, r->name))
		add_route(r, view->key, table_copy(&route_table, was, r->arena));
}

static void take_aside_route(struct reading *r, const struct resource_view *view)
{
	size_t len = strlen(r->name);
	json_t *was = table_to_json(view->class->table, view->baseline, 0);
	struct route_spec *spec = arena_new_of(r->arena, struct route_spec);
	struct err err;
	if (json_is_true(json_object_get(was, "inPlace")) && strncmp(view->key, r->name, len) == 0 &&
	    view->key[len] == '/' &&
	    table_from_json(&route_table, json_object_get(was, "route"), r->arena, spec, &err) == 0)
		add_route(r, view->key + len + 1, spec);
	json_decref(was);
}

static void take_baselines(struct reading *r, struct engine *engine)
{
	struct resource_view view;
	for (size_t i = 0; engine && engine_view(engine, i, &view); i++) {
		if (!view.baseline)
			continue;
		if (streq(view.class->name, "aside-address"))
			take_aside(r, &view);
		else if (streq(view.class->name, "aside-route"))
			take_aside_route(r, &view);
		else if (streq(view.class->name, "route"))
			take_moved_route(r, &view);
	}
}

/* ---- the whole ---- */

static int read_link(const char *name, struct holdings *holdings, int *ret_index)
{
	struct ifreq request = {0};
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
		return errno == ENODEV ? -ENOENT : -errno;
	*ret_index = request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &request) == 0)
		memcpy(holdings->mac.b, request.ifr_hwaddr.sa_data, sizeof(holdings->mac.b));
	return 0;
}

static int read_all(struct reading *r, struct err *err)
{
	struct netlink_batch *batch = xcalloc(1, sizeof(*batch));
	struct netlink_question question = {.type = RTM_GETADDR, .link = r->index, .fn = take_address, .ctx = r};
	int result = netlink_batch_open(batch, err);
	if (result == 0)
		result = netlink_ask(batch, &question, err);
	question.type = RTM_GETROUTE;
	question.fn = take_route;
	static const uint8_t families[] = {AF_INET, AF_INET6};
	for (size_t i = 0; result == 0 && i < ARRAY_SIZE(families); i++) {
		question.family = families[i];
		result = netlink_ask(batch, &question, err);
	}
	question.type = RTM_GETNEIGH;
	question.fn = take_neighbour;
	for (size_t i = 0; result == 0 && i < ARRAY_SIZE(families); i++) {
		question.family = families[i];
		result = netlink_ask(batch, &question, err);
	}
	netlink_batch_close(batch);
	free(batch);
	return result;
}

static int read_holdings(struct engine *engine, const char *link, char **ret, struct err *err)
{
	struct holdings holdings = {.boot = env.boot_id};
	cleanup_arena struct arena *arena = arena_new();
	struct reading r = {.arena = arena, .holdings = &holdings, .name = link};
	int result = read_link(link, &holdings, &r.index);
	if (result < 0)
		return result;
	result = read_all(&r, err);
	if (result < 0)
		return result;
	take_baselines(&r, engine);
	static const struct mac none;
	for (size_t i = 0; i < holdings_table.n_fields; i++)
		if (holdings_table.fields[i].scalar != &scalar_mac || memcmp(&holdings.mac, &none, sizeof(none)) != 0)
			set_present(&holdings, i);
	*ret = xstrdup(holdings_text(&holdings, arena));
	return 0;
}

static int holds_fact(void *ctx, const char *key, char **ret)
{
	struct err err;
	return read_holdings(ctx, key + strlen("holds/"), ret, &err);
}

void netd_holdings_start(struct engine *engine)
{
	fact_register("holds/", holds_fact, engine);
}
