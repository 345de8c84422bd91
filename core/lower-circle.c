/* SPDX-License-Identifier: Apache-2.0 */
/* Finds resources that need each other, or come after each other, in a circle: they would wait for each other for ever.
 * Without recursion, as manifests may make a chain of any length. */
#include "core/lower-internal.h"

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

struct visit {
	struct want *want;
	size_t next; /* of its needs, then of what it comes after */
};

struct walk {
	const struct generation *gen;
	uint8_t *marks;
	struct visit *path; /* from where it began to where it is */
	size_t n;
	struct want **circle;
	lower_circle_fn *fn;
	void *ctx;
};

static void enter(struct walk *walk, struct want *want)
{
	walk->marks[want->index] = MARK_OPEN;
	walk->path[walk->n++] = (struct visit){want, 0};
}

static void report(struct walk *walk, const struct want *closes)
{
	size_t begin = walk->n - 1, n = 0;
	while (walk->path[begin].want != closes)
		begin--;
	for (size_t i = begin; i < walk->n; i++)
		walk->circle[n++] = walk->path[i].want;
	walk->fn(walk->ctx, walk->circle, n);
}

static void follow(struct walk *walk, struct want *first)
{
	enter(walk, first);
	while (walk->n) {
		struct visit *at = &walk->path[walk->n - 1];
		size_t n_needs = at->want->n_needs;
		if (at->next == n_needs + at->want->n_afters) {
			walk->marks[at->want->index] = MARK_DONE;
			walk->n--;
			continue;
		}
		struct want *need =
			at->next < n_needs ? at->want->needs[at->next] : at->want->afters[at->next - n_needs];
		at->next++;
		if (generation_carries(walk->gen, need))
			continue;
		if (walk->marks[need->index] == MARK_NEW)
			enter(walk, need);
		else if (walk->marks[need->index] == MARK_OPEN)
			report(walk, need);
	}
}

void lower_circles(const struct generation *gen, lower_circle_fn *fn, void *ctx)
{
	cleanup_arena struct arena *arena = arena_new();
	struct walk walk = {.gen = gen,
			    .marks = arena_alloc(arena, gen->n_wants + 1),
			    .path = arena_alloc(arena, (gen->n_wants + 1) * sizeof(*walk.path)),
			    .circle = arena_alloc(arena, (gen->n_wants + 1) * sizeof(*walk.circle)),
			    .fn = fn,
			    .ctx = ctx};
	for (size_t i = gen->n_carried; i < gen->n_wants; i++)
		if (walk.marks[i] == MARK_NEW)
			follow(&walk, gen->wants[i]);
}
