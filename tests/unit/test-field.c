/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables, with a table of every shape and flag: decoding and its faults, defaults, output, setting rows from
 * text, comparing, merging, copying, references, schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/field.h"

static const char *const types[] = {"plain", "vlan", "vxlan"};
enum { TYPE_PLAIN, TYPE_VLAN, TYPE_VXLAN };

struct vlan {
	uint64_t present;
	uint32_t id;
};
static const struct field vlan_rows[] = {F_U32("id", struct vlan, id, .min = 1, .max = 4094, .flags = FIELD_REQUIRED)};
static const struct table vlan_table = TABLE("Toy.vlan", struct vlan, vlan_rows);

struct vxlan {
	uint64_t present;
	uint32_t vni;
	struct list remotes;
};
static const struct field vxlan_rows[] = {
	F_U32("vni", struct vxlan, vni, .def = "7"),
	F_LIST("remotes", struct vxlan, remotes, scalar_ip, .singular = "remote"),
};
static const struct table vxlan_table = TABLE("Toy.vxlan", struct vxlan, vxlan_rows);

struct port {
	uint64_t present;
	const char *name;
	uint32_t cost;
	bool isolated;
};
static const struct field port_rows[] = {
	F_REF("name", struct port, name, "Tap", .flags = FIELD_REQUIRED),
	F_U32("cost", struct port, cost, .def = "100", .max = 1000),
	F_BOOL("isolated", struct port, isolated),
};
static const struct table port_table = TABLE("Toy.ports", struct port, port_rows);

struct timers {
	uint64_t present;
	uint64_t delay;
	const char *pool;
};
static const struct field timers_rows[] = {
	F_DURATION("delay", struct timers, delay, .def = "4s", .max = 60000),
	F_REF("pool", struct timers, pool, "Pool"),
};
static const struct table timers_table = TABLE("Toy.timers", struct timers, timers_rows);

struct toy {
	uint64_t present;
	int type;
	void *detail;
	uint32_t mtu;
	bool up;
	const char *title, *secret, *script, *note;
	struct list addresses, ports, links;
	struct timers timers;
	uint64_t size, seen, once;
	int32_t offset;
};

static const struct table *choose_detail(const void *around)
{
	const struct toy *toy = around;
	return toy->type == TYPE_VLAN ? &vlan_table : toy->type == TYPE_VXLAN ? &vxlan_table : NULL;
}

static const struct field toy_rows[] = {
	F_VARIANT("detail", struct toy, detail, choose_detail),
	F_ENUM("type", struct toy, type, types, .def = "plain", .flags = FIELD_RECREATE),
	F_U32("mtu", struct toy, mtu, .min = 68, .max = 65535, .def = "1500", .doc = "Largest packet.",
	      .example = "1400"),
	F_BOOL("up", struct toy, up, .def = "true"),
	F_STRING("title", struct toy, title, .max = 20),
	F_STRING("secret", struct toy, secret, .flags = FIELD_SECRET),
	F_STRING("script", struct toy, script, .flags = FIELD_LONG),
	F_STRING("note", struct toy, note, .flags = FIELD_STATUS),
	F_LIST("addresses", struct toy, addresses, scalar_prefix, .singular = "address", .flags = FIELD_UNORDERED,
	       .list_max = 4),
	F_STRUCTS("ports", struct toy, ports, port_table, .singular = "port", .flags = FIELD_UNION),
	F_LIST("links", struct toy, links, scalar_ifname, .example = "[eth0, \"eth1\"]"),
	F_STRUCT("timers", struct toy, timers, timers_table),
	F_SIZE("size", struct toy, size, .flags = FIELD_GROWS | FIELD_IRREVERSIBLE),
	F_U64("seen", struct toy, seen, .flags = FIELD_STATUS),
	F_U64("once", struct toy, once, .flags = FIELD_WEAK),
	F_I32("offset", struct toy, offset),
};
static const struct table toy_table = TABLE("Toy", struct toy, toy_rows);

