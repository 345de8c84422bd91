/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Tap: a persistent tap device for a program of the host's, perhaps a port of a bridge. Guests' taps are no
 * objects: they come with their guest. */
#include "netd/bridge.h"
#include "netd/link.h"

struct tap_spec {
	uint64_t present;
	const char *owner, *group, *bridge;
	uint32_t queues, mtu;
	struct mac mac;
	bool vnet_hdr, up, adopt;
};

enum { TAP_OWNER, TAP_GROUP, TAP_BRIDGE, TAP_QUEUES, TAP_MTU, TAP_MAC, TAP_VNET_HDR };
static const struct field tap_rows[] = {
	[TAP_OWNER] = F_STRING("owner", struct tap_spec, owner, .max = 63,
			       .doc = "User that may open it; else root only.", .example = "weft-qemu"),
	[TAP_GROUP] = F_STRING("group", struct tap_spec, group, .max = 63, .doc = "Group whose members may open it.",
			       .example = "kvm"),
	[TAP_BRIDGE] = F_IFNAME("bridge", struct tap_spec, bridge, .ref = "*",
				.doc = "Bridge that it is a port of; the same can be said by the Bridge's ports.",
				.example = "br7"),
	[TAP_QUEUES] = F_U32("queues", struct tap_spec, queues, .min = 1, .max = 256, .def = "1",
			     .doc = "Queues that a program may open; more than one makes it a multi-queue tap.",
			     .example = "2"),
	[TAP_MTU] = F_U32("mtu", struct tap_spec, mtu, .min = 68, .max = 65521,
			  .doc = "Its MTU; else that of its bridge, else 1500.", .example = "1400"),
	[TAP_MAC] = F_MAC("mac", struct tap_spec, mac,
			  .doc = "MAC of the host's end; else one derived from the host and the name.",
			  .example = "52:54:00:07:07:07"),
	[TAP_VNET_HDR] =
		F_BOOL("vnetHdr", struct tap_spec, vnet_hdr, .def = "true",
		       .doc = "Whether frames carry a virtio header until the program that opens it says otherwise."),
	F_BOOL("up", struct tap_spec, up, .def = "true", .doc = "Whether it is up."),
	F_BOOL("adopt", struct tap_spec, adopt, .def = "false",
	       .doc = "Whether a tap of this name that weft did not make may be taken over."),
};
static const struct table tap_table = TABLE("Tap", struct tap_spec, tap_rows);

static void tap_check(const struct check *check)
{
	const struct tap_spec *spec = check->object->spec;
	if (streq(spec->bridge, check->object->name))
		check_fault(check, "spec.bridge", "a tap cannot be a port of itself");
}

/* Whose port it is. What no manifest says is said here as well: a port that is taken off the list must leave the
 * bridge. */
static void want_master(struct lowering *l, const struct object *object, struct want *link,
			const struct object *lists_it)
{
	const struct tap_spec *spec = object->spec;
	if (has_row(spec, TAP_BRIDGE)) {
		lower_at(l, "spec.bridge");
		want_set(l, link, "master", "%s", spec->bridge);
		needs(l, link, want(l, &netd_link_class, NULL, "%s", spec->bridge));
	} else if (!lists_it) {
		want_set(l, link, "master", "%s", "");
	}
}

static void want_mtu(struct lowering *l, const struct object *object, struct want *link, const struct object *lists_it)
{
	const struct tap_spec *spec = object->spec;
	const char *joins = has_row(spec, TAP_BRIDGE) ? spec->bridge : lists_it ? lists_it->name : NULL;
	uint32_t mtu = has_row(spec, TAP_MTU) ? spec->mtu : joins ? netd_switch_mtu(l, joins) : 0;
	lower_at(l, has_row(spec, TAP_MTU) ? "spec.mtu" : NULL);
	want_set(l, link, "mtu", "%u", mtu ? mtu : 1500);
}

static void tap_lower(struct lowering *l, const struct object *object)
{
	const struct tap_spec *spec = object->spec;
	const struct object *lists_it = netd_bridge_of_port(l, object->name);
	struct mac mac = has_row(spec, TAP_MAC) ? spec->mac : link_stable_mac(object->name);
	const char *holder = NULL;
	char text[IP_TEXT];
	if (!alloc_fixed(l, "link", "name", object->name, &holder)) {
		lower_refuse_beside(l, lower_refuse(l, NULL, "the link name '%s' is taken by %s", object->name, holder),
				    holder);
		return;
	}
	struct want *link = want(l, &netd_link_class, NULL, "%s", object->name);
	link->adopt = spec->adopt;
	want_set(l, link, "kind", "tap");
	want_set(l, link, "mac", "%s", mac_text(&mac, text));
	want_set(l, link, "fixed.multiQueue", "%s", spec->queues > 1 ? "true" : "false");
	want_set(l, link, "fixed.vnetHdr", "%s", spec->vnet_hdr ? "true" : "false");
	want_set(l, link, "info.owner", "%s", has_row(spec, TAP_OWNER) ? spec->owner : "root");
	if (has_row(spec, TAP_GROUP))
		want_set(l, link, "info.group", "%s", spec->group);
	want_set(l, link, "up", "%s", spec->up ? "true" : "false");
	want_mtu(l, object, link, lists_it);
	want_master(l, object, link, lists_it);
	lower_at(l, NULL);
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
