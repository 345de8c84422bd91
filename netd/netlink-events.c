/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's messages about links, addresses and per-link settings mean to the cache, and which resources a
 * change may concern. Marks are generous: a link that went down or came back dirties what lives on it, since the kernel
 * drops some of that without an event. See netlink-cache.h. */
#include "netd/netlink-cache.h"

#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/netconf.h>

#include "netd/netlink-fdb.h"
#include "netd/route-cache.h"

/* Not in every kernel's headers. */
enum { ADDRESS_METRIC = 9 /* IFA_RT_PRIORITY */, ADDRESS_PROTO = 11 /* IFA_PROTO */ };

static uint32_t u32_of(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint32_t) ? mnl_attr_get_u32(attr) : 0;
}

static uint8_t u8_of(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint8_t) ? mnl_attr_get_u8(attr) : 0;
}

/* Copies text that the kernel ends with a NUL, or not. */
static void text_of(const struct nlattr *attr, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", (int)mnl_attr_get_payload_len(attr), (const char *)mnl_attr_get_payload(attr));
}

void netlink_mark_link(struct netlink_cache *cache, const struct netlink_link *link)
{
	if (netlink_watches(cache, link->name) & NETLINK_WATCH_LINK)
		netlink_mark_dirty(cache, "link", link->name);
}

/* What lowering has read of a link is another now. */
static void mark_facts_of(struct netlink_cache *cache, const char *facts, const struct netlink_link *link)
{
	char key[IFNAMSIZ + 16];
	snprintf(key, sizeof(key), "%s/%s", facts, link->name);
	if (!netlink_facts_watched(key))
		return;
	snprintf(key, sizeof(key), "%s/%s/*", facts, link->name);
	netlink_mark_dirty(cache, NULL, key);
}

/* Its MTU, or whether it is there. */
static void mark_facts(struct netlink_cache *cache, const struct netlink_link *link)
{
	mark_facts_of(cache, "link", link);
}

/* Which link has an address, or leads to one. */
static void mark_paths(struct netlink_cache *cache)
{
	if (!netlink_facts_watched("address"))
		return;
	netlink_mark_dirty(cache, NULL, "link-with/*");
	netlink_mark_dirty(cache, NULL, "link-towards/*");
}

/* Whether somebody else keeps an address there that is leased. */
static void mark_leases(struct netlink_cache *cache, const struct netlink_link *link)
{
	mark_facts_of(cache, "leased", link);
}

/* Nor is what it holds. */
static void mark_holdings(struct netlink_cache *cache, const struct netlink_link *link)
{
	char key[IFNAMSIZ + 8];
	if (!(netlink_watches(cache, link->name) & NETLINK_WATCH_LINK))
		return;
	snprintf(key, sizeof(key), "holds/%s", link->name);
	netlink_mark_dirty(cache, NULL, key);
}

static void mark_addresses(struct netlink_cache *cache, const struct netlink_link *link)
{
	if (!(netlink_watches(cache, link->name) & NETLINK_WATCH_ADDRESSES))
		return;
	netlink_mark_dirty(cache, "address", NULL);
	netlink_mark_dirty(cache, "aside-address", NULL);
}

/* What is a port of it, or stands on it. */
static void mark_ports(struct netlink_cache *cache, int index)
{
	for (size_t i = 0; i < NETLINK_BUCKETS; i++)
		for (const struct netlink_link *l = cache->by_index[i]; l; l = l->next_by_index)
			if (l->master == index || l->lower == index)
				netlink_mark_link(cache, l);
}

/* Of some masters the ports are the health. */
static void mark_master(struct netlink_cache *cache, int index)
{
	const struct netlink_link *master = netlink_link_by_index(cache, index);
	if (master && netlink_watches(cache, master->name) & NETLINK_WATCH_PORTS)
		netlink_mark_link(cache, master);
}

/* Compares what a link kind or a bridge's port consists of. Attributes of eight bytes are timers that tick with every
 * message (a bridge has four), so they are no change. */
