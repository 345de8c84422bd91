/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink-neighbours.h. */
#include "netd/netlink-neighbours.h"

#include <linux/neighbour.h>

#include "netd/netlink-lane.h"

struct neighbour {
	struct ip ip;
	struct mac mac;
	uint16_t state;
	uint8_t flags;
};
struct neighbours {
	int link;
	struct neighbour *items;
	size_t n, cap;
};

static void take(void *ctx, const struct nlmsghdr *message)
{
	struct neighbours *all = ctx;
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	if (message->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(message) < sizeof(*header) ||
	    header->ndm_ifindex != all->link)
		return;
	struct neighbour seen = {.state = header->ndm_state, .flags = header->ndm_flags};
	bool has_mac = false;
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		size_t size = mnl_attr_get_payload_len(attr);
		if (mnl_attr_get_type(attr) == NDA_LLADDR && size == sizeof(seen.mac)) {
			memcpy(&seen.mac, mnl_attr_get_payload(attr), size);
			has_mac = true;
		} else if (mnl_attr_get_type(attr) == NDA_DST && (size == 4 || size == 16)) {
			seen.ip.family = size == 4 ? 4 : 6;
			memcpy(seen.ip.b, mnl_attr_get_payload(attr), size);
		}
	}
	if (!has_mac || !seen.ip.family)
		return;
	grow(all->items, all->n, all->cap);
	all->items[all->n++] = seen;
}

static bool read_all(struct netlink_batch *batch, int family, struct neighbours *ret)
{
	const struct netlink_question question = {.type = RTM_GETNEIGH,
						  .family = family == 4 ? AF_INET : AF_INET6,
						  .link = ret->link,
						  .fn = take,
						  .ctx = ret};
	return netlink_ask(batch, &question, NULL) == 0;
}

static bool is_kept(const struct neighbours *all, const struct ip *ip)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->items[i].state & (NUD_PERMANENT | NUD_NOARP) && ip_equal(&all->items[i].ip, ip))
			return true;
	return false;
}

static bool is_meant(const struct neighbour *neighbour, const struct ip_prefix *subnet)
{
	enum { LEARNT = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE };
	const struct ip *ip = &neighbour->ip;
	return neighbour->state & LEARNT && (ip_is_link_local(ip) || prefix_contains(subnet, ip));
}

/* STALE: used at once, and asked for anew some seconds later. */
static void put(struct netlink_batch *batch, int link, const struct neighbour *neighbour)
{
	if (!netlink_batch_has_room(batch, NETLINK_OP_MESSAGES + 1))
		netlink_batch_send(batch);
	struct nlmsghdr *message = netlink_batch_begin(batch, NULL, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct ndmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->ndm_family = neighbour->ip.family == 4 ? AF_INET : AF_INET6;
	header->ndm_ifindex = link;
	header->ndm_state = NUD_STALE;
	header->ndm_flags = neighbour->flags & NTF_ROUTER;
	mnl_attr_put(message, NDA_DST, neighbour->ip.family == 4 ? 4 : 16, neighbour->ip.b);
	mnl_attr_put(message, NDA_LLADDR, sizeof(neighbour->mac), &neighbour->mac);
	netlink_batch_end(batch, message);
}

void netlink_neighbours_copy(struct netlink_batch *batch, int from, int to, const struct ip_prefix *subnet)
{
	struct neighbours there = {.link = from}, here = {.link = to};
	if (read_all(batch, subnet->ip.family, &there) && read_all(batch, subnet->ip.family, &here))
		for (size_t i = 0; i < there.n; i++)
			if (is_meant(&there.items[i], subnet) && !is_kept(&here, &there.items[i].ip))
				put(batch, to, &there.items[i]);
	free(there.items);
	free(here.items);
}
