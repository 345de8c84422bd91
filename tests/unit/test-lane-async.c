/* SPDX-License-Identifier: Apache-2.0 */
/* The asynchronous lane: order within a slot, batches, deadlines, verbs that answer late, early or from within. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/lane-async.h"

struct toy_spec {
	uint64_t present;
	const char *slot;
	uint32_t number;
};
static const struct field toy_rows[] = {
	F_STRING("slot", struct toy_spec, slot, .doc = "Slot it runs in."),
	F_U32("number", struct toy_spec, number, .doc = "Any number."),
};
static const struct table toy_table = TABLE("toy", struct toy_spec, toy_rows);

/* What the verbs were called with; they answer when a test says so. */
static struct op *held[64];
static size_t n_held, n_cancelled, n_batches, depth, deepest;

static void hold(struct op *op)
{
	held[n_held++] = op;
}
static void at_once(struct op *op)
{
	depth++;
	deepest = depth > deepest ? depth : deepest;
	struct toy_spec *seen = observation_begin(&op->obs, op->class, true);
	seen->number = 7;
	op_complete(op);
	depth--;
}
static void hold_batch(struct op *ops)
{
	n_batches++;
	for (struct op *op = ops; op; op = op->next)
		hold(op);
}
static void count_cancel(struct op *op)
{
	n_cancelled++;
}
static void cancel_by_ending(struct op *op)
{
	for (size_t i = 0; i < n_held; i++)
		if (held[i] == op)
			held[i] = NULL;
	op_fail(op, ECANCELED, "ended");
}
static const char *slot_of(const struct op *op)
{
	return ((const struct toy_spec *)op->want)->slot;
}

static const struct async_verbs slow_verbs = {
	.create = hold, .observe = at_once, .slot = slot_of, .cancel = count_cancel, .deadline_ms = 100};
static const struct async_verbs stubborn_verbs = {.create = hold, .slot = slot_of};
static const struct async_verbs obliging_verbs = {.create = hold, .cancel = cancel_by_ending};
static bool is_quick(const struct op *op)
{
	return ((const struct toy_spec *)op->want)->number < 10;
}
static const struct async_verbs batch_verbs = {.batch = hold_batch};
static const struct async_verbs many_verbs = {
	.create = hold, .update = hold, .create_many = hold_batch, .is_quick = is_quick, .slot = slot_of};
static const struct resource_class many_class = {.name = "many", .table = &toy_table, .verbs = &many_verbs};
static const struct resource_class slow_class = {.name = "slow", .table = &toy_table, .verbs = &slow_verbs};
static const struct resource_class stubborn_class = {.name = "stubborn", .table = &toy_table, .verbs = &stubborn_verbs};
static const struct resource_class obliging_class = {.name = "obliging", .table = &toy_table, .verbs = &obliging_verbs};
static const struct resource_class batch_class = {.name = "batched", .table = &toy_table, .verbs = &batch_verbs};

struct client {
	struct op op;
	struct toy_spec spec;
	int n_done;
	struct lane *again; /* submits itself once more when done, so many times */
	int times;
};

static void client_done(struct op *op)
{
	struct client *client = container_of(op, struct client, op);
	client->n_done++;
	if (client->again && client->times-- > 0) {
		client->again->ops->submit(client->again, op);
		client->again->ops->flush(client->again);
	}
}

static void submit(struct lane *lane, struct client *client, const struct resource_class *class, enum op_verb verb,
		   const char *slot)
{
	uint32_t number = client->spec.number ? client->spec.number : 5;
	client->spec = (struct toy_spec){.present = 3, .slot = slot, .number = number};
	client->op = (struct op){
		.verb = verb, .class = class, .key = "key", .want = &client->spec, .done = client_done, .lane = lane};
	lane->ops->submit(lane, &client->op);
}

static int setup(void **state)
{
	n_held = n_cancelled = n_batches = depth = deepest = 0;
	if (sd_event_new(&env.loop) < 0)
		return -1;
	*state = lane_async_new("toys");
	return 0;
}
static int teardown(void **state)
{
	struct lane *lane = *state;
	if (lane)
		lane->ops->free(lane);
	env.loop = sd_event_unref(env.loop);
	return 0;
}
static void flush(struct lane *lane)
{
	lane->ops->flush(lane);
}

