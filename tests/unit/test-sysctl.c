/* SPDX-License-Identifier: Apache-2.0 */
/* The classes sysctl and forwarding on their lane, without the engine, in a network namespace of this process's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <sched.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "netd/sysctl.h"

extern const struct resource_class netd_sysctl_class, netd_forwarding_class;

static struct lane *lane;
static struct arena *arena;
static bool busy;

static int start(void **state)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0)
		return 0;
	snprintf(env.instance, sizeof(env.instance), "0123456789abcdef");
	assert_true(sd_event_new(&env.loop) >= 0);
	lane = lane_async_new("sysctl");
	arena = arena_new();
	return 0;
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

static void op_done(struct op *op)
{
	busy = false;
}

static struct op *run_op(const struct resource_class *class, enum op_verb verb, const char *key, const void *want)
{
	struct op *op = arena_alloc(arena, sizeof(*op));
	uint64_t deadline = now_ms() + 20 * 1000;
	*op = (struct op){.verb = verb,
			  .class = class,
			  .key = key,
			  .want = want,
			  .rows = UINT64_MAX,
			  .done = op_done,
			  .lane = lane};
	busy = true;
	lane->ops->submit(lane, op);
	lane->ops->flush(lane);
	while (busy && now_ms() < deadline)
		sd_event_run(env.loop, 100 * 1000);
	assert_false(busy);
	return op;
}

static void *spec_of(const struct resource_class *class, const char *row, const char *text)
{
	void *spec = arena_alloc(arena, class->table->size);
	assert_int_equal(table_set_text(&(struct set_into){class->table, spec, arena}, row, text, NULL), 0);
	return spec;
}

static void assert_setting(const char *name, const char *value)
{
	char *text = NULL;
	assert_int_equal(sysctl_read(name, &text), 0);
	assert_string_equal(text, value);
	free(text);
}

static void set(const char *name, const char *value)
{
	struct err err = {0};
	if (sysctl_write(name, value, &err) < 0)
		fail_msg("%s", err.text);
}

static void shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static void test_a_setting_is_seen_and_set(void **state)
{
	NEEDS_ROOT();
	static const char key[] = "net/ipv4/ip_local_port_range";
	shell("sysctl -qw net.ipv4.ip_local_port_range='40000 50000'");
	struct op *op = run_op(&netd_sysctl_class, OP_OBSERVE, key, NULL);
	void *want = spec_of(&netd_sysctl_class, "value", "40000 50000");
	assert_true(op->obs.exists);
	assert_int_equal(table_diff(netd_sysctl_class.table, want, op->obs.spec), 0);
	observation_done(&op->obs);
	want = spec_of(&netd_sysctl_class, "value", "41000 51000");
	op = run_op(&netd_sysctl_class, OP_UPDATE, key, want);
	assert_int_equal(op->err.code, 0);
	assert_int_equal(table_diff(netd_sysctl_class.table, want, op->obs.spec), 0);
	observation_done(&op->obs);
	op = run_op(&netd_sysctl_class, OP_UPDATE, key, spec_of(&netd_sysctl_class, "value", "nonsense"));
	assert_int_equal(op->err.code, EINVAL);
	observation_done(&op->obs);
	op = run_op(&netd_sysctl_class, OP_OBSERVE, "net/ipv4/conf/nosuch/forwarding", NULL);
	assert_true(op->obs.valid);
	assert_false(op->obs.exists);
	observation_done(&op->obs);
	assert_false(sysctl_name_valid("../etc/passwd"));
	assert_false(sysctl_name_valid("/etc/passwd"));
	assert_false(sysctl_name_valid("net/../../etc/passwd"));
	assert_false(sysctl_name_valid(""));
}

static const void *observed_off(const char *family)
{
	struct op *op = run_op(&netd_forwarding_class, OP_OBSERVE, family, NULL);
	assert_true(op->obs.exists);
	/* As the engine keeps it: through JSON. */
	json_t *json = table_to_json(netd_forwarding_class.table, op->obs.spec, EMIT_NO_STATUS);
	void *before = arena_alloc(arena, netd_forwarding_class.table->size);
	assert_int_equal(table_from_json(netd_forwarding_class.table, json, arena, before, NULL), 0);
	json_decref(json);
	observation_done(&op->obs);
	return before;
}

static void switch_on(const char *family)
{
	const void *want = spec_of(&netd_forwarding_class, "enabled", "true");
	struct op *op = run_op(&netd_forwarding_class, OP_UPDATE, family, want);
	assert_int_equal(op->err.code, 0);
	assert_int_equal(table_diff(netd_forwarding_class.table, want, op->obs.spec), 0);
	observation_done(&op->obs);
}

