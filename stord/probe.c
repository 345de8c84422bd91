/* SPDX-License-Identifier: Apache-2.0 */
/* See probe.h. One timer for each; the next question is asked only after the last one was answered or given up, and
 * whoever asked it has gone: on a device that hangs in the kernel no signal reaches it, and more of them would pile up.
 */
#include "stord/probe.h"

#include <fcntl.h>
#include <systemd/sd-event.h>
#include <sys/pidfd.h>
#include <time.h>

#include "core/child.h"
#include "core/engine.h"
#include "core/env.h"
#include "stord/lun.h"

enum { ANSWER_MS = PROBE_ANSWER_S * 1000, PATIENCE = 5 };

struct probe {
	const struct probe_sort *sort;
	char *key;
	struct arena *arena; /* of the state */
	void *state;         /* NULL: it is not asked */
	struct engine *engine;
	sd_event_source *timer;
	struct child *child;
	int pidfd;                /* of who asks, or has asked and is stuck; -1: nobody */
	sd_event_source *unstuck; /* waits for its end */
	uint64_t last_ms, began_ms;
	char *fault;       /* of the last question; NULL: it was answered */
	char *sentence;    /* what probe_silence() says */
	unsigned unwanted; /* how often in a row nobody wanted it */
	bool ended;        /* nobody wants it any more; freed with its child */
	struct probe *next;
};
static struct probe *probes;

static struct probe *find(const struct probe_sort *sort, const char *key)
{
	for (struct probe *p = probes; p; p = p->next)
		if (p->sort == sort && streq(p->key, key))
			return p;
	return NULL;
}

static void probe_free(struct probe *p)
{
	sd_event_source_disable_unref(p->timer);
	sd_event_source_disable_unref(p->unstuck);
	closep(&p->pidfd);
	arena_free(p->arena);
	free(p->key);
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
	if (!p->fault)
		return;
	time_text(p->last_ms ? p->last_ms : p->began_ms, last);
	p->sentence =
		xprintf("%s '%s' does not answer: %s; %s %s; what guests do there waits, and goes on when it answers "
			"again",
			p->sort->called, p->key, p->fault,
			p->last_ms ? "it was last seen to work at" : "it has not been seen to work since", last);
}

static bool is_around(const char *pool, const char *volume)
{
	size_t len = strlen(pool);
	return strncmp(volume, pool, len) == 0 && volume[len] == '/';
}

/* Volumes say what is wrong with their pool. What was held up is tried at once, not when its next turn comes. */
static void tell_volumes(struct engine *engine, const char *pool, bool answers)
{
	struct resource_view view;
	for (size_t i = 0; engine_view(engine, i, &view); i++) {
		if (view.class != &stord_volume_class || !is_around(pool, view.key))
			continue;
		engine_touch(engine, view.class->name, view.key);
		if (!answers || view.state == RES_PRESENT || !view.want)
			continue;
		engine_dirty(engine, view.class->name, view.key);
		engine_retry(engine, view.want->owners[0]);
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
	cleanup_free char *before = take_ptr(p->sentence);
	set_sentence(p);
	if (was_silent != silent)
		engine_dirty(p->engine, p->sort->class->name, p->key);
	if (!streq(before, p->sentence) && p->sort->told)
		p->sort->told(p->engine, p->key, !silent);
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
	pause_for(p, p->sort->pause_ms);
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
	pause_for(p, p->sort->pause_ms);
}

/* Runs in the child. */
static int do_probe(void *ctx, int out_fd)
{
	const struct probe *p = ctx;
	return p->sort->ask(p->key, p->state);
}

/* It may have been looked at for a plan only, or was given up without anything to be removed. What is not there (not
 * mounted) is not asked either, but says so by itself. */
static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct probe *p = ctx;
	struct resource_view view;
	bool wanted = engine_view_find(p->engine, p->sort->class->name, p->key, &view) && view.want;
	p->unwanted = wanted ? 0 : p->unwanted + 1;
	if (p->unwanted > PATIENCE) {
		probe_end(p->sort, p->key);
		return 0;
	}
	if (!p->state) {
		p->timer = sd_event_source_disable_unref(p->timer);
		return 0;
	}
	if (!wanted || (view.known && !view.exists)) {
		pause_for(p, p->sort->pause_ms);
		return 0;
	}
	p->child = child_call(do_probe, p, ANSWER_MS, on_answer, p);
	p->pidfd = child_pid(p->child) > 0 ? pidfd_open(child_pid(p->child), 0) : -1;
	return 0;
}