static void test_one_after_the_other_in_a_slot(void **state)
{
	struct client a = {0}, b = {0}, c = {0};
	submit(*state, &a, &slow_class, OP_CREATE, "one");
	submit(*state, &b, &slow_class, OP_CREATE, "one");
	submit(*state, &c, &slow_class, OP_CREATE, "two");
	assert_int_equal(n_held, 0);
	flush(*state);
	assert_int_equal(n_held, 2);
	for (size_t i = 0; i < 2; i++)
		op_complete(held[i]);
	assert_int_equal(a.n_done, 1);
	assert_int_equal(c.n_done, 1);
	assert_int_equal(n_held, 3);
	assert_int_equal(b.n_done, 0);
	op_fail(held[2], ENOSPC, "full");
	assert_int_equal(b.n_done, 1);
	assert_int_equal(b.op.err.code, ENOSPC);
}

static void test_results_go_over(void **state)
{
	struct client a = {0};
	submit(*state, &a, &slow_class, OP_OBSERVE, "one");
	flush(*state);
	assert_int_equal(a.n_done, 1);
	assert_true(a.op.obs.valid && a.op.obs.exists);
	assert_int_equal(((struct toy_spec *)a.op.obs.spec)->number, 7);
	observation_done(&a.op.obs);
}

static void test_late_answer_after_the_deadline_is_thrown_away(void **state)
{
	struct client *a = xcalloc(1, sizeof(*a)), b = {0};
	submit(*state, a, &slow_class, OP_CREATE, "one");
	submit(*state, &b, &slow_class, OP_CREATE, "one");
	flush(*state);
	for (int i = 0; i < 50 && !a->n_done; i++)
		sd_event_run(env.loop, 100 * 1000);
	assert_int_equal(a->n_done, 1);
	assert_int_equal(a->op.err.code, ETIMEDOUT);
	assert_string_equal(a->op.err.text, "making slow 'key' took longer than 100 ms and was given up");
	assert_int_equal(n_cancelled, 1);
	free(a);                     /* the engine forgets it; the verb still has its own */
	assert_int_equal(n_held, 2); /* the slot went on */
	assert_int_equal(((const struct toy_spec *)held[0]->want)->number, 5);
	assert_string_equal(((const struct toy_spec *)held[0]->want)->slot, "one");
	observation_begin(&held[0]->obs, held[0]->class, true);
	op_complete(held[0]);
	op_complete(held[1]);
	assert_int_equal(b.n_done, 1);
	assert_int_equal(b.op.err.code, 0);
}

/* What waits is not started for the moment until it is called off as well. */
static void test_many_are_called_off(void **state)
{
	struct lane *lane = *state;
	struct client called_off[20] = {0}, last = {0};
	for (size_t i = 0; i < ARRAY_SIZE(called_off); i++)
		submit(lane, &called_off[i], &slow_class, OP_CREATE, "one");
	submit(lane, &last, &slow_class, OP_CREATE, "one");
	flush(lane);
	for (size_t i = 0; i < ARRAY_SIZE(called_off); i++)
		lane->ops->cancel(lane, &called_off[i].op);
	assert_int_equal(n_held, 1);
	for (size_t i = 0; i < ARRAY_SIZE(called_off); i++)
		assert_int_equal(called_off[i].op.err.code, ECANCELED);
	assert_true(sd_event_run(env.loop, 0) >= 0);
	assert_int_equal(n_held, 2);
	op_complete(held[0]);
	op_complete(held[1]);
	assert_int_equal(last.n_done, 1);
}

/* Creations that are quick are given together, as far as nothing else stands between them. */
static void test_quick_ones_together(void **state)
{
	struct lane *lane = *state;
	struct client clients[6] = {[2].spec.number = 10};
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		submit(lane, &clients[i], &many_class, i == 5 ? OP_UPDATE : OP_CREATE, "one");
	flush(lane);
	assert_int_equal(n_held, 2);
	assert_int_equal(n_batches, 1);
	op_fail(held[0], EIO, "bad");
	assert_int_equal(n_held, 2); /* the slot is taken until both have ended */
	op_complete(held[1]);
	assert_int_equal(clients[0].op.err.code, EIO);
	assert_int_equal(clients[1].op.err.code, 0);
	assert_int_equal(n_held, 3); /* the slow one, by itself */
	op_complete(held[2]);
	assert_int_equal(n_held, 5);
	assert_int_equal(n_batches, 2);
	op_complete(held[3]);
	op_complete(held[4]);
	assert_int_equal(n_held, 6); /* what is no creation */
	op_complete(held[5]);
	assert_int_equal(clients[5].n_done, 1);
}

