/* SPDX-License-Identifier: Apache-2.0 */
/* What a Network offers to whatever attaches to it. Guests call this in their lower(); everything that a port needs on
 * the network's side (its tap by the port backend, its DHCP reservation, its policy) is wanted here, so that guests
 * know no kind of network. */
#ifndef WEFT_NETD_NETWORK_H
#define WEFT_NETD_NETWORK_H

#include "core/lower.h"

struct netd_port {
	const char *network; /* name of the Network */
	const char *guest;   /* name of the guest: DHCP host name, key of the network's dhcp.hosts */
	bool first;          /* the guest's first interface on this network: takes the hosts entry of its name */
	const char *tap;     /* link name, from alloc_link_name() */
	const char *mac;     /* guest's MAC */
	const char *owner;   /* user that opens the tap: "weft-qemu" */
	struct list ips;     /* struct ip: what the manifest fixes for this interface */
	uint32_t queues;
	bool isolated; /* from other ports of the network that are isolated */
	const char *path; /* "spec.interfaces[0]", for refusals */
};
/* Wants the port; returns its tap's want, NULL after a refusal. */
struct want *netd_port_want(struct lowering *l, const struct netd_port *port);
/* The MTU of ports on this network. */
uint32_t netd_port_mtu(struct lowering *l, const char *network);

#endif
