/* SPDX-License-Identifier: Apache-2.0 */
/* Resource pool/NAME: a place for volumes. Its verbs are those of its type (pool-type.h), each run in a child; what
 * they have in common is here: deadlines, whose it is, what is remembered and watched. */
#include "core/env.h"
#include "core/lane-async.h"
#include "stord/pool-type.h"
#include "stord/probe.h"

static const struct field pool_rows[] = {
	F_ENUM("type", struct pool_state, type, pool_types, .flags = FIELD_REFUSE, .doc = "What carries the pool."),
	F_STRING("place", struct pool_state, place, .flags = FIELD_REFUSE,
		 .doc = "Where its volumes are: a directory, a volume group, a pool of a cluster.",
		 .example = "/var/lib/weft/images"),
	F_STRING("source", struct pool_state, source, .flags = FIELD_REFUSE,
		 .doc = "What carries it: a directory, an export of a server, a device.",
		 .example = "/var/lib/weft/images"),
	F_VARIANT("own", struct pool_state, own, pool_type_table, .doc = "The fields of its type."),
	F_SIZE("capacity", struct pool_state, capacity, .flags = FIELD_STATUS, .doc = "How much it holds."),
	F_SIZE("available", struct pool_state, available, .flags = FIELD_STATUS, .doc = "What is free there."),
	F_STRING("lastSeen", struct pool_state, last_seen, .flags = FIELD_STATUS,
		 .doc = "When it was last seen to work, while it does not."),
	F_STRING("location", struct pool_state, location, .flags = FIELD_STATUS, .doc = "What carries it."),
	F_LIST("devices", struct pool_state, devices, scalar_string, .flags = FIELD_STATUS,
	       .doc = "The block devices that it stands on.", .example = "/dev/sda"),
	F_BOOL("active", struct pool_state, active,
	       .doc = "It is put in use on this host, where it may be there without that."),
	F_STRING("identity", struct pool_state, identity, .flags = FIELD_WEAK,
		 .doc = "Which thing it has been ever since it was there first."),
	F_BOOL("grown", struct pool_state, grown, .flags = FIELD_IRREVERSIBLE,
	       .doc = "Whether it uses all that its devices have."),
};
static const struct table pool_table = TABLE("pool", struct pool_state, pool_rows);

/* What can fall silent is not waited for as long: nobody would know meanwhile. */
enum { LOOK_MS = 20 * 1000, SILENT_LOOK_MS = 3 * 1000, CHANGE_MS = 30 * 1000 };

/* What the child gets. The operation outlives it. */
struct pool_work {
	const struct op *op;
	pool_verb_fn *verb;
	bool sweep;
};

static const struct pool_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

/* A Pool that is told to be elsewhere is not known there. */
static const char *identity_text(const struct pool_state *spec, const char *identity, struct arena *arena)
{
	return *identity ? arena_printf(arena, "%s %s", identity, spec->source) : NULL;
}

const char *pool_identity(const struct pool_state *spec, const char *kept, struct arena *arena)
{
	const char *blank = kept ? strchr(kept, ' ') : NULL;
	bool here = blank && streq(blank + 1, spec->source);
	return here ? arena_strndup(arena, kept, (size_t)(blank - kept)) : spec->identity;
}

/* Runs in the child. */
static int do_verb(void *ctx, int out_fd)
{
	const struct pool_work *work = ctx;
	struct pool_call call = {
		.name = work->op->key,
		.state = spec_of(work->op),
		.mark = work->op->mark ? work->op->mark : "",
		.identity = pool_identity(spec_of(work->op), work->op->identity, work->op->arena),
		.sweep = work->sweep,
		.fresh = work->op->fresh,
		.grow = work->op->verb == OP_UPDATE && (work->op->rows & POOL_GROWN),
	};
	struct pool_seen seen = {0};
	int code = work->verb(&call, &seen);
	if (code)
		return code;
	return write(out_fd, &seen, sizeof(seen)) == (ssize_t)sizeof(seen) ? 0 : EIO;
}

/* What another Pool or another instance has marked is a place like any other. */
static enum owner owner_of(const struct op *op, const struct pool_seen *output)
{
	cleanup_free char *ours = xprintf("weft:%s:", env.instance);
	bool same = op->mark ? streq(output->mark, op->mark) : str_starts(output->mark, ours);
	return same ? OWNER_OURS : OWNER_UNKNOWN;
}

/* Rounded down to what is worth reading: of 79 GiB nobody wants to know the last KiB, which change all the time. */
static uint64_t readable(uint64_t bytes)
{
	for (unsigned shift = 40; shift >= 10; shift -= 10)
		if (bytes >> shift >= 10)
			return bytes >> shift << shift;
	return bytes;
}

