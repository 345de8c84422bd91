/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at the engine: how a switch came out, what each resource is like, what another generation would change, and
 * the engine's check of itself. */
#include "core/engine-internal.h"

enum { STALE_TEXT = sizeof(((struct err *)0)->text) + 64 };

static bool undecided(const struct res *r)
{
	return r->op || r->queued || (!r->known && !r->observe_failed);
}

/* The end of something that an earlier revision decided on: nothing irreversible begins before this one is final, and a
 * guest may take its time to shut down. */
static bool is_older_end(const struct res *r)
{
	return r->op && r->op->verb == OP_REMOVE && (r->class->flags & CLASS_REMOVE_IRREVERSIBLE);
}

/* What this revision has made is looked at once more when the host tells of it. Of thousands there is always one that
 * is. */
static bool is_second_look(const struct res *r)
{
	return r->fresh && r->op && r->op->verb == OP_OBSERVE && !(r->class->flags & CLASS_TRANSACTIONAL);
}

/* What it needs is being made: however long that takes, its own outcome decides what becomes of an apply. */
static bool awaits_need(const struct res *r)
{
	for (size_t i = 0; i < r->n_needs && r->state == RES_WAITING; i++) {
		const struct res *need = r->needs[i].res;
		if (need->op && need->op->verb != OP_OBSERVE)
			return true;
	}
	return false;
}

static enum engine_outcome outcome_of(const struct engine *e, const struct res *r)
{
	if (is_older_end(r) || is_long(e, r) || is_second_look(r))
		return ENGINE_SETTLED;
	bool transactional = r->class->flags & CLASS_TRANSACTIONAL;
	if (r->excused)
		return ENGINE_SETTLED;
	if (transactional && (r->refused || r->state == RES_CONTESTED))
		return ENGINE_REFUSED;
	if (undecided(r) || (transactional && (r->state == RES_FAILED || awaits_need(r))))
		return ENGINE_RUNNING;
	return ENGINE_SETTLED;
}

enum engine_outcome engine_outcome(struct engine *e, struct err *why)
{
	enum engine_outcome outcome = e->queue ? ENGINE_RUNNING : ENGINE_SETTLED;
	for (size_t i = 0; i < e->n_nodes; i++) {
		const struct res *r = e->nodes[i];
		enum engine_outcome one = r->want || r->old ? outcome_of(e, r) : ENGINE_SETTLED;
		if (one == ENGINE_REFUSED) {
			err_set(why, r->reason.code ? r->reason.code : EPERM, "%s/%s: %s", r->class->name, r->key,
				r->reason.text);
			return ENGINE_REFUSED;
		}
		if (one == ENGINE_RUNNING)
			outcome = ENGINE_RUNNING;
	}
	return outcome;
}

size_t engine_unsettled(const struct engine *e)
{
	size_t n = 0;
	for (size_t i = 0; i < e->n_nodes; i++) {
		const struct res *r = e->nodes[i];
		n += (r->want || r->old) && outcome_of(e, r) == ENGINE_RUNNING;
	}
	return n;
}

bool engine_converged(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++) {
		const struct res *r = e->nodes[i];
		if (!r->want && r->probe)
			continue;
		if (!r->want || undecided(r) || r->state != RES_PRESENT)
			return false;
	}
	return true;
}

bool engine_leaving(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++)
		if (!e->nodes[i]->want && !e->nodes[i]->released)
			return true;
	return false;
}

void engine_each_changed(struct engine *e, engine_changed_fn *fn, void *ctx)
{
	for (size_t i = 0; i < e->n_changed; i++) {
		struct res *r = e->changed[i];
		if (!r)
			continue;
		r->changed = 0;
		if (r->want)
			fn(ctx, r->want);
	}
	e->n_changed = 0;
}

static const char *health_of(const struct res *r)
{
	if (!r->obs.exists || r->obs.health || !r->class->trouble)
		return r->obs.exists ? r->obs.health : NULL;
	return r->class->trouble(r->key);
}

static void fill_view(const struct res *r, struct resource_view *view)
{
	*view = (struct resource_view){
		.class = r->class,
		.key = r->key,
		.state = r->state,
		.want = r->want,
		.seen = r->obs.exists ? r->obs.spec : NULL,
		.baseline = r->baseline_spec,
		.known = r->known,
		.exists = r->obs.exists,
		.made = r->made,
		.restart_needed = r->restart_needed,
		.for_final = waits_for_final(r),
		.incarnation = r->obs.incarnation,
		.reason = r->reason.text[0] ? r->reason.text : NULL,
		.health = health_of(r),
		.note = r->obs.exists ? r->obs.note : NULL,
		.identity = r->identity,
		.retry_ms = r->retry_ms,
		.n_repairs = r->n_repairs,
	};
}

