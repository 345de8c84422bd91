/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying out decisions: what must be on disk first, handing operations to their lanes, and what came of them. */
#include "core/engine-internal.h"
#include "core/patience.h"

enum { FIRST_BACKOFF_MS = 250, WAIT_MS = 200, CONTEST_MS = 5000, PATIENCE = 5 };

void res_notice(struct engine *e, struct res *res, enum engine_notice_type type, const char *text)
{
	struct engine_notice notice = {type, res->class, res->key, res_want(res), text};
	if (e->host.notice)
		e->host.notice(e->host.ctx, &notice);
}

void res_set_retry(struct engine *e, struct res *res, uint64_t at_ms)
{
	res->retry_ms = at_ms;
	if (at_ms && at_ms < e->next_retry_ms)
		e->next_retry_ms = at_ms;
}

static uint64_t backoff(uint64_t first_ms, unsigned attempts)
{
	unsigned shift = attempts < 9 ? attempts : 9;
	uint64_t ms = first_ms << shift;
	return ms < LONGEST_BACKOFF_MS ? ms : LONGEST_BACKOFF_MS;
}

static void record_change(struct engine *e, struct res *res)
{
	res->record_changed = true;
	e->records_changed = e->records_urgent = true;
}

/* ---- what is on disk before anything runs ---- */

/* {"spec": {as it was}, "rows": [names of those that are ours to give back]} */
static void write_baseline(struct engine *e, struct res *res)
{
	const struct table *table = res->class->table;
	json_t *rows = json_array();
	for (size_t i = 0; i < table->n_fields; i++)
		if (res->taken >> i & 1)
			json_array_append_new(rows, json_string(table->fields[i].name));
	json_decref(res->baseline);
	res->baseline = json_object();
	json_object_set_new(res->baseline, "spec",
			    table_to_json(table, res->baseline_spec, EMIT_SECRETS | EMIT_NO_STATUS));
	json_object_set_new(res->baseline, "rows", rows);
	record_change(e, res);
}

static uint64_t bound_rows(const struct table *table)
{
	uint64_t rows = 0;
	for (size_t i = 0; i < table->n_fields; i++)
		if (table->fields[i].flags & FIELD_BOUND)
			rows |= (uint64_t)1 << i;
	return rows;
}

/* Of a row that was not taken before counts how it is now, of the others how it was. */
static void keep_baseline(struct engine *e, struct res *res)
{
	const struct table *table = res->class->table;
	uint64_t more = *present_of(res->want->spec) & ~res->taken & ~bound_rows(table);
	if (!res->obs.exists || (res->baseline && !more))
		return;
	struct arena *arena = arena_new();
	void *spec = table_copy(table, res->obs.spec, arena);
	if (res->baseline) {
		*present_of(spec) &= more;
		table_merge(table, spec, res->baseline_spec, arena);
	}
	arena_free(res->baseline_arena);
	res->baseline_arena = arena;
	res->baseline_spec = spec;
	res->taken |= more;
	write_baseline(e, res);
}

/* Rows that are not wanted any more and have gone back are whoever's they were. */
static void let_rows_go(struct engine *e, struct res *res)
{
	if (!res->baseline || !(res->taken & ~*present_of(res->want->spec)))
		return;
	res->taken &= *present_of(res->want->spec);
	write_baseline(e, res);
}

static void drop_baseline(struct res *res)
{
	json_decref(res->baseline);
	arena_free(res->baseline_arena);
	res->baseline = NULL;
	res->baseline_spec = NULL;
	res->baseline_arena = NULL;
	res->taken = 0;
}

static size_t collect_records(struct engine *e, struct engine_record **ret)
{
	struct engine_record *records = NULL;
	size_t n = 0, cap = 0;
	for (size_t i = 0; i < e->n_forgets; i++) { /* first: it may have been made anew since */
		grow(records, n, cap);
		records[n++] = e->forgets[i];
	}
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (!r->record_changed)
			continue;
		grow(records, n, cap);
		records[n++] = (struct engine_record){.class = r->class->name,
						      .key = r->key,
						      .made = r->made,
						      .incarnation = r->made_incarnation,
						      .identity = r->identity,
						      .fresh = r->fresh,
						      .baseline = r->baseline};
	}
	*ret = records;
	return n;
}

static void records_kept(struct engine *e)
{
	for (size_t i = 0; i < e->n_nodes; i++)
		e->nodes[i]->record_changed = false;
	for (size_t i = 0; i < e->n_forgets; i++)
		free((char *)e->forgets[i].key);
	e->n_forgets = 0;
	e->records_changed = e->records_urgent = false;
}

