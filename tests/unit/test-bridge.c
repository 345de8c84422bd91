/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of Bridge and Tap, and of guests' ports by the plugin: manifests in, wanted resources out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/env.h"
#include "core/lower.h"
#include "core/plugin.h"
#include "core/registry.h"
#include "netd/link.h"

static char *diagnostics; /* of the last lowering; NULL if there were none */

/* Lowers manifests; NULL when they are refused. */
static struct generation *lower_text(const char *text)
{
	struct source *source = xcalloc(1, sizeof(*source)); /* borrowed by positions */
	*source = (struct source){"test.yaml", text, strlen(text)};
	struct generation *gen = generation_new(NULL);
	struct diags diags = {.arena = gen->arena};
	size_t n = 0, n_objects = 0;
	struct node **docs = yaml_parse(source, gen->arena, &diags, &n);
	struct object **objects = arena_alloc(gen->arena, (n + 1) * sizeof(*objects));
	for (size_t i = 0; i < n; i++) {
		struct object *o = object_decode(docs[i], gen->arena, &diags);
		if (o)
			objects[n_objects++] = o;
	}
	struct lower_input input = {.objects = objects, .n_objects = n_objects};
	int r = diags.n ? -EINVAL : lower_all(gen, &input, &diags);
	free(diagnostics);
	diagnostics = diags.n ? diags_render(&diags, false) : NULL;
	free(source);
	return r < 0 ? generation_unref(gen) : gen;
}

static struct generation *lowered(const char *text)
{
	struct generation *gen = lower_text(text);
	if (!gen)
		fail_msg("%s", diagnostics);
	return gen;
}

static void refused(const char *text, const char *why)
{
	assert_null(lower_text(text));
	if (!strstr(diagnostics, why))
		fail_msg("no '%s' in:\n%s", why, diagnostics);
}

static void assert_want(struct generation *gen, const char *class, const char *key, const char *json)
{
	struct want *w = generation_find(gen, class, key);
	assert_non_null(w);
	json_t *spec = table_to_json(w->class->table, w->spec, 0);
	char *text = json_dumps(spec, JSON_COMPACT);
	assert_string_equal(text, json);
	free(text);
	json_decref(spec);
}

static bool has_need(struct generation *gen, const char *key, const char *on)
{
	struct want *w = generation_find(gen, "link", key), *to = generation_find(gen, "link", on);
	for (size_t i = 0; i < w->n_needs; i++)
		if (w->needs[i] == to)
			return true;
	return false;
}

#define BRIDGE(name, spec) "---\napiVersion: weft/v1\nkind: Bridge\nmetadata: {name: " name "}\nspec: {" spec "}\n"
/* What a port is when its bridge says nothing of it. */
#define PLAIN_PORT                                                                                                  \
	"\"port\":{\"isolated\":false,\"learning\":true,\"flood\":true,\"multicastFlood\":true,\"broadcastFlood\":" \
	"true,\"multicastToUnicast\":false,\"hairpin\":false,\"neighSuppress\":false,\"bpduGuard\":false,"          \
	"\"rootBlock\":false,\"fastLeave\":false,\"priority\":32}"
#define TAP(name, spec) "---\napiVersion: weft/v1\nkind: Tap\nmetadata: {name: " name "}\nspec: {" spec "}\n"

static void test_the_contract(void **state)
{
	struct generation *gen =
		lowered(TAP("tap7", "owner: weft-qemu, queues: 2, mtu: 1400, mac: \"52:54:00:07:07:07\"")
				BRIDGE("br7", "ports: [{name: tap7}], addresses: [10.7.0.1/24], mtu: 1400, mac: "
					      "\"02:00:00:00:00:07\", stp: {enabled: false}"));
	assert_want(
		gen, "link", "br7",
		"{\"kind\":\"bridge\",\"mac\":\"02:00:00:00:00:07\",\"mtu\":1400,\"up\":true,\"master\":\"\","
		"\"info\":{\"stp\":"
		"false,\"forwardDelay\":\"15s\","
		"\"helloTime\":\"2s\",\"maxAge\":\"20s\",\"ageingTime\":\"5m\",\"priority\":32768,"
		"\"vlanFiltering\":false,\"defaultPvid\":1,\"multicastQuerier\":false,\"multicastSnooping\":true}}");
	assert_want(gen, "link", "tap7",
		    "{\"kind\":\"tap\",\"mac\":\"52:54:00:07:07:07\",\"mtu\":1400,\"up\":true,\"master\":"
		    "\"br7\"," PLAIN_PORT
		    ",\"fixed\":{\"multiQueue\":true,\"vnetHdr\":true},\"info\":{\"owner\":\"weft-qemu\"}}");
	assert_want(gen, "address", "br7/10.7.0.1/24", "{}");
	assert_true(has_need(gen, "tap7", "br7"));
	assert_true(str_starts(strrchr(generation_find(gen, "link", "tap7")->mark, ':'), ":Tap/tap7"));
	assert_true(str_starts(strrchr(generation_find(gen, "link", "br7")->mark, ':'), ":Bridge/br7"));
	generation_unref(gen);
}

