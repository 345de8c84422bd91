/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds which volume; see lease-admin.h. Other hosts change it, so the storage is asked each time: a child a pool,
 * and one only, since one that hangs is not helped by another. Who asks waits for a pool that answers, if not for ever.
 * Of one that does not (silence.h) he is told so at once, with what was read there last, while the child goes on
 * asking.
 */
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/json-text.h"
#include "core/patience.h"
#include "stord/lease-admin.h"
#include "stord/lease-target.h"
#include "stord/probe.h"
#include "stord/silence.h"

enum { READ_MS = 60 * 1000, PATIENCE_MS = 5 * 1000 };

/* What is known of one pool. */
struct reader {
	char *pool;
	json_t *leases;      /* as read last; NULL: never */
	uint64_t read_at;    /* when, by the clock on the wall */
	uint64_t took_ms;    /* of late, at most */
	char *fault;         /* of the last reading; NULL: it went well */
	struct arena *arena; /* of a reading that is under way; NULL: none is */
	struct silence *watch;
	bool silent; /* it seems to come to nothing */
	struct lease_target *targets;
	size_t n, cap;
	uint64_t began_ms;
	uint64_t n_begun, n_done;
	struct reader *next;
};
static struct reader *readers;

/* A pool and which of its readings is waited for: one that began before he asked may have missed something. */
struct awaited {
	struct reader *reader;
	uint64_t reading;
};
struct listing {
	struct engine *engine;
	struct arena *arena;
	struct awaited *pools;
	size_t n, cap;
	sd_event_source *timer;
	bool late;
	lease_list_fn *done;
	void *ctx;
	struct listing *next;
};
static struct listing *listings;

static void check_listings(void);

/* ---- reading a pool ---- */

static int do_read(void *ctx, int out_fd)
{
	const struct reader *reader = ctx;
	int failed = 0;
	for (size_t i = 0; i < reader->n; i++) {
		struct lease_call call = lease_target_call(&reader->targets[i]);
		struct lease_seen seen = {0};
		int code = reader->targets[i].means->look(&call, &seen);
		if (code)
			failed = code;
		else
			lease_tell(&call, &seen, out_fd);
	}
	return failed;
}

/* What was read before counts as long as nothing was read since. */
static void on_read(void *ctx, const struct child_result *result)
{
	struct reader *reader = ctx;
	reader->n_done = reader->n_begun;
	reader->arena = arena_free(reader->arena);
	reader->watch = silence_unwatch(reader->watch);
	free(reader->fault);
	reader->fault = result->status == 0 ? NULL : xstrdup(result->err.text);
	if (!result->timed_out) {
		reader->took_ms = patience_usual_ms(reader->took_ms, now_ms() - reader->began_ms + 1);
		reader->read_at = wall_ms();
		json_decref(reader->leases);
		reader->leases = lease_told(result);
	}
	check_listings();
}

static void on_silence(void *ctx)
{
	struct reader *reader = ctx;
	reader->silent = true;
	check_listings();
}

static void begin(struct reader *reader, struct engine *engine)
{
	struct resource_view view;
	struct lease_target target;
	reader->arena = arena_new();
	reader->targets = NULL;
	reader->n = reader->cap = 0;
	for (size_t i = 0; engine_view(engine, i, &view); i++) {
		if (!lease_target_of(&view, reader->arena, &target) || !streq(target.pool, reader->pool))
			continue;
		arena_grow(reader->arena, reader->targets, reader->n, reader->cap);
		reader->targets[reader->n++] = target;
	}
	reader->n_begun++;
	reader->began_ms = now_ms();
	reader->silent = false;
	reader->watch = silence_watch(engine, reader->pool, reader->took_ms, on_silence, reader);
	child_call(do_read, reader, READ_MS, on_read, reader);
}

static struct reader *reader_of(const char *pool)
{
	for (struct reader *reader = readers; reader; reader = reader->next)
		if (streq(reader->pool, pool))
			return reader;
	struct reader *reader = xcalloc(1, sizeof(*reader));
	*reader = (struct reader){.pool = xstrdup(pool), .next = readers};
	readers = reader;
	return reader;
}

static bool is_awaited(const struct reader *reader)
{
	for (const struct listing *listing = listings; listing; listing = listing->next)
		for (size_t i = 0; i < listing->n; i++)
			if (listing->pools[i].reader == reader)
				return true;
	return false;
}

/* Those of pools that are no more: nobody has asked for them now. */
static void forget_others(void)
{
	for (struct reader **at = &readers; *at;) {
		struct reader *reader = *at;
		if (reader->arena || is_awaited(reader)) {
			at = &reader->next;
			continue;
		}
		*at = reader->next;
		json_decref(reader->leases);
		free(reader->fault);
		free(reader->pool);
		free(reader);
	}
}

