/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink-cache.h: the tables, the event socket, and resynchronising. What messages mean is in netlink-events.c. */
#include "netd/netlink-cache.h"

#include <linux/netconf.h>
#include <sys/socket.h>

#include "netd/netlink-fdb.h"
#include "netd/netlink-kept.h"
#include "netd/route-cache.h"

enum { EVENT_BUFFER = 16 * 1024 * 1024, RESYNC_TRIES = 8 };

struct netlink_watched {
	struct netlink_watched *next;
	unsigned what;
	char name[IFNAMSIZ];
};

static size_t hash_name(const char *name)
{
	uint32_t h = 2166136261u;
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h % NETLINK_BUCKETS;
}

struct netlink_link *netlink_link_by_name(const struct netlink_cache *cache, const char *name)
{
	struct netlink_link *l = cache->by_name[hash_name(name)];
	while (l && strcmp(l->name, name) != 0)
		l = l->next_by_name;
	return l;
}

struct netlink_link *netlink_link_by_index(const struct netlink_cache *cache, int index)
{
	struct netlink_link *l = cache->by_index[(unsigned)index % NETLINK_BUCKETS];
	while (l && l->index != index)
		l = l->next_by_index;
	return l;
}

bool netlink_group_used(const struct netlink_cache *cache, uint32_t group)
{
	for (size_t i = 0; i < NETLINK_BUCKETS; i++)
		for (const struct netlink_link *l = cache->by_index[i]; l; l = l->next_by_index)
			if (l->group == group)
				return true;
	return false;
}

static void unlink_name(struct netlink_cache *cache, struct netlink_link *link)
{
	struct netlink_link **at = &cache->by_name[hash_name(link->name)];
	while (*at && *at != link)
		at = &(*at)->next_by_name;
	if (*at)
		*at = link->next_by_name;
}

static void link_name(struct netlink_cache *cache, struct netlink_link *link, const char *name)
{
	snprintf(link->name, sizeof(link->name), "%s", name);
	struct netlink_link **bucket = &cache->by_name[hash_name(link->name)];
	link->next_by_name = *bucket;
	*bucket = link;
}

struct netlink_link *netlink_cache_add(struct netlink_cache *cache, int index, const char *name)
{
	struct netlink_link *link = xcalloc(1, sizeof(*link));
	link->info.data = xcalloc(1, 1); /* walked, also when there is none */
	struct netlink_link **bucket = &cache->by_index[(unsigned)index % NETLINK_BUCKETS];
	link->index = index;
	link->next_by_index = *bucket;
	*bucket = link;
	link_name(cache, link, name);
	return link;
}

void netlink_cache_rename(struct netlink_cache *cache, struct netlink_link *link, const char *name)
{
	unlink_name(cache, link);
	link_name(cache, link, name);
}

size_t netlink_hash_ip(const struct ip *ip)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < (ip->family == 4 ? 4 : sizeof(ip->b)); i++)
		h = (h ^ ip->b[i]) * 16777619u;
	return h % NETLINK_BUCKETS;
}

void netlink_cache_drop_address(struct netlink_cache *cache, struct netlink_address **at)
{
	struct netlink_address *gone = *at, **in = &cache->by_ip[netlink_hash_ip(&gone->prefix.ip)];
	while (*in != gone)
		in = &(*in)->next_by_ip;
	*in = gone->next_by_ip;
	*at = gone->next;
	free(gone);
}

void netlink_cache_remove(struct netlink_cache *cache, struct netlink_link *link)
{
	unlink_name(cache, link);
	struct netlink_link **at = &cache->by_index[(unsigned)link->index % NETLINK_BUCKETS];
	while (*at && *at != link)
		at = &(*at)->next_by_index;
	if (*at)
		*at = link->next_by_index;
	while (link->addresses)
		netlink_cache_drop_address(cache, &link->addresses);
	netlink_fdb_forget(link);
	free(link->alias);
	free(link->info.data);
	free(link->port.data);
	free(link->vlans);
	free(link);
}

static struct netlink_watched *find_watched(const struct netlink_cache *cache, const char *name)
{
	struct netlink_watched *w = cache->watched[hash_name(name)];
	while (w && strcmp(w->name, name) != 0)
		w = w->next;
	return w;
}

unsigned netlink_watches(const struct netlink_cache *cache, const char *name)
{
	const struct netlink_watched *w = find_watched(cache, name);
	return w ? w->what : 0;
}

void netlink_cache_watch(struct netlink_cache *cache, const char *name, enum netlink_watch what)
{
	struct netlink_watched *w = find_watched(cache, name);
	if (!w) {
		struct netlink_watched **bucket = &cache->watched[hash_name(name)];
		w = xcalloc(1, sizeof(*w));
		snprintf(w->name, sizeof(w->name), "%s", name);
		w->next = *bucket;
		*bucket = w;
	}
	w->what |= what;
}

/* What hangs on the cache. */
static void mark_all_dirty(struct netlink_cache *cache)
{
	static const char *const classes[] = {"link",        "address",    "aside-address", "route",
					      "aside-route", "forwarding", "sysctl"};
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		netlink_mark_dirty(cache, classes[i], NULL);
	netlink_mark_dirty(cache, NULL, "link*");
}

