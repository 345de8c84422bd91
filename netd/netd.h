/* SPDX-License-Identifier: Apache-2.0 */
/* netd as the daemon and the API see it: what of it runs beside lowering and lanes. */
#ifndef WEFT_NETD_NETD_H
#define WEFT_NETD_NETD_H

#include <jansson.h>

#include "core/engine.h"

/* After the lanes were added: registers facts and begins to watch. What was started stays started when a later part
 * fails; netd_stop() ends it. */
int netd_start(struct engine *engine, struct err *err);
void netd_stop(void);

/* Facts about links and settings: "link/NAME/exists", "link/NAME/mtu", "link/NAME/vfs" (how many virtual functions
 * it can have), "link/NAME/functionOf" (the NIC whose virtual function it is), "link-with/ADDRESS" (the link that has
 * it), "link-towards/ADDRESS" (the link by which the host reaches it), "sysctl/PATH" (with slashes, below /proc/sys).
 */
int netd_links_start(struct engine *engine, struct err *err);
/* The last of them, which follow the host's routes. */
void netd_towards_start(void);
void netd_towards_stop(void);
/* The fact "holds/NAME" (holdings.h): what others gave a link; what weft has set aside of it counts as still held. */
void netd_holdings_start(struct engine *engine);

/* The facts "gateway/ipv4" and "gateway/ipv6": the router over which the host reaches what is far away, as ping(8)
 * takes it. */
void netd_gateway_start(void);
/* Registers the facts "leased/LINK/ipv4" and "leased/LINK/ipv6". */
void netd_leased_start(void);

/* What others do to virtual functions is told to this engine, once the first are wanted. */
void netd_vfs_start(struct engine *engine);
void netd_vfs_stop(void);

/* The DHCP and DNS servers tell this engine when they end. */
int netd_dhcp_start(struct engine *engine, struct err *err);
void netd_dhcp_stop(void);

/* The leases of all networks: [{"network","ip","mac","hostname","guest","expires" (RFC 3339),"family"}]; what is not
 * known is null. */
json_t *netd_leases(void);

/* What this host's links would be as manifests: {"objects": [documents], "remarks": ["sentence", ...]}, the latter for
 * what cannot be written. Blocks, changes nothing, and needs neither loop nor lanes. NULL and err if the kernel does
 * not tell. */
json_t *netd_import(struct err *err);

/* Says what it finds of this host; see core/doctor.h. */
struct doctor;
void netd_doctor(struct doctor *d);

#endif
