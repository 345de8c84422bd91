/* SPDX-License-Identifier: Apache-2.0 */
/* Short system calls that may sit behind the kernel's network lock for seconds (attaching taps), on a thread of their
 * own. */
#ifndef WEFT_GUESTD_WORKER_H
#define WEFT_GUESTD_WORKER_H

#include "core/err.h"

/* Runs work(ctx) on a thread, then done(ctx) on env.loop. `work` touches nothing but ctx. When no thread can be had,
 * both run at once, done from within. */
void worker_run(void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

#endif
