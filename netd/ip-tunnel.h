/* SPDX-License-Identifier: Apache-2.0 */
/* What the tunnels have in common that put frames or packets straight into IP: GRE with frames (Gretap, Ip6gretap) or
 * packets (Gre), and packets alone (Ipip, Sit). Each is a file of its own that says which it is. */
#ifndef WEFT_NETD_IP_TUNNEL_H
#define WEFT_NETD_IP_TUNNEL_H

#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"

/* After net/if.h, which this would define anew. */
#include <linux/if_tunnel.h>

struct ip_tunnel_spec {
	struct link_common common;
	const char *link;
	struct ip local, remote;
	uint32_t ttl, key;
};

/* clang-format off */
/* `scalar_` is the scalar of the family that it goes over. */
#define IP_TUNNEL_ROWS(scalar_, example_local, example_remote) \
	F_OF(scalar_, struct ip, "remote", struct ip_tunnel_spec, remote, .flags = FIELD_REQUIRED, \
	     .doc = "Address of the other end.", .example = example_remote), \
	F_OF(scalar_, struct ip, "local", struct ip_tunnel_spec, local, .example = example_local, \
	     .doc = "The host's own address; else whichever the route to the other end has."), \
	F_IFNAME("link", struct ip_tunnel_spec, link, .ref = "*", \
		 .doc = "The link that its packets leave by; else as the routes say.", .example = "eth0"), \
	F_U32("ttl", struct ip_tunnel_spec, ttl, .max = 255, .def = "64", \
	      .doc = "Hops that its packets may take; 0: as many as the packet within.")
#define IP_TUNNEL_KEY_ROW \
	F_U32("key", struct ip_tunnel_spec, key, .min = 1, .max = UINT32_MAX, \
	      .doc = "Number that tells tunnels between the same two hosts apart; both ends have the same.", \
	      .example = "7")
/* clang-format on */

/* What the kernel calls them by. */
extern const struct table ip_tunnel_gre_info, ip_tunnel_gre6_info, ip_tunnel_plain_info;

/* Which of them it is. */
struct ip_tunnel_sort {
	const char *name; /* of the link kind: "gretap" */
	const char *what; /* in sentences: "GRETAP" */
	uint32_t overhead;
	bool gre, ethernet;
};
void ip_tunnel_check(const struct check *check);
void ip_tunnel_lower(struct lowering *l, const struct object *object, const struct ip_tunnel_sort *sort);
bool ip_tunnel_room(struct lowering *l, const struct object *object, const struct ip_tunnel_sort *sort,
		    struct link_room *ret);
/* Of those that have a key. */
extern const struct link_spelling ip_tunnel_key_spellings[];
/* The hook of struct link_kind. */
bool ip_tunnel_peer(const struct object *object, size_t i, struct ip *ret);

#endif
