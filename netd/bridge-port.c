/* SPDX-License-Identifier: Apache-2.0 */
/* See bridge-port.h. */
#include "netd/bridge-port.h"

#include "netd/link.h"

enum { RANGES_MAX = 256 };

static const struct field vlans_rows[] = {
	F_U32("pvid", struct bridge_vlans, pvid, .min = 1, .max = 4094,
	      .doc = "VLAN of frames without a tag, in both directions; without it, such frames are dropped.",
	      .example = "20"),
	F_LIST("tagged", struct bridge_vlans, tagged, scalar_vlans, .list_max = RANGES_MAX,
	       .doc = "VLANs whose frames carry a tag: ids and ranges.", .example = "[10, 20-29]"),
	F_LIST("untagged", struct bridge_vlans, untagged, scalar_vlans, .list_max = RANGES_MAX,
	       .doc = "VLANs besides pvid whose frames go out without a tag.", .example = "30"),
};
const struct table bridge_vlans_table = TABLE("Bridge.vlans", struct bridge_vlans, vlans_rows);

/* Those that the class link has as well bear the same names there. */
enum { PORT_NAME, PORT_VLANS };
static const struct field port_rows[] = {
	[PORT_NAME] = F_IFNAME("name", struct bridge_port, name, .flags = FIELD_REQUIRED, .ref = "*",
			       .doc = "Name of the link.", .example = "eth1"),
	[PORT_VLANS] = F_STRUCT("vlans", struct bridge_port, vlans, bridge_vlans_table,
				.doc = "Its VLANs, when the bridge filters them; else it has defaultPvid alone."),
	F_BOOL("isolated", struct bridge_port, isolated, .def = "false",
	       .doc = "Whether it reaches only ports that are not isolated."),
	F_BOOL("learning", struct bridge_port, learning, .def = "true",
	       .doc = "Whether addresses are learnt from its frames."),
	F_BOOL("flood", struct bridge_port, flood, .def = "true",
	       .doc = "Whether it gets frames to addresses that are not known."),
	F_BOOL("multicastFlood", struct bridge_port, multicast_flood, .def = "true",
	       .doc = "Whether it gets multicast that nobody has asked for."),
	F_BOOL("broadcastFlood", struct bridge_port, broadcast_flood, .def = "true",
	       .doc = "Whether it gets broadcasts."),
	F_BOOL("multicastToUnicast", struct bridge_port, multicast_to_unicast, .def = "false",
	       .doc = "Whether multicast is sent to each listener by itself."),
	F_BOOL("hairpin", struct bridge_port, hairpin, .def = "false",
	       .doc = "Whether frames may leave where they came in."),
	F_BOOL("neighSuppress", struct bridge_port, neigh_suppress, .def = "false",
	       .doc = "Whether the bridge answers ARP and neighbour solicitations itself where it can."),
	F_BOOL("bpduGuard", struct bridge_port, bpdu_guard, .def = "false",
	       .doc = "Whether a message of the spanning tree from there shuts the port."),
	F_BOOL("rootBlock", struct bridge_port, root_block, .def = "false",
	       .doc = "Whether it may never lead to the root bridge."),
	F_BOOL("fastLeave", struct bridge_port, fast_leave, .def = "false",
	       .doc = "Whether multicast ends at once when a listener leaves."),
	F_U32("priority", struct bridge_port, priority, .def = "32", .max = 63,
	      .doc = "Priority in the spanning tree; the lowest wins.", .example = "16"),
	F_U32("cost", struct bridge_port, cost, .min = 1, .max = 65535,
	      .doc = "Cost of the way over it in the spanning tree; else by the link's speed when it joins.",
	      .example = "100"),
};
const struct table bridge_port_table = TABLE("Bridge.ports", struct bridge_port, port_rows);

bool bridge_port_has_vlans(const struct bridge_port *port)
{
	return has_row(port, PORT_VLANS);
}

/* Puts what stands in a list into a set; complains of what is in there, or in `other`, already. */
static void check_list(const struct check *check, const char *path, const struct list *list, struct vlan_set *into,
		       const struct vlan_set *other)
{
	char item_path[96];
	for (size_t i = 0; i < list->n; i++) {
		const char *text = list_at(list, const char *, i);
		struct vlan_set set;
		if (!text || vlan_set_parse(text, &set) < 0)
			continue;
		snprintf(item_path, sizeof(item_path), "%s[%zu]", path, i);
		unsigned in_list = 0, in_other = 0;
		for (unsigned id = 4094; id > 0; id--) {
			in_list = vlan_set_has(&set, id) && vlan_set_has(into, id) ? id : in_list;
			in_other = vlan_set_has(&set, id) && vlan_set_has(other, id) ? id : in_other;
		}
		if (in_list)
			check_fault(check, item_path, "VLAN %u is in the list twice", in_list);
		else if (in_other)
			check_fault(check, item_path, "VLAN %u cannot go out both with a tag and without", in_other);
		for (size_t k = 0; k < ARRAY_SIZE(set.bits); k++)
			into->bits[k] |= set.bits[k];
	}
}

void bridge_vlans_check(const struct check *check, const char *path, const struct bridge_vlans *vlans)
{
	struct vlan_set untagged = {0}, tagged = {0}, none = {0};
	char row[80];
	snprintf(row, sizeof(row), "%s.untagged", path);
	check_list(check, row, &vlans->untagged, &untagged, &none);
	if (vlans->pvid)
		vlan_set_put(&untagged, vlans->pvid, true);
	snprintf(row, sizeof(row), "%s.tagged", path);
	check_list(check, row, &vlans->tagged, &tagged, &untagged);
}

static const char *joined(struct lowering *l, const char *text, const struct list *list)
{
	for (size_t i = 0; list && i < list->n; i++)
		text = arena_printf(lower_arena(l), "%s%s%s", text, *text ? "," : "", list_at(list, const char *, i));
	return text;
}

void bridge_vlans_want(struct lowering *l, struct want *link, const struct bridge_vlans *vlans,
		       const struct bridge_filter *filter)
{
	uint32_t pvid = vlans ? vlans->pvid : filter->default_pvid;
	if (!filter->filters)
		return;
	const char *own = pvid ? arena_printf(lower_arena(l), "%u", pvid) : "";
	want_set(l, link, "vlans.pvid", "%u", pvid);
	want_set(l, link, "vlans.untagged", "%s", joined(l, own, vlans ? &vlans->untagged : NULL));
	want_set(l, link, "vlans.tagged", "%s", joined(l, "", vlans ? &vlans->tagged : NULL));
}

void bridge_port_want(struct lowering *l, struct want *link, const struct bridge_port *port,
		      const struct bridge_filter *filter)
{
	for (size_t i = 0; i < link_port_table.n_fields; i++) {
		const struct field *row = table_field(&bridge_port_table, link_port_table.fields[i].name);
		if (!row->def && !is_present(port, &bridge_port_table, row))
			continue;
		const void *value = (const char *)port + row->offset;
		want_set(l, link, arena_printf(lower_arena(l), "port.%s", row->name), "%s",
			 row->scalar->format(row, value, lower_arena(l)));
	}
	bridge_vlans_want(l, link, bridge_port_has_vlans(port) ? &port->vlans : NULL, filter);
}
