/* SPDX-License-Identifier: Apache-2.0 */
/* The engine in situations that chance seldom finds: each test is one story, told to the toy host step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"

enum { RECORDS_MAX = 64 };

struct world {
	struct toy_host host;
	struct engine *engine;
	struct engine_record records[RECORDS_MAX];
	size_t n_records;
	bool disk_full;
};

static uint64_t clock_now(void *ctx)
{
	return ((struct world *)ctx)->host.clock_ms;
}

static void wake(void *ctx)
{
}

static void drop_record(struct world *w, const char *class, const char *key)
{
	for (size_t i = 0; i < w->n_records; i++) {
		struct engine_record *r = &w->records[i];
		if (!streq(r->class, class) || !streq(r->key, key))
			continue;
		json_decref(r->baseline);
		free((char *)r->key);
		*r = w->records[--w->n_records];
		return;
	}
}

static int persist(void *ctx, const struct engine_record *records, size_t n, struct err *err)
{
	struct world *w = ctx;
	if (w->disk_full)
		return err_set(err, ENOSPC, "the disk is full");
	for (size_t i = 0; i < n; i++) {
		drop_record(w, records[i].class, records[i].key);
		if (records[i].forget)
			continue;
		assert_true(w->n_records < RECORDS_MAX);
		struct engine_record *r = &w->records[w->n_records++];
		*r = records[i];
		r->key = xstrdup(records[i].key);
		json_incref(r->baseline);
	}
	return 0;
}

static const struct engine_record *record_of(const struct world *w, const char *class, const char *key)
{
	for (size_t i = 0; i < w->n_records; i++)
		if (streq(w->records[i].class, class) && streq(w->records[i].key, key))
			return &w->records[i];
	return NULL;
}

static void start(struct world *w)
{
	struct engine_host host = {.ctx = w, .now_ms = clock_now, .persist = persist, .wake = wake};
	w->engine = engine_new(&host);
	w->host.engine = w->engine;
	engine_add_lane(w->engine, &w->host.lane);
	for (size_t i = 0; i < w->n_records; i++)
		engine_load_record(w->engine, &w->records[i]);
}

/* weftd dies and comes back; what it is to do then is the test's to say. */
static void restart(struct world *w)
{
	toy_crash(&w->host);
	engine_free(w->engine);
	start(w);
}

static int set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	toy_init(&w->host, 1);
	start(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	toy_crash(&w->host);
	engine_free(w->engine);
	while (w->n_records)
		drop_record(w, w->records[0].class, w->records[0].key);
	free(w->host.ops);
	free(w);
	return 0;
}

/* Runs until nothing is left to do at this time; returns the operations that were done, at most `max`. */
static unsigned run(struct world *w, unsigned max)
{
	unsigned n = 0;
	engine_run(w->engine);
	while (w->host.n_ops && n < max) {
		toy_do(&w->host, 0);
		n++;
		engine_run(w->engine);
	}
	return n;
}

/* The same over some time, with its timers. */
static unsigned run_for(struct world *w, uint64_t ms)
{
	uint64_t end = w->host.clock_ms + ms;
	unsigned n = run(w, 100000);
	for (uint64_t next = engine_run(w->engine); next <= end; next = engine_run(w->engine)) {
		w->host.clock_ms = next > w->host.clock_ms ? next : w->host.clock_ms + 1;
		n += run(w, 100000);
	}
	w->host.clock_ms = end;
	return n;
}

static void add(struct generation *gen, enum toy_class class, const struct toy_spec *spec)
{
	struct want *w =
		generation_add(gen, toy_classes[class], "n0", table_copy(toy_classes[class]->table, spec, gen->arena));
	w->mark = "mark";
}

static struct generation *with_volume(bool reclaim)
{
	struct generation *gen = generation_new(NULL);
	struct toy_spec volume = {.present = 0x24, .size = 1, .reclaim = reclaim};
	add(gen, TOY_VOLUME, &volume);
	return gen;
}

