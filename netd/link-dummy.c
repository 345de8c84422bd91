/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Dummy: a link that swallows what is sent on it, to hold addresses that belong to no other. */
#include "netd/link-common.h"
#include "netd/link.h"

extern const struct kind netd_dummy_kind;

struct dummy_spec {
	struct link_common common;
};

static const struct field dummy_rows[] = {
	LINK_MAC_ROW(struct dummy_spec),
	LINK_BRIDGE_ROW(struct dummy_spec),
	LINK_DHCP_ROWS(struct dummy_spec),
	LINK_COMMON_ROWS(struct dummy_spec),
};
static const struct table dummy_table = TABLE("Dummy", struct dummy_spec, dummy_rows);

static void dummy_lower(struct lowering *l, const struct object *object)
{
	link_common_want(l, object, &(struct link_common_plan){.kind = "dummy", .own_mac = true});
}

extern const struct link_kind link_dummy;
const struct link_kind link_dummy = {
	.name = "dummy",
	.object = &netd_dummy_kind,
	.kernel_name = "dummy",
	.follows_bridge = true,
	.leads_nowhere = true,
};

const struct kind netd_dummy_kind = {
	.name = "Dummy",
	.plural = "dummies",
	.doc = "A link that swallows what is sent on it, named as the object: for addresses that belong to no other "
	       "link, such as a tunnel's or a service's.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &dummy_table,
	.check = link_common_check,
	.lower = dummy_lower,
	.columns = "spec.addresses,spec.mtu",
};
