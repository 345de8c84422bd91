/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's messages about bridges' VLANs mean to the cache: each names a port, or a bridge for its own end,
 * and ranges that were added, changed or removed there. See netlink-cache.h. */
#include <linux/if_bridge.h>
#include <linux/if_link.h>

#include "netd/netlink-cache.h"

enum { VLAN_END = 4095 };

/* A range of VLANs with what holds for all of them. */
struct range {
	unsigned first, last;
	uint16_t flags; /* BRIDGE_VLAN_INFO_... */
};

static bool read_range(const struct nlattr *entry, struct range *ret)
{
	const struct nlattr *attr;
	*ret = (struct range){0};
	mnl_attr_for_each_nested(attr, entry)
	{
		if (mnl_attr_get_type(attr) == BRIDGE_VLANDB_ENTRY_INFO &&
		    mnl_attr_get_payload_len(attr) >= sizeof(struct bridge_vlan_info)) {
			const struct bridge_vlan_info *info = mnl_attr_get_payload(attr);
			ret->first = info->vid;
			ret->flags = info->flags;
		} else if (mnl_attr_get_type(attr) == BRIDGE_VLANDB_ENTRY_RANGE &&
			   mnl_attr_get_payload_len(attr) >= sizeof(uint16_t)) {
			ret->last = mnl_attr_get_u16(attr);
		}
	}
	if (!ret->last)
		ret->last = ret->first;
	return ret->first > 0 && ret->first <= ret->last && ret->last < VLAN_END;
}

static void set_vlan(struct netlink_vlans *vlans, unsigned id, bool in, uint16_t flags)
{
	bool pvid = in && flags & BRIDGE_VLAN_INFO_PVID;
	vlan_set_put(&vlans->all, id, in);
	vlan_set_put(&vlans->untagged, id, in && flags & BRIDGE_VLAN_INFO_UNTAGGED);
	/* There is one at most: the kernel does not say that the one before is none any more. */
	if (pvid || vlans->pvid == id)
		vlans->pvid = pvid ? (uint16_t)id : 0;
}

static bool differ(const struct netlink_vlans *a, const struct netlink_vlans *b)
{
	return a->pvid != b->pvid || memcmp(&a->all, &b->all, sizeof(a->all)) != 0 ||
	       memcmp(&a->untagged, &b->untagged, sizeof(a->untagged)) != 0;
}

void netlink_vlans_message(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	const struct br_vlan_msg *header = mnl_nlmsg_get_payload(message);
	struct netlink_link *link = netlink_link_by_index(cache, (int)header->ifindex);
	const struct nlattr *attr;
	if (!link)
		return;
	if (!link->vlans)
		link->vlans = xcalloc(1, sizeof(*link->vlans));
	struct netlink_vlans before = *link->vlans;
	if (link->vlans->sweep != cache->sweep)
		*link->vlans = (struct netlink_vlans){.sweep = cache->sweep};
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		struct range range;
		if (mnl_attr_get_type(attr) != BRIDGE_VLANDB_ENTRY || !read_range(attr, &range))
			continue;
		for (unsigned id = range.first; id <= range.last; id++)
			set_vlan(link->vlans, id, message->nlmsg_type == RTM_NEWVLAN, range.flags);
	}
	if (differ(&before, link->vlans))
		netlink_mark_link(cache, link);
}

void netlink_vlans_default(const struct netlink_link *bridge, struct netlink_vlans *ret)
{
	const struct nlattr *attr;
	*ret = (struct netlink_vlans){0};
	if (bridge->info.size == 0)
		return;
	mnl_attr_for_each_payload(bridge->info.data, bridge->info.size)
	{
		if (mnl_attr_get_type(attr) == IFLA_BR_VLAN_DEFAULT_PVID &&
		    mnl_attr_get_payload_len(attr) == sizeof(uint16_t))
			ret->pvid = mnl_attr_get_u16(attr);
	}
	if (ret->pvid && ret->pvid < VLAN_END) {
		vlan_set_put(&ret->all, ret->pvid, true);
		vlan_set_put(&ret->untagged, ret->pvid, true);
	}
}

/* The kernel puts a new bridge into its default VLAN before it tells that there is one. */
void netlink_vlans_new_link(const struct netlink_cache *cache, struct netlink_link *link)
{
	if (link->vlans || !streq(link->kind, "bridge"))
		return;
	link->vlans = xcalloc(1, sizeof(*link->vlans));
	netlink_vlans_default(link, link->vlans);
	link->vlans->sweep = cache->sweep;
}

void netlink_vlans_sweep(struct netlink_cache *cache, struct netlink_link *link)
{
	if (!link->vlans || link->vlans->sweep == cache->sweep)
		return;
	free(link->vlans);
	link->vlans = NULL;
	netlink_mark_link(cache, link);
}
