/* SPDX-License-Identifier: Apache-2.0 */
/* Listens to nftables. The kernel multicasts what a transaction did and ends it with a message that has the new
 * generation, and the id and name of the process whose doing it was. Changes of our own children are ignored; others
 * mark classes dirty, gathered over a short while, and if they took rules away, who it was is kept for the repair's
 * event. iptables-legacy sends nothing. */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "netd/firewall-backend.h"
#include "netd/firewall.h"

enum {
	RECEIVE_SIZE = 65536,
	MESSAGES_A_TURN = 64,
	DELAY_MS = 20,       /* after a quiet time: a flush and a reload make several transactions */
	DELAY_BUSY_MS = 250, /* while somebody keeps changing things */
	QUIET_MS = 1000,
	RIVAL_MS = 10000,
	OWN_MAX = 32,
	OWN_MS = 30000,
};

enum touched { TOUCHED_RULES = 1 << 0, TOUCHED_PATH = 1 << 1, TOOK_RULES = 1 << 2 };

static struct {
	struct mnl_socket *socket;
	sd_event_source *io, *timer;
	firewall_changed_fn *fn;
	void *ctx;
	unsigned transaction; /* enum touched: of the transaction whose end has not come yet */
	unsigned pending;     /* to be told */
	uint64_t told_ms;
	struct {
		int pid;
		uint64_t ms;
	} own[OWN_MAX];
	size_t next_own;
	char rival[64];
	uint64_t rival_ms;
} events;

void nft_events_own(int pid)
{
	if (pid <= 0)
		return;
	events.own[events.next_own].pid = pid;
	events.own[events.next_own].ms = now_ms();
	events.next_own = (events.next_own + 1) % OWN_MAX;
}

/* The kernel names processes by the ids of the first pid namespace; elsewhere a name and a recent child of ours must
 * do. */
static bool has_global_pids(void)
{
	char target[64], expected[64];
	ssize_t n = readlink("/proc/self/ns/pid", target, sizeof(target) - 1);
	if (n < 0)
		return true;
	target[n] = '\0';
	snprintf(expected, sizeof(expected), "pid:[%u]", 0xEFFFFFFCU);
	return streq(target, expected);
}

static bool is_own(int pid, const char *name)
{
	bool by_name = !has_global_pids() && strstr(name, "tables-nft-r");
	for (size_t i = 0; i < OWN_MAX; i++) {
		if (!events.own[i].pid || now_ms() - events.own[i].ms > OWN_MS)
			continue;
		if (by_name || events.own[i].pid == pid)
			return true;
	}
	return false;
}

const char *netd_firewall_last_rival(void)
{
	return *events.rival && now_ms() - events.rival_ms < RIVAL_MS ? events.rival : NULL;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	unsigned pending = events.pending;
	events.pending = 0;
	events.told_ms = now_ms();
	if (pending & TOUCHED_RULES)
		events.fn(events.ctx, "rules");
	if (pending & TOUCHED_PATH)
		events.fn(events.ctx, "firewall-path");
	return 0;
}

static void tell_soon(unsigned touched)
{
	unsigned before = events.pending;
	events.pending |= touched;
	if (before || !events.pending)
		return;
	unsigned delay = now_ms() - events.told_ms > QUIET_MS ? DELAY_MS : DELAY_BUSY_MS;
	if (sd_event_source_set_time_relative(events.timer, (uint64_t)delay * 1000) < 0 ||
	    sd_event_source_set_enabled(events.timer, SD_EVENT_ONESHOT) < 0)
		abort(); /* the arguments are right and the source exists */
}

static bool is_iptables_table(const char *name)
{
	static const char *const names[] = {"filter", "nat", "mangle", "raw", "security"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(name, names[i]))
			return true;
	return false;
}

