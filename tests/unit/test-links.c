/* SPDX-License-Identifier: Apache-2.0 */
/* Bridges and taps from manifest to kernel: lowering, the engine and the lanes together, in a network namespace of this
 * process's own; repair of what others break, and everything as before at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/lane-async.h"
#include "core/registry.h"
#include "netd/netlink-lane.h"

enum { PATIENCE_MS = 20 * 1000 };

static struct engine *engine;
static char refusal[512];

static uint64_t host_now(void *ctx)
{
	return now_ms();
}

static void host_wake(void *ctx)
{
}

static const struct engine_host host = {.now_ms = host_now, .wake = host_wake};

static int start(void **state)
{
	struct err err = {0};
	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0)
		return 0;
	snprintf(env.instance, sizeof(env.instance), "0123456789abcdef");
	assert_true(sd_event_new(&env.loop) >= 0);
	engine = engine_new(&host);
	struct lane *lane = netd_netlink_lane_new(&err);
	if (!lane)
		fail_msg("%s", err.text);
	engine_add_lane(engine, lane);
	engine_add_lane(engine, lane_async_new("sysctl"));
	return 0;
}

static int stop(void **state)
{
	engine = engine_free(engine);
	env.loop = sd_event_unref(env.loop);
	return 0;
}

#define NEEDS_ROOT()            \
	do {                    \
		if (!engine)    \
			skip(); \
	} while (0)

static struct generation *lower_text(const char *text)
{
	struct generation *gen = generation_new(NULL);
	struct diags diags = {.arena = gen->arena};
	struct source *source = arena_alloc(gen->arena, sizeof(*source));
	size_t n = 0;
	*source = (struct source){"test.yaml", arena_strdup(gen->arena, text), strlen(text)};
	struct node **docs = yaml_parse(source, gen->arena, &diags, &n);
	struct object **objects = arena_alloc(gen->arena, (n + 1) * sizeof(*objects));
	for (size_t i = 0; i < n; i++)
		objects[i] = object_decode(docs[i], gen->arena, &diags);
	struct lower_input input = {.objects = objects, .n_objects = n};
	if (diags.n || lower_all(gen, &input, &diags) < 0)
		fail_msg("%s", diags_render(&diags, false));
	return gen;
}

/* Works until the switch has settled or was refused. */
static enum engine_outcome settle(void)
{
	uint64_t deadline = now_ms() + PATIENCE_MS;
	struct err why = {0};
	enum engine_outcome outcome = ENGINE_RUNNING;
	while (now_ms() < deadline) {
		engine_run(engine);
		outcome = engine_outcome(engine, &why);
		if (outcome == ENGINE_REFUSED || (outcome == ENGINE_SETTLED && engine_converged(engine)))
			break;
		sd_event_run(env.loop, 50 * 1000);
	}
	snprintf(refusal, sizeof(refusal), "%s", why.text);
	return outcome;
}

static void apply(const char *text)
{
	struct generation *gen = lower_text(text);
	engine_switch(engine, gen, true);
	generation_unref(gen);
	if (settle() != ENGINE_SETTLED || !engine_converged(engine)) {
		struct resource_view view;
		for (size_t i = 0; engine_view(engine, i, &view); i++)
			if (view.state != RES_PRESENT)
				print_message("%s/%s: %s: %s\n", view.class->name, view.key,
					      resource_state_names[view.state], view.reason ? view.reason : "");
		fail_msg("not settled: %s", refusal);
	}
	engine_final(engine);
	engine_run(engine);
}

static bool holds(const char *command)
{
	return system(command) == 0;
}

static void shell(const char *command)
{
	if (!holds(command))
		fail_msg("failed: %s", command);
}

/* Works until a command says yes. */
static void until(const char *command)
{
	uint64_t deadline = now_ms() + PATIENCE_MS;
	while (!holds(command)) {
		if (now_ms() > deadline)
			fail_msg("never came true: %s", command);
		engine_run(engine);
		sd_event_run(env.loop, 50 * 1000);
	}
	settle();
}

#define BRIDGE(name, spec) "---\napiVersion: weft/v1\nkind: Bridge\nmetadata: {name: " name "}\nspec: {" spec "}\n"
#define TAP(name, spec)    "---\napiVersion: weft/v1\nkind: Tap\nmetadata: {name: " name "}\nspec: {" spec "}\n"

