/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to nodes, through libyaml's events: see node.h. After a syntax error reading goes on at the next line that
 * begins with '---', which is the start of a document whatever stands before it; so one run shows the faults of all
 * documents. */
#include "core/node.h"
#include "core/utf8.h"
#include "core/yaml-fault.h"

enum {
	SOURCE_MAX = 10 * 1024 * 1024,
	DEPTH_MAX = 32,
	NODES_MAX = 100000,
	SOURCE_NODES_MAX = 1000000,
	BAD_CHARACTERS_MAX = 8
};

/* One libyaml parser and what becomes of its events. It begins at some '---' of the source. */
struct reader {
	yaml_parser_t yaml;
	const struct source *source;
	struct arena *arena;
	struct diags *diags;
	unsigned base_line; /* lines of the source before what this parser reads */
	unsigned begun;     /* line that the present document begins at */
	unsigned stopped;   /* line from which on nothing was read */
	size_t n_nodes;     /* of the document */
	size_t n_all_nodes; /* of the source */
	bool full;          /* nothing more is to be read of the source */
	bool incomplete;    /* something is missing in the document that was there in the text */
};

/* The documents found so far. */
struct documents {
	struct node **items;
	size_t n, cap;
};

static struct pos pos_at(const struct reader *r, yaml_mark_t start, yaml_mark_t end)
{
	/* A mark's index counts code points as well; what spans lines is cut at the end of the first one when shown. */
	size_t width = end.index > start.index ? end.index - start.index : 0;
	return (struct pos){r->source, r->base_line + (unsigned)start.line + 1, (unsigned)start.column + 1,
			    (unsigned)width};
}

static bool next_event(struct reader *r, yaml_event_t *event)
{
	if (yaml_parser_parse(&r->yaml, event))
		return true;
	r->stopped = yaml_fault_queue(&r->yaml, r->source, r->base_line, r->diags);
	return false;
}

/* A limit was met: the rest of the document is not read. Always false. */
static bool give_up(struct reader *r, const yaml_event_t *event)
{
	r->stopped = r->base_line + (unsigned)event->start_mark.line + 1;
	return false;
}

static bool take_node(struct reader *r, const yaml_event_t *event, struct node **ret)
{
	struct pos pos = pos_at(r, event->start_mark, event->end_mark);
	if (++r->n_nodes > NODES_MAX) {
		struct diag *diag = diag_add(r->diags, pos, "a document of more than %d values is not read", NODES_MAX);
		diag_hint(r->diags, diag, "split it with '---'");
		return give_up(r, event);
	}
	if (++r->n_all_nodes > SOURCE_NODES_MAX) {
		diag_hint(r->diags,
			  diag_add(r->diags, pos, "a file of more than %d values is not read", SOURCE_NODES_MAX),
			  "split it");
		r->full = true;
		return give_up(r, event);
	}
	*ret = arena_new_of(r->arena, struct node);
	(*ret)->pos = pos;
	return true;
}

/* Anchors and tags are at the start of what they belong to. The value itself is read on, for the faults in it. Of both
 * at one place only the anchor is named. */
static void refuse_properties(struct reader *r, const struct node *node, const yaml_char_t *anchor,
			      const yaml_char_t *tag)
{
	struct pos pos = node->pos;
	struct diag *diag;
	if (anchor) {
		pos.width = (unsigned)utf8_count((const char *)anchor, strlen((const char *)anchor)) + 1;
		diag = diag_add(r->diags, pos, "anchors such as '&%s' are not supported", anchor);
		diag_hint(r->diags, diag, "write the value out wherever it is used; quote it if it begins with '&'");
	} else if (tag) {
		pos.width = 1;
		diag = diag_add(r->diags, pos, "tags such as '!name' are not supported");
		diag_hint(r->diags, diag, "leave it out; quote the value if it begins with '!'");
	}
}

static bool is_null_text(const char *text)
{
	return streq(text, "") || streq(text, "~") || streq(text, "null") || streq(text, "Null") || streq(text, "NULL");
}

