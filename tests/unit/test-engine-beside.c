/* SPDX-License-Identifier: Apache-2.0 */
/* The engine beside what does not end: a copy that takes hours, a look that hangs. Stories like those of test-engine.c.
 */
#include "toy-world.h"

/* ---- outcomes ---- */

static void probed(void *ctx)
{
	*(bool *)ctx = true;
}

/* A volume whose making takes so long that an apply stands without it, and a link; the time when that is so. */
static void begin_long_work(struct world *w, bool link_needs_it)
{
	struct generation *gen = world_with_volume(false);
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
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
	world_run(w, 1000);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
	assert_true(world_volume(w)->exists && w->host.things[TOY_LINK][0].exists);
}

static void test_long_work_lets_an_apply_stand(void **state)
{
	struct world *w = *state;
	begin_long_work(w, false);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
	/* Nor does it hold up who only wants to look. */
	bool done = false;
	struct generation *gen = world_with_volume(true);
	engine_probe(w->engine, gen, probed, &done);
	generation_unref(gen);
	engine_run(w->engine);
	assert_true(done);
	w->host.pending = false;
	engine_final(w->engine);
	world_run(w, 1000);
	assert_true(world_volume(w)->exists && engine_converged(w->engine));
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
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	world_add(gen, TOY_VOLUME, &(struct toy_spec){.present = 0x24, .size = size, .reclaim = true});
	return gen;
}

/* What is current differs from before by a setting, carried over or lowered anew. */
static void change_setting(struct world *w, uint32_t mtu, bool carry, enum op_verb held)
{
	struct generation *gen = carry ? carrying(engine_generation(w->engine), TOY_SETTING) : with_link_and_volume(1);
	world_add(gen, TOY_SETTING, &(struct toy_spec){.present = 1, .mtu = mtu});
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
	world_run(w, 1000);
	assert_true(world_volume(w)->exists && engine_converged(w->engine));
	assert_int_equal(gen->refs, 1);
	generation_unref(gen);
}

struct planned {
	size_t n;
	struct plan_step step;
	char stale[300];
};

static void plan_volume(void *ctx, const struct plan_step *step)
{
	struct planned *planned = ctx;
	if (step->class != toy_classes[TOY_VOLUME])
		return;
	planned->n++;
	planned->step = *step;
	snprintf(planned->stale, sizeof(planned->stale), "%s", step->stale ? step->stale : "");
}

static struct planned plan_of(struct world *w, struct generation *gen)
{
	struct planned planned = {0};
	engine_plan(w->engine, gen, plan_volume, &planned);
	assert_int_equal(planned.n, 1);
	return planned;
}

/* By what was last seen of the volume, which is told: a larger one differs; the same one does not, or nobody knows. */
static void plans_are(struct world *w, enum op_verb same, bool aside)
{
	struct generation *larger = with_link_and_volume(2), *gen = with_link_and_volume(1);
	struct planned planned = plan_of(w, larger);
	assert_int_equal(planned.step.verb, OP_UPDATE);
	assert_non_null(strstr(planned.stale, "last seen "));
	planned = plan_of(w, gen);
	assert_int_equal(planned.step.verb, same);
	assert_int_equal(planned.step.aside, aside);
	generation_unref(larger);
	generation_unref(gen);
}

static void test_changes_beside_a_hung_look(void **state)
{
	struct world *w = *state;
	world_switch(w, with_link_and_volume(1), false);
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
	assert_in_range(next, w->host.clock_ms + 1, w->host.clock_ms + 100);
	w->host.clock_ms = next;
	run_beside(w, OP_OBSERVE);
	assert_true(done);
	plans_are(w, OP_OBSERVE, true);
	w->host.clock_ms += 5000;
	plans_are(w, OP_OBSERVE, false);
	for (uint32_t i = 1; i < 10; i++)
		change_setting(w, i, i % 2, OP_OBSERVE);
	/* It is to be larger, then to go. */
	gen = with_link_and_volume(2);
	switch_beside(w, gen, OP_OBSERVE);
	generation_unref(gen);
	gen = carrying(engine_generation(w->engine), TOY_VOLUME);
	switch_beside(w, gen, OP_OBSERVE);
	generation_unref(gen);
	assert_true(w->host.n_ops == 1 && w->host.ops[0] == look && world_volume(w)->exists);
	world_run(w, 1000);
	assert_true(!world_volume(w)->exists && engine_converged(w->engine));
}

