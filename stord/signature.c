/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures on block devices, by libblkid. See signature.h. */
#include "stord/signature.h"

#include <blkid.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/lower.h"
#include "stord/image.h"

enum { EDGE = 1 << 20 };

static bool is_zero(int fd, uint64_t at, uint64_t size)
{
	cleanup_free char *bytes = xcalloc(EDGE, 1);
	size_t len = size < EDGE ? (size_t)size : EDGE;
	ssize_t n = pread(fd, bytes, len, (off_t)at);
	if (n != (ssize_t)len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

static bool is_blank(int fd, uint64_t size)
{
	return is_zero(fd, 0, size) && is_zero(fd, size > EDGE ? size - EDGE : 0, size);
}

/* Superblocks of filesystems, RAID and volume managers, then partition tables. */
static int probe(int fd, const char *path, struct signature *ret)
{
	blkid_probe pr = blkid_new_probe();
	const char *type = NULL, *usage = NULL;
	if (!pr || blkid_probe_set_device(pr, fd, 0, 0) < 0) {
		blkid_free_probe(pr);
		return say(EIO, "'%s' cannot be looked into", path);
	}
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
	blkid_probe_enable_partitions(pr, 1);
	int r = blkid_do_safeprobe(pr);
	if (r == 0 && blkid_probe_lookup_value(pr, "TYPE", &type, NULL) < 0)
		blkid_probe_lookup_value(pr, "PTTYPE", &type, NULL);
	if (r == 0)
		blkid_probe_lookup_value(pr, "USAGE", &usage, NULL);
	ret->is_fs = streq(usage, "filesystem");
	/* -2: several that contradict each other */
	snprintf(ret->type, sizeof(ret->type), "%s", r == 0 ? (type ? type : "unknown") : r == -2 ? "several" : "");
	blkid_free_probe(pr);
	return r == -1 ? say(EIO, "'%s' cannot be read", path) : 0;
}

/* What the kernel knows a disk by, whatever its name is today. A partition is one of its disk, by number. */
static uint64_t identity_of(dev_t number, const char *path)
{
	static const char *const files[] = {"wwid",   "device/wwid",   "dm/uuid",          "md/uuid",
					    "serial", "device/serial", "loop/backing_file"};
	cleanup_free char *dir = xprintf("/sys/dev/block/%u:%u", major(number), minor(number));
	cleanup_free char *partition = xprintf("%s/partition", dir), *which = NULL, *text = NULL;
	bool is_part = file_read(partition, 64, &which, NULL) == 0;
	for (size_t i = 0; i < ARRAY_SIZE(files) && !text; i++) {
		cleanup_free char *file = xprintf("%s/%s%s", dir, is_part ? "../" : "", files[i]);
		if (file_read(file, 4096, &text, NULL) == 0 && !text[strspn(text, " \n")])
			free(take_ptr(text));
	}
	cleanup_free char *whole = xprintf("device %s %s", text ? text : path, is_part ? which : "");
	return host_hash(whole) | 1;
}

static int look_at(const char *path, struct signature *ret)
{
	struct stat st;
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : say(errno, "'%s' cannot be opened: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return say(ENOTBLK, "'%s' is not a block device", path);
	if (ioctl(fd, BLKGETSIZE64, &ret->size) < 0)
		return say(errno, "the size of '%s' cannot be read: %s", path, strerror(errno));
	ret->number = st.st_rdev;
	ret->identity = identity_of(st.st_rdev, path);
	int code = probe(fd, path, ret);
	ret->blank = !code && !ret->type[0] && is_blank(fd, ret->size);
	return code;
}

int signature_look(const char *what, struct signature *ret)
{
	*ret = (struct signature){0};
	cleanup_free char *path = what[0] == '/' ? xstrdup(what) : blkid_evaluate_tag(what, NULL, NULL);
	cleanup_free char *real = path ? realpath(path, NULL) : NULL;
	if (!real)
		return 0;
	int code = look_at(real, ret);
	if (!code && ret->number)
		snprintf(ret->device, sizeof(ret->device), "%s", real);
	return code;
}

const char *signature_text(const struct signature *signature, char buf[static 128])
{
	const char *type = signature->type;
	if (signature->blank)
		return "nothing";
	if (!*type)
		return "data without a signature";
	snprintf(buf, 128, signature->is_fs ? "a filesystem (%s)" : "a signature (%s)", type);
	return buf;
}
