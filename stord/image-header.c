/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of images, as far as they say what else an image needs. A tool that opens an image opens what it
 * names as well, be it /etc/shadow or a pipe that nobody writes to; so this is looked at before. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "stord/image-internal.h"

enum {
	QCOW2_DATA_FILE = 1 << 2,
	QCOW2_V2_SIZE = 72,
	QCOW2_LENGTH_AT = 100,
	EXTENSIONS_MAX = 16,
	CLONES_SHOWN = 5,
	L1_READ = 8192, /* entries: 4 TiB */
};
static const uint64_t L2_AT = UINT64_C(0x00fffffffffffe00); /* of an entry of L1 */
static const uint32_t qcow2_backing_format = 0xe2792aca;

/* docs/interop/qcow2.txt; all numbers are big-endian. */
struct qcow2_header {
	uint32_t magic, version;
	uint64_t backing_at;
	uint32_t backing_size, cluster_bits;
	uint64_t size;
	uint32_t crypt, l1_size;
	uint64_t l1_at, refcounts_at;
	uint32_t refcount_clusters, n_snapshots;
	uint64_t snapshots_at, incompatible;
} __attribute__((packed));

/* The first of a sparse VMDK; little-endian. Without a capacity it is but a wrapped list of other files. */
struct vmdk_header {
	char magic[4];
	uint32_t version, flags;
	uint64_t capacity;
} __attribute__((packed));

/* Behind the header there are extensions: what it is, how long, and that padded to eight bytes. */
static void read_backing_format(int fd, uint32_t version, struct image_needs *ret)
{
	uint32_t length = htobe32(QCOW2_V2_SIZE), extension[2];
	if (version >= 3 && pread(fd, &length, sizeof(length), QCOW2_LENGTH_AT) != (ssize_t)sizeof(length))
		return;
	off_t at = be32toh(length);
	for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
		if (pread(fd, extension, sizeof(extension), at) != (ssize_t)sizeof(extension) || !extension[0])
			return;
		uint32_t size = be32toh(extension[1]);
		at += (off_t)sizeof(extension);
		if (be32toh(extension[0]) == qcow2_backing_format && size < sizeof(ret->backing_format)) {
			if (pread(fd, ret->backing_format, size, at) != (ssize_t)size)
				ret->backing_format[0] = '\0';
			return;
		}
		at += ((off_t)size + 7) & ~(off_t)7;
	}
}

static bool read_qcow2_header(int fd, struct qcow2_header *ret)
{
	return pread(fd, ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret) && be32toh(ret->magic) == 0x514649fb;
}

static int read_qcow2(int fd, struct image_needs *ret)
{
	struct qcow2_header header;
	ssize_t n = pread(fd, &header, sizeof(header), 0);
	if (n < 0)
		return errno;
	if (n < (ssize_t)sizeof(header) || be32toh(header.magic) != 0x514649fb)
		return 0;
	if (be32toh(header.version) >= 3)
		ret->other = be64toh(header.incompatible) & QCOW2_DATA_FILE;
	size_t size = be32toh(header.backing_size);
	if (!header.backing_at || !size)
		return 0;
	if (size >= sizeof(ret->backing))
		size = sizeof(ret->backing) - 1;
	n = pread(fd, ret->backing, size, (off_t)be64toh(header.backing_at));
	if (n < (ssize_t)size)
		snprintf(ret->backing, sizeof(ret->backing), "?"); /* there is one, whatever it is */
	read_backing_format(fd, be32toh(header.version), ret);
	return 0;
}

static int read_vmdk(int fd, struct image_needs *ret)
{
	struct vmdk_header header;
	ssize_t n = pread(fd, &header, sizeof(header), 0);
	if (n < 0)
		return errno;
	if (n < (ssize_t)sizeof(header))
		return 0;
	ret->other = memcmp(header.magic, "KDMV", 4) != 0 || header.capacity == 0;
	return 0;
}

static int read_needs(int fd, enum image_format format, struct image_needs *ret)
{
	switch (format) {
	case IMAGE_QCOW2:
		return read_qcow2(fd, ret);
	case IMAGE_VMDK:
		return read_vmdk(fd, ret);
	case IMAGE_RAW:
	case IMAGE_VDI:  /* one that needs another is refused by QEMU */
	case IMAGE_VHDX: /* likewise */
		return 0;
	}
	return 0;
}

int image_read_needs_of(int fd, enum image_format format, struct image_needs *ret)
{
	*ret = (struct image_needs){0};
	return read_needs(fd, format, ret);
}

/* Where the tables of the first level lead; what they say of data is left to who reads it. */
static bool is_qcow2_cut(int fd)
{
	struct qcow2_header header;
	struct stat st;
	uint64_t table[L1_READ] = {0}, last = 0;
	if (!read_qcow2_header(fd, &header))
		return false;
	uint64_t size = (uint64_t)be32toh(header.l1_size) * sizeof(*table);
	ssize_t n = pread(fd, table, size < sizeof(table) ? size : sizeof(table), (off_t)be64toh(header.l1_at));
	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(*table); i++) {
		uint64_t at = be64toh(table[i]) & L2_AT;
		last = at > last ? at : last;
	}
	/* Asked last: it may be growing, and its tables are written before what leads to them. */
	if (fstat(fd, &st) < 0)
		return false;
	uint64_t end = (uint64_t)st.st_size;
	return be64toh(header.l1_at) + size > end || be64toh(header.refcounts_at) >= end || last >= end ||
	       (be32toh(header.n_snapshots) && be64toh(header.snapshots_at) >= end);
}

bool image_is_cut(int fd, enum image_format format)
{
	return format == IMAGE_QCOW2 && is_qcow2_cut(fd);
}

uint64_t image_read_size(int fd, enum image_format format)
{
	struct stat st;
	struct qcow2_header header;
	if (format == IMAGE_QCOW2)
		return read_qcow2_header(fd, &header) ? be64toh(header.size) : 0;
	return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int image_read_needs(const char *path, enum image_format format, struct image_needs *ret)
{
	*ret = (struct image_needs){0};
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? errno : read_needs(fd, format, ret);
}

static bool is_clone_of(int dir_fd, const char *entry, const char *file)
{
	struct stat st;
	struct image_needs needs = {0};
	size_t len = strlen(entry), tail = strlen(".qcow2");
	if (entry[0] == '.' || len <= tail || !streq(entry + len - tail, ".qcow2"))
		return false;
	cleanup_close int fd = image_open(dir_fd, entry, O_RDONLY, &st);
	if (fd < 0 || read_needs(fd, IMAGE_QCOW2, &needs) != 0)
		return false;
	const char *name = strrchr(needs.backing, '/');
	return streq(name ? name + 1 : needs.backing, file);
}

void image_find_clones(int dir_fd, const char *file, char ret[static IMAGE_TEXT_MAX])
{
	size_t n = 0, at = 0;
	ret[0] = '\0';
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (!entries)
		return;
	for (struct dirent *entry; n < CLONES_SHOWN && (entry = readdir(entries));) {
		if (!is_clone_of(dir_fd, entry->d_name, file) || at + strlen(entry->d_name) + 3 > IMAGE_TEXT_MAX)
			continue;
		at += (size_t)sprintf(ret + at, "%s%s", n++ ? ", " : "", entry->d_name);
	}
	closedir(entries);
}
