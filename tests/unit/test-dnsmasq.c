/* SPDX-License-Identifier: Apache-2.0 */
/* A real dnsmasq in a network namespace of this test's own, driven by operations as the engine would: it serves, is
 * found again, is changed without a restart where that is possible, and gives reserved addresses to those they are
 * reserved for. The client is busybox's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "netd/dnsmasq.h"
#include "netd/netd.h"

enum { SKIPPED = 77 };

static char directory[] = "/tmp/weft-test-dnsmasq.XXXXXX";
static struct lane *lane;
static pid_t client; /* sleeps in the client's namespace */

static char *output_of(const char *fmt, ...) printf_like(1, 2);
static char *output_of(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *command = xvprintf(fmt, args);
	va_end(args);
	FILE *from = popen(command, "r");
	assert_non_null(from);
	char *text = xcalloc(1, 65536);
	size_t size = fread(text, 1, 65535, from);
	text[size] = '\0';
	pclose(from);
	return text;
}

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

/* ---- operations ---- */

static void on_done(struct op *op)
{
	*(bool *)op->node = true;
}

/* `id` is CLASS/KEY. */
static struct op do_op(enum op_verb verb, const char *id, const void *want, const void *seen, uint64_t rows)
{
	cleanup_free char *class = xprintf("%.*s", (int)strcspn(id, "/"), id);
	bool done = false;
	struct op op = {.verb = verb,
			.class = class_find(class),
			.key = strchr(id, '/') + 1,
			.want = want,
			.seen = seen,
			.rows = rows,
			.done = on_done,
			.node = &done,
			.lane = lane};
	assert_true(sd_event_run(env.loop, 0) >= 0); /* its clock stands still while a client is waited for */
	lane->ops->submit(lane, &op);
	lane->ops->flush(lane);
	for (int i = 0; i < 1000 && !done; i++)
		assert_true(sd_event_run(env.loop, 50000) >= 0);
	assert_true(done);
	return op;
}

/* One that succeeds and whose result is of no interest. */
static void do_well(enum op_verb verb, const char *id, const void *want, const void *seen, uint64_t rows)
{
	struct op op = do_op(verb, id, want, seen, rows);
	assert_string_equal(op.err.text, "");
	observation_done(&op.obs);
}

/* What is running; 0 if nothing is. Asserts that it is as wanted. */
static int observe_pid(const struct dnsmasq_spec *want)
{
	struct op op = do_op(OP_OBSERVE, "dnsmasq/lan", want, NULL, 0);
	assert_true(op.obs.valid);
	const struct dnsmasq_spec *seen = op.obs.spec;
	int pid = op.obs.exists ? (int)seen->pid : 0;
	if (pid && want)
		assert_int_equal(table_diff(&netd_dnsmasq_table, want, seen), 0);
	observation_done(&op.obs);
	return pid;
}

static uint64_t row(const char *name)
{
	return UINT64_C(1) << (table_field(&netd_dnsmasq_table, name) - netd_dnsmasq_table.fields);
}

