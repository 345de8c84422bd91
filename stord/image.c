/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at images, growing and deleting them. See image.h. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "stord/image-internal.h"

int image_open_dir(const char *dir)
{
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool same_stamp(const struct image_stamp *a, const struct image_stamp *b)
{
	return a->size && a->device == b->device && a->inode == b->inode && a->changed_ns == b->changed_ns &&
	       a->bytes == b->bytes;
}

static struct image_stamp stamp_of(const struct stat *st)
{
	return (struct image_stamp){
		.device = st->st_dev,
		.inode = st->st_ino,
		.changed_ns = (uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec,
		.bytes = (uint64_t)st->st_size,
	};
}

void image_made_empty(const struct image *image, struct image_stamp *ret)
{
	struct stat st;
	cleanup_free char *path = image_path(image, image->file);
	if (stat(path, &st) < 0)
		return;
	*ret = stamp_of(&st);
	ret->size = image->size;
}

/* No tool opens what would have it open something else. */
static void look_inside(const struct image *image, int fd, struct image_state *ret)
{
	struct tool_info info;
	struct image_needs needs;
	if (image_read_needs_of(fd, image->format, &needs) == 0 && needs.other) {
		snprintf(ret->problem, sizeof(ret->problem), "it names another file that holds its data");
		snprintf(ret->remedy, sizeof(ret->remedy), "make it one file with qemu-img convert");
		return;
	}
	if (image_is_cut(fd, image->format)) {
		snprintf(ret->problem, sizeof(ret->problem), "the file ends before its own tables do: it was cut off");
		return;
	}
	cleanup_free char *path = image_path(image, image->file);
	ret->readable = tool_look(path, image->format, &info) == 0;
	ret->size = info.size;
	ret->stamp.n_snapshots = info.n_snapshots;
	snprintf(ret->stamp.backing, sizeof(ret->stamp.backing), "%s", info.backing);
	snprintf(ret->problem, sizeof(ret->problem), "%s", info.problem);
}

static void look_at_size(const struct image *image, int fd, const struct stat *st, struct image_state *ret)
{
	ret->stamp = stamp_of(st);
	ret->allocated = (uint64_t)st->st_blocks * 512;
	if (image->format == IMAGE_RAW) {
		ret->readable = true;
		ret->size = (uint64_t)st->st_size;
	} else if (same_stamp(&image->known, &ret->stamp)) {
		ret->readable = true;
		ret->stamp = image->known;
		ret->size = image->known.size;
	} else {
		look_inside(image, fd, ret);
	}
	ret->stamp.size = ret->size;
}

/* As large as it was ever seen, 0 if that is not known. */
static uint64_t size_before(const struct marked *on)
{
	char text[IMAGE_MARK_MAX];
	return mark_read(MARK_SIZE, on, text) == 0 ? strtoull(text, NULL, 10) : 0;
}

/* Nobody makes a disk smaller that is in use: what was at its end is lost, and would become zeroes if it grew again. */
static void compare_size(const struct image *image, const struct marked *on, struct image_state *ret)
{
	struct stat st;
	char has[32], had[32];
	if (!ret->readable)
		return;
	uint64_t before = size_before(on);
	if (ret->size < before) {
		ret->readable = false;
		snprintf(ret->problem, sizeof(ret->problem),
			 "it has %s and had %s: it shrank, and what was at its end is lost",
			 tool_size_text(ret->size, has), tool_size_text(before, had));
		snprintf(ret->remedy, sizeof(ret->remedy),
			 "bring it back from a backup, or, to go on without that, make it as large as it was: qemu-img "
			 "resize -f %s %s %llu",
			 image_formats[image->format], image->file, (unsigned long long)before);
	} else if (ret->size > before && image->mark && streq(ret->mark, image->mark)) {
		cleanup_free char *text = xprintf("%llu", (unsigned long long)ret->size);
		if (mark_write(MARK_SIZE, on, text) == 0 && fstat(on->fd, &st) == 0)
			ret->stamp.changed_ns = stamp_of(&st).changed_ns;
	}
}

/* Opens what must be a regular file, not through a link. Returns the descriptor or -errno. */
int image_open(int dir_fd, const char *file, int flags, struct stat *st)
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
	cleanup_close int dir_fd = image_open_dir(image->dir);
	if (dir_fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (dir_fd < 0)
		return say(errno, "directory '%s' cannot be opened: %s", image->dir, strerror(errno));
	int r = fstatat(dir_fd, image->file, &st, AT_SYMLINK_NOFOLLOW);
	if (r < 0 && errno == ENOENT) {
		cleanup_free char *half = image_temporary(image);
		unlinkat(dir_fd, half, 0); /* of a making that was called off */
		return 0;
	}
	if (r < 0)
		return say(errno, "'%s/%s' cannot be looked at: %s", image->dir, image->file, strerror(errno));
	ret->exists = true;
	ret->stamp.inode = st.st_ino;
	ret->regular = S_ISREG(st.st_mode);
	if (!ret->regular) {
		snprintf(ret->problem, sizeof(ret->problem), "it is not a regular file");
		return 0;
	}
	cleanup_close int fd = image_open(dir_fd, image->file, O_RDONLY, &st);
	if (fd < 0)
		return say(-fd, "'%s/%s' cannot be opened: %s", image->dir, image->file, strerror(-fd));
	const struct marked on = {dir_fd, image->file, fd};
	int code = mark_read(MARK_OWNER, &on, ret->mark);
	if (code)
		return say(code, "the mark of '%s/%s' cannot be read: %s", image->dir, image->file, strerror(code));
	if (image->mark && streq(ret->mark, image->mark))
		image_mend(image, dir_fd);
	if (fstat(fd, &st) < 0)
		return say(errno, "'%s/%s' cannot be looked at: %s", image->dir, image->file, strerror(errno));
	look_at_size(image, fd, &st, ret);
	compare_size(image, &on, ret);
	return 0;
}

int image_check_clones(const char *dir, int dir_fd, const char *file, const char *what)
{
	char clones[IMAGE_TEXT_MAX];
	image_find_clones(dir_fd, file, clones);
	return clones[0] ? say(EBUSY,
			       "image '%s/%s' is not %s as long as there are linked clones of it, which are read "
			       "through it: %s",
			       dir, file, what, clones)
			 : 0;
}

/* All headers of a pool are read only for what is known to have had clones. */
static int check_base(const char *dir, const struct marked *on)
{
	char mark[IMAGE_MARK_MAX];
	int code = mark_read(MARK_BASE, on, mark);
	if (code)
		return say(code, "the mark of '%s/%s' cannot be read: %s", dir, on->file, strerror(code));
	return mark[0] ? image_check_clones(dir, on->dir_fd, on->file, "written") : 0;
}

/* `dir` gets a copy of the place, which is cut where its last part begins. The descriptors are the caller's. */
static int open_place(const char *place, char **dir, struct marked *ret)
{
	struct stat st;
	*dir = xstrdup(place);
	char *slash = strrchr(*dir, '/');
	*slash = '\0';
	ret->file = slash + 1;
	ret->dir_fd = image_open_dir(**dir ? *dir : "/");
	ret->fd = ret->dir_fd < 0 ? -errno : image_open(ret->dir_fd, ret->file, O_RDONLY, &st);
	return ret->fd < 0 ? say(-ret->fd, "'%s' cannot be opened: %s", place, strerror(-ret->fd)) : 0;
}

static void close_place(struct marked *on)
{
	if (on->fd >= 0)
		close(on->fd);
	if (on->dir_fd >= 0)
		close(on->dir_fd);
}

int image_check_base(const char *place)
{
	struct marked on;
	cleanup_free char *dir = NULL;
	int code = open_place(place, &dir, &on);
	if (!code)
		code = check_base(dir, &on);
	close_place(&on);
	return code;
}

static bool is_beside(const char *dir, const char *backing)
{
	const char *slash = strrchr(backing, '/');
	return !strchr(backing, ':') && (!slash || (strlen(dir) == (size_t)(slash - backing) &&
						    strncmp(dir, backing, strlen(dir)) == 0));
}

/* A volume's name ends with its format. */
static const char *fault_in_use(const char *dir, const struct marked *on)
{
	struct image_needs needs;
	enum image_format format = streq(strrchr(on->file, '.'), ".raw") ? IMAGE_RAW : IMAGE_QCOW2;
	if (image_read_needs_of(on->fd, format, &needs) != 0)
		return "cannot be read";
	if (needs.other || !is_beside(dir, needs.backing))
		return "names files that are not volumes";
	if (image_is_cut(on->fd, format))
		return "is cut off";
	return image_read_size(on->fd, format) < size_before(on) ? "is smaller than it was" : NULL;
}

int image_check_use(const char *place)
{
	struct marked on;
	cleanup_free char *dir = NULL;
	int code = open_place(place, &dir, &on);
	const char *fault = code ? NULL : fault_in_use(dir, &on);
	if (fault)
		code = say(EUCLEAN, "image '%s' %s", place, fault);
	close_place(&on);
	return code;
}

int image_check_backing(const struct image *image, const struct image_state *state)
{
	cleanup_free char *base = image->base ? image_path(image, image->base) : xstrdup("");
	return streq(base, state->stamp.backing)
		       ? 0
		       : say(EINVAL, "image '%s/%s' is based on %s%s%s, which is not what its Volume says", image->dir,
			     image->file, *state->stamp.backing ? "'" : "nothing", state->stamp.backing,
			     *state->stamp.backing ? "'" : "");
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
	code = image_check_backing(image, &state);
	if (code)
		return code;
	cleanup_close int dir_fd = image_open_dir(image->dir);
	cleanup_close int fd = image_open(dir_fd, image->file, O_RDWR, &st);
	if (fd < 0)
		return say(-fd, "'%s/%s' cannot be opened: %s", image->dir, image->file, strerror(-fd));
	const struct marked on = {dir_fd, image->file, fd};
	cleanup_free char *ours = xprintf("weft:%s:", image->instance);
	bool others = str_starts(state.mark, "weft:") && !str_starts(state.mark, ours);
	if (!others && !streq(state.mark, image->mark)) {
		code = mark_write(MARK_OWNER, &on, image->mark);
		if (code)
			return say(code, "image '%s/%s' cannot be marked: %s", image->dir, image->file, strerror(code));
		code = image_give_to_qemu(image, fd);
	}
	tool_note_room(image->dir);
	if (code || !grow || state.size >= image->size)
		return code;
	code = check_base(image->dir, &on);
	if (!code)
		code = tool_check_room(image, image->size - state.size);
	if (code)
		return code;
	code = image_begin(image, "resize");
	if (code)
		return code;
	code = tool_resize(image, image->file);
	image_end(image, code);
	return code;
}

int image_delete(const struct image *image)
{
	struct stat st;
	char mark[IMAGE_MARK_MAX];
	cleanup_close int dir_fd = image_open_dir(image->dir);
	if (dir_fd < 0)
		return errno == ENOENT ? 0
				       : say(errno, "directory '%s' cannot be opened: %s", image->dir, strerror(errno));
	cleanup_close int fd = image_open(dir_fd, image->file, O_RDONLY, &st);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return say(-fd, "'%s/%s' cannot be opened: %s", image->dir, image->file, strerror(-fd));
	cleanup_free char *ours = xprintf("weft:%s:", image->instance);
	const struct marked on = {dir_fd, image->file, fd};
	if (mark_read(MARK_OWNER, &on, mark) != 0 || !str_starts(mark, ours))
		return say(EPERM, "image '%s/%s' does not carry weft's mark and is left alone", image->dir,
			   image->file);
	int code = image_check_clones(image->dir, dir_fd, image->file, "deleted");
	if (code)
		return code;
	if (unlinkat(dir_fd, image->file, 0) < 0)
		return say(errno, "'%s/%s' cannot be deleted: %s", image->dir, image->file, strerror(errno));
	mark_remove_all(&on);
	image_end(image, 0);
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
