/* SPDX-License-Identifier: Apache-2.0 */
/* Pools and Volumes from manifest to directory: kinds, lowering, the engine and the storage lane together, on real
 * files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/lane-async.h"
#include "core/registry.h"
#include "stord/stord.h"
#include "stord/volume.h"

static char root[] = "/tmp/weft-test-volumes.XXXXXX";
static struct engine *engine;
static struct generation *current, *refused;
static struct diags diags;
static bool woken;

#define POOL                                                                                 \
	"apiVersion: weft/v1\nkind: Pool\nmetadata: {name: local}\nspec: {type: dir, path: " \
	"images}\n---\n"
#define VOLUME(fields) "apiVersion: weft/v1\nkind: Volume\nmetadata: {name: web}\nspec: {pool: local, " fields "}\n"

static uint64_t host_now(void *ctx)
{
	return now_ms();
}
static void host_wake(void *ctx)
{
	woken = true;
}
static const struct engine_host host = {.now_ms = host_now, .wake = host_wake};

/* The configuration as it would be after this text; NULL when it is refused, with the first diagnostic in diags. */
static struct generation *lowered(const char *text)
{
	struct generation *gen = generation_new(NULL);
	struct source *source = arena_new_of(gen->arena, struct source);
	*source = (struct source){"test.yaml", arena_strdup(gen->arena, text), strlen(text)};
	diags = (struct diags){.arena = gen->arena};
	size_t n = 0, n_objects = 0;
	struct node **docs = yaml_parse(source, gen->arena, &diags, &n);
	struct object **objects = arena_alloc(gen->arena, (n + 1) * sizeof(*objects));
	for (size_t i = 0; i < n; i++) {
		struct object *object = object_decode(docs[i], gen->arena, &diags);
		if (object)
			objects[n_objects++] = object;
	}
	struct lower_input input = {.objects = objects, .n_objects = n_objects};
	if (current) {
		input.allocs = current->allocs;
		input.n_allocs = current->n_allocs;
	}
	if (diags.n || lower_all(gen, &input, &diags) < 0)
		refused = gen; /* for its diagnostics */
	return refused ? NULL : gen;
}

static void settle(unsigned ms)
{
	uint64_t until = now_ms() + ms;
	do {
		woken = false;
		engine_run(engine);
		sd_event_run(env.loop, 20 * 1000);
	} while (now_ms() < until && !engine_converged(engine));
	engine_run(engine);
}

static void start_engine(void)
{
	engine = engine_new(&host);
	engine_add_lane(engine, lane_async_new("storage"));
	stord_start(engine, NULL);
}

static void apply(const char *text)
{
	struct generation *gen = lowered(text);
	if (!gen)
		fail_msg("refused: %s", diags.n ? diags.items[0]->text : "?");
	engine_switch(engine, gen, false);
	if (current)
		generation_unref(current);
	current = gen;
	settle(10000);
}

static void assert_refused(const char *text, const char *why)
{
	assert_null(lowered(text));
	assert_true(diags.n > 0);
	if (!strstr(diags.items[0]->text, why))
		fail_msg("refused with: %s", diags.items[0]->text);
	refused = generation_unref(refused);
}

static struct resource_view view_of(const char *class, const char *key)
{
	struct resource_view view = {.state = RES_ABSENT};
	engine_view_find(engine, class, key, &view);
	return view;
}

static void assert_present(void)
{
	struct resource_view view = view_of("volume", "local/web");
	if (view.state != RES_PRESENT)
		fail_msg("volume is %s: %s", resource_state_names[view.state], view.reason ? view.reason : "");
}

static char *in_pool(const char *file)
{
	return xprintf("%s/images/%s", root, file);
}

static bool there(const char *file)
{
	cleanup_free char *path = in_pool(file);
	return access(path, F_OK) == 0;
}

