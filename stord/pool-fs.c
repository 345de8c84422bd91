/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type fs: a filesystem of a block device, by UUID, label or device, mounted at mounts/POOL in the state
 * directory; volumes are images in it. */
#include "stord/filesystem.h"
#include "stord/mount.h"
#include "stord/pool-type.h"

struct fs_spec {
	uint64_t present;
	const char *uuid, *label, *device, *fs_type;
	int format;
	struct list options;
};
enum { FORMAT_ROW = 4 };

static const struct field fs_rows[] = {
	F_STRING("uuid", struct fs_spec, uuid, .max = 64, .doc = "UUID of the filesystem, as blkid shows it.",
		 .example = "0b4a9b8e-6a53-4d0f-8a0e-54e3a2a1c0de"),
	F_STRING("label", struct fs_spec, label, .max = 255, .doc = "Label of the filesystem, instead.",
		 .example = "images"),
	F_PATH("device", struct fs_spec, device, .max = 255,
	       .doc = "Its device, instead; by a name that lasts, below /dev/disk or /dev/weft.",
	       .example = "/dev/disk/by-id/ata-SSD_1234-part1"),
	F_STRING("fsType", struct fs_spec, fs_type, .max = 32,
		 .doc = "Type of the filesystem; refused if another is there. Without it any is taken.",
		 .example = "ext4"),
	[FORMAT_ROW] = F_ENUM("format", struct fs_spec, format, filesystem_types,
			      .doc = "Make this filesystem if the device is blank: no signature, and zeros at its "
				     "beginning and end. Over anything else it is never made. Needs `device`."),
	F_LIST("options", struct fs_spec, options, scalar_string, .list_max = 32,
	       .doc = "Further options of the mount.", .example = "noatime"),
};
static const struct table fs_table =
	CHOICE_TABLE("Pool of type fs", struct fs_spec, fs_rows,
		     "A filesystem on a device of this host, mounted below the state directory with nosuid, nodev and "
		     "noexec. A device that is not there yet is waited for.");

static void fs_check(const struct check *check, const void *own)
{
	const struct fs_spec *spec = own;
	bool formats = spec->present >> FORMAT_ROW & 1;
	int n = !!spec->uuid + !!spec->label + !!spec->device;
	if (n != 1)
		check_fault(check, "spec", "a Pool of type fs is named by one of uuid, label and device, not by %s",
			    n ? "several" : "none");
	if (spec->uuid && (!*spec->uuid || strspn(spec->uuid, "0123456789abcdefABCDEF-") != strlen(spec->uuid)))
		check_fault(check, "spec.uuid", "'%s' is not a UUID: hexadecimal digits with dashes", spec->uuid);
	if (spec->label && (!*spec->label || strpbrk(spec->label, "\"'=")))
		check_fault(check, "spec.label", "'%s' is not a label", spec->label);
	if (spec->device && !str_starts(spec->device, "/dev/"))
		check_fault(check, "spec.device", "a device is below /dev; a directory is a Pool of type dir");
	if (formats && !spec->device)
		check_fault(check, "spec.format",
			    "what is named by its UUID or label has a filesystem already; name the device by `device`");
	if (formats && spec->fs_type && !streq(spec->fs_type, filesystem_types[spec->format]))
		check_fault(check, "spec.format", "fsType says %s; leave it out", spec->fs_type);
	mount_check_options(check, &spec->options, "spec.options");
}

static const char *what_text(struct arena *arena, const struct fs_spec *spec)
{
	if (spec->uuid)
		return arena_printf(arena, "UUID=%s", spec->uuid);
	return spec->label ? arena_printf(arena, "LABEL=%s", spec->label) : pool_normal_path(arena, spec->device);
}

static bool fs_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	const struct fs_spec *spec = own;
	bool formats = spec->present >> FORMAT_ROW & 1;
	const char *type = formats ? filesystem_types[spec->format] : spec->fs_type;
	struct filesystem_state state = {
		.present = FILESYSTEM_WHAT | FILESYSTEM_MAKE | (type ? FILESYSTEM_TYPE : 0),
		.what = what_text(lower_arena(l), spec),
		.fs_type = type,
		.make = formats,
	};
	struct mount_plan mount = {
		.pool = object->name,
		.what = state.what,
		.fs_type = type ? type : "auto",
		.options = &spec->options,
	};
	struct want *filesystem = want(l, &stord_filesystem_class, &state, "%s", object->name);
	plan->need = mount_want(l, &mount, &plan->place);
	needs(l, plan->need, filesystem);
	plan->source = state.what;
	plan->what = "filesystem";
	plan->at = spec->uuid ? "spec.uuid" : spec->label ? "spec.label" : "spec.device";
	return true;
}

const struct pool_type stord_fs_pool = {
	.name = "fs",
	.doc = "a filesystem on a device",
	.table = &fs_table,
	.check = fs_check,
	.lower = fs_lower,
	.observe = pool_mounted_look,
	.volumes = &volume_files,
};
