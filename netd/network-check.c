/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of a Network cannot say: rules across its rows, and between Networks (one port of the host leads to
 * one place, one subnet lies on one bridge). */
#include <ctype.h>
#include <stdarg.h>

#include "netd/bridge.h"
#include "netd/dnsmasq.h"
#include "netd/network-spec.h"

enum { IFNAME_LEN_MAX = 15, LABEL_MAX = 63, IPV6_MTU_MIN = 1280 };

static const char *path_at(const struct check *check, const char *fmt, ...) printf_like(2, 3);
static const char *path_at(const struct check *check, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	const char *path = arena_vprintf(check->diags->arena, fmt, args);
	va_end(args);
	return path;
}

/* The objects that come before the one being checked, so that each pair is complained about once, at the later one. */
static const struct object *earlier(const struct check *check, size_t i)
{
	const struct object *object = check->at(check, i);
	return object == check->object ? NULL : object;
}

/* ---- names ---- */

/* Letters, digits, '-' and '_' in labels of up to 63: what dnsmasq and resolvers agree on. */
static bool is_domain(const char *name)
{
	size_t len = 0;
	for (const char *p = name;; p++) {
		if (*p == '.' || !*p) {
			if (len == 0 || len > LABEL_MAX || p[-1] == '-')
				return false;
			if (!*p)
				return true;
			len = 0;
		} else if (isalnum((unsigned char)*p) || *p == '_' || (*p == '-' && len > 0)) {
			len++;
		} else {
			return false;
		}
	}
}

static bool makes_bridge(const struct object *object)
{
	return object->kind == &netd_network_kind &&
	       ((const struct network_spec *)object->spec)->mode != NETWORK_BRIDGED;
}

/* The bridge's name goes into the files of dnsmasq and iptables, where '*' and '+' at the end of a name mean many. */
static void check_bridge(const struct check *check, const struct network_spec *spec)
{
	const char *bridge = network_bridge(check->object), *path = spec->bridge ? "spec.bridge" : "metadata.name";
	if (strlen(check->object->name) > IFNAME_LEN_MAX)
		check_fault(check, "metadata.name", "a Network that makes a bridge has a name of at most %d characters",
			    IFNAME_LEN_MAX);
	for (const char *p = bridge; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) {
			check_fault(check, path, "a bridge's name consists of letters, digits, '.', '_' and '-'");
			return;
		}
	}
	const struct object *other = check->find(check, "Bridge", bridge);
	if (other) {
		struct diag *diag = check_fault(
			check, path,
			"the bridge '%s' is defined as a Bridge already; a Network in this mode makes one of its own",
			bridge);
		diag_related(check->diags, diag, object_pos(other, "metadata.name"), "defined here");
	}
	for (size_t i = 0; (other = earlier(check, i)); i++) {
		if (!makes_bridge(other) || !streq(network_bridge(other), bridge))
			continue;
		struct diag *diag =
			check_fault(check, path, "Network '%s' makes the bridge '%s' already", other->name, bridge);
		diag_related(check->diags, diag, object_pos(other, "spec.bridge"), "here");
	}
}

/* ---- addresses ---- */

static bool all_ones(const struct ip *ip, uint8_t from)
{
	for (unsigned bit = from; bit < 32; bit++)
		if (!(ip->b[bit / 8] >> (7 - bit % 8) & 1))
			return false;
	return true;
}

/* The first and last address of an IPv4 subnet are no host's; the first of an IPv6 subnet is every router's. */
bool network_is_edge(const struct ip_prefix *prefix, const struct ip *ip)
{
	struct ip_prefix network = prefix_network(prefix);
	uint8_t host_bits = (uint8_t)((ip->family == 4 ? 32 : 128) - prefix->len);
	if (host_bits < 2)
		return false;
	return ip_equal(&network.ip, ip) || (ip->family == 4 && all_ones(ip, prefix->len));
}

const char *network_not_for_hosts(const struct ip *ip)
{
	static const struct ip unspecified;
	if (memcmp(ip->b, unspecified.b, sizeof(ip->b)) == 0)
		return "the unspecified address";
	if (ip->family == 4)
		return ip->b[0] == 0 || ip->b[0] == 127 ? "a loopback or reserved address"
		       : ip->b[0] >= 224                ? "a multicast or reserved address"
							: NULL;
	if (ip->b[0] == 0xff)
		return "a multicast address";
	if (ip_is_link_local(ip))
		return "a link-local address";
	return NULL;
}

