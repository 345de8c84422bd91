/* SPDX-License-Identifier: Apache-2.0 */
/* Resource mount/POOL: a filesystem mounted for a pool, by systemd where it runs, else by mount(8) in a child, with a
 * deadline either way; what is there is read from the kernel's list alone. A mount that others made at that place is
 * left alone. One that is in use is not taken away, unless a person says --now: then it is detached, and the kernel
 * lets go of it with its last user. */
#include <blkid.h>
#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "core/process-list.h"
#include "core/unit.h"
#include "stord/mount.h"
#include "stord/stord.h"

static const struct field mount_rows[] = {
	F_PATH("where", struct mount_state, where, .flags = FIELD_REFUSE, .doc = "The directory it is mounted at.",
	       .example = "/var/lib/weft/mounts/images"),
	F_STRING("what", struct mount_state, what, .flags = FIELD_RECREATE, .doc = "What is mounted.",
		 .example = "192.0.2.50:/exports/images"),
	F_STRING("fsType", struct mount_state, fs_type, .flags = FIELD_RECREATE, .doc = "Type of the filesystem.",
		 .example = "nfs"),
	F_LIST("options", struct mount_state, options, scalar_string, .flags = FIELD_UNORDERED,
	       .doc = "Options of the mount.", .example = "hard"),
};
static const struct table mount_table = TABLE("mount", struct mount_state, mount_rows);
enum { ALL_ROWS = 0xf };

enum { LOOK_MS = 10 * 1000, UNMOUNT_MS = 20 * 1000, CHANGE_MS = 50 * 1000, LANE_MS = 90 * 1000 };

static const char always[] = "nosuid,nodev,noexec";

/* ---- in the child ---- */

static const struct mount_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

/* "nosuid,nodev,noexec,hard,timeo=600" */
static char *options_text(const struct mount_state *spec)
{
	char *text = xstrdup(always);
	for (size_t i = 0; i < spec->options.n; i++) {
		char *longer = xprintf("%s,%s", text, list_at(&spec->options, const char *, i));
		free(text);
		text = longer;
	}
	return text;
}

/* The device number of a path or tag ("UUID=..."); 0 if there is none. */
static dev_t device_of(const char *what)
{
	struct stat st;
	cleanup_free char *path = what[0] == '/' ? xstrdup(what) : blkid_evaluate_tag(what, NULL, NULL);
	return path && stat(path, &st) == 0 && S_ISBLK(st.st_mode) ? st.st_rdev : 0;
}

static bool is_device(const char *what)
{
	return str_starts(what, "/dev/") || str_starts(what, "UUID=") || str_starts(what, "LABEL=");
}

static int tell(const struct mount_state *spec, int out_fd)
{
	struct mount_seen seen;
	int r = mountinfo_find(spec->where, &seen);
	if (r < 0)
		return say(-r, "the kernel's list of mounts cannot be read: %s", strerror(-r));
	dev_t want = seen.exists && is_device(spec->what) ? device_of(spec->what) : 0;
	seen.other_device = want && want != device_of(seen.what);
	return write(out_fd, &seen, sizeof(seen)) == (ssize_t)sizeof(seen) ? 0 : EIO;
}

static int do_observe(void *ctx, int out_fd)
{
	return tell(spec_of(ctx), out_fd);
}

/* The last line says why; it begins with the helper's name, "mount.nfs: ". */
static const char *reason_of(char *errs)
{
	size_t len = strlen(errs);
	while (len > 0 && errs[len - 1] == '\n')
		errs[--len] = '\0';
	char *dmesg = strstr(errs, "\n       dmesg(1)");
	if (dmesg)
		*dmesg = '\0';
	char *line = strrchr(errs, '\n'), *colon;
	line = line ? line + 1 : errs;
	while (str_starts(line, "mount") && (colon = strstr(line, ": ")))
		line = colon + 2;
	return line;
}

static void explain(const struct mount_state *spec, const char *reason, struct err *err)
{
	if (strstr(reason, "helper program"))
		err_set(err, ENOENT, "'%s' cannot be mounted: this host has no program for %s; install %s", spec->what,
			spec->fs_type, str_starts(spec->fs_type, "nfs") ? "nfs-common" : "it");
	else
		err_set(err, EIO, "'%s' cannot be mounted: %s", spec->what, reason);
}

