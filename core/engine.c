/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's public calls: lanes, generations, events, and the loop. See engine.h and engine-internal.h. */
#include "core/engine-internal.h"

enum { GENERATIONS_KEPT = 8 }; /* while something of them is leaving or under way, before they are sifted */

const char *const resource_state_names[] = {"Unknown",  "Absent", "Present",   "Busy",   "Waiting",
					    "Removing", "Failed", "Contested", "Foreign"};

struct engine *engine_new(const struct engine_host *host)
{
	struct engine *e = xcalloc(1, sizeof(*e));
	e->host = *host;
	e->queue_tail = &e->queue;
	e->next_retry_ms = UINT64_MAX;
	e->sift_at = GENERATIONS_KEPT;
	return e;
}

struct engine *engine_free(struct engine *e)
{
	if (!e)
		return NULL;
	for (size_t i = 0; i < e->n_lanes; i++)
		e->lanes[i]->ops->free(e->lanes[i]);
	for (size_t i = 0; i < e->n_nodes; i++)
		op_free(e->nodes[i]->op); /* its lane is gone */
	while (e->n_nodes)
		res_free(e, e->nodes[e->n_nodes - 1]);
	for (size_t i = 0; i < e->n_gens; i++)
		generation_unref(e->gens[i]);
	for (size_t i = 0; i < e->n_probes; i++)
		generation_unref(e->probes[i].gen);
	for (size_t i = 0; i < e->n_forgets; i++)
		free((char *)e->forgets[i].key);
	free(e->forgets);
	free(e->lanes);
	free(e->gens);
	free(e->nodes);
	free(e->buckets);
	free(e->changed);
	free(e->ready);
	free(e->polls);
	free(e->probes);
	free(e);
	return NULL;
}

void engine_add_lane(struct engine *e, struct lane *lane)
{
	grow(e->lanes, e->n_lanes, e->cap_lanes);
	e->lanes[e->n_lanes++] = lane;
	lane->engine = e;
}

struct lane *engine_lane(struct engine *e, const char *name)
{
	for (size_t i = 0; i < e->n_lanes; i++)
		if (streq(e->lanes[i]->name, name))
			return e->lanes[i];
	return NULL;
}

void engine_load_record(struct engine *e, const struct engine_record *record)
{
	const struct resource_class *class = class_find(record->class);
	if (!class)
		return;
	/* What does not outlive a reboot went with it; what has its name now was made by somebody else. */
	if (record->old_boot && !(class->flags & CLASS_PERSISTENT))
		return;
	struct res *r = res_obtain(e, class, record->key);
	r->made = record->made;
	r->fresh = record->fresh;
	r->made_incarnation = record->incarnation;
	r->identity = record->identity ? xstrdup(record->identity) : NULL;
	if (!record->baseline)
		return;
	struct arena *arena = arena_new();
	void *spec = arena_alloc(arena, class->table->size);
	if (table_from_json(class->table, json_object_get(record->baseline, "spec"), arena, spec, NULL) < 0) {
		arena_free(arena);
		return;
	}
	r->baseline = json_incref(record->baseline);
	r->baseline_arena = arena;
	r->baseline_spec = spec;
	const json_t *name;
	size_t i;
	json_array_foreach(json_object_get(record->baseline, "rows"), i, name) {
		const struct field *row =
			json_is_string(name) ? table_field(class->table, json_string_value(name)) : NULL;
		if (row)
			r->taken |= (uint64_t)1 << (row - class->table->fields);
	}
}

static void add_generation(struct engine *e, struct generation *gen)
{
	for (size_t i = 0; i < e->n_gens; i++)
		if (e->gens[i] == gen)
			return;
	grow(e->gens, e->n_gens, e->cap_gens);
	e->gens[e->n_gens++] = generation_ref(gen);
}

bool same_want(const struct want *a, const struct want *b)
{
	const struct table *table = a->class->table;
	return *present_of(a->spec) == *present_of(b->spec) && a->adopt == b->adopt &&
	       !table_diff(table, a->spec, b->spec) && !table_diff(table, b->spec, a->spec);
}

