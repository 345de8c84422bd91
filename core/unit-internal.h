/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of core/unit.h share: a request to systemd that is under way. */
#ifndef WEFT_CORE_UNIT_INTERNAL_H
#define WEFT_CORE_UNIT_INTERNAL_H

#include <systemd/sd-bus.h>

#include "core/unit.h"

#define SYSTEMD         "org.freedesktop.systemd1"
#define SYSTEMD_PATH    "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"

struct unit_task {
	char *unit;       /* full name; freed with the task */
	const char *verb; /* "starting", for sentences */
	bool stops;       /* what is not there is done */
	unsigned deadline_ms;
	uint64_t begun_ms;
	/* Says in err why systemd's job ended as it did; NULL: a sentence that points to systemctl. */
	void (*explain)(struct unit_task *task, const char *result);
	unit_done_fn *done;
	void *ctx;

	sd_bus_message *request; /* as it is sent, and sent again while what has ended of that name goes away */
	unsigned n_sent;
	char *job; /* systemd's job, once it has said so */
	sd_bus_slot *call;
	struct sd_event_source *deadline, *again;
	struct err err;
	struct unit_task *next, **at;
};

/* A request with nothing in it yet, a call of the manager's method. It is under way; task_send() follows. If that
 * cannot be, the task has its error already, and no request. */
struct unit_task *unit_task_new(const struct unit_task *how, const char *method);
/* The unit is not shown as failed any longer. Nobody waits for that. */
void unit_reset(const char *unit);
/* r: what putting the request together came to. */
void unit_task_send(struct unit_task *task, int r);

#endif
