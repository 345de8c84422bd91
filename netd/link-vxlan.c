/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Vxlan: frames in UDP, to a list of hosts or to a multicast group. A list is entries of the class fdb, one a
 * host, for frames whose place is not known; what is learnt stands beside them. */
#include <linux/if_link.h>

#include "netd/host-policy.h"
#include "netd/import.h"
#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"
#include "netd/netlink-fdb.h"

extern const struct kind netd_vxlan_kind;

struct vxlan_spec {
	struct link_common common;
	uint32_t vni, port, ttl;
	struct ip local, group;
	struct list remotes; /* struct ip */
	const char *link;
	bool learning;
	uint64_t ageing_ms;
};

static const struct field vxlan_rows[] = {
	F_U32("vni", struct vxlan_spec, vni, .flags = FIELD_REQUIRED, .min = 1, .max = 16777215,
	      .doc = "The network's number; both ends have the same.", .example = "5001"),
	F_IP("local", struct vxlan_spec, local,
	     .doc = "The host's own address; else whichever the routes to the others have. IPv6 needs it.",
	     .example = "198.51.100.1"),
	F_LIST("remotes", struct vxlan_spec, remotes, scalar_ip, .singular = "remote", .list_max = 1024,
	       .doc = "The other hosts, which get what is sent to all or to nobody known.", .example = "198.51.100.2"),
	F_IP("group", struct vxlan_spec, group, .doc = "Multicast group that takes their place, with link.",
	     .example = "239.1.1.1"),
	F_IFNAME("link", struct vxlan_spec, link, .ref = "*",
		 .doc = "The link that its packets leave by; else as the routes say.", .example = "eth0"),
	F_U32("port", struct vxlan_spec, port, .min = 1, .max = 65535, .def = "4789",
	      .doc = "UDP port, here and there."),
	F_BOOL("learning", struct vxlan_spec, learning, .def = "true",
	       .doc = "Whether it learns from frames behind which host a MAC is."),
	F_DURATION("ageingTime", struct vxlan_spec, ageing_ms, .def = "5m", .max = 1000000000,
		   .doc = "Time that this is kept; whole seconds.", .example = "5m"),
	F_U32("ttl", struct vxlan_spec, ttl, .max = 255, .def = "64",
	      .doc = "Hops that its packets may take; 0: as many as the host's packets, in a group 1."),
	LINK_MAC_ROW(struct vxlan_spec),
	LINK_BRIDGE_ROW(struct vxlan_spec),
	LINK_DHCP_ROWS(struct vxlan_spec),
	LINK_COMMON_ROWS(struct vxlan_spec),
};
static const struct table vxlan_table = TABLE("Vxlan", struct vxlan_spec, vxlan_rows);

enum { FIXED_VNI, FIXED_PORT, FIXED_IPV6, FIXED_GROUP_LINK };
struct vxlan_fixed {
	uint64_t present;
	uint32_t vni, port;
	bool ipv6;
	const char *group_link;
};
/* A link that changes under a group is taken by the kernel, but the entry of the group goes on leading to the old one.
 */
static const struct field fixed_rows[] = {
	[FIXED_VNI] = F_U32("vni", struct vxlan_fixed, vni, .nl = IFLA_VXLAN_ID, .nl_form = NL_U32,
			    .doc = "The network's number."),
	[FIXED_PORT] =
		F_U32("port", struct vxlan_fixed, port, .nl = IFLA_VXLAN_PORT, .nl_form = NL_BE16, .doc = "UDP port."),
	[FIXED_IPV6] = F_BOOL("ipv6", struct vxlan_fixed, ipv6, .doc = "Whether it goes over IPv6."),
	[FIXED_GROUP_LINK] = F_STRING("groupLink", struct vxlan_fixed, group_link, .max = 15,
				      .doc = "The link on which it is in a multicast group; empty for none."),
};
static const struct table fixed_table = TABLE("link.vxlan.fixed", struct vxlan_fixed, fixed_rows);

enum { INFO_LOCAL, INFO_LOCAL6, INFO_GROUP, INFO_GROUP6 };
struct vxlan_info {
	uint64_t present;
	struct ip local, local6, group, group6;
	bool learning;
	uint32_t ttl, ageing_s;
};
static const struct field info_rows[] = {
	[INFO_LOCAL] = F_IP("local", struct vxlan_info, local, .nl = IFLA_VXLAN_LOCAL, .nl_form = NL_IP,
			    .def = "0.0.0.0", .doc = "The host's own address."),
	[INFO_LOCAL6] = F_IP("local6", struct vxlan_info, local6, .nl = IFLA_VXLAN_LOCAL6, .nl_form = NL_IP,
			     .def = "::", .doc = "The host's own address, IPv6."),
	[INFO_GROUP] = F_IP("group", struct vxlan_info, group, .nl = IFLA_VXLAN_GROUP, .nl_form = NL_IP,
			    .def = "0.0.0.0", .doc = "Where frames go whose place is not known."),
	[INFO_GROUP6] = F_IP("group6", struct vxlan_info, group6, .nl = IFLA_VXLAN_GROUP6, .nl_form = NL_IP,
			     .def = "::", .doc = "Where frames go whose place is not known, IPv6."),
	F_BOOL("learning", struct vxlan_info, learning, .nl = IFLA_VXLAN_LEARNING, .nl_form = NL_U8,
	       .doc = "Whether it learns."),
	F_U32("ttl", struct vxlan_info, ttl, .nl = IFLA_VXLAN_TTL, .nl_form = NL_U8,
	      .doc = "Hops that its packets may take."),
	F_U32("ageingSeconds", struct vxlan_info, ageing_s, .nl = IFLA_VXLAN_AGEING, .nl_form = NL_U32,
	      .doc = "Time that what is learnt is kept."),
};
static const struct table info_table = TABLE("link.vxlan", struct vxlan_info, info_rows);

