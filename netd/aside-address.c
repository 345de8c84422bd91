/* SPDX-License-Identifier: Apache-2.0 */
/* The class "aside-address": an address that somebody else gave a link, and that the link is to do without as long as
 * it is a port: its bridge has the address then. Key LINK/ADDRESS/LENGTH, as that of an address of weft. It is always
 * there with its link, either in place or not, so that giving it up puts it back as it was: with its flags, label, and
 * what is left of its lifetime. One that has expired meanwhile does not come back. */
#include <linux/if_addr.h>

#include "netd/address.h"
#include "netd/netlink-neighbours.h"
#include "netd/netlink-rows.h"

enum { ASIDE_IN_PLACE };
struct aside_address {
	uint64_t present;
	bool in_place;
	uint32_t flags, scope, protocol, metric;
	const char *label;
	struct ip peer, broadcast;
	uint64_t valid_until_s, preferred_until_s;
};

static const struct field aside_rows[] = {
	[ASIDE_IN_PLACE] = F_BOOL("inPlace", struct aside_address, in_place, .doc = "Whether the link has it."),
	F_U32("flags", struct aside_address, flags, .doc = "The kernel's flags of it."),
	F_U32("scope", struct aside_address, scope, .doc = "How far it may be seen; 0 is everywhere, 253 the link."),
	F_U32("protocol", struct aside_address, protocol, .doc = "Number of who made it."),
	F_U32("metric", struct aside_address, metric, .doc = "Metric of the route to its subnet."),
	F_STRING("label", struct aside_address, label, .doc = "Its label."),
	F_IP("peer", struct aside_address, peer, .doc = "The other end of a point to point link."),
	F_IP("broadcast", struct aside_address, broadcast, .doc = "Its broadcast address."),
	F_U64("validUntil", struct aside_address, valid_until_s,
	      .doc = "When it expires, in seconds since the boot; left out if never."),
	F_U64("preferredUntil", struct aside_address, preferred_until_s,
	      .doc = "Until when it is used for new connections."),
};
static const struct table aside_table = TABLE("aside-address", struct aside_address, aside_rows);

static bool has_expired(const struct aside_address *address)
{
	return address->valid_until_s && address->valid_until_s <= now_ms() / 1000;
}

static void take(const struct netlink_address *address, struct aside_address *seen, struct arena *arena)
{
	*seen = (struct aside_address){.in_place = true,
				       .flags = address->flags,
				       .scope = address->scope,
				       .protocol = address->proto,
				       .metric = address->metric,
				       .label = arena_strdup(arena, address->label),
				       .peer = address->peer,
				       .broadcast = address->broadcast,
				       .valid_until_s = address->valid_until_s,
				       .preferred_until_s = address->preferred_until_s};
	for (size_t i = 0; i < aside_table.n_fields; i++) {
		const struct field *row = &aside_table.fields[i];
		const void *value = (const char *)seen + row->offset;
		bool none = (row->scalar == &scalar_ip && !((const struct ip *)value)->family) ||
			    (row->scalar == &scalar_u64 && !*(const uint64_t *)value);
		if (!none)
			set_present(seen, i);
	}
}

static void observe(struct netlink_cache *cache, struct op *op)
{
	struct address_key key;
	if (address_key_parse(op->key, &key, &op->err) < 0)
		return;
	netlink_cache_watch(cache, key.link, NETLINK_WATCH_ADDRESSES);
	const struct netlink_link *link = netlink_link_by_name(cache, key.link);
	const struct netlink_address *address = address_find(link, &key.prefix);
	const struct aside_address *want = op->want;
	bool gone = op->verb == OP_UPDATE && want->in_place && has_expired(want);
	struct aside_address *seen = observation_begin(&op->obs, op->class, link && !gone);
	if (!link || gone)
		return;
	op->obs.incarnation = (uint64_t)link->index;
	set_present(seen, ASIDE_IN_PLACE);
	if (address)
		take(address, seen, op->obs.arena);
}

static uint32_t left_s(uint64_t until_s)
{
	uint64_t now = now_ms() / 1000;
	return !until_s ? UINT32_MAX : until_s > now ? (uint32_t)(until_s - now) : 0;
}

