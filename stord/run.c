/* SPDX-License-Identifier: Apache-2.0 */
/* Running a program from within a child and waiting for it. The child's own deadline kills both, as they share a
 * process group. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "stord/image.h"

enum { TEXT_MAX = 1 << 20 };

int say(int code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vdprintf(STDERR_FILENO, fmt, args);
	va_end(args);
	dprintf(STDERR_FILENO, "\n");
	return code;
}

static char *read_back(int fd)
{
	char *text = xcalloc(TEXT_MAX + 1, 1);
	ssize_t n = pread(fd, text, TEXT_MAX, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

int run_program(const char *const *argv, char **out, char **errs)
{
	return run_program_from(-1, argv, out, errs);
}

int run_program_from(int in_fd, const char *const *argv, char **out, char **errs)
{
	cleanup_close int out_fd = memfd_create("weft-out", MFD_CLOEXEC),
			  errs_fd = memfd_create("weft-errors", MFD_CLOEXEC);
	if (out_fd < 0 || errs_fd < 0)
		return -errno;
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent || (in_fd >= 0 && dup2(in_fd, 0) < 0) || dup2(out_fd, 1) < 0 ||
		    dup2(errs_fd, 2) < 0)
			_exit(127);
		setenv("LC_ALL", "C", 1);
		execvp(argv[0], (char *const *)argv);
		dprintf(2, "%s cannot be executed: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (out)
		*out = read_back(out_fd);
	if (errs)
		*errs = read_back(errs_fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