static void add_poll(struct engine *e, const struct resource_class *class)
{
	for (size_t i = 0; i < e->n_polls; i++)
		if (e->polls[i].class == class)
			return;
	grow(e->polls, e->n_polls, e->cap_polls);
	e->polls[e->n_polls++] = (struct poll){class, e->host.now_ms(e->host.ctx) + class->period_ms};
}

/* A probe has just seen that there is none: to look once more would tell nothing else. */
static bool is_known_missing(const struct res *r, const struct want *want, const struct generation *gen)
{
	return !r->op && r->known && !r->obs.exists && r->seen_for == want->spec && r->seen_gen == gen->serial;
}

static void adopt_want(struct engine *e, struct want *want, const struct generation *gen)
{
	struct res *r = res_obtain(e, want->class, want->key);
	const struct want *before = r->old;
	bool same = before && same_want(before, want), was_leaving = r->excused;
	r->want = want;
	r->released = r->hurry = false;
	r->excused = same && !was_leaving && r->state != RES_PRESENT;
	if (want->class->period_ms)
		add_poll(e, want->class);
	if (same && !was_leaving)
		return;
	r->settled = r->repairing = false;
	r->known = is_known_missing(r, want, gen);
	r->again = r->op != NULL; /* what comes of it was seen with other eyes */
	if (r->op)                /* which may take its time: until then it is not what is wanted now */
		r->state = RES_UNKNOWN;
	r->stubborn = r->futile = r->attempts = 0;
	r->written = 0;
	r->retry_ms = 0;
}

/* Does it work against the current generation? What cannot be had otherwise once it is there (a copy of an image) is
 * not to become what was wanted before. */
static bool is_stale(const struct res *r)
{
	if (!r->want || r->op->verb != OP_CREATE)
		return r->op->verb == (r->want ? OP_REMOVE : OP_CREATE);
	return (r->class->flags & (CLASS_KEEP | CLASS_PRECIOUS)) &&
	       !table_equal(r->class->table, r->op->want, r->want->spec);
}

/* Operations that work against the new generation are asked to end. */
static void cancel_stale(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (!r->op || !r->op->lane || !r->op->lane->ops->cancel)
			continue;
		if (is_stale(r))
			r->op->lane->ops->cancel(r->op->lane, r->op);
	}
}

static void queue_all(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++)
		res_queue(e, e->nodes[i]);
	e->host.wake(e->host.ctx);
}

/* Those that are as wanted stay so whatever the generation, as long as it wants the same of them. */
static void queue_unsettled(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (!r->want || !r->known || r->state != RES_PRESENT)
			res_queue(e, r);
	}
	e->host.wake(e->host.ctx);
}

/* What a final generation wants is no longer taken back with the revision that made it. */
static void settle_fresh(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (!r->fresh || !r->want)
			continue;
		r->fresh = false;
		r->record_changed = e->records_changed = true;
	}
}

static bool is_anything_leaving(const struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++)
		if (!e->nodes[i]->want && e->nodes[i]->old)
			return true;
	return false;
}

/* The wants of a generation that carries over most of the current one. */
static void take_changes(struct engine *e, struct generation *gen)
{
	for (size_t i = 0; i < gen->n_gone; i++)
		res_unlink(e, res_find(e, gen->gone[i]->class->name, gen->gone[i]->key));
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		r->tried = r->refused = false;
		r->excused = !r->want || r->state != RES_PRESENT;
		if (!r->want)
			continue;
		if (r->old && r->old != r->want)
			res_unlink(e, r);
		r->old = r->want;
		r->old_final = e->current->final;
		r->released = r->hurry = false;
	}
	for (size_t i = 0; i < gen->n_gone; i++) {
		struct res *r = res_find(e, gen->gone[i]->class->name, gen->gone[i]->key);
		r->want = NULL;
		r->excused = false;
	}
	for (size_t i = gen->n_carried; i < gen->n_wants; i++) {
		struct res *r = res_obtain(e, gen->wants[i]->class, gen->wants[i]->key);
		res_unlink(e, r);
		adopt_want(e, gen->wants[i], gen);
		res_queue(e, r);
	}
}

