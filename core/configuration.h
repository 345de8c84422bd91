/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of one configuration, with an index by kind and name. */
#ifndef WEFT_CORE_CONFIGURATION_H
#define WEFT_CORE_CONFIGURATION_H

#include "core/kind.h"

struct configuration {
	struct object **objects; /* those that take part, in reference order once sorted */
	size_t n;
	struct object **index; /* hash; NULL: nobody has the slot */
	size_t index_size;
};

/* Room for n objects, in the arena; there are none yet. */
void configuration_begin(struct configuration *config, struct arena *arena, size_t n);
/* Where in the index the object of that name is, or belongs. What is said of objects beside it stands under the same
 * number. */
size_t configuration_slot(const struct configuration *config, const char *kind, const char *name);
/* NULL if there is none. */
const struct object *configuration_find(const struct configuration *config, const char *kind, const char *name);

#endif
