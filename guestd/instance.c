/* SPDX-License-Identifier: Apache-2.0 */
/* See instance.h. Everything that happens to a QEMU only marks it dirty; what is to be done about it is found by
 * looking. */
#include "guestd/instance.h"

#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/engine.h"
#include "core/json-text.h"
#include "core/unit.h"
#include "guestd/io-error.h"
#include "guestd/start.h"

static struct instance *instances;
static struct engine *the_engine;

void instances_init(struct engine *engine)
{
	the_engine = engine;
}

struct instance *instances_first(void)
{
	return instances;
}

struct instance *instance_find(const char *guest)
{
	for (struct instance *i = instances; i; i = i->next)
		if (streq(i->name, guest))
			return i;
	return NULL;
}

void instance_dirty(struct instance *instance)
{
	const char *tap;
	json_t *fds;
	engine_dirty(the_engine, "qemu", instance->name);
	json_object_foreach(json_object_get(instance->record, "taps"), tap, fds) {
		cleanup_free char *key = xprintf("%s/%s", instance->name, tap);
		engine_dirty(the_engine, "tap-attach", key);
	}
}

static void on_event(void *ctx, const char *name, const json_t *data)
{
	static const char *const telling[] = {"SHUTDOWN", "RESET",          "GUEST_PANICKED", "STOP",
					      "RESUME",   "BLOCK_IO_ERROR", "SUSPEND",        "WAKEUP"};
	struct instance *instance = ctx;
	if (streq(name, "SHUTDOWN"))
		ending_guest_down(instance);
	if (streq(name, "BLOCK_IO_ERROR"))
		io_error_told(instance, data);
	for (size_t i = 0; i < ARRAY_SIZE(telling); i++)
		if (streq(name, telling[i]))
			instance_dirty(instance);
}

static void on_ready(void *ctx, const char *version)
{
	struct instance *instance = ctx;
	free(instance->version);
	instance->version = xstrdup(version);
}

static void on_recovered(void *ctx)
{
	instance_dirty(ctx);
}

/* Whether QEMU has ended or only its monitor shows when it is looked at. */
static void on_closed(void *ctx, const struct err *err)
{
	struct instance *instance = ctx;
	instance->qmp = NULL;
	instance_dirty(instance);
}

static const struct qmp_handler handler = {
	.ready = on_ready,
	.event = on_event,
	.recovered = on_recovered,
	.closed = on_closed,
};

int instance_connect(struct instance *instance, struct err *err)
{
	if (instance->qmp)
		return 0;
	cleanup_free char *path = guest_path(instance->name, "qmp.sock");
	return qmp_open(path, &handler, instance, &instance->qmp, err);
}

void waiters_call(struct waiter **list, const struct err *err)
{
	struct waiter *waiters = take_ptr(*list);
	while (waiters) {
		struct waiter *waiter = waiters;
		waiters = waiter->next;
		waiter->fn(waiter->ctx, err);
		free(waiter);
	}
}

void waiters_add(struct waiter **list, instance_ended_fn *fn, void *ctx)
{
	struct waiter *waiter = xcalloc(1, sizeof(*waiter));
	*waiter = (struct waiter){fn, ctx, *list};
	*list = waiter;
}

bool waiters_take(struct waiter **list, instance_ended_fn *fn, void *ctx)
{
	for (struct waiter **at = list; *at; at = &(*at)->next) {
		struct waiter *waiter = *at;
		if (waiter->fn != fn || waiter->ctx != ctx)
			continue;
		*at = waiter->next;
		free(waiter);
		return true;
	}
	return false;
}

static void forget_unit(const struct instance *instance)
{
	cleanup_free char *unit = guest_unit(instance->name);
	unit_forget_service(unit);
}

static void has_ended(struct instance *instance)
{
	forget_unit(instance);
	instance->id = (struct process_id){0};
	instance->log_watch = sd_event_source_disable_unref(instance->log_watch);
	instance->qmp = qmp_close(instance->qmp);
	io_error_end(instance);
	instance_dirty(instance);
	ending_finish(instance, NULL);
	waiters_call(&instance->waiters, NULL);
}

