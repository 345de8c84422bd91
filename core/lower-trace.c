/* SPDX-License-Identifier: Apache-2.0 */
/* Notes what an object looks at while it is checked and lowered, and what it adds to: with that lower-carry.c knows
 * what a change reaches. */
#include "core/lower-internal.h"

enum { DUPLICATES_AMONG = 16 }; /* the last of the notes that are looked through before another is made */

/* FNV-1a, with a mark between texts. */
uint64_t lower_hash(uint64_t before, const char *text)
{
	uint64_t h = (before ^ 0xcbf29ce484222325) * 0x100000001b3 + (text != NULL);
	for (const char *p = text; p && *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	return h ^ h >> 29;
}

void lower_asked(struct lowering *l, const struct lower_question *question)
{
	struct asked *asked = l->asked;
	struct arena *arena = l->gen->arena;
	if (l->gathering && !l->hushed)
		basis_add(l, question);
	if (!asked || l->hushed || l->gathering)
		return;
	for (size_t i = asked->n; i > 0 && i + DUPLICATES_AMONG > asked->n; i--) {
		const struct lower_question *q = &asked->items[i - 1];
		if (q->fn == question->fn && streq(q->a, question->a) && streq(q->b, question->b))
			return;
	}
	arena_grow(arena, asked->items, asked->n, asked->cap);
	struct lower_question *q = &asked->items[asked->n++];
	*q = *question;
	q->a = arena_strdup(arena, question->a);
	q->b = arena_strdup(arena, question->b);
}

uint64_t lower_ask_object(struct lowering *l, const char *kind, const char *name)
{
	return (uintptr_t)configuration_find(l->config, kind, name);
}

static uint64_t topic_of(const char *kind, const char *name)
{
	return lower_hash(lower_hash(0, kind), name);
}

static void tell_object(struct lowering *l, const struct object *object)
{
	lower_touches(l, topic_of(object->kind->name, object->name));
}

struct lower_topic lower_topic_object(const char *kind, const char *name)
{
	static const struct lower_topics objects = {tell_object};
	return (struct lower_topic){&objects, topic_of(kind, name)};
}

uint64_t lower_ask_override(struct lowering *l, const char *a, const char *b)
{
	struct lowering quiet = *l;
	quiet.asked = NULL;
	return lower_hash(0, lower_override(&quiet));
}

bool lower_touch(struct lowering *l, struct want *want)
{
	if (l->run->carry && generation_carries(l->gen, want)) {
		carry_collides(l, want);
		return false;
	}
	struct lowered *lowered = l->lowered;
	for (size_t i = lowered->n_wants; i > 0; i--)
		if (lowered->wants[i - 1] == want)
			return true;
	arena_grow(l->gen->arena, lowered->wants, lowered->n_wants, lowered->cap_wants);
	lowered->wants[lowered->n_wants++] = want;
	return true;
}

/* Found or not: a want of its own is among those it added to. */
void lower_looked(struct lowering *l, const char *class, const char *key, struct want *found)
{
	struct lowered *lowered = l->lowered;
	for (size_t i = 0; found && i < lowered->n_wants; i++)
		if (lowered->wants[i] == found)
			return;
	for (size_t i = 0; i < lowered->n_looks; i++) {
		const struct look *look = &lowered->looks[i];
		if (look->found == found && streq(look->key, key) && streq(look->class, class))
			return;
	}
	struct arena *arena = l->gen->arena;
	arena_grow(arena, lowered->looks, lowered->n_looks, lowered->cap_looks);
	lowered->looks[lowered->n_looks++] = (struct look){arena_strdup(arena, class), arena_strdup(arena, key), found};
}

const struct fact_row *lowered_facts(const struct lowered *lowered, size_t *ret_n)
{
	*ret_n = lowered->n_facts;
	return lowered->facts;
}

const struct alloc_row *lowered_allocs(const struct lowered *lowered, size_t *ret_n)
{
	*ret_n = lowered->n_allocs;
	return lowered->allocs;
}
