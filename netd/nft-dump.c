/* SPDX-License-Identifier: Apache-2.0 */
/* Asking nftables over libmnl; see nft-dump.h. */
#include "netd/nft-dump.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/time.h>

#include "netd/netlink-message.h"

enum { RECEIVE_MAX = 65536, DUMP_TRIES = 5 };

static void closesocketp(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
}
#define cleanup_socket cleanup(closesocketp)

/* The kernel answers at once; the timeout is for what nobody has thought of. */
static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct timeval timeout = {.tv_sec = 1};
	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(nl);
		nl = NULL;
	}
	if (nl)
		setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return nl;
}

static int nf_family(enum family family)
{
	return family == FAMILY_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

static struct nlmsghdr *put_header(char *buf, int type, uint16_t flags, int family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = (uint8_t)family;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

/* What mnl_cb_run() does with one message: MNL_CB_OK for more, MNL_CB_STOP at the end, -errno. */
static int take_message(const struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx)
{
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EINTR;
	if (nlh->nlmsg_type == NLMSG_DONE)
		return MNL_CB_STOP;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		if (nlh->nlmsg_len < mnl_nlmsg_size(sizeof(struct nlmsgerr)))
			return -EBADMSG;
		int code = netlink_error_code(mnl_nlmsg_get_payload(nlh));
		return code ? -code : MNL_CB_STOP;
	}
	return nlh->nlmsg_type >= NLMSG_MIN_TYPE ? cb(nlh, ctx) : MNL_CB_OK;
}

/* Runs cb over the messages of a datagram that are for this socket. */
static int take_datagram(struct mnl_socket *nl, const void *buf, int size, mnl_cb_t cb, void *ctx)
{
	int r = MNL_CB_OK;
	for (const struct nlmsghdr *nlh = buf; r == MNL_CB_OK && netlink_message_ok(nlh, size);
	     nlh = mnl_nlmsg_next(nlh, &size))
		if (mnl_nlmsg_portid_ok(nlh, mnl_socket_get_portid(nl)))
			r = take_message(nlh, cb, ctx);
	return r;
}

/* Sends one request and runs cb over the answer. */
static int ask(struct mnl_socket *nl, const struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx)
{
	cleanup_free char *buf = xcalloc(1, RECEIVE_MAX);
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl, buf, RECEIVE_MAX);
		if (n < 0)
			return -errno;
		int r = take_datagram(nl, buf, (int)n, cb, ctx);
		if (r <= 0)
			return r;
	}
}

static int on_generation(const struct nlmsghdr *nlh, void *ctx)
{
	const struct nlattr *attr;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attr) == NFTA_GEN_ID &&
								  mnl_attr_validate(attr, MNL_TYPE_U32) == 0) *
		(uint32_t *)ctx = ntohl(mnl_attr_get_u32(attr));
	return MNL_CB_STOP;
}

static int ask_generation(struct mnl_socket *nl, uint32_t *ret)
{
	char buf[256] = {0};
	return ask(nl, put_header(buf, NFT_MSG_GETGEN, 0, NFPROTO_UNSPEC), on_generation, ret);
}

static void take_text(char *to, size_t size, const struct nlattr *attr)
{
	snprintf(to, size, "%.*s", (int)mnl_attr_get_payload_len(attr), (const char *)mnl_attr_get_payload(attr));
}

static int on_table(const struct nlmsghdr *nlh, void *ctx)
{
	struct nft_chains *chains = ctx;
	struct nft_chain chain = {0};
	const struct nlattr *attr;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
		take_text(chain.table, sizeof(chain.table), attr);
	grow(chains->items, chains->n, chains->cap);
	chains->items[chains->n++] = chain;
	return MNL_CB_OK;
}

static int on_chain(const struct nlmsghdr *nlh, void *ctx)
{
	struct nft_chains *chains = ctx;
	struct nft_chain chain = {0};
	const struct nlattr *attr;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		switch (mnl_attr_get_type(attr)) {
		case NFTA_CHAIN_TABLE:
			take_text(chain.table, sizeof(chain.table), attr);
			break;
		case NFTA_CHAIN_NAME:
			take_text(chain.name, sizeof(chain.name), attr);
			break;
		case NFTA_CHAIN_HOOK:
			chain.base = true;
			break;
		case NFTA_CHAIN_POLICY:
			chain.drops = mnl_attr_validate(attr, MNL_TYPE_U32) == 0 &&
				      ntohl(mnl_attr_get_u32(attr)) != NF_ACCEPT;
			break;
		}
	}
	grow(chains->items, chains->n, chains->cap);
	chains->items[chains->n++] = chain;
	return MNL_CB_OK;
}

