/* SPDX-License-Identifier: Apache-2.0 */
/* The class "fdb": where a tunnel sends frames for a MAC, key LINK/MAC/ADDRESS. The MAC of all zeros stands for those
 * whose place is not known: one such entry a host makes the list that is flooded. Nothing in the kernel says who made
 * one, so the engine's records have to do. */
#include <linux/neighbour.h>

#include "netd/netlink-fdb.h"
#include "netd/netlink-lane.h"
#include "netd/netlink-rows.h"

struct fdb_spec {
	uint64_t present;
	uint32_t ifindex;
};
static const struct field fdb_rows[] = {
	F_U32("ifindex", struct fdb_spec, ifindex, .flags = FIELD_STATUS, .doc = "The kernel's number of the link."),
};
static const struct table fdb_table = TABLE("fdb", struct fdb_spec, fdb_rows);

struct fdb_key {
	char link[IFNAMSIZ];
	struct mac mac;
	struct ip remote;
};

static int parse_key(const char *key, struct fdb_key *ret, struct err *err)
{
	char mac[18];
	const char *slash = strchr(key, '/'), *last = strrchr(key, '/');
	bool whole = slash && slash != key && slash - key < IFNAMSIZ && last - slash == sizeof(mac);
	if (whole) {
		snprintf(mac, sizeof(mac), "%s", slash + 1);
		snprintf(ret->link, sizeof(ret->link), "%.*s", (int)(slash - key), key);
	}
	if (!whole || mac_parse(mac, &ret->mac) < 0 || ip_parse(last + 1, &ret->remote) < 0)
		return err_set(err, EINVAL, "'%s' is not LINK/MAC/ADDRESS", key);
	return 0;
}

static void observe(struct netlink_cache *cache, struct op *op)
{
	struct fdb_key key;
	struct err err = {0};
	if (parse_key(op->key, &key, &op->err) < 0)
		return;
	if (netlink_fdb_open(cache, &err) < 0) {
		if (!op->err.code)
			op->err = err;
		return;
	}
	netlink_cache_watch(cache, key.link, NETLINK_WATCH_FDB);
	const struct netlink_link *link = netlink_link_by_name(cache, key.link);
	const struct netlink_fdb *entry = link ? netlink_fdb_find(link, &key.mac, &key.remote) : NULL;
	struct fdb_spec *seen = observation_begin(&op->obs, op->class, entry != NULL);
	if (!entry)
		return;
	op->obs.owner = OWNER_UNKNOWN;
	op->obs.incarnation = (uint64_t)link->index;
	seen->ifindex = (uint32_t)link->index;
	set_present(seen, 0);
}

static int encode(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	struct fdb_key key;
	int r = parse_key(op->key, &key, &op->err);
	if (r < 0)
		return r;
	const struct netlink_link *link = netlink_link_by_name(cache, key.link);
	if (!link && op->verb == OP_REMOVE)
		return 0;
	if (!link)
		return err_set(&op->err, ENODEV, "link '%s' does not exist", key.link);
	bool removed = op->verb == OP_REMOVE;
	struct nlmsghdr *message = netlink_batch_begin(batch, op, removed ? RTM_DELNEIGH : RTM_NEWNEIGH,
						       removed ? 0 : NLM_F_CREATE | NLM_F_APPEND);
	struct ndmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->ndm_family = AF_BRIDGE;
	header->ndm_ifindex = link->index;
	header->ndm_state = NUD_NOARP | NUD_PERMANENT;
	header->ndm_flags = NTF_SELF;
	mnl_attr_put(message, NDA_LLADDR, sizeof(key.mac), &key.mac);
	mnl_attr_put(message, NDA_DST, key.remote.family == 4 ? 4 : 16, key.remote.b);
	netlink_batch_end(batch, message);
	return 0;
}

static const struct netlink_verbs fdb_verbs = {.observe = observe, .encode = encode};

static const struct errno_rule fdb_errnos[] = {
	{OP_CREATE, ENODEV, ANSWER_WAIT}, {OP_CREATE, ENOMEM, ANSWER_RETRY}, {OP_REMOVE, ENOENT, ANSWER_DONE},
	{OP_REMOVE, ENODEV, ANSWER_DONE}, {OP_REMOVE, ENOMEM, ANSWER_RETRY},
};

extern const struct resource_class netd_fdb_class;
const struct resource_class netd_fdb_class = {
	.name = "fdb",
	.doc = "A host to which a tunnel sends frames for a MAC; its key is LINK/MAC/ADDRESS.",
	.table = &fdb_table,
	.lane = "netlink",
	.verbs = &fdb_verbs,
	.flags = CLASS_TRANSACTIONAL,
	.rules = fdb_errnos,
	.n_rules = ARRAY_SIZE(fdb_errnos),
};
