/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to systemd on their way: the bus, which is opened when it is needed and again after it was lost; the call;
 * the job that systemd makes of it, whose end a signal tells; the deadline over all. See unit.h. */
#include "core/unit.h"

#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/unit-internal.h"

#define MACHINED         "org.freedesktop.machine1"
#define MACHINED_PATH    "/org/freedesktop/machine1"
#define MACHINED_MANAGER "org.freedesktop.machine1.Manager"

enum { GOES_AWAY_TRIES = 20, GOES_AWAY_MS = 150, NEVER_USEC = 3600 * 1000000LL };

static struct {
	sd_bus *bus;
	struct unit_task *tasks;
} units;

/* ---- whether ---- */

static bool same_as_init(const char *namespace)
{
	char path[64];
	struct stat ours, theirs;
	snprintf(path, sizeof(path), "/proc/1/ns/%s", namespace);
	bool seen = stat(path, &theirs) == 0;
	snprintf(path, sizeof(path), "/proc/self/ns/%s", namespace);
	return seen && stat(path, &ours) == 0 && ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* A service of systemd's may be confined to a mount namespace of its own, and still means the host. */
static bool is_service(void)
{
	const char *pid = getenv("SYSTEMD_EXEC_PID");
	return pid && atoi(pid) == getpid();
}

bool units_are_used(void)
{
	static int used = -1;
	if (used < 0)
		used = sd_booted() > 0 && geteuid() == 0 && same_as_init("net") && same_as_init("pid") &&
		       (same_as_init("mnt") || is_service());
	return used;
}

/* ---- requests ---- */

static void task_free(struct unit_task *task)
{
	*task->at = task->next;
	if (task->next)
		task->next->at = task->at;
	sd_bus_slot_unref(task->call);
	sd_bus_message_unref(task->request);
	sd_event_source_disable_unref(task->deadline);
	sd_event_source_disable_unref(task->again);
	free(task->job);
	free(task->unit);
	free(task);
}

static void end(struct unit_task *task)
{
	unit_done_fn *done = task->done;
	void *ctx = task->ctx;
	struct err err = task->err;
	task_free(task);
	if (done)
		done(ctx, err.code ? &err : NULL);
}

static void fail(struct unit_task *task, int code, const char *why)
{
	err_set(&task->err, code, "%s %s: %s", task->verb, task->unit, why);
	end(task);
}

/* A job that is not waited for any longer (a mount may wait for its device) is not to stand in the next one's way. */
static void cancel_job(const char *job)
{
	sd_bus_message *message = NULL;
	int r = units.bus ? sd_bus_message_new_method_call(units.bus, &message, SYSTEMD, job, SYSTEMD ".Job", "Cancel")
			  : -ENOTCONN;
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(message, false);
	if (r >= 0)
		sd_bus_send(units.bus, message, NULL);
	sd_bus_message_unref(message);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct unit_task *task = ctx;
	cleanup_free char *why = xprintf(
		task->job ? "systemd did not get it done within %u s; `systemctl status '%s'` tells how far it is"
			  : "systemd gave no answer over D-Bus within %u s; `systemctl status '%s'` tells if it lives",
		(task->deadline_ms + 999) / 1000, task->job ? task->unit : "dbus");
	if (task->job)
		cancel_job(task->job);
	fail(task, ETIMEDOUT, why);
	return 0;
}

/* ---- the bus ---- */

static void end_job(struct unit_task *task, const char *result)
{
	if (!streq(result, "done") && task->explain)
		task->explain(task, result);
	else if (!streq(result, "done"))
		err_set(&task->err, EIO, "%s %s: systemd's job ended as '%s'; `systemctl status '%s'` tells more",
			task->verb, task->unit, result, task->unit);
	end(task);
}

static int on_job_removed(sd_bus_message *message, void *ctx, sd_bus_error *unused)
{
	const char *job, *unit, *result;
	uint32_t id;
	if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) < 0)
		return 0;
	for (struct unit_task *task = units.tasks; task; task = task->next) {
		if (!streq(task->job, job))
			continue;
		end_job(task, result);
		break;
	}
	return 0;
}

/* The calls that wait for an answer get one from sd-bus itself; here are those that wait for the bus, or for a job. */
static int on_disconnected(sd_bus_message *message, void *ctx, sd_bus_error *unused)
{
	for (struct unit_task *task = units.tasks, *next; task; task = next) {
		next = task->next;
		if (!task->call)
			fail(task, ECONNRESET, "the connection to systemd over D-Bus was lost meanwhile");
	}
	return 0;
}

static void close_bus(void)
{
	sd_bus_close_unref(take_ptr(units.bus));
}

static void arm_again(struct unit_task *task, unsigned ms);

/* The bus serves. Nothing with a descriptor may be sent before: sd-bus would wait for it, and block. */
static int on_subscribed(sd_bus_message *reply, void *ctx, sd_bus_error *unused)
{
	bool lost = sd_bus_message_is_method_error(reply, NULL) && sd_bus_is_ready(sd_bus_message_get_bus(reply)) <= 0;
	for (struct unit_task *task = units.tasks; task && !lost; task = task->next)
		if (!task->call && !task->job)
			arm_again(task, 0);
	return 0;
}

/* The answers of the listeners' installation are not waited for; if there are none, deadlines pass. */
static int prepare_bus(sd_bus *bus)
{
	int r = sd_bus_attach_event(bus, env.loop, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_match_signal_async(bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved",
					      on_job_removed, NULL, NULL);
	if (r >= 0)
		r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
					      "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL,
					      NULL);
	if (r >= 0)
		r = sd_bus_call_method_async(bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe",
					     on_subscribed, NULL, NULL);
	return r;
}

