/* SPDX-License-Identifier: Apache-2.0 */
/* A generation as text: one line of JSON an object, fact, allocation or resource, so that one bad line costs that line.
 *
 *     {"object": {document}, "set": "default", "generation": 3, "file": "lan.yaml", "line": 4, "refused": true}
 *     {"fact": "link/eth0/mtu", "value": "1500", "reader": "Vxlan/vx0"}
 *     {"alloc": ["Guest/web", "mac", "0", "52:54:00:..."]}
 *     {"want": "lan", "class": "link", "spec": {...}, "mark": "...", "owners": ["Network/lan"], "needs": [],
 * "handovers": [], "afters": [], "rests": [], "carrier": "qemu/web", "adopt": true, "guardsGateway": true, "spare":
 * true}
 *
 * Of one that carries over most of another, only the difference from that is written, and both are read together. Then
 * an object replaces that of its name, with its facts and allocations, a resource that of its id, and
 *
 *     {"gone": ["Guest/web"], "goneWants": ["qemu/web"]}
 *
 * takes away. An earlier weft referred to objects and resources by a "number" of theirs; that is read as well. */
#include "core/store-internal.h"

#include "core/event.h"
#include "core/strmap.h"

enum { LINE_MAX_BYTES = 16 * 1024 * 1024 };

/* ---- writing ---- */

struct buffer {
	char *text;
	size_t size, cap;
};

static int append(const char *bytes, size_t size, void *ctx)
{
	struct buffer *b = ctx;
	if (b->cap - b->size < size) {
		b->cap = (b->cap + size) * 2;
		b->text = xrealloc(b->text, b->cap, 1);
	}
	memcpy(b->text + b->size, bytes, size);
	b->size += size;
	return 0;
}

/* Takes the line. */
static void add_line(struct buffer *b, json_t *line)
{
	if (!line || json_dump_callback(line, append, b, JSON_COMPACT) < 0)
		abort(); /* out of memory, or a text that is not UTF-8, which no parser of ours lets in */
	append("\n", 1, b);
	json_decref(line);
}

static void set_text(json_t *line, const char *key, const char *text)
{
	if (text)
		json_object_set_new(line, key, json_string(text));
}

static bool is_refused(const struct generation *gen, const struct object *object)
{
	for (size_t i = 0; i < gen->n_refused; i++)
		if (gen->refused[i] == object)
			return true;
	return false;
}

static json_t *object_line(const struct generation *gen, size_t number)
{
	const struct object *object = gen->objects[number];
	json_t *line = json_object();
	json_object_set_new(line, "object",
			    object->node ? node_to_json(object->node) : object_to_json(object, EMIT_SECRETS));
	set_text(line, "set", object->set);
	set_text(line, "file", object->file);
	json_object_set_new(line, "generation", json_integer((json_int_t)object->generation));
	if (object->node && object->node->pos.line)
		json_object_set_new(line, "line", json_integer(object->node->pos.line));
	if (is_refused(gen, object))
		json_object_set_new(line, "refused", json_true());
	return line;
}

static json_t *object_name(const struct object *object)
{
	return json_sprintf("%s/%s", object->kind->name, object->name);
}

static json_t *want_id(const struct want *want)
{
	return json_sprintf("%s/%s", want->class->name, want->key);
}

static int set_edges(const struct generation *gen, json_t *line, const char *key, struct want *const *wants, size_t n)
{
	json_t *list = json_array();
	if (n)
		json_object_set(line, key, list);
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (generation_find(gen, wants[i]->class->name, wants[i]->key) != wants[i])
			r = -EINVAL;
		json_array_append_new(list, want_id(wants[i]));
	}
	json_decref(list);
	return r;
}