struct fixture {
	struct arena *arena;
	struct diags diags;
	struct source source;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	f->arena = arena_new();
	f->diags.arena = f->arena;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	arena_free(f->arena);
	free(f);
	return 0;
}

static struct toy *decode(struct fixture *f, const char *text)
{
	struct toy *toy = arena_new_of(f->arena, struct toy);
	struct source *source = arena_new_of(f->arena, struct source);
	*source = (struct source){"toy.yaml", text, strlen(text)};
	f->diags = (struct diags){.arena = f->arena};
	size_t n;
	struct node **docs = yaml_parse(source, f->arena, &f->diags, &n);
	struct pos where = {source, 1, 1, 1};
	assert_int_equal(f->diags.n, 0);
	bool fine =
		table_decode(&toy_table, n ? docs[0] : NULL, where, &(struct decode_into){toy, f->arena, &f->diags});
	assert_int_equal(fine, f->diags.n == 0);
	return toy;
}

static struct toy *decode_fine(struct fixture *f, const char *text)
{
	struct toy *toy = decode(f, text);
	if (f->diags.n)
		fail_msg("%s: %s", text, f->diags.items[0]->text);
	return toy;
}

/* Exactly one fault, at line:column, with these texts. */
static void refused(struct fixture *f, const char *yaml, const char *at, const char *text, const char *hint)
{
	decode(f, yaml);
	if (f->diags.n != 1)
		fail_msg("%s: %zu faults, first: %s", yaml, f->diags.n, f->diags.n ? f->diags.items[0]->text : "none");
	const struct diag *diag = f->diags.items[0];
	char pos[32];
	snprintf(pos, sizeof(pos), "%u:%u", diag->pos.line, diag->pos.column);
	assert_string_equal(diag->text, text);
	assert_string_equal(diag->hint ? diag->hint : "", hint ? hint : "");
	assert_string_equal(pos, at);
}

static char *json_of(const struct toy *toy, unsigned flags)
{
	json_t *json = table_to_json(&toy_table, toy, flags);
	char *text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}

static void shows(const struct toy *toy, unsigned flags, const char *expected)
{
	cleanup_free char *text = json_of(toy, flags);
	assert_string_equal(text, expected);
}

static void test_defaults(void **state)
{
	struct toy *toy = decode_fine(*state, "");
	assert_int_equal(toy->present, 0);
	assert_int_equal(toy->mtu, 1500);
	assert_true(toy->up);
	assert_int_equal(toy->timers.delay, 4000);
	assert_int_equal(toy->timers.present, 0);
	shows(toy, 0, "{}");
	shows(toy, EMIT_DEFAULTS, "{\"type\":\"plain\",\"mtu\":1500,\"up\":true,\"timers\":{\"delay\":\"4s\"}}");
}

static void test_shapes(void **state)
{
	struct toy *toy = decode_fine(
		*state, "detail: {remote: fd00::1}\ntype: vxlan\naddress: 10.0.0.1/24\nports: [a, {name: b, cost: 7}]\n"
			"links: eth0\ntimers: {pool: fast}\nscript: |\n  one\n  two\noffset: -3\nsize: 1024KiB\n");
	struct vxlan *vxlan = toy->detail;
	assert_int_equal(vxlan->vni, 7);
	assert_int_equal(toy->timers.delay, 4000);
	assert_int_equal(toy->ports.n, 2);
	assert_int_equal(list_at(&toy->ports, struct port, 0).cost, 100);
	assert_int_equal(list_at(&toy->ports, struct port, 1).cost, 7);
	shows(toy, 0,
	      "{\"detail\":{\"remotes\":[\"fd00::1\"]},\"type\":\"vxlan\",\"script\":\"one\\ntwo\\n\",\"addresses\":["
	      "\"10.0.0.1/24\"],"
	      "\"ports\":[{\"name\":\"a\"},{\"name\":\"b\",\"cost\":7}],\"links\":[\"eth0\"],\"timers\":{\"pool\":"
	      "\"fast\"},"
	      "\"size\":\"1MiB\",\"offset\":-3}");
	toy = decode_fine(*state, "port: {name: a}\nlinks: []\ntimers: {}\n");
	shows(toy, 0, "{\"ports\":[{\"name\":\"a\"}],\"links\":[],\"timers\":{}}");
}

