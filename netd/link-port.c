/* SPDX-License-Identifier: Apache-2.0 */
/* What a link is as a port of a bridge: the rows `port` and `vlans` of the class link, which travel in messages of the
 * bridge's family. A port that leaves its bridge loses both, so they are said again whenever it joins one. See
 * link.h. */
#include <linux/if_bridge.h>
#include <linux/if_link.h>

#include "netd/link.h"

enum {
	VLAN_END = 4095,
	ENTRIES_MAX = 400, /* that fit in a message; what is left over is still different then, and comes next */
};

/* clang-format off */
#define FLAG(n, m, attribute, ...) \
	F_BOOL(n, struct link_port, m, .nl = (attribute), .nl_form = NL_U8, __VA_ARGS__)
/* clang-format on */
static const struct field port_rows[] = {
	FLAG("isolated", isolated, IFLA_BRPORT_ISOLATED, .def = "false",
	     .doc = "Whether it reaches only ports that are not isolated."),
	FLAG("learning", learning, IFLA_BRPORT_LEARNING, .def = "true",
	     .doc = "Whether addresses are learnt from its frames."),
	FLAG("flood", flood, IFLA_BRPORT_UNICAST_FLOOD, .def = "true",
	     .doc = "Whether it gets frames to unknown addresses."),
	FLAG("multicastFlood", multicast_flood, IFLA_BRPORT_MCAST_FLOOD, .def = "true",
	     .doc = "Whether it gets multicast that nobody asked for."),
	FLAG("broadcastFlood", broadcast_flood, IFLA_BRPORT_BCAST_FLOOD, .def = "true",
	     .doc = "Whether it gets broadcasts."),
	FLAG("multicastToUnicast", multicast_to_unicast, IFLA_BRPORT_MCAST_TO_UCAST, .def = "false",
	     .doc = "Whether multicast goes to each listener by itself."),
	FLAG("hairpin", hairpin, IFLA_BRPORT_MODE, .def = "false",
	     .doc = "Whether frames may leave where they came in."),
	FLAG("neighSuppress", neigh_suppress, IFLA_BRPORT_NEIGH_SUPPRESS, .def = "false",
	     .doc = "Whether the bridge answers ARP and neighbour solicitations for it."),
	FLAG("bpduGuard", bpdu_guard, IFLA_BRPORT_GUARD, .def = "false",
	     .doc = "Whether a message of the spanning tree shuts it down."),
	FLAG("rootBlock", root_block, IFLA_BRPORT_PROTECT, .def = "false",
	     .doc = "Whether it never leads to the root bridge."),
	FLAG("fastLeave", fast_leave, IFLA_BRPORT_FAST_LEAVE, .def = "false",
	     .doc = "Whether multicast ends at once when a listener leaves."),
	F_U32("priority", struct link_port, priority, .max = 63, .nl = IFLA_BRPORT_PRIORITY, .nl_form = NL_U16,
	      .def = "32", .doc = "Priority in the spanning tree; the lowest wins."),
	F_U32("cost", struct link_port, cost, .min = 1, .max = 65535, .nl = IFLA_BRPORT_COST, .nl_form = NL_U32,
	      .doc = "Cost of the way over it in the spanning tree."),
};
const struct table link_port_table = TABLE("link.port", struct link_port, port_rows);

enum { VLANS_PVID, VLANS_UNTAGGED, VLANS_TAGGED };
static const struct field vlans_rows[] = {
	[VLANS_PVID] = F_U32("pvid", struct link_vlans, pvid, .max = 4094,
			     .doc = "VLAN of frames that come in without a tag; 0 for none, they are dropped."),
	[VLANS_UNTAGGED] = F_OF(scalar_vlans, const char *, "untagged", struct link_vlans, untagged,
				.doc = "VLANs whose frames go out without a tag."),
	[VLANS_TAGGED] = F_OF(scalar_vlans, const char *, "tagged", struct link_vlans, tagged,
			      .doc = "VLANs whose frames go out with a tag."),
};
const struct table link_vlans_table = TABLE("link.vlans", struct link_vlans, vlans_rows);

/* ---- observe ---- */

static void observe_vlans(const struct netlink_vlans *vlans, struct link_vlans *seen, struct arena *arena)
{
	struct vlan_set tagged = {0};
	for (size_t i = 0; vlans && i < ARRAY_SIZE(tagged.bits); i++)
		tagged.bits[i] = vlans->all.bits[i] & ~vlans->untagged.bits[i];
	seen->pvid = vlans ? vlans->pvid : 0;
	seen->untagged = vlans ? vlan_set_text(&vlans->untagged, arena) : "";
	seen->tagged = vlan_set_text(&tagged, arena);
	set_present(seen, VLANS_PVID);
	set_present(seen, VLANS_UNTAGGED);
	set_present(seen, VLANS_TAGGED);
}

void link_observe_port(const struct netlink_link *link, struct link_spec *seen, struct arena *arena)
{
	bool is_port = streq(link->port_kind, "bridge");
	if (is_port) {
		netlink_get_rows(&link_port_table, link->port.data, link->port.size, arena, &seen->port);
		set_present(seen, LINK_PORT);
	}
	if (is_port || streq(link->kind, "bridge")) {
		observe_vlans(link->vlans, &seen->vlans, arena);
		set_present(seen, LINK_VLANS);
	}
}

/* ---- change ---- */

static struct netlink_vlans vlans_now(const struct link_port_change *change)
{
	struct netlink_vlans now = {0};
	if (!change->joins)
		return change->link && change->link->vlans ? *change->link->vlans : now;
	netlink_vlans_default(change->joins, &now);
	return now;
}

