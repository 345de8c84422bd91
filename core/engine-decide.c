/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be done about one resource: a function of what is wanted, what was seen and how its neighbours stand. It
 * changes nothing, so the engine can ask it again at any time and must get the same answer (engine_check). */
#include "core/engine-internal.h"

static void wait_for(struct decision *d, enum resource_state state, const char *fmt, ...) printf_like(3, 4);
static void wait_for(struct decision *d, enum resource_state state, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(d->reason, sizeof(d->reason), fmt, args);
	va_end(args);
	d->state = state;
}

static void act(struct decision *d, enum op_verb verb, uint64_t rows, const void *spec)
{
	d->act = true;
	d->state = RES_BUSY;
	d->verb = verb;
	d->rows = rows;
	d->spec = spec;
}

static void wait_for_final(struct decision *d)
{
	wait_for(d, RES_WAITING, "waits until the revision is final");
	d->for_final = true;
}

static bool is_transactional(const struct res *res)
{
	return res->class->flags & CLASS_TRANSACTIONAL;
}

/* The rows that differ and that can be changed without a restart of what carries it. */
static uint64_t rows_to_change(const struct res *res)
{
	const struct table *table = res->class->table;
	uint64_t rows = table_diff(table, res->want->spec, res->obs.spec);
	for (size_t i = 0; i < table->n_fields; i++)
		if (table->fields[i].flags & FIELD_RESTART)
			rows &= ~((uint64_t)1 << i);
	return rows;
}

/* Its state is of its last decision: what was wanted or seen since may ask for another. */
static bool is_as_wanted(const struct res *res)
{
	return res->state == RES_PRESENT && res->known && res->obs.exists && !rows_to_change(res);
}

/* It is there, and to be made anew: what is seen of it, and of what came along with it, will be gone. */
static bool is_passing(const struct res *res)
{
	return res->want && res->obs.exists && (table_flags(res->class->table, rows_to_change(res)) & FIELD_RECREATE);
}

/* Its state is of its last decision: what was seen since counts as well. */
static bool is_met(const struct res *need)
{
	return need->state == RES_PRESENT && need->known && need->obs.exists && !is_passing(need);
}

static const struct res *unmet_need(const struct res *res)
{
	for (size_t i = 0; i < res->n_needs; i++)
		if (!is_met(res->needs[i].res))
			return res->needs[i].res;
	for (size_t i = 0; i < res->afters.n; i++)
		if (!is_as_wanted(res->afters.items[i]))
			return res->afters.items[i];
	return NULL;
}

bool waits_for_final(const struct res *res)
{
	bool any = res->for_final;
	for (size_t i = 0; i < res->n_needs && res->state == RES_WAITING; i++) {
		const struct res *need = res->needs[i].res;
		if (is_met(need))
			continue;
		if (!waits_for_final(need))
			return false;
		any = true;
	}
	return any && res->state == RES_WAITING;
}

/* Is what is missing or different the doing of a need that went or was made anew, not of a rival? */
bool caused_by_need(const struct res *res)
{
	for (size_t i = 0; i < res->n_needs; i++) {
		const struct need *need = &res->needs[i];
		if (need->res->state != RES_PRESENT || (need->bound && need->bound != need->res->obs.incarnation))
			return true;
	}
	return false;
}

static bool is_rebound(const struct res *res)
{
	if (res->class->rebind == REBIND_OBSERVE)
		return false;
	for (size_t i = 0; i < res->n_needs; i++) {
		const struct need *need = &res->needs[i];
		uint64_t bound = i == 0 && res->obs.bound ? res->obs.bound : need->bound;
		if (bound && need->res->obs.exists && bound != need->res->obs.incarnation)
			return true;
	}
	return false;
}

/* Holds an operation back while a retry, a rival or an irreversible step asks for it. */
static bool held(const struct engine *e, const struct res *res, struct decision *d)
{
	if (!res->retry_ms || res->retry_ms <= e->host.now_ms(e->host.ctx))
		return false;
	d->state = res->state == RES_CONTESTED || res->state == RES_WAITING ? res->state : RES_FAILED;
	d->held = true;
	d->refused = res->refused;
	snprintf(d->reason, sizeof(d->reason), "%s", res->reason.text);
	return true;
}

static bool is_contested(const struct engine *e, const struct res *res)
{
	uint64_t now = e->host.now_ms(e->host.ctx);
	unsigned recent = 0, hour = 0;
	bool still = false;
	for (size_t i = 0; i < REPAIR_RING; i++) {
		if (!res->repaired_ms[i])
			continue;
		recent += now - res->repaired_ms[i] < 10 * 1000;
		hour += now - res->repaired_ms[i] < 3600 * 1000;
		still |= res->contests && now - res->repaired_ms[i] < 2 * LONGEST_BACKOFF_MS;
	}
	return recent >= 5 || hour >= REPAIR_RING || still;
}

