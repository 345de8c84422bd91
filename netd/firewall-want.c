/* SPDX-License-Identifier: Apache-2.0 */
/* What a network wants of the firewall, as rules in the very words in which iptables-save prints them. Three tables
 * have a part each, so that no order among networks, or between us and others, matters: `mangle` drops what must not
 * pass (before any ACCEPT of anybody's), `filter` accepts what must pass whatever the policy is, `nat` translates. */
#include "netd/firewall.h"
#include "netd/rules.h"

/* One family of one network while it is being lowered. */
struct side {
	struct lowering *l;
	struct arena *arena;
	const struct netd_firewall_plan *plan;
	enum family family;
	const char *bridge;
	size_t n_prefixes, n_forwards;
	bool translate; /* to other networks under the host's address */
	bool closed;    /* nothing beyond the host */
};
/* One table of it. */
struct sheet {
	const struct side *side;
	struct rules_spec spec;
	size_t cap_chains, cap_jumps;
};

static bool is_of(enum family family, const struct ip *ip)
{
	return ip->family == (family == FAMILY_IPV4 ? 4 : 6);
}

static const struct ip_prefix *prefix_at(const struct side *side, size_t i)
{
	const struct ip_prefix *prefix = &list_at(&side->plan->prefixes, struct ip_prefix, i);
	return is_of(side->family, &prefix->ip) ? prefix : NULL;
}

static const struct netd_firewall_forward *forward_at(const struct side *side, size_t i)
{
	const struct netd_firewall_forward *forward = &list_at(&side->plan->forwards, struct netd_firewall_forward, i);
	return is_of(side->family, &forward->to.ip) ? forward : NULL;
}

static const char *network_of(const struct side *side, const struct ip_prefix *prefix)
{
	char text[IP_TEXT];
	struct ip_prefix network = prefix_network(prefix);
	return arena_strdup(side->arena, prefix_text(&network, text));
}

/* 192.168.150.10/32 */
static const char *single(const struct side *side, const struct ip *ip)
{
	char text[IP_TEXT];
	return arena_printf(side->arena, "%s/%d", ip_text(ip, text), side->family == FAMILY_IPV4 ? 32 : 128);
}

/* The chains of a sheet must be filled one after the other: a new one may move them. */
static struct rules_chain *chain_add(struct sheet *sheet, const char *part)
{
	const struct side *side = sheet->side;
	struct rules_chain *chains = sheet->spec.chains.items;
	arena_grow(side->arena, chains, sheet->spec.chains.n, sheet->cap_chains);
	sheet->spec.chains.items = chains;
	struct rules_chain *chain = &chains[sheet->spec.chains.n++];
	*chain = (struct rules_chain){.present = 3};
	chain->name = arena_printf(side->arena, "WEFT-%s-%s", part, side->plan->network);
	return chain;
}

static void rule_add(struct sheet *sheet, struct rules_chain *chain, const char *fmt, ...) printf_like(3, 4);
static void rule_add(struct sheet *sheet, struct rules_chain *chain, const char *fmt, ...)
{
	va_list args;
	size_t cap = chain->rules.n;
	const char **rules = chain->rules.items;
	if ((cap & (cap - 1)) == 0) /* full at every power of two */
		rules = arena_alloc(sheet->side->arena, (cap ? cap * 2 : 1) * sizeof(*rules));
	if (rules != chain->rules.items && cap)
		memcpy(rules, chain->rules.items, cap * sizeof(*rules));
	va_start(args, fmt);
	rules[chain->rules.n++] = arena_vprintf(sheet->side->arena, fmt, args);
	va_end(args);
	chain->rules.items = rules;
}

/* A jump from a built-in chain; `interface` "-i" or "-o": only for packets of the bridge. */
static void jump_add(struct sheet *sheet, const char *from, const struct rules_chain *to, const char *interface)
{
	const struct side *side = sheet->side;
	struct rules_jump *jumps = sheet->spec.jumps.items;
	arena_grow(side->arena, jumps, sheet->spec.jumps.n, sheet->cap_jumps);
	sheet->spec.jumps.items = jumps;
	struct rules_jump *jump = &jumps[sheet->spec.jumps.n++];
	*jump = (struct rules_jump){.present = 7, .from = from, .to = to->name, .position = RULES_FIRST};
	if (interface) {
		jump->match = arena_printf(side->arena, "%s %s", interface, side->bridge);
		jump->present |= 8;
	}
}

/* Takes the last chain back if there was nothing to put into it; it must not have a jump yet. */
static void drop_if_empty(struct sheet *sheet, const struct rules_chain *chain)
{
	if (chain->rules.n == 0)
		sheet->spec.chains.n--;
}

