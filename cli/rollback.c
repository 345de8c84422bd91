/* SPDX-License-Identifier: Apache-2.0 */
/* weft rollback: takes back what is pending, or applies an older revision anew. */
#include "cli/change.h"

struct options {
	int output;
};

static const struct cli_option rows[] = {OUTPUT_OPTION(struct options, output, 3)};

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *body = json_object();
	if (cli->n_args) {
		char *end;
		errno = 0;
		long long revision = strtoll(cli->args[0], &end, 10);
		if (errno || *end || end == cli->args[0] || revision <= 0) {
			json_decref(body);
			return cli_misuse(cli, "'%s' is no revision; 'weft history' lists them", cli->args[0]);
		}
		json_object_set_new(body, "revision", json_integer(revision));
	}
	int status = change_run(cli, "/v1/rollback", body, options->output, true);
	json_decref(body);
	return status;
}

const struct verb verb_rollback = {
	.name = "rollback",
	.arguments = "[REVISION]",
	.summary = "Take back what is pending, or go to an older revision",
	.text = "Without a revision: cancels what waits to be confirmed, else goes to the revision before the current "
		"one. With one: applies its manifests, of all sets, as a new revision.",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.max_args = 1,
	.words = WORDS_REVISIONS,
	.run = run,
};
