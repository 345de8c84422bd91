/* SPDX-License-Identifier: Apache-2.0 */
/* Images of Ceph: raw, thin, with the mark among their metadata. One that is made or deleted has a name that says so
 * until it is whole or gone, so that what was interrupted is not taken for a volume. See rbd-image.h. */
#include "stord/rbd-image.h"

#include <time.h>

#include "core/env.h"
#include "stord/image-internal.h"

static const char mark_key[] = "weft.mark";

enum { LOOK_S = 15, OLD_S = 2 * 60, WATCHERS_MAX = 8, CLONES_MAX = 8, ID_MAX = 64 };

static char *ending(void)
{
	return xprintf(".%s.weft-new", env.instance);
}

char *rbd_temporary_name(const char *image)
{
	cleanup_free char *end = ending();
	return xprintf("%s%s", image, end);
}

bool rbd_is_temporary(const char *name)
{
	cleanup_free char *end = ending();
	size_t name_len = strlen(name), len = strlen(end);
	return name_len > len && streq(name + name_len - len, end);
}

int rbd_open_pool(const struct volume_call *call, unsigned seconds, struct ceph_pool *ret)
{
	int code = ceph_open(call->state->own, seconds, ret);
	return code || !ret->missing[0] ? code : say(ENOENT, "%s", ret->missing);
}

int rbd_failed(const struct volume_call *call, const char *doing, int r)
{
	char text[32];
	const uint64_t size = call->state->size;
	if (r == -ENOSPC || r == -EDQUOT)
		return say(ENOSPC, "%s: the cluster has no room or no quota left%s%s", call->state->place,
			   size ? " for an image of " : "", size ? tool_size_text(size, text) : "");
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

int rbd_read_mark(rbd_image_t image, char ret[static IMAGE_MARK_MAX])
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
	return rbd_read_mark(image, mark) >= 0 && str_starts(mark, ours);
}

static int add_extent(uint64_t offset, size_t size, int exists, void *sum)
{
	*(uint64_t *)sum += exists ? size : 0;
	return 0;
}

/* The cluster knows at once which objects there are where the image keeps a map of them; without one they would have
 * to be asked one by one. */
static void find_allocated(rbd_image_t image, struct image_state *ret)
{
	uint64_t features = 0, flags = 0;
	bool has_map = ceph.rbd_get_features(image, &features) >= 0 && (features & RBD_FEATURE_FAST_DIFF) &&
		       ceph.rbd_get_flags(image, &flags) >= 0 &&
		       !(flags & (RBD_FLAG_FAST_DIFF_INVALID | RBD_FLAG_OBJECT_MAP_INVALID));
	ret->allocation_unknown = !has_map || ceph.rbd_diff_iterate2(image, NULL, 0, ret->size, false, true, add_extent,
								     &ret->allocated) < 0;
}

/* An id such as "10ac8f1e77": another image under the name has another one. */
static uint64_t identity(rbd_image_t image)
{
	char id[ID_MAX] = "";
	ceph.rbd_get_id(image, id, sizeof(id));
	return ceph_hash(id);
}

/* "rbd:vms/base", as the place of one in this pool begins. */
static int read_parent(const struct volume_call *call, rbd_image_t image, char ret[static IMAGE_TEXT_MAX])
{
	const struct ceph_spec *spec = call->state->own;
	const char *place = call->state->place, *space = spec->namespace ? spec->namespace : "";
	rbd_linked_image_spec_t parent;
	rbd_snap_spec_t snap;
	int r = ceph.rbd_get_parent(image, &parent, &snap);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (streq(parent.pool_name, spec->pool) && streq(parent.pool_namespace, space))
		snprintf(ret, IMAGE_TEXT_MAX, "%.*s%s", (int)(rbd_name(place) - place), place, parent.image_name);
	else
		snprintf(ret, IMAGE_TEXT_MAX, "rbd:%s/%s%s%s", parent.pool_name, parent.pool_namespace,
			 *parent.pool_namespace ? "/" : "", parent.image_name);
	ceph.rbd_linked_image_spec_cleanup(&parent);
	ceph.rbd_snap_spec_cleanup(&snap);
	return 0;
}