static int add_want(struct buffer *b, const struct generation *gen, const struct want *want)
{
	json_t *line = json_object(), *owners = json_array();
	json_object_set_new(line, "want", json_string(want->key));
	json_object_set_new(line, "class", json_string(want->class->name));
	json_object_set_new(line, "spec", table_to_json(want->class->table, want->spec, EMIT_SECRETS));
	set_text(line, "mark", want->mark);
	for (size_t i = 0; i < want->n_owners; i++)
		json_array_append_new(owners, object_name(want->owners[i]));
	json_object_set_new(line, "owners", owners);
	int r = set_edges(gen, line, "needs", want->needs, want->n_needs);
	if (r == 0)
		r = set_edges(gen, line, "handovers", want->handovers, want->n_handovers);
	if (r == 0)
		r = set_edges(gen, line, "afters", want->afters, want->n_afters);
	if (r == 0)
		r = set_edges(gen, line, "rests", want->rests, want->n_rests);
	if (r == 0 && want->carrier)
		json_object_set_new(line, "carrier", want_id(want->carrier));
	if (want->adopt)
		json_object_set_new(line, "adopt", json_true());
	if (want->guards_gateway)
		json_object_set_new(line, "guardsGateway", json_true());
	if (want->spare)
		json_object_set_new(line, "spare", json_true());
	add_line(b, line);
	return r;
}

static void add_facts(struct buffer *b, const struct fact_row *facts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_t *line = json_object();
		json_object_set_new(line, "fact", json_string(facts[i].key));
		set_text(line, "value", facts[i].value);
		if (facts[i].reader)
			json_object_set_new(line, "reader", object_name(facts[i].reader));
		add_line(b, line);
	}
}

static void add_allocs(struct buffer *b, const struct alloc_row *allocs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct alloc_row *a = &allocs[i];
		add_line(b, json_pack("{s:[ssss]}", "alloc", a->object, a->space, a->slot, a->text));
	}
}

/* The wants from one on, and the end. */
static int add_wants(struct buffer *b, const struct generation *gen, size_t from, struct err *err)
{
	for (size_t i = from; i < gen->n_wants; i++) {
		if (add_want(b, gen, gen->wants[i]) == 0)
			continue;
		free(b->text);
		return err_set(err, EINVAL, "%s/%s refers to a resource of another generation",
			       gen->wants[i]->class->name, gen->wants[i]->key);
	}
	append("", 1, b); /* never NULL, and ends in NUL */
	return 0;
}

int store_generation_write(const struct generation *gen, char **ret, size_t *ret_size, struct err *err)
{
	struct buffer b = {0};
	for (size_t i = 0; i < gen->n_objects; i++)
		add_line(&b, object_line(gen, i));
	add_facts(&b, gen->facts, gen->n_facts);
	add_allocs(&b, gen->allocs, gen->n_allocs);
	int r = add_wants(&b, gen, 0, err);
	if (r < 0)
		return r;
	*ret = b.text;
	*ret_size = b.size - 1;
	return 0;
}

static void add_gone(struct buffer *b, const struct generation *gen)
{
	json_t *gone = json_array(), *wants = json_array();
	for (size_t i = 0; i < gen->n_left; i++)
		json_array_append_new(gone, object_name(gen->left[i]));
	for (size_t i = 0; i < gen->n_gone; i++)
		if (!generation_find(gen, gen->gone[i]->class->name, gen->gone[i]->key))
			json_array_append_new(wants, want_id(gen->gone[i]));
	add_line(b, json_pack("{s:o, s:o}", "gone", gone, "goneWants", wants));
}

int store_generation_write_delta(const struct generation *gen, char **ret, size_t *ret_size, struct err *err)
{
	struct buffer b = {0};
	add_gone(&b, gen);
	for (size_t i = 0; i < gen->n_objects; i++)
		if (gen->anew[i])
			add_line(&b, object_line(gen, i));
	for (size_t i = 0; i < gen->n_objects; i++) {
		if (!gen->anew[i])
			continue;
		size_t n = 0;
		const struct fact_row *facts = lowered_facts(gen->lowered[i], &n);
		add_facts(&b, facts, n);
		const struct alloc_row *allocs = lowered_allocs(gen->lowered[i], &n);
		add_allocs(&b, allocs, n);
	}
	int r = add_wants(&b, gen, gen->n_carried, err);
	if (r < 0)
		return r;
	*ret = b.text;
	*ret_size = b.size - 1;
	return 0;
}

