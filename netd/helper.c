/* SPDX-License-Identifier: Apache-2.0 */
/* See helper.h. */
#include "netd/helper.h"

#include <dirent.h>
#include <signal.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/unit.h"
#include "core/watch.h"

enum { START_MS = 10000, STOP_MS = 1000, STOP_TIMES = 3, FILE_MAX_BYTES = 4 << 20 };

struct helper {
	const struct helper_kind *kind;
	char *name, *unit;
	struct process_id id; /* pid 0: none known */
	struct process_watch *watch;
	bool scanned; /* once is enough: what we start ourselves is noted, or killed */
	/* What is going on: a start that waits for the pid file, or a stop that waits for the end. */
	bool starting;
	helper_done_fn *done;
	void *ctx;
	json_t *spec; /* while starting */
	int stop_signal, stops; /* while stopping: how often it was told */
	sd_event_source *timer, *files;
	struct helper *next;
};
static struct helper *helpers;
static struct engine *told; /* when a helper has ended; NULL: nobody */

static struct helper *helper_get(const struct helper_kind *kind, const char *name)
{
	for (struct helper *helper = helpers; helper; helper = helper->next)
		if (helper->kind == kind && streq(helper->name, name))
			return helper;
	struct helper *helper = xcalloc(1, sizeof(*helper));
	helper->kind = kind;
	helper->name = xstrdup(name);
	helper->unit = xprintf("weft-%s-%s", kind->class, name);
	helper->next = helpers;
	helpers = helper;
	return helper;
}

static void finish(struct helper *helper, const struct err *err)
{
	helper_done_fn *done = take_ptr(helper->done);
	helper->starting = false;
	helper->timer = sd_event_source_disable_unref(helper->timer);
	helper->files = sd_event_source_disable_unref(helper->files);
	json_decref(take_ptr(helper->spec));
	if (done)
		done(helper->ctx, err);
}

/* After an operation that took too long: what it began has not ended yet. */
static bool is_busy(const struct helper *helper, helper_done_fn *done, void *ctx)
{
	struct err err = {0};
	if (!helper->done)
		return false;
	err_set(&err, EBUSY, "%s of %s '%s' is still being %s", helper->kind->program, helper->kind->whose,
		helper->name, helper->starting ? "started" : "ended");
	done(ctx, &err);
	return true;
}

/* The last line that it wrote before it gave up, without its own name. */
static char *last_words(const struct helper *helper)
{
	cleanup_free char *path = helper->kind->path(helper->name, HELPER_LOG), *text = NULL,
			  *name = xprintf("%s: ", helper->kind->program);
	if (file_read(path, FILE_MAX_BYTES, &text, NULL) < 0)
		return xstrdup("it said nothing");
	size_t len = strlen(text);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	const char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (str_starts(line, name))
		line += strlen(name);
	return xstrdup(*line ? line : "it said nothing");
}

static void fill_gave_up(const struct helper *helper, struct err *err)
{
	cleanup_free char *words = last_words(helper);
	bool taken = strstr(words, "Address already in use");
	err_set(err, EIO, "%s of %s '%s' gave up: %.250s%s", helper->kind->program, helper->kind->whose, helper->name,
		words, taken ? "; stop what listens there, or bind it to other interfaces" : "");
}

/* Fields of /proc/PID/stat after the name in parentheses: state, parent, process group. */
static bool in_group(int pid, int group)
{
	cleanup_free char *path = xprintf("/proc/%d/stat", pid), *text = NULL;
	if (file_read(path, FILE_MAX_BYTES, &text, NULL) < 0)
		return false;
	const char *after = strrchr(text, ')');
	int parent, theirs;
	return after && sscanf(after, ") %*c %d %d", &parent, &theirs) == 2 && theirs == group && pid != group;
}

/* What it leaves behind where no service's control group takes them along. */
static void end_group(const struct helper *helper, int group)
{
	DIR *dir = helper->kind->leaves_group && group > 1 ? opendir("/proc") : NULL;
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		struct process_id id = {.pid = atoi(entry->d_name)};
		if (id.pid > 1 && in_group(id.pid, group) && process_start_time(id.pid, &id.start) == 0)
			process_signal(&id, SIGKILL);
	}
	if (dir)
		closedir(dir);
}

static void on_exit_of(void *ctx, const struct process_id *id)
{
	struct helper *helper = ctx;
	struct err err = {0};
	unit_forget_service(helper->unit);
	end_group(helper, id->pid);
	helper->watch = NULL;
	helper->id = (struct process_id){0};
	if (!helper->done) {
		engine_dirty(told, helper->kind->class, helper->name);
		return;
	}
	if (helper->starting)
		fill_gave_up(helper, &err);
	finish(helper, err.code ? &err : NULL);
}