static int persist(struct engine *e, struct err *err)
{
	if (!e->records_changed)
		return 0;
	cleanup_free struct engine_record *records = NULL;
	size_t n = collect_records(e, &records);
	int r = n && e->host.persist ? e->host.persist(e->host.ctx, records, n, err) : 0;
	if (r == 0)
		records_kept(e);
	return r;
}

void ops_persist(struct engine *e)
{
	struct err err = {0};
	persist(e, &err); /* tried again before the next operation, which then says so */
}

static void forget_record(struct engine *e, struct res *res)
{
	grow(e->forgets, e->n_forgets, e->cap_forgets);
	e->forgets[e->n_forgets++] =
		(struct engine_record){.class = res->class->name, .key = xstrdup(res->key), .forget = true};
	e->records_changed = true;
}

/* ---- what came of an operation ---- */

static enum answer answer_to(const struct resource_class *class, enum op_verb verb, int code)
{
	for (size_t i = 0; i < class->n_rules; i++)
		if (class->rules[i].verb == verb && class->rules[i].code == code)
			return class->rules[i].answer;
	switch (code) {
	case EAGAIN:
	case EINTR:
	case EBUSY:
	case ENOBUFS:
	case ETIMEDOUT:
		return ANSWER_RETRY;
	}
	return class->flags & CLASS_TRANSACTIONAL && verb != OP_OBSERVE ? ANSWER_REFUSE : ANSWER_RETRY;
}

static void fail(struct engine *e, struct res *res, const struct err *err, enum answer answer)
{
	uint64_t now = e->host.now_ms(e->host.ctx);
	bool news = !res->attempts || !streq(res->reason.text, err->text);
	res_set_retry(e, res, now + backoff(FIRST_BACKOFF_MS, res->attempts++));
	bool impatient = answer == ANSWER_RETRY && res->attempts >= PATIENCE;
	res->refused = (res->class->flags & CLASS_TRANSACTIONAL) && (answer == ANSWER_REFUSE || impatient);
	res->reason = *err;
	res->state = RES_FAILED;
	if (news)
		res_notice(e, res, NOTICE_FAILED, err->text);
}

/* What is done again and again to no effect shows by these. */
static void count_attempt(struct res *res, const struct op *op, bool bound)
{
	if (op->verb == OP_CREATE || op->verb == OP_REMOVE)
		res->futile++;
	if (op->verb != OP_UPDATE)
		return;
	res->stubborn = bound || (op->rows & ~res->written) ? 1 : res->stubborn + 1;
	res->written = op->rows;
}

static void forget_identity(struct res *res)
{
	free(res->identity);
	res->identity = NULL;
}

/* It is history, by our own doing: it is not missed if the thing is wanted again. */
static void forget_instance(struct engine *e, struct res *res)
{
	if (!res->made_incarnation && !res->identity)
		return;
	res->made_incarnation = 0;
	forget_identity(res);
	res->record_changed = e->records_changed = true;
}

static void take_failure(struct engine *e, struct res *res, struct op *op)
{
	if (op->verb == OP_REMOVE && (op->err.code == ECANCELED || op->err.code == ETIMEDOUT))
		forget_instance(e, res); /* it may have gone all the same; what is still there will be seen */
	if (op->err.code == ECANCELED || op->err.code == ESTALE) {
		res->known = false;
		if (res->attempts++ < PATIENCE)
			return;
		res->observe_failed = op->verb == OP_OBSERVE;
		fail(e, res, &op->err, ANSWER_RETRY); /* or it would be tried for ever without a pause */
		return;
	}
	enum answer answer = answer_to(res->class, op->verb, op->err.code);
	if (op->verb == OP_CREATE && res->made && !res->made_incarnation && answer != ANSWER_DONE &&
	    op->err.code != ETIMEDOUT) {
		/* A create that failed made nothing; what stands there now is somebody else's. */
		res->made = res->fresh = false;
		record_change(e, res);
	}
	switch (answer) {
	case ANSWER_DONE:
		count_attempt(res, op, false);
		res->known = res->known && op->obs.valid;
		return;
	case ANSWER_WAIT:
		if (res->attempts++ >= PATIENCE) {
			fail(e, res, &op->err, ANSWER_REFUSE); /* it is not for the lack of a need */
			return;
		}
		for (size_t i = 0; i < res->n_needs; i++)
			res_forget_seen(e, res->needs[i].res);
		res_set_retry(e, res, e->host.now_ms(e->host.ctx) + WAIT_MS);
		res->reason = op->err;
		res->state = RES_WAITING;
		return;
	case ANSWER_DEFAULT:
	case ANSWER_RETRY:
	case ANSWER_REFUSE:
		res->observe_failed = op->verb == OP_OBSERVE;
		fail(e, res, &op->err, answer);
		return;
	}
}

