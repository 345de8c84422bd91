/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Sit: IPv6 packets in IPv4. */
#include "netd/ip-tunnel.h"

extern const struct kind netd_sit_kind;

static const struct field sit_rows[] = {
	IP_TUNNEL_ROWS(scalar_ip4, "198.51.100.1", "198.51.100.2"),
	LINK_COMMON_ROWS(struct ip_tunnel_spec),
};
static const struct table sit_table = TABLE("Sit", struct ip_tunnel_spec, sit_rows);

/* The header of IPv4. */
static const struct ip_tunnel_sort sort = {
	.name = "sit",
	.what = "SIT",
	.overhead = 20,
	.gre = false,
	.ethernet = false,
};

static bool sit_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	return ip_tunnel_room(l, object, &sort, ret);
}

static void sit_lower(struct lowering *l, const struct object *object)
{
	ip_tunnel_lower(l, object, &sort);
}

extern const struct link_kind link_sit;
const struct link_kind link_sit = {
	.name = "sit",
	.object = &netd_sit_kind,
	.kernel_name = "sit",
	.info = &ip_tunnel_plain_info,
	.underlay = IFLA_IPTUN_LINK,
	.whole = true,
	.room = sit_room,
	.peer = ip_tunnel_peer,
};

const struct kind netd_sit_kind = {
	.name = "Sit",
	.plural = "sits",
	.doc = "IPv6 packets in IPv4, as a link named as the object; it joins no bridge.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &sit_table,
	.check = ip_tunnel_check,
	.lower = sit_lower,
	.columns = "spec.local,spec.remote,spec.addresses",
};
