/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a QEMU; see start.c. */
#ifndef WEFT_GUESTD_START_H
#define WEFT_GUESTD_START_H

#include "guestd/instance.h"

/* Starts the QEMU that op->want describes and completes op. Nothing of an earlier one is alive. */
void guest_start(struct instance *instance, struct op *op);
/* The QEMU of a start that another weftd began and did not see the end of: found by its UUID. */
bool guest_start_leftover(const json_t *record, struct process_id *ret);

#endif
