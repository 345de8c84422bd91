/* SPDX-License-Identifier: Apache-2.0 */
/* The class "address": an address of a link, key LINK/ADDRESS/LENGTH. What we made carries a protocol number of ours
 * where the kernel keeps one; elsewhere the engine's records have to do.
 *
 * Of the IPv4 addresses of one subnet the kernel takes the first that came for the main one, from which the host
 * speaks, and calls the others secondary. Once it is gone the next takes its place (where promote_secondaries is on, as
 * systemd has it), and it comes back as the last. So that is a row; address-order.c puts it right. */
#include "netd/address.h"

#include <fcntl.h>
#include <linux/if_addr.h>

#include "netd/netlink-rows.h"

enum { ADDRESS_DAD, ADDRESS_NO_PREFIX_ROUTE, ADDRESS_SECONDARY, ADDRESS_SCOPE, ADDRESS_METRIC, ADDRESS_TENTATIVE };
struct address_spec {
	uint64_t present;
	bool dad, no_prefix_route, secondary, tentative;
	uint32_t scope, metric;
};

/* Without `dad` an IPv6 address works at once; a bridge without ports has no carrier, and detection would not even
 * begin. */
static const struct field address_rows[] = {
	[ADDRESS_DAD] = F_BOOL("dad", struct address_spec, dad, .flags = FIELD_WEAK,
			       .doc = "Whether an IPv6 address is used only when no other host has answered for it."),
	[ADDRESS_NO_PREFIX_ROUTE] = F_BOOL("noPrefixRoute", struct address_spec, no_prefix_route,
					   .doc = "Whether the route to its subnet is left out."),
	[ADDRESS_SECONDARY] = F_BOOL("secondary", struct address_spec, secondary,
				     .doc = "Whether it stands behind another of weft's in its IPv4 subnet."),
	[ADDRESS_SCOPE] = F_U32("scope", struct address_spec, scope, .max = 255, .flags = FIELD_WEAK,
				.doc = "How far it may be seen; 0 is everywhere, 253 the link."),
	[ADDRESS_METRIC] = F_U32("metric", struct address_spec, metric, .flags = FIELD_WEAK,
				 .doc = "Metric of the route to its subnet."),
	[ADDRESS_TENTATIVE] = F_BOOL("tentative", struct address_spec, tentative, .flags = FIELD_STATUS,
				     .doc = "Whether it is not in use yet, since duplicates are still looked for."),
};
static const struct table address_table = TABLE("address", struct address_spec, address_rows);

int address_key_parse(const char *key, struct address_key *ret, struct err *err)
{
	const char *slash = strchr(key, '/');
	if (!slash || slash == key || slash - key >= IFNAMSIZ || prefix_parse(slash + 1, &ret->prefix) < 0)
		return err_set(err, EINVAL, "'%s' is not LINK/ADDRESS/LENGTH", key);
	snprintf(ret->link, sizeof(ret->link), "%.*s", (int)(slash - key), key);
	return 0;
}

const struct netlink_address *address_find(const struct netlink_link *link, const struct ip_prefix *prefix)
{
	const struct netlink_address *a = link ? link->addresses : NULL;
	while (a && (a->prefix.len != prefix->len || !ip_equal(&a->prefix.ip, &prefix->ip)))
		a = a->next;
	return a;
}

static enum owner owner_of(const struct netlink_cache *cache, const struct netlink_address *address)
{
	if (address->proto == ADDRESS_PROTO_OF_WEFT)
		return OWNER_OURS;
	return cache->knows_proto ? OWNER_FOREIGN : OWNER_UNKNOWN;
}

static void observe(struct netlink_cache *cache, struct op *op)
{
	struct address_key key;
	if (address_key_parse(op->key, &key, &op->err) < 0)
		return;
	netlink_cache_watch(cache, key.link, NETLINK_WATCH_ADDRESSES);
	const struct netlink_link *link = netlink_link_by_name(cache, key.link);
	const struct netlink_address *address = address_find(link, &key.prefix);
	struct address_spec *seen = observation_begin(&op->obs, op->class, address != NULL);
	if (!address)
		return;
	op->obs.owner = owner_of(cache, address);
	op->obs.incarnation = (uint64_t)link->index;
	seen->no_prefix_route = address->flags & IFA_F_NOPREFIXROUTE;
	seen->tentative = address->flags & IFA_F_TENTATIVE;
	seen->secondary = address->flags & IFA_F_SECONDARY && address_is_behind(link, &key.prefix);
	set_present(seen, ADDRESS_NO_PREFIX_ROUTE);
	set_present(seen, ADDRESS_SECONDARY);
	set_present(seen, ADDRESS_TENTATIVE);
	if (address->flags & IFA_F_DADFAILED)
		op->obs.health = "another host on the link has this address; give one of them another";
}

