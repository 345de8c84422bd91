/* SPDX-License-Identifier: Apache-2.0 */
/* The host's firewall as weft uses it: what a network wants of it, which iptables there is, who changes it. */
#ifndef WEFT_NETD_FIREWALL_H
#define WEFT_NETD_FIREWALL_H

#include "core/engine.h"

enum netd_firewall_mode { FIREWALL_NAT, FIREWALL_ISOLATED, FIREWALL_ROUTED };
enum netd_firewall_proto { FIREWALL_TCP, FIREWALL_UDP };
struct netd_firewall_forward {
	struct endpoint listen; /* an address of 0 bits: every address of the host */
	int proto;              /* enum netd_firewall_proto */
	struct endpoint to;     /* same family */
};
struct netd_firewall_plan {
	const char *network, *bridge;
	enum netd_firewall_mode mode;
	struct list prefixes;       /* struct ip_prefix: the bridge's addresses, both families */
	bool nat4, nat6;            /* FIREWALL_NAT: translate; a family that is not translated is routed */
	bool dhcp4, dhcp6, dns, ra; /* served on the bridge */
	struct list forwards;       /* struct netd_firewall_forward */
};
/* Wants everything that the network needs of the firewall: rules, sysctls, the zone of firewalld. Returns the rules of
 * IPv4's filter table. What depends on the bridge needs link/BRIDGE by itself. */
struct want *netd_firewall_want(struct lowering *l, const struct netd_firewall_plan *plan);

/* Wants that frames which only cross a bridge pass none of the host's rules. */
void netd_firewall_want_bridged(struct lowering *l);

extern const struct resource_class netd_firewall_path_class, netd_firewalld_zone_class;

/* Registers the facts firewall/backend ("nft" or "legacy") and firewall/ipv6, and begins to listen to nftables. */
int netd_firewall_start(struct engine *engine, struct err *err);
void netd_firewall_stop(void);
/* Who last took rules away, "nft (pid 123)"; NULL if nobody did in the last ten seconds. */
const char *netd_firewall_last_rival(void);

#endif