/* mount -t nfs -o nosuid,nodev,noexec,hard,vers=4.2 -- 192.0.2.50:/exports/images /var/lib/weft/mounts/images
 * mount.nfs: access denied by server while mounting 192.0.2.50:/exports/images */
static int run_mount(const struct mount_state *spec, const char *options)
{
	cleanup_free char *errs = NULL;
	const char *argv[] = {"mount", "-t", spec->fs_type, "-o", options, "--", spec->what, spec->where, NULL};
	int status = run_program(argv, NULL, &errs);
	if (status == 0)
		return 0;
	struct err err = {0};
	explain(spec, status < 0 ? strerror(-status) : reason_of(errs), &err);
	return say(err.code, "%s", err.text);
}

static int do_create(void *ctx, int out_fd)
{
	const struct mount_state *spec = spec_of(ctx);
	cleanup_free char *options = options_text(spec);
	int r = mkdir_all(spec->where, 0711);
	if (r < 0)
		return say(-r, "directory '%s' cannot be made: %s", spec->where, strerror(-r));
	int code = run_mount(spec, options);
	return code ? code : tell(spec, out_fd);
}

/* Only options are changed while it is there. */
static int do_update(void *ctx, int out_fd)
{
	const struct mount_state *spec = spec_of(ctx);
	cleanup_free char *options = options_text(spec), *remount = xprintf("remount,%s", options);
	int code = run_mount(spec, remount);
	return code ? code : tell(spec, out_fd);
}

static bool link_leads_below(const char *link, const char *where)
{
	char target[4096];
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	size_t len = strlen(where);
	target[n > 0 ? n : 0] = '\0';
	return n > 0 && strncmp(target, where, len) == 0 && (target[len] == '/' || !target[len]);
}

static bool process_is_below(const char *pid, const char *where)
{
	cleanup_free char *cwd = xprintf("/proc/%s/cwd", pid), *fds = xprintf("/proc/%s/fd", pid);
	bool found = link_leads_below(cwd, where);
	DIR *dir = found ? NULL : opendir(fds);
	for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
		cleanup_free char *link = xprintf("%s/%s", fds, entry->d_name);
		found = link_leads_below(link, where);
	}
	if (dir)
		closedir(dir);
	return found;
}

struct use {
	const char *where;
	char *ret; /* 64 bytes */
};

static bool say_if_below(void *ctx, const char *pid)
{
	const struct use *use = ctx;
	char buf[PROCESS_NAME];
	if (!process_is_below(pid, use->where))
		return false;
	const char *name = process_name(pid, buf);
	if (*name)
		snprintf(use->ret, 64, "%s (%s)", name, pid);
	return true;
}

/* "qemu-system-x86 (1234)"; what a link in /proc says is read without touching the filesystem it leads to. */
static void find_user(const char *where, char ret[static 64])
{
	snprintf(ret, 64, "something");
	process_each(say_if_below, &(struct use){where, ret});
}

/* What somebody has put into the directory while nothing was mounted stays. */
static int do_tidy(void *ctx, int out_fd)
{
	const struct mount_state *spec = spec_of(ctx);
	rmdir(spec->where);
	return tell(spec, out_fd);
}

static int do_remove(void *ctx, int out_fd)
{
	const struct op *op = ctx;
	const struct mount_state *spec = spec_of(op);
	if (umount2(spec->where, UMOUNT_NOFOLLOW | (op->hurry ? MNT_DETACH : 0)) < 0 && errno != EINVAL &&
	    errno != ENOENT) {
		char user[64];
		if (errno != EBUSY)
			return say(errno, "'%s' cannot be unmounted: %s", spec->where, strerror(errno));
		find_user(spec->where, user);
		return say(EBUSY,
			   "'%s' is in use by %s and stays mounted; end that, or let go of it with weft delete --now",
			   spec->where, user);
	}
	return do_tidy(ctx, out_fd);
}

/* ---- in the daemon ---- */

/* Without version numbers: nfs4 is a sort of nfs. */
static bool same_type(const char *want, const char *seen)
{
	return streq(want, seen) || streq(want, "auto") || (streq(want, "nfs") && streq(seen, "nfs4"));
}

