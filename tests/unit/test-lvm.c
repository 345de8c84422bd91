/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is: commands that change a volume group come one after the other, also after one whose caller was
 * killed. A script of the name stands for lvm, whose own part in it is none. And whose locks count, of what sanlock has
 * told of hosts that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/env.h"
#include "stord/lvm.h"

/* "wait" ends once the file `hold` is gone. */
static const char script[] = "#!/bin/sh\n"
			     "[ $1 = systemid ] && exec echo 'system ID: here'\n"
			     "echo begins $1 >>%s/log\n"
			     "while [ $1 = wait ] && [ -e %s/hold ]; do sleep 0.02; done\n"
			     "echo ends $1 >>%s/log\n";
static char dir[] = "/tmp/weft-test-lvm.XXXXXX";
static const struct lvm lvm = {.group = "vg0"};

static char *in_dir(const char *name)
{
	return xprintf("%s/%s", dir, name);
}

static void put(const char *name, const char *text, unsigned mode)
{
	cleanup_free char *path = in_dir(name);
	assert_int_equal(file_write_atomic(path, text, strlen(text), mode), 0);
}

static bool log_is(const char *expected)
{
	cleanup_free char *path = in_dir("log"), *text = NULL;
	return file_read(path, 4096, &text, NULL) == 0 && streq(text, expected);
}

static void wait_for_log(const char *expected)
{
	enum { PAUSE_US = 10 * 1000, LONGEST = 3000 };
	for (int i = 0; !log_is(expected); i++) {
		assert_true(i < LONGEST);
		usleep(PAUSE_US);
	}
}

static pid_t command(const char *name)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(lvm_change(&lvm, "it is not done", (const char *[]){name, NULL}));
	return pid;
}

static void ends_well(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int begin(void **state)
{
	cleanup_free char *path = in_dir("log");
	unlink(path);
	return 0;
}

static void test_what_a_killed_caller_has_begun_comes_first(void **state)
{
	enum { MOMENT_US = 200 * 1000 };
	cleanup_free char *hold = in_dir("hold");
	put("hold", "", 0600);
	pid_t first = command("wait");
	wait_for_log("begins wait\n");
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	pid_t second = command("next");
	usleep(MOMENT_US); /* in which it would begin, if it did */
	assert_true(log_is("begins wait\n"));
	unlink(hold);
	ends_well(second);
	assert_true(log_is("begins wait\nends wait\nbegins next\nends next\n"));
}

/* Such as this test's, by the time somebody looks. */
static void test_a_number_that_another_program_has_is_nobody(void **state)
{
	cleanup_free char *path = in_dir("lvm/vg0.lock");
	pid_t own = getpid();
	ends_well(command("first"));
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &own, sizeof(own), 0), sizeof(own));
	ends_well(command("next"));
	assert_true(log_is("begins first\nends first\nbegins next\nends next\n"));
}

static bool is_web(const char *name)
{
	return streq(name, "web");
}

static void test_what_is_kept_is_left_alone(void **state)
{
	const char *argv[] = {"off", NULL};
	cleanup_free char *kept = NULL, *errs = NULL;
	assert_int_equal(lvm_attempt_unless(&lvm, is_web, "web", argv, &kept), 0);
	assert_false(log_is("begins off\nends off\n"));
	assert_int_equal(lvm_attempt_unless(&lvm, is_web, "other", argv, &errs), 0);
	assert_true(log_is("begins off\nends off\n"));
}

/* Of host 2 it was told that it has booted again since, of 4 that it is dead, of 5 that it has stopped; 6 is not known.
 */
static const char sanlock[] =
	"#!/bin/sh\n"
	"case \"$*\" in\n"
	"'client gets -h 1') cat <<E\n"
	"s lvm_vg1:7:/dev/mapper/vg1-lvmlock:0 \n"
	"h 3 gen 9 timestamp 300 DEAD\n"
	"s lvm_vg0:1:/dev/mapper/vg0-lvmlock:0 \n"
	"h 1 gen 3 timestamp 276 LIVE\n"
	"h 2 gen 2 timestamp 310 LIVE\n"
	"h 3 gen 2 timestamp 288 LIVE\n"
	"h 4 gen 1 timestamp 7 DEAD\n"
	"E\n"
	";;\n"
	"*:70254592:*) cat <<E\n"
	"  offset                            lockspace                                         resource  timestamp  "
	"own  "
	"gen lver\n"
	"70254592                              lvm_vg0           0RaM3W-MJkt-2eyf-WgmD-FN5x-AijG-5y3dcu 0000000000 "
	"0002 "
	"0001 9\n"
	"         0001 0003 SH\n"
	"         0002 0001 SH\n"
	"         0003 0002 SH\n"
	"         0004 0001 SH\n"
	"         0005 0001 SH\n"
	"         0006 0001 SH\n"
	"E\n"
	";;\n"
	"*) cat <<E\n"
	"00001024 lvm_vg0 30273882-d192-4d63-b59b-2c577875bc11.lab-c 0000000288 0003 0002\n"
	"00002048 lvm_vg0 5ae1f0de-bd74-4bd2-97e3-0bb8e6d4d7a9.lab-e 0000000000 0005 0001\n"
	"E\n"
	";;\n"
	"esac\n";

static void test_locks_of_hosts_that_have_gone_since_count_for_nothing(void **state)
{
	struct lvm_locker found[LVM_LOCKERS_MAX];
	json_t *row =
		json_pack("{s:s, s:s, s:s, s:s}", "lv_name", "web", "lv_uuid", "0RaM3W-MJkt-2eyf-WgmD-FN5x-AijG-5y3dcu",
			  "lv_lockargs", "1.0.0:70254592", "vg_lock_args", "1.0.0:lvmlock");
	assert_int_equal(lvm_lockers(&lvm, row, found), 2);
	assert_int_equal(found[0].host_id, 3);
	assert_string_equal(found[0].host, "lab-c");
	assert_string_equal(found[0].state, "LIVE");
	assert_int_equal(found[0].lock, LOCK_SHARED);
	assert_int_equal(found[1].host_id, 6);
	json_decref(row);
}

static int put_program(const char *name, const char *text)
{
	cleanup_free char *made = in_dir("program"), *place = xprintf("%s/bin/%s", dir, name);
	put("program", text, 0700);
	return rename(made, place);
}

static int set_up(void **state)
{
	cleanup_free char *text = NULL, *path = NULL;
	if (!mkdtemp(dir))
		return -1;
	text = xprintf(script, dir, dir, dir);
	cleanup_free char *bin = in_dir("bin");
	if (mkdir(bin, 0700) < 0 || put_program("lvm", text) < 0 || put_program("sanlock", sanlock) < 0)
		return -1;
	path = xprintf("%s:%s", bin, getenv("PATH"));
	env.run_dir = dir;
	return setenv("PATH", path, 1);
}

static int tear_down(void **state)
{
	static const char *const names[] = {"log", "hold", "bin/lvm", "bin/sanlock", "bin", "lvm/vg0.lock", "lvm"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *path = in_dir(names[i]);
		remove(path);
	}
	return remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_a_killed_caller_has_begun_comes_first, begin),
		cmocka_unit_test_setup(test_a_number_that_another_program_has_is_nobody, begin),
		cmocka_unit_test_setup(test_what_is_kept_is_left_alone, begin),
		cmocka_unit_test(test_locks_of_hosts_that_have_gone_since_count_for_nothing),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