/* ---- waiting for it ---- */

static bool is_read(const struct awaited *pool)
{
	return pool->reader->n_done >= pool->reading;
}

static bool is_given_up(const struct listing *listing, const struct reader *reader)
{
	return listing->late || probe_silence(&probe_pools, reader->pool) || (reader->arena && reader->silent);
}

static char *silence_text(const struct reader *reader)
{
	const char *silence = probe_silence(&probe_pools, reader->pool);
	uint64_t now = wall_ms();
	cleanup_free char *why =
		silence ? xstrdup(silence)
			: xprintf("pool '%s' has been asked for its leases for %.1f s and does not answer",
				  reader->pool, (double)(now_ms() - reader->began_ms) / 1000);
	if (!reader->leases)
		return xprintf("%s; its leases have not been read since weftd began", why);
	return xprintf("%s; its leases are shown as they were read %llu s ago", why,
		       (unsigned long long)(now > reader->read_at ? (now - reader->read_at) / 1000 : 0));
}

static void add_answer(json_t *answer, const struct awaited *pool)
{
	const struct reader *reader = pool->reader;
	cleanup_free char *silence = is_read(pool) ? NULL : silence_text(reader);
	const char *problem = silence ? silence : reader->fault;
	char at[32];
	if (reader->leases)
		json_array_extend(json_object_get(answer, "leases"), reader->leases);
	if (problem)
		json_array_append_new(json_object_get(answer, "problems"),
				      json_pack("{s:s, s:o, s:s?}", "pool", reader->pool, "message",
						json_host_text(problem), "readAt",
						reader->leases ? lease_time_text(reader->read_at, at) : NULL));
}

static void finish(struct listing *listing)
{
	json_t *answer = json_pack("{s:[], s:[]}", "leases", "problems");
	for (size_t i = 0; i < listing->n; i++)
		add_answer(answer, &listing->pools[i]);
	struct listing **at = &listings;
	while (*at != listing)
		at = &(*at)->next;
	*at = listing->next;
	sd_event_source_disable_unref(listing->timer);
	arena_free(listing->arena);
	listing->done(listing->ctx, answer);
	free(listing);
}

/* Begins what is waited for and can begin; whether all has been answered, or will not be for now. */
static bool is_over(struct listing *listing)
{
	bool over = true;
	for (size_t i = 0; i < listing->n; i++) {
		struct reader *reader = listing->pools[i].reader;
		if (is_read(&listing->pools[i]) || is_given_up(listing, reader))
			continue;
		if (!reader->arena)
			begin(reader, listing->engine);
		over = false;
	}
	return over;
}

static void check_listings(void)
{
	for (struct listing *listing = listings, *next; listing; listing = next) {
		next = listing->next;
		if (is_over(listing))
			finish(listing);
	}
}

/* Or patience is at an end. */
static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct listing *listing = ctx;
	listing->late = true;
	finish(listing);
	return 0;
}

/* ---- who asks ---- */

static bool has_pool(const struct listing *listing, const char *pool)
{
	for (size_t i = listing->n; i > 0; i--) /* volumes of one pool mostly follow one another */
		if (streq(listing->pools[i - 1].reader->pool, pool))
			return true;
	return false;
}

static void add_pool(struct listing *listing, const char *pool)
{
	if (has_pool(listing, pool))
		return;
	struct reader *reader = reader_of(pool);
	arena_grow(listing->arena, listing->pools, listing->n, listing->cap);
	listing->pools[listing->n++] = (struct awaited){reader, reader->n_begun + 1};
}

void stord_lease_list(struct engine *engine, lease_list_fn *done, void *ctx)
{
	struct listing *listing = xcalloc(1, sizeof(*listing));
	struct resource_view view;
	struct lease_target target;
	*listing = (struct listing){
		.engine = engine,
		.arena = arena_new(),
		.done = done,
		.ctx = ctx,
		.next = listings,
	};
	listings = listing;
	for (size_t i = 0; engine_view(engine, i, &view); i++)
		if (lease_target_of(&view, listing->arena, &target))
			add_pool(listing, target.pool);
	forget_others();
	/* The answer comes later, also where there is nothing to wait for. */
	uint64_t wait_ms = is_over(listing) ? 0 : PATIENCE_MS;
	if (sd_event_add_time_relative(env.loop, &listing->timer, CLOCK_MONOTONIC, wait_ms * 1000, 1000, on_timer,
				       listing) < 0)
		abort(); /* out of memory */
}
