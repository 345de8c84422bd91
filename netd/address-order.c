/* SPDX-License-Identifier: Apache-2.0 */
/* Which of several IPv4 addresses of one subnet is the main one. The kernel has no word for it: it goes by the order in
 * which they came (inet_insert_ifa() and __inet_del_ifa() of net/ipv4/devinet.c). So those that are to stand behind are
 * taken away and given again. Meanwhile each is there with a full length as well: an address that the host has in some
 * way loses neither its connections nor the routes that name it as their source (fib_del_ifaddr() of
 * net/ipv4/fib_frontend.c). All of it is one sendmsg(). Where somebody else has an address in the subnet the order is
 * left alone. */
#include <linux/if_addr.h>

#include "netd/address.h"

bool address_same_subnet(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->ip.family == 4 && a->len == b->len && prefix_overlaps(a, b);
}

static bool is_beside(const struct netlink_address *other, const struct ip_prefix *prefix)
{
	return address_same_subnet(&other->prefix, prefix) && !ip_equal(&other->prefix.ip, &prefix->ip);
}

bool address_is_behind(const struct netlink_link *link, const struct ip_prefix *prefix)
{
	bool behind = false;
	for (const struct netlink_address *a = link->addresses; a; a = a->next) {
		if (!is_beside(a, prefix))
			continue;
		if (a->proto != ADDRESS_PROTO_OF_WEFT)
			return false;
		behind |= !(a->flags & IFA_F_SECONDARY);
	}
	return behind;
}

static void put_given(struct netlink_batch *batch, struct op *op, const struct netlink_address *given, uint8_t len)
{
	struct address_target target = {given->link->index, given->prefix};
	target.prefix.len = len;
	struct nlmsghdr *message = address_message(batch, op, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &target);
	((struct ifaddrmsg *)mnl_nlmsg_get_payload(message))->ifa_scope = given->scope;
	mnl_attr_put_u32(message, IFA_FLAGS, given->flags & IFA_F_NOPREFIXROUTE);
	if (given->metric)
		mnl_attr_put_u32(message, ADDRESS_ATTR_METRIC, given->metric);
	address_put_broadcast(message, &target.prefix);
	mnl_attr_put_u8(message, ADDRESS_ATTR_PROTO, ADDRESS_PROTO_OF_WEFT);
	netlink_batch_end(batch, message);
}

static void take_away(struct netlink_batch *batch, struct op *op, const struct netlink_address *given, uint8_t len)
{
	struct address_target target = {given->link->index, given->prefix};
	target.prefix.len = len;
	struct nlmsghdr *message = address_message(batch, op, RTM_DELADDR, 0, &target);
	mnl_attr_put(message, IFA_ADDRESS, 4, given->prefix.ip.b); /* else the kernel does not look at the length */
	netlink_batch_end(batch, message);
}

void address_put_first(struct netlink_batch *batch, struct op *op, const struct netlink_link *link,
		       const struct ip_prefix *prefix)
{
	for (const struct netlink_address *a = link->addresses; a; a = a->next) {
		struct ip_prefix whole = a->prefix;
		whole.len = 32;
		if (!is_beside(a, prefix))
			continue;
		bool alone = !address_find(link, &whole);
		if (alone)
			put_given(batch, op, a, whole.len);
		take_away(batch, op, a, a->prefix.len);
		put_given(batch, op, a, a->prefix.len);
		if (alone)
			take_away(batch, op, a, whole.len);
	}
}

/* Is it the first of several? */
static bool leads(const struct list *addresses, size_t i)
{
	const struct ip_prefix *prefix = &list_at(addresses, struct ip_prefix, i);
	bool others = false;
	for (size_t k = 0; k < addresses->n; k++) {
		if (k == i || !address_same_subnet(prefix, &list_at(addresses, struct ip_prefix, k)))
			continue;
		if (k < i)
			return false;
		others = true;
	}
	return others;
}

struct want *address_want(struct lowering *l, struct want *link, const struct list *addresses, size_t i)
{
	char text[IP_TEXT];
	struct want *address = want(l, class_find("address"), NULL, "%s/%s", link->key,
				    prefix_text(&list_at(addresses, struct ip_prefix, i), text));
	if (leads(addresses, i))
		want_set(l, address, "secondary", "false");
	needs(l, address, link);
	return address;
}
