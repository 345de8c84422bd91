/* SPDX-License-Identifier: Apache-2.0 */
/* The link kind bridge: everything travels as attributes. */
#include <linux/if_link.h>

#include "netd/bridge.h"
#include "netd/link-map.h"
#include "netd/link.h"

struct bridge_info {
	uint64_t present;
	bool stp, vlan_filtering, multicast_snooping, multicast_querier;
	uint64_t forward_delay_ms, hello_time_ms, max_age_ms, ageing_time_ms;
	uint32_t priority, default_pvid;
};

/* The kernel sets them in the order of this table or its own, whichever; forwardDelay is checked against the spanning
 * tree only when that is on. One that was built without VLANs does not know those rows, not even to turn them off. */
static const struct field info_rows[] = {
	F_BOOL("stp", struct bridge_info, stp, .nl = IFLA_BR_STP_STATE, .nl_form = NL_U32,
	       .doc = "Whether the spanning tree protocol runs."),
	F_DURATION("forwardDelay", struct bridge_info, forward_delay_ms, .nl = IFLA_BR_FORWARD_DELAY,
		   .nl_form = NL_CENTI, .doc = "Time that a port listens, and then learns, before it forwards."),
	F_DURATION("helloTime", struct bridge_info, hello_time_ms, .nl = IFLA_BR_HELLO_TIME, .nl_form = NL_CENTI,
		   .doc = "Time between the spanning tree's messages."),
	F_DURATION("maxAge", struct bridge_info, max_age_ms, .nl = IFLA_BR_MAX_AGE, .nl_form = NL_CENTI,
		   .doc = "Time after which a silent root bridge is given up."),
	F_DURATION("ageingTime", struct bridge_info, ageing_time_ms, .nl = IFLA_BR_AGEING_TIME, .nl_form = NL_CENTI,
		   .doc = "Time that a learnt address is kept."),
	F_U32("priority", struct bridge_info, priority, .nl = IFLA_BR_PRIORITY, .nl_form = NL_U16, .max = 65535,
	      .doc = "Priority in the election of the root bridge; the lowest wins."),
	F_BOOL("vlanFiltering", struct bridge_info, vlan_filtering, .nl = IFLA_BR_VLAN_FILTERING, .nl_form = NL_U8,
	       .def = "false", .doc = "Whether frames are filtered by VLAN."),
	F_U32("defaultPvid", struct bridge_info, default_pvid, .nl = IFLA_BR_VLAN_DEFAULT_PVID, .nl_form = NL_U16,
	      .def = "1", .max = 4094, .doc = "VLAN of a port that joins it; 0 for none."),
	F_BOOL("multicastQuerier", struct bridge_info, multicast_querier, .nl = IFLA_BR_MCAST_QUERIER, .nl_form = NL_U8,
	       .doc = "Whether it asks who wants multicast."),
	F_BOOL("multicastSnooping", struct bridge_info, multicast_snooping, .nl = IFLA_BR_MCAST_SNOOPING,
	       .nl_form = NL_U8, .doc = "Whether multicast goes only to ports that asked for it."),
};
static const struct table info_table = TABLE("link.bridge", struct bridge_info, info_rows);

/* Frames that are larger than a port takes would be lost. */
static uint32_t bridge_mtu(struct lowering *l, const struct object *object)
{
	uint32_t lowest = link_mtu_of_ports(l, object->name);
	return lowest ? lowest : STANDARD_MTU;
}

extern const struct link_kind link_bridge;
const struct link_kind link_bridge = {
	.name = "bridge",
	.object = &netd_bridge_kind,
	.kernel_name = "bridge",
	.info = &info_table,
	.mtu = bridge_mtu,
	.follows_mtu = true,
};
