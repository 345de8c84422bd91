/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type dir: a directory of this host. One that exists already is used as it is and never removed; one that was
 * made here is removed when the pool is given up and nothing is left in it. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/env.h"
#include "stord/filesystem.h"
#include "stord/pool-type.h"

struct dir_spec {
	uint64_t present;
	const char *path;
};

static const struct field dir_rows[] = {
	F_PATH("path", struct dir_spec, path, .flags = FIELD_REQUIRED, .max = 3800,
	       .doc = "Directory of the images; relative to the state directory. Made if it is missing, used as it is "
		      "if it exists.",
	       .example = "images"),
};
static const struct table dir_table =
	CHOICE_TABLE("Pool of type dir", struct dir_spec, dir_rows,
		     "A directory of this host. The directory goes with the Pool only if weft made it and it is "
		     "empty.");

static void dir_check(const struct check *check, const void *own)
{
	const struct dir_spec *spec = own;
	if (!spec->path)
		return;
	cleanup_arena struct arena *arena = arena_new();
	const char *path = pool_normal_path(arena, spec->path);
	if (!*path)
		check_fault(check, "spec.path", "a pool cannot be the root directory");
	else if (streq(path, pool_normal_path(arena, "")))
		check_fault(check, "spec.path",
			    "a pool cannot be the state directory itself; use a directory in it, such as 'images'");
}

static bool dir_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	const struct dir_spec *spec = own;
	plan->place = plan->source = pool_normal_path(lower_arena(l), spec->path);
	plan->what = "directory";
	plan->at = "spec.path";
	return true;
}

/* What was mounted on or above it may be missing, and the same path then leads to another directory. */
static int identify(const struct pool_call *call, struct pool_seen *ret)
{
	const char *place = call->state->place, *before = call->identity;
	struct statfs fs;
	if (statfs(place, &fs) < 0)
		return say(errno, "directory '%s' cannot be looked at: %s", place, strerror(errno));
	pool_files_identity(place, ret->identity);
	if (filesystem_sort(&fs) == FILESYSTEM_PSEUDO)
		snprintf(ret->fault, sizeof(ret->fault),
			 "'%.200s' is on a filesystem of the kernel's own that holds no images: use a directory on a "
			 "disk",
			 place);
	else if (before && !streq(before, ret->identity))
		snprintf(ret->fault, sizeof(ret->fault),
			 "'%.200s' is not the directory that this Pool has used so far: mount or bring back what "
			 "belongs there; if this one is to be used from now on, delete the Pool with its Volumes "
			 "(their bytes stay) and apply them again",
			 place);
	return 0;
}

static int dir_look(const struct pool_call *call, struct pool_seen *ret)
{
	int code = pool_files_look(call, ret);
	return !code && ret->exists ? identify(call, ret) : code;
}

/* Others may pass through, to images that are theirs, but not list. Only what was made here is marked. */
static int make_directory(const struct pool_call *call)
{
	const char *path = call->state->place;
	if (mkdir(path, 0711) < 0)
		return errno == EEXIST ? 0 : errno;
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	mark_write_directory(fd, call->mark);
	return 0;
}

static int dir_activate(const struct pool_call *call, struct pool_seen *ret)
{
	cleanup_free char *parent = xstrdup(call->state->place);
	*strrchr(parent, '/') = '\0';
	int r = *parent ? mkdir_all(parent, 0755) : 0;
	if (r < 0)
		return say(-r, "directory '%s' cannot be made: %s", parent, strerror(-r));
	int code = make_directory(call);
	if (code)
		return say(code, "directory '%s' cannot be made: %s", call->state->place, strerror(code));
	return dir_look(call, ret);
}

/* One that is not empty stays and is given up; its mark lets the same Pool take it up again. So does what somebody has
 * put in its place. */
static int dir_deactivate(const struct pool_call *call, struct pool_seen *ret)
{
	const char *path = call->state->place;
	image_sweep(path, env.instance);
	ret->exists = rmdir(path) < 0 && errno != ENOENT;
	bool replaced = ret->exists && errno == ENOTDIR;
	if (ret->exists && !replaced && errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY)
		return say(errno, "directory '%s' cannot be removed: %s", path, strerror(errno));
	if (ret->exists)
		snprintf(ret->note, sizeof(ret->note), "its directory is %s and stays",
			 replaced ? "none any more" : "not empty");
	return 0;
}

/* It may be on a server that somebody else has mounted. */
static int dir_probe(const struct pool_call *call)
{
	struct statvfs fs;
	return statvfs(call->state->place, &fs) < 0
		       ? say(errno, "directory '%s' cannot be looked at: %s", call->state->place, strerror(errno))
		       : 0;
}

const struct pool_type stord_dir_pool = {
	.name = "dir",
	.doc = "a directory of this host",
	.table = &dir_table,
	.check = dir_check,
	.lower = dir_lower,
	.observe = dir_look,
	.activate = dir_activate,
	.deactivate = dir_deactivate,
	.probe = dir_probe,
	.look_ms = 8 * 1000, /* most are on disks, which may be slow to wake up */
	.volumes = &volume_files,
};