static void switch_to(struct world *w, struct generation *gen, bool pending)
{
	w->host.pending = pending;
	engine_switch(w->engine, gen, pending);
	run(w, 1000);
	generation_unref(gen);
}

static const struct toy_thing *volume(const struct world *w)
{
	return &w->host.things[TOY_VOLUME][0];
}

/* ---- bytes ---- */

static void test_older_reclaim_does_not_count(void **state)
{
	struct world *w = *state;
	switch_to(w, with_volume(true), false);
	assert_true(volume(w)->exists);
	restart(w);
	struct generation *first = with_volume(true), *second = with_volume(false);
	first->final = second->final = true;
	engine_leave(w->engine, first);
	engine_leave(w->engine, second);
	switch_to(w, generation_new(NULL), false);
	generation_unref(first);
	generation_unref(second);
	assert_true(volume(w)->exists);
}

/* A detached volume was taken up with `reclaim: delete` by an apply that was taken back. */
static void test_undone_reclaim_does_not_count(void **state)
{
	struct world *w = *state;
	switch_to(w, with_volume(false), false);
	switch_to(w, generation_new(NULL), false);
	assert_true(volume(w)->exists);
	switch_to(w, with_volume(true), true);
	switch_to(w, generation_new(NULL), false);
	assert_true(volume(w)->exists);
}

/* The same, but weftd died before it was taken back. */
static void test_crashed_reclaim_does_not_count(void **state)
{
	struct world *w = *state;
	switch_to(w, with_volume(false), false);
	switch_to(w, generation_new(NULL), false);
	switch_to(w, with_volume(true), true);
	restart(w);
	struct generation *undone = with_volume(true);
	engine_leave(w->engine, undone);
	switch_to(w, generation_new(NULL), false);
	generation_unref(undone);
	assert_true(volume(w)->exists);
}

static void test_reclaim_deletes(void **state)
{
	struct world *w = *state;
	switch_to(w, with_volume(true), true);
	engine_final(w->engine);
	run(w, 1000);
	switch_to(w, generation_new(NULL), false);
	assert_false(volume(w)->exists);
}

/* What an apply has made goes with it, whatever it says of its bytes. */
static void test_fresh_volume_is_taken_back(void **state)
{
	struct world *w = *state;
	switch_to(w, with_volume(false), true);
	assert_true(volume(w)->exists);
	switch_to(w, generation_new(NULL), false);
	assert_false(volume(w)->exists);
}

/* ---- records ---- */

/* It went while the disk was full, and was made anew: both are written at once, and it is on record. */
static void test_record_of_what_came_back(void **state)
{
	struct world *w = *state;
	struct toy_spec spec = {.present = 3};
	struct generation *gen = generation_new(NULL);
	add(gen, TOY_LINK, &spec);
	engine_switch(w->engine, gen, false);
	run(w, 1000);
	assert_non_null(record_of(w, "link", "n0"));
	switch_to(w, generation_new(NULL), false);
	assert_null(record_of(w, "link", "n0"));
	engine_switch(w->engine, gen, false);
	run(w, 1000);
	struct generation *empty = generation_new(NULL);
	engine_switch(w->engine, empty, false);
	while (w->host.things[TOY_LINK][0].exists) {
		engine_run(w->engine);
		toy_do(&w->host, 0);
	}
	w->disk_full = true;
	run(w, 1000);
	engine_switch(w->engine, gen, false);
	engine_run(w->engine); /* it is looked at, and the disk is full still */
	w->disk_full = false;
	run(w, 1000);
	assert_true(w->host.things[TOY_LINK][0].exists);
	assert_non_null(record_of(w, "link", "n0"));
	generation_unref(empty);
	generation_unref(gen);
}

/* ---- what others made ---- */

static struct generation *with_setting(uint64_t rows, uint32_t mtu)
{
	struct generation *gen = generation_new(NULL);
	struct toy_spec spec = {.present = rows, .mtu = mtu, .model = 7, .size = 0};
	add(gen, TOY_SETTING, &spec);
	return gen;
}

