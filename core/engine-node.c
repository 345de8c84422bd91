/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's nodes: one for every resource that is wanted, leaving or being looked at, found by class and key, and
 * the edges between them. */
#include "core/engine-internal.h"

static size_t bucket_of(const struct engine *e, const char *class, const char *key)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a */
	for (const char *p = class; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	for (const char *p = key; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	return (size_t)(h ^ h >> 32) & (e->n_buckets - 1);
}

struct res *res_find(const struct engine *e, const char *class, const char *key)
{
	if (!e->n_buckets)
		return NULL;
	for (struct res *r = e->buckets[bucket_of(e, class, key)]; r; r = r->hash_next)
		if (streq(r->key, key) && streq(r->class->name, class))
			return r;
	return NULL;
}

static void rehash(struct engine *e)
{
	free(e->buckets);
	e->n_buckets = e->n_buckets ? e->n_buckets * 4 : 256;
	e->buckets = xcalloc(e->n_buckets, sizeof(*e->buckets));
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		struct res **bucket = &e->buckets[bucket_of(e, r->class->name, r->key)];
		r->hash_next = *bucket;
		*bucket = r;
	}
}

struct res *res_obtain(struct engine *e, const struct resource_class *class, const char *key)
{
	struct res *r = res_find(e, class->name, key);
	if (r)
		return r;
	r = xcalloc(1, sizeof(*r));
	r->class = class;
	r->key = xstrdup(key);
	grow(e->nodes, e->n_nodes, e->cap_nodes);
	r->index = e->n_nodes;
	e->nodes[e->n_nodes++] = r;
	if (e->n_nodes > e->n_buckets) {
		rehash(e);
	} else {
		struct res **bucket = &e->buckets[bucket_of(e, class->name, key)];
		r->hash_next = *bucket;
		*bucket = r;
	}
	return r;
}

static void list_drop(struct res_list *list, const struct res *res)
{
	size_t kept = 0;
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i] != res)
			list->items[kept++] = list->items[i];
	list->n = kept;
}

static void list_add(struct res_list *list, struct res *res)
{
	grow(list->items, list->n, list->cap);
	list->items[list->n++] = res;
}

static void unlink_edges(struct res *res)
{
	for (size_t i = 0; i < res->n_needs; i++)
		list_drop(&res->needs[i].res->dependents, res);
	for (size_t i = 0; i < res->handovers.n; i++)
		list_drop(&res->handovers.items[i]->followers, res);
	for (size_t i = 0; i < res->afters.n; i++)
		list_drop(&res->afters.items[i]->followers, res);
	for (size_t i = 0; i < res->rests.n; i++)
		list_drop(&res->rests.items[i]->dependents, res);
	for (size_t i = 0; i < res->dependents.n; i++) {
		struct res *d = res->dependents.items[i];
		size_t kept = 0;
		for (size_t k = 0; k < d->n_needs; k++)
			if (d->needs[k].res != res)
				d->needs[kept++] = d->needs[k];
		d->n_needs = kept;
		list_drop(&d->rests, res);
	}
	for (size_t i = 0; i < res->followers.n; i++) {
		list_drop(&res->followers.items[i]->handovers, res);
		list_drop(&res->followers.items[i]->afters, res);
		if (res->followers.items[i]->carrier == res)
			res->followers.items[i]->carrier = NULL;
	}
	if (res->carrier)
		list_drop(&res->carrier->followers, res);
}

/* The i-th of what it was on before, needs first, then what it rested on; NULL if that is no more. */
struct res *res_old_need(struct engine *e, const struct res *res, size_t i)
{
	const struct want *old = res->old;
	const struct want *w = i < old->n_needs ? old->needs[i] : old->rests[i - old->n_needs];
	return res_find(e, w->class->name, w->key);
}