static bool attrs_equal(const struct netlink_attrs *attrs, const struct nlattr *nest)
{
	if (attrs->size != mnl_attr_get_payload_len(nest))
		return false;
	const char *old = attrs->data, *new = mnl_attr_get_payload(nest);
	for (size_t at = 0; at + sizeof(struct nlattr) <= attrs->size;) {
		const struct nlattr *a = (const void *)(old + at);
		size_t len = a->nla_len;
		if (len < sizeof(*a) || len > attrs->size - at)
			return memcmp(old + at, new + at, attrs->size - at) == 0;
		size_t compared = len == sizeof(*a) + sizeof(uint64_t) ? sizeof(*a) : len;
		if (memcmp(old + at, new + at, compared) != 0)
			return false;
		at += MNL_ALIGN(len);
	}
	return true;
}

static bool set_attrs(struct netlink_attrs *attrs, const struct nlattr *nest)
{
	bool changed = !attrs_equal(attrs, nest);
	free(attrs->data);
	attrs->size = mnl_attr_get_payload_len(nest);
	attrs->data = xcalloc(1, attrs->size + 1);
	memcpy(attrs->data, mnl_attr_get_payload(nest), attrs->size);
	return changed;
}

static bool clear_attrs(struct netlink_attrs *attrs)
{
	bool changed = attrs->size > 0;
	free(attrs->data);
	*attrs = (struct netlink_attrs){0};
	return changed;
}

static bool set_kind(char kind[static 32], const struct nlattr *attr)
{
	char text[32];
	text_of(attr, text, sizeof(text));
	bool changed = !streq(text, kind);
	memcpy(kind, text, sizeof(text));
	return changed;
}

static bool set_linkinfo(struct netlink_link *link, const struct nlattr *linkinfo, bool *ret_is_port)
{
	bool changed = false;
	const struct nlattr *attr;
	mnl_attr_for_each_nested(attr, linkinfo)
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_INFO_KIND:
			changed |= set_kind(link->kind, attr);
			break;
		case IFLA_INFO_DATA:
			changed |= set_attrs(&link->info, attr);
			break;
		case IFLA_INFO_SLAVE_KIND:
			changed |= set_kind(link->port_kind, attr);
			*ret_is_port = true;
			break;
		case IFLA_INFO_SLAVE_DATA:
			changed |= set_attrs(&link->port, attr);
			break;
		default:
			break;
		}
	}
	return changed;
}

static bool set_alias(struct netlink_link *link, const char *alias)
{
	if (streq(link->alias, alias))
		return false;
	free(link->alias);
	link->alias = alias ? xstrdup(alias) : NULL;
	return true;
}

#define SET(field, value)                           \
	do {                                        \
		__typeof__(field) value_ = (value); \
		changed |= (field) != value_;       \
		(field) = value_;                   \
	} while (0)

/* Takes all of a RTM_NEWLINK into the link; says whether something differs from before. */
static bool set_link(struct netlink_link *link, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	bool changed = false, is_port = false;
	char alias[256] = "";
	int master = 0, lower = 0;
	bool elsewhere = false;
	const struct nlattr *attr;

	/* IFF_RUNNING follows the carrier, which is looked at by itself; IFF_PROMISC comes with captures. */
	changed |= ((link->flags ^ header->ifi_flags) & IFF_UP) != 0;
	link->flags = header->ifi_flags;
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_MTU:
			SET(link->mtu, u32_of(attr));
			break;
		case IFLA_MASTER:
			master = (int)u32_of(attr);
			break;
		case IFLA_LINK:
			lower = (int)u32_of(attr);
			break;
		case IFLA_LINK_NETNSID:
			elsewhere = true;
			break;
		case IFLA_GROUP:
			link->group = u32_of(attr);
			break;
		case IFLA_OPERSTATE:
			SET(link->operstate, u8_of(attr));
			break;
		case IFLA_CARRIER:
			SET(link->carrier, u8_of(attr) != 0);
			break;
		case IFLA_IFALIAS:
			text_of(attr, alias, sizeof(alias));
			break;
		case IFLA_ADDRESS:
			link->has_mac = mnl_attr_get_payload_len(attr) == sizeof(link->mac);
			if (link->has_mac && memcmp(&link->mac, mnl_attr_get_payload(attr), sizeof(link->mac)) != 0) {
				memcpy(&link->mac, mnl_attr_get_payload(attr), sizeof(link->mac));
				changed = true;
			}
			break;
		case IFLA_LINKINFO:
			changed |= set_linkinfo(link, attr, &is_port);
			break;
		default:
			break;
		}
	}
	SET(link->master, master);
	SET(link->lower, lower);
	SET(link->elsewhere, elsewhere);
	if (!is_port) {
		*link->port_kind = '\0';
		changed |= clear_attrs(&link->port);
	}
	changed |= set_alias(link, *alias ? alias : NULL);
	return changed;
}

