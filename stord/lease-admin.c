/* SPDX-License-Identifier: Apache-2.0 */
/* Breaking leases; see lease-admin.h. */
#include "stord/lease-admin.h"

#include "core/event.h"
#include "stord/lease-target.h"
#include "stord/probe.h"

enum { BREAK_MS = 20 * 1000 };

struct breaking {
	struct engine *engine;
	struct arena *arena;
	const char *who;
	struct lease_target target;
	lease_break_fn *done;
	void *ctx;
};

static int do_break(void *ctx, int out_fd)
{
	const struct breaking *breaking = ctx;
	struct lease_call call = lease_target_call(&breaking->target);
	struct lease_seen seen = {0};
	int code = breaking->target.means->break_off(&call, &seen);
	if (!code)
		lease_tell(&call, &seen, out_fd);
	return code;
}

/* Guests that were refused the volume ask again at once. */
static void go_on(const struct breaking *breaking)
{
	struct resource_view view;
	cleanup_free char *prefix = xprintf("%s/%s/", breaking->target.pool, breaking->target.volume);
	for (size_t i = 0; engine_view(breaking->engine, i, &view); i++) {
		if (view.class != &stord_lease_class || !view.want || !str_starts(view.key, prefix))
			continue;
		engine_dirty(breaking->engine, view.class->name, view.key);
		engine_retry(breaking->engine, view.want->owners[0]);
	}
}

static void on_broken(void *ctx, const struct child_result *result)
{
	struct breaking *breaking = ctx;
	json_t *broken = result->status == 0 ? lease_told(result) : NULL, *one;
	size_t i;
	cleanup_free char *object = xprintf("Volume/%s", breaking->target.volume);
	json_array_foreach(broken, i, one) {
		const char *guest = json_string_value(json_object_get(one, "guest"));
		cleanup_free char *whose = guest ? xprintf("guest '%s'", guest) : xstrdup("a guest");
		event_text("LeaseBroken", object, true, "the lease of %s on host '%s' was broken by %s", whose,
			   json_string_value(json_object_get(one, "host")), breaking->who);
	}
	if (broken)
		go_on(breaking);
	breaking->done(breaking->ctx, broken, broken ? NULL : &result->err);
	arena_free(breaking->arena);
	free(breaking);
}

/* Of a Lun, or of a volume whatever its pool; false if there is none of the name. */
static bool find_target(struct engine *engine, const char *volume, struct arena *arena, struct lease_target *ret)
{
	struct resource_view view;
	for (size_t i = 0; engine_view(engine, i, &view); i++)
		if (lease_target_of(&view, arena, ret) && streq(ret->volume, volume))
			return true;
	return false;
}

void stord_lease_break(struct engine *engine, const struct lease_break *what, lease_break_fn *done, void *ctx)
{
	struct arena *arena = arena_new();
	struct lease_target target;
	struct err err = {0};
	bool found = find_target(engine, what->volume, arena, &target);
	const char *silence = found ? probe_silence(&probe_pools, target.pool) : NULL;
	if (!found)
		err_set(&err, ENOENT,
			"there is no volume '%s' here that can be leased; `weft get volumes` lists what there is",
			what->volume);
	if (silence)
		err_set(&err, ETIMEDOUT, "%s", silence);
	if (err.code) {
		arena_free(arena);
		done(ctx, NULL, &err);
		return;
	}
	struct breaking *breaking = xcalloc(1, sizeof(*breaking));
	*breaking = (struct breaking){
		.engine = engine,
		.arena = arena,
		.who = arena_strdup(arena, what->who),
		.target = target,
		.done = done,
		.ctx = ctx,
	};
	child_call(do_break, breaking, BREAK_MS, on_broken, breaking);
}
