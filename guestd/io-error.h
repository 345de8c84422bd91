/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that QEMU has paused for a disk's sake, and how they go on by themselves. */
#ifndef WEFT_GUESTD_IO_ERROR_H
#define WEFT_GUESTD_IO_ERROR_H

#include "guestd/instance.h"

/* QEMU has told of an error (BLOCK_IO_ERROR): which disk and why. */
void io_error_told(struct instance *instance, const json_t *data);
/* It was seen to stand for an error, and is to run: from now on it is tried. */
void io_error_stands(struct instance *instance);
/* It was seen to run. */
void io_error_runs(struct instance *instance);
/* It is to stand, or has ended: nothing is tried any more. */
void io_error_end(struct instance *instance);
/* It stands, or runs but its disks have not done anything yet. */
bool io_error_lasts(const struct instance *instance);
/* What is wrong, for its health: a sentence, freed by the caller. */
char *io_error_text(const struct instance *instance);

#endif
