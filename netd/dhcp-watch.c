/* SPDX-License-Identifier: Apache-2.0 */
/* Looks after the directories of clients' files: what somebody else changes there is observed anew, and put back. Our
 * own writes are seen as well, which costs one more look. */
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/watch.h"
#include "netd/dnsmasq.h"

struct watch {
	char *network;
	sd_event_source *source;
	struct watch *next;
};
static struct watch *watches;
static struct engine *told;

static void watch_free(struct watch *watch)
{
	for (struct watch **at = &watches; *at; at = &(*at)->next) {
		if (*at == watch) {
			*at = watch->next;
			break;
		}
	}
	sd_event_source_disable_unref(watch->source);
	free(watch->network);
	free(watch);
}

static int on_event(sd_event_source *source, const struct inotify_event *event, void *ctx)
{
	struct watch *watch = ctx;
	cleanup_free char *key = event->len ? xprintf("%s/%s", watch->network, event->name) : NULL;
	engine_dirty(told, netd_dhcp_host_class.name, key);
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
		watch_free(watch);
	return 0;
}

void dhcp_watch(const char *network)
{
	for (struct watch *watch = watches; watch; watch = watch->next)
		if (streq(watch->network, network))
			return;
	if (!told)
		return;
	cleanup_free char *path = dnsmasq_path(network, DNSMASQ_HOSTS);
	struct watch *watch = xcalloc(1, sizeof(*watch));
	watch->network = xstrdup(network);
	watch->next = watches;
	watches = watch;
	if (sd_event_add_inotify(env.loop, &watch->source, path, WATCH_FILES | IN_ONLYDIR, on_event, watch) < 0)
		watch_free(watch); /* not there yet: put() comes back */
}

void dhcp_watch_start(struct engine *engine)
{
	told = engine;
}

void dhcp_watch_stop(void)
{
	told = NULL;
	while (watches)
		watch_free(watches);
}
