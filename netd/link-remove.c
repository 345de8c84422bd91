/* SPDX-License-Identifier: Apache-2.0 */
/* Removing many links at once. One by one each waits about 20 ms for the kernel's grace periods; by group they wait
 * together. The group is a random number that no link has, set just before, so that nothing else goes along. */
#include <linux/if_link.h>
#include <sys/random.h>

#include "netd/link.h"
#include "netd/netlink-kept.h"

enum { GROUP_WORTH = 4 }; /* fewer are removed one by one */

static uint32_t free_group(const struct netlink_cache *cache)
{
	uint32_t group = 0;
	/* 0 is everybody's group. Small numbers are what people choose. */
	while (group < 1 << 16 || netlink_group_used(cache, group))
		if (getrandom(&group, sizeof(group), GRND_NONBLOCK) != sizeof(group))
			group = (uint32_t)now_ms() * 2654435761u;
	return group;
}

static void put_group(struct netlink_batch *batch, struct op *op, int index, uint32_t group)
{
	struct nlmsghdr *message = netlink_batch_begin(batch, op, RTM_SETLINK, 0);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->ifi_index = index;
	mnl_attr_put_u32(message, IFLA_GROUP, group);
	netlink_batch_end(batch, message);
}

static void delete_group(struct netlink_batch *batch, struct op *whose, uint32_t group)
{
	struct nlmsghdr *message = netlink_batch_begin(batch, whose, RTM_DELLINK, 0);
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	mnl_attr_put_u32(message, IFLA_GROUP, group);
	netlink_batch_end(batch, message);
	netlink_batch_send(batch);
}

/* One that the kernel will not remove (it has no way to) makes it refuse the whole group, before any is gone. */
static void remove_each(struct netlink_batch *batch, struct netlink_cache *cache, struct op **ops, size_t n)
{
	(void)netlink_cache_drain(cache, batch, NULL);
	for (size_t i = 0; i < n; i++) {
		ops[i]->err = (struct err){0};
		link_encode_remove(batch, cache, ops[i]);
	}
	netlink_batch_send(batch);
}

void link_remove_many(struct netlink_batch *batch, struct netlink_cache *cache, struct op **ops, size_t n)
{
	if (n < GROUP_WORTH) {
		remove_each(batch, cache, ops, n);
		return;
	}
	const struct netlink_link **uppers;
	size_t n_uppers = link_foreign_uppers(cache, &uppers);
	uint32_t group = free_group(cache);
	struct op probe = {0};
	for (size_t i = 0; i < n; i++) {
		const struct netlink_link *link = link_to_remove(cache, ops[i]);
		if (!link || link_refuse_upper(cache, link, uppers, n_uppers, &ops[i]->err) < 0)
			continue;
		if (ops[i]->anew)
			netlink_kept_take(cache, batch, link);
		put_group(batch, ops[i], link->index, group);
	}
	free(uppers);
	netlink_batch_send(batch);
	delete_group(batch, &probe, group);
	if (probe.err.code)
		remove_each(batch, cache, ops, n);
}
