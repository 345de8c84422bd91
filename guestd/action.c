/* SPDX-License-Identifier: Apache-2.0 */
/* What a person orders of a guest becomes an override of the Guest, and the engine does the rest; only a kill acts at
 * once. */
#include "guestd/guestd.h"

#include "core/event.h"
#include "core/json-text.h"
#include "guestd/instance.h"
#include "guestd/override.h"

static void refuse(manager_done_fn *done, void *ctx, const char *fmt, ...) printf_like(3, 4);
static void refuse(manager_done_fn *done, void *ctx, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	json_t *answer = json_pack("{s:s, s:o}", "result", "failed", "message", json_host_text(text));
	done(ctx, answer);
	json_decref(answer);
}

static const struct object *find_guest(struct manager *m, const char *guest)
{
	struct generation *gen = engine_generation(manager_engine(m));
	for (size_t i = 0; gen && i < gen->n_objects; i++)
		if (streq(gen->objects[i]->kind->name, "Guest") && streq(gen->objects[i]->name, guest))
			return gen->objects[i];
	return NULL;
}

/* Greater than any it was started with: the clock, unless that went back. */
static uint64_t next_serial(const struct instance *instance)
{
	json_int_t last = json_integer_value(json_object_get(json_object_get(instance->record, "spec"), "serial"));
	uint64_t now = wall_ms();
	return now > (uint64_t)last ? now : (uint64_t)last + 1;
}

void guestd_kill(const char *guest)
{
	struct instance *instance = instance_get(guest);
	if (!instance_alive(instance))
		return;
	instance->kill = true;
	cleanup_free char *object = xprintf("Guest/%s", instance->name);
	event_text("GuestKilled", object, true, "killed by order");
	instance_end(instance, END_KILL, 0, NULL, NULL);
}

/* One that QEMU paused for a disk's sake runs, as far as orders go. */
static void resume_io(struct instance *instance)
{
	struct err ignored = {0};
	if (instance_alive(instance) && instance_connect(instance, &ignored) == 0)
		qmp_tell(instance->qmp, "cont");
}

/* The order that an action amounts to; false if there is no such action. An order that says no more than the manifest
 * is none. */
static bool order_of(const char *action, const struct instance *instance, int manifest_state, struct guest_order *ret)
{
	bool off = record_text(instance->record, "off");
	*ret = (struct guest_order){.state = manifest_state};
	if (streq(action, "start")) {
		ret->state = GUEST_RUNNING;
		ret->serial = off ? next_serial(instance) : 0;
	} else if (streq(action, "restart")) {
		ret->state = GUEST_RUNNING;
		ret->serial = next_serial(instance);
	} else if (streq(action, "stop") || streq(action, "kill")) {
		ret->state = GUEST_STOPPED;
	} else if (streq(action, "pause")) {
		ret->state = GUEST_PAUSED;
	} else if (streq(action, "resume")) {
		ret->state = GUEST_RUNNING;
	} else {
		return false;
	}
	return true;
}

void guestd_action(struct manager *m, const struct guest_request *request, manager_done_fn *done, void *ctx)
{
	const char *guest = request->guest, *action = request->action;
	const struct object *object = find_guest(m, guest);
	struct guest_order order;
	char text[ORDER_TEXT];
	if (!object) {
		refuse(done, ctx, "there is no guest '%s'; `weft get guests` lists them", guest);
		return;
	}
	const struct guest_spec *spec = object->spec;
	struct instance *instance = instance_get(guest);
	if (!order_of(action, instance, spec->state, &order)) {
		refuse(done, ctx,
		       "'%s' is nothing to do with a guest: start, stop, restart, kill, pause and resume are", action);
		return;
	}
	if ((streq(action, "pause") || streq(action, "resume")) && !instance_alive(instance)) {
		refuse(done, ctx, "guest '%s' does not run: `weft guest start %s` starts it", guest, guest);
		return;
	}
	if (streq(action, "resume"))
		resume_io(instance);
	bool says_more = order.serial || order.state != spec->state;
	bool kill = streq(action, "kill");
	instance->kill = kill && instance_alive(instance); /* should the engine come to its removal first */
	const struct override_request override = {
		.kind = "Guest",
		.name = guest,
		.text = says_more ? guest_order_text(&order, text) : NULL,
		.who = request->who,
	};
	manager_override(m, &override, done, ctx);
	if (kill)
		guestd_kill(guest); /* after the order, so that its end is not answered by another start */
}
