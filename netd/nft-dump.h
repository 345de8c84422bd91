/* SPDX-License-Identifier: Apache-2.0 */
/* What nftables holds in the families and tables that iptables-nft uses: looked at, and emptied of what is of no use,
 * over netlink. Answers come from the kernel at once. */
#ifndef WEFT_NETD_NFT_DUMP_H
#define WEFT_NETD_NFT_DUMP_H

#include "netd/rules.h"

struct nft_chain {
	char table[32], name[64]; /* name "": the table itself */
	bool base, drops;         /* base chain; its policy is not ACCEPT */
};
struct nft_chains {
	struct nft_chain *items;
	size_t n, cap;
	uint32_t generation; /* the ruleset's, before it was looked at */
};
/* Tables and chains of a family. Returns 0 or -errno; free with nft_chains_done(). */
int nft_dump_chains(enum family family, struct nft_chains *ret);
void nft_chains_done(struct nft_chains *chains);
const struct nft_chain *nft_chains_find(const struct nft_chains *chains, const char *table, const char *name);
bool nft_dump_counts_rules(enum family family);
/* Deletes a base chain, or a table (name ""), if it is empty and the ruleset is still of this generation. Returns 0 or
 * -errno: -EBUSY when something is in it, -ERESTART when somebody changed something. May take tens of milliseconds. */
int nft_delete_empty(enum family family, const char *table, const char *name, uint32_t generation);

#endif