static const char basic[] = BRIDGE(
	"br7", "ports: [{name: tap7}], addresses: [10.7.0.1/24, \"fd07::1/64\"], mtu: 1400, stp: {enabled: false}")
	TAP("tap7", "owner: nobody, queues: 2, mtu: 1400, mac: \"52:54:00:07:07:07\"");

static const char is_whole[] =
	"exec 2>/dev/null; ip -d link show br7 | grep -q '[<,]UP.*mtu 1400' && ip -d link show tap7 | grep -q 'master "
	"br7' && "
	"ip -d link show tap7 | grep -q 'multi_queue.*user nobody' && ip link show tap7 | grep -q 52:54:00:07:07:07 && "
	"ip addr show br7 | grep -q 10.7.0.1/24 && ip addr show br7 | grep -q fd07::1/64";

static void test_the_contract_and_its_repair(void **state)
{
	NEEDS_ROOT();
	apply(basic);
	shell(is_whole);
	shell("ip link show br7 | grep -q 'alias weft:0123456789abcdef:Bridge/br7'");
	shell("ip link show tap7 | grep -q 'alias weft:0123456789abcdef:Tap/tap7'");
	shell("ip link del br7");
	until(is_whole);
	shell("ip link del tap7");
	until(is_whole);
	shell("ip link set br7 down && ip link set tap7 nomaster mtu 1300 && ip addr flush dev br7");
	until(is_whole);
	shell("ip link set br7 alias '' && ip link set tap7 address 02:00:00:00:00:01");
	until(is_whole);
	until("ip link show br7 | grep -q alias");
	shell("ip link set tap7 mtu 1200");
	until(is_whole);
	shell("ip link add small mtu 1000 type veth && ip link set small master br7 && ip link show br7 | grep -q 'mtu "
	      "1400' && ip link del small");
	apply("");
	shell("test -z \"$(ip -o link show | grep -v ' lo:')\"");
}

static void test_somebody_elses_port_is_given_back(void **state)
{
	NEEDS_ROOT();
	shell("ip link add v0 mtu 1450 type veth peer name v1 && ip link add old type bridge && ip link set v0 master "
	      "old");
	apply(BRIDGE("br7", "ports: [v0], mtu: 1300"));
	shell("ip link show v0 | grep -q 'UP.*mtu 1300.*master br7'");
	apply(BRIDGE("br7", "ports: [v1]"));
	shell("ip link show v0 | grep -q 'mtu 1450.*master old' && ! ip link show v0 | grep -q '[<,]UP'");
	apply("");
	shell("! ip link show br7 2>/dev/null && ip link show v1 | grep -qv master && ! ip link show v0 | grep -q "
	      "alias");
}

static void test_strangers_are_refused(void **state)
{
	NEEDS_ROOT();
	shell("ip link add br7 type bridge");
	struct generation *gen = lower_text(BRIDGE("br7", "mtu: 1400"));
	engine_switch(engine, gen, true);
	generation_unref(gen);
	assert_int_equal(settle(), ENGINE_REFUSED);
	assert_non_null(strstr(refusal, "not weft's"));
	shell("ip link show br7 | grep -q 'mtu 1500' && ! ip link show br7 | grep -q alias");
	apply("");
	shell("ip link show br7 >/dev/null");
	apply(BRIDGE("br7", "mtu: 1400, adopt: true, addresses: [10.7.0.1/24]"));
	shell("ip link show br7 | grep -q 'mtu 1400'");
	apply("");
	shell("ip link show br7 | grep -q 'mtu 1500' && ! ip addr show br7 | grep -q 10.7");
}

static void test_what_is_taken_over_is_not_destroyed(void **state)
{
	NEEDS_ROOT();
	shell("ip link add br7 type veth peer name v1 && ip tuntap add tap7 mode tap");
	struct generation *gen = lower_text(BRIDGE("br7", "adopt: true") TAP("tap7", "queues: 4, adopt: true"));
	engine_switch(engine, gen, true);
	generation_unref(gen);
	assert_int_equal(settle(), ENGINE_REFUSED);
	assert_non_null(strstr(refusal, "can only be had by making it anew, and it is not weft's"));
	apply("");
	shell("ip -d link show br7 | grep -q veth && ip -d link show tap7 | grep -q 'tun type tap' && ! ip link | grep "
	      "-q alias");
	apply(TAP("tap7", "adopt: true, mtu: 1400"));
	shell("ip link show tap7 | grep -q 'mtu 1400'");
	apply("");
	shell("ip link show tap7 | grep -q 'mtu 1500'");
}

