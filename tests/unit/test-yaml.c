/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to nodes with places, every refusal at its own mark, and bounds. What is written is in test-yaml-emit.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/node.h"

struct parsed {
	struct arena *arena;
	struct source source;
	struct diags diags;
	struct node **docs;
	size_t n;
};

static struct parsed *parse_size(const char *text, size_t size)
{
	struct arena *arena = arena_new();
	struct parsed *p = arena_new_of(arena, struct parsed);
	p->arena = arena;
	p->source = (struct source){"f", text, size};
	p->diags.arena = arena;
	p->docs = yaml_parse(&p->source, arena, &p->diags, &p->n);
	return p;
}

static struct parsed *parse(const char *text)
{
	return parse_size(text, strlen(text));
}

static void parsed_freep(struct parsed **p)
{
	if (*p)
		arena_free((*p)->arena);
}
#define cleanup_parsed cleanup(parsed_freep)

/* "LINE:COLUMN MESSAGE" a line, with " (LINE:COLUMN NOTE)" for what is related; the form of the tables below. */
static char *summary(struct parsed *p)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	diags_sort(&p->diags);
	for (size_t i = 0; i < p->diags.n; i++) {
		const struct diag *diag = p->diags.items[i];
		fprintf(out, "%s%u:%u %s", i ? "\n" : "", diag->pos.line, diag->pos.column, diag->text);
		for (size_t k = 0; k < diag->n_related; k++)
			fprintf(out, " (%u:%u %s)", diag->related[k].pos.line, diag->related[k].pos.column,
				diag->related[k].text);
	}
	fclose(out);
	return text;
}

static char *documents_text(struct parsed *p)
{
	json_t *list = json_array();
	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(list, node_to_json(p->docs[i]));
	char *text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text;
}

static void check_json(const char *text, const char *expected)
{
	cleanup_parsed struct parsed *p = parse(text);
	cleanup_free char *faults = summary(p), *documents = documents_text(p);
	assert_string_equal(faults, "");
	assert_string_equal(documents, expected);
}

static void test_documents_become_nodes(void **state)
{
	check_json("", "[]");
	check_json("# nothing\n", "[]");
	check_json("---\n---\n# x\n---\na: 1\n--- ~\n...\n", "[{\"a\":1}]");
	check_json("a: [x, \"1\", 1, 01, -3, -0, true, yes, ~, 'true', 9223372036854775807, 9223372036854775808]\n",
		   "[{\"a\":[\"x\",\"1\",1,\"01\",-3,\"-0\",true,\"yes\",null,\"true\",9223372036854775807,"
		   "\"9223372036854775808\"]}]");
	check_json("a:\n- b: |\n    x\n\n    y\n- c: >-\n    x\n    y\n",
		   "[{\"a\":[{\"b\":\"x\\n\\ny\\n\"},{\"c\":\"x y\"}]}]");
	check_json("? a\n: b\n", "[{\"a\":\"b\"}]");
	check_json("a: \"<<\"\n\"<<\": 1\n", "[{\"a\":\"<<\",\"<<\":1}]");
	check_json("a: \"\"\nb:\nc: ''\n", "[{\"a\":\"\",\"b\":null,\"c\":\"\"}]");
	check_json("\xef\xbb\xbf"
		   "a: 1\r\nb: 2\r\n",
		   "[{\"a\":1,\"b\":2}]");
	check_json("%YAML 1.2\n---\na: 1\n", "[{\"a\":1}]");
}

static void check_pos(const struct node *node, unsigned line, unsigned column, unsigned width)
{
	assert_non_null(node);
	assert_int_equal(node->pos.line, line);
	assert_int_equal(node->pos.column, column);
	assert_int_equal(node->pos.width, width);
}

static void test_places_count_code_points(void **state)
{
	cleanup_parsed struct parsed *p =
		parse("\xc3\xa4: \"\xe2\x82\xac\"\nlist: [a, {b: cd}]\ntext: |\n  x\n---\nz: 1\n");
	assert_int_equal(p->n, 2);
	const struct node *root = p->docs[0];
	check_pos(root->keys[0], 1, 1, 1);
	check_pos(root->items[0], 1, 4, 3);
	check_pos(node_key(root, "list"), 2, 1, 4);
	check_pos(node_get(root, "list"), 2, 7, 1);
	check_pos(node_find(root, "list[1].b", NULL), 2, 15, 2);
	check_pos(node_get(root, "text"), 3, 7, 1);
	check_pos(node_get(p->docs[1], "z"), 6, 4, 1);
	assert_ptr_equal(root->pos.source, &p->source);
}