struct nlmsghdr *address_message(struct netlink_batch *batch, struct op *op, uint16_t type, uint16_t flags,
				 const struct address_target *target)
{
	const struct ip_prefix *prefix = &target->prefix;
	bool ip4 = prefix->ip.family == 4;
	struct nlmsghdr *message = netlink_batch_begin(batch, op, type, flags);
	struct ifaddrmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->ifa_family = ip4 ? AF_INET : AF_INET6;
	header->ifa_prefixlen = type == RTM_GETADDR ? 0 : prefix->len; /* a question that has one is refused */
	header->ifa_index = (uint32_t)target->index;
	mnl_attr_put(message, IFA_LOCAL, ip4 ? 4 : 16, prefix->ip.b);
	return message;
}

void address_put_broadcast(struct nlmsghdr *message, const struct ip_prefix *prefix)
{
	uint8_t b[4];
	if (prefix->ip.family != 4 || prefix->len > 30)
		return;
	memcpy(b, prefix->ip.b, sizeof(b));
	for (unsigned bit = prefix->len; bit < 32; bit++)
		b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	mnl_attr_put(message, IFA_BROADCAST, sizeof(b), b);
}

static void put_address(struct netlink_batch *batch, struct op *op, uint16_t flags, const struct address_target *target)
{
	const struct ip_prefix *prefix = &target->prefix;
	const struct address_spec *want = op->want;
	uint32_t address_flags = 0;
	struct nlmsghdr *message = address_message(batch, op, RTM_NEWADDR, flags, target);
	if (prefix->ip.family == 6 && !(has_row(want, ADDRESS_DAD) && want->dad))
		address_flags |= IFA_F_NODAD;
	if (has_row(want, ADDRESS_NO_PREFIX_ROUTE) && want->no_prefix_route)
		address_flags |= IFA_F_NOPREFIXROUTE;
	if (has_row(want, ADDRESS_METRIC) && want->metric)
		mnl_attr_put_u32(message, ADDRESS_ATTR_METRIC, want->metric);
	if (has_row(want, ADDRESS_SCOPE))
		((struct ifaddrmsg *)mnl_nlmsg_get_payload(message))->ifa_scope = (uint8_t)want->scope;
	mnl_attr_put_u32(message, IFA_FLAGS, address_flags);
	address_put_broadcast(message, prefix);
	if (op->mark)
		mnl_attr_put_u8(message, ADDRESS_ATTR_PROTO, ADDRESS_PROTO_OF_WEFT);
	netlink_batch_end(batch, message);
}

/* What is kept from encode() to settle(). */
struct pending {
	struct address_target target; /* CREATE: to be looked at */
	char promote[96];             /* a setting that is changed meanwhile; "" if none */
	char promote_before;
};

/* Removing the first address of a subnet takes the others of it along, whoever made them, unless the link promotes
 * them. */
static bool has_secondaries(const struct netlink_link *link, const struct netlink_address *address)
{
	if (address->flags & IFA_F_SECONDARY)
		return false;
	for (const struct netlink_address *a = link->addresses; a; a = a->next)
		if ((a->flags & IFA_F_SECONDARY) && address_same_subnet(&address->prefix, &a->prefix))
			return true;
	return false;
}

static bool swap_setting(const char *path, char value, char *ret_before)
{
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || read(fd, ret_before, 1) != 1 || lseek(fd, 0, SEEK_SET) != 0)
		return false;
	return *ret_before != value && write(fd, &value, 1) == 1;
}

/* False if the link cannot be made to. */
static bool promote_meanwhile(struct op *op, const struct netlink_link *link)
{
	cleanup_free struct pending *pending = xcalloc(1, sizeof(*pending));
	snprintf(pending->promote, sizeof(pending->promote), "/proc/sys/net/ipv4/conf/%s/promote_secondaries",
		 link->name);
	if (!swap_setting(pending->promote, '1', &pending->promote_before))
		return pending->promote_before == '1';
	op->lane_data = take_ptr(pending);
	return true;
}

