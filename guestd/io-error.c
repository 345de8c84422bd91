/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that QEMU has paused because a disk gave an error or had no room. It is let go on again and again, each time
 * after a longer pause, until its storage answers: what the guest asked of the disk is then done as if nothing had
 * been, for it has not seen the error. Nothing of this is kept: a new weftd sees that the guest stands, and begins
 * anew. */
#include "guestd/io-error.h"

#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/event.h"
#include "guestd/qemu-spec.h"

/* Where a disk fails again within CALM_MS the pauses go on growing. */
enum { FIRST_MS = 1000, LONGEST_MS = 30 * 1000, LOOK_MS = 1000, CALM_MS = 60 * 1000, QUERY_MS = 5000 };

enum phase { STANDS, TRIED, RUNS, CALM };

struct io_error {
	enum phase phase;
	uint64_t since_ms; /* of the first error */
	unsigned pause_ms; /* before it is tried next */
	int64_t n_done;    /* what its disks had done when it was tried; -1: not known */
	sd_event_source *timer;
};

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx);

static void enter(struct instance *instance, enum phase phase, unsigned ms)
{
	struct io_error *io = instance->io_error;
	io->phase = phase;
	io->timer = sd_event_source_disable_unref(io->timer);
	if (sd_event_add_time_relative(env.loop, &io->timer, CLOCK_MONOTONIC, (uint64_t)ms * 1000, 0, on_timer,
				       instance) < 0)
		abort(); /* out of memory */
}

/* How much the disk that failed has done, failures not counted; all disks where it is not known which that was. */
static int64_t count_done(const struct instance *instance, const json_t *blocks)
{
	static const char *const counters[] = {"rd_operations", "wr_operations", "flush_operations"};
	size_t i;
	const json_t *block;
	int64_t n = 0;
	json_array_foreach(blocks, i, block) {
		if (instance->io_node && !streq(record_text(block, "node-name"), instance->io_node))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(counters); k++)
			n += json_integer_value(json_object_get(json_object_get(block, "stats"), counters[k]));
	}
	return n;
}

static bool ask(struct instance *instance, qmp_reply_fn *fn)
{
	struct err ignored = {0};
	const struct qmp_command command = {"query-blockstats", NULL, QUERY_MS};
	return !instance->ending && instance_connect(instance, &ignored) == 0 &&
	       qmp_send(instance->qmp, &command, fn, instance) == 0;
}

static void on_counted(void *ctx, const json_t *blocks, const struct err *err)
{
	struct instance *instance = ctx;
	if (!instance->io_error || instance->ending || !instance->qmp)
		return;
	instance->io_error->n_done = err ? -1 : count_done(instance, blocks);
	qmp_tell(instance->qmp, "cont");
}

static void try_it(struct instance *instance)
{
	struct io_error *io = instance->io_error;
	unsigned longer = io->pause_ms * 2;
	io->pause_ms = longer < LONGEST_MS ? longer : LONGEST_MS;
	enter(instance, TRIED, io->pause_ms); /* and again, should nothing be heard of it */
	ask(instance, on_counted);
}

/* What had failed was begun again with it. That it runs says nothing: an error may take its time. */
static void on_looked(void *ctx, const json_t *blocks, const struct err *err)
{
	struct instance *instance = ctx;
	struct io_error *io = instance->io_error;
	if (err || !io || io->phase != RUNS || count_done(instance, blocks) <= io->n_done)
		return;
	cleanup_free char *object = xprintf("Guest/%s", instance->name);
	event_text("GuestResumed", object, false, "its storage answers again, after %llu s; it goes on",
		   (unsigned long long)(now_ms() - io->since_ms) / 1000);
	enter(instance, CALM, CALM_MS);
	instance_dirty(instance);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct instance *instance = ctx;
	switch (instance->io_error->phase) {
	case STANDS:
	case TRIED:
		try_it(instance);
		break;
	case RUNS:
		enter(instance, RUNS, LOOK_MS);
		ask(instance, on_looked);
		break;
	case CALM:
		io_error_end(instance);
		break;
	}
	return 0;
}

void io_error_stands(struct instance *instance)
{
	bool first = !instance->io_error;
	if (first) {
		instance->io_error = xcalloc(1, sizeof(*instance->io_error));
		*instance->io_error = (struct io_error){.phase = CALM, .pause_ms = FIRST_MS};
	}
	struct io_error *io = instance->io_error;
	if (io->phase == CALM) {
		cleanup_free char *object = xprintf("Guest/%s", instance->name), *text = io_error_text(instance);
		io->since_ms = now_ms();
		event_text("GuestStands", object, true, "%s", text);
	}
	if (io->phase != STANDS)
		enter(instance, STANDS, io->pause_ms);
}

void io_error_runs(struct instance *instance)
{
	struct io_error *io = instance->io_error;
	if (io && (io->phase == STANDS || io->phase == TRIED))
		enter(instance, RUNS, LOOK_MS);
}

void io_error_end(struct instance *instance)
{
	struct io_error *io = take_ptr(instance->io_error);
	if (io)
		sd_event_source_disable_unref(io->timer);
	free(io);
	free(take_ptr(instance->io_fault));
	free(take_ptr(instance->io_node));
}

/* The path of the disk behind a node that QEMU names ("virtio-disk3", or what lies below it); NULL if it is none. */
static const char *disk_path(const struct instance *instance, const char *node)
{
	size_t i;
	const json_t *disk;
	json_array_foreach(json_object_get(json_object_get(instance->record, "spec"), "disks"), i, disk) {
		cleanup_free char *id = xprintf("%s-disk%lld", record_text(disk, "bus") ? record_text(disk, "bus") : "",
						(long long)json_integer_value(json_object_get(disk, "unit")));
		size_t len = strlen(id);
		if (strncmp(node, id, len) == 0 && (!node[len] || node[len] == '-'))
			return record_text(disk, "path");
	}
	return NULL;
}

void io_error_told(struct instance *instance, const json_t *data)
{
	const char *node = record_text(data, "node-name"), *reason = record_text(data, "reason");
	const char *path = node ? disk_path(instance, node) : NULL;
	if (!streq(record_text(data, "action"), "stop"))
		return;
	free(instance->io_node);
	instance->io_node = node ? xstrdup(node) : NULL;
	free(instance->io_fault);
	instance->io_fault = json_is_true(json_object_get(data, "nospace"))
				     ? xprintf("there is no room left for its disk '%s'", path ? path : "?")
				     : xprintf("its disk '%s' gave an error (%s)", path ? path : "?",
					       reason ? reason : "it did not say which");
}

bool io_error_lasts(const struct instance *instance)
{
	return instance->io_error && instance->io_error->phase != CALM;
}

char *io_error_text(const struct instance *instance)
{
	return xprintf(
		"stands because %s; it goes on by itself when that is mended, tried every %d s at most; `weft guest "
		"resume %s` tries at once",
		instance->io_fault ? instance->io_fault : "a disk gave an error or has no room left", LONGEST_MS / 1000,
		instance->name);
}