static void read_scalar(struct reader *r, const yaml_event_t *event, struct node *node)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t size = event->data.scalar.length;
	yaml_scalar_style_t style = event->data.scalar.style;
	bool one_line = event->start_mark.line == event->end_mark.line;
	const yaml_char_t *tag = event->data.scalar.tag;
	/* libyaml drops the tag "!" silently, but then the value is shorter than its place. */
	if (!tag && style == YAML_PLAIN_SCALAR_STYLE && one_line && utf8_count(text, size) != node->pos.width)
		tag = (const yaml_char_t *)"!";
	refuse_properties(r, node, event->data.scalar.anchor, tag);
	if (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE)
		node->pos.width = 1;
	if (memchr(text, '\0', size)) {
		diag_add(r->diags, node->pos, "a NUL character is not supported in a value");
		r->incomplete = true;
	}
	node->quoted = style != YAML_PLAIN_SCALAR_STYLE;
	node->text = arena_strndup(r->arena, text, strlen(text));
	node->type = !node->quoted && is_null_text(node->text) ? NODE_NULL : NODE_SCALAR;
}

static bool read_node(struct reader *r, const yaml_event_t *event, unsigned depth, struct node **ret);

/* Reads events up to the one that closes what is to be skipped. */
static bool skip_node(struct reader *r, const yaml_event_t *first)
{
	unsigned open = 0;
	yaml_event_type_t type = first->type;
	for (;;) {
		open += type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT;
		open -= type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT;
		if (open == 0)
			return true;
		cleanup(yaml_event_delete) yaml_event_t event = {0};
		if (!next_event(r, &event))
			return false;
		if (open >= DEPTH_MAX)
			return give_up(r, &event);
		type = event.type;
	}
}

/* Reads a key; *ret stays NULL if it is none that can be used. */
static bool read_key(struct reader *r, const yaml_event_t *event, struct node **ret)
{
	struct pos pos = pos_at(r, event->start_mark, event->end_mark);
	if (event->type != YAML_SCALAR_EVENT) {
		const char *what = event->type == YAML_ALIAS_EVENT ? "an alias" : "a list or a map";
		diag_hint(r->diags, diag_add(r->diags, pos, "%s cannot be a key", what),
			  "keys are plain words; put '{{...}}' and the like in quotes");
		r->incomplete = true;
		return skip_node(r, event);
	}
	struct node *key;
	if (!take_node(r, event, &key))
		return false;
	read_scalar(r, event, key);
	key->type = NODE_SCALAR;
	if (!key->quoted && streq(key->text, "<<")) {
		diag_hint(r->diags, diag_add(r->diags, pos, "merge keys ('<<') are not supported"),
			  "write the fields out in each place");
		return true;
	}
	if (event->data.scalar.length == 0) {
		diag_add(r->diags, pos, "a key is expected before ':'");
		r->incomplete = true;
		return true;
	}
	*ret = key;
	return true;
}

struct key_place {
	const char *text;
	size_t i;
};

static int compare_keys(const void *a, const void *b)
{
	const struct key_place *x = a, *y = b;
	int order = strcmp(x->text, y->text);
	return order ? order : x->i < y->i ? -1 : 1;
}

/* Refuses keys that are there already and drops them: the first definition stays. Sorted, since maps may be large. */
static void drop_repeated_keys(struct reader *r, struct node *map)
{
	if (map->n < 2)
		return;
	cleanup_free struct key_place *places = xcalloc(map->n, sizeof(*places));
	for (size_t i = 0; i < map->n; i++)
		places[i] = (struct key_place){map->keys[i]->text, i};
	qsort(places, map->n, sizeof(*places), compare_keys);
	struct node *first = map->keys[places[0].i];
	for (size_t k = 1; k < map->n; k++) {
		struct node *key = map->keys[places[k].i];
		if (!streq(key->text, first->text)) {
			first = key;
			continue;
		}
		struct diag *diag = diag_add(r->diags, key->pos, "'%s' is given twice", key->text);
		diag_related(r->diags, diag, first->pos, "first defined here");
		map->keys[places[k].i] = NULL;
	}
	size_t n = 0;
	for (size_t i = 0; i < map->n; i++) {
		if (!map->keys[i])
			continue;
		map->keys[n] = map->keys[i];
		map->items[n++] = map->items[i];
	}
	map->n = n;
}

