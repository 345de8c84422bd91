/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about kind Volume share; nobody else includes this. */
#ifndef WEFT_STORD_VOLUME_SPEC_H
#define WEFT_STORD_VOLUME_SPEC_H

#include "stord/pool-type.h"
#include "stord/volume.h"

struct source_spec {
	uint64_t present;
	const char *file, *sha256;
	int format;
};
struct volume_spec {
	uint64_t present;
	struct source_spec source;
	const char *pool, *base, *clone;
	uint64_t size;
	int format, preallocation, reclaim;
	bool adopt, shared;
};

/* The want that a Volume has become; NULL if there is none. */
struct want *volume_want(struct lowering *l, const char *volume);
/* volume-origin.c: what a new volume begins as. Sets the rows of `state` about it; false after a refusal. */
bool volume_origin(struct lowering *l, const struct volume_spec *spec, struct volume_state *state);
/* Once it is wanted: what has to be there before it. */
void volume_origin_needs(struct lowering *l, const struct volume_spec *spec, struct want *volume);
/* The name of a Volume that is a linked clone of this one; NULL if there is none. */
const char *volume_clone_of(struct lowering *l, const char *volume);

extern const struct kind stord_volume_kind;

#endif
