/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to systemd against a bus of the test's own, with a small systemd of the test's own on it: what is in the
 * way, what fails, what is lost on the way. What the true one makes of them is seen in the lab, by test-unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/unit.h"

#define NAME    "org.freedesktop.systemd1"
#define PATH    "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

static struct {
	sd_bus *bus;
	unsigned n_exists; /* so many times there is a unit of that name */
	const char *result;
	bool silent; /* a job ends without a word */
	unsigned n_started, n_reset, n_jobs;
	char name[64], slice[64];
	ino_t input;
} mock;
static pid_t bus_pid;

struct seen {
	int n_calls;
	struct err err;
};

static void end_job(const char *job)
{
	if (!mock.silent)
		sd_bus_emit_signal(mock.bus, PATH, MANAGER, "JobRemoved", "uoss", mock.n_jobs, job, mock.name,
				   mock.result);
}

static int answer_job(sd_bus_message *m)
{
	char job[64];
	snprintf(job, sizeof(job), PATH "/job/%u", ++mock.n_jobs);
	int r = sd_bus_reply_method_return(m, "o", job);
	end_job(job);
	return r;
}

static void take_properties(sd_bus_message *m)
{
	assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
	while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
		const char *property, *text;
		struct stat st;
		int fd;
		assert_true(sd_bus_message_read(m, "s", &property) > 0);
		if (streq(property, "Slice")) {
			assert_true(sd_bus_message_read(m, "v", "s", &text) > 0);
			snprintf(mock.slice, sizeof(mock.slice), "%s", text);
		} else if (streq(property, "StandardInputFileDescriptor")) {
			assert_true(sd_bus_message_read(m, "v", "h", &fd) > 0);
			assert_int_equal(fstat(fd, &st), 0);
			mock.input = st.st_ino;
		} else {
			assert_true(sd_bus_message_skip(m, "v") >= 0);
		}
		sd_bus_message_exit_container(m);
	}
	sd_bus_message_exit_container(m);
}

static int start_unit(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	const char *name, *mode;
	assert_true(sd_bus_message_read(m, "ss", &name, &mode) > 0);
	mock.n_started++;
	if (mock.n_started <= mock.n_exists)
		return sd_bus_error_setf(error, NAME ".UnitExists", "Unit %s already exists.", name);
	snprintf(mock.name, sizeof(mock.name), "%s", name);
	take_properties(m);
	return answer_job(m);
}

static int stop_unit(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	return sd_bus_error_setf(error, NAME ".NoSuchUnit", "Unit not loaded.");
}

static int reset_unit(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	mock.n_reset++;
	return sd_bus_reply_method_return(m, "");
}

