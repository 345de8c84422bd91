/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Bridge: a link of the kind bridge, its addresses, and its ports. A port that is an object of its own (a Tap)
 * says itself what it is; any other link is taken as it is found, for its master and its being up, and given back as it
 * was. */
#include "netd/bridge.h"

#include "netd/bridge-port.h"
#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"
#include "netd/takeover.h"

struct bridge_stp {
	uint64_t present;
	bool enabled;
	uint64_t forward_delay_ms, hello_time_ms, max_age_ms;
	uint32_t priority;
};
struct bridge_spec {
	struct link_common common;
	struct list ports; /* struct bridge_port */
	const char *takeover;
	struct bridge_stp stp;
	uint64_t ageing_time_ms;
	bool multicast_snooping, multicast_querier, vlan_filtering;
	uint32_t default_pvid;
	struct bridge_vlans vlans;
};

static const struct field stp_rows[] = {
	F_BOOL("enabled", struct bridge_stp, enabled, .def = "false",
	       .doc = "Whether the spanning tree protocol runs."),
	F_DURATION("forwardDelay", struct bridge_stp, forward_delay_ms, .def = "15s", .min = 0, .max = 30000,
		   .doc = "Time that a port listens, and then learns, before it forwards; 2s to 30s when enabled.",
		   .example = "4s"),
	F_DURATION("helloTime", struct bridge_stp, hello_time_ms, .def = "2s", .min = 1000, .max = 10000,
		   .doc = "Time between the messages of the root bridge.", .example = "2s"),
	F_DURATION("maxAge", struct bridge_stp, max_age_ms, .def = "20s", .min = 6000, .max = 40000,
		   .doc = "Time after which a silent root bridge is given up.", .example = "20s"),
	F_U32("priority", struct bridge_stp, priority, .def = "32768", .max = 65535,
	      .doc = "Priority in the election of the root bridge; the lowest wins.", .example = "4096"),
};
static const struct table stp_table = TABLE("Bridge.stp", struct bridge_stp, stp_rows);

enum { BRIDGE_VLANS };
static const struct field bridge_rows[] = {
	[BRIDGE_VLANS] = F_STRUCT("vlans", struct bridge_spec, vlans, bridge_vlans_table,
				  .doc = "VLANs of the host's own end, when they are filtered; else defaultPvid."),
	F_STRUCTS("ports", struct bridge_spec, ports, bridge_port_table, .singular = "port",
		  .doc = "Links that are its ports: Taps, or links that are there already."),
	F_BOOL("vlanFiltering", struct bridge_spec, vlan_filtering, .def = "false",
	       .doc = "Whether each port has VLANs of its own, and frames of others do not pass."),
	F_U32("defaultPvid", struct bridge_spec, default_pvid, .def = "1", .max = 4094,
	      .doc = "VLAN of a port of which nothing is said; 0 for none.", .example = "1"),
	F_IFNAME("takeover", struct bridge_spec, takeover, .ref = "*",
		 .doc = "The port whose addresses, routes and MAC it takes over, and gives back when it goes.",
		 .example = "eth1"),
	F_STRUCT("stp", struct bridge_spec, stp, stp_table, .doc = "Spanning tree."),
	F_DURATION("ageingTime", struct bridge_spec, ageing_time_ms, .def = "5m", .max = 1000000000,
		   .doc = "Time that a learnt address is kept.", .example = "5m"),
	F_BOOL("multicastSnooping", struct bridge_spec, multicast_snooping, .def = "true",
	       .doc = "Whether multicast goes only to ports that asked for it."),
	F_BOOL("multicastQuerier", struct bridge_spec, multicast_querier, .def = "false",
	       .doc = "Whether the bridge itself asks who wants multicast."),
	LINK_MAC_ROW(struct bridge_spec),
	LINK_DHCP_ROWS(struct bridge_spec),
	LINK_COMMON_ROWS(struct bridge_spec),
};
static const struct table bridge_table = TABLE("Bridge", struct bridge_spec, bridge_rows);

