/* SPDX-License-Identifier: Apache-2.0 */
/* Units of systemd that weft makes at run time: a service for each guest and helper, which so is no part of
 * weftd.service and outlives it, and a mount unit for each file system, which so stands in the host's mount namespace
 * even if weftd is confined. All over sd-bus on the event loop, never waiting: a bus or a PID 1 that is dead or hangs
 * shows as an error after the deadline.
 *
 * Units are used where PID 1 is a systemd that stands in the same network, process and mount namespaces as weftd.
 * Elsewhere (no systemd, a container, `ip netns exec`) units_are_used() says no, and the callers do without: launch()
 * detaches, mounts are made by a child. Names of units of a weftd with a --root carry its instance id, so that many
 * live side by side; `weft-guest-web` is then `weft-0123456789abcdef-guest-web`. */
#ifndef WEFT_CORE_UNIT_H
#define WEFT_CORE_UNIT_H

#include "core/err.h"

bool units_are_used(void);

/* err is NULL or what went wrong, a whole sentence. Called later, once; not any more after units_stop(). */
typedef void unit_done_fn(void *ctx, const struct err *err);

struct unit_service {
	const char *name;        /* without suffix: "weft-guest-web"; escaped as needed */
	const char *description; /* as `systemctl status` shows it */
	const char *const *argv; /* argv[0] is an absolute path */
	int stdin_fd;            /* becomes its standard input; borrowed */
	bool machine;            /* a guest: in machine.slice, cgroup delegated; otherwise in system.slice */
	unsigned deadline_ms;    /* 0: 10 s */
};
/* Done when systemd has executed the program. What is left of a unit of that name which has ended is cleared away. */
void unit_start_service(const struct unit_service *spec, unit_done_fn *done, void *ctx);
/* Stops a service as systemd does: SIGTERM, later SIGKILL. One that does not exist is stopped already. */
void unit_stop_service(const char *name, unsigned deadline_ms, unit_done_fn *done, void *ctx);
/* The service has ended: if it failed, systemd need not show it any longer. Nobody waits for that. */
void unit_forget_service(const char *name);
/* Tells systemd-machined, where it is installed, of the guest that runs in a service of ours, for machinectl. Nobody
 * waits for that either; the entry goes with the service. Only a weftd without --root does, since names are the
 * host's. */
void unit_register_machine(const char *name, int pid);

struct unit_mount {
	const char *what;    /* "10.0.0.1:/export", "/dev/vg/lv" */
	const char *where;   /* made if it is missing */
	const char *type;    /* "nfs4"; NULL: found out */
	const char *options; /* as mount -o; NULL: none */
	const char *description;
	unsigned deadline_ms; /* for mount to have ended; 0: 30 s */
};
/* Done when it is mounted. The error is what mount(8) said; ETIMEDOUT if it took too long and was ended; EEXIST if
 * something is mounted there. It is unmounted as the host goes down, after weftd and the guests have ended. */
void unit_mount(const struct unit_mount *spec, unit_done_fn *done, void *ctx);
/* Done when it is unmounted, also if it was already; EBUSY while it is in use. deadline_ms 0: 30 s. */
void unit_unmount(const char *where, unsigned deadline_ms, unit_done_fn *done, void *ctx);

/* The unit's name, freed by the caller: "weft-guest-web.service", "srv-my\x2dpool.mount". */
char *unit_service_name(const char *name);
char *unit_mount_name(const char *where);

/* Lets go of all that is under way, uncalled; for the end of the daemon. */
void units_stop(void);

#endif
