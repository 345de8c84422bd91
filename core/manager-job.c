/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: one change of the configuration at a time, from its check over the switch of the engine to final, or back to
 * what was. What is on disk always comes first: the revision before the switch, its being final before anything
 * irreversible. */
#include "core/manager-internal.h"

#include <time.h>

#include "core/env.h"
#include "core/event.h"
#include "core/json-text.h"

enum { APPLY_MS = 120 * 1000, UNDO_MS = 20 * 1000, WAIT_MS = 60 * 1000, KEEP_REVISIONS = 50 };

struct job *job_new(enum job_type type, manager_done_fn *done, void *ctx)
{
	static uint64_t serial;
	struct job *job = xcalloc(1, sizeof(*job));
	job->serial = ++serial;
	job->type = type;
	job->arena = arena_new();
	job->answer = json_object();
	job->done = done;
	job->ctx = ctx;
	return job;
}

struct job *job_free(struct job *job)
{
	if (!job)
		return NULL;
	json_decref(job->answer);
	generation_unref(job->gen);
	free(job->failure);
	arena_free(job->arena);
	free(job);
	return NULL;
}

void job_answer(struct job *job, const char *result, const char *fmt, ...)
{
	manager_done_fn *done = take_ptr(job->done);
	if (!done)
		return;
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	json_object_set_new(job->answer, "result", json_string(result));
	json_object_set_new(job->answer, "message", json_host_text(text));
	if (job->row.rev)
		json_object_set_new(job->answer, "revision", json_integer((json_int_t)job->row.rev));
	json_t *answer = json_copy(job->answer);
	done(job->ctx, answer);
	json_decref(answer);
}

static void job_end(struct manager *m, struct job *job)
{
	if (m->job == job)
		m->job = NULL;
	job_free(job);
	manager_schedule(m);
}

static void answer_refused(struct manager *m, struct job *job)
{
	diags_sort(&job->diags);
	json_object_set_new(job->answer, "diagnostics", diags_to_json(&job->diags));
	cleanup_free char *rendered = diags_render(&job->diags, false);
	json_object_set_new(job->answer, "rendered", json_host_text(rendered));
	job_answer(job, "refused", "%zu fault%s; nothing was changed", job->diags.n_total,
		   job->diags.n_total == 1 ? "" : "s");
	job_end(m, job);
}

static void add_leaving(struct manager *m, uint64_t rev)
{
	if (!rev)
		return;
	grow(m->leaving, m->n_leaving, m->cap_leaving);
	m->leaving[m->n_leaving++] = rev;
}

void manager_forget_leaving(struct manager *m)
{
	if (!m->n_leaving || m->job || engine_leaving(m->engine))
		return;
	struct err err = {0};
	for (size_t i = 0; i < m->n_leaving; i++)
		if (m->leaving[i] != m->final_rev)
			store_set_gone(m->store, m->leaving[i], &err);
	m->n_leaving = 0;
	store_prune_revisions(m->store, KEEP_REVISIONS, &err);
}

/* ---- the end: final, or taken back ---- */