static void test_faults(void **state)
{
	const char *all = "known fields: detail, type, mtu, up, title, secret, script, note, addresses, ports, links, "
			  "timers, size, seen, "
			  "once, offset";
	struct fixture *f = *state;
	refused(f, "mtuu: 1400", "1:1", "unknown field 'mtuu' in Toy", "did you mean 'mtu'?");
	refused(f, "delay: 4s", "1:1", "unknown field 'delay' in Toy", "'delay' is a field of 'timers'");
	refused(f, "unheardOf: 4s", "1:1", "unknown field 'unheardOf' in Toy", all);
	refused(f, "a: {b: c}", "1:1", "unknown field 'a' in Toy", all);
	refused(f, "mtu: 20", "1:6", "'mtu': expected a whole number from 68 to 65535, not '20'", NULL);
	refused(f, "mtu: [20]", "1:6", "'mtu': expected a single value, not a list", NULL);
	refused(f, "mtu:", "1:1", "'mtu' has no value", "leave it out for the default, 1500");
	refused(f, "title:", "1:1", "'title' has no value", "leave it out, or write for example 'title: text'");
	refused(f, "timers:", "1:1", "'timers' has no value",
		"leave it out, or write 'timers: {}' for a map with all its defaults");
	refused(f, "links:", "1:1", "'links' has no value", "leave it out, or write 'links: []' for none");
	refused(f, "links: {a: b}", "1:8", "'links': expected a list, not a map",
		"for example 'links: [eth0, \"eth1\"]'");
	refused(f, "up: \"true\"", "1:5", "'up': expected true or false, not text", "write it without quotes");
	refused(f, "up: yes", "1:5", "'up': expected true or false, not 'yes'", "write true");
	refused(f, "type: vlan2", "1:7", "'type': expected plain, vlan or vxlan, not 'vlan2'", "did you mean 'vlan'?");
	refused(f, "size: 64", "1:7", "'size': expected a size with its unit (B, KiB, MiB, GiB, TiB or PiB), not '64'",
		"write a unit: 64MiB");
	refused(f, "timers: 4s", "1:9", "'timers': expected a map, not a single value",
		"fields of 'timers': delay, pool");
	refused(f, "ports: {name: a}", "1:8", "'ports': expected a list, not a map",
		"put '- ' before each item, or '[' and ']' around them");
	refused(f, "ports: [[a]]", "1:9", "'ports': expected a map as an item, not a list",
		"fields of 'ports': name, cost, isolated");
	refused(f, "ports: [{cost: 4}]", "1:9", "missing field 'name' in Toy.ports", "for example 'name: web'");
	refused(f, "links: [eth0, ~]", "1:15", "'links' has no value", "leave it out, or write 'links: []' for none");
	refused(f, "address: 10.0.0.1/24\naddresses: []", "2:1", "'addresses' says again what 'address' says",
		"keep one of the two");
	refused(f, "addresses: [10.0.0.1/24, 10.0.0.1/24]", "1:26", "'addresses' lists 10.0.0.1/24 twice", NULL);
	refused(f, "addresses: [1.1.1.1/1, 1.1.1.2/1, 1.1.1.3/1, 1.1.1.4/1, 1.1.1.5/1]", "1:12",
		"'addresses' has 5 items, at most 4 are allowed", NULL);
	refused(f, "detail: {id: 3}", "1:1", "'detail' does not go with the other fields of this Toy", NULL);
	refused(f, "type: vlan\ndetail: {}", "2:1", "missing field 'id' in Toy.vlan", "for example 'id: 1'");
	refused(f, "type: vlan\ndetail: 3", "2:9", "Toy.vlan: expected a map, not a single value", "known fields: id");
	refused(f, "title: \"a\\nb\"", "1:8", "'title': line breaks and control characters are not allowed",
		"write it on one line");
	refused(f, "secret: '***'", "1:9", "'secret': the value is hidden here",
		"write the secret itself again; '***' only stands for it in output");
	refused(f, "title: 'a very long title with \xc3\xa4 and so on and on and on and on'", "1:8",
		"'title': expected at most 20 bytes of text (this has 56), not 'a very long title with \xc3\xa4 and so "
		"on and on and o...'",
		NULL);
	refused(f, "- a", "1:1", "Toy: expected a map, not a list", all);
}

