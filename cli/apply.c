/* SPDX-License-Identifier: Apache-2.0 */
/* weft apply: makes the host match manifests. */
#include "cli/change.h"
#include "cli/files.h"

struct options {
	struct texts files;
	const char *set, *verify;
	bool dry_run, prune, atomic, allow_disruption;
	unsigned confirm_ms;
	struct maybe_time wait;
	int output;
};

static const struct cli_option rows[] = {
	FILE_OPTION(struct options, files),
	FLAG_OPTION("dry-run", struct options, dry_run, "Only say what would be done"),
	{.name = "set",
	 .type = OPTION_TEXT,
	 .offset = offsetof(struct options, set),
	 .argument = "NAME",
	 .words = WORDS_SETS,
	 .doc = "The set that the objects belong to; else 'default'"},
	FLAG_OPTION("prune", struct options, prune, "Delete what the set had and the files no longer have"),
	{.name = "confirm",
	 .type = OPTION_TIME,
	 .offset = offsetof(struct options, confirm_ms),
	 .argument = "TIME",
	 .doc = "Go back unless 'weft confirm' comes in this time"},
	{.name = "verify",
	 .type = OPTION_TEXT,
	 .offset = offsetof(struct options, verify),
	 .argument = "ADDRESS|gateway",
	 .doc = "Go back unless it answers a ping afterwards"},
	FLAG_OPTION(
		"atomic", struct options, atomic,
		"Go back unless everything is Ready in time; what cannot go back (growing a volume) comes after that"),
	FLAG_OPTION("allow-disruption", struct options, allow_disruption, "Do what interrupts traffic, too"),
	{.name = "wait",
	 .type = OPTION_MAYBE_TIME,
	 .offset = offsetof(struct options, wait),
	 .argument = "TIME",
	 .doc = "Return when everything is Ready; 3 if it is not in time (60s)"},
	OUTPUT_OPTION(struct options, output, 3),
};

static json_t *body_of(const struct cli *cli, const struct options *options, json_t *files)
{
	json_t *body = json_pack("{s:O, s:b, s:b, s:b, s:b, s:b, s:s*, s:s*, s:s*}", "files", files, "dryRun",
				 options->dry_run, "prune", options->prune, "atomic", options->atomic,
				 "allowDisruption", options->allow_disruption, "wait", options->wait.given, "set",
				 options->set, "verify", options->verify, "command", cli->command);
	if (body && options->confirm_ms)
		json_object_set_new(body, "confirm", json_integer(options->confirm_ms));
	if (body && options->wait.ms)
		json_object_set_new(body, "waitMs", json_integer(options->wait.ms));
	return body;
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *files = NULL;
	if (!options->files.n)
		return cli_misuse(cli, "expected -f FILE");
	int status = files_read(&options->files, &files);
	if (status != CLI_DONE)
		return status;
	json_t *body = body_of(cli, options, files);
	json_decref(files);
	if (!body)
		return cli_misuse(cli, "the command line is not UTF-8");
	status = change_run(cli, "/v1/apply", body, options->output, !options->dry_run);
	json_decref(body);
	return status;
}

const struct verb verb_apply = {
	.name = "apply",
	.arguments = "-f FILE|DIR|-",
	.summary = "Make the host match manifests",
	.text = "All manifests are checked before anything is touched. When the host refuses a link, an address, a "
		"route, a rule or a sysctl, everything goes back to what it was.",
	.examples = "  weft apply -f lan.yaml --wait\n"
		    "  weft apply -f site/ --set site --prune --dry-run\n"
		    "  weft apply -f uplink.yaml --confirm 60s && weft confirm",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
