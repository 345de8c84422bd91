/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of which the class itself says what they are as things are: whether they can go back, and whether they are to
 * be made at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy-world.h"

static struct generation *with_size(uint32_t size)
{
	struct generation *gen = generation_new(NULL);
	struct toy_spec spec = {.present = 4, .size = size};
	world_add(gen, TOY_SETTING, &spec);
	return gen;
}

/* What cannot go back waits until the revision is final, unless the class says of this very change that it can. */
static void test_a_gentle_change_does_not_wait(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	world_switch(w, with_size(2), true);
	assert_int_equal(t->size, 2);
	w->host.pending = false;
	engine_final(w->engine);
	world_switch(w, with_size(3), true);
	assert_int_equal(t->size, 2);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
	w->host.pending = false;
	engine_final(w->engine);
	world_run(w, 1000);
	assert_int_equal(t->size, 3);
}

/* What the class will not have as things are is refused before anything is done; the plan says so. */
static void find_note(void *ctx, const struct plan_step *step)
{
	*(bool *)ctx |= streq(step->note, "somebody uses it");
}
static void test_a_change_that_is_refused_as_things_are(void **state)
{
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	struct err why = {0};
	bool told = false;
	world_switch(w, with_size(2), false);
	t->model = TOY_HELD;
	engine_dirty(w->engine, "setting", "n0");
	world_run(w, 1000);
	assert_true(engine_converged(w->engine)); /* nothing differs */
	struct generation *more = with_size(3);
	engine_plan(w->engine, more, find_note, &told);
	assert_true(told);
	world_switch(w, more, true);
	assert_int_equal(engine_outcome(w->engine, &why), ENGINE_REFUSED);
	assert_string_equal(why.text, "setting/n0: somebody uses it");
	assert_int_equal(t->size, 2);
	world_switch(w, with_size(2), false);
	assert_true(engine_converged(w->engine));
	t->model = 0;
	world_switch(w, with_size(3), false);
	assert_int_equal(t->size, 3);
}

/* Two wants: a setting, and a link that comes after it and goes before it. */
static struct generation *with_link(const char *name, const struct toy_spec *link)
{
	struct generation *gen = generation_new(NULL);
	struct toy_spec spec = {.present = 1, .mtu = 7};
	world_add(gen, TOY_SETTING, &spec);
	struct want *below = gen->wants[0],
		    *above = generation_add(gen, toy_classes[TOY_LINK], name,
					    table_copy(toy_classes[TOY_LINK]->table, link, gen->arena));
	above->mark = "mark";
	arena_grow(gen->arena, above->afters, above->n_afters, above->cap_afters);
	above->afters[above->n_afters++] = below;
	arena_grow(gen->arena, above->rests, above->n_rests, above->cap_rests);
	above->rests[above->n_rests++] = below;
	return gen;
}

/* Who uses it was seen while the link was still there that now goes with it. */
static void test_what_uses_it_goes_before(void **state)
{
	bool told = false;
	struct world *w = *state;
	struct toy_thing *t = &w->host.things[TOY_SETTING][0];
	world_switch(w, with_link("n0", &(struct toy_spec){.present = 2, .type = 1}), false);
	assert_int_equal(t->mtu, 7);
	t->model = TOY_HELD;
	engine_dirty(w->engine, "setting", "n0");
	world_run(w, 1000);
	struct generation *none = generation_new(NULL);
	engine_plan(w->engine, none, find_note, &told);
	assert_false(told);
	world_switch(w, none, true);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
	assert_false(w->host.things[TOY_LINK][0].exists);
	assert_int_equal(t->mtu, 0);
}

/* What comes by itself with a change is looked for anew after it, and not believed to be missing. */
static void test_what_a_change_brings(void **state)
{
	struct world *w = *state;
	w->host.brings = 1;
	world_switch(w, with_link("n1", &(struct toy_spec){.present = 1, .mtu = 3}), true);
	assert_int_equal(engine_outcome(w->engine, NULL), ENGINE_SETTLED);
	assert_int_equal(w->host.things[TOY_LINK][1].mtu, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_gentle_change_does_not_wait, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_a_change_that_is_refused_as_things_are, world_set_up,
						world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_uses_it_goes_before, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_what_a_change_brings, world_set_up, world_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