/* ---- reading ---- */

/* One of one of the texts. */
struct line {
	json_t *json;
	size_t text;
	const char *id; /* as in `latest`; NULL: it replaces nothing */
};

struct reader {
	struct generation *gen;
	uint64_t rev;
	size_t numbers_max;  /* no text has more than this */
	struct arena *arena; /* of the maps */
	struct line *lines;  /* of all texts, in order */
	size_t n_lines, cap_lines;
	struct strmap latest;  /* "object Kind/name" or "want class/key" -> struct line, or what says that it is gone */
	struct strmap objects; /* "Kind/name" -> struct object */
	struct object **numbered; /* objects by their number; NULL where one was left out */
	size_t n_objects, cap_objects;
	struct want **wants; /* the same */
	json_t **want_lines; /* kept until all are known, for the edges */
	size_t n_wants, cap_wants, cap_want_lines;
};

static void skipped(const struct reader *reader, const char *object, const char *what, const char *why)
{
	event_text("StoreDamaged", object, true, "revision %llu in the store: %s was left out: %s",
		   (unsigned long long)reader->rev, what, why);
}

static const char *get_text(struct arena *arena, const json_t *line, const char *key)
{
	return arena_strdup(arena, json_string_value(json_object_get(line, key)));
}

/* What was read from a file long ago keeps where it stood, so that conflicts with it can name file and line. */
static void set_position(struct node *node, const struct source *source, unsigned line)
{
	node->pos = (struct pos){.source = source, .line = line, .column = 1};
	for (size_t i = 0; i < node->n; i++) {
		set_position(node->items[i], source, line);
		if (node->keys)
			node->keys[i]->pos = node->pos;
	}
}

static struct object *decode_object(struct reader *reader, const json_t *line, const char *id)
{
	struct arena *arena = reader->gen->arena;
	struct node *node = node_from_json(json_object_get(line, "object"), arena);
	struct diags diags = {.arena = arena};
	const char *file = get_text(arena, line, "file");
	if (node && file) {
		struct source *source = arena_new_of(arena, struct source);
		*source = (struct source){.name = file, .text = ""};
		set_position(node, source, (unsigned)json_integer_value(json_object_get(line, "line")));
	}
	struct object *object = node ? object_decode(node, arena, &diags) : NULL;
	if (!object || diags.n > 0)
		skipped(reader, id, object ? "a part of it" : "it",
			diags.n ? diags.items[0]->text : "it is no document");
	if (!object)
		return NULL;
	object->file = file;
	object->set = get_text(arena, line, "set");
	object->generation = (uint64_t)json_integer_value(json_object_get(line, "generation"));
	return object;
}

/* The number of a line, which is not below `next`: lines before it may be damaged. */
static size_t line_number(const struct reader *reader, const json_t *line, size_t next)
{
	json_int_t number = json_integer_value(json_object_get(line, "number"));
	return number > 0 && (size_t)number > next && (size_t)number < reader->numbers_max ? (size_t)number : next;
}

static void read_object(struct reader *reader, const json_t *line)
{
	struct generation *gen = reader->gen;
	const json_t *doc = json_object_get(line, "object");
	const char *kind = json_string_value(json_object_get(doc, "kind"));
	const char *name = json_string_value(json_object_get(json_object_get(doc, "metadata"), "name"));
	cleanup_free char *id = xprintf("%s/%s", kind ? kind : "?", name ? name : "?");
	struct object *object = decode_object(reader, line, id);
	size_t number = line_number(reader, line, reader->n_objects);
	while (reader->n_objects <= number) {
		grow(reader->numbered, reader->n_objects, reader->cap_objects);
		reader->numbered[reader->n_objects++] = NULL;
	}
	reader->numbered[number] = object;
	if (!object)
		return;
	strmap_put(&reader->objects, arena_printf(reader->arena, "%s/%s", kind, name), object);
	arena_grow(gen->arena, gen->objects, gen->n_objects, gen->cap_objects);
	gen->objects[gen->n_objects++] = object;
	if (!json_is_true(json_object_get(line, "refused")))
		return;
	arena_grow(gen->arena, gen->refused, gen->n_refused, gen->cap_refused);
	gen->refused[gen->n_refused++] = object;
}

