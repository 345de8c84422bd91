/* SPDX-License-Identifier: Apache-2.0 */
/* weft delete: takes objects away, in one transaction. */
#include "cli/change.h"
#include "cli/files.h"
#include "cli/json.h"
#include "cli/kinds.h"

struct options {
	struct texts files;
	bool now, dry_run, allow_disruption;
	unsigned confirm_ms;
	struct maybe_time wait;
	int output;
};

static const struct cli_option rows[] = {
	FILE_OPTION(struct options, files),
	FLAG_OPTION("now", struct options, now, "Kill guests instead of asking them to shut down"),
	FLAG_OPTION("dry-run", struct options, dry_run, "Only say what would be done"),
	{.name = "confirm",
	 .type = OPTION_TIME,
	 .offset = offsetof(struct options, confirm_ms),
	 .argument = "TIME",
	 .doc = "Go back unless 'weft confirm' comes in this time"},
	FLAG_OPTION("allow-disruption", struct options, allow_disruption, "Do what interrupts traffic, too"),
	{.name = "wait",
	 .type = OPTION_MAYBE_TIME,
	 .offset = offsetof(struct options, wait),
	 .argument = "TIME",
	 .doc = "Return when everything is gone; 3 if it is not in time (60s)"},
	OUTPUT_OPTION(struct options, output, 3),
};

/* {"names": ["Kind/name"...]} of what the arguments name. */
static int named(struct cli *cli, json_t *body)
{
	cleanup_selection struct selection selection;
	int status = selection_read(cli, &selection);
	json_t *names = json_array();
	json_object_set_new(body, "names", names);
	for (size_t i = 0; i < selection.n && status == CLI_DONE; i++) {
		const struct selected *item = &selection.items[i];
		if (!item->name)
			return cli_misuse(cli, "which %s? Name it: KIND NAME, or KIND/NAME",
					  item->kind ? json_text(item->kind, "name") : "ones");
		cleanup_free char *name = xprintf("%s/%s", json_text(item->kind, "name"), item->name);
		json_t *text = json_string(name);
		if (!text)
			return cli_misuse(cli, "the command line is not UTF-8");
		json_array_append_new(names, text);
	}
	return status;
}

static int what(struct cli *cli, const struct options *options, json_t *body)
{
	json_t *files = NULL;
	if (options->files.n && cli->n_args)
		return cli_misuse(cli, "either -f or names");
	if (!options->files.n && !cli->n_args)
		return cli_misuse(cli, "expected KIND NAME..., KIND/NAME... or -f FILE");
	if (!options->files.n)
		return named(cli, body);
	int status = files_read(&options->files, &files);
	if (status == CLI_DONE)
		json_object_set_new(body, "files", files);
	return status;
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *body = json_pack("{s:b, s:b, s:b, s:b, s:s*}", "now", options->now, "dryRun", options->dry_run,
				 "allowDisruption", options->allow_disruption, "wait", options->wait.given, "command",
				 cli->command);
	if (!body)
		return cli_misuse(cli, "the command line is not UTF-8");
	if (options->confirm_ms)
		json_object_set_new(body, "confirm", json_integer(options->confirm_ms));
	if (options->wait.ms)
		json_object_set_new(body, "waitMs", json_integer(options->wait.ms));
	int status = what(cli, options, body);
	if (status == CLI_DONE)
		status = change_run(cli, "/v1/delete", body, options->output, !options->dry_run);
	json_decref(body);
	return status;
}

const struct verb verb_delete = {
	.name = "delete",
	.arguments = "KIND NAME... | KIND/NAME... | -f FILE|DIR|-",
	.summary = "Take objects away",
	.text = "All that is named goes in one transaction, dependants first; what others still need is not removed, "
		"and it is said who needs it. Deleting a Pool or a Volume leaves its bytes where they are.",
	.examples = "  weft delete guest web\n  weft delete -f lan.yaml --wait",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.max_args = ANY_NUMBER,
	.words = WORDS_OBJECTS,
	.run = run,
};
