/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Vlan: the frames of a link that carry one tag, as a link of its own. */
#include <linux/if_ether.h>
#include <linux/if_link.h>

#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"

extern const struct kind netd_vlan_kind;

static const char *const protocol_names[] = {"802.1Q", "802.1ad"};
static const uint32_t protocol_values[] = {ETH_P_8021Q, ETH_P_8021AD};

struct vlan_spec {
	struct link_common common;
	const char *link;
	uint32_t id;
	int protocol;
};

static const struct field vlan_rows[] = {
	F_IFNAME("link", struct vlan_spec, link, .flags = FIELD_REQUIRED, .ref = "*",
		 .doc = "The link whose frames it takes.", .example = "bond0"),
	F_U32("id", struct vlan_spec, id, .flags = FIELD_REQUIRED, .min = 1, .max = 4094, .doc = "The tag's number.",
	      .example = "20"),
	F_ENUM("protocol", struct vlan_spec, protocol, protocol_names, .def = "802.1Q",
	       .doc = "The tag's sort: 802.1Q, or 802.1ad for the outer one of two."),
	LINK_MAC_ROW(struct vlan_spec),
	LINK_BRIDGE_ROW(struct vlan_spec),
	LINK_DHCP_ROWS(struct vlan_spec),
	LINK_COMMON_ROWS(struct vlan_spec),
};
static const struct table vlan_table = TABLE("Vlan", struct vlan_spec, vlan_rows);

struct vlan_fixed {
	uint64_t present;
	uint32_t id;
	int protocol;
};
/* The kernel takes another number or protocol in a change without a word, and leaves it as it was. */
static const struct field fixed_rows[] = {
	F_U32("id", struct vlan_fixed, id, .nl = IFLA_VLAN_ID, .nl_form = NL_U16, .doc = "The tag's number."),
	F_ENUM("protocol", struct vlan_fixed, protocol, protocol_names, .nl = IFLA_VLAN_PROTOCOL, .nl_form = NL_BE16,
	       .nl_values = protocol_values, .doc = "The tag's sort."),
};
static const struct table fixed_table = TABLE("link.vlan.fixed", struct vlan_fixed, fixed_rows);

static void vlan_check(const struct check *check)
{
	const struct vlan_spec *spec = check->object->spec;
	link_common_check(check);
	link_lower_check(check, spec->link);
}

static bool vlan_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	return link_room_on(l, ((const struct vlan_spec *)object->spec)->link, ret);
}

static void vlan_lower(struct lowering *l, const struct object *object)
{
	const struct vlan_spec *spec = object->spec;
	if (!link_claim(l, "spec.id", "%s VLAN %u of %s", protocol_names[spec->protocol], spec->id, spec->link))
		return;
	struct want *link = link_common_want(l, object, &(struct link_common_plan){.kind = "vlan"});
	if (!link)
		return;
	link_stand_on(l, link, spec->link);
	want_set(l, link, "fixed.id", "%u", spec->id);
	want_set(l, link, "fixed.protocol", "%s", protocol_names[spec->protocol]);
}

extern const struct link_kind link_vlan;
const struct link_kind link_vlan = {
	.name = "vlan",
	.object = &netd_vlan_kind,
	.kernel_name = "vlan",
	.module = "8021q",
	.fixed = &fixed_table,
	.room = vlan_room,
};

const struct kind netd_vlan_kind = {
	.name = "Vlan",
	.plural = "vlans",
	.doc = "The frames of a link that carry one tag, as a link of its own, named as the object. Without a MAC of "
	       "its "
	       "own it has that of the link it stands on.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &vlan_table,
	.check = vlan_check,
	.lower = vlan_lower,
	.columns = "spec.link,spec.id,spec.addresses",
};