static void test_made_kept_and_taken_up_again(void **state)
{
	apply(POOL VOLUME("size: 8MiB"));
	assert_present();
	uint64_t inode = view_of("volume", "local/web").incarnation;
	assert_true(engine_converged(engine));
	apply(POOL);
	assert_true(there("web.qcow2"));
	apply(POOL VOLUME("size: 8MiB"));
	assert_present();
	assert_true(view_of("volume", "local/web").incarnation == inode);
	/* A pool with bytes in it is left where it is. */
	apply("");
	assert_true(there("web.qcow2"));
	assert_true(engine_converged(engine));
	apply(POOL VOLUME("size: 16MiB"));
	assert_present();
	assert_true(view_of("volume", "local/web").incarnation == inode);
	assert_int_equal(((const struct volume_state *)view_of("volume", "local/web").seen)->size, 16 << 20);
	/* Nor is the directory forgotten: once the bytes are to go, it goes with them. */
	apply(POOL VOLUME("size: 16MiB, reclaim: delete"));
	apply("");
	cleanup_free char *path = in_pool("");
	assert_int_equal(access(path, F_OK), -1);
}

static void test_reclaim_delete_leaves_nothing(void **state)
{
	apply(POOL VOLUME("size: 8MiB, reclaim: delete, format: raw"));
	assert_present();
	assert_true(there("web.raw"));
	apply("");
	cleanup_free char *path = in_pool("");
	assert_int_equal(access(path, F_OK), -1);
	assert_true(engine_converged(engine));
}

static void test_it_is_known_after_a_restart_without_the_store(void **state)
{
	apply(POOL VOLUME("size: 8MiB, reclaim: delete"));
	stord_stop();
	engine_free(engine);
	start_engine();
	engine_switch(engine, current, false);
	settle(10000);
	assert_present();
	apply(POOL);
	assert_false(there("web.qcow2"));
}

static void test_what_is_gone_is_not_made_anew(void **state)
{
	apply(POOL VOLUME("size: 8MiB"));
	cleanup_free char *path = in_pool("web.qcow2"), *away = xprintf("%s/away", root);
	assert_int_equal(rename(path, away), 0);
	for (int i = 0; i < 100 && view_of("volume", "local/web").state != RES_FAILED; i++)
		settle(50);
	assert_int_equal(view_of("volume", "local/web").state, RES_FAILED);
	assert_non_null(strstr(view_of("volume", "local/web").reason, "was there and is gone"));
	assert_false(there("web.qcow2"));
	/* Brought back, it is seen at once. */
	assert_int_equal(rename(away, path), 0);
	for (int i = 0; i < 100 && view_of("volume", "local/web").state != RES_PRESENT; i++)
		settle(50);
	assert_present();
	/* Without its object it is not missed, and a new one may be had. */
	assert_int_equal(unlink(path), 0);
	settle(300);
	apply(POOL);
	apply(POOL VOLUME("size: 8MiB"));
	assert_present();
}

static void test_foreign_file_is_refused_unless_adopted(void **state)
{
	apply(POOL);
	cleanup_free char *path = in_pool("web.raw");
	assert_int_equal(file_write_atomic(path, "precious", 8, 0644), 0);
	assert_int_equal(truncate(path, 1 << 20), 0);
	apply(POOL VOLUME("size: 1MiB, format: raw"));
	assert_int_equal(view_of("volume", "local/web").state, RES_FOREIGN);
	apply(POOL VOLUME("size: 2MiB, format: raw, adopt: true, reclaim: delete"));
	assert_present();
	assert_int_equal(((const struct volume_state *)view_of("volume", "local/web").seen)->size, 2 << 20);
	apply("");
	assert_true(there("web.raw")); /* never made by us, never deleted */
}

static void test_refusals(void **state)
{
	apply(POOL VOLUME("size: 8MiB"));
	assert_refused(POOL VOLUME("size: 4MiB"), "a volume never shrinks, and this one has 8MiB");
	assert_refused(POOL VOLUME("size: 8MiB, format: raw"), "the format of a Volume cannot be changed");
	assert_refused(
		POOL "apiVersion: weft/v1\nkind: Pool\nmetadata: {name: other}\nspec: {type: dir, path: others}\n---\n"
		     "apiVersion: weft/v1\nkind: Volume\nmetadata: {name: web}\nspec: {pool: other, size: 8MiB}\n",
		"a Volume does not move between pools");
	assert_refused("apiVersion: weft/v1\nkind: Pool\nmetadata: {name: local}\nspec: {type: dir, path: elsewhere}\n",
		       "the directory of a Pool cannot be changed");
	assert_refused(
		POOL "apiVersion: weft/v1\nkind: Pool\nmetadata: {name: other}\nspec: {type: dir, path: ./images//}\n",
		"is the directory of Pool/");
	assert_refused(POOL VOLUME("size: 1000"), "size");
	assert_refused(POOL VOLUME("size: 0"), "size");
	assert_refused(POOL VOLUME("size: 1025KiB, format: raw, preallocation: metadata"), "a raw image has no tables");
	assert_refused("apiVersion: weft/v1\nkind: Pool\nmetadata: {name: local}\nspec: {type: dir, path: .}\n",
		       "a pool cannot be the state directory itself");
	assert_refused("apiVersion: weft/v1\nkind: Pool\nmetadata: {name: local}\nspec: {type: dir, path: //}\n",
		       "a pool cannot be the root directory");
	assert_refused("apiVersion: weft/v1\nkind: Pool\nmetadata: {name: local}\nspec: {type: floppy, path: x}\n",
		       "dir");
}

