/* SPDX-License-Identifier: Apache-2.0 */
/* Shutting down all guests for the host's sake; see host-down.h. It is done by looking again and again who still runs:
 * a guest may be in the middle of its start, or be ended already by somebody else. */
#include "guestd/host-down.h"

#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/event.h"
#include "guestd/guestd.h"
#include "guestd/instance.h"
#include "guestd/qemu-spec.h"

/* After its shutdownTimeout QEMU is told to end in three steps (ending.c). */
enum { LOOK_MS = 300, ENDING_MS = 40000, TIMEOUT_DEFAULT_MS = 60000 };

struct caller {
	manager_done_fn *done;
	void *ctx;
	struct caller *next;
};
static struct {
	bool active;
	sd_event_source *timer;
	uint64_t give_up_ms;
	struct caller *callers;
} down;

const char host_down_note[] = "off while the host goes down; `weft host up` starts it";

bool host_is_down(void)
{
	return down.active;
}

static void answer(const char *result, const char *message)
{
	struct caller *callers = take_ptr(down.callers);
	down.timer = sd_event_source_disable_unref(down.timer);
	while (callers) {
		struct caller *caller = callers;
		callers = caller->next;
		json_t *json = json_pack("{s:s, s:s}", "result", result, "message", message);
		caller->done(caller->ctx, json);
		json_decref(json);
		free(caller);
	}
}

static uint64_t shutdown_timeout(const struct instance *instance)
{
	struct arena *arena = arena_new();
	struct qemu_spec *spec = arena_new_of(arena, struct qemu_spec);
	json_t *started = json_object_get(instance->record, "spec");
	bool known = started && table_from_json(&qemu_table, started, arena, spec, NULL) >= 0;
	uint64_t ms = known ? spec->shutdown_timeout_ms : TIMEOUT_DEFAULT_MS;
	arena_free(arena);
	return ms;
}

/* That it was asked is kept in its record, so that its going is not taken for its own decision. */
static void ask(struct instance *instance)
{
	uint64_t ms = shutdown_timeout(instance), until = now_ms() + ms + ENDING_MS;
	down.give_up_ms = until > down.give_up_ms ? until : down.give_up_ms;
	if (!record_text(instance->record, "off"))
		instance_note(instance, "stopping", "the host goes down", NULL);
	instance_end(instance, END_ASK, ms, NULL, NULL);
}

static unsigned look(bool first)
{
	unsigned n_running = 0;
	for (struct instance *instance = instances_first(); instance; instance = instance->next) {
		bool alive = instance_alive(instance);
		n_running += alive || instance->starting;
		/* One whose end was given up is not asked a second time. */
		if (alive && !instance->starting && !instance->ending && (first || !instance->asked))
			ask(instance);
		instance->asked = alive && !instance->starting;
	}
	return n_running;
}

static int on_look(sd_event_source *source, uint64_t usec, void *ctx)
{
	unsigned n = look(false);
	if (n == 0) {
		answer("final", "all guests have shut down");
	} else if (now_ms() > down.give_up_ms) {
		cleanup_free char *message = xprintf("%u guests do not end; `weft get guests` tells which", n);
		answer("failed", message);
	} else {
		sd_event_source_set_time_relative(source, (uint64_t)LOOK_MS * 1000);
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

void guestd_host_down(manager_done_fn *done, void *ctx)
{
	struct caller *caller = xcalloc(1, sizeof(*caller));
	*caller = (struct caller){done, ctx, down.callers};
	down.callers = caller;
	if (!down.active)
		event_text("HostDown", NULL, false, "all guests are shut down, since the host goes down");
	down.active = true;
	down.give_up_ms = now_ms() + ENDING_MS;
	look(true);
	if (!down.timer &&
	    sd_event_add_time_relative(env.loop, &down.timer, CLOCK_MONOTONIC, 1000, 1000, on_look, NULL) < 0)
		abort(); /* out of memory */
}

void guestd_host_up(void)
{
	if (!down.active)
		return;
	down.active = false;
	answer("failed", "the host is to stay up after all");
	event_text("HostUp", NULL, false, "guests are started again");
	for (struct instance *instance = instances_first(); instance; instance = instance->next)
		instance_dirty(instance);
}

void host_down_stop(void)
{
	answer("failed", "weftd is stopping");
	down.active = false;
}
