/* SPDX-License-Identifier: Apache-2.0 */
/* The class `rules`: what one network has in one iptables table of one family; key "ipv4/nat/lan". Its chains are named
 * WEFT-PART-NETWORK and are its own as a whole; jumps into them stand in built-in chains, each with a comment that
 * carries the mark. rules-text.c is the pure part (texts of iptables-save and iptables-restore), rules-run.c the
 * children, rules.c the class. */
#ifndef WEFT_NETD_RULES_H
#define WEFT_NETD_RULES_H

#include "core/resource.h"

enum { CHAIN_NAME_MAX = 28 };
enum family { FAMILY_IPV4, FAMILY_IPV6, N_FAMILIES };
extern const char *const family_names[N_FAMILIES];

enum rules_position { RULES_FIRST, RULES_LAST };
struct rules_chain {
	uint64_t present;
	const char *name;
	struct list rules; /* const char *: as iptables-save prints them, without "-A CHAIN" */
};
struct rules_jump {
	uint64_t present;
	const char *from, *to;
	int position;
	const char *match; /* "-i lan"; NULL: every packet */
};
struct rules_spec {
	uint64_t present;
	struct list chains; /* struct rules_chain */
	struct list jumps;  /* struct rules_jump */
};
enum rules_row { RULES_CHAINS, RULES_JUMPS };
extern const struct table rules_table;
extern const struct resource_class netd_rules_class;

struct rules_key {
	enum family family;
	char table[16];
	const char *network; /* points into the key */
};
int rules_key_parse(const char *key, struct rules_key *ret, struct err *err);
/* The network that a chain belongs to: "lan" for "WEFT-POST-lan"; NULL if the chain is none of ours. */
const char *rules_chain_network(const char *chain);
/* Is it the mark of this very instance: "weft:ID:..."? */
bool rules_is_our_mark(const char *mark);
/* Refuses what would not be a rule of its own chain: overlong names, control characters. */
int rules_check(const struct rules_spec *spec, const char *network, struct err *err);

/* What iptables-save printed, one family. */
struct saved_chain {
	const char *name, *policy; /* policy NULL: not built in */
	const char **rules;        /* without "-A CHAIN " */
	size_t n_rules, cap_rules;
};
struct saved_jump {
	const char *from, *to, *match; /* match "" if there is none */
	const char *mark;              /* the comment */
	const char *line;              /* as printed, without "-A FROM " */
};
struct saved_table {
	const char *name;
	bool unreadable; /* holds what iptables-nft cannot show */
	struct saved_chain *chains;
	size_t n_chains, cap_chains;
	struct saved_jump *jumps; /* those with a mark of some weft, into chains of the form WEFT-x-y */
	size_t n_jumps, cap_jumps;
};
struct saved {
	struct arena *arena;
	struct saved_table *tables;
	size_t n_tables, cap_tables;
};
int saved_parse(const char *text, struct saved **ret, struct err *err);
struct saved *saved_free(struct saved *saved);
const struct saved_table *saved_find(const struct saved *saved, const char *table); /* NULL: not there */

/* What a resource looks like in a saved state; `want` (may be NULL) gives the order. */
void rules_observe(const struct saved *saved, const struct rules_key *key, const struct rules_spec *want,
		   struct observation *obs);

/* One change for the text below; want NULL: remove. */
struct rules_change {
	const struct rules_key *key;
	const struct rules_spec *want;
	const char *mark;
};
/* The text for iptables-restore --noflush that makes all changes of one family, NULL when nothing is to be done. Freed
 * by the caller. Chains that are as they should be are not mentioned. */
char *rules_render(const struct saved *saved, enum family family, const struct rules_change *changes, size_t n);

/* Does all of these operations in as few children as can be, and gives them back. */
void rules_run(struct op *ops);

#endif
