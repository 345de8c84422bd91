/* SPDX-License-Identifier: Apache-2.0 */
/* Leases on images of Ceph: a lock named "weft" on the image's header object, which the OSDs keep until it is given
 * back or broken, whatever becomes of the client that took it. Its cookie says whose it is:
 *
 *     0123456789abcdef web 1732212131000 alpha
 *
 * (instance, guest, since when, host). That a holder lives is seen by the watch that every librbd has on an image that
 * it writes to. Besides, QEMU's librbd takes the image's own exclusive lock at its first write; breaking a lease breaks
 * that, too, and has its client blocklisted, so that a host which was only cut off cannot write any more. */
#include "stord/rbd-image.h"

enum { LOCKS_TEXT_MAX = 16 << 10, WATCHERS_MAX = 64, TRIES = 3, ASK_S = 15, OWNERS_MAX = 4 };

static const char lock_name[] = "weft";

/* A lock as it stands on the object. */
struct lock {
	char *client, *cookie, *address;
};
/* An image that is being leased. */
struct leased {
	const struct lease_call *call;
	struct ceph_pool pool;
	rbd_image_t image; /* NULL: there is none */
	char header[100];
	struct lock locks[LEASE_HOLDERS_MAX];
	struct lease_seen seen; /* the same, as holders */
	char texts[3][LOCKS_TEXT_MAX];
};

static int failed(const struct lease_call *call, const char *doing, int r)
{
	return say(-r, "the lease on %s: %s: %s", call->place, doing, strerror(-r));
}

/* The address of the host in "v1:10.99.0.11:0/123456", "10.99.0.11:0/123456", "[fd00::11]:0/123456". */
static const char *host_of(const char *address, int *ret_len)
{
	static const char *const kinds[] = {"v1:", "v2:", "any:"};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_starts(address, kinds[i]))
			address += strlen(kinds[i]);
	const char *end = strrchr(address, ':');
	*ret_len = (int)(end ? end - address : 0);
	return address;
}

/* Are they clients of one host? */
static bool same_host(const char *a, const char *b)
{
	int len_a, len_b;
	const char *host_a = host_of(a, &len_a), *host_b = host_of(b, &len_b);
	return len_a && len_a == len_b && strncmp(host_a, host_b, (size_t)len_a) == 0;
}

static bool has_watcher(rbd_image_t image, const char *address)
{
	rbd_image_watcher_t watchers[WATCHERS_MAX];
	size_t n = ARRAY_SIZE(watchers);
	bool found = false;
	if (ceph.rbd_watchers_list(image, watchers, &n) < 0)
		return true; /* more than anybody needs, or nobody knows: it is not taken for dead */
	for (size_t i = 0; i < n; i++)
		found = found || same_host(watchers[i].addr, address);
	ceph.rbd_watchers_list_cleanup(watchers, n);
	return found;
}

static void read_cookie(const struct lock *lock, struct lease_holder *ret)
{
	unsigned long long since = 0;
	*ret = (struct lease_holder){0};
	if (sscanf(lock->cookie, "%67s %67s %llu %67s", ret->instance, ret->guest, &since, ret->host) != 4) {
		snprintf(ret->instance, sizeof(ret->instance), "?");
		snprintf(ret->guest, sizeof(ret->guest), "%s", lock->cookie);
		snprintf(ret->host, sizeof(ret->host), "%s", lock->address);
	}
	ret->since_ms = since;
}

static int list_locks(struct leased *l)
{
	int exclusive = 0;
	char tag[16] = "", *at[3];
	size_t tag_size = sizeof(tag), sizes[3] = {LOCKS_TEXT_MAX, LOCKS_TEXT_MAX, LOCKS_TEXT_MAX};
	ssize_t n = ceph.rados_list_lockers(l->pool.io, l->header, lock_name, &exclusive, tag, &tag_size, l->texts[0],
					    &sizes[0], l->texts[1], &sizes[1], l->texts[2], &sizes[2]);
	l->seen = (struct lease_seen){0};
	if (n < 0 && n != -ENOENT)
		return failed(l->call, "looking who holds it", (int)n);
	for (size_t k = 0; k < 3; k++)
		at[k] = l->texts[k];
	for (ssize_t i = 0; i < n && l->seen.n < LEASE_HOLDERS_MAX; i++) {
		struct lock *lock = &l->locks[l->seen.n];
		struct lease_holder *holder = &l->seen.holders[l->seen.n++];
		*lock = (struct lock){at[0], at[1], at[2]};
		for (size_t k = 0; k < 3; k++)
			at[k] += strlen(at[k]) + 1;
		read_cookie(lock, holder);
		holder->mode = exclusive                             ? LEASE_ALONE
			       : streq(tag, lease_modes[LEASE_READ]) ? LEASE_READ
								     : LEASE_SHARED;
		holder->life = has_watcher(l->image, lock->address) ? LEASE_ALIVE : LEASE_UNKNOWN;
	}
	return 0;
}

/* An image that is not there has no lease. */
static int open_leased(const struct lease_call *call, struct leased *l)
{
	char id[64] = "";
	uint64_t features = 0;
	*l = (struct leased){.call = call};
	int code = ceph_open(call->own, ASK_S, &l->pool), r;
	if (code || l->pool.missing[0])
		return code;
	r = ceph.rbd_open_read_only(l->pool.io, strrchr(call->place, '/') + 1, &l->image, NULL);
	if (r == -ENOENT)
		return 0;
	if (r >= 0)
		r = ceph.rbd_get_id(l->image, id, sizeof(id));
	if (r >= 0)
		r = ceph.rbd_get_features(l->image, &features);
	if (r < 0)
		return failed(call, "opening the image", r);
	snprintf(l->header, sizeof(l->header), "rbd_header.%s", id);
	code = list_locks(l);
	if (!(features & RBD_FEATURE_EXCLUSIVE_LOCK))
		snprintf(l->seen.note, sizeof(l->seen.note),
			 "the image lacks the feature exclusive-lock: a host that is cut off is kept from writing by "
			 "nobody when its lease is broken");
	return code;
}

