/* SPDX-License-Identifier: Apache-2.0 */
/* weft lease list, break: who has an address from the DHCP of which network, and which guest of which host has the use
 * of which volume. */
#include "api/client.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"

struct list_options {
	const char *network, *pool;
	int output;
};

static const struct cli_option list_rows[] = {
	{.name = "network",
	 .type = OPTION_TEXT,
	 .offset = offsetof(struct list_options, network),
	 .argument = "NAME",
	 .words = WORDS_NETWORKS,
	 .doc = "Only addresses of this network"},
	{.name = "pool",
	 .type = OPTION_TEXT,
	 .offset = offsetof(struct list_options, pool),
	 .argument = "NAME",
	 .words = WORDS_POOLS,
	 .doc = "Only volumes of this pool"},
	OUTPUT_OPTION(struct list_options, output, 3),
};

/* Those where the text at `key` is as asked for, or all. Takes `leases`. */
static json_t *matching(json_t *leases, const char *key, const char *text)
{
	json_t *kept = json_array(), *lease;
	size_t i;
	json_array_foreach(leases, i, lease) {
		if (!text || streq(json_text(lease, key), text))
			json_array_append(kept, lease);
	}
	json_decref(leases);
	return kept;
}

/* Of volumes. What cannot be seen is said on stderr, and then they are not all. */
static int get_held(struct cli *cli, json_t **ret, bool *ret_all)
{
	json_t *answer = NULL, *problem;
	size_t i;
	int status = cli_get(cli, "/v1/leases/volumes", &answer);
	if (status != CLI_DONE)
		return status;
	json_array_foreach(json_object_get(answer, "problems"), i, problem) {
		cli_fail(CLI_FAILED, "%s", json_text(problem, "message"));
	}
	*ret = json_incref(json_object_get(answer, "leases"));
	*ret_all = json_array_size(json_object_get(answer, "problems")) == 0;
	json_decref(answer);
	return CLI_DONE;
}

/* A table of what is at the paths; a column that begins with '@' is a time, and without one says `timeless`. */
static void print_table(const json_t *leases, const char *const *headings, const char *const *paths, size_t n,
			const char *timeless)
{
	struct text_table *table = text_table_new(headings, n);
	const json_t *lease;
	size_t i;
	json_array_foreach(leases, i, lease) {
		for (size_t k = 0; k < n; k++) {
			bool is_time = paths[k][0] == '@';
			const char *text = json_text(lease, paths[k] + is_time);
			cleanup_free char *at = !is_time ? NULL : text ? time_local(text) : xstrdup(timeless);
			text_table_cell(table, STYLE_PLAIN, at ? at : text);
		}
	}
	text_table_print(table);
	text_table_free(table);
}

static void print_leases(const json_t *addresses, const json_t *held, bool all)
{
	static const char *const address_headings[] = {"NETWORK", "ADDRESS", "MAC", "HOSTNAME", "GUEST", "EXPIRES"};
	static const char *const address_paths[] = {"network", "ip", "mac", "hostname", "guest", "@expires"};
	static const char *const held_headings[] = {"POOL", "VOLUME", "GUEST", "HOST", "SINCE", "MODE", "ALIVE"};
	static const char *const held_paths[] = {"pool", "volume", "guest", "host", "@since", "mode", "alive"};
	size_t n_addresses = json_array_size(addresses), n_held = json_array_size(held);
	if (n_addresses)
		print_table(addresses, address_headings, address_paths, ARRAY_SIZE(address_paths), "never");
	if (n_addresses && n_held)
		putchar('\n');
	if (n_held)
		print_table(held, held_headings, held_paths, ARRAY_SIZE(held_paths), "-");
	if (!n_addresses && !n_held && all)
		fputs("there are no leases\n", stderr);
}

static int run_list(struct cli *cli, const void *opaque)
{
	const struct list_options *options = opaque;
	json_t *addresses = NULL, *held = NULL;
	bool all = true;
	int status = options->pool ? CLI_DONE : cli_get(cli, "/v1/leases", &addresses);
	if (status == CLI_DONE && !options->network)
		status = get_held(cli, &held, &all);
	addresses = matching(addresses, "network", options->network);
	held = matching(held, "pool", options->pool);
	if (status == CLI_DONE && options->output == OUTPUT_TEXT) {
		print_leases(addresses, held, all);
	} else if (status == CLI_DONE) {
		json_array_extend(addresses, held);
		(options->output == OUTPUT_JSON ? print_json : print_yaml)(addresses);
	}
	json_decref(addresses);
	json_decref(held);
	return status == CLI_DONE && !all ? CLI_FAILED : status;
}

