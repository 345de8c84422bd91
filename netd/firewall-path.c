/* SPDX-License-Identifier: Apache-2.0 */
/* The class `firewall-path`: whether a network's packets get through the nftables rules of others. It is there as soon
 * as it is wanted and changes nothing; its health is what counts. Observed anew when nftables says that something
 * changed. */
#include "core/child.h"
#include "core/lane-async.h"
#include "netd/firewall.h"
#include "netd/nft-path.h"

enum { DEADLINE_MS = 5000, RULESET_MAX_BYTES = 8 << 20 };

struct path_spec {
	uint64_t present;
	const char *bridge;
	struct list prefixes; /* struct ip_prefix */
	bool dhcp, forward;
};

static const struct field path_rows[] = {
	F_IFNAME("bridge", struct path_spec, bridge, .doc = "Bridge that the packets come in by."),
	F_LIST("prefixes", struct path_spec, prefixes, scalar_prefix, .flags = FIELD_UNION,
	       .doc = "Networks of the guests."),
	F_BOOL("dhcp", struct path_spec, dhcp, .doc = "DHCP is served here."),
	F_BOOL("forward", struct path_spec, forward, .doc = "Guests reach what is beyond the host."),
};
static const struct table path_table = TABLE("firewall-path", struct path_spec, path_rows);

static void look(const struct op *op, struct observation *obs, const struct nft_ruleset *ruleset, const char *why_not)
{
	observation_begin(obs, op->class, true);
	obs->owner = OWNER_OURS; /* nothing that could be put back one day */
	if (!op->want)
		return;
	obs->spec = table_copy(op->class->table, op->want, obs->arena);
	const struct path_spec *spec = op->want;
	const struct nft_path path = {
		.bridge = spec->bridge,
		.prefixes = spec->prefixes,
		.dhcp = spec->dhcp,
		.forward = spec->forward,
	};
	if (!ruleset)
		obs->note = arena_strdup(obs->arena, why_not);
	else if (spec->bridge)
		obs->health = nft_path_fault(ruleset, &path, obs->arena);
}

/* A host without nft, or with more rules than one wants to read, is told of but not called broken. */
static void on_listed(void *ctx, const struct child_result *result)
{
	struct nft_ruleset *ruleset = NULL;
	struct err err = result->err;
	if (result->status == 0)
		nft_ruleset_parse(result->out, result->out_size, &ruleset, &err);
	char why_not[sizeof(err.text) + 64];
	snprintf(why_not, sizeof(why_not), "the host's nftables rules could not be looked at: %s", err.text);
	for (struct op *op = ctx, *next; op; op = next) {
		next = op->next;
		look(op, &op->obs, ruleset, why_not);
		op_complete(op);
	}
	nft_ruleset_free(ruleset);
}

/* nft -j -t list ruleset
 * {"nftables": [{"metainfo": {...}}, {"table": {...}}, {"chain": {...}}, {"rule": {...}}, ...]}; -t leaves the elements
 * of sets out. */
static void run(struct op *ops)
{
	static const char *const argv[] = {"nft", "-j", "-t", "list", "ruleset", NULL};
	child_run(&(struct child_spec){
		.argv = argv,
		.deadline_ms = DEADLINE_MS,
		.max_output = RULESET_MAX_BYTES,
		.done = on_listed,
		.ctx = ops,
	});
}

static const struct async_verbs verbs = {.batch = run};

const struct resource_class netd_firewall_path_class = {
	.name = "firewall-path",
	.doc = "Whether a network's packets get through the nftables rules of others.",
	.table = &path_table,
	.lane = "firewall",
	.verbs = &verbs,
	.flags = CLASS_INHERENT,
};