/* It is deleted, taken back, or wanted otherwise. */
static void test_a_copy_is_called_off(void **state)
{
	struct world *w = *state;
	w->host.obedient = true;
	struct generation *first = with_link_and_volume(1), *larger = with_link_and_volume(2);
	struct generation *without = carrying(first, TOY_VOLUME), *kept = generation_new(NULL);
	world_add(kept, TOY_VOLUME, &(struct toy_spec){.present = 0x24, .size = 1});
	engine_switch(w->engine, first, false);
	run_beside(w, OP_CREATE);
	engine_switch(w->engine, without, false);
	assert_int_equal(w->host.n_cancels, 1);
	world_run(w, 1000);
	assert_true(!world_volume(w)->exists && engine_converged(w->engine));
	engine_switch(w->engine, first, true);
	run_beside(w, OP_CREATE);
	engine_switch(w->engine, without, false);
	assert_int_equal(w->host.n_cancels, 2);
	world_run(w, 1000);
	assert_true(!world_volume(w)->exists && engine_converged(w->engine));
	engine_switch(w->engine, first, false);
	run_beside(w, OP_CREATE);
	engine_switch(w->engine, kept, false);
	assert_int_equal(w->host.n_cancels, 3);
	run_beside(w, OP_CREATE);
	engine_switch(w->engine, larger, false);
	assert_int_equal(w->host.n_cancels, 4);
	world_run(w, 1000);
	assert_true(engine_converged(w->engine));
	assert_int_equal(world_volume(w)->size, 2);
	generation_unref(kept);
	generation_unref(first);
	generation_unref(larger);
	generation_unref(without);
}

/* ---- what was never seen ---- */

enum { WHILE_MS = 1000 };

static struct generation *with_helper_and_link(void)
{
	struct generation *gen = generation_new(NULL);
	world_add(gen, TOY_HELPER, &(struct toy_spec){.present = 1});
	world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
	return gen;
}

/* A volume that needs a helper, of which only that was ever there. Somebody wants to know of the volume, which is being
 * looked at since; until when he waits at first. */
static uint64_t ask_for_new_volume(struct world *w, bool *done)
{
	struct generation *gen = with_helper_and_link();
	world_switch(w, with_helper_and_link(), false);
	world_run_for(w, WHILE_MS);
	world_add(gen, TOY_VOLUME, &(struct toy_spec){.present = 0x24, .size = 1});
	struct want *volume = gen->wants[2];
	arena_grow(gen->arena, volume->needs, volume->n_needs, volume->cap_needs);
	volume->needs[volume->n_needs++] = gen->wants[0];
	engine_probe(w->engine, gen, probed, done);
	generation_unref(gen);
	uint64_t next = engine_run(w->engine);
	assert_int_equal(w->host.n_ops, 1);
	assert_ptr_equal(w->host.ops[0]->class, toy_classes[TOY_VOLUME]);
	return next;
}

/* What it needs does not answer either: nobody waits for it. */
static void test_nothing_answers(void **state)
{
	struct world *w = *state;
	bool done = false;
	uint64_t begin = w->host.clock_ms + WHILE_MS, next = ask_for_new_volume(w, &done);
	for (unsigned i = 0; i < 5 && !done; i++) {
		w->host.clock_ms = next;
		next = engine_run(w->engine);
	}
	assert_true(done);
	assert_in_range(w->host.clock_ms, begin, begin + 100);
	assert_int_equal(w->host.n_ops, 2);
	world_run(w, 1000);
}

/* What it needs does: the look takes its time. */
static void test_it_takes_its_time(void **state)
{
	struct world *w = *state;
	bool done = false;
	uint64_t begin = w->host.clock_ms + WHILE_MS;
	w->host.clock_ms = ask_for_new_volume(w, &done);
	engine_run(w->engine);
	assert_int_equal(w->host.n_ops, 2);
	toy_do(&w->host, 1);
	for (uint64_t next = engine_run(w->engine); !done; next = engine_run(w->engine)) {
		assert_in_range(next, w->host.clock_ms + 1, w->host.clock_ms + 5000);
		w->host.clock_ms = next;
	}
	assert_in_range(w->host.clock_ms, begin + 2000, begin + 5000);
	assert_int_equal(w->host.n_ops, 1);
	world_run(w, 1000);
}

