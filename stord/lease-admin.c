/* SPDX-License-Identifier: Apache-2.0 */
/* Listing and breaking leases; see lease-admin.h. The storage is asked, a child a pool, since other hosts change it. */
#include "stord/lease-admin.h"

#include "core/child.h"
#include "core/event.h"
#include "core/json-text.h"
#include "stord/lun.h"
#include "stord/pool-type.h"
#include "stord/probe.h"

enum { LIST_MS = 5000, BREAK_MS = 20 * 1000 };

/* ---- what may be leased ---- */

struct target {
	const char *volume, *place;
	const void *own;
	const struct lease_means *means;
};
/* The targets of one pool. */
struct group {
	struct listing *listing;
	const char *pool;
	struct target *targets;
	size_t n, cap;
};
struct listing {
	struct engine *engine;
	struct arena *arena;
	struct group *groups;
	size_t n, cap;
	size_t n_asked; /* pools that have not answered yet */
	json_t *answer;
	lease_list_fn *done;
	void *ctx;
};

/* A wanted volume or Lun that can be leased. The strings are the view's. */
static bool find_target(const struct resource_view *view, struct target *ret)
{
	static char place[128];
	if (view->want && view->class == &stord_lun_class) {
		snprintf(place, sizeof(place), LUN_LINKS "/%s", view->key);
		*ret = (struct target){.volume = view->key, .place = place, .means = &lease_by_reservation};
		return true;
	}
	const struct volume_state *state = view->want ? view->want->spec : NULL;
	if (!state || view->class != &stord_volume_class || !volume_leases(state))
		return false;
	*ret = (struct target){
		.volume = strchr(view->key, '/') + 1,
		.place = state->place,
		.own = state->own,
		.means = volume_leases(state),
	};
	return true;
}

/* The key begins with it. */
static const char *pool_of(const struct resource_view *view)
{
	return view->class == &stord_lun_class ? LEASE_OF_LUN : view->key;
}

static struct group *group_of(struct listing *listing, const char *key)
{
	size_t len = strcspn(key, "/");
	for (size_t i = listing->n; i > 0; i--) /* volumes of one pool mostly follow one another */
		if (strncmp(listing->groups[i - 1].pool, key, len) == 0 && !listing->groups[i - 1].pool[len])
			return &listing->groups[i - 1];
	arena_grow(listing->arena, listing->groups, listing->n, listing->cap);
	struct group *group = &listing->groups[listing->n++];
	*group = (struct group){.pool = arena_strndup(listing->arena, key, len)};
	return group;
}

/* Generations change while children are asked, so all is copied. */
static void add_target(struct listing *listing, const char *key, const struct target *target)
{
	struct arena *arena = listing->arena;
	struct group *group = group_of(listing, key);
	arena_grow(arena, group->targets, group->n, group->cap);
	group->targets[group->n++] = (struct target){
		.volume = arena_strdup(arena, target->volume),
		.place = arena_strdup(arena, target->place),
		.own = target->own && target->means->table ? table_copy(target->means->table, target->own, arena)
							   : NULL,
		.means = target->means,
	};
}

static struct lease_call call_for(const char *pool, const struct target *target)
{
	return (struct lease_call){
		.pool = pool,
		.volume = target->volume,
		.place = target->place,
		.own = target->own,
		.self = lease_self(),
	};
}

static json_t *holder_json(const struct lease_call *call, const struct lease_holder *holder)
{
	char since[32];
	json_t *guest = streq(holder->guest, "?") ? json_null() : json_host_text(holder->guest);
	return json_pack("{s:s, s:s, s:o, s:o, s:s?, s:s, s:s, s:s}", "pool", call->pool, "volume", call->volume,
			 "host", json_host_text(holder->host), "guest", guest, "since",
			 holder->since_ms ? lease_time_text(holder->since_ms, since) : NULL, "mode",
			 lease_modes[holder->mode], "alive", lease_lives[holder->life], "instance", holder->instance);
}

/* In a child: a line of JSON for each holder. */
static void tell(const struct lease_call *call, const struct lease_seen *seen, int out_fd)
{
	for (size_t i = 0; i < seen->n; i++) {
		json_t *json = holder_json(call, &seen->holders[i]);
		cleanup_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
		if (text)
			dprintf(out_fd, "%s\n", text);
		json_decref(json);
	}
}

static void read_lines(const struct child_result *result, json_t *into)
{
	for (const char *line = result->out, *end; line && (end = strchr(line, '\n')); line = end + 1)
		json_array_append_new(into, json_loadb(line, (size_t)(end - line), 0, NULL));
}

/* ---- list ---- */

