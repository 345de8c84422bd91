/* SPDX-License-Identifier: Apache-2.0 */
/* Making an image: under a temporary name until it is whole, empty or as a copy of a source. See image.h. */
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

#include "stord/image-internal.h"

enum { BASES_MAX = 32 };

/* Images belong to the user that QEMU runs as; where it does not exist yet they stay root's, and are passed to QEMU
 * open. */
int image_give_to_qemu(const struct image *image, int fd)
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
	cleanup_close int fd = image_open(dir_fd, temporary, O_RDWR, &st);
	if (fd < 0)
		return say(-fd, "new image '%s/%s' cannot be opened: %s", image->dir, temporary, strerror(-fd));
	int code = image_give_to_qemu(image, fd);
	if (code)
		return code;
	code = mark_write(MARK_OWNER, &(struct marked){dir_fd, image->file, fd}, image->mark);
	if (code)
		return code == ENOSPC ? tool_no_room(image)
				      : say(code, "image '%s/%s' cannot be marked: %s", image->dir, image->file,
					    strerror(code));
	if (fsync(fd) < 0)
		return errno == ENOSPC ? tool_no_room(image)
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

static int check_sum(const struct image *image)
{
	if (!image->source_sha256 || !*image->source_sha256)
		return 0;
	cleanup_free char *sum = NULL;
	int code = tool_sha256(image->source, &sum);
	if (!code && strcasecmp(sum, image->source_sha256) != 0)
		return say(EBADMSG, "source '%s' is not what the manifest says: its SHA-256 is %s", image->source, sum);
	return code;
}

/* A source stands alone: one that names other files would copy whatever of the host it names, so none is opened that
 * does. */
static int check_alone(const struct image *image)
{
	struct stat st;
	struct image_needs needs;
	if (stat(image->source, &st) < 0)
		return say(errno, "source '%s': %s", image->source, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return say(EINVAL, "source '%s' is not a regular file", image->source);
	int code = image_read_needs(image->source, image->source_format, &needs);
	if (code)
		return say(code, "source '%s' cannot be read: %s", image->source, strerror(code));
	if (needs.backing[0] || needs.other)
		return say(EINVAL, "source '%s' needs another file%s%s%s; make it one with qemu-img convert",
			   image->source, needs.backing[0] ? ", '" : "", needs.backing, needs.backing[0] ? "'" : "");
	return 0;
}

/* A volume that is copied may stand on others, but on such beside it only. */
static int check_bases(const struct image *image)
{
	cleanup_free char *path = xstrdup(image->source);
	struct image_needs needs;
	enum image_format format = image->source_format;
	for (unsigned depth = 0; depth < BASES_MAX; depth++) {
		int code = image_read_needs(path, format, &needs);
		if (code)
			return say(code, "'%s' cannot be read: %s", path, strerror(code));
		if (needs.other || strpbrk(needs.backing, "/:"))
			return say(EINVAL, "'%s' needs %s%s, which is not beside it", path,
				   needs.backing[0] ? needs.backing : "a file", needs.other ? " of data" : "");
		if (!needs.backing[0])
			return 0;
		/* What a guest wrote into a raw one is not to be taken for a header. */
		bool raw = streq(needs.backing_format, "raw");
		if (!raw && !streq(needs.backing_format, "qcow2"))
			return say(EINVAL,
				   "'%s' does not say what '%s', which it is based on, is: say it with "
				   "qemu-img rebase -u -F",
				   path, needs.backing);
		char *next = xprintf("%.*s/%s", (int)(strrchr(path, '/') - path), path, needs.backing);
		free(path);
		path = next;
		format = raw ? IMAGE_RAW : IMAGE_QCOW2;
	}
	return say(ELOOP, "'%s' stands on more than %d images", image->source, BASES_MAX);
}

/* A copy of what is being written is none. qemu-img refuses that as well, but then much is begun already. QEMU has this
 * byte of what it writes to locked. */
static int check_idle(const struct image *image)
{
	enum { WRITER_BYTE = 101 };
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = WRITER_BYTE, .l_len = 1};
	cleanup_close int fd = open(image->source, O_RDONLY | O_CLOEXEC);
	bool written = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	return written ? tool_in_use(image->source) : 0;
}

/* Sets how large it is. */
static int check_size(const struct image *image, uint64_t *ret)
{
	struct stat st;
	struct tool_info info = {0};
	char has[32], gets[32];
	if (image->source_format == IMAGE_RAW && stat(image->source, &st) == 0 && S_ISREG(st.st_mode))
		info.size = (uint64_t)st.st_size;
	else if (tool_look(image->source, image->source_format, &info) != 0)
		return say(EINVAL, "source '%s' is not a %s image: %s", image->source,
			   image_source_formats[image->source_format], info.problem);
	if (!image->source_is_volume && info.backing[0]) /* a format may have ways that its header does not tell */
		return say(EINVAL, "source '%s' needs another file, '%s'; make it one with qemu-img convert",
			   image->source, info.backing);
	*ret = info.size;
	if (image->size && info.size > image->size)
		return say(EFBIG,
			   "source '%s' is a disk of %s, larger than the volume's %s; write a size that holds it",
			   image->source, tool_size_text(info.size, has), tool_size_text(image->size, gets));
	return 0;
}

int image_check_source(const struct image *image, uint64_t *ret_size)
{
	int code = image->source_is_volume ? check_bases(image) : check_alone(image);
	if (!code && image->source_is_volume)
		code = check_idle(image);
	if (!code)
		code = check_size(image, ret_size);
	return code ? code : check_sum(image);
}

/* Before there is one: who is to write to the base looks for its clones then. */
static int mark_base(const struct image *image, int dir_fd)
{
	struct stat st;
	cleanup_close int fd = image_open(dir_fd, image->base, O_RDONLY, &st);
	int code = fd < 0 ? -fd : mark_write(MARK_BASE, &(struct marked){dir_fd, image->base, fd}, "yes");
	return code ? say(code, "base '%s/%s' cannot be marked as such: %s", image->dir, image->base, strerror(code))
		    : 0;
}

static int copy_source(const struct image *image, const char *temporary)
{
	uint64_t size;
	int code = image_check_source(image, &size);
	if (!code)
		code = tool_convert(image, temporary);
	if (!code && image->size > size)
		code = tool_resize(image, temporary);
	return code;
}

int image_fill(const struct image *image)
{
	uint64_t size;
	int code = image_check_source(image, &size);
	return code ? code : tool_overwrite(image);
}

int image_make(const struct image *image)
{
	cleanup_close int dir_fd = image_open_dir(image->dir);
	if (dir_fd < 0)
		return say(errno, "directory '%s' cannot be opened: %s", image->dir, strerror(errno));
	cleanup_free char *temporary = image_temporary(image);
	unlinkat(dir_fd, temporary, 0);
	tool_note_room(image->dir);
	umask(077);
	int code = image->base ? mark_base(image, dir_fd) : 0;
	if (!code)
		code = image->source ? copy_source(image, temporary) : tool_create(image, temporary);
	if (!code)
		code = finish_file(image, dir_fd, temporary);
	unlinkat(dir_fd, temporary, 0); /* gone by rename unless it failed or was linked */
	return code;
}
