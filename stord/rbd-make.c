/* SPDX-License-Identifier: Apache-2.0 */
/* Making an image of Ceph under a temporary name: empty, as a linked clone or a full copy of another one, or as a copy
 * of a file or device. The last is done by qemu-img, which knows all formats and leaves out zeros; it gets the key
 * through its standard input. */
#include <signal.h>
#include <sys/stat.h>

#include "stord/image-internal.h"
#include "stord/progress.h"
#include "stord/rbd-image.h"

enum { SPARSE = 64 << 10, STALL_MS = 3000 };

/* What is being made. */
struct making {
	const struct volume_call *call;
	struct ceph_pool pool;
	char *name; /* temporary */
};

static int key_fd(const struct ceph_spec *spec, int *ret)
{
	cleanup_secret struct secret secret = {0};
	const char *key = NULL;
	int code = ceph_key(spec, &secret, &key);
	if (code)
		return code;
	struct secret only = {.text = (char *)key, .size = strlen(key)};
	*ret = secret_fd(&only);
	return *ret < 0 ? say(-*ret, "no memory for the key: %s", strerror(-*ret)) : 0;
}

/* Said beforehand and when something failed: librbd's copying says of a full cluster that there is no such file. */
static int check_room(const struct making *m)
{
	cleanup_free char *object = xprintf("%s.room", m->name);
	int r = ceph.rados_write_full(m->pool.io, object, object, 1);
	if (r >= 0)
		r = ceph.rados_remove(m->pool.io, object);
	return r < 0 ? rbd_failed(m->call, "making it", r) : 0;
}

static int copy_failed(const struct volume_call *call, int status, char *errs)
{
	const char *reason = status < 0 ? strerror(-status) : tool_reason(errs);
	if (strstr(reason, "Unknown driver"))
		return say(ENOPKG, "%s: qemu-img knows no images of Ceph: install the package qemu-block-extra",
			   call->state->place);
	return say(EIO, "%s: copying '%s': %s", call->state->place,
		   call->state->clone ? call->state->clone : call->state->source, reason);
}

struct copying {
	const struct making *m;
	off_t told;        /* how much qemu-img has said of it */
	uint64_t since_ms; /* that it says no more, or since it was asked after */
	int code;          /* it was ended for this */
};

/* What QEMU writes to a cluster that has become full waits until there is room again, if ever. */
static void watch_copy(void *ctx, pid_t pid, int out_fd)
{
	struct copying *copying = ctx;
	struct stat st = {0};
	tool_tell_copied(NULL, pid, out_fd);
	fstat(out_fd, &st);
	bool goes_on = st.st_size != copying->told;
	copying->told = st.st_size;
	if (!goes_on && now_ms() - copying->since_ms < STALL_MS)
		return;
	if (!goes_on && check_room(copying->m) == ENOSPC) {
		copying->code = ENOSPC;
		kill(pid, SIGKILL);
	}
	copying->since_ms = now_ms();
}

/* qemu-img convert -p -n --object secret,id=key,file=/dev/fd/0,format=base64 -f qcow2 --target-image-opts SOURCE
 *	driver=rbd,pool=vms,image=web.ID.weft-new,user=weft,...,key-secret=key */
static int copy(const struct making *m, const struct image *image)
{
	const struct volume_call *call = m->call;
	struct copying copying = {.m = m, .since_ms = now_ms()};
	cleanup_arena struct arena *arena = arena_new();
	cleanup_close int fd = -1;
	cleanup_free char *errs = NULL;
	int code = key_fd(call->state->own, &fd);
	if (code)
		return code;
	const char *to = arena_printf(arena, "%skey", ceph_qemu_options(arena, call->state->own, m->name));
	const char *argv[] = {"qemu-img",
			      "convert",
			      "-p",
			      "-n",
			      "--object",
			      "secret,id=key,file=/dev/fd/0,format=base64",
			      "-f",
			      image_source_formats[image->source_format],
			      "--target-image-opts",
			      image->source,
			      to,
			      NULL};
	int status = run_it(
		&(struct program){.argv = argv, .in_fd = fd, .errs = &errs, .tick = watch_copy, .ctx = &copying});
	if (copying.code)
		return copying.code;
	return status == 0 ? 0 : copy_failed(call, status, errs);
}

