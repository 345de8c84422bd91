/* SPDX-License-Identifier: Apache-2.0 */
/* Kind Pool: a place for volumes. */
#include "core/env.h"
#include "core/lower.h"
#include "stord/stord.h"

struct pool_spec {
	uint64_t present;
	int type;
	const char *path;
};

static const struct field pool_spec_rows[] = {
	F_ENUM("type", struct pool_spec, type, pool_types, .flags = FIELD_REQUIRED,
	       .doc = "What carries the pool; dir is a directory of this host.", .example = "dir"),
	F_PATH("path", struct pool_spec, path, .flags = FIELD_REQUIRED, .max = 3800,
	       .doc = "Directory of the images; relative to the state directory. Made if it is missing, used as it is "
		      "if it exists.",
	       .example = "images"),
};
static const struct table pool_spec_table = TABLE("Pool", struct pool_spec, pool_spec_rows);

/* One text for one directory: absolute, without empty and "." components. */
static const char *normal_path(struct arena *arena, const char *path)
{
	char *from = arena_printf(arena, "%s/%s", path[0] == '/' ? "" : env.state_dir, path);
	char *normal = arena_alloc(arena, strlen(from) + 2), *to = normal;
	for (char *part; (part = strsep(&from, "/"));)
		if (*part && !streq(part, "."))
			to += sprintf(to, "/%s", part);
	return normal;
}

static void pool_check(const struct check *check)
{
	const struct pool_spec *spec = check->object->spec;
	if (!spec->path)
		return;
	cleanup_arena struct arena *arena = arena_new();
	const char *path = normal_path(arena, spec->path);
	if (!*path)
		check_fault(check, "spec.path", "a pool cannot be the root directory");
	else if (streq(path, normal_path(arena, "")))
		check_fault(check, "spec.path",
			    "a pool cannot be the state directory itself; use a directory in it, such as 'images'");
}

static void pool_lower(struct lowering *l, const struct object *object)
{
	const struct pool_spec *spec = object->spec;
	const char *path = normal_path(lower_arena(l), spec->path), *holder = NULL;
	const char *kept = alloc_kept(l, "pool-path", "path");
	if (kept && !streq(kept, path) && fact(l, "pool/%s", kept)) {
		lower_refuse(l, "spec.path",
			     "the directory of a Pool cannot be changed, it is '%s': make another Pool, or delete this "
			     "one with its "
			     "Volumes (their bytes stay), move the images and apply them again",
			     kept);
		return;
	}
	if (!alloc_fixed(l, "pool-path", "path", path, &holder)) {
		lower_refuse_beside(
			l, lower_refuse(l, "spec.path", "'%s' is the directory of %s already", path, holder), holder);
		return;
	}
	struct pool_state state = {.present = 3, .type = spec->type, .path = path};
	want(l, &stord_pool_class, &state, "%s", object->name);
}

const struct kind stord_pool_kind = {
	.name = "Pool",
	.plural = "pools",
	.doc = "A place for volumes: a directory that holds their images. Deleting a Pool leaves the images; the "
	       "directory itself goes only if weft made it and it is empty.",
	.table = &pool_spec_table,
	.check = pool_check,
	.lower = pool_lower,
	.columns = "spec.type,spec.path,status.available",
};
