/* SPDX-License-Identifier: Apache-2.0 */
/* The class "aside-route": a route of somebody else's over a link, which is to do without it as long as the link is a
 * port. Key LINK/ and that of a route. As with aside-address, giving it up puts it back as it was. What takes its place
 * in the kernel's tables is a route like any other. */
#include "netd/aside-route.h"

#include "netd/netlink-lane.h"
#include "netd/netlink-rows.h"
#include "netd/route-cache.h"

enum { ASIDE_IN_PLACE, ASIDE_ROUTE, ASIDE_EXPIRES };

static const struct field aside_rows[] = {
	[ASIDE_IN_PLACE] = F_BOOL("inPlace", struct aside_route, in_place, .doc = "Whether the kernel has it."),
	[ASIDE_ROUTE] =
		F_STRUCT("route", struct aside_route, route, route_table, .flags = FIELD_WEAK, .doc = "What it is."),
	[ASIDE_EXPIRES] = F_U64("expires", struct aside_route, expires_s,
				.doc = "When it expires, in seconds since the boot; left out if never."),
};
static const struct table aside_table = TABLE("aside-route", struct aside_route, aside_rows);

struct key {
	char link[IFNAMSIZ];
	struct route_key route;
};

static int parse_key(const char *text, struct key *ret, struct err *err)
{
	const char *slash = strchr(text, '/');
	if (!slash || slash - text >= IFNAMSIZ)
		return err_set(err, EINVAL, "'%s' is not LINK/ROUTE", text);
	snprintf(ret->link, sizeof(ret->link), "%.*s", (int)(slash - text), text);
	return route_key_parse(slash + 1, &ret->route, err);
}

static const struct kernel_route *find(const struct netlink_cache *cache, const struct key *key)
{
	const struct netlink_link *link = netlink_link_by_name(cache, key->link);
	const struct kernel_route *r = route_cache_find(cache, &key->route);
	bool ip6 = key->route.to.ip.family == 6;
	while (r && !(link && r->device == link->index && (r->shared || r->protocol != ROUTE_PROTOCOL) &&
		      (!ip6 || ip_equal(&r->via, &key->route.via))))
		r = r->next;
	return r;
}

static void watch(struct netlink_cache *cache, const struct op *op)
{
	struct key key;
	struct err err;
	if (parse_key(op->key, &key, &err) == 0)
		route_cache_watch(cache, &(struct route_watch){.class = op->class->name,
							       .key = op->key,
							       .route = &key.route,
							       .device = key.link});
}

static bool has_expired(const struct aside_route *route)
{
	return route->expires_s && route->expires_s <= now_ms() / 1000;
}

static void observe(struct netlink_cache *cache, struct op *op)
{
	const struct aside_route *want = op->want;
	struct key key;
	if (parse_key(op->key, &key, &op->err) < 0)
		return;
	netlink_cache_watch(cache, key.link, NETLINK_WATCH_ADDRESSES);
	const struct netlink_link *link = netlink_link_by_name(cache, key.link);
	bool gone = op->verb == OP_UPDATE && want->in_place && has_expired(want);
	struct aside_route *seen = observation_begin(&op->obs, op->class, link && !gone);
	const struct kernel_route *route = find(cache, &key);
	if (!link || gone)
		return;
	op->obs.incarnation = (uint64_t)link->index;
	set_present(seen, ASIDE_IN_PLACE);
	if (!route)
		return;
	seen->in_place = true;
	route_decode(route, link->name, &seen->route, op->obs.arena);
	set_present(seen, ASIDE_ROUTE);
	/* Of several ways of one IPv6 route the kernel tells the maker of the first only, and that may be weft by now.
	 */
	if (route->shared && want && has_row(want, ASIDE_ROUTE))
		seen->route.protocol = want->route.protocol;
	if (!route->expires_s)
		return;
	seen->expires_s = now_ms() / 1000 + route->expires_s;
	set_present(seen, ASIDE_EXPIRES);
}

/* Put back beside what weft still has of the same key, which goes afterwards. */
static int put_back(struct netlink_batch *batch, struct op *op, const struct key *key, int device)
{
	const struct aside_route *want = op->want;
	uint64_t now = now_ms() / 1000;
	if (has_expired(want))
		return 0;
	return route_put(batch, op,
			 &(struct route_put){.type = RTM_NEWROUTE,
					     .flags = NLM_F_CREATE | NLM_F_APPEND,
					     .key = &key->route,
					     .spec = &want->route,
					     .device = device,
					     .expires_s = want->expires_s ? (uint32_t)(want->expires_s - now) : 0});
}

static int encode(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	const struct aside_route *want = op->want;
	struct key key;
	int r = parse_key(op->key, &key, &op->err);
	if (r < 0 || op->verb != OP_UPDATE)
		return r;
	const struct netlink_link *link = netlink_link_by_name(cache, key.link);
	if (!link)
		return err_set(&op->err, ENODEV, "link '%s' does not exist", key.link);
	if (want->in_place)
		return put_back(batch, op, &key, link->index);
	const struct kernel_route *route = find(cache, &key);
	return route ? route_put_removal(batch, op, route) : 0;
}

static const struct netlink_verbs aside_verbs = {.watch = watch, .observe = observe, .encode = encode};

/* ENETDOWN, ENETUNREACH and the like: its link, or the address that reaches its router, is just coming back. */
static const struct errno_rule aside_errnos[] = {
	{OP_UPDATE, ESRCH, ANSWER_DONE},        {OP_UPDATE, EEXIST, ANSWER_DONE},
	{OP_UPDATE, ENODEV, ANSWER_DONE},       {OP_UPDATE, ENETDOWN, ANSWER_RETRY},
	{OP_UPDATE, ENETUNREACH, ANSWER_RETRY}, {OP_UPDATE, EHOSTUNREACH, ANSWER_RETRY},
	{OP_UPDATE, ENOMEM, ANSWER_RETRY},      {OP_UPDATE, ENOBUFS, ANSWER_RETRY},
};

const struct resource_class netd_aside_route_class = {
	.name = "aside-route",
	.doc = "A route that is not used as long as its link is a port; its key is LINK/ and that of the route.",
	.table = &aside_table,
	.lane = "netlink",
	.verbs = &aside_verbs,
	.flags = CLASS_TRANSACTIONAL | CLASS_INHERENT | CLASS_EARLY_BASELINE,
	.rules = aside_errnos,
	.n_rules = ARRAY_SIZE(aside_errnos),
};
