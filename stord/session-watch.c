/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that fail or come back: the kernel tells nobody but iscsid, so their state is read every two seconds, a few
 * bytes of sysfs each, and what has changed is looked at. Disks that come and go are heard of through udev, as are
 * targets that say that a LUN was changed or added: that session is then rescanned. */
#include <systemd/sd-device.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "stord/iscsi.h"

enum { PAUSE_MS = 2000, RESCAN_PAUSE_MS = 10 * 1000 };

struct watch {
	char *key;
	unsigned id;
	char state[ISCSI_STATE_MAX];
	uint64_t rescanned_ms;
	bool told; /* its target said that something is new */
	struct watch *next;
};
static struct watch *watches;
static sd_event_source *timer;
static sd_device_monitor *monitor;
static struct engine *watcher;

static struct watch *find(const char *key)
{
	for (struct watch *watch = watches; watch; watch = watch->next)
		if (streq(watch->key, key))
			return watch;
	return NULL;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	for (struct watch *watch = watches; watch; watch = watch->next) {
		char state[ISCSI_STATE_MAX] = "";
		iscsi_state(watch->id, state);
		if (streq(state, watch->state))
			continue;
		strcpy(watch->state, state); /* told once; what comes of it is seen when it is looked at */
		engine_dirty(watcher, "session", watch->key);
	}
	if (watches) {
		sd_event_source_set_time_relative(source, PAUSE_MS * 1000ULL);
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	} else {
		timer = sd_event_source_disable_unref(timer);
	}
	return 0;
}

void session_watch(struct engine *engine, const char *key, const struct iscsi_seen *seen)
{
	struct watch *watch = find(key);
	if (!env.loop)
		return;
	watcher = engine;
	if (!watch) {
		watch = xcalloc(1, sizeof(*watch));
		*watch = (struct watch){.key = xstrdup(key), .rescanned_ms = now_ms(), .next = watches};
		watches = watch;
	}
	watch->id = seen->id;
	strcpy(watch->state, seen->state);
	if (!timer && sd_event_add_time_relative(env.loop, &timer, CLOCK_MONOTONIC, PAUSE_MS * 1000ULL, 500 * 1000,
						 on_timer, NULL) < 0)
		abort(); /* out of memory */
}

void session_unwatch(const char *key)
{
	for (struct watch **at = &watches; *at; at = &(*at)->next) {
		struct watch *watch = *at;
		if (!streq(watch->key, key))
			continue;
		*at = watch->next;
		free(watch->key);
		free(watch);
		return;
	}
}

bool session_rescan_due(const char *key)
{
	struct watch *watch = find(key);
	if (!watch || (!watch->told && now_ms() - watch->rescanned_ms < RESCAN_PAUSE_MS))
		return false;
	watch->rescanned_ms = now_ms();
	watch->told = false;
	return true;
}

/* A disk has come, gone or changed; SDEV_UA is what it said: CAPACITY_DATA_HAS_CHANGED,
 * REPORTED_LUNS_DATA_HAS_CHANGED ... */
static int on_device(sd_device_monitor *from, sd_device *device, void *ctx)
{
	const char *said, *path;
	if (sd_device_get_devpath(device, &path) < 0)
		return 0;
	bool tells = sd_device_get_property_value(device, "SDEV_UA", &said) >= 0;
	for (struct watch *watch = watches; watch; watch = watch->next) {
		cleanup_free char *session = xprintf("/session%u/", watch->id);
		if (!strstr(path, session))
			continue;
		watch->told |= tells;
		engine_dirty(watcher, "session", watch->key);
	}
	return 0;
}

void session_watch_start(struct engine *engine)
{
	watcher = engine;
	if (monitor || !engine || !env.loop || sd_device_monitor_new(&monitor) < 0)
		return;
	if (sd_device_monitor_filter_add_match_subsystem_devtype(monitor, "scsi", NULL) < 0 ||
	    sd_device_monitor_filter_add_match_subsystem_devtype(monitor, "block", "disk") < 0 ||
	    sd_device_monitor_attach_event(monitor, env.loop) < 0 ||
	    sd_device_monitor_start(monitor, on_device, NULL) < 0)
		monitor = sd_device_monitor_unref(monitor);
}

void session_watch_stop(void)
{
	while (watches)
		session_unwatch(watches->key);
	timer = sd_event_source_disable_unref(timer);
	monitor = sd_device_monitor_unref(monitor);
	watcher = NULL;
}
