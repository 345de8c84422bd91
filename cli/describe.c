/* SPDX-License-Identifier: Apache-2.0 */
/* weft describe: everything that is known of objects, for reading. */
#include "api/client.h"
#include "cli/event-print.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/table.h"
#include "core/node.h"

enum { EVENTS_MAX = 10 };

static void heading(const char *text)
{
	print_styled(stdout, STYLE_STRONG, "\n%s\n", text);
}

/* A value as YAML, indented. */
static void print_indented(const json_t *json)
{
	cleanup_free char *text = yaml_from_json(&json, 1);
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line && !streq(line, "---"))
			print_styled(stdout, STYLE_PLAIN, "  %s\n", line);
}

static void print_table(struct text_table *table)
{
	struct terminal terminal = terminal_of(stdout);
	if (terminal.width > 2)
		terminal.width -= 2;
	cleanup_free char *text = text_table_render(table, &terminal);
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line)
			printf("  %s\n", line);
	text_table_free(table);
}

static void print_conditions(const json_t *object)
{
	static const char *const headings[] = {"CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"};
	struct text_table *table = text_table_new(headings, ARRAY_SIZE(headings));
	const json_t *condition, *conditions = json_at(object, "status.conditions");
	size_t i;
	json_array_foreach(conditions, i, condition) {
		const char *since = json_text(condition, "since"), *status = json_text(condition, "status");
		cleanup_free char *age = since ? time_ago(since) : NULL;
		/* Ready is good when it is true; the others, when they are not. */
		bool good = streq(json_text(condition, "type"), "Ready") == streq(status, "True");
		text_table_cell(table, STYLE_PLAIN, json_text(condition, "type"));
		text_table_cell(table, good ? STYLE_GOOD : STYLE_WARN, status);
		text_table_cell(table, STYLE_PLAIN, json_text(condition, "reason"));
		text_table_cell(table, STYLE_PLAIN, age);
		text_table_cell(table, STYLE_PLAIN, json_text(condition, "message"));
	}
	heading("Conditions");
	print_table(table);
}

static enum style state_style(const char *state)
{
	if (streq(state, "Present"))
		return STYLE_GOOD;
	return streq(state, "Failed") || streq(state, "Contested") || streq(state, "Foreign") ? STYLE_BAD : STYLE_WARN;
}

static char *resource_words(const json_t *resource)
{
	static const char *const keys[] = {"reason", "health", "note"};
	char *words = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *text = json_text(resource, keys[i]);
		if (!text || !*text)
			continue;
		char *longer = xprintf("%s%s%s", words ? words : "", words ? "; " : "", text);
		free(words);
		words = longer;
	}
	return words;
}

static void print_resources(const json_t *object)
{
	static const char *const headings[] = {"RESOURCE", "STATE", "REPAIRS", "REASON"};
	struct text_table *table = text_table_new(headings, ARRAY_SIZE(headings));
	const json_t *resource, *resources = json_at(object, "status.resources");
	size_t i;
	json_array_foreach(resources, i, resource) {
		cleanup_free char *repairs = json_line(json_at(resource, "repairs")), *words = resource_words(resource);
		text_table_cell(table, STYLE_PLAIN, json_text(resource, "id"));
		text_table_cell(table, state_style(json_text(resource, "state")), json_text(resource, "state"));
		text_table_cell(table, STYLE_PLAIN, repairs);
		text_table_cell(table, STYLE_PLAIN, words);
	}
	heading("Resources");
	print_table(table);
}

static int print_events(struct cli *cli, const char *label)
{
	json_t *events = NULL;
	const json_t *event;
	long long last;
	size_t i;
	int status = events_get(cli, label, EVENTS_MAX, &events, &last);
	if (status != CLI_DONE)
		return status;
	if (json_array_size(events))
		heading("Events");
	json_array_foreach(events, i, event)
		event_print(event, 2);
	json_decref(events);
	return CLI_DONE;
}

static void print_override(const json_t *object)
{
	const json_t *override = json_at(object, "status.override");
	const char *when = json_text(override, "when");
	if (!override)
		return;
	cleanup_free char *at = when ? time_local(when) : NULL;
	print_styled(stdout, STYLE_NOTE, "ordered: %s by %s%s%s\n",
		     json_text(override, "text") ? json_text(override, "text") : "?",
		     json_text(override, "who") ? json_text(override, "who") : "somebody", at ? " at " : "",
		     at ? at : "");
}

static int print_object(struct cli *cli, const json_t *object)
{
	cleanup_free char *label = object_label(object), *labels = json_line(json_at(object, "metadata.labels"));
	print_styled(stdout, STYLE_STRONG, "%s", label);
	printf("  (set %s, generation %lld, %lld repairs)\n",
	       json_text(object, "metadata.set") ? json_text(object, "metadata.set") : "?",
	       (long long)json_integer_value(json_at(object, "metadata.generation")),
	       (long long)json_integer_value(json_at(object, "status.repairs")));
	if (*labels)
		print_styled(stdout, STYLE_PLAIN, "labels: %s\n", labels);
	print_override(object);
	print_conditions(object);
	heading("Spec");
	print_indented(json_at(object, "spec"));
	if (json_at(object, "status.details")) {
		heading("Details");
		print_indented(json_at(object, "status.details"));
	}
	print_resources(object);
	return print_events(cli, label);
}

static int describe_one(struct cli *cli, const struct selected *item)
{
	json_t *object = NULL;
	cleanup_free char *name = client_escape(item->name);
	cleanup_free char *path = xprintf("/v1/objects/%s/%s", json_text(item->kind, "name"), name);
	int status = cli_get(cli, path, &object);
	if (status == CLI_DONE)
		status = print_object(cli, object);
	json_decref(object);
	return status;
}

/* Every object of a kind that was given without a name. */
static int describe_all(struct cli *cli, const struct selected *all)
{
	const char *kind = json_text(all->kind, "name");
	cleanup_free char *path = xprintf("/v1/objects%s%s", kind ? "/" : "", kind ? kind : "");
	json_t *objects = NULL, *object;
	size_t i;
	int status = cli_get(cli, path, &objects);
	json_array_foreach(objects, i, object) {
		json_t *like = json_pack("{s:s*}", "name", json_text(object, "kind"));
		if (i)
			putchar('\n');
		int one = describe_one(cli, &(struct selected){like, json_text(object, "metadata.name")});
		json_decref(like);
		status = one == CLI_DONE ? status : one;
	}
	json_decref(objects);
	return status;
}

static int run(struct cli *cli, const void *options)
{
	cleanup_selection struct selection selection;
	int status = selection_read(cli, &selection);
	for (size_t i = 0; i < selection.n && status != CLI_USAGE; i++) {
		if (i)
			putchar('\n');
		int one = selection.items[i].name ? describe_one(cli, &selection.items[i])
						  : describe_all(cli, &selection.items[i]);
		status = one == CLI_DONE ? status : one;
	}
	return status;
}

const struct verb verb_describe = {
	.name = "describe",
	.arguments = "KIND [NAME...] | KIND/NAME...",
	.summary = "Show everything that is known of objects: conditions, resources, events",
	.min_args = 1,
	.max_args = ANY_NUMBER,
	.words = WORDS_OBJECTS,
	.run = run,
};