static void test_forwarding_is_put_back_as_it_was(void **state)
{
	NEEDS_ROOT();
	shell("ip link add v0 type veth peer name v1");
	set("net/ipv4/ip_forward", "0");
	set("net/ipv4/conf/v0/forwarding", "1");
	set("net/ipv4/conf/all/accept_redirects", "0");
	const void *before = observed_off("ipv4");
	switch_on("ipv4");
	assert_setting("net/ipv4/ip_forward", "1");
	assert_setting("net/ipv4/conf/v1/forwarding", "1");
	struct op *op = run_op(&netd_forwarding_class, OP_UPDATE, "ipv4", before);
	assert_int_equal(op->err.code, 0);
	assert_true(op->obs.exists);
	assert_int_equal(table_diff(netd_forwarding_class.table, before, op->obs.spec), 0);
	observation_done(&op->obs);
	assert_setting("net/ipv4/ip_forward", "0");
	assert_setting("net/ipv4/conf/v0/forwarding", "1");
	assert_setting("net/ipv4/conf/v1/forwarding", "0");
	assert_setting("net/ipv4/conf/all/accept_redirects", "0");
}

static void test_forwarding_that_others_use_stays(void **state)
{
	NEEDS_ROOT();
	if (system("iptables-nft -V >/dev/null 2>&1") != 0)
		skip();
	shell("iptables-nft -A FORWARD -s 192.0.2.1 -j DROP");
	set("net/ipv4/ip_forward", "0");
	const void *before = observed_off("ipv4");
	switch_on("ipv4");
	/* A rule that was there before says nothing; one that came since does. */
	shell("iptables-nft -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE");
	struct op *op = run_op(&netd_forwarding_class, OP_UPDATE, "ipv4", before);
	assert_int_equal(op->err.code, 0);
	assert_true(op->obs.valid);
	assert_false(op->obs.exists);
	assert_setting("net/ipv4/ip_forward", "1");
	observation_done(&op->obs);
	shell("iptables-nft -t nat -F POSTROUTING");
	op = run_op(&netd_forwarding_class, OP_UPDATE, "ipv4", before);
	assert_setting("net/ipv4/ip_forward", "0");
	observation_done(&op->obs);
}

/* Sends a router advertisement out of a link, if that has an address to send from already. */
static void advertise(const char *link)
{
	struct nd_router_advert advert = {.nd_ra_type = ND_ROUTER_ADVERT, .nd_ra_router_lifetime = htons(600)};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = if_nametoindex(link)};
	int hops = 255, fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET6, "ff02::1", &to.sin6_addr), 1);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)), 0);
	(void)sendto(fd, &advert, sizeof(advert), 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
}

static void test_advertised_routes_survive(void **state)
{
	NEEDS_ROOT();
	shell("ip link add v0 type veth peer name v1");
	set("net/ipv6/conf/all/forwarding", "0");
	set("net/ipv6/conf/v0/accept_dad", "0");
	set("net/ipv6/conf/v1/accept_dad", "0");
	shell("ip link set v0 up && ip link set v1 up");
	for (int i = 0; i < 50 && system("ip -6 route show default dev v0 | grep -q ra") != 0; i++) {
		advertise("v1");
		usleep(100 * 1000);
	}
	shell("ip -6 route show default dev v0 | grep -q ra");
	const void *before = observed_off("ipv6");
	switch_on("ipv6");
	assert_setting("net/ipv6/conf/all/forwarding", "1");
	assert_setting("net/ipv6/conf/v0/accept_ra", "2");
	assert_setting("net/ipv6/conf/v1/accept_ra", "1");
	shell("ip -6 route show default dev v0 | grep -q ra");
	struct op *op = run_op(&netd_forwarding_class, OP_UPDATE, "ipv6", before);
	assert_int_equal(op->err.code, 0);
	assert_setting("net/ipv6/conf/all/forwarding", "0");
	assert_setting("net/ipv6/conf/v0/accept_ra", "1");
	assert_setting("net/ipv6/conf/v0/forwarding", "0");
	shell("ip -6 route show default dev v0 | grep -q ra");
	observation_done(&op->obs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_setting_is_seen_and_set, start, stop),
		cmocka_unit_test_setup_teardown(test_forwarding_is_put_back_as_it_was, start, stop),
		cmocka_unit_test_setup_teardown(test_forwarding_that_others_use_stays, start, stop),
		cmocka_unit_test_setup_teardown(test_advertised_routes_survive, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