/* Nothing is known of it at all, and its look hangs: until when somebody waits. */
static uint64_t wait_for_unknown(struct world *w, bool only_asked)
{
	bool done = false;
	struct generation *gen = world_with_volume(false);
	uint64_t begin = w->host.clock_ms;
	(only_asked ? engine_probe : engine_probe_change)(w->engine, gen, probed, &done);
	generation_unref(gen);
	for (uint64_t next = engine_run(w->engine); !done; next = engine_run(w->engine)) {
		assert_in_range(next, w->host.clock_ms + 1, begin + 5000);
		w->host.clock_ms = next;
	}
	assert_int_equal(w->host.n_ops, 1);
	world_run(w, 1000);
	return w->host.clock_ms - begin;
}

static void test_nobody_knows_how_long_it_takes(void **state)
{
	struct world *w = *state;
	world_switch(w, generation_new(NULL), false);
	toy_calm = true;
	assert_in_range(wait_for_unknown(w, true), 1, 100);
	assert_in_range(wait_for_unknown(w, false), 2000, 5000);
	toy_calm = false; /* nothing is told by how long it takes */
	assert_in_range(wait_for_unknown(w, true), 2000, 5000);
}

/* What it needs takes two seconds each time: so long nobody waits who only asks. */
static void test_it_always_takes_its_time(void **state)
{
	struct world *w = *state;
	bool done = false;
	world_switch(w, with_helper_and_link(), false);
	engine_dirty(w->engine, "helper", "n0");
	engine_run(w->engine);
	w->host.clock_ms += 2000;
	world_run(w, 1000);
	toy_calm = true;
	uint64_t begin = w->host.clock_ms + WHILE_MS, next = ask_for_new_volume(w, &done);
	while (!done) {
		assert_in_range(next, w->host.clock_ms + 1, begin + 100);
		w->host.clock_ms = next;
		next = engine_run(w->engine);
	}
	toy_calm = false;
	world_run(w, 1000);
}

/* ---- what is only looked at ---- */

static void test_probe_of_what_cannot_be_seen(void **state)
{
	struct world *w = *state;
	bool done = false;
	world_switch(w, generation_new(NULL), false);
	struct generation *gen = world_with_volume(false);
	w->host.fail_percent = 100;
	engine_probe(w->engine, gen, probed, &done);
	for (unsigned i = 0; i < 1000 && !done; i++) {
		world_run(w, 1);
		w->host.clock_ms += 1000;
	}
	assert_true(done);
	generation_unref(gen);
	world_run(w, 1000);
	assert_false(engine_leaving(w->engine));
	assert_true(engine_converged(w->engine));
}

/* A probe has seen that it is missing: it is made at once, unless somebody has told of it meanwhile. */
static void test_what_is_missing_is_looked_at_once(void **state)
{
	struct world *w = *state;
	for (unsigned told = 0; told < 2; told++) {
		bool done = false;
		world_switch(w, generation_new(NULL), false);
		struct generation *gen = generation_new(NULL);
		world_add(gen, TOY_LINK, &(struct toy_spec){.present = 3});
		engine_probe_change(w->engine, gen, probed, &done);
		world_run(w, 1000);
		assert_true(done);
		engine_switch(w->engine, gen, false);
		if (told)
			engine_dirty(w->engine, "link", "n0");
		engine_run(w->engine);
		assert_int_equal(w->host.n_ops, 1);
		assert_int_equal(w->host.ops[0]->verb, told ? OP_OBSERVE : OP_CREATE);
		world_run(w, 1000);
		assert_true(w->host.things[TOY_LINK][0].exists && engine_converged(w->engine));
		generation_unref(gen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_long_work_lets_an_apply_stand, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_long_work_that_a_link_needs_is_waited_for, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_changes_beside_a_copy, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_changes_beside_a_hung_look, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_answers, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_it_takes_its_time, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_knows_how_long_it_takes, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_it_always_takes_its_time, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_a_copy_is_called_off, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_probe_of_what_cannot_be_seen, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_missing_is_looked_at_once, world_set_up, world_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
