/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Network: a bridge of its own with the host as its router, DHCP and DNS server. This file holds what a person
 * may write and turns it into a link, addresses, sysctls and firewall rules; network-services.c adds dnsmasq,
 * network-check.c has the rules across rows, network-port.c attaches guests. */
#include "netd/address.h"
#include "netd/dnsmasq.h"
#include "netd/firewall.h"
#include "netd/link-common.h"
#include "netd/link-map.h"
#include "netd/link.h"
#include "netd/network-spec.h"

#define DAY_MS UINT64_C(86400000)

static const char *const mode_names[] = {"nat", "isolated", "routed", "bridged"};
static const char *const ipv6_mode_names[] = {"slaac", "dhcp", "both", "none"};
static const char *const proto_names[] = {"tcp", "udp"};

static const struct field host_rows[] = {
	F_NAME("name", struct network_host, name,
	       .doc = "Guest whose first interface on this network gets the address; with mac: the host's DNS name.",
	       .example = "web"),
	F_MAC("mac", struct network_host, mac, .doc = "MAC address of the client.", .example = "52:54:00:00:20:01"),
	F_LIST("ip", struct network_host, ips, scalar_ip, .flags = FIELD_REQUIRED, .list_max = 4,
	       .doc = "Address it always gets; one of each family is possible.", .example = "192.168.150.10"),
};
static const struct table host_table = TABLE("Network.dhcp.hosts", struct network_host, host_rows);

static const struct field dhcp_rows[] = {
	F_RANGE("range", struct network_dhcp, range,
		.doc = "IPv4 addresses for clients without a reservation; without it, only reserved ones are given.",
		.example = "192.168.150.100-192.168.150.199"),
	F_DURATION("lease", struct network_dhcp, lease_ms, .min = 120000, .max = 365 * DAY_MS, .def = "1h",
		   .doc = "How long an address is lent; at least 2m.", .example = "12h"),
	F_STRUCTS("hosts", struct network_dhcp, hosts, host_table, .list_max = 4096,
		  .doc = "Reserved addresses, by guest or by MAC."),
	F_RANGE("range6", struct network_dhcp, range6,
		.doc = "IPv6 addresses given with ipv6.mode dhcp or both; default: the subnet's ::1000 to ::ffff.",
		.example = "fd42:150::1000-fd42:150::1fff"),
};
static const struct table dhcp_table = TABLE("Network.dhcp", struct network_dhcp, dhcp_rows);

static const struct field record_rows[] = {
	F_STRING("name", struct dns_record, name, .flags = FIELD_REQUIRED, .max = 253,
		 .doc = "Host name; without a dot, the network's domain is added.", .example = "gw"),
	F_LIST("ip", struct dns_record, ips, scalar_ip, .flags = FIELD_REQUIRED, .list_max = 16,
	       .doc = "Address or addresses it stands for.", .example = "192.168.150.1"),
};
const struct table netd_dns_record_table = TABLE("Network.dns.records", struct dns_record, record_rows);

static const struct field dns_rows[] = {
	F_STRING("domain", struct network_dns, domain, .max = 253,
		 .doc = "Domain of the network, answered here and asked nowhere else.", .example = "lan.test"),
	F_STRUCTS("records", struct network_dns, records, netd_dns_record_table, .list_max = 4096,
		  .doc = "Names that are answered here."),
	F_LIST("upstream", struct network_dns, upstream, scalar_string, .list_max = 16,
	       .doc = "Who answers other names: addresses of servers, or host for those of the host's resolv.conf. "
		      "Default: host; nobody when isolated.",
	       .example = "[host]"),
};
static const struct table dns_table = TABLE("Network.dns", struct network_dns, dns_rows);

static const struct field ipv6_rows[] = {
	F_ENUM("mode", struct network_ipv6, mode, ipv6_mode_names, .def = "slaac",
	       .doc = "How clients get IPv6 addresses: they make their own (slaac), by DHCPv6 (dhcp), both, or none is "
		      "announced."),
	F_BOOL("nat", struct network_ipv6, nat, .def = "false",
	       .doc = "Translate IPv6 as well (NAT66), for addresses that nobody routes."),
};
static const struct table ipv6_table = TABLE("Network.ipv6", struct network_ipv6, ipv6_rows);

static const struct field forward_rows[] = {
	F_ENDPOINT("listen", struct network_forward, listen, .flags = FIELD_REQUIRED,
		   .doc = "Address and port of the host; 0.0.0.0 and [::] stand for all.", .example = "0.0.0.0:8080"),
	F_ENUM("proto", struct network_forward, proto, proto_names, .def = "tcp", .doc = "Protocol."),
	F_ENDPOINT("to", struct network_forward, to, .flags = FIELD_REQUIRED,
		   .doc = "Address and port on this network.", .example = "192.168.150.10:80"),
};
static const struct table forward_table = TABLE("Network.forwards", struct network_forward, forward_rows);

