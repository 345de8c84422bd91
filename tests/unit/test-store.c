/* SPDX-License-Identifier: Apache-2.0 */
/* The store: what is put in comes back, after kill -9 too; what cannot be used is left out and said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/env.h"
#include "core/event.h"
#include "core/lower-internal.h"
#include "core/store.h"

/* ---- a kind and a class ---- */

struct thing {
	uint64_t present;
	uint32_t mtu;
	const char *text, *secret;
	struct list ips;
};
static const struct field thing_rows[] = {
	F_U32("mtu", struct thing, mtu, .max = 65535, .def = "1500", .doc = "MTU."),
	F_STRING("text", struct thing, text, .doc = "Text."),
	F_STRING("secret", struct thing, secret, .flags = FIELD_SECRET, .doc = "Secret."),
	F_LIST("ips", struct thing, ips, scalar_prefix, .doc = "Addresses."),
};
static const struct table thing_table = TABLE("Thing", struct thing, thing_rows);
static const struct kind thing_kind = {.name = "Thing", .plural = "things", .doc = "A thing.", .table = &thing_table};
static const struct resource_class thing_class = {
	.name = "thing", .doc = "A thing.", .table = &thing_table, .lane = "none"};
static const struct resource_class lost_class = {
	.name = "lost", .doc = "Not registered.", .table = &thing_table, .lane = "none"};

static char dir[64], path[96];
static unsigned n_damaged;

static void on_event(void *ctx, const struct event *event)
{
	n_damaged += streq(event->type, "StoreDamaged");
}

static int set_up(void **state)
{
	strcpy(dir, "/tmp/weft-test-store.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/weft.db", dir);
	n_damaged = 0;
	strcpy(env.boot_id, "boot-1");
	return 0;
}

static int tear_down(void **state)
{
	cleanup_free char *command = xprintf("rm -rf '%s'", dir);
	return system(command);
}