/* The old needs of others may name it still: dependents are rebuilt without it. */
static void drop_from_olds(struct engine *e, struct res *res)
{
	if (!res->old)
		return;
	for (size_t i = 0; i < res->old->n_needs + res->old->n_rests; i++) {
		struct res *need = res_old_need(e, res, i);
		if (need)
			list_drop(&need->dependents, res);
	}
}

void res_changed(struct engine *e, struct res *res)
{
	if (res->changed)
		return;
	grow(e->changed, e->n_changed, e->cap_changed);
	e->changed[e->n_changed++] = res;
	res->changed = e->n_changed;
}

void res_free(struct engine *e, struct res *res)
{
	if (res->changed)
		e->changed[res->changed - 1] = NULL;
	drop_from_olds(e, res);
	unlink_edges(res);
	struct res **p = &e->buckets[bucket_of(e, res->class->name, res->key)];
	while (*p != res)
		p = &(*p)->hash_next;
	*p = res->hash_next;
	e->nodes[res->index] = e->nodes[--e->n_nodes];
	e->nodes[res->index]->index = res->index;
	observation_done(&res->obs);
	arena_free(res->baseline_arena);
	arena_free(res->back_arena);
	json_decref(res->baseline);
	free(res->needs);
	free(res->handovers.items);
	free(res->afters.items);
	free(res->rests.items);
	free(res->dependents.items);
	free(res->followers.items);
	free(res->loss);
	free(res->identity);
	free(res->key);
	free(res);
}

void res_queue(struct engine *e, struct res *res)
{
	if (res->queued)
		return;
	res->queued = true;
	res->queue_next = NULL;
	*e->queue_tail = res;
	e->queue_tail = &res->queue_next;
}

void res_forget_seen(struct engine *e, struct res *res)
{
	res->known = false;
	res_queue(e, res);
}

/* Marks what may go on since something about `res` has changed. */
void res_neighbours_queue(struct engine *e, struct res *res)
{
	for (size_t i = 0; i < res->dependents.n; i++)
		res_queue(e, res->dependents.items[i]);
	for (size_t i = 0; i < res->followers.n; i++)
		res_queue(e, res->followers.items[i]);
	for (size_t i = 0; i < res->n_needs; i++)
		res_queue(e, res->needs[i].res);
	for (size_t i = 0; i < res->rests.n; i++)
		res_queue(e, res->rests.items[i]);
	for (size_t i = 0; res->old && i < res->old->n_needs + res->old->n_rests; i++) {
		struct res *need = res_old_need(e, res, i);
		if (need)
			res_queue(e, need);
	}
}

/* What is always there with what it needs (its settings), and what was missed for as long as that was away. */
static bool comes_along(const struct res *res)
{
	bool missed = (res->class->flags & CLASS_PRECIOUS) && res->made_incarnation && !res->obs.exists;
	return missed || (res->class->flags & CLASS_INHERENT);
}

/* Another instance of `res` is there, or none, than was before: what hung on the one that went may be gone with it, and
 * what came along with it is there now. */
void res_instance_changed(struct engine *e, struct res *res, bool was_there)
{
	for (size_t i = 0; i < res->dependents.n; i++)
		if (was_there || comes_along(res->dependents.items[i]))
			res_forget_seen(e, res->dependents.items[i]);
	for (size_t i = 0; i < res->followers.n; i++)
		if (res->followers.items[i]->carrier == res)
			res_forget_seen(e, res->followers.items[i]);
	res_neighbours_queue(e, res);
}

bool res_is_there(const struct res *res)
{
	return !res->known || res->obs.exists;
}

/* What describes it best: as wanted now, before, or only looked at. */
const struct want *res_want(const struct res *res)
{
	return res->want ? res->want : res->old ? res->old : res->probe;
}

static uint64_t bound_before(const struct need *before, size_t n, const struct res *need)
{
	for (size_t i = 0; i < n; i++)
		if (before[i].res == need)
			return before[i].bound;
	return 0;
}