static void *from_json(const struct table *table, struct arena *arena, const char *text)
{
	struct err err = {0};
	json_error_t where;
	json_t *json = json_loads(text, 0, &where);
	if (!json)
		fail_msg("%s", where.text);
	void *spec = arena_alloc(arena, table->size);
	if (table_from_json(table, json, arena, spec, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	return spec;
}

static struct dnsmasq_spec *spec_with(struct arena *arena, const char *records, const char *lease)
{
	cleanup_free char *text =
		xprintf("{\"interface\": \"lan\", \"lease\": \"%s\", \"maxLeases\": 1000, \"router\": true, \"mtu\": "
			"1400, \"domain\": \"lan.test\", \"upstream\": [], "
			"\"hostResolver\": false, \"records\": [%s], \"subnets\": ["
			"{\"address\": \"192.168.150.1/24\", \"range\": \"192.168.150.100-192.168.150.199\", "
			"\"anyone\": true, \"dhcp\": true, \"slaac\": false},"
			"{\"address\": \"fd42:150::1/64\", \"anyone\": false, \"dhcp\": false, \"slaac\": true}]}",
			lease, records);
	return from_json(&netd_dnsmasq_table, arena, text);
}

#define GW "{\"name\": \"gw\", \"ip\": [\"192.168.150.1\"]}"

/* ---- the client ---- */

static void set_client_mac(const char *mac)
{
	cleanup_free char *command = xprintf("nsenter -t %d -n sh -c 'ip link set eth0 down; ip addr flush dev eth0; "
					     "ip link set eth0 address %s up'",
					     client, mac);
	run(command);
}

/* "ADDRESS ROUTER DNS DOMAIN MTU", or what udhcpc said. */
static char *get_lease(void)
{
	cleanup_free char *script = xprintf("%s/udhcpc", directory);
	return output_of("timeout 20 nsenter -t %d -n udhcpc -i eth0 -f -q -n -O mtu -s %s 2>/dev/null", client,
			 script);
}

static char *resolve(const char *what)
{
	return output_of("nsenter -t %d -n timeout 5 dig +short +time=2 +tries=1 %s", client, what);
}

/* ---- tests ---- */

static void test_life(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	struct dnsmasq_spec *want = spec_with(arena, GW, "1h");
	assert_int_equal(observe_pid(NULL), 0);
	do_well(OP_CREATE, "dnsmasq/lan", want, NULL, 0);
	int pid = observe_pid(want);
	assert_int_not_equal(pid, 0);

	/* A new daemon finds it, also when the note about it is lost. */
	netd_dhcp_stop();
	assert_int_equal(observe_pid(want), pid);
	netd_dhcp_stop();
	cleanup_free char *note = dnsmasq_path("lan", DNSMASQ_PROCESS);
	unlink(note);
	struct op op = do_op(OP_OBSERVE, "dnsmasq/lan", want, NULL, 0);
	assert_true(op.obs.exists);
	assert_int_equal(((struct dnsmasq_spec *)op.obs.spec)->pid, pid);
	assert_int_not_equal(table_diff(&netd_dnsmasq_table, want, op.obs.spec), 0);
	observation_done(&op.obs);
	do_well(OP_UPDATE, "dnsmasq/lan", want, NULL, ~UINT64_C(0));
	pid = observe_pid(want);

	/* Records change under it, a lease time needs another. */
	struct dnsmasq_spec *more = spec_with(arena, GW ", {\"name\": \"www.example\", \"ip\": [\"192.0.2.1\"]}", "1h");
	assert_int_equal(table_diff(&netd_dnsmasq_table, more, want), row("records"));
	do_well(OP_UPDATE, "dnsmasq/lan", more, want, row("records"));
	assert_int_equal(observe_pid(more), pid);
	cleanup_free char *lease = get_lease(), *www = resolve("@192.168.150.1 www.example"),
			  *gw = resolve("@192.168.150.1 gw.lan.test gw");
	assert_true(str_starts(lease, "192.168.150.1"));
	assert_non_null(strstr(lease, " 192.168.150.1 192.168.150.1 lan.test 1400"));
	assert_string_equal(www, "192.0.2.1\n");
	assert_string_equal(gw, "192.168.150.1\n192.168.150.1\n");
	struct dnsmasq_spec *longer = spec_with(arena, GW, "2h");
	do_well(OP_UPDATE, "dnsmasq/lan", longer, more, row("records") | row("lease"));
	int other = observe_pid(longer);
	assert_true(other != 0 && other != pid);

	do_well(OP_REMOVE, "dnsmasq/lan", NULL, longer, 0);
	assert_int_equal(observe_pid(NULL), 0);
	cleanup_free char *left = output_of("find %s/run/networks %s/lib/networks 2>/dev/null", directory, directory);
	assert_string_equal(left, "");
}

static void test_killed_is_gone(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	struct dnsmasq_spec *want = spec_with(arena, GW, "1h");
	do_well(OP_CREATE, "dnsmasq/lan", want, NULL, 0);
	kill(observe_pid(want), SIGKILL);
	for (int i = 0; i < 100 && observe_pid(want); i++)
		usleep(20000);
	assert_int_equal(observe_pid(want), 0);
	do_well(OP_CREATE, "dnsmasq/lan", want, NULL, 0);
	assert_int_not_equal(observe_pid(want), 0);
	do_well(OP_REMOVE, "dnsmasq/lan", NULL, want, 0);
}

static void test_says_why_it_will_not_start(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	struct dnsmasq_spec *want = spec_with(arena, "", "1h");
	cleanup_close int rival = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0xc0a89601)};
	assert_int_equal(bind(rival, (struct sockaddr *)&address, sizeof(address)), 0);
	struct op op = do_op(OP_CREATE, "dnsmasq/lan", want, NULL, 0);
	assert_string_equal(op.err.text, "dnsmasq of network 'lan' gave up: failed to create listening socket for "
					 "192.168.150.1: Address already in use; "
					 "stop what listens there, or bind it to other interfaces");
	assert_int_equal(observe_pid(NULL), 0);
	observation_done(&op.obs);
	do_well(OP_REMOVE, "dnsmasq/lan", NULL, want, 0);
}

