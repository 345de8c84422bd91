/* SPDX-License-Identifier: Apache-2.0 */
/* See guestd.h. */
#include "guestd/guestd.h"

#include "guestd/host.h"
#include "guestd/instance.h"

static void on_delete_now(const char *kind, const char *name)
{
	if (streq(kind, "Guest"))
		guestd_kill(name);
}

int guestd_start(struct engine *engine, struct err *err)
{
	manager_on_delete_now(on_delete_now);
	instances_init(engine);
	host_facts_register();
	return 0;
}

void guestd_stop(void)
{
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