static void test_paths(void **state)
{
	cleanup_parsed struct parsed *p =
		parse("spec:\n  hosts: [{ip: x}, {ip: y}]\n  sysctl: {net.ipv4: 1, net: {ipv4: 2}}\n");
	const struct node *root = p->docs[0];
	bool whole;
	assert_string_equal(node_find(root, "spec.hosts[1].ip", &whole)->text, "y");
	assert_true(whole);
	assert_string_equal(node_find(root, "spec.sysctl.net.ipv4", &whole)->text, "1");
	assert_true(whole);
	assert_ptr_equal(node_find(root, "", &whole), root);
	assert_true(whole);
	static const char *const broken[] = {"spec.hosts[2].ip", "spec.hosts[x]", "spec.hosts[",
					     "spec.hosts[-1]",   "spec.hosts[0",  "spec.hosts[99999999999999999999]",
					     "spec.hosts.ip"};
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		assert_ptr_equal(node_find(root, broken[i], &whole), node_find(root, "spec.hosts", NULL));
		assert_false(whole);
	}
	assert_ptr_equal(node_find(root, "nothing", &whole), root);
	assert_false(whole);
	assert_null(node_find(NULL, "a", &whole));
	assert_false(whole);
	assert_null(node_get(NULL, "a"));
	assert_null(node_key(node_get(root, "spec"), "host"));
}

struct refusal {
	const char *text, *faults;
};

static const struct refusal refusals[] = {
	{"a: *x\n", "1:4 aliases such as '*x' are not supported"},
	{"a: &x 1\n", "1:4 anchors such as '&x' are not supported"},
	{"a: &x [1]\nb: &y {}\n",
	 "1:4 anchors such as '&x' are not supported\n2:4 anchors such as '&y' are not supported"},
	{"a: &x !t {}\n", "1:4 anchors such as '&x' are not supported"},
	{"a: &\n", "1:4 anchors (&name) are not supported"},
	{"a: *\n", "1:4 aliases (*name) are not supported"},
	{"a: !x y\n", "1:4 tags such as '!name' are not supported"},
	{"a: !!str 1\n", "1:4 tags such as '!name' are not supported"},
	{"a: ! y\n", "1:4 tags such as '!name' are not supported"},
	{"a: !!map {}\n", "1:4 tags such as '!name' are not supported"},
	{"a: !<\n", "1:4 tags (!name) are not supported"},
	{"a: !x!y z\n", "1:4 tags (!name) are not supported"},
	{"<<: {a: 1}\n", "1:1 merge keys ('<<') are not supported"},
	{"a: 1\nb: 2\na: 3\n\"a\": 4\n", "3:1 'a' is given twice (1:1 first defined here)\n"
					 "4:1 'a' is given twice (1:1 first defined here)"},
	{"x: [{a: 1, a: 2}]\n", "1:12 'a' is given twice (1:6 first defined here)"},
	{"[a]: 1\n", "1:1 a list or a map cannot be a key"},
	{"a: {{b: c}: d}\n", "1:5 a list or a map cannot be a key"},
	{"*a : 1\n", "1:1 an alias cannot be a key"},
	{": 1\n", "1:1 a key is expected before ':'"},
	{"a: 1\n: 2\n", "2:1 a key is expected before ':'"},
	{"a: \"x\\0y\"\n", "1:4 a NUL character is not supported in a value"},
	{"a: \"\\x00\"\n\"\\0\": 1\n", "1:4 a NUL character is not supported in a value\n"
				       "2:1 a NUL character is not supported in a value"},
	{"a: \xff\xfe\n", "1:4 the byte 0xff is not valid UTF-8"},
	{"a: b\n# \xc3\n", "2:3 the byte 0xc3 is not valid UTF-8"},
	{"\xc3\xa4: \xed\xa0\x80\n", "1:4 the byte 0xed is not valid UTF-8"},
	{"a: \x1b[1m\n", "1:4 the character U+001B is not allowed in YAML"},
	{"a: \xc2\x81 b: c\n", "1:4 the character U+0081 is not allowed in YAML\n"
			       "1:7 a second ': ' in one line is not expected here"},
};

