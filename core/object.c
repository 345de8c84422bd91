/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: what stands around a kind's spec (apiVersion, kind, metadata), decoded with the same care as fields are,
 * and printed so that it can be applied again. See kind.h. */
#include "core/field-internal.h"
#include "core/kind.h"

#define API_VERSION "weft/v1"

enum { LABELS_MAX = 64, LABEL_BYTES = 256, KINDS_MAX = 128 };

static void need_field(struct diags *diags, const struct node *map, struct pos where, const char *what,
		       const char *example)
{
	struct diag *diag = diag_add(diags, where.line ? where : map->pos, "missing field '%s'", what);
	diag_hint(diags, diag, "write '%s'", example);
}

/* A scalar child that must be there; NULL after a fault. */
static const struct node *text_field(const struct node *map, const char *key, const char *example, struct pos where,
				     struct diags *diags)
{
	const struct node *node = node_get(map, key);
	if (!node) {
		need_field(diags, map, where, key, example);
		return NULL;
	}
	if (node->type == NODE_SCALAR)
		return node;
	struct diag *diag = diag_add(diags, node_key(map, key)->pos, "'%s': expected a single value", key);
	diag_hint(diags, diag, "write '%s'", example);
	return NULL;
}

static void unknown_key(const struct node *key, const char *where, const char *const *known, size_t n,
			struct diags *diags)
{
	struct diag *diag =
		diag_add(diags, key->pos, "unknown field '%s' in %s", field_shown(diags->arena, key->text), where);
	const char *near = nearest_name(key->text, known, n), *list = "";
	if (streq(key->text, "namespace")) { /* near to 'name', but not what is meant */
		diag_hint(diags, diag, "leave it out: there are no namespaces");
		return;
	}
	if (near) {
		diag_hint(diags, diag, "did you mean '%s'?", near);
		return;
	}
	for (size_t i = 0; i < n; i++)
		list = arena_printf(diags->arena, "%s%s%s", list, i ? ", " : "", known[i]);
	diag_hint(diags, diag, "known fields: %s", list);
}

/* Returns whether fields of the spec stand beside it. */
static bool check_top(const struct node *doc, const struct kind *kind, struct diags *diags)
{
	static const char *const known[] = {"apiVersion", "kind", "metadata", "spec", "status"};
	bool beside = false;
	for (size_t i = 0; i < doc->n; i++) {
		const struct node *key = doc->keys[i];
		bool found = false;
		for (size_t k = 0; k < ARRAY_SIZE(known) && !found; k++)
			found = streq(key->text, known[k]);
		if (found)
			continue;
		if (kind && table_field(kind->table, key->text)) {
			struct diag *diag = diag_add(diags, key->pos, "unknown field '%s' beside 'spec'", key->text);
			diag_hint(diags, diag, "it belongs under 'spec:', indented");
			beside = true;
		} else if (streq(key->text, "name") || streq(key->text, "labels")) {
			struct diag *diag =
				diag_add(diags, key->pos, "unknown field '%s' beside 'metadata'", key->text);
			diag_hint(diags, diag, "it belongs under 'metadata:', indented");
		} else {
			unknown_key(key, "the document", known, ARRAY_SIZE(known) - 1, diags);
		}
	}
	return beside;
}

static void check_version(const struct node *doc, struct diags *diags)
{
	const struct node *version = text_field(doc, "apiVersion", "apiVersion: " API_VERSION, doc->pos, diags);
	if (!version || streq(version->text, API_VERSION))
		return;
	struct diag *diag = diag_add(diags, version->pos, "apiVersion '%s' is not known here",
				     field_shown(diags->arena, version->text));
	diag_hint(diags, diag, "write 'apiVersion: " API_VERSION "'");
}

static const struct kind *decode_kind(const struct node *doc, struct diags *diags)
{
	const struct node *node = text_field(doc, "kind", "kind: Network", doc->pos, diags);
	if (!node)
		return NULL;
	const struct kind *kind = kind_find(node->text);
	if (kind && streq(kind->name, node->text))
		return kind;
	struct diag *diag = diag_add(diags, node->pos, "unknown kind '%s'", field_shown(diags->arena, node->text));
	const char *names[KINDS_MAX], *list = "";
	size_t n = 0;
	for (const struct kind *k; n < KINDS_MAX && (k = kind_at(n)); n++) {
		names[n] = k->name;
		list = arena_printf(diags->arena, "%s%s%s", list, n ? ", " : "", k->name);
	}
	const char *near = kind ? kind->name : nearest_name(node->text, names, n);
	if (near)
		diag_hint(diags, diag, "did you mean '%s'?", near);
	else
		diag_hint(diags, diag, "known kinds: %s", list);
	return NULL;
}

