/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP, DNS and RA server of a network: one dnsmasq process each. Classes `dnsmasq` (the process and its
 * configuration, key NETWORK) and `dhcp-host` (one client it knows, key NETWORK/NAME) share a directory per network and
 * what is declared here.
 *
 *     STATE/networks/NAME/dnsmasq.conf   written before every start
 *                         records        DNS records, read again on SIGHUP
 *                         hosts/         a file for each client, read again on SIGHUP
 *                         leases         dnsmasq's own
 *     RUN/networks/NAME/pid              dnsmasq's own; its appearance means that it serves
 *                       process.json     who it is and what it was started with, so that a new weftd finds it
 *                       log              what it said on stderr when it would not start */
#ifndef WEFT_NETD_DNSMASQ_H
#define WEFT_NETD_DNSMASQ_H

#include "core/resource.h"
#include "netd/helper.h"

struct dns_record {
	uint64_t present;
	const char *name;
	struct list ips; /* struct ip */
};
extern const struct table netd_dns_record_table;

struct dnsmasq_subnet {
	uint64_t present;
	struct ip_prefix address; /* the host's own address in it */
	struct ip_range range;    /* given to clients that are not known */
	bool anyone;              /* there is a range; else only known clients get an address */
	bool dhcp;                /* gives addresses at all */
	bool slaac;               /* clients make their own (IPv6) */
};
struct dnsmasq_spec {
	uint64_t present;
	const char *interface;
	struct list subnets; /* struct dnsmasq_subnet */
	uint64_t lease_ms;
	uint32_t max_leases;
	bool router;  /* offers itself as the default gateway */
	uint32_t mtu; /* told to DHCP clients; 0: not told */
	const char
		*domain; /* "" if there is none: rows are always set, since a row that is not wanted is not compared */
	struct list upstream; /* struct ip */
	bool host_resolver;   /* asks the servers of the host's resolv.conf as well */
	struct list records;  /* struct dns_record */
	uint32_t pid;         /* observed */
};
extern const struct table netd_dnsmasq_table;
extern const struct resource_class netd_dnsmasq_class;
extern const struct resource_class netd_dhcp_host_class;
#define DNSMASQ_LANE "dnsmasq"

/* Lists, so that what the Network and the guest know is joined, and an empty one says that there is none. */
struct dhcp_host_spec {
	uint64_t present;
	struct list names;  /* const char *: DNS name it gets */
	struct list guests; /* const char *: whose it is; shown with its lease */
	struct list macs;   /* struct mac; empty: the addresses are only kept free */
	struct list ips;    /* struct ip */
};
extern const struct table netd_dhcp_host_table;
uint64_t dhcp_host_all_rows(void); /* presence bits */

enum dnsmasq_file {
	DNSMASQ_CONF,
	DNSMASQ_RECORDS,
	DNSMASQ_HOSTS,
	DNSMASQ_LEASES,
	DNSMASQ_PID,
	DNSMASQ_PROCESS,
	DNSMASQ_LOG
};
/* Path of one of a network's files; freed by the caller. */
char *dnsmasq_path(const char *network, enum dnsmasq_file file);
/* Makes a network's directories. Returns 0 or -errno. */
int dnsmasq_make_dirs(const char *network);
/* Removes those of them that are empty. */
void dnsmasq_remove_dirs(const char *network);

/* The text of dnsmasq.conf; `user` is who dnsmasq becomes once its sockets are open. Freed by the caller. */
char *dnsmasq_config(const char *network, const struct dnsmasq_spec *spec, const char *user);
/* The text of the records file (a hosts file). Freed by the caller. */
char *dnsmasq_records(const struct dnsmasq_spec *spec);
/* The text of a client's file. Freed by the caller. */
char *dhcp_host_text(const char *name, const struct dhcp_host_spec *spec);
/* Calls fn for each client of a network that has a file. */
typedef void dhcp_host_fn(void *ctx, const struct dhcp_host_spec *host);
void dhcp_host_each(const char *network, dhcp_host_fn *fn, void *ctx);

/* Processes: dnsmasq-process.c. */
/* The running dnsmasq of a network. False if there is none. It is watched from then on: its end marks dnsmasq/NETWORK
 * dirty. */
bool dnsmasq_find(const char *network, struct process_id *ret);
/* What it was started with, in arena; NULL if that is not known. */
struct dnsmasq_spec *dnsmasq_started_with(const char *network, const struct process_id *id, struct arena *arena);
/* Remembers what the running one was started with, or told by SIGHUP. */
int dnsmasq_remember(const char *network, const struct process_id *id, const struct dnsmasq_spec *spec,
		     struct err *err);
/* Starts one with the configuration on disk; done when it serves. */
void dnsmasq_start(const char *network, const struct dnsmasq_spec *spec, helper_done_fn *done, void *ctx);
/* The same with what it was started with before. */
void dnsmasq_start_again(const char *network, helper_done_fn *done, void *ctx);
/* Ends the running one, if any; done when it is gone. */
void dnsmasq_stop(const char *network, helper_done_fn *done, void *ctx);
/* Makes the running one read hosts and records again. */
void dnsmasq_reload(const char *network);
/* Who dnsmasq can be, so that it can still read its files: "dnsmasq", "nobody", or "root" below a directory that is
 * closed to others. */
const char *dnsmasq_user(const char *network);

/* Watches the files of a network's clients, if they are not watched yet: dhcp-watch.c. */
void dhcp_watch(const char *network);
struct engine;
void dhcp_watch_start(struct engine *engine);
void dhcp_watch_stop(void);

/* Leases: leases.c. */
struct lease {
	struct ip ip;
	bool has_mac;
	struct mac mac;      /* IPv6: out of the client's DUID if it holds one */
	char hostname[256];  /* "" if it told none */
	char client_id[780]; /* as dnsmasq writes it; "*" if there is none */
	uint64_t expires;    /* seconds since 1970; 0: never */
	uint32_t iaid;       /* IPv6 */
};
typedef bool lease_fn(void *ctx, const struct lease *lease);
/* Calls fn for every lease in a lease file's text; lines that make no sense are skipped. Fn returns false to stop.
 * `ret_duid` (may be NULL) gets the server's DUID, freed by the caller. */
void lease_parse(const char *text, lease_fn *fn, void *ctx, char **ret_duid);
/* The same of a network's file. */
void lease_each(const char *network, lease_fn *fn, void *ctx, char **ret_duid);
/* Takes leases away from a network's clients: those for which match() returns true. The running dnsmasq is told by a
 * release in the client's name; if that does not help, it is restarted over the edited file. */
void lease_drop(const char *network, lease_fn *match, void *match_ctx, helper_done_fn *done, void *ctx);

#endif
