/* SPDX-License-Identifier: Apache-2.0 */
/* See image.h. The format is always told to qemu-img and never guessed: what a guest writes into a raw disk could
 * otherwise make it a qcow2 image that names the host's files as its backing. */
#include "stord/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <pwd.h>
#include <sys/stat.h>

const char *const image_formats[2] = {"raw", "qcow2"};
const char *const image_preallocations[3] = {"off", "metadata", "falloc"};

static int open_dir(const char *dir)
{
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static char *path_of(const struct image *image, const char *file)
{
	return xprintf("%s/%s", image->dir, file);
}

/* qemu-img says "qemu-img: Could not open 'x': Image is not in qcow2 format": its name is dropped, the last line kept.
 */
static const char *reason_of(char *errs)
{
	size_t len = strlen(errs);
	while (len > 0 && (errs[len - 1] == '\n' || errs[len - 1] == ' '))
		errs[--len] = '\0';
	char *line = strrchr(errs, '\n');
	line = line ? line + 1 : errs;
	return str_starts(line, "qemu-img: ") ? line + strlen("qemu-img: ") : line;
}

/* qemu-img info --output=json -U -f qcow2 FILE
 * {"virtual-size": 67108864, "format": "qcow2", "actual-size": 200704, "backing-filename": "base.qcow2", ...} */
static void look_into(const struct image *image, struct image_state *ret)
{
	cleanup_free char *path = path_of(image, image->file), *out = NULL, *errs = NULL;
	const char *argv[] = {"qemu-img", "info", "--output=json", "-U", "-f", image_formats[image->format],
			      path,       NULL};
	int status = run_program(argv, &out, &errs);
	if (status != 0) {
		snprintf(ret->problem, sizeof(ret->problem), "%s", status < 0 ? strerror(-status) : reason_of(errs));
		return;
	}
	json_t *info = json_loads(out, 0, NULL);
	const char *backing = json_string_value(json_object_get(info, "backing-filename"));
	ret->readable = json_is_integer(json_object_get(info, "virtual-size"));
	ret->size = (uint64_t)json_integer_value(json_object_get(info, "virtual-size"));
	snprintf(ret->stamp.backing, sizeof(ret->stamp.backing), "%s", backing ? backing : "");
	if (!ret->readable)
		snprintf(ret->problem, sizeof(ret->problem), "qemu-img does not tell its size");
	json_decref(info);
}

static bool same_stamp(const struct image_stamp *a, const struct image_stamp *b)
{
	return a->size && a->device == b->device && a->inode == b->inode && a->changed_ns == b->changed_ns &&
	       a->bytes == b->bytes;
}

static void look_at_size(const struct image *image, const struct stat *st, struct image_state *ret)
{
	ret->stamp = (struct image_stamp){
		.device = st->st_dev,
		.inode = st->st_ino,
		.changed_ns = (uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec,
		.bytes = (uint64_t)st->st_size,
	};
	ret->allocated = (uint64_t)st->st_blocks * 512;
	if (image->format == IMAGE_RAW) {
		ret->readable = true;
		ret->size = (uint64_t)st->st_size;
	} else if (same_stamp(&image->known, &ret->stamp)) {
		ret->readable = true;
		ret->stamp = image->known;
		ret->size = image->known.size;
	} else {
		look_into(image, ret);
	}
	ret->stamp.size = ret->size;
}

/* Opens what must be a regular file, not through a link. Returns the descriptor or -errno. */
static int open_image(int dir_fd, const char *file, int flags, struct stat *st)
{
	cleanup_close int fd = openat(dir_fd, file, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	return take_fd(&fd);
}

int image_look(const struct image *image, struct image_state *ret)
{
	*ret = (struct image_state){0};
	struct stat st;
	cleanup_close int dir_fd = open_dir(image->dir);
	if (dir_fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (dir_fd < 0)
		return say(errno, "directory '%s' cannot be opened: %s", image->dir, strerror(errno));
	if (fstatat(dir_fd, image->file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : say(errno, "'%s/%s' cannot be looked at: %s", image->dir, image->file,
					     strerror(errno));
	ret->exists = true;
	ret->stamp.inode = st.st_ino;
	ret->regular = S_ISREG(st.st_mode);
	if (!ret->regular) {
		snprintf(ret->problem, sizeof(ret->problem), "it is not a regular file");
		return 0;
	}
	cleanup_close int fd = open_image(dir_fd, image->file, O_RDONLY, &st);
	if (fd < 0)
		return say(-fd, "'%s/%s' cannot be opened: %s", image->dir, image->file, strerror(-fd));
	int code = mark_read(dir_fd, image->file, fd, ret->mark);
	if (code)
		return say(code, "the mark of '%s/%s' cannot be read: %s", image->dir, image->file, strerror(code));
	look_at_size(image, &st, ret);
	return 0;
}

/* A size as people write it, rounded down to what two digits can say. */
static const char *size_text(uint64_t bytes, char buf[static 32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	snprintf(buf, 32, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

static int no_room(const struct image *image)
{
	cleanup_free char *out = NULL;
	char wanted[32], there[32] = "unknown";
	const char *argv[] = {"stat", "-f", "-c", "%a %S", image->dir, NULL};
	unsigned long long blocks, block_size;
	if (run_program(argv, &out, NULL) == 0 && sscanf(out, "%llu %llu", &blocks, &block_size) == 2)
		size_text(blocks * block_size, there);
	return say(ENOSPC,
		   "there is no room in '%s' for an image of %s (%s are free): free some space, ask for less, or use "
		   "preallocation: off",
		   image->dir, size_text(image->size, wanted), there);
}

/* Turns what qemu-img said into an errno and a sentence. */
static int tool_failed(const struct image *image, int status, char *errs)
{
	const char *reason = status < 0 ? strerror(-status) : reason_of(errs);
	if (strstr(reason, "No space left on device"))
		return no_room(image);
	if (strstr(reason, "Disk quota exceeded"))
		return say(EDQUOT, "the disk quota in '%s' does not allow image '%s': %s", image->dir, image->file,
			   reason);
	if (strstr(reason, "\"write\" lock") || strstr(reason, "Is another process using the image"))
		return say(EBUSY, "image '%s' is in use by a running guest; it grows once the guest is off",
			   image->file);
	if (status == 127)
		return say(ENOENT, "the program 'qemu-img' cannot be run: %s", reason);
	return say(EIO, "image '%s': %s", image->file, reason);
}

/* qemu-img create -q -f qcow2 -o preallocation=off FILE SIZE */
static int create_file(const struct image *image, const char *path)
{
	cleanup_free char *options = xprintf("preallocation=%s", image_preallocations[image->preallocation]);
	cleanup_free char *size = xprintf("%llu", (unsigned long long)image->size), *errs = NULL;
	const char *argv[] = {"qemu-img", "create", "-q", "-f", image_formats[image->format],
			      "-o",       options,  path, size, NULL};
	int status = run_program(argv, NULL, &errs);
	return status == 0 ? 0 : tool_failed(image, status, errs);
}

/* Images belong to the user that QEMU runs as; where it does not exist yet they stay root's, and are passed to QEMU
 * open. */
static int give_to_qemu(const struct image *image, int fd)
{
	struct passwd *user = getpwnam("weft-qemu");
	if (fchmod(fd, 0600) < 0 || (user && fchown(fd, user->pw_uid, user->pw_gid) < 0))
		return say(errno, "image '%s/%s' cannot be given to weft-qemu: %s", image->dir, image->file,
			   strerror(errno));
	return 0;
}

/* The sidecar mark, if there has to be one, carries the final name: it names the inode, so it counts for nothing before
 * the rename. */
static int finish_file(const struct image *image, int dir_fd, const char *temporary)
{
	struct stat st;
	cleanup_close int fd = open_image(dir_fd, temporary, O_RDWR, &st);
	if (fd < 0)
		return say(-fd, "new image '%s/%s' cannot be opened: %s", image->dir, temporary, strerror(-fd));
	int code = give_to_qemu(image, fd);
	if (code)
		return code;
	code = mark_write(dir_fd, image->file, fd, image->mark);
	if (code)
		return code == ENOSPC ? no_room(image)
				      : say(code, "image '%s/%s' cannot be marked: %s", image->dir, image->file,
					    strerror(code));
	if (fsync(fd) < 0)
		return errno == ENOSPC ? no_room(image)
				       : say(errno, "writing '%s/%s': %s", image->dir, image->file, strerror(errno));
	/* Never over a file that has appeared meanwhile. A filesystem that cannot promise that links and unlinks. */
	int r = renameat2(dir_fd, temporary, dir_fd, image->file, RENAME_NOREPLACE);
	if (r < 0 && errno == EINVAL)
		r = linkat(dir_fd, temporary, dir_fd, image->file, 0);
	if (r < 0)
		return say(errno, "'%s/%s' cannot be put in place: %s", image->dir, image->file, strerror(errno));
	fsync(dir_fd);
	return 0;
}

/* ".web.qcow2.ID.weft-new": hidden, and known as ours by its instance. */
static char *temporary_name(const struct image *image)
{
	return xprintf(".%s.%s.weft-new", image->file, image->instance);
}

int image_make(const struct image *image)
{
	cleanup_close int dir_fd = open_dir(image->dir);
	if (dir_fd < 0)
		return say(errno, "directory '%s' cannot be opened: %s", image->dir, strerror(errno));
	cleanup_free char *temporary = temporary_name(image), *path = path_of(image, temporary);
	unlinkat(dir_fd, temporary, 0);
	umask(077);
	int code = create_file(image, path);
	if (!code)
		code = finish_file(image, dir_fd, temporary);
	unlinkat(dir_fd, temporary, 0); /* gone by rename unless it failed or was linked */
	return code;
}

/* qemu-img resize -q -f qcow2 [--preallocation=falloc] FILE SIZE */
static int resize(const struct image *image)
{
	cleanup_free char *path = path_of(image, image->file), *errs = NULL;
	cleanup_free char *size = xprintf("%llu", (unsigned long long)image->size);
	cleanup_free char *preallocation = xprintf("--preallocation=%s", image_preallocations[image->preallocation]);
	const char *argv[] = {"qemu-img",    "resize", "-q", "-f", image_formats[image->format],
			      preallocation, path,     size, NULL};
	int status = run_program(argv, NULL, &errs);
	return status == 0 ? 0 : tool_failed(image, status, errs);
}

int image_change(const struct image *image, bool grow)
{
	struct stat st;
	struct image_state state;
	int code = image_look(image, &state);
	if (code)
		return code;
	if (!state.exists || !state.readable)
		return say(EINVAL, "'%s/%s' is not an image of format %s: %s", image->dir, image->file,
			   image_formats[image->format], state.exists ? state.problem : "it is gone");
	cleanup_close int dir_fd = open_dir(image->dir);
	cleanup_close int fd = open_image(dir_fd, image->file, O_RDWR, &st);
	if (fd < 0)
		return say(-fd, "'%s/%s' cannot be opened: %s", image->dir, image->file, strerror(-fd));
	if (!streq(state.mark, image->mark)) {
		code = mark_write(dir_fd, image->file, fd, image->mark);
		if (code)
			return say(code, "image '%s/%s' cannot be marked: %s", image->dir, image->file, strerror(code));
		code = give_to_qemu(image, fd);
	}
	return code || !grow || state.size >= image->size ? code : resize(image);
}

int image_delete(const struct image *image)
{
	struct stat st;
	char mark[IMAGE_MARK_MAX];
	cleanup_close int dir_fd = open_dir(image->dir);
	if (dir_fd < 0)
		return errno == ENOENT ? 0
				       : say(errno, "directory '%s' cannot be opened: %s", image->dir, strerror(errno));
	cleanup_close int fd = open_image(dir_fd, image->file, O_RDONLY, &st);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return say(-fd, "'%s/%s' cannot be opened: %s", image->dir, image->file, strerror(-fd));
	cleanup_free char *ours = xprintf("weft:%s:", image->instance);
	if (mark_read(dir_fd, image->file, fd, mark) != 0 || !str_starts(mark, ours))
		return say(EPERM, "image '%s/%s' does not carry weft's mark and is left alone", image->dir,
			   image->file);
	if (unlinkat(dir_fd, image->file, 0) < 0)
		return say(errno, "'%s/%s' cannot be deleted: %s", image->dir, image->file, strerror(errno));
	mark_remove(dir_fd, image->file, fd);
	fsync(dir_fd);
	return 0;
}

int image_sweep(const char *dir, const char *instance)
{
	cleanup_free char *ending = xprintf(".%s.weft-new", instance);
	DIR *entries = opendir(dir);
	if (!entries)
		return errno;
	for (struct dirent *entry; (entry = readdir(entries));) {
		size_t len = strlen(entry->d_name), tail = strlen(ending);
		if (entry->d_name[0] == '.' && len > tail && streq(entry->d_name + len - tail, ending))
			unlinkat(dirfd(entries), entry->d_name, 0);
	}
	closedir(entries);
	return 0;
}
