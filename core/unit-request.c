/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd is asked for: the properties of services and mounts, and the names of units. See unit.h. */
#include <ctype.h>

#include "core/env.h"
#include "core/lower.h"
#include "core/unit-internal.h"

enum {
	START_MS = 10000,
	MOUNT_MS = 30000,
	STOP_USEC = 30 * 1000000,
	OPEN_FILES = 65536,
	SLACK_MS = 10000, /* for systemd to end what has passed its own deadline, and to say so */
	WORDS_MAX = 4096,
};

/* ---- names ---- */

/* As systemd.unit(5) says: what is not a letter, a digit, ":", "_" or "." is written \xNN, and so is a dot that the
 * name would begin with. "-" stands for a slash in the names of mounts only. */
static void escape_into(FILE *to, const char *text, bool begins_name, bool keep_dash)
{
	for (const char *p = text; *p; p++) {
		bool dot_in_front = *p == '.' && p == text && begins_name;
		if ((isascii(*p) && isalnum(*p)) || (strchr(":_.", *p) && !dot_in_front) || (*p == '-' && keep_dash))
			fputc(*p, to);
		else
			fprintf(to, "\\x%02x", (unsigned char)*p);
	}
}

static FILE *open_text(char **ret, size_t *ret_size)
{
	FILE *to = open_memstream(ret, ret_size);
	if (!to)
		abort(); /* out of memory */
	return to;
}

char *unit_service_name(const char *name)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_text(&text, &size);
	bool own = env.root && *env.root && str_starts(name, "weft-");
	if (own)
		fprintf(to, "weft-%s-", env.instance);
	escape_into(to, own ? name + strlen("weft-") : name, !own, true);
	fputs(".service", to);
	fclose(to);
	return text;
}

char *unit_mount_name(const char *where)
{
	char *text = NULL;
	size_t size;
	cleanup_free char *copy = xstrdup(where);
	FILE *to = open_text(&text, &size);
	bool any = false;
	for (char *rest = copy, *part; (part = strsep(&rest, "/"));) {
		if (!*part || streq(part, "."))
			continue;
		if (any)
			fputc('-', to);
		escape_into(to, part, !any, false);
		any = true;
	}
	fputs(any ? ".mount" : "-.mount", to);
	fclose(to);
	return text;
}

/* ---- services ---- */

static int add_text(sd_bus_message *m, const char *name, const char *text)
{
	return text ? sd_bus_message_append(m, "(sv)", name, "s", text) : 0;
}

/* Whatever weft makes goes down after weftd, which sees to it (integration/systemd/weft-guests.service) that the
 * guests are asked first; and a change of the host's target leaves it alone. */
static int add_common(sd_bus_message *m, const char *description)
{
	int r = add_text(m, "Description", description);
	if (r >= 0 && !(env.root && *env.root))
		r = sd_bus_message_append(m, "(sv)", "Before", "as", 1, "weftd.service");
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "IgnoreOnIsolate", "b", true);
	return r;
}

static int add_command(sd_bus_message *m, const char *const *argv)
{
	int r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "ExecStart");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sasb");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", argv[0]);
	if (r >= 0)
		r = sd_bus_message_append_strv(m, (char **)argv);
	if (r >= 0)
		r = sd_bus_message_append(m, "b", false);
	for (int i = 0; i < 4 && r >= 0; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int add_service(sd_bus_message *m, const struct unit_service *spec)
{
	int r = add_common(m, spec->description);
	if (r >= 0)
		r = add_command(m, spec->argv);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "Type", "s", "exec", "Slice", "s",
					  spec->machine ? "machine.slice" : "system.slice", "KillMode", "s", "mixed",
					  "TimeoutStopUSec", "t", (uint64_t)STOP_USEC, "OOMPolicy", "s", "continue",
					  "LimitNOFILE", "t", (uint64_t)OPEN_FILES, "TasksMax", "t", UINT64_MAX);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "StandardInputFileDescriptor", "h", spec->stdin_fd);
	if (r >= 0 && spec->machine)
		r = sd_bus_message_append(m, "(sv)", "Delegate", "b", true);
	return r;
}

/* StartTransientUnit(name, mode, properties, auxiliary units); the properties are added between the two. */
static int begin_unit(struct unit_task *task)
{
	if (!task->request)
		return -task->err.code;
	int r = sd_bus_message_append(task->request, "ss", task->unit, "fail");
	return r < 0 ? r : sd_bus_message_open_container(task->request, 'a', "(sv)");
}

static int end_unit(struct unit_task *task)
{
	int r = sd_bus_message_close_container(task->request);
	return r < 0 ? r : sd_bus_message_append(task->request, "a(sa(sv))", 0);
}

void unit_start_service(const struct unit_service *spec, unit_done_fn *done, void *ctx)
{
	struct unit_task *task = unit_task_new(
		&(struct unit_task){
			.unit = unit_service_name(spec->name),
			.verb = "starting",
			.deadline_ms = spec->deadline_ms ? spec->deadline_ms : START_MS,
			.done = done,
			.ctx = ctx,
		},
		"StartTransientUnit");
	int r = begin_unit(task);
	if (r >= 0)
		r = add_service(task->request, spec);
	if (r >= 0)
		r = end_unit(task);
	unit_task_send(task, r);
}

