/* SPDX-License-Identifier: Apache-2.0 */
/* The engine in situations that chance seldom finds: each test is one story, told to the toy host step by step. */
#include "toy-world.h"

/* ---- bytes ---- */

static void test_older_reclaim_does_not_count(void **state)
{
	struct world *w = *state;
	world_switch(w, world_with_volume(true), false);
	assert_true(world_volume(w)->exists);
	world_restart(w);
	struct generation *first = world_with_volume(true), *second = world_with_volume(false);
	first->final = second->final = true;
	engine_leave(w->engine, first);
	engine_leave(w->engine, second);
	world_switch(w, generation_new(NULL), false);
	generation_unref(first);
	generation_unref(second);
	assert_true(world_volume(w)->exists);
}

/* A detached volume was taken up with `reclaim: delete` by an apply that was taken back. */
static void test_undone_reclaim_does_not_count(void **state)
{
	struct world *w = *state;
	world_switch(w, world_with_volume(false), false);
	world_switch(w, generation_new(NULL), false);
	assert_true(world_volume(w)->exists);
	world_switch(w, world_with_volume(true), true);
	world_switch(w, generation_new(NULL), false);
	assert_true(world_volume(w)->exists);
}

/* The same, but weftd died before it was taken back. */
static void test_crashed_reclaim_does_not_count(void **state)
{
	struct world *w = *state;
	world_switch(w, world_with_volume(false), false);
	world_switch(w, generation_new(NULL), false);
	world_switch(w, world_with_volume(true), true);
	world_restart(w);
	struct generation *undone = world_with_volume(true);
	engine_leave(w->engine, undone);
	world_switch(w, generation_new(NULL), false);
	generation_unref(undone);
	assert_true(world_volume(w)->exists);
}

static void test_reclaim_deletes(void **state)
{
	struct world *w = *state;
	world_switch(w, world_with_volume(true), true);
	engine_final(w->engine);
	world_run(w, 1000);
	world_switch(w, generation_new(NULL), false);
	assert_false(world_volume(w)->exists);
}

/* What an apply has made goes with it, whatever it says of its bytes. */
static void test_fresh_volume_is_taken_back(void **state)
{
	struct world *w = *state;
	world_switch(w, world_with_volume(false), true);
	assert_true(world_volume(w)->exists);
	struct generation *empty = generation_new(NULL);
	w->host.pending = false;
	engine_switch(w->engine, empty, false);
	generation_unref(empty);
	do {
		engine_run(w->engine);
		assert_int_equal(w->host.n_ops, 1);
		assert_true(w->host.ops[0]->fresh == (w->host.ops[0]->verb == OP_REMOVE));
		toy_do(&w->host, 0);
	} while (world_volume(w)->exists);
	world_run(w, 1000);
	assert_true(engine_converged(w->engine));
}

/* ---- records ---- */

/* It went while the disk was full, and was made anew: both are written at once, and it is on record. */
static void test_record_of_what_came_back(void **state)
{
	struct world *w = *state;
	struct toy_spec spec = {.present = 3};
	struct generation *gen = generation_new(NULL);
	world_add(gen, TOY_LINK, &spec);
	engine_switch(w->engine, gen, false);
	world_run(w, 1000);
	assert_non_null(toy_disk_find(&w->disk, "link", "n0"));
	world_switch(w, generation_new(NULL), false);
	assert_null(toy_disk_find(&w->disk, "link", "n0"));
	engine_switch(w->engine, gen, false);
	world_run(w, 1000);
	struct generation *empty = generation_new(NULL);
	engine_switch(w->engine, empty, false);
	while (w->host.things[TOY_LINK][0].exists) {
		engine_run(w->engine);
		toy_do(&w->host, 0);
	}
	w->disk_full = true;
	world_run(w, 1000);
	engine_switch(w->engine, gen, false);
	engine_run(w->engine); /* it is looked at, and the disk is full still */
	w->disk_full = false;
	world_run(w, 1000);
	assert_true(w->host.things[TOY_LINK][0].exists);
	assert_non_null(toy_disk_find(&w->disk, "link", "n0"));
	generation_unref(empty);
	generation_unref(gen);
}

