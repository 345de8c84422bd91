/* SPDX-License-Identifier: Apache-2.0 */
/* See launch.h. The launcher runs as an ordinary child with a deadline, or as a service of systemd's (launch-unit.c);
 * what it starts is nobody's child when it reports. If the deadline passes between the two, the half-started process is
 * killed: it must not wake up later unexpected. */
#include "core/launch.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/child.h"
#include "core/env.h"
#include "core/launch-internal.h"
#include "core/launch-request.h"
#include "core/unit.h"

struct starting {
	char *name;
	launch_done_fn *done;
	void *ctx;
};

static void request_add(FILE *to, const char *name, const char *value)
{
	fwrite(name, 1, strlen(name) + 1, to);
	fwrite(value, 1, strlen(value) + 1, to);
}

static int add_files(FILE *to, const struct launch_spec *spec, int fds[static LAUNCH_FDS_MAX], size_t *n_fds,
		     struct err *err)
{
	for (size_t i = 0; i < spec->n_files; i++) {
		const struct launch_file *file = &spec->files[i];
		if (file->target_fd < 3 || file->target_fd > LAUNCH_TARGET_MAX)
			return err_set(err, EINVAL, "descriptor %d is outside of 3 to %d", file->target_fd,
				       LAUNCH_TARGET_MAX);
		if (!file->path && *n_fds == LAUNCH_FDS_MAX)
			return err_set(err, E2BIG, "more than %d descriptors cannot be passed", LAUNCH_FDS_MAX - 2);
		cleanup_free char *text = NULL;
		if (file->path && file->lock_byte) {
			text = xprintf("%d %" PRIu64 " %s", file->target_fd, file->lock_byte, file->path);
		} else if (file->path) {
			text = xprintf("%d %d %d %s", file->target_fd, file->open_flags, file->memfd, file->path);
		} else {
			text = xprintf("%d %zu", file->target_fd, *n_fds);
			fds[(*n_fds)++] = file->fd;
		}
		request_add(to, file->lock_byte ? "lock" : file->path ? "file" : "fd", text);
	}
	return 0;
}

/* Writes the request into a memfd, which is the first of fds; the pipe for the answer, if any, is the second. */
static int make_request(const struct launch_spec *spec, int answer_fd, int fds[static LAUNCH_FDS_MAX], size_t *n_fds,
			struct err *err)
{
	cleanup_close int fd = memfd_create("weft-launch", MFD_CLOEXEC);
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	cleanup_fclose FILE *to = copy < 0 ? NULL : fdopen(copy, "w");
	if (!to)
		return err_errno(err, errno, "memfd for the launcher");
	*n_fds = 1;
	if (answer_fd >= 0) {
		request_add(to, "answer", "1");
		fds[(*n_fds)++] = answer_fd;
	}
	for (size_t i = 0; spec->argv[i]; i++)
		request_add(to, "arg", spec->argv[i]);
	if (spec->user)
		request_add(to, "user", spec->user);
	if (spec->groups)
		request_add(to, "groups", spec->groups);
	if (spec->log_path)
		request_add(to, "log", spec->log_path);
	if (spec->keep_net_admin)
		request_add(to, "net", "1");
	for (size_t i = 0; i < spec->n_binds; i++) {
		cleanup_free char *text = xprintf("%s %s", spec->binds[i].to, spec->binds[i].from);
		request_add(to, "bind", text);
	}
	int r = add_files(to, spec, fds, n_fds, err);
	if (r < 0)
		return r;
	if (fflush(to) != 0)
		return err_errno(err, errno, "memfd for the launcher");
	if (ftello(to) > LAUNCH_REQUEST_MAX)
		return err_set(err, E2BIG, "the command line of %s is larger than %d bytes", spec->name,
			       LAUNCH_REQUEST_MAX);
	fds[0] = take_fd(&fd);
	return 0;
}

static int send_fds(int socket, const int *fds, size_t n)
{
	char control[CMSG_SPACE(sizeof(int) * LAUNCH_FDS_MAX)] __attribute__((aligned(sizeof(long)))) = {0};
	struct msghdr message = {
		.msg_iov = &(struct iovec){.iov_base = (char[]){"L"}, .iov_len = 1},
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(sizeof(int) * n),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(header), fds, sizeof(int) * n);
	return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void on_launched(void *ctx, const struct child_result *result)
{
	struct starting *starting = ctx;
	struct process_id id = {0};
	struct err err = result->err;
	char running[16] = "";
	int n = sscanf(result->out, "%d %" SCNu64 "\n%15s", &id.pid, &id.start, running);
	if (result->status == 0 && (n != 3 || !streq(running, "running")))
		err_set(&err, EPROTO, "the launcher answered '%.100s'", result->out);
	if (err.code && n >= 2)
		process_signal(&id, SIGKILL);
	/* The launcher's exit status is the errno and its words are the whole story. */
	if (result->status > 0 && result->status < 127 && str_starts(err.text, "weft-launch: ")) {
		struct err told = err;
		err_set(&err, result->status, "%s", told.text + strlen("weft-launch: "));
	}
	if (err.code)
		err_wrap(&err, "starting %s", starting->name);
	starting->done(starting->ctx, &id, err.code ? &err : NULL);
	free(starting->name);
	free(starting);
}

static void launch_detached(const struct launch_spec *spec, int request_fd, launch_done_fn *done, void *ctx)
{
	struct starting *starting = xcalloc(1, sizeof(*starting));
	starting->name = xstrdup(spec->name);
	starting->done = done;
	starting->ctx = ctx;
	cleanup_free char *program = xprintf("%s/weft-launch", env.libexec_dir);
	child_run(&(struct child_spec){
		.argv = (const char *const[]){program, NULL},
		.deadline_ms = spec->deadline_ms,
		.max_output = 4096,
		.pass_fd = request_fd,
		.done = on_launched,
		.ctx = starting,
	});
}

int launch(const struct launch_spec *spec, launch_done_fn *done, void *ctx, struct err *err)
{
	int fds[LAUNCH_FDS_MAX], pair[2], answer[2] = {-1, -1};
	size_t n_fds = 0;
	if (!spec->argv[0])
		return err_set(err, EINVAL, "%s has no command line", spec->name);
	bool in_unit = units_are_used();
	if (in_unit && pipe2(answer, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(err, errno, "pipe for the launcher");
	cleanup_close int answer_read = answer[0], answer_write = answer[1];
	int r = make_request(spec, answer_write, fds, &n_fds, err);
	if (r < 0)
		return r;
	cleanup_close int request_fd = fds[0];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "socket for the launcher");
	cleanup_close int ours = pair[0], theirs = pair[1];
	r = send_fds(ours, fds, n_fds);
	if (r < 0)
		return err_errno(err, -r, "passing descriptors to the launcher");
	if (in_unit)
		launch_in_unit(spec, theirs, take_fd(&answer_read), done, ctx);
	else
		launch_detached(spec, theirs, done, ctx);
	return 0;
}
