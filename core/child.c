/* SPDX-License-Identifier: Apache-2.0 */
/* See child.h. A child is watched by its pidfd with sd_event_add_io() and reaped here, so that no SIGCHLD handling of
 * the daemon is involved. Its standard input is a memfd: the child may exit early without reading it and nobody gets
 * SIGPIPE. After a deadline the answer goes out at once; what is left of the child stays behind as a watched pidfd
 * until the kernel lets it go. Children die with the daemon (PR_SET_PDEATHSIG): what they were at is found half-made by
 * the next one, not changed under it. */
#include "core/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "core/env.h"

enum { ERRORS_MAX = 64 << 10, OUTPUT_DEFAULT = 16 << 20, DEADLINE_DEFAULT_MS = 10000, ENVIRONMENT_MAX = 512 };
enum { LOOKS = 10, DEPTH_MAX = 4, PROC_MAX = 65536 }; /* at progress, in the time without any */

struct stream {
	int fd;
	char *data;
	size_t size, room;
	sd_event_source *source;
};

struct child {
	char *name;    /* for messages; NULL for a function */
	char *program; /* path to execute */
	char **argv;
	int (*func)(void *ctx, int out_fd);
	void *func_ctx;
	unsigned deadline_ms;
	size_t max_output;
	child_fn *done;
	void *ctx;
	uint64_t (*progress)(const struct child *child, void *ctx);
	uint64_t progressed;
	unsigned idle; /* looks since it was seen to move */

	pid_t pid;
	int pidfd, input_fd;
	int pass_fd; /* 0: none */
	struct stream out, errs;
	sd_event_source *exit_source, *time_source;
	struct err failed; /* it could not be started, or was ended by us */
	bool reaped;
	siginfo_t how;
};

static void stream_close(struct stream *stream)
{
	stream->source = sd_event_source_disable_unref(stream->source);
	closep(&stream->fd);
	stream->fd = -1;
}

static void child_free(struct child *child)
{
	stream_close(&child->out);
	stream_close(&child->errs);
	free(child->out.data);
	free(child->errs.data);
	sd_event_source_disable_unref(child->exit_source);
	sd_event_source_disable_unref(child->time_source);
	closep(&child->pidfd);
	closep(&child->input_fd);
	for (size_t i = 0; child->argv && child->argv[i]; i++)
		free(child->argv[i]);
	free(child->argv);
	free(child->name);
	free(child->program);
	free(child);
}

/* The last line that says something, without its end; NULL if there is none. Control characters become '?'. */
static char *last_line(struct stream *errs)
{
	size_t end = errs->size;
	while (end > 0 && strchr(" \t\r\n", errs->data[end - 1]))
		end--;
	size_t start = end;
	while (start > 0 && errs->data[start - 1] != '\n')
		start--;
	if (start == end)
		return NULL;
	char *line = xstrndup(errs->data + start, end - start);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = '?';
	return line;
}

/* What went wrong, for a child that ended by itself. A function's exit status is its errno and its last line the whole
 * sentence; a program's line follows its name, unless it begins with it. */
static void explain(struct child *child, const struct child_result *result, struct err *err)
{
	cleanup_free char *line = last_line(&child->errs);
	const char *name = child->name ? child->name : "a helper process";
	if (child->how.si_code != CLD_EXITED)
		err_set(err, EIO, "%s was killed by signal %d (%s)", name, child->how.si_status,
			strsignal(child->how.si_status));
	else if (line && (!child->name || (str_starts(line, name) && line[strlen(name)] == ':')))
		err_set(err, child->name ? EIO : result->status, "%s", line);
	else if (line)
		err_set(err, EIO, "%s: %s", name, line);
	else if (child->name)
		err_set(err, EIO, "%s ended with status %d and said nothing", name, result->status);
	else
		err_errno(err, result->status, "%s", name);
}

/* Calls done with what there is. The child's process may still exist. */
static void answer(struct child *child)
{
	struct child_result result = {.status = -1, .err = child->failed, .out_size = child->out.size};
	result.out = child->out.data ? child->out.data : (char[]){""};
	result.errs = child->errs.data ? child->errs.data : (char[]){""};
	result.timed_out = child->failed.code == ETIMEDOUT;
	if (!child->failed.code) {
		result.status = child->how.si_status + (child->how.si_code == CLD_EXITED ? 0 : 128);
		if (result.status != 0)
			explain(child, &result, &result.err);
	}
	child_fn *done = child->done;
	child->done = NULL;
	done(child->ctx, &result);
}

