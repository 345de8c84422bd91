/* SPDX-License-Identifier: Apache-2.0 */
/* Logical volumes whose disk has gone from the kernel, as at a logout, and come back as another one: sdb, and then sdc.
 * What was mapped to it stays mapped to nothing. An ordinary volume is led to the new one by loading its table anew,
 * whoever has it open; a thin pool is not, see below. Maps of multipathd keep their volumes from all of that. */
#include <dirent.h>

#include "stord/image.h"
#include "stord/lvm.h"

static bool is_multipath(const char *device)
{
	cleanup_free char *path = xprintf("/sys/class/block/%s/dm/uuid", device), *uuid = NULL;
	return file_read(path, 256, &uuid, NULL) == 0 && str_starts(uuid, "mpath-");
}

/* What is mapped to a disk keeps it from ending, but not from leaving sysfs. */
static bool stands_on_nothing(const char *device, unsigned depth)
{
	enum { DEPTH_MAX = 8 }; /* a thin volume stands on its pool, that on its parts, and those on disks */
	cleanup_free char *path = xprintf("/sys/class/block/%s/slaves", device);
	DIR *dir = depth < DEPTH_MAX && !is_multipath(device) ? opendir(path) : NULL;
	bool nothing = false;
	for (struct dirent *entry; dir && !nothing && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		cleanup_free char *number = xprintf("%s/%s/dev", path, entry->d_name);
		nothing = access(number, F_OK) < 0 || stands_on_nothing(entry->d_name, depth + 1);
	}
	if (dir)
		closedir(dir);
	return nothing;
}

bool lvm_is_orphaned(const char *place)
{
	cleanup_free char *real = realpath(place, NULL);
	return real && stands_on_nothing(strrchr(real, '/') + 1, 0);
}

static bool is_part(const json_t *row, const char *thin_pool)
{
	bool in_pool = streq(lvm_text(row, "pool_lv"), thin_pool) || streq(lvm_text(row, "lv_name"), thin_pool);
	const char *attributes = lvm_text(row, "lv_attr");
	return in_pool && strlen(attributes) > 4 && attributes[4] == 'a';
}

/* What a thin pool knows it would write to the disk that has gone before its table is loaded anew, and fail for good.
 * So all of it that is active is put out of use, and in use again:
 * lvm lvchange -an -K vg0/thin vg0/web ..., and -ay */
int lvm_renew_thin_pool(const struct lvm *lvm, const char *thin_pool, const char *place)
{
	cleanup_free char *what = xprintf("thin pool '%s/%s' cannot be put in use", lvm->group, thin_pool);
	cleanup_free char *errs = NULL;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_json json_t *rows = NULL;
	int code = lvm_report(lvm, (const char *[]){"lvs", "-o", "lv_name,lv_attr,pool_lv", lvm->group, NULL}, &rows);
	cleanup_free const char **argv = xcalloc(json_array_size(rows) + 4, sizeof(*argv));
	size_t n = 3, i;
	json_t *row;
	argv[0] = "lvchange";
	argv[1] = "-an";
	argv[2] = "-K";
	json_array_foreach(rows, i, row) {
		if (is_part(row, thin_pool))
			argv[n++] = arena_printf(arena, "%s/%s", lvm->group, lvm_text(row, "lv_name"));
	}
	if (code || n == 3 || !lvm_is_orphaned(place)) /* it has been done for another of its volumes */
		return code;
	lvm_attempt(lvm, argv, &errs); /* what is open stays */
	argv[1] = "-ay";
	code = lvm_change(lvm, what, argv);
	if (!code && lvm_is_orphaned(place))
		code = say(EBUSY,
			   "the disk of '%s' had gone, and to this host it is another one now: its thin pool is led to "
			   "that as soon as nothing of it is open, so stop the guests that use volumes of it",
			   place);
	return code;
}
