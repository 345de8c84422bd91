/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Veth: a pair of links, of which each hears what the other is sent. Both ends are one object: they are made
 * and go together. An end that somebody moves to another namespace is missed here; it is not fetched back. */
#include <linux/veth.h>

#include "netd/address.h"
#include "netd/import.h"
#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"

extern const struct kind netd_veth_kind;

struct veth_peer {
	uint64_t present;
	const char *name, *bridge;
	struct mac mac;
	struct list addresses; /* struct ip_prefix */
	bool up;
};
struct veth_spec {
	struct link_common common;
	struct veth_peer peer;
};

static const struct field peer_rows[] = {
	F_IFNAME("name", struct veth_peer, name, .flags = FIELD_REQUIRED, .doc = "Name of the other end.",
		 .example = "veth1"),
	F_MAC("mac", struct veth_peer, mac, .doc = "Its MAC; else one that stays the same on this host.",
	      .example = "52:54:00:07:00:02"),
	F_IFNAME("bridge", struct veth_peer, bridge, .ref = "*", .doc = "Bridge that it is a port of.",
		 .example = "br7"),
	F_LIST("addresses", struct veth_peer, addresses, scalar_prefix, .singular = "address",
	       .doc = "The host's addresses on it.", .example = "10.7.0.1/24"),
	F_BOOL("up", struct veth_peer, up, .def = "true", .doc = "Whether it is up."),
};
static const struct table peer_table = TABLE("Veth.peer", struct veth_peer, peer_rows);

static const struct field veth_rows[] = {
	F_STRUCT("peer", struct veth_spec, peer, peer_table, .flags = FIELD_REQUIRED,
		 .doc = "The other end; the MTU is that of both."),
	LINK_MAC_ROW(struct veth_spec),
	LINK_BRIDGE_ROW(struct veth_spec),
	LINK_DHCP_ROWS(struct veth_spec),
	LINK_COMMON_ROWS(struct veth_spec),
};
static const struct table veth_table = TABLE("Veth", struct veth_spec, veth_rows);

enum { FIXED_PEER, FIXED_PEER_MAC };
struct veth_fixed {
	uint64_t present;
	const char *peer;
	struct mac peer_mac;
};
/* An end that is made without a MAC gets one from the kernel, and another from udev before weft has seen it. So the
 * message that makes the pair says it; later it is a row of the end's own. */
static const struct field fixed_rows[] = {
	[FIXED_PEER] = F_STRING("peer", struct veth_fixed, peer, .max = 15, .doc = "The other end."),
	[FIXED_PEER_MAC] = F_MAC("peerMac", struct veth_fixed, peer_mac, .flags = FIELD_WEAK,
				 .doc = "The MAC that the other end is made with."),
};
static const struct table fixed_table = TABLE("link.veth.fixed", struct veth_fixed, fixed_rows);

static int veth_prepare(const struct netlink_cache *cache, struct op *op)
{
	const char *peer = ((const struct veth_fixed *)((const struct link_spec *)op->want)->fixed)->peer;
	if (!netlink_link_by_name(cache, peer))
		return 0;
	return err_set(&op->err, EADDRINUSE, "there is a link '%s' already, which is to be its other end", peer);
}

