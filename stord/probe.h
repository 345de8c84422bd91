/* SPDX-License-Identifier: Apache-2.0 */
/* Whether pools answer. A pool whose type has a probe() is asked every few seconds, in a child that is killed when it
 * takes too long; the answer is known to all without asking again, so that nobody else waits for a dead server. */
#ifndef WEFT_STORD_PROBE_H
#define WEFT_STORD_PROBE_H

#include "stord/pool-type.h"

/* From now on; idempotent. Takes a copy of the state. */
void probe_begin(struct engine *engine, const char *pool, const struct pool_state *state);
void probe_end(const char *pool);
/* Looking at the pool itself took too long, or worked: as good as an answer of the probe. */
void probe_note(const char *pool, const char *fault);
/* NULL if the pool answers, or is not asked; else a sentence: what is wrong, since when, and what was last seen. */
const char *probe_silence(const char *pool);
/* When it last answered, "2026-11-21 18:02:11"; NULL: not since the daemon started, or nobody asks. */
const char *probe_last(const char *pool);
void probe_stop(void);

#endif
