/* SPDX-License-Identifier: Apache-2.0 */
/* Class qemu: the QEMU of one guest. Observing asks its monitor and its record; a machine that has ended is told apart
 * by how it ended: switched off from inside, crashed or killed, or on our own request. */
#include "guestd/qemu.h"

#include <limits.h>

#include "core/event.h"
#include "guestd/host-down.h"
#include "guestd/instance.h"
#include "guestd/io-error.h"
#include "guestd/start.h"

enum { QUERY_MS = 2000, CHANGE_MS = 10000 };

/* What a run state of QEMU's means. */
enum meaning { GOES_ON, STANDS, HAS_SHUT_DOWN, HAS_FAILED, IO_FAILED };
static const struct {
	const char *name;
	enum meaning meaning;
} run_states[] = {
	{"running", GOES_ON},        {"suspended", GOES_ON},         {"inmigrate", GOES_ON},
	{"paused", STANDS},          {"prelaunch", STANDS},          {"debug", STANDS},
	{"watchdog", STANDS},        {"postmigrate", STANDS},        {"finish-migrate", STANDS},
	{"save-vm", STANDS},         {"restore-vm", STANDS},         {"colo", GOES_ON},
	{"shutdown", HAS_SHUT_DOWN}, {"guest-panicked", HAS_FAILED}, {"internal-error", HAS_FAILED},
	{"io-error", IO_FAILED},
};

static enum meaning meaning_of(const char *run_state)
{
	for (size_t i = 0; i < ARRAY_SIZE(run_states); i++)
		if (streq(run_states[i].name, run_state))
			return run_states[i].meaning;
	return STANDS;
}

static bool is_begun_only(const struct instance *instance)
{
	return !json_object_get(instance->record, "pid");
}

static int policy_of(const struct op *op, const struct instance *instance)
{
	const struct qemu_spec *want = op->want;
	if (want)
		return want->restart;
	const char *text = record_text(json_object_get(instance->record, "spec"), "restart");
	for (size_t i = 0; i < ARRAY_SIZE(restart_names); i++)
		if (streq(text, restart_names[i]))
			return (int)i;
	return RESTART_ON_FAILURE;
}

/* ---- what is seen ---- */

static uint64_t incarnation_of(const struct instance *instance)
{
	return instance->id.start << 22 ^ (uint64_t)instance->id.pid;
}

static void set_text(struct op *op, const char *row, const char **at, const char *text)
{
	if (!text)
		return;
	*at = arena_strdup(op->obs.arena, text);
	row_set(&qemu_table, op->obs.spec, row);
}

/* It exists, and was started with what its record says. */
static struct qemu_spec *see(struct op *op, struct instance *instance, const char *run_state)
{
	struct qemu_spec *spec = observation_begin(&op->obs, op->class, true);
	json_t *started = json_object_get(instance->record, "spec");
	struct err ignored = {0};
	if (started)
		table_from_json(&qemu_table, started, op->obs.arena, spec, &ignored);
	op->obs.owner = OWNER_OURS;
	op->obs.incarnation = incarnation_of(instance);
	spec->pid = (uint32_t)instance->id.pid;
	if (spec->pid)
		row_set(&qemu_table, spec, "pid");
	set_text(op, "accel", &spec->accel, record_text(instance->record, "accel"));
	set_text(op, "accelReason", &spec->accel_reason, record_text(instance->record, "accelReason"));
	set_text(op, "startedAt", &spec->started_at, record_text(instance->record, "startedAt"));
	set_text(op, "qemuVersion", &spec->version, record_text(instance->record, "version"));
	set_text(op, "runState", &spec->run_state, run_state);
	return spec;
}

static void see_state(struct qemu_spec *spec, int state)
{
	spec->state = state;
	row_set(&qemu_table, spec, "state");
}

static void see_nothing(struct op *op)
{
	observation_begin(&op->obs, op->class, false);
	op_complete(op);
}