static const char *port_name(const struct bridge_spec *spec, size_t i)
{
	return list_at(&spec->ports, struct bridge_port, i).name;
}

static void check_filtering(const struct check *check, const char *path)
{
	struct diag *diag = check_fault(check, path, "this bridge does not tell VLANs apart");
	diag_hint(check->diags, diag, "write vlanFiltering: true in its spec, or leave the VLANs out");
}

static void check_port_vlans(const struct check *check, const struct bridge_spec *spec, size_t i)
{
	const struct bridge_port *port = &list_at(&spec->ports, struct bridge_port, i);
	char path[48];
	if (!bridge_port_has_vlans(port))
		return;
	snprintf(path, sizeof(path), "spec.ports[%zu].vlans", i);
	if (spec->vlan_filtering)
		bridge_vlans_check(check, path, &port->vlans);
	else
		check_filtering(check, path);
}

static void check_ports(const struct check *check, const struct bridge_spec *spec)
{
	char path[48];
	for (size_t i = 0; i < spec->ports.n; i++) {
		const char *name = port_name(spec, i);
		snprintf(path, sizeof(path), "spec.ports[%zu]", i);
		if (!name)
			continue;
		check_port_vlans(check, spec, i);
		if (streq(name, "lo"))
			check_fault(check, path, "lo is the host's own loopback, and cannot be a port of a bridge");
		if (streq(name, check->object->name) || check->find(check, "Bridge", name))
			check_fault(check, path, "bridge '%s' cannot be a port of a bridge", name);
		for (size_t k = 0; k < i; k++) {
			if (!streq(port_name(spec, k), name))
				continue;
			check_fault(check, path, "port '%s' is named twice", name);
			break;
		}
	}
}

static bool is_port(const struct bridge_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->ports.n; i++)
		if (streq(port_name(spec, i), name))
			return true;
	return false;
}

static void check_takeover(const struct check *check, const struct bridge_spec *spec)
{
	const struct object *o;
	if (!spec->takeover)
		return;
	if (!is_port(spec, spec->takeover))
		check_fault(check, "spec.takeover", "'%s' is not among the ports; name it there as well",
			    spec->takeover);
	for (size_t i = 0; (o = check->at(check, i)); i++) {
		const struct bridge_spec *other = o->spec;
		if (o != check->object && o->kind == check->object->kind && streq(other->takeover, spec->takeover)) {
			struct diag *d = check_fault(check, "spec.takeover", "bridge '%s' takes '%s' over as well",
						     o->name, spec->takeover);
			diag_related(check->diags, d, object_pos(o, "spec.takeover"), "here");
		} else if ((o->kind->flags & KIND_NAME_IS_IFNAME) && streq(o->name, spec->takeover) &&
			   table_field(o->kind->table, "addresses")) {
			check_fault(check, "spec.takeover",
				    "%s '%s' says itself what it holds: write its addresses and routes here instead",
				    o->kind->name, o->name);
		}
	}
}

static const char *seconds(uint64_t ms, char buf[static IP_TEXT])
{
	snprintf(buf, IP_TEXT, "%llu%s", (unsigned long long)(ms % 1000 ? ms : ms / 1000), ms % 1000 ? "ms" : "s");
	return buf;
}

