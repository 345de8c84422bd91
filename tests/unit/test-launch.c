/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher, with real processes: who they are, what they get, and that what cannot start says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/launch.h"

static char directory[] = "/tmp/weft-test-launch.XXXXXX";

struct seen {
	int n_calls;
	struct process_id id;
	struct err err;
};

static void keep(void *ctx, const struct process_id *id, const struct err *err)
{
	struct seen *seen = ctx;
	seen->n_calls++;
	seen->id = *id;
	if (err)
		seen->err = *err;
}

static void count_exit(void *ctx, const struct process_id *id)
{
	++*(int *)ctx;
}

static void wait_until(const int *n)
{
	for (int i = 0; i < 200 && !*n; i++)
		assert_true(sd_event_run(env.loop, 50 * 1000) >= 0);
	assert_int_equal(*n, 1);
}

static struct seen start(struct launch_spec spec)
{
	struct seen seen = {0};
	struct err err = {0};
	spec.name = "weft-test";
	assert_int_equal(launch(&spec, keep, &seen, &err), 0);
	assert_int_equal(seen.n_calls, 0);
	wait_until(&seen.n_calls);
	return seen;
}
#define ARGV(...)                     \
	.argv = (const char *const[]) \
	{                             \
		__VA_ARGS__, NULL     \
	}

static char *path_of(const char *name)
{
	return xprintf("%s/%s", directory, name);
}

static char *read_proc(int pid, const char *what)
{
	cleanup_free char *path = xprintf("/proc/%d/%s", pid, what);
	char *text = NULL;
	assert_int_equal(file_read(path, 1 << 20, &text, NULL), 0);
	return text;
}

static void stop(struct seen *seen)
{
	int n = 0;
	struct process_watch *watch = process_watch(&seen->id, count_exit, &n, NULL);
	assert_non_null(watch);
	assert_int_equal(process_signal(&seen->id, SIGKILL), 0);
	wait_until(&n);
}

/* Runs to the end and returns what it wrote into its log. */
static char *output_of(struct launch_spec spec)
{
	cleanup_free char *log = path_of("output");
	unlink(log);
	spec.log_path = log;
	struct seen seen = start(spec);
	assert_string_equal(seen.err.text, "");
	int n = 0;
	if (process_watch(&seen.id, count_exit, &n, NULL))
		wait_until(&n);
	char *text = NULL;
	assert_int_equal(file_read(log, 1 << 20, &text, NULL), 0);
	return text;
}

static void test_it_is_nobodys_child(void **state)
{
	struct seen seen = start((struct launch_spec){ARGV("sleep", "100")});
	assert_string_equal(seen.err.text, "");
	assert_true(process_alive(&seen.id));
	assert_int_equal(getpgid(seen.id.pid), seen.id.pid);
	assert_int_not_equal(getsid(seen.id.pid), getsid(0));
	assert_int_not_equal(getsid(seen.id.pid), seen.id.pid);
	cleanup_free char *status = read_proc(seen.id.pid, "status");
	cleanup_free char *parent = xprintf("\nPPid:\t%d\n", getpid());
	assert_null(strstr(status, parent));
	struct process_id other = {.pid = seen.id.pid, .start = seen.id.start + 1};
	assert_false(process_alive(&other));
	assert_int_equal(process_signal(&other, SIGKILL), -ESRCH);
	stop(&seen);
	assert_false(process_alive(&seen.id));
	struct err err = {0};
	assert_null(process_watch(&seen.id, count_exit, NULL, &err));
	assert_int_equal(err.code, ESRCH);
}

/* Descriptor 3 is the directory that ls reads. The shell itself is no witness: it holds pipes and blocks signals in
 * passing. */