/* Returns whether it was bound to other instances before. */
static bool bind_needs(struct res *res)
{
	bool changed = false;
	for (size_t i = 0; i < res->n_needs; i++) {
		struct need *need = &res->needs[i];
		if (!need->res->known || !need->res->obs.exists || need->bound == need->res->obs.incarnation)
			continue;
		need->bound = need->res->obs.incarnation;
		changed = true;
	}
	return changed;
}

static void take_success(struct engine *e, struct res *res, const struct op *op)
{
	res->observe_failed = false;
	switch (op->verb) {
	case OP_OBSERVE:
		return;
	case OP_CREATE:
		bind_needs(res);
		count_attempt(res, op, false);
		res_notice(e, res, NOTICE_CREATED, NULL);
		return;
	case OP_UPDATE:
		count_attempt(res, op, bind_needs(res));
		res_notice(e, res, NOTICE_UPDATED, NULL);
		return;
	case OP_REMOVE:
		count_attempt(res, op, false);
		forget_instance(e, res);
		res_notice(e, res, NOTICE_REMOVED, NULL);
		return;
	}
}

static void note_health(struct engine *e, struct res *res, const struct observation *before)
{
	const char *old = before->exists ? before->health : NULL, *new = res->obs.exists ? res->obs.health : NULL;
	if (!streq(old, new))
		res_notice(e, res, NOTICE_HEALTH, new ? new : "works again");
}

/* On disk before anything that relies on it is done. */
static void keep_identity(struct engine *e, struct res *res)
{
	const char *identity = res->obs.identity;
	if (!res->want || !identity || streq(res->identity, identity))
		return;
	forget_identity(res);
	res->identity = xstrdup(identity);
	record_change(e, res);
}

static void take_observation(struct engine *e, struct res *res, struct op *op)
{
	struct observation before = res->obs;
	res->obs = op->obs;
	op->obs = (struct observation){0};
	res->known = true;
	res->seen_ms = e->host.now_ms(e->host.ctx);
	res->seen_for = op->verb == OP_OBSERVE ? op->want : NULL;
	res->seen_gen = op->gen ? op->gen->serial : 0;
	bool other = !before.valid || before.exists != res->obs.exists || before.incarnation != res->obs.incarnation;
	bool was_there = before.exists;
	note_health(e, res, &before);
	observation_done(&before);
	bool ours = (op->verb == OP_CREATE && !op->err.code) || res->obs.owner == OWNER_OURS;
	if (res->made && ours && res->obs.exists && res->made_incarnation != res->obs.incarnation) {
		res->made_incarnation = res->obs.incarnation;
		record_change(e, res);
	}
	if (!res->made && res->want && res->obs.exists && res->obs.owner == OWNER_OURS && !res->baseline) {
		res->made = true; /* our mark, but no record: the store was lost */
		res->made_incarnation = res->obs.incarnation;
		record_change(e, res);
	}
	keep_identity(e, res);
	if (other)
		res_instance_changed(e, res, was_there);
}

/* What leaves, or is made anew, may have waited for this one to let go of it. */
static void wake_leaving(struct engine *e, struct res *res)
{
	for (size_t i = 0; res->old && i < res->old->n_needs + res->old->n_rests; i++) {
		struct res *need = res_old_need(e, res, i);
		if (need && (!need->want || need->state == RES_WAITING))
			res_queue(e, need);
	}
}

static void wake_waiters(struct engine *e, struct res *res)
{
	for (size_t i = 0; i < res->dependents.n; i++)
		if (res->dependents.items[i]->state != RES_PRESENT)
			res_queue(e, res->dependents.items[i]);
	for (size_t i = 0; i < res->followers.n; i++)
		if (res->followers.items[i]->state != RES_PRESENT)
			res_queue(e, res->followers.items[i]);
	for (size_t i = 0; i < res->n_needs; i++)
		if (res->needs[i].res->state == RES_WAITING)
			res_queue(e, res->needs[i].res);
	wake_leaving(e, res);
}

void op_free(struct op *op)
{
	if (op)
		generation_unref(op->gen);
	free(op);
}