static sd_bus *open_bus(struct err *err)
{
	if (units.bus && sd_bus_is_open(units.bus) > 0)
		return units.bus;
	close_bus();
	int r = sd_bus_open_system(&units.bus);
	if (r >= 0)
		r = prepare_bus(units.bus);
	if (r >= 0)
		return units.bus;
	close_bus();
	err_errno(err, -r, "D-Bus, over which systemd is asked, cannot be reached (is the package dbus installed?)");
	return NULL;
}

/* ---- sending ---- */

static int on_again(sd_event_source *source, uint64_t usec, void *ctx);

static void arm_again(struct unit_task *task, unsigned ms)
{
	task->again = sd_event_source_disable_unref(task->again);
	if (sd_event_add_time_relative(env.loop, &task->again, CLOCK_MONOTONIC, (uint64_t)ms * 1000, 1000, on_again,
				       task) < 0)
		abort(); /* out of memory */
}

static int on_reply(sd_bus_message *reply, void *ctx, sd_bus_error *unused)
{
	struct unit_task *task = ctx;
	const sd_bus_error *error = sd_bus_message_get_error(reply);
	const char *job;
	task->call = sd_bus_slot_unref(task->call);
	bool exists = error && sd_bus_error_has_name(error, SYSTEMD ".UnitExists");
	if (error && task->stops && sd_bus_error_has_name(error, SYSTEMD ".NoSuchUnit")) {
		end(task);
	} else if (exists && task->n_sent < GOES_AWAY_TRIES) {
		arm_again(task, GOES_AWAY_MS);
	} else if (error) {
		fail(task, exists ? EEXIST : sd_bus_error_get_errno(error),
		     error->message ? error->message : error->name);
	} else if (sd_bus_message_read(reply, "o", &job) < 0) {
		fail(task, EPROTO, "systemd's answer cannot be understood");
	} else {
		task->job = xstrdup(job);
	}
	return 0;
}

/* A unit of that name that has failed is in the way until systemd is told to forget it. */
static void reset(sd_bus *bus, const char *unit)
{
	sd_bus_message *message = NULL;
	int r = sd_bus_message_new_method_call(bus, &message, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
					       "ResetFailedUnit");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", unit);
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(message, false);
	if (r >= 0)
		sd_bus_send(bus, message, NULL);
	sd_bus_message_unref(message);
}

static int send_copy(struct unit_task *task, sd_bus *bus)
{
	sd_bus_message *message = NULL;
	int r = sd_bus_message_new_method_call(bus, &message, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
					       sd_bus_message_get_member(task->request));
	if (r >= 0)
		r = sd_bus_message_rewind(task->request, true);
	if (r >= 0)
		r = sd_bus_message_copy(message, task->request, true);
	if (r >= 0)
		r = sd_bus_call_async(bus, &task->call, message, on_reply, task, NEVER_USEC);
	sd_bus_message_unref(message);
	return r;
}

static int on_again(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct unit_task *task = ctx;
	sd_bus *bus = task->err.code ? NULL : open_bus(&task->err);
	if (!bus) {
		err_wrap(&task->err, "%s %s", task->verb, task->unit);
		end(task);
		return 0;
	}
	if (sd_bus_is_ready(bus) <= 0)
		return 0; /* on_subscribed() comes back */
	if (!task->stops)
		reset(bus, task->unit);
	task->n_sent++;
	int r = send_copy(task, bus);
	if (r < 0)
		fail(task, -r, strerror(-r));
	return 0;
}

struct unit_task *unit_task_new(const struct unit_task *how, const char *method)
{
	struct unit_task *task = xcalloc(1, sizeof(*task));
	*task = *how;
	task->begun_ms = now_ms();
	task->at = &units.tasks;
	task->next = units.tasks;
	if (task->next)
		task->next->at = &task->next;
	units.tasks = task;
	if (sd_event_add_time_relative(env.loop, &task->deadline, CLOCK_MONOTONIC, (uint64_t)task->deadline_ms * 1000,
				       1000, on_deadline, task) < 0)
		abort(); /* out of memory */
	sd_bus *bus = open_bus(&task->err);
	if (bus &&
	    sd_bus_message_new_method_call(bus, &task->request, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, method) < 0)
		abort(); /* out of memory */
	return task;
}

void unit_task_send(struct unit_task *task, int r)
{
	if (r >= 0 && task->request)
		r = sd_bus_message_seal(task->request, 1, 0);
	if (r < 0 && !task->err.code)
		err_errno(&task->err, -r, "the request to systemd cannot be put together");
	arm_again(task, 0);
}

void unit_register_machine(const char *name, int pid)
{
	sd_bus_message *message = NULL;
	struct err ignored = {0};
	sd_bus *bus = units_are_used() && !(env.root && *env.root) ? open_bus(&ignored) : NULL;
	int r = bus ? sd_bus_message_new_method_call(bus, &message, MACHINED, MACHINED_PATH, MACHINED_MANAGER,
						     "RegisterMachine")
		    : -ENOTCONN;
	if (r >= 0)
		r = sd_bus_message_append(message, "sayssus", name, 0, "weft", "vm", (uint32_t)pid, "");
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(message, false);
	if (r >= 0)
		sd_bus_send(bus, message, NULL);
	sd_bus_message_unref(message);
}

void unit_reset(const char *unit)
{
	struct err ignored = {0};
	sd_bus *bus = open_bus(&ignored);
	if (bus)
		reset(bus, unit);
}

void unit_forget_service(const char *name)
{
	cleanup_free char *unit = unit_service_name(name);
	if (units_are_used())
		unit_reset(unit);
}

void units_stop(void)
{
	while (units.tasks)
		task_free(units.tasks);
	close_bus();
}
