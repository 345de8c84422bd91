/* SPDX-License-Identifier: Apache-2.0 */
/* Images of Ceph: raw, thin, with the mark among their metadata. One that is made or deleted has a name that says so
 * until it is whole or gone, so that what was interrupted is not taken for a volume. See rbd-image.h. */
#include "stord/rbd-image.h"

#include <time.h>

#include "core/env.h"
#include "stord/image-internal.h"

static const char mark_key[] = "weft.mark";

enum { LOOK_S = 15, OLD_S = 2 * 3600, WATCHERS_MAX = 8, ID_MAX = 64 };

static const char *image_name(const struct volume_call *call)
{
	return strrchr(call->state->place, '/') + 1;
}

/* "web.ID.weft-new": known as ours by its instance. */
static char *ending(void)
{
	return xprintf(".%s.weft-new", env.instance);
}

static char *temporary_name(const struct volume_call *call)
{
	cleanup_free char *end = ending();
	return xprintf("%s%s", image_name(call), end);
}

/* Connects; a pool that is not there is a fault. */
static int open_pool(const struct volume_call *call, unsigned seconds, struct ceph_pool *ret)
{
	int code = ceph_open(call->state->own, seconds, ret);
	return code || !ret->missing[0] ? code : say(ENOENT, "%s", ret->missing);
}

static int failed(const struct volume_call *call, const char *doing, int r)
{
	char text[32];
	if (r == -ENOSPC || r == -EDQUOT)
		return say(ENOSPC, "%s: the cluster has no room or no quota left for an image of %s",
			   call->state->place, tool_size_text(call->state->size, text));
	if (r == -EPERM || r == -EACCES)
		return say(EACCES,
			   "%s: %s: client.%s may not; give it the capabilities mon 'profile rbd' and osd "
			   "'profile rbd pool=%s'",
			   call->state->place, doing, ((const struct ceph_spec *)call->state->own)->user,
			   ((const struct ceph_spec *)call->state->own)->pool);
	if (r == -ETIMEDOUT)
		return say(ETIMEDOUT, "%s: %s: the cluster does not answer", call->state->place, doing);
	return say(-r, "%s: %s: %s", call->state->place, doing, strerror(-r));
}

static int read_mark(rbd_image_t image, char ret[static IMAGE_MARK_MAX])
{
	size_t size = IMAGE_MARK_MAX;
	int r = ceph.rbd_metadata_get(image, mark_key, ret, &size);
	if (r == -ENOENT)
		ret[0] = '\0';
	return r == -ENOENT ? 0 : r;
}

static bool is_ours(rbd_image_t image)
{
	char mark[IMAGE_MARK_MAX] = "";
	cleanup_free char *ours = xprintf("weft:%s:", env.instance);
	return read_mark(image, mark) >= 0 && str_starts(mark, ours);
}

static int add_extent(uint64_t offset, size_t size, int exists, void *sum)
{
	*(uint64_t *)sum += exists ? size : 0;
	return 0;
}

/* The cluster knows at once which objects there are where the image keeps a map of them; without one they would have
 * to be asked one by one, and what it takes up is not told. */
static uint64_t allocated_bytes(rbd_image_t image, uint64_t size)
{
	uint64_t features = 0, flags = 0, sum = 0;
	if (ceph.rbd_get_features(image, &features) < 0 || !(features & RBD_FEATURE_FAST_DIFF) ||
	    ceph.rbd_get_flags(image, &flags) < 0 ||
	    (flags & (RBD_FLAG_FAST_DIFF_INVALID | RBD_FLAG_OBJECT_MAP_INVALID)))
		return 0;
	return ceph.rbd_diff_iterate2(image, NULL, 0, size, false, true, add_extent, &sum) < 0 ? 0 : sum;
}

