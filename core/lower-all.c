/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering of a whole configuration: names are unique, references lead somewhere and in no circle, every object's
 * check() and lower() runs, in reference order, and no resource that comes of it stands on itself (lower-circle.c).
 * What is refused takes along what refers to it; in lenient mode the rest is lowered without them. */
#include "core/lower-internal.h"

#include "core/env.h"

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

static void build_index(struct run *run)
{
	struct configuration *config = &run->config;
	configuration_begin(config, run->gen->lists, run->input->n_objects);
	for (size_t i = 0; i < run->input->n_objects; i++) {
		struct object *o = run->input->objects[i];
		struct object **slot = &config->index[configuration_slot(config, o->kind->name, o->name)];
		if (*slot) {
			struct diag *d = diag_add(run->diags, object_pos(o, "metadata.name"),
						  "%s '%s' is defined twice", o->kind->name, o->name);
			diag_related(run->diags, d, object_pos(*slot, "metadata.name"), "first defined here");
			continue;
		}
		*slot = o;
		config->objects[config->n++] = o;
	}
}

size_t run_slot(const struct run *run, const struct object *object)
{
	return configuration_slot(&run->config, object->kind->name, object->name);
}

static bool is_tolerated(const struct run *run, const struct object *object)
{
	for (size_t i = 0; i < run->input->n_tolerated; i++)
		if (run->input->tolerated[i] == object)
			return true;
	return false;
}

static struct diags *diags_of(struct run *run, const struct object *object)
{
	return is_tolerated(run, object) ? &run->aside : run->diags;
}

struct ref_visit {
	struct run *run;
	const struct object *object;
	bool report;
	void (*fn)(struct run *run, const struct object *from, const struct object *to, const struct ref_path *path);
};

static void report_dangling(const struct ref_visit *visit, const char *kind, const char *name,
			    const struct ref_path *path)
{
	struct run *run = visit->run;
	struct diags *diags = diags_of(run, visit->object);
	char full[REF_PATH_TEXT + 8], where[REF_PATH_TEXT];
	snprintf(full, sizeof(full), "spec.%s", ref_path_text(path, where));
	struct diag *d = diag_add(diags, object_pos(visit->object, full), "there is no %s '%s'", kind, name);
	const char *names[64];
	size_t n = 0;
	for (size_t i = 0; i < run->config.n && n < ARRAY_SIZE(names); i++)
		if (streq(run->config.objects[i]->kind->name, kind))
			names[n++] = run->config.objects[i]->name;
	const char *near = nearest_name(name, names, n);
	const struct object *namesake = NULL;
	for (size_t i = 0; i < run->config.n && !namesake; i++)
		if (streq(run->config.objects[i]->name, name) && run->config.objects[i] != visit->object)
			namesake = run->config.objects[i];
	if (namesake)
		diag_related(diags, d, object_pos(namesake, "metadata.name"), "this is a %s", namesake->kind->name);
	if (near)
		diag_hint(diags, d, "did you mean '%s'?", near);
	else
		diag_hint(diags, d, "define it in the same files, or apply its manifest first");
}

/* A reference to "*" names a link that may also be nobody's object, so it orders nothing. */
static void visit_ref(void *ctx, const char *kind, const char *name, const struct ref_path *path)
{
	struct ref_visit *visit = ctx;
	if (streq(kind, "*"))
		return;
	const struct object *to = configuration_find(&visit->run->config, kind, name);
	if (to)
		visit->fn(visit->run, visit->object, to, path);
	else if (visit->report)
		report_dangling(visit, kind, name, path);
}

static void each_ref(struct ref_visit *visit)
{
	table_refs(visit->object->kind->table, visit->object->spec, visit_ref, visit);
}

static void sort_object(struct run *run, const struct object *object);

static void sort_target(struct run *run, const struct object *from, const struct object *to,
			const struct ref_path *path)
{
	if (run->marks[run_slot(run, to)] != MARK_OPEN) {
		sort_object(run, to);
		return;
	}
	char full[REF_PATH_TEXT + 8], where[REF_PATH_TEXT];
	snprintf(full, sizeof(full), "spec.%s", ref_path_text(path, where));
	struct diags *diags = diags_of(run, from);
	struct diag *d = diag_add(diags, object_pos(from, full), "%s '%s' and %s '%s' refer to each other in a circle",
				  from->kind->name, from->name, to->kind->name, to->name);
	diag_related(diags, d, object_pos(to, "metadata.name"), "the circle closes here");
}