static void forget(struct helper *helper)
{
	process_unwatch(take_ptr(helper->watch));
	helper->id = (struct process_id){0};
}

static int watch(struct helper *helper, const struct process_id *id, struct err *err)
{
	forget(helper);
	helper->watch = process_watch(id, on_exit_of, helper, err);
	if (!helper->watch)
		return -ESRCH;
	helper->id = *id;
	return 0;
}

/* ---- finding ---- */

static bool read_process(const struct helper *helper, struct process_id *ret, json_t **ret_spec)
{
	cleanup_free char *path = helper->kind->path(helper->name, HELPER_PROCESS), *text = NULL;
	if (file_read(path, FILE_MAX_BYTES, &text, NULL) < 0)
		return false;
	json_t *json = json_loads(text, 0, NULL), *spec = NULL;
	json_int_t start = 0;
	int pid = 0;
	bool good = json_unpack(json, "{s:i, s:I, s:o}", "pid", &pid, "start", &start, "spec", &spec) == 0 && pid > 1;
	*ret = (struct process_id){pid, (uint64_t)start};
	if (good && ret_spec)
		*ret_spec = json_incref(spec);
	json_decref(json);
	return good;
}

static bool same_link(int pid, const char *name)
{
	char theirs[64], mine[64], a[64], b[64];
	snprintf(theirs, sizeof(theirs), "/proc/%d/%s", pid, name);
	snprintf(mine, sizeof(mine), "/proc/self/%s", name);
	ssize_t n = readlink(theirs, a, sizeof(a)), m = readlink(mine, b, sizeof(b));
	return n > 0 && n == m && memcmp(a, b, (size_t)n) == 0;
}

static bool is_ours(const struct helper *helper, int pid)
{
	cleanup_free char *path = xprintf("/proc/%d/cmdline", pid), *line = NULL;
	size_t size = 0;
	return file_read(path, FILE_MAX_BYTES, &line, &size) == 0 && size > 0 &&
	       helper->kind->is_ours(helper->name, pid, line, size) && same_link(pid, "ns/net");
}

static bool scan_processes(const struct helper *helper, struct process_id *ret)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	bool found = false;
	while (dir && !found && (entry = readdir(dir))) {
		int pid = atoi(entry->d_name);
		found = pid > 1 && is_ours(helper, pid) && process_start_time(pid, &ret->start) == 0;
		ret->pid = pid;
	}
	if (dir)
		closedir(dir);
	return found;
}

bool helper_find(const struct helper_kind *kind, const char *name, struct process_id *ret)
{
	struct helper *helper = helper_get(kind, name);
	struct process_id id;
	if (!helper->id.pid || !process_alive(&helper->id)) {
		forget(helper); /* its end may not have been dispatched yet */
		bool known = read_process(helper, &id, NULL) && process_alive(&id) && is_ours(helper, id.pid);
		bool lost = !known && !helper->scanned;
		helper->scanned = true;
		if (!known && !(lost && scan_processes(helper, &id)))
			return false;
		if (watch(helper, &id, NULL) < 0)
			return false;
	}
	*ret = helper->id;
	return true;
}

json_t *helper_started_with(const struct helper_kind *kind, const char *name, const struct process_id *id)
{
	struct process_id written;
	json_t *spec = NULL;
	if (!read_process(helper_get(kind, name), &written, &spec))
		return NULL;
	if (written.pid == id->pid && written.start == id->start)
		return spec;
	json_decref(spec);
	return NULL;
}

json_t *helper_last_spec(const struct helper_kind *kind, const char *name)
{
	struct process_id id;
	json_t *spec = NULL;
	return read_process(helper_get(kind, name), &id, &spec) ? spec : NULL;
}

int helper_remember(const struct helper_kind *kind, const char *name, const struct process_id *id, json_t *spec,
		    struct err *err)
{
	cleanup_free char *path = kind->path(name, HELPER_PROCESS);
	json_t *json = json_pack("{s:i, s:I, s:O}", "pid", id->pid, "start", (json_int_t)id->start, "spec", spec);
	cleanup_free char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	json_decref(json);
	int r = text ? file_write_atomic(path, text, strlen(text), 0600) : -EINVAL;
	return r < 0 ? err_errno(err, -r, "write %s", path) : 0;
}

/* ---- starting ---- */

static bool has_pid_file(const struct helper *helper)
{
	cleanup_free char *path = helper->kind->path(helper->name, HELPER_PID), *text = NULL;
	return file_read(path, 64, &text, NULL) == 0 && atoi(text) == helper->id.pid;
}

static int on_file(sd_event_source *source, const struct inotify_event *event, void *ctx)
{
	struct helper *helper = ctx;
	if (has_pid_file(helper))
		finish(helper, NULL);
	return 0;
}

