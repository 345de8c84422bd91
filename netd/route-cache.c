/* SPDX-License-Identifier: Apache-2.0 */
/* See route-cache.h. */
#include "netd/route-cache.h"

#include <sys/socket.h>

#include "netd/route-filter.h"

enum { BUCKETS = 1024, EVENT_BUFFER = 1024 * 1024 };

/* A resource that wants to know. */
struct watcher {
	struct watcher *next;
	const char *class;
	char *key;
	char device[IFNAMSIZ];
	struct ip source;
};

/* A table, destination, tos and metric. */
struct entry {
	struct entry *next;
	struct route_head head;
	struct kernel_route *routes;
	struct watcher *watchers;
};

struct route_cache {
	struct mnl_socket *events;
	struct netlink_batch batch;
	struct entry *buckets[BUCKETS];
	struct ip_prefix *destinations; /* of all entries, for the filter */
	size_t n_destinations, cap_destinations;
	bool filter_stale; /* there are destinations that the filter does not know */
	bool stale;        /* the kernel's routes may be others than those in the entries */
	char buf[NETLINK_BATCH_SIZE];
};

static size_t hash_head(const struct route_head *head)
{
	uint32_t h = 2166136261u ^ head->table ^ head->metric * 31 ^ head->to.len;
	for (size_t i = 0; i < sizeof(head->to.ip.b); i++)
		h = (h ^ head->to.ip.b[i]) * 16777619u;
	return h % BUCKETS;
}

static bool same_head(const struct route_head *a, const struct route_head *b)
{
	return a->table == b->table && a->metric == b->metric && a->tos == b->tos && a->to.len == b->to.len &&
	       ip_equal(&a->to.ip, &b->to.ip);
}

static struct entry *find_entry(const struct route_cache *routes, const struct route_head *head)
{
	struct entry *e = routes->buckets[hash_head(head)];
	while (e && !same_head(&e->head, head))
		e = e->next;
	return e;
}

static struct route_head head_of(const struct route_key *key)
{
	return (struct route_head){.to = key->to, .table = key->table, .metric = key->metric, .tos = key->tos};
}

const struct kernel_route *route_cache_find(const struct netlink_cache *cache, const struct route_key *key)
{
	struct route_head head = head_of(key);
	const struct entry *entry = cache->routes ? find_entry(cache->routes, &head) : NULL;
	return entry ? entry->routes : NULL;
}

/* ---- watching ---- */

static void mark_watchers(struct netlink_cache *cache, const struct entry *entry)
{
	for (const struct watcher *w = entry->watchers; w; w = w->next)
		netlink_mark_dirty(cache, w->class, w->key);
}

static void mark_all(struct netlink_cache *cache)
{
	cache->routes->stale = true;
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct entry *e = cache->routes->buckets[i]; e; e = e->next)
			mark_watchers(cache, e);
}

static void add_destination(struct route_cache *routes, const struct ip_prefix *to)
{
	if (routes->n_destinations > ROUTE_FILTER_MAX)
		return; /* the filter lets everything through */
	for (size_t i = 0; i < routes->n_destinations; i++)
		if (routes->destinations[i].len == to->len && ip_equal(&routes->destinations[i].ip, &to->ip))
			return;
	grow(routes->destinations, routes->n_destinations, routes->cap_destinations);
	routes->destinations[routes->n_destinations++] = *to;
	routes->filter_stale = true;
}

static struct entry *obtain_entry(struct route_cache *routes, const struct route_head *head)
{
	struct entry *entry = find_entry(routes, head);
	if (entry)
		return entry;
	struct entry **bucket = &routes->buckets[hash_head(head)];
	entry = xcalloc(1, sizeof(*entry));
	entry->head = *head;
	entry->next = *bucket;
	*bucket = entry;
	add_destination(routes, &head->to);
	routes->stale = true;
	return entry;
}

void route_cache_watch(struct netlink_cache *cache, const struct route_watch *watch)
{
	struct route_head head = head_of(watch->route);
	if (!cache->routes)
		cache->routes = xcalloc(1, sizeof(*cache->routes));
	struct entry *entry = obtain_entry(cache->routes, &head);
	struct watcher *w = entry->watchers;
	while (w && !(streq(w->class, watch->class) && streq(w->key, watch->key)))
		w = w->next;
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		*w = (struct watcher){.next = entry->watchers, .class = watch->class, .key = xstrdup(watch->key)};
		entry->watchers = w;
	}
	if (watch->device)
		snprintf(w->device, sizeof(w->device), "%s", watch->device);
	if (watch->source && ip_parse(watch->source, &w->source) < 0)
		w->source = (struct ip){0};
}

static bool stands_on(const struct entry *entry, const struct netlink_link *link)
{
	for (const struct watcher *w = entry->watchers; w; w = w->next)
		if (streq(w->device, link->name))
			return true;
	for (const struct kernel_route *r = entry->routes; r; r = r->next)
		if (r->device == link->index)
			return true;
	return false;
}

static bool has_source(const struct entry *entry, const struct ip *address)
{
	for (const struct watcher *w = entry->watchers; w; w = w->next)
		if (ip_equal(&w->source, address))
			return true;
	for (const struct kernel_route *r = entry->routes; r; r = r->next)
		if (ip_equal(&r->source, address))
			return true;
	return false;
}

void route_cache_address_lost(struct netlink_cache *cache, const struct netlink_link *link, const struct ip *address)
{
	for (size_t i = 0; cache->routes && i < BUCKETS; i++) {
		for (const struct entry *e = cache->routes->buckets[i]; e; e = e->next) {
			if (!stands_on(e, link) && !(address && has_source(e, address)))
				continue;
			cache->routes->stale = true;
			mark_watchers(cache, e);
		}
	}
}

