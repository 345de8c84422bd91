/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU of one guest as this weftd knows it: its record on disk, the watch on its process, the connection to its
 * monitor, and how it is ended. Made when the guest is first looked at; lives until guestd_stop(). */
#ifndef WEFT_GUESTD_INSTANCE_H
#define WEFT_GUESTD_INSTANCE_H

#include "core/lane-async.h"
#include "guestd/qmp.h"
#include "guestd/record.h"

/* Calls fn when a process has ended, or the wait for it is over (with an error). */
typedef void instance_ended_fn(void *ctx, const struct err *err);
struct waiter {
	instance_ended_fn *fn;
	void *ctx;
	struct waiter *next;
};
void waiters_add(struct waiter **list, instance_ended_fn *fn, void *ctx);
/* Takes one back, uncalled; false if it is not there. */
bool waiters_take(struct waiter **list, instance_ended_fn *fn, void *ctx);
void waiters_call(struct waiter **list, const struct err *err);

struct ending;
struct io_error;

struct instance {
	char *name;
	json_t *record;       /* NULL: there is none */
	struct process_id id; /* pid 0: no process that lives */
	struct process_watch *watch;
	struct sd_event_source *log_watch; /* on what its console says */
	struct qmp *qmp;                   /* NULL: not connected */
	char *version;
	struct ending *ending; /* NULL: nobody is ending it */
	/* io-error.c; NULL: its disks are well, as far as is known. */
	struct io_error *io_error;
	char *io_fault, *io_node; /* what QEMU told of it last, and of which disk; NULL: nothing */
	struct op *starting;      /* the creation under way */
	struct op *deferred;      /* what waits for that */
	struct waiter *waiters;   /* for the end of its process, whyever */
	bool kill;                /* it is not to be asked */
	bool asked;               /* host-down.c has asked it to shut down */
	struct instance *next;
};

void instances_init(struct engine *engine);
void instances_free(void);
struct instance *instance_get(const char *guest);
struct instance *instances_first(void);            /* all that were looked at, by `next` */
struct instance *instance_find(const char *guest); /* NULL if it was never looked at */

/* Is its process alive? */
bool instance_alive(struct instance *instance);
/* Connects to its monitor if it is not; an error when it cannot be. */
int instance_connect(struct instance *instance, struct err *err);
/* Takes a process that was just started, and keeps an eye on it. */
int instance_adopt(struct instance *instance, const struct process_id *id, struct err *err);
int instance_save(struct instance *instance, struct err *err);
/* Sets one text of the record (NULL: takes it out) and saves it. */
int instance_note(struct instance *instance, const char *key, const char *text, struct err *err);
/* Nothing of it is left. */
void instance_forget(struct instance *instance);
/* Marks it, and the attachments of its taps, to be looked at. */
void instance_dirty(struct instance *instance);
/* Keeps the log of its console from growing without end; console-log.c. */
void console_log_watch(struct instance *instance);
/* The last line of what its QEMU wrote to stderr, "" if there is none; freed by the caller. */
char *instance_last_words(struct instance *instance);

/* While a start is under way nothing else is done to it, even if nobody waits for the start any more: true if op's verb
 * will be called again later. */
bool instance_defer(struct instance *instance, struct op *op);
void instance_run_deferred(struct instance *instance);

/* How it is ended, each step when the one before was to no avail. */
enum end_step { END_ASK, END_QUIT, END_TERM, END_KILL };
/* Ends its living process, from a step on (asking takes at most ask_ms). fn is called once its process has ended, or
 * with ETIMEDOUT when not even SIGKILL ends it. One that is being ended already is so from the later of both steps
 * on. */
void instance_end(struct instance *instance, enum end_step step, uint64_t ask_ms, instance_ended_fn *fn, void *ctx);
/* The wait is over for this one, and fn is not called any more; false if it did not wait. If the guest was only asked
 * so far, and nobody else waits, no more is done. */
bool instance_end_cancel(struct instance *instance, instance_ended_fn *fn, void *ctx);
/* The guest has shut down: QEMU may go. */
void ending_guest_down(struct instance *instance);
/* It is over; calls those that wait. */
void ending_finish(struct instance *instance, const struct err *err);

#endif
