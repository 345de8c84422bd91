/* SPDX-License-Identifier: Apache-2.0 */
/* See silence.h. Where it takes longer than a moment the pool itself is looked at as well. */
#include "stord/silence.h"

#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/patience.h"
#include "stord/probe.h"
#include "stord/stord.h"

enum { CHECK_MS = 10 };

struct silence {
	struct engine *engine;
	char *pool;
	uint64_t began_ms, usual_ms;
	silence_fn *fn;
	void *ctx;
	sd_event_source *timer;
	bool looked;         /* at the pool */
	uint64_t noticed_ms; /* when it first took too long; 0: it has not */
};

static bool is_silent(const struct silence *s)
{
	return (s->usual_ms && now_ms() - s->began_ms >= patience_ms(s->usual_ms)) ||
	       engine_is_silent(s->engine, "pool", s->pool);
}

static void check_later(struct silence *s);

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct silence *s = ctx;
	bool silent = s->looked && is_silent(s);
	if (silent && !s->noticed_ms)
		s->noticed_ms = now_ms();
	if (probe_silence(&probe_pools, s->pool) || (silent && stord_calm(s->noticed_ms))) {
		s->fn(s->ctx);
		return 0;
	}
	if (!s->looked)
		engine_dirty(s->engine, "pool", s->pool);
	s->looked = true;
	check_later(s);
	return 0;
}

static void check_later(struct silence *s)
{
	s->timer = sd_event_source_disable_unref(s->timer);
	if (sd_event_add_time_relative(env.loop, &s->timer, CLOCK_MONOTONIC, CHECK_MS * 1000, 1000, on_timer, s) < 0)
		abort(); /* out of memory */
}

struct silence *silence_watch(struct engine *engine, const char *pool, uint64_t usual_ms, silence_fn *fn, void *ctx)
{
	struct silence *s = xcalloc(1, sizeof(*s));
	*s = (struct silence){
		.engine = engine,
		.pool = xstrdup(pool),
		.began_ms = now_ms(),
		.usual_ms = usual_ms,
		.fn = fn,
		.ctx = ctx,
	};
	check_later(s);
	return s;
}

struct silence *silence_unwatch(struct silence *s)
{
	if (!s)
		return NULL;
	sd_event_source_disable_unref(s->timer);
	free(s->pool);
	free(s);
	return NULL;
}
