/* SPDX-License-Identifier: Apache-2.0 */
/* Marks that say whose an image is. Where the filesystem has no user attributes a hidden file beside the image holds
 * the mark and the inode it is for, so that another file put under the name is not taken for ours. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "stord/image.h"

static const char attribute[] = "user.weft";

static char *sidecar_name(const char *file)
{
	return xprintf(".%s.weft", file);
}

static bool unsupported(int code)
{
	return code == ENOTSUP || code == EPERM;
}

static int sidecar_read(int dir_fd, const char *file, int fd, char ret[static IMAGE_MARK_MAX])
{
	cleanup_free char *name = sidecar_name(file);
	cleanup_close int side = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (side < 0)
		return errno == ENOENT ? 0 : errno;
	char text[IMAGE_MARK_MAX + 32] = "";
	if (read(side, text, sizeof(text) - 1) < 0)
		return errno;
	char *end = strchr(text, '\n');
	struct stat st;
	if (!end || fstat(fd, &st) < 0 || strtoull(end + 1, NULL, 10) != st.st_ino || end - text >= IMAGE_MARK_MAX)
		return 0;
	*end = '\0';
	strcpy(ret, text);
	return 0;
}

int mark_read(int dir_fd, const char *file, int fd, char ret[static IMAGE_MARK_MAX])
{
	ret[0] = '\0';
	ssize_t n = fgetxattr(fd, attribute, ret, IMAGE_MARK_MAX - 1);
	if (n >= 0) {
		ret[n] = '\0';
		return 0;
	}
	if (errno == ENODATA || errno == ERANGE)
		return 0;
	return unsupported(errno) ? sidecar_read(dir_fd, file, fd, ret) : errno;
}

static int sidecar_write(int dir_fd, const char *file, int fd, const char *mark)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return errno;
	cleanup_free char *name = sidecar_name(file), *temporary = xprintf("%s-new", name);
	cleanup_close int side = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (side < 0)
		return errno;
	int len = dprintf(side, "%s\n%llu\n", mark, (unsigned long long)st.st_ino);
	if (len < 0 || fsync(side) < 0 || renameat(dir_fd, temporary, dir_fd, name) < 0) {
		int code = errno;
		unlinkat(dir_fd, temporary, 0);
		return code;
	}
	return 0;
}

int mark_write(int dir_fd, const char *file, int fd, const char *mark)
{
	if (fsetxattr(fd, attribute, mark, strlen(mark), 0) == 0)
		return 0;
	return unsupported(errno) ? sidecar_write(dir_fd, file, fd, mark) : errno;
}

int mark_remove(int dir_fd, const char *file, int fd)
{
	cleanup_free char *name = sidecar_name(file);
	unlinkat(dir_fd, name, 0);
	fremovexattr(fd, attribute);
	return 0;
}

void mark_read_directory(int fd, char ret[static IMAGE_MARK_MAX])
{
	ssize_t n = fgetxattr(fd, attribute, ret, IMAGE_MARK_MAX - 1);
	ret[n > 0 ? n : 0] = '\0';
}

/* Where there are no attributes the engine's record alone says that the directory was made here. */
void mark_write_directory(int fd, const char *mark)
{
	if (fsetxattr(fd, attribute, mark, strlen(mark), 0) < 0)
		errno = 0;
}
