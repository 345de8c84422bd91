/* SPDX-License-Identifier: Apache-2.0 */
/* Does somebody's nftables ruleset drop what a network lives on? An ACCEPT of ours in iptables' tables does not beat a
 * drop in another table, so the ruleset is followed for a few packets (a DHCP request, a guest's first packet out,
 * ...). What cannot be known is taken to pass. Pure. */
#ifndef WEFT_NETD_NFT_PATH_H
#define WEFT_NETD_NFT_PATH_H

#include <jansson.h>

#include "core/value.h"

struct nft_path {
	const char *bridge;
	struct list prefixes; /* struct ip_prefix */
	bool dhcp;            /* DHCP is served on the bridge */
	bool forward;         /* guests reach what is beyond the host */
};

struct nft_ruleset;
/* Reads the output of `nft -j -t list ruleset`. */
int nft_ruleset_parse(const char *text, size_t size, struct nft_ruleset **ret, struct err *err);
struct nft_ruleset *nft_ruleset_free(struct nft_ruleset *ruleset);
/* A sentence that names table and chain and says what to do, NULL if nothing is known to be dropped. */
const char *nft_path_fault(const struct nft_ruleset *ruleset, const struct nft_path *path, struct arena *arena);

#endif
