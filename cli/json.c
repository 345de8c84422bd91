/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. */
#include "cli/json.h"

#include <time.h>

#include "core/node.h"

enum { SEGMENT_MAX = 128 };

json_t *json_at(const json_t *json, const char *path)
{
	char key[SEGMENT_MAX];
	while (json && *path) {
		size_t size = strcspn(path, ".");
		if (size >= sizeof(key))
			return NULL;
		memcpy(key, path, size);
		key[size] = '\0';
		json = json_object_get(json, key);
		path += size + (path[size] == '.');
	}
	return (json_t *)json;
}

const char *json_text(const json_t *json, const char *path)
{
	return json_string_value(json_at(json, path));
}

static void write_line(FILE *f, const json_t *json);

/* A map in a list is called by its first value, which is its name. */
static void write_item(FILE *f, const json_t *item)
{
	if (json_is_object(item))
		write_line(f, json_object_iter_value(json_object_iter((json_t *)item)));
	else
		write_line(f, item);
}

static void write_line(FILE *f, const json_t *json)
{
	const char *key, *between = "";
	json_t *value;
	size_t i;
	if (!json)
		return;
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		json_object_foreach((json_t *)json, key, value) {
			fprintf(f, "%s%s=", between, key);
			write_line(f, value);
			between = ",";
		}
		break;
	case JSON_ARRAY:
		json_array_foreach(json, i, value) {
			fputs(i ? "," : "", f);
			write_item(f, value);
		}
		break;
	case JSON_STRING:
		fputs(json_string_value(json), f);
		break;
	case JSON_INTEGER:
		fprintf(f, "%lld", (long long)json_integer_value(json));
		break;
	case JSON_REAL:
		fprintf(f, "%g", json_real_value(json));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		fputs(json_is_true(json) ? "true" : "false", f);
		break;
	case JSON_NULL:
		break;
	}
}

char *json_line(const json_t *json)
{
	char *out = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&out, &size);
	if (!f)
		abort();
	write_line(f, json);
	fclose(f);
	return out;
}

char *object_label(const json_t *object)
{
	const char *kind = json_text(object, "kind"), *name = json_text(object, "metadata.name");
	if (!name)
		name = json_text(object, "name");
	return xprintf("%s/%s", kind ? kind : "?", name ? name : "?");
}

json_t *object_condition(const json_t *object, const char *type)
{
	const json_t *conditions = json_at(object, "status.conditions");
	json_t *condition;
	size_t i;
	json_array_foreach(conditions, i, condition) {
		if (streq(json_text(condition, "type"), type))
			return condition;
	}
	return NULL;
}

static bool is_true(const json_t *object, const char *type)
{
	return streq(json_text(object_condition(object, type), "status"), "True");
}

bool object_is_ready(const json_t *object)
{
	return is_true(object, "Ready");
}

static char *condition_words(const json_t *condition)
{
	const char *reason = json_text(condition, "reason"), *message = json_text(condition, "message");
	if (message && *message)
		return xstrdup(message);
	return reason && *reason ? xstrdup(reason) : NULL;
}

char *object_note(const json_t *object)
{
	static const char *const unusual[] = {"Contested", "Degraded", "RestartNeeded"};
	for (size_t i = 0; i < ARRAY_SIZE(unusual); i++) {
		cleanup_free char *words = condition_words(object_condition(object, unusual[i]));
		if (is_true(object, unusual[i]))
			return xprintf("%s%s%s", unusual[i], words ? ": " : "", words ? words : "");
	}
	if (!object_is_ready(object))
		return condition_words(object_condition(object, "Ready"));
	const char *override = json_text(object, "status.override.text"),
		   *who = json_text(object, "status.override.who");
	return override ? xprintf("%s by %s", override, who ? who : "somebody") : NULL;
}

void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

void print_yaml(const json_t *json)
{
	const json_t *docs[] = {json};
	size_t n = json_is_array(json) ? json_array_size(json) : 1;
	if (n == 0)
		return;
	const json_t **items = xcalloc(n, sizeof(const json_t *));
	for (size_t i = 0; i < n; i++)
		items[i] = json_is_array(json) ? json_array_get(json, i) : docs[0];
	cleanup_free char *text = yaml_from_json(items, n);
	fputs(text, stdout);
	free(items);
}

int64_t time_parse(const char *time)
{
	struct tm tm = {0};
	const char *end = time ? strptime(time, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	return end ? (int64_t)timegm(&tm) : -1;
}

char *time_ago(const char *text)
{
	int64_t then = time_parse(text);
	if (then < 0)
		return xstrdup(text ? text : "");
	long long s = (long long)(wall_ms() / 1000) - then;
	if (s < 0)
		s = 0;
	if (s < 120)
		return xprintf("%llds", s);
	if (s < 120 * 60)
		return xprintf("%lldm", s / 60);
	if (s < 48 * 3600)
		return xprintf("%lldh", s / 3600);
	return xprintf("%lldd", s / 86400);
}

char *time_local(const char *text)
{
	int64_t then = time_parse(text);
	if (then < 0)
		return xstrdup(text ? text : "");
	time_t seconds = (time_t)then, now = time(NULL);
	struct tm tm, today;
	char shown[64];
	localtime_r(&seconds, &tm);
	localtime_r(&now, &today);
	bool same = tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday;
	strftime(shown, sizeof(shown), same ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
	return xstrdup(shown);
}

const json_t *object_find(const json_t *objects, const char *label)
{
	const json_t *object;
	size_t i;
	json_array_foreach(objects, i, object) {
		cleanup_free char *one = object_label(object);
		if (streq(one, label))
			return object;
	}
	return NULL;
}

const char *node_text(const json_t *node, const char *path)
{
	const char *text = json_text(node, path);
	return text ? text : "";
}

bool node_is(const json_t *node, const char *class)
{
	return streq(json_text(node, "class"), class);
}
