/* SPDX-License-Identifier: Apache-2.0 */
/* Listens to nftables; what its messages say is in nft-message.c. Changes of our own children are ignored; others mark
 * classes dirty, gathered over a short while, and if they took rules away, who it was is kept for the repair's event.
 * iptables-legacy sends nothing. */
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "netd/firewall-backend.h"
#include "netd/firewall.h"
#include "netd/netlink-batch.h"
#include "netd/nft-message.h"

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

static struct {
	struct mnl_socket *socket;
	sd_event_source *io, *timer;
	firewall_changed_fn *fn;
	void *ctx;
	struct nft_transaction transaction; /* whose end has not come yet */
	unsigned pending;                   /* enum nft_touched: to be told */
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
	if (pending & NFT_TOUCHED_RULES)
		events.fn(events.ctx, "rules");
	if (pending & NFT_TOUCHED_PATH)
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

/* The end of a transaction: whose was it? */
static void on_transaction(const struct nft_transaction *transaction)
{
	const char *name = *transaction->name ? transaction->name : "an unnamed process";
	if (!transaction->touched || is_own(transaction->pid, transaction->name))
		return;
	if (transaction->touched & NFT_TOOK_RULES) {
		snprintf(events.rival, sizeof(events.rival), "%s (pid %d)", name, transaction->pid);
		events.rival_ms = now_ms();
	}
	tell_soon(transaction->touched & ~(unsigned)NFT_TOOK_RULES);
}

static void read_datagram(const void *data, int size)
{
	for (const struct nlmsghdr *m = data; netlink_message_ok(m, size); m = mnl_nlmsg_next(m, &size)) {
		if (!nft_transaction_take(&events.transaction, m))
			continue;
		on_transaction(&events.transaction);
		events.transaction = (struct nft_transaction){0};
	}
}

/* A bounded number a turn: what is left makes the loop come back. */
static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	static _Alignas(16) char buf[RECEIVE_SIZE];
	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		ssize_t n = netlink_receive(events.socket, buf, sizeof(buf), MSG_DONTWAIT);
		if (n == -EAGAIN)
			return 0;
		if (n <= 0) {
			/* ENOBUFS, or a message that was cut: something was lost, so anything may have changed. */
			events.transaction = (struct nft_transaction){0};
			tell_soon(NFT_TOUCHED_RULES | NFT_TOUCHED_PATH);
			return 0;
		}
		read_datagram(buf, (int)n);
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
