/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager answers at once, as JSON: plans, objects with their status, resources, history. The shapes are in
 * manager.h. */
#include "core/manager-internal.h"

#include <time.h>

#include "core/env.h"
#include "core/json-diff.h"
#include "core/json-text.h"

const char *time_text(uint64_t wall, char buf[static 32])
{
	time_t seconds = (time_t)(wall / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

static json_t *time_json(uint64_t wall)
{
	char buf[32];
	return json_string(time_text(wall, buf));
}

static json_t *text_json(const char *text)
{
	return text ? json_host_text(text) : json_null();
}

/* ---- plans ---- */

static json_t *changes_json(const struct plan_step *step)
{
	const struct table *table = step->class->table;
	uint64_t rows = step->verb == OP_CREATE && step->want ? *(const uint64_t *)step->want : step->rows;
	json_t *changes = json_array(), *from = step->seen ? table_to_json(table, step->seen, 0) : NULL,
	       *to = step->want ? table_to_json(table, step->want, 0) : NULL;
	for (size_t i = 0; i < table->n_fields; i++) {
		const char *name = table->fields[i].name;
		if (rows >> i & 1)
			json_changes(changes, name, json_object_get(from, name), json_object_get(to, name));
	}
	json_decref(from);
	json_decref(to);
	return changes;
}

/* The step's own note first. */
static const char *own_note(const struct plan_step *step, struct arena *arena)
{
	bool anew = step->disruptive && !step->note, goes = anew || step->verb == OP_REMOVE;
	const char *loss = goes && step->class->loss ? step->class->loss(step->key, anew, arena) : NULL;
	if (anew && loss)
		return arena_printf(arena, "has to be made anew, which %s", loss);
	if (loss)
		return arena_printf(arena, "this %s", loss);
	return step->note             ? step->note
	       : step->restart_needed ? "waits for a restart of the guest"
	       : step->disruptive     ? "has to be made anew: what uses it is interrupted for a moment"
				      : NULL;
}

static const char *note_of(const struct plan_step *step, struct arena *arena)
{
	const char *own = own_note(step, arena);
	return own && step->stale ? arena_printf(arena, "%s; %s", own, step->stale) : own ? own : step->stale;
}

struct plan_answer {
	json_t *steps, *notes;
};

static void add_step(void *ctx, const struct plan_step *step)
{
	static const char *const verbs[] = {"unknown", "create", "update", "remove"};
	struct plan_answer *answer = ctx;
	cleanup_free char *id = xprintf("%s/%s", step->class->name, step->key);
	cleanup_free char *owner = step->owner ? object_id(step->owner) : NULL;
	cleanup_arena struct arena *arena = arena_new();
	const char *note = note_of(step, arena);
	if (step->aside) {
		json_array_append_new(answer->notes, json_pack("{s:s, s:o}", "resource", id, "note", text_json(note)));
		return;
	}
	json_array_append_new(answer->steps, json_pack("{s:s, s:s, s:o, s:o, s:b, s:b, s:o}", "verb", verbs[step->verb],
						       "resource", id, "object", text_json(owner), "changes",
						       changes_json(step), "disruptive", step->disruptive,
						       "restartNeeded", step->restart_needed, "note", text_json(note)));
}

size_t plan_add(struct manager *m, struct generation *gen, json_t *answer)
{
	struct plan_answer plan = {json_array(), json_array()};
	engine_plan(m->engine, gen, add_step, &plan);
	size_t n = json_array_size(plan.steps);
	json_object_set_new(answer, "plan", plan.steps);
	if (json_array_size(plan.notes))
		json_object_set(answer, "notes", plan.notes);
	json_decref(plan.notes);
	return n;
}

static void find_disruptive(void *ctx, const struct plan_step *step)
{
	*(bool *)ctx |= step->disruptive;
}

bool plan_is_disruptive(struct manager *m, struct generation *gen)
{
	bool disruptive = false;
	engine_plan_change(m->engine, gen, find_disruptive, &disruptive);
	return disruptive;
}

/* ---- history ---- */

static void add_revision(void *ctx, const struct revision_row *row)
{
	json_t *entry =
		json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "revision", (json_int_t)row->rev, "state",
			  revision_state_names[row->state], "time", time_json(row->time_ms), "who", text_json(row->who),
			  "what", text_json(row->what), "set", text_json(row->set), "message", text_json(row->message));
	if (row->confirm_by_ms)
		json_object_set_new(entry, "confirmBy", time_json(row->confirm_by_ms));
	json_array_append_new(ctx, entry);
}

json_t *manager_history(struct manager *m)
{
	json_t *list = json_array();
	store_each_revision(m->store, add_revision, list, NULL);
	return list;
}

/* ---- objects ---- */

static json_t *condition(const char *type, bool is, const char *reason, const char *message, uint64_t since)
{
	json_t *c = json_pack("{s:s, s:s, s:s}", "type", type, "status", is ? "True" : "False", "reason", reason);
	if (message)
		json_object_set_new(c, "message", json_host_text(message));
	if (since)
		json_object_set_new(c, "since", time_json(since));
	return c;
}

static json_t *conditions_json(const struct status *s)
{
	json_t *list = json_array();
	json_array_append_new(list, condition("Ready", s->ready, s->reason, s->message, s->since_ms));
	if (s->progressing)
		json_array_append_new(list, condition("Progressing", true, "Working", s->progress, 0));
	if (s->degraded)
		json_array_append_new(list, condition("Degraded", true, "Health", s->health, 0));
	if (s->contested)
		json_array_append_new(list, condition("Contested", true, "Rival", s->message, 0));
	if (s->restart_needed)
		json_array_append_new(
			list, condition("RestartNeeded", true, "Changed",
					"what changed takes effect at the next start; restart it when it suits", 0));
	return list;
}

/* What an answer about objects is made of; gathered once for all of them. */
struct owned {
	const struct object *owner;
	size_t i; /* of engine_view() */
};
struct asking {
	struct manager *m;
	const struct kind *kind; /* objects of it, or NULL: of all; */
	const char *name;        /* the one of that name, or NULL: all */
	struct arena *arena;
	struct owned *owned; /* their resources, sorted by owner and in the engine's order */
	size_t n_owned, cap_owned;
	struct override_row *overrides;
	size_t n_overrides;
};

static bool is_asked_for(const struct asking *a, const struct object *object)
{
	return (!a->kind || object->kind == a->kind) && (!a->name || streq(object->name, a->name));
}

static int by_owner(const void *a, const void *b)
{
	const struct owned *x = a, *y = b;
	if (x->owner != y->owner)
		return (x->owner > y->owner) - (x->owner < y->owner);
	return (x->i > y->i) - (x->i < y->i);
}

static void gather(struct asking *a)
{
	struct resource_view view;
	for (size_t i = 0; engine_view(a->m->engine, i, &view); i++)
		for (size_t k = 0; view.want && k < view.want->n_owners; k++) {
			if (!is_asked_for(a, view.want->owners[k]))
				continue;
			arena_grow(a->arena, a->owned, a->n_owned, a->cap_owned);
			a->owned[a->n_owned++] = (struct owned){view.want->owners[k], i};
		}
	if (a->n_owned)
		qsort(a->owned, a->n_owned, sizeof(*a->owned), by_owner);
	if (store_get_overrides(a->m->store, a->arena, &a->overrides, &a->n_overrides, NULL) < 0)
		a->n_overrides = 0;
}

/* The first of an object's; the others follow. NULL: it has none. */
static const struct owned *first_owned(const struct asking *a, const struct object *object)
{
	size_t low = 0, high = a->n_owned;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (a->owned[middle].owner < object)
			low = middle + 1;
		else
			high = middle;
	}
	return low < a->n_owned && a->owned[low].owner == object ? &a->owned[low] : NULL;
}

