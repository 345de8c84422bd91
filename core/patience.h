/* SPDX-License-Identifier: Apache-2.0 */
/* When something that otherwise answers is taken to be silent: once it takes so many times longer than of late, and
 * longer than a glance. So the slow is not taken for dead, and a command that does without it still answers within a
 * tenth of a second. */
#ifndef WEFT_CORE_PATIENCE_H
#define WEFT_CORE_PATIENCE_H

#include <stdint.h>

enum { GLANCE_MS = 60, PATIENCE_TIMES = 4 };

/* After how long: `usual_ms` is what it took of late. */
static inline uint64_t patience_ms(uint64_t usual_ms)
{
	uint64_t ms = usual_ms * PATIENCE_TIMES;
	return ms > GLANCE_MS ? ms : GLANCE_MS;
}

/* What it took of late, now that it has taken `took_ms`: the most, and longer ago counts less. Once quick by chance is
 * not what is to be expected. */
static inline uint64_t patience_usual_ms(uint64_t before_ms, uint64_t took_ms)
{
	uint64_t faded_ms = before_ms * 3 / 4;
	return took_ms > faded_ms ? took_ms : faded_ms;
}

#endif
