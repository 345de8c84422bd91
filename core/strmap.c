/* SPDX-License-Identifier: Apache-2.0 */
/* See strmap.h: open addressing, at most half full. */
#include "core/strmap.h"

#include "core/lower.h"

static struct strmap_entry *slot_of(const struct strmap *map, const char *key)
{
	/* Keyed by the host's secret, since names come from outside. */
	size_t i = (size_t)host_hash(key) & (map->size - 1);
	while (map->entries[i].key && !streq(map->entries[i].key, key))
		i = (i + 1) & (map->size - 1);
	return &map->entries[i];
}

static void enlarge(struct strmap *map)
{
	struct strmap old = *map;
	map->size = old.size ? old.size * 2 : 64;
	map->entries = arena_alloc(map->arena, map->size * sizeof(*map->entries));
	for (size_t i = 0; i < old.size; i++)
		if (old.entries[i].key)
			*slot_of(map, old.entries[i].key) = old.entries[i];
}

void strmap_put(struct strmap *map, const char *key, void *value)
{
	if (map->n * 2 >= map->size)
		enlarge(map);
	struct strmap_entry *entry = slot_of(map, key);
	map->n += entry->key == NULL;
	*entry = (struct strmap_entry){key, value};
}

void *strmap_get(const struct strmap *map, const char *key)
{
	return map->size ? slot_of(map, key)->value : NULL;
}
