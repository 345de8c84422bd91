/* SPDX-License-Identifier: Apache-2.0 */
/* The link kind bond. The kernel takes some of its options only while it has no ports (`fixed`), some only while it is
 * down (`paused`), the others at any time. */
#include "netd/bond.h"

#include <arpa/inet.h>
#include <linux/if_bonding.h>
#include <linux/if_link.h>

#include "netd/import.h"

const char *const bond_modes[] = {"balance-rr", "active-backup", "balance-xor", "broadcast",
				  "802.3ad",    "balance-tlb",   "balance-alb"};
const char *const bond_lacp_rates[] = {"slow", "fast"};
const char *const bond_ad_selects[] = {"stable", "bandwidth", "count"};
const char *const bond_hash_policies[] = {"layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"};
const char *const bond_reselects[] = {"always", "better", "failure"};
const char *const bond_fail_over_macs[] = {"none", "active", "follow"};
const char *const bond_validates[] = {"none", "active", "backup", "all", "filter", "filter-active", "filter-backup"};
const char *const bond_all_targets[] = {"any", "all"};

/* ---- rows ---- */

struct bond_fixed {
	uint64_t present;
	int mode, fail_over_mac;
};
static const struct field fixed_rows[] = {
	F_ENUM("mode", struct bond_fixed, mode, bond_modes, .nl = IFLA_BOND_MODE, .nl_form = NL_U8,
	       .doc = "How its ports share the work."),
	F_ENUM("failOverMac", struct bond_fixed, fail_over_mac, bond_fail_over_macs, .nl = IFLA_BOND_FAIL_OVER_MAC,
	       .nl_form = NL_U8, .doc = "Whether ports keep MACs of their own."),
};
static const struct table fixed_table = TABLE("link.bond.fixed", struct bond_fixed, fixed_rows);

struct bond_paused {
	uint64_t present;
	int lacp_rate, ad_select;
	bool lacp_active, tlb_dynamic;
	uint32_t ad_user_port_key;
};
static const struct field paused_rows[] = {
	F_ENUM("lacpRate", struct bond_paused, lacp_rate, bond_lacp_rates, .nl = IFLA_BOND_AD_LACP_RATE,
	       .nl_form = NL_U8, .doc = "Whether the partner sends every 30 seconds or every second."),
	F_ENUM("adSelect", struct bond_paused, ad_select, bond_ad_selects, .nl = IFLA_BOND_AD_SELECT, .nl_form = NL_U8,
	       .doc = "Which group of ports is used when there are several."),
	F_BOOL("lacpActive", struct bond_paused, lacp_active, .nl = IFLA_BOND_AD_LACP_ACTIVE, .nl_form = NL_U8,
	       .doc = "Whether it speaks first."),
	F_BOOL("tlbDynamic", struct bond_paused, tlb_dynamic, .nl = IFLA_BOND_TLB_DYNAMIC_LB, .nl_form = NL_U8,
	       .doc = "Whether flows move to ports with less load."),
	F_U32("adUserPortKey", struct bond_paused, ad_user_port_key, .nl = IFLA_BOND_AD_USER_PORT_KEY,
	      .nl_form = NL_U16, .max = 1023, .doc = "The upper bits of the ports' key."),
};
static const struct table paused_table = TABLE("link.bond.paused", struct bond_paused, paused_rows);

