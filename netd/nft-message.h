/* SPDX-License-Identifier: Apache-2.0 */
/* What the messages of one transaction of nftables did, and whose it was. Pure; nft-events.c listens. */
#ifndef WEFT_NETD_NFT_MESSAGE_H
#define WEFT_NETD_NFT_MESSAGE_H

#include <libmnl/libmnl.h>

#include "core/util.h"

enum nft_touched {
	NFT_TOUCHED_RULES = 1 << 0, /* a table that iptables-nft has */
	NFT_TOUCHED_PATH = 1 << 1,  /* any other */
	NFT_TOOK_RULES = 1 << 2,    /* something went from a table of the first sort */
};

struct nft_transaction {
	unsigned touched; /* enum nft_touched */
	/* Known at its end: the process, in the first pid namespace; 0 and "" if the kernel does not say. */
	int pid;
	char name[32]; /* plain ASCII */
};

/* Takes the next message; true when it ends the transaction. The one after it begins with a zeroed struct. */
bool nft_transaction_take(struct nft_transaction *transaction, const struct nlmsghdr *message);

#endif
