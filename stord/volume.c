/* SPDX-License-Identifier: Apache-2.0 */
/* Resource volume/POOL/NAME: a disk in a pool. Its mark says whose it is, so a volume that was detached is taken up
 * again, and anything else under the name is left alone. It grows and never shrinks; it is deleted only if its spec
 * says reclaim: delete. How all that is done is the business of its pool's type (struct volume_verbs), in a child. */
#include "core/child.h"
#include "core/env.h"
#include "core/lane-async.h"
#include "stord/pool-type.h"
#include "stord/probe.h"
#include "stord/volume.h"

const char *const reclaims[2] = {"keep", "delete"};

static const struct field volume_rows[] = {
	F_ENUM("type", struct volume_state, type, pool_types, .flags = FIELD_REFUSE, .doc = "What carries its pool."),
	F_STRING("place", struct volume_state, place, .flags = FIELD_REFUSE,
		 .doc = "Where it is: the image or the device, absolute.", .example = "/var/lib/weft/images/web.qcow2"),
	F_VARIANT("own", struct volume_state, own, pool_type_volume_table, .flags = FIELD_WEAK,
		  .doc = "What its pool's type knows of it."),
	F_ENUM("format", struct volume_state, format, image_formats, .flags = FIELD_REFUSE,
	       .doc = "How the bytes are laid out."),
	F_SIZE("size", struct volume_state, size, .flags = FIELD_GROWS | FIELD_IRREVERSIBLE,
	       .doc = "Size of the disk that the guest sees."),
	F_ENUM("preallocation", struct volume_state, preallocation, image_preallocations, .flags = FIELD_WEAK,
	       .doc = "What is allocated beforehand."),
	F_ENUM("reclaim", struct volume_state, reclaim, reclaims, .flags = FIELD_WEAK,
	       .doc = "What becomes of the bytes when nobody wants it any more."),
	F_PATH("source", struct volume_state, source, .flags = FIELD_WEAK, .doc = "The image it begins as a copy of."),
	F_STRING("sourceSha256", struct volume_state, source_sha256, .flags = FIELD_WEAK,
		 .doc = "What the source must be."),
	F_ENUM("sourceFormat", struct volume_state, source_format, image_source_formats, .flags = FIELD_WEAK,
	       .doc = "How the source is laid out."),
	F_SIZE("allocated", struct volume_state, allocated, .flags = FIELD_STATUS,
	       .doc = "What it takes up in the pool."),
	F_STRING("backing", struct volume_state, backing, .flags = FIELD_STATUS, .doc = "What it is based on."),
	F_STRING("base", struct volume_state, base, .flags = FIELD_WEAK,
		 .doc = "Place of the volume it is a linked clone of."),
	F_ENUM("baseFormat", struct volume_state, base_format, image_formats, .flags = FIELD_WEAK,
	       .doc = "How the base is laid out."),
	F_STRING("clone", struct volume_state, clone, .flags = FIELD_WEAK,
		 .doc = "Place of the volume it begins as a full copy of."),
	F_ENUM("cloneFormat", struct volume_state, clone_format, image_formats, .flags = FIELD_WEAK,
	       .doc = "How that one is laid out."),
	F_ENUM("cloneType", struct volume_state, clone_type, pool_types, .flags = FIELD_WEAK,
	       .doc = "What carries that one's pool."),
	F_U32("snapshots", struct volume_state, snapshots, .flags = FIELD_STATUS, .doc = "How many snapshots it has."),
	F_BOOL("adopt", struct volume_state, adopt, .flags = FIELD_WEAK,
	       .doc = "Whether what another weft made is used as well."),
	F_BOOL("active", struct volume_state, active, .flags = FIELD_BOUND,
	       .doc = "Whether its device is there; that comes and goes with its pool."),
};
static const struct table volume_table = TABLE("volume", struct volume_state, volume_rows);

/* All but the first: without any progress. What fills a disk may have to wait for gigabytes of the host's memory to be
 * written, of which nothing is seen. */
enum { LOOK_MS = 20 * 1000, CHANGE_MS = 290 * 1000, FILL_MS = 3590 * 1000 };

