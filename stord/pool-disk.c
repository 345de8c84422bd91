/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type disk: a whole block device as one raw volume; whatever partitions there are is the guest's business. There
 * is no place on it for a mark, so that is a file in the state directory, devices/IDENTITY, named by what the kernel
 * knows the device by. One that carries anything is taken only with adopt: true. */
#include <fcntl.h>
#include <sys/stat.h>

#include "core/env.h"
#include "stord/image-internal.h"
#include "stord/pool-type.h"
#include "stord/signature.h"

struct disk_spec {
	uint64_t present;
	const char *device;
};

static const struct field disk_rows[] = {
	F_PATH("device", struct disk_spec, device, .flags = FIELD_REQUIRED, .max = 255,
	       .doc = "The block device, by a name that lasts: below /dev/disk/by-id, /dev/mapper or /dev/weft.",
	       .example = "/dev/disk/by-id/ata-SSD_1234"),
};
static const struct table disk_table = CHOICE_TABLE(
	"Pool of type disk", struct disk_spec, disk_rows,
	"A whole block device (a disk, a partition, a logical volume) that is one raw Volume. A device that "
	"carries anything is taken only by a Volume with adopt: true; its bytes are never deleted by weft.");

static void disk_check(const struct check *check, const void *own)
{
	const struct disk_spec *spec = own;
	if (spec->device && !str_starts(spec->device, "/dev/"))
		check_fault(check, "spec.device", "a device is below /dev; a directory is a Pool of type dir");
}

static bool disk_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	const struct disk_spec *spec = own;
	plan->place = plan->source = pool_normal_path(lower_arena(l), spec->device);
	plan->what = "device";
	plan->at = "spec.device";
	return true;
}

static int disk_observe(const struct pool_call *call, struct pool_seen *ret)
{
	struct signature found;
	int code = signature_look(call->state->place, &found);
	ret->exists = !code && found.device[0];
	ret->incarnation = found.identity;
	ret->capacity = found.size;
	if (!ret->exists)
		snprintf(ret->note, sizeof(ret->note), "there is no device '%s'", call->state->place);
	return code;
}

static bool volume_address(struct lowering *l, const struct pool_state *pool, const char *name,
			   struct volume_state *state)
{
	state->place = pool->place;
	if (state->reclaim == RECLAIM_KEEP)
		return true;
	lower_refuse(l, "spec.reclaim",
		     "the bytes of a whole device are not deleted by weft; clear it with blkdiscard or "
		     "wipefs when its Volume is gone");
	return false;
}

static char *mark_path(const struct signature *found)
{
	return xprintf("%s/devices/%016llx", env.state_dir, (unsigned long long)found->identity);
}

static void read_mark(const struct signature *found, char ret[static IMAGE_MARK_MAX])
{
	cleanup_free char *path = mark_path(found), *text = NULL;
	int r = file_read(path, IMAGE_MARK_MAX, &text, NULL);
	snprintf(ret, IMAGE_MARK_MAX, "%.*s", r < 0 ? 0 : (int)strcspn(text, "\n"), r < 0 ? "" : text);
}

static int write_mark(const struct volume_call *call, const struct signature *found)
{
	cleanup_free char *path = mark_path(found), *dir = xprintf("%s/devices", env.state_dir);
	cleanup_free char *text = xprintf("%s\n%s\n", call->mark, call->state->place);
	int r = mkdir_all(dir, 0700);
	if (r == 0)
		r = file_write_atomic(path, text, strlen(text), 0600);
	return r < 0 ? say(-r, "'%s' cannot be written: %s", path, strerror(-r)) : 0;
}

/* A blank device that nobody has taken is a volume yet to be made. */
static int volume_look(const struct volume_call *call, struct image_state *ret)
{
	struct signature found;
	int code = signature_look(call->state->place, &found);
	if (code || !found.device[0])
		return code;
	*ret = (struct image_state){
		.regular = true,
		.readable = true,
		.size = found.size,
		.allocated = found.size,
		.stamp = {.inode = found.identity, .size = found.size},
	};
	read_mark(&found, ret->mark);
	ret->exists = ret->mark[0] || !found.blank;
	return 0;
}

/* Opening it exclusively fails while the host itself uses it. */
static int check_free(const char *place)
{
	cleanup_close int fd = open(place, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd >= 0)
		return 0;
	return errno == EBUSY
		       ? say(EBUSY, "device '%s' is in use by this host: mounted, or part of something else", place)
		       : say(errno, "device '%s' cannot be opened: %s", place, strerror(errno));
}

static int check_size(const struct volume_call *call, const struct signature *found)
{
	char has[32], wants[32];
	if (found->size >= call->state->size)
		return 0;
	return say(EFBIG, "device '%s' has %s, less than the volume's %s; a device does not grow by itself",
		   found->device, tool_size_text(found->size, has), tool_size_text(call->state->size, wants));
}

/* Marked when it is whole: what was interrupted is not taken for a volume later, nor for blank. */
static int volume_make(const struct volume_call *call)
{
	const struct image image = volume_device(call->state);
	struct signature found;
	char text[128];
	int code = signature_look(call->state->place, &found);
	if (!code && !found.blank)
		code = say(EEXIST, "device '%s' carries %s; set adopt: true to take it as it is", call->state->place,
			   signature_text(&found, text));
	if (!code)
		code = check_size(call, &found);
	if (!code)
		code = check_free(call->state->place);
	if (!code && image.source)
		code = image_fill(&image);
	return code ? code : write_mark(call, &found);
}

static int volume_change(const struct volume_call *call)
{
	struct signature found;
	int code = signature_look(call->state->place, &found);
	if (!code && call->grow)
		code = check_size(call, &found);
	return code ? code : write_mark(call, &found);
}

static int volume_remove(const struct volume_call *call)
{
	return say(EPERM, "the bytes of device '%s' are not deleted by weft", call->state->place);
}

static const struct volume_verbs disk_volumes = {
	.formats = 1 << IMAGE_RAW,
	.format = IMAGE_RAW,
	.attach = STORD_BLOCK,
	.address = volume_address,
	.look = volume_look,
	.make = volume_make,
	.change = volume_change,
	.remove = volume_remove,
};

const struct pool_type stord_disk_pool = {
	.name = "disk",
	.doc = "a whole block device",
	.table = &disk_table,
	.check = disk_check,
	.lower = disk_lower,
	.observe = disk_observe,
	.on_device = true,
	.volumes = &disk_volumes,
};
