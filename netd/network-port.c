/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest's interface joins a Network: its tap by the port backend, and what the DHCP server is to know of it. See
 * network.h. */
#include "netd/network.h"

#include "core/plugin.h"
#include "netd/bridge.h"
#include "netd/dnsmasq.h"
#include "netd/link-map.h"
#include "netd/network-spec.h"

/* The entry of dhcp.hosts that is meant: by MAC, else, for the guest's first interface, by name. `ret_i` gets its
 * number. */
static const struct network_host *find_host(const struct network_spec *spec, const struct netd_port *port,
					    size_t *ret_i)
{
	const struct network_host *by_name = NULL;
	struct mac mac;
	if (mac_parse(port->mac, &mac) < 0)
		return NULL;
	for (size_t i = 0; i < spec->dhcp.hosts.n; i++) {
		const struct network_host *host = &list_at(&spec->dhcp.hosts, struct network_host, i);
		bool has_mac = network_host_has(host, "mac");
		if (has_mac && memcmp(&host->mac, &mac, sizeof(mac)) == 0) {
			*ret_i = i;
			return host;
		}
		if (port->first && !has_mac && !by_name && streq(host->name, port->guest)) {
			by_name = host;
			*ret_i = i;
		}
	}
	return by_name;
}

/* Is what the interface fixes in line with what the network reserves? */
static bool ips_agree(struct lowering *l, const struct object *network, const struct netd_port *port,
		      const struct network_host *host, size_t i_host)
{
	for (size_t i = 0; i < port->ips.n; i++) {
		const struct ip *mine = &list_at(&port->ips, struct ip, i);
		for (size_t k = 0; k < host->ips.n; k++) {
			const struct ip *theirs = &list_at(&host->ips, struct ip, k);
			char a[IP_TEXT], b[IP_TEXT], path[64];
			if (mine->family != theirs->family || ip_equal(mine, theirs))
				continue;
			struct diag *diag =
				lower_refuse(l, arena_printf(lower_arena(l), "%s.ip", port->path),
					     "%s differs from %s, which Network '%s' reserves for this guest",
					     ip_text(mine, a), ip_text(theirs, b), network->name);
			snprintf(path, sizeof(path), "spec.dhcp.hosts[%zu].ip", i_host);
			diag_related(lower_diags(l), diag, object_pos(network, path), "reserved here");
			diag_hint(lower_diags(l), diag, "write the address in one of the two places only");
			return false;
		}
	}
	return true;
}

/* An address is one guest's on a network, and one that the network has. */
static bool ip_usable(struct lowering *l, const struct object *network, const struct netd_port *port,
		      const struct ip *ip)
{
	const struct network_spec *spec = network->spec;
	const char *path = arena_printf(lower_arena(l), "%s.ip", port->path), *holder = NULL;
	char text[IP_TEXT];
	const struct ip_prefix *subnet = network_subnet_of(spec, ip);
	ip_text(ip, text);
	if (!subnet) {
		lower_refuse(l, path, "%s does not lie within a subnet of Network '%s'", text, network->name);
		return false;
	}
	if (network_is_edge(subnet, ip)) {
		lower_refuse(l, path, "%s is the network or broadcast address of Network '%s'", text, network->name);
		return false;
	}
	for (size_t i = 0; i < spec->addresses.n; i++) {
		if (ip_equal(ip, &list_at(&spec->addresses, struct ip_prefix, i).ip)) {
			lower_refuse(l, path, "%s is the host's own address on Network '%s'", text, network->name);
			return false;
		}
	}
	const char *space = arena_printf(lower_arena(l), "ip/%s", network->name);
	if (!alloc_fixed(l, space, arena_printf(lower_arena(l), "%s/%s", port->tap, text), text, &holder)) {
		lower_refuse(l, path, "%s is the address of %s already", text, holder);
		return false;
	}
	return true;
}

/* Another client's reservation must not hold the address either. */
static bool ip_reserved(struct lowering *l, const struct object *network, const struct netd_port *port,
			const struct network_host *own, const struct ip *ip)
{
	const struct network_spec *spec = network->spec;
	for (size_t i = 0; i < spec->dhcp.hosts.n; i++) {
		const struct network_host *host = &list_at(&spec->dhcp.hosts, struct network_host, i);
		for (size_t k = 0; host != own && k < host->ips.n; k++) {
			char text[IP_TEXT], mac[IP_TEXT], path[64];
			if (!ip_equal(ip, &list_at(&host->ips, struct ip, k)))
				continue;
			struct diag *diag = lower_refuse(
				l, arena_printf(lower_arena(l), "%s.ip", port->path), "Network '%s' reserves %s for %s",
				network->name, ip_text(ip, text), host->name ? host->name : mac_text(&host->mac, mac));
			snprintf(path, sizeof(path), "spec.dhcp.hosts[%zu].ip", i);
			diag_related(lower_diags(l), diag, object_pos(network, path), "reserved here");
			return true;
		}
	}
	return false;
}

