/* SPDX-License-Identifier: Apache-2.0 */
/* The class "route": its table and its verbs. See route.h for its keys, route-cache.h for what is known of the kernel's
 * routes. */
#include "netd/route.h"

#include "netd/netlink-lane.h"
#include "netd/netlink-rows.h"
#include "netd/route-cache.h"

/* As the kernel counts them. */
static const char *const type_names[] = {"unspec",    "unicast",     "local",    "broadcast", "anycast", "multicast",
					 "blackhole", "unreachable", "prohibit", "throw",     "nat",     "xresolve"};

/* clang-format off */
#define METRIC(n, m, a, ...) F_U32(n, struct route_metrics, m, .nl = (a), .nl_form = NL_U32, ##__VA_ARGS__)
static const struct field metric_rows[] = {
	METRIC("mtu", mtu, RTAX_MTU, .doc = "MTU of the way; 0 for that of the link."),
	METRIC("window", window, RTAX_WINDOW, .doc = "Largest window that TCP offers."),
	METRIC("rtt", rtt, RTAX_RTT, .doc = "First guess of the round trip time, in eighths of a millisecond."),
	METRIC("rttVariance", rtt_variance, RTAX_RTTVAR, .doc = "First guess of its variance."),
	METRIC("congestionWindow", congestion_window, RTAX_CWND, .doc = "Upper bound of the congestion window."),
	METRIC("advertisedMss", advertised_mss, RTAX_ADVMSS, .doc = "Segment size that TCP announces."),
	METRIC("hopLimit", hop_limit, RTAX_HOPLIMIT, .doc = "Hop limit of packets."),
	METRIC("initialWindow", initial_window, RTAX_INITCWND, .doc = "Congestion window to begin with."),
	METRIC("minRto", min_rto, RTAX_RTO_MIN, .doc = "Shortest time until TCP sends again, in milliseconds."),
	METRIC("initialReceiveWindow", initial_receive_window, RTAX_INITRWND, .doc = "Receive window to begin with."),
	METRIC("quickAck", quick_ack, RTAX_QUICKACK, .doc = "Whether TCP acknowledges at once."),
	METRIC("locked", locked, RTAX_LOCK, .doc = "Which of these hold whatever is found out, a bit each."),
	F_STRING("congestionControl", struct route_metrics, congestion_control, .nl = RTAX_CC_ALGO,
		 .nl_form = NL_STRING, .max = 15, .doc = "Algorithm of TCP's congestion control."),
};
/* clang-format on */
static const struct table metric_table = TABLE("route.metrics", struct route_metrics, metric_rows);

static const struct field route_rows[] = {
	[ROUTE_TYPE] = F_ENUM("type", struct route_spec, type, type_names, .doc = "What becomes of packets."),
	[ROUTE_DEVICE] = F_STRING("device", struct route_spec, device, .max = 15, .doc = "The link that it leads to."),
	[ROUTE_VIA] = F_STRING("via", struct route_spec, via, .doc = "The router; empty for none."),
	[ROUTE_SOURCE] = F_STRING("source", struct route_spec, source, .doc = "The host's own address on it."),
	[ROUTE_SCOPE] = F_U32("scope", struct route_spec, scope, .doc = "How far it reaches; 253 is the link."),
	[ROUTE_ON_LINK] =
		F_BOOL("onLink", struct route_spec, on_link, .doc = "Whether the router counts as on the link."),
	[ROUTE_PROTOCOL_ROW] =
		F_U32("protocol", struct route_spec, protocol, .doc = "Number of who made it; 119 is weft."),
	[ROUTE_METRICS] =
		F_STRUCT("metrics", struct route_spec, metrics, metric_table, .doc = "What TCP takes from it."),
};
const struct table route_table = TABLE("route", struct route_spec, route_rows);

/* ---- observe ---- */

/* The route of this key. Of several IPv4 routes with one key, which only the kernel itself and `ip route append` make,
 * the one of weft, or else the first, which is the one that is used. */
