/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to the fact "link/NAME/foreignMaster", see links.c: whose port a link is, unless weft has made that. */
#include <net/if.h>

#include "netd/link.h"
#include "netd/netd.h"
#include "netd/netlink-lookup.h"

struct seen_link {
	unsigned master; /* ifindex, 0: none */
	bool ours;
	char name[IFNAMSIZ];
};

static void take_link(void *ctx, const struct nlmsghdr *message)
{
	struct seen_link *seen = ctx;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, message, sizeof(struct ifinfomsg))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_MASTER:
			seen->master = mnl_attr_get_u32(attr);
			break;
		case IFLA_IFNAME:
			snprintf(seen->name, sizeof(seen->name), "%s", mnl_attr_get_str(attr));
			break;
		case IFLA_IFALIAS:
			seen->ours = link_alias_is_ours(mnl_attr_get_str(attr));
			break;
		}
	}
}

int netd_link_foreign_master(const char *name, char **ret)
{
	struct seen_link link = {0}, master = {0};
	int r = netlink_lookup_link(if_nametoindex(name), take_link, &link);
	if (r == 0 && link.master)
		r = netlink_lookup_link(link.master, take_link, &master);
	if (r < 0 || !*master.name || master.ours)
		return r < 0 ? r : -ENOENT;
	*ret = xstrdup(master.name);
	return 0;
}
