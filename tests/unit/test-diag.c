/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics: what they look like, in which order, how many, and which name a typo meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/diag.h"

static struct source source_of(const char *name, const char *text)
{
	return (struct source){name, text, strlen(text)};
}

/* Renders one diagnostic at a place in a text and compares. */
static void check_render(const char *text, unsigned line, unsigned column, unsigned width, const char *expected)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	struct source source = source_of("f", text);
	diag_add(&diags, (struct pos){&source, line, column, width}, "wrong");
	cleanup_free char *rendered = diags_render(&diags, false);
	assert_string_equal(rendered, expected);
}

static void test_rendered_as_the_header_says(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	struct source source = source_of("lan.yaml", "kind: Vlan\nspec:\n  proto: 802.1Q\n");
	struct diag *diag = diag_add(&diags, (struct pos){&source, 3, 3, 5}, "unknown field '%s' in Vlan", "proto");
	diag_hint(&diags, diag, "did you mean '%s'?", "protocol");
	diag_related(&diags, diag, (struct pos){&source, 2, 1, 4}, "first defined here");
	cleanup_free char *rendered = diags_render(&diags, false);
	assert_string_equal(rendered, "lan.yaml:3:3: error: unknown field 'proto' in Vlan\n"
				      "   3 |   proto: 802.1Q\n"
				      "     |   ^~~~~\n"
				      "  hint: did you mean 'protocol'?\n"
				      "lan.yaml:2:1: note: first defined here\n");
	assert_null(strchr(rendered, '\033'));
	cleanup_free char *colored = diags_render(&diags, true);
	assert_non_null(strstr(colored, "\033["));
}

static void test_carets_count_code_points_and_keep_tabs(void **state)
{
	check_render("\xc3\xa4\xc3\xb6: \xe2\x82\xac!\n", 1, 5, 2,
		     "f:1:5: error: wrong\n   1 | \xc3\xa4\xc3\xb6: \xe2\x82\xac!\n     |     ^~\n");
	check_render("\ta:\tb\n", 1, 5, 1, "f:1:5: error: wrong\n   1 | \ta:\tb\n     | \t  \t^\n");
	check_render("a\n", 1, 2, 1, "f:1:2: error: wrong\n   1 | a\n     |  ^\n");
	check_render("a\n", 1, 9, 3, "f:1:9: error: wrong\n   1 | a\n     |  ^\n");
	check_render("abc\r\nd\n", 1, 2, 90, "f:1:2: error: wrong\n   1 | abc\n     |  ^~\n");
	check_render("a\n", 7, 1, 1, "f:7:1: error: wrong\n");
	check_render("\xef\xbb\xbf"
		     "ab\n",
		     1, 2, 1, "f:1:2: error: wrong\n   1 | ab\n     |  ^\n");
}

static void test_controls_never_reach_the_terminal(void **state)
{
	check_render("a\x1b[1mb\n", 1, 2, 2, "f:1:2: error: wrong\n   1 | a\\x1b[1mb\n     |  ^~~~~\n");
	check_render("\xff"
		     "b\n",
		     1, 2, 1, "f:1:2: error: wrong\n   1 | \\xffb\n     |     ^\n");
	check_render("\xe2\x80\xae"
		     "b\n",
		     1, 2, 1, "f:1:2: error: wrong\n   1 | \\u202eb\n     |       ^\n");
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	struct source source = source_of("\x1b]0;x\x07", "x");
	struct diag *diag = diag_add(&diags, (struct pos){&source, 1, 1, 1}, "unknown '%s'", "\x1b[2J\xff");
	diag_hint(&diags, diag, "not %s", "\x9b\r");
	cleanup_free char *rendered = diags_render(&diags, false);
	for (const char *p = rendered; *p; p++)
		assert_true(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
	json_t *json = diags_to_json(&diags);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json, 0), "message")),
			    "unknown '\\x1b[2J\\xff'");
	json_decref(json);
}

