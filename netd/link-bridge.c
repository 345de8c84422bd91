/* SPDX-License-Identifier: Apache-2.0 */
/* The link kind bridge: everything travels as attributes. */
#include <linux/if_link.h>

#include "netd/bridge-port.h"
#include "netd/bridge.h"
#include "netd/import.h"
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

static const struct link_spelling spellings[] = {
	{"info.stp", "stp.enabled"},   {"info.forwardDelay", "stp.forwardDelay"}, {"info.helloTime", "stp.helloTime"},
	{"info.maxAge", "stp.maxAge"}, {"info.priority", "stp.priority"},         {0},
};

/* The VLANs of a port or of the bridge's own end as a manifest has them, where pvid goes without a tag and stands in no
 * list; NULL where they are what the bridge gives to whom nothing is said of. */
static json_t *import_vlans(const struct link_import *import, const struct link_vlans *vlans)
{
	struct vlan_set untagged;
	const struct bridge_info *info = import->seen->info;
	if (vlan_set_parse(vlans->untagged, &untagged) < 0)
		return NULL;
	if (vlans->pvid)
		vlan_set_put(&untagged, vlans->pvid, false);
	const char *rest = vlan_set_text(&untagged, import->host->arena);
	if (vlans->pvid == info->default_pvid && !*rest && !*vlans->tagged)
		return NULL;
	json_t *json = json_object();
	if (vlans->pvid)
		json_object_set_new(json, "pvid", json_integer(vlans->pvid));
	if (*rest)
		json_object_set_new(json, "untagged", import_words(rest));
	if (*vlans->tagged)
		json_object_set_new(json, "tagged", import_words(vlans->tagged));
	return json;
}

static void add_vlans(const struct link_import *import, const struct link_vlans *vlans, json_t *json)
{
	const struct bridge_info *info = import->seen->info;
	json_t *own = info->vlan_filtering ? import_vlans(import, vlans) : NULL;
	if (own)
		json_object_set_new(json, "vlans", own);
}

static json_t *import_port(const struct link_import *import, const char *name)
{
	struct arena *arena = import->host->arena;
	struct link_spec *seen = arena_alloc(arena, sizeof(*seen));
	json_t *port = json_pack("{s:s}", "name", name);
	link_observe(import->host->cache, netlink_link_by_name(import->host->cache, name), NULL, seen, arena);
	json_t *rows = table_to_json(&link_port_table, &seen->port, 0);
	json_object_del(rows, "cost"); /* goes by the link's speed, unless somebody has set it, which cannot be seen */
	import_rows(&bridge_port_table, port, rows);
	json_decref(rows);
	add_vlans(import, &seen->vlans, port);
	return port;
}

/* Without an MTU that was written it has the lowest of its ports, which may differ. */
static void bridge_import(const struct link_import *import, json_t *spec)
{
	json_t *ports = json_array(), *names = import_ports(import), *name;
	bool same = true;
	size_t i;
	json_array_foreach(names, i, name) {
		same &= netlink_link_by_name(import->host->cache, json_string_value(name))->mtu == import->seen->mtu;
		json_t *port = import_port(import, json_string_value(name));
		json_array_append(ports, json_object_size(port) == 1 ? name : port);
		json_decref(port);
	}
	if (!same)
		json_object_del(spec, "mtu");
	add_vlans(import, &import->seen->vlans, spec);
	if (json_array_size(ports))
		json_object_set(spec, "ports", ports);
	json_decref(ports);
	json_decref(names);
}

extern const struct link_kind link_bridge;
const struct link_kind link_bridge = {
	.name = "bridge",
	.object = &netd_bridge_kind,
	.kernel_name = "bridge",
	.info = &info_table,
	.mtu = bridge_mtu,
	.spellings = spellings,
	.import = bridge_import,
	.follows_mtu = true,
	.takes_ports = true,
};