static void test_cancel(void **state)
{
	struct lane *lane = *state;
	struct client running = {0}, waiting = {0}, third = {0}, obliging = {0};
	submit(lane, &running, &stubborn_class, OP_CREATE, "one");
	submit(lane, &waiting, &stubborn_class, OP_CREATE, "one");
	submit(lane, &third, &stubborn_class, OP_CREATE, "one");
	submit(lane, &obliging, &obliging_class, OP_CREATE, "one");
	flush(lane);
	assert_int_equal(n_held, 2);
	lane->ops->cancel(lane, &third.op);
	lane->ops->cancel(lane, &running.op);
	lane->ops->cancel(lane, &obliging.op);
	assert_int_equal(third.n_done, 1);
	assert_int_equal(third.op.err.code, ECANCELED);
	assert_int_equal(running.n_done, 0); /* cannot be stopped: it is waited for */
	assert_int_equal(obliging.n_done, 1);
	assert_int_equal(obliging.op.err.code, ECANCELED);
	for (size_t i = 0; i < n_held; i++)
		if (held[i])
			op_complete(held[i]);
	assert_int_equal(running.n_done, 1);
	assert_int_equal(running.op.err.code, 0);
	assert_int_equal(waiting.n_done, 1);
}

static void test_batches_do_not_overlap(void **state)
{
	struct client c[5] = {0};
	for (int i = 0; i < 3; i++)
		submit(*state, &c[i], &batch_class, OP_CREATE, "");
	flush(*state);
	assert_int_equal(n_batches, 1);
	assert_int_equal(n_held, 3);
	for (int i = 3; i < 5; i++)
		submit(*state, &c[i], &batch_class, OP_CREATE, "");
	flush(*state);
	assert_int_equal(n_batches, 1);
	op_complete(held[1]);
	op_complete(held[0]);
	assert_int_equal(c[1].n_done, 1);
	assert_int_equal(n_batches, 1);
	op_complete(held[2]);
	assert_int_equal(n_batches, 2);
	assert_int_equal(n_held, 5);
	op_complete(held[3]);
	op_complete(held[4]);
	for (int i = 0; i < 5; i++)
		assert_int_equal(c[i].n_done, 1);
}

static void test_answers_from_within_do_not_pile_up(void **state)
{
	struct client a = {.again = *state, .times = 1000};
	submit(*state, &a, &slow_class, OP_OBSERVE, "one");
	flush(*state);
	assert_int_equal(a.n_done, 1001);
	assert_int_equal(deepest, 1);
	observation_done(&a.op.obs);
}

static void test_without_a_slot_several_run_but_not_all(void **state)
{
	struct client c[40] = {0};
	for (int i = 0; i < 40; i++)
		submit(*state, &c[i], &slow_class, OP_CREATE, NULL);
	flush(*state);
	assert_int_equal(n_held, 32);
	for (int i = 0; i < 40; i++)
		op_complete(held[i]);
	for (int i = 0; i < 40; i++)
		assert_int_equal(c[i].n_done, 1);
}

static void test_free_gives_everything_back(void **state)
{
	struct lane *lane = *state;
	struct client a = {0}, b = {0};
	submit(lane, &a, &slow_class, OP_CREATE, "one");
	submit(lane, &b, &slow_class, OP_CREATE, "one");
	flush(lane);
	*state = NULL;
	lane->ops->free(lane);
	assert_int_equal(a.n_done, 1);
	assert_int_equal(a.op.err.code, ECANCELED);
	assert_int_equal(b.n_done, 1);
	assert_int_equal(n_held, 1);
	op_complete(held[0]); /* late, on a lane that is gone */
}

static void test_missing_verb_is_an_error(void **state)
{
	struct client a = {0};
	submit(*state, &a, &slow_class, OP_REMOVE, "one");
	flush(*state);
	assert_int_equal(a.op.err.code, EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_after_the_other_in_a_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_results_go_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_answer_after_the_deadline_is_thrown_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_are_called_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quick_ones_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batches_do_not_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_from_within_do_not_pile_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_a_slot_several_run_but_not_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_gives_everything_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_verb_is_an_error, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