static const struct refusal syntax_faults[] = {
	{"a: b: c\n", "1:5 a second ': ' in one line is not expected here"},
	{"a: 1\n b: 2\n", "2:3 a ':' is not expected here"},
	{"a:\n\tb: c\n", "2:1 a tab cannot indent in YAML"},
	{"a:\n  \tb: c\n", "2:3 a tab cannot indent in YAML"},
	{"a:\n  b: c\n\td: e\n", "3:1 a tab cannot indent in YAML"},
	{"a: |\n\tx\n", "2:1 a tab cannot indent in YAML"},
	{"a: @x\n", "1:4 a value cannot start with '@'"},
	{"a: `x\n", "1:4 a value cannot start with '`'"},
	{"a: %x\n", "1:4 a value cannot start with '%'"},
	{"a: \"b\nc: d\n", "1:4 this quote is never closed"},
	{"a: 'b\n---\nc: d\n", "1:4 this quote is not closed before the next '---'"},
	{"a: \"\\q\"\n", "1:5 unknown escape in double quotes"},
	{"a: \"\\ud800\"\n", "1:7 this escape is no character"},
	{"a: \"\\xzz\"\n", "1:7 hexadecimal digits are expected here"},
	{"a: 'it's'\n", "1:8 unexpected text after the value (1:1 the map begins here)"},
	{"a: [1, 2\nb: c\n", "1:4 this '[' is not closed (2:2 what is here does not belong to it)"},
	{"a: {x: 1\n", "1:4 this '{' is not closed (2:1 the text ends here)"},
	{"a: [x", "1:4 this '[' is not closed (1:6 the text ends here)"},
	{"a: [", "1:5 a value is expected here"},
	{"a: {b: c d: e}\n", "1:11 ',' or '}' is expected here (1:4 the map begins here)"},
	{"a: [b\n---\nc: 1\n", "1:4 this '[' is not closed (2:1 what is here does not belong to it)"},
	{"a: [\n---\nc: 1\n", "2:1 a '[' or '{' above is not closed before this line"},
	{"a: [1,,2]\n", "1:7 a value is expected before ','"},
	{"a: ]\n", "1:4 a value is expected here"},
	{"a: 1\n}\n", "2:1 this '}' closes nothing (1:1 the map begins here)"},
	{"a: 1\nb\nc: 2\n", "2:1 a ':' is missing after this key"},
	{"a:\n  b: 1\n c: 2\n",
	 "3:2 the indentation of this line fits none of the lines above (1:1 the map begins here)"},
	{"- a\nb: c\n", "2:1 another item of the list is expected here (1:1 the list begins here)"},
	{"a: 1\n- b\n", "2:1 a list item is not expected here, where keys of a map are (1:1 the map begins here)"},
	{"a: - b\n", "1:4 a list cannot start here"},
	{"a: |x\n  y\n", "1:5 the text starts on the line after '|' or '>'"},
	{"a: 1\n... b\n", "2:5 '---' is expected before another document"},
	{"%YAML 2.0\n---\na: 1\n", "1:1 this version of YAML is not supported"},
	{"%X\n---\na: 1\n", "1:3 this directive is not understood"},
};

static void check_refusals(const struct refusal *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cleanup_parsed struct parsed *p = parse(rows[i].text);
		cleanup_free char *faults = summary(p), *rendered = diags_render(&p->diags, false);
		if (!streq(faults, rows[i].faults))
			fail_msg("of:\n%s\nexpected:\n%s\nfound:\n%s", rows[i].text, rows[i].faults, faults);
		assert_non_null(strchr(rendered, '^'));
	}
}

static void test_what_is_refused_is_shown_at_its_mark(void **state)
{
	check_refusals(refusals, ARRAY_SIZE(refusals));
}

static void test_syntax_errors_say_what_is_meant(void **state)
{
	check_refusals(syntax_faults, ARRAY_SIZE(syntax_faults));
}

static void test_all_documents_are_looked_at(void **state)
{
	cleanup_parsed struct parsed *p =
		parse("a: 1\na: 2\n---\nb: [\n--- # c\n\nc: 1\n--- |x\n---\nd: *e\n---\nf: @\n...\n---\ng: 1\n"
		      "h: \"---x\n");
	cleanup_free char *faults = summary(p), *documents = documents_text(p);
	assert_string_equal(faults, "2:1 'a' is given twice (1:1 first defined here)\n"
				    "5:1 a '[' or '{' above is not closed before this line\n"
				    "8:6 the text starts on the line after '|' or '>'\n"
				    "10:4 aliases such as '*e' are not supported\n"
				    "12:4 a value cannot start with '@'\n"
				    "16:4 this quote is never closed");
	/* What lost a value is no document any more; the first definition of a key stays. */
	assert_string_equal(documents, "[{\"a\":1},{\"c\":1}]");
}