/* What the child gets. The operation outlives it. */
struct volume_work {
	const struct op *op;
	volume_verb_fn *verb; /* before looking; NULL: looking is all */
	struct image_stamp known;
};

static const struct volume_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

/* Its growth or end would tear the ground from under a guest of another host. */
int volume_check_use(const struct volume_call *call)
{
	const struct lease_means *means = volume_leases(call->state);
	struct lease_call lease = {
		.pool = call->pool,
		.volume = call->name,
		.place = call->state->place,
		.own = call->state->own,
		.self = lease_self(),
	};
	struct lease_seen seen = {0};
	int code = means ? means->look(&lease, &seen) : 0;
	for (size_t i = 0; !code && i < seen.n; i++)
		if (!streq(seen.holders[i].instance, lease.self.instance))
			return lease_refuse(&lease, &seen.holders[i]);
	return code;
}

static const char *identity_of(const struct op *op, const char *pool)
{
	struct resource_view view;
	struct engine *engine = op->lane->engine;
	bool wanted = op->verb == OP_CREATE && engine && engine_view_find(engine, "pool", pool, &view) && view.want;
	return wanted ? pool_identity(view.want->spec, view.identity, op->arena) : NULL;
}

/* `pool` gets what call.pool and call.name are parts of. */
static struct volume_call call_of(const struct op *op, const struct image_stamp *known, char **pool)
{
	*pool = xstrdup(op->key);
	char *slash = strchr(*pool, '/');
	*slash = '\0';
	return (struct volume_call){
		.pool = *pool,
		.name = slash + 1,
		.state = spec_of(op),
		.mark = op->mark ? op->mark : "",
		.known = known,
		.grow = op->verb == OP_UPDATE && (op->rows & VOLUME_SIZE),
		.pool_identity = identity_of(op, *pool),
	};
}

/* Runs in the child. */
static int do_verb(void *ctx, int out_fd)
{
	const struct volume_work *work = ctx;
	const struct op *op = work->op;
	cleanup_free char *pool = NULL;
	struct volume_call call = call_of(op, &work->known, &pool);
	struct image_state state = {0};
	int code = call.grow || op->verb == OP_REMOVE ? volume_check_use(&call) : 0;
	if (!code && work->verb)
		code = work->verb(&call);
	if (!code)
		code = pool_type_at(call.state->type)->volumes->look(&call, &state);
	if (code)
		return code;
	return write(out_fd, &state, sizeof(state)) == (ssize_t)sizeof(state) ? 0 : EIO;
}

/* An image is its Volume's own, or, if nobody wants it any more, some Volume's of this instance. One that another weft
 * made and that is to be used as well, as on storage that hosts share, keeps that one's mark. */
static enum owner owner_of(const struct op *op, const struct image_state *state)
{
	const struct volume_state *want = op->want;
	if (!state->regular)
		return OWNER_FOREIGN;
	cleanup_free char *ours = xprintf("weft:%s:", env.instance);
	bool same = op->mark ? streq(state->mark, op->mark) : str_starts(state->mark, ours);
	if (!same && want && want->adopt && str_starts(state->mark, "weft:") && !str_starts(state->mark, ours))
		return OWNER_UNKNOWN;
	return same ? OWNER_OURS : OWNER_FOREIGN;
}

static bool same_base(const struct volume_state *spec, const char *backing)
{
	return spec->base && backing ? streq(spec->base, backing) : !spec->base && !backing;
}

static const char *base_fault(struct arena *arena, const struct volume_state *spec, const char *backing)
{
	if (!spec->base)
		return arena_printf(arena,
				    "'%s' is based on '%s', which weft does not look after: flatten it with qemu-img "
				    "rebase -b ''",
				    spec->place, backing);
	return arena_printf(arena,
			    "'%s' is based on %s%s%s and not on '%s', as the manifest says; take `base` out of it, or "
			    "delete the Volume, move the image away and apply it again",
			    spec->place, backing ? "'" : "", backing ? backing : "nothing", backing ? "'" : "",
			    spec->base);
}