bool engine_view(struct engine *e, size_t i, struct resource_view *view)
{
	if (i >= e->n_nodes)
		return false;
	fill_view(e->nodes[i], view);
	return true;
}

bool engine_view_find(struct engine *e, const char *class, const char *key, struct resource_view *view)
{
	const struct res *r = res_find(e, class, key);
	if (!r)
		return false;
	fill_view(r, view);
	return true;
}

/* ---- plans ---- */

/* What is to be done about it as it was seen; false if nothing. */
static bool plan_seen(const struct res *r, const struct want *w, struct plan_step *step)
{
	if (!r->obs.exists) {
		bool creatable =
			!(w->class->flags & CLASS_INHERENT) && (!w->class->creatable || w->class->creatable(w->spec));
		step->verb = OP_CREATE;
		step->note = creatable || w->n_needs ? NULL : "does not exist, and is not weft's to make";
		return true;
	}
	step->seen = r->obs.spec;
	step->verb = OP_UPDATE;
	bool foreign = r->obs.owner == OWNER_FOREIGN && !r->made && !w->adopt;
	if (foreign)
		step->note = "exists and is not weft's; it would be refused";
	step->rows = table_diff(w->class->table, w->spec, r->obs.spec);
	unsigned flags = table_flags(w->class->table, step->rows);
	const struct change change = res_weigh(r, w->spec);
	bool costs = w->cost && (step->rows & w->costly) && !change.gentle;
	if (step->rows && !step->note)
		step->note = change.refused;
	if (costs && !step->note)
		step->note = w->cost;
	step->guards_gateway = w->guards_gateway;
	step->disruptive = !foreign && (costs || (flags & FIELD_RECREATE));
	step->restart_needed = flags & FIELD_RESTART;
	step->irreversible = (flags & FIELD_IRREVERSIBLE) && !change.gentle;
	return step->rows || step->note;
}

/* It is not as just seen: why, and how old it is what is known. */
static void say_stale(const struct engine *e, const struct res *r, struct plan_step *step, char text[static STALE_TEXT])
{
	uint64_t ago_s = r->obs.valid ? (e->host.now_ms(e->host.ctx) - r->seen_ms) / 1000 : 0;
	char ago[48] = "a moment ago";
	if (ago_s)
		snprintf(ago, sizeof(ago), "%llu s ago", (unsigned long long)ago_s);
	const char *why = r->observe_failed && r->reason.text[0] ? r->reason.text
			  : is_given_time(e, r)                  ? "it is being looked at"
								 : "it does not answer";
	snprintf(text, STALE_TEXT, "%s%s: %s", r->obs.valid ? "last seen " : "not seen yet", r->obs.valid ? ago : "",
		 why);
	step->stale = text;
}

static void plan_want(struct engine *e, const struct want *w, plan_fn *fn, void *ctx)
{
	const struct res *r = res_find(e, w->class->name, w->key);
	char text[STALE_TEXT];
	struct plan_step step = {
		.class = w->class,
		.key = w->key,
		.verb = OP_OBSERVE,
		.want = w->spec,
		.owner = w->n_owners ? w->owners[0] : NULL,
	};
	if (!r) {
		fn(ctx, &step);
		return;
	}
	if (!r->known)
		say_stale(e, r, &step, text);
	bool differs = r->obs.valid && plan_seen(r, w, &step);
	if (!differs && !r->known) { /* it may be as wanted still */
		step.verb = OP_OBSERVE;
		step.aside = r->obs.valid && is_given_time(e, r);
	}
	if (differs || !r->known)
		fn(ctx, &step);
}

/* Does what may be using it go as well, and before it? */
static bool is_vacated(const struct generation *gen, const struct res *r)
{
	bool any = false;
	for (size_t i = 0; i < r->dependents.n && !any; i++)
		any = !generation_find(gen, r->dependents.items[i]->class->name, r->dependents.items[i]->key);
	return any;
}

static void plan_leaving(const struct engine *e, const struct generation *gen, const struct res *r, plan_fn *fn,
			 void *ctx)
{
	const struct want *w = r->want ? r->want : r->old;
	bool keeps = r->class->flags & (CLASS_INHERENT | CLASS_KEEP);
	if (keeps && r->class->disposable && w && r->class->disposable(w->spec))
		keeps = false;
	bool ours = r->made || r->obs.owner == OWNER_OURS;
	struct plan_step step = {
		.class = r->class,
		.key = r->key,
		.verb = OP_REMOVE,
		.seen = r->obs.spec,
		.owner = w && w->n_owners ? w->owners[0] : NULL,
		.irreversible = r->class->flags & CLASS_REMOVE_IRREVERSIBLE,
		.guards_gateway = w && w->guards_gateway,
	};
	char text[STALE_TEXT];
	if (!r->known)
		say_stale(e, r, &step, text);
	if (r->baseline) {
		step.verb = OP_UPDATE;
		step.want = r->baseline_spec;
		step.rows = table_diff(r->class->table, r->baseline_spec, r->obs.spec) & r->taken;
		const char *refused = is_vacated(gen, r) ? NULL : res_weigh(r, r->baseline_spec).refused;
		step.note = refused ? refused : "goes back to what it was";
		if (step.rows)
			fn(ctx, &step);
	} else if (ours && !keeps) {
		fn(ctx, &step);
	}
}