/* The list of prefixes that an object of any kind gives to a link it makes; NULL if its kind has none. */
static const struct list *addresses_of(const struct object *object)
{
	const struct field *row = table_field(object->kind->table, "addresses");
	if (!row || row->shape != FIELD_LIST || row->scalar != &scalar_prefix)
		return NULL;
	return (const struct list *)((const char *)object->spec + row->offset);
}

static void check_overlap_with(const struct check *check, const struct ip_prefix *prefix, const char *path,
			       const struct object *other)
{
	const struct list *theirs = addresses_of(other);
	for (size_t i = 0; theirs && i < theirs->n; i++) {
		const struct ip_prefix *their = &list_at(theirs, struct ip_prefix, i);
		char text[IP_TEXT];
		if (!prefix_overlaps(prefix, their))
			continue;
		struct diag *diag = check_fault(check, path, "the subnet overlaps %s of %s '%s'",
						prefix_text(their, text), other->kind->name, other->name);
		diag_related(check->diags, diag, object_pos(other, path_at(check, "spec.addresses[%zu]", i)), "here");
		return;
	}
}

/* Other kinds do not look at Networks, so all of theirs are compared; of Networks only the earlier ones. */
static void check_overlap(const struct check *check, const struct ip_prefix *prefix, const char *path)
{
	const struct object *other;
	bool later = false;
	for (size_t i = 0; (other = check->at(check, i)); i++) {
		if (other == check->object)
			later = true;
		else if (!later || other->kind != &netd_network_kind)
			check_overlap_with(check, prefix, path, other);
	}
}

static void check_addresses(const struct check *check, const struct network_spec *spec)
{
	for (size_t i = 0; i < spec->addresses.n; i++) {
		const struct ip_prefix *prefix = &list_at(&spec->addresses, struct ip_prefix, i);
		const char *path = path_at(check, "spec.addresses[%zu]", i), *why = network_not_for_hosts(&prefix->ip);
		char text[IP_TEXT];
		if (why)
			check_fault(check, path, "%s is %s and cannot be the host's on a network",
				    ip_text(&prefix->ip, text), why);
		else if (prefix->len == 0)
			check_fault(check, path, "a prefix length of 0 would take in every address");
		else if (network_is_edge(prefix, &prefix->ip))
			check_fault(check, path, "%s is the %s address of its subnet, no host's",
				    ip_text(&prefix->ip, text),
				    prefix->ip.family == 4 && all_ones(&prefix->ip, prefix->len) ? "broadcast"
												 : "network");
		for (size_t k = 0; k < i; k++)
			if (ip_equal(&prefix->ip, &list_at(&spec->addresses, struct ip_prefix, k).ip))
				check_fault(check, path, "%s is in the list twice", ip_text(&prefix->ip, text));
		check_overlap(check, prefix, path);
	}
	if (network_has(spec, "mtu") && spec->mtu < IPV6_MTU_MIN && network_has_family(spec, 6))
		check_fault(check, "spec.mtu", "IPv6 needs an MTU of at least %d", IPV6_MTU_MIN);
}

/* ---- DHCP ---- */

static bool is_hosts_own(const struct network_spec *spec, const struct ip *ip)
{
	for (size_t i = 0; i < spec->addresses.n; i++)
		if (ip_equal(&list_at(&spec->addresses, struct ip_prefix, i).ip, ip))
			return true;
	return false;
}

static void check_range(const struct check *check, const struct ip_range *range, uint8_t family, const char *path)
{
	const struct network_spec *spec = check->object->spec;
	const struct ip_prefix *subnet = network_subnet_of(spec, &range->first);
	char text[IP_TEXT];
	if (range->first.family != family) {
		check_fault(check, path, "expected IPv%d addresses", family);
		return;
	}
	if (!subnet || !prefix_contains(subnet, &range->last)) {
		struct diag *diag = check_fault(
			check, path, "the range does not lie within the subnet of one of the network's addresses");
		if (!network_has_family(spec, family))
			diag_hint(check->diags, diag, "the network has no IPv%d address; add one to spec.addresses",
				  family);
		else
			diag_related(check->diags, diag, object_pos(check->object, "spec.addresses"),
				     "the addresses are here");
		return;
	}
	if (network_is_edge(subnet, &range->first) || network_is_edge(subnet, &range->last))
		check_fault(check, path, "the range takes in the network or broadcast address of %s",
			    prefix_text(subnet, text));
	for (size_t i = 0; i < spec->addresses.n; i++) {
		const struct ip *own = &list_at(&spec->addresses, struct ip_prefix, i).ip;
		if (own->family == family && ip_compare(&range->first, own) <= 0 &&
		    ip_compare(own, &range->last) <= 0) {
			struct diag *diag = check_fault(check, path, "the range takes in the host's own address %s",
							ip_text(own, text));
			diag_related(check->diags, diag,
				     object_pos(check->object, path_at(check, "spec.addresses[%zu]", i)), "here");
		}
	}
}

