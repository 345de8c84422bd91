/* SPDX-License-Identifier: Apache-2.0 */
/* Bad manifests and what is said about them: tests/golden/manifests/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/cases.h"

static unsigned n_fine;

static char *what_is_said(const struct manifests *manifests)
{
	if (!manifests->diags.n)
		print_error("%s: nothing is wrong with it\n", manifests->sources[0].name);
	n_fine += !manifests->diags.n;
	return diags_render(&manifests->diags, false);
}

static void test_bad_manifests(void **state)
{
	cases_run("manifests", "err", what_is_said);
	assert_int_equal(n_fine, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_bad_manifests)};
	cases_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