static bool is_any(const struct ip *ip)
{
	static const uint8_t zeros[16];
	return memcmp(ip->b, zeros, sizeof(zeros)) == 0;
}

static bool is_multicast(const struct ip *ip)
{
	return ip->family == 4 ? ip->b[0] >> 4 == 14 : ip->b[0] == 0xff;
}

static bool is_broadcast(const struct ip *ip)
{
	return ip->family == 4 && (ip->b[0] & ip->b[1] & ip->b[2] & ip->b[3]) == 0xff;
}

/* What `ip link add ... remote` names stands where a group does; but it is an entry of the list of remotes as well, by
 * which alone frames are sent. */
static void forget_remote(struct ip *group)
{
	if (!is_multicast(group))
		memset(group->b, 0, sizeof(group->b));
}

static void vxlan_decode(const struct netlink_cache *cache, const struct netlink_link *link,
			 const struct link_spec *want, struct link_spec *seen, struct arena *arena)
{
	struct vxlan_info *info = seen->info;
	struct vxlan_fixed *fixed = seen->fixed;
	fixed->ipv6 = !is_any(&info->local6) || !is_any(&info->group6);
	forget_remote(&info->group);
	forget_remote(&info->group6);
	fixed->group_link = is_any(&info->group) && is_any(&info->group6) ? "" : seen->underlay;
	set_present(fixed, FIXED_IPV6);
	set_present(fixed, FIXED_GROUP_LINK);
}

static const struct ip *remote_at(const struct vxlan_spec *spec, size_t i)
{
	return &list_at(&spec->remotes, struct ip, i);
}

static uint8_t family_of(const struct vxlan_spec *spec)
{
	const struct ip *ip = spec->local.family    ? &spec->local
			      : spec->group.family  ? &spec->group
			      : spec->remotes.n > 0 ? remote_at(spec, 0)
						    : NULL;
	return ip ? ip->family : 4;
}

static void check_remotes(const struct check *check, const struct vxlan_spec *spec)
{
	for (size_t i = 0; i < spec->remotes.n; i++) {
		const struct ip *ip = remote_at(spec, i);
		char path[48];
		snprintf(path, sizeof(path), "spec.remotes[%zu]", i);
		if (is_multicast(ip))
			check_fault(check, path, "a multicast address is written as group, with link");
		else if (is_any(ip) || is_broadcast(ip))
			check_fault(check, path, "this is no host's address");
		else if (ip->family != family_of(spec))
			check_fault(check, path, "a VXLAN goes over IPv4 or IPv6, not both");
		else if (ip_equal(ip, &spec->local))
			check_fault(check, path, "this is the host's own address; remotes are the others");
		for (size_t k = 0; k < i; k++) {
			if (!ip_equal(ip, remote_at(spec, k)))
				continue;
			check_fault(check, path, "this address is named twice");
			break;
		}
	}
}

static void check_group(const struct check *check, const struct vxlan_spec *spec)
{
	if (!is_multicast(&spec->group))
		check_fault(check, "spec.group", "a group is a multicast address; other hosts are written as remotes");
	if (spec->remotes.n)
		check_fault(check, "spec.group", "a VXLAN has a group or remotes, not both");
	if (!spec->link)
		check_fault(check, "spec.group", "a group needs the link on which it is: write link");
	if (spec->local.family && spec->local.family != spec->group.family)
		check_fault(check, "spec.group", "a VXLAN goes over IPv4 or IPv6, not both");
}

static void vxlan_check(const struct check *check)
{
	const struct vxlan_spec *spec = check->object->spec;
	link_common_check(check);
	link_lower_check(check, spec->link);
	check_remotes(check, spec);
	if (spec->group.family)
		check_group(check, spec);
	if (!spec->local.family && !spec->group.family && family_of(spec) == 6)
		check_fault(check, "spec.remotes", "over IPv6 it needs the host's own address: write local");
	if (spec->ageing_ms % 1000)
		check_fault(check, "spec.ageingTime", "the kernel counts it in whole seconds");
}

