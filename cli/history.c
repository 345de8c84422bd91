/* SPDX-License-Identifier: Apache-2.0 */
/* weft history: the revisions that are kept. */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"

struct options {
	int output;
};

static const struct cli_option rows[] = {OUTPUT_OPTION(struct options, output, 3)};

static enum style style_of(const char *state)
{
	if (streq(state, "final"))
		return STYLE_GOOD;
	return streq(state, "undone") ? STYLE_BAD : STYLE_WARN;
}

/* What was done; of one that did not stay, why. */
static char *story_of(const json_t *row)
{
	const char *what = json_text(row, "what"), *message = json_text(row, "message"),
		   *by = json_text(row, "confirmBy");
	if (message && *message)
		return xprintf("%s (%s)", what ? what : "", message);
	if (by && streq(json_text(row, "state"), "unconfirmed")) {
		cleanup_free char *at = time_local(by);
		return xprintf("%s (to be confirmed by %s)", what ? what : "", at);
	}
	return what ? xstrdup(what) : NULL;
}

static void print_history(const json_t *history)
{
	static const char *const headings[] = {"REVISION", "STATE", "TIME", "WHO", "SET", "WHAT"};
	struct text_table *table = text_table_new(headings, ARRAY_SIZE(headings));
	const json_t *row;
	size_t i;
	json_array_foreach(history, i, row) {
		cleanup_free char *revision = json_line(json_at(row, "revision")),
				  *time = time_local(json_text(row, "time"));
		cleanup_free char *story = story_of(row);
		text_table_cell(table, STYLE_PLAIN, revision);
		text_table_cell(table, style_of(json_text(row, "state")), json_text(row, "state"));
		text_table_cell(table, STYLE_PLAIN, time);
		/* "root (uid 0)": the name is enough here, -o json has the rest. */
		const char *who = json_text(row, "who");
		cleanup_free char *name =
			who ? xstrndup(who, strcspn(who, "(") ? strcspn(who, "( ") : strlen(who)) : NULL;
		text_table_cell(table, STYLE_PLAIN, name);
		text_table_cell(table, STYLE_PLAIN, json_text(row, "set"));
		text_table_cell(table, STYLE_PLAIN, story);
	}
	text_table_print(table);
	text_table_free(table);
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *history = NULL;
	int status = cli_get(cli, "/v1/history", &history);
	if (status != CLI_DONE)
		return status;
	if (options->output == OUTPUT_JSON)
		print_json(history);
	else if (options->output == OUTPUT_YAML)
		print_yaml(history);
	else
		print_history(history);
	json_decref(history);
	return CLI_DONE;
}

const struct verb verb_history = {
	.name = "history",
	.summary = "List the revisions that are kept, newest first",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
