/* SPDX-License-Identifier: Apache-2.0 */
/* Block devices that come, go and change, as udev tells: what stands on devices is looked at anew. A message that is
 * lost costs no more than waiting for the next look. The device of a volume concerns nobody but that volume; what it is
 * carved out of tells of a change as often as a volume is made, so changes are followed only once there are no more of
 * them for a moment, and volumes in the making have been made or a minute has gone. */
#include <systemd/sd-device.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "core/engine.h"
#include "core/env.h"
#include "stord/filesystem.h"
#include "stord/lun.h"
#include "stord/pool-type.h"

enum { QUIET_MS = 1000, LONGEST_MS = 10 * 1000, LONGEST_MAKING_MS = 60 * 1000, SECTOR = 512 };

static sd_device_monitor *monitor;
static sd_event_source *pause_over;
static uint64_t waiting_since_ms; /* 0: nothing waits */
static struct engine *watcher;

static void look_anew(void)
{
	struct resource_view view;
	engine_dirty(watcher, "filesystem", NULL);
	for (size_t i = 0; engine_view(watcher, i, &view); i++) {
		const struct pool_state *pool = view.want ? view.want->spec : NULL;
		if (pool && view.class == &stord_pool_class && pool_type_at(pool->type)->on_device)
			engine_dirty(watcher, "pool", view.key);
	}
}

/* A volume in the making changes what it is carved out of, in ways that will be seen when it is made. */
static bool is_making(void)
{
	struct resource_view view;
	for (size_t i = 0; engine_view(watcher, i, &view); i++)
		if (view.class == &stord_volume_class && view.state == RES_BUSY)
			return true;
	return false;
}

static int on_quiet(sd_event_source *source, uint64_t usec, void *ctx);

static void look_when_quiet(void)
{
	uint64_t now = now_ms();
	if (!waiting_since_ms)
		waiting_since_ms = now;
	else if (pause_over && now - waiting_since_ms > LONGEST_MS - QUIET_MS)
		return;
	pause_over = sd_event_source_disable_unref(pause_over);
	if (sd_event_add_time_relative(env.loop, &pause_over, CLOCK_MONOTONIC, (uint64_t)QUIET_MS * 1000, 100 * 1000,
				       on_quiet, NULL) < 0)
		abort(); /* out of memory */
}

static int on_quiet(sd_event_source *source, uint64_t usec, void *ctx)
{
	pause_over = sd_event_source_disable_unref(pause_over);
	if (is_making() && now_ms() - waiting_since_ms <= LONGEST_MAKING_MS - QUIET_MS) {
		look_when_quiet();
		return 0;
	}
	waiting_since_ms = 0;
	look_anew();
	return 0;
}

/* A map of the device mapper that has no table yet: nothing can be on it until it has one, which is a change. */
static bool is_empty_map(sd_device *device, sd_device_action_t action)
{
	const char *name = NULL, *uuid = NULL;
	return action == SD_DEVICE_ADD && sd_device_get_sysname(device, &name) >= 0 && str_starts(name, "dm-") &&
	       sd_device_get_property_value(device, "DM_UUID", &uuid) < 0;
}

/* Disks and the maps of their paths, which Luns are about; volumes on them come and go more often. */
static bool is_disk(sd_device *device)
{
	const char *name = NULL, *uuid = NULL;
	if (sd_device_get_sysname(device, &name) < 0)
		return true;
	if (str_starts(name, "dm-"))
		return sd_device_get_property_value(device, "DM_UUID", &uuid) >= 0 && str_starts(uuid, "mpath-");
	return str_starts(name, "sd") || str_starts(name, "vd") || str_starts(name, "nvme");
}

static bool is_called(sd_device *device, const char *place)
{
	const char *name;
	if (sd_device_get_devname(device, &name) >= 0 && streq(name, place))
		return true;
	for (const char *link = sd_device_get_devlink_first(device); link; link = sd_device_get_devlink_next(device))
		if (streq(link, place))
			return true;
	return false;
}

static uint64_t size_of(sd_device *device)
{
	const char *sectors;
	return sd_device_get_sysattr_value(device, "size", &sectors) < 0 ? 0 : strtoull(sectors, NULL, 10) * SECTOR;
}

/* Is it the device of a volume, and nothing else's (a whole disk is its pool's, too)? The volume is looked at if it has
 * gone, or is not as it was seen. */
static bool is_volume(sd_device *device, sd_device_action_t action)
{
	struct resource_view view;
	for (size_t i = 0; engine_view(watcher, i, &view); i++) {
		const struct volume_state *want = view.want ? view.want->spec : NULL, *seen = view.seen;
		if (!want || view.class != &stord_volume_class || !want->place || !is_called(device, want->place))
			continue;
		bool as_seen = view.exists && seen && seen->size == size_of(device);
		if (action == SD_DEVICE_REMOVE || (!as_seen && view.state != RES_BUSY))
			engine_dirty(watcher, "volume", view.key);
		return want->present & VOLUME_ACTIVE;
	}
	return false;
}

static int on_device(sd_device_monitor *from, sd_device *device, void *ctx)
{
	sd_device_action_t action;
	if (sd_device_get_action(device, &action) < 0)
		action = SD_DEVICE_ADD;
	if (is_empty_map(device, action) || is_volume(device, action))
		return 0;
	if (is_disk(device)) {
		engine_dirty(watcher, "lun", NULL);
		lun_list_look();
	}
	if (action == SD_DEVICE_CHANGE)
		look_when_quiet();
	else
		look_anew();
	return 0;
}

void devices_watch(struct engine *engine)
{
	if (monitor || !engine || !env.loop)
		return;
	watcher = engine;
	if (sd_device_monitor_new(&monitor) < 0)
		return;
	if (sd_device_monitor_filter_add_match_subsystem_devtype(monitor, "block", NULL) < 0 ||
	    sd_device_monitor_attach_event(monitor, env.loop) < 0 ||
	    sd_device_monitor_start(monitor, on_device, NULL) < 0)
		monitor = sd_device_monitor_unref(monitor);
}

void devices_stop(void)
{
	monitor = sd_device_monitor_unref(monitor);
	pause_over = sd_event_source_disable_unref(pause_over);
	waiting_since_ms = 0;
	watcher = NULL;
}