/* Room for more in a stream, data staying NUL-terminated. Of stderr the end is kept: what matters is said last. */
static int stream_put(struct child *child, struct stream *stream, const char *data, size_t size)
{
	if (stream == &child->errs && stream->size + size > ERRORS_MAX) {
		size_t drop = stream->size / 2;
		memmove(stream->data, stream->data + drop, stream->size - drop);
		stream->size -= drop;
	}
	if (stream == &child->out && stream->size + size > child->max_output)
		return -EFBIG;
	if (stream->size + size + 1 > stream->room) {
		stream->room = (stream->size + size + 1) * 2;
		stream->data = xrealloc(stream->data, stream->room, 1);
	}
	memcpy(stream->data + stream->size, data, size);
	stream->size += size;
	stream->data[stream->size] = '\0';
	return 0;
}

/* Reads what is there, at most `budget` bytes, so that a flood does not hold up the loop. */
static int stream_read(struct child *child, struct stream *stream, size_t budget)
{
	char data[16384];
	while (stream->fd >= 0 && budget > 0) {
		ssize_t n = read(stream->fd, data, sizeof(data));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			stream_close(stream);
			return 0;
		}
		if (stream_put(child, stream, data, (size_t)n) < 0)
			return -EFBIG;
		budget -= (size_t)n < budget ? (size_t)n : budget;
	}
	return 0;
}

/* True once it has ended and was reaped. */
static bool reap(struct child *child)
{
	siginfo_t how = {0};
	if (child->reaped || child->pidfd < 0)
		return true;
	if (waitid(P_PIDFD, (id_t)child->pidfd, &how, WEXITED | WNOHANG) < 0 && errno != EINTR) {
		/* Somebody else has reaped it: there is no telling how it ended. */
		how.si_pid = child->pid;
		how.si_code = CLD_KILLED;
		how.si_status = SIGKILL;
	}
	if (how.si_pid == 0)
		return false;
	child->how = how;
	child->reaped = true;
	return true;
}

static void finish_exited(struct child *child)
{
	if (!child->failed.code &&
	    (stream_read(child, &child->out, SIZE_MAX) < 0 || stream_read(child, &child->errs, ERRORS_MAX * 4) < 0))
		err_set(&child->failed, EFBIG, "%s gave more than %zu bytes of output",
			child->name ? child->name : "a helper process", child->max_output);
	answer(child);
	child_free(child);
}

static int on_exit_event(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct child *child = ctx;
	if (!reap(child))
		return 0;
	if (child->done)
		finish_exited(child);
	else
		child_free(child);
	return 0;
}

/* Ends it with its whole group and answers now; the corpse is waited for without anybody noticing. */
static void give_up(struct child *child)
{
	if (reap(child)) {
		finish_exited(child);
		return;
	}
	kill(-child->pid, SIGKILL);
	pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
	stream_close(&child->out);
	stream_close(&child->errs);
	child->time_source = sd_event_source_disable_unref(child->time_source);
	answer(child);
	if (reap(child))
		child_free(child);
}

/* "rchar: 4096\nwchar: 512\n..."; 0 where it cannot be read. */
static uint64_t io_of(int pid)
{
	cleanup_free char *path = xprintf("/proc/%d/io", pid), *text = NULL;
	unsigned long long in = 0, out = 0;
	if (file_read(path, PROC_MAX, &text, NULL) < 0 || sscanf(text, "rchar: %llu wchar: %llu", &in, &out) != 2)
		return 0;
	return in + out;
}

static uint64_t io_below(int pid, unsigned depth)
{
	uint64_t sum = io_of(pid);
	cleanup_free char *path = xprintf("/proc/%d/task/%d/children", pid, pid), *text = NULL;
	if (depth == DEPTH_MAX || file_read(path, PROC_MAX, &text, NULL) < 0)
		return sum;
	char *rest = text, *word;
	while ((word = strsep(&rest, " \n")))
		if (*word)
			sum += io_below(atoi(word), depth + 1);
	return sum;
}

uint64_t child_io(const struct child *child)
{
	return child->pid > 0 ? io_below(child->pid, 0) : 0;
}

/* Has it moved, or may it do so yet? */
static bool goes_on(struct child *child)
{
	if (!child->progress)
		return false;
	uint64_t now = child->progress(child, child->ctx);
	child->idle = now == child->progressed ? child->idle + 1 : 0;
	child->progressed = now;
	return child->idle < LOOKS;
}

static int answer_in(struct child *child, unsigned ms);

