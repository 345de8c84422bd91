/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Ipvlan: further addresses on a link, under the link's own MAC, as a link of its own. */
#include <linux/if_link.h>

#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"

extern const struct kind netd_ipvlan_kind;

/* In the kernel's order. */
static const char *const mode_names[] = {"l2", "l3", "l3s"};
static const char *const reach_names[] = {"bridge", "private", "vepa"};

struct ipvlan_spec {
	struct link_common common;
	const char *link;
	int mode, reach;
};

static const struct field ipvlan_rows[] = {
	F_IFNAME("link", struct ipvlan_spec, link, .flags = FIELD_REQUIRED, .ref = "*",
		 .doc = "The link that it shares.", .example = "eth0"),
	F_ENUM("mode", struct ipvlan_spec, mode, mode_names, .def = "l2",
	       .doc = "Whether it sends frames (l2), or packets that the host routes (l3, and l3s with its firewall); "
		      "one "
		      "for all on a link."),
	F_ENUM("reach", struct ipvlan_spec, reach, reach_names, .def = "bridge",
	       .doc = "Whether it and its like on the link reach each other: bridge: yes; vepa: by way of the switch; "
		      "private: no. One for all on a link."),
	LINK_COMMON_ROWS(struct ipvlan_spec),
};
static const struct table ipvlan_table = TABLE("Ipvlan", struct ipvlan_spec, ipvlan_rows);

struct ipvlan_info {
	uint64_t present;
	int mode, reach;
};
static const struct field info_rows[] = {
	F_ENUM("mode", struct ipvlan_info, mode, mode_names, .nl = IFLA_IPVLAN_MODE, .nl_form = NL_U16,
	       .doc = "What it sends."),
	F_ENUM("reach", struct ipvlan_info, reach, reach_names, .nl = IFLA_IPVLAN_FLAGS, .nl_form = NL_U16,
	       .doc = "Whom it reaches on the link."),
};
static const struct table info_table = TABLE("link.ipvlan", struct ipvlan_info, info_rows);

static void check_one(const struct check *check, const struct object *other, const char *path, bool same)
{
	const struct ipvlan_spec *spec = check->object->spec;
	if (same)
		return;
	struct diag *diag =
		check_fault(check, path, "all that share %s as Ipvlans have one mode and reach", spec->link);
	diag_related(check->diags, diag, object_pos(other, path), "this one has another");
}

static void ipvlan_check(const struct check *check)
{
	const struct ipvlan_spec *spec = check->object->spec;
	const struct object *other;
	link_common_check(check);
	link_lower_check(check, spec->link);
	for (size_t i = 0; (other = check->at(check, i)) && other != check->object; i++) {
		const struct ipvlan_spec *its = other->spec;
		if (other->kind != &netd_ipvlan_kind || !streq(its->link, spec->link))
			continue;
		check_one(check, other, "spec.mode", its->mode == spec->mode);
		check_one(check, other, "spec.reach", its->reach == spec->reach);
	}
}

static bool ipvlan_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	return link_room_on(l, ((const struct ipvlan_spec *)object->spec)->link, ret);
}

static void ipvlan_lower(struct lowering *l, const struct object *object)
{
	const struct ipvlan_spec *spec = object->spec;
	struct want *link = link_common_want(l, object, &(struct link_common_plan){.kind = "ipvlan"});
	if (!link)
		return;
	link_stand_on(l, link, spec->link);
	want_set(l, link, "info.mode", "%s", mode_names[spec->mode]);
	want_set(l, link, "info.reach", "%s", reach_names[spec->reach]);
}

extern const struct link_kind link_ipvlan;
const struct link_kind link_ipvlan = {
	.name = "ipvlan",
	.object = &netd_ipvlan_kind,
	.kernel_name = "ipvlan",
	.info = &info_table,
	.room = ipvlan_room,
};

const struct kind netd_ipvlan_kind = {
	.name = "Ipvlan",
	.plural = "ipvlans",
	.doc = "Further addresses on a link, under the link's own MAC, as a link of its own, named as the object: for "
	       "switches that allow a port one MAC.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &ipvlan_table,
	.check = ipvlan_check,
	.lower = ipvlan_lower,
	.columns = "spec.link,spec.mode,spec.addresses",
};
