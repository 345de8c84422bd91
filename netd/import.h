/* SPDX-License-Identifier: Apache-2.0 */
/* From the links that a host has to the manifests that would make them: the way back of lowering. What a link kind's
 * rows and an object's rows have in common by name goes over by itself; struct link_kind has the rest: spellings, and a
 * hook. What comes out is lowered and held against what is there (import.c), and every difference is told, so that no
 * kind has to know what it cannot say. */
#ifndef WEFT_NETD_IMPORT_H
#define WEFT_NETD_IMPORT_H

#include <jansson.h>

#include "netd/link.h"
#include "netd/route-message.h"

struct importing {
	struct netlink_cache *cache;
	struct arena *arena;
	struct kernel_route *routes; /* all of the host's */
	json_t *remarks;
};

/* One link of it. */
struct link_import {
	struct importing *host;
	const struct netlink_link *link;
	const struct link_spec *seen;
};

/* A sentence on what cannot be written. */
void import_remark(struct importing *host, const char *fmt, ...) printf_like(2, 3);

/* Can it be an object of its link kind's, or of Ethernet if it has none? Else `ret_why` (may be NULL) says why not;
 * NULL there: it is nobody's business. */
bool import_takes(const struct netlink_link *link, const char **ret_why);
/* The links in the order of their numbers, all (master 0) or the ports of one; `ret` is freed by the caller. */
size_t import_links(const struct importing *host, int master, const struct netlink_link ***ret);
/* Has somebody made the route by hand or by a configuration? */
bool import_is_static(const struct kernel_route *route);
/* The whole spec of its object; NULL where there is nothing to say of a link that is there already. `kind` is that of
 * the object. */
json_t *import_spec(const struct link_import *import, const struct kind *kind);

/* For the hooks. The addresses that somebody gave it for good, of others a remark; but nothing of leased ones if the
 * manifest says that they are leased. */
json_t *import_addresses(struct importing *host, const struct netlink_link *link, bool leases_are_said);
/* Its static routes, of those that manifests cannot say a remark. */
json_t *import_routes(struct importing *host, const struct netlink_link *link);
/* The names of its ports that are taken. */
json_t *import_ports(const struct link_import *import);
/* Adds the rows of `from` that the table has under the same name, unless they say nothing or what is said anyway. */
void import_rows(const struct table *table, json_t *spec, const json_t *from);
/* "10,20-29" or "a b" as a list. */
json_t *import_words(const char *text);

#endif