void netlink_mark_dirty(struct netlink_cache *cache, const char *class, const char *key)
{
	/* The same mark often comes several times in a row: one change is several events. */
	for (size_t i = cache->n_dirty; i > 0 && i + 8 > cache->n_dirty; i--)
		if (streq(cache->dirty[i - 1].class, class) && streq(cache->dirty[i - 1].key, key))
			return;
	if (cache->n_dirty >= NETLINK_DIRTY_MAX) {
		netlink_dirty_clear(cache);
		mark_all_dirty(cache);
		return;
	}
	grow(cache->dirty, cache->n_dirty, cache->cap_dirty);
	cache->dirty[cache->n_dirty++] = (struct netlink_dirty){class, key ? xstrdup(key) : NULL};
}

void netlink_dirty_clear(struct netlink_cache *cache)
{
	for (size_t i = 0; i < cache->n_dirty; i++)
		free(cache->dirty[i].key);
	cache->n_dirty = 0;
}

static int subscribe(struct netlink_cache *cache, int buffer_bytes, struct err *err)
{
	static const int groups[] = {
		RTNLGRP_LINK,         RTNLGRP_IPV4_IFADDR,  RTNLGRP_IPV6_IFADDR,
		RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF, RTNLGRP_BRVLAN,
	};
	cache->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!cache->events)
		return err_errno(err, errno, "open a netlink socket");
	int size = buffer_bytes ? buffer_bytes : EVENT_BUFFER;
	int fd = mnl_socket_get_fd(cache->events);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_bind(cache->events, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_errno(err, errno, "bind a netlink socket");
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		int group = groups[i];
		/* Without IPv6 or bridges in the kernel their groups are still there, only silent. */
		if (mnl_socket_setsockopt(cache->events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return err_errno(err, errno, "subscribe to the kernel's network events");
	}
	return 0;
}

static int read_all(struct netlink_cache *cache, struct netlink_batch *batch, struct err *err)
{
	static const uint16_t types[] = {RTM_GETLINK, RTM_GETADDR, RTM_GETVLAN};
	struct netlink_question question = {.fn = netlink_cache_message, .ctx = cache};
	int r = 0;
	cache->sweep++;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(types); i++) {
		question.type = types[i];
		r = netlink_ask(batch, &question, err);
	}
	if (r == 0)
		netlink_cache_sweep(cache);
	return r;
}

int netlink_cache_open(struct netlink_cache *cache, struct netlink_batch *batch, int buffer_bytes, struct err *err)
{
	int r = subscribe(cache, buffer_bytes, err);
	if (r == 0)
		r = read_all(cache, batch, err);
	if (r == 0)
		r = netlink_cache_drain(cache, batch, err);
	netlink_dirty_clear(cache);
	return r;
}

void netlink_cache_close(struct netlink_cache *cache)
{
	for (size_t i = 0; i < NETLINK_BUCKETS; i++) {
		while (cache->by_index[i])
			netlink_cache_remove(cache, cache->by_index[i]);
		for (struct netlink_watched *w = cache->watched[i], *next; w; w = next) {
			next = w->next;
			free(w);
		}
	}
	route_cache_close(cache);
	netlink_kept_free(cache);
	netlink_dirty_clear(cache);
	free(cache->dirty);
	if (cache->events)
		mnl_socket_close(cache->events);
}

void netlink_cache_read(struct netlink_cache *cache, const void *data, int size)
{
	for (const struct nlmsghdr *m = data; netlink_message_ok(m, size); m = mnl_nlmsg_next(m, &size))
		netlink_cache_message(cache, m);
}

/* Events were lost, so nothing that is known is sure any more. Netconf events were lost as well: their resources are
 * marked whole. */
static int resync(struct netlink_cache *cache, struct netlink_batch *batch, struct err *err)
{
	cache->n_resyncs++;
	int r = read_all(cache, batch, err);
	route_cache_distrust(cache);
	netlink_fdb_distrust(cache);
	mark_all_dirty(cache);
	return r;
}

/* What has been taken from the socket has been read once the lock is free. */
static ssize_t take_datagram(struct netlink_cache *cache)
{
	netlink_cache_lock();
	ssize_t n = netlink_receive(cache->events, cache->buf, sizeof(cache->buf), MSG_DONTWAIT);
	if (n >= 0)
		netlink_cache_read(cache, cache->buf, (int)n);
	cache->lost |= n == -ENOBUFS || n == -EMSGSIZE;
	netlink_cache_unlock();
	return n;
}

/* After an overflow the kernel drops further events without a word until the queue was emptied once: so what is in it
 * is read first, and only then all is read anew. */
int netlink_cache_drain(struct netlink_cache *cache, struct netlink_batch *batch, struct err *err)
{
	for (int resyncs = 0;;) {
		ssize_t n = take_datagram(cache);
		if (n >= 0 || n == -ENOBUFS || n == -EMSGSIZE)
			continue;
		if (n != -EAGAIN)
			return err_errno(err, (int)-n, "read the kernel's network events");
		if (!cache->lost)
			return route_cache_drain(cache, err);
		if (++resyncs > RESYNC_TRIES)
			return err_set(err, ENOBUFS, "the kernel's network events come faster than they can be read");
		int r = resync(cache, batch, err);
		if (r < 0)
			return r;
		cache->lost = false;
	}
}
