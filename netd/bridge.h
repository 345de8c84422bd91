/* SPDX-License-Identifier: Apache-2.0 */
/* What a Bridge and the links that are its ports need to know of each other in lowering. */
#ifndef WEFT_NETD_BRIDGE_H
#define WEFT_NETD_BRIDGE_H

#include "netd/bridge-port.h"

extern const struct kind netd_bridge_kind, netd_tap_kind;

/* The Bridge whose `ports` name this link; NULL if none does. */
const struct object *netd_bridge_of_port(struct lowering *l, const char *port);
/* The MTU that a port without one of its own takes over from what it joins; 0 when the switch is nobody's object
 * here. */
uint32_t netd_switch_mtu(struct lowering *l, const char *switch_name);
/* What a Bridge does with VLANs; nothing if it is nobody's object here. */
struct bridge_filter netd_bridge_filter(struct lowering *l, const char *bridge);
struct bridge_filter netd_bridge_filter_of(const struct object *bridge);

#endif