struct bond_info {
	uint64_t present;
	uint64_t miimon_ms, updelay_ms, downdelay_ms, arp_interval_ms, peer_notify_delay_ms;
	int arp_validate, arp_all_targets, primary_reselect, xmit_hash_policy;
	uint32_t min_links, packets_per_port, arp_missed_max, lp_interval, peer_notify, resend_igmp,
		ad_actor_system_priority;
	struct mac ad_actor_system;
	bool all_ports_active;
	const char *primary;                  /* "" for none */
	const char *arp_targets, *ns_targets; /* with blanks between them */
};
enum { INFO_PRIMARY, INFO_ARP_TARGETS, INFO_NS_TARGETS };
static const struct field info_rows[] = {
	[INFO_PRIMARY] = F_STRING("primary", struct bond_info, primary, .max = 15,
				  .doc = "The port that is used whenever it works; empty for none."),
	[INFO_ARP_TARGETS] = F_STRING("arpTargets", struct bond_info, arp_targets, .max = 512,
				      .doc = "Who is asked whether a port works."),
	[INFO_NS_TARGETS] =
		F_STRING("nsTargets", struct bond_info, ns_targets, .max = 1024, .doc = "Who is asked that by IPv6."),
	F_DURATION("miimon", struct bond_info, miimon_ms, .nl = IFLA_BOND_MIIMON, .nl_form = NL_U32,
		   .doc = "How often carriers are looked at; 0 for never."),
	F_DURATION("updelay", struct bond_info, updelay_ms, .nl = IFLA_BOND_UPDELAY, .nl_form = NL_U32,
		   .doc = "How long a carrier must be there before the port is used."),
	F_DURATION("downdelay", struct bond_info, downdelay_ms, .nl = IFLA_BOND_DOWNDELAY, .nl_form = NL_U32,
		   .doc = "How long a carrier must be gone before the port is given up."),
	F_DURATION("arpInterval", struct bond_info, arp_interval_ms, .nl = IFLA_BOND_ARP_INTERVAL, .nl_form = NL_U32,
		   .doc = "How often arpTargets are asked; 0 for never."),
	F_ENUM("arpValidate", struct bond_info, arp_validate, bond_validates, .nl = IFLA_BOND_ARP_VALIDATE,
	       .nl_form = NL_U32, .doc = "Of which ports only the targets' own answers count."),
	F_ENUM("arpAllTargets", struct bond_info, arp_all_targets, bond_all_targets, .nl = IFLA_BOND_ARP_ALL_TARGETS,
	       .nl_form = NL_U32, .doc = "Whether one target must answer, or all."),
	F_ENUM("primaryReselect", struct bond_info, primary_reselect, bond_reselects, .nl = IFLA_BOND_PRIMARY_RESELECT,
	       .nl_form = NL_U8, .doc = "When the primary is used again after it failed."),
	F_ENUM("xmitHashPolicy", struct bond_info, xmit_hash_policy, bond_hash_policies,
	       .nl = IFLA_BOND_XMIT_HASH_POLICY, .nl_form = NL_U8,
	       .doc = "What of a packet chooses the port it leaves by."),
	F_U32("minLinks", struct bond_info, min_links, .nl = IFLA_BOND_MIN_LINKS, .nl_form = NL_U32,
	      .doc = "How many ports must work for it to have a carrier."),
	F_U32("arpMissedMax", struct bond_info, arp_missed_max, .nl = IFLA_BOND_MISSED_MAX, .nl_form = NL_U8,
	      .max = 255, .doc = "How many answers may be missing before a port is given up."),
	F_DURATION("peerNotifyDelay", struct bond_info, peer_notify_delay_ms, .nl = IFLA_BOND_PEER_NOTIF_DELAY,
		   .nl_form = NL_U32, .doc = "Time between two tellings."),
	F_U32("lpInterval", struct bond_info, lp_interval, .nl = IFLA_BOND_LP_INTERVAL, .nl_form = NL_U32,
	      .doc = "Every how many seconds the switch is shown where each MAC is."),
	F_U32("packetsPerPort", struct bond_info, packets_per_port, .nl = IFLA_BOND_PACKETS_PER_SLAVE,
	      .nl_form = NL_U32, .doc = "Packets in a row by the same port."),
	F_U32("peerNotify", struct bond_info, peer_notify, .nl = IFLA_BOND_NUM_PEER_NOTIF, .nl_form = NL_U8, .max = 255,
	      .doc = "How often neighbours are told that another port has taken over."),
	F_U32("resendIgmp", struct bond_info, resend_igmp, .nl = IFLA_BOND_RESEND_IGMP, .nl_form = NL_U32,
	      .doc = "How often multicast is asked for anew then."),
	F_U32("adActorSystemPriority", struct bond_info, ad_actor_system_priority, .nl = IFLA_BOND_AD_ACTOR_SYS_PRIO,
	      .nl_form = NL_U16, .max = 65535, .doc = "This end's priority."),
	F_MAC("adActorSystem", struct bond_info, ad_actor_system, .nl = IFLA_BOND_AD_ACTOR_SYSTEM, .nl_form = NL_MAC,
	      .doc = "What this end is called."),
	F_BOOL("allPortsActive", struct bond_info, all_ports_active, .nl = IFLA_BOND_ALL_SLAVES_ACTIVE,
	       .nl_form = NL_U8, .doc = "Whether frames that come in by a port that waits are taken."),
};
static const struct table info_table = TABLE("link.bond", struct bond_info, info_rows);

