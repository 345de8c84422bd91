/* SPDX-License-Identifier: Apache-2.0 */
/* The class "link": a network interface, key NAME. Rows that every link has are in struct link_spec; what only one kind
 * of link has is in three variants that the link kind brings (one file each, link-KIND.c): `fixed` cannot change while
 * the link lives, `paused` only while it is down, `info` at any time.
 *
 * A want without the row `kind` is about a link that somebody else made (a NIC as a bridge's port): its rows are set,
 * it is never made, removed or marked. */
#ifndef WEFT_NETD_LINK_H
#define WEFT_NETD_LINK_H

#include "core/lower.h"
#include "netd/netlink-lane.h"
#include "netd/netlink-rows.h"

/* The rows, in the order of the table. */
enum {
	LINK_KIND,
	LINK_MAC,
	LINK_MTU,
	LINK_UP,
	LINK_MASTER,
	LINK_PORT,
	LINK_VLANS,
	LINK_LINK,
	LINK_UNDERLAY,
	LINK_FIXED,
	LINK_PAUSED,
	LINK_INFO,
	LINK_IFINDEX,
	LINK_OPERSTATE,
	LINK_CARRIER,
};

/* What it is as a port of a bridge: link-port.c. */
struct link_port {
	uint64_t present;
	bool isolated, learning, flood, multicast_flood, broadcast_flood, multicast_to_unicast, hairpin, neigh_suppress;
	bool bpdu_guard, root_block, fast_leave;
	uint32_t priority, cost;
};
extern const struct table link_port_table;

/* The VLANs of a port of a bridge, or of a bridge's own end: all of them, so that what is in none of the two lists does
 * not pass. */
struct link_vlans {
	uint64_t present;
	uint32_t pvid;                 /* 0: none */
	const char *untagged, *tagged; /* scalar_vlans */
};
extern const struct table link_vlans_table;

struct link_spec {
	uint64_t present;
	const char *kind; /* name of a link kind; as observed, also any other that the kernel has */
	struct mac mac;
	uint32_t mtu;
	bool up;
	const char *master;   /* "" for none */
	const char *link;     /* what it stands on, and goes with; it cannot change */
	const char *underlay; /* what its packets leave by, "" for whatever the routes say; it can */
	struct link_port port;
	struct link_vlans vlans;
	void *fixed, *paused, *info; /* as the kind says */
	uint32_t ifindex;
	const char *operstate;
	bool carrier;
};
extern const struct resource_class netd_link_class;
extern const struct table link_table;

/* A row of an object's spec that is a row of its link under another name. */
struct link_spelling {
	const char *seen, *spec; /* "info.stp", "stp.enabled" */
	const char *unit;        /* that the manifest's value has and the link's lacks; NULL: none */
};
struct link_import;
struct link_room;
/* The other end of a pair. */
struct link_end {
	const char *name, *bridge;
	const struct list *addresses;
};
/* What one sort of link adds. */
struct link_kind {
	const char *name;          /* "tap" */
	const struct kind *object; /* the kind whose objects are such links; NULL: none */
	const char *kernel_name;   /* IFLA_INFO_KIND: "tun" */
	const char *module;        /* of the kernel, that has it; NULL: called as that */
	const struct table *fixed; /* NULL: none */
	const struct table *paused;
	const struct table *info;
	uint16_t underlay;    /* attribute of IFLA_INFO_DATA that holds the row `underlay`; 0: none */
	bool follows_mtu;     /* its MTU follows its ports until it was changed once */
	bool whole;           /* what a change of it leaves out is reset: so all is said */
	bool takes_ports;     /* it can be the master of others; then `object` is not NULL */
	bool ports_join_down; /* a link must be down to become a port of it, and is left down when it leaves */

	/* In lowering, see link-map.h. */
	bool follows_bridge; /* as a port without an MTU of its own it has that of its bridge, and does not limit it */
	bool leads_nowhere;  /* it holds addresses, and no packet leaves by it */
	/* How large can the MTU of this object's link be? NULL, or false: as large as one likes. */
	bool (*room)(struct lowering *l, const struct object *object, struct link_room *ret);
	/* Its MTU where neither it nor its bridge says one, 0: the kernel's. NULL: all the room it has, else 1500. */
	uint32_t (*mtu)(struct lowering *l, const struct object *object);
	/* The hosts that it leads to in turn, of a tunnel for frames; false ends. NULL: none. */
	bool (*peer)(const struct object *object, size_t i, struct ip *ret);
	/* For what is two links. */
	const struct link_end *(*other_end)(struct arena *arena, const struct object *object);

	/* For `weft import host`, see import.h: rows of the same name need nothing, others stand here; NULL ends. */
	const struct link_spelling *spellings;
	/* Others' links of this kind are left out, and this says why; NULL: they are taken. */
	const char *passing;
	/* Adds to the spec of a link's object what rows alone do not tell. NULL: nothing. */
	void (*import)(const struct link_import *import, json_t *spec);

