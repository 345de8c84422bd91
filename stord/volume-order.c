/* SPDX-License-Identifier: Apache-2.0 */
/* What a person orders of a volume beside its manifest: snapshots. An order is an operation like those of the engine's,
 * in the same lane and the same queue, so that nothing else is done to the volume meanwhile; but it is done once, and
 * what came of it is told to who asked. The storage alone knows what snapshots there are. */
#include <time.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "stord/pool-type.h"
#include "stord/probe.h"
#include "stord/silence.h"
#include "stord/volume-spec.h"

/* Going back may mean to read all of it. */
enum { LIST_MS = 20 * 1000, ORDER_MS = 290 * 1000, REVERT_MS = 3590 * 1000 }; /* the last two without any progress */

/* As shown. */
struct found {
	uint64_t present;
	const char *name, *made_at;
	uint64_t size;
};
static const struct field found_rows[] = {
	F_STRING("name", struct found, name, .doc = "Its name."),
	F_STRING("madeAt", struct found, made_at, .doc = "When it was made."),
	F_SIZE("size", struct found, size, .doc = "Size of the disk then."),
};
static const struct table found_table = TABLE("snapshot", struct found, found_rows);

struct order_state {
	uint64_t present;
	const char *snapshot;
	struct list snapshots; /* observed */
};
static const struct field order_rows[] = {
	F_STRING("snapshot", struct order_state, snapshot, .doc = "What it is about."),
	F_STRUCTS("snapshots", struct order_state, snapshots, found_table, .doc = "What there is."),
};
static const struct table order_table = TABLE("volume-order", struct order_state, order_rows);

/* What the child gets. */
struct order_work {
	enum op_verb verb;
	struct volume_call call;
	const struct snapshot_verbs *verbs;
};

/* ---- in the child ---- */

static int tell_list(const struct order_work *work, int out_fd)
{
	struct volume_snapshots list = {0};
	int code = work->verbs->list(&work->call, &list);
	size_t size = list.n * sizeof(*list.items);
	if (!code && list.n && write(out_fd, list.items, size) != (ssize_t)size)
		code = EIO;
	free(list.items);
	return code;
}

static int do_order(void *ctx, int out_fd)
{
	const struct order_work *work = ctx;
	if (work->verb == OP_OBSERVE)
		return tell_list(work, out_fd);
	volume_verb_fn *const by_verb[] = {NULL, work->verbs->make, work->verbs->revert, work->verbs->remove};
	int code = volume_check_use(&work->call);
	return code ? code : by_verb[work->verb](&work->call);
}

/* ---- in the lane ---- */

static const char *time_of(struct arena *arena, uint64_t s)
{
	char text[32];
	time_t at = (time_t)s;
	struct tm tm;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
	return arena_strdup(arena, text);
}

static void describe(struct op *op, const struct volume_snapshot *items, size_t n)
{
	struct order_state *state = observation_begin(&op->obs, op->class, true);
	struct arena *arena = op->obs.arena;
	struct found *found = arena_alloc(arena, (n + 1) * sizeof(*found));
	for (size_t i = 0; i < n; i++) {
		found[i] = (struct found){
			.present = 1 | (items[i].made_s ? 2 : 0) | (items[i].size ? 4 : 0),
			.name = arena_strndup(arena, items[i].name, SNAPSHOT_NAME_MAX),
			.made_at = items[i].made_s ? time_of(arena, items[i].made_s) : NULL,
			.size = items[i].size,
		};
	}
	state->snapshots = (struct list){found, n};
	state->present = 2;
}

static void finish(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	if (op->verb == OP_OBSERVE)
		describe(op, data, size / sizeof(struct volume_snapshot));
	op_complete(op);
}

static void start(struct op *op)
{
	struct resource_view view;
	struct engine *engine = op->lane->engine;
	/* One that is a mixture after a weftd died on its way back has never been seen as a volume by the next. */
	if (!engine || !engine_view_find(engine, "volume", op->key, &view) || !view.want ||
	    (view.known && !view.exists)) {
		op_fail(op, ENOENT, "volume %s is not there", op->key);
		return;
	}
	cleanup_free char *pool = xstrndup(op->key, strcspn(op->key, "/"));
	if (probe_silence(&probe_pools, pool)) {
		op_fail(op, ETIMEDOUT, "%s", probe_silence(&probe_pools, pool));
		return;
	}
	struct order_work *work = xcalloc(1, sizeof(*work));
	struct arena *arena = op->arena; /* lives as long as the operation */
	const struct order_state *order = op->want;
	const struct volume_state *state = table_copy(view.class->table, view.want->spec, arena);
	struct image_stamp *known = arena_new_of(arena, struct image_stamp);
	*known = memory_image(state->place);
	work->verb = op->verb;
	work->verbs = pool_type_at(state->type)->volumes->snapshots;
	work->call = (struct volume_call){
		.pool = arena_strdup(arena, pool),
		.name = arena_strdup(arena, op->key + strlen(pool) + 1),
		.state = state,
		.mark = arena_strdup(arena, view.want->mark),
		.known = known,
		.snapshot = arena_strdup(arena, order ? order->snapshot : NULL),
	};
	bool looks = op->verb == OP_OBSERVE;
	task_start((struct task){.op = op, .input = work, .finish = finish, .patient = !looks}, do_order,
		   looks                   ? LIST_MS
		   : op->verb == OP_UPDATE ? REVERT_MS
					   : ORDER_MS);
}