static void assert_known_as(struct world *w, const char *identity)
{
	struct resource_view view;
	assert_true(engine_view_find(w->engine, "volume", "n0", &view));
	assert_string_equal(view.identity, identity);
	assert_string_equal(toy_disk_find(&w->disk, "volume", "n0")->identity, identity);
}

/* Which thing it is is told to who looks at it, also after a crash, for as long as it is wanted. */
static void test_identity_is_kept(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_VOLUME][0];
	*t = (struct toy_thing){.exists = true, .marked = true, .size = 1, .incarnation = 7};
	world_switch(w, world_with_volume(false), false);
	assert_known_as(w, "7");
	t->incarnation = 8;
	engine_dirty(w->engine, "volume", "n0");
	world_run(w, 1000);
	assert_known_as(w, "7");
	world_restart(w);
	world_switch(w, world_with_volume(false), false);
	assert_known_as(w, "7");
	world_switch(w, generation_new(NULL), false);
	assert_null(toy_disk_find(&w->disk, "volume", "n0"));
	world_switch(w, world_with_volume(false), false);
	assert_known_as(w, "8");
}

/* ---- what others made ---- */

static struct generation *with_setting(uint64_t rows, uint32_t mtu)
{
	struct generation *gen = generation_new(NULL);
	struct toy_spec spec = {.present = rows, .mtu = mtu, .model = 7, .size = 0};
	world_add(gen, TOY_SETTING, &spec);
	return gen;
}

/* Of what was taken over, each row goes back once it is not wanted any more, and then belongs to others again. */
static void test_rows_go_back_one_by_one(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	t->mtu = 3;
	world_switch(w, with_setting(4, 0), false);
	world_switch(w, with_setting(5, 9), false);
	assert_int_equal(t->mtu, 9);
	world_restart(w);
	world_switch(w, with_setting(4, 0), false);
	assert_int_equal(t->mtu, 3);
	t->mtu = 8;
	engine_dirty(w->engine, "setting", "n0");
	world_run(w, 1000);
	assert_int_equal(t->mtu, 8);
	world_switch(w, with_setting(5, 9), true);
	assert_int_equal(t->mtu, 9);
	world_switch(w, generation_new(NULL), false);
	assert_int_equal(t->mtu, 8);
	assert_null(toy_disk_find(&w->disk, "setting", "n0"));
}

/* It cannot be had as it was: after some tries it is left, and nothing waits for it any longer. */
static void test_what_does_not_go_back(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	t->mtu = 3;
	world_switch(w, with_setting(1, 9), false);
	w->host.deaf = true;
	unsigned long before = w->host.n_done;
	world_switch(w, generation_new(NULL), false);
	world_run_for(w, 60 * 1000);
	assert_int_equal(t->mtu, 9);
	assert_in_range(w->host.n_done - before, 2, 12);
	assert_null(toy_disk_find(&w->disk, "setting", "n0"));
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
		assert_true(world_run(w, 1) > 0);
		assert_true(first->mtu == 9 || second->mtu == 3);
	}
	world_run(w, 1000);
	assert_true(engine_converged(w->engine));
	struct generation *empty = generation_new(NULL);
	engine_switch(w->engine, empty, false);
	while (second->mtu != 3) {
		assert_true(world_run(w, 1) > 0);
		assert_true(first->mtu == 3 || second->mtu == 9);
	}
	world_run(w, 1000);
	assert_false(engine_leaving(w->engine));
	assert_int_equal(w->disk.n, 0);
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
	world_add(gen, TOY_LINK, &spec);
	struct want *x = gen->wants[0];
	struct want *y = generation_add(gen, x->class, "n1", table_copy(x->class->table, x->spec, gen->arena));
	y->mark = x->mark;
	arena_grow(gen->arena, x->rests, x->n_rests, x->cap_rests);
	x->rests[x->n_rests++] = y;
	engine_switch(w->engine, gen, false);
	world_run(w, 1000);
	assert_true(above->exists && below->exists);
	world_restart(w);
	struct generation *empty = generation_new(NULL);
	engine_leave(w->engine, gen);
	w->host.immortal = true;
	engine_switch(w->engine, empty, false);
	world_run_for(w, 5000);
	assert_true(above->exists && below->exists);
	w->host.immortal = false;
	for (unsigned i = 0; i < 120; i++) {
		world_run_for(w, 1000);
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
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3, .type = TOY_PAIR + (uint32_t)other_end});
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
		world_switch(w, pair(1), false);
		world_run_for(w, 1000);
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
		world_run_for(w, 1000);
		assert_true(w->host.things[TOY_LINK][2].exists && !w->host.things[TOY_LINK][1].exists);
		assert_int_equal(w->host.things[TOY_LINK][2].mtu, 2);
		world_switch(w, generation_new(NULL), false);
		world_run_for(w, 1000);
	}
}

