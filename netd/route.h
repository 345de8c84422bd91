/* SPDX-License-Identifier: Apache-2.0 */
/* Routes: what a manifest says of them, and the class "route". A route's key is the kernel's own, so that moving it to
 * another link or next hop is an update:
 *
 *     ipv4/TABLE/DESTINATION/METRIC            ipv4/main/default/100, with /tosN behind it if that is not 0
 *     ipv6/TABLE/DESTINATION/METRIC/LINK[/VIA] ipv6/main/fd00::/64/1024/br0/fe80::1
 *
 * The kernel tells IPv6 routes of one metric apart by where they lead. Those of weft carry a protocol number of its
 * own, which integration/iproute2/weft.conf names to ip(8). */
#ifndef WEFT_NETD_ROUTE_H
#define WEFT_NETD_ROUTE_H

#include <net/if.h>

#include "core/lower.h"

/* One route of a manifest. What was not written is zero. */
struct route_row {
	uint64_t present;
	struct ip_prefix to; /* family 0: default, of the family of via or source */
	struct ip via, source;
	uint32_t metric, table, mtu;
	bool on_link;
	int type; /* enum route_row_type */
};
extern const struct table route_row_table;

/* Rules of a list of routes (struct route_row) at "spec.routes", of a link with these addresses (struct ip_prefix). */
void routes_check(const struct check *check, const struct list *routes, const struct list *addresses);
/* Wants them all, over the link; they need those addresses of it, which are wanted before. Where the link may be taken
 * over, they may as well, and then keep the protocol that they have. */
void routes_want(struct lowering *l, struct want *link, const struct list *routes, const struct list *addresses);

struct route_key;
/* Does one of them lead to the same destination, in the same table? */
bool routes_lead_to(const struct list *routes, const struct route_key *key);

enum {
	ROUTE_PROTOCOL = 119, /* 'w' */
	ROUTE_TABLE_MAIN = 254,
	ROUTE_METRIC_IPV6 = 1024, /* what the kernel takes 0 for */
	ROUTE_KEY_TEXT = 160,
};

struct route_key {
	struct ip_prefix to;
	uint32_t table, metric;
	uint8_t tos;
	char device[IFNAMSIZ]; /* IPv6 only */
	struct ip via;         /* IPv6 only; family 0: none */
};
int route_key_parse(const char *text, struct route_key *ret, struct err *err);
const char *route_key_text(const struct route_key *key, char buf[static ROUTE_KEY_TEXT]);

/* The class's rows, in the order of the table. What a route does not have is said as well: "", none. */
enum {
	ROUTE_TYPE,
	ROUTE_DEVICE,
	ROUTE_VIA,
	ROUTE_SOURCE,
	ROUTE_SCOPE,
	ROUTE_ON_LINK,
	ROUTE_PROTOCOL_ROW,
	ROUTE_METRICS,
};
struct route_metrics {
	uint64_t present;
	uint32_t mtu, window, rtt, rtt_variance, congestion_window, advertised_mss, hop_limit, initial_window, min_rto,
		initial_receive_window, quick_ack, locked;
	const char *congestion_control;
};
struct route_spec {
	uint64_t present;
	int type; /* as the kernel counts them: RTN_UNICAST */
	const char *device, *via, *source;
	uint32_t scope;
	bool on_link;
	uint32_t protocol;
	struct route_metrics metrics;
};
extern const struct table route_table;
extern const struct resource_class netd_route_class;

/* A route, wanted with its whole spec; for routes_want() and for those that move. */
struct want *route_want(struct lowering *l, const struct route_key *key, const struct route_spec *spec);

#endif