/* An entry with this guest's name but another MAC is about something else: both would be one client to dnsmasq. */
static bool name_is_free(struct lowering *l, const struct object *network, const struct netd_port *port,
			 const struct network_host *own)
{
	const struct network_spec *spec = network->spec;
	for (size_t i = 0; port->first && i < spec->dhcp.hosts.n; i++) {
		const struct network_host *host = &list_at(&spec->dhcp.hosts, struct network_host, i);
		char text[IP_TEXT], path[64];
		if (host == own || !network_host_has(host, "mac") || !streq(host->name, port->guest))
			continue;
		struct diag *diag =
			lower_refuse(l, port->path, "Network '%s' knows '%s' by the MAC %s, and this interface has %s",
				     network->name, port->guest, mac_text(&host->mac, text), port->mac);
		snprintf(path, sizeof(path), "spec.dhcp.hosts[%zu].mac", i);
		diag_related(lower_diags(l), diag, object_pos(network, path), "here");
		diag_hint(lower_diags(l), diag, "remove the mac there, or write it in the guest's interface as well");
		return false;
	}
	return true;
}

/* Wants the DHCP server's knowledge of this port; false after a refusal. Without an address it is still wanted: the
 * guest's name then leads to whatever it gets, and its lease goes when the guest does. */
static bool want_client(struct lowering *l, const struct object *network, const struct netd_port *port,
			struct want **ret)
{
	const struct network_spec *spec = network->spec;
	size_t i_host = 0;
	const struct network_host *host = find_host(spec, port, &i_host);
	if (!name_is_free(l, network, port, host) || (host && !ips_agree(l, network, port, host, i_host)))
		return false;
	for (size_t i = 0; i < port->ips.n; i++) {
		const struct ip *ip = &list_at(&port->ips, struct ip, i);
		if (!ip_usable(l, network, port, ip) || ip_reserved(l, network, port, host, ip))
			return false;
	}
	if (!network_has(spec, "dhcp"))
		return true;
	const char *key = host ? network_host_key(lower_arena(l), host) : port->first ? port->guest : port->tap;
	bool named = host && host->name;
	struct mac mac = {{0}};
	struct dhcp_host_spec client = {
		.present = dhcp_host_all_rows(),
		.names = {(void *)&port->guest, port->first && !named ? 1 : 0},
		.guests = {(void *)&port->guest, 1},
		.macs = {&mac, mac_parse(port->mac, &mac) == 0 ? 1 : 0},
		.ips = port->ips,
	};
	*ret = want(l, &netd_dhcp_host_class, &client, "%s/%s", network->name, key);
	return true;
}

uint32_t netd_port_mtu(struct lowering *l, const char *network)
{
	const struct object *object = lower_find(l, "Network", network);
	uint32_t mtu = object ? link_mtu(l, network_bridge(object)) : 0;
	return mtu ? mtu : STANDARD_MTU;
}

/* The VLAN of a guest's frames; 0 where the switch knows none. */
static uint32_t vlan_of(struct lowering *l, const struct network_spec *spec)
{
	if (spec->mode != NETWORK_BRIDGED)
		return 0;
	const struct bridge_filter filter = netd_bridge_filter(l, spec->bridge);
	return spec->vlan || !filter.filters ? spec->vlan : filter.default_pvid;
}

struct want *netd_port_want(struct lowering *l, const struct netd_port *port)
{
	const struct object *network = lower_find(l, "Network", port->network);
	const char *why = NULL;
	if (!network) {
		lower_refuse(l, port->path, "there is no Network '%s'", port->network);
		return NULL;
	}
	const struct weft_port_backend *backend = port_backend_find("bridge", &why);
	if (!backend) {
		lower_refuse(l, port->path, "Network '%s' needs the port backend 'bridge': %s", port->network, why);
		return NULL;
	}
	struct want *client = NULL;
	if (!want_client(l, network, port, &client))
		return NULL;
	struct weft_port join = {
		.size = sizeof(join),
		.tap = port->tap,
		.switch_name = network_bridge(network),
		.mac = port->mac,
		.owner = port->owner,
		.path = port->path,
		.queues = port->queues,
		.mtu = netd_port_mtu(l, port->network),
		.vlan = vlan_of(l, network->spec),
		.isolated = port->isolated,
	};
	struct want *tap = backend->lower_port(&plugin_host, l, &join);
	if (tap)
		needs(l, tap, client); /* known before it asks for an address */
	return tap;
}