static void describe(struct op *op, const struct image_state *state)
{
	const struct volume_state *spec = spec_of(op);
	struct volume_state *seen = observation_begin(&op->obs, op->class, state->exists);
	struct arena *arena = op->obs.arena;
	op->obs.owner = owner_of(op, state);
	op->obs.incarnation = state->stamp.inode;
	seen->present = (spec->present & (VOLUME_TYPE | VOLUME_PLACE | VOLUME_OWN | VOLUME_FORMAT)) |
			(state->allocation_unknown ? 0 : VOLUME_ALLOCATED) | (state->readable ? VOLUME_SIZE : 0);
	seen->type = spec->type;
	seen->place = arena_strdup(arena, spec->place);
	if (spec->own)
		seen->own = table_copy(pool_type_volume_table(spec), spec->own, arena);
	seen->format = spec->format;
	seen->size = state->size;
	seen->allocated = state->allocated;
	if (state->stamp.n_snapshots) {
		seen->present |= VOLUME_SNAPSHOTS;
		seen->snapshots = state->stamp.n_snapshots;
	}
	seen->present |= spec->present & VOLUME_ACTIVE;
	seen->active = !state->inactive;
	if (state->health[0])
		op->obs.health = arena_strdup(arena, state->health);
	if (state->stamp.backing[0]) {
		seen->present |= VOLUME_BACKING;
		seen->backing = arena_strdup(arena, state->stamp.backing);
	}
	if (state->exists && !same_base(spec, seen->backing))
		op->obs.health = base_fault(arena, spec, seen->backing);
	if (op->obs.owner == OWNER_FOREIGN && state->mark[0])
		op->obs.note = arena_printf(arena, "'%s' belongs to %s", spec->place, state->mark);
	else if (state->readable && spec->size && state->size > spec->size && state->size - spec->size >= state->grain)
		op->obs.note =
			arena_printf(arena, "is larger than the manifest says (%llu bytes); a volume never shrinks",
				     (unsigned long long)state->size);
}

static const struct stord_user *user;

void stord_set_user(const struct stord_user *who)
{
	user = who;
}

static bool is_open(const struct volume_state *spec)
{
	return user && spec->place && user->guest(spec->place);
}

void volume_tell_user(const char *place, uint64_t size)
{
	if (user && user->guest(place))
		user->resize(place, size, NULL, NULL);
}

/* A guest that has it open hears how large it is by now, whoever made it grow. */
static void tell_user(const struct op *op, const struct image_state *state)
{
	const struct volume_state *spec = spec_of(op);
	if (state->exists && spec->place && !pool_type_at(spec->type)->volumes->grows_by_guest)
		volume_tell_user(spec->place, state->size);
}

/* A guest would read something else than its Volume says, or files of the host that an image names. */
static bool is_led_astray(const struct op *op, const struct image_state *state)
{
	const struct volume_state *want = op->want;
	const char *backing = state->stamp.backing[0] ? state->stamp.backing : NULL;
	return pool_type_at(want->type)->volumes->layered && state->readable && !same_base(want, backing) &&
	       (op->obs.owner != OWNER_FOREIGN || want->adopt);
}

static void take(struct op *op, const struct image_state *state)
{
	const struct volume_state *want = op->want;
	memory_put_image(spec_of(op)->place, state);
	describe(op, state);
	tell_user(op, state);
	if (!want || !state->exists)
		op_complete(op);
	else if (!state->readable && op->obs.owner != OWNER_FOREIGN)
		op_fail(op, EINVAL, "'%s' is not a whole %s image (%s); %s", want->place, image_formats[want->format],
			state->problem,
			state->remedy[0] ? state->remedy
					 : "bring it back from a backup, or remove it and apply the Volume again after "
					   "deleting it");
	else if (is_led_astray(op, state))
		op_fail(op, EINVAL, "%s", op->obs.health);
	else
		op_complete(op);
}

static void finish(struct task *task, const void *data, size_t size)
{
	if (size == sizeof(struct image_state))
		take(task->op, data);
	else
		op_fail(task->op, EPROTO, "volume %s was not told whole", task->op->key);
}

static const struct volume_verbs *verbs_of(const struct op *op)
{
	const struct volume_state *spec = spec_of(op);
	return pool_type_at(spec ? spec->type : 0)->volumes;
}