void route_cache_link_changed(struct netlink_cache *cache, const struct netlink_link *link)
{
	route_cache_address_lost(cache, link, NULL);
}

void route_cache_distrust(struct netlink_cache *cache)
{
	if (cache->routes)
		mark_all(cache);
}

/* ---- events ---- */

static int subscribe(struct route_cache *routes, struct err *err)
{
	static const int groups[] = {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};
	routes->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!routes->events)
		return err_errno(err, errno, "open a netlink socket");
	int fd = mnl_socket_get_fd(routes->events), size = EVENT_BUFFER;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (mnl_socket_bind(routes->events, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_errno(err, errno, "bind a netlink socket");
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		int group = groups[i];
		if (mnl_socket_setsockopt(routes->events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return err_errno(err, errno, "subscribe to the kernel's route events");
	}
	return 0;
}

/* Before the routes are read: then no event between the two is missed. */
static int update_filter(struct route_cache *routes, struct err *err)
{
	if (!routes->filter_stale)
		return 0;
	if (!routes->batch.socket) {
		int r = netlink_batch_open(&routes->batch, err);
		if (r < 0)
			return r;
	}
	if (!routes->events) {
		int r = subscribe(routes, err);
		if (r < 0) {
			if (routes->events)
				mnl_socket_close(routes->events);
			routes->events = NULL;
			return r;
		}
	}
	/* Without a filter all comes, which costs time only. */
	(void)route_filter_attach(mnl_socket_get_fd(routes->events), routes->destinations, routes->n_destinations);
	routes->filter_stale = false;
	return 0;
}

static void read_event(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	struct route_head head;
	if ((message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE) ||
	    !route_head_read(message, &head))
		return;
	const struct entry *entry = find_entry(cache->routes, &head);
	if (!entry)
		return;
	cache->routes->stale = true;
	mark_watchers(cache, entry);
}

int route_cache_drain(struct netlink_cache *cache, struct err *err)
{
	struct route_cache *routes = cache->routes;
	while (routes && routes->events) {
		ssize_t size = netlink_receive(routes->events, routes->buf, sizeof(routes->buf), MSG_DONTWAIT);
		int left = (int)size;
		if (size == -EAGAIN)
			return 0;
		if (size == -ENOBUFS || size == -EMSGSIZE) {
			mark_all(cache);
			continue;
		}
		if (size < 0)
			return err_errno(err, (int)-size, "read the kernel's route events");
		for (const struct nlmsghdr *m = (void *)routes->buf; netlink_message_ok(m, left);
		     m = mnl_nlmsg_next(m, &left))
			read_event(cache, m);
	}
	return 0;
}

/* ---- reading all ---- */

static bool same_way(const struct kernel_route *a, const struct kernel_route *b)
{
	return a->device == b->device && ip_equal(&a->via, &b->via) && a->type == b->type &&
	       a->protocol == b->protocol && ip_equal(&a->source, &b->source);
}

/* A dump that was interrupted begins anew, and then tells some twice. */
static void add_route(struct entry *entry, struct kernel_route *route)
{
	struct kernel_route **at = &entry->routes;
	while (*at && !same_way(*at, route))
		at = &(*at)->next;
	if (*at)
		kernel_route_free(route);
	else
		*at = route;
}

static void take_route(void *ctx, const struct nlmsghdr *message)
{
	const struct route_cache *routes = ctx;
	struct route_head head;
	if (message->nlmsg_type != RTM_NEWROUTE || !route_head_read(message, &head))
		return;
	struct entry *entry = find_entry(routes, &head);
	struct kernel_route *route = entry ? route_message_read(message) : NULL;
	for (struct kernel_route *next; route; route = next) {
		next = route->next;
		route->next = NULL;
		add_route(entry, route);
	}
}

static void clear_entry(struct entry *entry)
{
	for (struct kernel_route *r = entry->routes, *next; r; r = next) {
		next = r->next;
		kernel_route_free(r);
	}
	entry->routes = NULL;
}

int route_cache_refresh(struct netlink_cache *cache, struct err *err)
{
	struct route_cache *routes = cache->routes;
	int r = routes ? update_filter(routes, err) : 0;
	if (!routes || !routes->stale || r < 0)
		return r;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry *e = routes->buckets[i]; e; e = e->next)
			clear_entry(e);
	struct netlink_question question = {.type = RTM_GETROUTE, .family = AF_INET, .fn = take_route, .ctx = routes};
	r = netlink_ask(&routes->batch, &question, err);
	question.family = AF_INET6;
	if (r == 0)
		r = netlink_ask(&routes->batch, &question, err);
	routes->stale = r < 0;
	return r;
}

int route_cache_fd(const struct netlink_cache *cache)
{
	return cache->routes && cache->routes->events ? mnl_socket_get_fd(cache->routes->events) : -1;
}

static void free_entry(struct entry *entry)
{
	clear_entry(entry);
	for (struct watcher *w = entry->watchers, *next; w; w = next) {
		next = w->next;
		free(w->key);
		free(w);
	}
	free(entry);
}

void route_cache_close(struct netlink_cache *cache)
{
	struct route_cache *routes = take_ptr(cache->routes);
	if (!routes)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct entry *e = routes->buckets[i], *next; e; e = next) {
			next = e->next;
			free_entry(e);
		}
	}
	if (routes->events)
		mnl_socket_close(routes->events);
	netlink_batch_close(&routes->batch);
	free(routes->destinations);
	free(routes);
}
