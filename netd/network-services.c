/* SPDX-License-Identifier: Apache-2.0 */
/* The part of lowering a Network that is its dnsmasq: which subnets it serves and how, and the clients it knows
 * beforehand. */
#include "netd/dnsmasq.h"
#include "netd/link-map.h"
#include "netd/network-spec.h"

enum { MAX_LEASES = 65536, RANGE6_FIRST = 0x1000, RANGE6_LAST = 0xffff };

/* How many addresses a range holds, at most MAX_LEASES. */
static uint32_t range_size(const struct ip_range *range)
{
	size_t n = range->first.family == 4 ? 4 : 16;
	uint64_t size = 0;
	for (size_t i = 0; i < n; i++) {
		size = size * 256 + range->last.b[i] - range->first.b[i];
		if ((int64_t)size >= MAX_LEASES)
			return MAX_LEASES;
	}
	return (uint32_t)size + 1;
}

static struct ip_range default_range6(const struct ip_prefix *address)
{
	struct ip_prefix network = prefix_network(address);
	struct ip_range range = {network.ip, network.ip};
	range.first.b[14] = RANGE6_FIRST >> 8;
	range.first.b[15] = RANGE6_FIRST & 0xff;
	range.last.b[14] = RANGE6_LAST >> 8;
	range.last.b[15] = RANGE6_LAST & 0xff;
	return range;
}

static const struct table *subnet_table(void)
{
	return table_field(&netd_dnsmasq_table, "subnets")->table;
}

static void set_range(struct dnsmasq_subnet *subnet, const struct ip_range *range)
{
	subnet->range = *range;
	subnet->anyone = true;
	mark_present(subnet, subnet_table(), "range");
}

/* Fills in how one of the host's addresses is served; false if it is not. */
static bool serve_subnet(const struct network_spec *spec, const struct ip_prefix *address,
			 struct dnsmasq_subnet *subnet)
{
	const struct network_dhcp *dhcp = &spec->dhcp;
	*subnet = (struct dnsmasq_subnet){.address = *address};
	bool four = address->ip.family == 4;
	subnet->dhcp = four ? network_has(spec, "dhcp") : spec->ipv6.mode == IPV6_DHCP || spec->ipv6.mode == IPV6_BOTH;
	subnet->slaac = !four && (spec->ipv6.mode == IPV6_SLAAC || spec->ipv6.mode == IPV6_BOTH);
	for (const char *const *row = (const char *const[]){"address", "anyone", "dhcp", "slaac", NULL}; *row; row++)
		mark_present(subnet, subnet_table(), *row);
	if (four && network_dhcp_has(dhcp, "range") && prefix_contains(address, &dhcp->range.first))
		set_range(subnet, &dhcp->range);
	if (!four && subnet->dhcp) {
		struct ip_range standard = default_range6(address);
		if (!network_dhcp_has(dhcp, "range6") && address->len <= 112)
			set_range(subnet, &standard);
		else if (network_dhcp_has(dhcp, "range6") && prefix_contains(address, &dhcp->range6.first))
			set_range(subnet, &dhcp->range6);
	}
	return subnet->dhcp || subnet->slaac;
}

/* Two addresses in one subnet are served once. */
static bool served_before(const struct dnsmasq_subnet *subnets, size_t n, const struct ip_prefix *address)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_overlaps(&subnets[i].address, address))
			return true;
	return false;
}

static struct list served_subnets(struct lowering *l, const struct network_spec *spec)
{
	struct dnsmasq_subnet *subnets = arena_alloc(lower_arena(l), (spec->addresses.n + 1) * sizeof(*subnets));
	size_t n = 0;
	for (size_t i = 0; i < spec->addresses.n; i++) {
		const struct ip_prefix *address = &list_at(&spec->addresses, struct ip_prefix, i);
		if (!served_before(subnets, n, address) && serve_subnet(spec, address, &subnets[n]))
			n++;
	}
	return (struct list){subnets, n};
}

static void set_upstream(struct lowering *l, const struct network_spec *spec, struct dnsmasq_spec *to)
{
	const struct list *upstream = &spec->dns.upstream;
	struct ip *servers = arena_alloc(lower_arena(l), (upstream->n + 1) * sizeof(*servers));
	size_t n = 0;
	to->host_resolver = !network_dns_has(&spec->dns, "upstream") && spec->mode != NETWORK_ISOLATED;
	for (size_t i = 0; i < upstream->n; i++) {
		const char *text = list_at(upstream, const char *, i);
		if (streq(text, "host"))
			to->host_resolver = true;
		else if (ip_parse(text, &servers[n]) == 0)
			n++;
	}
	to->upstream = (struct list){servers, n};
}

/* Reserved addresses by MAC are complete; those by guest keep the address free until the guest adds its MAC
 * (network-port.c). */
static void want_hosts(struct lowering *l, const struct object *network)
{
	const struct network_spec *spec = network->spec;
	for (size_t i = 0; i < spec->dhcp.hosts.n; i++) {
		struct network_host *host = &list_at(&spec->dhcp.hosts, struct network_host, i);
		struct dhcp_host_spec client = {
			.present = dhcp_host_all_rows(),
			.names = {&host->name, host->name ? 1 : 0},
			.macs = {&host->mac, network_host_has(host, "mac") ? 1 : 0},
			.ips = host->ips,
		};
		lower_at(l, arena_printf(lower_arena(l), "spec.dhcp.hosts[%zu]", i));
		want(l, &netd_dhcp_host_class, &client, "%s/%s", network->name, network_host_key(lower_arena(l), host));
	}
	lower_at(l, NULL);
}

struct want *network_want_services(struct lowering *l, const struct object *network)
{
	const struct network_spec *spec = network->spec;
	const struct table *table = &netd_dnsmasq_table;
	uint32_t mtu = link_mtu(l, network_bridge(network));
	struct dnsmasq_spec to = {
		.interface = network_bridge(network),
		.subnets = served_subnets(l, spec),
		.lease_ms = spec->dhcp.lease_ms ? spec->dhcp.lease_ms : 3600000,
		.router = spec->mode != NETWORK_ISOLATED,
		.mtu = spec->mtu || mtu != STANDARD_MTU ? mtu : 0,
		.domain = spec->dns.domain ? spec->dns.domain : "",
		.records = spec->dns.records,
	};
	set_upstream(l, spec, &to);
	uint64_t leases = spec->dhcp.hosts.n;
	for (size_t i = 0; i < to.subnets.n; i++) {
		const struct dnsmasq_subnet *subnet = &list_at(&to.subnets, struct dnsmasq_subnet, i);
		if (subnet->anyone)
			leases += range_size(&subnet->range);
	}
	to.max_leases = (uint32_t)(leases < 1000 ? 1000 : leases > MAX_LEASES ? MAX_LEASES : leases);
	static const char *const always[] = {"interface", "subnets", "lease",    "maxLeases",    "router",
					     "mtu",       "domain",  "upstream", "hostResolver", "records"};
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		mark_present(&to, table, always[i]);
	struct want *server = want(l, &netd_dnsmasq_class, &to, "%s", network->name);
	want_hosts(l, network);
	return server;
}