/* What can be said without a child; true if it was. */
static bool answer_at_once(struct op *op)
{
	const struct volume_state *spec = spec_of(op);
	cleanup_free char *pool = xstrndup(op->key, strcspn(op->key, "/"));
	if (!spec || !spec->place || !verbs_of(op)) { /* nobody knows where it was: there is nothing of it to see */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
	} else if (probe_silence(&probe_pools, pool)) {
		op_fail(op, ETIMEDOUT, "%s", probe_silence(&probe_pools, pool));
	} else {
		return false;
	}
	return true;
}

static void start(struct op *op, volume_verb_fn *verb)
{
	const struct volume_state *spec = spec_of(op);
	if (answer_at_once(op))
		return;
	bool copies = op->verb == OP_CREATE && (spec->source || spec->clone);
	bool fills = copies || (op->verb != OP_REMOVE && spec->preallocation == PREALLOCATION_FULL);
	struct volume_work *work = xcalloc(1, sizeof(*work));
	*work = (struct volume_work){.op = op, .verb = verb, .known = memory_image(spec->place)};
	task_start((struct task){.op = op, .input = work, .finish = finish, .patient = op->verb != OP_OBSERVE}, do_verb,
		   op->verb == OP_OBSERVE ? LOOK_MS
		   : fills                ? FILL_MS
					  : CHANGE_MS);
}

/* Many looks, or makings that are quick, in one child: a process for each would cost more than they do. */
struct many {
	struct op **ops;
	struct image_stamp *known;
	size_t n, cap, cap_known;
	struct child *child;
	struct many *next;
};
/* What the child writes of each, in turn. */
struct done_one {
	bool failed;
	struct image_state state;
};
enum { MANY_MAX = 4096, MAKINGS_MAX = 16, MANY_LOOK_MS = 500 };
static struct many *makings; /* under way */

static int do_many(void *ctx, int out_fd)
{
	const struct many *many = ctx;
	for (size_t i = 0; i < many->n; i++) {
		const struct op *op = many->ops[i];
		cleanup_free char *pool = NULL;
		struct volume_call call = call_of(op, &many->known[i], &pool);
		const struct volume_verbs *verbs = pool_type_at(call.state->type)->volumes;
		struct done_one done = {0};
		call.among_many = true;
		done.failed =
			(op->verb == OP_CREATE && verbs->make(&call) != 0) || verbs->look(&call, &done.state) != 0;
		if (write(out_fd, &done, sizeof(done)) != (ssize_t)sizeof(done))
			return EIO;
	}
	return 0;
}

static void forget_making(const struct many *many)
{
	struct many **at = &makings;
	while (*at && *at != many)
		at = &(*at)->next;
	if (*at)
		*at = many->next;
}

/* One that failed is done once more by itself, for the sentence that says why; so is what was called off with one that
 * it was together with. */
static void on_many_done(void *ctx, const struct child_result *result)
{
	struct many *many = ctx;
	const struct done_one *all = (const void *)result->out;
	forget_making(many);
	for (size_t i = 0; i < many->n; i++) {
		struct op *op = many->ops[i];
		bool told = (i + 1) * sizeof(*all) <= result->out_size;
		if (told && !all[i].failed) {
			take(op, &all[i].state);
		} else if (!op->err.code && (told || result->err.code == ECANCELED)) {
			start(op, op->verb == OP_CREATE ? verbs_of(op)->make : NULL);
		} else {
			if (!op->err.code)
				op->err = result->err;
			op_complete(op);
		}
	}
	free(many->ops);
	free(many->known);
	free(many);
}

static struct many *many_begin(struct many *many)
{
	if (!many)
		return NULL;
	bool makes = many->ops[0]->verb == OP_CREATE;
	many->child = child_call(do_many, many, (makes ? CHANGE_MS : LOOK_MS) + (unsigned)many->n * MANY_LOOK_MS,
				 on_many_done, many);
	if (makes) {
		many->next = makings;
		makings = many;
	}
	return NULL;
}