/* What the kernel asks of a spanning tree's times, and what the standard does beyond that. */
static void check_stp(const struct check *check, const struct bridge_stp *stp)
{
	char a[IP_TEXT], b[IP_TEXT], c[IP_TEXT];
	if (!stp->enabled)
		return;
	if (stp->forward_delay_ms < 2000)
		check_fault(check, "spec.stp.forwardDelay",
			    "forwardDelay lies between 2s and 30s when the spanning tree is enabled");
	else if (2 * (stp->forward_delay_ms - 1000) < stp->max_age_ms)
		check_fault(check, "spec.stp.maxAge",
			    "a maxAge of %s is too long for a forwardDelay of %s, loops would be possible: at most %s",
			    seconds(stp->max_age_ms, a), seconds(stp->forward_delay_ms, b),
			    seconds(2 * (stp->forward_delay_ms - 1000), c));
	if (stp->max_age_ms < 2 * (stp->hello_time_ms + 1000))
		check_fault(check, "spec.stp.maxAge",
			    "a maxAge of %s is too short for a helloTime of %s, the root would be given up too soon: "
			    "at least %s",
			    seconds(stp->max_age_ms, a), seconds(stp->hello_time_ms, b),
			    seconds(2 * (stp->hello_time_ms + 1000), c));
}

static void bridge_check(const struct check *check)
{
	const struct bridge_spec *spec = check->object->spec;
	check_ports(check, spec);
	if (has_row(spec, BRIDGE_VLANS) && !spec->vlan_filtering)
		check_filtering(check, "spec.vlans");
	else
		bridge_vlans_check(check, "spec.vlans", &spec->vlans);
	check_takeover(check, spec);
	link_common_check(check);
	check_stp(check, &spec->stp);
}

const char *netd_bridge_port_at(const struct object *object, size_t i)
{
	const struct bridge_spec *spec = object->spec;
	return object->kind == &netd_bridge_kind && i < spec->ports.n ? port_name(spec, i) : NULL;
}

bool netd_bridge_has_stp(const struct object *object)
{
	return object->kind == &netd_bridge_kind && ((const struct bridge_spec *)object->spec)->stp.enabled;
}

static struct bridge_filter filter_of(const struct bridge_spec *spec)
{
	return (struct bridge_filter){.filters = spec->vlan_filtering, .default_pvid = spec->default_pvid};
}

struct bridge_filter netd_bridge_filter_of(const struct object *bridge)
{
	return filter_of(bridge->spec);
}

struct bridge_filter netd_bridge_filter(struct lowering *l, const char *bridge)
{
	const struct object *o = lower_find(l, "Bridge", bridge);
	return o ? filter_of(o->spec) : (struct bridge_filter){0};
}

static void set_info(struct lowering *l, struct want *link, const struct bridge_spec *spec)
{
	want_set(l, link, "info.stp", "%s", spec->stp.enabled ? "true" : "false");
	want_set(l, link, "info.forwardDelay", "%ums", (unsigned)spec->stp.forward_delay_ms);
	want_set(l, link, "info.helloTime", "%ums", (unsigned)spec->stp.hello_time_ms);
	want_set(l, link, "info.maxAge", "%ums", (unsigned)spec->stp.max_age_ms);
	want_set(l, link, "info.priority", "%u", spec->stp.priority);
	want_set(l, link, "info.ageingTime", "%ums", (unsigned)spec->ageing_time_ms);
	want_set(l, link, "info.vlanFiltering", "%s", spec->vlan_filtering ? "true" : "false");
	want_set(l, link, "info.defaultPvid", "%u", spec->default_pvid);
	want_set(l, link, "info.multicastSnooping", "%s", spec->multicast_snooping ? "true" : "false");
	want_set(l, link, "info.multicastQuerier", "%s", spec->multicast_querier ? "true" : "false");
}

static struct want *want_port(struct lowering *l, const struct object *object, struct want *bridge, size_t i)
{
	const struct bridge_spec *spec = object->spec;
	const char *name = port_name(spec, i);
	lower_at(l, arena_printf(lower_arena(l), "spec.ports[%zu]", i));
	struct want *port = link_want_other(l, name);
	want_set(l, port, "master", "%s", object->name);
	want_default(l, port, "up", "true");
	const struct bridge_filter filter = filter_of(spec);
	bridge_port_want(l, port, &list_at(&spec->ports, struct bridge_port, i), &filter);
	if (spec->common.mtu) {
		lower_at(l, "spec.mtu");
		want_set(l, port, "mtu", "%u", spec->common.mtu);
	}
	needs(l, port, bridge);
	return port;
}