static char *repeat(const char *text, size_t n, const char *tail)
{
	size_t len = strlen(text);
	char *all = xcalloc(n * len + strlen(tail) + 1, 1);
	for (size_t i = 0; i < n; i++)
		memcpy(all + i * len, text, len);
	strcpy(all + n * len, tail);
	return all;
}

static void check_bound(const char *text, size_t size, const char *expected, size_t n_documents)
{
	cleanup_parsed struct parsed *p = parse_size(text, size);
	cleanup_free char *faults = summary(p);
	assert_string_equal(faults, expected);
	assert_int_equal(p->n, n_documents);
}

static void test_bounds(void **state)
{
	cleanup_free char *deep = repeat("[", 32, ""), *close = repeat("]", 32, "\n");
	cleanup_free char *allowed = xprintf("%s%s", deep, close),
			  *deeper = xprintf("[%s%s]\n---\na: 1\n", deep, close);
	check_bound(allowed, strlen(allowed), "", 1);
	check_bound(deeper, strlen(deeper), "1:33 maps and lists are nested deeper than 32 levels", 1);
	cleanup_free char *abyss = repeat("[", 200000, "\n--- 1\n"), *blocks = repeat("- ", 200000, "\n--- 1\n");
	check_bound(abyss, strlen(abyss), "1:33 maps and lists are nested deeper than 32 levels", 1);
	check_bound(blocks, strlen(blocks), "1:65 maps and lists are nested deeper than 32 levels", 1);
	cleanup_free char *most = repeat("- 1\n", 99999, "---\n1\n"), *many = repeat("- 1\n", 100000, "---\n1\n");
	check_bound(most, strlen(most), "", 2);
	check_bound(many, strlen(many), "100000:3 a document of more than 100000 values is not read", 1);
	cleanup_free char *documents = repeat("--- 1\n", 1000001, "");
	check_bound(documents, strlen(documents), "1000001:5 a file of more than 1000000 values is not read", 1000000);
	cleanup_free char *large = repeat("# comment\n", 1024 * 1024 + 1, "");
	check_bound(large, 10 << 20, "", 0);
	check_bound(large, (10 << 20) + 1, "0:0 the file is larger than 10 MiB", 0);
}

static void test_what_is_no_text_is_not_read(void **state)
{
	check_bound("\xff\xfe"
		    "a\0:\0",
		    6, "0:0 the file is not UTF-8 but looks like UTF-16", 0);
	check_bound("a\0:\0", 4, "0:0 the file is not UTF-8 but looks like UTF-16", 0);
	check_bound("ab: \0\n", 6, "1:5 the character U+0000 is not allowed in YAML", 1);
	char noise[4096];
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(i * 2654435761u >> 13);
	cleanup_parsed struct parsed *p = parse_size(noise, sizeof(noise));
	assert_true(p->diags.n_total > 0 && p->diags.n_total <= 8);
	assert_int_equal(p->n, 0);
}

/* A queue that is full ends the reading: each faulty document costs a parser. */
static void test_many_faulty_documents_end_early(void **state)
{
	cleanup_free char *text = repeat("---\n]\n", 500000, "");
	uint64_t before_ms = now_ms();
	cleanup_parsed struct parsed *p = parse(text);
	assert_int_equal(p->diags.n, DIAGS_MAX);
	assert_true(now_ms() - before_ms < 5000);
}

static void test_many_keys_are_compared_quickly(void **state)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (int i = 0; i < 49000; i++)
		fprintf(out, "key%d: 1\n", i);
	fprintf(out, "key7: 2\n");
	fclose(out);
	cleanup_free char *owned = text;
	check_bound(owned, size, "49001:1 'key7' is given twice (8:1 first defined here)", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents_become_nodes),
		cmocka_unit_test(test_places_count_code_points),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_what_is_refused_is_shown_at_its_mark),
		cmocka_unit_test(test_syntax_errors_say_what_is_meant),
		cmocka_unit_test(test_all_documents_are_looked_at),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_what_is_no_text_is_not_read),
		cmocka_unit_test(test_many_faulty_documents_end_early),
		cmocka_unit_test(test_many_keys_are_compared_quickly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