enum { FUTILE = 3 };

/* Done several times, and each time the host looked as before: again with backoff. */
static bool is_futile(const struct res *res, const char *story, struct decision *d)
{
	if (res->futile < FUTILE)
		return false;
	wait_for(d, RES_FAILED, "%s %s %s", res->class->name, res->key, story);
	d->fails = true;
	return true;
}

static const char will_not_stay[] =
	"is gone again each time it is made; it ends by itself, or something else on this host removes it";
static const char will_not_go[] =
	"is there again each time it is removed; something else on this host makes it, or keeps it";

static void decide_create(const struct engine *e, const struct res *res, struct decision *d)
{
	const struct resource_class *class = res->class;
	bool creatable = !(class->flags & CLASS_INHERENT) && (!class->creatable || class->creatable(res->want->spec));
	const struct res *need = unmet_need(res);
	if (need) {
		wait_for(d, RES_WAITING, "waits for %s/%s", need->class->name, need->key);
		return;
	}
	if (!creatable) {
		const char *note = res->obs.note;
		wait_for(d, RES_WAITING, "%s %s does not exist%s%s", class->name, res->key, note ? ": " : "",
			 note ? note : "");
		d->refused = is_transactional(res);
		return;
	}
	if ((class->flags & CLASS_PRECIOUS) && (res->made_incarnation || res->baseline)) {
		const char *note = res->obs.note;
		wait_for(d, RES_FAILED,
			 "%s %s was there and is gone%s%s; bring it back, or delete its object and apply it again to "
			 "get a new one",
			 class->name, res->key, note ? ": " : "", note ? note : "");
		return;
	}
	if (res->carrier && (res->carrier->state != RES_PRESENT || !res->carrier->known)) {
		wait_for(d, RES_WAITING, "comes with %s/%s", res->carrier->class->name, res->carrier->key);
		return;
	}
	if (held(e, res, d) || is_futile(res, will_not_stay, d))
		return;
	act(d, OP_CREATE, 0, res->want->spec);
}

/* Has what this hands over to not come yet, or not gone back to what it was? */
static bool is_awaited(const struct res *to)
{
	return to->want ? !is_as_wanted(to) : to->baseline && !to->released;
}

static bool remove_held_by_dependent(const struct res *res, struct decision *d)
{
	for (size_t i = 0; i < res->dependents.n; i++) {
		const struct res *dep = res->dependents.items[i];
		bool going = !dep->want;
		bool holds = going ? !dep->released : dep->op || dep->queued || !dep->known || dep->state == RES_FAILED;
		if (!holds)
			continue;
		wait_for(d, RES_REMOVING, "is removed after %s/%s", dep->class->name, dep->key);
		return true;
	}
	for (size_t i = 0; i < res->handovers.n; i++) {
		const struct res *to = res->handovers.items[i];
		if (!is_awaited(to))
			continue;
		wait_for(d, RES_REMOVING, "is removed once %s/%s is %s", to->class->name, to->key,
			 to->want ? "there" : "as it was");
		return true;
	}
	return false;
}

/* Removal on the way to being made anew: the kernel takes along what hangs on it, which is then repaired. */
static void decide_recreate(const struct engine *e, const struct res *res, struct decision *d)
{
	const struct res *need = unmet_need(res);
	if (res->class->flags & (CLASS_KEEP | CLASS_PRECIOUS)) {
		wait_for(d, RES_FAILED,
			 "%s %s could only be had otherwise by making it anew, and what it holds would be lost; "
			 "delete its object and apply it again to get a new one",
			 res->class->name, res->key);
		d->refused = is_transactional(res);
		return;
	}
	if (need) {
		wait_for(d, RES_WAITING, "waits for %s/%s", need->class->name, need->key);
		return;
	}
	if (e->pending && (res->class->flags & CLASS_REMOVE_IRREVERSIBLE)) {
		wait_for_final(d);
		return;
	}
	for (size_t i = 0; i < res->dependents.n; i++) {
		const struct res *dep = res->dependents.items[i];
		if (!dep->op || dep->op->verb == OP_OBSERVE)
			continue;
		wait_for(d, RES_WAITING, "waits for %s/%s to be done", dep->class->name, dep->key);
		return;
	}
	if (!held(e, res, d) && !is_futile(res, will_not_go, d))
		act(d, OP_REMOVE, 0, res->obs.spec);
}

