/* SPDX-License-Identifier: Apache-2.0 */
/* Routes as the kernel's messages have them. */
#ifndef WEFT_NETD_ROUTE_MESSAGE_H
#define WEFT_NETD_ROUTE_MESSAGE_H

#include "netd/netlink-batch.h"
#include "netd/netlink-cache.h"
#include "netd/route.h"

/* One way that a route has; a route with several is several of these. */
struct kernel_route {
	struct kernel_route *next;
	struct ip_prefix to;
	uint32_t table, metric;
	uint8_t tos, type, scope, protocol;
	bool on_link;
	bool shared; /* one of several ways, of which the kernel tells no protocol of its own */
	bool opaque; /* has what weft has no rows for (an encapsulation, a next hop object): not to be moved */
	int device;  /* ifindex, 0: none */
	struct ip via, source;
	uint32_t expires_s; /* 0: never */
	void *metrics;      /* RTA_METRICS' content, malloc'ed */
	size_t metrics_size;
};
struct kernel_route *kernel_route_free(struct kernel_route *route); /* that one */

/* What the message tells before all is read of it: enough to drop most of them. */
struct route_head {
	struct ip_prefix to;
	uint32_t table, metric;
	uint8_t tos;
};
bool route_head_read(const struct nlmsghdr *message, struct route_head *ret);
/* The ways of a message, a list that the caller owns. */
struct kernel_route *route_message_read(const struct nlmsghdr *message);

/* What the class makes of it; `device` is the name of its link, NULL if it has none. */
void route_decode(const struct kernel_route *route, const char *device, struct route_spec *ret, struct arena *arena);
/* Puts a whole message about the route `key` as `spec` has it, over link `device` (0: none). */
struct route_put {
	uint16_t type, flags; /* RTM_NEWROUTE, NLM_F_... */
	const struct route_key *key;
	const struct route_spec *spec;
	int device;
	uint32_t expires_s;
};
int route_put(struct netlink_batch *batch, struct op *op, const struct route_put *put);
/* Puts the message that takes out this very route. */
int route_put_removal(struct netlink_batch *batch, struct op *op, const struct kernel_route *route);

#endif