static struct netlink_vlans wanted_vlans(const struct link_vlans *want)
{
	struct netlink_vlans vlans = {.pvid = (uint16_t)want->pvid};
	struct vlan_set tagged = {0};
	if (want->untagged)
		(void)vlan_set_parse(want->untagged, &vlans.untagged); /* it is in its normal form */
	if (want->tagged)
		(void)vlan_set_parse(want->tagged, &tagged);
	for (size_t i = 0; i < ARRAY_SIZE(tagged.bits); i++)
		vlans.all.bits[i] = vlans.untagged.bits[i] | tagged.bits[i];
	return vlans;
}

/* How one VLAN is to be changed: its flags, or -1 for not at all. */
static int to_add(const struct netlink_vlans *want, const struct netlink_vlans *now, unsigned id)
{
	bool untagged = vlan_set_has(&want->untagged, id);
	bool pvid = want->pvid == id, was_pvid = now->pvid == id;
	if (!vlan_set_has(&want->all, id))
		return -1;
	if (vlan_set_has(&now->all, id) && vlan_set_has(&now->untagged, id) == untagged && pvid == was_pvid)
		return -1;
	return (pvid ? BRIDGE_VLAN_INFO_PVID : 0) | (untagged ? BRIDGE_VLAN_INFO_UNTAGGED : 0);
}

static int to_delete(const struct netlink_vlans *want, const struct netlink_vlans *now, unsigned id)
{
	return vlan_set_has(&now->all, id) && !vlan_set_has(&want->all, id) ? 0 : -1;
}

typedef int choose_fn(const struct netlink_vlans *want, const struct netlink_vlans *now, unsigned id);

static void put_entry(struct nlmsghdr *message, unsigned id, int flags)
{
	const struct bridge_vlan_info info = {.vid = (uint16_t)id, .flags = (uint16_t)flags};
	mnl_attr_put(message, IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info);
}

/* Puts what is chosen, neighbours alike as one range; a PVID stands alone. Returns how many entries that were. */
static size_t put_entries(struct nlmsghdr *message, choose_fn *choose, const struct netlink_vlans *want,
			  const struct netlink_vlans *now)
{
	size_t n = 0;
	for (unsigned id = 1, last; id < VLAN_END && n < ENTRIES_MAX; id = last + 1) {
		int flags = choose(want, now, id);
		last = id;
		if (flags < 0)
			continue;
		while (!(flags & BRIDGE_VLAN_INFO_PVID) && last + 1 < VLAN_END && choose(want, now, last + 1) == flags)
			last++;
		n += last > id ? 2 : 1;
		if (last > id) {
			put_entry(message, id, flags | BRIDGE_VLAN_INFO_RANGE_BEGIN);
			put_entry(message, last, flags | BRIDGE_VLAN_INFO_RANGE_END);
		} else {
			put_entry(message, id, flags);
		}
	}
	return n;
}

static struct nlmsghdr *begin(struct netlink_batch *batch, struct op *op, uint16_t type,
			      const struct link_port_change *change)
{
	struct nlmsghdr *message = netlink_batch_begin(batch, op, type, 0);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->ifi_family = AF_BRIDGE;
	header->ifi_index = change->index;
	return message;
}

/* The message is begun, and ended only if there is something to say. */
static size_t put_vlans(struct nlmsghdr *message, choose_fn *choose, const struct netlink_vlans *want,
			const struct link_port_change *change)
{
	const struct netlink_vlans now = vlans_now(change);
	struct nlattr *nest = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	if (change->link && streq(change->link->kind, "bridge")) /* its own end */
		mnl_attr_put_u16(message, IFLA_BRIDGE_FLAGS, BRIDGE_FLAGS_SELF);
	size_t n = put_entries(message, choose, want, &now);
	if (n > 0)
		mnl_attr_nest_end(message, nest);
	else
		mnl_attr_nest_cancel(message, nest);
	return n;
}

static void end(struct netlink_batch *batch, struct nlmsghdr *message, size_t n)
{
	if (n > 0)
		netlink_batch_end(batch, message);
	else
		netlink_batch_cancel(batch);
}

/* Which rows of `port` are to be said: one that joins has the kernel's defaults. */
static uint64_t port_rows_to_put(const struct link_spec *want, const struct link_port_change *change)
{
	uint64_t rows = want->port.present;
	if (change->joins)
		return rows & ~netlink_rows_at_default(&link_port_table, &want->port);
	return change->rows & 1 << LINK_PORT ? rows : 0;
}

/* Joining takes away what it was as a port, and its VLANs, also when it comes from another bridge. First what is new,
 * then what is to go, so that a VLAN that only changes its form never fails to pass. */
int link_put_port(struct netlink_batch *batch, struct op *op, const struct link_port_change *change)
{
	const struct link_spec *spec = op->want;
	uint64_t port = has_row(spec, LINK_PORT) ? port_rows_to_put(spec, change) : 0;
	bool vlans = has_row(spec, LINK_VLANS) && (change->joins || change->rows & 1 << LINK_VLANS);
	const struct netlink_vlans want = wanted_vlans(&spec->vlans);
	size_t n = 0;
	int r = 0;
	if (!port && !vlans)
		return 0;
	struct nlmsghdr *message = begin(batch, op, RTM_SETLINK, change);
	if (port) {
		struct nlattr *nest = mnl_attr_nest_start(message, IFLA_PROTINFO);
		r = netlink_put_rows(message, &link_port_table, &spec->port, port);
		mnl_attr_nest_end(message, nest);
		n++;
	}
	if (vlans)
		n += put_vlans(message, to_add, &want, change);
	end(batch, message, n);
	if (!vlans)
		return r;
	/* Somebody may have removed one of them just now: what then is left is seen, and goes next. */
	message = begin(batch, NULL, RTM_DELLINK, change);
	end(batch, message, put_vlans(message, to_delete, &want, change));
	return r;
}