static int dump_chains(enum family family, struct nft_chains *ret)
{
	cleanup_socket struct mnl_socket *nl = open_socket();
	char buf[256] = {0};
	struct nft_chains chains = {0};
	if (!nl)
		return -errno;
	int r = ask_generation(nl, &chains.generation);
	if (r == 0)
		r = ask(nl, put_header(buf, NFT_MSG_GETTABLE, NLM_F_DUMP, nf_family(family)), on_table, &chains);
	if (r == 0)
		r = ask(nl, put_header(buf, NFT_MSG_GETCHAIN, NLM_F_DUMP, nf_family(family)), on_chain, &chains);
	if (r < 0)
		nft_chains_done(&chains);
	else
		*ret = chains;
	return r;
}

int nft_dump_chains(enum family family, struct nft_chains *ret)
{
	int r = -EINTR;
	/* A dump that somebody's change ran into says so. */
	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++)
		r = dump_chains(family, ret);
	return r;
}

void nft_chains_done(struct nft_chains *chains)
{
	free(chains->items);
	*chains = (struct nft_chains){0};
}

const struct nft_chain *nft_chains_find(const struct nft_chains *chains, const char *table, const char *name)
{
	for (size_t i = 0; i < chains->n; i++)
		if (streq(chains->items[i].table, table) && streq(chains->items[i].name, name))
			return &chains->items[i];
	return NULL;
}

static bool is_iptables_table(const char *name)
{
	static const char *const names[] = {"filter", "nat", "mangle", "raw", "security"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(name, names[i]))
			return true;
	return false;
}

static int on_rule(const struct nlmsghdr *nlh, void *ctx)
{
	const struct nlattr *attr;
	char table[32] = "";
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attr) == NFTA_RULE_TABLE)
		take_text(table, sizeof(table), attr);
	if (!is_iptables_table(table))
		return MNL_CB_OK;
	*(bool *)ctx = true;
	return MNL_CB_STOP;
}

bool nft_dump_counts_rules(enum family family)
{
	cleanup_socket struct mnl_socket *nl = open_socket();
	char buf[256] = {0};
	bool found = false;
	if (nl)
		ask(nl, put_header(buf, NFT_MSG_GETRULE, NLM_F_DUMP, nf_family(family)), on_rule, &found);
	return found;
}

/* BEGIN carries the generation that the change is based on; the kernel refuses it when there is a newer one. */
static void put_batch(struct mnl_nlmsg_batch *batch, uint16_t type, uint32_t generation)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(batch));
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(NFNL_SUBSYS_NFTABLES);
	if (type == NFNL_MSG_BATCH_BEGIN)
		mnl_attr_put_u32(nlh, NFNL_BATCH_GENID, htonl(generation));
	mnl_nlmsg_batch_next(batch);
}

static int on_ack(const struct nlmsghdr *nlh, void *ctx)
{
	return MNL_CB_STOP;
}

int nft_delete_empty(enum family family, const char *table, const char *name, uint32_t generation)
{
	cleanup_socket struct mnl_socket *nl = open_socket();
	if (!nl)
		return -errno;
	char buf[4096] = {0}, answer[8192];
	struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(buf, sizeof(buf) / 2);
	put_batch(batch, NFNL_MSG_BATCH_BEGIN, generation);
	/* NONREC: refuse with EBUSY what has rules, chains or references in it. */
	struct nlmsghdr *nlh = put_header(mnl_nlmsg_batch_current(batch), *name ? NFT_MSG_DELCHAIN : NFT_MSG_DELTABLE,
					  NLM_F_ACK | NLM_F_NONREC, nf_family(family));
	mnl_attr_put_strz(nlh, *name ? NFTA_CHAIN_TABLE : NFTA_TABLE_NAME, table);
	if (*name)
		mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, name);
	mnl_nlmsg_batch_next(batch);
	put_batch(batch, NFNL_MSG_BATCH_END, 0);
	ssize_t n = mnl_socket_sendto(nl, mnl_nlmsg_batch_head(batch), mnl_nlmsg_batch_size(batch));
	mnl_nlmsg_batch_stop(batch);
	if (n >= 0)
		n = mnl_socket_recvfrom(nl, answer, sizeof(answer));
	int r = n < 0 ? -errno : take_datagram(nl, answer, (int)n, on_ack, NULL);
	return r < 0 ? r : 0;
}