static void put_ip(struct nlmsghdr *message, uint16_t type, const struct ip *ip)
{
	if (ip->family)
		mnl_attr_put(message, type, ip->family == 4 ? 4 : 16, ip->b);
}

static void put_back(struct netlink_batch *batch, struct op *op, const struct address_target *target,
		     uint16_t netlink_flags, uint32_t address_flags)
{
	enum {
		SETTABLE =
			IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN
	};
	const struct aside_address *want = op->want;
	struct nlmsghdr *message = address_message(batch, op, RTM_NEWADDR, netlink_flags, target);
	const struct ifa_cacheinfo info = {.ifa_valid = left_s(want->valid_until_s),
					   .ifa_prefered = left_s(want->preferred_until_s)};
	((struct ifaddrmsg *)mnl_nlmsg_get_payload(message))->ifa_scope = (uint8_t)want->scope;
	put_ip(message, IFA_ADDRESS, &want->peer);
	put_ip(message, IFA_BROADCAST, &want->broadcast);
	if (target->prefix.ip.family == 4 && want->label && *want->label)
		mnl_attr_put_strz(message, IFA_LABEL, want->label);
	mnl_attr_put_u32(message, IFA_FLAGS, address_flags & SETTABLE);
	mnl_attr_put(message, IFA_CACHEINFO, sizeof(info), &info);
	if (want->metric)
		mnl_attr_put_u32(message, ADDRESS_ATTR_METRIC, want->metric);
	if (want->protocol)
		mnl_attr_put_u8(message, ADDRESS_ATTR_PROTO, (uint8_t)want->protocol);
	netlink_batch_end(batch, message);
}

static int encode(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	const struct aside_address *want = op->want;
	struct address_key key;
	int r = address_key_parse(op->key, &key, &op->err);
	if (r < 0 || op->verb != OP_UPDATE)
		return r;
	const struct netlink_link *link = netlink_link_by_name(cache, key.link);
	if (!link)
		return err_set(&op->err, ENODEV, "link '%s' does not exist", key.link);
	if (!want->in_place) {
		address_put_removal(batch, op, link, &key.prefix);
	} else if (!has_expired(want)) {
		const struct address_target target = {link->index, key.prefix};
		bool ip6 = key.prefix.ip.family == 6;
		/* As long as it is a port it hears no answer that tells where somebody is. */
		if (link->master)
			netlink_neighbours_copy(batch, link->master, link->index, &key.prefix);
		put_back(batch, op, &target, NLM_F_CREATE | NLM_F_REPLACE, want->flags | (ip6 ? IFA_F_NODAD : 0));
		address_ask_later(op, &target);
	}
	return 0;
}

/* Without duplicate detection it works at once; whether it was made so is said by a second message. */
static void settle(struct netlink_batch *batch, struct op *op)
{
	const struct aside_address *want = op->want;
	const struct address_target *target = address_asked_for(op);
	if (target && !(want->flags & IFA_F_NODAD))
		put_back(batch, op, target, NLM_F_REPLACE, want->flags);
	address_settle(batch, op);
}

static const struct netlink_verbs aside_verbs = {
	.observe = observe, .encode = encode, .has_come = address_has_come, .settle = settle};

static const struct errno_rule aside_errnos[] = {
	{OP_UPDATE, EADDRNOTAVAIL, ANSWER_DONE}, {OP_UPDATE, EEXIST, ANSWER_DONE},  {OP_UPDATE, ENODEV, ANSWER_DONE},
	{OP_UPDATE, EACCES, ANSWER_RETRY},       {OP_UPDATE, ENOMEM, ANSWER_RETRY},
};

extern const struct resource_class netd_aside_address_class;
const struct resource_class netd_aside_address_class = {
	.name = "aside-address",
	.doc = "An address that a link does without as long as another link has it; its key is LINK/ADDRESS/LENGTH.",
	.table = &aside_table,
	.lane = "netlink",
	.verbs = &aside_verbs,
	.flags = CLASS_TRANSACTIONAL | CLASS_INHERENT,
	.rules = aside_errnos,
	.n_rules = ARRAY_SIZE(aside_errnos),
};