/* Of what was taken over, each row goes back once it is not wanted any more, and then belongs to others again. */
static void test_rows_go_back_one_by_one(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	t->mtu = 3;
	switch_to(w, with_setting(4, 0), false);
	switch_to(w, with_setting(5, 9), false);
	assert_int_equal(t->mtu, 9);
	restart(w);
	switch_to(w, with_setting(4, 0), false);
	assert_int_equal(t->mtu, 3);
	t->mtu = 8;
	engine_dirty(w->engine, "setting", "n0");
	run(w, 1000);
	assert_int_equal(t->mtu, 8);
	switch_to(w, with_setting(5, 9), true);
	assert_int_equal(t->mtu, 9);
	switch_to(w, generation_new(NULL), false);
	assert_int_equal(t->mtu, 8);
	assert_null(record_of(w, "setting", "n0"));
}

/* It cannot be had as it was: after some tries it is left, and nothing waits for it any longer. */
static void test_what_does_not_go_back(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	t->mtu = 3;
	switch_to(w, with_setting(1, 9), false);
	w->host.deaf = true;
	unsigned long before = w->host.n_done;
	switch_to(w, generation_new(NULL), false);
	run_for(w, 60 * 1000);
	assert_int_equal(t->mtu, 9);
	assert_in_range(w->host.n_done - before, 2, 12);
	assert_null(record_of(w, "setting", "n0"));
	assert_true(engine_converged(w->engine));
}

/* One setting comes after another, and both go back in the same order. */
static void test_order_there_and_back(void **state)
{
	struct world *w = *state;
	struct toy_thing *first = &w->host.things[TOY_SETTING][1], *second = &w->host.things[TOY_SETTING][0];
	first->mtu = second->mtu = 3;
	struct generation *gen = with_setting(5, 9);
	struct want *x = gen->wants[0];
	struct want *y = generation_add(gen, x->class, "n1", table_copy(x->class->table, x->spec, gen->arena));
	arena_grow(gen->arena, x->afters, x->n_afters, x->cap_afters);
	x->afters[x->n_afters++] = y;
	arena_grow(gen->arena, x->handovers, x->n_handovers, x->cap_handovers);
	x->handovers[x->n_handovers++] = y;
	engine_switch(w->engine, gen, false);
	while (second->mtu != 9) {
		assert_true(run(w, 1) > 0);
		assert_true(first->mtu == 9 || second->mtu == 3);
	}
	run(w, 1000);
	assert_true(engine_converged(w->engine));
	struct generation *empty = generation_new(NULL);
	engine_switch(w->engine, empty, false);
	while (second->mtu != 3) {
		assert_true(run(w, 1) > 0);
		assert_true(first->mtu == 3 || second->mtu == 9);
	}
	run(w, 1000);
	assert_false(engine_leaving(w->engine));
	assert_int_equal(w->n_records, 0);
	generation_unref(empty);
	generation_unref(gen);
}

/* What rests on something comes without it, and is gone before it goes; also when another daemon takes them away. */
static void test_rests(void **state)
{
	struct world *w = *state;
	struct toy_thing *above = &w->host.things[TOY_LINK][0], *below = &w->host.things[TOY_LINK][1];
	struct generation *gen = generation_new(NULL);
	struct toy_spec spec = {.present = 3};
	add(gen, TOY_LINK, &spec);
	struct want *x = gen->wants[0];
	struct want *y = generation_add(gen, x->class, "n1", table_copy(x->class->table, x->spec, gen->arena));
	y->mark = x->mark;
	arena_grow(gen->arena, x->rests, x->n_rests, x->cap_rests);
	x->rests[x->n_rests++] = y;
	engine_switch(w->engine, gen, false);
	run(w, 1000);
	assert_true(above->exists && below->exists);
	restart(w);
	struct generation *empty = generation_new(NULL);
	engine_leave(w->engine, gen);
	w->host.immortal = true;
	engine_switch(w->engine, empty, false);
	run_for(w, 5000);
	assert_true(above->exists && below->exists);
	w->host.immortal = false;
	for (unsigned i = 0; i < 120; i++) {
		run_for(w, 1000);
		assert_true(below->exists || !above->exists);
	}
	assert_false(above->exists || below->exists);
	generation_unref(empty);
	generation_unref(gen);
}

