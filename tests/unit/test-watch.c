/* SPDX-License-Identifier: Apache-2.0 */
/* Two watches of one directory, one of which is dropped after its event was read: the other goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <systemd/sd-event.h>

#include "core/util.h"
#include "core/watch.h"

static sd_event_source *dropped;

static int on_word(sd_event_source *source, const struct inotify_event *event, void *ctx)
{
	++*(int *)ctx;
	return 0;
}

static int on_drop(sd_event_source *source, void *ctx)
{
	dropped = sd_event_source_disable_unref(dropped);
	return 0;
}

static void write_file(const char *dir)
{
	cleanup_free char *path = xprintf("%s/file", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("word", f);
	fclose(f);
}

static void test_a_watch_outlives_another(void **state)
{
	char dir[] = "/tmp/weft-test-watch-XXXXXX";
	int words = 0, ignored = 0;
	sd_event *loop = NULL;
	sd_event_source *drop = NULL;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(sd_event_new(&loop), 0);
	assert_true(sd_event_add_inotify(loop, &dropped, dir, WATCH_FILES, on_word, &ignored) >= 0);
	assert_true(sd_event_add_inotify(loop, NULL, dir, WATCH_FILES, on_word, &words) >= 0);
	assert_true(sd_event_add_defer(loop, &drop, on_drop, NULL) >= 0);
	assert_true(sd_event_source_set_priority(drop, SD_EVENT_PRIORITY_IMPORTANT) >= 0);
	write_file(dir);
	alarm(60); /* what this is about never ends */
	while (sd_event_run(loop, 100 * 1000) > 0)
		;
	assert_null(dropped);
	assert_int_equal(ignored, 0);
	assert_int_equal(words, 3); /* created, modified, closed */
	sd_event_source_unref(drop);
	sd_event_unref(loop);
	cleanup_free char *command = xprintf("rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_watch_outlives_another)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