const struct verb verb_lease_list = {
	.name = "lease list",
	.summary = "List who holds addresses of networks and volumes of pools",
	.text = "Volumes are those that this host's manifests name; who uses them is asked of their storage. ALIVE is "
		"unknown where nothing shows whether the guest still runs: its host may be dead, or only cut off. Of a "
		"pool "
		"that does not answer is shown what was read there last, and the exit status is 1.",
	.options = list_rows,
	.n_options = ARRAY_SIZE(list_rows),
	.options_size = sizeof(struct list_options),
	.run = run_list,
};

struct break_options {
	bool yes;
	int output;
};

static const struct cli_option break_rows[] = {
	FLAG_OPTION("yes", struct break_options, yes, "Do not ask: who holds it is known to be dead"),
	OUTPUT_OPTION(struct break_options, output, 3),
};

/* What will be lost if it is not dead. */
static void warn(const json_t *held)
{
	const json_t *lease;
	size_t i;
	json_array_foreach(held, i, lease) {
		const char *since = json_text(lease, "since"), *guest = json_text(lease, "guest");
		cleanup_free char *at = since ? time_local(since) : NULL;
		cleanup_free char *who = guest ? xprintf("Guest '%s'", guest) : xstrdup("A guest");
		print_styled(stderr, STYLE_WARN, "%s on host '%s' holds volume '%s'%s%s.\n", who,
			     json_text(lease, "host"), json_text(lease, "volume"), since ? " since " : "",
			     since ? at : "");
	}
	fputs("Should it still run there, two guests will write to the volume, and what is on it is lost.\n"
	      "Make sure that its host is off.\n",
	      stderr);
}

static bool is_agreed(void)
{
	char line[16] = "";
	fputs("Break the lease? [y/N] ", stderr);
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int post_break(struct cli *cli, const struct break_options *options)
{
	cleanup_free char *name = client_escape(cli->args[0]);
	cleanup_free char *path = xprintf("/v1/leases/volumes/%s/break", name);
	json_t *answer = NULL;
	int status = cli_post(cli, path, NULL, &answer);
	const json_t *broken = json_object_get(answer, "broken");
	if (status == CLI_DONE && options->output == OUTPUT_TEXT)
		printf("volume/%s: %s\n", cli->args[0], json_array_size(broken) ? "lease broken" : "no guest uses it");
	else if (status == CLI_DONE)
		(options->output == OUTPUT_JSON ? print_json : print_yaml)(broken);
	json_decref(answer);
	return status;
}

static int run_break(struct cli *cli, const void *opaque)
{
	const struct break_options *options = opaque;
	json_t *held = NULL;
	bool all;
	int status = get_held(cli, &held, &all);
	if (status != CLI_DONE)
		return status;
	held = matching(held, "volume", cli->args[0]);
	bool is_held = json_array_size(held);
	if (is_held)
		warn(held);
	json_decref(held);
	if (is_held && !options->yes && !isatty(STDIN_FILENO))
		return cli_fail(CLI_USAGE, "lease break: nobody is here to be asked: say --yes");
	if (is_held && !options->yes && !is_agreed())
		return cli_fail(CLI_FAILED, "the lease was left as it is");
	return post_break(cli, options);
}

const struct verb verb_lease_break = {
	.name = "lease break",
	.arguments = "VOLUME",
	.summary = "Take a volume away from guests of hosts that are dead",
	.text = "The lease of a host that died stays on the storage, since nothing tells a dead host from one that is "
		"cut "
		"off. Break\n"
		"it once the host is off: should a guest there still write, the volume is destroyed. Refused as long "
		"as "
		"the lock of\n"
		"one of the guests is seen to be held.",
	.options = break_rows,
	.n_options = ARRAY_SIZE(break_rows),
	.options_size = sizeof(struct break_options),
	.min_args = 1,
	.max_args = 1,
	.words = WORDS_VOLUMES,
	.run = run_break,
};