/* A pair of links, of which the one that is made brings along n1 or n2. */
static struct generation *pair(size_t other_end)
{
	struct generation *gen = generation_new(NULL);
	char key[] = {'n', (char)('0' + other_end), '\0'};
	add(gen, TOY_LINK, &(struct toy_spec){.present = 3, .type = TOY_PAIR + (uint32_t)other_end});
	struct toy_spec spec = {.present = 1, .mtu = 2};
	struct want *link = gen->wants[0];
	struct want *end = generation_add(gen, link->class, key, table_copy(link->class->table, &spec, gen->arena));
	arena_grow(gen->arena, end->needs, end->n_needs, end->cap_needs);
	end->needs[end->n_needs++] = link;
	return gen;
}

/* Whichever of the two is looked at first: the new end is not missed before the link is made anew. */
static void test_the_other_end_is_another(void **state)
{
	struct world *w = *state;
	for (unsigned last_first = 0; last_first < 2; last_first++) {
		switch_to(w, pair(1), false);
		run_for(w, 1000);
		struct generation *gen = pair(2);
		w->host.pending = true;
		engine_switch(w->engine, gen, true);
		generation_unref(gen);
		engine_run(w->engine);
		while (w->host.n_ops) {
			bool made = w->host.things[TOY_LINK][2].exists;
			toy_do(&w->host, last_first ? w->host.n_ops - 1 : 0);
			if (!made && w->host.things[TOY_LINK][2].exists)
				engine_dirty(w->engine, "link", "n2");
			engine_run(w->engine);
			assert_int_not_equal(engine_outcome(w->engine, NULL), ENGINE_REFUSED);
		}
		assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
		engine_final(w->engine);
		run_for(w, 1000);
		assert_true(w->host.things[TOY_LINK][2].exists && !w->host.things[TOY_LINK][1].exists);
		assert_int_equal(w->host.things[TOY_LINK][2].mtu, 2);
		switch_to(w, generation_new(NULL), false);
		run_for(w, 1000);
	}
}

/* ---- no busy loops ---- */

static void test_what_does_not_stay(void **state)
{
	struct world *w = *state;
	w->host.dies = true;
	struct generation *gen = generation_new(NULL);
	add(gen, TOY_VOLUME, &(struct toy_spec){.present = 0x24, .size = 1});
	add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	engine_switch(w->engine, gen, false);
	assert_true(run_for(w, 60 * 1000) < 300);
	w->host.dies = false;
	run_for(w, 120 * 1000);
	assert_true(w->host.things[TOY_LINK][0].exists);
	generation_unref(gen);
}

static void test_what_does_not_go(void **state)
{
	struct world *w = *state;
	struct generation *gen = generation_new(NULL);
	add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	switch_to(w, gen, false);
	w->host.immortal = true;
	switch_to(w, generation_new(NULL), false);
	assert_true(run_for(w, 60 * 1000) < 300);
	w->host.immortal = false;
	run_for(w, 120 * 1000);
	assert_false(w->host.things[TOY_LINK][0].exists);
}

/* A rival that answers every repair at once is not fought at its pace. */
static void test_rival_is_not_fought(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	switch_to(w, with_setting(1, 9), false);
	unsigned n_repairs = 0;
	for (unsigned i = 0; i < 6000; i++) { /* ten minutes */
		n_repairs += t->mtu == 9;
		t->mtu = 4;
		engine_dirty(w->engine, "setting", "n0");
		run_for(w, 100);
	}
	assert_in_range(n_repairs, 5, 40);
	struct resource_view view;
	assert_true(engine_view_find(w->engine, "setting", "n0", &view));
	assert_int_equal(view.state, RES_CONTESTED);
	run_for(w, 3600 * 1000);
	assert_int_equal(t->mtu, 9);
}

