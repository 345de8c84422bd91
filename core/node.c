/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes from and to JSON, and paths into them: see node.h. Reading YAML is in yaml.c, writing it in yaml-emit.c. */
#include "core/node.h"

#include <inttypes.h>

static struct node *from_object(const json_t *json, struct arena *arena, struct node *node)
{
	size_t n = json_object_size(json);
	node->type = NODE_MAP;
	node->keys = arena_alloc(arena, n * sizeof(*node->keys));
	node->items = arena_alloc(arena, n * sizeof(*node->items));
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)json, key, value) {
		struct node *name = arena_new_of(arena, struct node);
		*name = (struct node){.type = NODE_SCALAR, .text = arena_strdup(arena, key), .quoted = true};
		node->keys[node->n] = name;
		node->items[node->n++] = node_from_json(value, arena);
	}
	return node;
}

static struct node *from_array(const json_t *json, struct arena *arena, struct node *node)
{
	node->type = NODE_LIST;
	node->n = json_array_size(json);
	node->items = arena_alloc(arena, node->n * sizeof(*node->items));
	for (size_t i = 0; i < node->n; i++)
		node->items[i] = node_from_json(json_array_get(json, i), arena);
	return node;
}

static const char *real_text(const json_t *json, struct arena *arena)
{
	cleanup_free char *text = json_dumps(json, JSON_ENCODE_ANY);
	return arena_strdup(arena, text ? text : "0.0");
}

struct node *node_from_json(const json_t *json, struct arena *arena)
{
	struct node *node = arena_new_of(arena, struct node);
	node->type = NODE_SCALAR;
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return from_object(json, arena, node);
	case JSON_ARRAY:
		return from_array(json, arena, node);
	case JSON_STRING:
		node->text = arena_strdup(arena, json_string_value(json));
		node->quoted = true;
		break;
	case JSON_INTEGER:
		node->text = arena_printf(arena, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
		break;
	case JSON_REAL:
		node->text = real_text(json, arena);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		node->text = json_is_true(json) ? "true" : "false";
		break;
	case JSON_NULL:
		node->type = NODE_NULL;
		break;
	}
	return node;
}

/* A whole number in the one spelling that every reader takes for it: no sign but '-', no leading zeros. */
static bool whole_number(const char *text, json_int_t *ret)
{
	const char *digits = text + (*text == '-');
	size_t len = strlen(digits);
	if (len == 0 || len > 19 || strspn(digits, "0123456789") != len ||
	    (digits[0] == '0' && (len > 1 || digits != text)))
		return false;
	errno = 0;
	long long value = strtoll(text, NULL, 10);
	*ret = value;
	return errno == 0;
}

static json_t *scalar_to_json(const struct node *node)
{
	json_int_t number;
	if (!node->quoted && streq(node->text, "true"))
		return json_true();
	if (!node->quoted && streq(node->text, "false"))
		return json_false();
	if (!node->quoted && whole_number(node->text, &number))
		return json_integer(number);
	return json_string(node->text);
}

json_t *node_to_json(const struct node *node)
{
	json_t *json;
	switch (node->type) {
	case NODE_NULL:
		return json_null();
	case NODE_SCALAR:
		return scalar_to_json(node);
	case NODE_MAP:
		json = json_object();
		for (size_t i = 0; i < node->n; i++)
			json_object_set_new(json, node->keys[i]->text, node_to_json(node->items[i]));
		return json;
	case NODE_LIST:
		json = json_array();
		for (size_t i = 0; i < node->n; i++)
			json_array_append_new(json, node_to_json(node->items[i]));
		return json;
	}
	return NULL;
}

static bool find_key(const struct node *node, const char *key, size_t *ret)
{
	for (size_t i = 0; node && node->type == NODE_MAP && i < node->n; i++) {
		if (!streq(node->keys[i]->text, key))
			continue;
		*ret = i;
		return true;
	}
	return false;
}

const struct node *node_get(const struct node *node, const char *key)
{
	size_t i;
	return find_key(node, key, &i) ? node->items[i] : NULL;
}

const struct node *node_key(const struct node *node, const char *key)
{
	size_t i;
	return find_key(node, key, &i) ? node->keys[i] : NULL;
}

/* One step down a map: keys may hold dots themselves, so the longest one that fits is taken. */
static const struct node *step_key(const struct node *node, const char **path)
{
	const struct node *found = NULL;
	size_t longest = 0;
	for (size_t i = 0; node->type == NODE_MAP && i < node->n; i++) {
		size_t len = strlen(node->keys[i]->text);
		bool fits =
			len > longest && strncmp(*path, node->keys[i]->text, len) == 0 && strchr(".[", (*path)[len]);
		if (!fits)
			continue;
		longest = len;
		found = node->items[i];
	}
	*path += longest;
	return found;
}

static const struct node *step_index(const struct node *node, const char **path)
{
	char *end;
	if ((*path)[1] < '0' || (*path)[1] > '9')
		return NULL;
	unsigned long i = strtoul(*path + 1, &end, 10);
	if (*end != ']' || node->type != NODE_LIST || i >= node->n)
		return NULL;
	*path = end + 1;
	return node->items[i];
}

const struct node *node_find(const struct node *node, const char *path, bool *ret_whole)
{
	while (node && *path) {
		const struct node *child;
		if (*path == '.')
			path++;
		child = *path == '[' ? step_index(node, &path) : step_key(node, &path);
		if (!child)
			break;
		node = child;
	}
	if (ret_whole)
		*ret_whole = node && !*path;
	return node;
}

bool node_equal(const struct node *a, const struct node *b)
{
	if (a->type != b->type || a->n != b->n || !streq(a->text, b->text))
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (a->keys && !streq(a->keys[i]->text, b->keys[i]->text))
			return false;
		if (!node_equal(a->items[i], b->items[i]))
			return false;
	}
	return true;
}