static struct list lines_of(struct arena *arena, const char *text)
{
	const char **items = NULL;
	size_t n = 0, cap = 0;
	char *rest = arena_strdup(arena, text);
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (!*line)
			continue;
		arena_grow(arena, items, n, cap);
		items[n++] = line;
	}
	return (struct list){.items = items, .n = n};
}

static void describe(struct op *op, const struct pool_seen *output)
{
	const struct pool_state *spec = spec_of(op);
	struct pool_state *seen = observation_begin(&op->obs, op->class, output->exists);
	struct arena *arena = op->obs.arena;
	struct pool_state *copy = table_copy(&pool_table, spec, arena);
	*seen = *copy;
	seen->present = (seen->present & (POOL_WANTED | POOL_PLACE | POOL_ACTIVE | POOL_GROWN)) | POOL_LOCATION;
	seen->active = !output->inactive;
	seen->grown = !output->outgrown;
	seen->location = seen->source;
	seen->capacity = readable(output->capacity);
	seen->available = readable(output->available);
	if (output->capacity)
		seen->present |= POOL_CAPACITY | POOL_AVAILABLE;
	if (output->devices[0]) {
		seen->present |= POOL_DEVICES;
		seen->devices = lines_of(arena, output->devices);
	}
	op->obs.incarnation = output->incarnation;
	op->obs.owner = owner_of(op, output);
	op->obs.note = output->note[0] ? arena_strdup(arena, output->note) : NULL;
	op->obs.health = output->health[0] ? arena_strdup(arena, output->health) : NULL;
}

/* With what was seen of it, now or before. */
static void ask_from_now_on(const struct op *op)
{
	const struct pool_state *seen = op->obs.spec ? op->obs.spec : op->seen ? op->seen : op->want;
	if (op->want && op->lane->engine && pool_type_at(seen->type)->probe)
		probe_begin(op->lane->engine, &probe_pools, op->key, seen);
}

/* The Pool that is known by this identity. */
static const char *pool_before(const struct op *op, const char *identity)
{
	struct resource_view view;
	for (size_t i = 0; op->lane->engine && engine_view(op->lane->engine, i, &view); i++) {
		if (view.class != op->class || !view.want || streq(view.key, op->key))
			continue;
		if (streq(pool_identity(view.want->spec, view.identity, op->arena), identity))
			return view.key;
	}
	return NULL;
}

/* Its volumes were looked for in another place meanwhile. */
static void note_fault(const struct op *op, const char *source, bool fault)
{
	if (memory_fault_pool(source, fault) && !fault && op->lane->engine)
		engine_dirty(op->lane->engine, "volume", NULL);
}

static void finish_look(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct pool_seen *output = data;
	if (size != sizeof(*output)) {
		op_fail(op, EPROTO, "pool %s was not told whole", op->key);
		return;
	}
	const struct pool_state *spec = spec_of(op);
	describe(op, output);
	bool news = op->want && output->identity[0] && !pool_identity(spec, op->identity, op->arena);
	const char *before = news ? pool_before(op, output->identity) : NULL;
	if (before) {
		op_fail(op, EEXIST, "'%s' is the same directory as that of Pool '%s', by another name: use that Pool",
			spec->source, before);
		return;
	}
	memory_put_pool(spec->source, output->exists);
	if (output->exists) {
		note_fault(op, spec->source, output->fault[0]);
		if (output->local) /* nothing that it stands on falls silent */
			probe_end(&probe_pools, op->key);
		else
			ask_from_now_on(op);
		probe_note(&probe_pools, op->key, NULL);
	}
	if (output->local)
		(output->exists ? watch_pool : watch_for_pool)(op->lane->engine, op->key, spec->place);
	if (op->want && output->fault[0]) {
		op_fail(op, EXDEV, "%s", output->fault);
		return;
	}
	op->obs.identity = identity_text(spec, output->identity, op->obs.arena);
	op_complete(op);
}

/* Nobody wants it any more, and what weft did not make is put out of use again. */
static bool is_given_back(const struct op *op)
{
	const struct pool_state *want = op->want;
	return op->verb == OP_UPDATE && (op->rows & POOL_ACTIVE) && !want->active;
}

/* What stays is given up; its mark lets the same Pool take it up again. */
static void finish_end(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct pool_seen *output = data;
	if (size != sizeof(*output)) {
		op_fail(op, EPROTO, "pool %s was not told whole", op->key);
		return;
	}
	describe(op, output);
	op->obs.owner = output->exists ? OWNER_FOREIGN : OWNER_UNKNOWN;
	memory_put_pool(spec_of(op)->source, false);
	unwatch_pool(op->key);
	probe_end(&probe_pools, op->key);
	op_complete(op);
}

