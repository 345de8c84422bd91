/* SPDX-License-Identifier: Apache-2.0 */
/* YAML out of JSON: how strings are quoted, and that whatever is written reads back as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/node.h"

static char *emit(json_t *json)
{
	const json_t *docs[] = {json};
	return yaml_from_json(docs, 1);
}

static void check_written(json_t *json, const char *expected)
{
	cleanup_free char *text = emit(json);
	json_decref(json);
	assert_string_equal(text, expected);
}

static void test_block_style_in_the_order_given(void **state)
{
	json_t *json = json_pack("{s:s, s:{s:s}, s:{s:[{s:s, s:i}, s, []], s:{}, s:n, s:b}}", "kind", "Network",
				 "metadata", "name", "lan", "spec", "list", "name", "web", "n", 3, "10.0.0.1/24",
				 "empty", "none", "yes", 1);
	check_written(json,
		      "---\nkind: Network\nmetadata:\n  name: lan\nspec:\n  list:\n    - name: web\n      \"n\": 3\n"
		      "    - 10.0.0.1/24\n    - []\n  empty: {}\n  none: null\n  \"yes\": true\n");
	check_written(json_pack("[[s, [i]], {s:[s]}]", "a", 1, "b", "c"), "---\n- - a\n  - - 1\n- b:\n    - c\n");
	check_written(json_pack("{s:s, s:[s]}", "text", "a\n\n b\n", "list", "x\ny"),
		      "---\ntext: |\n  a\n\n   b\nlist:\n  - |-\n    x\n    y\n");
	check_written(json_string("a\nb"), "---\n\"a\\nb\"\n");
	check_written(json_object(), "---\n{}\n");
	const json_t *docs[] = {json_true(), json_false()};
	cleanup_free char *two = yaml_from_json(docs, 2), *none = yaml_from_json(NULL, 0);
	assert_string_equal(two, "---\ntrue\n---\nfalse\n");
	assert_string_equal(none, "");
}

/* Strings that some version of YAML, or a reader that guesses, takes for something else. */
static const char *const quoted[] = {
	"",
	" ",
	"yes",
	"No",
	"ON",
	"off",
	"y",
	"n",
	"true",
	"False",
	"null",
	"Null",
	"~",
	".inf",
	"-.INF",
	"0",
	"0123",
	"0o17",
	"0x1f",
	"0b1",
	"1e3",
	"1_000",
	"12",
	"-1",
	"+1",
	"1.5",
	".5",
	"1.",
	"52:54:00:07:07:07",
	"12:30:45",
	"2001-12-14",
	"2001-12-14t21:59:43.10-05:00",
	"2001-12-14 21:59:43 -5",
	"- x",
	"-",
	"---",
	"--- x",
	"...",
	"? x",
	"?",
	": x",
	":",
	"a: b",
	"a:",
	"a #b",
	"#b",
	"&a",
	"*a",
	"!a",
	"|",
	">",
	"'a'",
	"\"a\"",
	"%a",
	"@a",
	"`a`",
	"{a}",
	"[a]",
	",",
	"=",
	"<<",
	" a",
	"a ",
	"a\t",
	"\ta",
	"a\\b",
	"a\x1b",
	"\xc2\x85",
	"\xe2\x80\xa8",
	"\xef\xbb\xbf",
	"a\r\n",
	"\n",
	"\n\n",
	"a\n\n",
	"a\n\n\n",
	" a\nb",
	"a\n\tb",
	"a \nb",
	"a\n \nb",
	"\na",
	"a\nb ",
	"a\rb\n",
};
static const char *const unquoted[] = {
	"a",          "lan.test", "192.168.150.1", "192.168.150.1/24",
	"64MiB",      "1h",       "1h30m",         "console=ttyS0 quiet",
	"a:b",        "a-b",      "/dev/x",        "100mbit",
	"90%",        "vmlinuz",  "2.5gbit",       "\xc3\xa4rger \xe2\x82\xac",
	"x, y",       "nope",     "none",          "fd42:150::1",
	"yes and no", "1.2.3",
};

static void check_back(json_t *json, unsigned seed)
{
	cleanup_free char *text = emit(json);
	cleanup_arena struct arena *arena = arena_new();
	struct source source = {"written", text, strlen(text)};
	struct diags diags = {.arena = arena};
	size_t n;
	struct node **docs = yaml_parse(&source, arena, &diags, &n);
	cleanup_free char *faults = diags_render(&diags, false);
	json_t *back = n ? node_to_json(docs[0]) : json_null();
	if (diags.n_total || !json_equal(back, json))
		fail_msg("seed %u, %zu documents:\n%s\n%s", seed, n, text, faults);
	/* The detour over nodes alone keeps it as well. */
	json_t *direct = node_to_json(node_from_json(json, arena));
	if (!json_equal(direct, json))
		fail_msg("seed %u, nodes differ:\n%s", seed, text);
	json_decref(direct);
	json_decref(back);
}

