/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Bond: several links that are one. The kernel refuses options that a bond's mode does not have, so that only
 * those of the mode are said; as rows of the class link they are in link-bond.c. */
#include "netd/bond.h"

#include <linux/if_bonding.h>

#include "netd/holdings.h"
#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/takeover.h"

#define MODE(m)    (1 << (m))
#define LACP       MODE(BOND_MODE_8023AD)
#define ONE_ACTIVE (MODE(BOND_MODE_ACTIVEBACKUP) | MODE(BOND_MODE_TLB) | MODE(BOND_MODE_ALB))
#define WITHOUT_PARTNER \
	(MODE(BOND_MODE_ROUNDROBIN) | MODE(BOND_MODE_ACTIVEBACKUP) | MODE(BOND_MODE_XOR) | MODE(BOND_MODE_BROADCAST))
#define HASHES (MODE(BOND_MODE_XOR) | LACP | MODE(BOND_MODE_TLB))

enum { DEFAULT_MIIMON_MS = 100 };

struct bond_port {
	uint64_t present;
	const char *name;
};
struct bond_spec {
	struct link_common common;
	int mode, lacp_rate, ad_select, xmit_hash_policy, primary_reselect, fail_over_mac, arp_validate,
		arp_all_targets;
	struct list ports;                   /* struct bond_port */
	struct list arp_targets, ns_targets; /* struct ip */
	uint64_t miimon_ms, updelay_ms, downdelay_ms, arp_interval_ms, peer_notify_delay_ms;
	const char *primary;
	uint32_t min_links, packets_per_port, arp_missed_max, lp_interval, peer_notify, resend_igmp,
		ad_actor_system_priority, ad_user_port_key;
	struct mac ad_actor_system;
	bool lacp_active, all_ports_active, tlb_dynamic;
};

/* ---- the manifest ---- */

static const struct field port_rows[] = {
	F_IFNAME("name", struct bond_port, name, .flags = FIELD_REQUIRED, .ref = "*", .doc = "Name of the link.",
		 .example = "eth0"),
};
static const struct table port_table = TABLE("Bond.ports", struct bond_port, port_rows);

