/* SPDX-License-Identifier: Apache-2.0 */
/* A world for the stories that tests tell an engine: the toy host, a clock that only they turn, and a disk for the
 * engine's records that outlives it. */
#ifndef WEFT_TESTS_TOY_WORLD_H
#define WEFT_TESTS_TOY_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"

struct world {
	struct toy_host host;
	struct engine *engine;
	struct toy_disk disk;
	bool disk_full;
};

int world_set_up(void **state); /* for cmocka: a world with its engine; nothing is wanted yet */
int world_tear_down(void **state);
/* weftd dies and comes back; what it is to do then is the test's to say. */
void world_restart(struct world *w);
/* Runs until nothing is left to do at this time; returns the operations that were done, at most `max`. */
unsigned world_run(struct world *w, unsigned max);
/* The same over some time, with its timers. */
unsigned world_run_for(struct world *w, uint64_t ms);
/* Makes it current, for which its reference is given away, and runs. */
void world_switch(struct world *w, struct generation *gen, bool pending);

/* "n0" of a class. */
void world_add(struct generation *gen, enum toy_class class, const struct toy_spec *spec);
struct generation *world_with_volume(bool reclaim);
const struct toy_thing *world_volume(const struct world *w);

#endif
