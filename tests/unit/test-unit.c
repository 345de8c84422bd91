/* SPDX-License-Identifier: Apache-2.0 */
/* Units of systemd: their names anywhere; services and mounts on a host whose PID 1 is systemd, such as the lab's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "core/child.h"
#include "core/env.h"
#include "core/launch.h"
#include "core/unit.h"

static char directory[] = "/tmp/weft-test-unit.XXXXXX";

struct seen {
	int n_calls;
	struct process_id id;
	struct err err;
	char out[512];
};

static void wait_for(struct seen *seen)
{
	for (int i = 0; i < 1200 && !seen->n_calls; i++)
		assert_true(sd_event_run(env.loop, 50 * 1000) >= 0);
	assert_int_equal(seen->n_calls, 1);
}

static void keep_err(void *ctx, const struct err *err)
{
	struct seen *seen = ctx;
	seen->n_calls++;
	if (err)
		seen->err = *err;
}

static void keep_process(void *ctx, const struct process_id *id, const struct err *err)
{
	struct seen *seen = ctx;
	seen->id = *id;
	keep_err(ctx, err);
}

static void keep_output(void *ctx, const struct child_result *result)
{
	struct seen *seen = ctx;
	seen->n_calls++;
	snprintf(seen->out, sizeof(seen->out), "%s", result->out);
	seen->out[strcspn(seen->out, "\n")] = '\0';
}

/* The first line of what a command says. */
static const char *said(const char *const *argv)
{
	static struct seen seen;
	seen = (struct seen){0};
	child_run(&(struct child_spec){.argv = argv, .done = keep_output, .ctx = &seen});
	wait_for(&seen);
	return seen.out;
}

static const char *shown(const char *unit, const char *property)
{
	return said((const char *const[]){"systemctl", "show", "-P", property, unit, NULL});
}

static void assert_name(char *name, const char *expected)
{
	assert_string_equal(name, expected);
	free(name);
}

static void test_names(void **state)
{
	const char *root = env.root;
	env.root = "";
	assert_name(unit_service_name("weft-guest-web-1"), "weft-guest-web-1.service");
	assert_name(unit_service_name("weft-dnsmasq-br.lan@2 x"), "weft-dnsmasq-br.lan\\x402\\x20x.service");
	env.root = "/tmp/x";
	strcpy(env.instance, "0123456789abcdef");
	assert_name(unit_service_name("weft-guest-web"), "weft-0123456789abcdef-guest-web.service");
	env.root = root;
	/* As `systemd-escape --path --suffix=mount` has them. */
	assert_name(unit_mount_name("/"), "-.mount");
	assert_name(unit_mount_name("/srv/my-pool"), "srv-my\\x2dpool.mount");
	assert_name(unit_mount_name("//srv//a b/./.c/"), "srv-a\\x20b-.c.mount");
	assert_name(unit_mount_name("/.hidden/\xc3\xa4"), "\\x2ehidden-\\xc3\\xa4.mount");
}

static struct seen started_with_bus(const char *address, unsigned deadline_ms)
{
	struct seen seen = {0};
	units_stop();
	setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
	unit_start_service(&(struct unit_service){.name = "weft-test-unit",
						  .argv = (const char *const[]){"/bin/true", NULL},
						  .deadline_ms = deadline_ms},
			   keep_err, &seen);
	assert_int_equal(seen.n_calls, 0);
	wait_for(&seen);
	unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
	units_stop();
	return seen;
}