static void veth_put(struct nlmsghdr *message, const struct link_spec *want)
{
	const struct veth_fixed *fixed = want->fixed;
	struct nlattr *nest = mnl_attr_nest_start(message, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(message, IFLA_IFNAME, fixed->peer);
	if (has_row(fixed, FIXED_PEER_MAC))
		mnl_attr_put(message, IFLA_ADDRESS, sizeof(fixed->peer_mac), &fixed->peer_mac);
	mnl_attr_put_u32(message, IFLA_GROUP, LINK_GROUP);
	if (has_row(want, LINK_MTU))
		mnl_attr_put_u32(message, IFLA_MTU, want->mtu);
	mnl_attr_nest_end(message, nest);
}

/* In another namespace its name cannot be seen, and is taken to be as it was. */
static void veth_decode(const struct netlink_cache *cache, const struct netlink_link *link,
			const struct link_spec *want, struct link_spec *seen, struct arena *arena)
{
	const struct veth_fixed *wanted = want && has_row(want, LINK_FIXED) ? want->fixed : NULL;
	const struct netlink_link *peer = link->elsewhere ? NULL : netlink_link_by_index(cache, link->lower);
	struct veth_fixed *fixed = seen->fixed;
	fixed->peer = peer ? arena_strdup(arena, peer->name) : wanted && link->elsewhere ? wanted->peer : "";
	set_present(fixed, FIXED_PEER);
}

static void veth_check(const struct check *check)
{
	const struct veth_spec *spec = check->object->spec;
	link_common_check(check);
	if (streq(spec->peer.name, check->object->name))
		check_fault(check, "spec.peer.name", "the two ends need two names");
}

static const struct link_end *veth_other_end(struct arena *arena, const struct object *object)
{
	const struct veth_peer *peer = &((const struct veth_spec *)object->spec)->peer;
	struct link_end *end = arena_new_of(arena, struct link_end);
	*end = (struct link_end){peer->name, peer->bridge, &peer->addresses};
	return end;
}

/* The end comes with the first one, so nothing is said of what sort it is: that is for links that are made. */
static void want_peer(struct lowering *l, const struct object *object, struct want *link)
{
	static const struct mac none;
	const struct veth_peer *peer = &((const struct veth_spec *)object->spec)->peer;
	bool has_mac = memcmp(&peer->mac, &none, sizeof(none)) != 0;
	struct mac mac = has_mac ? peer->mac : link_stable_mac(peer->name);
	char text[IP_TEXT];
	want_set(l, link, "fixed.peer", "%s", peer->name);
	want_set(l, link, "fixed.peerMac", "%s", mac_text(&mac, text));
	struct want *end = want(l, &netd_link_class, NULL, "%s", peer->name);
	want_set(l, end, "mac", "%s", mac_text(&mac, text));
	want_set(l, end, "mtu", "%u", link_mtu(l, object->name));
	want_set(l, end, "up", "%s", peer->up ? "true" : "false");
	needs(l, end, link);
	link_join(l, end, peer->bridge, "spec.peer.bridge");
	for (size_t i = 0; i < peer->addresses.n; i++) {
		lower_at(l, arena_printf(lower_arena(l), "spec.peer.addresses[%zu]", i));
		address_want(l, end, &peer->addresses, i)->adopt = link->adopt;
	}
	lower_at(l, NULL);
}

static void veth_lower(struct lowering *l, const struct object *object)
{
	const char *peer = ((const struct veth_spec *)object->spec)->peer.name;
	struct want *link = link_common_want(l, object, &(struct link_common_plan){.kind = "veth", .own_mac = true});
	const struct list *addresses = &((const struct veth_spec *)object->spec)->peer.addresses;
	if (!link || !link_take_name(l, "peer", peer, "spec.peer.name") ||
	    !link_mtu_takes(l, object->name, addresses, "spec.peer.addresses"))
		return;
	want_peer(l, object, link);
}

static void veth_import(const struct link_import *import, json_t *spec)
{
	const struct netlink_link *link = netlink_link_by_index(import->host->cache, import->link->lower);
	char text[IP_TEXT];
	if (!link)
		return;
	json_t *peer = json_pack("{s:s, s:s}", "name", link->name, "mac", mac_text(&link->mac, text));
	json_t *addresses = import_addresses(import->host, link, false), *routes = import_routes(import->host, link);
	if (json_array_size(addresses))
		json_object_set(peer, "addresses", addresses);
	if (json_array_size(routes))
		import_remark(import->host,
			      "%s: its static routes stay as they are; of a pair only %s can say what routes it has.",
			      link->name, import->link->name);
	json_decref(addresses);
	json_decref(routes);
	if (!(link->flags & IFF_UP))
		json_object_set_new(peer, "up", json_false());
	json_object_set_new(spec, "peer", peer);
}

extern const struct link_kind link_veth;
const struct link_kind link_veth = {
	.name = "veth",
	.object = &netd_veth_kind,
	.kernel_name = "veth",
	.fixed = &fixed_table,
	.follows_bridge = true,
	.other_end = veth_other_end,
	.import = veth_import,
	.prepare = veth_prepare,
	.put = veth_put,
	.decode = veth_decode,
};

const struct kind netd_veth_kind = {
	.name = "Veth",
	.plural = "veths",
	.doc = "A pair of links, of which each hears what the other is sent; the object's name is that of the first. "
	       "Both "
	       "ends are in the host's own network namespace.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &veth_table,
	.check = veth_check,
	.lower = veth_lower,
	.columns = "spec.peer.name,spec.addresses",
};
