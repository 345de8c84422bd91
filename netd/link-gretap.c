/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Gretap: frames in GRE over IPv4. */
#include "netd/ip-tunnel.h"

extern const struct kind netd_gretap_kind;

static const struct field gretap_rows[] = {
	IP_TUNNEL_ROWS(scalar_ip4, "198.51.100.1", "198.51.100.2"),
	IP_TUNNEL_KEY_ROW,
	LINK_MAC_ROW(struct ip_tunnel_spec),
	LINK_BRIDGE_ROW(struct ip_tunnel_spec),
	LINK_DHCP_ROWS(struct ip_tunnel_spec),
	LINK_COMMON_ROWS(struct ip_tunnel_spec),
};
static const struct table gretap_table = TABLE("Gretap", struct ip_tunnel_spec, gretap_rows);

/* The frame's own header, GRE's and that of IPv4. */
static const struct ip_tunnel_sort sort = {
	.name = "gretap",
	.what = "GRETAP",
	.overhead = 14 + 4 + 20,
	.gre = true,
	.ethernet = true,
};

static bool gretap_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	return ip_tunnel_room(l, object, &sort, ret);
}

static void gretap_lower(struct lowering *l, const struct object *object)
{
	ip_tunnel_lower(l, object, &sort);
}

extern const struct link_kind link_gretap;
const struct link_kind link_gretap = {
	.name = "gretap",
	.object = &netd_gretap_kind,
	.kernel_name = "gretap",
	.module = "ip_gre",
	.info = &ip_tunnel_gre_info,
	.underlay = IFLA_GRE_LINK,
	.whole = true,
	.room = gretap_room,
	.peer = ip_tunnel_peer,
	.spellings = ip_tunnel_key_spellings,
};

const struct kind netd_gretap_kind = {
	.name = "Gretap",
	.plural = "gretaps",
	.doc = "Frames in GRE over IPv4, as a link named as the object: layer 2 across layer 3, for a bridge at either "
	       "end.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &gretap_table,
	.check = ip_tunnel_check,
	.lower = gretap_lower,
	.columns = "spec.local,spec.remote,spec.bridge",
};
