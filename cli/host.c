/* SPDX-License-Identifier: Apache-2.0 */
/* weft host down, up: all guests at once, for the sake of their host; integration/systemd/weft-guests.service calls
 * them as the host goes down. */
#include "cli/change.h"

struct options {
	int output;
};

static const struct cli_option rows[] = {OUTPUT_OPTION(struct options, output, 3)};

static int run(struct cli *cli, const void *ctx)
{
	const struct options *options = ctx;
	cleanup_free char *path = xprintf("/v1/host/%s", strchr(cli->verb->name, ' ') + 1);
	return change_run(cli, path, NULL, options->output, false);
}

const struct verb verb_host_down = {
	.name = "host down",
	.summary = "Shut all guests down, since the host goes down",
	.text = "Ends when all have shut down; one that does not in its shutdownTimeout is switched off. What is "
		"wanted of\n"
		"the guests does not change: they are started after the host's next boot, by 'weft host up', and when "
		"weftd\n"
		"is started anew.",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};

const struct verb verb_host_up = {
	.name = "host up",
	.summary = "Start the guests again that 'weft host down' has shut down",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
