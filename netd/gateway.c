/* SPDX-License-Identifier: Apache-2.0 */
/* The fact "gateway/ipv4", "gateway/ipv6": the router over which the host reaches what is far away, as ping(8) takes
 * it. Not read from the list of routes, which may be long, but asked as for a packet to somewhere out there: so rules
 * and metrics are minded. Nothing is sent. */
#include <linux/rtnetlink.h>

#include "netd/netd.h"
#include "netd/netlink-batch.h"
#include "netd/route-message.h"

struct question {
	struct ip via;
	int device;
};

static void take_route(void *ctx, const struct nlmsghdr *message)
{
	struct question *q = ctx;
	struct kernel_route *route = message->nlmsg_type == RTM_NEWROUTE ? route_message_read(message) : NULL;
	for (struct kernel_route *next; route; route = next) {
		next = route->next;
		if (!q->via.family && route->via.family) {
			q->via = route->via;
			q->device = route->device;
		}
		kernel_route_free(route);
	}
}

static int ask(uint8_t family, struct question *q)
{
	static const char *const far[] = {"1.0.0.1", "2000::1"};
	struct netlink_batch *batch = xcalloc(1, sizeof(*batch));
	struct ip ip;
	struct err err = {0};
	struct op op = {0};
	ip_parse(far[family == 6], &ip);
	batch->sink = take_route;
	batch->sink_ctx = q;
	int r = netlink_batch_open(batch, &err);
	if (r == 0) {
		struct nlmsghdr *message = netlink_batch_begin(batch, &op, RTM_GETROUTE, 0);
		struct rtmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
		header->rtm_family = family == 4 ? AF_INET : AF_INET6;
		header->rtm_dst_len = family == 4 ? 32 : 128;
		header->rtm_flags = RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH;
		mnl_attr_put(message, RTA_DST, family == 4 ? 4 : 16, ip.b);
		netlink_batch_end(batch, message);
		netlink_batch_send(batch);
	}
	netlink_batch_close(batch);
	free(batch);
	return r;
}

/* A link-local address means nothing without its link. */
static int gateway_fact(void *ctx, const char *key, char **ret)
{
	struct question q = {0};
	char text[IP_TEXT], name[IFNAMSIZ];
	int r = ask(strcmp(key, "gateway/ipv6") == 0 ? 6 : 4, &q);
	if (r < 0)
		return r;
	if (!q.via.family)
		return -ENOENT;
	bool local = ip_is_link_local(&q.via);
	ip_text(&q.via, text);
	*ret = local && if_indextoname((unsigned)q.device, name) ? xprintf("%s%%%s", text, name) : xstrdup(text);
	return 0;
}

void netd_gateway_start(void)
{
	fact_register("gateway/", gateway_fact, NULL);
}
