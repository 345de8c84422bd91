/* SPDX-License-Identifier: Apache-2.0 */
/* weft volume snapshot: what a volume held at a time, beside its manifest. */
#include "api/client.h"
#include "cli/change.h"
#include "cli/json.h"
#include "cli/table.h"

struct options {
	bool yes;
	int output;
};

static const struct cli_option rows[] = {
	FLAG_OPTION("yes", struct options, yes, "Do it although it loses data for good (revert, delete)"),
	OUTPUT_OPTION(struct options, output, 3),
};

static void print_snapshots(const json_t *snapshots)
{
	static const char *const headings[] = {"NAME", "MADE", "SIZE"};
	struct text_table *table = text_table_new(headings, ARRAY_SIZE(headings));
	const json_t *snapshot;
	size_t i;
	json_array_foreach(snapshots, i, snapshot) {
		const char *made = json_text(snapshot, "madeAt");
		cleanup_free char *at = made ? time_local(made) : NULL;
		text_table_cell(table, STYLE_PLAIN, json_text(snapshot, "name"));
		text_table_cell(table, STYLE_PLAIN, at);
		text_table_cell(table, STYLE_PLAIN, json_text(snapshot, "size"));
	}
	if (text_table_rows(table))
		text_table_print(table);
	else
		fputs("there are no snapshots\n", stderr);
	text_table_free(table);
}

static int list(struct cli *cli, const char *volume, enum output output)
{
	cleanup_free char *path = xprintf("/v1/volumes/%s/snapshots", volume);
	json_t *answer = NULL;
	int status = cli_get(cli, path, &answer);
	if (status != CLI_DONE)
		return status;
	const json_t *snapshots = json_at(answer, "snapshots");
	if (output == OUTPUT_JSON)
		print_json(snapshots);
	else if (output == OUTPUT_YAML)
		print_yaml(snapshots);
	else
		print_snapshots(snapshots);
	json_decref(answer);
	return CLI_DONE;
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	const char *action = cli->args[0];
	bool lists = streq(action, "list");
	if (cli->n_args != (lists ? 2 : 3))
		return cli_misuse(cli, "%s takes the name of a volume%s", action,
				  lists ? "" : " and one for the snapshot");
	cleanup_free char *volume = client_escape(cli->args[1]);
	if (lists)
		return list(cli, volume, options->output);
	cleanup_free char *name = client_escape(cli->args[2]), *verb = client_escape(action);
	cleanup_free char *path =
		xprintf("/v1/volumes/%s/snapshots/%s/%s%s", volume, name, verb, options->yes ? "?sure=1" : "");
	cleanup_free char *what = xprintf("volume/%s: %s", cli->args[1], action);
	cleanup_free char *progress = xprintf("/v1/volumes/%s/order", volume);
	return change_long_order(cli, path, &(struct progress_of){progress, what}, options->output);
}

const struct verb verb_volume_snapshot = {
	.name = "volume snapshot",
	.arguments = "list|create|revert|delete VOLUME [NAME]",
	.summary = "List, make, go back to and delete snapshots of a volume",
	.text = "A snapshot of a volume that a guest has open is made while the guest runs, as if the power was cut "
		"then.\n"
		"Reverting needs the guest to be off; what was written since is lost for good, and so is what a "
		"snapshot\n"
		"holds that is deleted: both ask for --yes. Snapshots are kept in the storage and go with their "
		"volume.",
	.examples = "weft volume snapshot create web-data before-upgrade\n"
		    "weft volume snapshot revert web-data before-upgrade --yes",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.min_args = 2,
	.max_args = 3,
	.run = run,
};