static struct want *sheet_want(struct sheet *sheet, const char *table)
{
	const struct side *side = sheet->side;
	if (sheet->spec.chains.n == 0)
		return NULL;
	sheet->spec.present = 3;
	return want(side->l, &netd_rules_class, &sheet->spec, "%s/%s/%s", family_names[side->family], table,
		    side->plan->network);
}

/* -p tcp [-d ADDRESS | -m addrtype --dst-type LOCAL] -m tcp --dport 8080 -j DNAT --to-destination ADDRESS:80 */
static void add_dnat(struct sheet *sheet, struct rules_chain *chain, const struct netd_firewall_forward *forward)
{
	static const uint8_t any[16];
	const struct side *side = sheet->side;
	const char *proto = forward->proto == FIREWALL_UDP ? "udp" : "tcp";
	bool everywhere = memcmp(forward->listen.ip.b, any, sizeof(any)) == 0;
	char text[IP_TEXT];
	bool six = side->family == FAMILY_IPV6;
	rule_add(sheet, chain, "%s%s%s-p %s %s-m %s --dport %u -j DNAT --to-destination %s%s%s:%u",
		 everywhere ? "" : "-d ", everywhere ? "" : single(side, &forward->listen.ip), everywhere ? "" : " ",
		 proto, everywhere ? "-m addrtype --dst-type LOCAL " : "", proto, forward->listen.port, six ? "[" : "",
		 ip_text(&forward->to.ip, text), six ? "]" : "", forward->to.port);
}

static void lower_nat(const struct side *side)
{
	struct sheet sheet = {.side = side};
	struct rules_chain *post = chain_add(&sheet, "POST");
	for (size_t i = 0; i < side->plan->prefixes.n; i++) {
		const struct ip_prefix *prefix = prefix_at(side, i);
		if (prefix && side->translate)
			rule_add(&sheet, post, "-s %s ! -o %s -j MASQUERADE", network_of(side, prefix), side->bridge);
		/* A guest that calls a forwarded port of the host is led back to its own network: the answer must come
		 * this way too. */
		if (prefix && side->n_forwards)
			rule_add(&sheet, post, "-s %s -o %s -m conntrack --ctstate DNAT -j MASQUERADE",
				 network_of(side, prefix), side->bridge);
	}
	/* The host calling its own forwarded port by 127.0.0.1. */
	if (side->n_forwards)
		rule_add(&sheet, post, "-s %s -o %s -m conntrack --ctstate DNAT -j MASQUERADE",
			 side->family == FAMILY_IPV4 ? "127.0.0.0/8" : "::1/128", side->bridge);
	if (post->rules.n)
		jump_add(&sheet, "POSTROUTING", post, NULL);
	drop_if_empty(&sheet, post);
	if (side->n_forwards) {
		struct rules_chain *pre = chain_add(&sheet, "PRE");
		for (size_t i = 0; i < side->plan->forwards.n; i++)
			if (forward_at(side, i))
				add_dnat(&sheet, pre, forward_at(side, i));
		jump_add(&sheet, "PREROUTING", pre, NULL);
		jump_add(&sheet, "OUTPUT", pre, NULL);
	}
	sheet_want(&sheet, "nat");
}

/* What an isolated network may say to the host: to its addresses on this bridge, and to everybody on the link. */
static void add_host_only(struct sheet *sheet, struct rules_chain *in)
{
	const struct side *side = sheet->side;
	for (size_t i = 0; i < side->plan->prefixes.n; i++)
		if (prefix_at(side, i))
			rule_add(sheet, in, "-d %s -j RETURN", single(side, &prefix_at(side, i)->ip));
	if (side->family == FAMILY_IPV4) {
		rule_add(sheet, in, "-m addrtype --dst-type BROADCAST -j RETURN");
		rule_add(sheet, in, "-m addrtype --dst-type MULTICAST -j RETURN");
	} else {
		rule_add(sheet, in, "-d fe80::/10 -j RETURN");
		rule_add(sheet, in, "-d ff00::/8 -j RETURN");
	}
	rule_add(sheet, in, "-j DROP");
}