static unsigned first_look_ms(const struct child *child)
{
	return child->progress ? child->deadline_ms / LOOKS : child->deadline_ms;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct child *child = ctx;
	if (child->pidfd < 0) { /* was never started */
		answer(child);
		child_free(child);
		return 0;
	}
	bool ended = child->failed.code || reap(child);
	if (!ended && goes_on(child)) {
		if (answer_in(child, first_look_ms(child)) < 0)
			abort();
		return 0;
	}
	if (!ended)
		err_set(&child->failed, ETIMEDOUT, "%s %s in %u%s", child->name ? child->name : "a helper process",
			child->progress ? "made no progress" : "gave no answer",
			child->deadline_ms % 1000 ? child->deadline_ms : child->deadline_ms / 1000,
			child->deadline_ms % 1000 ? " ms" : " s");
	give_up(child);
	return 0;
}

static int on_stream(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct child *child = ctx;
	struct stream *stream = source == child->out.source ? &child->out : &child->errs;
	if (stream_read(child, stream, 256 << 10) == 0)
		return 0;
	err_set(&child->failed, EFBIG, "%s gave more than %zu bytes of output and was stopped",
		child->name ? child->name : "a helper process", child->max_output);
	give_up(child);
	return 0;
}

static int answer_in(struct child *child, unsigned ms)
{
	child->time_source = sd_event_source_disable_unref(child->time_source);
	return sd_event_add_time_relative(env.loop, &child->time_source, CLOCK_MONOTONIC, (uint64_t)ms * 1000, 1000,
					  on_deadline, child);
}

/* Programs are looked for in PATH, then where system tools are even if PATH does not say so. */
static char *find_program(const char *name)
{
	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
	const char *path = getenv("PATH");
	cleanup_free char *dirs = xprintf("%s:/usr/sbin:/usr/bin:/sbin:/bin", path ? path : "/usr/bin");
	char *rest = dirs, *dir;
	while ((dir = strsep(&rest, ":"))) {
		cleanup_free char *file = xprintf("%s/%s", dir, name);
		struct stat st;
		if (*dir == '/' && access(file, X_OK) == 0 && stat(file, &st) == 0 && S_ISREG(st.st_mode))
			return take_ptr(file);
	}
	return NULL;
}

/* The daemon's environment with a plain locale (messages are read by programs) and without what systemd meant for the
 * daemon alone. */
static void make_environment(char *to[static ENVIRONMENT_MAX])
{
	static const char *const not_for_children[] = {"LC_", "LANG", "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_"};
	size_t n = 0;
	to[n++] = "LC_ALL=C";
	for (char **from = environ; *from && n < ENVIRONMENT_MAX - 1; from++) {
		bool pass = true;
		for (size_t i = 0; i < ARRAY_SIZE(not_for_children); i++)
			pass = pass && !str_starts(*from, not_for_children[i]);
		if (pass)
			to[n++] = *from;
	}
	to[n] = NULL;
}