static const char *row_name(const struct resource_class *class, uint64_t rows)
{
	for (size_t i = 0; i < class->table->n_fields; i++)
		if (rows >> i & 1)
			return class->table->fields[i].name;
	return "?";
}

static uint64_t recreate_rows(const struct table *table, uint64_t rows)
{
	for (size_t i = 0; i < table->n_fields; i++)
		if (!(table->fields[i].flags & FIELD_RECREATE))
			rows &= ~((uint64_t)1 << i);
	return rows;
}

enum { STUBBORN = 3 };

/* Told so several times, the host does not set these rows. */
static bool is_stubborn(const struct res *res, uint64_t rows)
{
	return rows && res->stubborn >= STUBBORN && !(rows & ~res->written);
}

static void host_keeps(const struct res *res, uint64_t rows, const void *spec, struct decision *d)
{
	struct arena *arena = arena_new();
	size_t row = 0;
	while (!(rows >> row & 1))
		row++;
	wait_for(d, RES_FAILED, "the host keeps %s %s (wanted %s)", res->class->table->fields[row].name,
		 table_row_text(res->class->table, res->obs.spec, row, arena),
		 table_row_text(res->class->table, spec, row, arena));
	arena_free(arena);
	d->fails = true;
}

struct change res_weigh(const struct res *res, const void *to)
{
	struct change change = {0};
	if (res->class->weigh)
		res->class->weigh(res->obs.spec, to, &change);
	return change;
}

/* May these rows become what they are to be now? Not while somebody uses what would go, nor, where they cannot go back,
 * before the revision is final. */
static bool is_untimely(const struct engine *e, const struct res *res, uint64_t rows, const void *to,
			struct decision *d)
{
	const struct change change = res_weigh(res, to);
	if (change.refused) {
		wait_for(d, RES_FAILED, "%s", change.refused);
		d->refused = is_transactional(res);
		return true;
	}
	if (!e->pending || change.gentle || !(table_flags(res->class->table, rows) & FIELD_IRREVERSIBLE))
		return false;
	wait_for_final(d);
	return true;
}

static void decide_change(const struct engine *e, const struct res *res, uint64_t rows, struct decision *d)
{
	const struct table *table = res->class->table;
	unsigned flags = table_flags(table, rows);
	if (flags & FIELD_REFUSE) {
		wait_for(d, RES_FAILED, "%s of %s %s cannot be changed once it exists", row_name(res->class, rows),
			 res->class->name, res->key);
		d->refused = is_transactional(res);
		return;
	}
	bool rebound = is_rebound(res);
	if (!rows && res->stubborn >= STUBBORN) { /* binding or marking it does not help, and it works */
		d->state = RES_PRESENT;
		d->stubborn = true;
		return;
	}
	bool anew = (flags & FIELD_RECREATE) || (rebound && res->class->rebind == REBIND_RECREATE);
	if (anew && !res->made) { /* taken over: what others made is set, not destroyed */
		wait_for(d, RES_FAILED,
			 "%s of %s %s can only be had by making it anew, and it is not weft's; remove it",
			 flags & FIELD_RECREATE ? row_name(res->class, recreate_rows(table, rows)) : "the binding",
			 res->class->name, res->key);
		d->refused = is_transactional(res);
		return;
	}
	if (anew) {
		decide_recreate(e, res, d);
		return;
	}
	if (is_untimely(e, res, rows, res->want->spec, d))
		return;
	const struct res *need = unmet_need(res);
	if (need) {
		wait_for(d, RES_WAITING, "waits for %s/%s", need->class->name, need->key);
		return;
	}
	if (held(e, res, d))
		return;
	if (is_stubborn(res, rows)) {
		host_keeps(res, rows, res->want->spec, d);
		return;
	}
	act(d, OP_UPDATE, rows, res->want->spec);
}

/* A thing that exists and that neither our records nor its mark call ours. */
static bool is_foreign(const struct res *res)
{
	bool same = res->made && res->made_incarnation && res->made_incarnation == res->obs.incarnation;
	return res->obs.owner == OWNER_FOREIGN && !same && !res->want->adopt;
}

/* What we made, and what now only those want who count on somebody else to make it: it goes, and they wait. */
static bool is_unmade(const struct res *res)
{
	const struct resource_class *class = res->class;
	return res->made && res->obs.owner == OWNER_OURS && class->creatable && !class->creatable(res->want->spec);
}

static bool lost_mark(const struct res *res)
{
	return res->obs.owner == OWNER_FOREIGN && (res->made || !(res->class->flags & CLASS_ADOPT_UNMARKED));
}