/* Looks again, for the caller. */
static int tell(struct leased *l, struct lease_seen *ret)
{
	char note[IMAGE_TEXT_MAX];
	memcpy(note, l->seen.note, sizeof(note));
	int code = l->image ? list_locks(l) : 0;
	*ret = l->seen;
	memcpy(ret->note, note, sizeof(note));
	if (l->image)
		ceph.rbd_close(l->image);
	return code;
}

static int drop(struct leased *l, size_t i)
{
	int r = ceph.rados_break_lock(l->pool.io, l->header, lock_name, l->locks[i].client, l->locks[i].cookie);
	return r < 0 && r != -ENOENT ? failed(l->call, "giving it back", r) : 0;
}

static int rbd_look(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased *l = xcalloc(1, sizeof(*l)); /* freed with the child */
	int code = open_leased(call, l);
	*ret = l->seen;
	if (l->image)
		ceph.rbd_close(l->image);
	return code;
}

/* What a guest of this very host held that has ended is over; what self holds in another way is taken anew. */
static int make_way(struct leased *l, bool *ret_held)
{
	const struct lease_holder *self = &l->call->self;
	*ret_held = false;
	for (size_t i = 0; i < l->seen.n; i++) {
		const struct lease_holder *holder = &l->seen.holders[i];
		bool same = lease_same_holder(holder, self);
		bool over = streq(holder->instance, self->instance) && holder->life != LEASE_ALIVE;
		if (same && holder->mode == self->mode) {
			*ret_held = true;
			return 0;
		}
		if (!same && lease_bears(holder, self))
			continue;
		if (!same && !over)
			return lease_refuse(l->call, holder);
		int code = drop(l, i);
		if (code)
			return code;
	}
	return 0;
}

static int lock_header(struct leased *l)
{
	const struct lease_holder *self = &l->call->self;
	cleanup_free char *cookie =
		xprintf("%s %s %llu %s", self->instance, self->guest, (unsigned long long)self->since_ms, self->host);
	if (self->mode == LEASE_ALONE)
		return ceph.rados_lock_exclusive(l->pool.io, l->header, lock_name, cookie, "", NULL, 0);
	return ceph.rados_lock_shared(l->pool.io, l->header, lock_name, cookie, lease_modes[self->mode], "", NULL, 0);
}

static int rbd_take(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased *l = xcalloc(1, sizeof(*l));
	bool held = false;
	int code = open_leased(call, l), r = -EBUSY;
	if (!code && !l->image)
		return say(ENOENT, "there is no image %s", call->place);
	for (unsigned i = 0; !code && !held && i < TRIES && r == -EBUSY; i++) {
		code = i ? list_locks(l) : 0;
		if (!code)
			code = make_way(l, &held);
		if (!code && !held)
			r = lock_header(l);
	}
	if (!code && !held && r < 0 && r != -EEXIST)
		code = failed(call, "taking it", r);
	return code ? code : tell(l, ret);
}

static int rbd_release(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased *l = xcalloc(1, sizeof(*l));
	int code = open_leased(call, l);
	for (size_t i = 0; !code && i < l->seen.n; i++)
		if (lease_same_holder(&l->seen.holders[i], &call->self))
			code = drop(l, i);
	return code ? code : tell(l, ret);
}

/* The client that wrote last may still think that it has the image. Ceph's library answers who that is only to who has
 * opened the image for writing, which takes nothing yet. */
static int fence(struct leased *l)
{
	char *owners[OWNERS_MAX];
	size_t n = ARRAY_SIZE(owners);
	rbd_lock_mode_t mode;
	rbd_image_t image;
	int r = ceph.rbd_open(l->pool.io, strrchr(l->call->place, '/') + 1, &image, NULL);
	if (r < 0)
		return failed(l->call, "looking who writes to the image", r);
	r = ceph.rbd_lock_get_owners(image, &mode, owners, &n);
	bool nobody = r == -ENOENT || r == -EINVAL; /* or an image without such locks */
	bool known = r >= 0;
	for (size_t i = 0; known && i < n && r >= 0; i++)
		r = ceph.rbd_lock_break(image, mode, owners[i]);
	if (known)
		ceph.rbd_lock_get_owners_cleanup(owners, n);
	ceph.rbd_close(image);
	return r < 0 && r != -ENOENT && !nobody ? failed(l->call, "keeping its holder from writing", r) : 0;
}

static int rbd_break_off(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased *l = xcalloc(1, sizeof(*l));
	int code = open_leased(call, l);
	*ret = l->seen;
	for (size_t i = 0; !code && i < l->seen.n; i++)
		if (l->seen.holders[i].life == LEASE_ALIVE)
			return say(EBUSY,
				   "guest '%s' on host '%s' runs, or ran half a minute ago, and holds volume '%s': a "
				   "lease is broken only of what is dead; stop the guest there",
				   l->seen.holders[i].guest, l->seen.holders[i].host, call->volume);
	if (!code && l->seen.n)
		code = fence(l);
	for (size_t i = 0; !code && i < l->seen.n; i++)
		code = drop(l, i);
	if (l->image)
		ceph.rbd_close(l->image);
	return code;
}

const struct lease_means lease_by_rbd = {
	.name = "rbd",
	.doc = "a lock on the image, kept by the cluster",
	.table = &ceph_table,
	.look = rbd_look,
	.take = rbd_take,
	.release = rbd_release,
	.break_off = rbd_break_off,
};