static bool read_map(struct reader *r, struct node *map, unsigned depth)
{
	size_t keys_cap = 0, items_cap = 0;
	for (;;) {
		cleanup(yaml_event_delete) yaml_event_t key_event = {0}, event = {0};
		struct node *key = NULL, *item = NULL;
		if (!next_event(r, &key_event))
			return false;
		if (key_event.type == YAML_MAPPING_END_EVENT)
			break;
		if (!read_key(r, &key_event, &key) || !next_event(r, &event) || !read_node(r, &event, depth + 1, &item))
			return false;
		if (!key)
			continue;
		arena_grow(r->arena, map->keys, map->n, keys_cap);
		arena_grow(r->arena, map->items, map->n, items_cap);
		map->keys[map->n] = key;
		map->items[map->n++] = item;
	}
	drop_repeated_keys(r, map);
	return true;
}

static bool read_list(struct reader *r, struct node *list, unsigned depth)
{
	size_t cap = 0;
	for (;;) {
		cleanup(yaml_event_delete) yaml_event_t event = {0};
		struct node *item;
		if (!next_event(r, &event))
			return false;
		if (event.type == YAML_SEQUENCE_END_EVENT)
			return true;
		if (!read_node(r, &event, depth + 1, &item))
			return false;
		arena_grow(r->arena, list->items, list->n, cap);
		list->items[list->n++] = item;
	}
}

static void refuse_alias(struct reader *r, const yaml_event_t *event, struct node *node)
{
	struct diag *diag =
		diag_add(r->diags, node->pos, "aliases such as '*%s' are not supported", event->data.alias.anchor);
	diag_hint(r->diags, diag, "write the value out; quote it if it begins with '*'");
	r->incomplete = true;
}

/* Returns false when nothing more of this document can be read; why was queued. */
static bool read_node(struct reader *r, const yaml_event_t *event, unsigned depth, struct node **ret)
{
	struct node *node;
	if (!take_node(r, event, &node))
		return false;
	*ret = node;
	if (depth > DEPTH_MAX) {
		diag_add(r->diags, node->pos, "maps and lists are nested deeper than %d levels", DEPTH_MAX);
		return give_up(r, event);
	}
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		read_scalar(r, event, node);
		return true;
	case YAML_ALIAS_EVENT:
		refuse_alias(r, event, node);
		return true;
	case YAML_MAPPING_START_EVENT:
		node->type = NODE_MAP;
		refuse_properties(r, node, event->data.mapping_start.anchor, event->data.mapping_start.tag);
		return read_map(r, node, depth);
	default:
		node->type = NODE_LIST;
		refuse_properties(r, node, event->data.sequence_start.anchor, event->data.sequence_start.tag);
		return read_list(r, node, depth);
	}
}

/* Reads documents until the end of the stream (true) or to where it goes no further (false). */
static bool read_documents(struct reader *r, struct documents *docs)
{
	for (;;) {
		cleanup(yaml_event_delete) yaml_event_t event = {0}, root_event = {0};
		struct node *root;
		if (!next_event(r, &event))
			return false;
		if (event.type == YAML_STREAM_END_EVENT)
			return true;
		if (event.type != YAML_DOCUMENT_START_EVENT)
			continue;
		r->begun = r->base_line + (unsigned)event.start_mark.line + 1;
		r->n_nodes = 0;
		r->incomplete = false;
		if (!next_event(r, &root_event) || !read_node(r, &root_event, 1, &root))
			return false;
		if (root->type == NODE_NULL || r->incomplete)
			continue;
		arena_grow(r->arena, docs->items, docs->n, docs->cap);
		docs->items[docs->n++] = root;
	}
}

static bool is_document_start(const char *line, size_t size)
{
	return size >= 3 && memcmp(line, "---", 3) == 0 &&
	       (size == 3 || line[3] == ' ' || line[3] == '\t' || utf8_break(line + 3, size - 3));
}

/* Finds the next document that begins at the line `least` or later. Before and after, *at is the beginning of a
 * document and *base_line the number of lines before it. Returns false if there is none. */
static bool next_document(const char *end, unsigned least, const char **at, unsigned *base_line)
{
	for (const char *p = *at; p < end;) {
		size_t len = utf8_break(p, (size_t)(end - p));
		if (len == 0) {
			p++;
			continue;
		}
		p += len;
		++*base_line;
		if (*base_line + 1 < least || !is_document_start(p, (size_t)(end - p)))
			continue;
		*at = p;
		return true;
	}
	return false;
}

