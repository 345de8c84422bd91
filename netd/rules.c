/* SPDX-License-Identifier: Apache-2.0 */
/* The resource class `rules`; see rules.h. Its lane hands over all operations of a round at once, so that they become
 * one iptables-restore a family; see rules-run.c. */
#include "core/lane-async.h"
#include "netd/rules.h"

static const char *const position_names[] = {"first", "last"};

static const struct field chain_rows[] = {
	F_STRING("name", struct rules_chain, name, .max = CHAIN_NAME_MAX, .flags = FIELD_REQUIRED,
		 .doc = "Name of the chain: WEFT-PART-NETWORK."),
	F_LIST("rules", struct rules_chain, rules, scalar_string, .list_max = 4096,
	       .doc = "Rules as iptables-save prints them, without -A CHAIN."),
};
static const struct table chain_table = TABLE("rules.chains", struct rules_chain, chain_rows);

static const struct field jump_rows[] = {
	F_STRING("from", struct rules_jump, from, .flags = FIELD_REQUIRED,
		 .doc = "Built-in chain that the jump stands in."),
	F_STRING("to", struct rules_jump, to, .flags = FIELD_REQUIRED, .doc = "Chain of ours that it leads to."),
	F_ENUM("position", struct rules_jump, position, position_names, .def = "first",
	       .doc = "Where the jump is put among the rules that are there."),
	F_STRING("match", struct rules_jump, match, .doc = "What packets take the jump, as iptables-save prints it.",
		 .example = "-i lan"),
};
static const struct table jump_table = TABLE("rules.jumps", struct rules_jump, jump_rows);

static const struct field rules_rows[] = {
	[RULES_CHAINS] = F_STRUCTS("chains", struct rules_spec, chains, chain_table, .doc = "Chains of this network."),
	[RULES_JUMPS] = F_STRUCTS("jumps", struct rules_spec, jumps, jump_table, .doc = "Jumps into them."),
};
const struct table rules_table = TABLE("rules", struct rules_spec, rules_rows);

static const struct async_verbs verbs = {.batch = rules_run};

const struct resource_class netd_rules_class = {
	.name = "rules",
	.doc = "Chains of one network in one iptables table of one family, and the jumps into them.",
	.table = &rules_table,
	.lane = "firewall",
	.verbs = &verbs,
	.flags = CLASS_TRANSACTIONAL,
};
