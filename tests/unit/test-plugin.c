/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins: a good one serves, bad ones are named with a reason and harm nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/plugin.h"

struct sample {
	uint64_t present;
	uint32_t mtu;
	const char *text;
};
static const struct field sample_rows[] = {
	F_U32("mtu", struct sample, mtu, .max = 65535, .doc = "MTU."),
	F_STRING("text", struct sample, text, .doc = "Text."),
};
static const struct table sample_table = TABLE("sample", struct sample, sample_rows);
static const struct resource_class sample_class = {
	.name = "sample", .doc = "A sample.", .table = &sample_table, .lane = "none"};

static void lower_sample(struct lowering *l, const struct object *object)
{
	const char *why = NULL;
	const struct weft_port_backend *backend = port_backend_find("sample", &why);
	struct weft_port port = {.size = sizeof(port), .tap = "tap0", .path = "spec"};
	struct want *second = backend->lower_port(&plugin_host, l, &port);
	assert_non_null(second);
	assert_int_equal(second->n_needs, 1);
	assert_string_equal(second->needs[0]->key, "tap0");
	const struct sample *spec = second->needs[0]->spec;
	assert_int_equal(spec->mtu, 1400);
	assert_string_equal(spec->text, "a fact");
}

static const struct kind sample_kind = {
	.name = "Sample", .plural = "samples", .doc = "A sample.", .table = &sample_table, .lower = lower_sample};

static int answer_fact(void *ctx, const char *key, char **ret)
{
	*ret = xstrdup("a fact");
	return 0;
}

static void test_plugins_are_listed(void **state)
{
	static const char *const expected[][2] = {
		{"not-elf", "not-elf.so"},
		{"sample-abi", "it is made for plugin interface 99, and this weftd has 1"},
		{"sample-half", "its port backend 0 is incomplete"},
		{"sample-size", "its description has 8 bytes"},
		{"sample-symbol", "it exports no 'weft_plugin'"},
		{"sample", NULL},
		{"second-sample", "its port backend 'sample' is there already"},
	};
	struct plugin_info info;
	size_t n = 0;
	for (; plugin_at(n, &info); n++) {
		assert_true(n < ARRAY_SIZE(expected));
		assert_string_equal(info.name, expected[n][0]);
		if (!expected[n][1])
			assert_null(info.why_not);
		else if (!info.why_not || !strstr(info.why_not, expected[n][1]))
			fail_msg("%s: %s", info.name, info.why_not);
	}
	assert_int_equal(n, ARRAY_SIZE(expected));
}

static void test_backends_are_found_or_explained(void **state)
{
	const char *why = NULL;
	assert_non_null(port_backend_find("sample", &why));
	assert_null(port_backend_find("sample-abi", &why));
	assert_non_null(strstr(why, "was not loaded: it is made for plugin interface 99"));
	assert_null(port_backend_find("ovs", &why));
	assert_non_null(strstr(why, "there is no plugin that brings the port backend 'ovs'"));
	assert_null(port_backend_find("ovs", NULL));
	plugins_load("/nowhere");
}

static void test_plugin_lowers_a_port(void **state)
{
	static const char text[] = "apiVersion: weft/v1\nkind: Sample\nmetadata: {name: one}\n";
	struct generation *gen = generation_new(NULL);
	struct source source = {.name = "one.yaml", .text = text, .size = sizeof(text) - 1};
	struct diags diags = {.arena = gen->arena};
	size_t n = 0;
	struct node **docs = yaml_parse(&source, gen->arena, &diags, &n);
	struct object *object = object_decode(docs[0], gen->arena, &diags);
	assert_int_equal(diags.n, 0);
	struct lower_input input = {.objects = &object, .n_objects = 1};
	assert_int_equal(lower_all(gen, &input, &diags), -EINVAL);
	/* Two rows that would not be set, and the plugin's own refusal. */
	assert_int_equal(diags.n, 3);
	bool refused = false;
	for (size_t i = 0; i < diags.n; i++)
		refused = refused || strstr(diags.items[i]->text, "refused by the sample");
	assert_true(refused);
	generation_unref(gen);
}

int main(void)
{
	kind_register(&sample_kind, NULL);
	class_register(&sample_class, NULL);
	fact_register("sample/", answer_fact, NULL);
	plugins_load(WEFT_SAMPLES_DIR);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plugins_are_listed),
		cmocka_unit_test(test_backends_are_found_or_explained),
		cmocka_unit_test(test_plugin_lowers_a_port),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
