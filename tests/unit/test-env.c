/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and ids of a weftd; the ring of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "core/env.h"
#include "core/event.h"

static char root[64];

static int make_root(void **state)
{
	strcpy(root, "/tmp/weft-test-env.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	cleanup_free char *command = xprintf("rm -rf '%s'", root);
	return system(command);
}

static void test_ids_stay_the_same(void **state)
{
	struct err err = {0};
	assert_int_equal(env_setup(root, &err), 0);
	char instance[17];
	uint8_t key[16];
	strcpy(instance, env.instance);
	memcpy(key, env.host_key, sizeof(key));
	assert_int_equal(strlen(instance), 16);
	assert_int_equal(strlen(env.boot_id), 36);
	assert_int_equal(env_setup(root, &err), 0);
	assert_string_equal(env.instance, instance);
	assert_memory_equal(env.host_key, key, sizeof(key));
	struct stat st;
	cleanup_free char *path = xprintf("%s/lib/host-key", root);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(strcmp(env.run_dir + strlen(root), "/run"), 0);
}

static void test_damaged_id_is_refused_with_a_sentence(void **state)
{
	struct err err = {0};
	assert_int_equal(env_setup(root, &err), 0);
	cleanup_free char *path = xprintf("%s/lib/instance", root);
	assert_int_equal(file_write_atomic(path, "dead", 4, 0600), 0);
	assert_int_equal(env_setup(root, &err), -EINVAL);
	assert_non_null(strstr(err.text, "instance is damaged"));
}

static void test_file_in_the_way_is_named(void **state)
{
	struct err err = {0};
	cleanup_free char *path = xprintf("%s/run", root);
	assert_int_equal(file_write_atomic(path, "", 0, 0600), 0);
	assert_int_equal(env_setup(root, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, path));
}

struct seen {
	uint64_t first, last;
	unsigned n;
	bool leave;
};

static void follow(void *ctx, const struct event *event)
{
	struct seen *seen = ctx;
	if (!seen->n++)
		seen->first = event->seq;
	seen->last = event->seq;
	if (seen->leave)
		event_unfollow(follow, seen);
}

static void test_events_are_kept_and_followed(void **state)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), saved = dup(STDERR_FILENO);
	dup2(null, STDERR_FILENO);
	struct seen all = {0}, once = {.leave = true}, kept = {0}, newer = {0}, none = {0};
	event_follow(follow, &all);
	event_follow(follow, &once);
	for (int i = 0; i < 10050; i++)
		event_text("Repaired", "Network/lan", false, "number %d", i);
	event_unfollow(follow, &all);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(null);
	assert_int_equal(all.n, 10050);
	assert_int_equal(once.n, 1);
	event_each(0, follow, &kept);
	assert_int_equal(kept.n, 10000);
	assert_int_equal(kept.first, all.last - 9999);
	event_each(all.last - 3, follow, &newer);
	assert_int_equal(newer.n, 3);
	event_each(UINT64_MAX, follow, &none);
	assert_int_equal(none.n, 0);
}

static void test_event_as_json(void **state)
{
	struct event event = {.seq = 7,
			      .time_ms = 1700000000123,
			      .type = "Failed",
			      .resource = "link/lan",
			      .text = "no",
			      .warning = true};
	json_t *json = event_to_json(&event);
	assert_string_equal(json_string_value(json_object_get(json, "time")), "2023-11-14T22:13:20.123Z");
	assert_null(json_object_get(json, "object"));
	assert_true(json_is_true(json_object_get(json, "warning")));
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ids_stay_the_same, make_root, remove_root),
		cmocka_unit_test_setup_teardown(test_damaged_id_is_refused_with_a_sentence, make_root, remove_root),
		cmocka_unit_test_setup_teardown(test_file_in_the_way_is_named, make_root, remove_root),
		cmocka_unit_test(test_events_are_kept_and_followed),
		cmocka_unit_test(test_event_as_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
