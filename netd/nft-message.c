/* SPDX-License-Identifier: Apache-2.0 */
/* See nft-message.h. The kernel multicasts what a transaction did and ends it with a message that has the new
 * generation, and the id and name of the process whose doing it was. */
#include "netd/nft-message.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

static bool is_iptables_table(const char *name)
{
	static const char *const names[] = {"filter", "nat", "mangle", "raw", "security"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(name, names[i]))
			return true;
	return false;
}

static void take_text(const struct nlattr *attr, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", (int)mnl_attr_get_payload_len(attr), (const char *)mnl_attr_get_payload(attr));
}

/* A table, chain or rule came or went. In all of these messages the first attribute is the table's name. */
static void take_object(struct nft_transaction *transaction, const struct nlmsghdr *message, bool gone)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	char table[64] = "";
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			take_text(attr, table, sizeof(table));
	}
	bool ours = header->nfgen_family == NFPROTO_IPV4 || header->nfgen_family == NFPROTO_IPV6;
	if (ours && is_iptables_table(table))
		transaction->touched |= NFT_TOUCHED_RULES | (gone ? NFT_TOOK_RULES : 0);
	else
		transaction->touched |= NFT_TOUCHED_PATH;
}

/* A process may call itself anything, and its name ends in events. */
static void take_end(struct nft_transaction *transaction, const struct nlmsghdr *message)
{
	const struct nlattr *attr;
	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_PID && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			transaction->pid = (int)ntohl(mnl_attr_get_u32(attr));
		else if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_NAME)
			take_text(attr, transaction->name, sizeof(transaction->name));
	}
	for (char *c = transaction->name; *c; c++)
		if (*c < ' ' || *c >= 0x7f)
			*c = '?';
}

bool nft_transaction_take(struct nft_transaction *transaction, const struct nlmsghdr *message)
{
	if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg))
		return false;
	switch (message->nlmsg_type & 0xff) {
	case NFT_MSG_NEWTABLE:
	case NFT_MSG_NEWCHAIN:
	case NFT_MSG_NEWRULE:
		take_object(transaction, message, false);
		return false;
	case NFT_MSG_DELTABLE:
	case NFT_MSG_DELCHAIN:
	case NFT_MSG_DELRULE:
		take_object(transaction, message, true);
		return false;
	case NFT_MSG_NEWGEN:
		take_end(transaction, message);
		return true;
	}
	return false;
}
