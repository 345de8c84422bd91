/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of the next configuration: what the request brings, and of what is stored all that it leaves alone. */
#include "core/configuration.h"
#include "core/manager-internal.h"

char *object_id(const struct object *object)
{
	return xprintf("%s/%s", object->kind->name, object->name);
}

static void keep_position(struct node *node, const struct pos *pos)
{
	if (node)
		node->pos = *pos;
}

/* A stored object in another arena: its document, set and number; of its positions only the first line stays. */
struct object *object_carry(const struct object *object, struct arena *arena)
{
	json_t *json = object->node ? node_to_json(object->node) : object_to_json(object, EMIT_SECRETS);
	struct node *node = node_from_json(json, arena);
	json_decref(json);
	struct source *source = arena_new_of(arena, struct source);
	source->name = arena_strdup(arena, object->file ? object->file : "(stored)");
	source->text = "";
	struct pos pos = {source, object->node ? object->node->pos.line : 0, 1, 0};
	keep_position(node, &pos);
	keep_position((struct node *)node_find(node, "metadata.name", NULL), &pos);
	struct diags scratch = {.arena = arena};
	struct object *copy = object_decode(node, arena, &scratch);
	if (!copy)
		return NULL;
	copy->set = arena_strdup(arena, object->set);
	copy->file = arena_strdup(arena, object->file);
	copy->generation = object->generation;
	return copy;
}

/* What becomes of an object that there was before. */
enum fate { STAYS, COMES_ANEW, GOES };

/* An object of the next configuration: what the request says of it (NULL: nothing), and the one before if it is the
 * same. */
struct item {
	struct object *asked;
	const struct object *same;
};

struct build {
	struct manager *m;
	struct job *job;
	struct arena *arena;   /* of the generation */
	struct arena *scratch; /* gone when it is built */
	struct item *items;
	size_t n, cap;
	const struct object **tolerated; /* may be refused once more */
	size_t n_tolerated, cap_tolerated, n_doomed;
	struct configuration before;
	enum fate *fates; /* by slot in its index */
};

static void add_item(struct build *b, struct object *asked, const struct object *same)
{
	arena_grow(b->scratch, b->items, b->n, b->cap);
	b->items[b->n++] = (struct item){asked, same};
}

static void tolerate(struct build *b, const struct object *object)
{
	arena_grow(b->scratch, b->tolerated, b->n_tolerated, b->cap_tolerated);
	b->tolerated[b->n_tolerated++] = object;
}

static bool is_refused(const struct generation *gen, const struct object *object)
{
	for (size_t i = 0; i < gen->n_refused; i++)
		if (gen->refused[i] == object)
			return true;
	return false;
}

static void index_stored(struct build *b)
{
	const struct generation *final = b->m->final;
	configuration_begin(&b->before, b->scratch, final->n_objects);
	b->fates = arena_alloc(b->scratch, b->before.index_size * sizeof(*b->fates));
	for (size_t i = 0; i < final->n_objects; i++) {
		struct object *o = final->objects[i];
		b->before.index[configuration_slot(&b->before, o->kind->name, o->name)] = o;
	}
}

/* What is stored of that name. */
static const struct object *stored(const struct build *b, const char *kind, const char *name)
{
	return configuration_find(&b->before, kind, name);
}

static const struct object *find_stored(const struct build *b, const struct object *like)
{
	return stored(b, like->kind->name, like->name);
}

/* Of what was not there before it tells nothing. */
static void set_fate(struct build *b, const struct object *like, enum fate fate)
{
	size_t slot = configuration_slot(&b->before, like->kind->name, like->name);
	if (b->before.index[slot])
		b->fates[slot] = fate;
}

static bool has_fate(const struct build *b, const struct object *like, enum fate fate)
{
	size_t slot = configuration_slot(&b->before, like->kind->name, like->name);
	return b->before.index[slot] && b->fates[slot] == fate;
}

static bool doomed(const struct build *b, const struct object *o)
{
	return has_fate(b, o, GOES);
}