static const struct kernel_route *find(const struct netlink_cache *cache, const struct route_key *key)
{
	const struct kernel_route *first = route_cache_find(cache, key), *r = first;
	if (key->to.ip.family == 4) {
		while (r && r->protocol != ROUTE_PROTOCOL)
			r = r->next;
		return r ? r : first;
	}
	const struct netlink_link *link = netlink_link_by_name(cache, key->device);
	while (r && !(link && r->device == link->index && ip_equal(&r->via, &key->via)))
		r = r->next;
	return r;
}

static void watch(struct netlink_cache *cache, const struct op *op)
{
	const struct route_spec *want = op->want;
	struct route_key key;
	struct err err;
	if (route_key_parse(op->key, &key, &err) < 0)
		return;
	route_cache_watch(cache, &(struct route_watch){.class = op->class->name,
						       .key = op->key,
						       .route = &key,
						       .device = want ? want->device : NULL,
						       .source = want ? want->source : NULL});
}

/* Of several ways of one IPv6 route the kernel tells the maker of the first only. */
static enum owner owner_of(const struct kernel_route *route)
{
	if (route->shared)
		return OWNER_UNKNOWN;
	return route->protocol == ROUTE_PROTOCOL ? OWNER_OURS : OWNER_FOREIGN;
}

static void observe(struct netlink_cache *cache, struct op *op)
{
	const struct route_spec *want = op->want;
	struct route_key key;
	if (route_key_parse(op->key, &key, &op->err) < 0)
		return;
	const struct kernel_route *route = find(cache, &key);
	struct route_spec *seen = observation_begin(&op->obs, op->class, route != NULL);
	if (!route)
		return;
	const struct netlink_link *link = route->device ? netlink_link_by_index(cache, route->device) : NULL;
	op->obs.owner = owner_of(route);
	route_decode(route, link ? link->name : NULL, seen, op->obs.arena);
	if (route->shared)
		seen->protocol = want ? want->protocol : ROUTE_PROTOCOL;
}

/* ---- change ---- */

static int find_device(const struct netlink_cache *cache, const struct route_spec *spec, int *ret, struct err *err)
{
	const struct netlink_link *link = *spec->device ? netlink_link_by_name(cache, spec->device) : NULL;
	*ret = link ? link->index : 0;
	return link || !*spec->device ? 0 : err_set(err, ENODEV, "link '%s' does not exist", spec->device);
}

static int put_new(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op, uint16_t flags)
{
	struct route_key key;
	int device, r = route_key_parse(op->key, &key, &op->err);
	if (r == 0)
		r = find_device(cache, op->want, &device, &op->err);
	if (r < 0)
		return r;
	return route_put(
		batch, op,
		&(struct route_put){
			.type = RTM_NEWROUTE, .flags = flags, .key = &key, .spec = op->want, .device = device});
}

/* What goes back to the port that had it before weft: does that have it again, beside ours? See aside-route.c. */
static bool has_come_back(const struct netlink_cache *cache, const struct op *op, const struct route_key *key)
{
	const struct route_spec *want = op->want;
	const struct netlink_link *link = netlink_link_by_name(cache, want->device);
	const struct kernel_route *r = link && key->to.ip.family == 4 && want->protocol != ROUTE_PROTOCOL
					       ? route_cache_find(cache, key)
					       : NULL;
	while (r && (r->device != link->index || r->protocol == ROUTE_PROTOCOL))
		r = r->next;
	return r != NULL;
}

/* The kernel replaces the first of an IPv4 key and all ways of an IPv6 route: where that would hit somebody else's,
 * ours is taken out and put in again. */