/* An id such as "10ac8f1e77": another image under the name has another one. */
static uint64_t identity(rbd_image_t image)
{
	char id[ID_MAX] = "";
	uint64_t hash = 14695981039346656037u;
	ceph.rbd_get_id(image, id, sizeof(id));
	for (const char *p = id; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211u;
	return hash;
}

static int describe(rbd_image_t image, struct image_state *ret)
{
	rbd_image_info_t info;
	int r = ceph.rbd_stat(image, &info, sizeof(info));
	if (r >= 0)
		r = read_mark(image, ret->mark);
	if (r < 0)
		return r;
	ret->exists = ret->regular = ret->readable = true;
	ret->size = ret->stamp.size = info.size;
	ret->stamp.inode = identity(image);
	ret->allocated = allocated_bytes(image, info.size);
	return 0;
}

int rbd_image_look(const struct volume_call *call, struct image_state *ret)
{
	struct ceph_pool pool;
	rbd_image_t image;
	*ret = (struct image_state){0};
	int code = ceph_open(call->state->own, LOOK_S, &pool), r;
	if (code || pool.missing[0])
		return code; /* it waits for its pool, which says what is missing */
	r = ceph.rbd_open_read_only(pool.io, image_name(call), &image, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return failed(call, "opening it", r);
	r = describe(image, ret);
	ceph.rbd_close(image);
	return r < 0 ? failed(call, "looking at it", r) : 0;
}

static int write_mark(const struct volume_call *call, const struct ceph_pool *pool, const char *name)
{
	rbd_image_t image;
	int r = ceph.rbd_open(pool->io, name, &image, NULL);
	if (r < 0)
		return failed(call, "opening it", r);
	r = ceph.rbd_metadata_set(image, mark_key, call->mark);
	ceph.rbd_close(image);
	return r < 0 ? failed(call, "marking it", r) : 0;
}

static int fill(const struct volume_call *call, const struct ceph_pool *pool, const char *name)
{
	int order = 0, r = ceph.rbd_remove(pool->io, name);
	if (r == -EBUSY)
		return say(EBUSY,
			   "%s: what an interrupted attempt left is still in use; this lasts half a minute at most",
			   call->state->place);
	if (r < 0 && r != -ENOENT)
		return failed(call, "deleting what an interrupted attempt left", r);
	r = ceph.rbd_create(pool->io, name, call->state->size, &order);
	if (r < 0)
		return failed(call, "making it", r);
	int code = call->state->source || call->state->clone ? rbd_import(call, name) : 0;
	return code ? code : write_mark(call, pool, name);
}

int rbd_image_make(const struct volume_call *call)
{
	struct ceph_pool pool;
	cleanup_free char *temporary = temporary_name(call);
	int code = open_pool(call, 0, &pool);
	if (!code)
		code = fill(call, &pool, temporary);
	if (code) {
		if (pool.io)
			ceph.rbd_remove(pool.io, temporary);
		return code;
	}
	int r = ceph.rbd_rename(pool.io, temporary, image_name(call)); /* never over one that is there */
	if (r >= 0)
		return 0;
	ceph.rbd_remove(pool.io, temporary);
	return r == -EEXIST ? say(EEXIST, "%s: an image of that name has appeared meanwhile", call->state->place)
			    : failed(call, "giving it its name", r);
}

int rbd_image_change(const struct volume_call *call)
{
	struct ceph_pool pool;
	struct image_state state = {0};
	rbd_image_t image;
	int code = open_pool(call, 0, &pool), r;
	if (code)
		return code;
	r = ceph.rbd_open(pool.io, image_name(call), &image, NULL);
	if (r < 0)
		return failed(call, "opening it", r);
	r = describe(image, &state);
	if (r >= 0 && !streq(state.mark, call->mark))
		r = ceph.rbd_metadata_set(image, mark_key, call->mark);
	if (r >= 0 && call->grow && state.size < call->state->size)
		r = ceph.rbd_resize(image, call->state->size);
	ceph.rbd_close(image);
	return r < 0 ? failed(call, "changing it", r) : 0;
}

/* Somebody has it open, here or elsewhere: a watch is how librbd and the kernel hear of changes. */
static int check_unused(const struct volume_call *call, rbd_image_t image)
{
	rbd_image_watcher_t watchers[WATCHERS_MAX];
	size_t n = ARRAY_SIZE(watchers);
	int r = ceph.rbd_watchers_list(image, watchers, &n);
	if (r < 0 && r != -ERANGE)
		return failed(call, "looking who uses it", r);
	if (r == -ERANGE || n == 0)
		return n ? say(EBUSY, "%s is in use by %zu clients and is not deleted", call->state->place, n) : 0;
	say(0,
	    "%s is in use by client %lld at %s and is not deleted; who has ended without a word counts for half a "
	    "minute",
	    call->state->place, (long long)watchers[0].id, watchers[0].addr);
	ceph.rbd_watchers_list_cleanup(watchers, n);
	return EBUSY;
}

static int check_removable(const struct volume_call *call, rbd_image_t image)
{
	rbd_snap_info_t snaps[1];
	int n = ARRAY_SIZE(snaps);
	if (!is_ours(image))
		return say(EPERM, "%s does not carry weft's mark and is left alone", call->state->place);
	int r = ceph.rbd_snap_list(image, snaps, &n);
	if (r > 0)
		ceph.rbd_snap_list_end(snaps);
	if (r > 0 || r == -ERANGE)
		return say(EBUSY,
			   "%s has snapshots and is not deleted; they go with `rbd snap purge`, if nobody needs them",
			   call->state->place);
	return r < 0 ? failed(call, "looking for snapshots", r) : check_unused(call, image);
}

int rbd_image_remove(const struct volume_call *call)
{
	struct ceph_pool pool;
	rbd_image_t image;
	cleanup_free char *temporary = temporary_name(call);
	int code = open_pool(call, 0, &pool), r;
	if (code)
		return code;
	r = ceph.rbd_open_read_only(pool.io, image_name(call), &image, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return failed(call, "opening it", r);
	code = check_removable(call, image);
	ceph.rbd_close(image);
	if (code)
		return code;
	/* Under its own name, half of it would be taken for the volume. */
	r = ceph.rbd_rename(pool.io, image_name(call), temporary);
	if (r >= 0 && (r = ceph.rbd_remove(pool.io, temporary)) == -EBUSY)
		ceph.rbd_rename(pool.io, temporary, image_name(call));
	return r < 0 ? failed(call, "deleting it", r) : 0;
}

static bool is_old(const struct ceph_pool *pool, const char *name)
{
	rbd_image_t image;
	struct timespec made = {0};
	if (ceph.rbd_open_read_only(pool->io, name, &image, NULL) < 0)
		return false;
	int r = ceph.rbd_get_create_timestamp(image, &made);
	ceph.rbd_close(image);
	return r >= 0 && time(NULL) - made.tv_sec > OLD_S;
}

void rbd_image_sweep(const struct ceph_pool *pool, bool all)
{
	cleanup_free char *end = ending();
	rbd_image_spec_t *images = NULL;
	size_t n = 0, len = strlen(end);
	if (ceph.rbd_list2(pool->io, NULL, &n) != -ERANGE)
		return; /* there are none */
	images = xcalloc(n, sizeof(*images));
	if (ceph.rbd_list2(pool->io, images, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		size_t name_len = strlen(images[i].name);
		if (name_len > len && streq(images[i].name + name_len - len, end) &&
		    (all || is_old(pool, images[i].name)))
			ceph.rbd_remove(pool->io, images[i].name);
	}
	free(images); /* its texts end with the child */
}
