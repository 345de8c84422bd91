/* SPDX-License-Identifier: Apache-2.0 */
/* The public requests: each is copied into a job and queued, or answered at once. */
#include "core/manager-internal.h"

#include "core/event.h"
#include "core/json-text.h"

static void copy_sources(struct job *job, const struct source *sources, size_t n)
{
	job->sources = arena_alloc(job->arena, (n + 1) * sizeof(*job->sources));
	job->n_sources = n;
	for (size_t i = 0; i < n; i++)
		job->sources[i] =
			(struct source){arena_strdup(job->arena, sources[i].name),
					arena_strndup(job->arena, sources[i].text, sources[i].size), sources[i].size};
}

void manager_apply(struct manager *m, const struct apply_request *request, manager_done_fn *done, void *ctx)
{
	struct job *job = job_new(JOB_APPLY, done, ctx);
	copy_sources(job, request->sources, request->n_sources);
	job->set = arena_strdup(job->arena, request->set ? request->set : "default");
	job->who = arena_strdup(job->arena, request->who);
	job->what = arena_strdup(job->arena, request->what);
	job->verify = arena_strdup(job->arena, request->verify);
	job->prune = request->prune;
	job->dry_run = request->dry_run;
	job->atomic = request->atomic;
	job->allow_disruption = request->allow_disruption;
	job->wait = request->wait;
	job->confirm_ms = request->confirm_ms;
	job->wait_ms = request->wait_ms;
	job_submit(m, job);
}

void manager_delete(struct manager *m, const struct delete_request *request, manager_done_fn *done, void *ctx)
{
	struct job *job = job_new(JOB_DELETE, done, ctx);
	copy_sources(job, request->sources, request->n_sources);
	job->names = arena_alloc(job->arena, (request->n_names + 1) * sizeof(*job->names));
	for (size_t i = 0; i < request->n_names; i++)
		job->names[job->n_names++] = arena_strdup(job->arena, request->names[i]);
	job->set = "(delete)";
	job->who = arena_strdup(job->arena, request->who);
	job->what = arena_strdup(job->arena, request->what);
	job->now = request->now;
	job->confirm_ms = request->confirm_ms;
	job->dry_run = request->dry_run;
	job->allow_disruption = request->allow_disruption;
	job->wait = request->wait;
	job->wait_ms = request->wait_ms;
	job_submit(m, job);
}

void manager_diff(struct manager *m, const struct apply_request *request, manager_done_fn *done, void *ctx)
{
	size_t n = request->n_sources;
	struct job *job = job_new(JOB_DIFF, done, ctx);
	copy_sources(job, request->sources, n);
	job->dry_run = true;
	job->set = arena_strdup(job->arena, request->set ? request->set : "default");
	job->prune = request->prune && n;
	job_submit(m, job);
}

static void answer_now(manager_done_fn *done, void *ctx, const char *result, const char *message)
{
	json_t *answer = json_pack("{s:s, s:o}", "result", result, "message", json_host_text(message));
	done(ctx, answer);
	json_decref(answer);
}

void manager_confirm(struct manager *m, const char *who, manager_done_fn *done, void *ctx)
{
	struct job *job = m->job;
	if (!job || job->phase != PHASE_CONFIRMING) {
		answer_now(done, ctx, "failed", "nothing waits to be confirmed");
		return;
	}
	job->done = done;
	job->ctx = ctx;
	event_text("Confirmed", NULL, false, "revision %llu is confirmed by %s", (unsigned long long)job->row.rev,
		   who ? who : "somebody");
	job_confirm(m, job);
}

/* Who applied it is told that it failed; who takes it back, once that is so. */
static void take_back(struct manager *m, struct job *pending, const char *who, manager_done_fn *done, void *ctx)
{
	bool undoing = pending->phase == PHASE_UNDOING;
	job_answer(pending, "failed", "%s took it back", who ? who : "somebody");
	pending->done = done;
	pending->ctx = ctx;
	pending->taken_back = true;
	if (!undoing)
		job_undo(m, pending, "revision %llu was taken back by %s", (unsigned long long)pending->row.rev,
			 who ? who : "somebody");
}

void manager_rollback(struct manager *m, uint64_t rev, const char *who, manager_done_fn *done, void *ctx)
{
	struct job *pending = m->job;
	if (!rev && pending && pending->row.rev) { /* from its first change to its end, be that its being undone */
		take_back(m, pending, who, done, ctx);
		return;
	}
	struct job *job = job_new(JOB_ROLLBACK, done, ctx);
	job->rev = rev;
	job->set = "(rollback)";
	job->who = arena_strdup(job->arena, who);
	job->what = rev ? arena_printf(job->arena, "rollback %llu", (unsigned long long)rev) : "rollback";
	job->allow_disruption = true;
	job_submit(m, job);
}

void manager_forget(struct manager *m, manager_done_fn *done, void *ctx)
{
	struct job *lists[] = {m->job, m->queue, m->waiting};
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (struct job *job = lists[i]; job; job = i == 0 ? NULL : job->next) {
			if (job->done == done && job->ctx == ctx)
				job->done = NULL;
		}
	}
}

void manager_override(struct manager *m, const struct override_request *request, manager_done_fn *done, void *ctx)
{
	const struct kind *k = kind_find(request->kind);
	const char *name = request->name;
	bool found = false;
	for (size_t i = 0; k && i < m->final->n_objects; i++)
		found |= m->final->objects[i]->kind == k && streq(m->final->objects[i]->name, name);
	if (!found) {
		cleanup_free char *message = xprintf("there is no %s '%s'", k ? k->name : request->kind, name);
		answer_now(done, ctx, "failed", message);
		return;
	}
	struct job *job = job_new(JOB_OVERRIDE, done, ctx);
	job->override_object = arena_printf(job->arena, "%s/%s", k->name, name);
	job->override_text = arena_strdup(job->arena, request->text);
	job->set = "";
	job->who = arena_strdup(job->arena, request->who);
	job->what = arena_printf(job->arena, "order for %s: %s", job->override_object,
				 request->text ? request->text : "as its manifest says");
	job->allow_disruption = true; /* the person has asked for just this */
	job_submit(m, job);
}