static bool same_ip(const struct network_host *a, const struct network_host *b)
{
	for (size_t i = 0; i < a->ips.n; i++)
		for (size_t k = 0; k < b->ips.n; k++)
			if (ip_equal(&list_at(&a->ips, struct ip, i), &list_at(&b->ips, struct ip, k)))
				return true;
	return false;
}

static void check_host_unique(const struct check *check, const struct network_dhcp *dhcp, size_t i)
{
	const struct network_host *host = &list_at(&dhcp->hosts, struct network_host, i);
	for (size_t k = 0; k < i; k++) {
		const struct network_host *other = &list_at(&dhcp->hosts, struct network_host, k);
		const char *what = NULL;
		if (host->name && streq(host->name, other->name))
			what = "name";
		else if (network_host_has(host, "mac") && network_host_has(other, "mac") &&
			 memcmp(&host->mac, &other->mac, sizeof(host->mac)) == 0)
			what = "mac";
		else if (same_ip(host, other))
			what = "ip";
		if (!what)
			continue;
		struct diag *diag = check_fault(check, path_at(check, "spec.dhcp.hosts[%zu].%s", i, what),
						"another host has this %s",
						streq(what, "ip")    ? "address"
						: streq(what, "mac") ? "MAC"
								     : what);
		diag_related(check->diags, diag,
			     object_pos(check->object, path_at(check, "spec.dhcp.hosts[%zu].%s", k, what)), "here");
	}
}

static void check_host(const struct check *check, const struct network_spec *spec, size_t i)
{
	const struct network_host *host = &list_at(&spec->dhcp.hosts, struct network_host, i);
	const char *ip_path = path_at(check, "spec.dhcp.hosts[%zu].ip", i);
	bool seen[2] = {false, false};
	char text[IP_TEXT], other[IP_TEXT];
	if (!host->name && !network_host_has(host, "mac"))
		check_fault(check, path_at(check, "spec.dhcp.hosts[%zu]", i),
			    "a host needs a name or a mac to be known by");
	for (size_t k = 0; k < host->ips.n; k++) {
		const struct ip *ip = &list_at(&host->ips, struct ip, k);
		const struct ip_prefix *subnet = network_subnet_of(spec, ip);
		bool *again = &seen[ip->family == 6];
		if (!subnet)
			check_fault(check, ip_path,
				    "%s does not lie within the subnet of one of the network's addresses",
				    ip_text(ip, text));
		else if (is_hosts_own(spec, ip))
			check_fault(check, ip_path, "%s is the host's own address", ip_text(ip, text));
		else if (network_is_edge(subnet, ip))
			check_fault(check, ip_path, "%s is the network or broadcast address of %s", ip_text(ip, text),
				    prefix_text(subnet, other));
		else if (ip->family == 6 && spec->ipv6.mode != IPV6_DHCP && spec->ipv6.mode != IPV6_BOTH)
			check_fault(check, ip_path, "an IPv6 address can be reserved with ipv6.mode dhcp or both only");
		else if (*again)
			check_fault(check, ip_path, "one IPv%d address can be reserved for a host", ip->family);
		*again = true;
	}
	check_host_unique(check, &spec->dhcp, i);
}

static void check_dhcp(const struct check *check, const struct network_spec *spec)
{
	const struct network_dhcp *dhcp = &spec->dhcp;
	if (!network_has(spec, "dhcp"))
		return;
	if (spec->addresses.n == 0) {
		check_fault(check, "spec.dhcp",
			    "a DHCP server needs an address of the host on the network; add one to spec.addresses");
		return;
	}
	if (network_dhcp_has(dhcp, "range"))
		check_range(check, &dhcp->range, 4, "spec.dhcp.range");
	if (network_dhcp_has(dhcp, "range6")) {
		if (spec->ipv6.mode != IPV6_DHCP && spec->ipv6.mode != IPV6_BOTH)
			check_fault(check, "spec.dhcp.range6",
				    "IPv6 addresses are given with ipv6.mode dhcp or both only");
		check_range(check, &dhcp->range6, 6, "spec.dhcp.range6");
	}
	for (size_t i = 0; i < dhcp->hosts.n; i++)
		check_host(check, spec, i);
}

