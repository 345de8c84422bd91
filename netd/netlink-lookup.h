/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to rtnetlink that one message answers, by a socket that is kept: there may be thousands of them in a
 * lowering. For facts, on the main thread; whoever lists things asks by netlink_ask(). */
#ifndef WEFT_NETD_NETLINK_LOOKUP_H
#define WEFT_NETD_NETLINK_LOOKUP_H

#include "core/value.h"
#include "netd/netlink-batch.h"

/* The route of a packet to this address, as RTM_NEWROUTE; `flags` are those of struct rtmsg. Both return 0, -ENOENT if
 * there is none, or -errno. */
int netlink_lookup_route(const struct ip *to, unsigned flags, netlink_message_fn *fn, void *ctx);
/* A link by its index, as RTM_NEWLINK. */
int netlink_lookup_link(unsigned index, netlink_message_fn *fn, void *ctx);
void netlink_lookup_stop(void);

#endif
