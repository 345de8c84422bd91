/* SPDX-License-Identifier: Apache-2.0 */
/* What others have put on a link that weft makes anew: their addresses, static routes, permanent neighbours, and static
 * forwarding entries of its bridge. The kernel takes all of it along with the link; so its messages are kept, and said
 * again about the one that comes in its place. What cannot be said yet, such as a route by way of an address that weft
 * is still to put there, is tried again after each round of the lane, for a minute. */
#ifndef WEFT_NETD_NETLINK_KEPT_H
#define WEFT_NETD_NETLINK_KEPT_H

#include "netd/netlink-cache.h"

/* On the lane's thread. The link is removed next; sends what is in the batch. */
void netlink_kept_take(struct netlink_cache *cache, struct netlink_batch *batch, const struct netlink_link *link);
/* Gives back what it can. */
void netlink_kept_give(struct netlink_cache *cache, struct netlink_batch *batch);
void netlink_kept_free(struct netlink_cache *cache);

/* Any thread: asks the kernel for all that may be kept, of one link (0: of all). */
int netlink_kept_ask(struct netlink_batch *batch, int link, netlink_message_fn *fn, void *ctx);
/* The link whose it is, if a message is about something that is kept; 0 if not. */
int netlink_kept_link(const struct nlmsghdr *message);
/* Of an address that is known already: would it be kept? Where the kernel does not tell who made one, nobody knows. */
bool netlink_kept_address(const struct netlink_address *address);
/* "10.7.0.9/24", "the route to 10.8.0.0/16", "neighbour 10.7.0.1", "the forwarding of 02:00:00:00:00:01". */
const char *netlink_kept_text(const struct nlmsghdr *message, struct arena *arena);

#endif
