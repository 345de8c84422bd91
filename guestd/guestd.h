/* SPDX-License-Identifier: Apache-2.0 */
/* Guests from outside: starting this part, what a person orders of a guest, where its console is. */
#ifndef WEFT_GUESTD_GUESTD_H
#define WEFT_GUESTD_GUESTD_H

#include "core/manager.h"

/* Registers the facts kvm/usable, kvm/reason, vhost-net/usable; after the lanes exist, before anything is observed. */
int guestd_start(struct engine *engine, struct err *err);
void guestd_stop(void); /* forgets connections; the guests run on */

/* start, stop, restart, kill, pause, resume. `done` is called once, perhaps from within, with the manager's answer
 * ("failed" with a message when the action makes no sense). `m` is borrowed. */
struct guest_request {
	const char *guest, *action, *who;
};
void guestd_action(struct manager *m, const struct guest_request *request, manager_done_fn *done, void *ctx);

/* Snapshots of volumes, which a running guest's QEMU has to make of what it has open: "list", "create", "revert",
 * "delete". `done` as above; its answer to list has "snapshots": [{"name", "madeAt", "size"}]. */
struct snapshot_request {
	const char *volume, *action, *snapshot, *who;
	bool sure; /* a person knows what is lost */
};
void guestd_snapshot(struct manager *m, const struct snapshot_request *request, manager_done_fn *done, void *ctx);

/* All guests are shut down, and none is started until guestd_host_up() or weftd starts anew; what is wanted of them
 * stays as it is. `done` is called once, later: "final" when all have ended. */
void guestd_host_down(manager_done_fn *done, void *ctx);
void guestd_host_up(void);

/* SIGKILL now, whatever is wanted of it. */
void guestd_kill(const char *guest);

/* Where the serial console of a guest listens (a unix socket, for root). Freed by the caller. */
char *guestd_console_path(const char *guest);
/* What it has said so far. */
char *guestd_console_log_path(const char *guest);

/* Says what it finds of this host; see core/doctor.h. */
struct doctor;
void guestd_doctor(struct doctor *d);

#endif