static void op_done(struct op *op)
{
	struct res *res = op->node;
	struct engine *e = op->lane->engine;
	res->op = NULL;
	e->n_busy--;
	res_changed(e, res);
	bool fresh_look = op->obs.valid && (!op->err.code || op->verb != OP_OBSERVE);
	if (op->verb != OP_OBSERVE || op->err.code)
		res->tried = true;
	if (fresh_look && op->verb == OP_OBSERVE)
		res->look_ms = patience_usual_ms(res->look_ms, e->host.now_ms(e->host.ctx) - op->started_ms);
	if (fresh_look)
		take_observation(e, res, op);
	else
		res->known = false;
	if (op->err.code)
		take_failure(e, res, op);
	else
		take_success(e, res, op);
	if (res->again)
		res->known = false;
	res->again = false;
	wake_waiters(e, res);
	res_queue(e, res);
	observation_done(&op->obs);
	op_free(op);
	if (!e->running)
		e->host.wake(e->host.ctx);
}

/* ---- starting ---- */

enum { ROW_TEXT = 120 };

/* A list may be long: as much of it as tells what it is about. */
static char *describe_row(const struct res *res, size_t row, struct arena *arena)
{
	const struct table *table = res->class->table;
	const char *was = table_row_text(table, res->obs.spec, row, arena);
	const char *want = table_row_text(table, res->want->spec, row, arena);
	return xprintf("%s was %.*s%s instead of %.*s%s", table->fields[row].name, ROW_TEXT, was,
		       strlen(was) > ROW_TEXT ? "..." : "", ROW_TEXT, want, strlen(want) > ROW_TEXT ? "..." : "");
}

static char *describe_loss(const struct res *res, const struct decision *d)
{
	const char *by = res->obs.note ? res->obs.note : "";
	const char *sep = *by ? "; " : "";
	if (!res->obs.exists)
		return xprintf("%s/%s was gone%s%s", res->class->name, res->key, sep, by);
	struct arena *arena = arena_new();
	char *text = xstrdup("");
	for (size_t i = 0; i < res->class->table->n_fields; i++) {
		if (!(d->differs >> i & 1))
			continue;
		cleanup_free char *row = describe_row(res, i, arena);
		char *longer = xprintf("%s%s%s", text, *text ? ", " : "", row);
		free(text);
		text = longer;
	}
	arena_free(arena);
	char *whole = xprintf("%s/%s: %s%s%s", res->class->name, res->key, by, sep,
			      *text ? text : "was bound to what is gone");
	free(text);
	return whole;
}

static void note_repair(struct res *res, const struct decision *d)
{
	if (!res->settled || !res->want || d->verb == OP_OBSERVE || (res->repairing && d->verb != OP_CREATE))
		return;
	if (!res->repairing)
		res->repair_counts = !caused_by_need(res);
	res->repairing = true;
	free(res->loss);
	res->loss = describe_loss(res, d);
}

/* What is wanted, and of the baseline these rows: a class is not to see what else was there. */
static const void *spec_over_baseline(struct res *res, uint64_t rows)
{
	arena_free(res->back_arena);
	res->back_arena = arena_new();
	const struct table *table = res->class->table;
	void *spec = table_copy(table, res->baseline_spec, res->back_arena);
	*present_of(spec) &= rows;
	table_merge(table, spec, res->want->spec, res->back_arena);
	return spec;
}

/* For whom it is looked at. What is leaving is looked at for itself, whoever asks: whether it is ours does not depend
 * on a plan that would have it as somebody else's. */
static const struct want *spec_owner(const struct res *res)
{
	bool leaving = res->old || res->made || res->baseline;
	return res->want || leaving ? res->want : res->probe;
}

static struct generation *generation_of(const struct engine *e, const struct want *w)
{
	if (!w || generation_find(e->current, w->class->name, w->key) == w)
		return w ? e->current : NULL;
	for (size_t i = e->n_gens; i-- > 0;)
		if (generation_find(e->gens[i], w->class->name, w->key) == w)
			return e->gens[i];
	for (size_t i = 0; i < e->n_probes; i++)
		if (generation_find(e->probes[i].gen, w->class->name, w->key) == w)
			return e->probes[i].gen;
	return NULL;
}