static struct object *object_at(const struct reader *reader, const json_t *number)
{
	if (json_is_string(number))
		return strmap_get(&reader->objects, json_string_value(number));
	json_int_t i = json_is_integer(number) ? json_integer_value(number) : -1;
	return i >= 0 && (size_t)i < reader->n_objects ? reader->numbered[i] : NULL;
}

static void read_fact(struct reader *reader, const json_t *line)
{
	struct generation *gen = reader->gen;
	struct object *object = object_at(reader, json_object_get(line, "reader"));
	const char *key = get_text(gen->arena, line, "fact");
	if (!key)
		skipped(reader, NULL, "a fact", "it has no name");
	if (!key || !object)
		return; /* a reader that was left out is not to be lowered anew */
	arena_grow(gen->arena, gen->facts, gen->n_facts, gen->cap_facts);
	gen->facts[gen->n_facts++] = (struct fact_row){
		.key = key,
		.value = get_text(gen->arena, line, "value"),
		.reader = object,
	};
}

static void read_alloc(struct reader *reader, const json_t *line)
{
	struct generation *gen = reader->gen;
	const char *t[4];
	for (size_t i = 0; i < 4; i++) {
		t[i] = arena_strdup(gen->arena, json_string_value(json_array_get(json_object_get(line, "alloc"), i)));
		if (!t[i]) {
			skipped(reader, NULL, "an allocation", "it is incomplete");
			return;
		}
	}
	arena_grow(gen->arena, gen->allocs, gen->n_allocs, gen->cap_allocs);
	gen->allocs[gen->n_allocs++] = (struct alloc_row){.object = t[0], .space = t[1], .slot = t[2], .text = t[3]};
}

/* Without rows that the class does not have any more, and without one whose value it does not take any more. */
static int decode_rest(const struct table *table, const json_t *json, struct arena *arena, void *spec)
{
	struct err err;
	json_t *rest = json_object(), *value;
	const char *key;
	json_object_foreach((json_t *)json, key, value) {
		if (table_field(table, key))
			json_object_set(rest, key, value);
	}
	int r = table_from_json(table, rest, arena, spec, &err);
	json_object_foreach((json_t *)json, key, value) {
		json_t *trial = r < 0 ? json_copy(rest) : NULL;
		if (trial && json_object_del(trial, key) == 0)
			r = table_from_json(table, trial, arena, spec, &err);
		json_decref(trial);
	}
	json_decref(rest);
	return r;
}

/* A resource must not go because a later weft reads its stored spec in another way: then it is wanted with the rows
 * that can be read, if need be with none, which leaves it as it is until its object is applied anew. */
static void *decode_spec(struct reader *reader, const struct resource_class *class, const json_t *json, const char *id)
{
	struct arena *arena = reader->gen->arena;
	struct err err = {0};
	void *spec = arena_alloc(arena, class->table->size);
	if (table_from_json(class->table, json, arena, spec, &err) == 0)
		return spec;
	cleanup_free char *what = xprintf("a part of %s", id);
	skipped(reader, NULL, what, err.text);
	if (decode_rest(class->table, json, arena, spec) < 0)
		memset(spec, 0, class->table->size);
	return spec;
}

