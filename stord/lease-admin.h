/* SPDX-License-Identifier: Apache-2.0 */
/* What a person asks of leases: who holds which volume, whichever host that is, and to break what a dead host left. */
#ifndef WEFT_STORD_LEASE_ADMIN_H
#define WEFT_STORD_LEASE_ADMIN_H

#include <jansson.h>

#include "core/engine.h"

/* Called once, later; owns the answer from then on:
 *
 *     {"leases": [{"pool", "volume", "host", "guest", "since", "mode", "alive": "yes|no|unknown", "instance"}],
 *      (guest and since are null where the storage does not know them)
 *      "problems": [{"pool", "message", "readAt"}]}
 *      (a pool that does not answer now; its leases are those that were read then, or none if that is null)
 */
typedef void lease_list_fn(void *ctx, json_t *answer);
/* Asks the storage of all volumes that this host's manifests name; a pool that does not answer is a problem, and not
 * waited for (lease-list.c). */
void stord_lease_list(struct engine *engine, lease_list_fn *done, void *ctx);

struct lease_break {
	const char *volume, *who; /* borrowed */
};
/* Called once, later: the leases that were broken, owned from then on, or NULL and why not. */
typedef void lease_break_fn(void *ctx, json_t *broken, const struct err *err);
void stord_lease_break(struct engine *engine, const struct lease_break *what, lease_break_fn *done, void *ctx);

#endif