static int clear_changed_overrides(struct manager *m, struct job *job, struct err *err)
{
	cleanup_arena struct arena *arena = arena_new();
	struct override_row *rows = NULL;
	size_t i, n = 0;
	json_t *entry;
	int r = store_get_overrides(m->store, arena, &rows, &n, err);
	if (r < 0 || n == 0)
		return r;
	json_array_foreach(json_object_get(job->answer, "objects"), i, entry) {
		if (streq(json_string_value(json_object_get(entry, "change")), "unchanged"))
			continue;
		cleanup_free char *id = xprintf("%s/%s", json_string_value(json_object_get(entry, "kind")),
						json_string_value(json_object_get(entry, "name")));
		r = store_put_override(m->store, id, NULL, NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int store_final(struct manager *m, struct job *job, struct err *err)
{
	const struct revision_row final = {.rev = job->row.rev, .state = REVISION_FINAL};
	int r = store_begin(m->store, err);
	if (r < 0)
		return r;
	r = store_update_revision(m->store, &final, err);
	if (r == 0)
		r = clear_changed_overrides(m, job, err);
	if (r == 0 && job->type == JOB_OVERRIDE)
		r = store_put_override(m->store, job->override_object, job->override_text, job->who, err);
	if (r == 0)
		return store_commit(m->store, err);
	store_abort(m->store);
	return r;
}

static void adopt_final(struct manager *m, struct job *job)
{
	add_leaving(m, m->final_rev);
	generation_unref(m->final);
	m->final = generation_ref(job->gen);
	m->final_rev = job->row.rev;
}

static void wait_ready(struct manager *m, struct job *job)
{
	job->phase = PHASE_WAITING;
	job->deadline_ms = now_ms() + (job->wait_ms ? job->wait_ms : WAIT_MS);
	m->job = NULL;
	job->next = m->waiting;
	m->waiting = job;
	manager_schedule(m);
}

static void make_final(struct manager *m, struct job *job)
{
	struct err err = {0};
	if (store_final(m, job, &err) < 0) {
		job_undo(m, job, "the store could not be written: %s", err.text);
		return;
	}
	adopt_final(m, job);
	engine_final(m->engine);
	if (job->now)
		engine_hurry(m->engine);
	event_text("Applied", NULL, false, "revision %llu is final: %s by %s", (unsigned long long)job->row.rev,
		   job->what ? job->what : "a change", job->who ? job->who : "weftd");
	if (job->wait && job->done) {
		wait_ready(m, job);
		return;
	}
	job_answer(job, "final", "revision %llu is final", (unsigned long long)job->row.rev);
	job_end(m, job);
}

void job_confirm(struct manager *m, struct job *job)
{
	make_final(m, job);
}

void job_undo(struct manager *m, struct job *job, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	job->failure = xvprintf(fmt, args);
	va_end(args);
	struct err err = {0};
	const struct revision_row undone = {.rev = job->row.rev, .state = REVISION_UNDONE, .message = job->failure};
	store_update_revision(m->store, &undone, &err);
	event_text("Undone", NULL, true, "revision %llu is taken back: %s", (unsigned long long)job->row.rev,
		   job->failure);
	add_leaving(m, job->row.rev);
	engine_switch(m->engine, m->final, false);
	verify_stop(job);
	job->phase = PHASE_UNDOING;
	job->deadline_ms = now_ms() + UNDO_MS;
	manager_schedule(m);
}

/* A job from afar: it may be over when something comes of what it started. */
struct job_ref {
	struct manager *m;
	uint64_t serial;
};

static struct job_ref *job_ref_new(struct manager *m, const struct job *job)
{
	struct job_ref *ref = xcalloc(1, sizeof(*ref));
	*ref = (struct job_ref){m, job->serial};
	return ref;
}

/* The job, if it is still being carried out; frees the reference. */
static struct job *job_ref_take(struct job_ref *ref)
{
	struct job *job = ref->m->job && ref->m->job->serial == ref->serial ? ref->m->job : NULL;
	free(ref);
	return job;
}

/* Somebody waits for its answer: it cannot stand behind a confirm, which may take its time. */
static bool is_asked_for(const struct job *job)
{
	return job->type != JOB_RELOWER && job->type != JOB_FILES;
}

static void refuse_unconfirmed(struct manager *m, struct job *job)
{
	job_answer(
		job, "failed",
		"revision %llu waits to be confirmed; confirm it (weft confirm) or take it back (weft rollback) first",
		(unsigned long long)m->job->row.rev);
	job_free(job);
}

static void refuse_queued(struct manager *m)
{
	struct job *job = m->queue;
	m->queue = NULL;
	m->queue_tail = &m->queue;
	for (struct job *next; job; job = next) {
		next = job->next;
		job->next = NULL;
		if (is_asked_for(job)) {
			refuse_unconfirmed(m, job);
			continue;
		}
		*m->queue_tail = job;
		m->queue_tail = &job->next;
	}
}

/* The host has taken it: now it is final, or waits for a person. */
void job_settled(struct manager *m, struct job *job)
{
	if (!job->confirm_ms) {
		make_final(m, job);
		return;
	}
	struct err err = {0};
	uint64_t by = wall_ms() + job->confirm_ms;
	const struct revision_row row = {.rev = job->row.rev, .state = REVISION_UNCONFIRMED, .confirm_by_ms = by};
	if (store_update_revision(m->store, &row, &err) < 0) {
		job_undo(m, job, "the store could not be written: %s", err.text);
		return;
	}
	job->row.confirm_by_ms = by;
	job->phase = PHASE_CONFIRMING;
	job->deadline_ms = now_ms() + job->confirm_ms;
	char text[32];
	json_object_set_new(job->answer, "confirmBy", json_string(time_text(by, text)));
	event_text("Unconfirmed", NULL, false, "revision %llu is taken back at %s unless it is confirmed",
		   (unsigned long long)job->row.rev, text);
	job_answer(job, "pending", "revision %llu is taken back at %s unless `weft confirm` comes first",
		   (unsigned long long)job->row.rev, text);
	refuse_queued(m);
	manager_schedule(m);
}

/* ---- the way there ---- */

void job_begin(struct manager *m, struct job *job)
{
	struct err err = {0};
	job->row = (struct revision_row){.previous = m->final_rev,
					 .state = REVISION_APPLYING,
					 .time_ms = wall_ms(),
					 .who = job->who,
					 .what = job->what,
					 .set = job->set};
	if (store_put_revision(m->store, &job->row, job->gen, &err) < 0) {
		event_text("Refused", NULL, true, "%s: the revision could not be stored, so nothing was changed: %s",
			   job->what ? job->what : "a change", err.text);
		job_answer(job, "failed", "the revision could not be stored, so nothing was changed: %s", err.text);
		job_end(m, job);
		return;
	}
	if (job->type == JOB_FILES || job->type == JOB_RELOWER) {
		/* Object by object: what the host refuses is Failed, the rest stands. */
		engine_switch(m->engine, job->gen, false);
		make_final(m, job);
		return;
	}
	job->phase = PHASE_APPLYING;
	job->deadline_ms = now_ms() + (job->atomic && job->wait_ms ? job->wait_ms : APPLY_MS);
	engine_switch(m->engine, job->gen, true);
	job->n_unsettled = engine_unsettled(m->engine);
	manager_schedule(m);
}

static bool same_wants(const struct generation *a, const struct generation *b)
{
	if (a->n_wants != b->n_wants)
		return false;
	for (size_t i = a->basis == b->serial ? a->n_carried : 0; i < a->n_wants; i++) {
		const struct want *x = a->wants[i], *y = generation_find(b, x->class->name, x->key);
		if (!y || *present_of(x->spec) != *present_of(y->spec) || x->n_needs != y->n_needs ||
		    table_diff(x->class->table, x->spec, y->spec) || table_diff(x->class->table, y->spec, x->spec))
			return false;
	}
	return true;
}

static void answer_unchanged(struct manager *m, struct job *job)
{
	if (job->type != JOB_RELOWER) /* nobody asked: what fails keeps its waiting time, however often facts change */
		engine_retry(m->engine, NULL);
	job->row.rev = m->final_rev;
	if (job->wait && job->done) {
		wait_ready(m, job);
		return;
	}
	job_answer(job, "final", "nothing differs from revision %llu", (unsigned long long)m->final_rev);
	job_end(m, job);
}

static void probed(void *ctx)
{
	struct job_ref *ref = ctx;
	struct manager *m = ref->m;
	struct job *job = job_ref_take(ref);
	if (!job)
		return;
	if (job->dry_run || job->type == JOB_DIFF) {
		size_t n = plan_add(m, job->gen, job->answer);
		job_answer(job, "dryRun", n ? "%zu resource%s would change" : "nothing would change", n,
			   n == 1 ? "" : "s");
		job_end(m, job);
	} else if (!job->changes && same_wants(job->gen, m->final) && job->type != JOB_OVERRIDE) {
		answer_unchanged(m, job);
	} else if (!job->confirm_ms && !job->allow_disruption && plan_is_disruptive(m, job->gen)) {
		plan_add(m, job->gen, job->answer);
		job_answer(
			job, "disruptive",
			"this interrupts what runs (see the plan); apply it with --confirm TIME, so that it can undo "
			"itself, or with --allow-disruption");
		job_end(m, job);
	} else if (!verify_ask_before(m, job)) {
		job_begin(m, job);
	}
}

static void start(struct manager *m, struct job *job)
{
	m->job = job;
	int r = config_build(m, job);
	if (r < 0 && job->type == JOB_ROLLBACK && !job->rev) {
		job_answer(job, "failed", "%s", job->diags.items[0]->text); /* there is nothing to go back to */
		job_end(m, job);
		return;
	}
	if (r < 0) {
		answer_refused(m, job);
		return;
	}
	if (job->type == JOB_FILES || job->type == JOB_RELOWER) {
		if (job->diags.n_total) {
			cleanup_free char *rendered = diags_render(&job->diags, false);
			event_text("Refused", NULL, true, "%s", rendered);
		}
		if (!job->changes && same_wants(job->gen, m->final))
			answer_unchanged(m, job);
		else
			job_begin(m, job);
		return;
	}
	job->phase = PHASE_PROBING;
	if (job->dry_run || job->type == JOB_DIFF)
		engine_probe(m->engine, job->gen, probed, job_ref_new(m, job));
	else
		engine_probe_change(m->engine, job->gen, probed, job_ref_new(m, job));
}

void job_submit(struct manager *m, struct job *job)
{
	if (is_asked_for(job) && m->job && m->job->phase == PHASE_CONFIRMING) {
		refuse_unconfirmed(m, job);
		return;
	}
	job->next = NULL;
	*m->queue_tail = job;
	m->queue_tail = &job->next;
	manager_schedule(m);
}

/* ---- progress ---- */

static const char *view_text(const struct resource_view *view, char buf[static 256])
{
	snprintf(buf, 256, "%s/%s is %s%s%s", view->class->name, view->key, resource_state_names[view->state],
		 view->reason ? ": " : "", view->reason ? view->reason : "");
	return buf;
}

static const char *unsettled(struct manager *m, char buf[static 256])
{
	struct resource_view view;
	for (size_t i = 0; engine_view(m->engine, i, &view); i++)
		if (view.state != RES_PRESENT && view.state != RES_ABSENT)
			return view_text(&view, buf);
	return "nothing says what it waits for";
}

/* What holds up the rest rather than what waits for it. */
static const char *still_leaving(struct manager *m, char buf[static 256])
{
	struct resource_view view, found = {0};
	for (size_t i = 0; engine_view(m->engine, i, &view); i++) {
		bool leaves = !view.want && view.state != RES_ABSENT && view.state != RES_FOREIGN;
		if (leaves && (!found.class || found.state == RES_WAITING))
			found = view;
	}
	return found.class ? view_text(&found, buf) : "still under way";
}

/* A busy host may need minutes for some hundred links; as long as more and more of them are there it is not stuck. Who
 * said in what time everything is to be Ready (--atomic) is taken at his word. */
static bool is_late(struct manager *m, struct job *job)
{
	if (now_ms() < job->deadline_ms)
		return false;
	size_t n = engine_unsettled(m->engine);
	if ((job->atomic && job->wait_ms) || n >= job->n_unsettled)
		return true;
	job->n_unsettled = n;
	job->deadline_ms = now_ms() + APPLY_MS;
	return false;
}

static void progress_applying(struct manager *m, struct job *job)
{
	struct err why = {0};
	char text[256];
	const struct status *not_ready = NULL;
	switch (engine_outcome(m->engine, &why)) {
	case ENGINE_REFUSED:
		job_undo(m, job, "%s", why.text);
		return;
	case ENGINE_RUNNING:
		if (is_late(m, job))
			job_undo(m, job, "it was not done in time: %s", unsettled(m, text));
		return;
	case ENGINE_SETTLED:
		break;
	}
	/* What cannot go back is no part of what is judged: it is done after that. */
	if (job->atomic && !statuses_ready(m, job->touched, job->n_touched, true, &not_ready)) {
		if (now_ms() >= job->deadline_ms)
			job_undo(m, job, "%s was not Ready in time: %s", not_ready->id,
				 not_ready->message ? not_ready->message : "no reason is known");
		return;
	}
	if (job->verify)
		verify_begin(m, job);
	else
		job_settled(m, job);
}

static void progress_undoing(struct manager *m, struct job *job)
{
	enum engine_outcome outcome = engine_outcome(m->engine, NULL);
	if (outcome == ENGINE_RUNNING && now_ms() < job->deadline_ms)
		return;
	job_answer(job, job->taken_back ? "final" : "failed", "%s; the state before is back%s", job->failure,
		   outcome == ENGINE_SETTLED ? "" : " but for what still waits or fails (see `weft get all`)");
	job_end(m, job);
}

static void answer_not_ready(struct manager *m, struct job *job, const struct status *not_ready)
{
	char text[256];
	if (not_ready)
		job_answer(job, "notReady", "revision %llu is final, but %s is not Ready: %s",
			   (unsigned long long)job->row.rev, not_ready->id,
			   not_ready->message ? not_ready->message : "still under way");
	else
		job_answer(job, "notReady", "revision %llu is final, but what was deleted is not all gone: %s",
			   (unsigned long long)job->row.rev, still_leaving(m, text));
}

/* Whether thousands of objects are Ready is not asked again for each of them: looking takes a tenth of the time at
 * most.
 */
static void progress_waiting(struct manager *m)
{
	uint64_t begin = now_ms();
	m->look_later = m->waiting && begin < m->look_again_ms;
	if (m->look_later)
		return;
	for (struct job **p = &m->waiting; *p;) {
		struct job *job = *p;
		const struct status *not_ready = NULL;
		bool ready = statuses_ready(m, job->touched, job->n_touched, false, &not_ready) &&
			     (job->type != JOB_DELETE || !engine_leaving(m->engine));
		if (!ready && now_ms() < job->deadline_ms && job->done) {
			p = &job->next;
			continue;
		}
		*p = job->next;
		if (ready)
			job_answer(job, "final", "revision %llu is final, everything is Ready",
				   (unsigned long long)job->row.rev);
		else
			answer_not_ready(m, job, not_ready);
		job_free(job);
	}
	m->look_again_ms = now_ms() + 10 * (now_ms() - begin);
}

void job_progress(struct manager *m)
{
	struct job *job = m->job;
	if (!job) {
		if (m->queue) {
			job = m->queue;
			m->queue = job->next;
			if (!m->queue)
				m->queue_tail = &m->queue;
			start(m, job);
		}
	} else if (job->phase == PHASE_APPLYING) {
		progress_applying(m, job);
	} else if (job->phase == PHASE_CONFIRMING && now_ms() >= job->deadline_ms) {
		job_undo(m, job, "it was not confirmed in time");
	} else if (job->phase == PHASE_UNDOING) {
		progress_undoing(m, job);
	} else {
		verify_progress(m, job);
	}
	progress_waiting(m);
}