/* What never goes does not keep all that was applied since. */
static void test_generations_are_freed(void **state)
{
	struct world *w = *state;
	struct generation *gen = generation_new(NULL);
	add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	switch_to(w, gen, false);
	w->host.immortal = true;
	struct generation *early = NULL;
	for (uint32_t i = 0; i < 50; i++) {
		gen = with_setting(1, i % 3);
		if (i == 10)
			early = generation_ref(gen);
		switch_to(w, gen, false);
		run_for(w, 100 * 1000);
	}
	assert_true(w->host.things[TOY_LINK][0].exists);
	assert_int_equal(early->refs, 1);
	generation_unref(early);
	w->host.immortal = false;
	run_for(w, 120 * 1000);
	assert_false(w->host.things[TOY_LINK][0].exists);
	assert_true(engine_converged(w->engine));
}

static void test_what_is_always_another(void **state)
{
	struct world *w = *state;
	struct generation *gen = generation_new(NULL);
	add(gen, TOY_LINK, &(struct toy_spec){.present = 3, .mtu = 1});
	switch_to(w, gen, false);
	w->host.stale = true;
	gen = generation_new(NULL);
	add(gen, TOY_LINK, &(struct toy_spec){.present = 3, .mtu = 2});
	switch_to(w, gen, false);
	assert_true(run_for(w, 60 * 1000) < 300);
	w->host.stale = false;
	run_for(w, 120 * 1000);
	assert_int_equal(w->host.things[TOY_LINK][0].mtu, 2);
}

/* ---- outcomes ---- */

static void probed(void *ctx)
{
	*(bool *)ctx = true;
}

/* A volume whose making takes so long that an apply stands without it, and a link; the time when that is so. */
static void begin_long_work(struct world *w, bool link_needs_it)
{
	struct generation *gen = with_volume(false);
	add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	if (link_needs_it) {
		struct want *link = gen->wants[1];
		arena_grow(gen->arena, link->needs, link->n_needs, link->cap_needs);
		link->needs[link->n_needs++] = gen->wants[0];
	}
	w->host.pending = true;
	engine_switch(w->engine, gen, true);
	generation_unref(gen);
	while (!w->host.n_ops || w->host.ops[0]->verb == OP_OBSERVE || w->host.n_ops > 1) {
		engine_run(w->engine);
		size_t i = 0;
		while (i + 1 < w->host.n_ops && w->host.ops[i]->class == toy_classes[TOY_VOLUME] &&
		       w->host.ops[i]->verb == OP_CREATE)
			i++;
		toy_do(&w->host, i);
		engine_run(w->engine);
	}
	assert_ptr_equal(w->host.ops[0]->class, toy_classes[TOY_VOLUME]);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_RUNNING);
	uint64_t next = engine_run(w->engine); /* somebody has to look when it is time */
	assert_in_range(next, w->host.clock_ms + 1, w->host.clock_ms + 15 * 1000);
	w->host.clock_ms = next;
	engine_run(w->engine);
}

static void test_long_work_that_a_link_needs_is_waited_for(void **state)
{
	struct world *w = *state;
	begin_long_work(w, true);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_RUNNING);
	run(w, 1000);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
	assert_true(volume(w)->exists && w->host.things[TOY_LINK][0].exists);
}

static void test_long_work_lets_an_apply_stand(void **state)
{
	struct world *w = *state;
	begin_long_work(w, false);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
	/* Nor does it hold up who only wants to look. */
	bool done = false;
	struct generation *gen = with_volume(true);
	engine_probe(w->engine, gen, probed, &done);
	generation_unref(gen);
	engine_run(w->engine);
	assert_true(done);
	w->host.pending = false;
	engine_final(w->engine);
	run(w, 1000);
	assert_true(volume(w)->exists && engine_converged(w->engine));
}

