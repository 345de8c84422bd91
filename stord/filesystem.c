/* SPDX-License-Identifier: Apache-2.0 */
/* Resource filesystem/POOL: what is on a block device. The device is somebody else's and waited for. A filesystem is
 * made only where the manifest says so, and only on a device that is blank: that cannot be taken back, so it is done
 * once the revision is final. It is never removed. */
#include "stord/filesystem.h"

#include "core/lane-async.h"
#include "stord/signature.h"
#include "stord/stord.h"

const char *const filesystem_types[2] = {"ext4", "xfs"};

static const struct field filesystem_rows[] = {
	F_STRING("what", struct filesystem_state, what, .flags = FIELD_REFUSE, .doc = "Which filesystem, or device.",
		 .example = "UUID=0b4a9b8e-6a53-4d0f-8a0e-54e3a2a1c0de"),
	F_STRING("fsType", struct filesystem_state, fs_type, .flags = FIELD_IRREVERSIBLE, .doc = "Its type.",
		 .example = "ext4"),
	F_BOOL("make", struct filesystem_state, make, .flags = FIELD_WEAK,
	       .doc = "Whether it is made where there is nothing."),
	F_STRING("device", struct filesystem_state, device, .flags = FIELD_STATUS, .doc = "The device that carries it.",
		 .example = "/dev/sdb1"),
};
static const struct table filesystem_table = TABLE("filesystem", struct filesystem_state, filesystem_rows);

enum { LOOK_MS = 20 * 1000, MAKE_MS = 290 * 1000, LANE_MS = 300 * 1000 };

static const struct filesystem_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

/* ---- in the child ---- */

static int tell(const struct filesystem_state *spec, int out_fd)
{
	struct signature found;
	int code = signature_look(spec->what, &found);
	if (code)
		return code;
	return write(out_fd, &found, sizeof(found)) == (ssize_t)sizeof(found) ? 0 : EIO;
}

static int do_observe(void *ctx, int out_fd)
{
	return tell(spec_of(ctx), out_fd);
}

/* mkfs.ext4 -q /dev/sdb1   (both programs refuse what carries a filesystem already) */
static int make(const struct filesystem_state *spec, const struct signature *found)
{
	cleanup_free char *program = xprintf("mkfs.%s", spec->fs_type), *errs = NULL;
	const char *argv[] = {program, "-q", found->device, NULL};
	int status = run_program(argv, NULL, &errs);
	if (status == 0)
		return 0;
	if (status == 127)
		return say(ENOENT, "the program '%s' cannot be run: install %s", program,
			   streq(spec->fs_type, "xfs") ? "xfsprogs" : "e2fsprogs");
	return say(EIO, "no filesystem can be made on '%s': %.*s", found->device, (int)strcspn(errs ? errs : "", "\n"),
		   errs ? errs : strerror(-status));
}

static int do_update(void *ctx, int out_fd)
{
	const struct op *op = ctx;
	const struct filesystem_state *spec = spec_of(op);
	struct signature found;
	char text[128];
	int code = signature_look(spec->what, &found);
	if (!code && (op->rows & FILESYSTEM_TYPE) && spec->make && found.blank)
		code = make(spec, &found);
	else if (!code && (op->rows & FILESYSTEM_TYPE))
		code = say(EEXIST,
			   "'%s' carries %s, not the filesystem %s, and a filesystem is never made over anything: name "
			   "another device, or clear this one with wipefs and blkdiscard if nothing on it is needed",
			   found.device[0] ? found.device : spec->what, signature_text(&found, text), spec->fs_type);
	return code ? code : tell(spec, out_fd);
}

/* ---- in the daemon ---- */

static void finish(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct filesystem_state *spec = spec_of(op);
	const struct signature *found = data;
	if (size != sizeof(*found)) {
		op_fail(op, EPROTO, "filesystem %s was not told whole", op->key);
		return;
	}
	if (!found->device[0]) {
		observation_begin(&op->obs, op->class, false);
		op->obs.note = arena_printf(op->obs.arena, "no device is %s", spec->what);
		op_complete(op);
		return;
	}
	if (!found->is_fs && !spec->make) {
		char text[128];
		op_fail(op, EMEDIUMTYPE,
			"'%s' carries %s and no filesystem; on a blank device, `format: ext4` makes one", found->device,
			signature_text(found, text));
		return;
	}
	struct filesystem_state *seen = observation_begin(&op->obs, op->class, true);
	seen->present = FILESYSTEM_WHAT | FILESYSTEM_DEVICE | (found->is_fs ? FILESYSTEM_TYPE : 0);
	seen->what = arena_strdup(op->obs.arena, spec->what);
	seen->fs_type = arena_strdup(op->obs.arena, found->type);
	seen->device = arena_strdup(op->obs.arena, found->device);
	op->obs.incarnation = found->number;
	op_complete(op);
}

static void start(struct op *op, int (*work)(void *, int), unsigned deadline_ms)
{
	const struct filesystem_state *spec = spec_of(op);
	if (!spec || !spec->what || !op->want) { /* what is on a device stays there and is nobody's */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
		return;
	}
	task_start((struct task){.op = op, .keep_input = true, .input = op, .finish = finish}, work, deadline_ms);
}

static void filesystem_observe(struct op *op)
{
	start(op, do_observe, LOOK_MS);
}

static void filesystem_update(struct op *op)
{
	start(op, do_update, MAKE_MS);
}

static const char *filesystem_slot(const struct op *op)
{
	static char slot[128];
	snprintf(slot, sizeof(slot), "filesystem/%s", op->key);
	return slot;
}

static bool filesystem_creatable(const void *spec)
{
	return false;
}

static const struct async_verbs filesystem_verbs = {
	.observe = filesystem_observe,
	.update = filesystem_update,
	.remove = filesystem_observe,
	.slot = filesystem_slot,
	.cancel = task_cancel,
	.deadline_ms = LANE_MS,
};

const struct resource_class stord_filesystem_class = {
	.name = "filesystem",
	.doc = "A filesystem on a block device, for a pool.",
	.table = &filesystem_table,
	.lane = "storage",
	.calm = stord_calm,
	.verbs = &filesystem_verbs,
	.flags = CLASS_PERSISTENT,
	.period_ms = 60 * 1000, /* where there is no udev to tell */
	.creatable = filesystem_creatable,
};
