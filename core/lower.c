/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a kind's lower() calls: wants and their edges, and what refuses an object. lower-all.c
 * runs them over a configuration; lower-choice.c has facts and allocations. */
#include "core/lower-internal.h"

static const char *object_id(struct lowering *l, const struct object *object)
{
	return arena_printf(l->gen->arena, "%s/%s", object->kind->name, object->name);
}

const char *lower_object_id(struct lowering *l)
{
	return object_id(l, l->object);
}

static void add_owner(struct lowering *l, struct want *want)
{
	for (size_t i = 0; i < want->n_owners; i++)
		if (want->owners[i] == l->object)
			return;
	arena_grow(l->gen->arena, want->owners, want->n_owners, want->cap_owners);
	want->owners[want->n_owners++] = l->object;
}

static void report_conflict(struct lowering *l, const struct want *want, const void *spec, size_t row)
{
	const struct table *table = want->class->table;
	const struct want_origin *first = &want->origins[row];
	struct arena *arena = l->gen->arena;
	struct diag *d =
		diag_add(l->diags, object_pos(l->object, l->path), "%s '%s': %s is to be %s here, %s by %s '%s'",
			 want->class->name, want->key, table->fields[row].name, table_row_text(table, spec, row, arena),
			 table_row_text(table, want->spec, row, arena), first->object ? first->object->kind->name : "?",
			 first->object ? first->object->name : "?");
	if (first->object)
		diag_related(l->diags, d, object_pos(first->object, first->path), "the other one is here");
	diag_hint(l->diags, d, "make both the same, or leave it out of one of them");
	l->refused = true;
}

/* Adds the rows of `spec`, remembering where each came from. */
static void merge_rows(struct lowering *l, struct want *want, const void *spec)
{
	const struct table *table = want->class->table;
	uint64_t before = *present_of(want->spec);
	uint64_t conflicts = table_merge(table, want->spec, spec, l->gen->arena);
	for (size_t row = 0; row < table->n_fields; row++) {
		uint64_t bit = (uint64_t)1 << row;
		if (conflicts & bit)
			report_conflict(l, want, spec, row);
		else if (*present_of(want->spec) & ~before & bit)
			want->origins[row] = (struct want_origin){l->object, l->path};
	}
}

struct want *want(struct lowering *l, const struct resource_class *class, const void *spec, const char *key_fmt, ...)
{
	va_list args;
	va_start(args, key_fmt);
	const char *key = arena_vprintf(l->gen->arena, key_fmt, args);
	va_end(args);
	struct want *w = generation_find(l->gen, class->name, key);
	bool scrap = w && !lower_touch(l, w); /* something to go on with until this way is given up */
	if (!w || scrap) {
		w = scrap ? generation_scrap(l->gen, class, key) : generation_add(l->gen, class, key, NULL);
		w->origins = arena_alloc(l->gen->arena, class->table->n_fields * sizeof(*w->origins));
		lower_touch(l, w);
	}
	add_owner(l, w);
	if (spec)
		merge_rows(l, w, spec);
	return w;
}

void want_set(struct lowering *l, struct want *w, const char *row, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	bool plain = streq(fmt, "%s"); /* mostly, and of thousands of links it is felt */
	cleanup_free char *made = plain ? NULL : xvprintf(fmt, args);
	const char *text = plain ? va_arg(args, const char *) : made;
	va_end(args);
	struct err err = {0};
	if (!lower_touch(l, w))
		return;
	/* Once the object is refused, the resource may be of another sort than its rows are for. */
	if (want_set_text(l, w, row, text, &err) < 0 && !l->refused) {
		fprintf(stderr, "weft: %s/%s: %s\n", w->class->name, w->key, err.text);
		abort();
	}
}

/* A struct for one row. What a variant holds depends on rows around it, so those wanted so far are lent to it; they are
 * not present. */
static void *single_row(struct lowering *l, const struct want *w, const char *path)
{
	const struct table *table = w->class->table;
	char *spec = arena_alloc(l->gen->arena, table->size);
	const struct field *row = table_field(table, arena_strndup(l->gen->arena, path, strcspn(path, ".")));
	if (row && row->shape == FIELD_VARIANT) {
		memcpy(spec, w->spec, table->size);
		*present_of(spec) = 0;
		memset(spec + row->offset, 0, sizeof(void *));
	}
	return spec;
}

int want_set_text(struct lowering *l, struct want *w, const char *row, const char *text, struct err *err)
{
	if (!lower_touch(l, w))
		return 0;
	void *spec = single_row(l, w, row);
	int r = table_set_text(&(struct set_into){w->class->table, spec, l->gen->arena}, row, text, err);
	if (r == 0)
		merge_rows(l, w, spec);
	return r;
}

struct want *want_find(struct lowering *l, const char *class, const char *key)
{
	struct want *w = generation_find(l->gen, class, key);
	if (w && l->run->carry && generation_carries(l->gen, w) && !carry_shows(l, w))
		w = NULL;
	lower_looked(l, class, key, w);
	return w;
}

