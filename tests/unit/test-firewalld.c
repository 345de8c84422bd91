/* SPDX-License-Identifier: Apache-2.0 */
/* The class firewalld-zone against a bus of the test's own, with a small firewalld of the test's own on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "netd/firewall-backend.h"
#include "netd/firewall.h"

#define NAME "org.fedoraproject.FirewallD1"
#define PATH "/org/fedoraproject/FirewallD1"

static struct {
	sd_bus *bus;
	char zone[64];        /* of the bridge lan */
	const char *zones[4]; /* that it has */
	unsigned n_changes, n_calls;
} mock;
static pid_t bus_pid;
static unsigned n_marks;
static struct lane *lane;

static int get_zone(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	mock.n_calls++;
	return sd_bus_reply_method_return(m, "s", mock.zone);
}

static int get_zones(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	sd_bus_message *reply = NULL;
	sd_bus_message_new_method_return(m, &reply);
	sd_bus_message_append_strv(reply, (char **)mock.zones);
	int r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r;
}

static int set_zone(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	const char *zone, *interface;
	sd_bus_message_read(m, "ss", &zone, &interface);
	assert_string_equal(interface, "lan");
	bool out = streq(sd_bus_message_get_member(m), "removeInterface");
	snprintf(mock.zone, sizeof(mock.zone), "%s", out ? "" : zone);
	mock.n_changes++;
	return sd_bus_reply_method_return(m, "s", zone);
}

static int get_default(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	return sd_bus_reply_method_return(m, "s", "public");
}

static const sd_bus_vtable zone_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("getZoneOfInterface", "s", "s", get_zone, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("getZones", "", "as", get_zones, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("changeZoneOfInterface", "ss", "s", set_zone, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("removeInterface", "ss", "s", set_zone, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};
static const sd_bus_vtable main_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("getDefaultZone", "", "s", get_default, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void start_bus(void)
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
	setenv("DBUS_SYSTEM_BUS_ADDRESS", *address ? address : "unix:path=/nonexistent", 1);
}

static void stop_bus(void)
{
	kill(bus_pid, SIGKILL);
	waitpid(bus_pid, NULL, 0);
}

static void start_mock(void)
{
	assert_true(sd_bus_open_system(&mock.bus) >= 0);
	assert_true(sd_bus_attach_event(mock.bus, env.loop, 0) >= 0);
	sd_bus_add_object_vtable(mock.bus, NULL, PATH, NAME ".zone", zone_vtable, NULL);
	sd_bus_add_object_vtable(mock.bus, NULL, PATH, NAME, main_vtable, NULL);
	assert_true(sd_bus_request_name(mock.bus, NAME, 0) >= 0);
}

static void stop_mock(void)
{
	mock.bus = sd_bus_flush_close_unref(mock.bus);
}

static void on_mark(void *ctx, const char *class)
{
	assert_string_equal(class, "firewalld-zone");
	n_marks++;
}

static void on_done(struct op *op)
{
	*(bool *)op->node = true;
}

struct zone_want {
	uint64_t present;
	const char *zone;
};

/* Does it, and returns whether the bridge is now seen in a zone. */
static bool look(struct op *op, enum op_verb verb, struct zone_want *want)
{
	bool done = false;
	observation_done(&op->obs);
	*op = (struct op){.verb = verb,
			  .class = &netd_firewalld_zone_class,
			  .key = "lan",
			  .want = want,
			  .done = on_done,
			  .node = &done};
	lane->ops->submit(lane, op);
	lane->ops->flush(lane);
	for (uint64_t from = now_ms(); !done && now_ms() - from < 20000;)
		assert_true(sd_event_run(env.loop, 100000) >= 0);
	assert_true(done);
	return op->obs.exists;
}

static void turn(unsigned ms)
{
	for (uint64_t until = now_ms() + ms; now_ms() < until;)
		sd_event_run(env.loop, 10000);
}

static void wait_mark(void)
{
	for (uint64_t until = now_ms() + 20000; !n_marks && now_ms() < until;)
		sd_event_run(env.loop, 10000);
	assert_true(n_marks > 0);
}

static int setup(void **state)
{
	assert_true(sd_event_default((sd_event **)&env.loop) >= 0);
	memset(&mock, 0, sizeof(mock));
	n_marks = 0;
	start_bus();
	lane = lane_async_new("firewalld");
	firewalld_start(on_mark, NULL);
	return 0;
}

static int teardown(void **state)
{
	lane->ops->free(lane);
	firewalld_stop();
	stop_mock();
	stop_bus();
	sd_event_unref(env.loop);
	env.loop = NULL;
	return 0;
}

static void test_without(void **state)
{
	struct op op = {0};
	struct zone_want want = {0};
	assert_true(look(&op, OP_OBSERVE, &want));
	assert_true(look(&op, OP_CREATE, &want));
	/* And a bus that goes away is no firewalld either. */
	stop_bus();
	turn(50);
	assert_true(look(&op, OP_OBSERVE, &want));
	assert_int_equal(op.err.code, 0);
	observation_done(&op.obs);
}

static void test_life(void **state)
{
	struct op op = {0};
	struct zone_want want = {0};
	assert_true(look(&op, OP_OBSERVE, &want));
	start_mock();
	wait_mark();
	assert_false(look(&op, OP_OBSERVE, &want));
	look(&op, OP_CREATE, &want);
	assert_non_null(strstr(op.err.text, "weft.xml"));
	mock.zones[0] = "public";
	mock.zones[1] = "trusted";
	assert_true(look(&op, OP_CREATE, &want));
	assert_string_equal(mock.zone, "trusted");
	mock.zones[2] = "weft";
	snprintf(mock.zone, sizeof(mock.zone), "public");
	assert_false(look(&op, OP_OBSERVE, &want));
	assert_true(look(&op, OP_CREATE, &want));
	assert_string_equal(mock.zone, "weft");
	assert_string_equal(((struct zone_want *)op.obs.spec)->zone, "weft");

	/* A reload forgets it, and says so. */
	n_marks = 0;
	mock.zone[0] = '\0';
	sd_bus_emit_signal(mock.bus, PATH, NAME, "Reloaded", NULL);
	wait_mark();
	assert_false(look(&op, OP_OBSERVE, &want));
	assert_true(look(&op, OP_CREATE, &want));
	assert_false(look(&op, OP_REMOVE, NULL));
	assert_string_equal(mock.zone, "");
	observation_done(&op.obs);
}

static void test_somebodys_choice(void **state)
{
	struct op op = {0};
	struct zone_want want = {0};
	start_mock();
	mock.zones[0] = "weft";
	snprintf(mock.zone, sizeof(mock.zone), "dmz");
	assert_true(look(&op, OP_OBSERVE, &want));
	assert_non_null(strstr(op.obs.note, "dmz"));
	look(&op, OP_CREATE, &want);
	look(&op, OP_REMOVE, NULL);
	assert_string_equal(mock.zone, "dmz");
	assert_int_equal(mock.n_changes, 0);
	assert_false(look(&op, OP_OBSERVE, NULL));
	/* It ends without a word: the next look finds none. */
	stop_mock();
	assert_true(look(&op, OP_OBSERVE, &want));
	observation_done(&op.obs);
}

int main(void)
{
	if (system("command -v dbus-daemon >/dev/null") != 0)
		return 77;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without, setup, teardown),
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_somebodys_choice, setup, teardown),
	};
	return cmocka_run_group_tests_name("firewalld", tests, NULL, NULL);
}