static bool vxlan_peer(const struct object *object, size_t i, struct ip *ret)
{
	const struct vxlan_spec *spec = object->spec;
	bool group = spec->group.family != 0;
	if (i >= (group ? 1 : spec->remotes.n))
		return false;
	*ret = group ? spec->group : *remote_at(spec, i);
	return true;
}

static bool vxlan_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	const struct vxlan_spec *spec = object->spec;
	const struct link_path path = {
		.tunnel = object->name,
		.link = spec->link,
		.local = &spec->local,
		.remotes = spec->remotes.n ? remote_at(spec, 0) : &spec->group,
		.n_remotes = spec->remotes.n ? spec->remotes.n : 1,
		.overhead = 14 + 8 + 8 + 20, /* the frame's own header, VXLAN's, UDP's, IP's */
		.overhead6 = 14 + 8 + 8 + 40,
		.what = "VXLAN",
	};
	return link_room_under(l, &path, ret);
}

static void want_ends(struct lowering *l, struct want *link, const struct vxlan_spec *spec)
{
	bool ipv6 = family_of(spec) == 6;
	const char *any = ipv6 ? "::" : "0.0.0.0";
	char text[IP_TEXT];
	want_set(l, link, "fixed.ipv6", "%s", ipv6 ? "true" : "false");
	want_set(l, link, "fixed.groupLink", "%s", spec->group.family ? spec->link : "");
	want_set(l, link, ipv6 ? "info.local6" : "info.local", "%s",
		 spec->local.family ? ip_text(&spec->local, text) : any);
	want_set(l, link, ipv6 ? "info.group6" : "info.group", "%s",
		 spec->group.family ? ip_text(&spec->group, text) : any);
}

static void want_remotes(struct lowering *l, const struct object *object, struct want *link)
{
	const struct vxlan_spec *spec = object->spec;
	for (size_t i = 0; i < spec->remotes.n; i++) {
		char text[IP_TEXT];
		lower_at(l, arena_printf(lower_arena(l), "spec.remotes[%zu]", i));
		struct want *entry = want(l, class_find("fdb"), NULL, "%s/00:00:00:00:00:00/%s", object->name,
					  ip_text(remote_at(spec, i), text));
		entry->adopt = spec->common.adopt;
		needs(l, entry, link);
	}
	lower_at(l, NULL);
}

static void vxlan_lower(struct lowering *l, const struct object *object)
{
	const struct vxlan_spec *spec = object->spec;
	const struct link_common_plan plan = {.kind = "vxlan", .own_mac = true};
	if (!host_policy_allows_vni(l, spec->vni) ||
	    !link_claim(l, "spec.vni", "VNI %u of VXLAN over IPv%u at port %u", spec->vni, family_of(spec), spec->port))
		return;
	struct want *link = link_common_want(l, object, &plan);
	if (!link)
		return;
	link_send_by(l, link, spec->link);
	want_set(l, link, "fixed.vni", "%u", spec->vni);
	want_set(l, link, "fixed.port", "%u", spec->port);
	want_ends(l, link, spec);
	want_set(l, link, "info.learning", "%s", spec->learning ? "true" : "false");
	want_set(l, link, "info.ttl", "%u", spec->ttl);
	want_set(l, link, "info.ageingSeconds", "%u", (unsigned)(spec->ageing_ms / 1000));
	want_remotes(l, object, link);
}

static const struct link_spelling spellings[] = {
	{"info.local6", "local"},
	{"info.group6", "group"},
	{"info.ageingSeconds", "ageingTime", "s"},
	{0},
};

static void vxlan_import(const struct link_import *import, json_t *spec)
{
	static const struct mac unknown;
	json_t *remotes = json_array();
	char text[IP_TEXT];
	for (const struct netlink_fdb *entry = import->link->fdb; entry; entry = entry->next)
		if (memcmp(&entry->mac, &unknown, sizeof(unknown)) == 0 && !is_multicast(&entry->remote))
			json_array_append_new(remotes, json_string(ip_text(&entry->remote, text)));
	if (json_array_size(remotes))
		json_object_set(spec, "remotes", remotes);
	json_decref(remotes);
}

extern const struct link_kind link_vxlan;
const struct link_kind link_vxlan = {
	.name = "vxlan",
	.object = &netd_vxlan_kind,
	.kernel_name = "vxlan",
	.fixed = &fixed_table,
	.info = &info_table,
	.underlay = IFLA_VXLAN_LINK,
	.room = vxlan_room,
	.peer = vxlan_peer,
	.spellings = spellings,
	.import = vxlan_import,
	.decode = vxlan_decode,
};

const struct kind netd_vxlan_kind = {
	.name = "Vxlan",
	.plural = "vxlans",
	.doc = "Frames in UDP, to a list of hosts or a multicast group, as a link named as the object: layer 2 across "
	       "layer "
	       "3, for a bridge at each end.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &vxlan_table,
	.check = vxlan_check,
	.lower = vxlan_lower,
	.columns = "spec.vni,spec.remotes,spec.bridge",
};
