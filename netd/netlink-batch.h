/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to rtnetlink, many messages a sendmsg. Each message belongs to an operation; what the kernel answers is
 * mapped back by its sequence number. A batch is no transaction: messages after a failed one are executed. Only the
 * last message asks for an acknowledgement, since errors are always answered and the kernel works in order: so a
 * thousand messages cost one answer and not a thousand. */
#ifndef WEFT_NETD_NETLINK_BATCH_H
#define WEFT_NETD_NETLINK_BATCH_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "core/resource.h"
#include "netd/netlink-message.h"

enum {
	NETLINK_BATCH_SIZE = 64 * 1024,
	NETLINK_MESSAGE_MAX = 4096, /* no message of ours is longer */
	NETLINK_BATCH_MESSAGES = 256,
};

typedef void netlink_message_fn(void *ctx, const struct nlmsghdr *message);

struct netlink_batch {
	struct mnl_socket *socket;
	netlink_message_fn *sink; /* gets what requests in the batch ask for (RTM_GETADDR and the like) */
	void *sink_ctx;
	uint32_t seq;   /* of the next message */
	uint32_t first; /* of the first message in the buffer */
	struct op *ops[NETLINK_BATCH_MESSAGES];
	size_t n;
	size_t used;
	_Alignas(16) char buf[NETLINK_BATCH_SIZE];
	_Alignas(16) char answer[NETLINK_BATCH_SIZE];
};

int netlink_batch_open(struct netlink_batch *batch, struct err *err);
void netlink_batch_close(struct netlink_batch *batch);

/* Is there room for so many more messages? The messages of one operation go in one sendmsg, so its encoder asks
 * once. */
bool netlink_batch_has_room(const struct netlink_batch *batch, size_t n_messages);
/* Begins a message for an operation (which may be NULL: nobody minds its failure). After the header and the attributes
 * were put, end it. */
struct nlmsghdr *netlink_batch_begin(struct netlink_batch *batch, struct op *op, uint16_t type, uint16_t flags);
void netlink_batch_end(struct netlink_batch *batch, struct nlmsghdr *message);
/* Takes back a message that was begun and not ended. */
void netlink_batch_cancel(struct netlink_batch *batch);
/* Sends what is in the buffer and reads the answers; the first error of an operation goes to op->err, "kernel: <what it
 * said>". */
void netlink_batch_send(struct netlink_batch *batch);

/* Reads one datagram of answers into the operations; true when the acknowledgement of the last message was among
 * them. */
bool netlink_batch_read(struct netlink_batch *batch, const void *data, int size);

/* Reads everything of a sort, calling fn for each message. */
struct netlink_question {
	uint16_t type;  /* RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETVLAN, RTM_GETNEIGH */
	uint8_t family; /* of addresses, routes and neighbours; 0: all */
	int link;       /* only what stands on this one; 0: all. Old kernels tell all the same */
	netlink_message_fn *fn;
	void *ctx;
};
int netlink_ask(struct netlink_batch *batch, const struct netlink_question *question, struct err *err);
/* The same by a socket of its own, for who has no batch. */
int netlink_ask_once(const struct netlink_question *question, struct err *err);

/* Receives from the kernel only: what other processes send to our port is dropped. Returns bytes or -errno. */
ssize_t netlink_receive(struct mnl_socket *socket, void *buf, size_t size, int flags);

#endif