static const struct field bond_rows[] = {
	F_ENUM("mode", struct bond_spec, mode, bond_modes, .def = "balance-rr",
	       .doc = "How its ports share the work. To change it the bond is made anew."),
	F_STRUCTS("ports", struct bond_spec, ports, port_table, .singular = "port",
		  .doc = "Links that are its ports; they are given back as they were when the Bond goes."),
	F_DURATION(
		"miimon", struct bond_spec, miimon_ms, .max = INT32_MAX,
		.doc = "How often the carrier of each port is looked at; 0 for never. Default: 100ms, unless there is "
		       "an arpInterval.",
		.example = "100ms"),
	F_DURATION("updelay", struct bond_spec, updelay_ms, .def = "0", .max = INT32_MAX,
		   .doc = "How long a port's carrier must be there before it is used; whole times miimon.",
		   .example = "200ms"),
	F_DURATION("downdelay", struct bond_spec, downdelay_ms, .def = "0", .max = INT32_MAX,
		   .doc = "How long a port's carrier must be gone before it is given up; whole times miimon.",
		   .example = "200ms"),
	F_ENUM("lacpRate", struct bond_spec, lacp_rate, bond_lacp_rates, .def = "slow",
	       .doc = "802.3ad: whether the partner is to send every 30 seconds or every second."),
	F_BOOL("lacpActive", struct bond_spec, lacp_active, .def = "true",
	       .doc = "802.3ad: whether it speaks first, and not only when spoken to."),
	F_ENUM("adSelect", struct bond_spec, ad_select, bond_ad_selects, .def = "stable",
	       .doc = "802.3ad: which group of ports is used when there are several."),
	F_U32("adActorSystemPriority", struct bond_spec, ad_actor_system_priority, .def = "65535", .min = 1,
	      .max = 65535, .doc = "802.3ad: this end's priority; the lowest decides.", .example = "32768"),
	F_MAC("adActorSystem", struct bond_spec, ad_actor_system,
	      .doc = "802.3ad: what this end is called; else by the bond's MAC.", .example = "02:00:00:00:00:01"),
	F_U32("adUserPortKey", struct bond_spec, ad_user_port_key, .def = "0", .max = 1023,
	      .doc = "802.3ad: the upper bits of the ports' key.", .example = "5"),
	F_U32("minLinks", struct bond_spec, min_links, .def = "0", .max = INT32_MAX,
	      .doc = "802.3ad: how many ports must work for the bond to have a carrier.", .example = "1"),
	F_ENUM("xmitHashPolicy", struct bond_spec, xmit_hash_policy, bond_hash_policies, .def = "layer2",
	       .doc = "What of a packet chooses the port it leaves by."),
	F_IFNAME("primary", struct bond_spec, primary, .doc = "The port that is used whenever it works.",
		 .example = "eth0"),
	F_ENUM("primaryReselect", struct bond_spec, primary_reselect, bond_reselects, .def = "always",
	       .doc = "When the primary is used again after it failed."),
	F_ENUM("failOverMac", struct bond_spec, fail_over_mac, bond_fail_over_macs, .def = "none",
	       .doc = "active-backup: whether ports keep MACs of their own. To change it the bond is made anew."),
	F_DURATION("arpInterval", struct bond_spec, arp_interval_ms, .def = "0", .max = INT32_MAX,
		   .doc = "How often arpTargets and nsTargets are asked for, instead of looking at carriers.",
		   .example = "1s"),
	F_LIST("arpTargets", struct bond_spec, arp_targets, scalar_ip4, .singular = "arpTarget",
	       .list_max = BOND_TARGETS_MAX, .doc = "Who is asked.", .example = "192.0.2.1"),
	F_LIST("nsTargets", struct bond_spec, ns_targets, scalar_ip6, .singular = "nsTarget",
	       .list_max = BOND_TARGETS_MAX,
	       .doc = "Who is asked by IPv6 (neighbour solicitation); for kernels from 5.18 on.",
	       .example = "2001:db8::1"),
	F_ENUM("arpValidate", struct bond_spec, arp_validate, bond_validates, .def = "none",
	       .doc = "Of which ports only the targets' own answers count."),
	F_ENUM("arpAllTargets", struct bond_spec, arp_all_targets, bond_all_targets, .def = "any",
	       .doc = "Whether one of the targets must answer, or all."),
	F_U32("arpMissedMax", struct bond_spec, arp_missed_max, .def = "2", .min = 1, .max = 255,
	      .doc = "How many answers in a row may be missing before a port is given up.", .example = "3"),
	F_U32("packetsPerPort", struct bond_spec, packets_per_port, .def = "1", .max = 65535,
	      .doc = "balance-rr: packets in a row by the same port; 0 for a random one.", .example = "1"),
	F_BOOL("tlbDynamic", struct bond_spec, tlb_dynamic, .def = "true",
	       .doc = "balance-tlb: whether flows move to ports with less load."),
	F_BOOL("allPortsActive", struct bond_spec, all_ports_active, .def = "false",
	       .doc = "Whether frames that come in by a port that waits are taken."),
	F_U32("peerNotify", struct bond_spec, peer_notify, .def = "1", .max = 255,
	      .doc = "How often neighbours are told after another port has taken over.", .example = "1"),
	F_DURATION("peerNotifyDelay", struct bond_spec, peer_notify_delay_ms, .def = "0", .max = INT32_MAX,
		   .doc = "Time between one such telling and the next; whole times miimon, 0 for miimon.",
		   .example = "1s"),
	F_U32("lpInterval", struct bond_spec, lp_interval, .def = "1", .min = 1, .max = INT32_MAX,
	      .doc = "balance-tlb and balance-alb: every how many seconds the switch is shown where each MAC is.",
	      .example = "1"),
	F_U32("resendIgmp", struct bond_spec, resend_igmp, .def = "1", .max = 255,
	      .doc = "How often multicast is asked for anew then.", .example = "1"),
	LINK_MAC_ROW(struct bond_spec),
	LINK_BRIDGE_ROW(struct bond_spec),
	LINK_DHCP_ROWS(struct bond_spec),
	LINK_COMMON_ROWS(struct bond_spec),
};
static const struct table bond_table = TABLE("Bond", struct bond_spec, bond_rows);

static bool written(const struct bond_spec *spec, const char *row)
{
	return is_present(spec, &bond_table, table_field(&bond_table, row));
}