/* A spanning tree lets a new port listen and learn before it forwards. */
static void tell_silence(struct lowering *l, const struct bridge_spec *spec, struct want *port)
{
	char text[IP_TEXT];
	if (spec->stp.enabled)
		want_cost(l, port, "master",
			  "the spanning tree keeps %s silent for %s after it has become a port, and with it what it "
			  "holds",
			  port->key, seconds(2 * spec->stp.forward_delay_ms, text));
}

/* Of a link that is an object of its own, its manifest says what it has. */
static void tell_cut(struct lowering *l, const struct object *object, struct want *port)
{
	if (!link_object(l, port->key))
		takeover_tell_cut(
			l, port, object->name,
			arena_printf(lower_arena(l), "write takeover: %s to move all of it along", port->key));
}

/* Of each port what the bridge takes over from it, or took over from it before; NULL for most. */
static const struct holdings **read_holdings(struct lowering *l, const struct bridge_spec *spec)
{
	const struct holdings **held =
		arena_alloc(lower_arena(l), (spec->ports.n + 1) * sizeof(const struct holdings *));
	for (size_t i = 0; i < spec->ports.n; i++) {
		const char *name = port_name(spec, i);
		if (streq(spec->takeover, name))
			held[i] = takeover_read(l, name);
		else if (!link_object(l, name)) /* else its manifest says what it has */
			held[i] = takeover_read_left(l, name);
	}
	return held;
}

/* It has the MAC of the port that it takes over, or took over: by that its neighbours know it. */
static void set_mac(const struct bridge_spec *spec, const struct holdings *const *held, struct link_common_plan *plan)
{
	bool found = false;
	for (size_t i = 0; i < spec->ports.n && !found; i++) {
		found = held[i] && streq(spec->takeover, port_name(spec, i));
		if (held[i])
			plan->mac = held[i]->mac;
	}
}

static void bridge_lower(struct lowering *l, const struct object *object)
{
	const struct bridge_spec *spec = object->spec;
	struct link_common_plan plan = {.kind = "bridge", .own_mac = true};
	if (!spec->stp.enabled && link_refuse_loop(l, object->name))
		return;
	const struct holdings **held = read_holdings(l, spec);
	set_mac(spec, held, &plan);
	struct want *link = link_common_want(l, object, &plan);
	if (!link)
		return;
	set_info(l, link, spec);
	const struct bridge_filter filter = filter_of(spec);
	bridge_vlans_want(l, link, has_row(spec, BRIDGE_VLANS) ? &spec->vlans : NULL, &filter);
	for (size_t i = 0; i < spec->ports.n; i++) {
		struct want *port = want_port(l, object, link, i);
		bool taken = streq(port->key, spec->takeover);
		if (!link_object(l, port->key) || lower_find(l, "Ethernet", port->key))
			takeover_tell_leaving(l, port);
		if (!taken && !held[i])
			tell_cut(l, object, port);
		if (!held[i])
			continue;
		bool has_metric = is_present(spec, &bridge_table, table_field(&bridge_table, "dhcpMetric"));
		takeover_want(l, &(struct takeover){link, port, held[i], has_metric, taken ? NULL : &spec->common},
			      taken ? "spec.takeover" : arena_printf(lower_arena(l), "spec.ports[%zu]", i));
		tell_silence(l, spec, port);
	}
	lower_at(l, NULL);
}

const struct kind netd_bridge_kind = {
	.name = "Bridge",
	.plural = "bridges",
	.shorts = "br",
	.doc = "A bridge of the kernel, named as the object. Links that are its ports may be Taps or links that are "
	       "there already, which are given back as "
	       "they were when the Bridge goes.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &bridge_table,
	.check = bridge_check,
	.lower = bridge_lower,
	.columns = "spec.ports,spec.addresses,spec.mtu",
};