/* A size or a place that never came true may be taken back. */
static void test_what_never_came_true_may_be_changed(void **state)
{
	cleanup_free char *blocked = xprintf("%s/blocked", root);
	assert_int_equal(file_write_atomic(blocked, "", 0, 0600), 0);
	apply("apiVersion: weft/v1\nkind: Pool\nmetadata: {name: local}\nspec: {type: dir, path: "
	      "blocked/images}\n---\n" VOLUME("size: 1TiB, preallocation: falloc"));
	assert_int_equal(view_of("volume", "local/web").state, RES_WAITING);
	assert_int_equal(view_of("pool", "local").state, RES_FAILED);
	assert_non_null(strstr(view_of("pool", "local").reason, "cannot be"));
	apply(POOL VOLUME("size: 8MiB, format: raw"));
	assert_present();
	unlink(blocked);
}

/* What a revision that is not final has made goes with it. */
static void test_taken_back_with_its_revision(void **state)
{
	apply(POOL);
	struct generation *gen = lowered(POOL VOLUME("size: 8MiB"));
	engine_switch(engine, gen, true);
	settle(10000);
	assert_true(there("web.qcow2"));
	engine_switch(engine, current, false);
	settle(10000);
	assert_false(there("web.qcow2"));
	generation_unref(gen);
}

/* Its removal is called off, since it is wanted again, but has happened: by weft's own hand, so it is not missed. */
static void test_a_removal_that_is_called_off(void **state)
{
	apply(POOL VOLUME("size: 8MiB, reclaim: delete"));
	struct generation *without = lowered(POOL), *again = lowered(POOL VOLUME("size: 8MiB, reclaim: delete"));
	cleanup_free char *path = in_pool("web.qcow2");
	engine_switch(engine, without, false);
	for (int i = 0; i < 100 && view_of("volume", "local/web").state != RES_BUSY; i++) {
		engine_run(engine);
		sd_event_run(env.loop, 1000);
	}
	assert_int_equal(view_of("volume", "local/web").state, RES_BUSY);
	unlink(path);
	engine_switch(engine, again, false);
	settle(10000);
	assert_present();
	assert_true(there("web.qcow2"));
	generation_unref(without);
	generation_unref(current);
	current = again;
}

static int setup(void **state)
{
	registry_init();
	if (!mkdtemp(root))
		return -1;
	memcpy(env.instance, "0123456789abcdef", sizeof(env.instance));
	env.state_dir = root;
	return sd_event_new(&env.loop) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	env.loop = sd_event_unref(env.loop);
	return rmdir(root);
}

static int begin(void **state)
{
	start_engine();
	return 0;
}

static int end(void **state)
{
	stord_stop();
	engine = engine_free(engine);
	if (current)
		current = generation_unref(current);
	cleanup_free char *command = xprintf("rm -rf %s/*", root);
	return system(command);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_made_kept_and_taken_up_again),
		TEST(test_reclaim_delete_leaves_nothing),
		TEST(test_it_is_known_after_a_restart_without_the_store),
		TEST(test_what_is_gone_is_not_made_anew),
		TEST(test_foreign_file_is_refused_unless_adopted),
		TEST(test_refusals),
		TEST(test_what_never_came_true_may_be_changed),
		TEST(test_taken_back_with_its_revision),
		TEST(test_a_removal_that_is_called_off),
	};
	if (geteuid() != 0 || access("/usr/bin/qemu-img", X_OK) < 0) {
		printf("skipped: needs root and qemu-img\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