/* Which modes have an option; what is not in here all have. */
static const struct {
	const char *row;
	int modes;
	const char *whose;
} options[] = {
	{"lacpRate", LACP, "802.3ad"},
	{"lacpActive", LACP, "802.3ad"},
	{"adSelect", LACP, "802.3ad"},
	{"adActorSystemPriority", LACP, "802.3ad"},
	{"adActorSystem", LACP, "802.3ad"},
	{"adUserPortKey", LACP, "802.3ad"},
	{"minLinks", LACP, "802.3ad"},
	{"xmitHashPolicy", HASHES, "balance-xor, 802.3ad and balance-tlb"},
	{"primary", ONE_ACTIVE, "active-backup, balance-tlb and balance-alb"},
	{"primaryReselect", ONE_ACTIVE, "active-backup, balance-tlb and balance-alb"},
	{"failOverMac", MODE(BOND_MODE_ACTIVEBACKUP), "active-backup"},
	{"arpInterval", WITHOUT_PARTNER, "balance-rr, active-backup, balance-xor and broadcast"},
	{"arpTargets", WITHOUT_PARTNER, "balance-rr, active-backup, balance-xor and broadcast"},
	{"nsTargets", WITHOUT_PARTNER, "balance-rr, active-backup, balance-xor and broadcast"},
	{"arpValidate", WITHOUT_PARTNER, "balance-rr, active-backup, balance-xor and broadcast"},
	{"arpAllTargets", WITHOUT_PARTNER, "balance-rr, active-backup, balance-xor and broadcast"},
	{"arpMissedMax", WITHOUT_PARTNER, "balance-rr, active-backup, balance-xor and broadcast"},
	{"lpInterval", MODE(BOND_MODE_TLB) | MODE(BOND_MODE_ALB), "balance-tlb and balance-alb"},
	{"packetsPerPort", MODE(BOND_MODE_ROUNDROBIN), "balance-rr"},
	{"tlbDynamic", MODE(BOND_MODE_TLB), "balance-tlb"},
};

static bool has_option(const struct bond_spec *spec, const char *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (streq(options[i].row, row))
			return options[i].modes & MODE(spec->mode);
	return true;
}

/* The kernel tells of options that the bond's mode does not have, and takes none of them. */
void netd_bond_forget_other_modes(json_t *spec)
{
	const char *mode = json_string_value(json_object_get(spec, "mode"));
	struct bond_spec in_mode = {.mode = BOND_MODE_ROUNDROBIN}; /* which is left out */
	for (size_t i = 0; mode && i < ARRAY_SIZE(bond_modes); i++)
		if (streq(bond_modes[i], mode))
			in_mode.mode = (int)i;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (!has_option(&in_mode, options[i].row))
			json_object_del(spec, options[i].row);
}

static const char *port_name(const struct bond_spec *spec, size_t i)
{
	return list_at(&spec->ports, struct bond_port, i).name;
}

static bool has_port(const struct bond_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->ports.n; i++)
		if (streq(port_name(spec, i), name))
			return true;
	return false;
}

static uint64_t miimon_of(const struct bond_spec *spec)
{
	return written(spec, "miimon") || spec->arp_interval_ms ? spec->miimon_ms : DEFAULT_MIIMON_MS;
}

static void check_ports(const struct check *check, const struct bond_spec *spec)
{
	char path[48];
	for (size_t i = 0; i < spec->ports.n; i++) {
		const char *name = port_name(spec, i);
		const struct object *nic = check->find(check, "Ethernet", name ? name : "");
		snprintf(path, sizeof(path), "spec.ports[%zu]", i);
		if (streq(name, "lo"))
			check_fault(check, path, "lo is the host's own loopback, and cannot be a port of a bond");
		else if (streq(name, check->object->name) || check->find(check, "Bond", name ? name : ""))
			check_fault(check, path, "bond '%s' cannot be a port of a bond", name);
		else if (check->find(check, "Bridge", name ? name : ""))
			check_fault(check, path, "bridge '%s' cannot be a port of a bond", name);
		else if (nic && is_present(nic->spec, nic->kind->table, table_field(nic->kind->table, "mac")))
			check_fault(check, path, "Ethernet '%s' has a mac of its own, and ports have their bond's",
				    name);
		for (size_t k = 0; name && k < i; k++) {
			if (!streq(port_name(spec, k), name))
				continue;
			check_fault(check, path, "port '%s' is named twice", name);
			break;
		}
	}
}