static void lower_mangle(const struct side *side)
{
	struct sheet sheet = {.side = side};
	struct rules_chain *forward = chain_add(&sheet, "FWD");
	if (side->closed) {
		rule_add(&sheet, forward, "-i %s ! -o %s -j DROP", side->bridge, side->bridge);
		rule_add(&sheet, forward, "! -i %s -o %s -j DROP", side->bridge, side->bridge);
	} else if (side->translate) {
		/* Behind NAT means not to be reached but by answers and forwarded ports, also not by a neighbour with a
		 * route. */
		rule_add(&sheet, forward, "! -i %s -o %s -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
			 side->bridge, side->bridge);
	}
	if (forward->rules.n)
		jump_add(&sheet, "FORWARD", forward, NULL);
	drop_if_empty(&sheet, forward);
	struct rules_chain *in = chain_add(&sheet, "IN");
	/* route_localnet lets 127.0.0.1 out to the bridge for forwarded ports; nothing of it may come in from there. */
	if (side->n_forwards && side->family == FAMILY_IPV4) {
		rule_add(&sheet, in, "-s 127.0.0.0/8 -j DROP");
		rule_add(&sheet, in, "-d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP");
	}
	if (side->plan->mode == FIREWALL_ISOLATED)
		add_host_only(&sheet, in);
	if (in->rules.n)
		jump_add(&sheet, "INPUT", in, "-i");
	drop_if_empty(&sheet, in);
	sheet_want(&sheet, "mangle");
}

static void add_accepted_forwards(struct sheet *sheet)
{
	const struct side *side = sheet->side;
	struct rules_chain *chain = chain_add(sheet, "FWD");
	if (side->closed) {
		/* With bridge-nf, frames from guest to guest come by here. */
		rule_add(sheet, chain, "-i %s -o %s -j ACCEPT", side->bridge, side->bridge);
	} else if (side->translate) {
		rule_add(sheet, chain, "-i %s -j ACCEPT", side->bridge);
		rule_add(sheet, chain, "-o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", side->bridge);
	} else {
		rule_add(sheet, chain, "-i %s -j ACCEPT", side->bridge);
		rule_add(sheet, chain, "-o %s -j ACCEPT", side->bridge);
	}
	for (size_t i = 0; i < side->plan->forwards.n && side->translate; i++) {
		const struct netd_firewall_forward *forward = forward_at(side, i);
		const char *proto = forward && forward->proto == FIREWALL_UDP ? "udp" : "tcp";
		if (forward)
			rule_add(sheet, chain,
				 "-d %s -o %s -p %s -m conntrack --ctstate DNAT -m %s --dport %u -j ACCEPT",
				 single(side, &forward->to.ip), side->bridge, proto, proto, forward->to.port);
	}
	jump_add(sheet, "FORWARD", chain, NULL);
}

static void add_icmp6(struct sheet *sheet, struct rules_chain *chain, int type)
{
	rule_add(sheet, chain, "-p ipv6-icmp -m icmp6 --icmpv6-type %d -j ACCEPT", type);
}

/* The host's services on the bridge. */
static void add_accepted_input(struct sheet *sheet)
{
	const struct side *side = sheet->side;
	const struct netd_firewall_plan *plan = side->plan;
	bool six = side->family == FAMILY_IPV6;
	struct rules_chain *chain = chain_add(sheet, "IN");
	if (six ? plan->dhcp6 : plan->dhcp4)
		rule_add(sheet, chain, "-p udp -m udp --dport %d -j ACCEPT", six ? 547 : 67);
	if (plan->dns) {
		rule_add(sheet, chain, "-p udp -m udp --dport 53 -j ACCEPT");
		rule_add(sheet, chain, "-p tcp -m tcp --dport 53 -j ACCEPT");
	}
	if (six && plan->ra)
		add_icmp6(sheet, chain, 133); /* router solicitation */
	if (six) {
		add_icmp6(sheet, chain, 135); /* neighbour solicitation, advertisement */
		add_icmp6(sheet, chain, 136);
	}
	if (chain->rules.n)
		jump_add(sheet, "INPUT", chain, "-i");
	drop_if_empty(sheet, chain);
}

static void add_accepted_output(struct sheet *sheet)
{
	const struct side *side = sheet->side;
	const struct netd_firewall_plan *plan = side->plan;
	bool six = side->family == FAMILY_IPV6;
	struct rules_chain *chain = chain_add(sheet, "OUT");
	if (six ? plan->dhcp6 : plan->dhcp4)
		rule_add(sheet, chain, "-p udp -m udp --dport %d -j ACCEPT", six ? 546 : 68);
	if (plan->dns) {
		rule_add(sheet, chain, "-p udp -m udp --sport 53 -j ACCEPT");
		rule_add(sheet, chain, "-p tcp -m tcp --sport 53 -j ACCEPT");
	}
	if (six && plan->ra)
		add_icmp6(sheet, chain, 134); /* router advertisement */
	if (six) {
		add_icmp6(sheet, chain, 135);
		add_icmp6(sheet, chain, 136);
	}
	if (chain->rules.n)
		jump_add(sheet, "OUTPUT", chain, "-o");
	drop_if_empty(sheet, chain);
}

