/* SPDX-License-Identifier: Apache-2.0 */
/* The few helpers every file uses: cleanup attributes, ownership transfer, allocation that aborts.
 * Running out of memory aborts by design: state is on disk and a restart is safe. Whatever comes from
 * outside is bounded before it is allocated. */
#ifndef WEFT_CORE_UTIL_H
#define WEFT_CORE_UTIL_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define cleanup(f)             __attribute__((cleanup(f)))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* clang-format off */
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
/* clang-format on */

/* Moves a pointer out of a variable with a cleanup attribute. */
#define take_ptr(p)                         \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

/* Moves a descriptor out of a variable with a cleanup attribute; file descriptors start at -1. */
static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

static inline void freep(void *p)
{
	free(*(void **)p);
}
static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define cleanup_free   cleanup(freep)
#define cleanup_close  cleanup(closep)
#define cleanup_fclose cleanup(fclosep)

/* These abort when memory runs out; memory from xcalloc and xgrow is zeroed. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t size);
char *xprintf(const char *fmt, ...) printf_like(1, 2);
char *xvprintf(const char *fmt, va_list args) printf_like(1, 0);

/* Makes room for one more item in a growing array: `items[n]` may be written afterwards.
 * `cap` is the number of items there is room for now. New room is zeroed. */
#define grow(items, n, cap) ((items) = xgrow((items), (n), &(cap), sizeof(*(items))))
void *xgrow(void *items, size_t n, size_t *cap, size_t size);

static inline bool streq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Reads a whole file of at most max_bytes into a NUL-terminated buffer that the caller frees.
 * Returns 0 or -errno; -EFBIG when the file is larger. `ret_size` may be NULL. */
int file_read(const char *path, size_t max_bytes, char **ret, size_t *ret_size);
/* Writes a file atomically (PATH.new beside it, fsync, rename); each file has one writer at a time. Returns 0 or
 * -errno. */
int file_write_atomic(const char *path, const void *data, size_t size, unsigned mode);
/* Makes a directory and its missing parents. Returns 0 or -errno. */
int mkdir_all(const char *path, unsigned mode);

/* Milliseconds of CLOCK_BOOTTIME (monotonic) and of CLOCK_REALTIME. */
uint64_t now_ms(void);
uint64_t wall_ms(void);

#endif
