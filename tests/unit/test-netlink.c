/* SPDX-License-Identifier: Apache-2.0 */
/* The netlink lane and the class link, driven without the engine in a network namespace of this process's own; what the
 * kernel then has is asked of ip(8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "netd/link.h"

enum { WAIT_US = 20 * 1000 * 1000 };

static struct lane *lane;
static struct arena *arena;
static char dirty[65536]; /* " class/key" of every mark; takes the place of the engine's */

void engine_dirty(struct engine *engine, const char *class, const char *key)
{
	size_t len = strlen(dirty);
	snprintf(dirty + len, sizeof(dirty) - len, " %s/%s", class, key ? key : "*");
}

static void on_fact(void *ctx, const char *key)
{
	engine_dirty(NULL, "fact", key);
}

static bool in_namespace(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
}

static int start_sized(int buffer_bytes)
{
	struct err err = {0};
	if (!in_namespace())
		return 0;
	snprintf(env.instance, sizeof(env.instance), "0123456789abcdef");
	assert_true(sd_event_new(&env.loop) >= 0);
	lane = netd_netlink_lane_new_sized(buffer_bytes, &err);
	if (!lane)
		fail_msg("%s", err.text);
	arena = arena_new();
	*dirty = '\0';
	fact_listen(on_fact, NULL);
	return 0;
}

static int start(void **state)
{
	return start_sized(0);
}

static int start_small(void **state)
{
	return start_sized(4096);
}

static int stop(void **state)
{
	if (lane)
		lane->ops->free(lane);
	lane = NULL;
	arena = arena_free(arena);
	env.loop = sd_event_unref(env.loop);
	return 0;
}

#define NEEDS_ROOT()            \
	do {                    \
		if (!lane)      \
			skip(); \
	} while (0)

static size_t n_waiting;

static void op_done(struct op *op)
{
	n_waiting--;
}

static void run_ops(struct op **ops, size_t n)
{
	uint64_t deadline = now_ms() + WAIT_US / 1000;
	for (size_t i = 0; i < n; i++) {
		ops[i]->done = op_done;
		ops[i]->lane = lane;
		lane->ops->submit(lane, ops[i]);
	}
	n_waiting = n;
	lane->ops->flush(lane);
	while (n_waiting && now_ms() < deadline)
		sd_event_run(env.loop, 100 * 1000);
	assert_int_equal(n_waiting, 0);
}

