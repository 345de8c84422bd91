/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that are images in a directory: NAME.FORMAT, by the functions of image.h. */
#include "core/env.h"
#include "stord/mount.h"
#include "stord/pool-type.h"

static bool file_address(struct lowering *l, const struct pool_state *pool, const char *name,
			 struct volume_state *state)
{
	state->place = arena_printf(lower_arena(l), "%s/%s.%s", pool->place, name, image_formats[state->format]);
	return true;
}

/* Raw has no place for the name of a base, and what is allocated beforehand would hide it. */
static bool file_link(struct lowering *l, const struct volume_state *base, struct volume_state *state)
{
	if (state->format != IMAGE_QCOW2)
		lower_refuse(l, "spec.format", "a linked clone in a pool of files is qcow2; leave the format out");
	else if (state->preallocation != PREALLOCATION_OFF)
		lower_refuse(
			l, "spec.preallocation",
			"a linked clone holds only what differs from its base, so nothing is allocated beforehand");
	else
		return true;
	return false;
}

/* By this child, a moment ago. */
static struct image_stamp made;

/* `dir` gets a copy of the place, which is cut where its last part begins. */
static struct image image_of(const struct volume_call *call, char **dir)
{
	const struct volume_state *state = call->state;
	*dir = xstrdup(state->place);
	char *slash = strrchr(*dir, '/');
	*slash = '\0';
	/* By its name alone: the directory may be mounted elsewhere tomorrow, or on another host. */
	const char *base = state->base ? strrchr(state->base, '/') : NULL;
	struct image image = volume_source(state);
	image.dir = **dir ? *dir : "/";
	image.file = slash + 1;
	image.format = (enum image_format)state->format;
	image.preallocation = (enum image_preallocation)state->preallocation;
	image.base = base ? base + 1 : NULL;
	image.base_format = (enum image_format)state->base_format;
	image.mark = call->mark;
	image.instance = env.instance;
	image.known = made.bytes ? made : *call->known;
	return image;
}

/* Where nothing is mounted yet there is no volume: it waits for its pool. What was seen before, or is to be deleted, is
 * not gone for that. */
static int file_look(const struct volume_call *call, struct image_state *ret)
{
	cleanup_free char *dir = NULL;
	struct image image = image_of(call, &dir);
	if (call->mark[0] && !call->known->inode && !mountinfo_is_there(image.dir))
		return 0;
	int code = mountinfo_check(image.dir);
	return code ? code : image_look(&image, ret);
}

/* What was mounted there may have gone a moment ago. */
static int check_directory(const struct volume_call *call, const char *dir)
{
	char identity[POOL_IDENTITY_MAX];
	if (!call->pool_identity)
		return 0;
	pool_files_identity(dir, identity);
	return streq(identity, call->pool_identity)
		       ? 0
		       : say(EXDEV, "'%s' is not the directory that Pool '%s' has used so far", dir, call->pool);
}

static int file_make(const struct volume_call *call)
{
	cleanup_free char *dir = NULL;
	struct image image = image_of(call, &dir);
	int code = mountinfo_check(image.dir);
	if (!code)
		code = check_directory(call, image.dir);
	if (!code)
		code = image_make(&image);
	if (!code && !image.source && !image.base)
		image_made_empty(&image, &made);
	return code;
}

static int file_change(const struct volume_call *call)
{
	cleanup_free char *dir = NULL;
	struct image image = image_of(call, &dir);
	int code = mountinfo_check(image.dir);
	return code ? code : image_change(&image, call->grow);
}

static int file_remove(const struct volume_call *call)
{
	cleanup_free char *dir = NULL;
	struct image image = image_of(call, &dir);
	int code = mountinfo_check(image.dir);
	return code ? code : image_delete(&image);
}

static int snapshot(const struct volume_call *call, enum image_snapshot_verb verb)
{
	cleanup_free char *dir = NULL;
	struct image image = image_of(call, &dir);
	int code = mountinfo_check(image.dir);
	return code ? code : image_snapshot(&image, verb, call->snapshot);
}

static int file_snapshots(const struct volume_call *call, struct volume_snapshots *ret)
{
	cleanup_free char *dir = NULL;
	struct image image = image_of(call, &dir);
	int code = mountinfo_check(image.dir);
	return code ? code : image_snapshots(&image, ret);
}

static int file_snapshot_make(const struct volume_call *call)
{
	return snapshot(call, SNAPSHOT_MAKE);
}

static int file_snapshot_revert(const struct volume_call *call)
{
	return snapshot(call, SNAPSHOT_REVERT);
}

static int file_snapshot_remove(const struct volume_call *call)
{
	return snapshot(call, SNAPSHOT_REMOVE);
}

static const struct snapshot_verbs file_snapshot_verbs = {
	.list = file_snapshots,
	.make = file_snapshot_make,
	.revert = file_snapshot_revert,
	.remove = file_snapshot_remove,
};

const struct volume_verbs volume_files = {
	.formats = 1 << IMAGE_RAW | 1 << IMAGE_QCOW2,
	.format = IMAGE_QCOW2,
	.attach = STORD_FILE,
	.leases = &lease_by_file,
	.address = file_address,
	.look = file_look,
	.make = file_make,
	.change = file_change,
	.remove = file_remove,
	.link = file_link,
	.layered = true,
	.makes_many = true,
	.grows_by_guest = true,
	.snapshots = &file_snapshot_verbs,
};
