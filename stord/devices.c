/* SPDX-License-Identifier: Apache-2.0 */
/* Block devices that come, go and change, as udev tells: what stands on devices is looked at anew. A message that is
 * lost costs no more than waiting for the next look. */
#include <systemd/sd-device.h>

#include "core/engine.h"
#include "core/env.h"
#include "stord/filesystem.h"
#include "stord/lun.h"
#include "stord/pool-type.h"

static sd_device_monitor *monitor;
static struct engine *watcher;

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

static int on_device(sd_device_monitor *from, sd_device *device, void *ctx)
{
	struct resource_view view;
	engine_dirty(watcher, "filesystem", NULL);
	if (is_disk(device)) {
		engine_dirty(watcher, "lun", NULL);
		lun_list_look();
	}
	for (size_t i = 0; engine_view(watcher, i, &view); i++) {
		const struct pool_state *pool = view.want ? view.want->spec : NULL;
		if (pool && view.class == &stord_pool_class && pool_type_at(pool->type)->on_device)
			engine_dirty(watcher, "pool", view.key);
	}
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
	watcher = NULL;
}
