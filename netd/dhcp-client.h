/* SPDX-License-Identifier: Apache-2.0 */
/* A link's own address by DHCP (`dhcp4`, `dhcp6` of a manifest): one dhcpcd process a link, which sets addresses and
 * routes itself and so works on while weftd does not run. dhcpcd, since it is kept up, does both families and router
 * advertisements, has a metric for all of its routes, and separates its privileges. Its paths are fixed, and a dhcpcd
 * of somebody else's would be asked by them to do the work; so it sees directories of weft's in their place.
 *
 *     RUN/dhcp/LINK/conf           written before every start
 *                   process.json   who it is and what it was started with, so that a new weftd finds it
 *                   log            what it said
 *                   run/           its /run/dhcpcd: LINK.pid and sockets
 *                   run/said/      what weft-dhcp-hook was told: dhcp, dhcp6, ra; a directory of its own, since
 * sd-event 252 spins when one of two watches over one directory ends STATE/dhcp/LINK/             its /var/lib/dhcpcd:
 * leases, DUID
 *
 * Classes: `dhcp-client` (the process, key LINK) and `dhcp-lease` (that it has an address, key LINK/FAMILY), which a
 * bridge waits for before the port that had the lease gives its address up. */
#ifndef WEFT_NETD_DHCP_CLIENT_H
#define WEFT_NETD_DHCP_CLIENT_H

#include "core/lower.h"
#include "netd/helper.h"

struct dhcp_client_spec {
	uint64_t present;
	bool ipv4, ipv6;
	uint32_t metric;       /* of all its routes */
	const char *client_id; /* "mac", "duid", or bytes as 01:02:03 */
	bool known;            /* the addresses are there already, by another's lease: nobody is asked whether they are
				  free, and they are not given back to the server */
	/* Observed. */
	struct list addresses, routers, name_servers; /* struct ip_prefix; struct ip; struct ip */
	struct ip server;
	uint64_t lease_ms;
	uint32_t pid;
};
extern const struct table netd_dhcp_client_table;
extern const struct resource_class netd_dhcp_client_class;
extern const struct resource_class netd_dhcp_lease_class;
#define DHCP_CLIENT_LANE "dhcp-client"

enum dhcp_client_file {
	DHCP_CLIENT_DIR,
	DHCP_CLIENT_CONF,
	DHCP_CLIENT_PROCESS,
	DHCP_CLIENT_LOG,
	DHCP_CLIENT_RUN,
	DHCP_CLIENT_PID,
	DHCP_CLIENT_SAID,
	DHCP_CLIENT_STATE
};
/* Freed by the caller. */
char *dhcp_client_path(const char *link, enum dhcp_client_file file);
/* Makes the directories of a link, with its DUID. Returns 0 or -errno. */
int dhcp_client_make_dirs(const char *link);
void dhcp_client_remove_dirs(const char *link);
/* The text of its configuration; freed by the caller. */
char *dhcp_client_config(const char *link, const struct dhcp_client_spec *spec);
/* Fills the observed rows with what the hook was told. Returns whether there is an address of each wanted family, of
 * those that are asked for. */
bool dhcp_client_read(const char *link, struct dhcp_client_spec *ret, struct arena *arena);
/* Does what the hook was told include an address of this family, 4 or 6? */
bool dhcp_client_has_address(const char *link, int family);

/* ---- in lowering ---- */

struct link_common;
/* Bytes as 01:02:03? */
bool dhcp_client_id_valid(const char *text);
/* Wants the client of a link that asks for one. */
void link_dhcp_want(struct lowering *l, struct want *link, const struct link_common *common);
/* Wants that the link has an address of this family, 4 or 6, from its client, which takes over what another has leased;
 * NULL if it has no client for that. */
struct want *link_dhcp_want_known(struct lowering *l, struct want *link, int family);

#endif