static bool link_name_of(const struct nlmsghdr *message, char name[static IFNAMSIZ])
{
	const struct nlattr *attr;
	mnl_attr_for_each(attr, message, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(attr) == IFLA_IFNAME) {
			text_of(attr, name, IFNAMSIZ);
			return *name != '\0';
		}
	}
	return false;
}

/* A message of the bridge's family is about a port: what was set by that family comes by it alone. */
static void bridge_port_message(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct netlink_link *link = netlink_link_by_index(cache, header->ifi_index);
	const struct nlattr *attr;
	if (!link || !streq(link->port_kind, "bridge"))
		return;
	mnl_attr_for_each(attr, message,
			  sizeof(*header)) if (mnl_attr_get_type(attr) == IFLA_PROTINFO && set_attrs(&link->port, attr))
		netlink_mark_link(cache, link);
}

static void new_link(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	char name[IFNAMSIZ];
	if (header->ifi_family == AF_BRIDGE)
		bridge_port_message(cache, message);
	if (header->ifi_family != AF_UNSPEC || header->ifi_index <= 0 || !link_name_of(message, name))
		return;
	struct netlink_link *link = netlink_link_by_index(cache, header->ifi_index);
	bool is_new = !link;
	if (is_new)
		link = netlink_cache_add(cache, header->ifi_index, name);
	bool renamed = !streq(link->name, name);
	if (renamed) {
		netlink_mark_link(cache, link);
		mark_addresses(cache, link);
		mark_ports(cache, link->index);
		netlink_cache_rename(cache, link, name);
	}
	unsigned flags = link->flags;
	uint32_t mtu = link->mtu;
	bool changed = set_link(link, message);
	link->sweep = cache->sweep;
	if (is_new)
		netlink_vlans_new_link(cache, link);
	if (is_new || renamed || changed)
		netlink_mark_link(cache, link);
	if (changed && link->master)
		mark_master(cache, link->master);
	if (is_new || renamed || link->mtu != mtu)
		mark_facts(cache, link);
	if (is_new || renamed)
		mark_holdings(cache, link);
	if (is_new || renamed || ((flags ^ link->flags) & IFF_UP)) {
		mark_addresses(cache, link);
		route_cache_link_changed(cache, link);
	}
	if (!is_new && (renamed || ((flags ^ link->flags) & IFF_UP)))
		mark_paths(cache);
}

static void remove_link(struct netlink_cache *cache, struct netlink_link *link)
{
	netlink_mark_link(cache, link);
	mark_facts(cache, link);
	mark_leases(cache, link);
	mark_addresses(cache, link);
	route_cache_link_changed(cache, link);
	mark_ports(cache, link->index);
	netlink_cache_remove(cache, link);
}

static void delete_link(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	if (header->ifi_family != AF_UNSPEC)
		return;
	struct netlink_link *link = netlink_link_by_index(cache, header->ifi_index);
	if (link)
		remove_link(cache, link);
}

static bool get_ip(const struct nlattr *attr, uint8_t family, struct ip *ret)
{
	size_t size = family == AF_INET ? 4 : 16;
	if (mnl_attr_get_payload_len(attr) != size)
		return false;
	*ret = (struct ip){.family = family == AF_INET ? 4 : 6};
	memcpy(ret->b, mnl_attr_get_payload(attr), size);
	return true;
}

/* The kernel tells what is left, in seconds. */
static uint64_t until_s(uint32_t left_s)
{
	return left_s == UINT32_MAX ? 0 : now_ms() / 1000 + left_s;
}

