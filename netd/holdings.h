/* SPDX-License-Identifier: Apache-2.0 */
/* What a link holds that somebody else gave it: its addresses and routes. Read when another link is to take it over;
 * asked for as the fact "holds/LINK", whose text is the struct as JSON. */
#ifndef WEFT_NETD_HOLDINGS_H
#define WEFT_NETD_HOLDINGS_H

#include "netd/route.h"

struct held_address {
	uint64_t present;
	struct ip_prefix address;
	uint32_t flags; /* IFA_F_... */
	uint32_t scope, metric;
	uint64_t lease_s; /* how long it lasts unless somebody renews it; 0: for ever */
};
struct held_route {
	uint64_t present;
	const char *key; /* of the class route */
	struct route_spec route;
};
struct holdings {
	uint64_t present;
	const char *boot; /* in which this was read */
	struct mac mac;
	struct list addresses;  /* struct held_address; the first of a subnet before the others of it */
	struct list routes;     /* struct held_route; without those that the kernel makes for an address */
	struct list immovable;  /* const char *: keys of routes that weft cannot make over another link */
	struct list neighbours; /* const char *: addresses of those that were set for good (`nud permanent`) */
};
extern const struct table holdings_table;

/* What text says; NULL if it says nothing of that sort. */
struct holdings *holdings_parse(const char *text, struct arena *arena);
const char *holdings_text(const struct holdings *holdings, struct arena *arena);

#endif