static void doom(struct build *b, const struct object *o)
{
	set_fate(b, o, GOES);
	b->n_doomed++;
}

static bool is_new(const struct build *b, const struct object *like)
{
	return has_fate(b, like, COMES_ANEW);
}

static void add_new(struct build *b, struct object *object, const struct object *same)
{
	add_item(b, object, same);
	set_fate(b, object, COMES_ANEW);
}

static void touch(struct job *job, const struct object *object, const char *change)
{
	cleanup_free char *id = object_id(object);
	arena_grow(job->arena, job->touched, job->n_touched, job->cap_touched);
	job->touched[job->n_touched++] = arena_strdup(job->arena, id);
	json_t *list = json_object_get(job->answer, "objects");
	if (!list) {
		list = json_array();
		json_object_set_new(job->answer, "objects", list);
	}
	json_array_append_new(
		list, json_pack("{s:s, s:s, s:s}", "kind", object->kind->name, "name", object->name, "change", change));
	if (!streq(change, "unchanged"))
		job->changes = true;
}

static bool same_content(const struct object *a, const struct object *b)
{
	if (a->kind == b->kind && a->node && b->node && node_equal(a->node, b->node))
		return true;
	json_t *left = object_to_json(a, EMIT_SECRETS), *right = object_to_json(b, EMIT_SECRETS);
	bool same = json_equal(left, right);
	json_decref(left);
	json_decref(right);
	return same;
}

/* Where it stands counts as well: faults name it. */
static bool same_place(const struct object *a, const struct object *b)
{
	unsigned line = a->node ? a->node->pos.line : 0;
	return streq(a->file, b->file) && streq(a->set, b->set) && line == (b->node ? b->node->pos.line : 0);
}

static void refuse_other_set(struct build *b, const struct object *o, const struct object *before)
{
	struct diag *d =
		diag_add(&b->job->diags, object_pos(o, "metadata.name"), "%s '%s' belongs to the set '%s', not '%s'",
			 o->kind->name, o->name, before->set, o->set);
	diag_hint(&b->job->diags, d, "apply it with --set %s, or delete it there first", before->set);
}

/* An object of the request, compared with what is stored of it. */
static void take_new(struct build *b, struct object *o)
{
	struct job *job = b->job;
	o->set = arena_strdup(b->arena, job->set);
	const struct object *before = find_stored(b, o);
	o->generation = before ? before->generation : 1;
	if (before && !streq(before->set, o->set)) {
		refuse_other_set(b, o, before);
		return;
	}
	if (!before) {
		touch(job, o, "created");
	} else if (same_content(before, o)) {
		touch(job, o, "unchanged");
		add_new(b, o, same_place(before, o) ? before : NULL);
		return;
	} else {
		o->generation++;
		touch(job, o, "changed");
	}
	add_new(b, o, NULL);
}

static void parse_document(struct build *b, const struct source *source, const struct node *doc)
{
	struct object *o = object_decode(doc, b->arena, &b->job->diags);
	if (!o)
		return;
	o->file = source->name;
	if (b->job->type == JOB_DELETE && find_stored(b, o))
		doom(b, find_stored(b, o));
	else if (b->job->type != JOB_DELETE)
		take_new(b, o);
}

static void parse_source(struct build *b, const struct source *request)
{
	struct source *source = arena_new_of(b->arena, struct source);
	*source = (struct source){arena_strdup(b->arena, request->name),
				  arena_strndup(b->arena, request->text, request->size), request->size};
	size_t n_docs = 0;
	struct node **docs = yaml_parse(source, b->arena, &b->job->diags, &n_docs);
	for (size_t i = 0; i < n_docs; i++) {
		/* A list of documents, as `weft get -o json` prints them. */
		bool list = docs[i]->type == NODE_LIST;
		for (size_t k = 0; k < (list ? docs[i]->n : 1); k++)
			parse_document(b, source, list ? docs[i]->items[k] : docs[i]);
	}
}

/* ---- what goes ---- */

static void spare(struct build *b, const struct object *o)
{
	set_fate(b, o, STAYS);
}