static int describe(const struct volume_call *call, rbd_image_t image, struct image_state *ret)
{
	rbd_image_info_t info;
	struct rbd_snaps snaps = {0};
	int r = ceph.rbd_stat(image, &info, sizeof(info));
	if (r >= 0)
		r = rbd_read_mark(image, ret->mark);
	if (r >= 0)
		r = read_parent(call, image, ret->stamp.backing);
	if (r >= 0)
		r = rbd_list_snaps(image, &snaps);
	if (r < 0)
		return r;
	ret->exists = ret->regular = true;
	ret->readable = !rbd_is_half_reverted(image, ret->problem);
	ret->size = ret->stamp.size = info.size;
	ret->stamp.inode = identity(image);
	ret->stamp.n_snapshots = (uint32_t)snaps.n;
	find_allocated(image, ret);
	rbd_free_snaps(&snaps);
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
	r = ceph.rbd_open_read_only(pool.io, rbd_name(call->state->place), &image, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return rbd_failed(call, "opening it", r);
	r = describe(call, image, ret);
	ceph.rbd_close(image);
	return r < 0 ? rbd_failed(call, "looking at it", r) : 0;
}

int rbd_write_mark(const struct volume_call *call, rbd_image_t image)
{
	int r = ceph.rbd_metadata_set(image, mark_key, call->mark);
	return r < 0 ? rbd_failed(call, "marking it", r) : 0;
}

/* What another weft made is used as well, and stays that one's. */
static bool is_of_others(const struct image_state *state)
{
	cleanup_free char *ours = xprintf("weft:%s:", env.instance);
	return str_starts(state->mark, "weft:") && !str_starts(state->mark, ours);
}

int rbd_image_change(const struct volume_call *call)
{
	struct ceph_pool pool;
	struct image_state state = {0};
	rbd_image_t image;
	int code = rbd_open_pool(call, 0, &pool), r;
	if (code)
		return code;
	r = ceph.rbd_open(pool.io, rbd_name(call->state->place), &image, NULL);
	if (r < 0)
		return rbd_failed(call, "opening it", r);
	r = describe(call, image, &state);
	code = r < 0 ? rbd_failed(call, "looking at it", r) : 0;
	if (!code && !is_of_others(&state) && !streq(state.mark, call->mark))
		code = rbd_write_mark(call, image);
	if (!code && call->grow && state.size < call->state->size &&
	    (r = ceph.rbd_resize(image, call->state->size)) < 0)
		code = rbd_failed(call, "growing it", r);
	ceph.rbd_close(image);
	return code;
}

/* Somebody has it open, here or elsewhere: a watch is how librbd and the kernel hear of changes. */
static int check_unused(const struct volume_call *call, rbd_image_t image)
{
	rbd_image_watcher_t watchers[WATCHERS_MAX];
	size_t n = ARRAY_SIZE(watchers);
	int r = ceph.rbd_watchers_list(image, watchers, &n);
	if (r < 0 && r != -ERANGE)
		return rbd_failed(call, "looking who uses it", r);
	if (r == -ERANGE || n == 0)
		return n ? say(EBUSY, "%s is in use by %zu clients and is not deleted", call->state->place, n) : 0;
	say(0,
	    "%s is in use by client %lld at %s and is not deleted; who has ended without a word counts for half a "
	    "minute",
	    call->state->place, (long long)watchers[0].id, watchers[0].addr);
	ceph.rbd_watchers_list_cleanup(watchers, n);
	return EBUSY;
}

static int check_clones(const struct volume_call *call, rbd_image_t image)
{
	rbd_linked_image_spec_t clones[CLONES_MAX];
	size_t n = ARRAY_SIZE(clones);
	int r = ceph.rbd_list_children3(image, clones, &n);
	if (r < 0 && r != -ERANGE)
		return rbd_failed(call, "looking for linked clones", r);
	if (r == -ERANGE || n == 0)
		return n ? say(EBUSY, "%s has %zu linked clones and is not deleted: their bytes would be lost",
			       call->state->place, n)
			 : 0;
	say(0,
	    "image '%s' of pool '%s' is a linked clone of %s, which is not deleted: its bytes would be lost; delete "
	    "that first, or make it stand alone with `rbd flatten`",
	    clones[0].image_name, clones[0].pool_name, call->state->place);
	ceph.rbd_linked_image_spec_list_cleanup(clones, n);
	return EBUSY;
}

static int check_removable(const struct volume_call *call, rbd_image_t image)
{
	if (!is_ours(image))
		return say(EPERM, "%s does not carry weft's mark and is left alone", call->state->place);
	int code = check_clones(call, image);
	return code ? code : check_unused(call, image);
}

/* Deletes it with its snapshots, under the name that it has. */
static int remove_whole(const struct ceph_pool *pool, const char *name)
{
	rbd_image_t image;
	int r = ceph.rbd_open(pool->io, name, &image, NULL);
	if (r < 0)
		return r;
	r = rbd_purge_snaps(image);
	ceph.rbd_close(image);
	return r < 0 ? r : ceph.rbd_remove(pool->io, name);
}

int rbd_image_remove(const struct volume_call *call)
{
	struct ceph_pool pool;
	rbd_image_t image;
	const char *name = rbd_name(call->state->place);
	cleanup_free char *temporary = rbd_temporary_name(name);
	int code = rbd_open_pool(call, 0, &pool), r;
	if (code)
		return code;
	r = ceph.rbd_open_read_only(pool.io, name, &image, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return rbd_failed(call, "opening it", r);
	code = check_removable(call, image);
	ceph.rbd_close(image);
	if (code)
		return code;
	/* Under its own name, half of it would be taken for the volume. */
	r = ceph.rbd_rename(pool.io, name, temporary);
	if (r >= 0 && (r = remove_whole(&pool, temporary)) == -EBUSY)
		ceph.rbd_rename(pool.io, temporary, name);
	return r < 0 ? rbd_failed(call, "deleting it", r) : 0;
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
	rbd_image_spec_t *images = NULL;
	size_t n = 0;
	if (ceph.rbd_list2(pool->io, NULL, &n) != -ERANGE)
		return; /* there are none */
	images = xcalloc(n, sizeof(*images));
	if (ceph.rbd_list2(pool->io, images, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++)
		if (rbd_is_temporary(images[i].name) && (all || is_old(pool, images[i].name)))
			remove_whole(pool, images[i].name);
	free(images); /* its texts end with the child */
}
