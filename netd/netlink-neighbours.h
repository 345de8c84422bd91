/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts of a subnet that a link has learnt to find (by ARP or neighbour discovery), told to another link that leads
 * to them as well. A port of a bridge cannot learn them itself, since the answers come in by the bridge. */
#ifndef WEFT_NETD_NETLINK_NEIGHBOURS_H
#define WEFT_NETD_NETLINK_NEIGHBOURS_H

#include "netd/netlink-batch.h"

/* Link-local ones go along with those of an IPv6 subnet. What an administrator has set stays as it is. Sends what is in
 * the batch, and leaves messages in it. It is a help only, and fails without a word. */
void netlink_neighbours_copy(struct netlink_batch *batch, int from, int to, const struct ip_prefix *subnet);

#endif
