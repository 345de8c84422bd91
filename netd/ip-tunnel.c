/* SPDX-License-Identifier: Apache-2.0 */
/* See ip-tunnel.h. */
#include "netd/ip-tunnel.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/ip6_tunnel.h>

enum { KEY_OVERHEAD = 4 };

/* All can change while the tunnel lives. */
struct ip_tunnel_info {
	uint64_t present;
	struct ip local, remote;
	uint32_t ttl, in_flags, out_flags, in_key, out_key, flags, encap_limit;
};

#define ADDRESS_ROWS(attr_local, attr_remote, attr_ttl)                                              \
	F_IP("local", struct ip_tunnel_info, local, .nl = (attr_local), .nl_form = NL_IP,            \
	     .doc = "The host's own address."),                                                      \
		F_IP("remote", struct ip_tunnel_info, remote, .nl = (attr_remote), .nl_form = NL_IP, \
		     .doc = "The other end's address."),                                             \
		F_U32("ttl", struct ip_tunnel_info, ttl, .nl = (attr_ttl), .nl_form = NL_U8,         \
		      .doc = "Hops that its packets may take.")
#define KEY_ROWS                                                                                               \
	F_U32("inFlags", struct ip_tunnel_info, in_flags, .nl = IFLA_GRE_IFLAGS, .nl_form = NL_BE16,           \
	      .doc = "What headers have that come."),                                                          \
		F_U32("outFlags", struct ip_tunnel_info, out_flags, .nl = IFLA_GRE_OFLAGS, .nl_form = NL_BE16, \
		      .doc = "What headers have that go."),                                                    \
		F_U32("inKey", struct ip_tunnel_info, in_key, .nl = IFLA_GRE_IKEY, .nl_form = NL_BE32,         \
		      .doc = "Key of what comes."),                                                            \
		F_U32("outKey", struct ip_tunnel_info, out_key, .nl = IFLA_GRE_OKEY, .nl_form = NL_BE32,       \
		      .doc = "Key of what goes.")

static const struct field gre_rows[] = {
	ADDRESS_ROWS(IFLA_GRE_LOCAL, IFLA_GRE_REMOTE, IFLA_GRE_TTL),
	KEY_ROWS,
};
const struct table ip_tunnel_gre_info = TABLE("link.gre", struct ip_tunnel_info, gre_rows);

/* The kernel adds flags of its own to those it was given. */
static const struct field gre6_rows[] = {
	ADDRESS_ROWS(IFLA_GRE_LOCAL, IFLA_GRE_REMOTE, IFLA_GRE_TTL),
	KEY_ROWS,
	F_U32("flags", struct ip_tunnel_info, flags, .nl = IFLA_GRE_FLAGS, .nl_form = NL_U32, .flags = FIELD_WEAK,
	      .doc = "Whether packets carry a limit of tunnels within tunnels, which takes 8 bytes."),
};
const struct table ip_tunnel_gre6_info = TABLE("link.gre6", struct ip_tunnel_info, gre6_rows);

static const struct field plain_rows[] = {
	ADDRESS_ROWS(IFLA_IPTUN_LOCAL, IFLA_IPTUN_REMOTE, IFLA_IPTUN_TTL),
};
const struct table ip_tunnel_plain_info = TABLE("link.iptunnel", struct ip_tunnel_info, plain_rows);

const struct link_spelling ip_tunnel_key_spellings[] = {{"info.outKey", "key"}, {0}};

void ip_tunnel_check(const struct check *check)
{
	const struct ip_tunnel_spec *spec = check->object->spec;
	link_common_check(check);
	link_lower_check(check, spec->link);
	if (spec->local.family && ip_equal(&spec->local, &spec->remote))
		check_fault(check, "spec.remote", "both ends have one address; remote is the other host's");
}

bool ip_tunnel_peer(const struct object *object, size_t i, struct ip *ret)
{
	const struct ip_tunnel_spec *spec = object->spec;
	*ret = spec->remote;
	return i == 0;
}

bool ip_tunnel_room(struct lowering *l, const struct object *object, const struct ip_tunnel_sort *sort,
		    struct link_room *ret)
{
	const struct ip_tunnel_spec *spec = object->spec;
	uint32_t overhead = sort->overhead + (spec->key ? KEY_OVERHEAD : 0);
	const struct link_path path = {
		.tunnel = object->name,
		.link = spec->link,
		.local = &spec->local,
		.remotes = &spec->remote,
		.n_remotes = 1,
		.overhead = overhead,
		.overhead6 = overhead,
		.what = spec->key ? arena_printf(lower_arena(l), "%s with a key", sort->what) : sort->what,
	};
	return link_room_under(l, &path, ret);
}

static void want_key(struct lowering *l, struct want *link, uint32_t key)
{
	/* In the headers' own order of bytes, which is that of the attributes. */
	unsigned flags = key ? ntohs(GRE_KEY) : 0;
	want_set(l, link, "info.inFlags", "%u", flags);
	want_set(l, link, "info.outFlags", "%u", flags);
	want_set(l, link, "info.inKey", "%u", key);
	want_set(l, link, "info.outKey", "%u", key);
}

void ip_tunnel_lower(struct lowering *l, const struct object *object, const struct ip_tunnel_sort *sort)
{
	const struct ip_tunnel_spec *spec = object->spec;
	const struct link_common_plan plan = {.kind = sort->name, .own_mac = sort->ethernet};
	char text[IP_TEXT], remote[IP_TEXT];
	bool ip6 = spec->remote.family == 6;
	const char *any = ip6 ? "::" : "0.0.0.0", *local = spec->local.family ? ip_text(&spec->local, text) : any;
	if (!link_claim(l, "spec.remote", "%s from %s to %s with key %u", sort->what, local,
			ip_text(&spec->remote, remote), spec->key))
		return;
	struct want *link = link_common_want(l, object, &plan);
	if (!link)
		return;
	link_send_by(l, link, spec->link);
	want_set(l, link, "info.local", "%s", local);
	want_set(l, link, "info.remote", "%s", remote);
	want_set(l, link, "info.ttl", "%u", spec->ttl);
	if (sort->gre)
		want_key(l, link, spec->key);
	if (sort->gre && ip6)
		want_set(l, link, "info.flags", "%u", IP6_TNL_F_IGN_ENCAP_LIMIT);
}