/* ---- what is no plain attribute ---- */

static void put_targets(struct nlmsghdr *message, uint16_t type, const char *text)
{
	struct nlattr *nest = mnl_attr_nest_start(message, type);
	uint8_t family = type == IFLA_BOND_ARP_IP_TARGET ? 4 : 6;
	char word[IP_TEXT];
	struct ip ip;
	uint16_t n = 0;
	for (int used; n < BOND_TARGETS_MAX && sscanf(text, " %63s%n", word, &used) == 1; text += used)
		if (ip_parse(word, &ip) == 0 && ip.family == family)
			mnl_attr_put(message, n++, family == 4 ? 4 : 16, ip.b);
	mnl_attr_nest_end(message, nest);
}

/* A primary that does not exist yet is said when it has become a port. */
static void put_primary(struct nlmsghdr *message, const struct netlink_cache *cache, const char *name)
{
	const struct netlink_link *port = *name ? netlink_link_by_name(cache, name) : NULL;
	if (port || !*name)
		mnl_attr_put_u32(message, IFLA_BOND_PRIMARY, port ? (uint32_t)port->index : 0);
}

static void put_more(struct nlmsghdr *message, const struct netlink_cache *cache, const struct link_spec *want,
		     uint64_t rows)
{
	const struct bond_info *info = has_row(want, LINK_INFO) ? want->info : NULL;
	if (info && rows & 1 << INFO_ARP_TARGETS && has_row(info, INFO_ARP_TARGETS))
		put_targets(message, IFLA_BOND_ARP_IP_TARGET, info->arp_targets);
	if (info && rows & 1 << INFO_NS_TARGETS && has_row(info, INFO_NS_TARGETS))
		put_targets(message, IFLA_BOND_NS_IP6_TARGET, info->ns_targets);
	if (info && rows & 1 << INFO_PRIMARY && has_row(info, INFO_PRIMARY))
		put_primary(message, cache, info->primary);
}

static const char *targets_of(const struct nlattr *nest, struct arena *arena)
{
	const char *text = "";
	const struct nlattr *attr;
	mnl_attr_for_each_nested(attr, nest)
	{
		char buf[IP_TEXT];
		size_t size = mnl_attr_get_payload_len(attr);
		struct ip ip = {.family = size == 4 ? 4 : 6};
		if (size != 4 && size != 16)
			continue;
		memcpy(ip.b, mnl_attr_get_payload(attr), size);
		text = arena_printf(arena, "%s%s%s", text, *text ? " " : "", ip_text(&ip, buf));
	}
	return text;
}

/* The kernel keeps in mind a primary that is no port yet, and does not show it: then it is as it was asked for. */
static const char *primary_of(const struct netlink_cache *cache, const struct netlink_link *bond, int index,
			      const struct bond_info *want, struct arena *arena)
{
	const struct netlink_link *port = index ? netlink_link_by_index(cache, index) : NULL;
	const char *wanted = want && has_row(want, INFO_PRIMARY) ? want->primary : "";
	if (port)
		return arena_strdup(arena, port->name);
	port = *wanted ? netlink_link_by_name(cache, wanted) : NULL;
	return *wanted && (!port || port->master != bond->index) ? arena_strdup(arena, wanted) : "";
}