static void test_reservations(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	const struct table *table = &netd_dhcp_host_table;
	struct dnsmasq_spec *want = spec_with(arena, GW, "1h");
	do_well(OP_CREATE, "dnsmasq/lan", want, NULL, 0);
	int pid = observe_pid(want);

	/* Somebody has the address, and loses it without dnsmasq being restarted. */
	set_client_mac("52:54:00:00:00:01");
	cleanup_free char *first = get_lease();
	char address[64] = "";
	assert_int_equal(sscanf(first, "%63s", address), 1);
	cleanup_free char *text = xprintf(
		"{\"names\": [\"web\"], \"guests\": [\"web\"], \"macs\": [\"52:54:00:00:00:02\"], \"ips\": [\"%s\"]}",
		address);
	struct dhcp_host_spec *web = from_json(table, arena, text);
	do_well(OP_CREATE, "dhcp-host/lan/web", web, NULL, 0);
	struct op op = do_op(OP_OBSERVE, "dhcp-host/lan/web", web, NULL, 0);
	assert_true(op.obs.exists);
	assert_int_equal(table_diff(table, web, op.obs.spec), 0);
	observation_done(&op.obs);
	set_client_mac("52:54:00:00:00:02");
	cleanup_free char *second = get_lease(), *name = resolve("@192.168.150.1 web.lan.test");
	assert_true(str_starts(second, address));
	assert_true(str_starts(name, address));
	assert_int_equal(observe_pid(want), pid);
	json_t *leases = netd_leases();
	assert_int_equal(json_array_size(leases), 1);
	json_t *lease = json_array_get(leases, 0);
	assert_string_equal(json_string_value(json_object_get(lease, "network")), "lan");
	assert_string_equal(json_string_value(json_object_get(lease, "ip")), address);
	assert_string_equal(json_string_value(json_object_get(lease, "mac")), "52:54:00:00:00:02");
	assert_string_equal(json_string_value(json_object_get(lease, "guest")), "web");
	assert_string_equal(json_string_value(json_object_get(lease, "hostname")), "web");
	assert_string_equal(json_string_value(json_object_get(lease, "family")), "ipv4");
	json_decref(leases);

	/* The guest goes: its lease with it. The address stays kept. */
	cleanup_free char *kept =
		xprintf("{\"names\": [\"web\"], \"guests\": [], \"macs\": [], \"ips\": [\"%s\"]}", address);
	struct dhcp_host_spec *nobody = from_json(table, arena, kept);
	assert_int_not_equal(table_diff(table, nobody, web), 0);
	do_well(OP_UPDATE, "dhcp-host/lan/web", nobody, web, table_diff(table, nobody, web));
	leases = netd_leases();
	assert_int_equal(json_array_size(leases), 0);
	json_decref(leases);
	cleanup_free char *third = get_lease();
	assert_false(str_starts(third, address));
	assert_int_equal(observe_pid(want), pid);

	/* Without the loopback interface a release does not get through, and a restart does it. */
	run("ip link set lo down");
	char other[64] = "";
	assert_int_equal(sscanf(third, "%63s", other), 1);
	cleanup_free char *moved = xprintf(
		"{\"names\": [\"web\"], \"guests\": [], \"macs\": [\"52:54:00:00:00:03\"], \"ips\": [\"%s\"]}", other);
	struct dhcp_host_spec *third_host = from_json(table, arena, moved);
	do_well(OP_UPDATE, "dhcp-host/lan/web", third_host, nobody, table_diff(table, third_host, nobody));
	run("ip link set lo up");
	leases = netd_leases();
	assert_int_equal(json_array_size(leases), 0);
	json_decref(leases);
	assert_int_not_equal(observe_pid(want), pid);
	do_well(OP_REMOVE, "dhcp-host/lan/web", NULL, third_host, 0);
	do_well(OP_REMOVE, "dnsmasq/lan", NULL, want, 0);
	cleanup_free char *left = output_of("find %s/run/networks %s/lib/networks 2>/dev/null", directory, directory);
	assert_string_equal(left, "");
}