/* Rows of the baseline that we have set, that are not wanted any more, and that are not back yet. */
static uint64_t rows_to_give_back(const struct res *res)
{
	if (!res->baseline)
		return 0;
	uint64_t wanted = res->want ? *present_of(res->want->spec) : 0;
	return table_diff(res->class->table, res->baseline_spec, res->obs.spec) & res->taken & ~wanted;
}

/* It stays wanted, but with fewer rows. */
static void decide_give_back(const struct engine *e, const struct res *res, uint64_t rows, struct decision *d)
{
	if (is_untimely(e, res, rows, res->baseline_spec, d) || held(e, res, d))
		return;
	if (is_stubborn(res, rows)) /* the host keeps it, and what is wanted is there */
		d->state = RES_PRESENT;
	else
		act(d, OP_UPDATE, rows, res->baseline_spec);
}

static void decide_existing(const struct engine *e, const struct res *res, struct decision *d)
{
	if (is_unmade(res)) {
		decide_recreate(e, res, d);
		return;
	}
	if (is_foreign(res)) {
		wait_for(d, RES_FOREIGN, "%s %s exists and is not weft's; remove or rename it, or set adopt: true",
			 res->class->name, res->key);
		d->refused = is_transactional(res);
		return;
	}
	d->adopt = res->baseline || (!res->made && res->obs.owner != OWNER_OURS);
	d->differs = table_diff(res->class->table, res->want->spec, res->obs.spec);
	uint64_t rows = rows_to_change(res);
	d->restart_needed = d->differs != rows;
	uint64_t back = rows_to_give_back(res);
	if (rows || is_rebound(res) || lost_mark(res))
		decide_change(e, res, rows, d);
	else if (back)
		decide_give_back(e, res, back, d);
	else
		d->state = RES_PRESENT;
}

static void decide_wanted(const struct engine *e, const struct res *res, struct decision *d)
{
	if (res->obs.exists)
		decide_existing(e, res, d);
	else
		decide_create(e, res, d);
	bool licensed = res->state == RES_CONTESTED && res->retry_ms; /* its waiting time is over: once more */
	if (d->act && res->settled && !licensed && !caused_by_need(res) && is_contested(e, res)) {
		d->act = false;
		d->contest = true;
	}
}

/* It cannot be had as it was before. */
static void leave_as_is(const struct res *res, uint64_t rows, struct decision *d)
{
	host_keeps(res, rows, res->baseline_spec, d);
	d->state = RES_ABSENT;
	d->fails = false;
	d->released = true;
}

static void decide_unwanted(const struct engine *e, const struct res *res, struct decision *d)
{
	d->state = RES_ABSENT;
	if (!res->obs.exists || (res->old == NULL && !res->made && !res->baseline)) {
		d->released = true;
		return;
	}
	uint64_t rows = rows_to_give_back(res);
	bool removable = !(res->class->flags & CLASS_INHERENT) && !res->baseline &&
			 (res->made || res->obs.owner == OWNER_OURS) && res->obs.owner != OWNER_FOREIGN;
	if (removable && (res->class->flags & CLASS_KEEP) && !res->fresh)
		removable =
			res->old && res->old_final && res->class->disposable && res->class->disposable(res->old->spec);
	if (!rows && !removable) {
		d->released = true;
		return;
	}
	if (remove_held_by_dependent(res, d))
		return;
	if (removable && e->pending && (res->class->flags & CLASS_REMOVE_IRREVERSIBLE)) {
		wait_for(d, RES_REMOVING, "is removed once the revision is final");
		return;
	}
	if (rows && is_untimely(e, res, rows, res->baseline_spec, d))
		return;
	if (held(e, res, d) || (!rows && is_futile(res, will_not_go, d)))
		return;
	if (!rows)
		act(d, OP_REMOVE, 0, NULL);
	else if (is_stubborn(res, rows))
		leave_as_is(res, rows, d);
	else
		act(d, OP_UPDATE, rows, res->baseline_spec);
}

/* It was only looked at, and nobody looks any more: whether it is there does not matter. */
static bool is_nobodys(const struct res *res)
{
	return !res_want(res) && !res->made && !res->baseline;
}

void decide(const struct engine *e, const struct res *res, struct decision *d)
{
	*d = (struct decision){.state = RES_UNKNOWN};
	if (!res->known && is_nobodys(res)) {
		d->state = RES_ABSENT;
		d->released = true;
		return;
	}
	if (!res->known) {
		if (!res->observe_failed || !held(e, res, d))
			act(d, OP_OBSERVE, 0, NULL);
		return;
	}
	if (res->want)
		decide_wanted(e, res, d);
	else
		decide_unwanted(e, res, d);
}