static void take_all(struct engine *e, struct generation *gen)
{
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		r->excused = !r->want; /* it was leaving already */
		if (r->want) {
			r->old = r->want;
			r->old_final = e->current->final;
		}
		r->want = NULL;
		r->tried = r->refused = false;
	}
	for (size_t i = 0; i < gen->n_wants; i++)
		adopt_want(e, gen->wants[i], gen);
}

void engine_switch(struct engine *e, struct generation *gen, bool pending)
{
	bool little = differs_little(e, gen) && !is_anything_leaving(e);
	add_generation(e, gen);
	if (little)
		take_changes(e, gen);
	else
		take_all(e, gen);
	for (size_t i = 0; i < e->n_nodes; i++) {
		if (e->nodes[i]->want)
			continue;
		e->nodes[i]->known = e->nodes[i]->restart_needed = false;
		e->nodes[i]->again = e->nodes[i]->op != NULL;
		e->nodes[i]->retry_ms = 0;
		e->nodes[i]->stubborn = e->nodes[i]->futile = 0;
	}
	e->current = gen;
	e->switched_ms = e->host.now_ms(e->host.ctx);
	e->pending = pending;
	gen->final |= !pending;
	if (!pending)
		settle_fresh(e);
	if (little)
		res_relink(e);
	else
		res_link_all(e);
	cancel_stale(e);
	if (little)
		queue_unsettled(e);
	else
		queue_all(e);
}

void engine_leave(struct engine *e, struct generation *old)
{
	add_generation(e, old);
	for (size_t i = 0; i < old->n_wants; i++) {
		struct res *r = res_obtain(e, old->wants[i]->class, old->wants[i]->key);
		r->old = old->wants[i];
		r->old_final = old->final;
		r->known = false;
	}
	res_link_all(e);
	queue_all(e);
}

struct generation *engine_generation(struct engine *e)
{
	return e->current;
}

void engine_final(struct engine *e)
{
	e->pending = false;
	e->current->final = true;
	settle_fresh(e);
	queue_unsettled(e);
}

void engine_hurry(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		r->hurry = !r->want;
		bool patient = r->hurry && r->op && r->op->verb == OP_REMOVE && !r->op->hurry;
		if (patient && r->op->lane && r->op->lane->ops->cancel)
			r->op->lane->ops->cancel(r->op->lane, r->op); /* and once more, in a hurry */
	}
}

static bool is_pointed_into(const struct engine *e, const struct generation *gen)
{
	if (gen == e->current)
		return true;
	for (size_t i = 0; i < e->n_nodes; i++) {
		const struct res *r = e->nodes[i];
		if (r->old && generation_find(gen, r->class->name, r->key) == r->old)
			return true;
	}
	return false;
}

/* What has arrived does not go back to what it was; what leaves, or is under way, needs its old edges. */
static bool forget_olds(struct engine *e)
{
	bool moving = e->n_busy;
	for (size_t i = 0; i < e->n_nodes; i++)
		moving |= !e->nodes[i]->want;
	if (moving && e->n_gens < e->sift_at)
		return false;
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (moving && !(r->want && r->state == RES_PRESENT && !r->op))
			continue;
		if (r->old && r->old != r->want)
			res_unlink(e, r);
		r->old = NULL;
	}
	res_relink(e);
	return true;
}

/* Generations that nothing points into any more are freed once everything has come to rest; but for what leaves, which
 * may never do so, or is under way, which may take hours: then once there are many, and again once there are twice as
 * many. */
static void collect_generations(struct engine *e)
{
	if (e->n_gens < 2 || e->pending || e->n_probes || e->queue || (e->n_busy && e->n_gens < e->sift_at) ||
	    !forget_olds(e))
		return;
	size_t kept = 0;
	for (size_t i = 0; i < e->n_gens; i++) {
		if (is_pointed_into(e, e->gens[i]))
			e->gens[kept++] = e->gens[i];
		else
			generation_unref(e->gens[i]);
	}
	e->n_gens = kept;
	e->sift_at = kept * 2 > GENERATIONS_KEPT ? kept * 2 : GENERATIONS_KEPT;
}