static struct link_spec *spec_of(const char *json)
{
	struct err err = {0};
	json_t *parsed = json_loads(json, 0, NULL);
	struct link_spec *spec = arena_alloc(arena, sizeof(*spec));
	assert_non_null(parsed);
	if (table_from_json(&link_table, parsed, arena, spec, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(parsed);
	return spec;
}

static struct op *op_new(enum op_verb verb, const char *name, const char *json)
{
	struct op *op = arena_alloc(arena, sizeof(*op));
	op->verb = verb;
	op->class = &netd_link_class;
	op->key = arena_strdup(arena, name);
	op->want = json ? spec_of(json) : NULL;
	op->mark = "weft:0123456789abcdef:Bridge/x";
	return op;
}

static struct op *run_op(enum op_verb verb, const char *name, const char *json)
{
	struct op *op = op_new(verb, name, json);
	run_ops(&op, 1);
	return op;
}

/* Changes what differs from the last observation, as the engine does. */
static struct op *run_update(const char *name, const char *json, const struct op *last)
{
	struct op *op = op_new(OP_UPDATE, name, json);
	op->seen = last->obs.spec;
	op->rows = table_diff(&link_table, op->want, op->seen);
	run_ops(&op, 1);
	return op;
}

static const struct link_spec *seen(const struct op *op)
{
	assert_true(op->obs.valid);
	assert_true(op->obs.exists);
	return op->obs.spec;
}

static uint64_t differs(const struct op *op)
{
	return table_diff(&link_table, op->want, seen(op));
}

/* Drops the observations of ops from an array. */
static void drop(struct op **ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		observation_done(&ops[i]->obs);
}

static void shell(const char *fmt, ...) printf_like(1, 2);
static void shell(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char *command = xvprintf(fmt, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
	free(command);
}

/* One link as `ip -j -d link` has it; NULL if it is not there. */
static json_t *witness(const char *name)
{
	char *command = xprintf("ip -j -d link show dev %s 2>/dev/null", name);
	FILE *f = popen(command, "r");
	json_t *all = json_loadf(f, 0, NULL);
	pclose(f);
	free(command);
	json_t *one = json_incref(json_array_get(all, 0));
	json_decref(all);
	return one;
}

static void assert_text(json_t *object, const char *key, const char *want)
{
	assert_string_equal(json_string_value(json_object_get(object, key)), want);
}

static json_int_t number(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void wait_dirty(const char *mark)
{
	uint64_t deadline = now_ms() + 5000;
	while (!strstr(dirty, mark) && now_ms() < deadline)
		sd_event_run(env.loop, 100 * 1000);
	if (!strstr(dirty, mark))
		fail_msg("no mark '%s' in '%s'", mark, dirty);
}

static const char bridge_json[] =
	"{\"kind\":\"bridge\",\"mac\":\"02:00:00:00:00:07\",\"mtu\":1400,\"up\":true,"
	"\"info\":{\"stp\":false,\"forwardDelay\":\"4s\",\"ageingTime\":\"20s\",\"priority\":4096}}";

static void test_bridge_lives_and_goes(void **state)
{
	NEEDS_ROOT();
	struct op *op = run_op(OP_OBSERVE, "br7", bridge_json);
	assert_true(op->obs.valid);
	assert_false(op->obs.exists);
	drop(&op, 1);

	op = run_op(OP_CREATE, "br7", bridge_json);
	assert_int_equal(op->err.code, 0);
	assert_int_equal(differs(op), 0);
	assert_int_equal(op->obs.owner, OWNER_OURS);
	json_t *ip = witness("br7");
	json_t *info = json_object_get(json_object_get(ip, "linkinfo"), "info_data");
	assert_text(ip, "ifalias", "weft:0123456789abcdef:Bridge/x");
	assert_text(ip, "address", "02:00:00:00:00:07");
	assert_int_equal(number(ip, "mtu"), 1400);
	assert_int_equal(number(ip, "ifindex"), (json_int_t)op->obs.incarnation);
	assert_int_equal(number(info, "forward_delay"), 400);
	assert_int_equal(number(info, "ageing_time"), 2000);
	assert_int_equal(number(info, "priority"), 4096);
	json_decref(ip);

	struct op *update = run_update(
		"br7", "{\"kind\":\"bridge\",\"mtu\":1300,\"up\":false,\"info\":{\"stp\":true,\"maxAge\":\"8s\"}}", op);
	assert_int_equal(update->rows, 1 << LINK_MTU | 1 << LINK_UP | 1 << LINK_INFO);
	assert_int_equal(update->err.code, 0);
	assert_int_equal(differs(update), 0);
	ip = witness("br7");
	assert_int_equal(number(json_object_get(json_object_get(ip, "linkinfo"), "info_data"), "max_age"), 800);
	json_decref(ip);
	drop(&op, 1);

	op = run_op(OP_REMOVE, "br7", NULL);
	assert_int_equal(op->err.code, 0);
	assert_true(op->obs.valid);
	assert_false(op->obs.exists);
	assert_null(witness("br7"));
	drop(&op, 1);
	drop(&update, 1);
}

static void test_tap_joins_its_bridge(void **state)
{
	NEEDS_ROOT();
	static const char json[] =
		"{\"kind\":\"tap\",\"mac\":\"52:54:00:07:07:07\",\"mtu\":1400,\"up\":true,\"master\":\"br7\","
		"\"fixed\":{\"multiQueue\":true},\"info\":{\"owner\":\"nobody\"}}";
	struct op *op = run_op(OP_CREATE, "tap7", json);
	assert_int_equal(op->err.code, ENODEV); /* its bridge is not there; nothing is left of it */
	assert_null(witness("tap7"));
	drop(&op, 1);
	struct op *bridge = run_op(OP_CREATE, "br7", bridge_json);
	op = run_op(OP_CREATE, "tap7", json);
	assert_int_equal(op->err.code, 0);
	assert_int_equal(differs(op), 0);
	json_t *ip = witness("tap7");
	json_t *info = json_object_get(json_object_get(ip, "linkinfo"), "info_data");
	assert_text(ip, "master", "br7");
	assert_text(ip, "ifalias", "weft:0123456789abcdef:Bridge/x");
	assert_text(info, "user", "nobody");
	assert_true(json_is_true(json_object_get(info, "persist")));
	assert_true(json_is_true(json_object_get(info, "multi_queue")));
	json_decref(ip);

	struct op *update = run_update("tap7", "{\"kind\":\"tap\",\"master\":\"\",\"info\":{\"owner\":\"root\"}}", op);
	assert_int_equal(update->err.code, 0);
	assert_int_equal(differs(update), 0);
	struct op *bad = run_update("tap7", "{\"kind\":\"tap\",\"info\":{\"owner\":\"no-such-user\"}}", update);
	assert_int_equal(bad->err.code, ENOENT);
	drop((struct op *[]){op, update, bad, bridge}, 4);
}

static void test_a_stranger_stays_one(void **state)
{
	NEEDS_ROOT();
	shell("ip link add br0 type bridge && ip link add v0 type veth peer name v1");
	struct op *op = run_op(OP_OBSERVE, "br0", bridge_json);
	assert_int_equal(op->obs.owner, OWNER_FOREIGN);
	drop(&op, 1);
	op = run_op(OP_CREATE, "br0", bridge_json);
	assert_int_equal(op->err.code, EEXIST);
	drop(&op, 1);
	op = run_op(OP_REMOVE, "br0", NULL); /* what we knew is gone; this is another one */
	json_t *ip = witness("br0");
	assert_non_null(ip);
	assert_null(json_object_get(ip, "ifalias"));
	json_decref(ip);
	drop(&op, 1);
	/* A port of somebody else's: rows only, no mark. */
	struct op *bridge = run_op(OP_CREATE, "br7", bridge_json);
	op = run_op(OP_OBSERVE, "v0", "{\"master\":\"br7\",\"up\":true}");
	assert_int_equal(op->obs.owner, OWNER_UNKNOWN);
	struct op *update = run_update("v0", "{\"master\":\"br7\",\"up\":true}", op);
	assert_int_equal(update->err.code, 0);
	ip = witness("v0");
	assert_text(ip, "master", "br7");
	assert_null(json_object_get(ip, "ifalias"));
	json_decref(ip);
	/* Another weft's is a stranger too. */
	shell("ip link set br0 alias weft:ffffffffffffffff:Bridge/br0");
	struct op *other = run_op(OP_OBSERVE, "br0", bridge_json);
	assert_int_equal(other->obs.owner, OWNER_FOREIGN);
	drop((struct op *[]){op, update, other, bridge}, 4);
}

static void test_a_lost_mark_comes_back(void **state)
{
	NEEDS_ROOT();
	struct op *op = run_op(OP_CREATE, "br7", bridge_json);
	shell("ip link set br7 alias ''");
	wait_dirty(" link/br7");
	struct op *again = run_op(OP_OBSERVE, "br7", bridge_json);
	assert_int_equal(again->obs.owner, OWNER_FOREIGN);
	struct op *update = run_update("br7", bridge_json, again);
	assert_int_equal(update->rows, 0);
	assert_int_equal(update->obs.owner, OWNER_OURS);
	drop((struct op *[]){op, again, update}, 3);
}

static void test_the_kernels_words_are_kept(void **state)
{
	NEEDS_ROOT();
	struct op *op = run_op(OP_CREATE, "br8", bridge_json);
	struct op *stp = run_update("br8", "{\"kind\":\"bridge\",\"info\":{\"stp\":true}}", op);
	struct op *range = run_update("br8", "{\"kind\":\"bridge\",\"info\":{\"forwardDelay\":\"10ms\"}}", stp);
	assert_int_equal(range->err.code, ERANGE);
	assert_string_equal(range->err.text, "kernel: Numerical result out of range");
	struct op *bad = run_update("br8", "{\"kind\":\"bridge\",\"mtu\":70000}", op);
	assert_int_equal(bad->err.code, EINVAL);
	assert_string_equal(bad->err.text, "kernel: mtu greater than device maximum");
	assert_true(bad->obs.valid);
	drop((struct op *[]){op, stp, range, bad}, 4);
}

extern const struct resource_class netd_address_class;

static struct op *run_address(enum op_verb verb, const char *key, const char *json)
{
	struct op *op = op_new(verb, key, NULL);
	op->class = &netd_address_class;
	if (json) {
		json_t *parsed = json_loads(json, 0, NULL);
		void *spec = arena_alloc(arena, op->class->table->size);
		assert_int_equal(table_from_json(op->class->table, parsed, arena, spec, NULL), 0);
		json_decref(parsed);
		op->want = spec;
		op->rows = UINT64_MAX;
	}
	run_ops(&op, 1);
	return op;
}

static void test_addresses_come_and_go(void **state)
{
	NEEDS_ROOT();
	struct op *bridge = run_op(OP_CREATE, "br7", bridge_json);
	struct op *a = run_address(OP_CREATE, "br7/10.7.0.1/24", "{}");
	struct op *b = run_address(OP_CREATE, "br7/fd42:150::1/64", "{\"noPrefixRoute\":true}");
	assert_int_equal(a->err.code, 0);
	assert_int_equal(b->err.code, 0);
	assert_int_equal(a->obs.owner, OWNER_OURS);
	assert_int_equal(table_diff(netd_address_class.table, b->want, b->obs.spec), 0);
	shell("ip -j addr show br7 | grep -q '\"local\":\"10.7.0.1\",\"prefixlen\":24,\"broadcast\":\"10.7.0.255\"'");
	shell("ip addr show br7 | grep -q 'fd42:150::1/64 .*nodad.*noprefixroute'");
	drop((struct op *[]){a, b}, 2);

	/* Somebody else's stays, although ours, which came first, goes. */
	shell("ip addr add 10.7.0.9/24 dev br7");
	a = run_address(OP_OBSERVE, "br7/10.7.0.9/24", "{}");
	assert_int_equal(a->obs.owner, OWNER_FOREIGN);
	b = run_address(OP_REMOVE, "br7/10.7.0.1/24", NULL);
	assert_int_equal(b->err.code, 0);
	assert_false(b->obs.exists);
	shell("ip addr show br7 | grep -q 10.7.0.9/24 && ! ip addr show br7 | grep -q 10.7.0.1/24");
	shell("test $(sysctl -n net.ipv4.conf.br7.promote_secondaries) = 0");
	drop((struct op *[]){a, b}, 2);

	a = run_address(OP_CREATE, "nosuch/10.7.0.1/24", "{}");
	assert_int_equal(a->err.code, ENODEV);
	b = run_address(OP_CREATE, "br7/what", "{}");
	assert_int_equal(b->err.code, EINVAL);
	drop((struct op *[]){a, b}, 2);
	*dirty = '\0';
	shell("ip addr del fd42:150::1/64 dev br7");
	wait_dirty(" address/br7/fd42:150::1/64");
	*dirty = '\0';
	shell("ip link set br7 down");
	wait_dirty(" address/*");
	drop(&bridge, 1);
}

enum { MANY = 500 };

static void test_many_taps_at_once(void **state)
{
	NEEDS_ROOT();
	struct op *ops[MANY + 1], *bridge = run_op(OP_CREATE, "br7", bridge_json);
	for (int i = 0; i < MANY; i++)
		ops[i] = op_new(OP_CREATE, arena_printf(arena, "t%d", i),
				"{\"kind\":\"tap\",\"mtu\":1400,\"up\":true,\"master\":\"br7\",\"info\":{\"owner\":"
				"\"nobody\"}}");
	ops[MANY] = op_new(OP_CREATE, "odd", "{\"kind\":\"tap\",\"mtu\":70000}");
	uint64_t began = now_ms();
	run_ops(ops, MANY + 1);
	print_message("%d taps made in %d ms\n", MANY, (int)(now_ms() - began));
	assert_int_equal(ops[MANY]->err.code, EINVAL);
	assert_null(witness("odd"));
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(ops[i]->err.code, 0);
		assert_int_equal(differs(ops[i]), 0);
	}
	shell("test $(ip -o link show master br7 up | wc -l) = %d", MANY);
	drop(ops, MANY + 1);
	for (int i = 0; i < MANY; i++)
		ops[i]->verb = OP_OBSERVE;
	began = now_ms();
	run_ops(ops, MANY);
	print_message("observed in %d ms\n", (int)(now_ms() - began));
	drop(ops, MANY);
	for (int i = 0; i < MANY; i++) {
		ops[i]->verb = OP_REMOVE;
		ops[i]->want = NULL;
	}
	shell("ip link set t7 alias '' && ip tuntap add stranger mode tap && ip link set stranger master br7");
	began = now_ms();
	run_ops(ops, MANY);
	print_message("removed in %d ms\n", (int)(now_ms() - began));
	for (int i = 0; i < MANY; i++)
		assert_int_equal(ops[i]->err.code, 0);
	/* What lost its mark and was not looked at before is left, and so is what was never ours. */
	shell("test $(ip -o link show type tun | wc -l) = 2");
	drop(ops, MANY);
	drop(&bridge, 1);
}

static void test_events_mark_what_they_concern(void **state)
{
	NEEDS_ROOT();
	struct op *bridge = run_op(OP_CREATE, "br7", bridge_json);
	struct op *tap = run_op(OP_CREATE, "tap7", "{\"kind\":\"tap\",\"up\":true,\"master\":\"br7\"}");
	struct op *gone = run_op(OP_OBSERVE, "later", "{\"kind\":\"tap\"}");
	assert_null(strstr(dirty, "link/tap7")); /* the echo of our own change is none */
	*dirty = '\0';
	shell("ip link set tap7 mtu 1350");
	wait_dirty(" link/tap7");
	assert_null(strstr(dirty, "fact/")); /* nobody has asked */
	netlink_facts_watch("link/tap7");
	shell("ip link set tap7 mtu 1300");
	wait_dirty(" fact/link/tap7/*");
	*dirty = '\0';
	shell("ip link add other type bridge && ip link add later type bridge");
	wait_dirty(" link/later");
	assert_null(strstr(dirty, "link/other"));
	*dirty = '\0';
	shell("ip link del br7");
	wait_dirty(" link/br7");
	wait_dirty(" link/tap7");
	*dirty = '\0';
	shell("sysctl -qw net.ipv4.ip_forward=1");
	wait_dirty(" forwarding/ipv4");
	wait_dirty(" sysctl/net/ipv4/conf/all/forwarding");
	drop((struct op *[]){bridge, tap, gone}, 3);
}

static void test_lost_events_cost_a_look(void **state)
{
	NEEDS_ROOT();
	struct op *bridge = run_op(OP_CREATE, "br7", bridge_json);
	*dirty = '\0';
	unsigned resyncs = netd_netlink_lane_resyncs(lane);
	/* Whoever reads fast enough loses nothing: until it has. */
	for (int round = 0; round < 20 && netd_netlink_lane_resyncs(lane) == resyncs; round++) {
		shell("for i in $(seq 200); do echo link %s x$i %s; echo link set br7 mtu $((1200 + i)); done | ip "
		      "-batch -",
		      round % 2 ? "del" : "add", round % 2 ? "" : "type bridge");
		for (uint64_t end = now_ms() + 500; now_ms() < end && netd_netlink_lane_resyncs(lane) == resyncs;)
			sd_event_run(env.loop, 100 * 1000);
	}
	shell("ip link show x200 >/dev/null 2>&1 || ip link add x200 type bridge");
	wait_dirty(" link/*");
	wait_dirty(" forwarding/*");
	assert_true(netd_netlink_lane_resyncs(lane) > resyncs);
	struct op *op = run_op(OP_OBSERVE, "br7", bridge_json), *last = run_op(OP_OBSERVE, "x200", bridge_json);
	assert_int_equal(seen(op)->mtu, 1400);
	assert_true(last->obs.exists);
	drop((struct op *[]){bridge, op, last}, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bridge_lives_and_goes, start, stop),
		cmocka_unit_test_setup_teardown(test_tap_joins_its_bridge, start, stop),
		cmocka_unit_test_setup_teardown(test_a_stranger_stays_one, start, stop),
		cmocka_unit_test_setup_teardown(test_a_lost_mark_comes_back, start, stop),
		cmocka_unit_test_setup_teardown(test_the_kernels_words_are_kept, start, stop),
		cmocka_unit_test_setup_teardown(test_addresses_come_and_go, start, stop),
		cmocka_unit_test_setup_teardown(test_many_taps_at_once, start, stop),
		cmocka_unit_test_setup_teardown(test_events_mark_what_they_concern, start, stop),
		cmocka_unit_test_setup_teardown(test_lost_events_cost_a_look, start_small, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
