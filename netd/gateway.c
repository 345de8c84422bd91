/* SPDX-License-Identifier: Apache-2.0 */
/* The fact "gateway/ipv4", "gateway/ipv6": the router over which the host reaches what is far away, as ping(8) takes
 * it. Not read from the list of routes, which may be long, but asked as for a packet to somewhere out there: so rules
 * and metrics are minded. Nothing is sent. */
#include <linux/rtnetlink.h>

#include "netd/netd.h"
#include "netd/netlink-lookup.h"
#include "netd/route-message.h"

struct next_hop {
	struct ip via;
	int device;
};

static void take_route(void *ctx, const struct nlmsghdr *message)
{
	struct next_hop *hop = ctx;
	struct kernel_route *route = message->nlmsg_type == RTM_NEWROUTE ? route_message_read(message) : NULL;
	for (struct kernel_route *next; route; route = next) {
		next = route->next;
		if (!hop->via.family && route->via.family) {
			hop->via = route->via;
			hop->device = route->device;
		}
		kernel_route_free(route);
	}
}

/* A link-local address means nothing without its link. */
static int gateway_fact(void *ctx, const char *key, char **ret)
{
	struct next_hop hop = {0};
	struct ip far;
	char text[IP_TEXT], name[IFNAMSIZ];
	ip_parse(streq(key, "gateway/ipv6") ? "2000::1" : "1.0.0.1", &far);
	int r = netlink_lookup_route(&far, RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH, take_route, &hop);
	if (r < 0 || !hop.via.family)
		return r < 0 ? r : -ENOENT;
	bool local = ip_is_link_local(&hop.via);
	ip_text(&hop.via, text);
	*ret = local && if_indextoname((unsigned)hop.device, name) ? xprintf("%s%%%s", text, name) : xstrdup(text);
	return 0;
}

void netd_gateway_start(void)
{
	fact_register("gateway/", gateway_fact, NULL);
}
