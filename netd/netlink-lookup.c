/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink-lookup.h. */
#include "netd/netlink-lookup.h"

#include <linux/if_link.h>
#include <sys/socket.h>

static struct {
	struct mnl_socket *socket; /* NULL: not asked yet */
	uint32_t seq;
	_Alignas(16) char question[256];
	_Alignas(16) char answer[64 * 1024]; /* room for a link with all its attributes */
} lookup;

struct listener {
	netlink_message_fn *fn;
	void *ctx;
};

static int take_answer(const struct nlmsghdr *message, void *data)
{
	const struct listener *listener = data;
	listener->fn(listener->ctx, message);
	return MNL_CB_OK;
}

static int open_socket(void)
{
	if (lookup.socket)
		return 0;
	lookup.socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!lookup.socket)
		return -errno;
	if (mnl_socket_bind(lookup.socket, 0, MNL_SOCKET_AUTOPID) == 0)
		return 0;
	int r = -errno;
	netlink_lookup_stop();
	return r;
}

static struct nlmsghdr *begin(uint16_t type)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(lookup.question);
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST;
	message->nlmsg_seq = ++lookup.seq;
	return message;
}

static int ask(const struct nlmsghdr *message, netlink_message_fn *fn, void *ctx)
{
	int r = open_socket();
	if (r < 0)
		return r;
	if (mnl_socket_sendto(lookup.socket, message, message->nlmsg_len) < 0)
		return -errno;
	const struct nlmsghdr *answer = (const void *)lookup.answer;
	ssize_t n;
	do { /* one to an earlier question, which an error kept from being read, must not be taken for this one's */
		n = netlink_receive(lookup.socket, lookup.answer, sizeof(lookup.answer), 0);
		if (n < 0)
			return (int)n;
	} while ((size_t)n >= sizeof(*answer) && answer->nlmsg_seq != message->nlmsg_seq);
	struct listener listener = {fn, ctx};
	return mnl_cb_run(lookup.answer, (size_t)n, message->nlmsg_seq, 0, take_answer, &listener) < 0 ? -ENOENT : 0;
}

int netlink_lookup_route(const struct ip *to, unsigned flags, netlink_message_fn *fn, void *ctx)
{
	struct nlmsghdr *message = begin(RTM_GETROUTE);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
	uint16_t size = to->family == 4 ? 4 : 16;
	route->rtm_family = to->family == 4 ? AF_INET : AF_INET6;
	route->rtm_dst_len = (uint8_t)(size * 8);
	route->rtm_flags = flags;
	mnl_attr_put(message, RTA_DST, size, to->b);
	return ask(message, fn, ctx);
}

int netlink_lookup_link(unsigned index, netlink_message_fn *fn, void *ctx)
{
	struct nlmsghdr *message = begin(RTM_GETLINK);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
	link->ifi_index = (int)index;
	return ask(message, fn, ctx);
}

void netlink_lookup_stop(void)
{
	if (lookup.socket)
		mnl_socket_close(lookup.socket);
	lookup.socket = NULL;
}