/* Would libyaml take it? Everything but controls, surrogates and non-characters. */
static bool is_allowed(uint32_t c)
{
	if (c < 0x20)
		return c == '\t' || c == '\n' || c == '\r';
	return c < 0x7f || c == 0x85 || (c >= 0xa0 && c != 0xfffe && c != 0xffff);
}

static void refuse_character(struct diags *diags, struct pos pos, uint8_t byte, size_t len, uint32_t c)
{
	struct diag *diag;
	if (len == 0)
		diag = diag_add(diags, pos, "the byte 0x%02x is not valid UTF-8", byte);
	else
		diag = diag_add(diags, pos, "the character U+%04X is not allowed in YAML", (unsigned)c);
	if (len == 0)
		diag_hint(diags, diag, "save the file in UTF-8");
	else if (c < 0x80)
		diag_hint(diags, diag, "in double quotes it can be written as \\x%02x", (unsigned)c);
}

/* Queues what is no text and replaces it in `text`, a copy of the source's, so that the rest can still be read. Returns
 * false if that makes no sense any more. */
static bool check_characters(const struct source *source, char *text, size_t size, struct diags *diags)
{
	struct pos pos = {source, 1, 1, 1};
	unsigned n_bad = 0, bad_line = 0;
	for (size_t i = 0; i < size;) {
		uint32_t c = 0;
		size_t broken = utf8_break(text + i, size - i);
		if (broken) {
			i += broken;
			pos.line++;
			pos.column = 1;
			continue;
		}
		size_t len = utf8_decode(text + i, size - i, &c);
		if (len == 0 || !is_allowed(c)) {
			if (n_bad < BAD_CHARACTERS_MAX && pos.line != bad_line)
				refuse_character(diags, pos, (uint8_t)text[i], len, c);
			bad_line = pos.line;
			if (++n_bad > BAD_CHARACTERS_MAX)
				return false;
			/* Of the same length, so that columns stay what they are. */
			memcpy(text + i, len == 3 ? "\xef\xbf\xbd" : len == 2 ? "\xc2\xb7" : "x", len ? len : 1);
		}
		pos.column++;
		i += len ? len : 1;
	}
	return true;
}

static bool check_source(const struct source *source, struct diags *diags)
{
	struct pos pos = {.source = source};
	const char *text = source->text;
	if (source->size > SOURCE_MAX) {
		diag_hint(diags, diag_add(diags, pos, "the file is larger than %d MiB", SOURCE_MAX >> 20), "split it");
		return false;
	}
	bool utf16 = source->size >= 4 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0 ||
					   text[0] == '\0' || text[1] == '\0');
	if (utf16)
		diag_hint(diags, diag_add(diags, pos, "the file is not UTF-8 but looks like UTF-16"),
			  "save it in UTF-8");
	return !utf16;
}

struct node **yaml_parse(const struct source *source, struct arena *arena, struct diags *diags, size_t *ret_n)
{
	struct documents docs = {0};
	*ret_n = 0;
	if (!check_source(source, diags))
		return NULL;
	cleanup_free char *text = xcalloc(source->size + 1, 1);
	memcpy(text, source->text, source->size);
	size_t bom = str_starts(text, "\xef\xbb\xbf") ? 3 : 0;
	const char *at = text + bom, *end = text + source->size;
	if (!check_characters(source, text + bom, source->size - bom, diags))
		return NULL;
	struct reader r = {.source = source, .arena = arena, .diags = diags};
	for (bool whole = false; !whole;) {
		if (!yaml_parser_initialize(&r.yaml))
			abort();
		yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&r.yaml, (const unsigned char *)at, (size_t)(end - at));
		whole = read_documents(&r, &docs);
		yaml_parser_delete(&r.yaml);
		/* With the queue full, the faults of further documents would only be counted, and each costs a
		 * parser. */
		whole = whole || r.full || diags->n_total >= DIAGS_MAX;
		unsigned least = r.stopped > r.begun ? r.stopped : r.begun + 1;
		whole = whole || !next_document(end, least, &at, &r.base_line);
	}
	*ret_n = docs.n;
	return docs.items;
}