/* Off, and right so: as wanted in everything. */
static void see_off_for(struct op *op, struct instance *instance, const char *why)
{
	const struct qemu_spec *want = op->want;
	struct qemu_spec *spec = see(op, instance, "off");
	if (want) {
		struct qemu_spec *copy = table_copy(&qemu_table, want, op->obs.arena);
		copy->run_state = spec->run_state;
		op->obs.spec = copy;
		row_set(&qemu_table, copy, "runState");
	}
	op->obs.incarnation = 0;
	op->obs.note = arena_strdup(op->obs.arena, why);
	op_complete(op);
}

/* Off, and if it is wanted to be started again; but not while the host goes down. */
static void see_gone(struct op *op, struct instance *instance)
{
	if (op->want && host_is_down())
		see_off_for(op, instance, host_down_note);
	else
		see_nothing(op);
}

/* Off until a person asks for another start. */
static void see_off(struct op *op, struct instance *instance)
{
	const struct qemu_spec *want = op->want;
	json_int_t serial = json_integer_value(json_object_get(json_object_get(instance->record, "spec"), "serial"));
	if (want && want->serial > (uint64_t)serial)
		see_gone(op, instance);
	else
		see_off_for(op, instance, record_text(instance->record, "off"));
}

static void stay_off(struct op *op, struct instance *instance, const char *why)
{
	struct err ignored = {0};
	cleanup_free char *object = xprintf("Guest/%s", instance->name);
	event_text("GuestOff", object, false, "%s", why);
	instance_note(instance, "off", why, &ignored);
	see_off(op, instance);
}

/* Its process has gone by itself. */
static void see_ended(struct op *op, struct instance *instance)
{
	if (!op->want || json_object_get(instance->record, "stopping") || instance->kill || is_begun_only(instance)) {
		instance_forget(instance);
		see_gone(op, instance);
		return;
	}
	cleanup_free char *words = instance_last_words(instance);
	cleanup_free char *why = xprintf("QEMU crashed or was killed%s%s", *words ? "; its last words: " : "", words);
	if (policy_of(op, instance) == RESTART_NEVER) {
		stay_off(op, instance, why);
		return;
	}
	cleanup_free char *object = xprintf("Guest/%s", instance->name);
	event_text("GuestEnded", object, true, "%s", why);
	instance_forget(instance);
	see_gone(op, instance);
}

static void see_unanswered(struct op *op, struct instance *instance, const struct err *err)
{
	const struct qemu_spec *want = op->want;
	if (!instance_alive(instance)) {
		see_ended(op, instance);
		return;
	}
	struct qemu_spec *spec = see(op, instance, NULL);
	/* What cannot be asked is taken to be as it was wanted. */
	see_state(spec, want ? want->state : RUN_RUNNING);
	op->obs.health = arena_printf(op->obs.arena,
				      "QEMU (pid %d) runs but does not answer its monitor: %s; if this stays so, "
				      "`weft guest kill %s` and start it again",
				      instance->id.pid, err->text, instance->name);
	op_complete(op);
}

static void see_shut_down(struct op *op, struct instance *instance)
{
	if (!op->want) {
		see_state(see(op, instance, "shutdown"), RUN_PAUSED);
		op_complete(op);
	} else if (json_object_get(instance->record, "stopping") || policy_of(op, instance) == RESTART_ALWAYS) {
		see_gone(op, instance); /* starting it again begins by ending what is left */
	} else {
		instance_end(instance, END_QUIT, 0, NULL, NULL);
		stay_off(op, instance, "powered off by the guest");
	}
}

static void see_failed(struct op *op, struct instance *instance, const char *run_state)
{
	if (op->want && policy_of(op, instance) != RESTART_NEVER) {
		cleanup_free char *object = xprintf("Guest/%s", instance->name);
		event_text("GuestEnded", object, true, "the guest's own system crashed (%s)", run_state);
		see_gone(op, instance);
		return;
	}
	see_state(see(op, instance, run_state), RUN_RUNNING);
	op->obs.health = arena_printf(
		op->obs.arena,
		"the guest's own system crashed (%s) and is left as it is; `weft guest restart %s` starts it again",
		run_state, instance->name);
	op_complete(op);
}