static void op_make(struct engine *e, struct res *res, const struct decision *d)
{
	const struct want *w = spec_owner(res);
	struct op *op = xcalloc(1, sizeof(*op));
	op->verb = d->verb;
	op->class = res->class;
	op->key = res->key;
	op->want = d->verb == OP_OBSERVE ? (w ? w->spec : NULL) : d->verb == OP_REMOVE ? NULL : d->spec;
	bool comes_back = d->verb == OP_CREATE && res->baseline && (res->class->flags & CLASS_FLEETING);
	if (comes_back)
		op->want = spec_over_baseline(res, *present_of(res->baseline_spec) & ~*present_of(res->want->spec));
	if (d->verb == OP_UPDATE && res->want && d->spec == res->baseline_spec)
		op->want = spec_over_baseline(res, d->rows);
	op->was = !op->want && res_want(res) ? res_want(res)->spec : NULL;
	op->seen = res->obs.exists ? res->obs.spec : NULL;
	op->anew =
		d->verb == OP_REMOVE && res->want && (!res->class->creatable || res->class->creatable(res->want->spec));
	op->fresh = d->verb == OP_REMOVE && res->made && res->fresh;
	op->hurry = res->hurry;
	op->rows = d->rows;
	op->made = res->made ? res->made_incarnation : 0;
	op->identity = res->identity;
	op->incarnation = res->obs.exists ? res->obs.incarnation : 0;
	bool restoring = d->verb == OP_UPDATE && !res->want;
	op->mark = w && !restoring ? w->mark : NULL;
	op->done = op_done;
	op->node = res;
	res->needs_asked = false;
	/* It may outlast whoever wants it now. */
	op->gen = generation_ref(generation_of(e, w ? w : res_want(res)));
	op->started_ms = e->host.now_ms(e->host.ctx);
	res->op = op;
	e->n_busy++;
	grow(e->ready, e->n_ready, e->cap_ready);
	e->ready[e->n_ready++] = op;
	if (d->verb == OP_CREATE && !comes_back && (!res->made || res->baseline || res->fresh != e->pending)) {
		drop_baseline(res); /* what was there before us has been taken away by others */
		res->made = true;
		res->fresh = e->pending;
		res->made_incarnation = 0;
		record_change(e, res);
	}
	if (d->verb != OP_OBSERVE)
		res->state = RES_BUSY;
}

static bool changes_something(struct op *const *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ops[i]->verb != OP_OBSERVE)
			return true;
	return false;
}

/* What was decided in this round goes to the lanes, after its records are on disk. */
void ops_start(struct engine *e)
{
	struct err err = {0};
	size_t n = e->n_ready;
	/* That something is forgotten may be on disk later: nothing hangs on it, and what goes back does not wait. So
	 * may which instance it has become, which looking at it tells as well. */
	bool safe = !e->records_urgent || !changes_something(e->ready, n) || persist(e, &err) == 0;
	struct op **ops = take_ptr(e->ready);
	e->n_ready = e->cap_ready = 0;
	for (size_t i = 0; i < n; i++) {
		struct op *op = ops[i];
		op->lane = engine_lane(e, op->class->lane);
		if (!op->lane)
			abort(); /* every class's lane is added before the first switch */
		if (safe || op->verb == OP_OBSERVE) {
			op->lane->ops->submit(op->lane, op);
		} else {
			op->err = err;
			err_wrap(&op->err, "the store cannot be written, so nothing is changed");
			op_complete(op);
		}
	}
	free(ops);
	for (size_t i = 0; n && i < e->n_lanes; i++)
		if (e->lanes[i]->ops->flush)
			e->lanes[i]->ops->flush(e->lanes[i]);
}

static void count_repair(struct engine *e, struct res *res)
{
	if (res->repair_counts) {
		uint64_t now = e->host.now_ms(e->host.ctx);
		uint64_t last = res->n_repairs ? res->repaired_ms[(res->n_repairs - 1) % REPAIR_RING] : 0;
		if (now - last > 3600 * 1000)
			res->contests = 0;
		res->repaired_ms[res->n_repairs % REPAIR_RING] = now;
		res->n_repairs++;
	}
	res->repairing = false;
	res_notice(e, res, NOTICE_REPAIRED, res->loss);
}

static void arrive(struct engine *e, struct res *res, bool bound)
{
	if (res->repairing)
		count_repair(e, res);
	else if (res->state == RES_FAILED || res->state == RES_CONTESTED)
		res_notice(e, res, NOTICE_RECOVERED, NULL);
	res->settled = true;
	res->attempts = res->futile = 0;
	res->retry_ms = 0;
	if (bound) {
		res->stubborn = 0;
		res->written = 0;
	}
	bind_needs(res);
}

