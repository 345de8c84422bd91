/* SPDX-License-Identifier: Apache-2.0 */
/* Tells who waits for what storage says that nothing answers there, within a tenth of a second, so that he can do
 * without. Slow is not silent: what counts is how long the same took before, and whether a child that does nothing at
 * all comes to its end meanwhile, which on a busy host may take its time as well. */
#ifndef WEFT_STORD_SILENCE_H
#define WEFT_STORD_SILENCE_H

#include "core/engine.h"

struct silence;
typedef void silence_fn(void *ctx);
/* Calls fn once, later, if the pool does not answer; until silence_unwatch(). `usual_ms`: how long what is waited for
 * has taken before; 0: nobody knows, and it is told by the pool alone. */
struct silence *silence_watch(struct engine *engine, const char *pool, uint64_t usual_ms, silence_fn *fn, void *ctx);
struct silence *silence_unwatch(struct silence *silence); /* returns NULL */

#endif