static void check_labels(const struct node *metadata, struct diags *diags)
{
	const struct node *labels = node_get(metadata, "labels");
	if (!labels)
		return;
	if (labels->type != NODE_MAP || labels->n > LABELS_MAX) {
		struct diag *diag =
			diag_add(diags, labels->pos, "'labels': expected a map of at most %d texts", LABELS_MAX);
		diag_hint(diags, diag, "for example 'labels: {team: web}'");
		return;
	}
	for (size_t i = 0; i < labels->n; i++) {
		const struct node *key = labels->keys[i], *value = labels->items[i];
		const char *name = field_shown(diags->arena, key->text);
		if (value->type != NODE_SCALAR)
			diag_hint(diags, diag_add(diags, key->pos, "label '%s': expected a single text", name),
				  "for example 'labels: {team: web}'");
		else if (strlen(value->text) > LABEL_BYTES || strlen(key->text) > LABEL_BYTES)
			diag_add(diags, key->pos, "label '%s': name and text may have %d bytes each", name,
				 LABEL_BYTES);
	}
}

static const char *decode_name(const struct node *metadata, struct pos where, const struct kind *kind,
			       struct arena *arena, struct diags *diags)
{
	const struct node *node = text_field(metadata, "name", "metadata: {name: NAME}", where, diags);
	if (!node)
		return NULL;
	const struct scalar *scalar = kind && (kind->flags & KIND_NAME_IS_IFNAME) ? &scalar_ifname : &scalar_name;
	struct err err = {0};
	const char *name;
	if (!kind || scalar->parse(NULL, node->text, arena, &name, &err) == 0)
		return arena_strdup(arena, node->text);
	char *hint = strchr(err.text, '\n');
	if (hint)
		*hint++ = 0;
	struct diag *diag =
		diag_add(diags, node->pos, "'name': %s, not '%s'", err.text, field_shown(diags->arena, node->text));
	if (hint)
		diag_hint(diags, diag, "%s", hint);
	else if (scalar == &scalar_ifname)
		diag_hint(diags, diag, "a %s is a link of this name", kind->name);
	return arena_strdup(arena, node->text);
}

static const char *decode_metadata(const struct node *doc, const struct kind *kind, struct arena *arena,
				   struct diags *diags)
{
	/* The last two are what `weft get -o yaml` prints beside; they are ignored, so that its output can be applied
	 * again. */
	static const char *const known[] = {"name", "labels", "set", "generation"};
	const struct node *metadata = node_get(doc, "metadata");
	if (!metadata) {
		need_field(diags, doc, doc->pos, "metadata", "metadata: {name: NAME}");
		return NULL;
	}
	struct pos where = node_key(doc, "metadata")->pos;
	if (metadata->type != NODE_MAP) {
		struct diag *diag = diag_add(diags, where, "'metadata': expected a map with a name");
		diag_hint(diags, diag, "write 'metadata: {name: NAME}'");
		return NULL;
	}
	for (size_t i = 0; i < metadata->n; i++) {
		bool found = false;
		for (size_t k = 0; k < ARRAY_SIZE(known) && !found; k++)
			found = streq(metadata->keys[i]->text, known[k]);
		if (!found)
			unknown_key(metadata->keys[i], "metadata", known, 2, diags);
	}
	check_labels(metadata, diags);
	return decode_name(metadata, where, kind, arena, diags);
}

struct object *object_decode(const struct node *doc, struct arena *arena, struct diags *diags)
{
	if (doc->type != NODE_MAP) {
		struct diag *diag =
			diag_add(diags, doc->pos, "expected a document with apiVersion, kind, metadata and spec");
		diag_hint(diags, diag, "see `weft explain` for the kinds there are");
		return NULL;
	}
	check_version(doc, diags);
	const struct kind *kind = decode_kind(doc, diags);
	bool beside = check_top(doc, kind, diags);
	const char *name = decode_metadata(doc, kind, arena, diags);
	if (!kind)
		return NULL;
	struct object *object = arena_new_of(arena, struct object);
	const struct node *spec = node_get(doc, "spec"), *key = node_key(doc, "spec");
	object->kind = kind;
	object->name = name;
	object->node = doc;
	object->generation = 1;
	object->file = doc->pos.source ? doc->pos.source->name : NULL;
	object->spec = arena_alloc(arena, kind->table->size);
	/* What stands beside the spec is not missing in it as well. */
	struct diags unheard = {.arena = arena};
	bool heard = !(kind->flags & KIND_IS_REFUSED) && (spec || !beside);
	const struct decode_into into = {object->spec, arena, heard ? diags : &unheard};
	table_decode(kind->table, spec, key ? key->pos : doc->pos, &into);
	return name ? object : NULL;
}