static void test_nothing_is_inherited(void **state)
{
	cleanup_close int fd = dup(2);
	sigset_t blocked;
	sigfillset(&blocked);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	cleanup_free char *text =
		output_of((struct launch_spec){ARGV("sh", "-c",
						    "ls /proc/self/fd; pwd; umask; env | grep -v ^PATH | sort; exec "
						    "grep -E 'Sig(Blk|Ign)' /proc/self/status")});
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	assert_string_equal(text, "0\n1\n2\n3\n/\n0077\nHOME=/\nLC_ALL=C\nPWD=/\n"
				  "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void test_user_groups_and_no_capabilities(void **state)
{
	cleanup_free char *text = output_of((struct launch_spec){
		ARGV("sh", "-c", "id -un; id -gn; id -G; grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/$$/status"),
		.user = "nobody", .groups = "daemon,games"});
	assert_string_equal(text,
			    "nobody\nnogroup\n65534 1 "
			    "60\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
			    "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
}

static void test_net_capabilities_are_kept(void **state)
{
	cleanup_free char *text =
		output_of((struct launch_spec){ARGV("sh", "-c", "id -un; grep -E 'Cap(Eff|Bnd|Amb)' /proc/$$/status"),
					       .user = "nobody", .keep_net_admin = true});
	assert_string_equal(
		text, "nobody\nCapEff:\t0000000000003400\nCapBnd:\t0000000000003400\nCapAmb:\t0000000000003400\n");
}

static void test_files_are_opened_as_root(void **state)
{
	cleanup_free char *secret = path_of("secret");
	assert_int_equal(file_write_atomic(secret, "for root only", 13, 0600), 0);
	cleanup_close int fd = open(secret, O_RDONLY | O_CLOEXEC);
	struct launch_file files[] = {
		{.path = secret, .open_flags = O_RDWR, .target_fd = 40},
		{.path = secret, .open_flags = O_RDONLY, .memfd = true, .target_fd = 3},
		{.fd = fd, .target_fd = 4},
	};
	/* The memfd is read through its path, as QEMU does it; the file itself could not be. */
	cleanup_free char *text = output_of((struct launch_spec){
		ARGV("sh", "-c",
		     "cat /dev/fd/3; echo; (echo x >>/dev/fd/3) 2>/dev/null || echo sealed; cat <&4; echo; ls -m "
		     "/proc/$$/fd; cat /dev/fd/40 2>/dev/null || echo refused"),
		.user = "nobody", .files = files, .n_files = 3});
	assert_string_equal(text, "for root only\nsealed\nfor root only\n0, 1, 2, 3, 4, 40\nrefused\n");
}

static void test_log_is_appended(void **state)
{
	cleanup_free char *log = path_of("log"), *text = NULL;
	assert_int_equal(file_write_atomic(log, "before\n", 7, 0640), 0);
	struct seen seen = start(
		(struct launch_spec){ARGV("sh", "-c", "echo out; echo errs >&2; exec sleep 100"), .log_path = log});
	for (int i = 0; i < 100; i++) {
		free(take_ptr(text));
		assert_int_equal(file_read(log, 4096, &text, NULL), 0);
		if (strstr(text, "errs"))
			break;
		usleep(10000);
	}
	assert_string_equal(text, "before\nout\nerrs\n");
	stop(&seen);
}

static void test_what_cannot_start_says_why(void **state)
{
	struct seen seen = start((struct launch_spec){ARGV("weft-no-such-program")});
	assert_int_equal(seen.err.code, ENOENT);
	assert_string_equal(seen.err.text, "starting weft-test: the program 'weft-no-such-program' is not installed");

	seen = start((struct launch_spec){ARGV("/etc/passwd")});
	assert_int_equal(seen.err.code, EACCES);
	assert_string_equal(seen.err.text, "starting weft-test: '/etc/passwd' cannot be executed: Permission denied");

	seen = start((struct launch_spec){ARGV("true"), .user = "weft-nobody-here"});
	assert_int_equal(seen.err.code, ESRCH);
	assert_non_null(strstr(seen.err.text, "there is no user 'weft-nobody-here'; make it with: useradd"));

	struct launch_file missing = {.path = "/nowhere/vmlinuz", .target_fd = 3};
	seen = start((struct launch_spec){ARGV("true"), .files = &missing, .n_files = 1});
	assert_int_equal(seen.err.code, ENOENT);
	assert_string_equal(seen.err.text,
			    "starting weft-test: '/nowhere/vmlinuz' cannot be opened: No such file or directory");

	struct err err = {0};
	struct launch_file low = {.path = "/dev/null", .target_fd = 2};
	assert_int_equal(
		launch(&(struct launch_spec){.name = "x", ARGV("true"), .files = &low, .n_files = 1}, keep, NULL, &err),
		-EINVAL);
}

static void test_a_file_that_hangs_meets_the_deadline(void **state)
{
	cleanup_free char *fifo = path_of("fifo");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	struct launch_file file = {.path = fifo, .open_flags = O_RDONLY, .target_fd = 3};
	struct seen seen = start((struct launch_spec){ARGV("true"), .files = &file, .n_files = 1, .deadline_ms = 300});
	assert_int_equal(seen.err.code, ETIMEDOUT);
}

static void test_watch_and_unwatch(void **state)
{
	struct seen seen = start((struct launch_spec){ARGV("sleep", "100")});
	int n = 0, never = 0;
	struct process_watch *other = process_watch(&seen.id, count_exit, &never, NULL);
	assert_non_null(process_watch(&seen.id, count_exit, &n, NULL));
	process_unwatch(other);
	process_unwatch(NULL);
	assert_int_equal(process_signal(&seen.id, SIGTERM), 0);
	wait_until(&n);
	assert_int_equal(never, 0);
}

static int setup(void **state)
{
	static char program[4096];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	for (int i = 0; i < 2 && n > 0; i++)
		*strrchr(program, '/') = '\0';
	env.libexec_dir = program; /* the build tree */
	if (!mkdtemp(directory) || chmod(directory, 0755) < 0)
		return -1;
	return sd_event_new(&env.loop) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	env.loop = sd_event_unref(env.loop);
	const char *const names[] = {"output", "secret", "log", "fifo"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *path = path_of(names[i]);
		unlink(path);
	}
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_is_nobodys_child),
		cmocka_unit_test(test_nothing_is_inherited),
		cmocka_unit_test(test_user_groups_and_no_capabilities),
		cmocka_unit_test(test_net_capabilities_are_kept),
		cmocka_unit_test(test_files_are_opened_as_root),
		cmocka_unit_test(test_log_is_appended),
		cmocka_unit_test(test_what_cannot_start_says_why),
		cmocka_unit_test(test_a_file_that_hangs_meets_the_deadline),
		cmocka_unit_test(test_watch_and_unwatch),
	};
	if (geteuid() != 0) {
		printf("skipped: starting helpers as other users needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
