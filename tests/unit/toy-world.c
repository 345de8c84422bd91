/* SPDX-License-Identifier: Apache-2.0 */
/* Making, running and ending a world; its records are copies, as those on a disk are. See toy-world.h. */
#include "toy-world.h"

static uint64_t clock_now(void *ctx)
{
	return ((struct world *)ctx)->host.clock_ms;
}

static void wake(void *ctx)
{
}

static void drop_record(struct world *w, const char *class, const char *key)
{
	for (size_t i = 0; i < w->n_records; i++) {
		struct engine_record *r = &w->records[i];
		if (!streq(r->class, class) || !streq(r->key, key))
			continue;
		json_decref(r->baseline);
		free((char *)r->key);
		free((char *)r->identity);
		*r = w->records[--w->n_records];
		return;
	}
}

static int persist(void *ctx, const struct engine_record *records, size_t n, struct err *err)
{
	struct world *w = ctx;
	if (w->disk_full)
		return err_set(err, ENOSPC, "the disk is full");
	for (size_t i = 0; i < n; i++) {
		drop_record(w, records[i].class, records[i].key);
		if (records[i].forget)
			continue;
		assert_true(w->n_records < RECORDS_MAX);
		struct engine_record *r = &w->records[w->n_records++];
		*r = records[i];
		r->key = xstrdup(records[i].key);
		r->identity = r->identity ? xstrdup(r->identity) : NULL;
		json_incref(r->baseline);
	}
	return 0;
}

const struct engine_record *world_record(const struct world *w, const char *class, const char *key)
{
	for (size_t i = 0; i < w->n_records; i++)
		if (streq(w->records[i].class, class) && streq(w->records[i].key, key))
			return &w->records[i];
	return NULL;
}

static void start(struct world *w)
{
	struct engine_host host = {.ctx = w, .now_ms = clock_now, .persist = persist, .wake = wake};
	w->engine = engine_new(&host);
	w->host.engine = w->engine;
	engine_add_lane(w->engine, &w->host.lane);
	for (size_t i = 0; i < w->n_records; i++)
		engine_load_record(w->engine, &w->records[i]);
}

void world_restart(struct world *w)
{
	toy_crash(&w->host);
	engine_free(w->engine);
	start(w);
}

int world_set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	toy_init(&w->host, 1);
	start(w);
	*state = w;
	return 0;
}

int world_tear_down(void **state)
{
	struct world *w = *state;
	toy_crash(&w->host);
	engine_free(w->engine);
	while (w->n_records)
		drop_record(w, w->records[0].class, w->records[0].key);
	free(w->host.ops);
	free(w);
	return 0;
}

unsigned world_run(struct world *w, unsigned max)
{
	unsigned n = 0;
	engine_run(w->engine);
	while (w->host.n_ops && n < max) {
		toy_do(&w->host, 0);
		n++;
		engine_run(w->engine);
	}
	return n;
}

unsigned world_run_for(struct world *w, uint64_t ms)
{
	uint64_t end = w->host.clock_ms + ms;
	unsigned n = world_run(w, 100000);
	for (uint64_t next = engine_run(w->engine); next <= end; next = engine_run(w->engine)) {
		w->host.clock_ms = next > w->host.clock_ms ? next : w->host.clock_ms + 1;
		n += world_run(w, 100000);
	}
	w->host.clock_ms = end;
	return n;
}

void world_add(struct generation *gen, enum toy_class class, const struct toy_spec *spec)
{
	struct want *w =
		generation_add(gen, toy_classes[class], "n0", table_copy(toy_classes[class]->table, spec, gen->arena));
	w->mark = "mark";
}

struct generation *world_with_volume(bool reclaim)
{
	struct generation *gen = generation_new(NULL);
	struct toy_spec volume = {.present = 0x24, .size = 1, .reclaim = reclaim};
	world_add(gen, TOY_VOLUME, &volume);
	return gen;
}

void world_switch(struct world *w, struct generation *gen, bool pending)
{
	w->host.pending = pending;
	engine_switch(w->engine, gen, pending);
	world_run(w, 1000);
	generation_unref(gen);
}

const struct toy_thing *world_volume(const struct world *w)
{
	return &w->host.things[TOY_VOLUME][0];
}
