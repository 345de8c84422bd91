/* SPDX-License-Identifier: Apache-2.0 */
/* Resource pool/NAME: a directory that holds images. One that exists already is used as it is and never removed; one
 * that was made here is removed when the pool is given up and nothing is left in it. Images in it are nobody's business
 * here: a directory with anything in it stays. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "stord/stord.h"

const char *const pool_types[1] = {"dir"};

static const struct field pool_rows[] = {
	F_ENUM("type", struct pool_state, type, pool_types, .flags = FIELD_REFUSE, .doc = "What carries the pool."),
	F_PATH("path", struct pool_state, path, .flags = FIELD_REFUSE, .doc = "Its directory, absolute.",
	       .example = "/var/lib/weft/images"),
	F_SIZE("capacity", struct pool_state, capacity, .flags = FIELD_STATUS,
	       .doc = "Size of the filesystem it is on."),
	F_SIZE("available", struct pool_state, available, .flags = FIELD_STATUS, .doc = "What is free there."),
};
static const struct table pool_table = TABLE("pool", struct pool_state, pool_rows);

enum { LOOK_MS = 20 * 1000, CHANGE_MS = 30 * 1000 };

/* Runs in the child. */
struct pool_input {
	char path[4096];
	char instance[17], mark[IMAGE_MARK_MAX];
	bool sweep;
};
struct pool_output {
	bool exists, local, removed;
	uint64_t inode, capacity, available;
	char mark[IMAGE_MARK_MAX];
};

/* Filesystems where inotify sees what other hosts do not at all, or where adding a watch may hang. */
static bool is_local(int fd)
{
	static const unsigned long remote[] = {
		0x6969 /* nfs */,      0xff534d42 /* cifs */, 0xfe534d42 /* smb2 */, 0x65735546 /* fuse */,
		0x00c36400 /* ceph */, 0x01021997 /* 9p */,   0x01161970 /* gfs2 */, 0x7461636f /* ocfs2 */};
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(remote); i++)
		if ((unsigned long)fs.f_type == remote[i])
			return false;
	return true;
}

/* Can one wait for it to come by watching where it would be? */
static bool has_local_parent(const char *path)
{
	cleanup_free char *parent = xstrdup(path);
	*strrchr(parent, '/') = '\0';
	cleanup_close int fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && is_local(fd);
}

static int look(const struct pool_input *input, struct pool_output *ret)
{
	struct stat st;
	struct statvfs fs;
	cleanup_close int fd = open(input->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		ret->local = has_local_parent(input->path);
		return 0;
	}
	if (fd < 0)
		return say(errno, "directory '%s' cannot be opened: %s", input->path, strerror(errno));
	if (fstat(fd, &st) < 0 || fstatvfs(fd, &fs) < 0)
		return say(errno, "directory '%s' cannot be looked at: %s", input->path, strerror(errno));
	/* QEMU is handed what root opens here by name, so nobody else may choose what that is. */
	if (st.st_mode & S_IWOTH)
		return say(EPERM,
			   "directory '%s' can be written by everybody, who could put links in place of images: chmod "
			   "o-w '%s'",
			   input->path, input->path);
	*ret = (struct pool_output){.exists = true,
				    .local = is_local(fd),
				    .inode = st.st_ino,
				    .capacity = (uint64_t)fs.f_blocks * fs.f_frsize,
				    .available = (uint64_t)fs.f_bavail * fs.f_frsize};
	mark_read_directory(fd, ret->mark);
	if (input->sweep)
		image_sweep(input->path, input->instance);
	return 0;
}

static int reply(int out_fd, const struct pool_output *output)
{
	return write(out_fd, output, sizeof(*output)) == (ssize_t)sizeof(*output) ? 0 : EIO;
}

static int do_observe(void *ctx, int out_fd)
{
	struct pool_output output = {0};
	int code = look(ctx, &output);
	return code ? code : reply(out_fd, &output);
}

