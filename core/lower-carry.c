/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of a configuration that differs little from the one before: what no change reaches is carried over. An
 * object is lowered anew when it is another one than before; when a question that it asked (and that the change may
 * concern: lower-topic.c), or a fact that it read, has another answer now; when it adds to a want, or looked at one,
 * that somebody who is lowered anew adds to; and when it changed places with another in the order. So what is carried
 * over never leads to what is not. Where that is not plain, and wherever something is wrong, the whole is lowered from
 * nothing, which also knows where everything stands in its file. */
#include "core/lower-internal.h"

enum {
	ROUNDS_MAX = 8,
	OLDER_MAX = 200,            /* generations of which something is still carried along */
	GARBAGE_BYTES = 256 * 1024, /* what they may waste, beside as much as a whole one takes */
};

struct carry {
	const struct generation *before;
	bool *anew; /* by seat */
	size_t n_anew;
	bool given_up, again;
};

/* ---- who is lowered anew ---- */

static void make_stale(const struct run *run, const struct lowered *lowered)
{
	for (size_t i = 0; lowered && i < lowered->n_wants; i++)
		lowered->wants[i]->stale = run->gen->serial;
}

static void make_anew(struct run *run, size_t seat)
{
	struct carry *carry = run->carry;
	if (carry->anew[seat])
		return;
	carry->anew[seat] = true;
	carry->n_anew++;
	carry->again = true;
	make_stale(run, run->lowered[seat]);
}

/* Finds what was lowered before of each object. One that now comes before another that it came after is taken as
 * changed: who comes first may matter. */
static void match(struct run *run)
{
	const struct generation *before = run->carry->before;
	size_t furthest = 0;
	run->gen->left = arena_alloc(run->gen->lists, (before->n_objects + 1) * sizeof(struct object *));
	run->gen->n_left = 0;
	for (size_t i = 0; i < before->n_objects; i++) {
		size_t slot = run_slot(run, before->objects[i]), seat = run->seats[slot];
		if (run->config.index[slot] != before->objects[i]) {
			touched_add(run->touched, before->objects[i]);
			make_stale(run, before->lowered[i]);
			if (!run->config.index[slot])
				run->gen->left[run->gen->n_left++] = before->objects[i];
			continue;
		}
		run->lowered[seat] = before->lowered[i];
		if (seat < furthest) {
			touched_add(run->touched, before->objects[i]);
			make_anew(run, seat);
		} else {
			furthest = seat;
		}
	}
	for (size_t seat = 0; seat < run->config.n; seat++) {
		if (run->lowered[seat])
			continue;
		touched_add(run->touched, run->config.objects[seat]);
		make_anew(run, seat);
	}
}

/* Asks again; and says what the answer now hangs on, of one that is worked out of others. */
static uint64_t answer_now(struct lowering *l, const struct lower_question *q, struct lower_basis **ret)
{
	*ret = NULL;
	if (!q->basis)
		return q->fn(l, q->a, q->b);
	struct lower_basis *basis = lower_gather(l);
	uint64_t answer = q->fn(l, q->a, q->b);
	*ret = lower_gathered(l, basis);
	return answer;
}

/* An answer that is the same may hang on something else than before. */
static bool answered_otherwise(struct lowering *l, const struct asked *asked, bool *ret_moved)
{
	for (size_t i = 0; i < asked->n; i++) {
		const struct lower_question *q = &asked->items[i];
		struct lower_basis *basis;
		if (!question_is_touched(l->run, q))
			continue;
		if (answer_now(l, q, &basis) != q->answer)
			return true;
		*ret_moved |= basis && basis->digest != q->basis->digest;
	}
	return false;
}

static struct asked with_bases(struct lowering *l, const struct asked *asked)
{
	struct asked now = *asked;
	now.items = arena_alloc(l->gen->arena, (asked->n + 1) * sizeof(*now.items));
	now.cap = asked->n;
	for (size_t i = 0; i < asked->n; i++) {
		struct lower_question *q = &now.items[i];
		*q = asked->items[i];
		if (q->basis && question_is_touched(l->run, q))
			(void)answer_now(l, q, &q->basis);
	}
	return now;
}

/* The generation before keeps what is noted for it. */
static void move_bases(struct run *run, size_t seat)
{
	struct lowering l = run_lowering(run, run->config.objects[seat], NULL);
	struct lowered *lowered = arena_new_of(run->gen->arena, struct lowered);
	*lowered = *run->lowered[seat];
	lowered->by_check = with_bases(&l, &lowered->by_check);
	lowered->by_lower = with_bases(&l, &lowered->by_lower);
	run->lowered[seat] = lowered;
}