void want_default(struct lowering *l, struct want *w, const char *row, const char *fmt, ...)
{
	const struct table *table = w->class->table;
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	struct err err = {0};
	if (!lower_touch(l, w))
		return;
	if (!w->defaults)
		w->defaults = arena_alloc(l->gen->arena, table->size);
	if (table_set_text(&(struct set_into){table, w->defaults, l->gen->arena}, row, text, &err) < 0) {
		fprintf(stderr, "weft: %s/%s: %s\n", w->class->name, w->key, err.text);
		abort();
	}
}

static void add_edge(struct lowering *l, struct want ***items, size_t *n, size_t *cap, struct want *to)
{
	for (size_t i = 0; i < *n; i++)
		if ((*items)[i] == to)
			return;
	arena_grow(l->gen->arena, *items, *n, *cap);
	(*items)[(*n)++] = to;
}

void needs(struct lowering *l, struct want *a, struct want *b)
{
	if (a && b && a != b && lower_touch(l, a))
		add_edge(l, &a->needs, &a->n_needs, &a->cap_needs, b);
}

void handover(struct lowering *l, struct want *x, struct want *y)
{
	if (x && y && x != y && lower_touch(l, x))
		add_edge(l, &x->handovers, &x->n_handovers, &x->cap_handovers, y);
}

void after(struct lowering *l, struct want *a, struct want *b)
{
	if (a && b && a != b && lower_touch(l, a))
		add_edge(l, &a->afters, &a->n_afters, &a->cap_afters, b);
}

void rests_on(struct lowering *l, struct want *a, struct want *b)
{
	if (a && b && a != b && lower_touch(l, a))
		add_edge(l, &a->rests, &a->n_rests, &a->cap_rests, b);
}

void carried(struct lowering *l, struct want *x, struct want *y)
{
	if (lower_touch(l, x))
		x->carrier = y;
}

void want_cost(struct lowering *l, struct want *w, const char *row, const char *fmt, ...)
{
	const struct table *table = w->class->table;
	va_list args;
	va_start(args, fmt);
	const char *text = arena_vprintf(l->gen->arena, fmt, args);
	va_end(args);
	if (!lower_touch(l, w))
		return;
	w->cost = w->cost ? arena_printf(l->gen->arena, "%s; %s", w->cost, text) : text;
	w->costly |= (uint64_t)1 << (table_field(table, row) - table->fields);
}

void want_guards_gateway(struct want *w)
{
	w->guards_gateway = true;
}

void lower_at(struct lowering *l, const char *path)
{
	l->path = arena_strdup(l->gen->arena, path);
}

struct diag *lower_refuse(struct lowering *l, const char *path, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	l->refused = true;
	return diag_add(l->diags, object_pos(l->object, path ? path : "metadata.name"), "%s", text);
}

void lower_refuse_beside(struct lowering *l, struct diag *diag, const char *object)
{
	const char *slash = object ? strchr(object, '/') : NULL;
	const char *kind = slash ? arena_strndup(l->gen->arena, object, (size_t)(slash - object)) : NULL;
	const struct object *other = kind ? configuration_find(l->config, kind, slash + 1) : NULL;
	if (!other)
		return;
	const char *set = streq(other->set, l->object->set) ? NULL : other->set;
	diag_related(l->diags, diag, object_pos(other, "metadata.name"), "this is %s%s%s%s", object,
		     set ? " of the set '" : "", set ? set : "", set ? "'" : "");
}

struct diags *lower_diags(struct lowering *l)
{
	return l->diags;
}

struct arena *lower_arena(struct lowering *l)
{
	return l->arena;
}

const struct object *lower_object(struct lowering *l)
{
	return l->object;
}

const struct object *lower_find(struct lowering *l, const char *kind, const char *name)
{
	const struct object *object = configuration_find(l->config, kind, name);
	lower_asked(l, &(struct lower_question){lower_ask_object, kind, name, (uintptr_t)object,
						lower_topic_object(kind, name)});
	return object;
}

const struct object *lower_object_at(struct lowering *l, size_t i)
{
	if (l->gathering && !l->hushed)
		l->gathering->anything = true;
	else if (l->asked && !l->hushed)
		l->asked->around = true;
	return i < l->config->n ? l->config->objects[i] : NULL;
}

const char *lower_override(struct lowering *l)
{
	const char *text = NULL;
	cleanup_free char *id = xprintf("%s/%s", l->object->kind->name, l->object->name);
	for (size_t i = 0; i < l->input->n_overrides && !text; i++)
		if (streq(l->input->overrides[i].object, id))
			text = l->input->overrides[i].text;
	lower_asked(l, &(struct lower_question){.fn = lower_ask_override, .answer = lower_hash(0, text)});
	return text;
}
