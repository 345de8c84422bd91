/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Ip6gretap: frames in GRE over IPv6. */
#include "netd/ip-tunnel.h"

extern const struct kind netd_ip6gretap_kind;

static const struct field ip6gretap_rows[] = {
	IP_TUNNEL_ROWS(scalar_ip6, "fd00:0:0:1::1", "fd00:0:0:1::2"),
	IP_TUNNEL_KEY_ROW,
	LINK_MAC_ROW(struct ip_tunnel_spec),
	LINK_BRIDGE_ROW(struct ip_tunnel_spec),
	LINK_DHCP_ROWS(struct ip_tunnel_spec),
	LINK_COMMON_ROWS(struct ip_tunnel_spec),
};
static const struct table ip6gretap_table = TABLE("Ip6gretap", struct ip_tunnel_spec, ip6gretap_rows);

/* The frame's own header, GRE's and that of IPv6. */
static const struct ip_tunnel_sort sort = {
	.name = "ip6gretap",
	.what = "GRETAP",
	.overhead = 14 + 4 + 40,
	.gre = true,
	.ethernet = true,
};

static bool ip6gretap_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	return ip_tunnel_room(l, object, &sort, ret);
}

static void ip6gretap_lower(struct lowering *l, const struct object *object)
{
	ip_tunnel_lower(l, object, &sort);
}

extern const struct link_kind link_ip6gretap;
const struct link_kind link_ip6gretap = {
	.name = "ip6gretap",
	.object = &netd_ip6gretap_kind,
	.kernel_name = "ip6gretap",
	.module = "ip6_gre",
	.info = &ip_tunnel_gre6_info,
	.underlay = IFLA_GRE_LINK,
	.whole = true,
	.room = ip6gretap_room,
	.peer = ip_tunnel_peer,
	.spellings = ip_tunnel_key_spellings,
};

const struct kind netd_ip6gretap_kind = {
	.name = "Ip6gretap",
	.plural = "ip6gretaps",
	.doc = "Frames in GRE over IPv6, as a link named as the object: layer 2 across layer 3, for a bridge at either "
	       "end.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &ip6gretap_table,
	.check = ip_tunnel_check,
	.lower = ip6gretap_lower,
	.columns = "spec.local,spec.remote,spec.bridge",
};