static bool reads_otherwise(struct run *run, const struct lowered *lowered)
{
	for (size_t i = 0; i < lowered->n_facts; i++)
		if (!streq(fact_known(&run->choices, lowered->facts[i].key), lowered->facts[i].value))
			return true;
	return false;
}

#ifdef WEFT_CHECKS
/* What is not asked again would be answered as before. */
static void check_answers(struct lowering *l, const struct asked *asked)
{
	for (size_t i = 0; i < asked->n; i++) {
		const struct lower_question *q = &asked->items[i];
		if (question_is_touched(l->run, q) || q->fn(l, q->a, q->b) == q->answer)
			continue;
		fprintf(stderr, "lowering: %s '%s': another answer about '%s', which no change touches\n",
			l->object->kind->name, l->object->name, q->a ? q->a : "");
		abort();
	}
}
#endif

static void ask_again(struct run *run)
{
	for (size_t seat = 0; seat < run->config.n; seat++) {
		const struct lowered *before = run->lowered[seat];
		bool moved = false;
		if (run->carry->anew[seat])
			continue;
		struct lowering l = run_lowering(run, run->config.objects[seat], NULL);
		if (before->by_lower.around || answered_otherwise(&l, &before->by_lower, &moved) ||
		    answered_otherwise(&l, &before->by_check, &moved) || reads_otherwise(run, before)) {
			make_anew(run, seat);
			continue;
		}
#ifdef WEFT_CHECKS
		check_answers(&l, &before->by_lower);
		check_answers(&l, &before->by_check);
#endif
		if (moved)
			move_bases(run, seat);
	}
}

static bool is_stale(const struct run *run, const struct want *want)
{
	return want && want->stale == run->gen->serial;
}

static bool leads_to_stale(const struct run *run, const struct lowered *lowered)
{
	for (size_t i = 0; i < lowered->n_wants; i++)
		if (is_stale(run, lowered->wants[i]))
			return true;
	for (size_t i = 0; i < lowered->n_looks; i++)
		if (is_stale(run, lowered->looks[i].found))
			return true;
	return false;
}

static void spread(struct run *run)
{
	do {
		run->carry->again = false;
		for (size_t seat = 0; seat < run->config.n; seat++)
			if (!run->carry->anew[seat] && leads_to_stale(run, run->lowered[seat]))
				make_anew(run, seat);
	} while (run->carry->again);
}

/* What was looked for in vain and is there now. */
static void find_missed(struct run *run)
{
	for (size_t seat = 0; seat < run->config.n; seat++) {
		const struct lowered *lowered = run->lowered[seat];
		for (size_t i = 0; !run->carry->anew[seat] && i < lowered->n_looks; i++) {
			const struct look *look = &lowered->looks[i];
			const struct want *want =
				look->found ? NULL : generation_find(run->gen, look->class, look->key);
			if (want && !generation_carries(run->gen, want))
				make_anew(run, seat);
		}
	}
}

/* ---- what lowering asks ---- */

bool carry_shows(const struct lowering *l, const struct want *want)
{
	const struct run *run = l->run;
	size_t seat = run->seats[run_slot(run, l->object)];
	for (size_t i = 0; i < want->n_owners; i++)
		if (run->seats[run_slot(run, want->owners[i])] < seat)
			return true;
	return false;
}

void carry_collides(struct lowering *l, struct want *want)
{
	struct carry *carry = l->run->carry;
	carry->given_up |= !want;
	carry->again = true;
	if (want)
		want->stale = l->gen->serial;
}

void carry_claims(struct run *run)
{
	for (size_t seat = 0; seat < run->config.n; seat++) {
		const struct lowered *lowered = run->lowered[seat];
		for (size_t i = 0; !run->carry->anew[seat] && i < lowered->n_claims; i++)
			strmap_put(&run->choices.claims, lowered->claims[i], (void *)lowered->object);
	}
}

/* ---- lowering them ---- */

static void take_over_wants(struct run *run)
{
	struct generation *gen = run->gen;
	const struct generation *before = run->carry->before;
	generation_clear_wants(gen);
	gen->n_carried = gen->n_gone = 0;
	generation_reserve(gen, before->n_wants + before->n_wants / 8);
	gen->gone = arena_alloc(gen->lists, (before->n_wants + 1) * sizeof(struct want *));
	for (size_t i = 0; i < before->n_wants; i++) {
		if (is_stale(run, before->wants[i]))
			gen->gone[gen->n_gone++] = before->wants[i];
		else
			generation_share(gen, before->wants[i]);
	}
	gen->n_carried = gen->n_wants;
}

static void check_those(struct run *run)
{
	for (size_t seat = 0; seat < run->config.n; seat++) {
		struct lowered *before = run->lowered[seat], *lowered = before;
		if (run->carry->anew[seat] || before->by_check.around) {
			lowered = arena_new_of(run->gen->arena, struct lowered);
			lowered->object = run->config.objects[seat];
			run_check(run, lowered->object, lowered);
		}
		if (run->carry->anew[seat])
			run->lowered[seat] = lowered;
	}
}

