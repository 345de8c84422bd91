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

static int on_device(sd_device_monitor *from, sd_device *device, void *ctx)
{
	struct resource_view view;
	engine_dirty(watcher, "filesystem", NULL);
	engine_dirty(watcher, "lun", NULL);
	lun_list_look();
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
