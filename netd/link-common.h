/* SPDX-License-Identifier: Apache-2.0 */
/* What the manifest of every link has: MTU, MAC, addresses and the like, and what becomes of it. A kind whose objects
 * are links (KIND_NAME_IS_IFNAME) begins its spec with a struct link_common, and its table has the rows of it among its
 * own:
 *
 *     struct dummy_spec { struct link_common common; bool noisy; };
 *     static const struct field dummy_rows[] = {
 *         F_BOOL("noisy", struct dummy_spec, noisy, .doc = "..."),
 *         LINK_MAC_ROW(struct dummy_spec),
 *         LINK_BRIDGE_ROW(struct dummy_spec),
 *         LINK_DHCP_ROWS(struct dummy_spec),
 *         LINK_COMMON_ROWS(struct dummy_spec),
 *     };
 *
 * Then check() calls link_common_check(), and lower() begins with link_common_want(). */
#ifndef WEFT_NETD_LINK_COMMON_H
#define WEFT_NETD_LINK_COMMON_H

#include "core/lower.h"
#include "netd/route.h"

/* What was not written is zero or NULL. */
struct link_common {
	uint64_t present; /* the presence bits of the whole spec */
	uint32_t mtu;
	struct mac mac;
	const char *bridge;
	struct list addresses; /* struct ip_prefix */
	struct list routes;    /* struct route_row */
	bool up, adopt;
	bool dhcp4, dhcp6; /* of links with LINK_DHCP_ROWS, and so the next two */
	uint32_t dhcp_metric;
	const char *dhcp_client_id;
};

/* clang-format off */
/* The rows that every link has. */
#define LINK_COMMON_ROWS(S) \
	F_U32("mtu", S, common.mtu, .min = 68, .max = 65535, \
	      .doc = "Its MTU; else that of what it joins or stands on, less what its own headers take.", \
	      .example = "1400"), \
	F_LIST("addresses", S, common.addresses, scalar_prefix, .singular = "address", \
	       .doc = "The host's addresses on it; it speaks from the first of each subnet.", \
	       .example = "10.7.0.1/24"), \
	F_STRUCTS("routes", S, common.routes, route_row_table, .singular = "route", .doc = "Routes over it."), \
	F_BOOL("up", S, common.up, .def = "true", .doc = "Whether it is up."), \
	F_BOOL("adopt", S, common.adopt, .def = "false", \
	       .doc = "Whether a link of this name and kind that weft did not make may be taken over.")
/* For links that have a MAC which can be chosen. */
#define LINK_MAC_ROW(S) \
	F_MAC("mac", S, common.mac, \
	      .doc = "Its MAC; else one that stays the same on this host.", .example = "52:54:00:07:00:01")
/* For links that can be ports of a bridge. */
#define LINK_BRIDGE_ROW(S) \
	F_IFNAME("bridge", S, common.bridge, .ref = "*", \
		 .doc = "Bridge that it is a port of; the same can be said by the Bridge's ports.", .example = "br7")
/* For links that can ask for addresses: those with a MAC, and neighbours who hear a broadcast. */
#define LINK_DHCP_ROWS(S) \
	F_BOOL("dhcp4", S, common.dhcp4, .def = "false", \
	       .doc = "Whether the host gets an IPv4 address on it by DHCP, with the routes that come along."), \
	F_BOOL("dhcp6", S, common.dhcp6, .def = "false", \
	       .doc = "Whether the host gets IPv6 addresses on it as the router says: by DHCPv6, its own, or both."), \
	F_U32("dhcpMetric", S, common.dhcp_metric, .def = "1024", .min = 1, .max = INT32_MAX, \
	      .doc = "Metric of the routes that come by dhcp4 and dhcp6; the lowest is used.", .example = "100"), \
	F_STRING("dhcpClientId", S, common.dhcp_client_id, .def = "mac", \
		 .doc = "What dhcp4 tells the server that it is: mac, duid, or bytes.", \
		 .example = "01:52:54:00:07:00:01")
/* clang-format on */

/* Rules of the rows above. */
void link_common_check(const struct check *check);
/* Of a row that lists links (struct list of const char *): none twice, and not the object itself. */
void link_names_check(const struct check *check, const char *row, const struct list *names);

/* Of a link that it stands on or sends by, NULL: none. */
void link_lower_check(const struct check *check, const char *lower);

/* Is the MTU that a link will have enough for these addresses? Else refuses the object, at its list of them. */
bool link_mtu_takes(struct lowering *l, const char *link, const struct list *addresses, const char *path);

/* What a kind says of the link that it wants. */
struct link_common_plan {
	const char *kind; /* as the class link has it: "vxlan"; NULL: the link is there already, and not ours to make */
	bool own_mac;     /* without `mac` it has one that is derived from the host and its name */
	struct mac mac;   /* without `mac`; zeros: none, or as own_mac says */
};
/* Wants the link of the object's name with all of the above, its addresses included; the kind adds its own rows to it.
 * NULL after a refusal. */
struct want *link_common_want(struct lowering *l, const struct object *object, const struct link_common_plan *plan);

/* Wants a link that is not this object's to make: the host has it, another object makes it, or it comes with a virtual
 * function. */
struct want *link_want_other(struct lowering *l, const char *name);
/* The link stands on this one, and goes with it; the path is spec.link. That is raised, since nothing works on one that
 * is down. */
void link_stand_on(struct lowering *l, struct want *link, const char *lower);
/* Its packets leave by this one; NULL: as the routes say. */
void link_send_by(struct lowering *l, struct want *link, const char *lower);
/* It is a port of this bridge, as is said at `path`; NULL: of none, if no other object says otherwise. */
void link_join(struct lowering *l, struct want *link, const char *bridge, const char *path);
/* Takes a name for a link, as is said at `path` (NULL: the object's); false after a refusal. */
bool link_take_name(struct lowering *l, const char *slot, const char *name, const char *path);

#endif