static void read_address_attribute(const struct nlattr *attr, uint8_t family, struct netlink_address *ret)
{
	const struct ifa_cacheinfo *info = mnl_attr_get_payload(attr);
	switch (mnl_attr_get_type(attr)) {
	case IFA_FLAGS:
		ret->flags = u32_of(attr);
		break;
	case IFA_BROADCAST:
		get_ip(attr, family, &ret->broadcast);
		break;
	case IFA_LABEL:
		text_of(attr, ret->label, sizeof(ret->label));
		break;
	case IFA_CACHEINFO:
		if (mnl_attr_get_payload_len(attr) < sizeof(*info))
			break;
		ret->valid_until_s = until_s(info->ifa_valid);
		ret->preferred_until_s = until_s(info->ifa_prefered);
		break;
	case ADDRESS_METRIC:
		ret->metric = u32_of(attr);
		break;
	case ADDRESS_PROTO:
		ret->proto = u8_of(attr);
		break;
	default:
		break;
	}
}

/* IFA_LOCAL is the address itself; on links that are not point-to-point IPv6 has IFA_ADDRESS only. */
bool netlink_address_read(const struct nlmsghdr *message, struct netlink_address *ret)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct ip local = {0}, address = {0};
	const struct nlattr *attr;
	if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)
		return false;
	*ret = (struct netlink_address){.flags = header->ifa_flags, .scope = header->ifa_scope};
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		uint16_t type = mnl_attr_get_type(attr);
		if (type == IFA_LOCAL)
			get_ip(attr, header->ifa_family, &local);
		else if (type == IFA_ADDRESS)
			get_ip(attr, header->ifa_family, &address);
		else
			read_address_attribute(attr, header->ifa_family, ret);
	}
	if (local.family && address.family && !ip_equal(&local, &address))
		ret->peer = address;
	ret->prefix = (struct ip_prefix){.ip = local.family ? local : address, .len = header->ifa_prefixlen};
	return ret->prefix.ip.family != 0;
}

static struct netlink_address **find_address(struct netlink_link *link, const struct ip_prefix *prefix)
{
	struct netlink_address **at = &link->addresses;
	while (*at && ((*at)->prefix.len != prefix->len || !ip_equal(&(*at)->prefix.ip, &prefix->ip)))
		at = &(*at)->next;
	return at;
}

static void mark_address(struct netlink_cache *cache, const struct netlink_link *link, const struct ip_prefix *prefix)
{
	char text[IP_TEXT], key[IP_TEXT + IFNAMSIZ + 1];
	if (!(netlink_watches(cache, link->name) & NETLINK_WATCH_ADDRESSES))
		return;
	snprintf(key, sizeof(key), "%s/%s", link->name, prefix_text(prefix, text));
	netlink_mark_dirty(cache, "address", key);
	netlink_mark_dirty(cache, "aside-address", key);
}

static void hash_address(struct netlink_cache *cache, struct netlink_address *address)
{
	struct netlink_address **bucket = &cache->by_ip[netlink_hash_ip(&address->prefix.ip)];
	address->next_by_ip = *bucket;
	*bucket = address;
}

static void new_address(struct netlink_cache *cache, struct netlink_link *link, const struct netlink_address *seen)
{
	struct netlink_address **at = find_address(link, &seen->prefix);
	bool is_new = !*at, changed = is_new || (*at)->flags != seen->flags || (*at)->proto != seen->proto;
	if (is_new)
		mark_holdings(cache, link);
	if (!*at)
		*at = xcalloc(1, sizeof(**at));
	struct netlink_address *next = (*at)->next, *next_by_ip = (*at)->next_by_ip;
	**at = *seen;
	(*at)->next = next;
	(*at)->next_by_ip = next_by_ip;
	(*at)->link = link;
	if (is_new)
		hash_address(cache, *at);
	(*at)->sweep = cache->sweep;
	cache->knows_proto |= seen->proto != 0;
	if (changed)
		mark_address(cache, link, &seen->prefix);
	if (!is_new)
		return;
	mark_paths(cache);
	mark_leases(cache, link);
}

static void remove_address(struct netlink_cache *cache, struct netlink_link *link, struct netlink_address **at)
{
	const struct netlink_address *gone = *at;
	mark_address(cache, link, &gone->prefix);
	route_cache_address_lost(cache, link, &gone->prefix.ip);
	mark_paths(cache);
	mark_leases(cache, link);
	netlink_cache_drop_address(cache, at);
}