void address_put_removal(struct netlink_batch *batch, struct op *op, const struct netlink_link *link,
			 const struct ip_prefix *prefix)
{
	const struct netlink_address *address = address_find(link, prefix);
	if (!address)
		return;
	if (has_secondaries(link, address))
		(void)promote_meanwhile(op, link);
	const struct address_target target = {link->index, *prefix};
	struct nlmsghdr *message = address_message(batch, op, RTM_DELADDR, 0, &target);
	/* Without it the kernel would not look at the length. */
	if (prefix->ip.family == 4)
		mnl_attr_put(message, IFA_ADDRESS, 4, address->peer.family ? address->peer.b : prefix->ip.b);
	/* The addresses that the kernel derived from it for the sake of privacy go with it. */
	mnl_attr_put_u32(message, IFA_FLAGS, address->flags & IFA_F_MANAGETEMPADDR);
	netlink_batch_end(batch, message);
}

/* The kernel uses a new IPv6 address, and tells of it, some time after the answer, since duplicate detection, even when
 * it is left out, runs by itself. Whoever lets go of the same address elsewhere has to wait for that. */
void address_ask_later(struct op *op, const struct address_target *target)
{
	if (target->prefix.ip.family != 6)
		return;
	struct pending *pending = xcalloc(1, sizeof(*pending));
	pending->target = *target;
	op->lane_data = pending;
}

const struct address_target *address_asked_for(const struct op *op)
{
	const struct pending *pending = op->lane_data;
	return pending && !*pending->promote && !op->err.code ? &pending->target : NULL;
}

bool address_has_come(const struct netlink_cache *cache, const struct op *op)
{
	const struct address_target *target = address_asked_for(op);
	const struct netlink_link *link = target ? netlink_link_by_index(cache, target->index) : NULL;
	return !link || address_find(link, &target->prefix);
}

void address_settle(struct netlink_batch *batch, struct op *op)
{
	cleanup_free struct pending *pending = op->lane_data;
	char before;
	op->lane_data = NULL;
	if (pending && *pending->promote)
		(void)swap_setting(pending->promote, pending->promote_before, &before);
	else if (pending && !op->err.code)
		netlink_batch_end(batch, address_message(batch, NULL, RTM_GETADDR, 0, &pending->target));
}

static int encode(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	struct address_key key;
	int r = address_key_parse(op->key, &key, &op->err);
	if (r < 0)
		return r;
	const struct netlink_link *link = netlink_link_by_name(cache, key.link);
	if (op->verb == OP_REMOVE && link)
		address_put_removal(batch, op, link, &key.prefix);
	if (op->verb == OP_REMOVE)
		return 0;
	if (!link)
		return err_set(&op->err, ENODEV, "link '%s' does not exist", key.link);
	const struct address_target target = {link->index, key.prefix};
	const struct address_spec *want = op->want;
	put_address(batch, op, op->verb == OP_CREATE ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_REPLACE, &target);
	address_ask_later(op, &target);
	bool first = has_row(want, ADDRESS_SECONDARY) && !want->secondary;
	if (first && address_is_behind(link, &key.prefix) && promote_meanwhile(op, link))
		address_put_first(batch, op, link, &key.prefix);
	return 0;
}

static const struct netlink_verbs address_verbs = {
	.observe = observe, .encode = encode, .has_come = address_has_come, .settle = address_settle};

/* EACCES: IPv6 is switched off on the link, as long as the sysctl that the address needs has not been written again. */
static const struct errno_rule address_errnos[] = {
	{OP_CREATE, ENODEV, ANSWER_WAIT},  {OP_CREATE, EEXIST, ANSWER_RETRY},       {OP_CREATE, EACCES, ANSWER_RETRY},
	{OP_CREATE, ENOMEM, ANSWER_RETRY}, {OP_UPDATE, ENODEV, ANSWER_WAIT},        {OP_UPDATE, ENOENT, ANSWER_RETRY},
	{OP_UPDATE, ENOMEM, ANSWER_RETRY}, {OP_REMOVE, EADDRNOTAVAIL, ANSWER_DONE}, {OP_REMOVE, ENODEV, ANSWER_DONE},
	{OP_REMOVE, ENOMEM, ANSWER_RETRY},
};

extern const struct resource_class netd_address_class;
const struct resource_class netd_address_class = {
	.name = "address",
	.doc = "An IP address of a link; its key is LINK/ADDRESS/LENGTH.",
	.table = &address_table,
	.lane = "netlink",
	.verbs = &address_verbs,
	.flags = CLASS_TRANSACTIONAL | CLASS_ADOPT_UNMARKED | CLASS_FLEETING,
	.rules = address_errnos,
	.n_rules = ARRAY_SIZE(address_errnos),
};
