/* SPDX-License-Identifier: Apache-2.0 */
/* Logical volumes whose disk has gone from the kernel, as at a logout, and come back as another one: sdb, and then sdc.
 * What was mapped to it stays mapped to nothing, until its table is loaded anew, whoever has it open. Of an ordinary
 * volume lvm does that; of a thin pool it would first have it write down what it knows, to the disk that has gone, and
 * the pool would fail for good. So what a pool consists of is led to the new disk here, beneath the pool, which takes
 * no notice. Maps of multipathd keep their volumes from all of that. */
#include <dirent.h>
#include <sys/mman.h>

#include "stord/image.h"
#include "stord/lvm.h"

static bool is_multipath(const char *device)
{
	cleanup_free char *path = xprintf("/sys/class/block/%s/dm/uuid", device), *uuid = NULL;
	return file_read(path, 256, &uuid, NULL) == 0 && str_starts(uuid, "mpath-");
}

/* What is mapped to a disk keeps it from ending, but not from leaving sysfs. Looks so many steps down. */
static bool stands_on_nothing(const char *device, unsigned depth)
{
	cleanup_free char *path = xprintf("/sys/class/block/%s/slaves", device);
	DIR *dir = depth && !is_multipath(device) ? opendir(path) : NULL;
	bool nothing = false;
	for (struct dirent *entry; dir && !nothing && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		cleanup_free char *number = xprintf("%s/%s/dev", path, entry->d_name);
		nothing = access(number, F_OK) < 0 || stands_on_nothing(entry->d_name, depth - 1);
	}
	if (dir)
		closedir(dir);
	return nothing;
}

static bool has_lost(const char *place, unsigned depth)
{
	cleanup_free char *real = realpath(place, NULL);
	return real && stands_on_nothing(strrchr(real, '/') + 1, depth);
}

bool lvm_is_orphaned(const char *place)
{
	enum { DEPTH_MAX = 8 }; /* a thin volume stands on its pool, that on its parts, and those on disks */
	return has_lost(place, DEPTH_MAX);
}

/* dmsetup load NAME <TABLE; dmsetup resume NAME: at once, and nothing is written before. */
static int load(const char *device, int table)
{
	const char *loading[] = {"dmsetup", "load", device, NULL};
	const char *resuming[] = {"dmsetup", "resume", "--noflush", "--nolockfs", device, NULL};
	cleanup_free char *errs = NULL;
	int status = run_it(&(struct program){.argv = loading, .in_fd = table, .errs = &errs, .whole = true});
	if (status == 0) {
		free(take_ptr(errs));
		status = run_it(&(struct program){.argv = resuming, .errs = &errs, .whole = true});
	}
	return status == 0 ? 0
			   : say(EIO, "'%s' cannot be led to the disk that has come back: %.*s", device,
				 errs ? (int)strcspn(errs, "\n") : 0, errs ? errs : "");
}

static uint64_t sectors_of(const char *device)
{
	cleanup_free char *real = realpath(device, NULL), *text = NULL;
	cleanup_free char *path = real ? xprintf("/sys/class/block/%s/size", strrchr(real, '/') + 1) : NULL;
	return path && file_read(path, 64, &text, NULL) == 0 ? strtoull(text, NULL, 10) : 0;
}

/* Writes what is to be mapped from here on, and says up to where that goes; 0: this cannot be mapped so. */
static uint64_t write_line(int table, const json_t *row, uint64_t from)
{
	enum { SECTOR = 512 };
	uint64_t extent = lvm_bytes(row, "vg_extent_size"), length = lvm_bytes(row, "pvseg_size") * extent / SECTOR;
	uint64_t at = (lvm_bytes(row, "pe_start") + lvm_bytes(row, "pvseg_start") * extent) / SECTOR;
	bool whole = streq(lvm_text(row, "segtype"), "linear") && lvm_bytes(row, "seg_start") / SECTOR == from;
	dprintf(table, "%llu %llu linear %s %llu\n", (unsigned long long)from, (unsigned long long)length,
		lvm_text(row, "pv_name"), (unsigned long long)at);
	return whole ? from + length : 0;
}

/* The volume of these rows, one for each of its segments, in their order. */
static int lead(const json_t *rows, size_t first, size_t end)
{
	const char *device = lvm_text(json_array_get(rows, first), "lv_dm_path");
	cleanup_close int table = memfd_create("weft-table", MFD_CLOEXEC);
	uint64_t sectors = write_line(table, json_array_get(rows, first), 0);
	for (size_t i = first + 1; sectors && i < end; i++)
		sectors = write_line(table, json_array_get(rows, i), sectors);
	if (!sectors || sectors != sectors_of(device))
		return say(
			ENOTSUP,
			"the disk of '%s' had gone, and to this host it is another one now: it is led there when its "
			"volume group is put out of use and in use again (vgchange -an, vgchange -ay)",
			device);
	return lseek(table, 0, SEEK_SET) < 0 ? errno : load(device, table);
}

/* lvm pvs --segments -o lv_dm_path,... -O lv_dm_path,seg_start -S vg_name=vg0 */
int lvm_renew_parts(const struct lvm *lvm)
{
	cleanup_free char *group = xprintf("vg_name=%s", lvm->group);
	cleanup_json json_t *rows = NULL;
	int code = lvm_report(lvm,
			      (const char *[]){"pvs", "--segments", "-o",
					       "lv_dm_path,segtype,seg_start,pvseg_start,pvseg_size,pv_name,pe_start,"
					       "vg_extent_size",
					       "-O", "lv_dm_path,seg_start", "-S", group, NULL},
			      &rows);
	size_t n = json_array_size(rows);
	for (size_t first = 0, end; !code && first < n; first = end) {
		const char *device = lvm_text(json_array_get(rows, first), "lv_dm_path");
		for (end = first + 1; end < n && streq(lvm_text(json_array_get(rows, end), "lv_dm_path"), device);)
			end++;
		if (*device && has_lost(device, 1))
			code = lead(rows, first, end);
	}
	return code;
}