static void check_string(const char *text)
{
	json_t *json =
		json_pack("{s:s, s:[s, [s]], s:{s:s}}", "a", text, "list", text, text, "map", *text ? text : "b", text);
	check_back(json, 0);
	json_decref(json);
	json = json_string(text);
	check_back(json, 0);
	json_decref(json);
}

static void test_strings_stay_strings(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(quoted); i++) {
		json_t *json = json_pack("[s]", quoted[i]);
		cleanup_free char *text = emit(json);
		json_decref(json);
		if (text[6] != '"')
			fail_msg("'%s' is written as %s", quoted[i], text + 6);
		check_string(quoted[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(unquoted); i++) {
		json_t *json = json_pack("[s]", unquoted[i]);
		cleanup_free char *text = emit(json), *expected = xprintf("---\n- %s\n", unquoted[i]);
		json_decref(json);
		assert_string_equal(text, expected);
		check_string(unquoted[i]);
	}
}

static void test_long_keys(void **state)
{
	char key[3000];
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	json_t *json = json_pack("{s:i, s:{s:i}, s:[{s:[i]}]}", key, 1, "map", key, 2, "list", key, 3);
	check_back(json, 0);
	json_decref(json);
}

struct random {
	uint64_t state;
};

static unsigned below(struct random *random, unsigned n)
{
	random->state = random->state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random->state >> 33) % n;
}

static size_t random_character(struct random *random, char *out)
{
	static const char *const pool[] = {"a",
					   "b",
					   "0",
					   "1",
					   " ",
					   " ",
					   "\n",
					   ":",
					   "#",
					   "-",
					   "'",
					   "\"",
					   "\\",
					   "\t",
					   "{",
					   "]",
					   ",",
					   "&",
					   "*",
					   "!",
					   "|",
					   "%",
					   "?",
					   "\r",
					   "\x1b",
					   "\x7f",
					   "\xc2\x85",
					   "\xc3\xa4",
					   "\xe2\x80\xa9",
					   "\xef\xbb\xbf",
					   "\xf0\x9f\x90\xa7",
					   "\xef\xbf\xbe",
					   "\xe2\x82\xac",
					   ".",
					   "e"};
	const char *one = pool[below(random, ARRAY_SIZE(pool))];
	size_t len = strlen(one);
	memcpy(out, one, len);
	return len;
}

static const char *random_string(struct random *random, char buf[static 128])
{
	if (below(random, 3) == 0)
		return quoted[below(random, ARRAY_SIZE(quoted))];
	size_t size = 0;
	for (unsigned n = below(random, 20); n > 0; n--)
		size += random_character(random, buf + size);
	buf[size] = '\0';
	return buf;
}

static json_t *random_json(struct random *random, unsigned depth)
{
	char buf[128];
	json_t *json;
	switch (below(random, depth < 5 ? 7 : 4)) {
	case 0:
		return json_boolean(below(random, 2));
	case 1:
		return json_integer((json_int_t)below(random, 1000) - 500);
	case 2:
	case 3:
		return json_string(random_string(random, buf));
	case 4:
		return json_null();
	case 5:
		json = json_array();
		for (unsigned n = below(random, 5); n > 0; n--)
			json_array_append_new(json, random_json(random, depth + 1));
		return json;
	default:
		json = json_object();
		for (unsigned n = below(random, 5); n > 0; n--) {
			const char *key = random_string(random, buf);
			json_object_set_new(json, *key ? key : "empty", random_json(random, depth + 1));
		}
		return json;
	}
}

static void test_random_json_reads_back(void **state)
{
	const char *chosen = getenv("WEFT_SEED");
	unsigned first = chosen ? (unsigned)strtoul(chosen, NULL, 10) : (unsigned)wall_ms();
	unsigned rounds = chosen ? 1 : 5000;
	print_message("seed %u (WEFT_SEED repeats one)\n", first);
	for (unsigned i = 0; i < rounds; i++) {
		struct random random = {first + i};
		below(&random, 1);
		json_t *json = json_pack("{s:o}", "x", random_json(&random, 1));
		check_back(json, first + i);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_style_in_the_order_given),
		cmocka_unit_test(test_strings_stay_strings),
		cmocka_unit_test(test_long_keys),
		cmocka_unit_test(test_random_json_reads_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