static void run_timers(struct engine *e)
{
	uint64_t now = e->host.now_ms(e->host.ctx);
	for (size_t i = 0; i < e->n_polls; i++) {
		if (e->polls[i].next_ms > now)
			continue;
		e->polls[i].next_ms = now + e->polls[i].class->period_ms;
		engine_dirty(e, e->polls[i].class->name, NULL);
	}
	if (e->next_retry_ms > now)
		return;
	e->next_retry_ms = UINT64_MAX;
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (!r->retry_ms || r->op)
			continue;
		if (r->retry_ms <= now)
			res_queue(e, r);
		else if (r->retry_ms < e->next_retry_ms)
			e->next_retry_ms = r->retry_ms;
	}
}

static uint64_t next_timer(const struct engine *e, uint64_t needs_ms)
{
	uint64_t next = e->next_retry_ms, by_long = e->pending ? engine_next_long(e) : UINT64_MAX;
	for (size_t i = 0; i < e->n_polls; i++)
		if (e->polls[i].next_ms < next)
			next = e->polls[i].next_ms;
	uint64_t by_late = probe_next_late(e);
	if (by_late < next)
		next = by_late;
	if (needs_ms < next)
		next = needs_ms;
	return by_long < next ? by_long : next;
}

static struct res *queue_pop(struct engine *e)
{
	struct res *r = e->queue;
	if (!r)
		return NULL;
	e->queue = r->queue_next;
	if (!e->queue)
		e->queue_tail = &e->queue;
	r->queued = false;
	return r;
}

uint64_t engine_run(struct engine *e)
{
	uint64_t needs_ms;
	e->running = true;
	run_timers(e);
	do {
		for (struct res *r = queue_pop(e); r; r = queue_pop(e))
			res_step(e, r);
		ops_start(e);
		needs_ms = e->n_busy && (e->n_probes || e->pending) ? looks_ask_needs(e) : UINT64_MAX;
	} while (e->queue);
	e->running = false;
	if (e->records_changed && !e->n_busy) /* what is under way is not to wait for the disk */
		ops_persist(e);
	probe_check(e);
	collect_generations(e);
#ifdef WEFT_CHECKS
	engine_check(e);
#endif
	return next_timer(e, needs_ms);
}

static void mark_dirty(struct engine *e, struct res *res)
{
	if (res->op)
		res->again = true;
	else
		res_forget_seen(e, res);
}

void engine_dirty(struct engine *e, const char *class, const char *key)
{
	if (!e)
		return;
	if (key) {
		struct res *r = res_find(e, class, key);
		if (r)
			mark_dirty(e, r);
	} else {
		for (size_t i = 0; i < e->n_nodes; i++)
			if (streq(e->nodes[i]->class->name, class))
				mark_dirty(e, e->nodes[i]);
	}
	if (e->queue && !e->running)
		e->host.wake(e->host.ctx);
}

void engine_touch(struct engine *e, const char *class, const char *key)
{
	struct res *r = e ? res_find(e, class, key) : NULL;
	if (r)
		res_changed(e, r);
}

void engine_resync(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++)
		mark_dirty(e, e->nodes[i]);
	if (e->queue && !e->running)
		e->host.wake(e->host.ctx);
}

static bool belongs_to(const struct res *res, const struct object *object)
{
	if (!object)
		return true;
	for (size_t i = 0; res->want && i < res->want->n_owners; i++)
		if (res->want->owners[i]->kind == object->kind && streq(res->want->owners[i]->name, object->name))
			return true;
	return false;
}

void engine_retry(struct engine *e, const struct object *object)
{
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (!r->retry_ms || !belongs_to(r, object))
			continue;
		r->retry_ms = 0;
		r->attempts = r->stubborn = r->futile = r->contests = 0;
		memset(r->repaired_ms, 0, sizeof(r->repaired_ms));
		res_queue(e, r);
	}
	e->host.wake(e->host.ctx);
}
