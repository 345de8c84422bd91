/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink-batch.h. */
#include "netd/netlink-batch.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { DUMP_TRIES = 5, DUMP_TIMEOUT_S = 10, REQUEST_BUFFER = 1024 * 1024 };

static void set_option(struct mnl_socket *socket, int option)
{
	int on = 1;
	/* An old kernel that lacks one still answers, only with less to say. */
	(void)mnl_socket_setsockopt(socket, option, &on, sizeof(on));
}

int netlink_batch_open(struct netlink_batch *batch, struct err *err)
{
	batch->seq = 1;
	batch->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!batch->socket)
		return err_errno(err, errno, "open a netlink socket");
	if (mnl_socket_bind(batch->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_errno(err, errno, "bind a netlink socket");
	set_option(batch->socket, NETLINK_EXT_ACK);
	set_option(batch->socket, NETLINK_CAP_ACK);
	set_option(batch->socket, NETLINK_GET_STRICT_CHK);
	int fd = mnl_socket_get_fd(batch->socket), size = REQUEST_BUFFER;
	struct timeval timeout = {.tv_sec = DUMP_TIMEOUT_S};
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return 0;
}

void netlink_batch_close(struct netlink_batch *batch)
{
	if (batch->socket)
		mnl_socket_close(batch->socket);
	batch->socket = NULL;
}

ssize_t netlink_receive(struct mnl_socket *socket, void *buf, size_t size, int flags)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t from_size = sizeof(from);
		ssize_t n = recvfrom(mnl_socket_get_fd(socket), buf, size, flags | MSG_TRUNC, (struct sockaddr *)&from,
				     &from_size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (from.nl_pid != 0)
			continue;
		return (size_t)n > size ? -EMSGSIZE : n;
	}
}

bool netlink_batch_has_room(const struct netlink_batch *batch, size_t n_messages)
{
	return batch->n + n_messages <= NETLINK_BATCH_MESSAGES &&
	       batch->used + n_messages * NETLINK_MESSAGE_MAX <= NETLINK_BATCH_SIZE;
}

struct nlmsghdr *netlink_batch_begin(struct netlink_batch *batch, struct op *op, uint16_t type, uint16_t flags)
{
	if (!netlink_batch_has_room(batch, 1))
		netlink_batch_send(batch);
	struct nlmsghdr *message = mnl_nlmsg_put_header(batch->buf + batch->used);
	if (batch->n == 0)
		batch->first = batch->seq;
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = batch->seq++;
	batch->ops[batch->n++] = op;
	return message;
}

void netlink_batch_end(struct netlink_batch *batch, struct nlmsghdr *message)
{
	batch->used += MNL_ALIGN(message->nlmsg_len);
}

void netlink_batch_cancel(struct netlink_batch *batch)
{
	batch->n--;
	batch->seq--;
}

/* The kernel's own words, if it had any. NETLINK_CAP_ACK keeps the request out of the answer, so the attributes come
 * right after the header; without that the request stands between. */
static const char *kernel_words(const struct nlmsghdr *message)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
	size_t skip = sizeof(*answer);
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(message->nlmsg_flags & NLM_F_CAPPED))
		skip += MNL_ALIGN(answer->msg.nlmsg_len) - sizeof(answer->msg);
	if (mnl_nlmsg_get_payload_len(message) < skip)
		return NULL;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, message,
			  skip) if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
				    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0) return mnl_attr_get_str(attr);
	return NULL;
}

static void set_error(struct op *op, int code, const char *words)
{
	if (op && !op->err.code)
		err_set(&op->err, code, "kernel: %s", words ? words : strerror(code));
}

bool netlink_batch_read(struct netlink_batch *batch, const void *data, int size)
{
	bool last = false;
	for (const struct nlmsghdr *m = data; netlink_message_ok(m, size); m = mnl_nlmsg_next(m, &size)) {
		uint32_t index = m->nlmsg_seq - batch->first;
		if (index >= batch->n)
			continue;
		if (m->nlmsg_type >= NLMSG_MIN_TYPE && batch->sink)
			batch->sink(batch->sink_ctx, m);
		if (m->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(m) < sizeof(struct nlmsgerr))
			continue;
		int code = netlink_error_code(mnl_nlmsg_get_payload(m));
		if (code)
			set_error(batch->ops[index], code, kernel_words(m));
		last |= index == batch->n - 1;
	}
	return last;
}