static void lower_those(struct run *run)
{
	struct choices *choices = &run->choices;
	choices->taken = strmap_in(choices->arena);
	choices->claims = strmap_in(choices->arena);
	choices->knows_claims = false;
	for (size_t seat = 0; seat < run->config.n && !run->carry->given_up; seat++) {
		if (!run->carry->anew[seat])
			continue;
		const struct object *object = run->config.objects[seat];
		struct lowered *lowered = arena_new_of(run->gen->arena, struct lowered);
		*lowered = (struct lowered){.object = object, .by_check = run->lowered[seat]->by_check};
		run->lowered[seat] = lowered;
		struct lowering l = run_lowering(run, object, lowered);
		object->kind->lower(&l, object);
		run->carry->given_up |= l.refused;
	}
}

static bool is_worth_it(const struct run *run)
{
	return run->carry->n_anew <= run->config.n / 2 + 4;
}

/* One lowering may show that more has to be lowered anew, which what it adds to led to before. */
static bool lower_rounds(struct run *run)
{
	struct carry *carry = run->carry;
	spread(run);
	if (!is_worth_it(run))
		return false;
	check_those(run);
	for (int i = 0; i < ROUNDS_MAX && is_worth_it(run) && !carry->given_up && !run->diags->n_total; i++) {
		take_over_wants(run);
		carry->again = false;
		lower_those(run);
		find_missed(run);
		if (!carry->again)
			return !carry->given_up && !run->diags->n_total;
		spread(run);
	}
	return false;
}

static void found_circle(void *ctx, struct want *const *wants, size_t n)
{
	*(bool *)ctx = true;
}

/* ---- the outcome ---- */

static void list_choices(struct run *run)
{
	struct generation *gen = run->gen;
	gen->n_facts = gen->n_allocs = 0;
	for (size_t seat = 0; seat < run->config.n; seat++) {
		const struct lowered *lowered = run->lowered[seat];
		for (size_t i = 0; i < lowered->n_facts; i++) {
			arena_grow(gen->lists, gen->facts, gen->n_facts, gen->cap_facts);
			gen->facts[gen->n_facts++] = lowered->facts[i];
		}
		for (size_t i = 0; i < lowered->n_allocs; i++) {
			arena_grow(gen->lists, gen->allocs, gen->n_allocs, gen->cap_allocs);
			gen->allocs[gen->n_allocs++] = lowered->allocs[i];
		}
	}
}

/* Every now and then all is lowered from nothing, which leaves behind what has gathered of older generations. */
static bool is_too_much(const struct generation *gen, const struct generation *before)
{
	size_t size = arena_used(gen->arena) + arena_used(before->arena);
	for (size_t i = 0; i < before->n_older; i++)
		size += arena_used(before->older[i]);
	return before->n_older >= OLDER_MAX || size > 2 * before->size_anew + GARBAGE_BYTES;
}

static void publish(struct run *run)
{
	struct generation *gen = run->gen;
	for (size_t i = gen->n_carried; i < gen->n_wants; i++)
		run_publish_want(gen, gen->wants[i]);
	gen->objects = run->config.objects;
	gen->n_objects = gen->cap_objects = run->config.n;
	gen->lowered = run->lowered;
	gen->anew = run->carry->anew;
	gen->basis = run->carry->before->serial;
	gen->basis_rev = run->carry->before->rev;
	gen->n_deltas = run->carry->before->n_deltas;
	list_choices(run);
	generation_share_arenas(gen, run->carry->before);
	gen->size_anew = run->carry->before->size_anew;
}

int lower_carry(struct generation *gen, const struct lower_input *input)
{
	const struct generation *before = input->before;
	struct diags diags = {.arena = gen->lists};
	if (!before->lowered || before->n_refused || input->n_tolerated || is_too_much(gen, before))
		return -EAGAIN;
	struct run run;
	run_begin(&run, gen, input, &diags);
	struct carry carry = {.before = before, .anew = arena_alloc(gen->lists, run.config.n + 1)};
	struct touched touched = {.arena = gen->lists};
	run.carry = &carry;
	run.touched = &touched;
	choices_init(&run.choices, gen->lists);
	bool circle = false;
	if (!diags.n_total) {
		match(&run);
		if (is_worth_it(&run))
			ask_again(&run);
	}
	if (diags.n_total || !lower_rounds(&run))
		circle = true;
	else
		lower_circles(gen, found_circle, &circle);
	if (circle) {
		generation_clear_wants(gen);
		return -EAGAIN;
	}
	publish(&run);
	return 0;
}
