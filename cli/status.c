/* SPDX-License-Identifier: Apache-2.0 */
/* weft status: how weftd itself is. */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/terminal.h"

struct options {
	int output;
};

static const struct cli_option rows[] = {OUTPUT_OPTION(struct options, output, 3)};

static void print_pending(const json_t *status)
{
	const char *by = json_text(status, "pending.confirmBy");
	cleanup_free char *at = by ? time_local(by) : NULL;
	print_styled(stdout, STYLE_WARN, "pending:    revision %lld, %s%s%s\n",
		     (long long)json_integer_value(json_at(status, "pending.revision")),
		     json_text(status, "pending.state") ? json_text(status, "pending.state") : "applying",
		     at ? "; taken back unless confirmed by " : "", at ? at : "");
}

static void print_status(const json_t *status)
{
	static const char *const known[] = {"version", "revision", "pending", "converged"};
	const char *key;
	json_t *value;
	printf("weftd:      %s\n", json_text(status, "version") ? json_text(status, "version") : "?");
	printf("revision:   %lld\n", (long long)json_integer_value(json_at(status, "revision")));
	if (json_at(status, "pending"))
		print_pending(status);
	bool converged = json_is_true(json_at(status, "converged"));
	printf("host:       ");
	print_styled(stdout, converged ? STYLE_GOOD : STYLE_WARN, "%s\n",
		     converged ? "is as wanted" : "is not (yet) as wanted; 'weft get all' says what is not");
	json_object_foreach((json_t *)status, key, value) {
		bool is_known = false;
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			is_known |= streq(known[i], key);
		cleanup_free char *line = is_known ? NULL : json_line(value), *label = xprintf("%s:", key);
		if (line)
			print_styled(stdout, STYLE_PLAIN, "%-11s %s\n", label, line);
	}
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *status = NULL;
	int r = cli_get(cli, "/v1/status", &status);
	if (r != CLI_DONE)
		return r;
	if (options->output == OUTPUT_JSON)
		print_json(status);
	else if (options->output == OUTPUT_YAML)
		print_yaml(status);
	else
		print_status(status);
	json_decref(status);
	return CLI_DONE;
}

const struct verb verb_status = {
	.name = "status",
	.summary = "Show how weftd is: its revision, what is pending, whether the host is as wanted",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
