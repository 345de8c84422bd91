/* SPDX-License-Identifier: Apache-2.0 */
/* See link-common.h. */
#include "netd/address.h"
#include "netd/link-common.h"

#include "netd/dhcp-client.h"
#include "netd/link-map.h"
#include "netd/link.h"
#include "netd/network-spec.h"
#include "netd/vfs.h"

/* NULL for one that a link can have. A link has link-local ones too, and lo those of loopback. */
static const char *no_links(const struct object *link, const struct ip_prefix *prefix)
{
	const struct ip *ip = &prefix->ip;
	bool own = ip_is_link_local(ip) || (ip->family == 4 && ip->b[0] == 127 && streq(link->name, "lo"));
	const char *why = own ? NULL : network_not_for_hosts(ip);
	bool edge = !why && ip->family == 4 && network_is_edge(prefix, ip);
	return edge ? "the first or last address of its subnet, which no host can have" : why;
}

static void check_addresses(const struct check *check, const struct list *addresses)
{
	char path[48], text[IP_TEXT];
	for (size_t i = 0; i < addresses->n; i++) {
		const struct ip_prefix *a = &list_at(addresses, struct ip_prefix, i);
		const char *why = no_links(check->object, a);
		snprintf(path, sizeof(path), "spec.addresses[%zu]", i);
		if (why)
			check_fault(check, path, "%s is %s", ip_text(&a->ip, text), why);
		for (size_t k = 0; k < i; k++) {
			if (!ip_equal(&a->ip, &list_at(addresses, struct ip_prefix, k).ip))
				continue;
			check_fault(check, path, "this address is named twice");
			break;
		}
	}
}

static void check_dhcp(const struct check *check, const struct link_common *common)
{
	const char *id = common->dhcp_client_id;
	static const char *const details[] = {"dhcpMetric", "dhcpClientId"};
	for (size_t i = 0; i < ARRAY_SIZE(details) && !common->dhcp4 && !common->dhcp6; i++) {
		const struct field *row = table_field(check->object->kind->table, details[i]);
		if (row && is_present(check->object->spec, check->object->kind->table, row))
			check_fault(check, arena_printf(check->diags->arena, "spec.%s", details[i]),
				    "nobody asks for an address here; write dhcp4: true or dhcp6: true");
	}
	if (id && !streq(id, "mac") && !streq(id, "duid") && !dhcp_client_id_valid(id))
		check_fault(check, "spec.dhcpClientId",
			    "a client id is mac, duid, or two to 64 bytes such as 01:52:54:00:07:00:01");
	if ((common->dhcp4 || common->dhcp6) && common->bridge)
		check_fault(check, common->dhcp4 ? "spec.dhcp4" : "spec.dhcp6",
			    "a port of a bridge carries nothing of the host's own; ask for an address on bridge '%s'",
			    common->bridge);
}

void link_common_check(const struct check *check)
{
	const struct link_common *common = check->object->spec;
	check_dhcp(check, common);
	check_addresses(check, &common->addresses);
	routes_check(check, &common->routes, &common->addresses);
	if (streq(common->bridge, check->object->name))
		check_fault(check, "spec.bridge", "a link cannot be a port of itself");
}

void link_names_check(const struct check *check, const char *row, const struct list *names)
{
	char path[64];
	for (size_t i = 0; i < names->n; i++) {
		const char *name = list_at(names, const char *, i);
		snprintf(path, sizeof(path), "spec.%s[%zu]", row, i);
		if (streq(name, check->object->name))
			check_fault(check, path, "a link cannot be a port of itself");
		for (size_t k = 0; k < i; k++) {
			if (!streq(list_at(names, const char *, k), name))
				continue;
			check_fault(check, path, "'%s' is named twice", name);
			break;
		}
	}
}

void link_lower_check(const struct check *check, const char *lower)
{
	if (streq(lower, check->object->name))
		check_fault(check, "spec.link", "a link cannot stand on itself");
}

/* The names of links are one space, whatever kind of object has them. */
bool link_take_name(struct lowering *l, const char *slot, const char *name, const char *path)
{
	const char *holder = NULL;
	if (alloc_fixed(l, "link", slot, name, &holder))
		return true;
	struct diag *diag = lower_refuse(l, path, "the link name '%s' is taken by %s", name, holder);
	lower_refuse_beside(l, diag, holder);
	return false;
}

struct want *link_want_other(struct lowering *l, const char *name)
{
	struct want *link = want(l, &netd_link_class, NULL, "%s", name);
	vfs_lead_to(l, link);
	return link;
}

void link_stand_on(struct lowering *l, struct want *link, const char *lower)
{
	lower_at(l, "spec.link");
	struct want *below = link_want_other(l, lower);
	want_set(l, link, "link", "%s", lower);
	want_default(l, below, "up", "true");
	needs(l, link, below);
	lower_at(l, NULL);
}

void link_send_by(struct lowering *l, struct want *link, const char *lower)
{
	lower_at(l, lower ? "spec.link" : NULL);
	want_set(l, link, "underlay", "%s", lower ? lower : "");
	if (lower)
		needs(l, link, link_want_other(l, lower));
	lower_at(l, NULL);
}