/* A tag or a link in /dev/disk is shown as the device that it stood for. One that is gone is still mounted. */
static bool same_what(const char *want, const struct mount_seen *seen)
{
	size_t len = strlen(seen->what);
	if (is_device(want))
		return str_starts(seen->what, "/dev/") && !seen->other_device;
	while (len > 1 && seen->what[len - 1] == '/' && seen->what[len - 2] != ':')
		len--;
	return strlen(want) == len && memcmp(want, seen->what, len) == 0;
}

/* What agrees is shown in the words of the manifest. */
static void describe(struct op *op, const struct mount_seen *output)
{
	const struct mount_state *spec = spec_of(op);
	struct mount_state *seen = observation_begin(&op->obs, op->class, output->exists);
	struct arena *arena = op->obs.arena;
	op->obs.incarnation = output->incarnation;
	seen->present = ALL_ROWS;
	seen->where = arena_strdup(arena, spec->where);
	bool same = output->exists && same_what(spec->what, output) && same_type(spec->fs_type, output->fs_type);
	seen->what = arena_strdup(arena, same ? spec->what : output->what);
	seen->fs_type = arena_strdup(arena, same ? spec->fs_type : output->fs_type);
	const char **options = arena_alloc(arena, (spec->options.n + 1) * sizeof(*options));
	size_t n = 0;
	for (size_t i = 0; i < spec->options.n; i++)
		if (mountinfo_has_option(output, list_at(&spec->options, const char *, i)))
			options[n++] = arena_strdup(arena, list_at(&spec->options, const char *, i));
	seen->options = (struct list){options, n};
	/* The place is in our own directory: what we would mount there is ours, also without a record. */
	bool ours = same || (op->made && op->made == output->incarnation);
	op->obs.owner = ours ? OWNER_OURS : OWNER_FOREIGN;
	if (output->exists && !ours)
		op->obs.note = arena_printf(arena, "'%s' is mounted at '%s'", output->what, spec->where);
}

static void finish(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct mount_seen *output = data;
	if (size != sizeof(*output)) {
		op_fail(op, EPROTO, "mount %s was not told whole", op->key);
		return;
	}
	describe(op, output);
	if (op->verb == OP_REMOVE)
		mountinfo_unwatch(op->key);
	else if (op->lane->engine)
		mountinfo_watch(op->lane->engine, op->key, spec_of(op)->where);
	op_complete(op);
}

static void late(struct task *task)
{
	static const char *const doing[] = {"looking at", "mounting", "mounting", "unmounting"};
	struct op *op = task->op;
	const struct mount_state *spec = spec_of(op);
	op_fail(op, ETIMEDOUT, "%s '%s' took longer than %d s and was given up; what it is on does not answer%s",
		doing[op->verb], op->verb == OP_REMOVE ? spec->where : spec->what,
		(op->verb == OP_OBSERVE ? LOOK_MS : CHANGE_MS) / 1000,
		op->verb == OP_REMOVE ? "; weft delete --now lets go of it all the same" : "");
}

static void start(struct op *op, int (*work)(void *, int))
{
	const struct mount_state *spec = spec_of(op);
	if (!spec || !spec->where) { /* nobody knows where it was: there is nothing of it to see */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
		return;
	}
	task_start((struct task){.op = op, .keep_input = true, .input = op, .finish = finish, .late = late}, work,
		   op->verb == OP_OBSERVE ? LOOK_MS : CHANGE_MS);
}

static void mount_observe(struct op *op)
{
	start(op, do_observe);
}

/* ---- by systemd, where it runs: the mount is then the host's, however weftd is confined ---- */

static void on_mounted(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	struct err why = {0};
	if (!err) {
		start(op, do_observe);
		return;
	}
	char *reason = xstrdup(err->text);
	explain(spec_of(op), reason_of(reason), &why);
	free(reason);
	op_fail(op, err->code, "%s", why.text);
}

/* What systemd takes for a device: not a tag but udev's link of that name. */
static char *device_link(const char *what)
{
	char label[1024];
	if (str_starts(what, "UUID="))
		return xprintf("/dev/disk/by-uuid/%s", what + strlen("UUID="));
	if (str_starts(what, "LABEL=") && blkid_encode_string(what + strlen("LABEL="), label, sizeof(label)) == 0)
		return xprintf("/dev/disk/by-label/%s", label);
	return xstrdup(what);
}