static int subscribe(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	return sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Subscribe", "", "", subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", start_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("StopUnit", "ss", "o", stop_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("ResetFailedUnit", "s", "", reset_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
	SD_BUS_VTABLE_END,
};

static bool start_bus(void)
{
	int fds[2];
	char address[256] = "", fd[16];
	assert_int_equal(pipe(fds), 0);
	snprintf(fd, sizeof(fd), "%d", fds[1]);
	bus_pid = fork();
	if (bus_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("dbus-daemon", "dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address", fd,
		       NULL);
		_exit(127);
	}
	close(fds[1]);
	ssize_t n = read(fds[0], address, sizeof(address) - 1);
	close(fds[0]);
	address[n > 0 ? n - 1 : 0] = '\0';
	setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
	return *address;
}

static int setup(void **state)
{
	memset(&mock, 0, sizeof(mock));
	mock.result = "done";
	assert_true(start_bus());
	assert_true(sd_event_default(&env.loop) >= 0);
	assert_true(sd_bus_open_system(&mock.bus) >= 0);
	assert_true(sd_bus_attach_event(mock.bus, env.loop, 0) >= 0);
	assert_true(sd_bus_add_object_vtable(mock.bus, NULL, PATH, MANAGER, vtable, NULL) >= 0);
	assert_true(sd_bus_request_name(mock.bus, NAME, 0) >= 0);
	return 0;
}

static int teardown(void **state)
{
	units_stop();
	mock.bus = sd_bus_close_unref(mock.bus);
	kill(bus_pid, SIGKILL);
	waitpid(bus_pid, NULL, 0);
	return 0;
}

static void keep(void *ctx, const struct err *err)
{
	struct seen *seen = ctx;
	seen->n_calls++;
	if (err)
		seen->err = *err;
}

static void wait_for(struct seen *seen)
{
	for (int i = 0; i < 600 && !seen->n_calls; i++)
		assert_true(sd_event_run(env.loop, 50 * 1000) >= 0);
	assert_int_equal(seen->n_calls, 1);
}

static void start(struct seen *seen, int fd, unsigned deadline_ms)
{
	unit_start_service(&(struct unit_service){.name = "weft-guest-web",
						  .argv = (const char *const[]){"/bin/true", NULL},
						  .stdin_fd = fd,
						  .machine = true,
						  .deadline_ms = deadline_ms},
			   keep, seen);
	assert_int_equal(seen->n_calls, 0);
}

static void test_a_service(void **state)
{
	int fds[2];
	struct seen seen = {0};
	struct stat st;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fstat(fds[0], &st), 0);
	start(&seen, fds[0], 10000);
	close(fds[0]); /* it has been taken */
	close(fds[1]);
	wait_for(&seen);
	assert_string_equal(seen.err.text, "");
	assert_string_equal(mock.name, "weft-guest-web.service");
	assert_string_equal(mock.slice, "machine.slice");
	assert_int_equal(mock.input, st.st_ino);
	assert_int_equal(mock.n_reset, 1);
}

static void test_what_is_in_the_way_goes(void **state)
{
	struct seen seen = {0};
	mock.n_exists = 3;
	start(&seen, 0, 10000);
	wait_for(&seen);
	assert_string_equal(seen.err.text, "");
	assert_int_equal(mock.n_started, 4);
}

static void test_what_is_in_the_way_stays(void **state)
{
	struct seen seen = {0};
	mock.n_exists = 1000;
	start(&seen, 0, 20000);
	wait_for(&seen);
	assert_int_equal(seen.err.code, EEXIST);
	assert_string_equal(seen.err.text,
			    "starting weft-guest-web.service: Unit weft-guest-web.service already exists.");
}

static void test_a_job_that_fails(void **state)
{
	struct seen seen = {0};
	mock.result = "failed";
	start(&seen, 0, 10000);
	wait_for(&seen);
	assert_int_equal(seen.err.code, EIO);
	assert_non_null(
		strstr(seen.err.text, "systemd's job ended as 'failed'; `systemctl status 'weft-guest-web.servic"));
}

static void test_a_job_without_end(void **state)
{
	struct seen seen = {0};
	mock.silent = true;
	start(&seen, 0, 500);
	wait_for(&seen);
	assert_int_equal(seen.err.code, ETIMEDOUT);
	assert_non_null(strstr(seen.err.text, "systemd did not get it done within"));
}

static void test_a_bus_that_dies_and_another(void **state)
{
	struct seen seen = {0}, again = {0};
	mock.silent = true;
	start(&seen, 0, 20000);
	for (int i = 0; i < 200 && !mock.n_jobs; i++)
		sd_event_run(env.loop, 50 * 1000);
	for (int i = 0; i < 20; i++)
		sd_event_run(env.loop, 20 * 1000); /* the answer has come */
	assert_int_equal(mock.n_jobs, 1);
	mock.bus = sd_bus_close_unref(mock.bus);
	kill(bus_pid, SIGKILL);
	waitpid(bus_pid, NULL, 0);
	wait_for(&seen);
	assert_int_equal(seen.err.code, ECONNRESET);
	setup(NULL);
	start(&again, 0, 10000);
	wait_for(&again);
	assert_string_equal(again.err.text, "");
}

static void test_a_stop_of_nothing(void **state)
{
	struct seen seen = {0};
	unit_stop_service("weft-guest-web", 10000, keep, &seen);
	wait_for(&seen);
	assert_string_equal(seen.err.text, "");
	assert_int_equal(mock.n_reset, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_service, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_in_the_way_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_in_the_way_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_job_that_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_job_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_bus_that_dies_and_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_stop_of_nothing, setup, teardown),
	};
	if (system("command -v dbus-daemon >/dev/null") != 0) {
		printf("skipped: there is no dbus-daemon\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
