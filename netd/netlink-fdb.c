/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink-fdb.h. */
#include "netd/netlink-fdb.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <sys/socket.h>

static bool is_entry(const struct ndmsg *header)
{
	return header->ndm_family == AF_BRIDGE && header->ndm_flags & NTF_SELF && header->ndm_state & NUD_PERMANENT;
}

/* The same in the kernel, on all events of the socket: others than of neighbours pass. Halves of words are loaded as if
 * in network order. */
static int attach_filter(int fd)
{
	enum { AT_TYPE = offsetof(struct nlmsghdr, nlmsg_type) };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_ABS | BPF_H, AT_TYPE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWNEIGH), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELNEIGH), 0, 6),
		BPF_STMT(BPF_LD | BPF_ABS | BPF_B, NLMSG_HDRLEN + offsetof(struct ndmsg, ndm_family)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_BRIDGE, 0, 5),
		BPF_STMT(BPF_LD | BPF_ABS | BPF_B, NLMSG_HDRLEN + offsetof(struct ndmsg, ndm_flags)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NTF_SELF, 0, 3),
		BPF_STMT(BPF_LD | BPF_ABS | BPF_H, NLMSG_HDRLEN + offsetof(struct ndmsg, ndm_state)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htons(NUD_PERMANENT), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {ARRAY_SIZE(code), code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int subscribe(struct netlink_cache *cache, struct err *err)
{
	int group = RTNLGRP_NEIGH, r = attach_filter(mnl_socket_get_fd(cache->events));
	if (r < 0)
		return err_errno(err, -r, "filter the kernel's neighbour events");
	if (mnl_socket_setsockopt(cache->events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return err_errno(err, errno, "subscribe to the kernel's neighbour events");
	cache->fdb_subscribed = true;
	return 0;
}

static void take_message(void *ctx, const struct nlmsghdr *message)
{
	netlink_fdb_message(ctx, message);
}

static void sweep(struct netlink_link *link, uint32_t current)
{
	for (struct netlink_fdb **at = &link->fdb; *at;) {
		struct netlink_fdb *entry = *at;
		if (entry->sweep == current) {
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		free(entry);
	}
}

static int read_all(struct netlink_cache *cache, struct err *err)
{
	const struct netlink_question question = {
		.type = RTM_GETNEIGH, .family = AF_BRIDGE, .fn = take_message, .ctx = cache};
	cache->fdb_sweep++;
	int r = netlink_ask_once(&question, err);
	for (size_t i = 0; r == 0 && i < NETLINK_BUCKETS; i++)
		for (struct netlink_link *l = cache->by_index[i]; l; l = l->next_by_index)
			sweep(l, cache->fdb_sweep);
	return r;
}

/* Subscribed first and read then: what changes in between is told by an event that is taken later. */
int netlink_fdb_open(struct netlink_cache *cache, struct err *err)
{
	int r = 0;
	if (cache->fdb_known)
		return 0;
	if (!cache->fdb_subscribed)
		r = subscribe(cache, err);
	if (r == 0)
		r = read_all(cache, err);
	cache->fdb_known = r == 0;
	return r;
}

static struct netlink_fdb **find(struct netlink_link *link, const struct mac *mac, const struct ip *remote)
{
	struct netlink_fdb **at = &link->fdb;
	while (*at && (memcmp(&(*at)->mac, mac, sizeof(*mac)) != 0 || !ip_equal(&(*at)->remote, remote)))
		at = &(*at)->next;
	return at;
}

const struct netlink_fdb *netlink_fdb_find(const struct netlink_link *link, const struct mac *mac,
					   const struct ip *remote)
{
	return *find((struct netlink_link *)link, mac, remote);
}

static bool read_entry(const struct nlmsghdr *message, struct netlink_fdb *ret)
{
	const struct nlattr *attr;
	bool has_mac = false;
	mnl_attr_for_each(attr, message, sizeof(struct ndmsg))
	{
		size_t size = mnl_attr_get_payload_len(attr);
		if (mnl_attr_get_type(attr) == NDA_LLADDR && size == sizeof(ret->mac)) {
			memcpy(&ret->mac, mnl_attr_get_payload(attr), size);
			has_mac = true;
		} else if (mnl_attr_get_type(attr) == NDA_DST && (size == 4 || size == 16)) {
			ret->remote.family = size == 4 ? 4 : 6;
			memcpy(ret->remote.b, mnl_attr_get_payload(attr), size);
		}
	}
	return has_mac && ret->remote.family;
}

const char *netlink_fdb_key(const struct netlink_link *link, const struct netlink_fdb *entry,
			    char buf[static NETLINK_FDB_KEY])
{
	char mac[IP_TEXT], remote[IP_TEXT];
	snprintf(buf, NETLINK_FDB_KEY, "%s/%s/%s", link->name, mac_text(&entry->mac, mac),
		 ip_text(&entry->remote, remote));
	return buf;
}

static void mark(struct netlink_cache *cache, const struct netlink_link *link, const struct netlink_fdb *entry)
{
	char key[NETLINK_FDB_KEY];
	if (netlink_watches(cache, link->name) & NETLINK_WATCH_FDB)
		netlink_mark_dirty(cache, "fdb", netlink_fdb_key(link, entry, key));
}

void netlink_fdb_message(struct netlink_cache *cache, const struct nlmsghdr *message)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct netlink_fdb entry = {0};
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header) || !is_entry(header) || !read_entry(message, &entry))
		return;
	struct netlink_link *link = netlink_link_by_index(cache, header->ndm_ifindex);
	if (!link)
		return;
	struct netlink_fdb **at = find(link, &entry.mac, &entry.remote), *known = *at;
	if (message->nlmsg_type == RTM_DELNEIGH && known) {
		*at = known->next;
		free(known);
		mark(cache, link, &entry);
	} else if (message->nlmsg_type == RTM_NEWNEIGH && known) {
		known->sweep = cache->fdb_sweep;
	} else if (message->nlmsg_type == RTM_NEWNEIGH) {
		*at = xcalloc(1, sizeof(**at));
		entry.sweep = cache->fdb_sweep;
		**at = entry;
		mark(cache, link, &entry);
	}
}

void netlink_fdb_forget(struct netlink_link *link)
{
	for (struct netlink_fdb *entry = link->fdb, *next; entry; entry = next) {
		next = entry->next;
		free(entry);
	}
	link->fdb = NULL;
}

void netlink_fdb_distrust(struct netlink_cache *cache)
{
	if (cache->fdb_known)
		netlink_mark_dirty(cache, "fdb", NULL);
	cache->fdb_known = false;
}
