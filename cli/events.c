/* SPDX-License-Identifier: Apache-2.0 */
/* weft events: what has happened, and what happens now. */
#include "api/client.h"
#include "cli/event-print.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/terminal.h"

struct options {
	bool follow;
	const char *object;
	unsigned lines;
	int output;
};

enum { FOLLOW_LINES = 10, TYPE_COLUMNS = 11, OBJECT_COLUMNS = 15, TEXT_INDENT = 10 };

static const struct cli_option rows[] = {
	{.name = "follow",
	 .type = OPTION_FLAG,
	 .offset = offsetof(struct options, follow),
	 .doc = "Show the last few, go on, and show each as it comes"},
	{.name = "object",
	 .type = OPTION_TEXT,
	 .offset = offsetof(struct options, object),
	 .argument = "KIND/NAME",
	 .words = WORDS_LABELS,
	 .doc = "Only those of one object"},
	{.name = "lines",
	 .letter = 'n',
	 .type = OPTION_COUNT,
	 .offset = offsetof(struct options, lines),
	 .argument = "COUNT",
	 .doc = "Only the last ones"},
	{.name = "output",
	 .letter = 'o',
	 .type = OPTION_CHOICE,
	 .offset = offsetof(struct options, output),
	 .argument = "FORMAT",
	 .choices = output_names,
	 .n_choices = 2,
	 .doc = "How to print it; json: a line each"},
};

/* ---- for describe too ---- */

bool event_is_of(const json_t *event, const char *object)
{
	return !object || streq(json_text(event, "object"), object);
}

struct gathering {
	const char *object;
	size_t max;
	json_t *list;
	long long last;
};

static bool gather(void *ctx, const json_t *event)
{
	struct gathering *g = ctx;
	const json_t *seq = json_at(event, "seq");
	if (seq)
		g->last = (long long)json_integer_value(seq);
	if (!event_is_of(event, g->object))
		return true;
	json_array_append(g->list, (json_t *)event);
	if (g->max && json_array_size(g->list) > 2 * g->max)
		for (size_t i = 0; i < g->max; i++)
			json_array_remove(g->list, 0);
	return true;
}

int events_get(struct cli *cli, const char *object, size_t max, json_t **ret, long long *ret_last)
{
	struct gathering g = {.object = object, .max = max, .list = json_array()};
	if (client_stream(cli_client(cli), "/v1/events", gather, &g) != 200) {
		json_decref(g.list);
		return cli_fail(CLI_FAILED, "%s", client_error(cli_client(cli)));
	}
	while (max && json_array_size(g.list) > max)
		json_array_remove(g.list, 0);
	*ret = g.list;
	*ret_last = g.last;
	return CLI_DONE;
}

static size_t columns_of(const char *text, size_t least)
{
	size_t columns = text ? text_columns(text) : 0;
	return columns > least ? columns : least;
}

void event_print(const json_t *event, unsigned indent)
{
	const json_t *missed = json_at(event, "missed");
	if (missed) {
		print_styled(stdout, STYLE_WARN, "(%lld events came too fast and were missed)\n",
			     (long long)json_integer_value(missed));
		return;
	}
	const char *type = json_text(event, "type"), *about = json_text(event, "object"),
		   *text = json_text(event, "text");
	bool warning = json_is_true(json_at(event, "warning"));
	const char *resource = json_text(event, "resource");
	if (!text)
		text = "";
	/* The resource is said where the object does not say it already. */
	bool shown = !about || !resource || strstr(text, resource);
	if (!about)
		about = resource;
	cleanup_free char *time = time_local(json_text(event, "time"));
	print_styled(stdout, STYLE_FAINT, "%*s%s", (int)indent, "", time);
	print_styled(stdout, warning ? STYLE_WARN : STYLE_PLAIN, "  %-*s", TYPE_COLUMNS, type ? type : "?");
	print_styled(stdout, STYLE_STRONG, "  %-*s", OBJECT_COLUMNS, about ? about : "-");
	cleanup_free char *story = xprintf("%s%s%s", shown ? "" : resource, !shown && *text ? ": " : "", text);
	size_t used = strlen(time) + columns_of(type, TYPE_COLUMNS) + columns_of(about, OBJECT_COLUMNS) + 6;
	fputs("  ", stdout);
	print_folded(stdout, story, used + indent, TEXT_INDENT + indent, 0);
}

/* ---- the verb ---- */

struct following {
	const struct options *options;
	const char *object;
};

static void show(const json_t *event, const struct options *options)
{
	if (options->output == OUTPUT_TEXT) {
		event_print(event, 0);
		return;
	}
	json_dumpf(event, stdout, JSON_COMPACT);
	putchar('\n');
}

static bool on_event(void *ctx, const json_t *event)
{
	const struct following *f = ctx;
	if (json_at(event, "missed") || event_is_of(event, f->object))
		show(event, f->options);
	return fflush(stdout) == 0;
}

static int follow(struct cli *cli, const struct options *options, const char *object, long long last)
{
	struct following f = {options, object};
	cleanup_free char *path = xprintf("/v1/events?follow=1&after=%lld", last);
	int status = client_stream(cli_client(cli), path, on_event, &f);
	if (status == 200)
		return cli_fail(CLI_FAILED, "weftd has gone: the stream of its events ended");
	return cli_fail(CLI_FAILED, "%s", client_error(cli_client(cli)));
}

static int run_for(struct cli *cli, const struct options *options, const char *object)
{
	json_t *events = NULL;
	const json_t *event;
	long long last = 0;
	size_t max = options->lines ? options->lines : options->follow ? FOLLOW_LINES : 0, i;
	int status = events_get(cli, object, max, &events, &last);
	if (status != CLI_DONE)
		return status;
	json_array_foreach(events, i, event)
		show(event, options);
	json_decref(events);
	fflush(stdout);
	return options->follow ? follow(cli, options, object, last) : CLI_DONE;
}

/* "guests/web" is "Guest/web". */
static int read_object(struct cli *cli, const char *text, char **ret)
{
	const char *slash = strchr(text, '/');
	json_t *kinds = NULL;
	if (!slash || !slash[1])
		return cli_misuse(cli, "--object %s: expected KIND/NAME", text);
	int status = kinds_load(cli, &kinds);
	if (status != CLI_DONE)
		return status;
	cleanup_free char *word = xstrndup(text, (size_t)(slash - text));
	const json_t *kind = kinds_need(kinds, word);
	if (kind)
		*ret = xprintf("%s%s", json_text(kind, "name"), slash);
	json_decref(kinds);
	return kind ? CLI_DONE : CLI_USAGE;
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	cleanup_free char *object = NULL;
	int status = options->object ? read_object(cli, options->object, &object) : CLI_DONE;
	return status == CLI_DONE ? run_for(cli, options, object) : status;
}

const struct verb verb_events = {
	.name = "events",
	.summary = "Show what has happened",
	.examples = "  weft events --follow\n  weft events --object guest/web",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
