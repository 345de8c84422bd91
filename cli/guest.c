/* SPDX-License-Identifier: Apache-2.0 */
/* weft guest start, stop, restart, kill, pause, resume: orders to guests beside their manifests. */
#include "api/client.h"
#include "cli/change.h"

struct options {
	int output;
};

static const struct cli_option rows[] = {OUTPUT_OPTION(struct options, output, 3)};

/* Every guest named gets the order, whatever became of the one before. */
static int order(struct cli *cli, const struct options *options, const char *action)
{
	int status = CLI_DONE;
	for (size_t i = 0; i < cli->n_args; i++) {
		cleanup_free char *name = client_escape(cli->args[i]);
		cleanup_free char *path = xprintf("/v1/guests/%s/%s", name, action);
		cleanup_free char *what = xprintf("guest/%s: %s", cli->args[i], action);
		int one = change_order(cli, path, what, options->output);
		status = one == CLI_DONE ? status : one;
	}
	return status;
}

static int run(struct cli *cli, const void *options)
{
	return order(cli, options, strchr(cli->verb->name, ' ') + 1);
}

#define GUEST_VERB(action, sentence, more)              \
	const struct verb verb_guest_##action = {       \
		.name = "guest " #action,               \
		.arguments = "NAME...",                 \
		.summary = (sentence),                  \
		.text = (more),                         \
		.options = rows,                        \
		.n_options = ARRAY_SIZE(rows),          \
		.options_size = sizeof(struct options), \
		.min_args = 1,                          \
		.max_args = ANY_NUMBER,                 \
		.words = WORDS_GUESTS,                  \
		.run = run,                             \
	}

GUEST_VERB(start, "Start guests", "This also takes back an earlier 'weft guest stop'.");
GUEST_VERB(stop, "Shut guests down",
	   "They stay off, over a restart of the host too, until 'weft guest start' or an apply that changes them. "
	   "One that does not go in its shutdownTimeout is killed.");
GUEST_VERB(restart, "Shut guests down and start them again", "What was changed for the next start takes effect.");
GUEST_VERB(kill, "Stop guests at once, as if the power was cut", NULL);
GUEST_VERB(pause, "Halt the processors of guests", NULL);
GUEST_VERB(resume, "Let paused guests go on", NULL);
