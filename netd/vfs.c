/* SPDX-License-Identifier: Apache-2.0 */
/* See vfs.h: the table and the verbs of the class. The kernel makes and removes virtual functions within the write to
 * the setting, seconds long, and lets no one read it meanwhile; so a child does either. */
#include "netd/vfs.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "core/child.h"
#include "core/engine.h"
#include "core/env.h"
#include "core/lane-async.h"
#include "netd/netd.h"

enum { VFS_COUNT, VFS_HELD };
struct vfs_spec {
	uint64_t present;
	uint32_t count;
	const char *held;
};

static const struct field vfs_rows[] = {
	[VFS_COUNT] = F_U32("count", struct vfs_spec, count, .flags = FIELD_IRREVERSIBLE, .doc = "How many there are.",
			    .example = "4"),
	[VFS_HELD] = F_STRING("held", struct vfs_spec, held, .flags = FIELD_STATUS,
			      .doc = "Why none of them can go; empty if they can."),
};
static const struct table vfs_table = TABLE("vfs", struct vfs_spec, vfs_rows);

/* Making the first ones takes nothing from anybody. */
static void weigh(const void *seen, const void *to, struct change *ret)
{
	const struct vfs_spec *now = seen, *then = to;
	bool differs = then->present & 1 << VFS_COUNT && then->count != now->count;
	ret->gentle = now->count == 0;
	if (differs && now->held && *now->held)
		ret->refused = now->held;
}

/* ---- in children ---- */

enum { LOOK_MS = 30 * 1000, WRITE_MS = 120 * 1000 };

/* Writes what is seen: the number, and a line on who uses them. */
static int look(const char *nic, int out_fd)
{
	struct vfs_seen seen;
	int r = vfs_read(nic, &seen);
	if (r < 0)
		return -r;
	return dprintf(out_fd, "%u\n%s", seen.count, seen.held) < 0 ? EIO : 0;
}

static int do_look(void *ctx, int out_fd)
{
	return look(((const struct op *)ctx)->key, out_fd);
}

static int do_write(void *ctx, int out_fd)
{
	const struct op *op = ctx;
	struct err err = {0};
	int r = vfs_write(op->key, ((const struct vfs_spec *)op->want)->count, &err);
	if (r == 0)
		return look(op->key, out_fd);
	dprintf(STDERR_FILENO, "%s\n", err.text);
	return -r;
}

/* ---- events ---- */

static struct engine *watcher;
static sd_event_source *uevents;

/* "add@/devices/...\0ACTION=add\0...SUBSYSTEM=pci\0..." */
static bool is_of_pci(const char *text, const char *end)
{
	for (; text < end; text += strlen(text) + 1)
		if (streq(text, "SUBSYSTEM=pci"))
			return true;
	return false;
}

static int on_uevents(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	char buf[8192];
	ssize_t size;
	bool any = false;
	while ((size = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT)) > 0 || (size < 0 && errno == ENOBUFS)) {
		buf[size > 0 ? size : 0] = '\0';
		any |= size < 0 || is_of_pci(buf, buf + size); /* some may have been lost */
	}
	if (any)
		engine_dirty(watcher, netd_vfs_class.name, NULL);
	return 0;
}

/* The kernel's own, which reach every network namespace, whether or not udev runs. Followed once anybody minds: there
 * are many. Where they cannot be had, what differs is seen by and by. */
static void follow(void)
{
	const struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = 1};
	if (uevents || !watcher || !env.loop)
		return;
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&group, sizeof(group)) < 0 ||
	    sd_event_add_io(env.loop, &uevents, fd, EPOLLIN, on_uevents, NULL) < 0)
		return;
	sd_event_source_set_io_fd_own(uevents, true);
	take_fd(&fd);
}

void netd_vfs_start(struct engine *engine)
{
	watcher = engine;
}

void netd_vfs_stop(void)
{
	watcher = NULL;
	uevents = sd_event_source_disable_unref(uevents);
}

/* ---- verbs ---- */

static void on_done(void *ctx, const struct child_result *result)
{
	struct op *op = ctx;
	if (op->verb == OP_OBSERVE && result->status == ENOENT) {
		observation_begin(&op->obs, op->class, false);
		op->obs.note = "it is no NIC with SR-IOV";
		op_complete(op);
		return;
	}
	op->err = result->err;
	if (result->status != 0 || !result->out) {
		op_complete(op);
		return;
	}
	struct vfs_spec *seen = observation_begin(&op->obs, op->class, true);
	const char *line = strchr(result->out, '\n');
	seen->count = (uint32_t)strtoul(result->out, NULL, 10);
	seen->held = arena_strdup(op->obs.arena, line ? line + 1 : "");
	seen->present = 1 << VFS_COUNT | 1 << VFS_HELD;
	op_complete(op);
}

static void observe(struct op *op)
{
	follow();
	child_call(do_look, op, LOOK_MS, on_done, op);
}

static void update(struct op *op)
{
	child_call(do_write, op, WRITE_MS, on_done, op);
}

/* The engine never asks for these two. */
static void refuse(struct op *op)
{
	op_fail(op, ENOTSUP, "the number of virtual functions is neither made nor removed");
}

static const char *slot(const struct op *op)
{
	return op->key;
}

static const struct async_verbs vfs_verbs = {
	.observe = observe,
	.create = refuse,
	.update = update,
	.remove = refuse,
	.slot = slot,
	.deadline_ms = WRITE_MS + 10 * 1000,
};

/* The NIC may be going just now. */
static const struct errno_rule vfs_errnos[] = {
	{OP_UPDATE, ENOENT, ANSWER_WAIT},
	{OP_UPDATE, ENODEV, ANSWER_WAIT},
};

/* That a process lets go of a function is told by nobody. */
enum { PERIOD_MS = 60 * 1000 };

const struct resource_class netd_vfs_class = {
	.name = "vfs",
	.doc = "How many virtual functions a NIC has; its key is the NIC's name.",
	.table = &vfs_table,
	.lane = "vfs",
	.verbs = &vfs_verbs,
	.flags = CLASS_TRANSACTIONAL | CLASS_INHERENT,
	.rules = vfs_errnos,
	.n_rules = ARRAY_SIZE(vfs_errnos),
	.period_ms = PERIOD_MS,
	.weigh = weigh,
};