/* ---- no busy loops ---- */

static void test_what_does_not_stay(void **state)
{
	struct world *w = *state;
	w->host.dies = true;
	struct generation *gen = generation_new(NULL);
	world_add(gen, TOY_VOLUME, &(struct toy_spec){.present = 0x24, .size = 1});
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	engine_switch(w->engine, gen, false);
	assert_true(world_run_for(w, 60 * 1000) < 300);
	w->host.dies = false;
	world_run_for(w, 120 * 1000);
	assert_true(w->host.things[TOY_LINK][0].exists);
	generation_unref(gen);
}

static void test_what_does_not_go(void **state)
{
	struct world *w = *state;
	struct generation *gen = generation_new(NULL);
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	world_switch(w, gen, false);
	w->host.immortal = true;
	world_switch(w, generation_new(NULL), false);
	assert_true(world_run_for(w, 60 * 1000) < 300);
	w->host.immortal = false;
	world_run_for(w, 120 * 1000);
	assert_false(w->host.things[TOY_LINK][0].exists);
}

/* A rival that answers every repair at once is not fought at its pace. */
static void test_rival_is_not_fought(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	world_switch(w, with_setting(1, 9), false);
	unsigned n_repairs = 0;
	for (unsigned i = 0; i < 6000; i++) { /* ten minutes */
		n_repairs += t->mtu == 9;
		t->mtu = 4;
		engine_dirty(w->engine, "setting", "n0");
		world_run_for(w, 100);
	}
	assert_in_range(n_repairs, 5, 40);
	struct resource_view view;
	assert_true(engine_view_find(w->engine, "setting", "n0", &view));
	assert_int_equal(view.state, RES_CONTESTED);
	world_run_for(w, 3600 * 1000);
	assert_int_equal(t->mtu, 9);
}

/* What never goes does not keep all that was applied since. */
static void test_generations_are_freed(void **state)
{
	struct world *w = *state;
	struct generation *gen = generation_new(NULL);
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	world_switch(w, gen, false);
	w->host.immortal = true;
	struct generation *early = NULL;
	for (uint32_t i = 0; i < 50; i++) {
		gen = with_setting(1, i % 3);
		if (i == 10)
			early = generation_ref(gen);
		world_switch(w, gen, false);
		world_run_for(w, 100 * 1000);
	}
	assert_true(w->host.things[TOY_LINK][0].exists);
	assert_int_equal(early->refs, 1);
	generation_unref(early);
	w->host.immortal = false;
	world_run_for(w, 120 * 1000);
	assert_false(w->host.things[TOY_LINK][0].exists);
	assert_true(engine_converged(w->engine));
}

static void test_what_is_always_another(void **state)
{
	struct world *w = *state;
	struct generation *gen = generation_new(NULL);
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3, .mtu = 1});
	world_switch(w, gen, false);
	w->host.stale = true;
	gen = generation_new(NULL);
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3, .mtu = 2});
	world_switch(w, gen, false);
	assert_true(world_run_for(w, 60 * 1000) < 300);
	w->host.stale = false;
	world_run_for(w, 120 * 1000);
	assert_int_equal(w->host.things[TOY_LINK][0].mtu, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_older_reclaim_does_not_count, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_undone_reclaim_does_not_count, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_crashed_reclaim_does_not_count, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_reclaim_deletes, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_fresh_volume_is_taken_back, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_record_of_what_came_back, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_identity_is_kept, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_rows_go_back_one_by_one, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_does_not_go_back, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_order_there_and_back, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_rests, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_the_other_end_is_another, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_does_not_stay, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_does_not_go, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_rival_is_not_fought, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_generations_are_freed, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_always_another, world_set_up, world_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
