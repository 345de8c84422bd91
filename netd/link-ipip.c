/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Ipip: IPv4 packets in IPv4. */
#include "netd/ip-tunnel.h"

extern const struct kind netd_ipip_kind;

static const struct field ipip_rows[] = {
	IP_TUNNEL_ROWS(scalar_ip4, "198.51.100.1", "198.51.100.2"),
	LINK_COMMON_ROWS(struct ip_tunnel_spec),
};
static const struct table ipip_table = TABLE("Ipip", struct ip_tunnel_spec, ipip_rows);

/* The header of IPv4. */
static const struct ip_tunnel_sort sort = {
	.name = "ipip",
	.what = "IPIP",
	.overhead = 20,
	.gre = false,
	.ethernet = false,
};

static bool ipip_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	return ip_tunnel_room(l, object, &sort, ret);
}

static void ipip_lower(struct lowering *l, const struct object *object)
{
	ip_tunnel_lower(l, object, &sort);
}

extern const struct link_kind link_ipip;
const struct link_kind link_ipip = {
	.name = "ipip",
	.object = &netd_ipip_kind,
	.kernel_name = "ipip",
	.info = &ip_tunnel_plain_info,
	.underlay = IFLA_IPTUN_LINK,
	.whole = true,
	.room = ipip_room,
	.peer = ip_tunnel_peer,
};

const struct kind netd_ipip_kind = {
	.name = "Ipip",
	.plural = "ipips",
	.doc = "IPv4 packets in IPv4, as a link named as the object; it joins no bridge.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &ipip_table,
	.check = ip_tunnel_check,
	.lower = ipip_lower,
	.columns = "spec.local,spec.remote,spec.addresses",
};