static bool has_need(const struct res *res, const struct res *need)
{
	for (size_t i = 0; i < res->n_needs; i++)
		if (res->needs[i].res == need)
			return true;
	for (size_t i = 0; i < res->rests.n; i++)
		if (res->rests.items[i] == need)
			return true;
	return false;
}

static void link_needs(struct engine *e, struct res *res)
{
	struct need *before = take_ptr(res->needs);
	size_t n_before = res->n_needs;
	res->n_needs = res->cap_needs = 0;
	for (size_t i = 0; res->want && i < res->want->n_needs; i++) {
		const struct want *w = res->want->needs[i];
		struct res *need = res_find(e, w->class->name, w->key);
		grow(res->needs, res->n_needs, res->cap_needs);
		res->needs[res->n_needs++] = (struct need){need, bound_before(before, n_before, need)};
		list_add(&need->dependents, res);
	}
	free(before);
	for (size_t i = 0; res->want && i < res->want->n_rests; i++) {
		const struct want *w = res->want->rests[i];
		struct res *below = res_find(e, w->class->name, w->key);
		if (has_need(res, below))
			continue;
		list_add(&res->rests, below);
		list_add(&below->dependents, res);
	}
}

static void link_old_needs(struct engine *e, struct res *res)
{
	for (size_t i = 0; res->old && i < res->old->n_needs + res->old->n_rests; i++) {
		struct res *need = res_old_need(e, res, i);
		if (need && !has_need(res, need))
			list_add(&need->dependents, res);
	}
}

static void link_rest(struct engine *e, struct res *res)
{
	const struct want *w = res->want ? res->want : res->old;
	for (size_t i = 0; w && i < w->n_handovers; i++) {
		struct res *to = res_find(e, w->handovers[i]->class->name, w->handovers[i]->key);
		if (to) {
			list_add(&res->handovers, to);
			list_add(&to->followers, res);
		}
	}
	for (size_t i = 0; res->want && i < w->n_afters; i++) {
		struct res *to = res_find(e, w->afters[i]->class->name, w->afters[i]->key);
		list_add(&res->afters, to);
		list_add(&to->followers, res);
	}
	if (w && w->carrier)
		res->carrier = res_find(e, w->carrier->class->name, w->carrier->key);
	if (res->carrier)
		list_add(&res->carrier->followers, res);
}

/* Edges that start at it; those that end at it stay. */
void res_unlink(struct engine *e, struct res *res)
{
	if (res->relink)
		return;
	res->relink = true;
	for (size_t i = 0; i < res->n_needs; i++)
		list_drop(&res->needs[i].res->dependents, res);
	for (size_t i = 0; i < res->rests.n; i++)
		list_drop(&res->rests.items[i]->dependents, res);
	for (size_t i = 0; res->old && i < res->old->n_needs + res->old->n_rests; i++) {
		struct res *need = res_old_need(e, res, i);
		if (need)
			list_drop(&need->dependents, res);
	}
	for (size_t i = 0; i < res->handovers.n; i++)
		list_drop(&res->handovers.items[i]->followers, res);
	for (size_t i = 0; i < res->afters.n; i++)
		list_drop(&res->afters.items[i]->followers, res);
	if (res->carrier)
		list_drop(&res->carrier->followers, res);
	res->handovers.n = res->afters.n = res->rests.n = 0;
	res->carrier = NULL;
}

void res_relink(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++)
		if (e->nodes[i]->relink)
			link_needs(e, e->nodes[i]);
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (!r->relink)
			continue;
		r->relink = false;
		link_old_needs(e, r);
		link_rest(e, r);
	}
}

void res_link_all(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		r->handovers.n = r->afters.n = r->rests.n = r->dependents.n = r->followers.n = 0;
		r->carrier = NULL;
		r->relink = false;
	}
	for (size_t i = 0; i < e->n_nodes; i++)
		link_needs(e, e->nodes[i]);
	for (size_t i = 0; i < e->n_nodes; i++) {
		link_old_needs(e, e->nodes[i]);
		link_rest(e, e->nodes[i]);
	}
}