static void test_what_needs_another_making_is_made_anew(void **state)
{
	NEEDS_ROOT();
	apply(BRIDGE("br7", "ports: [tap7]") TAP("tap7", "queues: 1"));
	apply(BRIDGE("br7", "ports: [tap7]") TAP("tap7", "queues: 4"));
	shell("ip -d link show tap7 | grep -q 'multi_queue'");
	apply(BRIDGE("br7", "") TAP("tap7", "queues: 4"));
	shell("! ip link show tap7 | grep -q master");
}

static void test_what_the_kernel_refuses_is_taken_back(void **state)
{
	NEEDS_ROOT();
	const char old[] = BRIDGE("br7", "mtu: 1400");
	apply(old);
	struct generation *gen = lower_text(BRIDGE("br7", "mtu: 1300") TAP("tap7", "bridge: br7, owner: no-such-user"));
	engine_switch(engine, gen, true);
	generation_unref(gen);
	assert_int_equal(settle(), ENGINE_REFUSED);
	assert_non_null(strstr(refusal, "no-such-user"));
	apply(old);
	shell("ip link show br7 | grep -q 'mtu 1400' && ! ip link show tap7 2>/dev/null");
}

static void test_a_port_goes_with_its_tap(void **state)
{
	NEEDS_ROOT();
	apply(basic);
	struct generation *gen = lower_text(BRIDGE("br7", "ports: [tap7], mtu: 1400"));
	engine_switch(engine, gen, true);
	generation_unref(gen);
	assert_int_equal(settle(), ENGINE_REFUSED);
	assert_non_null(strstr(refusal, "link tap7 does not exist"));
	shell("! ip link show tap7 2>/dev/null");
	apply(basic);
	shell(is_whole);
	apply("");
}

static void test_a_rival_is_let_be(void **state)
{
	NEEDS_ROOT();
	struct resource_view view = {0};
	apply(basic);
	for (int i = 0; i < 12 && view.state != RES_CONTESTED; i++) {
		shell("ip link set br7 down && ip link set tap7 nomaster");
		for (int k = 0; k < 20; k++) {
			engine_run(engine);
			sd_event_run(env.loop, 10 * 1000);
		}
		assert_true(engine_view_find(engine, "link", "br7", &view));
	}
	assert_int_equal(view.state, RES_CONTESTED);
	engine_retry(engine, NULL);
	until(is_whole);
	apply("");
}

static char *many(unsigned n)
{
	size_t size = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, &size);
	fprintf(f, BRIDGE("br7", ""));
	for (unsigned i = 0; i < n; i++)
		fprintf(f, TAP("t%u", "bridge: br7, owner: nobody"), i);
	fclose(f);
	return text;
}

static void test_many(void **state)
{
	NEEDS_ROOT();
	cleanup_free char *text = many(300);
	uint64_t began = now_ms();
	struct generation *gen = lower_text(text);
	uint64_t lowered = now_ms();
	engine_switch(engine, gen, true);
	generation_unref(gen);
	assert_int_equal(settle(), ENGINE_SETTLED);
	print_message("300 taps: lowered in %d ms, made in %d ms\n", (int)(lowered - began), (int)(now_ms() - lowered));
	shell("test $(ip -o link show master br7 up | wc -l) = 300");
	engine_final(engine);
	began = now_ms();
	engine_resync(engine);
	settle();
	print_message("looked at again in %d ms\n", (int)(now_ms() - began));
	began = now_ms();
	apply("");
	print_message("gone in %d ms\n", (int)(now_ms() - began));
	shell("test -z \"$(ip -o link show | grep -v ' lo:')\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_contract_and_its_repair, start, stop),
		cmocka_unit_test_setup_teardown(test_somebody_elses_port_is_given_back, start, stop),
		cmocka_unit_test_setup_teardown(test_strangers_are_refused, start, stop),
		cmocka_unit_test_setup_teardown(test_what_is_taken_over_is_not_destroyed, start, stop),
		cmocka_unit_test_setup_teardown(test_what_needs_another_making_is_made_anew, start, stop),
		cmocka_unit_test_setup_teardown(test_what_the_kernel_refuses_is_taken_back, start, stop),
		cmocka_unit_test_setup_teardown(test_a_port_goes_with_its_tap, start, stop),
		cmocka_unit_test_setup_teardown(test_a_rival_is_let_be, start, stop),
		cmocka_unit_test_setup_teardown(test_many, start, stop),
	};
	registry_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