/* What a reference leads to; one to "*" names a link, whatever its kind. */
static const struct object *target_of(const struct build *b, const char *kind, const char *name)
{
	if (!streq(kind, "*"))
		return stored(b, kind, name);
	for (size_t i = 0; kind_at(i); i++) {
		const struct object *o = NULL;
		if (kind_at(i)->flags & KIND_NAME_IS_IFNAME)
			o = stored(b, kind_at(i)->name, name);
		if (o)
			return o;
	}
	return NULL;
}

struct ref_search {
	struct build *b;
	const struct object *from;
	bool spared;
};

/* What something that stays refers to does not go. The files of the host take what they can get; a person is told. */
static void refuse_referenced(void *ctx, const char *kind, const char *name, const struct ref_path *path)
{
	char where[REF_PATH_TEXT];
	struct ref_search *s = ctx;
	struct build *b = s->b;
	const struct object *to = target_of(b, kind, name);
	if (!to || !doomed(b, to))
		return;
	struct diag *d =
		diag_add(&b->job->diags, object_pos(s->from, "metadata.name"),
			 "%s '%s' cannot be deleted: %s '%s' of the set '%s' refers to it (spec.%s)", to->kind->name,
			 to->name, s->from->kind->name, s->from->name, s->from->set, ref_path_text(path, where));
	diag_hint(&b->job->diags, d, "delete both in one command, or change the %s first", s->from->kind->name);
	if (b->job->type == JOB_FILES) {
		spare(b, to);
		s->spared = true;
	}
}

static bool spare_referenced(struct build *b)
{
	struct ref_search search = {b, NULL, false};
	for (size_t i = 0; b->n_doomed && i < b->m->final->n_objects; i++) {
		search.from = b->m->final->objects[i];
		if (!is_new(b, search.from) && !doomed(b, search.from))
			table_refs(search.from->kind->table, search.from->spec, refuse_referenced, &search);
	}
	return search.spared;
}

/* The last n items become the first. Of two that cannot both be had it is the later one that is refused, and that is to
 * be one that stands in a document at hand. */
static void put_first(struct build *b, size_t n)
{
	struct item *items = arena_alloc(b->scratch, (b->n + 1) * sizeof(*items));
	memcpy(items, b->items + b->n - n, n * sizeof(*items));
	memcpy(items + n, b->items, (b->n - n) * sizeof(*items));
	memcpy(b->items, items, b->n * sizeof(*items));
}

/* Stored objects that neither come anew nor go. */
static void carry_rest(struct build *b)
{
	const struct generation *final = b->m->final;
	size_t n_asked = b->n;
	while (spare_referenced(b))
		; /* what was spared refers to others in turn */
	for (size_t i = 0; i < final->n_objects; i++) {
		const struct object *o = final->objects[i];
		if (doomed(b, o)) {
			touch(b->job, o, "deleted");
			continue;
		}
		if (!is_new(b, o))
			add_item(b, NULL, o);
	}
	if (n_asked)
		put_first(b, b->n - n_asked);
}

static void doom_pruned(struct build *b)
{
	const struct generation *final = b->m->final;
	for (size_t i = 0; b->job->prune && i < final->n_objects; i++)
		if (streq(final->objects[i]->set, b->job->set) && !is_new(b, final->objects[i]))
			doom(b, final->objects[i]);
}

static void doom_named(struct build *b)
{
	for (size_t i = 0; i < b->job->n_names; i++) {
		const char *slash = strchr(b->job->names[i], '/');
		cleanup_free char *kind = slash ? xstrndup(b->job->names[i], (size_t)(slash - b->job->names[i])) : NULL;
		const struct object *o = slash ? stored(b, kind, slash + 1) : NULL;
		if (o)
			doom(b, o);
		else
			diag_add(&b->job->diags, (struct pos){0}, "there is no %s", b->job->names[i]);
	}
}

