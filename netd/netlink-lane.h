/* SPDX-License-Identifier: Apache-2.0 */
/* The lane "netlink": carries operations on links, addresses and what else rtnetlink knows, on a thread of its own,
 * since one request may sit for seconds in the kernel. Operations go in through a queue, come back through an eventfd
 * on env.loop. Observations are answered from the cache; after every change the cache is brought up to date before the
 * operation is given back, and a fresh observation rides along. */
#ifndef WEFT_NETD_NETLINK_LANE_H
#define WEFT_NETD_NETLINK_LANE_H

#include "netd/netlink-batch.h"
#include "netd/netlink-cache.h"

/* What a class on this lane brings (resource_class.verbs). All run on the lane's thread and may use the operation, the
 * cache and the batch only. */
struct netlink_verbs {
	/* Asks for what observe() will look at and the cache does not hold by itself; NULL: nothing. Called for all
	 * operations of a round before the first observe(). */
	void (*watch)(struct netlink_cache *cache, const struct op *op);
	/* Fills op->obs from the cache, and watches what it depends on. */
	void (*observe)(struct netlink_cache *cache, struct op *op);
	/* CREATE, UPDATE, REMOVE: puts the messages into the batch. Returns 0, or -errno with op->err set: then nothing
	 * of it is sent. There is room for NETLINK_OP_MESSAGES; op->lane_data is free for settle(). What is to be done
	 * by other means (an ioctl) is done here. */
	int (*encode)(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op);
	/* Has the kernel done, and told, what it does by itself some time after its answer? NULL: there is no such
	 * thing. The lane listens to events until then, but not for long. */
	bool (*has_come)(const struct netlink_cache *cache, const struct op *op);
	/* After the answers came, with op->err as they left it; may be NULL. Called for every operation that encode()
	 * was called for. */
	void (*settle)(struct netlink_batch *batch, struct op *op);
	/* Removes several at once and sets their op->err; NULL: encode() each. Leaves nothing in the batch. */
	void (*remove_many)(struct netlink_batch *batch, struct netlink_cache *cache, struct op **ops, size_t n);
};

enum {
	NETLINK_OP_MESSAGES = 6,   /* that encode() may put for one operation */
	NETLINK_ROUND = 512,       /* operations that are worked on together */
	NETLINK_REMOVE_ROUND = 48, /* removals are slow: fewer, so that others get their turn */
	NETLINK_IN_FLIGHT = 128,   /* operations between encode() and settle(): bounds descriptors */
};

/* Needs env.loop. NULL and err if the kernel will not have it. */
struct lane *netd_netlink_lane_new(struct err *err);
/* The same with an event buffer of a given size, for tests of its overflow. */
struct lane *netd_netlink_lane_new_sized(int event_buffer_bytes, struct err *err);
/* How often events were lost so far. */
unsigned netd_netlink_lane_resyncs(struct lane *lane);

#endif