/* Depth is bounded by the number of kinds that refer to each other, which is small, but for circles, which end at
 * once. */
static void sort_object(struct run *run, const struct object *object)
{
	size_t at = run_slot(run, object);
	if (run->marks[at] != MARK_NEW)
		return;
	run->marks[at] = MARK_OPEN;
	struct ref_visit visit = {run, object, true, sort_target};
	const struct diags *diags = diags_of(run, object);
	size_t before = diags->n_total;
	each_ref(&visit);
	run->out[at] = diags->n_total > before;
	run->marks[at] = MARK_DONE;
	run->seats[at] = run->n_sorted;
	run->sorted[run->n_sorted++] = run->config.index[at];
}

static void sort_all(struct run *run)
{
	struct configuration *config = &run->config;
	struct arena *lists = run->gen->lists;
	run->marks = arena_alloc(lists, config->index_size * sizeof(*run->marks));
	run->seats = arena_alloc(lists, config->index_size * sizeof(*run->seats));
	run->sorted = arena_alloc(lists, (config->n + 1) * sizeof(*run->sorted));
	run->lowered = arena_alloc(lists, (config->n + 1) * sizeof(struct lowered *));
	run->out = arena_alloc(lists, config->index_size);
	for (size_t i = 0; i < config->n; i++)
		sort_object(run, config->objects[i]);
	config->objects = run->sorted;
}

static const struct object *check_find(const struct check *check, const char *kind, const char *name)
{
	struct lowering *l = check->ctx;
	return lower_find(l, kind, name);
}

static const struct object *check_at(const struct check *check, size_t i)
{
	struct lowering *l = check->ctx;
	return lower_object_at(l, i);
}

struct lowering run_lowering(struct run *run, const struct object *object, struct lowered *lowered)
{
	return (struct lowering){.gen = run->gen,
				 .input = run->input,
				 .config = &run->config,
				 .choices = &run->choices,
				 .diags = diags_of(run, object),
				 .object = object,
				 .run = run,
				 .lowered = lowered,
				 .arena = lowered ? run->gen->arena : run->gen->lists,
				 .asked = lowered ? &lowered->by_lower : NULL};
}

void run_check(struct run *run, const struct object *object, struct lowered *lowered)
{
	struct lowering l = run_lowering(run, object, lowered);
	l.asked = &lowered->by_check;
	struct check check = {object, l.diags, check_find, check_at, &l};
	size_t before = l.diags->n_total;
	if (object->kind->check)
		object->kind->check(&check);
	if (l.diags->n_total > before)
		run->out[run_slot(run, object)] = true;
}

static void check_all(struct run *run)
{
	for (size_t i = 0; i < run->config.n; i++) {
		run->lowered[i] = arena_new_of(run->gen->arena, struct lowered);
		run->lowered[i]->object = run->config.objects[i];
		run_check(run, run->config.objects[i], run->lowered[i]);
	}
}

static void take_along(struct run *run, const struct object *from, const struct object *to, const struct ref_path *path)
{
	if (!run->out[run_slot(run, to)])
		return;
	run->out[run_slot(run, from)] = true;
	if (is_tolerated(run, to) && !is_tolerated(run, from) && !run->input->lenient)
		diag_add(run->diags, object_pos(from, "metadata.name"),
			 "%s '%s' refers to %s '%s', which is refused itself", from->kind->name, from->name,
			 to->kind->name, to->name);
}

/* Lowers what is not out. Returns false when an object was refused on the way, which is then out. */
static bool lower_each(struct run *run)
{
	bool clean = true;
	choices_init(&run->choices, run->gen->lists);
	for (size_t i = 0; i < run->config.n; i++) {
		struct object *o = run->config.objects[i];
		bool *out = &run->out[run_slot(run, o)];
		if (!*out) {
			struct ref_visit visit = {run, o, false, take_along};
			each_ref(&visit);
		}
		if (*out)
			continue;
		/* What it did in a round before is forgotten. */
		*run->lowered[i] = (struct lowered){.object = o, .by_check = run->lowered[i]->by_check};
		struct lowering l = run_lowering(run, o, run->lowered[i]);
		o->kind->lower(&l, o);
		if (l.refused) {
			*out = true;
			clean = false;
		}
	}
	return clean;
}

/* Whoever set the first row of all says what the thing is (a link's kind); others only add to it. The mark names
 * him. */