static struct store *open_store(void)
{
	struct store *store = NULL;
	struct err err = {0};
	if (store_open(path, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

static uint64_t final_revision(struct store *store)
{
	uint64_t rev = 0;
	assert_int_equal(store_final_revision(store, &rev, NULL), 0);
	return rev;
}

static struct object *add_object(struct generation *gen, const char *name)
{
	static struct source source = {.name = "things.yaml"};
	source.text = arena_printf(gen->arena,
				   "apiVersion: weft/v1\nkind: Thing\nmetadata: {name: %s}\n"
				   "spec: {mtu: 1400, text: \"yes\", secret: pässword, ips: [10.0.0.1/24]}\n",
				   name);
	source.size = strlen(source.text);
	struct diags diags = {.arena = gen->arena};
	size_t n = 0;
	struct node **docs = yaml_parse(&source, gen->arena, &diags, &n);
	assert_int_equal(n, 1);
	struct object *object = object_decode(docs[0], gen->arena, &diags);
	assert_int_equal(diags.n_total, 0);
	object->set = "default";
	object->file = "things.yaml";
	object->generation = 3;
	arena_grow(gen->arena, gen->objects, gen->n_objects, gen->cap_objects);
	return gen->objects[gen->n_objects++] = object;
}

static struct want *add_want(struct generation *gen, const struct resource_class *class, const char *key,
			     const struct object *owner)
{
	struct thing *spec = table_copy(&thing_table, owner->spec, gen->arena);
	struct want *want = generation_add(gen, class, key, spec);
	want->mark = arena_printf(gen->arena, "weft:id:Thing/%s", owner->name);
	arena_grow(gen->arena, want->owners, want->n_owners, want->cap_owners);
	want->owners[want->n_owners++] = owner;
	return want;
}

static void add_need(struct generation *gen, struct want *a, struct want *b)
{
	arena_grow(gen->arena, a->needs, a->n_needs, a->cap_needs);
	a->needs[a->n_needs++] = b;
}

static struct generation *make_generation(void)
{
	struct generation *gen = generation_new(NULL);
	struct object *one = add_object(gen, "one"), *two = add_object(gen, "two");
	struct want *a = add_want(gen, &thing_class, "a", one), *lost = add_want(gen, &lost_class, "x", one);
	struct want *b = add_want(gen, &thing_class, "b/10.0.0.1/24", two);
	add_need(gen, b, a);
	add_need(gen, b, lost);
	arena_grow(gen->arena, a->handovers, a->n_handovers, a->cap_handovers);
	a->handovers[a->n_handovers++] = b;
	arena_grow(gen->arena, a->afters, a->n_afters, a->cap_afters);
	a->afters[a->n_afters++] = b;
	a->guards_gateway = true;
	b->carrier = a;
	b->adopt = true;
	arena_grow(gen->arena, gen->facts, gen->n_facts, gen->cap_facts);
	gen->facts[gen->n_facts++] = (struct fact_row){"link/eth9/mtu", NULL, two};
	arena_grow(gen->arena, gen->allocs, gen->n_allocs, gen->cap_allocs);
	gen->allocs[gen->n_allocs++] = (struct alloc_row){"Thing/one", "mac", "0", "52:54:00:00:00:01"};
	arena_grow(gen->arena, gen->refused, gen->n_refused, gen->cap_refused);
	gen->refused[gen->n_refused++] = two;
	return gen;
}

static uint64_t put(struct store *store, struct generation *gen, enum revision_state state, uint64_t previous)
{
	struct revision_row row = {
		.state = state, .previous = previous, .who = "root (uid 0)", .what = "apply", .set = "default"};
	struct err err = {0};
	if (store_put_revision(store, &row, gen, &err) < 0)
		fail_msg("%s", err.text);
	return row.rev;
}

/* ---- tests ---- */

static void test_generation_comes_back(void **state)
{
	struct store *store = open_store();
	struct generation *gen = make_generation(), *back = NULL;
	struct err err = {0};
	uint64_t rev = put(store, gen, REVISION_FINAL, 0);
	store = store_close(store);
	store = open_store();
	assert_int_equal(final_revision(store), rev);
	event_follow(on_event, NULL);
	assert_int_equal(store_get_generation(store, rev, &back, &err), 0);
	event_unfollow(on_event, NULL);
	/* The resource of a class that is not there any more is left out, with an event, and so are edges to it. */
	assert_int_equal(n_damaged, 1);
	assert_int_equal(back->n_wants, 2);
	assert_int_equal(back->n_objects, 2);
	const struct want *a = generation_find(back, "thing", "a"),
			  *b = generation_find(back, "thing", "b/10.0.0.1/24");
	assert_ptr_equal(b->owners[0], back->objects[1]);
	assert_int_equal(b->n_needs, 1);
	assert_ptr_equal(b->needs[0], a);
	assert_ptr_equal(a->handovers[0], b);
	assert_ptr_equal(a->afters[0], b);
	assert_true(a->guards_gateway && !b->guards_gateway);
	assert_ptr_equal(b->carrier, a);
	assert_true(b->adopt);
	assert_false(a->adopt);
	assert_string_equal(b->mark, "weft:id:Thing/two");
	assert_int_equal(table_diff(&thing_table, gen->wants[0]->spec, a->spec), 0);
	assert_string_equal(((struct thing *)a->spec)->secret, "pässword");
	assert_int_equal(*present_of(a->spec), *present_of(gen->wants[0]->spec));
	const struct object *one = back->objects[0];
	assert_int_equal(one->generation, 3);
	assert_string_equal(one->set, "default");
	assert_string_equal(one->file, "things.yaml");
	assert_string_equal(((struct thing *)one->spec)->text, "yes");
	assert_string_equal(object_pos(one, "spec.mtu").source->name, "things.yaml");
	assert_ptr_equal(back->refused[0], back->objects[1]);
	assert_null(back->facts[0].value);
	assert_ptr_equal(back->facts[0].reader, back->objects[1]);
	assert_string_equal(back->allocs[0].text, "52:54:00:00:00:01");
	assert_int_equal(store_get_generation(store, 99, &back, &err), -ENOENT);
	generation_unref(gen);
	generation_unref(back);
	store_close(store);
}

static void run_sql(const char *sql)
{
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* As lower_carry() makes one: what of `one` there is stays, all else makes way for another. */
static struct generation *make_next(struct generation *before, const char *fresh)
{
	static const bool anew[] = {false, true};
	struct generation *gen = generation_new(NULL);
	arena_grow(gen->arena, gen->objects, gen->n_objects, gen->cap_objects);
	gen->objects[gen->n_objects++] = before->objects[0];
	struct object *object = add_object(gen, fresh);
	for (size_t i = 0; i < before->n_wants; i++)
		if (before->wants[i]->owners[0] == before->objects[0])
			generation_share(gen, before->wants[i]);
	gen->n_carried = gen->n_wants;
	gen->basis = before->serial;
	gen->basis_rev = before->rev;
	gen->n_deltas = before->n_deltas;
	gen->anew = anew;
	gen->lowered = arena_alloc(gen->arena, 2 * sizeof(struct lowered *));
	gen->lowered[1] = arena_new_of(gen->arena, struct lowered);
	gen->left = (const struct object **)&before->objects[1];
	gen->n_left = !streq(before->objects[1]->name, fresh);
	gen->gone = arena_alloc(gen->lists, before->n_wants * sizeof(struct want *));
	for (size_t i = 0; i < before->n_wants; i++)
		if (before->wants[i]->owners[0] != before->objects[0])
			gen->gone[gen->n_gone++] = before->wants[i];
	add_need(gen, add_want(gen, &thing_class, fresh, object), gen->wants[0]);
	for (size_t i = 0; i < before->n_allocs; i++) {
		arena_grow(gen->arena, gen->allocs, gen->n_allocs, gen->cap_allocs);
		gen->allocs[gen->n_allocs++] = before->allocs[i];
	}
	generation_share_arenas(gen, before);
	return gen;
}

static struct generation *make_first(void)
{
	struct generation *gen = generation_new(NULL);
	struct object *one = add_object(gen, "one"), *two = add_object(gen, "two");
	struct want *a = add_want(gen, &thing_class, "a", one);
	add_need(gen, add_want(gen, &thing_class, "two", two), a);
	arena_grow(gen->arena, gen->facts, gen->n_facts, gen->cap_facts);
	gen->facts[gen->n_facts++] = (struct fact_row){"link/eth9/mtu", "1500", two};
	arena_grow(gen->arena, gen->allocs, gen->n_allocs, gen->cap_allocs);
	gen->allocs[gen->n_allocs++] = (struct alloc_row){"Thing/one", "mac", "0", "52:54:00:00:00:01"};
	return gen;
}

static size_t size_of_lines(uint64_t rev)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT length(lines) FROM generation WHERE rev = ?1", -1, &stmt, NULL),
			 SQLITE_OK);
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)rev);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	size_t size = (size_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return size;
}

/* What is stored as a difference comes back whole, however many of them stand on each other, and pruning leaves what
 * others stand on. */
static void test_differences_come_back(void **state)
{
	enum { MANY = 70 };
	struct store *store = open_store();
	struct generation *gen = make_first(), *back = NULL;
	struct err err = {0};
	uint64_t first = put(store, gen, REVISION_FINAL, 0), rev = first, shortest = UINT64_MAX;
	for (int i = 0; i < MANY; i++) {
		char name[32];
		snprintf(name, sizeof(name), "thing-%d", i / 2); /* every other time only its resource is another one */
		struct generation *next = make_next(gen, name);
		rev = put(store, next, REVISION_FINAL, rev);
		store_set_gone(store, rev - 1, &err);
		size_t size = size_of_lines(rev);
		shortest = size < shortest ? size : shortest;
		generation_unref(gen);
		gen = next;
	}
	assert_true(shortest < size_of_lines(first));
	assert_int_equal(store_prune_revisions(store, 2, &err), 0);
	assert_int_equal(store_get_generation(store, first, &back, &err), -ENOENT);
	event_follow(on_event, NULL);
	for (uint64_t r = rev - 1; r <= rev; r++) {
		assert_int_equal(store_get_generation(store, r, &back, &err), 0);
		assert_int_equal(back->n_objects, 2);
		assert_int_equal(back->n_wants, 2);
		assert_int_equal(back->n_facts, 0); /* two's, and that is gone */
		assert_int_equal(back->n_allocs, 1);
		assert_ptr_equal(generation_find(back, "thing", "thing-34")->needs[0],
				 generation_find(back, "thing", "a"));
		assert_string_equal(generation_find(back, "thing", "thing-34")->owners[0]->name, "thing-34");
		back = generation_unref(back);
	}
	event_unfollow(on_event, NULL);
	assert_int_equal(n_damaged, 0);
	/* A part must not pass for the whole. */
	run_sql("DELETE FROM generation WHERE base = 0");
	assert_int_equal(store_get_generation(store, rev, &back, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "restore it from a backup"));
	generation_unref(gen);
	store_close(store);
}

/* A store of the first schema, whose lines refer to each other by numbers. */
static void test_older_schema_is_kept(void **state)
{
	struct store *store = open_store();
	struct generation *gen = make_first(), *back = NULL;
	struct err err = {0};
	uint64_t rev = put(store, gen, REVISION_FINAL, 0);
	generation_unref(gen);
	store_close(store);
	run_sql("ALTER TABLE generation DROP COLUMN base; ALTER TABLE record DROP COLUMN identity; PRAGMA user_version "
		"= 1;"
		"UPDATE generation SET lines = replace(replace(replace(replace(lines, '\"owners\":[\"Thing/one\"]', "
		"'\"number\":0,\"owners\":[0]'), '\"owners\":[\"Thing/two\"]', '\"number\":1,\"owners\":[1]'), "
		"'\"needs\":[\"thing/a\"]', '\"needs\":[0]'), '\"reader\":\"Thing/two\"', '\"reader\":1')");
	store = open_store();
	assert_int_equal(final_revision(store), rev);
	event_follow(on_event, NULL);
	assert_int_equal(store_get_generation(store, rev, &back, &err), 0);
	event_unfollow(on_event, NULL);
	assert_int_equal(n_damaged, 0);
	const struct want *two = generation_find(back, "thing", "two");
	assert_ptr_equal(two->needs[0], generation_find(back, "thing", "a"));
	assert_string_equal(two->owners[0]->name, "two");
	assert_string_equal(back->facts[0].reader->name, "two");
	assert_true(put(store, back, REVISION_FINAL, rev) > rev);
	generation_unref(back);
	store_close(store);
}

static void test_large_generation_is_quick(void **state)
{
	struct store *store = open_store();
	struct generation *gen = generation_new(NULL), *back = NULL;
	for (int i = 0; i < 2000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "thing-%d", i);
		struct want *want = add_want(gen, &thing_class, name, add_object(gen, name));
		if (i)
			add_need(gen, want, gen->wants[i - 1]);
	}
	uint64_t start = now_ms();
	uint64_t rev = put(store, gen, REVISION_FINAL, 0);
	uint64_t written = now_ms();
	struct err err = {0};
	assert_int_equal(store_get_generation(store, rev, &back, &err), 0);
	uint64_t read = now_ms();
	printf("2000 objects and resources: written in %d ms, read in %d ms\n", (int)(written - start),
	       (int)(read - written));
	assert_int_equal(back->n_wants, 2000);
	/* Far above what it takes, for a loaded machine and the sanitizers. */
	assert_true(read - start < 3000);
	generation_unref(gen);
	generation_unref(back);
	store_close(store);
}

