/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: what stands around a spec, positions of paths, output that can be applied again, and that no input crashes
 * anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "core/kind.h"

static const char *const modes[] = {"open", "closed"};

struct host {
	uint64_t present;
	const char *name;
	struct ip ip;
};
static const struct field host_rows[] = {
	F_NAME("name", struct host, name, .flags = FIELD_REQUIRED),
	F_IP("ip", struct host, ip),
};
static const struct table host_table = TABLE("Gate.hosts", struct host, host_rows);

struct gate {
	uint64_t present;
	int mode;
	struct list hosts, remotes;
	uint64_t wait;
};
static const struct field gate_rows[] = {
	F_ENUM("mode", struct gate, mode, modes, .flags = FIELD_REQUIRED),
	F_STRUCTS("hosts", struct gate, hosts, host_table),
	F_LIST("remotes", struct gate, remotes, scalar_ip, .singular = "remote"),
	F_DURATION("wait", struct gate, wait, .def = "1s"),
};
static const struct table gate_table = TABLE("Gate", struct gate, gate_rows);
static const struct kind gate_kind = {
	.name = "Gate", .plural = "gates", .shorts = "gt", .doc = "A gate.", .table = &gate_table};
static const struct kind wire_kind = {
	.name = "Wire", .plural = "wires", .doc = "A wire.", .flags = KIND_NAME_IS_IFNAME, .table = &host_table};

struct fixture {
	struct arena *arena;
	struct diags diags;
	struct source source;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	f->arena = arena_new();
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

static struct object *decode(struct fixture *f, const char *text)
{
	f->source = (struct source){"gate.yaml", text, strlen(text)};
	f->diags = (struct diags){.arena = f->arena};
	size_t n;
	struct node **docs = yaml_parse(&f->source, f->arena, &f->diags, &n);
	assert_int_equal(n, 1);
	return object_decode(docs[0], f->arena, &f->diags);
}

/* The faults of a document, one a line: "line:column: text (hint)". */
static void faults(struct fixture *f, const char *yaml, const char *expected)
{
	decode(f, yaml);
	diags_sort(&f->diags);
	const char *text = "";
	for (size_t i = 0; i < f->diags.n; i++) {
		const struct diag *diag = f->diags.items[i];
		text = arena_printf(f->arena, "%s%u:%u: %s (%s)\n", text, diag->pos.line, diag->pos.column, diag->text,
				    diag->hint ? diag->hint : "");
	}
	assert_string_equal(text, expected);
}

#define HEAD "apiVersion: weft/v1\nkind: Gate\nmetadata: {name: front}\n"

static const char whole[] =
	"apiVersion: weft/v1\nkind: Gate\nmetadata:\n  name: front\n  labels: {team: 'yes', n: 5}\n  set: default\n"
	"  generation: 4\nspec:\n  mode: open\n  hosts:\n    - a\n    - name: b\n      ip: fd00::1\n  remote: "
	"192.0.2.1\n"
	"status: {anything: [goes]}\n";

static void test_a_document(void **state)
{
	struct fixture *f = *state;
	struct object *object = decode(f, whole);
	assert_int_equal(f->diags.n, 0);
	assert_ptr_equal(object->kind, &gate_kind);
	assert_string_equal(object->name, "front");
	assert_string_equal(object->file, "gate.yaml");
	assert_int_equal(((struct gate *)object->spec)->hosts.n, 2);
	json_t *json = object_to_json(object, 0);
	cleanup_free char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text,
			    "{\"apiVersion\":\"weft/"
			    "v1\",\"kind\":\"Gate\",\"metadata\":{\"name\":\"front\",\"labels\":{\"team\":\"yes\","
			    "\"n\":\"5\"}},\"spec\":{\"mode\":\"open\",\"hosts\":[{\"name\":\"a\"},{\"name\":\"b\","
			    "\"ip\":\"fd00::1\"}],"
			    "\"remotes\":[\"192.0.2.1\"]}}");
	struct object *again = object_decode(node_from_json(json, f->arena), f->arena, &f->diags);
	assert_int_equal(f->diags.n, 0);
	json_t *second = object_to_json(again, 0);
	assert_true(json_equal(json, second));
	json_decref(json);
	json_decref(second);
}