static void test_both_sides_may_say_it(void **state)
{
	struct generation *gen = lowered(TAP("tap7", "bridge: br7") BRIDGE("br7", "ports: [tap7], mtu: 1400"));
	struct mac mac = link_stable_mac("tap7");
	char text[IP_TEXT];
	assert_want(
		gen, "link", "tap7",
		arena_printf(gen->arena,
			     "{\"kind\":\"tap\",\"mac\":\"%s\",\"mtu\":1400,\"up\":true,\"master\":\"br7\"," PLAIN_PORT
			     ",\"fixed\":{\"multiQueue\":false,\"vnetHdr\":true},\"info\":{\"owner\":\"root\"}}",
			     mac_text(&mac, text)));
	generation_unref(gen);
	refused(TAP("tap7", "bridge: br8") BRIDGE("br7", "ports: [tap7]") BRIDGE("br8", ""), "master is to be");
	refused(TAP("tap7", "mtu: 1300") BRIDGE("br7", "ports: [tap7], mtu: 1400"), "mtu is to be");
	refused(BRIDGE("br7", "ports: [eth9]") BRIDGE("br8", "ports: [eth9]"), "master is to be");
}

static void test_a_tap_off_the_list_is_nobodys_port(void **state)
{
	struct generation *gen = lowered(TAP("tap7", "") BRIDGE("br7", ""));
	const struct link_spec *spec = generation_find(gen, "link", "tap7")->spec;
	assert_true(has_row(spec, LINK_MASTER));
	assert_string_equal(spec->master, "");
	assert_int_equal(spec->mtu, 1500);
	generation_unref(gen);
}

static void test_somebody_elses_port(void **state)
{
	struct generation *gen = lowered(BRIDGE("br7", "ports: [eth9]"));
	assert_want(gen, "link", "eth9", "{\"up\":true,\"master\":\"br7\"," PLAIN_PORT "}");
	assert_false(netd_link_class.creatable(generation_find(gen, "link", "eth9")->spec));
	generation_unref(gen);
	gen = lowered(BRIDGE("br7", "ports: [eth9], mtu: 9000"));
	assert_want(gen, "link", "eth9", "{\"mtu\":9000,\"up\":true,\"master\":\"br7\"," PLAIN_PORT "}");
	generation_unref(gen);
}

static void assert_vlans(struct generation *gen, const char *link, const char *json)
{
	struct want *w = generation_find(gen, "link", link);
	json_t *spec = table_to_json(w->class->table, w->spec, 0);
	char *text = json_dumps(json_object_get(spec, "vlans"), JSON_COMPACT | JSON_ENCODE_ANY);
	assert_string_equal(text ? text : "none", json);
	free(text);
	json_decref(spec);
}

static void test_vlans(void **state)
{
	struct generation *gen = lowered(
		BRIDGE("br7", "vlanFiltering: true, ports: [eth8, {name: eth9, vlans: {tagged: [20-29, 10], pvid: 1, "
			      "untagged: 30}}, {name: eth10, vlans: {tagged: 4}}], vlans: {tagged: [1-4094]}"));
	assert_vlans(gen, "eth8", "{\"pvid\":1,\"untagged\":\"1\",\"tagged\":\"\"}");
	assert_vlans(gen, "eth9", "{\"pvid\":1,\"untagged\":\"1,30\",\"tagged\":\"10,20-29\"}");
	assert_vlans(gen, "eth10", "{\"pvid\":0,\"untagged\":\"\",\"tagged\":\"4\"}");
	assert_vlans(gen, "br7", "{\"pvid\":0,\"untagged\":\"\",\"tagged\":\"1-4094\"}");
	generation_unref(gen);
	gen = lowered(BRIDGE("br7", "vlanFiltering: true, defaultPvid: 0, ports: [eth8]"));
	assert_vlans(gen, "eth8", "{\"pvid\":0,\"untagged\":\"\",\"tagged\":\"\"}");
	assert_vlans(gen, "br7", "{\"pvid\":0,\"untagged\":\"\",\"tagged\":\"\"}");
	generation_unref(gen);
	gen = lowered(BRIDGE("br7", "ports: [eth8]")); /* the kernel would not look at them */
	assert_vlans(gen, "eth8", "none");
	generation_unref(gen);
}