static void check_delay(const struct check *check, const char *row, uint64_t delay_ms, uint64_t miimon_ms)
{
	char path[32];
	if (!delay_ms)
		return;
	snprintf(path, sizeof(path), "spec.%s", row);
	if (!miimon_ms)
		check_fault(check, path, "%s counts looks at the carrier, and without miimon nobody looks", row);
	else if (delay_ms % miimon_ms)
		check_fault(check, path, "%s is a whole number of times miimon, which is %llums", row,
			    (unsigned long long)miimon_ms);
}

static void check_monitors(const struct check *check, const struct bond_spec *spec)
{
	if (!has_option(spec, "arpInterval"))
		return;
	if (spec->arp_interval_ms && spec->miimon_ms)
		check_fault(check, "spec.arpInterval",
			    "a bond looks at carriers or asks neighbours, not both: leave "
			    "out miimon or arpInterval");
	if (spec->arp_interval_ms && spec->arp_targets.n == 0 && spec->ns_targets.n == 0)
		check_fault(check, "spec.arpInterval", "nobody is there to be asked; write arpTargets or nsTargets");
	for (size_t i = 0; i < spec->ns_targets.n; i++)
		if (ip_is_link_local(&list_at(&spec->ns_targets, struct ip, i)))
			check_fault(
				check, arena_printf(check->diags->arena, "spec.nsTargets[%zu]", i),
				"the kernel asks for no link-local address; write one with a prefix of the network");
	static const char *const details[] = {"arpTargets", "nsTargets", "arpValidate", "arpAllTargets",
					      "arpMissedMax"};
	for (size_t i = 0; !spec->arp_interval_ms && i < ARRAY_SIZE(details); i++)
		if (written(spec, details[i]))
			check_fault(check, arena_printf(check->diags->arena, "spec.%s", details[i]),
				    "nobody is asked; write an arpInterval, such as 1s");
}

static void bond_check(const struct check *check)
{
	const struct bond_spec *spec = check->object->spec;
	char path[48];
	link_common_check(check);
	check_ports(check, spec);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		snprintf(path, sizeof(path), "spec.%s", options[i].row);
		if (written(spec, options[i].row) && !(options[i].modes & MODE(spec->mode)))
			check_fault(check, path, "%s is for mode %s; this bond is in mode %s", options[i].row,
				    options[i].whose, bond_modes[spec->mode]);
	}
	if (spec->primary && has_option(spec, "primary") && !has_port(spec, spec->primary))
		check_fault(check, "spec.primary", "'%s' is no port of this bond", spec->primary);
	check_delay(check, "updelay", spec->updelay_ms, miimon_of(spec));
	check_delay(check, "downdelay", spec->downdelay_ms, miimon_of(spec));
	check_delay(check, "peerNotifyDelay", spec->peer_notify_delay_ms, miimon_of(spec));
	check_monitors(check, spec);
}

/* ---- lowering ---- */

/* These are said only where there is something to count: want_monitors(). */
static bool is_delay(const char *row)
{
	return streq(row, "miimon") || streq(row, "updelay") || streq(row, "downdelay") ||
	       streq(row, "peerNotifyDelay");
}

/* Rows of the class link that bear the manifest's names and values. */
static void want_options(struct lowering *l, struct want *link, const struct bond_spec *spec, const struct table *table,
			 const char *variant)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = table_field(&bond_table, table->fields[i].name);
		if (table->fields[i].nl_form == NL_NONE || !has_option(spec, row->name) || is_delay(row->name) ||
		    (!row->def && !is_present(spec, &bond_table, row)))
			continue;
		lower_at(l, arena_printf(lower_arena(l), "spec.%s", row->name));
		want_set(l, link, arena_printf(lower_arena(l), "%s.%s", variant, row->name), "%s",
			 row->scalar->format(row, (const char *)spec + row->offset, lower_arena(l)));
	}
	lower_at(l, NULL);
}