static void contest(struct engine *e, struct res *res)
{
	struct decision d = {0};
	if (res->obs.exists)
		d.differs = table_diff(res->class->table, res->want->spec, res->obs.spec);
	char *what = describe_loss(res, &d);
	res_set_retry(e, res, e->host.now_ms(e->host.ctx) + backoff(CONTEST_MS, res->contests++));
	err_set(&res->reason, EBUSY, "%s: %s; tried again at most every %d s",
		res->obs.exists ? "somebody else keeps changing it" : "it does not stay", what,
		LONGEST_BACKOFF_MS / 1000);
	free(what);
	bool news = res->state != RES_CONTESTED;
	res->state = RES_CONTESTED;
	if (!news)
		return;
	res_neighbours_queue(e, res);
	res_notice(e, res, NOTICE_CONTESTED, res->reason.text);
}

/* Who uses what this one goes before was seen while this one did. */
static void look_at_who_uses(struct engine *e, struct res *res)
{
	for (size_t i = 0; res->old && i < res->old->n_needs + res->old->n_rests; i++) {
		struct res *below = res_old_need(e, res, i);
		if (below && below->class->weigh)
			res_forget_seen(e, below);
	}
}

/* What comes by itself with the one that has arrived was looked for before. */
static void look_for_followers(struct engine *e, struct res *res)
{
	for (size_t i = 0; i < res->followers.n; i++)
		if (!res->followers.items[i]->obs.exists && res->followers.items[i]->state == RES_WAITING)
			res_forget_seen(e, res->followers.items[i]);
}

/* One that is only looked at for a plan stays, and is decided about again whenever a neighbour is: it tells them once
 * only, or two of them would wake each other for ever. */
static bool release(struct engine *e, struct res *res, bool again)
{
	if (res->want || (again && res->probe))
		return false;
	if (res->made || res->baseline || res->identity || res->record_changed)
		forget_record(e, res);
	res->made = res->fresh = res->record_changed = false;
	forget_identity(res);
	drop_baseline(res);
	res->released = true;
	res_neighbours_queue(e, res);
	look_at_who_uses(e, res);
	if (res->probe)
		return false;
	res_free(e, res);
	return true;
}

static void rest(struct engine *e, struct res *res, const struct decision *d)
{
	enum resource_state before = res->state;
	if (d->state == RES_PRESENT) {
		arrive(e, res, !d->stubborn);
		let_rows_go(e, res);
	}
	if (before != RES_FOREIGN && d->state == RES_FOREIGN)
		res_notice(e, res, NOTICE_FOREIGN, d->reason);
	if (before != RES_FAILED && d->state == RES_FAILED)
		res_notice(e, res, NOTICE_FAILED, d->reason);
	if (d->state == RES_WAITING && !d->held)
		res->retry_ms = 0; /* what failed before may well work once this has come */
	res->state = d->state;
	res->for_final = d->for_final;
	res->reason.code = 0;
	snprintf(res->reason.text, sizeof(res->reason.text), "%s", d->reason);
	if (before != d->state && d->state == RES_PRESENT)
		look_for_followers(e, res);
	if (before != d->state)
		res_neighbours_queue(e, res);
	else
		wake_leaving(e, res);
}

void res_step(struct engine *e, struct res *res)
{
	if (res->op)
		return;
	struct decision d;
	decide(e, res, &d);
	res_changed(e, res);
	res->restart_needed = d.restart_needed;
	bool again = res->released && d.released;
	res->released = d.released;
	if (d.contest) {
		contest(e, res);
		wake_leaving(e, res);
		return;
	}
	if (d.fails) {
		struct err err = {0};
		err_set(&err, EPERM, "%s", d.reason);
		res->stubborn = res->futile = 0;
		res->written = 0;
		fail(e, res, &err, ANSWER_REFUSE);
		wake_leaving(e, res);
		return;
	}
	if (d.adopt && (d.act || d.state == RES_PRESENT || (res->class->flags & CLASS_EARLY_BASELINE)))
		keep_baseline(e, res);
	if (d.act) {
		note_repair(res, &d);
		op_make(e, res, &d);
		return;
	}
	res->refused = d.refused;
	if (res->retry_ms > e->host.now_ms(e->host.ctx))
		res_set_retry(e, res, res->retry_ms); /* the timer may have passed it by while it was busy */
	if (d.released && d.reason[0])
		res_notice(e, res, NOTICE_FAILED, d.reason);
	if (d.released && release(e, res, again))
		return;
	rest(e, res, &d);
}