bool differs_little(const struct engine *e, const struct generation *gen)
{
	return e->current && gen->basis == e->current->serial &&
	       gen->n_wants - gen->n_carried + gen->n_gone <= gen->n_wants / 2 + 8;
}

static bool plans_to_leave(const struct res *r)
{
	return r && (r->want || r->old) && r->obs.exists;
}

void engine_plan_change(struct engine *e, struct generation *gen, plan_fn *fn, void *ctx)
{
	if (!differs_little(e, gen)) {
		engine_plan(e, gen, fn, ctx);
		return;
	}
	for (size_t i = gen->n_carried; i < gen->n_wants; i++)
		plan_want(e, gen->wants[i], fn, ctx);
	for (size_t i = 0; i < gen->n_gone; i++) {
		const struct want *w = gen->gone[i];
		const struct res *r = res_find(e, w->class->name, w->key);
		if (plans_to_leave(r) && !generation_find(gen, w->class->name, w->key))
			plan_leaving(e, gen, r, fn, ctx);
	}
}

void engine_plan(struct engine *e, struct generation *gen, plan_fn *fn, void *ctx)
{
	for (size_t i = 0; i < gen->n_wants; i++)
		plan_want(e, gen->wants[i], fn, ctx);
	for (size_t i = 0; i < e->n_nodes; i++) {
		const struct res *r = e->nodes[i];
		if (plans_to_leave(r) && !generation_find(gen, r->class->name, r->key))
			plan_leaving(e, gen, r, fn, ctx);
	}
}

/* ---- probes ---- */

/* Those from `first` on, or of them only those that are wanted otherwise by now. */
static void probe_from(struct engine *e, const struct probe *probe, bool others)
{
	struct generation *gen = generation_ref(probe->gen);
	grow(e->probes, e->n_probes, e->cap_probes);
	e->probes[e->n_probes++] = *probe;
	for (size_t i = probe->first; i < gen->n_wants; i++) {
		struct res *r = res_obtain(e, gen->wants[i]->class, gen->wants[i]->key);
		if (others && r->want && same_want(r->want, gen->wants[i]))
			continue;
		r->probe = gen->wants[i];
		res_queue(e, r);
	}
	e->host.wake(e->host.ctx);
}

void engine_probe(struct engine *e, struct generation *gen, engine_done_fn *done, void *ctx)
{
	struct probe probe = {.gen = gen, .only_asked = true, .done = done, .ctx = ctx, .late_ms = UINT64_MAX};
	probe_from(e, &probe, false);
}

void engine_probe_change(struct engine *e, struct generation *gen, engine_done_fn *done, void *ctx)
{
	size_t first = differs_little(e, gen) ? gen->n_carried : 0;
	struct probe probe = {.gen = gen, .first = first, .done = done, .ctx = ctx, .late_ms = UINT64_MAX};
	probe_from(e, &probe, true);
}

/* What cannot be seen in good time is left unknown. */
static bool probe_is_done(const struct engine *e, struct probe *probe)
{
	for (size_t i = probe->first; i < probe->gen->n_wants; i++) {
		const struct res *r = res_find(e, probe->gen->wants[i]->class->name, probe->gen->wants[i]->key);
		if (!r || !r->probe || r->known || r->observe_failed)
			continue;
		probe->late_ms = look_awaited_until(e, r, probe->only_asked);
		if (probe->late_ms > e->host.now_ms(e->host.ctx))
			return false;
	}
	return true;
}

uint64_t probe_next_late(const struct engine *e)
{
	uint64_t next = UINT64_MAX;
	for (size_t i = 0; i < e->n_probes; i++)
		if (e->probes[i].late_ms < next)
			next = e->probes[i].late_ms;
	return next;
}

static struct want *other_probe(const struct engine *e, const struct res *r)
{
	for (size_t i = 0; i < e->n_probes; i++) {
		struct want *w = generation_find(e->probes[i].gen, r->class->name, r->key);
		if (w)
			return w;
	}
	return NULL;
}

