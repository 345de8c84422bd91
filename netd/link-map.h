/* SPDX-License-Identifier: Apache-2.0 */
/* What the links of one configuration are to each other, worked out of all its objects once: which object a link is,
 * whose port it is, who has an address, and from that the MTU that each will have. What no object is about is asked of
 * the host, as facts. */
#ifndef WEFT_NETD_LINK_MAP_H
#define WEFT_NETD_LINK_MAP_H

#include "core/lower.h"

enum { STANDARD_MTU = 1500 };

/* The object that is the link of this name, or the Network that makes it; NULL if there is none. */
const struct object *link_object(struct lowering *l, const char *name);
/* The bridge that a link is a port of, by the Bridge's ports or by its own `bridge`; NULL if none is named. */
const char *link_bridge_of(struct lowering *l, const char *name);
/* The ports of a bridge in turn, said by either side; NULL ends. Guests' taps are not among them. */
const char *link_port_at(struct lowering *l, const char *bridge, size_t i);

/* The key of the resource that an address of any object is ("br7/10.7.0.1/24"); NULL if none has it. */
const char *link_address(struct lowering *l, const struct ip *ip);

/* The MTU that a link will have; 0 if there is no telling. */
uint32_t link_mtu(struct lowering *l, const char *name);
/* That which its manifest says, or its bridge's; 0 if neither does. */
uint32_t link_mtu_written(struct lowering *l, const struct object *object);
/* The lowest of a bridge's ports that do not follow it; 0 if it has none such. */
uint32_t link_mtu_of_ports(struct lowering *l, const char *bridge);

/* What only one object can have ("vni 5001 of port 4789"): refuses the object that is being lowered when another has it
 * already, at this path, and says false. */
bool link_claim(struct lowering *l, const char *path, const char *what_fmt, ...) printf_like(3, 4);
/* Do two ports of this bridge lead to one other host, or to one bridge? Then frames go round for ever: refuses the
 * object that is being lowered, and says true. */
bool link_refuse_loop(struct lowering *l, const char *bridge);

/* How large a link's MTU can be. */
struct link_room {
	uint32_t most;
	const char *limit;       /* the link below it */
	uint32_t limit_mtu;      /* what that has */
	uint32_t overhead;       /* what its own headers take of it */
	const char *overhead_of; /* whose headers: "VXLAN over IPv4"; NULL when there are none */
	const char *towards;     /* of several other ends the one that it is the way to; NULL: it is the only one */
	const char *inside;      /* an other end that would be reached through the tunnel itself; NULL: none */
};
/* Of an object that is a link; false if nothing limits it, where still `inside` may be set. */
bool link_room(struct lowering *l, const struct object *object, struct link_room *ret);
/* "eth0 has 1500, VXLAN over IPv4 takes 50, 1450 is the most", in the generation's arena. */
const char *link_room_text(struct lowering *l, const struct link_room *room);
/* For what stands on a link and sends by nothing else. */
bool link_room_on(struct lowering *l, const char *lower, struct link_room *ret);

/* Where the packets of a tunnel leave: by a link that it names, else by that which has its own address, else by those
 * which lead to the other ends. */
struct link_path {
	const char *tunnel;
	const char *link;         /* NULL: not named */
	const struct ip *local;   /* family 0: not said */
	const struct ip *remotes; /* the same */
	size_t n_remotes;
	uint32_t overhead, overhead6; /* over IPv4, over IPv6 */
	const char *what;             /* "VXLAN" */
};
/* By the narrowest of them. Where there is no telling, false, and `most` is what a usual link would leave. */
bool link_room_under(struct lowering *l, const struct link_path *path, struct link_room *ret);

#endif
