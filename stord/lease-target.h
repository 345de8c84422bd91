/* SPDX-License-Identifier: Apache-2.0 */
/* What of this host's manifests can be leased, and how a child tells who holds it. */
#ifndef WEFT_STORD_LEASE_TARGET_H
#define WEFT_STORD_LEASE_TARGET_H

#include <jansson.h>

#include "core/child.h"
#include "core/engine.h"
#include "stord/lease.h"

struct lease_target {
	const char *pool; /* LEASE_OF_LUN of a Lun */
	const char *volume, *place;
	const void *own;
	const struct lease_means *means;
};
/* A wanted volume or Lun that can be leased, as a copy, since generations change while storage is asked; false if it is
 * something else. */
bool lease_target_of(const struct resource_view *view, struct arena *arena, struct lease_target *ret);
/* For its means, of nobody in particular. */
struct lease_call lease_target_call(const struct lease_target *target);

/* In a child: a line of JSON for each holder, in the shape of lease-admin.h. */
void lease_tell(const struct lease_call *call, const struct lease_seen *seen, int out_fd);
/* What a child has told. */
json_t *lease_told(const struct child_result *result);

#endif