static int create(const struct making *m, uint64_t size)
{
	int order = 0; /* and features: as the cluster has it */
	if (!size)
		return say(EINVAL, "%s is not there, and the manifest gives no size for a new one",
			   m->call->state->place);
	int r = ceph.rbd_create(m->pool.io, m->name, size, &order), code;
	if (r == -EEXIST && (code = check_room(m)) != 0) /* that of an attempt before could not be deleted */
		return code;
	return r < 0 ? rbd_failed(m->call, "making it", r) : 0;
}

static int import(const struct making *m)
{
	const struct image image = volume_source(m->call->state);
	uint64_t size = 0;
	int code = image_check_source(&image, &size);
	if (!code)
		code = create(m, image.size ? image.size : size);
	return code ? code : copy(m, &image);
}

/* ---- out of another image ---- */

struct origin {
	rados_ioctx_t io;
	const char *name;
	char *snapshot; /* temporary, so that what is copied does not change meanwhile */
	rbd_image_t image;
};

/* "rbd:vms/web", "rbd:vms/space/web", "rbd:FSID/vms/web": of the cluster that was connected to, by that user. */
static int open_io(const struct making *m, const char *place, rados_ioctx_t *ret)
{
	const struct ceph_spec *spec = m->call->state->own;
	cleanup_free char *path = xstrdup(place + strlen("rbd:"));
	*strrchr(path, '/') = '\0';
	char *pool = path, *slash = strchr(path, '/');
	bool has_cluster = slash && slash - path == CEPH_FSID_LEN;
	if (has_cluster)
		pool = slash + 1;
	char *space = strchr(pool, '/');
	if (space)
		*space++ = '\0';
	if (has_cluster && (!spec->cluster || strncasecmp(path, spec->cluster, CEPH_FSID_LEN) != 0))
		return say(EXDEV,
			   "'%s' may be in another cluster than '%s': write `cluster` in both Pools, or export it "
			   "to a file and use `source`",
			   place, m->call->state->place);
	int r = ceph.rados_ioctx_create(m->pool.cluster, pool, ret);
	if (r < 0)
		return say(-r,
			   "'%s' cannot be copied from there: %s; if it is in another cluster, export it to a file "
			   "and use `source`",
			   place, strerror(-r));
	ceph.rados_set_pool_full_try(*ret);
	if (space)
		ceph.rados_ioctx_set_namespace(*ret, space);
	return 0;
}

/* Is it the Volume that is meant, and not an image of its name in a pool of that name in another cluster? */
static bool is_volume(rbd_image_t image, const char *name)
{
	char mark[IMAGE_MARK_MAX] = "";
	cleanup_free char *end = xprintf(":Volume/%s", name);
	return rbd_read_mark(image, mark) >= 0 && strlen(mark) > strlen(end) &&
	       streq(mark + strlen(mark) - strlen(end), end);
}

static int open_origin(const struct making *m, const char *place, struct origin *ret)
{
	*ret = (struct origin){.io = m->pool.io, .name = rbd_name(place)};
	int code = open_io(m, place, &ret->io);
	if (code)
		return code;
	int r = ceph.rbd_open(ret->io, ret->name, &ret->image, NULL);
	if (r < 0)
		return say(-r, "'%s' cannot be opened: %s", place, strerror(-r));
	if (!is_volume(ret->image, ret->name))
		code = say(EINVAL, "'%s' is not the Volume '%s': it does not carry its mark", place, ret->name);
	ret->snapshot = rbd_temporary_name(rbd_name(m->call->state->place));
	if (!code) {
		ceph.rbd_snap_remove(ret->image, ret->snapshot); /* an interrupted attempt's */
		r = ceph.rbd_snap_create(ret->image, ret->snapshot);
		if (r < 0)
			code = say(-r, "'%s': making a snapshot to begin from: %s", place, strerror(-r));
	}
	if (code)
		ceph.rbd_close(ret->image);
	return code;
}

/* Of a linked clone, Ceph keeps the snapshot until there is none that is read through it. */
static void close_origin(struct origin *origin)
{
	ceph.rbd_snap_remove(origin->image, origin->snapshot);
	ceph.rbd_close(origin->image);
	free(origin->snapshot);
}

static int tell_copied(uint64_t done, uint64_t total, void *ctx)
{
	progress_say("copying", total ? 100.0 * (double)done / (double)total : 0);
	return 0;
}