/* ---- DNS, IPv6 ---- */

static void check_dns(const struct check *check, const struct network_spec *spec)
{
	const struct network_dns *dns = &spec->dns;
	if (network_has(spec, "dns") && spec->addresses.n == 0)
		check_fault(check, "spec.dns",
			    "a DNS server needs an address of the host on the network; add one to spec.addresses");
	if (dns->domain && !is_domain(dns->domain))
		check_fault(check, "spec.dns.domain",
			    "'%s' is no domain name: labels of letters, digits and '-' with dots between them",
			    dns->domain);
	for (size_t i = 0; i < dns->records.n; i++) {
		const char *name = list_at(&dns->records, struct dns_record, i).name;
		if (name && !is_domain(name))
			check_fault(check, path_at(check, "spec.dns.records[%zu].name", i),
				    "'%s' is no host name: labels of letters, digits and '-' with dots between them",
				    name);
	}
	for (size_t i = 0; i < dns->upstream.n; i++) {
		const char *text = list_at(&dns->upstream, const char *, i);
		const char *path = path_at(check, "spec.dns.upstream[%zu]", i);
		struct ip ip;
		if (streq(text, "host"))
			continue;
		if (ip_parse(text, &ip) < 0)
			check_fault(check, path, "expected host or the address of a server, not '%s'", text);
		else if (is_hosts_own(spec, &ip))
			check_fault(check, path, "this server would ask itself");
	}
}

static void check_ipv6(const struct check *check, const struct network_spec *spec)
{
	static const char *const modes[] = {"slaac", "dhcp", "both", "none"};
	bool slaac = spec->ipv6.mode == IPV6_SLAAC || spec->ipv6.mode == IPV6_BOTH;
	if (network_has(spec, "ipv6") && !network_has_family(spec, 6) && spec->ipv6.mode != IPV6_NONE)
		check_fault(check, "spec.ipv6", "the network has no IPv6 address; add one to spec.addresses");
	if (spec->ipv6.nat && spec->mode == NETWORK_ISOLATED)
		check_fault(check, "spec.ipv6.nat",
			    "an isolated network is not translated; remove this or say mode: nat");
	if (spec->ipv6.nat && spec->mode == NETWORK_ROUTED)
		check_fault(check, "spec.ipv6.nat", "a routed network is not translated; remove this or say mode: nat");
	if (spec->ipv6.mode == IPV6_NONE)
		return;
	for (size_t i = 0; i < spec->addresses.n; i++) {
		const struct ip_prefix *prefix = &list_at(&spec->addresses, struct ip_prefix, i);
		const char *path = path_at(check, "spec.addresses[%zu]", i);
		struct diag *diag = NULL;
		if (prefix->ip.family != 6)
			continue;
		if (slaac && prefix->len != 64)
			diag = check_fault(check, path,
					   "clients can make their own addresses (ipv6.mode %s) in a /64 only",
					   modes[spec->ipv6.mode]);
		else if (prefix->len < 64 || prefix->len > 126)
			diag = check_fault(check, path, "DHCPv6 (ipv6.mode %s) serves prefixes of 64 to 126 bits",
					   modes[spec->ipv6.mode]);
		if (diag)
			diag_hint(check->diags, diag,
				  slaac && prefix->len > 64 ? "write a /64, or ipv6: {mode: dhcp}"
							    : "write a /64, or ipv6: {mode: none}");
	}
}

/* ---- forwards ---- */

static bool is_any(const struct ip *ip)
{
	static const struct ip zero;
	return memcmp(ip->b, zero.b, sizeof(ip->b)) == 0;
}

static bool forwards_clash(const struct network_forward *a, const struct network_forward *b)
{
	return a->proto == b->proto && a->listen.port == b->listen.port && a->listen.ip.family == b->listen.ip.family &&
	       (is_any(&a->listen.ip) || is_any(&b->listen.ip) || ip_equal(&a->listen.ip, &b->listen.ip));
}