/* As it was seen last, and what is wrong now: without asking it, since that would take as long as it is away. */
static void finish_silent(struct op *op)
{
	const struct pool_state *before = op->seen;
	struct pool_seen output = {.exists = true, .incarnation = op->incarnation};
	snprintf(output.health, sizeof(output.health), "%s", probe_silence(&probe_pools, op->key));
	if (before && (before->present & POOL_CAPACITY)) {
		output.capacity = before->capacity;
		output.available = before->available;
	}
	for (size_t i = 0, at = 0; before && i < before->devices.n && at < sizeof(output.devices); i++)
		at += (size_t)snprintf(output.devices + at, sizeof(output.devices) - at, "%s\n",
				       list_at(&before->devices, const char *, i));
	describe(op, &output);
	struct pool_state *seen = op->obs.spec;
	if (probe_last(&probe_pools, op->key)) {
		seen->last_seen = arena_strdup(op->obs.arena, probe_last(&probe_pools, op->key));
		seen->present |= POOL_LAST_SEEN;
	}
	op_complete(op);
}

static void fall_silent(struct op *op, const char *said)
{
	ask_from_now_on(op);
	probe_note(&probe_pools, op->key, said);
	if (probe_silence(&probe_pools, op->key))
		finish_silent(op);
	else
		op_fail(op, ETIMEDOUT, "pool '%s' at '%s' does not answer", op->key, spec_of(op)->source);
}

static void late(struct task *task)
{
	fall_silent(task->op, "looking at it took too long");
}

/* What was never seen to answer is not there, rather than silent. */
static void gave_up(struct task *task, const char *said)
{
	if (probe_last(&probe_pools, task->op->key))
		fall_silent(task->op, said);
	else
		op_fail(task->op, ETIMEDOUT, "%s", said);
}

static void start(struct op *op, pool_verb_fn *verb)
{
	const struct pool_state *spec = spec_of(op);
	if (!spec || !spec->source) { /* nobody knows what it was: there is nothing of it to see */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
		return;
	}
	bool ends = op->verb == OP_REMOVE || is_given_back(op);
	if (!ends && probe_silence(&probe_pools, op->key)) {
		finish_silent(op);
		return;
	}
	struct pool_work *work = xcalloc(1, sizeof(*work));
	*work = (struct pool_work){.op = op, .verb = verb, .sweep = !memory_has_pool(spec->source)};
	const struct pool_type *type = pool_type_at(spec->type);
	unsigned look_ms = type->look_ms ? type->look_ms : type->probe ? SILENT_LOOK_MS : LOOK_MS;
	const struct task task = {
		.op = op,
		.input = work,
		.finish = ends ? finish_end : finish_look,
		.late = late,
		.gave_up = gave_up,
	};
	task_start(task, do_verb, op->verb == OP_OBSERVE ? look_ms : type->change_ms ? type->change_ms : CHANGE_MS);
}

static const struct pool_type *type_of(const struct op *op)
{
	const struct pool_state *spec = spec_of(op);
	return pool_type_at(spec ? spec->type : 0);
}

static void pool_observe(struct op *op)
{
	start(op, type_of(op)->observe);
}

static void pool_create(struct op *op)
{
	const struct pool_type *type = type_of(op);
	start(op, type->activate ? type->activate : type->observe);
}

/* What was not made is as good as gone once nobody wants it. */
static int leave_alone(const struct pool_call *call, struct pool_seen *ret)
{
	return 0;
}

static void pool_remove(struct op *op)
{
	const struct pool_type *type = type_of(op);
	start(op, type->deactivate ? type->deactivate : leave_alone);
}

/* There is nothing else to change about a pool itself; looking again with what the manifest says now is all. */
static void pool_update(struct op *op)
{
	if (is_given_back(op))
		pool_remove(op);
	else if (op->rows & (POOL_ACTIVE | POOL_GROWN))
		pool_create(op);
	else
		start(op, type_of(op)->observe);
}

static const char *pool_slot(const struct op *op)
{
	return op->key;
}

static bool pool_creatable(const void *spec)
{
	return pool_type_at(((const struct pool_state *)spec)->type)->activate;
}

static const struct async_verbs pool_verbs = {
	.observe = pool_observe,
	.create = pool_create,
	.update = pool_update,
	.remove = pool_remove,
	.slot = pool_slot,
	.cancel = task_cancel,
	.deadline_ms = ASYNC_NO_DEADLINE, /* children have their own, which their type may say */
};

const struct resource_class stord_pool_class = {
	.name = "pool",
	.doc = "A place that holds volumes.",
	.table = &pool_table,
	.lane = "storage",
	.calm = stord_calm,
	.verbs = &pool_verbs,
	/* What weft made of it would be another one if it were made anew. */
	.flags = CLASS_PERSISTENT | CLASS_PRECIOUS | CLASS_REMOVE_IRREVERSIBLE,
	.period_ms = 60 * 1000, /* for the free space, which nothing tells of */
	.creatable = pool_creatable,
};