static const char *slot(const struct op *op)
{
	struct resource_view view;
	struct engine *engine = op->lane->engine;
	bool wanted = engine && engine_view_find(engine, "volume", op->key, &view) && view.want;
	return volume_slot_of(op->key, wanted ? view.want->spec : NULL);
}

static const struct async_verbs order_verbs = {
	.observe = start,
	.create = start,
	.update = start,
	.remove = start,
	.slot = slot,
	.cancel = task_cancel,
	.deadline_ms = ASYNC_NO_DEADLINE,
};
static const struct resource_class order_class = {
	.name = "volume-order",
	.doc = "What was ordered of a volume.",
	.table = &order_table,
	.lane = "storage",
	.verbs = &order_verbs,
};

/* ---- who asks ---- */

struct order {
	struct op op;
	struct order_state want;
	char *key;
	struct silence *watch; /* of a look: whether its pool answers */
	bool silent;
	stord_order_fn *done;
	void *ctx;
};

static void on_done(struct op *op)
{
	struct order *order = container_of(op, struct order, op);
	json_t *found = NULL;
	silence_unwatch(order->watch);
	if (order->silent)
		err_set(&op->err, ETIMEDOUT, "pool '%.*s' does not answer; ask again once it does",
			(int)strcspn(order->key, "/"), order->key);
	if (!op->err.code && op->obs.valid)
		found = table_to_json(&order_table, op->obs.spec, 0);
	if (order->op.lane->engine && op->verb != OP_OBSERVE)
		engine_dirty(order->op.lane->engine, "volume", order->key);
	order->done(order->ctx, json_object_get(found, "snapshots"), op->err.code ? &op->err : NULL);
	json_decref(found);
	observation_done(&op->obs);
	free(order->key);
	free((char *)order->want.snapshot);
	free(order);
}

/* Who only looks does not wait for what does not answer. */
static void on_silence(void *ctx)
{
	struct order *order = ctx;
	struct lane *lane = order->op.lane;
	order->silent = true;
	if (lane->ops->cancel)
		lane->ops->cancel(lane, &order->op);
}

static struct silence *watch_pool_of(struct engine *engine, struct order *order)
{
	cleanup_free char *pool = xstrndup(order->key, strcspn(order->key, "/"));
	return silence_watch(engine, pool, 0, on_silence, order);
}

void stord_volume_order(struct engine *engine, const struct stord_order *what, stord_order_fn *done, void *ctx)
{
	static const enum op_verb verbs[] = {
		[STORD_SNAPSHOT_LIST] = OP_OBSERVE,
		[STORD_SNAPSHOT_CREATE] = OP_CREATE,
		[STORD_SNAPSHOT_REVERT] = OP_UPDATE,
		[STORD_SNAPSHOT_DELETE] = OP_REMOVE,
	};
	struct lane *lane = engine_lane(engine, "storage");
	struct order *order = xcalloc(1, sizeof(*order));
	order->want = (struct order_state){.present = 1, .snapshot = xstrdup(what->snapshot ? what->snapshot : "")};
	order->key = xstrdup(what->key);
	order->done = done;
	order->ctx = ctx;
	order->op = (struct op){
		.verb = verbs[what->order],
		.class = &order_class,
		.key = order->key,
		.want = &order->want,
		.lane = lane,
		.done = on_done,
	};
	if (what->order == STORD_SNAPSHOT_LIST)
		order->watch = watch_pool_of(engine, order);
	lane->ops->submit(lane, &order->op);
	if (lane->ops->flush)
		lane->ops->flush(lane);
}

const char *stord_order_progress(const char *key)
{
	return task_progress(&order_class, key);
}

static const char *clone_of(const struct generation *gen, const char *volume)
{
	for (size_t i = 0; i < gen->n_objects; i++) {
		const struct object *object = gen->objects[i];
		if (object->kind == &stord_volume_kind &&
		    streq(((const struct volume_spec *)object->spec)->base, volume))
			return object->name;
	}
	return NULL;
}

bool stord_volume_find(const struct generation *gen, const char *name, struct stord_volume *ret)
{
	const struct volume_spec *spec = NULL;
	for (size_t i = 0; i < gen->n_objects && !spec; i++)
		if (gen->objects[i]->kind == &stord_volume_kind && streq(gen->objects[i]->name, name))
			spec = gen->objects[i]->spec;
	if (!spec)
		return false;
	snprintf(ret->key, sizeof(ret->key), "%s/%s", spec->pool, name);
	const struct want *want = generation_find(gen, "volume", ret->key);
	if (!want)
		return false;
	const struct volume_state *state = want->spec;
	const struct pool_type *type = pool_type_at(state->type);
	ret->type = type->name;
	ret->place = state->place;
	ret->format = image_formats[state->format];
	ret->snapshots = type->volumes->snapshots;
	ret->while_open = ret->snapshots && type->volumes->snapshots->while_open;
	ret->clone = type->volumes->layered ? clone_of(gen, name) : NULL;
	return true;
}