static void test_long_lines_are_windowed(void **state)
{
	char line[3001];
	for (unsigned column = 1; column <= 3000; column += 37) {
		memset(line, 'x', 3000);
		line[3000] = '\0';
		line[column - 1] = 'Y';
		cleanup_arena struct arena *arena = arena_new();
		struct diags diags = {.arena = arena};
		struct source source = source_of("f", line);
		diag_add(&diags, (struct pos){&source, 1, column, 500}, "wrong");
		cleanup_free char *rendered = diags_render(&diags, false);
		char *shown = strchr(rendered, '\n') + 1, *under = strchr(shown, '\n') + 1;
		assert_true(under - shown <= 132);
		assert_true(strlen(under) <= 132);
		assert_int_equal(strchr(shown, 'Y') - shown, strchr(under, '^') - under);
	}
}

static void test_further_ones_are_counted(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	for (int i = 0; i < 40; i++) {
		struct diag *diag = diag_add(&diags, (struct pos){0}, "number %d", i);
		diag_hint(&diags, diag, "hint");
		for (int k = 0; k < 6; k++)
			diag_related(&diags, diag, (struct pos){0}, "related");
	}
	assert_int_equal(diags.n, DIAGS_MAX);
	assert_int_equal(diags.n_total, 40);
	assert_int_equal(diags.items[0]->n_related, DIAG_RELATED_MAX);
	cleanup_free char *rendered = diags_render(&diags, false);
	assert_non_null(strstr(rendered, "error: number 0\n  hint: hint\nnote: related\n"));
	assert_non_null(strstr(rendered, "and 8 more"));
}

static void test_sorted_by_source_then_place(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	struct source one = source_of("one", ""), two = source_of("two", "");
	diag_add(&diags, (struct pos){&two, 5, 1, 0}, "b");
	diag_add(&diags, (struct pos){&one, 9, 1, 0}, "e");
	diag_add(&diags, (struct pos){&two, 5, 1, 0}, "c");
	diag_add(&diags, (struct pos){&two, 4, 7, 0}, "a");
	diag_add(&diags, (struct pos){&one, 2, 1, 0}, "d");
	diags_sort(&diags);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(diags.items[i]->text[0], 'a' + (int)i);
}

static void test_json_has_places_and_hints(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	struct source source = source_of("-", "a");
	struct diag *diag = diag_add(&diags, (struct pos){&source, 1, 2, 0}, "wrong");
	diag_hint(&diags, diag, "do right");
	diag_related(&diags, diag, (struct pos){&source, 3, 4, 0}, "there");
	diag_add(&diags, (struct pos){0}, "nowhere");
	json_t *json = diags_to_json(&diags);
	cleanup_free char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(
		text, "[{\"file\":\"<stdin>\",\"line\":1,\"column\":2,\"message\":\"wrong\",\"hint\":\"do right\","
		      "\"related\":[{\"file\":\"<stdin>\",\"line\":3,\"column\":4,\"message\":\"there\"}]},"
		      "{\"message\":\"nowhere\",\"related\":[]}]");
	json_decref(json);
}

static void test_nearest_name(void **state)
{
	static const char *const names[] = {"protocol", "mtu",      "addresses", "dhcp",
					    "dns",      "forwards", "ip",        "forwardDelay"};
	static const struct {
		const char *typed, *meant;
	} cases[] = {
		{"proto", "protocol"},
		{"MTU", "mtu"},
		{"mut", "mtu"},
		{"adresses", "addresses"},
		{"address", "addresses"},
		{"dhpc", "dhcp"},
		{"dn", "dns"},
		{"forward", "forwards"},
		{"forward_delay", "forwardDelay"},
		{"colour", NULL},
		{"", NULL},
		{"ipx", "ip"},
		{"x", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *near = nearest_name(cases[i].typed, names, ARRAY_SIZE(names));
		if (!streq(near, cases[i].meant))
			fail_msg("'%s': %s", cases[i].typed, near ? near : "none");
	}
	char longest[5000];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(nearest_name(longest, names, ARRAY_SIZE(names)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rendered_as_the_header_says),
		cmocka_unit_test(test_carets_count_code_points_and_keep_tabs),
		cmocka_unit_test(test_controls_never_reach_the_terminal),
		cmocka_unit_test(test_long_lines_are_windowed),
		cmocka_unit_test(test_further_ones_are_counted),
		cmocka_unit_test(test_sorted_by_source_then_place),
		cmocka_unit_test(test_json_has_places_and_hints),
		cmocka_unit_test(test_nearest_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