static struct want *decode_want(struct reader *reader, const json_t *line)
{
	struct generation *gen = reader->gen;
	const char *key = json_string_value(json_object_get(line, "want"));
	const char *class_name = json_string_value(json_object_get(line, "class"));
	const struct resource_class *class = class_name ? class_find(class_name) : NULL;
	cleanup_free char *id = xprintf("%s/%s", class_name ? class_name : "?", key ? key : "?");
	if (!class || !key || generation_find(gen, class_name, key)) {
		skipped(reader, NULL, id,
			!class ? "this weft has no such class of resources" : "it is incomplete or there twice");
		return NULL;
	}
	void *spec = decode_spec(reader, class, json_object_get(line, "spec"), id);
	struct want *want = generation_add(gen, class, key, spec);
	want->mark = get_text(gen->arena, line, "mark");
	want->adopt = json_is_true(json_object_get(line, "adopt"));
	want->guards_gateway = json_is_true(json_object_get(line, "guardsGateway"));
	want->spare = json_is_true(json_object_get(line, "spare"));
	const json_t *number;
	size_t i;
	json_array_foreach(json_object_get(line, "owners"), i, number) {
		const struct object *owner = object_at(reader, number);
		if (!owner)
			continue;
		arena_grow(gen->arena, want->owners, want->n_owners, want->cap_owners);
		want->owners[want->n_owners++] = owner;
	}
	return want;
}

static void read_want(struct reader *reader, json_t *line)
{
	size_t number = line_number(reader, line, reader->n_wants);
	while (reader->n_wants <= number) {
		grow(reader->wants, reader->n_wants, reader->cap_wants);
		grow(reader->want_lines, reader->n_wants, reader->cap_want_lines);
		reader->wants[reader->n_wants] = NULL;
		reader->want_lines[reader->n_wants++] = NULL;
	}
	reader->wants[number] = decode_want(reader, line);
	reader->want_lines[number] = json_incref(line);
}

static struct want *want_at(const struct reader *reader, const json_t *number)
{
	const char *id = json_string_value(number), *slash = id ? strchr(id, '/') : NULL;
	cleanup_free char *class = slash ? xstrndup(id, (size_t)(slash - id)) : NULL;
	if (slash)
		return generation_find(reader->gen, class, slash + 1);
	json_int_t i = json_is_integer(number) ? json_integer_value(number) : -1;
	return i >= 0 && (size_t)i < reader->n_wants ? reader->wants[i] : NULL;
}

static void link_edges(const struct reader *reader, struct want *want, const json_t *line)
{
	struct arena *arena = reader->gen->arena;
	const json_t *number;
	size_t i;
	json_array_foreach(json_object_get(line, "needs"), i, number) {
		arena_grow(arena, want->needs, want->n_needs, want->cap_needs);
		if (want_at(reader, number))
			want->needs[want->n_needs++] = want_at(reader, number);
	}
	json_array_foreach(json_object_get(line, "handovers"), i, number) {
		arena_grow(arena, want->handovers, want->n_handovers, want->cap_handovers);
		if (want_at(reader, number))
			want->handovers[want->n_handovers++] = want_at(reader, number);
	}
	json_array_foreach(json_object_get(line, "afters"), i, number) {
		arena_grow(arena, want->afters, want->n_afters, want->cap_afters);
		if (want_at(reader, number))
			want->afters[want->n_afters++] = want_at(reader, number);
	}
	json_array_foreach(json_object_get(line, "rests"), i, number) {
		arena_grow(arena, want->rests, want->n_rests, want->cap_rests);
		if (want_at(reader, number))
			want->rests[want->n_rests++] = want_at(reader, number);
	}
	want->carrier = want_at(reader, json_object_get(line, "carrier"));
}

/* ---- lines ---- */

static const char *id_of_line(struct reader *reader, const json_t *line)
{
	const json_t *doc = json_object_get(line, "object");
	const char *kind = json_string_value(json_object_get(doc, "kind"));
	const char *name = json_string_value(json_object_get(json_object_get(doc, "metadata"), "name"));
	const char *class = json_string_value(json_object_get(line, "class"));
	const char *key = json_string_value(json_object_get(line, "want"));
	if (doc)
		return kind && name ? arena_printf(reader->arena, "object %s/%s", kind, name) : NULL;
	return class && key ? arena_printf(reader->arena, "want %s/%s", class, key) : NULL;
}

