/* SPDX-License-Identifier: Apache-2.0 */
/* weft import host: what the host has now, as manifests. weftd reads it; here it is only printed. */
#include "api/client.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/terminal.h"

enum { IMPORT_MS = 70000 };

struct options {
	int output;
};

static const char *const outputs[] = {"yaml", "json"};
static const struct cli_option rows[] = {
	OWN_OUTPUT_OPTION(struct options, output, outputs),
};

static void print_remarks(const json_t *remarks)
{
	const json_t *remark;
	size_t i;
	json_array_foreach(remarks, i, remark)
		print_styled(stdout, STYLE_PLAIN, "# %s\n", json_string_value(remark));
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	const struct client_call call = {.method = "GET", .path = "/v1/import/host", .timeout_ms = IMPORT_MS};
	json_t *found = NULL;
	if (client_request(cli_client(cli), &call, &found) != 200) {
		const char *message = json_text(found, "message");
		int status = cli_fail(CLI_FAILED, "%s", message ? message : client_error(cli_client(cli)));
		json_decref(found);
		return status;
	}
	if (options->output) {
		print_json(found);
	} else {
		print_remarks(json_at(found, "remarks"));
		print_yaml(json_at(found, "objects"));
	}
	json_decref(found);
	return CLI_DONE;
}

const struct verb verb_import_host = {
	.name = "import host",
	.summary = "Print manifests for the links that this host has now",
	.text = "Bridges, bonds, VLANs, tunnels and their like, with their addresses and static routes, as others have "
		"made\n"
		"them; what weft has made is left out. Each has adopt: true, so that applying it changes nothing and "
		"lets\n"
		"weft look after it from then on. What cannot be written is told in comments, and stays as it is.",
	.examples = "  weft import host > host.yaml\n  weft diff -f host.yaml\n  weft apply -f host.yaml --confirm 60s",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
