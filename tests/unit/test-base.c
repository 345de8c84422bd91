/* SPDX-License-Identifier: Apache-2.0 */
/* Arena, errors, growing arrays, texts of the host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/json-text.h"

static void test_arena_keeps_what_it_gave(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	char *texts[1000];
	for (int i = 0; i < 1000; i++)
		texts[i] = arena_printf(arena, "text %d %*s", i, i, "");
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(atoi(texts[i] + 5), i);
		assert_int_equal((uintptr_t)texts[i] % 16, 0);
	}
	int *items = NULL;
	size_t cap = 0;
	for (size_t i = 0; i < 100; i++) {
		arena_grow(arena, items, i, cap);
		items[i] = (int)i;
	}
	for (int i = 0; i < 100; i++)
		assert_int_equal(items[i], i);
}

static void test_errors_gain_context_on_the_way_up(void **state)
{
	struct err err = {0};
	assert_int_equal(err_errno(&err, ENOENT, "open '/dev/x'"), -ENOENT);
	assert_int_equal(err_wrap(&err, "pool '%s'", "fast"), -ENOENT);
	assert_string_equal(err.text, "pool 'fast': open '/dev/x': No such file or directory");
	err_wrap(&err, "%470s%s", "", "x");
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

/* Names of processes and links may hold any byte, and a sentence that was cut may end within a character. */
static void test_texts_of_the_host_become_json(void **state)
{
	static const char *const texts[][2] = {
		{"", ""},
		{"plain", "plain"},
		{"\xc3\xbc \xe2\x82\xac", "\xc3\xbc \xe2\x82\xac"},
		{"\xff\xc3\xbc\x80", "?\xc3\xbc?"},
		{"cut \xe2\x82", "cut ??"},
		{"\xed\xa0\x80\xc0\xaf", "?????"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *json = json_host_text(texts[i][0]);
		assert_string_equal(json_string_value(json), texts[i][1]);
		json_decref(json);
	}
	assert_null(json_host_text(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena_keeps_what_it_gave),
		cmocka_unit_test(test_errors_gain_context_on_the_way_up),
		cmocka_unit_test(test_texts_of_the_host_become_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
