/* SPDX-License-Identifier: Apache-2.0 */
/* Making, running and ending a world. See toy-world.h. */
#include "toy-world.h"

static uint64_t clock_now(void *ctx)
{
	return ((struct world *)ctx)->host.clock_ms;
}

static void wake(void *ctx)
{
}

static int persist(void *ctx, const struct engine_record *records, size_t n, struct err *err)
{
	struct world *w = ctx;
	if (w->disk_full)
		return err_set(err, ENOSPC, "the disk is full");
	toy_disk_write(&w->disk, records, n);
	return 0;
}

static void start(struct world *w)
{
	struct engine_host host = {.ctx = w, .now_ms = clock_now, .persist = persist, .wake = wake};
	w->engine = toy_start(&w->host, &host, &w->disk);
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
	toy_disk_clear(&w->disk);
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