static const struct field network_rows[] = {
	F_ENUM("mode", struct network_spec, mode, mode_names, .def = "nat",
	       .doc = "nat: guests reach the world through the host's addresses. routed: under their own, which "
		      "others must have a route to. isolated: they reach the host and each other, nothing else. "
		      "bridged: "
		      "they are ports of a bridge that is there, and the network beyond it is theirs."),
	F_IFNAME(
		"bridge", struct network_spec, bridge, .ref = "*",
		.doc = "Name of the bridge that is made; default: the Network's name. bridged: the one that is joined.",
		.example = "br-lan"),
	F_U32("vlan", struct network_spec, vlan, .min = 1, .max = 4094,
	      .doc = "bridged: VLAN of the guests, whose frames have no tag; the bridge filters VLANs. Default: its "
		     "defaultPvid.",
	      .example = "20"),
	F_LIST("addresses", struct network_spec, addresses, scalar_prefix, .list_max = 16,
	       .doc = "The host's own addresses on the network.", .example = "[192.168.150.1/24, \"fd42:150::1/64\"]"),
	F_U32("mtu", struct network_spec, mtu, .min = 576, .max = 65535,
	      .doc = "MTU of the bridge and of its ports, 1500 if nothing is said; told to DHCP clients.",
	      .example = "1400"),
	F_MAC("mac", struct network_spec, mac,
	      .doc = "MAC of the bridge; default: one derived from this host and the name."),
	F_STRUCT("dhcp", struct network_spec, dhcp, dhcp_table,
		 .doc = "DHCP server for IPv4, and for IPv6 as ipv6.mode says."),
	F_STRUCT("dns", struct network_spec, dns, dns_table, .doc = "DNS server on the network's addresses."),
	F_STRUCT("ipv6", struct network_spec, ipv6, ipv6_table,
		 .doc = "Router advertisements and translation; only with an IPv6 address."),
	F_STRUCTS("forwards", struct network_spec, forwards, forward_table, .list_max = 1024,
		  .doc = "Ports of the host that lead to guests, for others, for the host and for guests alike."),
};
const struct table netd_network_table = TABLE("Network", struct network_spec, network_rows);

static bool has(const struct table *table, const void *spec, const char *row)
{
	return is_present(spec, table, table_field(table, row));
}

bool network_has(const struct network_spec *spec, const char *row)
{
	return has(&netd_network_table, spec, row);
}

bool network_dhcp_has(const struct network_dhcp *dhcp, const char *row)
{
	return has(&dhcp_table, dhcp, row);
}

bool network_host_has(const struct network_host *host, const char *row)
{
	return has(&host_table, host, row);
}

bool network_dns_has(const struct network_dns *dns, const char *row)
{
	return has(&dns_table, dns, row);
}

const char *network_bridge(const struct object *network)
{
	const struct network_spec *spec = network->spec;
	return spec->bridge ? spec->bridge : network->name;
}

const struct ip_prefix *network_subnet_of(const struct network_spec *spec, const struct ip *ip)
{
	for (size_t i = 0; i < spec->addresses.n; i++) {
		const struct ip_prefix *prefix = &list_at(&spec->addresses, struct ip_prefix, i);
		if (prefix_contains(prefix, ip))
			return prefix;
	}
	return NULL;
}

bool network_has_family(const struct network_spec *spec, uint8_t family)
{
	for (size_t i = 0; i < spec->addresses.n; i++)
		if (list_at(&spec->addresses, struct ip_prefix, i).ip.family == family)
			return true;
	return false;
}

const char *network_host_key(struct arena *arena, const struct network_host *host)
{
	char text[IP_TEXT];
	if (host->name)
		return host->name;
	char *key = arena_strdup(arena, mac_text(&host->mac, text));
	for (char *p = key; *p; p++)
		if (*p == ':')
			*p = '-';
	return key;
}

static bool announces_ipv6(const struct network_spec *spec)
{
	return spec->ipv6.mode != IPV6_NONE && network_has_family(spec, 6);
}

bool network_has_services(const struct network_spec *spec)
{
	return spec->addresses.n > 0 && (network_has(spec, "dhcp") || network_has(spec, "dns") || announces_ipv6(spec));
}

static struct want *want_link(struct lowering *l, const struct object *object)
{
	const struct network_spec *spec = object->spec;
	const char *bridge = network_bridge(object);
	struct mac mac = network_has(spec, "mac") ? spec->mac : link_stable_mac(bridge);
	char text[IP_TEXT];
	const char *holder = NULL;
	lower_at(l, spec->bridge ? "spec.bridge" : NULL);
	if (!alloc_fixed(l, "link", "bridge", bridge, &holder))
		lower_refuse(l, spec->bridge ? "spec.bridge" : NULL,
			     "the link name '%s' is taken by %s; choose another with spec.bridge", bridge, holder);
	struct want *link = want(l, class_find("link"), NULL, "%s", bridge);
	want_set(l, link, "kind", "bridge");
	want_set(l, link, "mac", "%s", mac_text(&mac, text));
	want_set(l, link, "up", "true");
	lower_at(l, network_has(spec, "mtu") ? "spec.mtu" : NULL);
	want_set(l, link, "mtu", "%u", link_mtu(l, bridge));
	lower_at(l, NULL);
	return link;
}