static void see_io_error(struct op *op, const struct instance *instance)
{
	cleanup_free char *text = io_error_lasts(instance) ? io_error_text(instance) : NULL;
	op->obs.health = text ? arena_strdup(op->obs.arena, text) : NULL;
}

/* One that a person has paused stays so, whatever its disks do: then it stands as it is wanted to. */
static void see_io_failed(struct op *op, struct instance *instance, const char *run_state)
{
	const struct qemu_spec *want = op->want;
	struct qemu_spec *spec = see(op, instance, run_state);
	if (want && want->state == RUN_PAUSED) {
		io_error_end(instance);
		see_state(spec, RUN_PAUSED);
		return;
	}
	see_state(spec, RUN_RUNNING);
	if (want)
		io_error_stands(instance);
	see_io_error(op, instance);
}

static void on_status(void *ctx, const json_t *result, const struct err *err)
{
	struct op *op = ctx;
	struct instance *instance = instance_get(op->key);
	const char *run_state = json_string_value(json_object_get(result, "status"));
	struct err odd = {0};
	if (err || !run_state) {
		if (!err)
			err_set(&odd, EPROTO, "its answer has no status");
		see_unanswered(op, instance, err ? err : &odd);
		return;
	}
	switch (meaning_of(run_state)) {
	case GOES_ON:
		io_error_runs(instance);
		see_state(see(op, instance, run_state), RUN_RUNNING);
		see_io_error(op, instance);
		break;
	case STANDS:
		io_error_end(instance);
		see_state(see(op, instance, run_state), RUN_PAUSED);
		break;
	case HAS_SHUT_DOWN:
		see_shut_down(op, instance);
		return;
	case HAS_FAILED:
		see_failed(op, instance, run_state);
		return;
	case IO_FAILED:
		see_io_failed(op, instance, run_state);
		break;
	}
	op_complete(op);
}

static void observe(struct op *op)
{
	struct instance *instance = instance_get(op->key);
	struct err err = {0};
	if (instance_defer(instance, op))
		return;
	if (!instance->record) {
		see_gone(op, instance);
	} else if (record_text(instance->record, "off")) {
		if (instance_alive(instance) && !instance->ending)
			instance_end(instance, END_QUIT, 0, NULL, NULL);
		see_off(op, instance);
	} else if (!instance_alive(instance)) {
		see_ended(op, instance);
	} else if (is_begun_only(instance)) {
		if (op->want) {
			see_nothing(op);
		} else {
			see_state(see(op, instance, NULL), RUN_PAUSED);
			op_complete(op);
		}
	} else if (instance_connect(instance, &err) < 0) {
		see_unanswered(op, instance, &err);
	} else if (qmp_send(instance->qmp, &(struct qmp_command){"query-status", NULL, QUERY_MS}, on_status, op) < 0) {
		err_set(&err, ENOBUFS, "too many commands wait for it");
		see_unanswered(op, instance, &err);
	}
}

/* ---- what is done ---- */

static void on_cleared(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	if (err)
		op_fail(op, err->code, "%s", err->text);
	else
		guest_start(instance_get(op->key), op);
}

static void create(struct op *op)
{
	struct instance *instance = instance_get(op->key);
	if (instance_defer(instance, op))
		return;
	if (host_is_down())
		op_fail(op, ESHUTDOWN, "%s", host_down_note);
	else if (instance_alive(instance))
		instance_end(instance, END_QUIT, 0, on_cleared, op);
	else
		guest_start(instance, op);
}

static void on_changed(void *ctx, const json_t *result, const struct err *err)
{
	struct op *op = ctx;
	if (err)
		op_fail(op, err->code, "%s", err->text);
	else
		op_complete(op);
}

static bool asks_for(const struct op *op, const char *row)
{
	return op->rows >> (table_field(&qemu_table, row) - qemu_table.fields) & 1;
}

