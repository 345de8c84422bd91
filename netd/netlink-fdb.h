/* SPDX-License-Identifier: Apache-2.0 */
/* What the cache knows of forwarding entries: the permanent ones of tunnels, which say to which host a frame goes.
 * Nothing is subscribed before one is asked for; then a filter of the kernel's lets no other neighbour events through,
 * of which a busy host has any number. */
#ifndef WEFT_NETD_NETLINK_FDB_H
#define WEFT_NETD_NETLINK_FDB_H

#include "netd/netlink-cache.h"

struct netlink_fdb {
	struct netlink_fdb *next;
	struct mac mac;
	struct ip remote;
	uint32_t sweep;
};

/* From now on the entries of all tunnels are known. 0 or -errno. */
int netlink_fdb_open(struct netlink_cache *cache, struct err *err);
const struct netlink_fdb *netlink_fdb_find(const struct netlink_link *link, const struct mac *mac,
					   const struct ip *remote);

/* The key of the class "fdb": LINK/MAC/ADDRESS. */
enum { NETLINK_FDB_KEY = IFNAMSIZ + 2 * IP_TEXT };
const char *netlink_fdb_key(const struct netlink_link *link, const struct netlink_fdb *entry,
			    char buf[static NETLINK_FDB_KEY]);

/* For the cache: a RTM_NEWNEIGH or RTM_DELNEIGH; the link goes; events were lost. */
void netlink_fdb_message(struct netlink_cache *cache, const struct nlmsghdr *message);
void netlink_fdb_forget(struct netlink_link *link);
void netlink_fdb_distrust(struct netlink_cache *cache);

#endif