static void test_without_a_bus(void **state)
{
	struct seen seen = started_with_bus("unix:path=/nonexistent/bus", 5000);
	assert_int_equal(seen.err.code, ENOENT);
	assert_non_null(strstr(seen.err.text, "D-Bus, over which systemd is asked, cannot be reached"));
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void test_a_bus_that_does_not_answer(void **state)
{
	cleanup_free char *path = xprintf("%s/bus", directory), *address = xprintf("unix:path=%s", path);
	cleanup_close int fd = listen_at(path);
	struct seen seen = started_with_bus(address, 300);
	assert_int_equal(seen.err.code, ETIMEDOUT);
	assert_non_null(strstr(seen.err.text, "systemd gave no answer over D-Bus"));
}

static void test_a_bus_that_goes_away(void **state)
{
	cleanup_free char *path = xprintf("%s/short", directory), *address = xprintf("unix:path=%s", path);
	int fd = listen_at(path);
	struct seen seen = {0};
	setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
	unit_stop_service("weft-test-unit", 20000, keep_err, &seen);
	for (int i = 0; i < 5; i++)
		sd_event_run(env.loop, 20 * 1000);
	close(accept(fd, NULL, NULL));
	close(fd);
	wait_for(&seen);
	assert_true(seen.err.code && seen.err.code != ETIMEDOUT);
	unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
	units_stop();
}

static struct seen launched(const char *const *argv)
{
	struct seen seen = {0};
	struct err err = {0};
	struct launch_spec spec = {.name = "weft-test-unit", .description = "a test", .argv = argv};
	assert_int_equal(launch(&spec, keep_process, &seen, &err), 0);
	assert_int_equal(seen.n_calls, 0);
	wait_for(&seen);
	return seen;
}

static void test_a_helper_is_a_service(void **state)
{
	cleanup_free char *unit = unit_service_name("weft-test-unit");
	struct seen seen = launched((const char *const[]){"sleep", "1000", NULL}), stopped = {0};
	assert_string_equal(seen.err.text, "");
	assert_true(process_alive(&seen.id));
	cleanup_free char *pid = xprintf("%d", seen.id.pid);
	assert_string_equal(shown(unit, "MainPID"), pid);
	assert_string_equal(shown(unit, "Slice"), "system.slice");
	assert_string_equal(shown(unit, "Description"), "a test");
	/* It is in use: a second one is refused, and the first does not suffer. */
	struct seen second = launched((const char *const[]){"sleep", "1001", NULL});
	assert_int_equal(second.err.code, EEXIST);
	assert_true(process_alive(&seen.id));
	unit_stop_service("weft-test-unit", 0, keep_err, &stopped);
	wait_for(&stopped);
	assert_string_equal(stopped.err.text, "");
	assert_false(process_alive(&seen.id));
	struct seen again = {0};
	unit_stop_service("weft-test-unit", 0, keep_err, &again);
	wait_for(&again);
	assert_string_equal(again.err.text, "");
}

static void count_exit(void *ctx, const struct process_id *id)
{
	struct seen *seen = ctx;
	seen->n_calls++;
}

static void test_a_failed_one_is_no_hindrance(void **state)
{
	cleanup_free char *unit = unit_service_name("weft-test-unit");
	for (int i = 0; i < 3; i++) {
		struct seen seen = launched((const char *const[]){"sleep", "1000", NULL}), gone = {0};
		assert_string_equal(seen.err.text, "");
		assert_non_null(process_watch(&seen.id, count_exit, &gone, NULL));
		assert_int_equal(process_signal(&seen.id, SIGKILL), 0);
		wait_for(&gone);
	}
	/* Started again before systemd has seen the end of the one before. */
	struct seen last = launched((const char *const[]){"sleep", "1000", NULL});
	process_signal(&last.id, SIGKILL);
	for (int i = 0; i < 100 && !streq(shown(unit, "ActiveState"), "failed"); i++)
		usleep(50 * 1000);
	assert_string_equal(shown(unit, "ActiveState"), "failed");
	unit_forget_service("weft-test-unit");
	for (int i = 0; i < 100 && streq(shown(unit, "ActiveState"), "failed"); i++)
		usleep(50 * 1000);
	assert_string_equal(shown(unit, "ActiveState"), "inactive");
}

static void test_what_cannot_start_says_why(void **state)
{
	struct seen seen = launched((const char *const[]){"/nonexistent/program", NULL});
	assert_int_equal(seen.err.code, ENOENT);
	assert_string_equal(seen.err.text,
			    "starting weft-test-unit: '/nonexistent/program' cannot be executed: No such "
			    "file or directory");
}

static struct seen mounted(struct unit_mount spec)
{
	struct seen seen = {0};
	unit_mount(&spec, keep_err, &seen);
	wait_for(&seen);
	return seen;
}

static struct seen unmounted(const char *where)
{
	struct seen seen = {0};
	unit_unmount(where, 0, keep_err, &seen);
	wait_for(&seen);
	return seen;
}

static bool is_mounted(const char *where)
{
	return streq(said((const char *const[]){"findmnt", "-n", "-o", "TARGET", "-M", where, NULL}), where);
}

static void test_mounts(void **state)
{
	cleanup_free char *where = xprintf("%s/my-pool/a b", directory), *unit = unit_mount_name(where);
	const struct unit_mount spec = {
		.what = "tmpfs", .where = where, .type = "tmpfs", .options = "size=1m,mode=700"};
	assert_string_equal(mounted(spec).err.text, "");
	assert_true(is_mounted(where));
	assert_string_equal(shown(unit, "ActiveState"), "active");
	assert_non_null(strstr(said((const char *const[]){"findmnt", "-n", "-o", "SIZE", "-M", where, NULL}), " 1M"));
	assert_int_equal(mounted(spec).err.code, EEXIST);
	cleanup_free char *file = xprintf("%s/f", where);
	FILE *open_file = fopen(file, "w");
	assert_non_null(open_file);
	struct seen busy = unmounted(where);
	assert_int_equal(busy.err.code, EBUSY);
	assert_true(is_mounted(where));
	fclose(open_file);
	assert_string_equal(unmounted(where).err.text, "");
	assert_false(is_mounted(where));
	assert_string_equal(unmounted(where).err.text, "");
	/* And what cannot be mounted says why, and may be tried again. */
	for (int i = 0; i < 2; i++) {
		struct seen bad = mounted((struct unit_mount){.what = "none", .where = where, .type = "nosuchfs"});
		assert_int_equal(bad.err.code, EIO);
		print_message("%s\n", bad.err.text);
		assert_non_null(strstr(bad.err.text, "special device none does not exist"));
		bad = mounted((struct unit_mount){.what = "/dev/nothing", .where = where, .type = "ext4"});
		assert_int_equal(bad.err.code, ENOENT);
	}
	assert_string_equal(mounted(spec).err.text, "");
	assert_string_equal(unmounted(where).err.text, "");
}

static int setup(void **state)
{
	return mkdtemp(directory) && sd_event_default(&env.loop) >= 0 && env_setup(directory, NULL) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	units_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest anywhere[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_without_a_bus),
		cmocka_unit_test(test_a_bus_that_does_not_answer),
		cmocka_unit_test(test_a_bus_that_goes_away),
	};
	const struct CMUnitTest with_systemd[] = {
		cmocka_unit_test(test_a_helper_is_a_service),
		cmocka_unit_test(test_a_failed_one_is_no_hindrance),
		cmocka_unit_test(test_what_cannot_start_says_why),
		cmocka_unit_test(test_mounts),
	};
	int failed = cmocka_run_group_tests(anywhere, setup, teardown);
	if (!units_are_used()) {
		printf("skipped: no systemd to make units\n");
		return failed;
	}
	return failed + cmocka_run_group_tests(with_systemd, NULL, teardown);
}
