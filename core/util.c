/* SPDX-License-Identifier: Apache-2.0 */
/* See util.h. */
#include "core/util.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

static void *check_alloc(void *p)
{
	if (!p)
		abort();
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	return check_alloc(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t n, size_t size)
{
	return check_alloc(reallocarray(p, n ? n : 1, size ? size : 1));
}

char *xstrdup(const char *s)
{
	return check_alloc(strdup(s));
}

char *xstrndup(const char *s, size_t size)
{
	return check_alloc(strndup(s, size));
}

char *xvprintf(const char *fmt, va_list args)
{
	char *s;
	if (vasprintf(&s, fmt, args) < 0)
		abort();
	return s;
}

char *xprintf(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char *s = xvprintf(fmt, args);
	va_end(args);
	return s;
}

void *xgrow(void *items, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return items;
	size_t bigger = *cap ? *cap * 2 : 8;
	items = xrealloc(items, bigger, size);
	memset((char *)items + *cap * size, 0, (bigger - *cap) * size);
	*cap = bigger;
	return items;
}

int file_read(const char *path, size_t max_bytes, char **ret, size_t *ret_size)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	cleanup_free char *buf = NULL;
	size_t size = 0, room = 0;
	for (;;) {
		if (size + 1 >= room) {
			room = room ? room * 2 : 4096;
			buf = xrealloc(buf, room, 1);
		}
		ssize_t n = read(fd, buf + size, room - size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max_bytes)
			return -EFBIG;
	}
	buf[size] = '\0';
	if (ret_size)
		*ret_size = size;
	*ret = take_ptr(buf);
	return 0;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* A file without a name, which is gone if this process dies meanwhile; -1 where the filesystem has no such thing. */
static int open_nameless(const char *path)
{
	cleanup_free char *directory = xstrdup(path);
	char *slash = strrchr(directory, '/');
	if (slash)
		*(slash == directory ? slash + 1 : slash) = '\0';
	return open(slash ? directory : ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
}

static int give_name(int fd, const char *name)
{
	char link[32];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, link, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* It has the name in between for an instant only, and always the same one: what a sudden death leaves all the same is
 * taken away by the next writer. */
int file_write_atomic(const char *path, const void *data, size_t size, unsigned mode)
{
	cleanup_free char *temporary = xprintf("%s.new", path);
	cleanup_close int fd = open_nameless(path);
	bool nameless = fd >= 0;
	unlink(temporary);
	if (!nameless)
		fd = open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = write_all(fd, data, size);
	if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r == 0 && nameless)
		r = give_name(fd, temporary);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

int mkdir_all(const char *path, unsigned mode)
{
	cleanup_free char *copy = xstrdup(path);
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t now_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

uint64_t wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}
