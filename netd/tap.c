/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Tap: a persistent tap device for a program of the host's, perhaps a port of a bridge. Guests' taps are no
 * objects: they come with their guest. */
#include "netd/bridge.h"
#include "netd/link-common.h"
#include "netd/link.h"

struct tap_spec {
	struct link_common common;
	const char *owner, *group;
	uint32_t queues;
	bool vnet_hdr;
};

enum { TAP_MTU_MAX = 65521 };

enum { TAP_OWNER, TAP_GROUP };
static const struct field tap_rows[] = {
	[TAP_OWNER] = F_STRING("owner", struct tap_spec, owner, .max = 63,
			       .doc = "User that may open it; else root only.", .example = "weft-qemu"),
	[TAP_GROUP] = F_STRING("group", struct tap_spec, group, .max = 63, .doc = "Group whose members may open it.",
			       .example = "kvm"),
	F_U32("queues", struct tap_spec, queues, .min = 1, .max = 256, .def = "1",
	      .doc = "Queues that a program may open; more than one makes it a multi-queue tap.", .example = "2"),
	F_BOOL("vnetHdr", struct tap_spec, vnet_hdr, .def = "true",
	       .doc = "Whether frames carry a virtio header until the program that opens it says otherwise."),
	LINK_MAC_ROW(struct tap_spec),
	LINK_BRIDGE_ROW(struct tap_spec),
	LINK_DHCP_ROWS(struct tap_spec),
	LINK_COMMON_ROWS(struct tap_spec),
};
static const struct table tap_table = TABLE("Tap", struct tap_spec, tap_rows);

static void tap_check(const struct check *check)
{
	const struct tap_spec *spec = check->object->spec;
	link_common_check(check);
	if (spec->common.mtu > TAP_MTU_MAX)
		check_fault(check, "spec.mtu", "a tap's MTU is at most %d", TAP_MTU_MAX);
}

static void tap_lower(struct lowering *l, const struct object *object)
{
	const struct tap_spec *spec = object->spec;
	const struct link_common_plan plan = {.kind = "tap", .own_mac = true};
	struct want *link = link_common_want(l, object, &plan);
	if (!link)
		return;
	want_set(l, link, "fixed.multiQueue", "%s", spec->queues > 1 ? "true" : "false");
	want_set(l, link, "fixed.vnetHdr", "%s", spec->vnet_hdr ? "true" : "false");
	want_set(l, link, "info.owner", "%s", has_row(spec, TAP_OWNER) ? spec->owner : "root");
	if (has_row(spec, TAP_GROUP))
		want_set(l, link, "info.group", "%s", spec->group);
}

const struct kind netd_tap_kind = {
	.name = "Tap",
	.plural = "taps",
	.doc = "A persistent tap device, named as the object, for a program on this host.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &tap_table,
	.check = tap_check,
	.lower = tap_lower,
	.columns = "spec.owner,spec.bridge,spec.mtu",
};