/* A table, chain or rule came or went. In all of these messages the first attribute is the table's name. */
static void on_object(const struct nlmsghdr *nlh, bool gone)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	char table[64] = "";
	mnl_attr_for_each(attr, nlh, sizeof(*nfg)) if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
		snprintf(table, sizeof(table), "%.*s", (int)mnl_attr_get_payload_len(attr),
			 (const char *)mnl_attr_get_payload(attr));
	bool ours = nfg->nfgen_family == NFPROTO_IPV4 || nfg->nfgen_family == NFPROTO_IPV6;
	if (ours && is_iptables_table(table))
		events.transaction |= TOUCHED_RULES | (gone ? TOOK_RULES : 0);
	else
		events.transaction |= TOUCHED_PATH;
}

/* The end of a transaction: whose was it? */
static void on_generation(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;
	unsigned touched = events.transaction;
	char name[32] = "";
	int pid = 0;
	events.transaction = 0;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_PID && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			pid = (int)ntohl(mnl_attr_get_u32(attr));
		else if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_NAME)
			snprintf(name, sizeof(name), "%.*s", (int)mnl_attr_get_payload_len(attr),
				 (const char *)mnl_attr_get_payload(attr));
	}
	if (!touched || is_own(pid, name))
		return;
	if (touched & TOOK_RULES) {
		snprintf(events.rival, sizeof(events.rival), "%s (pid %d)", *name ? name : "an unnamed process", pid);
		events.rival_ms = now_ms();
	}
	tell_soon(touched & ~(unsigned)TOOK_RULES);
}

static int on_message(const struct nlmsghdr *nlh, void *ctx)
{
	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
		return MNL_CB_OK;
	switch (nlh->nlmsg_type & 0xff) {
	case NFT_MSG_NEWTABLE:
	case NFT_MSG_NEWCHAIN:
	case NFT_MSG_NEWRULE:
		on_object(nlh, false);
		break;
	case NFT_MSG_DELTABLE:
	case NFT_MSG_DELCHAIN:
	case NFT_MSG_DELRULE:
		on_object(nlh, true);
		break;
	case NFT_MSG_NEWGEN:
		on_generation(nlh);
		break;
	}
	return MNL_CB_OK;
}

/* A bounded number a turn: what is left makes the loop come back. */
static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	static char buf[RECEIVE_SIZE];
	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		ssize_t n = mnl_socket_recvfrom(events.socket, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			/* ENOBUFS, or ENOSPC for a message that was cut: something was lost, so anything may have
			 * changed. */
			events.transaction = 0;
			tell_soon(TOUCHED_RULES | TOUCHED_PATH);
			return 0;
		}
		mnl_cb_run(buf, (size_t)n, 0, 0, on_message, NULL);
	}
	return 0;
}

static int open_events(struct err *err)
{
	int group = NFNLGRP_NFTABLES;
	events.socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!events.socket || mnl_socket_bind(events.socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(events.socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return err_errno(err, errno, "listen to nftables");
	int size = 1 << 20;
	setsockopt(mnl_socket_get_fd(events.socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	int r = sd_event_add_io(env.loop, &events.io, mnl_socket_get_fd(events.socket), EPOLLIN, on_readable, NULL);
	if (r >= 0)
		r = sd_event_add_time(env.loop, &events.timer, CLOCK_BOOTTIME, 0, 1000, on_timer, NULL);
	if (r >= 0)
		r = sd_event_source_set_enabled(events.timer, SD_EVENT_OFF);
	return r < 0 ? err_errno(err, -r, "listen to nftables") : 0;
}

int nft_events_start(firewall_changed_fn *fn, void *ctx, struct err *err)
{
	int r = open_events(err);
	if (r < 0) {
		nft_events_stop();
		return r;
	}
	events.fn = fn;
	events.ctx = ctx;
	return 0;
}

void nft_events_stop(void)
{
	events.io = sd_event_source_disable_unref(events.io);
	events.timer = sd_event_source_disable_unref(events.timer);
	if (events.socket)
		mnl_socket_close(events.socket);
	memset(&events, 0, sizeof(events));
}