static void main_owner_first(struct want *w)
{
	size_t row = 0;
	while (row < w->class->table->n_fields && !w->origins[row].object)
		row++;
	for (size_t i = 1; row < w->class->table->n_fields && i < w->n_owners; i++) {
		if (w->owners[i] != w->origins[row].object)
			continue;
		w->owners[i] = w->owners[0];
		w->owners[0] = w->origins[row].object;
		return;
	}
}

struct circles {
	struct run *run;
	size_t n;
};

/* Told at one who is not refused in silence, if there is one. */
static size_t first_to_tell(const struct run *run, struct want *const *wants, size_t n)
{
	size_t i = 0;
	while (i < n && is_tolerated(run, wants[i]->owners[0]))
		i++;
	return i % n;
}

static void refuse_circle(void *ctx, struct want *const *wants, size_t n)
{
	struct circles *circles = ctx;
	struct run *run = circles->run;
	for (size_t i = 0; i < n; i++) {
		main_owner_first(wants[i]);
		run->out[run_slot(run, wants[i]->owners[0])] = true;
	}
	size_t at = first_to_tell(run, wants, n);
	const struct object *before = wants[at]->owners[0];
	struct diags *diags = diags_of(run, before);
	const struct want *last = wants[(at + n - 1) % n];
	struct diag *d = diag_add(diags, object_pos(before, "metadata.name"), "%s/%s stands on itself, by way of %s/%s",
				  wants[at]->class->name, wants[at]->key, last->class->name, last->key);
	for (size_t i = 1; i < n; i++) {
		const struct want *from = wants[(at + i - 1) % n], *to = wants[(at + i) % n];
		if (to->owners[0] != before)
			diag_related(diags, d, object_pos(to->owners[0], "metadata.name"),
				     "on the way from %s/%s to %s/%s", from->class->name, from->key, to->class->name,
				     to->key);
		before = to->owners[0];
	}
	circles->n++;
}

static bool refuse_circles(struct run *run)
{
	struct circles circles = {.run = run};
	lower_circles(run->gen, refuse_circle, &circles);
	return circles.n > 0;
}

/* The same, and none of it in a circle. */
static bool lower_round(struct run *run)
{
	bool clean = lower_each(run);
	return !refuse_circles(run) && clean;
}

void run_publish_want(struct generation *gen, struct want *w)
{
	main_owner_first(w);
	if (w->defaults)
		table_merge(w->class->table, w->spec, w->defaults, gen->arena);
	w->mark = arena_printf(gen->arena, "weft:%s:%s/%s", env.instance, w->owners[0]->kind->name, w->owners[0]->name);
}

static void publish(struct run *run)
{
	struct generation *gen = run->gen;
	gen->objects = run->config.objects;
	gen->n_objects = gen->cap_objects = run->config.n;
	gen->lowered = run->lowered;
	for (size_t i = 0; i < run->config.n; i++) {
		if (!run->out[run_slot(run, run->config.objects[i])])
			continue;
		arena_grow(gen->arena, gen->refused, gen->n_refused, gen->cap_refused);
		gen->refused[gen->n_refused++] = run->config.objects[i];
	}
	for (size_t i = 0; i < gen->n_wants; i++)
		run_publish_want(gen, gen->wants[i]);
	gen->size_anew = arena_used(gen->arena);
}

/* For lowering once more. What the refused ones asked of the host stays: once that has changed they may be taken. */
static void start_over(struct run *run)
{
	struct generation *gen = run->gen;
	size_t n = gen->n_facts, kept = 0;
	for (size_t i = 0; i < n; i++)
		if (run->out[run_slot(run, gen->facts[i].reader)])
			gen->facts[kept++] = gen->facts[i];
	generation_clear_wants(gen);
	gen->n_facts = kept;
}

void run_begin(struct run *run, struct generation *gen, const struct lower_input *input, struct diags *diags)
{
	*run = (struct run){.gen = gen, .input = input, .diags = diags, .aside = {.arena = gen->arena}};
	build_index(run);
	sort_all(run);
}

int lower_all(struct generation *gen, const struct lower_input *input, struct diags *diags)
{
	struct run run;
	bool again = input->lenient || input->n_tolerated;
	size_t before = diags->n_total;
	run_begin(&run, gen, input, diags);
	check_all(&run);
	/* A refused object's wants may have shaped others: start over without it, at most once an object. */
	while (!lower_round(&run) && again)
		start_over(&run);
	publish(&run);
	return diags->n_total > before && !input->lenient ? -EINVAL : 0;
}