static void test_faults_around_the_spec(void **state)
{
	struct fixture *f = *state;
	faults(f, "apiVersion: v1\nkind: Gate\nmetadata: {name: front}\nspec: {mode: open}",
	       "1:13: apiVersion 'v1' is not known here (write 'apiVersion: weft/v1')\n");
	faults(f, "kind: Gat\nmetadata: {name: front}\n",
	       "1:1: missing field 'apiVersion' (write 'apiVersion: weft/v1')\n"
	       "1:7: unknown kind 'Gat' (did you mean 'Gate'?)\n");
	faults(f, "apiVersion: weft/v1\nkind: gates\nmetadata: {name: front}\n",
	       "2:7: unknown kind 'gates' (did you mean 'Gate'?)\n");
	faults(f, "apiVersion: weft/v1\nkind: Deployment\nmetadata: {name: front}\n",
	       "2:7: unknown kind 'Deployment' (known kinds: Gate, Wire)\n");
	faults(f, "apiVersion: weft/v1\nkind: [Gate]\nmetadata: {name: front}\n",
	       "2:1: 'kind': expected a single value (write 'kind: Network')\n");
	faults(f, "apiVersion: weft/v1\nkind: Gate\nspec: {mode: open}",
	       "1:1: missing field 'metadata' (write 'metadata: {name: NAME}')\n");
	faults(f, "apiVersion: weft/v1\nkind: Gate\nmetadata: front\nspec: {mode: open}",
	       "3:1: 'metadata': expected a map with a name (write 'metadata: {name: NAME}')\n");
	faults(f, "apiVersion: weft/v1\nkind: Gate\nmetadata: {nam: front}\nspec: {mode: open}",
	       "3:1: missing field 'name' (write 'metadata: {name: NAME}')\n3:12: unknown field 'nam' in metadata (did "
	       "you mean 'name'?)\n");
	faults(f, "apiVersion: weft/v1\nkind: Gate\nmetadata: {name: Front}\nspec: {mode: open}",
	       "3:18: 'name': expected a name of lower case letters, digits and '-', at most 63 characters, that "
	       "begins and ends with a "
	       "letter or digit, not 'Front' (such as 'front')\n");
	faults(f, "apiVersion: weft/v1\nkind: Wire\nmetadata: {name: a-very-long-link}\nspec: {name: x}",
	       "3:18: 'name': expected a link name of 1 to 15 characters, not 'a-very-long-link' (a Wire is a link of "
	       "this name)\n");
	faults(f, HEAD, "1:1: missing field 'mode' in Gate (for example 'mode: open')\n");
	faults(f, HEAD "spec:\n", "4:1: missing field 'mode' in Gate (for example 'mode: open')\n");
	faults(f, HEAD "mode: open\nspec: {}\n",
	       "4:1: unknown field 'mode' beside 'spec' (it belongs under 'spec:', indented)\n"
	       "5:1: missing field 'mode' in Gate (for example 'mode: open')\n");
	faults(f, HEAD "mode: open\n",
	       "4:1: unknown field 'mode' beside 'spec' (it belongs under 'spec:', indented)\n");
	faults(f, HEAD "name: front\nspec: {mode: open}\n",
	       "4:1: unknown field 'name' beside 'metadata' (it belongs under 'metadata:', indented)\n");
	faults(f, HEAD "Spec: {mode: open}\nspec: {mode: open}",
	       "4:1: unknown field 'Spec' in the document (did you mean 'spec'?)\n");
	faults(f, "apiVersion: weft/v1\nkind: Gate\nmetadata: {name: front, labels: {a: [b]}}\nspec: {mode: open}",
	       "3:34: label 'a': expected a single text (for example 'labels: {team: web}')\n");
	faults(f, "apiVersion: weft/v1\nkind: Gate\nmetadata: {name: front, labels: [a]}\nspec: {mode: open}",
	       "3:33: 'labels': expected a map of at most 64 texts (for example 'labels: {team: web}')\n");
	faults(f, "[a]",
	       "1:1: expected a document with apiVersion, kind, metadata and spec (see `weft explain` for the kinds "
	       "there are)\n");
}

static void stands_at(const struct object *object, const char *path, unsigned line, unsigned column)
{
	struct pos pos = object_pos(object, path);
	if (pos.line != line || pos.column != column)
		fail_msg("%s: %u:%u", path ? path : "(none)", pos.line, pos.column);
}

