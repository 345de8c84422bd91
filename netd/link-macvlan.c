/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Macvlan: a second MAC on a link, as a link of its own. */
#include <linux/if_link.h>

#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"

extern const struct kind netd_macvlan_kind;

enum { MODE_PASSTHRU = 3 };
static const char *const mode_names[] = {"private", "vepa", "bridge", "passthru"};
static const uint32_t mode_values[] = {MACVLAN_MODE_PRIVATE, MACVLAN_MODE_VEPA, MACVLAN_MODE_BRIDGE,
				       MACVLAN_MODE_PASSTHRU};

struct macvlan_spec {
	struct link_common common;
	const char *link;
	int mode;
};

static const struct field macvlan_rows[] = {
	F_IFNAME("link", struct macvlan_spec, link, .flags = FIELD_REQUIRED, .ref = "*",
		 .doc = "The link that it shares.", .example = "eth0"),
	F_ENUM("mode", struct macvlan_spec, mode, mode_names, .def = "bridge",
	       .doc = "Whether it and its like on the link reach each other: bridge: yes; vepa: by way of the switch; "
		      "private: no. passthru: it has the link for itself."),
	LINK_MAC_ROW(struct macvlan_spec),
	LINK_DHCP_ROWS(struct macvlan_spec),
	LINK_COMMON_ROWS(struct macvlan_spec),
};
static const struct table macvlan_table = TABLE("Macvlan", struct macvlan_spec, macvlan_rows);

/* The kernel changes between the modes, but neither into nor out of passthru. */
struct macvlan_fixed {
	uint64_t present;
	bool passthru;
};
static const struct field fixed_rows[] = {
	F_BOOL("passthru", struct macvlan_fixed, passthru, .doc = "Whether it has the link for itself."),
};
static const struct table fixed_table = TABLE("link.macvlan.fixed", struct macvlan_fixed, fixed_rows);

struct macvlan_info {
	uint64_t present;
	int mode;
};
static const struct field info_rows[] = {
	F_ENUM("mode", struct macvlan_info, mode, mode_names, .nl = IFLA_MACVLAN_MODE, .nl_form = NL_U32,
	       .nl_values = mode_values, .doc = "Whom it reaches on the link."),
};
static const struct table info_table = TABLE("link.macvlan", struct macvlan_info, info_rows);

static void macvlan_decode(const struct netlink_cache *cache, const struct netlink_link *link,
			   const struct link_spec *want, struct link_spec *seen, struct arena *arena)
{
	const struct macvlan_info *info = seen->info;
	struct macvlan_fixed *fixed = seen->fixed;
	fixed->passthru = has_row(info, 0) && info->mode == MODE_PASSTHRU;
	set_present(fixed, 0);
}

static void macvlan_check(const struct check *check)
{
	const struct macvlan_spec *spec = check->object->spec;
	const struct object *other;
	link_common_check(check);
	link_lower_check(check, spec->link);
	for (size_t i = 0; (other = check->at(check, i)); i++) {
		const struct macvlan_spec *its = other->spec;
		if (other == check->object || other->kind != &netd_macvlan_kind || !streq(its->link, spec->link) ||
		    spec->mode != MODE_PASSTHRU)
			continue;
		diag_related(check->diags,
			     check_fault(check, "spec.mode", "in mode passthru it has %s for itself", spec->link),
			     object_pos(other, "spec.link"), "which this one shares");
	}
}

static bool macvlan_room(struct lowering *l, const struct object *object, struct link_room *ret)
{
	return link_room_on(l, ((const struct macvlan_spec *)object->spec)->link, ret);
}

static void macvlan_lower(struct lowering *l, const struct object *object)
{
	const struct macvlan_spec *spec = object->spec;
	/* In passthru the link below takes its MAC. */
	const struct link_common_plan plan = {.kind = "macvlan", .own_mac = spec->mode != MODE_PASSTHRU};
	struct want *link = link_common_want(l, object, &plan);
	if (!link)
		return;
	link_stand_on(l, link, spec->link);
	want_set(l, link, "fixed.passthru", "%s", spec->mode == MODE_PASSTHRU ? "true" : "false");
	want_set(l, link, "info.mode", "%s", mode_names[spec->mode]);
}

extern const struct link_kind link_macvlan;
const struct link_kind link_macvlan = {
	.name = "macvlan",
	.object = &netd_macvlan_kind,
	.kernel_name = "macvlan",
	.fixed = &fixed_table,
	.info = &info_table,
	.room = macvlan_room,
	.decode = macvlan_decode,
};

const struct kind netd_macvlan_kind = {
	.name = "Macvlan",
	.plural = "macvlans",
	.doc = "A second MAC on a link, as a link of its own, named as the object. The host itself does not reach the "
	       "link's own addresses through it.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &macvlan_table,
	.check = macvlan_check,
	.lower = macvlan_lower,
	.columns = "spec.link,spec.mode,spec.addresses",
};