/* ---- beside an operation that does not end ---- */

/* All of it but one class, as lowering carries it over. */
static struct generation *carrying(const struct generation *before, enum toy_class but)
{
	struct generation *gen = generation_new(NULL);
	gen->gone = arena_alloc(gen->lists, before->n_wants * sizeof(struct want *));
	for (size_t i = 0; i < before->n_wants; i++) {
		struct want *w = before->wants[i];
		if (w->class == toy_classes[but])
			gen->gone[gen->n_gone++] = w;
		else
			generation_share(gen, w);
	}
	gen->n_carried = gen->n_wants;
	gen->basis = before->serial;
	generation_share_arenas(gen, before);
	return gen;
}

static bool is_held(const struct op *op, enum op_verb verb)
{
	return op->class == toy_classes[TOY_VOLUME] && op->verb == verb;
}

/* Does all there is to do but what is held of the volume. */
static void run_beside(struct world *w, enum op_verb held)
{
	engine_run(w->engine);
	for (size_t i = 0; i < w->host.n_ops;) {
		if (is_held(w->host.ops[i], held)) {
			i++;
			continue;
		}
		toy_do(&w->host, i);
		engine_run(w->engine);
		i = 0;
	}
}

static void switch_beside(struct world *w, struct generation *gen, enum op_verb held)
{
	bool done = false;
	engine_probe_change(w->engine, gen, probed, &done);
	run_beside(w, held);
	assert_true(done);
	done = false;
	engine_probe(w->engine, gen, probed, &done);
	run_beside(w, held);
	assert_true(done);
	w->host.pending = true;
	engine_switch(w->engine, gen, true);
	run_beside(w, held);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
	w->host.pending = false;
	engine_final(w->engine);
	run_beside(w, held);
}

static struct generation *with_link_and_volume(uint32_t size)
{
	struct generation *gen = generation_new(NULL);
	add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	add(gen, TOY_VOLUME, &(struct toy_spec){.present = 0x24, .size = size, .reclaim = true});
	return gen;
}

/* What is current differs from before by a setting, carried over or lowered anew. */
static void change_setting(struct world *w, uint32_t mtu, bool carry, enum op_verb held)
{
	struct generation *gen =
		carry ? carrying(engine_generation(w->engine), TOY_SETTING) : with_link_and_volume(1);
	add(gen, TOY_SETTING, &(struct toy_spec){.present = 1, .mtu = mtu});
	switch_beside(w, gen, held);
	generation_unref(gen);
	assert_int_equal(w->host.things[TOY_SETTING][0].mtu, mtu);
}

static void test_changes_beside_a_copy(void **state)
{
	struct world *w = *state;
	struct generation *gen = with_link_and_volume(1), *early = NULL;
	engine_switch(w->engine, gen, false);
	run_beside(w, OP_CREATE);
	assert_int_equal(w->host.n_ops, 1);
	w->host.clock_ms += 5000;
	const struct op *copy = w->host.ops[0];
	for (uint32_t i = 1; i < 60; i++) {
		change_setting(w, i, i % 30 < 10, OP_CREATE);
		assert_ptr_equal(w->host.ops[0], copy);
		if (i == 5)
			early = generation_ref(engine_generation(w->engine));
	}
	assert_int_equal(w->host.n_cancels, 0);
	assert_int_equal(early->refs, 1); /* a copy of hours does not keep all that was applied since */
	generation_unref(early);
	toy_do(&w->host, 0);
	run(w, 1000);
	assert_true(volume(w)->exists && engine_converged(w->engine));
	assert_int_equal(gen->refs, 1);
	generation_unref(gen);
}

