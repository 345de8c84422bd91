/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of QEMU for each spec in tests/golden/argv: NAME.json has {"facts": {"kvm", "vhostNet"}, "spec":
 * {...}}, NAME.args an argument a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <jansson.h>

#include "guestd/qemu.h"
#include "tests/unit/golden.h"

static char *argv_text(const json_t *doc)
{
	cleanup_arena struct arena *arena = arena_new();
	struct err err = {0};
	struct qemu_spec *spec = arena_new_of(arena, struct qemu_spec);
	const json_t *facts = json_object_get(doc, "facts");
	if (table_from_json(&qemu_table, json_object_get(doc, "spec"), arena, spec, &err) < 0)
		fail_msg("%s", err.text);
	const struct qemu_facts host = {
		.name = "web",
		.program = "qemu-system-x86_64",
		.kvm = json_is_true(json_object_get(facts, "kvm")),
		.vhost_net = json_is_true(json_object_get(facts, "vhostNet")),
	};
	char *text = xstrdup("");
	for (const char *const *item = qemu_argv(spec, &host, arena); *item; item++) {
		char *longer = xprintf("%s%s\n", text, *item);
		free(text);
		text = longer;
	}
	return text;
}

static void test_golden(void **state)
{
	glob_t found;
	unsigned faults = 0;
	assert_int_equal(glob(WEFT_SOURCE_DIR "/tests/golden/argv/*.json", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *base = strrchr(found.gl_pathv[i], '/') + 1;
		cleanup_free char *name = xprintf("argv/%.*s.args", (int)strcspn(base, "."), base);
		json_t *doc = json_load_file(found.gl_pathv[i], 0, NULL);
		assert_non_null(doc);
		cleanup_free char *text = argv_text(doc);
		faults += !golden_equal(name, text);
		json_decref(doc);
	}
	globfree(&found);
	assert_int_equal(faults, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