	/* The rest runs on the lane's thread. */
	/* Is this link of the kernel's kind one of ours? NULL: all are. */
	bool (*is)(const struct netlink_link *link);
	/* For links that rtnetlink cannot make: makes one that goes when the descriptor is closed. NULL: RTM_NEWLINK
	 * makes it. */
	int (*open)(const char *name, const struct link_spec *spec, int *ret_fd, struct err *err);
	/* Then, when it is marked and set up: makes it stay. */
	int (*keep)(int fd, struct err *err);
	/* Can it be made as things are? 0, or -errno with op->err set. NULL: yes. */
	int (*prepare)(const struct netlink_cache *cache, struct op *op);
	/* Adds to IFLA_INFO_DATA of a link that is made what rows alone do not tell. NULL: nothing. */
	void (*put)(struct nlmsghdr *message, const struct link_spec *want);
	/* Adds those of the rows of `info` that are no plain attributes. NULL: there are none. */
	void (*put_more)(struct nlmsghdr *message, const struct netlink_cache *cache, const struct link_spec *want,
			 uint64_t info_rows);
	/* Changes the rows of `info` that do not travel as attributes. NULL: all do. */
	int (*change)(struct op *op, uint64_t info_rows);
	/* Adds to the observed info what attributes alone do not tell; `want` may be NULL. */
	void (*decode)(const struct netlink_cache *cache, const struct netlink_link *link, const struct link_spec *want,
		       struct link_spec *seen, struct arena *arena);
	/* A sentence on what keeps it from its work, in `arena`; NULL when it does it. NULL: nothing is known. */
	const char *(*health)(const struct netlink_cache *cache, const struct netlink_link *link,
			      const struct link_spec *seen, struct arena *arena);
};
/* All of them: written by weft_link_kind() in CMakeLists.txt. */
extern const struct link_kind *const link_kinds[];
extern const size_t n_link_kinds;
const struct link_kind *link_kind_find(const char *name);
const struct link_kind *link_kind_of(const struct netlink_link *link);

/* What is known of a link, as the class observes it; `want` may be NULL. */
void link_observe(const struct netlink_cache *cache, const struct netlink_link *link, const struct link_spec *want,
		  struct link_spec *seen, struct arena *arena);
/* Does the link carry the mark of this weft? */
bool link_is_ours(const struct netlink_link *link);
bool link_alias_is_ours(const char *alias); /* of NULL as well */
/* The bridge or bond that a link is a port of, unless weft has made it: 0, -ENOENT or -errno; `ret` is malloc'ed. */
int netd_link_foreign_master(const char *name, char **ret);
/* What a removal is about; NULL when it has gone, or when it went and another came under its name, which is not to be
 * touched. */
const struct netlink_link *link_to_remove(const struct netlink_cache *cache, const struct op *op);
/* link-upper.c: does something stand on it that others made, and that would go with it? Then -errno, and err says so.
 */
int link_refuse_foreign(const struct netlink_cache *cache, const struct netlink_link *link, struct err *err);
/* The same for many: first all that others made and that goes with some link (the list is freed by the caller). */
size_t link_foreign_uppers(const struct netlink_cache *cache, const struct netlink_link ***ret);
int link_refuse_upper(const struct netlink_cache *cache, const struct netlink_link *link,
		      const struct netlink_link *const *uppers, size_t n, struct err *err);
/* link-loss.c: what its removal, or its being made anew, would mean for others: "takes along 10.7.0.9/24, which weft
 * did not put there"; NULL: nothing. On the main thread. */
const char *link_loss(const char *key, bool anew, struct arena *arena);
/* Who knows which forwarding entries (LINK/MAC/ADDRESS) are weft's. */
typedef bool link_entry_fn(const char *key);
void link_loss_start(link_entry_fn *fn);
/* link-refusal.c: makes the kernel's answer to an operation a sentence; `master` is what the message named, 0: nothing.
 */
void link_explain(const struct netlink_cache *cache, struct op *op, int master);
/* link-port.c: the rows `port` and `vlans`. */
void link_observe_port(const struct netlink_link *link, struct link_spec *seen, struct arena *arena);
/* Puts the messages that set those rows of the operation, at most two. */
struct link_port_change {
	int index;
	uint64_t rows;
	const struct netlink_link *link;  /* NULL: it is being made */
	const struct netlink_link *joins; /* what it becomes a port of just before; NULL: it stays where it is */
};
int link_put_port(struct netlink_batch *batch, struct op *op, const struct link_port_change *change);
/* The group of every link that weft makes ("weft" in ASCII; ip(8) shows it): other than the mark it stands there from
 * the link's first instant, when udev's rules look at it (integration/udev/80-weft.rules) and others decide whether it
 * is theirs. weft itself goes by the mark alone. */
enum { LINK_GROUP = 0x77656674 };
/* link-udev.c: for links that a descriptor makes. One of this name has just come to be, without its group; and later:
 * it has its group and its mark now. Any thread. */
void link_group_at_once(const char *name);
void link_tell_udev(const char *name);
/* Is this file, of integration/, in one of the directories in which programs look for such? */
bool netd_drop_in_installed(const char *drop_in);
/* link-remove.c: the verb for many at once, by group. */
void link_remove_many(struct netlink_batch *batch, struct netlink_cache *cache, struct op **ops, size_t n);
/* Puts the message that removes a link, if there is one to remove; returns 0. */
int link_encode_remove(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op);

/* A MAC that stays the same on this host and differs between hosts, locally administered; for bridges, whose MAC must
 * not follow their ports. */
struct mac link_stable_mac(const char *name);

#endif
