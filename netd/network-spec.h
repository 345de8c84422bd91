/* SPDX-License-Identifier: Apache-2.0 */
/* The decoded spec of a Network, shared by the files that check it, lower it and attach ports to it. Nobody outside of
 * netd/ sees it. */
#ifndef WEFT_NETD_NETWORK_SPEC_H
#define WEFT_NETD_NETWORK_SPEC_H

#include "core/lower.h"

enum network_mode { NETWORK_NAT, NETWORK_ISOLATED, NETWORK_ROUTED, NETWORK_BRIDGED };
enum network_ipv6_mode { IPV6_SLAAC, IPV6_DHCP, IPV6_BOTH, IPV6_NONE };
enum network_proto { PROTO_TCP, PROTO_UDP };

struct network_host {
	uint64_t present;
	const char *name; /* of the guest */
	struct mac mac;
	struct list ips; /* struct ip */
};
struct network_dhcp {
	uint64_t present;
	struct ip_range range, range6;
	uint64_t lease_ms;
	struct list hosts; /* struct network_host */
};
struct network_dns {
	uint64_t present;
	const char *domain;
	struct list records;  /* struct dns_record */
	struct list upstream; /* const char *: "host" or an address */
};
struct network_ipv6 {
	uint64_t present;
	int mode;
	bool nat;
};
struct network_forward {
	uint64_t present;
	struct endpoint listen, to;
	int proto;
};
struct network_spec {
	uint64_t present;
	int mode;
	const char *bridge;
	struct list addresses; /* struct ip_prefix */
	uint32_t mtu, vlan;
	struct mac mac;
	struct network_dhcp dhcp;
	struct network_dns dns;
	struct network_ipv6 ipv6;
	struct list forwards; /* struct network_forward */
};
extern const struct table netd_network_table;
extern const struct kind netd_network_kind;

/* Was the row of this name written? Of a Network's spec, or of the maps in it. */
bool network_has(const struct network_spec *spec, const char *row);
bool network_dhcp_has(const struct network_dhcp *dhcp, const char *row);
bool network_host_has(const struct network_host *host, const char *row);
bool network_dns_has(const struct network_dns *dns, const char *row);

/* The name of the bridge that this Network makes or, when bridged, joins. */
const char *network_bridge(const struct object *network);
/* The Network's address in whose subnet an address lies; NULL if there is none. */
const struct ip_prefix *network_subnet_of(const struct network_spec *spec, const struct ip *ip);
/* Is it an address of the subnet that no host can have (the network's, the broadcast one)? */
bool network_is_edge(const struct ip_prefix *prefix, const struct ip *ip);
/* What an address is that no host has on a network ("a multicast address"); NULL: one that a host can have. */
const char *network_not_for_hosts(const struct ip *ip);
bool network_has_family(const struct network_spec *spec, uint8_t family);
/* What a reservation is called among the network's clients: its name, else its MAC. */
const char *network_host_key(struct arena *arena, const struct network_host *host);
/* Does it answer DHCP, DNS or router solicitations at all? */
bool network_has_services(const struct network_spec *spec);

/* Rules across rows and between objects: network-check.c. */
void network_check(const struct check *check);
/* The part of lowering that is the DHCP and DNS server: network-services.c. */
struct want *network_want_services(struct lowering *l, const struct object *network);

#endif
