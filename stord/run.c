/* SPDX-License-Identifier: Apache-2.0 */
/* Running a program from within a child and waiting for it, or for a lock. The child's own deadline kills both, as they
 * share a process group. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "stord/image.h"

enum { TEXT_MAX = 16 << 20, TICK_MS = 200 };

int say(int code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vdprintf(STDERR_FILENO, fmt, args);
	va_end(args);
	dprintf(STDERR_FILENO, "\n");
	return code;
}

int lock_wait(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	return fd;
}

static char *read_back(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	size_t room = size < 0 ? 0 : size > TEXT_MAX ? TEXT_MAX : (size_t)size;
	char *text = xcalloc(room + 1, 1);
	ssize_t n = pread(fd, text, room, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* In the parent's memory, as vfork() has it: nothing of that is changed. */
static void be_program(const struct program *program, int out_fd, int errs_fd)
{
	pid_t own = getpid();
	if ((program->in_fd > 0 && dup2(program->in_fd, 0) < 0) || dup2(out_fd, 1) < 0 || dup2(errs_fd, 2) < 0)
		_exit(127);
	if (program->number_fd > 0 && pwrite(program->number_fd, &own, sizeof(own), 0) != sizeof(own))
		_exit(127);
	execvp(program->argv[0], (char *const *)program->argv);
	dprintf(2, "%s cannot be executed: %s\n", program->argv[0], strerror(errno));
	_exit(127);
}

/* With a tick it is looked at a few times a second on the way. */
static int wait_for(const struct program *program, pid_t pid, int out_fd)
{
	cleanup_close int pid_fd = program->tick ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	struct pollfd poll_fd = {.fd = pid_fd, .events = POLLIN};
	while (pid_fd >= 0 && poll(&poll_fd, 1, TICK_MS) == 0)
		program->tick(program->ctx, pid, out_fd);
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_it(const struct program *program)
{
	cleanup_close int out_fd = memfd_create("weft-out", MFD_CLOEXEC),
			  errs_fd = memfd_create("weft-errors", MFD_CLOEXEC);
	if (out_fd < 0 || errs_fd < 0)
		return -errno;
	setenv("LC_ALL", "C", 1);
	/* A copy of all of weftd for the moment until the program begins would be a tenth of what an image costs. */
	pid_t parent = getpid(), pid = vfork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (program->whole)
			setsid();
		else
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		be_program(program, out_fd, errs_fd);
	}
	int status = wait_for(program, pid, out_fd);
	if (program->out)
		*program->out = read_back(out_fd);
	if (program->errs)
		*program->errs = read_back(errs_fd);
	return status;
}

int run_program(const char *const *argv, char **out, char **errs)
{
	return run_it(&(struct program){.argv = argv, .out = out, .errs = errs});
}

int run_program_from(int in_fd, const char *const *argv, char **out, char **errs)
{
	return run_it(&(struct program){.argv = argv, .in_fd = in_fd, .out = out, .errs = errs});
}
