/* SPDX-License-Identifier: Apache-2.0 */
/* Which facts about links and addresses anybody has asked for: the netlink lane's thread tells of changes of these and
 * of no others. See netlink-cache.h. */
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