static void refuse_of_files(struct build *b)
{
	const struct generation *final = b->m->final;
	for (size_t i = 0; i < final->n_objects; i++) {
		const struct object *o = final->objects[i];
		if (!doomed(b, o) || !files_owns(b->m, o))
			continue;
		struct diag *d = diag_add(&b->job->diags, object_pos(o, "metadata.name"),
					  "%s '%s' stands in %s, and would come back", o->kind->name, o->name, o->file);
		diag_hint(&b->job->diags, d, "take it out of that file; then it goes by itself");
	}
}

/* ---- going back, and the same once more ---- */

struct before {
	uint64_t final, current, found;
};

/* The final revision before the current one, passing over orders to single objects, which stay whatever the revision,
 * and what weft made of a fact of the host: neither is what a person wants to take back. */
static void find_before(void *ctx, const struct revision_row *row)
{
	struct before *b = ctx;
	bool order = row->set && !*row->set;
	if (row->state != REVISION_FINAL || row->rev > b->final || order)
		return;
	if (!b->current)
		b->current = row->rev;
	else if (!b->found)
		b->found = row->rev;
}

/* Not before it is this job's turn: what stood before it in the queue may have made another revision the last one. */
static int find_revision(struct build *b, struct err *err)
{
	struct before before = {.final = b->m->final_rev};
	if (b->job->rev)
		return 0;
	int r = store_each_revision(b->m->store, find_before, &before, err);
	if (r < 0)
		return r;
	if (!before.found)
		return err_set(err, ENOENT, "there is no revision before this one");
	b->job->rev = before.found;
	b->job->what = arena_printf(b->job->arena, "rollback %llu", (unsigned long long)before.found);
	return 0;
}

static int take_revision(struct build *b, struct err *err)
{
	struct generation *old = NULL;
	int r = find_revision(b, err);
	if (r == 0)
		r = store_get_generation(b->m->store, b->job->rev, &old, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < old->n_objects; i++) {
		struct object *copy = object_carry(old->objects[i], b->arena);
		if (!copy)
			continue;
		const struct object *now = find_stored(b, copy);
		bool same = now && same_content(now, copy);
		copy->generation = now ? now->generation + !same : copy->generation;
		touch(b->job, copy, same ? "unchanged" : now ? "changed" : "created");
		add_new(b, copy, same && same_place(now, copy) ? now : NULL);
		if (is_refused(old, old->objects[i]))
			tolerate(b, copy);
	}
	for (size_t i = 0; i < b->m->final->n_objects; i++)
		if (!is_new(b, b->m->final->objects[i]))
			touch(b->job, b->m->final->objects[i], "deleted");
	generation_unref(old);
	return 0;
}

static void take_all(struct build *b)
{
	for (size_t i = 0; i < b->m->final->n_objects; i++)
		add_item(b, NULL, b->m->final->objects[i]);
}

static int gather(struct build *b)
{
	struct job *job = b->job;
	struct err err = {0};
	switch (job->type) {
	case JOB_APPLY:
	case JOB_FILES:
	case JOB_DIFF:
		for (size_t i = 0; i < job->n_sources; i++)
			parse_source(b, &job->sources[i]);
		doom_pruned(b);
		carry_rest(b);
		return 0;
	case JOB_DELETE:
		for (size_t i = 0; i < job->n_sources; i++)
			parse_source(b, &job->sources[i]);
		doom_named(b);
		refuse_of_files(b);
		carry_rest(b);
		return 0;
	case JOB_ROLLBACK:
		if (take_revision(b, &err) < 0)
			diag_add(&job->diags, (struct pos){0}, "%s", err.text);
		return 0;
	case JOB_OVERRIDE:
	case JOB_RELOWER:
		take_all(b);
		return 0;
	}
	return 0;
}

static bool was_changed(const struct job *job, const char *id)
{
	json_t *entry;
	size_t i;
	json_array_foreach(json_object_get(job->answer, "objects"), i, entry) {
		cleanup_free char *other = xprintf("%s/%s", json_string_value(json_object_get(entry, "kind")),
						   json_string_value(json_object_get(entry, "name")));
		if (streq(other, id))
			return !streq(json_string_value(json_object_get(entry, "change")), "unchanged");
	}
	return false;
}