#define FILTERING "vlanFiltering: true, ports: "
static void test_vlans_that_cannot_be(void **state)
{
	refused(BRIDGE("br7", "ports: [{name: a, vlans: {pvid: 2}}]"), "write vlanFiltering: true");
	refused(BRIDGE("br7", "vlans: {pvid: 2}"), "does not tell VLANs apart");
	refused(BRIDGE("br7", FILTERING "[{name: a, vlans: {tagged: [10, 9-11]}}]"), "VLAN 10 is in the list twice");
	refused(BRIDGE("br7", FILTERING "[{name: a, vlans: {tagged: [10-20], pvid: 15}}]"),
		"VLAN 15 cannot go out both with a tag and without");
	refused(BRIDGE("br7", FILTERING "[{name: a, vlans: {tagged: 10, untagged: 10-11}}]"),
		"VLAN 10 cannot go out both");
	refused(BRIDGE("br7", FILTERING "[{name: a, vlans: {tagged: 4095}}]"), "a VLAN is a number from 1 to 4094");
	refused(BRIDGE("br7", FILTERING "[{name: a, vlans: {pvid: 0}}]"), "expected");
	refused(BRIDGE("br7", FILTERING "[{name: a, vlans: {tagged: 20-10}}]"), "write 10-20");
}

static void test_what_cannot_be_is_refused(void **state)
{
	refused(BRIDGE("br7", "ports: [br7]"), "cannot be a port of a bridge");
	refused(BRIDGE("br7", "ports: [a, b, a]"), "port 'a' is named twice");
	refused(BRIDGE("br7", "stp: {enabled: true, forwardDelay: 1s}"), "between 2s and 30s");
	refused(BRIDGE("br7", "stp: {enabled: true, forwardDelay: 4s}"), "too long for a forwardDelay of 4s");
	refused(BRIDGE("br7", "addresses: [10.0.0.1/24, 10.0.0.1/16]"), "named twice");
	refused(TAP("tap7", "bridge: tap7"), "cannot be a port of itself");
}

/* A guest's port, as a Network lowers it: here by a kind of the test's own. */
struct port_spec {
	uint64_t present;
	const char *bridge;
};
static const struct field port_rows[] = {
	F_REF("bridge", struct port_spec, bridge, "Bridge", .doc = "Bridge it joins.", .example = "br7"),
};
static const struct table port_table = TABLE("TestPort", struct port_spec, port_rows);

static void port_lower(struct lowering *l, const struct object *object)
{
	const char *why = NULL;
	const struct weft_port_backend *backend = port_backend_find("bridge", &why);
	const struct weft_port port = {.size = sizeof(port),
				       .tap = "web.0",
				       .switch_name = ((struct port_spec *)object->spec)->bridge,
				       .mac = "52:54:00:01:02:03",
				       .owner = "nobody",
				       .path = "spec.bridge",
				       .queues = 4,
				       .mtu = 1400,
				       .vlan = 20,
				       .isolated = true};
	if (!backend)
		fail_msg("%s", why);
	assert_non_null(backend->lower_port(&plugin_host, l, &port));
}

static const struct kind port_kind = {
	.name = "TestPort", .plural = "testports", .doc = "", .table = &port_table, .lower = port_lower};

static void test_the_port_backend(void **state)
{
	struct generation *gen =
		lowered("---\napiVersion: weft/v1\nkind: TestPort\nmetadata: {name: web}\nspec: {bridge: br7}\n" BRIDGE(
			"br7", ""));
	assert_want(gen, "link", "web.0",
		    "{\"kind\":\"tap\",\"mac\":\"fe:54:00:01:02:03\",\"mtu\":1400,\"up\":true,\"master\":\"br7\","
		    "\"port\":{\"isolated\":true},\"vlans\":{\"pvid\":20,\"untagged\":\"20\",\"tagged\":\"\"},"
		    "\"fixed\":{\"multiQueue\":true,\"vnetHdr\":true},\"info\":{\"owner\":\"nobody\"}}");
	assert_true(has_need(gen, "web.0", "br7"));
	generation_unref(gen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_contract),
		cmocka_unit_test(test_both_sides_may_say_it),
		cmocka_unit_test(test_a_tap_off_the_list_is_nobodys_port),
		cmocka_unit_test(test_somebody_elses_port),
		cmocka_unit_test(test_vlans),
		cmocka_unit_test(test_vlans_that_cannot_be),
		cmocka_unit_test(test_what_cannot_be_is_refused),
		cmocka_unit_test(test_the_port_backend),
	};
	registry_init();
	if (kind_register(&port_kind, NULL) < 0)
		return 1;
	plugins_load(WEFT_PLUGINS_DIR);
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	free(diagnostics);
	return r;
}
