/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a helper as a transient service: systemd runs weft-launch with the request as its standard input, and
 * weft-launch becomes the helper. It is started when both have said so: systemd by the end of its job, the launcher by
 * the pipe that closes on exec. Should weftd give up or end before, nobody reads from that pipe, and a launcher that
 * systemd runs later ends. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/launch-internal.h"
#include "core/unit.h"

enum { START_MS = 10000, ANSWER_MAX = 1024 };

struct launch_unit {
	char *name;
	bool machine;
	launch_done_fn *done; /* NULL: it was called, systemd's answer is still to come */
	void *ctx;
	int answer_fd;
	char answer[ANSWER_MAX];
	size_t size;
	bool closed, accepted; /* the launcher, systemd has had its say */
	sd_event_source *source, *timer;
};

static void stop_listening(struct launch_unit *unit)
{
	unit->source = sd_event_source_disable_unref(unit->source);
	unit->timer = sd_event_source_disable_unref(unit->timer);
	closep(&unit->answer_fd);
	unit->answer_fd = -1;
}

static void free_if_over(struct launch_unit *unit)
{
	if (unit->done || !unit->accepted)
		return;
	free(unit->name);
	free(unit);
}

/* err NULL: whatever the answer says. */
static void finish(struct launch_unit *unit, const struct err *err)
{
	struct process_id id = {0};
	struct err failed = err ? *err : (struct err){0};
	bool known = sscanf(unit->answer, "%d %" SCNu64, &id.pid, &id.start) == 2;
	const char *word = strchr(unit->answer, '!');
	int code, at = 0;
	if (word && sscanf(word, "!%d %n", &code, &at) >= 1 && at)
		err_set(&failed, code, "%.*s", (int)strcspn(word + at, "\n"), word + at);
	else if (!failed.code && !known)
		err_set(&failed, EIO, "the launcher ended without a word; `journalctl -u '%s'` tells more", unit->name);
	if (failed.code && known)
		process_signal(&id, SIGKILL);
	if (failed.code) {
		err_wrap(&failed, "starting %s", unit->name);
		unit_forget_service(unit->name);
	}
	if (!failed.code && unit->machine)
		unit_register_machine(unit->name, id.pid);
	stop_listening(unit);
	launch_done_fn *done = unit->done;
	unit->done = NULL;
	done(unit->ctx, &id, failed.code ? &failed : NULL);
	free_if_over(unit);
}

static int on_answer(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct launch_unit *unit = ctx;
	size_t room = sizeof(unit->answer) - 1 - unit->size;
	ssize_t n = read(fd, unit->answer + unit->size, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0) {
		unit->size += (size_t)n;
		return 0;
	}
	unit->closed = true;
	unit->source = sd_event_source_disable_unref(unit->source);
	if (unit->accepted)
		finish(unit, NULL);
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct launch_unit *unit = ctx;
	struct err err = {0};
	if (!unit->closed)
		err_set(&err, ETIMEDOUT,
			"the launcher did not get it started in time; `systemctl status` tells what "
			"the host is busy with");
	finish(unit, err.code ? &err : NULL);
	return 0;
}

static void on_started(void *ctx, const struct err *err)
{
	struct launch_unit *unit = ctx;
	unit->accepted = true;
	if (!unit->done)
		free_if_over(unit);
	else if (unit->closed && unit->size)
		finish(unit, NULL); /* it knows better */
	else if (err || unit->closed)
		finish(unit, err);
}

void launch_in_unit(const struct launch_spec *spec, int request_fd, int answer_fd, launch_done_fn *done, void *ctx)
{
	struct launch_unit *unit = xcalloc(1, sizeof(*unit));
	unsigned deadline_ms = spec->deadline_ms ? spec->deadline_ms : START_MS;
	*unit = (struct launch_unit){.name = xstrdup(spec->name),
				     .machine = spec->machine,
				     .done = done,
				     .ctx = ctx,
				     .answer_fd = answer_fd};
	if (sd_event_add_io(env.loop, &unit->source, answer_fd, EPOLLIN, on_answer, unit) < 0 ||
	    sd_event_add_time_relative(env.loop, &unit->timer, CLOCK_MONOTONIC, (uint64_t)deadline_ms * 1000, 1000,
				       on_deadline, unit) < 0)
		abort(); /* out of memory */
	cleanup_free char *program = xprintf("%s/weft-launch", env.libexec_dir);
	unit_start_service(
		&(struct unit_service){
			.name = spec->name,
			.description = spec->description ? spec->description : spec->name,
			.argv = (const char *const[]){program, "--unit", NULL},
			.stdin_fd = request_fd,
			.machine = spec->machine,
			.deadline_ms = deadline_ms,
		},
		on_started, unit);
}