static int encode_update(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op,
			 const struct route_key *key)
{
	const struct kernel_route *first = route_cache_find(cache, key), *route = find(cache, key);
	if (route && route->protocol == ROUTE_PROTOCOL && has_come_back(cache, op, key))
		return route_put_removal(batch, op, route);
	bool alone = route == first && (key->to.ip.family == 4 || (route && !route->next));
	if (alone || !route)
		return put_new(batch, cache, op, NLM_F_REPLACE);
	int r = route_put_removal(batch, op, route);
	return r < 0 ? r : put_new(batch, cache, op, NLM_F_CREATE | NLM_F_APPEND);
}

static int encode_remove(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op,
			 const struct route_key *key)
{
	const struct kernel_route *route = find(cache, key);
	if (!route || owner_of(route) == OWNER_FOREIGN)
		return 0;
	return route_put_removal(batch, op, route);
}

static int encode(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	struct route_key key;
	int r = route_key_parse(op->key, &key, &op->err);
	if (r < 0)
		return r;
	switch (op->verb) {
	case OP_OBSERVE:
		return 0;
	case OP_CREATE:
		/* An IPv6 route may stand beside others of its metric; one with the same next hop is refused anyway. */
		return put_new(batch, cache, op, NLM_F_CREATE | (key.to.ip.family == 4 ? NLM_F_EXCL : NLM_F_APPEND));
	case OP_UPDATE:
		return encode_update(batch, cache, op, &key);
	case OP_REMOVE:
		return encode_remove(batch, cache, op, &key);
	}
	return 0;
}

/* What the kernel says of a router that it cannot reach, and of a source that it does not have, does not tell which. */
static void settle(struct netlink_batch *batch, struct op *op)
{
	const struct route_spec *want = op->want;
	bool unreachable = op->err.code == ENETUNREACH || op->err.code == EHOSTUNREACH;
	if (unreachable && want && *want->via)
		err_wrap(&op->err, "the router %s is not reachable over %s", want->via, want->device);
	if (op->err.code == EINVAL && want && *want->source)
		err_wrap(&op->err, "its source %s has to be an address of this host", want->source);
}

static const struct netlink_verbs route_verbs = {
	.watch = watch, .observe = observe, .encode = encode, .settle = settle};

/* ENETDOWN: the link is just going or coming up. */
static const struct errno_rule route_errnos[] = {
	{OP_CREATE, ENODEV, ANSWER_WAIT},   {OP_CREATE, ENETDOWN, ANSWER_WAIT}, {OP_CREATE, EEXIST, ANSWER_RETRY},
	{OP_CREATE, ENOBUFS, ANSWER_RETRY}, {OP_CREATE, ENOMEM, ANSWER_RETRY},  {OP_UPDATE, ENODEV, ANSWER_WAIT},
	{OP_UPDATE, ENETDOWN, ANSWER_WAIT}, {OP_UPDATE, EEXIST, ANSWER_RETRY},  {OP_UPDATE, ENOENT, ANSWER_RETRY},
	{OP_UPDATE, ESRCH, ANSWER_RETRY},   {OP_UPDATE, ENOBUFS, ANSWER_RETRY}, {OP_UPDATE, ENOMEM, ANSWER_RETRY},
	{OP_REMOVE, ESRCH, ANSWER_DONE},    {OP_REMOVE, ENOENT, ANSWER_DONE},   {OP_REMOVE, ENODEV, ANSWER_DONE},
	{OP_REMOVE, ENOBUFS, ANSWER_RETRY}, {OP_REMOVE, ENOMEM, ANSWER_RETRY},
};

const struct resource_class netd_route_class = {
	.name = "route",
	.doc = "A route; its key is the kernel's: FAMILY/TABLE/DESTINATION/METRIC, for IPv6 with where it leads.",
	.table = &route_table,
	.lane = "netlink",
	.verbs = &route_verbs,
	.flags = CLASS_TRANSACTIONAL | CLASS_ADOPT_UNMARKED | CLASS_FLEETING,
	.rules = route_errnos,
	.n_rules = ARRAY_SIZE(route_errnos),
};