static void probe_end(struct engine *e, const struct probe *probe)
{
	for (size_t i = probe->first; i < probe->gen->n_wants; i++) {
		struct res *r = res_find(e, probe->gen->wants[i]->class->name, probe->gen->wants[i]->key);
		if (!r)
			continue;
		r->probe = other_probe(e, r);
		if (!r->want && !r->probe)
			res_queue(e, r);
	}
}

void probe_check(struct engine *e)
{
	for (size_t i = 0; i < e->n_probes;) {
		if (!probe_is_done(e, &e->probes[i])) {
			i++;
			continue;
		}
		struct probe probe = e->probes[i];
		memmove(&e->probes[i], &e->probes[i + 1], (e->n_probes - i - 1) * sizeof(probe));
		e->n_probes--;
		probe.done(probe.ctx);
		probe_end(e, &probe);
		generation_unref(probe.gen);
		if (e->queue)
			e->host.wake(e->host.ctx);
		i = 0;
	}
}

/* ---- the check of itself ---- */

static void check_failed(const struct res *r, const char *what)
{
	fprintf(stderr, "engine: %s/%s: %s (state %s)\n", r->class->name, r->key, what, resource_state_names[r->state]);
	abort();
}

static void check_edges(const struct res *r)
{
	for (size_t i = 0; i < r->n_needs; i++) {
		const struct res_list *back = &r->needs[i].res->dependents;
		bool found = false;
		for (size_t k = 0; k < back->n; k++)
			found |= back->items[k] == r;
		if (!found)
			check_failed(r, "is not among the dependents of its need");
	}
	if (r->want && r->n_needs != r->want->n_needs)
		check_failed(r, "has other needs than its want");
}

/* As many edges end at each as start at others for it: those that start were checked one by one. */
static void check_edge_counts(const struct engine *e)
{
	cleanup_free size_t *dependents = xcalloc(e->n_nodes + 1, sizeof(size_t));
	cleanup_free size_t *followers = xcalloc(e->n_nodes + 1, sizeof(size_t));
	for (size_t i = 0; i < e->n_nodes; i++) {
		const struct res *r = e->nodes[i];
		for (size_t k = 0; k < r->n_needs; k++)
			dependents[r->needs[k].res->index]++;
		for (size_t k = 0; k < r->rests.n; k++)
			dependents[r->rests.items[k]->index]++;
		for (size_t k = 0; k < r->handovers.n; k++)
			followers[r->handovers.items[k]->index]++;
		for (size_t k = 0; k < r->afters.n; k++)
			followers[r->afters.items[k]->index]++;
		if (r->carrier)
			followers[r->carrier->index]++;
		if (r->want && (r->afters.n != r->want->n_afters || (r->carrier != NULL) != (r->want->carrier != NULL)))
			check_failed(r, "follows others than its want");
	}
	for (size_t i = 0; i < e->n_nodes; i++) {
		const struct res *r = e->nodes[i];
		if (r->followers.n != followers[i])
			check_failed(r, "has other followers than follow it");
		if (r->dependents.n < dependents[i])
			check_failed(r, "has fewer dependents than depend on it");
		bool has_olds = false;
		for (size_t k = 0; k < r->dependents.n; k++)
			has_olds |= r->dependents.items[k]->old &&
				    r->dependents.items[k]->old != r->dependents.items[k]->want;
		if (!has_olds && r->dependents.n != dependents[i])
			check_failed(r, "has dependents that do not depend on it");
	}
}

/* What is being looked at may come out either way. */
static bool neighbour_in_motion(const struct res *r)
{
	for (size_t i = 0; i < r->n_needs; i++)
		if (undecided(r->needs[i].res))
			return true;
	for (size_t i = 0; i < r->dependents.n; i++)
		if (undecided(r->dependents.items[i]))
			return true;
	for (size_t i = 0; i < r->handovers.n; i++)
		if (undecided(r->handovers.items[i]))
			return true;
	for (size_t i = 0; i < r->afters.n; i++)
		if (undecided(r->afters.items[i]))
			return true;
	return r->carrier && undecided(r->carrier);
}

/* Nodes at rest must be in the state that deciding anew gives. */
void engine_check(struct engine *e)
{
	size_t n_busy = 0;
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		n_busy += r->op != NULL;
		check_edges(r);
		if (r->op || r->queued || e->queue || neighbour_in_motion(r))
			continue;
		struct decision d;
		decide(e, r, &d);
		if (d.act && !(r->retry_ms && r->retry_ms <= e->host.now_ms(e->host.ctx)))
			check_failed(r, "has something to do and is at rest");
		if (!d.act && !d.contest && d.state != r->state)
			check_failed(r, "would be in another state if decided anew");
	}
	check_edge_counts(e);
	if (n_busy != e->n_busy)
		abort();
}
