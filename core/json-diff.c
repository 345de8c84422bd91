/* SPDX-License-Identifier: Apache-2.0 */
/* See json-diff.h. */
#include "core/json-diff.h"

#include "core/util.h"

static json_t *value_text(const json_t *value)
{
	if (!value || json_is_null(value))
		return json_null();
	if (json_is_string(value))
		return json_string(json_string_value(value));
	cleanup_free char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	return json_string(text ? text : "?");
}

static void add_change(json_t *out, const char *path, const json_t *from, const json_t *to)
{
	json_array_append_new(
		out, json_pack("{s:s, s:o, s:o}", "field", path, "from", value_text(from), "to", value_text(to)));
}

static void object_changes(json_t *out, const char *path, const json_t *from, const json_t *to)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)to, key, value) {
		cleanup_free char *below = xprintf("%s%s%s", path, *path ? "." : "", key);
		json_changes(out, below, json_object_get(from, key), value);
	}
}

static const char *name_of(const json_t *item)
{
	return json_string_value(json_object_get(item, "name"));
}

static const json_t *named(const json_t *list, const char *name)
{
	for (size_t i = 0; name && i < json_array_size(list); i++)
		if (streq(name_of(json_array_get(list, i)), name))
			return json_array_get(list, i);
	return NULL;
}

static void named_changes(json_t *out, const char *path, const json_t *from, const json_t *to)
{
	for (size_t i = 0; i < json_array_size(to); i++) {
		const json_t *item = json_array_get(to, i), *other = named(from, name_of(item));
		cleanup_free char *below = xprintf("%s[%s]", path, name_of(item));
		json_changes(out, below, other, item);
	}
	for (size_t i = 0; i < json_array_size(from); i++) {
		const json_t *item = json_array_get(from, i);
		cleanup_free char *below = xprintf("%s[%s]", path, name_of(item) ? name_of(item) : "?");
		if (!named(to, name_of(item)))
			add_change(out, below, item, NULL);
	}
}

static bool contains(const json_t *list, const json_t *item)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), item))
			return true;
	return false;
}

/* Takes the next item from *at on that the other list lacks. */
static const json_t *next_missing(const json_t *list, const json_t *other, size_t *at)
{
	while (*at < json_array_size(list)) {
		const json_t *item = json_array_get(list, (*at)++);
		if (!contains(other, item))
			return item;
	}
	return NULL;
}

static void list_changes(json_t *out, const char *path, const json_t *from, const json_t *to)
{
	size_t at_from = 0, at_to = 0, before = json_array_size(out);
	for (;;) {
		const json_t *gone = next_missing(from, to, &at_from), *new = next_missing(to, from, &at_to);
		if (!gone && !new)
			break;
		add_change(out, path, gone, new);
	}
	if (json_array_size(out) == before) /* the same items in another order, or another number of them */
		add_change(out, path, from, to);
}

void json_changes(json_t *out, const char *path, const json_t *from, const json_t *to)
{
	if (json_equal(from, to))
		return;
	if (json_is_object(to) && (json_is_object(from) || !from))
		object_changes(out, path, from, to);
	else if (json_is_array(to) && json_is_array(from) && name_of(json_array_get(to, 0)))
		named_changes(out, path, from, to);
	else if (json_is_array(to) && json_is_array(from))
		list_changes(out, path, from, to);
	else
		add_change(out, path, from, to);
}
