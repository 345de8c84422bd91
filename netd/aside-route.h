/* SPDX-License-Identifier: Apache-2.0 */
/* See aside-route.c. */
#ifndef WEFT_NETD_ASIDE_ROUTE_H
#define WEFT_NETD_ASIDE_ROUTE_H

#include "netd/route.h"

struct aside_route {
	uint64_t present;
	bool in_place;
	struct route_spec route; /* wanted: as it was when the link was first looked at */
	uint64_t expires_s;      /* since boot; 0: never */
};
extern const struct resource_class netd_aside_route_class;

#endif
