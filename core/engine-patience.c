/* SPDX-License-Identifier: Apache-2.0 */
/* How long who asks for something waits for what is under way. Storage may fall silent at any time, and whoever looks
 * at it then waits for as long as that lasts; a person who asks, or wants something else, does not. What was seen
 * before is taken as it was last seen. What was never seen is waited for, unless what it needs shows that nothing
 * answers there: that is looked at as well as soon as a look takes longer than most. Operations are another matter: see
 * long_from(). */
#include "core/engine-internal.h"
#include "core/patience.h"

enum {
	LONG_MS = 10 * 1000,
	LATE_MS = 3 * 1000,
	SOON_MS = 200, /* for who can do without */
	SHORT_MS = 1000,
	ASK_NEEDS_MS = 20,
	CALM_MS = 5, /* until somebody asks anew whether the host is */
};

static bool is_looked_at(const struct res *r)
{
	return r->op && r->op->verb == OP_OBSERVE;
}

/* From when on a look at it takes so long that it does not answer. Of what was never seen nobody knows how long it
 * takes otherwise. */
static uint64_t silent_from(const struct res *r, unsigned never_seen_ms)
{
	uint64_t ms = r->obs.valid ? patience_ms(r->look_ms) : never_seen_ms;
	return is_looked_at(r) ? r->op->started_ms + (ms < LATE_MS ? ms : LATE_MS) : UINT64_MAX;
}

bool engine_is_silent(struct engine *e, const char *class, const char *key)
{
	const struct res *r = res_find(e, class, key);
	return r && silent_from(r, SOON_MS) <= e->host.now_ms(e->host.ctx);
}

/* From when on something that it needs does not answer. */
static uint64_t needs_silent_from(const struct engine *e, const struct res *r)
{
	const struct want *w = res_want(r);
	uint64_t from = UINT64_MAX;
	for (size_t i = 0; w && i < w->n_needs; i++) {
		const struct res *need = res_find(e, w->needs[i]->class->name, w->needs[i]->key);
		if (need && silent_from(need, LATE_MS) < from)
			from = silent_from(need, LATE_MS);
	}
	return from;
}

/* When an operation that is under way takes longer than anybody should wait for who wants something else; UINT64_MAX if
 * there is none, or it is one whose outcome decides what becomes of an apply. */
static uint64_t late_from(const struct engine *e, const struct res *r)
{
	if (!r->op || (r->class->flags & CLASS_TRANSACTIONAL))
		return UINT64_MAX;
	uint64_t late = r->op->started_ms + LATE_MS, glance = r->op->started_ms + GLANCE_MS;
	if (!is_looked_at(r))
		return late;
	uint64_t silent = r->obs.valid ? silent_from(r, LATE_MS) : needs_silent_from(e, r);
	silent = silent > glance ? silent : glance;
	return silent < late ? silent : late;
}

/* Copying an image may take an hour: that it has been begun is enough for an apply to stand. When it is. An apply waits
 * less for what it did not begin, for a look at what goes, and hardly for one at what it leaves as it is. */
static uint64_t long_from(const struct engine *e, const struct res *r)
{
	uint64_t late = late_from(e, r);
	if (late == UINT64_MAX)
		return late;
	if (is_looked_at(r) && r->obs.valid)
		return r->settled ? r->op->started_ms + GLANCE_MS : late;
	bool others = r->op->started_ms < e->switched_ms || (is_looked_at(r) && !r->want);
	bool silent = is_looked_at(r) && late < r->op->started_ms + LATE_MS;
	return others || silent ? late : late + (LONG_MS - LATE_MS);
}

bool is_long(const struct engine *e, const struct res *r)
{
	return e->host.now_ms(e->host.ctx) >= long_from(e, r);
}

uint64_t engine_next_long(const struct engine *e)
{
	uint64_t now = e->host.now_ms(e->host.ctx), next = UINT64_MAX;
	for (size_t i = 0; i < e->n_nodes; i++) {
		uint64_t from = long_from(e, e->nodes[i]);
		if (from > now && from < next)
			next = from;
	}
	return next;
}

/* Can nobody tell how long a first look at it should take? What it needs was not seen yet either, or takes long each
 * time. */
static bool is_unforeseen(const struct engine *e, const struct res *r)
{
	const struct want *w = res_want(r);
	for (size_t i = 0; w && i < w->n_needs; i++) {
		const struct res *need = res_find(e, w->needs[i]->class->name, w->needs[i]->key);
		if (!need || !need->obs.valid || patience_ms(need->look_ms) > SHORT_MS)
			return true;
	}
	return !w || !w->n_needs;
}

uint64_t look_awaited_until(const struct engine *e, const struct res *r, bool only_asked)
{
	uint64_t late = late_from(e, r), now = e->host.now_ms(e->host.ctx);
	if (late == UINT64_MAX || !is_looked_at(r))
		return late;
	uint64_t glance = r->op->started_ms + GLANCE_MS;
	if (r->obs.valid)
		return glance;
	if (!only_asked || !r->class->calm || late <= glance || !is_unforeseen(e, r))
		return late;
	if (now < glance || r->class->calm(r->op->started_ms))
		return glance;
	return now + CALM_MS < late ? now + CALM_MS : late;
}

bool is_given_time(const struct engine *e, const struct res *r)
{
	uint64_t until = !is_looked_at(r) ? 0 : r->obs.valid ? r->op->started_ms + LATE_MS : late_from(e, r);
	return !r->observe_failed && e->host.now_ms(e->host.ctx) < until;
}

/* ---- asking what it needs ---- */

/* What was not seen for a while is looked at; an answer is an answer, whatever was known. */
static void ask_needs(struct engine *e, struct res *r)
{
	const struct want *w = res_want(r);
	uint64_t now = e->host.now_ms(e->host.ctx);
	r->needs_asked = true;
	for (size_t i = 0; w && i < w->n_needs; i++) {
		struct res *need = res_find(e, w->needs[i]->class->name, w->needs[i]->key);
		if (need && !need->op && need->known && now - need->seen_ms > GLANCE_MS &&
		    !(need->class->flags & CLASS_TRANSACTIONAL))
			res_forget_seen(e, need);
	}
}

uint64_t looks_ask_needs(struct engine *e)
{
	uint64_t now = e->host.now_ms(e->host.ctx), next = UINT64_MAX;
	for (size_t i = 0; i < e->n_nodes; i++) {
		struct res *r = e->nodes[i];
		if (!is_looked_at(r) || r->obs.valid || r->needs_asked || (r->class->flags & CLASS_TRANSACTIONAL))
			continue;
		if (r->op->started_ms + ASK_NEEDS_MS <= now)
			ask_needs(e, r);
		else if (r->op->started_ms + ASK_NEEDS_MS < next)
			next = r->op->started_ms + ASK_NEEDS_MS;
	}
	return next;
}