void netlink_batch_send(struct netlink_batch *batch)
{
	if (batch->n == 0)
		return;
	struct nlmsghdr *last = (void *)batch->buf;
	int left = (int)batch->used;
	for (size_t i = 1; i < batch->n; i++)
		last = mnl_nlmsg_next(last, &left);
	last->nlmsg_flags |= NLM_F_ACK;

	int code = 0;
	if (mnl_socket_sendto(batch->socket, batch->buf, batch->used) < 0)
		code = errno;
	while (!code) {
		/* The kernel has answered by the time sendmsg returns: what is not there will not come. */
		ssize_t n = netlink_receive(batch->socket, batch->answer, sizeof(batch->answer), MSG_DONTWAIT);
		if (n < 0)
			code = n == -EAGAIN ? ENOBUFS : (int)-n;
		else if (netlink_batch_read(batch, batch->answer, (int)n))
			break;
	}
	for (size_t i = 0; code && i < batch->n; i++)
		set_error(batch->ops[i], code, "the answer was lost");
	batch->n = 0;
	batch->used = 0;
}

/* What a round of a dump ended with. */
struct dump_end {
	bool done, interrupted;
	int error;
};

static void read_dump(struct netlink_batch *batch, int size, netlink_message_fn *fn, void *ctx, struct dump_end *end)
{
	for (const struct nlmsghdr *m = (void *)batch->answer; netlink_message_ok(m, size);
	     m = mnl_nlmsg_next(m, &size)) {
		if (m->nlmsg_seq != batch->first)
			continue;
		end->interrupted |= (m->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
		if (m->nlmsg_type == NLMSG_DONE) {
			end->done = true;
		} else if (m->nlmsg_type == NLMSG_ERROR) {
			end->done = true;
			if (mnl_nlmsg_get_payload_len(m) >= sizeof(struct nlmsgerr))
				end->error = -netlink_error_code(mnl_nlmsg_get_payload(m));
		} else {
			fn(ctx, m);
		}
	}
}

static void put_question(struct nlmsghdr *message, const struct netlink_question *question)
{
	if (question->type == RTM_GETLINK) {
		mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
		mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	} else if (question->type == RTM_GETROUTE) {
		struct rtmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
		header->rtm_family = question->family;
		if (question->link)
			mnl_attr_put_u32(message, RTA_OIF, (uint32_t)question->link);
	} else if (question->type == RTM_GETVLAN) {
		struct br_vlan_msg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
		header->family = AF_BRIDGE;
	} else if (question->type == RTM_GETNEIGH) {
		struct ndmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
		header->ndm_family = question->family;
		if (question->link)
			mnl_attr_put_u32(message, NDA_IFINDEX, (uint32_t)question->link);
	} else {
		struct ifaddrmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
		header->ifa_family = question->family;
		header->ifa_index = (uint32_t)question->link;
	}
}

static int dump_once(struct netlink_batch *batch, const struct netlink_question *question, struct dump_end *end)
{
	struct nlmsghdr *message = netlink_batch_begin(batch, NULL, question->type, NLM_F_DUMP);
	put_question(message, question);
	batch->n = 0;
	batch->used = 0;
	if (mnl_socket_sendto(batch->socket, message, message->nlmsg_len) < 0)
		return -errno;
	while (!end->done) {
		ssize_t n = netlink_receive(batch->socket, batch->answer, sizeof(batch->answer), 0);
		if (n < 0)
			return (int)n;
		read_dump(batch, (int)n, question->fn, question->ctx, end);
	}
	return end->error;
}

static const char *what_of(uint16_t type)
{
	switch (type) {
	case RTM_GETLINK:
		return "links";
	case RTM_GETROUTE:
		return "routes";
	case RTM_GETVLAN:
		return "VLANs";
	case RTM_GETNEIGH:
		return "forwarding entries";
	default:
		return "addresses";
	}
}

int netlink_ask(struct netlink_batch *batch, const struct netlink_question *question, struct err *err)
{
	uint16_t type = question->type;
	netlink_batch_send(batch);
	for (int i = 0; i < DUMP_TRIES; i++) {
		struct dump_end end = {0};
		int r = dump_once(batch, question, &end);
		if (r == -EOPNOTSUPP && type == RTM_GETVLAN)
			return 0; /* this kernel's bridges have none */
		if (r < 0)
			return err_errno(err, -r, "list the kernel's %s", what_of(type));
		if (!end.interrupted)
			break;
	}
	/* One that was interrupted every time is completed by the events that interrupted it. */
	return 0;
}

int netlink_ask_once(const struct netlink_question *question, struct err *err)
{
	struct netlink_batch *batch = xcalloc(1, sizeof(*batch)); /* too large for a stack */
	int r = netlink_batch_open(batch, err);
	if (r == 0)
		r = netlink_ask(batch, question, err);
	netlink_batch_close(batch);
	free(batch);
	return r;
}