static int do_list(void *ctx, int out_fd)
{
	const struct group *group = ctx;
	int failed = 0;
	for (size_t i = 0; i < group->n; i++) {
		struct lease_call call = call_for(group->pool, &group->targets[i]);
		struct lease_seen seen = {0};
		int code = group->targets[i].means->look(&call, &seen);
		if (code)
			failed = code;
		else
			tell(&call, &seen, out_fd);
	}
	return failed;
}

static void finish_list(struct listing *listing)
{
	if (--listing->n_asked)
		return;
	listing->done(listing->ctx, listing->answer);
	arena_free(listing->arena);
	free(listing);
}

static void add_problem(struct listing *listing, const char *pool, const char *message)
{
	json_array_append_new(json_object_get(listing->answer, "problems"),
			      json_pack("{s:s, s:o}", "pool", pool, "message", json_host_text(message)));
}

static void on_listed(void *ctx, const struct child_result *result)
{
	struct group *group = ctx;
	struct listing *listing = group->listing;
	if (result->status != 0)
		add_problem(listing, group->pool, result->err.text);
	read_lines(result, json_object_get(listing->answer, "leases"));
	finish_list(listing);
}

/* Also when there is no pool to be asked: the answer comes later. */
static int do_nothing(void *ctx, int out_fd)
{
	return 0;
}

static void on_nothing(void *ctx, const struct child_result *result)
{
	finish_list(ctx);
}

void stord_lease_list(struct engine *engine, lease_list_fn *done, void *ctx)
{
	struct listing *listing = xcalloc(1, sizeof(*listing));
	*listing = (struct listing){.engine = engine, .arena = arena_new(), .done = done, .ctx = ctx};
	listing->answer = json_pack("{s:[], s:[]}", "leases", "problems");
	struct resource_view view;
	struct target target;
	for (size_t i = 0; engine_view(engine, i, &view); i++)
		if (find_target(&view, &target))
			add_target(listing, pool_of(&view), &target);
	listing->n_asked = 1;
	for (size_t i = 0; i < listing->n; i++) {
		struct group *group = &listing->groups[i];
		group->listing = listing;
		if (probe_silence(group->pool)) {
			add_problem(listing, group->pool, probe_silence(group->pool));
			continue;
		}
		listing->n_asked++;
		child_call(do_list, group, LIST_MS, on_listed, group);
	}
	child_call(do_nothing, NULL, LIST_MS, on_nothing, listing);
}

/* ---- break ---- */

struct breaking {
	struct engine *engine;
	struct arena *arena;
	const char *pool, *who;
	struct target target;
	lease_break_fn *done;
	void *ctx;
};

static int do_break(void *ctx, int out_fd)
{
	const struct breaking *breaking = ctx;
	struct lease_call call = call_for(breaking->pool, &breaking->target);
	struct lease_seen seen = {0};
	int code = breaking->target.means->break_off(&call, &seen);
	if (!code)
		tell(&call, &seen, out_fd);
	return code;
}

/* Guests that were refused the volume ask again at once. */
static void go_on(const struct breaking *breaking)
{
	struct resource_view view;
	cleanup_free char *prefix = xprintf("%s/%s/", breaking->pool, breaking->target.volume);
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
	json_t *broken = result->status == 0 ? json_array() : NULL, *one;
	size_t i;
	cleanup_free char *object = xprintf("Volume/%s", breaking->target.volume);
	if (broken)
		read_lines(result, broken);
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

void stord_lease_break(struct engine *engine, const struct lease_break *what, lease_break_fn *done, void *ctx)
{
	struct resource_view view;
	struct target target;
	struct err err = {0};
	for (size_t i = 0; engine_view(engine, i, &view); i++) {
		if (!find_target(&view, &target) || !streq(target.volume, what->volume))
			continue;
		struct listing copy = {.arena = arena_new()};
		add_target(&copy, pool_of(&view), &target);
		const char *pool = copy.groups[0].pool;
		if (probe_silence(pool)) {
			err_set(&err, ETIMEDOUT, "%s", probe_silence(pool));
			arena_free(copy.arena);
			break;
		}
		struct breaking *breaking = xcalloc(1, sizeof(*breaking));
		*breaking = (struct breaking){
			.engine = engine,
			.arena = copy.arena,
			.pool = pool,
			.who = arena_strdup(copy.arena, what->who),
			.target = copy.groups[0].targets[0],
			.done = done,
			.ctx = ctx,
		};
		child_call(do_break, breaking, BREAK_MS, on_broken, breaking);
		return;
	}
	if (!err.code)
		err_set(&err, ENOENT,
			"there is no volume '%s' here that can be leased; `weft get volumes` lists what there is",
			what->volume);
	done(ctx, NULL, &err);
}
