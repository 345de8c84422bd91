/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes, with real ones: what they say, how they end, and that none of them can hold up the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "core/child.h"
#include "core/env.h"

struct seen {
	int n_calls, status;
	bool timed_out;
	char *out, *errs;
	size_t out_size;
	struct err err;
};

static void keep(void *ctx, const struct child_result *result)
{
	struct seen *seen = ctx;
	seen->n_calls++;
	seen->status = result->status;
	seen->timed_out = result->timed_out;
	free(seen->out);
	free(seen->errs);
	seen->out = xstrndup(result->out, result->out_size);
	seen->errs = xstrdup(result->errs);
	seen->out_size = result->out_size;
	seen->err = result->err;
}

static void seen_done(struct seen *seen)
{
	free(seen->out);
	free(seen->errs);
}
#define cleanup_seen cleanup(seen_done)

/* Runs the loop until the answer is there; returns the milliseconds that took. */
static uint64_t wait_for(const struct seen *seen)
{
	uint64_t from = now_ms();
	while (!seen->n_calls && now_ms() - from < 20000)
		assert_true(sd_event_run(env.loop, 100 * 1000) >= 0);
	assert_int_equal(seen->n_calls, 1);
	return now_ms() - from;
}

static uint64_t run(struct seen *seen, struct child_spec spec)
{
	spec.done = keep;
	spec.ctx = seen;
	child_run(&spec);
	assert_int_equal(seen->n_calls, 0);
	return wait_for(seen);
}
#define ARGV(...)                     \
	.argv = (const char *const[]) \
	{                             \
		__VA_ARGS__, NULL     \
	}

static void test_output_and_status(void **state)
{
	cleanup_seen struct seen seen = {0};
	run(&seen, (struct child_spec){ARGV("sh", "-c", "echo said; echo once >&2; echo 'twice wrong' >&2; exit 3")});
	assert_string_equal(seen.out, "said\n");
	assert_string_equal(seen.errs, "once\ntwice wrong\n");
	assert_int_equal(seen.status, 3);
	assert_string_equal(seen.err.text, "sh: twice wrong");
	assert_int_equal(seen.err.code, EIO);

	cleanup_seen struct seen fine = {0};
	run(&fine, (struct child_spec){ARGV("true")});
	assert_int_equal(fine.status, 0);
	assert_int_equal(fine.err.code, 0);
	assert_string_equal(fine.out, "");
}

static void test_program_that_is_not_there(void **state)
{
	cleanup_seen struct seen seen = {0};
	run(&seen, (struct child_spec){ARGV("weft-no-such-program")});
	assert_int_equal(seen.status, -1);
	assert_int_equal(seen.err.code, ENOENT);
	assert_string_equal(seen.err.text, "the program 'weft-no-such-program' is not installed");
}

static void test_input_is_read(void **state)
{
	size_t size = 3 << 20;
	cleanup_free char *input = xcalloc(size, 1);
	memset(input, 'x', size);
	cleanup_seen struct seen seen = {0};
	run(&seen, (struct child_spec){ARGV("wc", "-c"), .input = input, .input_size = size});
	assert_string_equal(seen.out, "3145728\n");
}

static void test_early_exit_with_input_unread(void **state)
{
	size_t size = 8 << 20;
	cleanup_free char *input = xcalloc(size, 1);
	cleanup_seen struct seen seen = {0};
	run(&seen, (struct child_spec){ARGV("false"), .input = input, .input_size = size});
	assert_int_equal(seen.status, 1);
	assert_string_equal(seen.err.text, "false ended with status 1 and said nothing");
}

static uint64_t how_far(const struct child *child, void *ctx)
{
	return child_io(child);
}

/* As long as it goes on it may take longer than that; once it stands still, no longer. */
static void test_deadline_without_progress(void **state)
{
	cleanup_seen struct seen slow = {0}, still = {0};
	run(&slow, (struct child_spec){ARGV("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sh -c 'sleep 0.4; echo'; done"),
				       .deadline_ms = 2000,
				       .progress = how_far});
	assert_int_equal(slow.status, 0);
	uint64_t took = run(&still, (struct child_spec){ARGV("sh", "-c", "sleep 0.5; echo; sleep 77; echo"),
							.deadline_ms = 1000,
							.progress = how_far});
	assert_true(still.timed_out && took >= 1400);
	assert_string_equal(still.err.text, "sh made no progress in 1 s");
}

static void test_deadline_ends_the_whole_group(void **state)
{
	cleanup_seen struct seen seen = {0};
	uint64_t took =
		run(&seen, (struct child_spec){ARGV("sh", "-c", "sleep 77 & echo $!; wait"), .deadline_ms = 300});
	assert_true(seen.timed_out);
	assert_int_equal(seen.status, -1);
	assert_int_equal(seen.err.code, ETIMEDOUT);
	assert_string_equal(seen.err.text, "sh gave no answer in 300 ms");
	assert_in_range(took, 250, 2000);
	int grandchild = atoi(seen.out);
	assert_true(grandchild > 1);
	/* It is a zombie at most: its parent, of the same group, is gone too. */
	for (int i = 0; i < 200; i++) {
		char path[64], text[256] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", grandchild);
		FILE *f = fopen(path, "re");
		if (f && !fgets(text, sizeof(text), f))
			text[0] = '\0';
		if (f)
			fclose(f);
		if (!f || strstr(text, ") Z ") || strstr(text, ") X "))
			return;
		sd_event_run(env.loop, 10 * 1000);
	}
	fail_msg("the grandchild %d still runs", grandchild);
}

