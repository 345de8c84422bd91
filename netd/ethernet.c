/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Ethernet: a link that is there already, mostly a NIC. It is never made or removed; what the manifest says of
 * it is set, and goes back to what it was when the object goes. */
#include "netd/link-common.h"
#include "netd/vfs.h"

extern const struct kind netd_ethernet_kind;

struct ethernet_spec {
	struct link_common common;
	uint32_t vfs;
};

static const struct field ethernet_rows[] = {
	F_U32("vfs", struct ethernet_spec, vfs, .max = UINT16_MAX,
	      .doc = "How many virtual functions (SR-IOV) it has; another number than 0 is had by removing all first.",
	      .example = "4"),
	LINK_MAC_ROW(struct ethernet_spec),
	LINK_BRIDGE_ROW(struct ethernet_spec),
	LINK_DHCP_ROWS(struct ethernet_spec),
	LINK_COMMON_ROWS(struct ethernet_spec),
};
static const struct table ethernet_table = TABLE("Ethernet", struct ethernet_spec, ethernet_rows);

static bool can_have(struct lowering *l, const struct object *object, uint32_t vfs)
{
	uint64_t most = 0;
	bool exists = fact(l, "link/%s/exists", object->name);
	if (fact_u64(l, &most, "link/%s/vfs", object->name) ? vfs <= most : !exists)
		return true;
	if (most)
		lower_refuse(l, "spec.vfs", "%s can have %llu virtual functions at most", object->name,
			     (unsigned long long)most);
	else
		lower_refuse(l, "spec.vfs",
			     "%s is no NIC with SR-IOV, or its driver or the firmware has that switched off; leave vfs "
			     "out",
			     object->name);
	return false;
}

bool netd_ethernet_makes_functions(const struct object *object)
{
	return object->kind == &netd_ethernet_kind && ((const struct ethernet_spec *)object->spec)->vfs;
}

static void ethernet_lower(struct lowering *l, const struct object *object)
{
	const struct link_common_plan plan = {0};
	const struct ethernet_spec *spec = object->spec;
	struct want *link = link_common_want(l, object, &plan);
	bool said = is_present(spec, &ethernet_table, table_field(&ethernet_table, "vfs"));
	if (!link || !said || !can_have(l, object, spec->vfs))
		return;
	lower_at(l, "spec.vfs");
	struct want *vfs = want(l, &netd_vfs_class, NULL, "%s", object->name);
	want_set(l, vfs, "count", "%u", spec->vfs);
	want_cost(l, vfs, "count", "all virtual functions that %s has go for that, and the others come anew",
		  object->name);
	needs(l, vfs, link);
	lower_at(l, NULL);
}

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
