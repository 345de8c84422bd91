/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as datagrams of nftables' events. Law: whose transaction it was can be written into an event. */
#include "netd/netlink-message.h"
#include "netd/nft-message.h"
#include "tests/fuzz/fuzz.h"

static void check_name(const struct nft_transaction *transaction)
{
	for (const char *c = transaction->name; *c; c++)
		require(*c >= ' ' && *c < 0x7f, "a process's name is plain");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nft_transaction transaction = {0};
	cleanup_free void *datagram = xcalloc(1, size + 1);
	int left = (int)size;
	memcpy(datagram, data, size);
	for (const struct nlmsghdr *m = datagram; netlink_message_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
		if (!nft_transaction_take(&transaction, m))
			continue;
		check_name(&transaction);
		transaction = (struct nft_transaction){0};
	}
	return 0;
}