static void decode(const struct netlink_cache *cache, const struct netlink_link *link, const struct link_spec *want,
		   struct link_spec *seen, struct arena *arena)
{
	const struct bond_info *wanted =
		want && streq(want->kind, "bond") && has_row(want, LINK_INFO) ? want->info : NULL;
	struct bond_info *info = seen->info;
	const struct nlattr *attr;
	int primary = 0;
	info->arp_targets = info->ns_targets = "";
	mnl_attr_for_each_payload(link->info.data, link->info.size)
	{
		if (mnl_attr_get_type(attr) == IFLA_BOND_ARP_IP_TARGET)
			info->arp_targets = targets_of(attr, arena);
		else if (mnl_attr_get_type(attr) == IFLA_BOND_NS_IP6_TARGET)
			info->ns_targets = targets_of(attr, arena);
		else if (mnl_attr_get_type(attr) == IFLA_BOND_PRIMARY &&
			 mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
			primary = (int)mnl_attr_get_u32(attr);
	}
	info->primary = primary_of(cache, link, primary, wanted, arena);
	set_present(info, INFO_ARP_TARGETS);
	set_present(info, INFO_NS_TARGETS);
	set_present(info, INFO_PRIMARY);
}

/* ---- health ---- */

static unsigned port_number(const struct netlink_link *port, uint16_t type, unsigned otherwise)
{
	const struct nlattr *attr;
	if (port->port.size == 0)
		return otherwise;
	mnl_attr_for_each_payload(port->port.data, port->port.size)
	{
		if (mnl_attr_get_type(attr) != type)
			continue;
		if (mnl_attr_get_payload_len(attr) == sizeof(uint8_t))
			return mnl_attr_get_u8(attr);
		if (mnl_attr_get_payload_len(attr) == sizeof(uint16_t))
			return mnl_attr_get_u16(attr);
	}
	return otherwise;
}

enum { LACP_SYNCHRONIZED = 1 << 3, LACP_DEFAULTED = 1 << 6 };

/* What is wrong with one port; NULL for nothing. */
static const char *port_fault(const struct netlink_link *port, bool lacp)
{
	if (port_number(port, IFLA_BOND_SLAVE_MII_STATUS, BOND_LINK_UP) != BOND_LINK_UP)
		return "has no carrier, or does not reach its targets";
	if (!lacp)
		return NULL;
	unsigned own = port_number(port, IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE, 0);
	unsigned partner = port_number(port, IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE, 0);
	if (own & LACP_DEFAULTED)
		return "has no LACP partner; look at the switch's port";
	return partner & LACP_SYNCHRONIZED ? NULL : "and its LACP partner do not agree; look at the switch's port";
}

static const char *health(const struct netlink_cache *cache, const struct netlink_link *link,
			  const struct link_spec *seen, struct arena *arena)
{
	const struct bond_fixed *fixed = seen->fixed;
	bool lacp = fixed->mode == BOND_MODE_8023AD;
	const char *text = NULL;
	for (size_t i = 0; seen->up && i < NETLINK_BUCKETS; i++) {
		for (const struct netlink_link *l = cache->by_index[i]; l; l = l->next_by_index) {
			const char *fault = l->master == link->index ? port_fault(l, lacp) : NULL;
			if (fault)
				text = arena_printf(arena, "%s%sport %s %s", text ? text : "", text ? "; " : "",
						    l->name, fault);
		}
	}
	return text;
}

static void import(const struct link_import *import, json_t *spec)
{
	json_t *ports = import_ports(import);
	netd_bond_forget_other_modes(spec);
	if (json_array_size(ports))
		json_object_set(spec, "ports", ports);
	json_decref(ports);
}

const struct link_kind link_bond = {
	.name = "bond",
	.object = &netd_bond_kind,
	.kernel_name = "bond",
	.module = "bonding",
	.fixed = &fixed_table,
	.paused = &paused_table,
	.info = &info_table,
	.takes_ports = true,
	.ports_join_down = true,
	.put_more = put_more,
	.decode = decode,
	.health = health,
	.import = import,
};
