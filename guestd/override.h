/* SPDX-License-Identifier: Apache-2.0 */
/* What a person has ordered of a guest beside its manifest, as the text that is kept as its override: "stopped",
 * "paused", "running", the latter two perhaps with " serial=N", the start that is asked for. */
#ifndef WEFT_GUESTD_OVERRIDE_H
#define WEFT_GUESTD_OVERRIDE_H

#include "guestd/guest-spec.h"

enum { ORDER_TEXT = 64 };

struct guest_order {
	int state;       /* enum guest_state */
	uint64_t serial; /* 0: any */
};

/* NULL, and what cannot be read, is the manifest's own state. */
struct guest_order guest_order_parse(const char *text, int manifest_state);
const char *guest_order_text(const struct guest_order *order, char buf[static ORDER_TEXT]);

#endif