static void test_positions_of_paths(void **state)
{
	struct object *object = decode(*state, whole);
	stands_at(object, NULL, 4, 9);
	stands_at(object, "metadata.name", 4, 9);
	stands_at(object, "metadata.labels.team", 5, 18);
	stands_at(object, "spec", 8, 1);
	stands_at(object, "spec.mode", 9, 9);
	stands_at(object, "spec.hosts", 10, 3);
	stands_at(object, "spec.hosts[0]", 11, 7);
	stands_at(object, "spec.hosts[0].name", 11, 7);
	stands_at(object, "spec.hosts[1].ip", 13, 11);
	stands_at(object, "spec.hosts[7]", 10, 3);
	stands_at(object, "spec.hosts[1].nothing", 12, 7);
	stands_at(object, "spec.remotes[0]", 14, 11); /* written in its other spelling, and as one value */
	stands_at(object, "spec.wait", 8, 1);
	stands_at(object, "spec..[[", 8, 1);
	stands_at(object, "", 1, 1);
	struct object bare = {.kind = &gate_kind, .name = "front"};
	stands_at(&bare, "spec.mode", 0, 0);
}

static void test_faults_of_check(void **state)
{
	struct fixture *f = *state;
	struct object *object = decode(f, whole), bare = {.kind = &gate_kind, .name = "front"};
	struct check check = {.object = object, .diags = &f->diags};
	check_fault(&check, "spec.mode", "%s is no good", "open");
	check.object = &bare;
	check_fault(&check, "spec.mode", "%s is no good", "open");
	assert_string_equal(f->diags.items[0]->text, "open is no good");
	assert_int_equal(f->diags.items[0]->pos.line, 9);
	assert_string_equal(f->diags.items[1]->text, "Gate/front: spec.mode: open is no good");
}

static void test_kinds_by_name(void **state)
{
	assert_ptr_equal(kind_find("gate"), &gate_kind);
	assert_ptr_equal(kind_find("GATES"), &gate_kind);
	assert_ptr_equal(kind_find("gt"), &gate_kind);
	assert_null(kind_find("gat"));
	static const struct kind rival = {
		.name = "Gatekeeper", .plural = "gatekeepers", .shorts = "GT", .table = &gate_table};
	struct err err = {0};
	assert_int_equal(kind_register(&rival, &err), -EEXIST);
	assert_string_equal(err.text, "kind 'Gatekeeper': the name 'GT' is taken by kind 'Gate'");
	json_t *schema = kinds_schema();
	assert_int_equal(json_array_size(json_object_get(schema, "oneOf")), 2);
	json_decref(schema);
}

/* Damages a good document at random: what comes out is diagnostics or an object that can be printed. */
static void test_random_documents_never_crash(void **state)
{
	static const char *const pieces[] = {
		"\n",    "  ",       "- ",   ": ",     "{",      "}",      "[",
		"]",     ",",        "spec", "mode: ", "hosts:", "remote", "wait: 5",
		"null",  "~",        "'",    "\"",     "\xc3",   "\x01",   "kind",
		"- a\n", "metadata", "|\n",  "&a",     "*a",     "!!x ",   "18446744073709551616"};
	unsigned seed = getenv("WEFT_SEED") ? (unsigned)atoi(getenv("WEFT_SEED")) : (unsigned)time(NULL);
	print_message("seed %u (set WEFT_SEED to repeat)\n", seed);
	for (unsigned round = 0; round < 20000; round++) {
		cleanup_arena struct arena *arena = arena_new();
		char text[sizeof(whole) + 256];
		size_t len = (size_t)snprintf(text, sizeof(text), "%s", whole);
		for (int k = rand_r(&seed) % 6; k >= 0; k--) {
			const char *piece = pieces[(size_t)rand_r(&seed) % ARRAY_SIZE(pieces)];
			size_t at = (size_t)rand_r(&seed) % len, size = strlen(piece), cut = (size_t)rand_r(&seed) % 8;
			if (at + cut > len || len + size >= sizeof(text))
				continue;
			memmove(text + at + size, text + at + cut, len - at - cut);
			memcpy(text + at, piece, size);
			len = len - cut + size;
		}
		struct source source = {"random.yaml", text, len};
		struct diags diags = {.arena = arena};
		text[len] = 0;
		size_t n;
		struct node **docs = yaml_parse(&source, arena, &diags, &n);
		for (size_t i = 0; i < n; i++) {
			struct object *object = object_decode(docs[i], arena, &diags);
			if (object)
				json_decref(object_to_json(object, EMIT_DEFAULTS));
		}
		diags_sort(&diags);
		free(diags_render(&diags, round % 2));
	}
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_a_document),      test(test_faults_around_the_spec), test(test_positions_of_paths),
		test(test_faults_of_check), test(test_kinds_by_name),          test(test_random_documents_never_crash),
	};
	if (kind_register(&gate_kind, NULL) < 0 || kind_register(&wire_kind, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