static void test_faults_do_not_stop_decoding(void **state)
{
	struct fixture *f = *state;
	struct toy *toy = decode(f, "mtu: x\nup: y\ntitle: fine\nlinks: [a b, eth0, /]\nnope: 1\n");
	assert_int_equal(f->diags.n, 5);
	assert_string_equal(toy->title, "fine");
	assert_int_equal(toy->mtu, 1500);
	assert_int_equal(toy->links.n, 1);
	assert_string_equal(list_at(&toy->links, const char *, 0), "eth0");
}

static void test_secrets(void **state)
{
	struct toy *toy = decode_fine(*state, "secret: hunter2");
	shows(toy, 0, "{\"secret\":\"***\"}");
	shows(toy, EMIT_SECRETS, "{\"secret\":\"hunter2\"}");
	struct fixture *f = *state;
	assert_string_equal(table_row_text(&toy_table, toy, 5, f->arena), "***");
}

static void test_status_rows(void **state)
{
	struct toy *toy = decode_fine(*state, "seen: 18446744073709551615");
	shows(toy, 0, "{\"seen\":\"18446744073709551615\"}");
	shows(toy, EMIT_NO_STATUS, "{}");
}

static void set(struct fixture *f, struct toy *toy, const char *path, const char *text)
{
	struct err err = {0};
	if (table_set_text(&(struct set_into){&toy_table, toy, f->arena}, path, text, &err) < 0)
		fail_msg("%s: %s", path, err.text);
}

static void set_fails(struct fixture *f, struct toy *toy, const char *path, const char *text, const char *says)
{
	struct err err = {0};
	assert_int_equal(table_set_text(&(struct set_into){&toy_table, toy, f->arena}, path, text, &err), -EINVAL);
	assert_string_equal(err.text, says);
}

static void test_setting_rows_from_text(void **state)
{
	struct fixture *f = *state;
	struct toy *toy = arena_new_of(f->arena, struct toy);
	set(f, toy, "mtu", "1400");
	set(f, toy, "timers.delay", "9s");
	set(f, toy, "links", "eth0");
	set(f, toy, "links", "eth1");
	set(f, toy, "port", "a");
	set(f, toy, "type", "vlan");
	set(f, toy, "detail.id", "9");
	shows(toy, 0,
	      "{\"detail\":{\"id\":9},\"type\":\"vlan\",\"mtu\":1400,\"ports\":[{\"name\":\"a\"}],\"links\":[\"eth0\","
	      "\"eth1\"],"
	      "\"timers\":{\"delay\":\"9s\"}}");
	set_fails(f, toy, "mtu", "1", "'mtu': expected a whole number from 68 to 65535");
	set_fails(f, toy, "nope", "1", "there is no field 'nope' in Toy");
	set_fails(f, toy, "timers.nope", "1", "there is no field 'nope' in Toy.timers");
	set_fails(f, toy, "mtu.nope", "1", "'mtu' of Toy has no fields");
	set_fails(f, toy, "timers", "1", "'timers' of Toy is a map: set its fields, as 'timers.FIELD'");
	set_fails(f, toy, "size", "64",
		  "'size': expected a size with its unit (B, KiB, MiB, GiB, TiB or PiB) (write a unit: 64MiB)");
	assert_int_equal(toy->mtu, 1400);
	for (int i = 0; i < 4; i++) {
		char text[32];
		snprintf(text, sizeof(text), "10.0.0.%d/24", i + 1);
		set(f, toy, "addresses", text);
	}
	set_fails(f, toy, "addresses", "10.0.0.9/24", "'addresses' has 4 items, more are not allowed");
}