/* In the child: nothing of the daemon is left but the three streams. */
static void become_child(const struct child *child, int out_fd, int errs_fd, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	setsid();
	sigset_t none;
	sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* All descriptors of ours were opened above 2, so that none is overwritten before its turn. */
	if (dup2(child->input_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(errs_fd, 2) < 0)
		_exit(127);
	if (child->pass_fd && child->pass_fd != 3 && dup2(child->pass_fd, 3) < 0)
		_exit(127);
	close_range(child->pass_fd ? 4 : 3, ~0U, 0);
	umask(022);
	if (chdir("/") < 0)
		_exit(127);
	if (child->func)
		_exit(child->func(child->func_ctx, 1) & 0xff);
	char *environment[ENVIRONMENT_MAX];
	make_environment(environment);
	execve(child->program, child->argv, environment);
	dprintf(2, "%s cannot be executed: %s\n", child->argv[0], strerror(errno));
	_exit(127);
}

/* Descriptors of ours are never 0 to 2, even if the daemon was started with those closed. */
static int above_standard(int fd)
{
	if (fd < 0 || fd > 2)
		return fd;
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return moved;
}

static int make_pipe(int *ret_read, int *ret_write)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = above_standard(fds[0]);
	*ret_write = above_standard(fds[1]);
	if (*ret_read < 0 || *ret_write < 0 || fcntl(*ret_read, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static int make_input(const char *input, size_t size)
{
	if (!input)
		return above_standard(open("/dev/null", O_RDONLY | O_CLOEXEC));
	cleanup_close int fd = above_standard(memfd_create("weft-input", MFD_CLOEXEC));
	for (size_t at = 0; fd >= 0 && at < size;) {
		ssize_t n = write(fd, input + at, size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += (size_t)n;
	}
	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return take_fd(&fd);
}

static int watch(struct child *child)
{
	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd < 0)
		return -errno;
	int r = sd_event_add_io(env.loop, &child->exit_source, child->pidfd, EPOLLIN, on_exit_event, child);
	if (r >= 0)
		r = sd_event_add_io(env.loop, &child->out.source, child->out.fd, EPOLLIN, on_stream, child);
	if (r >= 0)
		r = sd_event_add_io(env.loop, &child->errs.source, child->errs.fd, EPOLLIN, on_stream, child);
	/* What it wrote is read before its end is seen. */
	if (r >= 0)
		r = sd_event_source_set_priority(child->exit_source, SD_EVENT_PRIORITY_NORMAL + 1);
	return r;
}

static int start(struct child *child)
{
	cleanup_close int out_fd = -1, errs_fd = -1;
	if (make_pipe(&child->out.fd, &out_fd) < 0 || make_pipe(&child->errs.fd, &errs_fd) < 0 || child->input_fd < 0)
		return -errno;
	pid_t parent = getpid();
	child->pid = fork();
	if (child->pid < 0)
		return -errno;
	if (child->pid == 0)
		become_child(child, out_fd, errs_fd, parent);
	int r = watch(child);
	if (r < 0) { /* no descriptors are left: without a watch it must not run on */
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
		child->exit_source = sd_event_source_disable_unref(child->exit_source);
		closep(&child->pidfd);
		child->pidfd = -1;
	}
	return r;
}

static struct child *child_new(unsigned deadline_ms, child_fn *done, void *ctx)
{
	struct child *child = xcalloc(1, sizeof(*child));
	child->pidfd = child->input_fd = child->out.fd = child->errs.fd = -1;
	child->deadline_ms = deadline_ms ? deadline_ms : DEADLINE_DEFAULT_MS;
	child->max_output = OUTPUT_DEFAULT;
	child->done = done;
	child->ctx = ctx;
	return child;
}

/* Starts it, or lets the loop tell what kept it from starting. */
static struct child *launch_child(struct child *child)
{
	int r = child->failed.code ? 0 : start(child);
	if (r < 0)
		err_errno(&child->failed, -r, "%s could not be started",
			  child->name ? child->name : "a helper process");
	closep(&child->input_fd);
	child->input_fd = -1;
	/* Without a timer nobody would ever be told; memory or descriptors ran out beyond what can be reported. */
	if (answer_in(child, child->failed.code ? 0 : first_look_ms(child)) < 0)
		abort();
	return child;
}

/* What is to be executed, found and copied. */
static void set_program(struct child *child, const char *const *argv)
{
	const char *slash = strrchr(argv[0], '/');
	child->name = xstrdup(slash ? slash + 1 : argv[0]);
	size_t n = 0;
	while (argv[n])
		n++;
	child->argv = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		child->argv[i] = xstrdup(argv[i]);
	child->program = find_program(argv[0]);
	if (!child->program)
		err_set(&child->failed, ENOENT, "the program '%s' is not installed", argv[0]);
}

struct child *child_run(const struct child_spec *spec)
{
	struct child *child = child_new(spec->deadline_ms, spec->done, spec->ctx);
	if (spec->max_output)
		child->max_output = spec->max_output;
	child->pass_fd = spec->pass_fd;
	child->progress = spec->progress;
	child->func = spec->func;
	child->func_ctx = spec->func_ctx;
	if (!spec->func)
		set_program(child, spec->argv);
	child->input_fd = make_input(spec->input, spec->input_size);
	return launch_child(child);
}

struct child *child_call(int (*func)(void *ctx, int out_fd), void *func_ctx, unsigned deadline_ms, child_fn *done,
			 void *ctx)
{
	return child_run(&(struct child_spec){
		.func = func, .func_ctx = func_ctx, .deadline_ms = deadline_ms, .done = done, .ctx = ctx});
}

int child_pid(const struct child *child)
{
	return child->pid > 0 ? child->pid : 0;
}

void child_kill(struct child *child)
{
	if (!child->done || child->failed.code)
		return;
	kill(-child->pid, SIGKILL);
	pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
	err_set(&child->failed, ECANCELED, "%s was stopped", child->name ? child->name : "a helper process");
	if (answer_in(child, 0) < 0)
		abort();
}
