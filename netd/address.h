/* SPDX-License-Identifier: Apache-2.0 */
/* What the two classes of addresses share: those that weft puts on a link, and those that it sets aside
 * (aside-address.c). Their key is LINK/ADDRESS/LENGTH. */
#ifndef WEFT_NETD_ADDRESS_H
#define WEFT_NETD_ADDRESS_H

#include "core/lower.h"
#include "netd/netlink-lane.h"

/* Attributes that are not in every kernel's headers. */
enum { ADDRESS_ATTR_METRIC = 9 /* IFA_RT_PRIORITY */, ADDRESS_ATTR_PROTO = 11 /* IFA_PROTO */ };
enum { ADDRESS_PROTO_OF_WEFT = 0x77 /* 'w' */ };

struct address_key {
	char link[IFNAMSIZ];
	struct ip_prefix prefix;
};
int address_key_parse(const char *key, struct address_key *ret, struct err *err);
/* Has somebody given it for a time only? */
bool address_is_leased(const struct netlink_address *address);
/* NULL if the link (which may be NULL) has no such address. */
const struct netlink_address *address_find(const struct netlink_link *link, const struct ip_prefix *prefix);

/* An address of a link. */
struct address_target {
	int index;
	struct ip_prefix prefix;
};
/* Begins a message about it, to be ended by the caller. */
struct nlmsghdr *address_message(struct netlink_batch *batch, struct op *op, uint16_t type, uint16_t flags,
				 const struct address_target *target);
/* Puts its removal, if it is there, so that the others of its subnet stay. The verbs' settle() is address_settle(),
 * which uses op->lane_data. */
void address_put_removal(struct netlink_batch *batch, struct op *op, const struct netlink_link *link,
			 const struct ip_prefix *prefix);
/* The address was put. An IPv6 one is used by the kernel some time later, which it tells by an event: until then
 * address_has_come() is false, and if that takes too long address_settle() asks for the address. */
void address_ask_later(struct op *op, const struct address_target *target);
/* That which was put, if it is an IPv6 one; else NULL. */
const struct address_target *address_asked_for(const struct op *op);
/* For an IPv4 address that has a broadcast address. */
void address_put_broadcast(struct nlmsghdr *message, const struct ip_prefix *prefix);
bool address_has_come(const struct netlink_cache *cache, const struct op *op);
void address_settle(struct netlink_batch *batch, struct op *op);

/* address-order.c: which address of an IPv4 subnet is the main one. Are both of one such? */
bool address_same_subnet(const struct ip_prefix *a, const struct ip_prefix *b);
/* Does another one of weft's stand before it, on a link on which the subnet has none of others? */
bool address_is_behind(const struct netlink_link *link, const struct ip_prefix *prefix);
/* Puts the messages that move those of its subnet behind it; it is there, or is put before. promote_secondaries is on.
 */
void address_put_first(struct netlink_batch *batch, struct op *op, const struct netlink_link *link,
		       const struct ip_prefix *prefix);
/* Wants the i-th address of a list on a link, which it needs. The first of each subnet is to be the main one. */
struct want *address_want(struct lowering *l, struct want *link, const struct list *addresses, size_t i);

#endif