static void want_targets(struct lowering *l, struct want *link, const char *row, const struct list *targets)
{
	const char *text = "";
	char buf[IP_TEXT];
	for (size_t i = 0; i < targets->n; i++)
		text = arena_printf(lower_arena(l), "%s%s%s", text, *text ? " " : "",
				    ip_text(&list_at(targets, struct ip, i), buf));
	lower_at(l, arena_printf(lower_arena(l), "spec.%s", row));
	want_set(l, link, arena_printf(lower_arena(l), "info.%s", row), "%s", text);
	lower_at(l, NULL);
}

/* What is said by other words, or has a default that is not the row's. */
static void want_monitors(struct lowering *l, struct want *link, const struct bond_spec *spec)
{
	uint64_t miimon_ms = miimon_of(spec);
	want_set(l, link, "info.miimon", "%llums", (unsigned long long)miimon_ms);
	if (miimon_ms) { /* else the kernel will not hear of them */
		want_set(l, link, "info.updelay", "%llums", (unsigned long long)spec->updelay_ms);
		want_set(l, link, "info.downdelay", "%llums", (unsigned long long)spec->downdelay_ms);
		want_set(l, link, "info.peerNotifyDelay", "%llums", (unsigned long long)spec->peer_notify_delay_ms);
	}
	if (has_option(spec, "arpTargets")) {
		want_targets(l, link, "arpTargets", &spec->arp_targets);
		want_targets(l, link, "nsTargets", &spec->ns_targets);
	}
	if (has_option(spec, "primary")) {
		lower_at(l, "spec.primary");
		want_set(l, link, "info.primary", "%s", spec->primary ? spec->primary : "");
		lower_at(l, NULL);
	}
}

/* How long a NIC that joins may carry nothing: until its partner agrees, or until its carrier is believed. */
static uint64_t joining_ms(const struct bond_spec *spec)
{
	enum { LACP_FAST_MS = 3000, LACP_SLOW_MS = 30000, CARRIER_MS = 1000 };
	if (spec->mode == BOND_MODE_8023AD)
		return (spec->lacp_rate ? LACP_FAST_MS : LACP_SLOW_MS) + spec->updelay_ms;
	return CARRIER_MS + spec->updelay_ms;
}

/* Of a NIC that the host is reached by. */
static void tell_silence(struct lowering *l, const struct object *object, struct want *port)
{
	const struct holdings *holdings = holdings_parse(fact(l, "holds/%s", port->key), lower_arena(l));
	if (holdings && holdings->addresses.n)
		want_cost(
			l, port, "master",
			"%s goes down to join %s: the host does not answer by its addresses meanwhile, nor before they "
			"stand on %s or above, about %llu s",
			port->key, object->name, object->name,
			(unsigned long long)(joining_ms(object->spec) + 999) / 1000);
}

static void want_port(struct lowering *l, const struct object *object, struct want *bond, size_t i)
{
	const struct bond_spec *spec = object->spec;
	lower_at(l, arena_printf(lower_arena(l), "spec.ports[%zu]", i));
	struct want *port = link_want_other(l, port_name(spec, i));
	want_set(l, port, "master", "%s", object->name);
	tell_silence(l, object, port);
	takeover_tell_leaving(l, port);
	want_default(l, port, "up", "true");
	want_set(l, port, "mtu", "%u", link_mtu(l, object->name));
	needs(l, port, bond);
	if (!link_object(l, port->key)) /* else its manifest says what it has */
		takeover_set_aside(l, port);
	lower_at(l, NULL);
}

static void bond_lower(struct lowering *l, const struct object *object)
{
	const struct bond_spec *spec = object->spec;
	const struct link_common_plan plan = {.kind = "bond"};
	struct want *link = link_common_want(l, object, &plan);
	if (!link)
		return;
	want_options(l, link, spec, link_bond.fixed, "fixed");
	want_options(l, link, spec, link_bond.paused, "paused");
	want_cost(l, link, "paused", "it goes down for a moment for that, and what uses it is interrupted");
	want_options(l, link, spec, link_bond.info, "info");
	want_monitors(l, link, spec);
	for (size_t i = 0; i < spec->ports.n; i++)
		want_port(l, object, link, i);
}

const struct kind netd_bond_kind = {
	.name = "Bond",
	.plural = "bonds",
	.doc = "Several links that are one, named as the object. A NIC carries nothing while it joins: its addresses "
	       "belong on the bond, or on what stands on that.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &bond_table,
	.check = bond_check,
	.lower = bond_lower,
	.columns = "spec.mode,spec.ports,spec.addresses",
};
