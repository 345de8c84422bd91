/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Ethernet: a link that is there already, mostly a NIC. It is never made or removed; what the manifest says of
 * it is set, and goes back to what it was when the object goes. */
#include "netd/link-common.h"

struct ethernet_spec {
	struct link_common common;
};

static const struct field ethernet_rows[] = {
	LINK_MAC_ROW(struct ethernet_spec),
	LINK_BRIDGE_ROW(struct ethernet_spec),
	LINK_DHCP_ROWS(struct ethernet_spec),
	LINK_COMMON_ROWS(struct ethernet_spec),
};
static const struct table ethernet_table = TABLE("Ethernet", struct ethernet_spec, ethernet_rows);

static void ethernet_lower(struct lowering *l, const struct object *object)
{
	const struct link_common_plan plan = {0};
	(void)link_common_want(l, object, &plan);
}

extern const struct kind netd_ethernet_kind;
const struct kind netd_ethernet_kind = {
	.name = "Ethernet",
	.plural = "ethernets",
	.shorts = "nic",
	.doc = "A link that is there already, mostly a NIC, named as the object: its MTU, addresses and the like. It "
	       "is "
	       "given back as it was when the object goes.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &ethernet_table,
	.check = link_common_check,
	.lower = ethernet_lower,
	.columns = "spec.addresses,spec.mtu",
};
