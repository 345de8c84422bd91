/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's life: it opens the store, makes the engine and drives it from the event loop, and brings back at start
 * what was final when weftd ended. See manager.h. */
#include "core/manager-internal.h"

#include "core/env.h"
#include "core/event.h"
#include "core/strmap.h"

enum { FACTS_PAUSE_MS = 200, SUSPECTS_MAX = 64 };

/* ---- what the engine asks for ---- */

static uint64_t engine_now(void *ctx)
{
	return now_ms();
}

static int engine_persist(void *ctx, const struct engine_record *records, size_t n, struct err *err)
{
	struct manager *m = ctx;
	return store_put_records(m->store, records, n, err);
}

static void engine_wake(void *ctx)
{
	manager_schedule(ctx);
}

static const char *const notice_types[] = {
	[NOTICE_CREATED] = "Created",   [NOTICE_UPDATED] = "Updated",     [NOTICE_REMOVED] = "Removed",
	[NOTICE_REPAIRED] = "Repaired", [NOTICE_FAILED] = "Failed",       [NOTICE_CONTESTED] = "Contested",
	[NOTICE_FOREIGN] = "Foreign",   [NOTICE_RECOVERED] = "Recovered", [NOTICE_HEALTH] = "Health",
};

static void engine_notify(void *ctx, const struct engine_notice *notice)
{
	struct manager *m = ctx;
	m->noticed = true;
	const struct object *owner = notice->want && notice->want->n_owners ? notice->want->owners[0] : NULL;
	cleanup_free char *object = owner ? object_id(owner) : NULL;
	cleanup_free char *resource = xprintf("%s/%s", notice->class->name, notice->key);
	bool bad = notice->type == NOTICE_FAILED || notice->type == NOTICE_CONTESTED || notice->type == NOTICE_FOREIGN;
	event_emit(&(struct event){.type = notice_types[notice->type],
				   .object = object,
				   .resource = resource,
				   .text = notice->text ? notice->text : "",
				   .warning = bad});
}

/* ---- facts ---- */

static bool fits(const char *key, const char *pattern)
{
	size_t len = strlen(pattern);
	bool prefix = len && pattern[len - 1] == '*';
	return prefix ? strncmp(key, pattern, len - 1) == 0 : streq(key, pattern);
}

static bool is_suspect(const struct manager *m, const char *key)
{
	for (size_t i = 0; i < m->n_suspects; i++)
		if (fits(key, m->suspects[i]))
			return true;
	return false;
}

struct fact_now {
	const char *text;
};

static struct fact_now *read_now(const char *key, struct strmap *known)
{
	struct fact_now *now = strmap_get(known, key);
	if (now)
		return now;
	cleanup_free char *text = NULL;
	now = arena_new_of(known->arena, struct fact_now);
	if (fact_read(key, &text) == 0)
		now->text = arena_strdup(known->arena, text);
	strmap_put(known, key, now);
	return now;
}

/* Has a suspect that the generation read another value now? Thousands may have read the same: it is asked for once. */
static bool has_changed(const struct manager *m, const struct generation *gen)
{
	cleanup_arena struct arena *arena = arena_new();
	struct strmap known = strmap_in(arena);
	for (size_t i = 0; gen && i < gen->n_facts; i++) {
		const struct fact_row *row = &gen->facts[i];
		if (is_suspect(m, row->key) && !streq(read_now(row->key, &known)->text, row->value))
			return true;
	}
	return false;
}

static void forget_suspects(struct manager *m)
{
	while (m->n_suspects)
		free(m->suspects[--m->n_suspects]);
}

static void relower(struct manager *m)
{
	for (const struct job *job = m->queue; job; job = job->next)
		if (job->type == JOB_RELOWER)
			return; /* it has not begun, and will see this one as well */
	struct job *job = job_new(JOB_RELOWER, NULL, NULL);
	job->what = "a fact of the host has changed";
	job->set = "";
	job_submit(m, job);
}

