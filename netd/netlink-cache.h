/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's links and addresses are, kept by events: dumped once, then followed; dumped anew when events were
 * lost. Lives on the netlink lane's thread. Every change that somebody may mind is noted as a dirty mark, generously;
 * the lane hands the marks to the engine. Only links that an operation has asked for are marked, so that a host where
 * containers come and go does not wake the engine. */
#ifndef WEFT_NETD_NETLINK_CACHE_H
#define WEFT_NETD_NETLINK_CACHE_H

#include <net/if.h>

#include "core/value.h"
#include "netd/netlink-batch.h"

struct netlink_address {
	struct netlink_address *next, *next_by_ip;
	struct netlink_link *link;
	struct ip_prefix prefix; /* host bits kept */
	uint32_t flags;          /* IFA_F_... */
	uint8_t proto, scope;
	uint32_t metric; /* of the route to its subnet; 0: the usual */
	struct ip peer, broadcast;
	char label[IFNAMSIZ];
	uint64_t valid_until_s, preferred_until_s; /* since boot; 0: for ever */
	uint32_t sweep;
};

/* The VLANs of a port of a bridge, or of a bridge's own end. */
struct netlink_vlans {
	struct vlan_set all, untagged; /* untagged ones are among all */
	uint16_t pvid;                 /* 0: none */
	uint32_t sweep;
};

/* Attributes as the kernel sent them. */
struct netlink_attrs {
	void *data;
	size_t size;
};

struct netlink_link {
	struct netlink_link *next_by_index, *next_by_name;
	int index;
	char name[IFNAMSIZ];
	char kind[32]; /* IFLA_INFO_KIND; "" for hardware */
	char *alias;   /* NULL: none */
	struct mac mac;
	bool has_mac, carrier;
	bool was_ours; /* it has carried our mark since we look: losing it is drift, and no change of hands */
	uint8_t operstate;
	uint32_t mtu, flags, group;
	int master;                  /* ifindex, 0: none */
	int lower;                   /* what it stands on, or its peer; 0: nothing */
	bool elsewhere;              /* and that is in another namespace */
	struct netlink_attrs info;   /* of IFLA_INFO_DATA */
	char port_kind[32];          /* IFLA_INFO_SLAVE_KIND, the kind of its master; "" for no port */
	struct netlink_attrs port;   /* of IFLA_INFO_SLAVE_DATA */
	struct netlink_vlans *vlans; /* NULL: none */
	struct netlink_address *addresses;
	struct netlink_fdb *fdb;
	uint32_t sweep;
};

struct netlink_dirty {
	const char *class; /* NULL: the key is that of facts */
	char *key;         /* NULL: the whole class */
};

enum { NETLINK_BUCKETS = 1024, NETLINK_DIRTY_MAX = 8192 };

struct netlink_fdb;     /* netlink-fdb.h */
struct netlink_watched; /* a name that operations asked for */
struct route_cache;     /* see route-cache.h */
struct netlink_kept;    /* see netlink-kept.h */

struct netlink_cache {
	struct mnl_socket *events;
	struct netlink_link *by_index[NETLINK_BUCKETS], *by_name[NETLINK_BUCKETS];
	struct netlink_address *by_ip[NETLINK_BUCKETS];
	struct netlink_watched *watched[NETLINK_BUCKETS];
	struct route_cache *routes; /* NULL until a route is asked for */
	struct netlink_kept *kept;  /* of links that are made anew */
	struct netlink_dirty *dirty;
	size_t n_dirty, cap_dirty;
	uint32_t sweep;
	uint32_t fdb_sweep;
	bool fdb_subscribed, fdb_known;
	bool lost;          /* events were lost, and all has not been read anew since */
	bool knows_proto;   /* the kernel tells who made an address */
	unsigned n_resyncs; /* for tests */
	char buf[NETLINK_BATCH_SIZE];
};

/* Subscribes and reads everything. `buffer_bytes`: of the event socket; 0: the usual. */
int netlink_cache_open(struct netlink_cache *cache, struct netlink_batch *batch, int buffer_bytes, struct err *err);
void netlink_cache_close(struct netlink_cache *cache);
/* Takes all events that are there; after an overflow, everything is read anew through `batch` and all is marked
 * dirty. */
