/* SPDX-License-Identifier: Apache-2.0 */
/* weft diff: what differs between manifests and the host as it is observed. */
#include "api/client.h"
#include "cli/change.h"
#include "cli/diagnostics.h"
#include "cli/files.h"
#include "cli/json.h"

struct options {
	struct texts files;
	const char *set;
	bool prune;
	int output;
};

static const struct cli_option rows[] = {
	FILE_OPTION(struct options, files),
	{.name = "set",
	 .type = OPTION_TEXT,
	 .offset = offsetof(struct options, set),
	 .argument = "NAME",
	 .words = WORDS_SETS,
	 .doc = "The set that the objects belong to; else 'default'"},
	FLAG_OPTION("prune", struct options, prune, "Count what the set had and the files no longer have"),
	OUTPUT_OPTION(struct options, output, 3),
};

static int print_diff(const json_t *answer, enum output output)
{
	const char *message = json_text(answer, "message");
	const json_t *plan = json_at(answer, "plan");
	bool compared = streq(json_text(answer, "result"), "dryRun"),
	     refused = streq(json_text(answer, "result"), "refused");
	if (output == OUTPUT_JSON)
		print_json(answer);
	else if (output == OUTPUT_YAML)
		print_yaml(answer);
	else
		plan_print(answer, true);
	if (compared)
		return json_array_size(plan) ? CLI_NOT_READY : CLI_DONE;
	if (output == OUTPUT_TEXT)
		diagnostics_print(json_text(answer, "rendered"));
	return cli_fail(refused ? CLI_USAGE : CLI_FAILED, "%s", message ? message : "weftd gave no differences");
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *files = NULL, *answer = NULL;
	if (!options->files.n && (options->set || options->prune))
		return cli_misuse(cli, "--set and --prune need -f: without it the stored manifests are compared");
	int status = options->files.n ? files_read(&options->files, &files) : CLI_DONE;
	if (status != CLI_DONE)
		return status;
	json_t *body = json_pack("{s:O*, s:s*, s:b}", "files", files, "set", options->set, "prune", options->prune);
	json_decref(files);
	if (!body)
		return cli_misuse(cli, "the command line is not UTF-8");
	status = client_request(cli_client(cli), &(struct client_call){"POST", "/v1/diff", body}, &answer);
	json_decref(body);
	if (status < 0 || !json_text(answer, "result"))
		status = cli_fail(CLI_FAILED, "%s", client_error(cli_client(cli)));
	else
		status = print_diff(answer, options->output);
	json_decref(answer);
	return status;
}

const struct verb verb_diff = {
	.name = "diff",
	.arguments = "[-f FILE|DIR|-]",
	.summary = "Show what differs between manifests and the host",
	.text = "Without -f, the stored manifests are compared with the host as it is observed. Exit status 3: there "
		"are differences, or nobody knows; 0: there are none. What does not answer is compared as it was last "
		"seen, "
		"which is then said.",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
