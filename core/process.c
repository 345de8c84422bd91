/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are not our children, told apart by pid and start time. See launch.h. */
#include <fcntl.h>
#include <sys/pidfd.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/launch.h"

struct process_watch {
	struct process_id id;
	process_exit_fn *fn;
	void *ctx;
	int pidfd;
	sd_event_source *source;
};

/* State letter and start time out of /proc/PID/stat. The second field is the program's name in parentheses and may hold
 * anything, so what counts begins after the last of them. */
static int read_stat(int pid, char *ret_state, uint64_t *ret_start)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	cleanup_free char *text = NULL;
	int r = file_read(path, 65536, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	const char *p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return -EBADMSG;
	*ret_state = p[2];
	for (int field = 2; field < 22; field++) {
		p = strchr(p + 1, ' ');
		if (!p)
			return -EBADMSG;
	}
	*ret_start = strtoull(p + 1, NULL, 10);
	return 0;
}

int process_start_time(int pid, uint64_t *ret)
{
	char state;
	return read_stat(pid, &state, ret);
}

bool process_alive(const struct process_id *id)
{
	char state;
	uint64_t start;
	/* A zombie has ended; whoever should reap it is not our concern. */
	return id->pid > 0 && read_stat(id->pid, &state, &start) == 0 && start == id->start && state != 'Z' &&
	       state != 'X';
}

int process_open(const struct process_id *id)
{
	if (id->pid <= 0)
		return -ESRCH;
	cleanup_close int fd = pidfd_open(id->pid, 0);
	if (fd < 0)
		return errno == EINVAL ? -ESRCH : -errno;
	/* In this order: if the pid was given to another process before the descriptor was made, the start times
	 * differ. */
	if (!process_alive(id))
		return -ESRCH;
	return take_fd(&fd);
}

int process_signal(const struct process_id *id, int signal)
{
	cleanup_close int fd = process_open(id);
	if (fd < 0)
		return fd;
	return pidfd_send_signal(fd, signal, NULL, 0) < 0 ? -errno : 0;
}

static int on_process_exit(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct process_watch *watch = ctx;
	struct process_watch copy = *watch;
	process_unwatch(watch);
	copy.fn(copy.ctx, &copy.id);
	return 0;
}

struct process_watch *process_watch(const struct process_id *id, process_exit_fn *fn, void *ctx, struct err *err)
{
	cleanup_close int fd = process_open(id);
	if (fd < 0) {
		err_errno(err, -fd, "process %d", id->pid);
		return NULL;
	}
	struct process_watch *watch = xcalloc(1, sizeof(*watch));
	*watch = (struct process_watch){.id = *id, .fn = fn, .ctx = ctx, .pidfd = take_fd(&fd)};
	/* Not sd_event_add_child_pidfd(): of what is not our child that ends the loop with ECHILD. */
	int r = sd_event_add_io(env.loop, &watch->source, watch->pidfd, EPOLLIN, on_process_exit, watch);
	if (r < 0) {
		err_errno(err, -r, "watching process %d", id->pid);
		process_unwatch(watch);
		return NULL;
	}
	return watch;
}

void process_unwatch(struct process_watch *watch)
{
	if (!watch)
		return;
	sd_event_source_disable_unref(watch->source);
	closep(&watch->pidfd);
	free(watch);
}