/* ---- the stage ---- */

static void make_client(void)
{
	client = fork();
	assert_true(client >= 0);
	if (client == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
		pause();
		_exit(0);
	}
}

static int set_up(void **state)
{
	run("ip link set lo up; ip link add lan type bridge; ip link set lan up; ip addr add 192.168.150.1/24 dev lan;"
	    "ip addr add fd42:150::1/64 dev lan nodad; ip link add p0 type veth peer name eth0; ip link set p0 master "
	    "lan up");
	make_client();
	usleep(100000);
	cleanup_free char *move =
		xprintf("ip link set eth0 netns %d && nsenter -t %d -n sh -c 'ip link set lo up; ip link set eth0 up'",
			client, client);
	run(move);
	cleanup_free char *script = xprintf("%s/udhcpc", directory);
	static const char text[] = "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nip addr replace $ip/24 dev eth0\necho $ip "
				   "$router $dns $domain $mtu\n";
	return file_write_atomic(script, text, strlen(text), 0755);
}

static int tear_down(void **state)
{
	kill(client, SIGKILL);
	waitpid(client, NULL, 0);
	struct process_id id;
	if (dnsmasq_find("lan", &id)) /* after a failure */
		process_signal(&id, SIGKILL);
	lane->ops->free(lane);
	netd_dhcp_stop();
	cleanup_free char *command = xprintf("rm -rf %s", directory);
	return system(command);
}

int main(void)
{
	if (getuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "needs root, for a network namespace\n");
		return SKIPPED;
	}
	if (system("command -v dnsmasq udhcpc dig nsenter dhcp_release >/dev/null") != 0) {
		fprintf(stderr, "needs dnsmasq, dnsmasq-utils, udhcpc and dig\n");
		return SKIPPED;
	}
	struct err err = {0};
	if (!mkdtemp(directory) || sd_event_default(&env.loop) < 0 || env_setup(directory, &err) < 0 ||
	    class_register(&netd_dnsmasq_class, NULL) < 0 || class_register(&netd_dhcp_host_class, NULL) < 0)
		abort();
	lane = lane_async_new(DNSMASQ_LANE);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_killed_is_gone),
		cmocka_unit_test(test_says_why_it_will_not_start),
		cmocka_unit_test(test_reservations),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
