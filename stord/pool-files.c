/* SPDX-License-Identifier: Apache-2.0 */
/* What the pool types have in common whose volumes are images in a directory, whatever carries it: looking at the
 * directory. Images in it are nobody's business here. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/env.h"
#include "stord/filesystem.h"
#include "stord/mount.h"
#include "stord/pool-type.h"

/* Where inotify sees what other hosts do not at all, adding a watch may hang besides. */
static bool is_local(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && filesystem_sort(&fs) != FILESYSTEM_REMOTE;
}

void pool_files_identity(const char *path, char ret[static POOL_IDENTITY_MAX])
{
	struct statx st;
	struct statfs fs;
	ret[0] = '\0';
	if (statfs(path, &fs) == 0 && filesystem_sort(&fs) == FILESYSTEM_LASTING &&
	    statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &st) == 0 && (st.stx_mask & STATX_BTIME))
		snprintf(ret, POOL_IDENTITY_MAX, "%llu-%lld.%09u", (unsigned long long)st.stx_ino,
			 (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
}

/* Can one wait for it to come by watching where it would be? */
static bool has_local_parent(const char *path)
{
	cleanup_free char *parent = xstrdup(path);
	*strrchr(parent, '/') = '\0';
	cleanup_close int fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && is_local(fd);
}

int pool_files_look(const struct pool_call *call, struct pool_seen *ret)
{
	const char *path = call->state->place;
	struct stat st;
	struct statvfs fs;
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		ret->local = has_local_parent(path);
		snprintf(ret->note, sizeof(ret->note), "there is no directory '%s'", path);
		return 0;
	}
	if (fd < 0)
		return say(errno, "directory '%s' cannot be opened: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || fstatvfs(fd, &fs) < 0)
		return say(errno, "directory '%s' cannot be looked at: %s", path, strerror(errno));
	/* QEMU is handed what root opens here by name, so nobody else may choose what that is. */
	if (st.st_mode & S_IWOTH)
		return say(EPERM,
			   "directory '%s' can be written by everybody, who could put links in place of images: chmod "
			   "o-w '%s'",
			   path, path);
	ret->exists = true;
	ret->local = is_local(fd);
	ret->incarnation = st.st_ino;
	ret->capacity = (uint64_t)fs.f_blocks * fs.f_frsize;
	ret->available = (uint64_t)fs.f_bavail * fs.f_frsize;
	mark_read_directory(fd, ret->mark);
	if (call->sweep)
		image_sweep(path, env.instance);
	return 0;
}

const char *pool_normal_path(struct arena *arena, const char *path)
{
	char *from = arena_printf(arena, "%s/%s", path[0] == '/' ? "" : env.state_dir, path);
	char *normal = arena_alloc(arena, strlen(from) + 2), *to = normal;
	for (char *part; (part = strsep(&from, "/"));)
		if (*part && !streq(part, "."))
			to += sprintf(to, "/%s", part);
	return normal;
}

int pool_mounted_look(const struct pool_call *call, struct pool_seen *ret)
{
	struct mount_seen seen;
	int r = mountinfo_find(call->state->place, &seen);
	if (r < 0)
		return say(-r, "the kernel's list of mounts cannot be read: %s", strerror(-r));
	if (seen.exists)
		return pool_files_look(call, ret);
	snprintf(ret->note, sizeof(ret->note), "nothing is mounted at '%s'", call->state->place);
	return 0;
}
