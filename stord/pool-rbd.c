/* SPDX-License-Identifier: Apache-2.0 */
/* Pool type rbd: a pool of a Ceph cluster; volumes are images in it, which QEMU reaches by itself (librbd), so that
 * guests go on whatever becomes of this host's kernel, and nothing has to be mapped. What is asked of the cluster is
 * asked by children through ceph.h. */
#include "stord/rbd-image.h"

static const struct field ceph_rows[] = {
	F_STRING("pool", struct ceph_spec, pool, .flags = FIELD_REQUIRED, .max = 100, .doc = "The cluster's pool.",
		 .example = "vms"),
	F_STRING("namespace", struct ceph_spec, namespace, .max = 100,
		 .doc = "A namespace in it; without it the images that are in none.", .example = "tests"),
	F_LIST("monitors", struct ceph_spec, monitors, scalar_string, .flags = FIELD_REQUIRED, .list_max = 16,
	       .singular = "monitor",
	       .doc = "The cluster's monitors, each ADDRESS or ADDRESS:PORT; the more, the better.",
	       .example = "192.0.2.70:6789"),
	F_STRING("user", struct ceph_spec, user, .flags = FIELD_REQUIRED, .max = 64,
		 .doc = "Ceph's user, without client.; it needs mon 'profile rbd' and osd 'profile rbd pool=POOL'.",
		 .example = "weft"),
	F_STRUCT("keyring", struct ceph_spec, keyring, secret_table, .flags = FIELD_REQUIRED,
		 .doc = "Where its key is: a keyring as `ceph auth get` writes it, or the key alone."),
	F_STRING("cluster", struct ceph_spec, cluster, .max = 36,
		 .doc = "The cluster's fsid, which is then checked; needed where two clusters have pools of one name.",
		 .example = "9f8e7d6c-5b4a-4321-8765-0123456789ab"),
};
const struct table ceph_table = CHOICE_TABLE(
	"Pool of type rbd", struct ceph_spec, ceph_rows,
	"A pool of a Ceph cluster. Volumes are raw, thin images in it; guests reach them through QEMU's own "
	"client, which is in the package qemu-block-extra. When the cluster stops answering the Pool is Degraded and "
	"says "
	"when it was last seen to work; guests wait for it and go on.");

/* A cluster that is busy answers late, and so does a host that has to load Ceph's library first. */
enum { LOOK_S = 8 };

static bool is_plain(const char *name)
{
	return *name && *name != '-' && *name != '.' && !strpbrk(name, "/@:,=\"'\\ \t\n");
}

static bool is_fsid(const char *text)
{
	if (strlen(text) != CEPH_FSID_LEN || strspn(text, "0123456789abcdefABCDEF-") != CEPH_FSID_LEN)
		return false;
	for (size_t i = 0; i < CEPH_FSID_LEN; i++)
		if ((text[i] == '-') != (i == 8 || i == 13 || i == 18 || i == 23))
			return false;
	return true;
}

static void check_monitors(const struct check *check, const struct ceph_spec *spec)
{
	struct ceph_monitor monitor;
	for (size_t i = 0; i < spec->monitors.n; i++) {
		const char *text = list_at(&spec->monitors, const char *, i);
		cleanup_free char *path = xprintf("spec.monitors[%zu]", i);
		if (!ceph_monitor_parse(text, &monitor))
			check_fault(check, path,
				    "'%s' is no monitor: write ADDRESS or ADDRESS:PORT, such as 192.0.2.70:6789 or "
				    "[fd00::70]:3300",
				    text);
	}
	if (!spec->monitors.n)
		check_fault(check, "spec.monitors", "a Pool of type rbd needs at least one monitor");
}