/* An apply that changes a guest clears what was ordered beside its manifest; a new order replaces the old one. */
static int overrides_for(struct build *b, struct override_row **ret, size_t *ret_n, struct err *err)
{
	struct job *job = b->job;
	struct override_row *rows = NULL;
	size_t n = 0, kept = 0;
	int r = store_get_overrides(b->m->store, b->arena, &rows, &n, err);
	if (r < 0)
		return r;
	struct override_row *all = arena_alloc(b->scratch, (n + 1) * sizeof(*all));
	for (size_t i = 0; i < n; i++)
		if (!streq(rows[i].object, job->override_object) && !was_changed(job, rows[i].object))
			all[kept++] = rows[i];
	if (job->override_text)
		all[kept++] = (struct override_row){job->override_object, job->override_text, job->who, wall_ms()};
	*ret = all;
	*ret_n = kept;
	return 0;
}

/* ---- what is refused ---- */

static const struct object *same_object(const struct generation *gen, const struct object *like)
{
	for (size_t i = 0; like && i < gen->n_objects; i++)
		if (gen->objects[i]->kind == like->kind && streq(gen->objects[i]->name, like->name))
			return gen->objects[i];
	return NULL;
}

static bool is_of_refused(const struct generation *gen, const struct want *want)
{
	for (size_t i = 0; i < want->n_owners; i++)
		if (is_refused(gen, same_object(gen, want->owners[i])))
			return true;
	return false;
}

static struct want *keep_want(struct generation *gen, const struct want *old)
{
	struct arena *arena = gen->arena;
	struct want *w = generation_add(gen, old->class, old->key, table_copy(old->class->table, old->spec, arena));
	w->mark = arena_strdup(arena, old->mark);
	w->adopt = old->adopt;
	w->spare = old->spare;
	w->guards_gateway = old->guards_gateway;
	for (size_t i = 0; i < old->n_owners; i++) {
		const struct object *owner = same_object(gen, old->owners[i]);
		if (!owner)
			continue;
		arena_grow(arena, w->owners, w->n_owners, w->cap_owners);
		w->owners[w->n_owners++] = owner;
	}
	return w;
}

static struct want *kept_as(const struct generation *gen, const struct want *old)
{
	return old ? generation_find(gen, old->class->name, old->key) : NULL;
}

static void keep_edges(struct generation *gen, struct want *w, const struct want *old)
{
	for (size_t i = 0; i < old->n_needs; i++) {
		arena_grow(gen->arena, w->needs, w->n_needs, w->cap_needs);
		if (kept_as(gen, old->needs[i]))
			w->needs[w->n_needs++] = kept_as(gen, old->needs[i]);
	}
	for (size_t i = 0; i < old->n_handovers; i++) {
		arena_grow(gen->arena, w->handovers, w->n_handovers, w->cap_handovers);
		if (kept_as(gen, old->handovers[i]))
			w->handovers[w->n_handovers++] = kept_as(gen, old->handovers[i]);
	}
	for (size_t i = 0; i < old->n_afters; i++) {
		arena_grow(gen->arena, w->afters, w->n_afters, w->cap_afters);
		if (kept_as(gen, old->afters[i]))
			w->afters[w->n_afters++] = kept_as(gen, old->afters[i]);
	}
	for (size_t i = 0; i < old->n_rests; i++) {
		arena_grow(gen->arena, w->rests, w->n_rests, w->cap_rests);
		if (kept_as(gen, old->rests[i]))
			w->rests[w->n_rests++] = kept_as(gen, old->rests[i]);
	}
	w->carrier = kept_as(gen, old->carrier);
}