/* Where no manifest names a bridge, this is said as well: a port that is taken off a list must leave. */
void link_join(struct lowering *l, struct want *link, const char *bridge, const char *path)
{
	if (!bridge) {
		want_default(l, link, "master", "%s", "");
		return;
	}
	lower_at(l, path);
	want_set(l, link, "master", "%s", bridge);
	needs(l, link, want(l, &netd_link_class, NULL, "%s", bridge));
	lower_at(l, NULL);
}

enum { MTU_LEAST = 68, IPV6_MTU_LEAST = 1280 };

bool link_mtu_takes(struct lowering *l, const char *link, const struct list *addresses, const char *path)
{
	uint32_t mtu = link_mtu(l, link);
	for (size_t i = 0; mtu && mtu < IPV6_MTU_LEAST && i < addresses->n; i++) {
		if (list_at(addresses, struct ip_prefix, i).ip.family != 6)
			continue;
		lower_refuse(l, arena_printf(lower_arena(l), "%s[%zu]", path, i),
			     "IPv6 needs an MTU of at least %d, and %s has %u", IPV6_MTU_LEAST, link, mtu);
		return false;
	}
	return true;
}

static bool mtu_fits(struct lowering *l, const struct object *object)
{
	const struct link_common *common = object->spec;
	const char *name = link_bridge_of(l, object->name);
	const struct object *bridge = !common->mtu && name ? link_object(l, name) : NULL;
	uint32_t mtu = link_mtu(l, object->name);
	struct link_room room;
	bool limited = link_room(l, object, &room);
	if (room.inside) {
		struct diag *diag = lower_refuse(l, NULL,
						 "%s is in a subnet of the tunnel's own addresses, so that its packets "
						 "would go into the tunnel itself",
						 room.inside);
		diag_hint(lower_diags(l), diag, "give the tunnel addresses of another subnet");
		return false;
	}
	if (!limited || (mtu <= room.most && room.most >= MTU_LEAST))
		return true;
	if (room.most < MTU_LEAST) {
		lower_refuse(l, NULL, "it has no room: %s, and a link needs at least %d", link_room_text(l, &room),
			     MTU_LEAST);
		return false;
	}
	struct diag *diag =
		lower_refuse(l, common->mtu ? "spec.mtu" : NULL, "%u does not fit: %s", mtu, link_room_text(l, &room));
	if (bridge)
		diag_related(lower_diags(l), diag, object_pos(bridge, "spec.mtu"), "its bridge is to have it");
	return false;
}

/* Of a link that is there already only what is written: else it keeps what it has. */
static void want_mtu(struct lowering *l, const struct object *object, struct want *link, bool made)
{
	const struct link_common *common = object->spec;
	uint32_t mtu = made ? link_mtu(l, object->name) : link_mtu_written(l, object);
	if (!mtu)
		return;
	lower_at(l, common->mtu ? "spec.mtu" : NULL);
	want_set(l, link, "mtu", "%u", mtu);
	lower_at(l, NULL);
}

static bool is_mac(const struct mac *mac)
{
	static const struct mac none;
	return memcmp(mac, &none, sizeof(none)) != 0;
}

static void want_mac(struct lowering *l, const struct object *object, struct want *link,
		     const struct link_common_plan *plan)
{
	const struct link_common *common = object->spec;
	bool written = is_mac(&common->mac);
	struct mac mac = written ? common->mac : is_mac(&plan->mac) ? plan->mac : link_stable_mac(object->name);
	char text[IP_TEXT];
	if (!written && !plan->own_mac && !is_mac(&plan->mac))
		return;
	lower_at(l, written ? "spec.mac" : NULL);
	want_set(l, link, "mac", "%s", mac_text(&mac, text));
	lower_at(l, NULL);
}

static void want_addresses(struct lowering *l, const struct object *object, struct want *link)
{
	const struct link_common *common = object->spec;
	for (size_t i = 0; i < common->addresses.n; i++) {
		lower_at(l, arena_printf(lower_arena(l), "spec.addresses[%zu]", i));
		address_want(l, link, &common->addresses, i)->adopt = common->adopt;
	}
	lower_at(l, NULL);
}

/* Every row is said, also where it is the kernel's default: going back to a manifest without a row must undo it. */
struct want *link_common_want(struct lowering *l, const struct object *object, const struct link_common_plan *plan)
{
	const struct link_common *common = object->spec;
	if (!link_take_name(l, "name", object->name, NULL) || !mtu_fits(l, object) ||
	    !link_mtu_takes(l, object->name, &common->addresses, "spec.addresses"))
		return NULL;
	struct want *link =
		plan->kind ? want(l, &netd_link_class, NULL, "%s", object->name) : link_want_other(l, object->name);
	link->adopt = common->adopt;
	lower_at(l, NULL);
	if (plan->kind)
		want_set(l, link, "kind", "%s", plan->kind);
	want_mac(l, object, link, plan);
	want_mtu(l, object, link, plan->kind != NULL);
	want_set(l, link, "up", "%s", common->up ? "true" : "false");
	if (plan->kind || common->bridge)
		link_join(l, link, common->bridge, "spec.bridge");
	want_addresses(l, object, link);
	routes_want(l, link, &common->routes, &common->addresses);
	link_dhcp_want(l, link, common);
	return link;
}
