/* SPDX-License-Identifier: Apache-2.0 */
/* A NIC's virtual functions in sysfs: how many there are, who uses them, and making others. See vfs.h. */
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <time.h>

#include "core/process-list.h"
#include "netd/vfs.h"

enum { PATH_SIZE = 512, NUMBER_MAX = 32, UDEV_MS = 10 * 1000, UDEV_LOOK_MS = 20 };

static int read_number(const char *path, uint32_t *ret)
{
	cleanup_free char *text = NULL;
	int r = file_read(path, NUMBER_MAX, &text, NULL);
	if (r == 0)
		*ret = (uint32_t)strtoul(text, NULL, 10);
	return r;
}

/* /sys may be that of another network namespace, and have another NIC under the name. */
static bool is_of_this_namespace(const char *nic)
{
	char path[PATH_SIZE];
	uint32_t index;
	snprintf(path, sizeof(path), "/sys/class/net/%s/ifindex", nic);
	return read_number(path, &index) == 0 && index == if_nametoindex(nic);
}

static const char *device_path(const char *nic, const char *file, char path[static PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "/sys/class/net/%s/device/%s", nic, file);
	return path;
}

/* The kernel answers this one at once. */
int vfs_most(const char *nic, uint32_t *ret)
{
	char path[PATH_SIZE];
	if (!is_of_this_namespace(nic) || read_number(device_path(nic, "sriov_totalvfs", path), ret) < 0 || !*ret)
		return -ENOENT;
	return 0;
}

/* ---- who uses them ---- */

/* One virtual function, whose directory of sysfs is open. */
struct function {
	int number, dir;
	char address[32]; /* "0000:03:10.2" */
};

/* The last part of where a link of sysfs leads; "" if there is none. */
static const char *base_at(int dir, const char *name, char buf[static PATH_SIZE])
{
	ssize_t size = readlinkat(dir, name, buf, PATH_SIZE - 1);
	buf[size > 0 ? size : 0] = '\0';
	const char *slash = strrchr(buf, '/');
	return slash ? slash + 1 : buf;
}

static DIR *open_at(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (!list && fd >= 0)
		close(fd);
	return list;
}

static const struct dirent *next_of(DIR *list)
{
	const struct dirent *entry;
	while ((entry = readdir(list)) && entry->d_name[0] == '.') {
	}
	return entry;
}

static void say(struct vfs_seen *seen, const struct function *f, const char *fmt, ...) printf_like(3, 4);
static void say(struct vfs_seen *seen, const struct function *f, const char *fmt, ...)
{
	char by[160];
	va_list args;
	va_start(args, fmt);
	vsnprintf(by, sizeof(by), fmt, args);
	va_end(args);
	snprintf(seen->held, sizeof(seen->held),
		 "the number of virtual functions cannot be changed without removing them all, and virtual function %d "
		 "(%s) is in use: %s; end that first",
		 f->number, f->address, by);
}

/* The link of a function: a port of something, with something on it, or in another namespace, where /sys does not show
 * it. */
static void find_use_of_link(const struct function *f, struct vfs_seen *seen)
{
	DIR *links = open_at(f->dir, "net");
	const struct dirent *link, *entry;
	bool any = false;
	if (!links)
		return;
	while (!*seen->held && (link = next_of(links))) {
		DIR *files = open_at(dirfd(links), link->d_name);
		any = true;
		while (files && !*seen->held && (entry = next_of(files)))
			if (str_starts(entry->d_name, "upper_"))
				say(seen, f, "link '%s' stands on its link '%s', or has it as a port",
				    entry->d_name + strlen("upper_"), link->d_name);
		if (files)
			closedir(files);
	}
	if (!any)
		say(seen, f, "its link is in another network namespace");
	closedir(links);
}

struct opening {
	const struct function *function;
	const char *file;
	struct vfs_seen *seen;
};

static bool say_if_open(void *ctx, const char *pid)
{
	const struct opening *opening = ctx;
	char buf[PROCESS_NAME];
	if (!process_has_open(pid, opening->file))
		return false;
	const char *name = process_name(pid, buf);
	say(opening->seen, opening->function, "process %s (%s) has %s open", pid, *name ? name : "?", opening->file);
	return true;
}

/* The process that has a device file open, with its name. */
static void find_opener(const struct function *f, const char *file, struct vfs_seen *seen)
{
	process_each(say_if_open, &(struct opening){f, file, seen});
}

