/* SPDX-License-Identifier: Apache-2.0 */
/* weft confirm: keeps what an apply with --confirm has made. */
#include "cli/change.h"

struct options {
	int output;
};

static const struct cli_option rows[] = {OUTPUT_OPTION(struct options, output, 3)};

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	return change_run(cli, "/v1/confirm", NULL, options->output, false);
}

const struct verb verb_confirm = {
	.name = "confirm",
	.summary = "Keep what waits to be confirmed",
	.text = "What was applied with --confirm TIME goes back to what was before, unless this comes in time.",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
