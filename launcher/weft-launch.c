/* SPDX-License-Identifier: Apache-2.0 */
/* weft-launch: starts one helper so that it outlives the daemon. Reads a request (core/launch-request.h), opens its
 * files as root, and execs the helper as the user asked for. As weftd's child it forks twice first, so that init adopts
 * the helper, and stays until exec has happened: the helper holds a pipe that closes on exec, and what it says there is
 * an error. As the command of a transient service (--unit) it becomes the helper itself. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/launch-request.h"
#include "launcher/launcher.h"

static int error_fd = STDERR_FILENO;
static int answer_fd = STDOUT_FILENO;
static bool in_unit;

struct failure {
	int code;
	char text[500];
};

void die(int code, const char *fmt, ...)
{
	struct failure failure = {.code = code > 0 && code < 127 ? code : EIO};
	va_list args;
	va_start(args, fmt);
	vsnprintf(failure.text, sizeof(failure.text), fmt, args);
	va_end(args);
	if (in_unit && error_fd != STDERR_FILENO)
		dprintf(error_fd, "!%d %s\n", failure.code, failure.text);
	else if (error_fd == STDERR_FILENO)
		dprintf(error_fd, "weft-launch: %s\n", failure.text);
	else if (write(error_fd, &failure, sizeof(failure)) < 0)
		_exit(EIO);
	_exit(failure.code);
}

void answer_at(int fd)
{
	answer_fd = error_fd = fd;
}

static int above(int fd, int least)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, least);
	if (moved < 0)
		die(errno, "moving descriptor %d: %s", fd, strerror(errno));
	return moved;
}

static int open_log(const char *path)
{
	int fd = open(path ? path : "/dev/null", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW,
		      0640);
	if (fd < 0)
		die(errno, "log '%s' cannot be opened: %s", path ? path : "/dev/null", strerror(errno));
	return fd;
}

/* The least number above all targets. The limit of open files may be as low as 1024; it is raised only as far as
 * needed, since some programs walk up to it. */
static int above_targets(const struct request *request)
{
	int least = 64;
	for (size_t i = 0; i < request->n_files; i++)
		least = request->files[i].target < least ? least : request->files[i].target + 1;
	rlim_t need = (rlim_t)least + request->n_files + 16;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < need) {
		limit.rlim_cur = need;
		limit.rlim_max = limit.rlim_max < need ? need : limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			die(errno, "raising the limit of open files: %s", strerror(errno));
	}
	return least;
}

/* Puts every descriptor where the program expects it; all others close on exec. */
static void place_descriptors(struct request *request, int log_fd)
{
	int least = above_targets(request);
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null_fd < 0)
		die(errno, "/dev/null: %s", strerror(errno));
	/* First out of the way of all targets, so that none is overwritten before its turn. */
	for (size_t i = 0; i < request->n_files; i++)
		request->files[i].fd = above(request->files[i].fd, least);
	log_fd = above(log_fd, least);
	null_fd = above(null_fd, least);
	error_fd = above(error_fd, least);
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		die(errno, "close_range: %s", strerror(errno));
	if (dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
		die(errno, "standard streams: %s", strerror(errno));
	for (size_t i = 0; i < request->n_files; i++)
		if (dup2(request->files[i].fd, request->files[i].target) < 0)
			die(errno, "descriptor %d: %s", request->files[i].target, strerror(errno));
}

/* Nothing that the daemon has set for itself is handed on. */
static void reset_process(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(077);
	if (chdir("/") < 0)
		die(errno, "chdir: %s", strerror(errno));
	/* Whoever may not write this (a container without the capability) keeps the score it has. */
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "0", 1) < 0)
			errno = 0;
		close(fd);
	}
}

/* The start time that /proc/PID/stat tells of this process: field 22, the 20th after the name in parentheses. */
static unsigned long long own_start_time(void)
{
	cleanup_free char *text = NULL;
	int r = file_read("/proc/self/stat", 65536, &text, NULL);
	if (r < 0)
		die(-r, "/proc/self/stat: %s", strerror(-r));
	const char *p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* What the host mounts and unmounts later still comes in; what is bound here is seen by this program alone. */
static void bind_directories(const struct request *request)
{
	if (!request->n_binds)
		return;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		die(errno, "mount namespace: %s", strerror(errno));
	for (size_t i = 0; i < request->n_binds; i++) {
		const struct bind_mount *bind = &request->binds[i];
		int r = mkdir_all(bind->to, 0755);
		if (r < 0)
			die(-r, "make %s: %s", bind->to, strerror(-r));
		if (mount(bind->from, bind->to, NULL, MS_BIND, NULL) < 0)
			die(errno, "mount %s at %s: %s", bind->from, bind->to, strerror(errno));
	}
}

static void run_helper(struct request *request, const struct credentials *credentials, int log_fd)
	__attribute__((noreturn));
static void run_helper(struct request *request, const struct credentials *credentials, int log_fd)
{
	char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
			       "HOME=/", NULL};
	setpgid(0, 0);
	reset_process();
	/* If weftd has given up meanwhile, this ends the launcher by SIGPIPE: nobody would know of the helper. */
	dprintf(answer_fd, "%d %llu\n", getpid(), own_start_time());
	place_descriptors(request, log_fd);
	bind_directories(request);
	credentials_take(credentials);
	environ = environment;
	execvpe(request->argv[0], request->argv, environment);
	if (errno == ENOENT && !strchr(request->argv[0], '/'))
		die(ENOENT, "the program '%s' is not installed", request->argv[0]);
	die(errno, "'%s' cannot be executed: %s", request->argv[0], strerror(errno));
}

/* Waits until exec has closed the pipe. */
static void wait_for_exec(int fd)
{
	struct failure failure;
	ssize_t n;
	do
		n = read(fd, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return;
	if (n != sizeof(failure))
		die(EPROTO, "the helper could not say what went wrong");
	failure.text[sizeof(failure.text) - 1] = '\0';
	die(failure.code, "%s", failure.text);
}

static void launch_detached(struct request *request, const struct credentials *credentials, int log_fd)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		die(errno, "pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		die(errno, "fork: %s", strerror(errno));
	if (pid == 0) {
		close(pipe_fds[0]);
		error_fd = pipe_fds[1];
		setsid();
		/* Not the session's leader, so that it can never get a controlling terminal. */
		pid = fork();
		if (pid < 0)
			die(errno, "fork: %s", strerror(errno));
		if (pid == 0)
			run_helper(request, credentials, log_fd);
		_exit(0);
	}
	close(pipe_fds[1]);
	waitpid(pid, NULL, 0);
	wait_for_exec(pipe_fds[0]);
	dprintf(STDOUT_FILENO, "running\n");
}

int main(int argc, char **argv)
{
	static struct request request; /* lives as long as the program */
	struct credentials credentials;
	in_unit = argc == 2 && streq(argv[1], "--unit");
	if (in_unit && dup2(STDIN_FILENO, LAUNCH_SOCKET) < 0)
		die(errno, "standard input: %s", strerror(errno));
	if (fcntl(LAUNCH_SOCKET, F_SETFD, FD_CLOEXEC) < 0)
		die(EINVAL, "this program is run by weftd, which passes it a socket as descriptor %d", LAUNCH_SOCKET);
	request_read(&request);
	credentials_find(&request, &credentials);
	int log_fd = open_log(request.log);
	if (!in_unit)
		launch_detached(&request, &credentials, log_fd);
	else if (request.answer)
		run_helper(&request, &credentials, log_fd);
	else
		die(EPROTO, "the request says nowhere to answer at");
	return 0;
}