static void test_finding_rows(void **state)
{
	assert_ptr_equal(table_field(&toy_table, "mtu"), &toy_rows[2]);
	assert_ptr_equal(table_field(&toy_table, "port"), &toy_rows[9]);
	assert_null(table_field(&toy_table, "mt"));
	assert_ptr_equal(table_field_path(&toy_table, "timers.pool"), &timers_rows[1]);
	assert_ptr_equal(table_field_path(&toy_table, "ports.cost"), &port_rows[1]);
	assert_null(table_field_path(&toy_table, "mtu.pool"));
	assert_null(table_field_path(&toy_table, "timers."));
	assert_null(table_field_path(&toy_table, ""));
}

static uint64_t mask_of(const char *name)
{
	return 1ULL << (table_field(&toy_table, name) - toy_rows);
}

static void differ(struct fixture *f, const char *want, const char *seen, uint64_t mask)
{
	struct toy *a = decode_fine(f, want), *b = decode_fine(f, seen);
	uint64_t got = table_diff(&toy_table, a, b);
	if (got != mask)
		fail_msg("'%s' and '%s': %#llx", want, seen, (unsigned long long)got);
}

static void test_differences(void **state)
{
	struct fixture *f = *state;
	differ(f, "mtu: 1400", "mtu: 1400\nup: false", 0);
	differ(f, "mtu: 1400", "mtu: 1500", mask_of("mtu"));
	differ(f, "mtu: 1500", "", mask_of("mtu")); /* absent differs, whatever the default is */
	differ(f, "", "mtu: 1500", 0);
	differ(f, "title: a", "title: a", 0);
	differ(f, "title: a", "title: b", mask_of("title"));
	differ(f, "size: 1MiB", "size: 2MiB", 0);
	differ(f, "size: 2MiB", "size: 1MiB", mask_of("size"));
	differ(f, "seen: 1\nonce: 1\nnote: x", "seen: 2\nonce: 2", 0);
	differ(f, "links: [a, b]", "links: [b, a]", mask_of("links"));
	differ(f, "links: [a]", "links: [a, b]", mask_of("links"));
	differ(f, "addresses: [1.1.1.1/8, 1.1.1.2/8]", "addresses: [1.1.1.2/8, 1.1.1.1/8]", 0);
	differ(f, "addresses: [1.1.1.1/8]", "addresses: [1.1.1.2/8, 1.1.1.1/8]", mask_of("addresses"));
	differ(f, "ports: [a, b]", "ports: [{name: a, cost: 7}, {name: b}]", 0);
	differ(f, "ports: [{name: a, cost: 8}]", "ports: [{name: a, cost: 7}]", mask_of("ports"));
	differ(f, "ports: [a, b]", "ports: [b, a]", mask_of("ports"));
	differ(f, "timers: {delay: 1s}", "timers: {delay: 1s, pool: x}", 0);
	differ(f, "timers: {delay: 1s}", "timers: {delay: 2s}", mask_of("timers"));
	differ(f, "timers: {}", "", mask_of("timers"));
	differ(f, "{type: vlan, detail: {id: 1}}", "{type: vlan, detail: {id: 1}}", 0);
	differ(f, "{type: vlan, detail: {id: 1}}", "{type: vlan, detail: {id: 2}}", mask_of("detail"));
	differ(f, "{type: vlan, detail: {id: 1}}", "{type: vxlan, detail: {vni: 1}}",
	       mask_of("detail") | mask_of("type"));
	struct toy *toy = decode_fine(f, "mtu: 1400\nseen: 1");
	assert_int_equal(table_diff(&toy_table, toy, NULL), mask_of("mtu"));
	assert_int_equal(table_flags(&toy_table, mask_of("type") | mask_of("size")),
			 FIELD_RECREATE | FIELD_GROWS | FIELD_IRREVERSIBLE);
	assert_int_equal(table_flags(&toy_table, 0), 0);
}