static void test_changes_beside_a_hung_look(void **state)
{
	struct world *w = *state;
	switch_to(w, with_link_and_volume(1), false);
	engine_dirty(w->engine, "volume", "n0");
	run_beside(w, OP_OBSERVE);
	assert_int_equal(w->host.n_ops, 1);
	const struct op *look = w->host.ops[0];
	/* Who wants to see all waits a while, and then does without. */
	bool done = false;
	struct generation *gen = with_link_and_volume(2);
	engine_probe(w->engine, gen, probed, &done);
	generation_unref(gen);
	uint64_t next = engine_run(w->engine);
	assert_false(done);
	assert_in_range(next, w->host.clock_ms + 1, w->host.clock_ms + 5000);
	w->host.clock_ms = next;
	run_beside(w, OP_OBSERVE);
	assert_true(done);
	for (uint32_t i = 1; i < 10; i++)
		change_setting(w, i, i % 2, OP_OBSERVE);
	/* It is to be larger, then to go. */
	gen = with_link_and_volume(2);
	switch_beside(w, gen, OP_OBSERVE);
	generation_unref(gen);
	gen = carrying(engine_generation(w->engine), TOY_VOLUME);
	switch_beside(w, gen, OP_OBSERVE);
	generation_unref(gen);
	assert_true(w->host.n_ops == 1 && w->host.ops[0] == look && volume(w)->exists);
	run(w, 1000);
	assert_true(!volume(w)->exists && engine_converged(w->engine));
}

/* It is deleted, taken back, or wanted otherwise. */
static void test_a_copy_is_called_off(void **state)
{
	struct world *w = *state;
	w->host.obedient = true;
	struct generation *first = with_link_and_volume(1), *larger = with_link_and_volume(2);
	struct generation *without = carrying(first, TOY_VOLUME), *kept = generation_new(NULL);
	add(kept, TOY_VOLUME, &(struct toy_spec){.present = 0x24, .size = 1});
	engine_switch(w->engine, first, false);
	run_beside(w, OP_CREATE);
	engine_switch(w->engine, without, false);
	assert_int_equal(w->host.n_cancels, 1);
	run(w, 1000);
	assert_true(!volume(w)->exists && engine_converged(w->engine));
	engine_switch(w->engine, first, true);
	run_beside(w, OP_CREATE);
	engine_switch(w->engine, without, false);
	assert_int_equal(w->host.n_cancels, 2);
	run(w, 1000);
	assert_true(!volume(w)->exists && engine_converged(w->engine));
	engine_switch(w->engine, first, false);
	run_beside(w, OP_CREATE);
	engine_switch(w->engine, kept, false);
	assert_int_equal(w->host.n_cancels, 3);
	run_beside(w, OP_CREATE);
	engine_switch(w->engine, larger, false);
	assert_int_equal(w->host.n_cancels, 4);
	run(w, 1000);
	assert_true(engine_converged(w->engine));
	assert_int_equal(volume(w)->size, 2);
	generation_unref(kept);
	generation_unref(first);
	generation_unref(larger);
	generation_unref(without);
}

/* ---- what is only looked at ---- */

static void test_probe_of_what_cannot_be_seen(void **state)
{
	struct world *w = *state;
	bool done = false;
	switch_to(w, generation_new(NULL), false);
	struct generation *gen = with_volume(false);
	w->host.fail_percent = 100;
	engine_probe(w->engine, gen, probed, &done);
	for (unsigned i = 0; i < 1000 && !done; i++) {
		run(w, 1);
		w->host.clock_ms += 1000;
	}
	assert_true(done);
	generation_unref(gen);
	run(w, 1000);
	assert_false(engine_leaving(w->engine));
	assert_true(engine_converged(w->engine));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_older_reclaim_does_not_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_undone_reclaim_does_not_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_crashed_reclaim_does_not_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reclaim_deletes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fresh_volume_is_taken_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_record_of_what_came_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rows_go_back_one_by_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_does_not_go_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_order_there_and_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_other_end_is_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_does_not_stay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_does_not_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rival_is_not_fought, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_generations_are_freed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_work_lets_an_apply_stand, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_work_that_a_link_needs_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes_beside_a_copy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes_beside_a_hung_look, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_copy_is_called_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_always_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_probe_of_what_cannot_be_seen, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
