/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes with deadlines, on the event loop. argv arrays, never a shell; stdin from memory; stdout and stderr
 * collected up to a bound. A child past its deadline gets SIGKILL with its whole process group; one that hangs
 * unkillably (state D) is reported as timed out at once and no longer waited for. Children see the daemon's environment
 * in the C locale and die with the daemon. A child that exits while a descendant of it still holds its pipes has
 * ended. */
#ifndef WEFT_CORE_CHILD_H
#define WEFT_CORE_CHILD_H

#include "core/err.h"

struct child;

struct child_result {
	int status; /* exit status; 128 + signal when killed; -1 when it could not be started or timed out */
	bool timed_out;
	char *out, *errs; /* NUL-terminated, bounded by max_output; freed after the callback */
	size_t out_size;
	struct err err; /* EFBIG when it said more than max_output and was stopped. Set unless status is 0:
			   "iptables-restore: <last line of stderr>" or "... gave no answer in 5 s" */
};
typedef void child_fn(void *ctx, const struct child_result *result);

struct child_spec {
	const char *const *argv; /* NULL-terminated; argv[0] is searched in PATH (with /usr/sbin and /sbin) */
	int (*func)(void *ctx, int out_fd); /* instead of a program; see child_call() */
	void *func_ctx;
	const char *input; /* stdin; NULL: /dev/null */
	size_t input_size;
	unsigned deadline_ms; /* 0: 10 s */
	/* How far it is, in any measure: where that moves, the deadline begins anew. NULL: it is one in all. */
	uint64_t (*progress)(const struct child *child, void *ctx);
	size_t max_output;    /* 0: 16 MiB */
	int pass_fd;          /* becomes descriptor 3; borrowed; 0: none */
	child_fn *done;
	void *ctx;
};
/* Starts it; done is called later, exactly once, also when it could not be started. The handle is valid until then.
 * Copies what it needs of the spec. */
struct child *child_run(const struct child_spec *spec);
/* Its process id, 0 if it could not be started: for telling our own changes from those of others. */
int child_pid(const struct child *child);
/* Kills it; done is still called, later, with ECANCELED. */
void child_kill(struct child *child);
/* Bytes that it and those that it has started have read and written up to now, files and pipes alike. */
uint64_t child_io(const struct child *child);
/* Runs func(ctx, out_fd) in a forked child (for what may block: opening files on dead servers) with the same rules; its
 * return value is the exit status, what it writes to out_fd is the output. func runs after fork in a single-threaded
 * copy: no locks, no loop, and no descriptor of the daemon is left. It returns 0 or a positive errno, which becomes
 * err.code; the last line it writes to descriptor 2 is the whole sentence of err.text. */
struct child *child_call(int (*func)(void *ctx, int out_fd), void *func_ctx, unsigned deadline_ms, child_fn *done,
			 void *ctx);

#endif