static void merge(struct fixture *f, const char *into, const char *from, uint64_t conflicts, const char *result)
{
	struct toy *a = decode_fine(f, into), *b = decode_fine(f, from);
	assert_int_equal(table_merge(&toy_table, a, b, f->arena), conflicts);
	shows(a, 0, result);
}

static void test_merging(void **state)
{
	struct fixture *f = *state;
	merge(f, "mtu: 1400", "up: false", 0, "{\"mtu\":1400,\"up\":false}");
	merge(f, "mtu: 1400", "mtu: 1400", 0, "{\"mtu\":1400}");
	merge(f, "mtu: 1400", "mtu: 1500\nup: true", mask_of("mtu"), "{\"mtu\":1400,\"up\":true}");
	merge(f, "ports: [a, {name: b, cost: 7}]", "ports: [c, a]", 0,
	      "{\"ports\":[{\"name\":\"a\"},{\"name\":\"b\",\"cost\":7},{\"name\":\"c\"}]}");
	merge(f, "links: [a]", "links: [b]", mask_of("links"), "{\"links\":[\"a\"]}");
	merge(f, "addresses: [1.1.1.1/8, 1.1.1.2/8]", "addresses: [1.1.1.2/8, 1.1.1.1/8]", 0,
	      "{\"addresses\":[\"1.1.1.1/8\",\"1.1.1.2/8\"]}");
	merge(f, "timers: {delay: 1s}", "timers: {pool: x}", 0, "{\"timers\":{\"delay\":\"1s\",\"pool\":\"x\"}}");
	merge(f, "timers: {delay: 1s}", "timers: {delay: 2s}", mask_of("timers"), "{\"timers\":{\"delay\":\"1s\"}}");
	merge(f, "once: 1", "once: 2", mask_of("once"), "{\"once\":1}");
	merge(f, "size: 1MiB", "size: 2MiB", mask_of("size"), "{\"size\":\"1MiB\"}");
	merge(f, "{type: vxlan, detail: {vni: 1}}", "{type: vxlan, detail: {remote: fd00::1}}", 0,
	      "{\"detail\":{\"vni\":1,\"remotes\":[\"fd00::1\"]},\"type\":\"vxlan\"}");
}

static const char everything[] =
	"detail: {vni: 4, remotes: [192.0.2.1, fd00::1]}\ntype: vxlan\nmtu: 1400\nup: false\ntitle: '*'\nsecret: s\n"
	"script: \"a\\tb\\n\"\naddresses: [10.0.0.1/24]\nports: [a, {name: b, isolated: true}]\nlinks: [eth0]\n"
	"timers: {delay: 100ms, pool: fast}\nsize: 3B\nseen: 4\nonce: 5\noffset: -2147483648\n";

static void test_copies_outlive_the_original(void **state)
{
	struct fixture *f = *state;
	struct arena *arena = f->arena;
	cleanup_free char *before = json_of(decode_fine(f, everything), EMIT_SECRETS);
	cleanup_arena struct arena *other = arena_new();
	struct toy *copy = table_copy(&toy_table, decode_fine(f, everything), other);
	memset((void *)f->diags.items, 0, sizeof(f->diags.items));
	arena_free(arena);
	f->arena = arena_new();
	shows(copy, EMIT_SECRETS, before);
}