static void test_second_daemon_is_refused(void **state)
{
	struct store *store = open_store();
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		struct store *second = NULL;
		struct err err = {0};
		int r = store_open(path, &second, &err);
		char who[32];
		snprintf(who, sizeof(who), "(pid %d)", getppid());
		_exit(r == -EBUSY && strstr(err.text, "another weftd") && strstr(err.text, who) ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	store_close(store);
	/* A child that outlives its parent does not hold the lock. */
	store = open_store();
	int hold[2];
	assert_int_equal(pipe(hold), 0);
	pid = fork();
	if (pid == 0) {
		char byte;
		close(hold[1]);
		_exit(read(hold[0], &byte, 1) != 0);
	}
	store_close(store);
	store_close(open_store());
	close(hold[1]);
	waitpid(pid, &status, 0);
	close(hold[0]);
}

static void *linger(void *ctx)
{
	usleep(400000);
	_exit(0);
}

/* One that was killed while a thread of it is held up: its first thread is dead, its files are still open. */
static void test_waits_for_one_that_is_ending(void **state)
{
	int ready[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t thread;
		open_store();
		if (write(ready[1], "r", 1) != 1 || pthread_create(&thread, NULL, linger, NULL) != 0)
			_exit(1);
		pthread_exit(NULL);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	usleep(100000);
	store_close(open_store());
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

/* Writes revisions for ever, each with two records in its transaction; told over a pipe which were committed. */
static void write_until_killed(int out)
{
	struct store *store = open_store();
	struct generation *gen = make_generation();
	for (;;) {
		struct err err = {0};
		struct revision_row row = {.state = REVISION_FINAL, .who = "root", .what = "apply"};
		if (store_begin(store, &err) < 0 || store_put_revision(store, &row, gen, &err) < 0)
			_exit(1);
		char key[32];
		snprintf(key, sizeof(key), "%llu", (unsigned long long)row.rev);
		struct engine_record records[] = {{.class = "thing", .key = key, .made = true},
						  {.class = "other", .key = key}};
		if (store_put_records(store, records, 2, &err) < 0 || store_commit(store, &err) < 0)
			_exit(2);
		if (write(out, &row.rev, sizeof(row.rev)) != sizeof(row.rev))
			_exit(3);
	}
}

static void count_record(void *ctx, const struct engine_record *record)
{
	(*(uint64_t *)ctx)++;
}

static void count_revision(void *ctx, const struct revision_row *row)
{
	(*(uint64_t *)ctx)++;
}

static void test_kill_in_mid_commit(void **state)
{
	for (unsigned round = 0; round < 8; round++) {
		int out[2];
		assert_int_equal(pipe(out), 0);
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			close(out[0]);
			write_until_killed(out[1]);
		}
		close(out[1]);
		uint64_t last = 0, rev = 0;
		for (unsigned i = 0; i < 3 + round && read(out[0], &rev, sizeof(rev)) == sizeof(rev); i++)
			last = rev;
		usleep(200 * round);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(out[0], &rev, sizeof(rev)) == sizeof(rev))
			last = rev;
		close(out[0]);
		assert_true(last > 0);
		struct store *store = open_store();
		struct generation *gen = NULL;
		uint64_t final = final_revision(store), n_records = 0, n_revisions = 0;
		/* What was told is there; the one that was on its way is there whole or not at all. */
		assert_in_range(final, last, last + 1);
		assert_int_equal(store_get_generation(store, final, &gen, NULL), 0);
		assert_int_equal(gen->n_objects, 2);
		store_each_record(store, count_record, &n_records, NULL);
		store_each_revision(store, count_revision, &n_revisions, NULL);
		assert_int_equal(n_records, 2 * n_revisions);
		generation_unref(gen);
		store_close(store);
	}
}

static void find_record(void *ctx, const struct engine_record *record)
{
	struct engine_record *found = ctx;
	if (!streq(record->class, "link"))
		return;
	*found = *record;
	json_incref(found->baseline);
	assert_string_equal(record->identity, "the first");
}

static void test_records(void **state)
{
	struct store *store = open_store();
	struct err err = {0};
	json_t *baseline = json_pack("{s:i}", "mtu", 1500);
	struct engine_record records[] = {{.class = "link",
					   .key = "eth0",
					   .made = true,
					   .incarnation = UINT64_MAX,
					   .identity = "the first",
					   .fresh = true,
					   .baseline = baseline},
					  {.class = "a", .key = "b"}};
	assert_int_equal(store_put_records(store, records, 2, &err), 0);
	struct engine_record found = {0};
	assert_int_equal(store_each_record(store, find_record, &found, &err), 0);
	assert_true(found.made);
	assert_false(found.old_boot);
	assert_true(found.incarnation == UINT64_MAX);
	assert_true(found.fresh);
	assert_true(json_equal(found.baseline, baseline));
	json_decref(found.baseline);
	strcpy(env.boot_id, "boot-2");
	found = (struct engine_record){0};
	store_each_record(store, find_record, &found, &err);
	assert_true(found.old_boot);
	json_decref(found.baseline);
	records[0].forget = true;
	assert_int_equal(store_put_records(store, records, 1, &err), 0);
	uint64_t n = 0;
	store_each_record(store, count_record, &n, &err);
	assert_int_equal(n, 1);
	json_decref(baseline);
	store_close(store);
}

static void note_leaving(void *ctx, uint64_t rev)
{
	*(uint64_t *)ctx |= 1u << rev;
}

static void test_revision_states_and_pruning(void **state)
{
	struct store *store = open_store();
	struct generation *gen = make_generation();
	struct err err = {0};
	uint64_t leaving = 0, n = 0;
	for (int i = 1; i <= 5; i++)
		assert_int_equal(put(store, gen, REVISION_FINAL, (uint64_t)i - 1), i);
	assert_int_equal(put(store, gen, REVISION_APPLYING, 5), 6);
	assert_int_equal(final_revision(store), 5);
	store_each_leaving(store, note_leaving, &leaving, &err);
	assert_int_equal(leaving, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6);
	struct revision_row row = {.rev = 6, .state = REVISION_REFUSED, .message = "no"};
	assert_int_equal(store_update_revision(store, &row, &err), 0);
	row.rev = 77;
	assert_int_equal(store_update_revision(store, &row, &err), -ENOENT);
	for (uint64_t rev = 1; rev <= 3; rev++)
		assert_int_equal(store_set_gone(store, rev, &err), 0);
	leaving = 0;
	store_each_leaving(store, note_leaving, &leaving, &err);
	assert_int_equal(leaving, 1 << 4 | 1 << 6);
	assert_int_equal(store_prune_revisions(store, 1, &err), 0);
	store_each_revision(store, count_revision, &n, &err);
	assert_int_equal(n, 3); /* 4 may still have something on the host, 5 is final, 6 is the newest */
	struct generation *back = NULL;
	assert_int_equal(store_get_generation(store, 1, &back, &err), -ENOENT);
	generation_unref(gen);
	store_close(store);
}

static void test_overrides_and_values(void **state)
{
	struct store *store = open_store();
	struct err err = {0};
	cleanup_arena struct arena *arena = arena_new();
	struct override_row *rows = NULL;
	size_t n = 0;
	char *text = NULL;
	assert_int_equal(store_put_override(store, "Guest/web", "stopped", "ada", &err), 0);
	assert_int_equal(store_put_override(store, "Guest/db", "stopped", NULL, &err), 0);
	assert_int_equal(store_put_override(store, "Guest/db", NULL, NULL, &err), 0);
	assert_int_equal(store_get_overrides(store, arena, &rows, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_string_equal(rows[0].who, "ada");
	assert_true(rows[0].when_ms > 0);
	assert_int_equal(store_put_value(store, "hash", "abc", &err), 0);
	assert_int_equal(store_put_value(store, "hash", "def", &err), 0);
	assert_int_equal(store_get_value(store, "hash", &text, &err), 0);
	assert_string_equal(text, "def");
	free(text);
	store_put_value(store, "hash", NULL, &err);
	assert_int_equal(store_get_value(store, "hash", &text, &err), 0);
	assert_null(text);
	store_close(store);
}

static void assert_refused(const char *what)
{
	struct store *store = NULL;
	struct err err = {0};
	assert_true(store_open(path, &store, &err) < 0);
	assert_null(store);
	if (!strstr(err.text, what))
		fail_msg("%s", err.text);
}

static void test_newer_schema_is_refused(void **state)
{
	store_close(open_store());
	run_sql("PRAGMA user_version = 9");
	assert_refused("written by a newer weft");
}

static void test_foreign_files_are_refused(void **state)
{
	assert_int_equal(file_write_atomic(path, "this is no database, whatever its name says", 43, 0600), 0);
	assert_refused("not a database");
	unlink(path);
	run_sql("CREATE TABLE song (title TEXT)");
	assert_refused("not a store of weft");
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
}

static void test_damaged_lines_are_left_out(void **state)
{
	struct store *store = open_store();
	struct generation *gen = make_generation(), *back = NULL;
	struct err err = {0};
	uint64_t rev = put(store, gen, REVISION_FINAL, 0);
	run_sql("UPDATE generation SET lines = replace(lines, '\"want\":\"a\"', '\"want\":\"a') || '{\"later\":1}' || "
		"char(10) || 'rubbish'");
	event_follow(on_event, NULL);
	assert_int_equal(store_get_generation(store, rev, &back, &err), 0);
	assert_int_equal(n_damaged, 4); /* the damaged one, the lost class, what is not known, what is no JSON */
	assert_int_equal(back->n_objects, 2);
	assert_int_equal(back->n_wants, 1);
	/* What follows a damaged line keeps its number, so that no edge leads elsewhere. */
	assert_string_equal(back->wants[0]->owners[0]->name, "two");
	assert_int_equal(back->wants[0]->n_needs, 0);
	assert_null(back->wants[0]->carrier);
	back = generation_unref(back);
	run_sql("UPDATE generation SET lines = replace(lines, 'Thing', 'Gone')");
	assert_int_equal(store_get_generation(store, rev, &back, &err), 0);
	event_unfollow(on_event, NULL);
	assert_int_equal(back->n_objects, 0);
	generation_unref(back);
	generation_unref(gen);
	store_close(store);
}

/* As after an upgrade whose class reads its rows in another way. */
static void test_spec_of_another_time_stays_wanted(void **state)
{
	struct store *store = open_store();
	struct generation *gen = make_generation(), *back = NULL;
	uint64_t rev = put(store, gen, REVISION_FINAL, 0);
	run_sql("UPDATE generation SET lines = replace(lines, '\"spec\":{\"mtu\":1400,\"text\":\"yes\",\"s', "
		"'\"spec\":{\"mtv\":1,\"mtu\":\"much\",\"text\":\"yes\",\"s')");
	event_follow(on_event, NULL);
	assert_int_equal(store_get_generation(store, rev, &back, NULL), 0);
	event_unfollow(on_event, NULL);
	assert_true(n_damaged >= 3);
	const struct thing *spec = generation_find(back, "thing", "a")->spec;
	assert_string_equal(spec->text, "yes");
	assert_false(spec->present & 1);
	back = generation_unref(back);
	run_sql("UPDATE generation SET lines = replace(lines, '\"text\":\"yes\"', '\"text\":[1]')");
	assert_int_equal(store_get_generation(store, rev, &back, NULL), 0);
	assert_int_equal(*present_of(generation_find(back, "thing", "a")->spec), 0);
	generation_unref(back);
	generation_unref(gen);
	store_close(store);
}

static void test_damaged_pages_are_an_error(void **state)
{
	struct store *store = open_store();
	struct generation *gen = make_generation(), *back = NULL;
	for (int i = 0; i < 50; i++)
		put(store, gen, REVISION_FINAL, 0);
	store_close(store);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	fstat(fd, &st);
	for (off_t at = 4096; at < st.st_size; at += 512)
		assert_int_equal(pwrite(fd, "damage", 6, at), 6);
	close(fd);
	struct err err = {0};
	int r = store_open(path, &store, &err);
	if (r == 0) {
		r = store_get_generation(store, 1, &back, &err);
		store_close(store);
	}
	assert_true(r < 0);
	assert_non_null(strstr(err.text, "restore it from a backup"));
	generation_unref(gen);
}

static void test_full_disk_is_an_error(void **state)
{
	struct store *store = open_store();
	struct generation *gen = make_generation();
	struct err err = {0};
	uint64_t before = put(store, gen, REVISION_FINAL, 0), n = 0;
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit old, small = {.rlim_cur = 64 * 1024, .rlim_max = RLIM_INFINITY};
	getrlimit(RLIMIT_FSIZE, &old);
	setrlimit(RLIMIT_FSIZE, &small);
	int r = 0;
	for (int i = 0; i < 100 && r == 0; i++) {
		struct revision_row row = {.state = REVISION_FINAL};
		r = store_put_revision(store, &row, gen, &err);
		before += r == 0;
		assert_true(r == 0 || row.rev == 0);
	}
	assert_true(r < 0);
	assert_non_null(strstr(err.text, path));
	setrlimit(RLIMIT_FSIZE, &old);
	/* Nothing of it is there, and the store goes on. */
	assert_int_equal(final_revision(store), before);
	assert_true(put(store, gen, REVISION_FINAL, 0) > before);
	store_each_revision(store, count_revision, &n, &err);
	assert_int_equal(n, before + 1);
	generation_unref(gen);
	store_close(store);
}

static void test_nested_failure_gives_up_all(void **state)
{
	struct store *store = open_store();
	struct err err = {0};
	char *text = NULL;
	assert_int_equal(store_begin(store, &err), 0);
	assert_int_equal(store_begin(store, &err), 0);
	assert_int_equal(store_put_value(store, "k", "v", &err), 0);
	store_abort(store);
	assert_int_equal(store_commit(store, &err), -EIO);
	assert_int_equal(store_get_value(store, "k", &text, &err), 0);
	assert_null(text);
	assert_int_equal(store_put_value(store, "k", "v", &err), 0);
	store_close(store);
}

/* Nothing final is another thing than nothing that can be read: then weftd must not start, or it would remove
 * everything. */
static void test_unreadable_is_not_empty(void **state)
{
	struct store *store = open_store();
	struct err err = {0};
	uint64_t rev = 7;
	assert_int_equal(store_final_revision(store, &rev, &err), 0);
	assert_int_equal(rev, 0);
	sqlite3 *other = NULL;
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "DROP TABLE revision", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_true(store_final_revision(store, &rev, &err) < 0);
	store_close(store);
}

int main(void)
{
	kind_register(&thing_kind, NULL);
	class_register(&thing_class, NULL);
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_generation_comes_back),       TEST(test_large_generation_is_quick),
		TEST(test_differences_come_back),       TEST(test_older_schema_is_kept),
		TEST(test_second_daemon_is_refused),    TEST(test_waits_for_one_that_is_ending),
		TEST(test_kill_in_mid_commit),          TEST(test_records),
		TEST(test_revision_states_and_pruning), TEST(test_overrides_and_values),
		TEST(test_newer_schema_is_refused),     TEST(test_foreign_files_are_refused),
		TEST(test_damaged_lines_are_left_out),  TEST(test_spec_of_another_time_stays_wanted),
		TEST(test_damaged_pages_are_an_error),  TEST(test_full_disk_is_an_error),
		TEST(test_nested_failure_gives_up_all), TEST(test_unreadable_is_not_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
