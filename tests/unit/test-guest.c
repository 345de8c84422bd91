/* SPDX-License-Identifier: Apache-2.0 */
/* What of a guest's lowering golden files do not show: places that are kept, orders given beside the manifest,
 * processors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/env.h"
#include "core/lower.h"
#include "core/plugin.h"
#include "core/registry.h"
#include "guestd/override.h"
#include "guestd/qemu-spec.h"

struct lowered {
	struct source source;
	struct generation *gen;
	struct diags diags;
	struct alloc_row *allocs; /* kept from the lowering before */
	size_t n_allocs;
	const char *order; /* what a person has ordered of it; NULL: nothing */
};

static void lower_text(struct lowered *lowered, const char *name, const char *text)
{
	lowered->source = (struct source){name, text, strlen(text)};
	struct generation *gen = lowered->gen = generation_new(NULL);
	lowered->diags = (struct diags){.arena = gen->arena};
	size_t n = 0, n_objects = 0;
	struct node **docs = yaml_parse(&lowered->source, gen->arena, &lowered->diags, &n);
	struct object **objects = arena_alloc(gen->arena, (n + 1) * sizeof(*objects));
	for (size_t i = 0; i < n; i++)
		if ((objects[n_objects] = object_decode(docs[i], gen->arena, &lowered->diags)))
			n_objects++;
	const struct override_row order = {"Guest/web", lowered->order, "root", 0};
	struct lower_input input = {.objects = objects,
				    .n_objects = n_objects,
				    .overrides = &order,
				    .n_overrides = lowered->order != NULL,
				    .allocs = lowered->allocs,
				    .n_allocs = lowered->n_allocs};
	if (!lowered->diags.n)
		lower_all(gen, &input, &lowered->diags);
}

#define HEAD                                                                                            \
	"apiVersion: weft/v1\nkind: Network\nmetadata: {name: lan}\nspec: {mode: isolated, addresses: " \
	"[10.9.0.1/24]}\n---\n"                                                                         \
	"apiVersion: weft/v1\nkind: Network\nmetadata: {name: dmz}\nspec: {mode: isolated, addresses: " \
	"[10.8.0.1/24]}\n---\n"
#define GUEST(spec) \
	HEAD "apiVersion: weft/v1\nkind: Guest\nmetadata: {name: web}\nspec: {memory: {size: 64MiB}, " spec "}\n"

static const char *alloc_of(const struct generation *gen, const char *space, const char *slot)
{
	for (size_t i = 0; i < gen->n_allocs; i++)
		if (streq(gen->allocs[i].space, space) && streq(gen->allocs[i].slot, slot) &&
		    streq(gen->allocs[i].object, "Guest/web"))
			return gen->allocs[i].text;
	return "";
}

/* What comes and goes beside a device does not move it. */
static void test_places_are_kept(void **state)
{
	struct lowered before = {0}, after = {0};
	lower_text(&before, "a", GUEST("disks: [{file: a}, {file: b}], interfaces: [lan, dmz]"));
	assert_int_equal(before.diags.n, 0);
	after.allocs = before.gen->allocs;
	after.n_allocs = before.gen->n_allocs;
	lower_text(&after, "b", GUEST("disks: [{file: c}, {file: b}], interfaces: [dmz, lan, lan], agent: true"));
	assert_int_equal(after.diags.n, 0);
	static const char *const kept[][2] = {{"pci/web", "disk/b"},
					      {"pci/web", "nic/dmz"},
					      {"pci/web", "nic/lan"},
					      {"pci/web", "rng"},
					      {"mac", "nic/dmz"}};
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		assert_string_not_equal(alloc_of(before.gen, kept[i][0], kept[i][1]), "");
		assert_string_equal(alloc_of(before.gen, kept[i][0], kept[i][1]),
				    alloc_of(after.gen, kept[i][0], kept[i][1]));
	}
	assert_non_null(generation_find(after.gen, "tap-attach", "web/web.1")); /* dmz's, as before */
	generation_unref(before.gen);
	generation_unref(after.gen);
}

static void test_an_order_counts_for_more_than_the_manifest(void **state)
{
	struct lowered stopped = {.order = "stopped"}, again = {.order = "running serial=17"},
		       paused = {.order = "paused"};
	lower_text(&stopped, "a", GUEST("disks: [{file: a}], interfaces: [lan]"));
	assert_null(generation_find(stopped.gen, "qemu", "web"));
	assert_null(generation_find(stopped.gen, "tap-attach", "web/web.0"));
	assert_non_null(generation_find(stopped.gen, "link", "web.0")); /* its place on the network stays */
	lower_text(&again, "b", GUEST("state: stopped"));
	const struct qemu_spec *qemu = generation_find(again.gen, "qemu", "web")->spec;
	assert_int_equal(qemu->serial, 17);
	assert_int_equal(qemu->state, RUN_RUNNING);
	lower_text(&paused, "c", GUEST("restart: never"));
	qemu = generation_find(paused.gen, "qemu", "web")->spec;
	assert_int_equal(qemu->state, RUN_PAUSED);
	generation_unref(stopped.gen);
	generation_unref(again.gen);
	generation_unref(paused.gen);
}

static void test_orders_as_text(void **state)
{
	char text[ORDER_TEXT];
	static const struct guest_order orders[] = {
		{GUEST_RUNNING, 0}, {GUEST_PAUSED, 0}, {GUEST_STOPPED, 0}, {GUEST_RUNNING, UINT64_MAX}};
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct guest_order again = guest_order_parse(guest_order_text(&orders[i], text), GUEST_STOPPED);
		assert_int_equal(again.state, orders[i].state);
		assert_int_equal(again.serial, orders[i].serial);
	}
	assert_int_equal(guest_order_parse(NULL, GUEST_PAUSED).state, GUEST_PAUSED);
	assert_int_equal(guest_order_parse("runningly", GUEST_PAUSED).state, GUEST_PAUSED);
	assert_int_equal(guest_order_parse("", GUEST_STOPPED).state, GUEST_STOPPED);
}

static void test_topology(void **state)
{
	static const struct {
		uint32_t said[4], is[4]; /* count (0: left out), sockets, cores, threads */
		bool fits;
	} cases[] = {
		{{0, 0, 0, 0}, {1, 1, 1, 1}, true},  {{6, 0, 0, 0}, {6, 1, 6, 1}, true},
		{{8, 2, 0, 2}, {8, 2, 2, 2}, true},  {{8, 0, 2, 2}, {8, 2, 2, 2}, true},
		{{0, 2, 3, 0}, {6, 2, 3, 1}, true},  {{8, 0, 3, 0}, {8, 2, 3, 1}, false},
		{{2, 0, 4, 0}, {2, 0, 4, 1}, false}, {{3, 0, 0, 2}, {3, 1, 1, 2}, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_cpu cpu = {.count = cases[i].said[0] ? cases[i].said[0] : 1,
					.sockets = cases[i].said[1],
					.cores = cases[i].said[2],
					.threads = cases[i].said[3],
					.present = cases[i].said[0] != 0};
		uint32_t is[4];
		assert_int_equal(guest_topology(&cpu, is), cases[i].fits);
		assert_memory_equal(is, cases[i].is, sizeof(is));
	}
}

int main(void)
{
	registry_init();
	env.state_dir = "/lib";
	env.run_dir = "/run";
	memcpy(env.instance, "0123456789abcdef", 17);
	plugins_load(WEFT_PLUGINS_DIR);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places_are_kept),
		cmocka_unit_test(test_an_order_counts_for_more_than_the_manifest),
		cmocka_unit_test(test_orders_as_text),
		cmocka_unit_test(test_topology),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
