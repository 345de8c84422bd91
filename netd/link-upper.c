/* SPDX-License-Identifier: Apache-2.0 */
/* The links of others that would go with a link: with one the kernel removes those that stand on it, whoever made them.
 */
#include "netd/link.h"

enum { TOWER_MAX = 8 }; /* links upon links */

/* Kinds of links that go with the one that IFLA_LINK says; tunnels, which have it too, stay. */
static bool goes_with_lower(const struct netlink_link *link)
{
	static const char *const kinds[] = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec", "veth"};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (streq(link->kind, kinds[i]))
			return true;
	return false;
}

/* The link with which it goes; 0 if with none. A VXLAN goes with the link that it sends by. */
static int goes_with(const struct netlink_link *link)
{
	const struct link_kind *kind = streq(link->kind, "vxlan") ? link_kind_of(link) : NULL;
	const struct nlattr *attr;
	if (!link->elsewhere && goes_with_lower(link))
		return link->lower;
	if (!kind || !kind->underlay)
		return 0;
	mnl_attr_for_each_payload(link->info.data, link->info.size)
	{
		if (mnl_attr_get_type(attr) == kind->underlay && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			return (int)mnl_attr_get_u32(attr);
	}
	return 0;
}

/* The other end of a pair bears no mark, and belongs to the same. */
static bool is_foreign(const struct netlink_link *link)
{
	return !link_is_ours(link) && !link->was_ours && !streq(link->kind, "veth");
}

static bool stands_on(const struct netlink_cache *cache, const struct netlink_link *link, int index)
{
	for (unsigned i = 0; link && i < TOWER_MAX; i++) {
		int lower = goes_with(link);
		if (lower == index)
			return true;
		link = lower ? netlink_link_by_index(cache, lower) : NULL;
	}
	return false;
}

size_t link_foreign_uppers(const struct netlink_cache *cache, const struct netlink_link ***ret)
{
	const struct netlink_link **links = NULL;
	size_t n = 0, cap = 0;
	for (size_t i = 0; i < NETLINK_BUCKETS; i++) {
		for (const struct netlink_link *l = cache->by_index[i]; l; l = l->next_by_index) {
			if (!is_foreign(l) || !goes_with(l))
				continue;
			grow(links, n, cap);
			links[n++] = l;
		}
	}
	*ret = links;
	return n;
}

int link_refuse_upper(const struct netlink_cache *cache, const struct netlink_link *link,
		      const struct netlink_link *const *uppers, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (stands_on(cache, uppers[i], link->index))
			return err_set(err, ENOTEMPTY,
				       "link '%s' stands on it, which weft did not make and which would go with it; "
				       "remove that first",
				       uppers[i]->name);
	return 0;
}

int link_refuse_foreign(const struct netlink_cache *cache, const struct netlink_link *link, struct err *err)
{
	const struct netlink_link **uppers;
	size_t n = link_foreign_uppers(cache, &uppers);
	int r = link_refuse_upper(cache, link, uppers, n, err);
	free(uppers);
	return r;
}