static struct probe *probe_of(struct engine *engine, const struct probe_sort *sort, const char *key)
{
	struct probe *p = find(sort, key);
	if (p || !env.loop)
		return p;
	p = xcalloc(1, sizeof(*p));
	*p = (struct probe){
		.sort = sort,
		.key = xstrdup(key),
		.engine = engine,
		.pidfd = -1,
		.began_ms = wall_ms(),
		.next = probes,
	};
	probes = p;
	return p;
}

static void set_state(struct probe *p, const void *state)
{
	arena_free(p->arena);
	p->arena = state ? arena_new() : NULL;
	p->state = state ? table_copy(p->sort->class->table, state, p->arena) : NULL;
}

void probe_begin(struct engine *engine, const struct probe_sort *sort, const char *key, const void *state)
{
	struct probe *p = probe_of(engine, sort, key);
	if (!p)
		return;
	set_state(p, state);
	if (state && !p->timer && !p->child && !p->unstuck)
		pause_for(p, 0);
}

void probe_begin_unasked(struct engine *engine, const struct probe_sort *sort, const char *key)
{
	probe_begin(engine, sort, key, NULL);
}

void probe_end(const struct probe_sort *sort, const char *key)
{
	for (struct probe **at = &probes; *at; at = &(*at)->next) {
		struct probe *p = *at;
		if (p->sort != sort || !streq(p->key, key))
			continue;
		*at = p->next;
		p->ended = true;
		if (p->sentence && sort->told)
			sort->told(p->engine, key, true);
		if (p->child)
			child_kill(p->child);
		else
			probe_free(p);
		return;
	}
}

void probe_note(const struct probe_sort *sort, const char *key, const char *fault)
{
	struct probe *p = find(sort, key);
	if (p)
		take(p, fault);
}

const char *probe_silence(const struct probe_sort *sort, const char *key)
{
	const struct probe *p = find(sort, key);
	return p ? p->sentence : NULL;
}

const char *probe_silence_around(const char *volume)
{
	for (const struct probe *p = probes; p; p = p->next)
		if (p->sort == &probe_pools && is_around(p->key, volume))
			return p->sentence;
	return NULL;
}

const char *probe_last(const struct probe_sort *sort, const char *key)
{
	static char text[32];
	const struct probe *p = find(sort, key);
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

/* ---- what is asked ---- */

int probe_device(const char *path)
{
	enum { BLOCK = 4096 };
	cleanup_free void *buffer = aligned_alloc(BLOCK, BLOCK);
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return say(errno, "device '%s' cannot be opened: %s", path, strerror(errno));
	ssize_t n = pread(fd, buffer, BLOCK, 0);
	return n < 0    ? say(errno, "device '%s' cannot be read: %s", path, strerror(errno))
	       : n == 0 ? say(ENOMEDIUM, "device '%s' is empty: what carries it has it no more, or is not ready", path)
			: 0;
}

static int ask_pool(const char *key, const void *state)
{
	const struct pool_state *pool = state;
	return pool_type_at(pool->type)->probe(&(struct pool_call){.name = key, .state = pool, .mark = ""});
}

static int ask_lun(const char *key, const void *state)
{
	cleanup_free char *link = xprintf(LUN_LINKS "/%s", key);
	return probe_device(link);
}

/* A server that is away is told within 10 s: at most one pause, then one question. */
const struct probe_sort probe_pools = {
	.class = &stord_pool_class, .called = "pool", .pause_ms = 4 * 1000, .ask = ask_pool, .told = tell_volumes};
/* There may be many. */
const struct probe_sort probe_luns = {
	.class = &stord_lun_class, .called = "the disk of Lun", .pause_ms = 10 * 1000, .ask = ask_lun};
