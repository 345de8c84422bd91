/* SPDX-License-Identifier: Apache-2.0 */
/* What a Bridge says of each of its ports, and of VLANs: the rows of a manifest, their rules, and the rows of the class
 * link that they become. */
#ifndef WEFT_NETD_BRIDGE_PORT_H
#define WEFT_NETD_BRIDGE_PORT_H

#include "core/lower.h"

struct bridge_vlans {
	uint64_t present;
	uint32_t pvid;                /* 0: none */
	struct list tagged, untagged; /* const char *, scalar_vlans */
};
extern const struct table bridge_vlans_table;

struct bridge_port {
	uint64_t present;
	const char *name;
	struct bridge_vlans vlans;
	bool isolated, learning, flood, multicast_flood, broadcast_flood, multicast_to_unicast, hairpin, neigh_suppress;
	bool bpdu_guard, root_block, fast_leave;
	uint32_t priority, cost;
};
extern const struct table bridge_port_table;
bool bridge_port_has_vlans(const struct bridge_port *port);

/* Does a bridge filter VLANs, and which one has a port that says nothing? */
struct bridge_filter {
	bool filters;
	uint32_t default_pvid; /* 0: none */
};

/* Rules of VLANs that are written at `path` ("spec.ports[0].vlans"). */
void bridge_vlans_check(const struct check *check, const char *path, const struct bridge_vlans *vlans);
/* Sets a link's VLANs; NULL: those of one of which nothing is said. */
void bridge_vlans_want(struct lowering *l, struct want *link, const struct bridge_vlans *vlans,
		       const struct bridge_filter *filter);
void bridge_port_want(struct lowering *l, struct want *link, const struct bridge_port *port,
		      const struct bridge_filter *filter);

#endif