static struct want *lower_filter(const struct side *side)
{
	struct sheet sheet = {.side = side};
	add_accepted_forwards(&sheet);
	add_accepted_input(&sheet);
	add_accepted_output(&sheet);
	return sheet_want(&sheet, "filter");
}

/* Wants one row of a class of another file; NULL when there is no such class. */
static struct want *want_row(struct lowering *l, const char *class, const char *key, const char *row, const char *text)
{
	const struct resource_class *c = class_find(class);
	struct want *w = c ? want(l, c, NULL, "%s", key) : NULL;
	if (w)
		want_set(l, w, row, "%s", text);
	return w;
}

/* Frames from guest to guest are the bridge's business, not that of everybody's FORWARD chain. */
static void want_frames_alone(struct lowering *l, enum family family)
{
	char key[64];
	snprintf(key, sizeof(key), "net/bridge/bridge-nf-call-%s", family == FAMILY_IPV6 ? "ip6tables" : "iptables");
	if (fact(l, "sysctl/%s", key))
		want_row(l, "sysctl", key, "value", "0");
}

void netd_firewall_want_bridged(struct lowering *l)
{
	want_frames_alone(l, FAMILY_IPV4);
	want_frames_alone(l, FAMILY_IPV6);
}

static void lower_sysctls(const struct side *side)
{
	const struct netd_firewall_plan *plan = side->plan;
	bool six = side->family == FAMILY_IPV6;
	char key[128];
	if (!side->closed) {
		/* The host's switch, and the bridge's own, which somebody may throw by itself. */
		struct want *host = want_row(side->l, "forwarding", family_names[side->family], "enabled", "true");
		snprintf(key, sizeof(key), "net/%s/conf/%s/forwarding", family_names[side->family], plan->bridge);
		struct want *own = want_row(side->l, "sysctl", key, "value", "1");
		needs(side->l, own, want_find(side->l, "link", plan->bridge));
		needs(side->l, own, host);
	}
	if (!six && side->n_forwards) {
		snprintf(key, sizeof(key), "net/ipv4/conf/%s/route_localnet", plan->bridge);
		needs(side->l, want_row(side->l, "sysctl", key, "value", "1"),
		      want_find(side->l, "link", plan->bridge));
	}
	want_frames_alone(side->l, side->family);
}

static struct want *lower_side(struct lowering *l, const struct netd_firewall_plan *plan, enum family family)
{
	struct side side = {
		.l = l,
		.arena = lower_arena(l),
		.plan = plan,
		.family = family,
		.bridge = plan->bridge,
	};
	for (size_t i = 0; i < plan->prefixes.n; i++)
		side.n_prefixes += prefix_at(&side, i) ? 1 : 0;
	for (size_t i = 0; i < plan->forwards.n; i++)
		side.n_forwards += forward_at(&side, i) ? 1 : 0;
	/* A family in which the network has no addresses leads nowhere. */
	side.closed = plan->mode == FIREWALL_ISOLATED || side.n_prefixes == 0;
	side.translate =
		!side.closed && plan->mode == FIREWALL_NAT && (family == FAMILY_IPV4 ? plan->nat4 : plan->nat6);
	lower_nat(&side);
	lower_mangle(&side);
	lower_sysctls(&side);
	return lower_filter(&side);
}

/* Whether others let the packets through. */
static void lower_path(struct lowering *l, const struct netd_firewall_plan *plan)
{
	struct want *path = want(l, &netd_firewall_path_class, NULL, "%s", plan->network);
	want_set(l, path, "bridge", "%s", plan->bridge);
	want_set(l, path, "dhcp", "%s", plan->dhcp4 ? "true" : "false");
	want_set(l, path, "forward", "%s", plan->mode == FIREWALL_ISOLATED ? "false" : "true");
	for (size_t i = 0; i < plan->prefixes.n; i++) {
		char text[IP_TEXT];
		want_set(l, path, "prefixes", "%s", prefix_text(&list_at(&plan->prefixes, struct ip_prefix, i), text));
	}
}

struct want *netd_firewall_want(struct lowering *l, const struct netd_firewall_plan *plan)
{
	lower_path(l, plan);
	want(l, &netd_firewalld_zone_class, NULL, "%s", plan->bridge);
	struct want *first = lower_side(l, plan, FAMILY_IPV4);
	if (fact(l, "firewall/ipv6"))
		lower_side(l, plan, FAMILY_IPV6);
	return first;
}
