/* SPDX-License-Identifier: Apache-2.0 */
/* See memory-host.h. */
#include "tests/fuzz/memory-host.h"

#include <systemd/sd-event.h>

#include "core/env.h"
#include "tests/fuzz/fuzz.h"

struct thing {
	const struct resource_class *class;
	char *key;
	struct arena *arena;
	void *spec;
	uint64_t incarnation;
	bool exists;
	struct thing *next;
};

struct memory_lane {
	struct lane lane;
	sd_event_source *source;
	struct op *ops, **tail;
};

static struct thing *things;
static uint64_t last_incarnation;
static unsigned fail_at;

static struct thing *thing_of(const struct resource_class *class, const char *key)
{
	for (struct thing *t = things; t; t = t->next)
		if (t->class == class && streq(t->key, key))
			return t;
	struct thing *t = xcalloc(1, sizeof(*t));
	t->class = class;
	t->key = xstrdup(key);
	t->arena = arena_new();
	t->spec = arena_alloc(t->arena, class->table->size);
	t->exists = class->flags & CLASS_INHERENT;
	t->next = things;
	things = t;
	return t;
}

static void put(struct thing *t, const void *want, bool keep_rest)
{
	struct arena *arena = arena_new();
	void *spec = table_copy(t->class->table, want, arena);
	/* The presence bits come first in every spec. Lists are replaced, where a merge would join them. */
	*(uint64_t *)t->spec &= ~*(const uint64_t *)want;
	if (keep_rest)
		table_merge(t->class->table, spec, t->spec, arena);
	arena_free(t->arena);
	t->arena = arena;
	t->spec = spec;
}

static void look(const struct thing *t, struct op *op)
{
	observation_done(&op->obs);
	void *seen = observation_begin(&op->obs, t->class, t->exists);
	if (!t->exists)
		return;
	memcpy(seen, table_copy(t->class->table, t->spec, op->obs.arena), t->class->table->size);
	op->obs.incarnation = t->incarnation;
	/* What is there was made through here, and carries the mark as links and files do. */
	op->obs.owner = t->class->flags & CLASS_INHERENT ? OWNER_UNKNOWN : OWNER_OURS;
}

/* A positive errno, 0 when it was done. */
static int change(struct thing *t, const struct op *op)
{
	bool inherent = t->class->flags & CLASS_INHERENT;
	if (fail_at && --fail_at == 0)
		return EIO;
	if (op->verb == OP_CREATE) {
		require(op->want && !inherent && !t->exists, "what is made is wanted, and not there");
		put(t, op->want, false);
		t->incarnation = ++last_incarnation;
		t->exists = true;
		return 0;
	}
	if (!t->exists || op->incarnation != t->incarnation)
		return ESTALE;
	require(!inherent || op->verb == OP_UPDATE, "what is always there is not removed");
	if (op->verb == OP_UPDATE)
		put(t, op->want, true);
	else
		t->exists = false;
	return 0;
}

static void work(struct op *op)
{
	struct thing *t = thing_of(op->class, op->key);
	int code = op->verb == OP_OBSERVE ? 0 : change(t, op);
	if (code) {
		op_fail(op, code, "the host says: %s", strerror(code));
		return;
	}
	look(t, op);
	op_complete(op);
}

/* ---- lanes ---- */

static struct memory_lane *of(struct lane *lane)
{
	return container_of(lane, struct memory_lane, lane);
}

static int on_work(sd_event_source *source, void *ctx)
{
	struct memory_lane *lane = ctx;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	struct op *ops = take_ptr(lane->ops), *next;
	lane->tail = &lane->ops;
	for (; ops; ops = next) {
		next = ops->next;
		ops->next = NULL;
		work(ops);
	}
	return 0;
}

static void submit(struct lane *base, struct op *op)
{
	struct memory_lane *lane = of(base);
	*lane->tail = op;
	lane->tail = &op->next;
	sd_event_source_set_enabled(lane->source, SD_EVENT_ONESHOT);
}

/* What is under way is the engine's to free. */
static void lane_free(struct lane *base)
{
	sd_event_source_disable_unref(of(base)->source);
	free(of(base));
}

static const struct lane_ops memory_ops = {.submit = submit, .free = lane_free};

void memory_host_attach(struct engine *engine)
{
	for (size_t i = 0; class_at(i); i++) {
		if (engine_lane(engine, class_at(i)->lane))
			continue;
		struct memory_lane *lane = xcalloc(1, sizeof(*lane));
		lane->lane = (struct lane){.name = class_at(i)->lane, .ops = &memory_ops};
		lane->tail = &lane->ops;
		require(sd_event_add_defer(env.loop, &lane->source, on_work, lane) >= 0, "the lane has its source");
		sd_event_source_set_enabled(lane->source, SD_EVENT_OFF);
		engine_add_lane(engine, &lane->lane);
	}
}

/* ---- what else happens to it ---- */

void memory_host_fail(unsigned n)
{
	fail_at = n;
}

static bool can_be_lost(const struct thing *t)
{
	return t->exists && !(t->class->flags & (CLASS_INHERENT | CLASS_PRECIOUS | CLASS_KEEP));
}

void memory_host_lose(struct engine *engine, unsigned number)
{
	size_t n = 0;
	for (const struct thing *t = things; t; t = t->next)
		n += can_be_lost(t);
	size_t which = n ? number % n : 0;
	for (struct thing *t = things; n && t; t = t->next) {
		if (!can_be_lost(t) || which-- > 0)
			continue;
		t->exists = false;
		engine_dirty(engine, t->class->name, t->key);
		return;
	}
}

size_t memory_host_left(char *names, size_t size)
{
	size_t n = 0, used = 0;
	for (const struct thing *t = things; t; t = t->next) {
		if (!t->exists || t->class->flags & (CLASS_INHERENT | CLASS_KEEP))
			continue;
		n++;
		if (used < size)
			used += (size_t)snprintf(names + used, size - used, " %s/%s", t->class->name, t->key);
	}
	return n;
}

void memory_host_clear(void)
{
	while (things) {
		struct thing *t = things;
		things = t->next;
		arena_free(t->arena);
		free(t->key);
		free(t);
	}
	fail_at = 0;
	last_incarnation = 0;
}
