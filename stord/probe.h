/* SPDX-License-Identifier: Apache-2.0 */
/* Whether pools and disks answer. What can fall silent is asked every few seconds, in a child that is killed when it
 * takes too long; the answer is known to all without asking again, so that nobody else waits for a dead server. */
#ifndef WEFT_STORD_PROBE_H
#define WEFT_STORD_PROBE_H

#include "stord/pool-type.h"

/* A sort of things that are asked. */
struct probe_sort {
	const struct resource_class *class; /* of the resource that it is about; keys are its keys */
	const char *called;                 /* what a sentence calls it, before its key: "pool" */
	unsigned pause_ms;
	/* In the child: 0, or an errno after a sentence. `state` is that of probe_begin(). */
	int (*ask)(const char *key, const void *state);
	/* There is another sentence, or none: it answers again. May be NULL. */
	void (*told)(struct engine *engine, const char *key, bool answers);
};
extern const struct probe_sort probe_pools, probe_luns;

/* From now on; idempotent. Takes a copy of the state, one of its class. */
void probe_begin(struct engine *engine, const struct probe_sort *sort, const char *key, const void *state);
/* The same, but it is not asked: what is known of it is what is noted. */
void probe_begin_unasked(struct engine *engine, const struct probe_sort *sort, const char *key);
void probe_end(const struct probe_sort *sort, const char *key);
/* Looking at the thing itself took too long, or worked: as good as an answer of the probe. */
void probe_note(const struct probe_sort *sort, const char *key, const char *fault);
/* NULL if it answers, or is not asked; else a sentence: what is wrong, since when, and what was last seen. */
const char *probe_silence(const struct probe_sort *sort, const char *key);
/* The same of the pool of a volume, by the volume's key. */
const char *probe_silence_around(const char *volume);
/* When it last answered, "2026-11-21 18:02:11"; NULL: not since the daemon started, or nobody asks. */
const char *probe_last(const struct probe_sort *sort, const char *key);
void probe_stop(void);

/* For ask(): reads the beginning of a device, past all caches. One that has gone cannot keep anybody waiting, and is
 * missed by whoever looks. */
int probe_device(const char *path);

#endif