static void mount_by_unit(struct op *op)
{
	const struct mount_state *spec = spec_of(op);
	cleanup_free char *options = options_text(spec), *what = device_link(spec->what);
	cleanup_free char *description = xprintf("Pool %s of weft", op->key);
	unit_mount(
		&(struct unit_mount){
			.what = what,
			.where = spec->where,
			.type = streq(spec->fs_type, "auto") ? NULL : spec->fs_type,
			.options = options,
			.description = description,
			.deadline_ms = CHANGE_MS,
		},
		on_mounted, op);
}

static void mount_create(struct op *op)
{
	if (units_are_used())
		mount_by_unit(op);
	else
		start(op, do_create);
}

/* What systemd did not unmount the child finds still mounted, and says why. */
static void on_unmounted(void *ctx, const struct err *err)
{
	start(ctx, err ? do_remove : do_tidy);
}

static void mount_update(struct op *op)
{
	start(op, do_update);
}

static void mount_remove(struct op *op)
{
	const struct mount_state *spec = spec_of(op);
	if (spec && spec->where && units_are_used() && !op->hurry)
		unit_unmount(spec->where, UNMOUNT_MS, on_unmounted, op);
	else
		start(op, do_remove);
}

/* What mounts or unmounts waits for its server for as long as it may: each by itself. */
static const char *mount_slot(const struct op *op)
{
	static char slot[128];
	snprintf(slot, sizeof(slot), "mount/%s", op->key);
	return slot;
}

static const struct async_verbs mount_verbs = {
	.observe = mount_observe,
	.create = mount_create,
	.update = mount_update,
	.remove = mount_remove,
	.slot = mount_slot,
	.cancel = task_cancel,
	.deadline_ms = LANE_MS,
};

const struct resource_class stord_mount_class = {
	.name = "mount",
	.doc = "A filesystem mounted for a pool.",
	.table = &mount_table,
	.lane = "storage",
	.verbs = &mount_verbs,
};

/* ---- for pool types ---- */

struct want *mount_want(struct lowering *l, const struct mount_plan *plan, const char **ret_where)
{
	struct arena *arena = lower_arena(l);
	size_t n = plan->options->n;
	const char **options = arena_alloc(arena, (n + ARRAY_SIZE(plan->more)) * sizeof(*options));
	for (size_t i = 0; i < n; i++)
		options[i] = list_at(plan->options, const char *, i);
	for (size_t i = 0; i < ARRAY_SIZE(plan->more) && plan->more[i]; i++)
		options[n++] = plan->more[i];
	struct mount_state state = {
		.present = ALL_ROWS,
		.where = arena_printf(arena, "%s/mounts/%s", env.state_dir, plan->pool),
		.what = plan->what,
		.fs_type = plan->fs_type,
		.options = {options, n},
	};
	*ret_where = state.where;
	return want(l, &stord_mount_class, &state, "%s", plan->pool);
}

/* What would undo what weft asks for, or is not about this mount. */
static bool is_for_weft_alone(const char *option)
{
	static const char *const ours[] = {"suid",  "dev",     "exec",     "user", "users",   "owner",
					   "group", "remount", "bind",     "move", "loop",    "noauto",
					   "auto",  "bg",      "defaults", "vers", "nfsvers", "rbind"};
	size_t len = strcspn(option, "=");
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (strlen(ours[i]) == len && memcmp(ours[i], option, len) == 0)
			return true;
	return str_starts(option, "x-") || str_starts(option, "X-");
}

void mount_check_options(const struct check *check, const struct list *options, const char *path)
{
	for (size_t i = 0; i < options->n; i++) {
		const char *option = list_at(options, const char *, i);
		cleanup_free char *at = xprintf("%s[%zu]", path, i);
		if (!*option || strpbrk(option, ", \t\""))
			check_fault(check, at,
				    "'%s' is not one option of a mount; write one a list item, without commas", option);
		else if (is_for_weft_alone(option))
			check_fault(check, at, "'%s' is not for a pool: weft itself says how, and when, it is mounted",
				    option);
	}
}
