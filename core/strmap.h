/* SPDX-License-Identifier: Apache-2.0 */
/* A map from text to pointers, in an arena: for finding things by name where there may be thousands. Entries are not
 * removed. */
#ifndef WEFT_CORE_STRMAP_H
#define WEFT_CORE_STRMAP_H

#include "core/arena.h"

struct strmap {
	struct arena *arena;
	struct strmap_entry {
		const char *key;
		void *value;
	} * entries;
	size_t n, size;
};

static inline struct strmap strmap_in(struct arena *arena)
{
	return (struct strmap){.arena = arena};
}
/* The key is borrowed and must live as long as the map. What the key had before is replaced. */
void strmap_put(struct strmap *map, const char *key, void *value);
void *strmap_get(const struct strmap *map, const char *key); /* NULL if there is none */

#endif