static void keep_choices(struct generation *gen, const struct generation *before)
{
	for (size_t i = 0; i < before->n_allocs; i++) {
		const struct alloc_row *a = &before->allocs[i];
		bool refused = false;
		for (size_t k = 0; k < gen->n_refused && !refused; k++) {
			cleanup_free char *id = object_id(gen->refused[k]);
			refused = streq(id, a->object);
		}
		if (!refused)
			continue;
		arena_grow(gen->arena, gen->allocs, gen->n_allocs, gen->cap_allocs);
		gen->allocs[gen->n_allocs++] =
			(struct alloc_row){arena_strdup(gen->arena, a->object), arena_strdup(gen->arena, a->space),
					   arena_strdup(gen->arena, a->slot), arena_strdup(gen->arena, a->text)};
	}
}

/* What a refused object had made before it was refused stays as it was: a slip in a file stops no guest. */
static void keep_refused(struct generation *gen, const struct generation *before)
{
	if (!gen->n_refused)
		return;
	size_t n_lowered = gen->n_wants;
	for (size_t i = 0; i < before->n_wants; i++)
		if (is_of_refused(gen, before->wants[i]) && !kept_as(gen, before->wants[i]))
			keep_want(gen, before->wants[i]);
	for (size_t i = n_lowered; i < gen->n_wants; i++)
		keep_edges(gen, gen->wants[i], generation_find(before, gen->wants[i]->class->name, gen->wants[i]->key));
	keep_choices(gen, before);
}

/* As little anew as can be: what has not changed is the same object as before. */
static int carry_over(struct build *b, struct lower_input input)
{
	struct object **objects = arena_alloc(b->scratch, (b->n + 1) * sizeof(*objects));
	if (b->n_tolerated || b->job->diags.n_total)
		return -EAGAIN;
	for (size_t i = 0; i < b->n; i++)
		objects[i] = b->items[i].same ? (struct object *)b->items[i].same : b->items[i].asked;
	input.objects = objects;
	input.n_objects = b->n;
	input.before = b->m->final;
	int r = lower_carry(b->job->gen, &input);
#ifdef WEFT_CHECKS
	if (r == 0)
		lower_check(b->job->gen, &input);
#endif
	return r;
}

/* All from nothing, and of what stands nowhere else copies, so that nothing of the generation before is needed. What
 * was refused before may be so again without holding up others. */
static int lower_anew(struct build *b, struct lower_input input)
{
	struct object **objects = arena_alloc(b->scratch, (b->n + 1) * sizeof(*objects));
	for (size_t i = 0; i < b->n; i++) {
		const struct item *item = &b->items[i];
		struct object *object = item->asked ? item->asked : object_carry(item->same, b->arena);
		if (!object)
			continue;
		objects[input.n_objects++] = object;
		if (!item->asked && is_refused(b->m->final, item->same))
			tolerate(b, object);
	}
	input.objects = objects;
	input.tolerated = b->tolerated;
	input.n_tolerated = b->n_tolerated;
	int r = lower_all(b->job->gen, &input, &b->job->diags);
	if (r == 0)
		keep_refused(b->job->gen, b->m->final);
	return r;
}

static int build(struct build *b)
{
	struct job *job = b->job;
	const struct generation *final = b->m->final;
	gather(b);
	if (job->diags.n_total && job->type != JOB_FILES)
		return -EINVAL;
	struct lower_input input = {.allocs = final->allocs,
				    .n_allocs = final->n_allocs,
				    .lenient = job->type == JOB_FILES || job->type == JOB_RELOWER};
	struct override_row *overrides = NULL;
	struct err err = {0};
	if (overrides_for(b, &overrides, &input.n_overrides, &err) < 0) {
		diag_add(&job->diags, (struct pos){0}, "%s", err.text);
		return -EIO;
	}
	input.overrides = overrides;
	return carry_over(b, input) == 0 ? 0 : lower_anew(b, input);
}

/* Builds job->gen; faults are in job->diags. */
int config_build(struct manager *m, struct job *job)
{
	cleanup_arena struct arena *scratch = arena_new();
	job->gen = generation_new(NULL);
	job->diags.arena = job->gen->arena;
	struct build b = {.m = m, .job = job, .arena = job->gen->arena, .scratch = scratch};
	index_stored(&b);
	return build(&b);
}
