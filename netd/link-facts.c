/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about links and addresses, between lowering, which asks for them, and the netlink lane's thread, which follows
 * the host: which of them anybody has asked for, as it tells of changes of these and of no others; and the answers to
 * those that would otherwise take a dump. See netlink-cache.h. */
#include <net/if.h>
#include <poll.h>
#include <pthread.h>

#include "netd/netlink-cache.h"

struct asked {
	struct asked *next;
	char *what;
};
enum { ASKED_BUCKETS = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct asked *asked[ASKED_BUCKETS];

static struct asked **bucket_of(const char *what)
{
	uint32_t h = 2166136261u;
	for (const char *p = what; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return &asked[h % ASKED_BUCKETS];
}

static bool find(const char *what)
{
	const struct asked *a = *bucket_of(what);
	while (a && !streq(a->what, what))
		a = a->next;
	return a != NULL;
}

void netlink_facts_watch(const char *what)
{
	pthread_mutex_lock(&lock);
	if (!find(what)) {
		struct asked *a = xcalloc(1, sizeof(*a)), **bucket = bucket_of(what);
		a->what = xstrdup(what);
		a->next = *bucket;
		*bucket = a;
	}
	pthread_mutex_unlock(&lock);
}

bool netlink_facts_watched(const char *what)
{
	pthread_mutex_lock(&lock);
	bool found = find(what);
	pthread_mutex_unlock(&lock);
	return found;
}

const char *netlink_fact_link(const char *key, char ret[static IFNAMSIZ])
{
	const char *name = strchr(key, '/') + 1, *what = strrchr(name, '/');
	if (!what || what == name || what - name >= IFNAMSIZ)
		return NULL;
	snprintf(ret, IFNAMSIZ, "%.*s", (int)(what - name), name);
	cleanup_free char *watched = xstrndup(key, (size_t)(what - key));
	netlink_facts_watch(watched);
	return what;
}

/* ---- answers out of the cache ---- */

static pthread_mutex_t cache_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static const struct netlink_cache *open_cache;

void netlink_cache_lock(void)
{
	pthread_mutex_lock(&cache_lock);
}

void netlink_cache_unlock(void)
{
	pthread_mutex_unlock(&cache_lock);
}

void netlink_facts_open(const struct netlink_cache *cache)
{
	netlink_cache_lock();
	open_cache = cache;
	netlink_cache_unlock();
}

bool netlink_leads_on(unsigned flags)
{
	return !(flags & IFF_LOOPBACK) && (!(flags & IFF_NOARP) || flags & IFF_POINTOPOINT);
}

/* Whoever changed something before he asked, finds it here: the kernel tells of it before it answers him. */
static bool is_up_to_date(const struct netlink_cache *cache)
{
	struct pollfd fd = {.fd = cache ? mnl_socket_get_fd(cache->events) : -1, .events = POLLIN};
	return cache && !cache->lost && poll(&fd, 1, 0) == 0;
}

static const struct netlink_link *link_with(const struct netlink_cache *cache, const struct ip *ip)
{
	const struct netlink_link *best = NULL;
	for (const struct netlink_address *a = cache->by_ip[netlink_hash_ip(ip)]; a; a = a->next_by_ip)
		if (ip_equal(&a->prefix.ip, ip) && netlink_leads_on(a->link->flags) &&
		    (!best || a->link->index < best->index))
			best = a->link;
	return best;
}

int netlink_facts_link_with(const struct ip *ip, char ret[static IFNAMSIZ])
{
	int r = -EAGAIN;
	if (pthread_mutex_trylock(&cache_lock) != 0)
		return r;
	if (is_up_to_date(open_cache)) {
		const struct netlink_link *link = link_with(open_cache, ip);
		r = link ? 0 : -ENOENT;
		if (link)
			memcpy(ret, link->name, IFNAMSIZ);
	}
	netlink_cache_unlock();
	return r;
}

void netlink_facts_look(void (*fn)(const struct netlink_cache *cache, void *ctx), void *ctx)
{
	netlink_cache_lock();
	if (open_cache)
		fn(open_cache, ctx);
	netlink_cache_unlock();
}
