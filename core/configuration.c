/* SPDX-License-Identifier: Apache-2.0 */
/* See configuration.h. */
#include "core/configuration.h"

static size_t hash_name(const char *kind, const char *name)
{
	size_t h = 5381;
	for (const char *p = kind; *p; p++)
		h = h * 33 ^ (uint8_t)*p;
	for (const char *p = name; *p; p++)
		h = h * 33 ^ (uint8_t)*p;
	return h;
}

void configuration_begin(struct configuration *config, struct arena *arena, size_t n)
{
	*config = (struct configuration){.index_size = 64};
	while (config->index_size < n * 2)
		config->index_size *= 2;
	config->objects = arena_alloc(arena, (n + 1) * sizeof(*config->objects));
	config->index = arena_alloc(arena, config->index_size * sizeof(*config->index));
}

size_t configuration_slot(const struct configuration *config, const char *kind, const char *name)
{
	size_t i = hash_name(kind, name) & (config->index_size - 1);
	while (config->index[i] && !(streq(config->index[i]->kind->name, kind) && streq(config->index[i]->name, name)))
		i = (i + 1) & (config->index_size - 1);
	return i;
}

const struct object *configuration_find(const struct configuration *config, const char *kind, const char *name)
{
	return config->index[configuration_slot(config, kind, name)];
}