static void stop(const struct unit_task *how)
{
	struct unit_task *task = unit_task_new(how, "StopUnit");
	unit_task_send(task, task->request ? sd_bus_message_append(task->request, "ss", task->unit, "replace")
					   : -task->err.code);
}

void unit_stop_service(const char *name, unsigned deadline_ms, unit_done_fn *done, void *ctx)
{
	stop(&(struct unit_task){
		.unit = unit_service_name(name),
		.verb = "stopping",
		.stops = true,
		.deadline_ms = deadline_ms ? deadline_ms : STOP_USEC / 1000 + SLACK_MS,
		.done = done,
		.ctx = ctx,
	});
}

/* ---- mounts ---- */

/* mount(8) and umount(8) write here what they have to say. The name is the same for both, since the unit that one makes
 * is what the other is run by. */
static char *words_path(const char *unit)
{
	return xprintf("%s/mount-%016llx.log", env.run_dir, (unsigned long long)host_hash(unit));
}

/* The last line of it that is not the continuation of another, such as "dmesg(1) may have more information"; "" if
 * there is none. The file goes. */
static char *take_words(const char *unit)
{
	cleanup_free char *path = words_path(unit), *text = NULL;
	const char *found = "";
	if (file_read(path, WORDS_MAX, &text, NULL) < 0)
		text = xstrdup("");
	unlink(path);
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
		if (*line && !isspace((unsigned char)*line))
			found = line;
	return xstrdup(found);
}

static void explain_mount(struct unit_task *task, const char *result)
{
	cleanup_free char *words = take_words(task->unit);
	bool late = now_ms() - task->begun_ms + SLACK_MS >= task->deadline_ms;
	if (late)
		err_set(&task->err, ETIMEDOUT, "it took longer than %u s%s%s", (task->deadline_ms - SLACK_MS) / 1000,
			*words ? ": " : "", words);
	else if (*words)
		err_set(&task->err, strstr(words, "busy") ? EBUSY : EIO, "%s", words);
	else
		err_set(&task->err, EIO, "%s %s: systemd's job ended as '%s'; `systemctl status '%s'` tells more",
			task->verb, task->unit, result, task->unit);
}

struct mount_task {
	unit_done_fn *done;
	void *ctx;
	char *unit;
};

/* What mount(8) said without failing is of no interest, and a unit that failed is not to be shown for ever. */
static void on_mount_done(void *ctx, const struct err *err)
{
	struct mount_task *mount = ctx;
	cleanup_free char *words = take_words(mount->unit), *unit = mount->unit;
	struct mount_task copy = *mount;
	if (err)
		unit_reset(unit);
	free(mount);
	if (copy.done)
		copy.done(copy.ctx, err);
}

static struct mount_task *mount_task_new(const char *unit, unit_done_fn *done, void *ctx)
{
	struct mount_task *mount = xcalloc(1, sizeof(*mount));
	*mount = (struct mount_task){done, ctx, xstrdup(unit)};
	return mount;
}

static int add_mount(sd_bus_message *m, const struct unit_mount *spec, const char *words, unsigned deadline_ms)
{
	int r = add_common(m, spec->description);
	if (r >= 0)
		r = add_text(m, "What", spec->what);
	if (r >= 0)
		r = add_text(m, "Type", spec->type);
	if (r >= 0)
		r = add_text(m, "Options", spec->options);
	if (r >= 0)
		r = add_text(m, "StandardErrorFileToTruncate", words);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "TimeoutUSec", "t", (uint64_t)deadline_ms * 1000);
	return r;
}

void unit_mount(const struct unit_mount *spec, unit_done_fn *done, void *ctx)
{
	unsigned deadline_ms = spec->deadline_ms ? spec->deadline_ms : MOUNT_MS;
	cleanup_free char *unit = unit_mount_name(spec->where), *words = words_path(unit);
	struct unit_task *task = unit_task_new(
		&(struct unit_task){
			.unit = xstrdup(unit),
			.verb = "mounting",
			.deadline_ms = deadline_ms + SLACK_MS,
			.explain = explain_mount,
			.done = on_mount_done,
			.ctx = mount_task_new(unit, done, ctx),
		},
		"StartTransientUnit");
	/* systemd would wait for it to come. */
	if (str_starts(spec->what, "/dev/") && access(spec->what, F_OK) < 0 && !task->err.code)
		err_set(&task->err, ENOENT, "there is no device '%s'", spec->what);
	int r = begin_unit(task);
	if (r >= 0)
		r = add_mount(task->request, spec, words, deadline_ms);
	if (r >= 0)
		r = end_unit(task);
	unit_task_send(task, r);
}

void unit_unmount(const char *where, unsigned deadline_ms, unit_done_fn *done, void *ctx)
{
	cleanup_free char *unit = unit_mount_name(where);
	stop(&(struct unit_task){
		.unit = xstrdup(unit),
		.verb = "stopping",
		.stops = true,
		.deadline_ms = (deadline_ms ? deadline_ms : MOUNT_MS) + SLACK_MS,
		.explain = explain_mount,
		.done = on_mount_done,
		.ctx = mount_task_new(unit, done, ctx),
	});
}
