/* SPDX-License-Identifier: Apache-2.0 */
/* What a Bridge and the links that are its ports need to know of each other in lowering. */
#ifndef WEFT_NETD_BRIDGE_H
#define WEFT_NETD_BRIDGE_H

#include "netd/bridge-port.h"

extern const struct kind netd_bridge_kind, netd_tap_kind;

/* The names in a Bridge's `ports` in turn; NULL ends, and at once for any other object. */
const char *netd_bridge_port_at(const struct object *object, size_t i);
/* Is it a Bridge with a spanning tree? */
bool netd_bridge_has_stp(const struct object *object);
/* What a Bridge does with VLANs; nothing if it is nobody's object here. */
struct bridge_filter netd_bridge_filter(struct lowering *l, const char *bridge);
struct bridge_filter netd_bridge_filter_of(const struct object *bridge);

#endif