/* Others may pass through, to images that are theirs, but not list. Only what was made here is marked. */
static int make_directory(const struct pool_input *input)
{
	if (mkdir(input->path, 0711) < 0)
		return errno == EEXIST ? 0 : errno;
	cleanup_close int fd = open(input->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	mark_write_directory(fd, input->mark);
	return 0;
}

static int do_create(void *ctx, int out_fd)
{
	struct pool_input *input = ctx;
	struct pool_output output = {0};
	cleanup_free char *parent = xstrdup(input->path);
	*strrchr(parent, '/') = '\0';
	int r = *parent ? mkdir_all(parent, 0755) : 0;
	if (r < 0)
		return say(-r, "directory '%s' cannot be made: %s", parent, strerror(-r));
	int code = make_directory(input);
	if (code)
		return say(code, "directory '%s' cannot be made: %s", input->path, strerror(code));
	code = look(input, &output);
	return code ? code : reply(out_fd, &output);
}

static int do_remove(void *ctx, int out_fd)
{
	struct pool_input *input = ctx;
	struct pool_output output = {0};
	image_sweep(input->path, input->instance);
	output.removed = rmdir(input->path) == 0 || errno == ENOENT;
	if (!output.removed && errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY)
		return say(errno, "directory '%s' cannot be removed: %s", input->path, strerror(errno));
	return reply(out_fd, &output);
}

static const struct pool_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

static struct pool_state *seen_begin(struct op *op, bool exists)
{
	const struct pool_state *spec = spec_of(op);
	struct pool_state *seen = observation_begin(&op->obs, op->class, exists);
	seen->present = 0xf;
	seen->type = spec->type;
	seen->path = arena_strdup(op->obs.arena, spec->path);
	return seen;
}

/* What another Pool or another instance has marked is a directory like any other. */
static enum owner owner_of(const struct op *op, const struct pool_output *output)
{
	cleanup_free char *ours = xprintf("weft:%s:", env.instance);
	bool same = op->mark ? streq(output->mark, op->mark) : str_starts(output->mark, ours);
	return same ? OWNER_OURS : OWNER_UNKNOWN;
}

/* Rounded down to what is worth reading: of 79 GiB nobody wants to know the last KiB, which change all the time. */
static uint64_t readable(uint64_t bytes)
{
	for (unsigned shift = 40; shift >= 10; shift -= 10)
		if (bytes >> shift >= 10)
			return bytes >> shift << shift;
	return bytes;
}

static void finish_look(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct pool_output *output = data;
	if (size != sizeof(*output)) {
		op_fail(op, EPROTO, "pool %s was not told whole", op->key);
		return;
	}
	struct pool_state *seen = seen_begin(op, output->exists);
	seen->capacity = readable(output->capacity);
	seen->available = readable(output->available);
	op->obs.incarnation = output->inode;
	op->obs.owner = owner_of(op, output);
	memory_put_pool(seen->path, output->exists);
	if (!output->exists)
		op->obs.note = arena_printf(op->obs.arena, "there is no directory '%s'", seen->path);
	if (output->local)
		(output->exists ? watch_pool : watch_for_pool)(op->lane->engine, op->key, seen->path);
	op_complete(op);
}

/* A directory that is not empty stays and is given up; its mark lets the same Pool take it up again. */
static void finish_remove(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct pool_output *output = data;
	bool removed = size == sizeof(*output) && output->removed;
	seen_begin(op, !removed);
	op->obs.owner = removed ? OWNER_UNKNOWN : OWNER_FOREIGN;
	op->obs.note = removed ? NULL : "its directory is not empty and stays";
	memory_put_pool(spec_of(op)->path, false);
	unwatch_pool(op->key);
	op_complete(op);
}

static void start(struct op *op, int (*work)(void *, int), bool removing)
{
	const struct pool_state *spec = spec_of(op);
	if (!spec || !spec->path) { /* nobody knows where it was: there is nothing of it to see */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
		return;
	}
	struct pool_input *input = xcalloc(1, sizeof(*input));
	snprintf(input->path, sizeof(input->path), "%s", spec->path);
	memcpy(input->instance, env.instance, sizeof(input->instance));
	snprintf(input->mark, sizeof(input->mark), "%s", op->mark ? op->mark : "");
	input->sweep = !memory_has_pool(spec->path); /* once, before any image is made in it */
	task_start((struct task){.op = op, .input = input, .finish = removing ? finish_remove : finish_look}, work,
		   op->verb == OP_OBSERVE ? LOOK_MS : CHANGE_MS);
}

static void pool_observe(struct op *op)
{
	start(op, do_observe, false);
}

static void pool_create(struct op *op)
{
	start(op, do_create, false);
}

/* There is nothing to change about a directory; looking again is all. */
static void pool_update(struct op *op)
{
	start(op, do_observe, false);
}

static void pool_remove(struct op *op)
{
	start(op, do_remove, true);
}

static const char *pool_slot(const struct op *op)
{
	return op->key;
}

static const struct async_verbs pool_verbs = {
	.observe = pool_observe,
	.create = pool_create,
	.update = pool_update,
	.remove = pool_remove,
	.slot = pool_slot,
	.cancel = task_cancel,
};

const struct resource_class stord_pool_class = {
	.name = "pool",
	.doc = "A place that holds images: a directory.",
	.table = &pool_table,
	.lane = "storage",
	.verbs = &pool_verbs,
	.flags = CLASS_PERSISTENT | CLASS_PRECIOUS,
	.period_ms = 60 * 1000, /* for the free space, which nothing tells of */
};