static void on_exit_of(void *ctx, const struct process_id *id)
{
	struct instance *instance = ctx;
	instance->watch = NULL; /* freed after this call */
	has_ended(instance);
}

int instance_adopt(struct instance *instance, const struct process_id *id, struct err *err)
{
	process_unwatch(instance->watch);
	instance->watch = NULL;
	instance->id = *id;
	instance->watch = process_watch(id, on_exit_of, instance, err);
	if (instance->watch) {
		console_log_watch(instance);
		return 0;
	}
	instance->id = (struct process_id){0};
	return err && err->code ? -err->code : -ESRCH;
}

bool instance_defer(struct instance *instance, struct op *op)
{
	if (!instance->starting)
		return false;
	struct op **tail = &instance->deferred;
	while (*tail)
		tail = &(*tail)->next;
	op->next = NULL;
	*tail = op;
	return true;
}

void instance_run_deferred(struct instance *instance)
{
	struct op *ops = take_ptr(instance->deferred);
	while (ops) {
		struct op *op = ops;
		const struct async_verbs *verbs = op->class->verbs;
		async_verb_fn *const by_verb[] = {verbs->observe, verbs->create, verbs->update, verbs->remove};
		ops = op->next;
		by_verb[op->verb](op);
	}
}

/* A weftd before this one may have left a running QEMU. */
struct instance *instance_get(const char *guest)
{
	struct instance *instance = instance_find(guest);
	if (instance)
		return instance;
	instance = xcalloc(1, sizeof(*instance));
	instance->name = xstrdup(guest);
	instance->record = record_load(guest);
	instance->next = instances;
	instances = instance;
	struct process_id id = record_process(instance->record);
	bool begun_only = instance->record && !id.pid;
	if (begun_only ? guest_start_leftover(instance->record, &id) : id.pid && process_alive(&id))
		instance_adopt(instance, &id, NULL);
	else if (instance->record)
		forget_unit(instance);
	return instance;
}

bool instance_alive(struct instance *instance)
{
	return instance->id.pid && process_alive(&instance->id);
}

int instance_save(struct instance *instance, struct err *err)
{
	return record_save(instance->name, instance->record, err);
}

int instance_note(struct instance *instance, const char *key, const char *text, struct err *err)
{
	if (!instance->record)
		return 0;
	if (text)
		json_object_set_new(instance->record, key, json_host_text(text));
	else
		json_object_del(instance->record, key);
	return instance_save(instance, err);
}

void instance_forget(struct instance *instance)
{
	json_decref(instance->record);
	instance->record = NULL;
	instance->kill = false;
	record_remove(instance->name);
}

char *instance_last_words(struct instance *instance)
{
	cleanup_free char *path = guest_path(instance->name, "qemu.log");
	cleanup_free char *text = NULL;
	if (file_read(path, 1 << 20, &text, NULL) < 0 || !*text)
		return xstrdup("");
	size_t end = strlen(text);
	while (end && text[end - 1] == '\n')
		end--;
	size_t begin = end;
	while (begin && text[begin - 1] != '\n')
		begin--;
	return xstrndup(text + begin, end - begin < 300 ? end - begin : 300);
}

void instances_free(void)
{
	struct err err = {0};
	err_set(&err, ECANCELED, "the daemon is stopping");
	for (struct instance *instance; (instance = instances);) {
		instances = instance->next;
		process_unwatch(instance->watch);
		sd_event_source_disable_unref(instance->log_watch);
		instance->qmp = qmp_close(instance->qmp);
		io_error_end(instance);
		ending_finish(instance, &err);
		waiters_call(&instance->waiters, &err);
		json_decref(instance->record);
		free(instance->version);
		free(instance->name);
		free(instance);
	}
	the_engine = NULL;
}
