/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Gre: packets in GRE over IPv4. */
#include "netd/ip-tunnel.h"

extern const struct kind netd_gre_kind;

static const struct field gre_rows[] = {
	IP_TUNNEL_ROWS(scalar_ip4, "198.51.100.1", "198.51.100.2"),
	IP_TUNNEL_KEY_ROW,
	LINK_COMMON_ROWS(struct ip_tunnel_spec),
};
static const struct table gre_table = TABLE("Gre", struct ip_tunnel_spec, gre_rows);

/* The headers of GRE and IPv4. */
static const struct ip_tunnel_sort sort = {
	.name = "gre",
	.what = "GRE",
	.overhead = 4 + 20,
	.gre = true,
	.ethernet = false,
};

static bool gre_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	return ip_tunnel_room(l, object, &sort, ret);
}

static void gre_lower(struct lowering *l, const struct object *object)
{
	ip_tunnel_lower(l, object, &sort);
}

extern const struct link_kind link_gre;
const struct link_kind link_gre = {
	.name = "gre",
	.object = &netd_gre_kind,
	.kernel_name = "gre",
	.module = "ip_gre",
	.info = &ip_tunnel_gre_info,
	.underlay = IFLA_GRE_LINK,
	.whole = true,
	.room = gre_room,
	.peer = ip_tunnel_peer,
	.spellings = ip_tunnel_key_spellings,
};

const struct kind netd_gre_kind = {
	.name = "Gre",
	.plural = "gres",
	.doc = "Packets in GRE over IPv4, as a link named as the object: it carries IPv4 and IPv6, and joins no "
	       "bridge.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &gre_table,
	.check = ip_tunnel_check,
	.lower = gre_lower,
	.columns = "spec.local,spec.remote,spec.addresses",
};