static int on_slow_start(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct helper *helper = ctx;
	struct err err = {0};
	err_set(&err, ETIMEDOUT, "%s of %s '%s' did not begin to work within %d s", helper->kind->program,
		helper->kind->whose, helper->name, START_MS / 1000);
	process_signal(&helper->id, SIGKILL);
	finish(helper, &err);
	return 0;
}

static int await_service(struct helper *helper, struct err *err)
{
	cleanup_free char *dir = helper->kind->path(helper->name, HELPER_PID);
	*strrchr(dir, '/') = '\0';
	int r = sd_event_add_inotify(env.loop, &helper->files, dir, WATCH_FILES, on_file, helper);
	if (r >= 0)
		r = sd_event_add_time_relative(env.loop, &helper->timer, CLOCK_MONOTONIC, (uint64_t)START_MS * 1000,
					       1000, on_slow_start, helper);
	return r < 0 ? err_errno(err, -r, "watch %s", dir) : 0;
}

static void on_launched(void *ctx, const struct process_id *id, const struct err *failed)
{
	struct helper *helper = ctx;
	const struct helper_kind *kind = helper->kind;
	struct err err = failed ? *failed : (struct err){0};
	if (err.code == ENOENT)
		err_set(&err, ENOENT, "there is no program %s; install the package %s", kind->program, kind->package);
	if (!err.code && helper_remember(kind, helper->name, id, helper->spec, &err) == 0 &&
	    watch(helper, id, &err) == 0)
		await_service(helper, &err);
	if (err.code == ESRCH) /* gone before it could be watched */
		fill_gave_up(helper, &err);
	if (err.code && !failed)
		process_signal(id, SIGKILL); /* nobody would know of it */
	if (err.code) {
		finish(helper, &err);
	} else if (has_pid_file(helper)) {
		finish(helper, NULL);
	}
}

void helper_start(const struct helper_kind *kind, const char *name, const struct helper_start *start,
		  helper_done_fn *done, void *ctx)
{
	struct helper *helper = helper_get(kind, name);
	cleanup_free char *pid = kind->path(name, HELPER_PID), *log = kind->path(name, HELPER_LOG);
	const struct launch_spec how = {
		.name = helper->unit,
		.description = start->description,
		.argv = start->argv,
		.log_path = log,
		.binds = start->binds,
		.n_binds = start->n_binds,
	};
	struct process_id before;
	struct err err = {0};
	if (is_busy(helper, done, ctx)) {
		json_decref(start->spec);
		return;
	}
	if (read_process(helper, &before, NULL) && !process_alive(&before))
		end_group(helper, before.pid);
	helper->starting = true;
	helper->done = done;
	helper->ctx = ctx;
	helper->spec = start->spec;
	unlink(pid);
	unlink(log);
	if (launch(&how, on_launched, helper, &err) < 0)
		finish(helper, &err);
}

/* ---- ending ---- */

/* Told again, since dhcpcd does not hear a signal that comes while it does something else. */
static int on_slow_stop(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct helper *helper = ctx;
	bool again = helper->stops++ < STOP_TIMES;
	process_signal(&helper->id, again ? helper->stop_signal : SIGKILL);
	if (again && (sd_event_source_set_time_relative(source, (uint64_t)STOP_MS * 1000) < 0 ||
		      sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0))
		abort(); /* out of memory */
	return 0;
}

void helper_stop(const struct helper_kind *kind, const char *name, int signal, helper_done_fn *done, void *ctx)
{
	struct helper *helper = helper_get(kind, name);
	struct process_id id;
	if (is_busy(helper, done, ctx))
		return;
	if (!helper_find(kind, name, &id) || process_signal(&id, signal) < 0) {
		done(ctx, NULL);
		return;
	}
	helper->done = done;
	helper->ctx = ctx;
	helper->stop_signal = signal;
	helper->stops = 1;
	if (sd_event_add_time_relative(env.loop, &helper->timer, CLOCK_MONOTONIC, (uint64_t)STOP_MS * 1000, 1000,
				       on_slow_stop, helper) < 0)
		abort(); /* out of memory */
}

void helpers_start(struct engine *engine)
{
	told = engine;
}

void helpers_stop(void)
{
	told = NULL;
	while (helpers) {
		struct helper *helper = helpers;
		helpers = helper->next;
		process_unwatch(take_ptr(helper->watch));
		if (helper->done)
			continue; /* the launcher will still call back */
		sd_event_source_disable_unref(helper->timer);
		sd_event_source_disable_unref(helper->files);
		json_decref(helper->spec);
		free(helper->name);
		free(helper->unit);
		free(helper);
	}
}
