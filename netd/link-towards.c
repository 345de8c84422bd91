/* SPDX-License-Identifier: Apache-2.0 */
/* The facts "link-towards/ADDRESS": by which link the host sends there. They follow the host's routes and rules, of
 * whose events the kernel's filter lets those through that may have to do with an address that was asked for. */
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "netd/netd.h"
#include "netd/netlink-cache.h"
#include "netd/netlink-lookup.h"
#include "netd/route-filter.h"
#include "netd/route-message.h"

static struct {
	struct mnl_socket *events;
	sd_event_source *source;
	struct ip *asked; /* kept for good: other hosts that manifests name are few */
	size_t n_asked, cap_asked;
	_Alignas(16) char buf[16 * 1024];
} towards;

/* ---- events ---- */

static void tell_all(void)
{
	fact_changed("link-towards/*");
}

static void read_event(const struct nlmsghdr *message)
{
	struct route_head head;
	char text[IP_TEXT], key[IP_TEXT + 16];
	if (message->nlmsg_type == RTM_NEWRULE || message->nlmsg_type == RTM_DELRULE)
		tell_all();
	if ((message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE) ||
	    !route_head_read(message, &head))
		return;
	for (size_t i = 0; i < towards.n_asked; i++) {
		const struct ip *ip = &towards.asked[i];
		if (ip->family != head.to.ip.family || !prefix_contains(&head.to, ip))
			continue;
		snprintf(key, sizeof(key), "link-towards/%s", ip_text(ip, text));
		fact_changed(key);
	}
}

static int on_events(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	for (;;) {
		ssize_t size = netlink_receive(towards.events, towards.buf, sizeof(towards.buf), MSG_DONTWAIT);
		int left = (int)size;
		if (size == -ENOBUFS || size == -EMSGSIZE) {
			tell_all();
			continue;
		}
		if (size < 0)
			return 0;
		for (const struct nlmsghdr *m = (void *)towards.buf; netlink_message_ok(m, left);
		     m = mnl_nlmsg_next(m, &left))
			read_event(m);
	}
}

static void stop_following(void)
{
	towards.source = sd_event_source_disable_unref(towards.source);
	if (towards.events)
		mnl_socket_close(towards.events);
	towards.events = NULL;
}

static bool follow(void)
{
	static const int groups[] = {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE};
	towards.events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	bool ok = towards.events && mnl_socket_bind(towards.events, 0, MNL_SOCKET_AUTOPID) == 0;
	for (size_t i = 0; ok && i < ARRAY_SIZE(groups); i++) {
		int group = groups[i];
		/* Without a family in the kernel its groups are not there either. */
		(void)mnl_socket_setsockopt(towards.events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
	}
	ok = ok && sd_event_add_io(env.loop, &towards.source, mnl_socket_get_fd(towards.events), EPOLLIN, on_events,
				   NULL) >= 0;
	if (!ok)
		stop_following();
	return ok;
}

/* Before it is asked for: then no change after the answer is missed. */
static void watch(const struct ip *ip)
{
	for (size_t i = 0; i < towards.n_asked; i++)
		if (ip_equal(&towards.asked[i], ip))
			return;
	if (!env.loop || (!towards.events && !follow()))
		return;
	grow(towards.asked, towards.n_asked, towards.cap_asked);
	towards.asked[towards.n_asked++] = *ip;
	/* Without a filter all comes, which costs time only. */
	(void)route_filter_attach_towards(mnl_socket_get_fd(towards.events), towards.asked, towards.n_asked);
}

/* ---- answers ---- */

static void take_output(void *ctx, const struct nlmsghdr *message)
{
	const struct nlattr *attr;
	mnl_attr_for_each(attr, message, sizeof(struct rtmsg))
	{
		if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			*(unsigned *)ctx = mnl_attr_get_u32(attr);
	}
}

static int link_towards_fact(void *ctx, const char *key, char **ret)
{
	char name[IFNAMSIZ];
	struct ip ip;
	netlink_facts_watch("address"); /* routes that go with an address or a link go without an event */
	if (ip_parse(key + strlen("link-towards/"), &ip) < 0)
		return -ENOENT;
	watch(&ip);
	unsigned index = 0;
	int r = netlink_lookup_route(&ip, 0, take_output, &index);
	if (r < 0 || !index || !if_indextoname(index, name))
		return r < 0 ? r : -ENOENT;
	*ret = xstrdup(name);
	return 0;
}

void netd_towards_start(void)
{
	fact_register("link-towards/", link_towards_fact, NULL);
}

void netd_towards_stop(void)
{
	stop_following();
	free(towards.asked);
	towards.asked = NULL;
	towards.n_asked = towards.cap_asked = 0;
}
