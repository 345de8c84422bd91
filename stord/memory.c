/* SPDX-License-Identifier: Apache-2.0 */
/* What was last seen of images and pools. Bounded by what is in the manifests: a path is kept only while it exists. */
#include "core/lower.h"
#include "core/strmap.h"
#include "stord/stord.h"

/* An entry stays when what it is about goes, until most of them are such. */
struct seen {
	char *path;
	bool exists;
	struct image_stamp stamp;
	bool fault; /* of a pool */
};
struct memory {
	struct arena *arena;
	struct strmap map;
	struct seen **all;
	size_t n, cap, n_gone;
};
static struct memory images, pools;

static struct seen *find(const struct memory *memory, const char *path)
{
	struct seen *seen = strmap_get(&memory->map, path);
	return seen && seen->exists ? seen : NULL;
}

static void clear(struct memory *memory)
{
	for (size_t i = 0; i < memory->n; i++) {
		free(memory->all[i]->path);
		free(memory->all[i]);
	}
	free(memory->all);
	arena_free(memory->arena);
	*memory = (struct memory){0};
}

static struct seen *add(struct memory *memory, const char *path, const struct image_stamp *stamp)
{
	if (!memory->arena) {
		memory->arena = arena_new();
		memory->map = strmap_in(memory->arena);
	}
	struct seen *seen = xcalloc(1, sizeof(*seen));
	*seen = (struct seen){.path = xstrdup(path), .exists = true, .stamp = *stamp};
	grow(memory->all, memory->n, memory->cap);
	memory->all[memory->n++] = seen;
	strmap_put(&memory->map, seen->path, seen);
	return seen;
}

static void forget_gone(struct memory *memory)
{
	struct memory kept = {0};
	for (size_t i = 0; i < memory->n; i++)
		if (memory->all[i]->exists)
			add(&kept, memory->all[i]->path, &memory->all[i]->stamp)->fault = memory->all[i]->fault;
	clear(memory);
	*memory = kept;
}

static void put(struct memory *memory, const char *path, const struct image_stamp *stamp)
{
	struct seen *seen = strmap_get(&memory->map, path);
	if (!seen && !stamp)
		return;
	if (!seen) {
		add(memory, path, stamp);
		return;
	}
	memory->n_gone += seen->exists && !stamp;
	memory->n_gone -= !seen->exists && stamp;
	seen->exists = stamp;
	if (stamp)
		seen->stamp = *stamp;
	if (memory->n_gone > 64 && memory->n_gone > memory->n / 2)
		forget_gone(memory);
}

void memory_put_image(const char *path, const struct image_state *state)
{
	put(&images, path, state->exists && state->readable ? &state->stamp : NULL);
}

struct image_stamp memory_image(const char *path)
{
	const struct seen *seen = find(&images, path);
	return seen ? seen->stamp : (struct image_stamp){0};
}

void memory_put_pool(const char *source, bool exists)
{
	static const struct image_stamp nothing;
	put(&pools, source, exists ? &nothing : NULL);
}

bool memory_has_pool(const char *source)
{
	return find(&pools, source);
}

bool memory_fault_pool(const char *source, bool fault)
{
	struct seen *seen = find(&pools, source);
	bool before = seen && seen->fault;
	if (seen)
		seen->fault = fault;
	return before;
}

static int answer_image(void *ctx, const char *key, char **ret)
{
	const struct seen *seen = find(&images, key + strlen("image/"));
	if (!seen)
		return -ENOENT;
	*ret = xprintf("%llu", (unsigned long long)seen->stamp.size);
	return 0;
}

static int answer_pool(void *ctx, const char *key, char **ret)
{
	if (!memory_has_pool(key + strlen("pool/")))
		return -ENOENT;
	*ret = xstrdup("present");
	return 0;
}

void memory_start(void)
{
	fact_register("image/", answer_image, NULL);
	fact_register("pool/", answer_pool, NULL);
}

void memory_stop(void)
{
	clear(&images);
	clear(&pools);
}
