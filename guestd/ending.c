/* SPDX-License-Identifier: Apache-2.0 */
/* Ending a QEMU step by step: the guest is asked to shut down, QEMU is told to quit, SIGTERM, SIGKILL. Each step has a
 * time; whatever succeeds shows in the process's exit, which frees this. */
#include "guestd/instance.h"

#include <signal.h>

#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/event.h"

enum { STEP_MS = 5000, KILL_MS = 15000, ASK_AGAIN_MS = 10000 };

struct ending {
	enum end_step step;
	uint64_t ask_until_ms, ask_ms;
	sd_event_source *timer;
	struct waiter *waiters;
};

static void enter(struct instance *instance, enum end_step step);

static void report_kill(struct instance *instance, const char *why)
{
	cleanup_free char *object = xprintf("Guest/%s", instance->name);
	event_text("GuestKilled", object, true, "%s", why);
}

void ending_finish(struct instance *instance, const struct err *err)
{
	struct ending *ending = take_ptr(instance->ending);
	if (!ending)
		return;
	sd_event_source_disable_unref(ending->timer);
	waiters_call(&ending->waiters, err);
	free(ending);
}

/* Even SIGKILL waits for what hangs in the kernel. */
static void give_up(struct instance *instance)
{
	struct err err = {0};
	err_set(&err, ETIMEDOUT,
		"QEMU (pid %d) does not end: it hangs in the kernel, perhaps on storage that does not answer",
		instance->id.pid);
	ending_finish(instance, &err);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct instance *instance = ctx;
	struct ending *ending = instance->ending;
	switch (ending->step) {
	case END_ASK:
		if (now_ms() < ending->ask_until_ms) {
			enter(instance, END_ASK); /* one that was still booting did not hear it */
		} else {
			cleanup_free char *why = xprintf("it did not shut down in %llu s: switched off",
							 (unsigned long long)ending->ask_ms / 1000);
			report_kill(instance, why);
			enter(instance, END_QUIT);
		}
		return 0;
	case END_QUIT:
		enter(instance, END_TERM);
		return 0;
	case END_TERM:
		report_kill(instance, "its QEMU did not end by itself and gets SIGKILL");
		enter(instance, END_KILL);
		return 0;
	case END_KILL:
		give_up(instance);
		return 0;
	}
	return 0;
}

static void arm(struct instance *instance, uint64_t ms)
{
	struct ending *ending = instance->ending;
	ending->timer = sd_event_source_disable_unref(ending->timer);
	if (sd_event_add_time_relative(env.loop, &ending->timer, CLOCK_MONOTONIC, ms * 1000, 0, on_timer, instance) < 0)
		abort(); /* out of memory */
}

static void ask(struct instance *instance)
{
	struct ending *ending = instance->ending;
	uint64_t now = now_ms(), left = ending->ask_until_ms > now ? ending->ask_until_ms - now : 0;
	arm(instance, left < ASK_AGAIN_MS ? left : ASK_AGAIN_MS);
	/* One that is paused cannot hear. */
	qmp_tell(instance->qmp, "cont");
	qmp_tell(instance->qmp, "system_powerdown");
}

static void enter(struct instance *instance, enum end_step step)
{
	struct err ignored = {0};
	if (step <= END_QUIT && instance_connect(instance, &ignored) < 0)
		step = END_TERM;
	instance->ending->step = step;
	switch (step) {
	case END_ASK:
		ask(instance);
		return;
	case END_QUIT:
		arm(instance, STEP_MS);
		qmp_tell(instance->qmp, "quit");
		return;
	case END_TERM:
		arm(instance, STEP_MS);
		process_signal(&instance->id, SIGTERM);
		return;
	case END_KILL:
		arm(instance, KILL_MS);
		process_signal(&instance->id, SIGKILL);
		return;
	}
}

void instance_end(struct instance *instance, enum end_step step, uint64_t ask_ms, instance_ended_fn *fn, void *ctx)
{
	bool begun = instance->ending;
	if (!begun) {
		instance->ending = xcalloc(1, sizeof(*instance->ending));
		instance->ending->ask_ms = ask_ms;
		instance->ending->ask_until_ms = now_ms() + ask_ms;
	}
	if (fn)
		waiters_add(&instance->ending->waiters, fn, ctx);
	if (!begun || step > instance->ending->step)
		enter(instance, step);
}

bool instance_end_cancel(struct instance *instance, instance_ended_fn *fn, void *ctx)
{
	struct ending *ending = instance->ending;
	if (!ending || !waiters_take(&ending->waiters, fn, ctx))
		return false;
	if (ending->step == END_ASK && !ending->waiters)
		ending_finish(instance, NULL);
	return true;
}

void ending_guest_down(struct instance *instance)
{
	if (instance->ending && instance->ending->step == END_ASK)
		enter(instance, END_QUIT);
}
