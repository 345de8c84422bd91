/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel has of the routes that weft wants to know about, beside the cache of links and addresses. Most hosts
 * have few routes, some have a million that a routing daemon changes all the time: so nothing is subscribed before a
 * route is asked for, and then the socket has a filter that lets only events about such destinations through, and those
 * about routes of weft.
 *
 * An event is not applied but believed to mean that something has changed: then all routes are read once, for whatever
 * is asked. Reading is rare, and the kernel's events tell too little (a route that replaced another names only itself;
 * one that went with its link or its address makes no event at all). */
#ifndef WEFT_NETD_ROUTE_CACHE_H
#define WEFT_NETD_ROUTE_CACHE_H

#include "netd/route-message.h"

struct route_cache;

/* From now on the route is known, and what changes about it marks the resource class/key dirty. `device` and `source`
 * (may be NULL): losing them takes it along without an event. Call for all that is to be asked for, then refresh. */
struct route_watch {
	const char *class, *key;
	const struct route_key *route;
	const char *device, *source;
};
void route_cache_watch(struct netlink_cache *cache, const struct route_watch *watch);

/* The routes with this table, destination, tos and metric, as the kernel has them in this order. */
const struct kernel_route *route_cache_find(const struct netlink_cache *cache, const struct route_key *key);

/* Takes all events that are there. */
int route_cache_drain(struct netlink_cache *cache, struct err *err);
/* Reads the kernel's routes anew if anything may have changed since. */
int route_cache_refresh(struct netlink_cache *cache, struct err *err);
int route_cache_fd(const struct netlink_cache *cache); /* -1: nothing is subscribed */
void route_cache_close(struct netlink_cache *cache);

/* The link has gone down, come up or gone; or lost an address: marks what the kernel may have dropped with it. */
void route_cache_link_changed(struct netlink_cache *cache, const struct netlink_link *link);
void route_cache_address_lost(struct netlink_cache *cache, const struct netlink_link *link, const struct ip *address);
/* Events were lost: all may be otherwise. */
void route_cache_distrust(struct netlink_cache *cache);

#endif
