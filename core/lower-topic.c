/* SPDX-License-Identifier: Apache-2.0 */
/* What answers hang on. Every answer that an object was given names its topic, or the topics of all that was asked to
 * find it; and of every object that is another one now, its topics are known. Where the two do not meet the answer
 * cannot have changed, and need not be asked for again. */
#include "core/lower-internal.h"

enum { DUPLICATES_AMONG = 8 }; /* the last topics that are looked through before another is noted */

/* ---- what an answer is made of ---- */

struct lower_basis *lower_gather(struct lowering *l)
{
	struct lower_basis *basis = arena_new_of(l->gen->arena, struct lower_basis);
	basis->around = l->gathering;
	l->gathering = basis;
	return basis;
}

/* Whatever the order in which it was asked. */
static uint64_t digest_of(const struct lower_basis *basis)
{
	uint64_t digest = basis->anything;
	for (size_t i = 0; i < basis->n_topics; i++)
		digest += (basis->topics[i].number ^ (uintptr_t)basis->topics[i].sort) * 0x9e3779b97f4a7c15;
	for (size_t i = 0; i < basis->n_others; i++)
		digest += (basis->others[i]->digest ^ basis->others[i]->digest >> 32) * 0xd6e8feb86659fd93;
	return digest;
}

struct lower_basis *lower_gathered(struct lowering *l, struct lower_basis *basis)
{
	l->gathering = basis->around;
	basis->around = NULL;
	if (basis->n_others == 1 && !basis->n_topics && !basis->anything)
		return basis->others[0];
	basis->digest = digest_of(basis);
	return basis;
}

static bool is_noted(const struct lower_basis *basis, const struct lower_topic *topic)
{
	for (size_t i = basis->n_topics; i > 0 && i + DUPLICATES_AMONG > basis->n_topics; i--)
		if (basis->topics[i - 1].sort == topic->sort && basis->topics[i - 1].number == topic->number)
			return true;
	return false;
}

void basis_add(struct lowering *l, const struct lower_question *q)
{
	struct lower_basis *basis = l->gathering;
	struct arena *arena = l->gen->arena;
	if (q->basis) {
		arena_grow(arena, basis->others, basis->n_others, basis->cap_others);
		basis->others[basis->n_others++] = q->basis;
	} else if (!q->topic.sort) {
		basis->anything = true;
	} else if (!is_noted(basis, &q->topic)) {
		arena_grow(arena, basis->topics, basis->n_topics, basis->cap_topics);
		basis->topics[basis->n_topics++] = q->topic;
	}
}

/* ---- what a change touches ---- */

static size_t slot_of(const struct touched *touched, const struct lower_topic *topic)
{
	size_t i = (size_t)(topic->number ^ (uintptr_t)topic->sort) & (touched->size - 1);
	while (touched->slots[i].sort &&
	       (touched->slots[i].sort != topic->sort || touched->slots[i].number != topic->number))
		i = (i + 1) & (touched->size - 1);
	return i;
}

static void enlarge(struct touched *touched)
{
	struct touched old = *touched;
	touched->size = old.size ? old.size * 2 : 64;
	touched->slots = arena_alloc(touched->arena, touched->size * sizeof(*touched->slots));
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i].sort)
			touched->slots[slot_of(touched, &old.slots[i])] = old.slots[i];
}

void lower_touches(struct lowering *l, uint64_t number)
{
	struct touched *touched = l->run->touched;
	const struct lower_topic topic = {l->telling, number};
	if (touched->n * 2 >= touched->size)
		enlarge(touched);
	size_t slot = slot_of(touched, &topic);
	touched->n += !touched->slots[slot].sort;
	touched->slots[slot] = topic;
}

void touched_add(struct touched *touched, const struct object *object)
{
	arena_grow(touched->arena, touched->objects, touched->n_objects, touched->cap_objects);
	touched->objects[touched->n_objects++] = object;
}

/* Topics of a sort are gathered once somebody has asked about one of it. */
static void tell(struct run *run, const struct lower_topics *sort)
{
	struct touched *touched = run->touched;
	for (size_t i = 0; i < touched->n_told; i++)
		if (touched->told[i] == sort)
			return;
	arena_grow(touched->arena, touched->told, touched->n_told, touched->cap_told);
	touched->told[touched->n_told++] = sort;
	for (size_t i = 0; i < touched->n_objects; i++) {
		struct lowering l = run_lowering(run, touched->objects[i], NULL);
		l.telling = sort;
		sort->tell(&l, touched->objects[i]);
	}
}

static bool is_touched(struct run *run, const struct lower_topic *topic)
{
	tell(run, topic->sort);
	return run->touched->size && run->touched->slots[slot_of(run->touched, topic)].sort;
}

/* Many may hang on the same: it is looked at once. */
static bool is_basis_touched(struct run *run, struct lower_basis *basis)
{
	if (basis->serial == run->gen->serial)
		return basis->touched;
	basis->serial = run->gen->serial;
	basis->touched = basis->anything;
	for (size_t i = 0; i < basis->n_topics && !basis->touched; i++)
		basis->touched = is_touched(run, &basis->topics[i]);
	for (size_t i = 0; i < basis->n_others && !basis->touched; i++)
		basis->touched = is_basis_touched(run, basis->others[i]);
	return basis->touched;
}

bool question_is_touched(struct run *run, const struct lower_question *q)
{
	if (q->basis)
		return is_basis_touched(run, q->basis);
	return !q->topic.sort || is_touched(run, &q->topic);
}
