/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of images, as far as they say what else an image needs. A tool that opens an image opens what it
 * names as well, be it /etc/shadow or a pipe that nobody writes to; so this is looked at before. */
#include <dirent.h>
#include <fcntl.h>

#include "stord/image-internal.h"

enum {
	QCOW2_DATA_FILE = 1 << 2,
	QCOW2_V2_SIZE = 72,
	QCOW2_LENGTH_AT = 100,
	EXTENSIONS_MAX = 16,
	CLONES_SHOWN = 5,
};
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