/* By its group, or as a device of its own (iommufd). */
static void find_use_of_vfio(const struct function *f, struct vfs_seen *seen)
{
	char buf[PATH_SIZE], file[PATH_SIZE];
	const struct dirent *entry;
	if (!str_starts(base_at(f->dir, "driver", buf), "vfio"))
		return;
	snprintf(file, sizeof(file), "/dev/vfio/%s", base_at(f->dir, "iommu_group", buf));
	find_opener(f, file, seen);
	DIR *devices = open_at(f->dir, "vfio-dev");
	while (devices && !*seen->held && (entry = next_of(devices))) {
		snprintf(file, sizeof(file), "/dev/vfio/devices/%s", entry->d_name);
		find_opener(f, file, seen);
	}
	if (devices)
		closedir(devices);
}

static void find_use(const char *nic, struct vfs_seen *seen)
{
	for (uint32_t i = 0; i < seen->count && !*seen->held; i++) {
		char name[32], path[PATH_SIZE], buf[PATH_SIZE];
		snprintf(name, sizeof(name), "virtfn%u", i);
		cleanup_close int dir = open(device_path(nic, name, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			continue;
		struct function f = {.number = (int)i, .dir = dir};
		snprintf(f.address, sizeof(f.address), "%.31s", base_at(AT_FDCWD, path, buf));
		find_use_of_link(&f, seen);
		if (!*seen->held)
			find_use_of_vfio(&f, seen);
	}
}

int vfs_read(const char *nic, struct vfs_seen *ret)
{
	char path[PATH_SIZE];
	*ret = (struct vfs_seen){0};
	if (!is_of_this_namespace(nic))
		return -ENOENT;
	int r = read_number(device_path(nic, "sriov_numvfs", path), &ret->count);
	if (r == 0)
		find_use(nic, ret);
	return r;
}

int vfs_nic_of(const char *link, char **ret)
{
	char path[PATH_SIZE];
	const struct dirent *nic;
	if (!is_of_this_namespace(link))
		return -ENOENT;
	DIR *nics = open_at(AT_FDCWD, device_path(link, "physfn/net", path));
	if (!nics)
		return -ENOENT;
	if ((nic = next_of(nics)))
		*ret = xstrdup(nic->d_name);
	closedir(nics);
	return nic ? 0 : -ENOENT;
}

/* ---- making others ---- */

static int refusal(const char *nic, uint32_t count, int code, struct err *err)
{
	uint32_t most = 0;
	switch (code) {
	case ERANGE:
		vfs_most(nic, &most);
		return err_set(err, code, "NIC '%s' can have %u virtual functions at most, and not %u", nic, most,
			       count);
	case ENOENT:
	case ENODEV:
		return err_set(err, code, "NIC '%s' has gone, or its driver makes no virtual functions", nic);
	case ENOMEM:
	case ENOSPC:
		return err_set(err, code,
			       "there is no room on the bus for %u virtual functions of NIC '%s'; enable SR-IOV in "
			       "the host's firmware, or boot with pci=realloc",
			       count, nic);
	case EPERM:
	case EOPNOTSUPP:
		return err_set(err, code,
			       "NIC '%s' makes no virtual functions as it is set up (%s); enable SR-IOV in its own "
			       "firmware, and see dmesg",
			       nic, strerror(code));
	default:
		return err_errno(err, code, "make %u virtual functions of NIC '%s' (dmesg may say more)", count, nic);
	}
}

static int write_count(const char *nic, uint32_t count, struct err *err)
{
	char path[PATH_SIZE], text[NUMBER_MAX];
	cleanup_close int fd = open(device_path(nic, "sriov_numvfs", path), O_WRONLY | O_CLOEXEC);
	int size = snprintf(text, sizeof(text), "%u", count);
	return fd >= 0 && write(fd, text, (size_t)size) == size ? 0 : refusal(nic, count, errno, err);
}

/* Their links get their names from udev, which has that file as long as it has something to do. */
static void wait_for_udev(void)
{
	const struct timespec pause = {.tv_nsec = UDEV_LOOK_MS * 1000000L};
	for (uint64_t until = now_ms() + UDEV_MS; access("/run/udev/queue", F_OK) == 0 && now_ms() < until;)
		nanosleep(&pause, NULL);
}

int vfs_write(const char *nic, uint32_t count, struct err *err)
{
	struct vfs_seen seen;
	int r = vfs_read(nic, &seen);
	if (r < 0)
		return refusal(nic, count, -r, err);
	if (seen.count == count)
		return 0;
	if (*seen.held)
		return err_set(err, ETXTBSY, "%s", seen.held);
	if (seen.count)
		r = write_count(nic, 0, err);
	if (r == 0 && count)
		r = write_count(nic, count, err);
	if (r == 0)
		wait_for_udev();
	return r;
}
