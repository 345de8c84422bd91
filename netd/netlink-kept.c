/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink-kept.h. */
#include "netd/netlink-kept.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>

#include "netd/address.h"
#include "netd/link.h"
#include "netd/route-message.h"

enum { KEPT_MS = 60 * 1000, KEPT_MAX = 4096, PASSES = 4 };

struct kept_message {
	struct kept_message *next;
	uint16_t type;
	size_t size;
	_Alignas(NLMSG_ALIGNTO) char payload[];
};
struct netlink_kept {
	struct netlink_kept *next;
	char link[IFNAMSIZ];
	int index; /* of the link that goes */
	uint64_t until_ms;
	size_t n;
	struct kept_message *messages;
};

/* ---- what is kept ---- */

/* Somebody's who would miss it: not the kernel's, weft's or a lease. */
bool netlink_kept_address(const struct netlink_address *address)
{
	enum { PROTO_OTHERS = 4 }; /* those below are the kernel's, but for 0 */
	bool kernels = address->proto && address->proto < PROTO_OTHERS;
	return !kernels && address->proto != ADDRESS_PROTO_OF_WEFT && !address->valid_until_s;
}

static int address_link(const struct nlmsghdr *message)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct netlink_address address;
	bool kept = netlink_address_read(message, &address) && netlink_kept_address(&address);
	return kept ? (int)header->ifa_index : 0;
}

/* Routing daemons look after theirs. */
static int route_link(const struct nlmsghdr *message)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	int link = 0;
	if (header->rtm_type != RTN_UNICAST || header->rtm_flags & RTM_F_CLONED ||
	    (header->rtm_protocol != RTPROT_BOOT && header->rtm_protocol != RTPROT_STATIC))
		return 0;
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		uint16_t type = mnl_attr_get_type(attr);
		if (type == RTA_OIF && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			link = (int)mnl_attr_get_u32(attr);
		else if (type == RTA_MULTIPATH || type == RTA_NH_ID)
			return 0; /* it does not go with this link alone */
	}
	return link;
}

static const struct nlattr *neighbour_attr(const struct nlmsghdr *message, uint16_t type)
{
	const struct nlattr *attr;
	mnl_attr_for_each(attr, message, sizeof(struct ndmsg))
	{
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

/* Of a bridge's entries those that somebody set: what it learnt, and its ports' own MACs, come by themselves. The
 * forwarding entries of tunnels are others' or weft's, which nobody can tell. */
static int neighbour_link(const struct nlmsghdr *message)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	bool of_bridge = header->ndm_family == AF_BRIDGE;
	bool kept = of_bridge ? header->ndm_state & NUD_NOARP && neighbour_attr(message, NDA_MASTER) &&
					!(header->ndm_flags & (NTF_SELF | NTF_EXT_LEARNED))
			      : header->ndm_state & NUD_PERMANENT && neighbour_attr(message, NDA_DST) &&
					!(header->ndm_flags & NTF_PROXY);
	return kept && neighbour_attr(message, NDA_LLADDR) ? header->ndm_ifindex : 0;
}

static size_t header_size(uint16_t type)
{
	return type == RTM_NEWADDR    ? sizeof(struct ifaddrmsg)
	       : type == RTM_NEWROUTE ? sizeof(struct rtmsg)
	       : type == RTM_NEWNEIGH ? sizeof(struct ndmsg)
				      : SIZE_MAX;
}

int netlink_kept_link(const struct nlmsghdr *message)
{
	if (mnl_nlmsg_get_payload_len(message) < header_size(message->nlmsg_type))
		return 0;
	switch (message->nlmsg_type) {
	case RTM_NEWADDR:
		return address_link(message);
	case RTM_NEWROUTE:
		return route_link(message);
	default:
		return neighbour_link(message);
	}
}

static const char *neighbour_text(const struct nlmsghdr *message, struct arena *arena)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *mac = neighbour_attr(message, NDA_LLADDR), *to = neighbour_attr(message, NDA_DST);
	char text[IP_TEXT];
	struct mac address = {0};
	struct ip ip = {.family = header->ndm_family == AF_INET ? 4 : 6};
	if (header->ndm_family == AF_BRIDGE) {
		if (mnl_attr_get_payload_len(mac) == sizeof(address))
			memcpy(&address, mnl_attr_get_payload(mac), sizeof(address));
		return arena_printf(arena, "the forwarding of %s", mac_text(&address, text));
	}
	if (mnl_attr_get_payload_len(to) == (ip.family == 4 ? 4 : 16))
		memcpy(ip.b, mnl_attr_get_payload(to), mnl_attr_get_payload_len(to));
	return arena_printf(arena, "neighbour %s", ip_text(&ip, text));
}

const char *netlink_kept_text(const struct nlmsghdr *message, struct arena *arena)
{
	char text[IP_TEXT];
	struct netlink_address address;
	struct route_head route;
	if (message->nlmsg_type == RTM_NEWADDR && netlink_address_read(message, &address))
		return arena_strdup(arena, prefix_text(&address.prefix, text));
	if (message->nlmsg_type == RTM_NEWROUTE && route_head_read(message, &route))
		return arena_printf(arena, "the route to %s",
				    route.to.len ? prefix_text(&route.to, text) : "anywhere (default)");
	return message->nlmsg_type == RTM_NEWNEIGH ? neighbour_text(message, arena) : "something";
}

