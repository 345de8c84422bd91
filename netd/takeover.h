/* SPDX-License-Identifier: Apache-2.0 */
/* Taking over what a link holds that somebody else has set up: a bridge gets the addresses, routes and MAC of a NIC
 * that becomes its port, in an order in which the host is reachable all the time, and gives them back in one when it
 * goes. */
#ifndef WEFT_NETD_TAKEOVER_H
#define WEFT_NETD_TAKEOVER_H

#include "netd/holdings.h"
#include "netd/link-common.h"

/* What the link holds that is to be taken over, from the time when it was first looked at: what weft itself does later
 * is no part of it. NULL if there is no such link yet. */
const struct holdings *takeover_read(struct lowering *l, const char *link);
/* The same of a link that the object took over before and does not any more, although it is still its port; NULL if it
 * never did. */
const struct holdings *takeover_read_left(struct lowering *l, const char *link);

struct takeover {
	struct want *to;   /* the link that gets it */
	struct want *port; /* the link that had it, wanted with its master */
	const struct holdings *holdings;
	bool has_metric; /* that of the routes of its DHCP client is said by the manifest, and not ours to choose */
	const struct link_common *written; /* NULL: all of it moves. Else the other link has what is written, wanted
					      already, and the port goes on without; a manifest that drops `takeover`
					      has to write all that would be nowhere then */
};
/* Wants it all over the other link, at `path` of the object. */
void takeover_want(struct lowering *l, const struct takeover *takeover, const char *path);

/* A link becomes a port that does not work with addresses and routes of its own, as that of a bond: it is without them
 * meanwhile, routes first, and gets them back when it has left. */
void takeover_set_aside(struct lowering *l, struct want *port);

/* A link becomes a port of another and nothing takes over what it holds: then that stops working, which is what it
 * costs. `remedy` ends the sentence ("write takeover: eth1 to move them along"). Nothing is said of a link that holds
 * nothing. */
void takeover_tell_cut(struct lowering *l, struct want *port, const char *master, const char *remedy);

/* A link that is to be a port, and that is one of a bridge or bond which weft has not made and no manifest names:
 * that it leaves is what it costs. */
void takeover_tell_leaving(struct lowering *l, struct want *port);

#endif
