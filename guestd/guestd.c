/* SPDX-License-Identifier: Apache-2.0 */
/* See guestd.h. */
#include "guestd/guestd.h"

#include "guestd/disk.h"
#include "guestd/host-down.h"
#include "guestd/host.h"
#include "guestd/instance.h"
#include "stord/volume.h"

int guestd_start(struct engine *engine, struct err *err)
{
	instances_init(engine);
	host_facts_register();
	stord_set_user(&disk_user);
	return 0;
}

void guestd_stop(void)
{
	stord_set_user(NULL);
	host_down_stop();
	instances_free();
}

char *guestd_console_path(const char *guest)
{
	return guest_path(guest, "console.sock");
}

char *guestd_console_log_path(const char *guest)
{
	return guest_path(guest, "console.log");
}