/* Complains about those of `other` that come before number `i` of ours. */
static void check_forward_clash(const struct check *check, size_t i, const struct object *other)
{
	const struct network_spec *spec = check->object->spec, *theirs = other->spec;
	const struct network_forward *forward = &list_at(&spec->forwards, struct network_forward, i);
	size_t n = other == check->object ? i : theirs->forwards.n;
	for (size_t k = 0; k < n; k++) {
		if (!forwards_clash(forward, &list_at(&theirs->forwards, struct network_forward, k)))
			continue;
		struct diag *diag = check_fault(
			check, path_at(check, "spec.forwards[%zu].listen", i), "this port is forwarded already%s%s%s",
			other == check->object ? "" : ", by Network '", other == check->object ? "" : other->name,
			other == check->object ? "" : "'");
		diag_related(check->diags, diag, object_pos(other, path_at(check, "spec.forwards[%zu].listen", k)),
			     "here");
		return;
	}
}

static void check_forward(const struct check *check, const struct network_spec *spec, size_t i)
{
	const struct network_forward *forward = &list_at(&spec->forwards, struct network_forward, i);
	const char *listen = path_at(check, "spec.forwards[%zu].listen", i),
		   *to = path_at(check, "spec.forwards[%zu].to", i);
	const struct object *other;
	char text[IP_TEXT];
	if (!forward->listen.ip.family || !forward->to.ip.family)
		return; /* not readable; said before */
	if (forward->listen.port == 0)
		check_fault(check, listen, "expected a port from 1 to 65535");
	if (forward->to.port == 0)
		check_fault(check, to, "expected a port from 1 to 65535");
	if (forward->listen.ip.family != forward->to.ip.family)
		check_fault(check, to, "a forward leads from IPv%d to IPv%d; both ends are of one family",
			    forward->listen.ip.family, forward->to.ip.family);
	else if (!network_subnet_of(spec, &forward->to.ip))
		check_fault(check, to, "%s does not lie within the subnet of one of the network's addresses",
			    ip_text(&forward->to.ip, text));
	else if (is_hosts_own(spec, &forward->to.ip))
		check_fault(check, to, "%s is the host's own address", ip_text(&forward->to.ip, text));
	check_forward_clash(check, i, check->object);
	for (size_t k = 0; (other = earlier(check, k)); k++)
		if (other->kind == &netd_network_kind)
			check_forward_clash(check, i, other);
}

static void check_forwards(const struct check *check, const struct network_spec *spec)
{
	if (spec->forwards.n > 0 && spec->mode == NETWORK_ISOLATED) {
		check_fault(check, "spec.forwards",
			    "an isolated network cannot be reached from outside; remove the forwards or say mode: nat");
		return;
	}
	for (size_t i = 0; i < spec->forwards.n; i++)
		check_forward(check, spec, i);
}

/* ---- bridged ---- */

static void check_vlan(const struct check *check, const struct network_spec *spec)
{
	const struct object *bridge = check->find(check, "Bridge", spec->bridge);
	struct bridge_filter filter = bridge ? netd_bridge_filter_of(bridge) : (struct bridge_filter){0};
	struct diag *diag = NULL;
	if (bridge && spec->vlan && !filter.filters)
		diag = check_fault(check, "spec.vlan",
				   "the Bridge '%s' does not filter VLANs, so that guests would be in all of them",
				   bridge->name);
	if (diag)
		diag_related(check->diags, diag, object_pos(bridge, "metadata.name"), "write vlanFiltering: true here");
	if (filter.filters && !spec->vlan && !filter.default_pvid)
		check_fault(check, "spec.bridge",
			    "the Bridge '%s' has no defaultPvid, so that guests would be in no VLAN; write vlan here",
			    bridge->name);
}

static void check_bridged(const struct check *check, const struct network_spec *spec)
{
	static const char *const others[] = {"addresses", "mtu", "mac", "dhcp", "dns", "ipv6", "forwards"};
	if (!spec->bridge) {
		check_fault(check, "spec.mode", "a bridged network joins a bridge; write its name: bridge: br0");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (network_has(spec, others[i]))
			check_fault(check, path_at(check, "spec.%s", others[i]),
				    "a bridged network has no %s of its own: they are the bridge's, or of whoever "
				    "serves the "
				    "network beyond it",
				    others[i]);
	check_vlan(check, spec);
}

void network_check(const struct check *check)
{
	const struct network_spec *spec = check->object->spec;
	if (spec->mode == NETWORK_BRIDGED) {
		check_bridged(check, spec);
		return;
	}
	if (network_has(spec, "vlan"))
		check_fault(check, "spec.vlan", "a VLAN is for mode bridged; this network has a bridge to itself");
	check_bridge(check, spec);
	check_addresses(check, spec);
	check_dhcp(check, spec);
	check_dns(check, spec);
	check_ipv6(check, spec);
	check_forwards(check, spec);
}