static void update(struct op *op)
{
	struct instance *instance = instance_get(op->key);
	const struct qemu_spec *want = op->want;
	if (instance_defer(instance, op))
		return;
	json_t *started = json_object_get(instance->record, "spec");
	json_t *now = table_to_json(&qemu_table, want, EMIT_DEFAULTS | EMIT_SECRETS | EMIT_NO_STATUS);
	static const char *const kept[] = {"restart", "shutdownTimeout"};
	for (size_t i = 0; started && i < ARRAY_SIZE(kept); i++)
		json_object_set(started, kept[i], json_object_get(now, kept[i]));
	json_decref(now);
	if (started && instance_save(instance, &op->err) < 0) {
		op_complete(op);
		return;
	}
	if (!asks_for(op, "state")) {
		op_complete(op);
		return;
	}
	const struct qmp_command command = {want->state == RUN_PAUSED ? "stop" : "cont", NULL, CHANGE_MS};
	if (instance_connect(instance, &op->err) < 0)
		op_complete(op);
	else if (qmp_send(instance->qmp, &command, on_changed, op) < 0)
		op_fail(op, EBUSY, "too many commands wait for QEMU's monitor");
}

static void on_ended(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	if (err) {
		op_fail(op, err->code, "%s", err->text);
		return;
	}
	instance_forget(instance_get(op->key));
	see_nothing(op);
}

/* Where ending it begins: one that cannot hear is not asked. */
static enum end_step first_step(const struct instance *instance, const struct qemu_spec *seen)
{
	if (instance->kill)
		return END_KILL;
	if (is_begun_only(instance))
		return END_TERM;
	const char *run_state = seen ? seen->run_state : NULL;
	if (!run_state)
		return END_TERM; /* its monitor was dead */
	if (streq(run_state, "prelaunch") || meaning_of(run_state) >= HAS_SHUT_DOWN)
		return END_QUIT;
	return END_ASK;
}

/* That it was asked to shut down is kept, so that its doing so later is not taken for its own decision. Should weftd
 * die before that is on disk, it is. */
static void note_stopping(struct instance *instance)
{
	struct err ignored = {0};
	if (!instance->record || record_text(instance->record, "off"))
		return;
	json_object_set_new(instance->record, "stopping", json_true());
	instance_save(instance, &ignored);
}

static void remove_it(struct op *op)
{
	struct instance *instance = instance_get(op->key);
	const struct qemu_spec *seen = op->seen;
	if (instance_defer(instance, op))
		return;
	if (!instance_alive(instance)) {
		on_ended(op, NULL);
		return;
	}
	if (op->incarnation && op->incarnation != incarnation_of(instance)) {
		op_fail(op, ESTALE, "another QEMU runs by now");
		return;
	}
	note_stopping(instance);
	enum end_step step = op->hurry ? END_KILL : first_step(instance, seen);
	instance_end(instance, step, seen ? seen->shutdown_timeout_ms : 0, on_ended, op);
}

/* What waits for the end of a QEMU need not; the end itself, once it is past asking, goes on. A start that has begun
 * goes on too, and holds back what comes after it. */
static void cancel(struct op *op)
{
	struct instance *instance = instance_get(op->key);
	bool waited = (op->verb == OP_REMOVE && instance_end_cancel(instance, on_ended, op)) ||
		      (op->verb == OP_CREATE && instance_end_cancel(instance, on_cleared, op));
	if (waited)
		op_fail(op, ECANCELED, "was called off");
}

static const char *slot(const struct op *op)
{
	return op->key;
}

static const struct async_verbs verbs = {
	.observe = observe,
	.create = create,
	.update = update,
	.remove = remove_it,
	.slot = slot,
	.cancel = cancel,
	.deadline_ms = INT_MAX, /* each verb has its own, and a guest may take its time to shut down */
};

static const struct errno_rule rules[] = {
	{OP_CREATE, ENODEV, ANSWER_WAIT}, /* its tap has gone meanwhile */
};

const struct resource_class guestd_qemu_class = {
	.name = "qemu",
	.doc = "The QEMU of a guest.",
	.table = &qemu_table,
	.lane = "guest",
	.verbs = &verbs,
	.flags = CLASS_REMOVE_IRREVERSIBLE,
	.rules = rules,
	.n_rules = ARRAY_SIZE(rules),
};