/* The STATUS rows that were observed. */
static json_t *details_of(const struct resource_view *view)
{
	const struct table *table = view->class->table;
	json_t *all = view->seen ? table_to_json(table, view->seen, 0) : NULL, *kept = json_object();
	for (size_t i = 0; all && i < table->n_fields; i++) {
		json_t *value = json_object_get(all, table->fields[i].name);
		if ((table->fields[i].flags & FIELD_STATUS) && value)
			json_object_set(kept, table->fields[i].name, value);
	}
	json_decref(all);
	return kept;
}

static json_t *resource_short(const struct resource_view *view)
{
	cleanup_free char *id = xprintf("%s/%s", view->class->name, view->key);
	json_t *r = json_pack("{s:s, s:s}", "id", id, "state", resource_state_names[view->state]);
	if (view->reason)
		json_object_set_new(r, "reason", json_host_text(view->reason));
	if (view->health)
		json_object_set_new(r, "health", json_host_text(view->health));
	if (view->note)
		json_object_set_new(r, "note", json_host_text(view->note));
	if (view->n_repairs)
		json_object_set_new(r, "repairs", json_integer(view->n_repairs));
	return r;
}

/* Under the name of its class; where the object has several of it, those after the first under their own ids. */
static void add_details(json_t *details, const struct resource_view *view)
{
	json_t *rows = details_of(view);
	cleanup_free char *id = xprintf("%s/%s", view->class->name, view->key);
	bool first = !json_object_get(details, view->class->name);
	if (json_object_size(rows))
		json_object_set(details, first ? view->class->name : id, rows);
	json_decref(rows);
}

