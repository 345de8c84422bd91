/* SPDX-License-Identifier: Apache-2.0 */
/* What was last seen of images and pools. Bounded by what is in the manifests: a path is kept only while it exists. */
#include "core/lower.h"
#include "stord/stord.h"

struct seen {
	char *path;
	bool pool;
	struct image_stamp stamp;
};
static struct seen *all;
static size_t n_all, cap_all;

static struct seen *find(const char *path, bool pool)
{
	for (size_t i = 0; i < n_all; i++)
		if (all[i].pool == pool && streq(all[i].path, path))
			return &all[i];
	return NULL;
}

static struct seen *obtain(const char *path, bool pool)
{
	struct seen *seen = find(path, pool);
	if (seen)
		return seen;
	grow(all, n_all, cap_all);
	all[n_all] = (struct seen){.path = xstrdup(path), .pool = pool};
	return &all[n_all++];
}

static void forget(const char *path, bool pool)
{
	struct seen *seen = find(path, pool);
	if (!seen)
		return;
	free(seen->path);
	*seen = all[--n_all];
}

void memory_put_image(const char *path, const struct image_state *state)
{
	if (state->exists && state->readable)
		obtain(path, false)->stamp = state->stamp;
	else
		forget(path, false);
}

struct image_stamp memory_image(const char *path)
{
	const struct seen *seen = find(path, false);
	return seen ? seen->stamp : (struct image_stamp){0};
}

void memory_put_pool(const char *path, bool exists)
{
	if (exists)
		obtain(path, true);
	else
		forget(path, true);
}

bool memory_has_pool(const char *path)
{
	return find(path, true);
}

static int answer_image(void *ctx, const char *key, char **ret)
{
	const struct seen *seen = find(key + strlen("image/"), false);
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
	for (size_t i = 0; i < n_all; i++)
		free(all[i].path);
	free(take_ptr(all));
	n_all = cap_all = 0;
}