static void start_many(struct op *ops)
{
	struct many *many = NULL;
	for (struct op *op = ops, *next; op; op = next) {
		next = op->next;
		if (answer_at_once(op))
			continue;
		if (!many)
			many = xcalloc(1, sizeof(*many));
		grow(many->ops, many->n, many->cap);
		grow(many->known, many->n, many->cap_known);
		many->ops[many->n] = op;
		many->known[many->n++] = memory_image(spec_of(op)->place);
		if (many->n == (op->verb == OP_CREATE ? MAKINGS_MAX : MANY_MAX))
			many = many_begin(many);
	}
	many_begin(many);
}

static void volume_observe_many(struct op *ops)
{
	if (ops->next)
		start_many(ops);
	else
		start(ops, NULL);
}

static void volume_create(struct op *op)
{
	start(op, verbs_of(op)->make);
}

static void volume_create_many(struct op *ops)
{
	if (ops->next)
		start_many(ops);
	else
		volume_create(ops);
}

/* Nothing but a name and a few bytes. */
static bool volume_is_quick(const struct op *op)
{
	const struct volume_state *want = op->want;
	return verbs_of(op) && verbs_of(op)->makes_many && !want->source && !want->clone &&
	       want->preallocation == PREALLOCATION_OFF;
}

static void volume_cancel(struct op *op)
{
	for (struct many *many = makings; many; many = many->next)
		for (size_t i = 0; i < many->n; i++)
			if (many->ops[i] == op) {
				err_set(&op->err, ECANCELED, "was called off");
				child_kill(many->child);
				return;
			}
	task_cancel(op);
}

static void on_grown(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	if (err)
		op_fail(op, err->code, "%s", err->text);
	else
		start(op, NULL);
}

static void volume_update(struct op *op)
{
	const struct volume_state *want = op->want;
	if ((op->rows & VOLUME_SIZE) && verbs_of(op)->grows_by_guest && is_open(want))
		user->resize(want->place, want->size, on_grown, op);
	else
		start(op, verbs_of(op)->change);
}

static void volume_remove(struct op *op)
{
	const struct volume_verbs *verbs = verbs_of(op);
	start(op, verbs ? verbs->remove : NULL);
}

/* A few at once in each pool, so that a thousand are not made one by one, and none waits for another pool. */
static const char *slot_among(const char *key, const char *sort, unsigned n)
{
	static char slot[128];
	unsigned sum = 0;
	for (const char *p = key; *p; p++)
		sum = sum * 31 + (unsigned char)*p;
	snprintf(slot, sizeof(slot), "%.*s#%s%u", (int)strcspn(key, "/"), key, sort, sum % n);
	return slot;
}

const char *volume_slot_of(const char *key, const struct volume_state *state)
{
	enum { AT_ONCE = 8 };
	const struct volume_verbs *verbs = state ? pool_type_at(state->type)->volumes : NULL;
	return slot_among(key, "", verbs && verbs->at_once ? verbs->at_once : AT_ONCE);
}

/* Copies may take hours, and the others do not wait for them. */
static const char *volume_slot(const struct op *op)
{
	const struct volume_state *want = op->want;
	bool copies = op->verb == OP_CREATE && want && (want->source || want->clone);
	return copies ? slot_among(op->key, "copy", 2) : volume_slot_of(op->key, spec_of(op));
}

static bool volume_disposable(const void *spec)
{
	return ((const struct volume_state *)spec)->reclaim == RECLAIM_DELETE;
}

static const char *volume_progress(const char *key)
{
	return task_progress(&stord_volume_class, key);
}

static const struct async_verbs volume_verbs = {
	.observe_many = volume_observe_many,
	.create = volume_create,
	.update = volume_update,
	.remove = volume_remove,
	.slot = volume_slot,
	.create_many = volume_create_many,
	.is_quick = volume_is_quick,
	.cancel = volume_cancel,
	.deadline_ms = ASYNC_NO_DEADLINE,
};

const struct resource_class stord_volume_class = {
	.name = "volume",
	.doc = "A disk in a pool.",
	.table = &volume_table,
	.lane = "storage",
	.calm = stord_calm,
	.verbs = &volume_verbs,
	.flags = CLASS_PERSISTENT | CLASS_KEEP | CLASS_REMOVE_IRREVERSIBLE | CLASS_PRECIOUS,
	.disposable = volume_disposable,
	.progress = volume_progress,
	.trouble = probe_silence_around,
};