/* Addresses first, and what takes them last. */
int netlink_kept_ask(struct netlink_batch *batch, int link, netlink_message_fn *fn, void *ctx)
{
	static const struct {
		uint16_t type;
		uint8_t family;
	} questions[] = {{RTM_GETADDR, AF_INET},   {RTM_GETADDR, AF_INET6},   {RTM_GETNEIGH, AF_INET},
			 {RTM_GETNEIGH, AF_INET6}, {RTM_GETNEIGH, AF_BRIDGE}, {RTM_GETROUTE, AF_INET},
			 {RTM_GETROUTE, AF_INET6}};
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(questions) && r == 0; i++) {
		const struct netlink_question question = {
			.type = questions[i].type, .family = questions[i].family, .link = link, .fn = fn, .ctx = ctx};
		r = netlink_ask(batch, &question, NULL);
	}
	return r;
}

/* ---- keeping it ---- */

static void kept_free(struct netlink_kept *kept)
{
	for (struct kept_message *m = kept->messages, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	free(kept);
}

struct taking {
	struct netlink_kept *kept;
	struct kept_message **end;
	bool knows_proto;
};

static void take(void *ctx, const struct nlmsghdr *message)
{
	struct taking *t = ctx;
	size_t size = mnl_nlmsg_get_payload_len(message);
	if (netlink_kept_link(message) != t->kept->index || t->kept->n == KEPT_MAX ||
	    size > NETLINK_MESSAGE_MAX - MNL_NLMSG_HDRLEN || (message->nlmsg_type == RTM_NEWADDR && !t->knows_proto))
		return;
	struct kept_message *m = xcalloc(1, sizeof(*m) + size);
	m->type = message->nlmsg_type;
	m->size = size;
	memcpy(m->payload, mnl_nlmsg_get_payload(message), size);
	*t->end = m;
	t->end = &m->next;
	t->kept->n++;
}

/* Of this link, and of those whose time is over. */
static void forget(struct netlink_cache *cache, const char *link)
{
	uint64_t now = now_ms();
	for (struct netlink_kept **at = &cache->kept; *at;) {
		struct netlink_kept *kept = *at;
		if (kept->messages && kept->until_ms > now && !streq(kept->link, link)) {
			at = &kept->next;
			continue;
		}
		*at = kept->next;
		kept_free(kept);
	}
}

void netlink_kept_take(struct netlink_cache *cache, struct netlink_batch *batch, const struct netlink_link *link)
{
	struct netlink_kept *kept = xcalloc(1, sizeof(*kept));
	struct taking taking = {kept, &kept->messages, cache->knows_proto};
	forget(cache, link->name);
	memcpy(kept->link, link->name, sizeof(kept->link));
	kept->index = link->index;
	kept->until_ms = now_ms() + KEPT_MS;
	(void)netlink_kept_ask(batch, link->index, take, &taking); /* as much of it as could be had */
	kept->next = cache->kept;
	cache->kept = kept;
}

void netlink_kept_free(struct netlink_cache *cache)
{
	while (cache->kept) {
		struct netlink_kept *kept = cache->kept;
		cache->kept = kept->next;
		kept_free(kept);
	}
}

/* ---- giving it back ---- */

/* The same about another link. */
static void put(struct netlink_batch *batch, struct op *op, const struct kept_message *kept, int index)
{
	struct nlmsghdr *message = netlink_batch_begin(batch, op, kept->type, NLM_F_CREATE | NLM_F_EXCL);
	void *header = mnl_nlmsg_put_extra_header(message, kept->size);
	struct nlattr *attr;
	memcpy(header, kept->payload, kept->size);
	if (kept->type == RTM_NEWADDR) {
		((struct ifaddrmsg *)header)->ifa_index = (unsigned)index;
	} else if (kept->type == RTM_NEWNEIGH) {
		((struct ndmsg *)header)->ndm_ifindex = index;
	} else {
		((struct rtmsg *)header)->rtm_flags &= RTNH_F_ONLINK;
		mnl_attr_for_each(attr, message, sizeof(struct rtmsg))
		{
			if (mnl_attr_get_type(attr) == RTA_OIF)
				*(uint32_t *)mnl_attr_get_payload(attr) = (uint32_t)index;
		}
	}
	netlink_batch_end(batch, message);
}

/* Drops what is there now; false if that is nothing. */
static bool drop_given(struct netlink_kept *kept, const struct op *probes)
{
	struct kept_message **at = &kept->messages;
	size_t before = kept->n;
	for (size_t i = 0; i < before; i++) {
		struct kept_message *m = *at;
		if (probes[i].err.code && probes[i].err.code != EEXIST) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		free(m);
		kept->n--;
	}
	return kept->n < before;
}

static bool give(struct netlink_batch *batch, struct netlink_kept *kept, int index)
{
	struct op *probes = xcalloc(kept->n, sizeof(*probes));
	size_t i = 0;
	for (const struct kept_message *m = kept->messages; m; m = m->next)
		put(batch, &probes[i++], m, index);
	netlink_batch_send(batch);
	bool any = drop_given(kept, probes);
	free(probes);
	return any;
}

void netlink_kept_give(struct netlink_cache *cache, struct netlink_batch *batch)
{
	for (struct netlink_kept *kept = cache->kept; kept; kept = kept->next) {
		const struct netlink_link *link = netlink_link_by_name(cache, kept->link);
		if (!link || link->index == kept->index || !link_is_ours(link))
			continue;
		for (unsigned i = 0; i < PASSES && kept->n > 0 && give(batch, kept, link->index); i++) {
		}
	}
	forget(cache, NULL);
}