static void test_death_by_signal(void **state)
{
	cleanup_seen struct seen seen = {0};
	run(&seen, (struct child_spec){ARGV("sh", "-c", "kill -SEGV $$")});
	assert_int_equal(seen.status, 128 + SIGSEGV);
	assert_string_equal(seen.err.text, "sh was killed by signal 11 (Segmentation fault)");
}

static void test_flood_is_stopped(void **state)
{
	cleanup_seen struct seen seen = {0};
	uint64_t took = run(&seen, (struct child_spec){ARGV("cat", "/dev/zero"), .max_output = 1 << 20});
	assert_int_equal(seen.err.code, EFBIG);
	assert_int_equal(seen.status, -1);
	assert_false(seen.timed_out);
	assert_true(seen.out_size <= 1 << 20);
	assert_true(took < 5000);
}

static void test_of_much_stderr_the_end_is_kept(void **state)
{
	cleanup_seen struct seen seen = {0};
	run(&seen,
	    (struct child_spec){ARGV(
		    "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo 'the end' >&2; exit 1")});
	assert_string_equal(seen.err.text, "sh: the end");
	assert_true(strlen(seen.errs) <= 64 << 10);
}

static void test_descendants_that_keep_the_pipe_do_not_delay(void **state)
{
	cleanup_seen struct seen seen = {0};
	uint64_t took = run(&seen, (struct child_spec){ARGV("sh", "-c", "echo up; sleep 3 & exit 0")});
	assert_int_equal(seen.status, 0);
	assert_string_equal(seen.out, "up\n");
	assert_true(took < 2000);
}

static void test_kill_answers_once(void **state)
{
	cleanup_seen struct seen seen = {0};
	struct child *child = child_run(&(struct child_spec){ARGV("sleep", "60"), .done = keep, .ctx = &seen});
	child_kill(child);
	child_kill(child);
	assert_int_equal(seen.n_calls, 0);
	assert_true(wait_for(&seen) < 2000);
	assert_int_equal(seen.err.code, ECANCELED);
	sd_event_run(env.loop, 50 * 1000);
	assert_int_equal(seen.n_calls, 1);
}

/* Descriptor 3 is the directory that ls reads. The shell itself is no witness: it holds pipes and blocks signals in
 * passing. */
static void test_nothing_is_inherited(void **state)
{
	cleanup_close int fd = dup(2);
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	cleanup_seen struct seen seen = {0};
	run(&seen,
	    (struct child_spec){ARGV("sh", "-c", "ls /proc/self/fd; exec grep -E 'Sig(Blk|Ign)' /proc/self/status")});
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	assert_string_equal(seen.out, "0\n1\n2\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static int say_and_fail(void *ctx, int out_fd)
{
	dprintf(out_fd, "got %s", (const char *)ctx);
	dprintf(2, "there is no room on '/pool'\n");
	return ENOSPC;
}

static int hang(void *ctx, int out_fd)
{
	pause();
	return 0;
}

static void test_functions_run_in_a_child(void **state)
{
	cleanup_seen struct seen seen = {0};
	child_call(say_and_fail, "this", 0, keep, &seen);
	wait_for(&seen);
	assert_string_equal(seen.out, "got this");
	assert_int_equal(seen.status, ENOSPC);
	assert_int_equal(seen.err.code, ENOSPC);
	assert_string_equal(seen.err.text, "there is no room on '/pool'");

	cleanup_seen struct seen late = {0};
	child_call(hang, NULL, 200, keep, &late);
	wait_for(&late);
	assert_true(late.timed_out);
}

static int loop_new(void **state)
{
	return sd_event_new(&env.loop) < 0 ? -1 : 0;
}

static int loop_free(void **state)
{
	for (int i = 0; i < 5; i++)
		sd_event_run(env.loop, 10 * 1000);
	env.loop = sd_event_unref(env.loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_status),
		cmocka_unit_test(test_program_that_is_not_there),
		cmocka_unit_test(test_input_is_read),
		cmocka_unit_test(test_early_exit_with_input_unread),
		cmocka_unit_test(test_deadline_without_progress),
		cmocka_unit_test(test_deadline_ends_the_whole_group),
		cmocka_unit_test(test_death_by_signal),
		cmocka_unit_test(test_flood_is_stopped),
		cmocka_unit_test(test_of_much_stderr_the_end_is_kept),
		cmocka_unit_test(test_descendants_that_keep_the_pipe_do_not_delay),
		cmocka_unit_test(test_kill_answers_once),
		cmocka_unit_test(test_nothing_is_inherited),
		cmocka_unit_test(test_functions_run_in_a_child),
	};
	return cmocka_run_group_tests(tests, loop_new, loop_free);
}