static void rbd_check(const struct check *check, const void *own)
{
	const struct ceph_spec *spec = own;
	check_monitors(check, spec);
	if (spec->pool && !is_plain(spec->pool))
		check_fault(check, "spec.pool", "'%s' is not the name of a pool; a namespace has a field of its own",
			    spec->pool);
	if (spec->namespace && !is_plain(spec->namespace))
		check_fault(check, "spec.namespace", "'%s' is not the name of a namespace", spec->namespace);
	if (spec->user && (!is_plain(spec->user) || str_starts(spec->user, "client.")))
		check_fault(check, "spec.user", "'%s' is not a user's name; it is written without 'client.'",
			    spec->user);
	if (spec->cluster && !is_fsid(spec->cluster))
		check_fault(check, "spec.cluster", "'%s' is not what `ceph fsid` says, such as %s", spec->cluster,
			    ceph_rows[5].example);
	secret_check(check, &spec->keyring, "spec.keyring");
}

/* Monitors come and go; what it is called stays. */
static bool rbd_lower(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan)
{
	const struct ceph_spec *spec = own;
	char name[256];
	ceph_pool_name(spec, name);
	plan->place = spec->cluster ? arena_printf(lower_arena(l), "rbd:%s/%s", spec->cluster, name)
				    : arena_printf(lower_arena(l), "rbd:%s", name);
	plan->source = plan->place;
	plan->what = "pool";
	plan->at = "spec.pool";
	return true;
}

static int rbd_observe(const struct pool_call *call, struct pool_seen *ret)
{
	struct ceph_pool pool;
	int code = ceph_open(call->state->own, LOOK_S, &pool);
	if (!code && !pool.missing[0])
		code = ceph_ask(&pool);
	if (code)
		return code;
	snprintf(ret->note, sizeof(ret->note), "%s", pool.missing);
	if (pool.missing[0])
		return 0;
	ret->exists = true;
	ret->incarnation = pool.identity;
	ceph_room(&pool, &ret->capacity, &ret->available);
	rbd_image_sweep(&pool, call->sweep);
	return 0;
}

static int rbd_probe(const struct pool_call *call)
{
	struct ceph_pool pool;
	int code = ceph_open(call->state->own, PROBE_ANSWER_S, &pool);
	if (!code && pool.missing[0])
		return say(ENOENT, "%s", pool.missing);
	return code ? code : ceph_ask(&pool);
}

static bool rbd_address(struct lowering *l, const struct pool_state *pool, const char *name, struct volume_state *state)
{
	if (state->preallocation != PREALLOCATION_OFF) {
		lower_refuse(l, "spec.preallocation",
			     "images of Ceph take up what was written and no more; leave it off");
		return false;
	}
	state->place = arena_printf(lower_arena(l), "%s/%s", pool->place, name);
	state->own = pool->own;
	state->present |= VOLUME_OWN;
	return true;
}

static void rbd_remote(struct lowering *l, const struct volume_state *state, struct stord_remote *ret)
{
	const struct ceph_spec *spec = state->own;
	struct arena *arena = lower_arena(l);
	ret->options = ceph_qemu_options(arena, spec, strrchr(state->place, '/') + 1);
	ret->secret.ref = spec->keyring;
	ret->secret.owner = arena_printf(arena, "client.%s", spec->user);
}

/* Nothing has to be known of a linked clone: the cluster itself reads it through its base. */
static bool rbd_link(struct lowering *l, const struct volume_state *base, struct volume_state *state)
{
	return true;
}

static const struct volume_verbs rbd_volumes = {
	.table = &ceph_table,
	.formats = 1 << IMAGE_RAW,
	.format = IMAGE_RAW,
	.attach = STORD_REMOTE,
	.leases = &lease_by_rbd,
	.address = rbd_address,
	.remote = rbd_remote,
	.look = rbd_image_look,
	.make = rbd_image_make,
	.change = rbd_image_change,
	.remove = rbd_image_remove,
	.link = rbd_link,
	.copies_own = true,
	.snapshots = &rbd_snapshots,
};

const struct pool_type stord_rbd_pool = {
	.name = "rbd",
	.doc = "a pool of a Ceph cluster",
	.table = &ceph_table,
	.check = rbd_check,
	.lower = rbd_lower,
	.observe = rbd_observe,
	.probe = rbd_probe,
	.look_ms = LOOK_S * 1000,
	.volumes = &rbd_volumes,
};