static void test_output_decodes_to_the_same(void **state)
{
	struct fixture *f = *state;
	struct toy *toy = decode_fine(f, everything), again;
	json_t *json = table_to_json(&toy_table, toy, EMIT_SECRETS);
	struct err err = {0};
	assert_int_equal(table_from_json(&toy_table, json, f->arena, &again, &err), 0);
	json_decref(json);
	assert_int_equal(again.present, toy->present);
	assert_int_equal(table_merge(&toy_table, &again, toy, f->arena), 0);
	cleanup_free char *text = json_of(toy, EMIT_SECRETS);
	shows(&again, EMIT_SECRETS, text);
	json = json_pack("{s:i, s:s}", "mtu", 4, "type", "vlan");
	assert_int_equal(table_from_json(&toy_table, json, f->arena, &again, &err), -EINVAL);
	assert_string_equal(err.text, "'mtu': expected a whole number from 68 to 65535, not '4'");
	json_decref(json);
}

static void test_row_text(void **state)
{
	struct fixture *f = *state;
	struct toy *toy = decode_fine(f, everything);
	static const char *const expected[] = {"{vni: 4, remotes: [192.0.2.1, fd00::1]}",
					       "vxlan",
					       "1400",
					       "false",
					       "*",
					       "***",
					       "a b ",
					       "none",
					       "[10.0.0.1/24]",
					       "[{name: a}, {name: b, isolated: true}]",
					       "[eth0]",
					       "{delay: 100ms, pool: fast}",
					       "3B",
					       "4",
					       "5",
					       "-2147483648"};
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(table_row_text(&toy_table, toy, i, f->arena), expected[i]);
	assert_string_equal(table_row_text(&toy_table, NULL, 0, f->arena), "none");
	toy->script = arena_printf(f->arena, "%0500d", 0);
	assert_int_equal(strlen(table_row_text(&toy_table, toy, 6, f->arena)), 43);
	toy->title = toy->script;
	assert_int_equal(strlen(table_row_text(&toy_table, toy, 4, f->arena)), 243);
}

static void note_ref(void *ctx, const char *kind, const char *name, const struct ref_path *path)
{
	char where[REF_PATH_TEXT];
	char *text = ctx;
	size_t len = strlen(text);
	snprintf(text + len, 256 - len, "%s/%s at %s\n", kind, name, ref_path_text(path, where));
}

static void test_references(void **state)
{
	char text[256] = "";
	table_refs(&toy_table, decode_fine(*state, everything), note_ref, text);
	assert_string_equal(text, "Tap/a at ports[0].name\nTap/b at ports[1].name\nPool/fast at timers.pool\n");
}

static void test_schema(void **state)
{
	json_t *schema = table_schema(&toy_table), *properties = json_object_get(schema, "properties");
	assert_string_equal(json_string_value(json_object_get(schema, "$schema")),
			    "http://json-schema.org/draft-07/schema#");
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	cleanup_free char *mtu = json_dumps(json_object_get(properties, "mtu"), JSON_COMPACT);
	assert_string_equal(mtu, "{\"type\":\"integer\",\"minimum\":68,\"maximum\":65535,\"description\":\"Largest "
				 "packet.\",\"default\":1500,"
				 "\"examples\":[\"1400\"]}");
	cleanup_free char *ports = json_dumps(json_object_get(properties, "ports"), JSON_COMPACT);
	assert_non_null(strstr(ports, "\"required\":[\"name\"]"));
	assert_non_null(json_object_get(properties, "port"));
	assert_null(json_object_get(properties, "seen"));
	cleanup_free char *type = json_dumps(json_object_get(properties, "type"), JSON_COMPACT);
	assert_string_equal(type,
			    "{\"type\":\"string\",\"enum\":[\"plain\",\"vlan\",\"vxlan\"],\"default\":\"plain\"}");
	json_decref(schema);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_defaults),
		test(test_shapes),
		test(test_faults),
		test(test_faults_do_not_stop_decoding),
		test(test_secrets),
		test(test_status_rows),
		test(test_setting_rows_from_text),
		test(test_finding_rows),
		test(test_differences),
		test(test_merging),
		test(test_copies_outlive_the_original),
		test(test_output_decodes_to_the_same),
		test(test_row_text),
		test(test_references),
		test(test_schema),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
