/* SPDX-License-Identifier: Apache-2.0 */
/* weft lease list: who has an address from the DHCP of which network. */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"

struct options {
	const char *network;
	int output;
};

static const struct cli_option rows[] = {
	{.name = "network",
	 .type = OPTION_TEXT,
	 .offset = offsetof(struct options, network),
	 .argument = "NAME",
	 .words = WORDS_NETWORKS,
	 .doc = "Only those of this network"},
	OUTPUT_OPTION(struct options, output, 3),
};

static json_t *of_network(const json_t *leases, const char *network)
{
	json_t *kept = json_array(), *lease;
	size_t i;
	json_array_foreach(leases, i, lease) {
		if (!network || streq(json_text(lease, "network"), network))
			json_array_append(kept, lease);
	}
	return kept;
}

static void print_leases(const json_t *leases)
{
	static const char *const headings[] = {"NETWORK", "ADDRESS", "MAC", "HOSTNAME", "GUEST", "EXPIRES"};
	static const char *const paths[] = {"network", "ip", "mac", "hostname", "guest"};
	struct text_table *table = text_table_new(headings, ARRAY_SIZE(headings));
	const json_t *lease;
	size_t i;
	json_array_foreach(leases, i, lease) {
		const char *expires = json_text(lease, "expires");
		cleanup_free char *at = expires ? time_local(expires) : xstrdup("never");
		for (size_t k = 0; k < ARRAY_SIZE(paths); k++)
			text_table_cell(table, STYLE_PLAIN, json_text(lease, paths[k]));
		text_table_cell(table, STYLE_PLAIN, at);
	}
	if (text_table_rows(table))
		text_table_print(table);
	else
		fputs("there are no leases\n", stderr);
	text_table_free(table);
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *all = NULL;
	int status = cli_get(cli, "/v1/leases", &all);
	if (status != CLI_DONE)
		return status;
	json_t *leases = of_network(all, options->network);
	json_decref(all);
	if (options->output == OUTPUT_JSON)
		print_json(leases);
	else if (options->output == OUTPUT_YAML)
		print_yaml(leases);
	else
		print_leases(leases);
	json_decref(leases);
	return CLI_DONE;
}

const struct verb verb_lease_list = {
	.name = "lease list",
	.summary = "List the addresses that networks have given to guests",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