json_t *object_to_json(const struct object *object, unsigned emit_flags)
{
	const struct node *labels = node_get(node_get(object->node, "metadata"), "labels");
	json_t *metadata = json_pack("{s:s}", "name", object->name);
	if (labels && labels->type == NODE_MAP) {
		json_t *map = json_object();
		/* Labels are texts, whatever they look like. */
		for (size_t i = 0; i < labels->n; i++)
			if (labels->items[i]->type == NODE_SCALAR)
				json_object_set_new(map, labels->keys[i]->text, json_string(labels->items[i]->text));
		json_object_set_new(metadata, "labels", map);
	}
	return json_pack("{s:s, s:s, s:o, s:o}", "apiVersion", API_VERSION, "kind", object->kind->name, "metadata",
			 metadata, "spec", table_to_json(object->kind->table, object->spec, emit_flags));
}

/* Where a child stands: its value if that is a single one, else its key, since a map's own mark is its first field. */
static struct pos child_pos(const struct node *map, const struct node *child)
{
	for (size_t i = 0; map->type == NODE_MAP && i < map->n; i++)
		if (map->items[i] == child)
			return child->type == NODE_SCALAR ? child->pos : map->keys[i]->pos;
	return child->pos;
}

/* One step of a path: "name", perhaps with "[3]". Tables help with singular spellings and lists that were written as
 * one value. */
struct step {
	const struct node *node;
	const struct table *table;
	struct pos pos;
};

static bool walk_key(struct step *step, const char *name, size_t len)
{
	char key[64];
	if (len >= sizeof(key))
		return false;
	memcpy(key, name, len);
	key[len] = 0;
	const struct field *row = step->table ? table_field_anywhere(step->table, key) : NULL;
	const struct node *child = node_get(step->node, key);
	if (!child && row && row->singular)
		child = node_get(step->node, row->singular);
	if (!child)
		return false;
	step->pos = child_pos(step->node, child);
	step->node = child;
	step->table = row && row->shape != FIELD_VARIANT ? row->table : NULL;
	return true;
}

static bool walk_index(struct step *step, const char *digits)
{
	unsigned long i = strtoul(digits, NULL, 10);
	if (step->node->type == NODE_LIST && i < step->node->n) {
		step->node = step->node->items[i];
		step->pos = step->node->pos;
		return true;
	}
	return step->node->type != NODE_LIST && i == 0; /* one value that stands for a list of one */
}

static bool walk_step(struct step *step, const char *part, size_t len)
{
	size_t name = strcspn(part, "[.");
	if (name > len || (name && !walk_key(step, part, name)))
		return false;
	const char *bracket = name < len ? part + name : NULL;
	if (bracket && *bracket == '[' && !walk_index(step, bracket + 1))
		return false;
	return true;
}

struct pos object_pos(const struct object *object, const char *path)
{
	struct step step = {.node = object->node};
	if (!step.node)
		return (struct pos){0};
	step.pos = step.node->pos;
	if (!path)
		path = "metadata.name";
	bool more = true;
	for (const char *part = path; more && *part;) {
		size_t len = strcspn(part, ".");
		if (part == path && len == strlen("spec") && memcmp(part, "spec", len) == 0)
			more = walk_key(&step, "spec", len), step.table = object->kind->table;
		else
			more = walk_step(&step, part, len);
		part += len;
		part += *part == '.';
	}
	return step.pos;
}

struct diag *check_fault(const struct check *check, const char *path, const char *fmt, ...)
{
	struct pos pos = object_pos(check->object, path);
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	if (pos.source)
		return diag_add(check->diags, pos, "%s", text);
	/* Without a file the sentence itself says which object it is about. */
	return diag_add(check->diags, pos, "%s/%s: %s%s%s", check->object->kind->name, check->object->name,
			path ? path : "", path ? ": " : "", text);
}