static void take_away(struct reader *reader, const json_t *ids, const char *sort, size_t text)
{
	const json_t *id;
	size_t i;
	json_array_foreach(ids, i, id) {
		if (!json_is_string(id))
			continue;
		struct line *nothing = arena_new_of(reader->arena, struct line);
		nothing->text = text;
		strmap_put(&reader->latest, arena_printf(reader->arena, "%s %s", sort, json_string_value(id)), nothing);
	}
}

static void keep_line(struct reader *reader, const char *bytes, size_t size, size_t text)
{
	json_error_t fault;
	json_t *json = size <= LINE_MAX_BYTES ? json_loadb(bytes, size, 0, &fault) : NULL;
	take_away(reader, json_object_get(json, "gone"), "object", text);
	take_away(reader, json_object_get(json, "goneWants"), "want", text);
	if (json_object_get(json, "gone")) {
		json_decref(json);
		return;
	}
	grow(reader->lines, reader->n_lines, reader->cap_lines);
	struct line line = {json, text, id_of_line(reader, json)};
	reader->lines[reader->n_lines++] = line;
	if (!line.id)
		return;
	struct line *latest = arena_new_of(reader->arena, struct line);
	*latest = line;
	strmap_put(&reader->latest, line.id, latest);
}

static void keep_lines(struct reader *reader, const struct source *source, size_t text)
{
	for (const char *p = source->text, *end = p + source->size; p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;
		keep_line(reader, p, (size_t)(stop - p), text);
		p = stop + 1;
	}
}

/* Is it replaced, or its object, by a later text? */
static bool is_past(const struct reader *reader, const struct line *line)
{
	const json_t *alloc = json_object_get(line->json, "alloc"), *reader_id = json_object_get(line->json, "reader");
	const char *object = alloc ? json_string_value(json_array_get(alloc, 0)) : json_string_value(reader_id);
	cleanup_free char *id = object ? xprintf("object %s", object) : NULL;
	const char *of = line->id ? line->id : id;
	const struct line *latest = of ? strmap_get(&reader->latest, of) : NULL;
	return latest && latest->text > line->text;
}

static void read_line(struct reader *reader, json_t *line, bool objects)
{
	bool is_object = json_object_get(line, "object") != NULL;
	if (is_object != objects)
		return;
	if (is_object)
		read_object(reader, line);
	else if (json_object_get(line, "fact"))
		read_fact(reader, line);
	else if (json_object_get(line, "alloc"))
		read_alloc(reader, line);
	else if (json_object_get(line, "want"))
		read_want(reader, line);
	else
		skipped(reader, NULL, "a line", line ? "its meaning is not known" : "it is damaged");
}

/* Objects first: a later text may hold one that a resource of an earlier one belongs to. */
static void read_lines(struct reader *reader)
{
	for (int objects = 1; objects >= 0; objects--)
		for (size_t i = 0; i < reader->n_lines; i++)
			if (!is_past(reader, &reader->lines[i]))
				read_line(reader, reader->lines[i].json, objects);
	for (size_t i = 0; i < reader->n_lines; i++)
		json_decref(reader->lines[i].json);
	for (size_t i = 0; i < reader->n_wants; i++) {
		if (reader->wants[i])
			link_edges(reader, reader->wants[i], reader->want_lines[i]);
		json_decref(reader->want_lines[i]);
	}
}

struct generation *store_generation_read(const struct source *texts, size_t n, uint64_t rev)
{
	cleanup_arena struct arena *arena = arena_new();
	struct reader reader = {.gen = generation_new(NULL),
				.rev = rev,
				.arena = arena,
				.latest = strmap_in(arena),
				.objects = strmap_in(arena)};
	for (size_t i = 0; i < n; i++) {
		reader.numbers_max += texts[i].size;
		keep_lines(&reader, &texts[i], i);
	}
	read_lines(&reader);
	free(reader.lines);
	free(reader.numbered);
	free(reader.wants);
	free(reader.want_lines);
	return reader.gen;
}
