/* SPDX-License-Identifier: Apache-2.0 */
/* A filter of the kernel's on a socket of route events. */
#ifndef WEFT_NETD_ROUTE_FILTER_H
#define WEFT_NETD_ROUTE_FILTER_H

#include "netd/route.h"

enum { ROUTE_FILTER_MAX = 128 };

/* Lets through what is about these destinations, and about routes of weft. Without destinations: everything; as also
 * when there are too many to tell them apart so. 0 or -errno. */
int route_filter_attach(int fd, const struct ip_prefix *destinations, size_t n);
/* Lets through what may decide by which way these addresses are reached: routes to subnets that they may be in, default
 * routes, and rules. Too many: everything. 0 or -errno. */
int route_filter_attach_towards(int fd, const struct ip *addresses, size_t n);

#endif
