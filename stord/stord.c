/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping storage. See stord.h. */
#include "stord/filesystem.h"
#include "stord/iscsi.h"
#include "stord/lun.h"
#include "stord/mount.h"
#include "stord/probe.h"

int stord_start(struct engine *engine, struct err *err)
{
	memory_start();
	lun_start();
	devices_watch(engine);
	session_watch_start(engine);
	discovery_start();
	lun_list_look();
	return 0;
}

void stord_stop(void)
{
	devices_stop();
	session_watch_stop();
	discovery_stop();
	probe_stop();
	mountinfo_stop();
	watch_stop();
	lun_list_stop();
	memory_stop();
}