static void add_override(const struct asking *a, json_t *status, const char *id)
{
	for (size_t i = 0; i < a->n_overrides; i++)
		if (streq(a->overrides[i].object, id))
			json_object_set_new(status, "override",
					    json_pack("{s:s, s:o, s:o}", "text", a->overrides[i].text, "who",
						      text_json(a->overrides[i].who), "when",
						      time_json(a->overrides[i].when_ms)));
}

static void add_owned(const struct asking *a, const struct object *object, json_t *details, json_t *resources)
{
	struct resource_view view;
	const struct owned *end = a->owned + a->n_owned;
	for (const struct owned *at = first_owned(a, object); at && at < end && at->owner == object; at++) {
		engine_view(a->m->engine, at->i, &view);
		add_details(details, &view);
		if (a->name)
			json_array_append_new(resources, resource_short(&view));
	}
}

static json_t *status_json(const struct asking *a, const struct object *object)
{
	cleanup_free char *id = object_id(object);
	const struct status *s = status_of(a->m, object);
	json_t *status = json_pack("{s:I}", "observedGeneration", (json_int_t)object->generation);
	if (s) {
		json_object_set_new(status, "conditions", conditions_json(s));
		json_object_set_new(status, "repairs", json_integer(s->n_repairs));
	}
	json_t *details = json_object(), *resources = json_array();
	add_owned(a, object, details, resources);
	if (json_object_size(details))
		json_object_set(status, "details", details);
	if (a->name)
		json_object_set(status, "resources", resources);
	json_decref(details);
	json_decref(resources);
	add_override(a, status, id);
	return status;
}

static json_t *object_json(const struct asking *a, const struct object *object)
{
	json_t *doc = object_to_json(object, 0);
	json_t *metadata = json_object_get(doc, "metadata");
	json_object_set_new(metadata, "set", json_string(object->set));
	json_object_set_new(metadata, "generation", json_integer((json_int_t)object->generation));
	json_object_set_new(doc, "status", status_json(a, object));
	return doc;
}

json_t *manager_objects(struct manager *m, const struct kind *kind, const char *name)
{
	const struct generation *gen = engine_generation(m->engine);
	cleanup_arena struct arena *arena = arena_new();
	struct asking asking = {.m = m, .kind = kind, .name = name, .arena = arena};
	statuses_refresh(m);
	gather(&asking);
	json_t *list = json_array();
	for (size_t i = 0; i < gen->n_objects; i++)
		if (is_asked_for(&asking, gen->objects[i]))
			json_array_append_new(list, object_json(&asking, gen->objects[i]));
	return list;
}

/* ---- resources ---- */

static json_t *resource_json(const struct resource_view *view)
{
	json_t *r = resource_short(view), *objects = json_array(), *needs = json_array();
	for (size_t i = 0; view->want && i < view->want->n_owners; i++) {
		cleanup_free char *id = object_id(view->want->owners[i]);
		json_array_append_new(objects, json_string(id));
	}
	for (size_t i = 0; view->want && i < view->want->n_needs; i++) {
		cleanup_free char *id = xprintf("%s/%s", view->want->needs[i]->class->name, view->want->needs[i]->key);
		json_array_append_new(needs, json_string(id));
	}
	json_object_set_new(r, "objects", objects);
	json_object_set_new(r, "needs", needs);
	json_object_set_new(r, "incarnation", json_integer((json_int_t)view->incarnation));
	if (view->want)
		json_object_set_new(r, "spec", table_to_json(view->class->table, view->want->spec, 0));
	if (view->seen)
		json_object_set_new(r, "seen", table_to_json(view->class->table, view->seen, 0));
	return r;
}

json_t *manager_resources(struct manager *m)
{
	json_t *list = json_array();
	struct resource_view view;
	for (size_t i = 0; engine_view(m->engine, i, &view); i++)
		json_array_append_new(list, resource_json(&view));
	return list;
}

json_t *manager_status(struct manager *m)
{
	json_t *status = json_pack("{s:s, s:s, s:I, s:b}", "version", WEFT_VERSION, "instance", env.instance,
				   "revision", (json_int_t)m->final_rev, "converged", engine_converged(m->engine));
	if (m->job && m->job->row.rev) {
		json_t *pending = json_pack("{s:I, s:s}", "revision", (json_int_t)m->job->row.rev, "state",
					    m->job->phase == PHASE_CONFIRMING ? "unconfirmed" : "applying");
		if (m->job->row.confirm_by_ms)
			json_object_set_new(pending, "confirmBy", time_json(m->job->row.confirm_by_ms));
		json_object_set_new(status, "pending", pending);
	}
	return status;
}
