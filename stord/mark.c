/* SPDX-License-Identifier: Apache-2.0 */
/* Marks on an image: whose it is, and what weft has to remember of it. Where the filesystem has no user attributes a
 * hidden file beside the image holds the mark and the inode it is for, so that another file put under the name is not
 * taken for ours. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "stord/image.h"

static const char *const attributes[] = {
	[MARK_OWNER] = "user.weft",
	[MARK_BASE] = "user.weft-base",
	[MARK_SIZE] = "user.weft-size",
};

/* ".web.qcow2.weft" */
static char *sidecar_name(enum mark mark, const char *file)
{
	return xprintf(".%s.%s", file, attributes[mark] + strlen("user."));
}

static bool unsupported(int code)
{
	return code == ENOTSUP || code == EPERM;
}

static int sidecar_read(enum mark mark, const struct marked *on, char ret[static IMAGE_MARK_MAX])
{
	cleanup_free char *name = sidecar_name(mark, on->file);
	cleanup_close int side = openat(on->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (side < 0)
		return errno == ENOENT ? 0 : errno;
	char text[IMAGE_MARK_MAX + 32] = "";
	if (read(side, text, sizeof(text) - 1) < 0)
		return errno;
	char *end = strchr(text, '\n');
	struct stat st;
	if (!end || fstat(on->fd, &st) < 0 || strtoull(end + 1, NULL, 10) != st.st_ino || end - text >= IMAGE_MARK_MAX)
		return 0;
	*end = '\0';
	strcpy(ret, text);
	return 0;
}

int mark_read(enum mark mark, const struct marked *on, char ret[static IMAGE_MARK_MAX])
{
	ret[0] = '\0';
	ssize_t n = fgetxattr(on->fd, attributes[mark], ret, IMAGE_MARK_MAX - 1);
	if (n >= 0) {
		ret[n] = '\0';
		return 0;
	}
	if (errno == ENODATA || errno == ERANGE)
		return 0;
	return unsupported(errno) ? sidecar_read(mark, on, ret) : errno;
}

static int sidecar_write(enum mark mark, const struct marked *on, const char *text)
{
	struct stat st;
	int dir_fd = on->dir_fd;
	if (fstat(on->fd, &st) < 0)
		return errno;
	cleanup_free char *name = sidecar_name(mark, on->file), *temporary = xprintf("%s-new", name);
	cleanup_close int side = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (side < 0)
		return errno;
	int len = dprintf(side, "%s\n%llu\n", text, (unsigned long long)st.st_ino);
	bool lasts = mark == MARK_SIZE || fsync(side) == 0; /* a size that is lost is seen again */
	if (len < 0 || !lasts || renameat(dir_fd, temporary, dir_fd, name) < 0) {
		int code = errno;
		unlinkat(dir_fd, temporary, 0);
		return code;
	}
	return 0;
}

int mark_write(enum mark mark, const struct marked *on, const char *text)
{
	if (fsetxattr(on->fd, attributes[mark], text, strlen(text), 0) == 0)
		return 0;
	return unsupported(errno) ? sidecar_write(mark, on, text) : errno;
}

void mark_remove(enum mark mark, const struct marked *on)
{
	cleanup_free char *name = sidecar_name(mark, on->file);
	unlinkat(on->dir_fd, name, 0);
	fremovexattr(on->fd, attributes[mark]);
}

void mark_remove_all(const struct marked *on)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		mark_remove((enum mark)i, on);
}

void mark_read_directory(int fd, char ret[static IMAGE_MARK_MAX])
{
	ssize_t n = fgetxattr(fd, attributes[MARK_OWNER], ret, IMAGE_MARK_MAX - 1);
	ret[n > 0 ? n : 0] = '\0';
}

/* Where there are no attributes the engine's record alone says that the directory was made here. */
void mark_write_directory(int fd, const char *mark)
{
	if (fsetxattr(fd, attributes[MARK_OWNER], mark, strlen(mark), 0) < 0)
		errno = 0;
}