/* What a thousand links make of addresses comes in as many events: they are looked at together, every now and then. */
static void check_facts(struct manager *m)
{
	if (!m->n_suspects || now_ms() < m->facts_due_ms)
		return;
	m->facts_due_ms = now_ms() + FACTS_PAUSE_MS;
	bool changed = has_changed(m, m->final) || (m->job && has_changed(m, m->job->gen));
	forget_suspects(m);
	if (changed)
		relower(m);
}

void manager_fact_changed(struct manager *m, const char *key)
{
	for (size_t i = 0; i < m->n_suspects; i++)
		if (fits(key, m->suspects[i]))
			return;
	if (m->n_suspects == SUSPECTS_MAX) {
		forget_suspects(m);
		key = "*";
	}
	grow(m->suspects, m->n_suspects, m->cap_suspects);
	m->suspects[m->n_suspects++] = xstrdup(key);
	manager_schedule(m);
}

/* ---- the loop ---- */

static void set_timer(sd_event_source *source, uint64_t at_ms)
{
	if (at_ms == UINT64_MAX) {
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(source, at_ms * 1000);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static uint64_t next_deadline(const struct manager *m)
{
	uint64_t next = m->n_suspects ? m->facts_due_ms : UINT64_MAX;
	if (m->job && m->job->deadline_ms && m->job->deadline_ms < next)
		next = m->job->deadline_ms;
	if (m->job && verify_due_ms(m->job) < next)
		next = verify_due_ms(m->job);
	for (const struct job *job = m->waiting; job; job = job->next)
		if (job->deadline_ms < next)
			next = job->deadline_ms;
	if (m->look_later && m->look_again_ms < next)
		next = m->look_again_ms;
	return next;
}

static int on_run(sd_event_source *source, void *ctx)
{
	struct manager *m = ctx;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	uint64_t next = engine_run(m->engine);
	if (m->noticed) /* or nobody would know since when it is so */
		statuses_refresh(m);
	check_facts(m);
	job_progress(m);
	manager_forget_leaving(m);
	set_timer(m->timer_source, next);
	set_timer(m->job_timer, next_deadline(m));
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	manager_schedule(ctx);
	return 0;
}

void manager_schedule(struct manager *m)
{
	if (m->run_source)
		sd_event_source_set_enabled(m->run_source, SD_EVENT_ONESHOT);
}

static int add_sources(struct manager *m, struct err *err)
{
	int r = sd_event_add_defer(env.loop, &m->run_source, on_run, m);
	if (r >= 0)
		r = sd_event_add_time(env.loop, &m->timer_source, CLOCK_BOOTTIME, UINT64_MAX, 1000, on_timer, m);
	if (r >= 0)
		r = sd_event_add_time(env.loop, &m->job_timer, CLOCK_BOOTTIME, UINT64_MAX, 1000, on_timer, m);
	if (r < 0)
		return err_errno(err, -r, "prepare the event loop");
	sd_event_source_set_enabled(m->run_source, SD_EVENT_OFF);
	sd_event_source_set_enabled(m->timer_source, SD_EVENT_OFF);
	sd_event_source_set_enabled(m->job_timer, SD_EVENT_OFF);
	return 0;
}

int manager_new(struct manager **ret, struct err *err)
{
	struct manager *m = xcalloc(1, sizeof(*m));
	m->queue_tail = &m->queue;
	m->final = generation_new(NULL);
	struct engine_host host = {.ctx = m,
				   .now_ms = engine_now,
				   .persist = engine_persist,
				   .notice = engine_notify,
				   .wake = engine_wake};
	m->engine = engine_new(&host);
	cleanup_free char *path = xprintf("%s/weft.db", env.state_dir);
	int r = store_open(path, &m->store, err);
	if (r == 0)
		r = add_sources(m, err);
	if (r < 0) {
		manager_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

static void free_jobs(struct job *job)
{
	while (job) {
		struct job *next = job->next;
		job_free(job);
		job = next;
	}
}

struct manager *manager_free(struct manager *m)
{
	if (!m)
		return NULL;
	fact_listen(NULL, NULL);
	sd_event_source_disable_unref(m->run_source);
	sd_event_source_disable_unref(m->timer_source);
	sd_event_source_disable_unref(m->job_timer);
	m->run_source = NULL;
	m->engine = engine_free(m->engine);
	if (m->job)
		m->job->next = NULL;
	free_jobs(m->job);
	free_jobs(m->queue);
	free_jobs(m->waiting);
	generation_unref(m->final);
	free(m->leaving);
	forget_suspects(m);
	free(m->suspects);
	statuses_free(m);
	store_close(m->store);
	free(m);
	return NULL;
}

struct engine *manager_engine(struct manager *m)
{
	return m->engine;
}

struct store *manager_store(struct manager *m)
{
	return m->store;
}

/* ---- coming back ---- */

static void load_record(void *ctx, const struct engine_record *record)
{
	struct manager *m = ctx;
	engine_load_record(m->engine, record);
}

static void load_leaving(void *ctx, uint64_t rev)
{
	struct manager *m = ctx;
	struct generation *old = NULL;
	struct err err = {0};
	if (rev == m->final_rev)
		return;
	if (store_get_generation(m->store, rev, &old, &err) < 0) {
		event_text("StoreDamaged", NULL, true, "revision %llu cannot be read, what is left of it stays: %s",
			   (unsigned long long)rev, err.text);
		return;
	}
	engine_leave(m->engine, old);
	generation_unref(old);
	grow(m->leaving, m->n_leaving, m->cap_leaving);
	m->leaving[m->n_leaving++] = rev;
}

struct unfinished {
	struct manager *m;
	uint64_t revs[64];
	size_t n;
};

static void find_unfinished(void *ctx, const struct revision_row *row)
{
	struct unfinished *u = ctx;
	bool open = row->state == REVISION_APPLYING || row->state == REVISION_UNCONFIRMED;
	if (open && u->n < ARRAY_SIZE(u->revs))
		u->revs[u->n++] = row->rev;
}

/* A revision that was not final when weftd ended is not wanted: the one before is, and nothing is replayed. */
static void undo_unfinished(struct manager *m)
{
	struct unfinished u = {.m = m};
	struct err err = {0};
	store_each_revision(m->store, find_unfinished, &u, &err);
	for (size_t i = 0; i < u.n; i++) {
		const struct revision_row undone = {
			.rev = u.revs[i], .state = REVISION_UNDONE, .message = "weftd ended before it was final"};
		store_update_revision(m->store, &undone, &err);
		event_text("Undone", NULL, true, "revision %llu is taken back: weftd ended before it was final",
			   (unsigned long long)u.revs[i]);
	}
}

static int load_final(struct manager *m, struct err *err)
{
	int r = store_final_revision(m->store, &m->final_rev, err);
	if (r < 0 || !m->final_rev)
		return r;
	struct generation *gen = NULL;
	r = store_get_generation(m->store, m->final_rev, &gen, err);
	if (r < 0)
		return err_wrap(err, "revision %llu", (unsigned long long)m->final_rev);
	generation_unref(m->final);
	m->final = gen;
	return 0;
}

static void on_fact_changed(void *ctx, const char *key)
{
	manager_fact_changed(ctx, key);
}

int manager_start(struct manager *m, struct err *err)
{
	undo_unfinished(m);
	int r = load_final(m, err);
	if (r == 0)
		r = store_each_record(m->store, load_record, m, err);
	if (r == 0)
		r = store_each_leaving(m->store, load_leaving, m, err);
	if (r < 0)
		return r;
	engine_switch(m->engine, m->final, false);
	fact_listen(on_fact_changed, m);
	files_load(m);
	manager_fact_changed(m, "*"); /* whatever has changed while nobody looked */
	return 0;
}

void manager_reload(struct manager *m)
{
	files_load(m);
	engine_retry(m->engine, NULL);
}