int netlink_cache_drain(struct netlink_cache *cache, struct netlink_batch *batch, struct err *err);

struct netlink_link *netlink_link_by_name(const struct netlink_cache *cache, const char *name);
struct netlink_link *netlink_link_by_index(const struct netlink_cache *cache, int index);
/* Is any link in this group? */
bool netlink_group_used(const struct netlink_cache *cache, uint32_t group);

enum netlink_watch {
	NETLINK_WATCH_LINK = 1,
	NETLINK_WATCH_ADDRESSES = 2,
	NETLINK_WATCH_FDB = 4,
	NETLINK_WATCH_PORTS = 8, /* whose changes are its own: they are its health */
};
/* From now on changes of the link of this name, or of what lives on it, are marked. */
void netlink_cache_watch(struct netlink_cache *cache, const char *name, enum netlink_watch what);

/* The same for facts that lowering has read, said by the main thread: "link/NAME", or "address" for whatever depends on
 * which link has an address. Kept for good: names of links are few. */
void netlink_facts_watch(const char *what);
bool netlink_facts_watched(const char *what);
/* Watches the link of a fact "link/NAME/mtu" or "leased/NAME/ipv4", whose name goes into ret. Returns what is asked of
 * it, "/mtu", in the key; NULL if it names no link. */
const char *netlink_fact_link(const char *key, char ret[static IFNAMSIZ]);

/* Answers a fact from the cache of the lane that runs: the link that has an address and leads anywhere, of several the
 * one with the lowest index. 0, -ENOENT, or -EAGAIN while the cache may lag behind what the kernel has told already. */
int netlink_facts_link_with(const struct ip *ip, char ret[static IFNAMSIZ]);
bool netlink_leads_on(unsigned flags); /* loopback and dummies, which hold addresses for others, do not */
/* Shows that cache to whoever wants to see for himself, if there is one. */
void netlink_facts_look(void (*fn)(const struct netlink_cache *cache, void *ctx), void *ctx);
/* The cache that such facts are answered from; NULL: none. */
void netlink_facts_open(const struct netlink_cache *cache);
/* While links and addresses change, or are read off the lane's thread. One thread may hold it several times. */
void netlink_cache_lock(void);
void netlink_cache_unlock(void);

void netlink_mark_dirty(struct netlink_cache *cache, const char *class, const char *key);
void netlink_dirty_clear(struct netlink_cache *cache);

/* For netlink-events.c. */
struct netlink_link *netlink_cache_add(struct netlink_cache *cache, int index, const char *name);
void netlink_cache_rename(struct netlink_cache *cache, struct netlink_link *link, const char *name);
void netlink_cache_remove(struct netlink_cache *cache, struct netlink_link *link);
size_t netlink_hash_ip(const struct ip *ip); /* its place in by_ip */
void netlink_cache_drop_address(struct netlink_cache *cache, struct netlink_address **at);
unsigned netlink_watches(const struct netlink_cache *cache, const char *name);
/* Reads one message of a dump or an event into the cache (a netlink_message_fn; ctx is the cache). */
void netlink_cache_message(void *ctx, const struct nlmsghdr *message);
/* Reads the events of one datagram. */
void netlink_cache_read(struct netlink_cache *cache, const void *data, int size);
/* netlink-vlans.c: reads RTM_NEWVLAN, RTM_DELVLAN. */
void netlink_vlans_message(struct netlink_cache *cache, const struct nlmsghdr *message);
/* What a bridge gives to ports that join it, and to itself at first. */
void netlink_vlans_default(const struct netlink_link *bridge, struct netlink_vlans *ret);
/* Of a link that was not known before. */
void netlink_vlans_new_link(const struct netlink_cache *cache, struct netlink_link *link);
void netlink_vlans_sweep(struct netlink_cache *cache, struct netlink_link *link);
/* Notes that the resource of a link is to be looked at, if anybody did. */
void netlink_mark_link(struct netlink_cache *cache, const struct netlink_link *link);
/* Reads an address message; false if it is none of IPv4 or IPv6. */
bool netlink_address_read(const struct nlmsghdr *message, struct netlink_address *ret);
/* Takes out what the dump just read did not name. */
void netlink_cache_sweep(struct netlink_cache *cache);

#endif
