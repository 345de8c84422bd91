/* SPDX-License-Identifier: Apache-2.0 */
/* See probe.h. One timer a pool; the next question is asked only after the last one was answered or given up, and
 * whoever asked it has gone: on a device that hangs in the kernel no signal reaches it, and more of them would pile up.
 */
#include "stord/probe.h"

#include <systemd/sd-event.h>
#include <sys/pidfd.h>
#include <time.h>

#include "core/child.h"
#include "core/engine.h"
#include "core/env.h"

/* A server that is away is told within 10 s: at most one pause, then one question. */
enum { PAUSE_MS = 4 * 1000, ANSWER_MS = PROBE_ANSWER_S * 1000, PATIENCE = 5 };

struct probe {
	char *pool;
	struct arena *arena; /* of the state */
	struct pool_state *state;
	struct engine *engine;
	sd_event_source *timer;
	struct child *child;
	int pidfd;                /* of who asks, or has asked and is stuck; -1: nobody */
	sd_event_source *unstuck; /* waits for its end */
	uint64_t last_ms, began_ms;
	char *fault;       /* of the last question; NULL: it was answered */
	char *sentence;    /* what probe_silence() says */
	unsigned unwanted; /* how often in a row nobody wanted the pool */
	bool ended;        /* nobody wants it any more; freed with its child */
	struct probe *next;
};
static struct probe *probes;

static struct probe *find(const char *pool)
{
	for (struct probe *p = probes; p; p = p->next)
		if (streq(p->pool, pool))
			return p;
	return NULL;
}

static void probe_free(struct probe *p)
{
	sd_event_source_disable_unref(p->timer);
	sd_event_source_disable_unref(p->unstuck);
	closep(&p->pidfd);
	arena_free(p->arena);
	free(p->pool);
	free(p->fault);
	free(p->sentence);
	free(p);
}

/* "2026-11-21 18:02:11": of the host's own time, as a person compares it with a watch. */
static void time_text(uint64_t ms, char buf[static 32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	if (!localtime_r(&seconds, &tm) || !strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, 32, "an unknown time");
}

static void set_sentence(struct probe *p)
{
	char last[32];
	free(take_ptr(p->sentence));
	if (!p->fault)
		return;
	time_text(p->last_ms ? p->last_ms : p->began_ms, last);
	p->sentence =
		xprintf("pool '%s' does not answer: %s; %s %s; what guests do there waits, and goes on when it answers "
			"again",
			p->pool, p->fault,
			p->last_ms ? "it was last seen to work at" : "it has not been seen to work since", last);
}

/* What was held up is tried at once, not when its next turn comes. */
static void go_on(const struct probe *p)
{
	struct resource_view view;
	size_t len = strlen(p->pool);
	for (size_t i = 0; engine_view(p->engine, i, &view); i++) {
		bool in_pool = streq(view.class->name, "volume") && strncmp(view.key, p->pool, len) == 0 &&
			       view.key[len] == '/';
		if (!in_pool || view.state == RES_PRESENT || !view.want)
			continue;
		engine_dirty(p->engine, "volume", view.key);
		engine_retry(p->engine, view.want->owners[0]);
	}
}

static void take(struct probe *p, const char *fault)
{
	bool was_silent = p->fault, silent = fault;
	if (!silent)
		p->last_ms = wall_ms();
	if (!streq(p->fault, fault)) {
		free(p->fault);
		p->fault = fault ? xstrdup(fault) : NULL;
	}
	set_sentence(p);
	if (was_silent == silent)
		return;
	engine_dirty(p->engine, "pool", p->pool);
	if (!silent)
		go_on(p);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx);

static void pause_for(struct probe *p, uint64_t ms)
{
	p->timer = sd_event_source_disable_unref(p->timer);
	if (sd_event_add_time_relative(env.loop, &p->timer, CLOCK_MONOTONIC, ms * 1000, 100 * 1000, on_timer, p) < 0)
		abort(); /* out of memory */
}

static int on_unstuck(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct probe *p = ctx;
	p->unstuck = sd_event_source_disable_unref(p->unstuck);
	closep(&p->pidfd);
	p->pidfd = -1;
	pause_for(p, PAUSE_MS);
	return 0;
}

/* False if there is nobody to wait for. */
static bool wait_for_end(struct probe *p)
{
	return p->pidfd >= 0 && sd_event_add_io(env.loop, &p->unstuck, p->pidfd, EPOLLIN, on_unstuck, p) >= 0;
}

static void on_answer(void *ctx, const struct child_result *result)
{
	struct probe *p = ctx;
	p->child = NULL;
	if (p->ended) {
		probe_free(p);
		return;
	}
	if (result->status == 0)
		take(p, NULL);
	else
		take(p, result->timed_out ? "it gave no answer in 2 s" : result->err.text);
	if (result->timed_out && wait_for_end(p))
		return;
	closep(&p->pidfd);
	p->pidfd = -1;
	pause_for(p, PAUSE_MS);
}

/* Runs in the child. */
static int do_probe(void *ctx, int out_fd)
{
	const struct probe *p = ctx;
	struct pool_call call = {.name = p->pool, .state = p->state, .mark = ""};
	return pool_type_at(p->state->type)->probe(&call);
}

/* It may have been looked at for a plan only, or was given up without anything to be removed. What is not there (not
 * mounted) is not asked either, but says so by itself. */
static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct probe *p = ctx;
	struct resource_view view;
	bool wanted = engine_view_find(p->engine, "pool", p->pool, &view) && view.want;
	p->unwanted = wanted ? 0 : p->unwanted + 1;
	if (p->unwanted > PATIENCE) {
		probe_end(p->pool);
		return 0;
	}
	if (!wanted || (view.known && !view.exists)) {
		pause_for(p, PAUSE_MS);
		return 0;
	}
	p->child = child_call(do_probe, p, ANSWER_MS, on_answer, p);
	p->pidfd = child_pid(p->child) > 0 ? pidfd_open(child_pid(p->child), 0) : -1;
	return 0;
}

void probe_begin(struct engine *engine, const char *pool, const struct pool_state *state)
{
	struct probe *p = find(pool);
	if (!pool_type_at(state->type)->probe || !env.loop)
		return;
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		*p = (struct probe){
			.pool = xstrdup(pool),
			.engine = engine,
			.pidfd = -1,
			.began_ms = wall_ms(),
			.next = probes,
		};
		probes = p;
		pause_for(p, 0);
	}
	arena_free(p->arena);
	p->arena = arena_new();
	p->state = table_copy(stord_pool_class.table, state, p->arena);
}

void probe_end(const char *pool)
{
	for (struct probe **at = &probes; *at; at = &(*at)->next) {
		struct probe *p = *at;
		if (!streq(p->pool, pool))
			continue;
		*at = p->next;
		p->ended = true;
		if (p->child)
			child_kill(p->child);
		else
			probe_free(p);
		return;
	}
}

void probe_note(const char *pool, const char *fault)
{
	struct probe *p = find(pool);
	if (p)
		take(p, fault);
}

const char *probe_silence(const char *pool)
{
	const struct probe *p = find(pool);
	return p ? p->sentence : NULL;
}

const char *probe_last(const char *pool)
{
	static char text[32];
	const struct probe *p = find(pool);
	if (!p || !p->last_ms)
		return NULL;
	time_text(p->last_ms, text);
	return text;
}

/* Children end with the daemon; killing them would want a loop that goes on. */
void probe_stop(void)
{
	while (probes) {
		struct probe *p = probes;
		probes = p->next;
		p->ended = true;
		if (!p->child)
			probe_free(p);
	}
}
