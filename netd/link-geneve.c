/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Geneve: frames in UDP to one other host. */
#include <linux/if_link.h>

#include "netd/host-policy.h"
#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"

extern const struct kind netd_geneve_kind;

struct geneve_spec {
	struct link_common common;
	uint32_t vni, port, ttl;
	struct ip remote;
};

static const struct field geneve_rows[] = {
	F_U32("vni", struct geneve_spec, vni, .flags = FIELD_REQUIRED, .min = 1, .max = 16777215,
	      .doc = "The network's number; both ends have the same.", .example = "5002"),
	F_IP("remote", struct geneve_spec, remote, .flags = FIELD_REQUIRED, .doc = "Address of the other host.",
	     .example = "198.51.100.2"),
	F_U32("port", struct geneve_spec, port, .min = 1, .max = 65535, .def = "6081",
	      .doc = "UDP port, here and there."),
	F_U32("ttl", struct geneve_spec, ttl, .max = 255, .def = "64",
	      .doc = "Hops that its packets may take; 0: as many as the host's."),
	LINK_MAC_ROW(struct geneve_spec),
	LINK_BRIDGE_ROW(struct geneve_spec),
	LINK_DHCP_ROWS(struct geneve_spec),
	LINK_COMMON_ROWS(struct geneve_spec),
};
static const struct table geneve_table = TABLE("Geneve", struct geneve_spec, geneve_rows);

enum { FIXED_VNI, FIXED_PORT, FIXED_IPV6 };
struct geneve_fixed {
	uint64_t present;
	uint32_t vni, port;
	bool ipv6;
};
static const struct field fixed_rows[] = {
	[FIXED_VNI] = F_U32("vni", struct geneve_fixed, vni, .nl = IFLA_GENEVE_ID, .nl_form = NL_U32,
			    .doc = "The network's number."),
	[FIXED_PORT] = F_U32("port", struct geneve_fixed, port, .nl = IFLA_GENEVE_PORT, .nl_form = NL_BE16,
			     .doc = "UDP port."),
	[FIXED_IPV6] = F_BOOL("ipv6", struct geneve_fixed, ipv6, .doc = "Whether it goes over IPv6."),
};
static const struct table fixed_table = TABLE("link.geneve.fixed", struct geneve_fixed, fixed_rows);

enum { INFO_REMOTE, INFO_REMOTE6, INFO_TTL };
struct geneve_info {
	uint64_t present;
	struct ip remote, remote6;
	uint32_t ttl;
};
static const struct field info_rows[] = {
	[INFO_REMOTE] = F_IP("remote", struct geneve_info, remote, .nl = IFLA_GENEVE_REMOTE, .nl_form = NL_IP,
			     .doc = "The other host."),
	[INFO_REMOTE6] = F_IP("remote6", struct geneve_info, remote6, .nl = IFLA_GENEVE_REMOTE6, .nl_form = NL_IP,
			      .doc = "The other host, IPv6."),
	[INFO_TTL] = F_U32("ttl", struct geneve_info, ttl, .nl = IFLA_GENEVE_TTL, .nl_form = NL_U8,
			   .doc = "Hops that its packets may take."),
};
static const struct table info_table = TABLE("link.geneve", struct geneve_info, info_rows);

static void geneve_decode(const struct netlink_cache *cache, const struct netlink_link *link,
			  const struct link_spec *want, struct link_spec *seen, struct arena *arena)
{
	struct geneve_fixed *fixed = seen->fixed;
	fixed->ipv6 = has_row(seen->info, INFO_REMOTE6);
	set_present(fixed, FIXED_IPV6);
}

static bool geneve_peer(const struct object *object, size_t i, struct ip *ret)
{
	*ret = ((const struct geneve_spec *)object->spec)->remote;
	return i == 0;
}

static bool geneve_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	const struct link_path path = {
		.tunnel = object->name,
		.remotes = &((const struct geneve_spec *)object->spec)->remote,
		.n_remotes = 1,
		.overhead = 14 + 8 + 8 + 20, /* the frame's own header, GENEVE's, UDP's, IP's */
		.overhead6 = 14 + 8 + 8 + 40,
		.what = "GENEVE",
	};
	return link_room_under(l, &path, ret);
}

static void geneve_lower(struct lowering *l, const struct object *object)
{
	const struct geneve_spec *spec = object->spec;
	const struct link_common_plan plan = {.kind = "geneve", .own_mac = true};
	bool ipv6 = spec->remote.family == 6;
	char text[IP_TEXT];
	if (!host_policy_allows_vni(l, spec->vni) || !link_claim(l, "spec.vni", "VNI %u of GENEVE to %s at port %u",
								 spec->vni, ip_text(&spec->remote, text), spec->port))
		return;
	struct want *link = link_common_want(l, object, &plan);
	if (!link)
		return;
	want_set(l, link, "fixed.vni", "%u", spec->vni);
	want_set(l, link, "fixed.port", "%u", spec->port);
	want_set(l, link, "fixed.ipv6", "%s", ipv6 ? "true" : "false");
	want_set(l, link, ipv6 ? "info.remote6" : "info.remote", "%s", ip_text(&spec->remote, text));
	want_set(l, link, "info.ttl", "%u", spec->ttl);
}

static const struct link_spelling spellings[] = {{"info.remote6", "remote"}, {0}};

extern const struct link_kind link_geneve;
const struct link_kind link_geneve = {
	.name = "geneve",
	.object = &netd_geneve_kind,
	.kernel_name = "geneve",
	.fixed = &fixed_table,
	.info = &info_table,
	.room = geneve_room,
	.peer = geneve_peer,
	.spellings = spellings,
	.decode = geneve_decode,
};

const struct kind netd_geneve_kind = {
	.name = "Geneve",
	.plural = "geneves",
	.doc = "Frames in UDP to one other host, as a link named as the object: layer 2 across layer 3, for a bridge "
	       "at "
	       "either end.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &geneve_table,
	.check = link_common_check,
	.lower = geneve_lower,
	.columns = "spec.vni,spec.remote,spec.bridge",
};