static void address_message(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct netlink_link *link = netlink_link_by_index(cache, (int)header->ifa_index);
	struct netlink_address seen;
	if (!link || !netlink_address_read(message, &seen))
		return;
	if (message->nlmsg_type == RTM_NEWADDR) {
		new_address(cache, link, &seen);
		return;
	}
	struct netlink_address **at = find_address(link, &seen.prefix);
	if (*at)
		remove_address(cache, link, at);
}

/* Which file under conf/NAME/ an attribute of a netconf message tells of. */
static const char *const conf_files[NETCONFA_MAX + 1] = {
	[NETCONFA_FORWARDING] = "forwarding",
	[NETCONFA_RP_FILTER] = "rp_filter",
	[NETCONFA_MC_FORWARDING] = "mc_forwarding",
	[NETCONFA_PROXY_NEIGH] = "proxy_arp",
	[NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN] = "ignore_routes_with_linkdown",
	[NETCONFA_BC_FORWARDING] = "bc_forwarding",
};

static const char *conf_name(const struct netlink_cache *cache, int index)
{
	if (index == NETCONFA_IFINDEX_ALL)
		return "all";
	if (index == NETCONFA_IFINDEX_DEFAULT)
		return "default";
	const struct netlink_link *link = netlink_link_by_index(cache, index);
	return link && netlink_watches(cache, link->name) ? link->name : NULL;
}

static void netconf_message(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	const struct netconfmsg *header = mnl_nlmsg_get_payload(message);
	const char *family = header->ncm_family == AF_INET6 ? "ipv6" : "ipv4";
	const struct nlattr *attr;
	int index = 0;
	mnl_attr_for_each(attr, message, MNL_ALIGN(sizeof(*header))) if (mnl_attr_get_type(attr) == NETCONFA_IFINDEX)
		index = (int)u32_of(attr);
	const char *name = conf_name(cache, index);
	if (!name)
		return;
	mnl_attr_for_each(attr, message, MNL_ALIGN(sizeof(*header)))
	{
		uint16_t type = mnl_attr_get_type(attr);
		char key[96];
		if (type > NETCONFA_MAX || !conf_files[type])
			continue;
		snprintf(key, sizeof(key), "net/%s/conf/%s/%s", family, name, conf_files[type]);
		netlink_mark_dirty(cache, "sysctl", key);
		if (type != NETCONFA_FORWARDING || index != NETCONFA_IFINDEX_ALL)
			continue;
		netlink_mark_dirty(cache, "forwarding", family);
		netlink_mark_dirty(cache, "sysctl", "net/ipv4/ip_forward");
	}
}

static void read_message(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	size_t size = mnl_nlmsg_get_payload_len(message);
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
		if (size >= sizeof(struct ifinfomsg))
			new_link(cache, message);
		break;
	case RTM_DELLINK:
		if (size >= sizeof(struct ifinfomsg))
			delete_link(cache, message);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (size >= sizeof(struct ifaddrmsg))
			address_message(cache, message);
		break;
	case RTM_NEWVLAN:
	case RTM_DELVLAN:
		if (size >= sizeof(struct br_vlan_msg))
			netlink_vlans_message(cache, message);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		netlink_fdb_message(cache, message);
		break;
	case RTM_NEWNETCONF:
		if (size >= MNL_ALIGN(sizeof(struct netconfmsg)))
			netconf_message(cache, message);
		break;
	default:
		break;
	}
}

void netlink_cache_message(void *ctx, const struct nlmsghdr *message)
{
	netlink_cache_lock();
	read_message(ctx, message);
	netlink_cache_unlock();
}

static void sweep_addresses(struct netlink_cache *cache, struct netlink_link *link)
{
	for (struct netlink_address **at = &link->addresses; *at;) {
		if ((*at)->sweep != cache->sweep)
			remove_address(cache, link, at);
		else
			at = &(*at)->next;
	}
}

void netlink_cache_sweep(struct netlink_cache *cache)
{
	netlink_cache_lock();
	for (size_t i = 0; i < NETLINK_BUCKETS; i++) {
		for (struct netlink_link *l = cache->by_index[i], *next; l; l = next) {
			next = l->next_by_index;
			netlink_vlans_sweep(cache, l);
			if (l->sweep != cache->sweep)
				remove_link(cache, l);
			else
				sweep_addresses(cache, l);
		}
	}
	netlink_cache_unlock();
}