static struct want *want_sysctl(struct lowering *l, struct want *link, const char *bridge, const char *name,
				const char *value)
{
	struct want *sysctl = want(l, class_find("sysctl"), NULL, "net/ipv6/conf/%s/%s", bridge, name);
	want_set(l, sysctl, "value", "%s", value);
	needs(l, sysctl, link);
	return sysctl;
}

/* The host is the router here: it believes no router advertisement on its own bridge (it would hear its own), and
 * without an IPv6 address of ours it speaks no IPv6 there, so that guests cannot reach it by a link-local address that
 * nobody wrote. */
static struct want *want_sysctls(struct lowering *l, const struct object *object, struct want *link)
{
	const char *bridge = network_bridge(object);
	bool ipv6 = network_has_family(object->spec, 6);
	if (!fact(l, "sysctl/net/ipv6/conf/all/disable_ipv6"))
		return NULL; /* a kernel without IPv6 */
	want_sysctl(l, link, bridge, "accept_ra", "0");
	want_sysctl(l, link, bridge, "autoconf", "0");
	if (ipv6) /* nobody else has our address on our own bridge, and the first guest's router solicitation is
		     answered at once */
		want_sysctl(l, link, bridge, "accept_dad", "0");
	return want_sysctl(l, link, bridge, "disable_ipv6", ipv6 ? "0" : "1");
}

static void want_firewall(struct lowering *l, const struct object *object)
{
	const struct network_spec *spec = object->spec;
	struct netd_firewall_plan plan = {
		.network = object->name,
		.bridge = network_bridge(object),
		.mode = spec->mode == NETWORK_ISOLATED ? FIREWALL_ISOLATED
			: spec->mode == NETWORK_ROUTED ? FIREWALL_ROUTED
						       : FIREWALL_NAT,
		.prefixes = spec->addresses,
		.nat4 = spec->mode == NETWORK_NAT && network_has_family(spec, 4),
		.nat6 = spec->ipv6.nat,
		.dhcp4 = network_has(spec, "dhcp") && network_has_family(spec, 4),
		.dhcp6 = announces_ipv6(spec),
		.dns = network_has_services(spec),
		.ra = announces_ipv6(spec),
	};
	struct netd_firewall_forward *forwards =
		arena_alloc(lower_arena(l), (spec->forwards.n + 1) * sizeof(*forwards));
	for (size_t i = 0; i < spec->forwards.n; i++) {
		const struct network_forward *from = &list_at(&spec->forwards, struct network_forward, i);
		forwards[i] = (struct netd_firewall_forward){
			.listen = from->listen,
			.proto = from->proto == PROTO_UDP ? FIREWALL_UDP : FIREWALL_TCP,
			.to = from->to,
		};
	}
	plan.forwards = (struct list){forwards, spec->forwards.n};
	netd_firewall_want(l, &plan);
}

/* It has next to nothing of its own: what guests need is said when they join, in network-port.c. */
static void lower_bridged(struct lowering *l, const struct object *object)
{
	const char *bridge = network_bridge(object);
	const char *filters = lower_find(l, "Bridge", bridge) ? NULL : fact(l, "link/%s/vlanFiltering", bridge);
	const struct network_spec *spec = object->spec;
	lower_at(l, "spec.bridge");
	want(l, class_find("link"), NULL, "%s", bridge);
	lower_at(l, NULL);
	netd_firewall_want_bridged(l);
	if (spec->vlan && streq(filters, "false"))
		lower_refuse(l, "spec.vlan",
			     "the bridge '%s' does not filter VLANs, so that guests would be in all of them", bridge);
}

static void network_lower(struct lowering *l, const struct object *object)
{
	const struct network_spec *spec = object->spec;
	if (spec->mode == NETWORK_BRIDGED) {
		lower_bridged(l, object);
		return;
	}
	const char *bridge = network_bridge(object);
	if (link_refuse_loop(l, bridge) || !link_mtu_takes(l, bridge, &spec->addresses, "spec.addresses"))
		return;
	struct want *link = want_link(l, object);
	struct want *ipv6_on = want_sysctls(l, object, link);
	struct want *services = network_has_services(spec) ? network_want_services(l, object) : NULL;
	if (services)
		needs(l, services, link);
	for (size_t i = 0; i < spec->addresses.n; i++) {
		lower_at(l, arena_printf(lower_arena(l), "spec.addresses[%zu]", i));
		struct want *address = address_want(l, link, &spec->addresses, i);
		if (list_at(&spec->addresses, struct ip_prefix, i).ip.family == 6)
			needs(l, address, ipv6_on);
		if (services)
			needs(l, services, address);
	}
	lower_at(l, NULL);
	want_firewall(l, object);
}

const struct kind netd_network_kind = {
	.name = "Network",
	.plural = "networks",
	.shorts = "net",
	.doc = "A network for guests. On a bridge of its own the host is its router and answers DHCP, DNS and router "
	       "solicitations; by NAT the guests reach the world, and forwarded ports lead to them. In mode bridged "
	       "the "
	       "guests share a bridge, and a VLAN, with whatever else is there.",
	.table = &netd_network_table,
	.check = network_check,
	.lower = network_lower,
	.columns = "spec.mode,spec.addresses",
};