static int copy_image(const struct making *m, const struct origin *origin, rbd_image_options_t options)
{
	rbd_image_t image;
	int r = ceph.rbd_open_read_only(origin->io, origin->name, &image, origin->snapshot);
	if (r < 0)
		return r;
	r = ceph.rbd_copy_with_progress4(image, m->pool.io, m->name, options, tell_copied, NULL, SPARSE);
	ceph.rbd_close(image);
	return r;
}

/* A base that was protected by hand, or not: of a clone of version 2 it does not matter. */
static int link_image(const struct making *m, const struct origin *origin, rbd_image_options_t options)
{
	int r = ceph.rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_CLONE_FORMAT, 2);
	return r < 0 ? r : ceph.rbd_clone3(origin->io, origin->name, origin->snapshot, m->pool.io, m->name, options);
}

static int from_image(const struct making *m)
{
	const struct volume_state *state = m->call->state;
	const char *place = state->base ? state->base : state->clone;
	struct origin origin;
	rbd_image_options_t options;
	int code = open_origin(m, place, &origin);
	if (code)
		return code;
	ceph.rbd_image_options_create(&options);
	int r = (state->base ? link_image : copy_image)(m, &origin, options);
	ceph.rbd_image_options_destroy(options);
	close_origin(&origin);
	if (r < 0 && (code = check_room(m)) != 0)
		return code;
	return r < 0 ? say(-r, "%s: %s '%s': %s", state->place, state->base ? "linking it to" : "copying", place,
			   strerror(-r))
		     : 0;
}

/* ---- */

static bool is_own(const struct volume_state *state)
{
	return state->base || (state->clone && state->clone_type == state->type);
}

/* Where Ceph notes what is being deleted. A pool in which nothing has been deleted yet has it not, and once it is full
 * cannot have it: then nothing could be deleted there any more. */
static void make_trash(const struct ceph_pool *pool)
{
	static const char trash[] = "rbd_trash";
	uint64_t size;
	time_t changed;
	if (ceph.rados_stat(pool->io, trash, &size, &changed) == -ENOENT)
		ceph.rados_write_full(pool->io, trash, "", 0);
}

static int sweep_attempt(const struct making *m)
{
	int r = ceph.rbd_remove(m->pool.io, m->name);
	if (r == -EBUSY)
		return say(EBUSY,
			   "%s: what an interrupted attempt left is still in use; this lasts half a minute at most",
			   m->call->state->place);
	return r < 0 && r != -ENOENT ? rbd_failed(m->call, "deleting what an interrupted attempt left", r) : 0;
}

/* Large enough, and marked: then it is whole. */
static int finish(const struct making *m)
{
	rbd_image_t image;
	rbd_image_info_t info;
	int r = ceph.rbd_open(m->pool.io, m->name, &image, NULL);
	if (r < 0)
		return rbd_failed(m->call, "opening it", r);
	r = ceph.rbd_stat(image, &info, sizeof(info));
	if (r >= 0 && info.size < m->call->state->size)
		r = ceph.rbd_resize(image, m->call->state->size);
	int code = r < 0 ? rbd_failed(m->call, "growing it", r) : rbd_write_mark(m->call, image);
	ceph.rbd_close(image);
	if (code)
		return code;
	r = ceph.rbd_rename(m->pool.io, m->name, rbd_name(m->call->state->place)); /* never over one that is there */
	if (r == -EEXIST)
		return say(EEXIST, "%s: an image of that name has appeared meanwhile", m->call->state->place);
	return r < 0 ? rbd_failed(m->call, "giving it its name", r) : 0;
}

int rbd_image_make(const struct volume_call *call)
{
	const struct volume_state *state = call->state;
	struct making m = {.call = call, .name = rbd_temporary_name(rbd_name(state->place))}; /* freed with the child */
	int code = rbd_open_pool(call, 0, &m.pool);
	if (code)
		return code;
	make_trash(&m.pool);
	code = sweep_attempt(&m);
	if (!code && is_own(state))
		code = check_room(&m);
	if (!code)
		code = is_own(state)                   ? from_image(&m)
		       : state->source || state->clone ? import(&m)
						       : create(&m, state->size);
	if (!code)
		code = finish(&m);
	if (code)
		ceph.rbd_remove(m.pool.io, m.name);
	return code;
}
