/* SPDX-License-Identifier: Apache-2.0 */
/* The port backend "bridge": a guest's port is a tap that is a port of a bridge of the kernel's. */
#include <stdio.h>
#include <string.h>

#include "weft/plugin.h"

/* Sets a row from what printf makes of it; false after a refusal. */
static bool set(const struct weft_host *host, struct lowering *l, struct want *tap, const char *row, const char *text)
{
	return host->want_set(l, tap, row, text);
}

/* The host's end must not have the guest's MAC: the bridge would take the guest's frames for its own. With the highest
 * first byte it is never the one that a bridge chooses for itself either. */
static bool set_mac(const struct weft_host *host, struct lowering *l, struct want *tap, const char *mac)
{
	char text[32];
	if (!mac || strlen(mac) != 17)
		return true;
	snprintf(text, sizeof(text), "fe%s", mac + 2);
	return set(host, l, tap, "mac", text);
}

static bool set_mtu(const struct weft_host *host, struct lowering *l, struct want *tap, uint32_t mtu)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", mtu ? mtu : 1500);
	return set(host, l, tap, "mtu", text);
}

/* One VLAN, without a tag in both directions, and no other: a guest cannot reach into one that is not its own. */
static bool set_vlan(const struct weft_host *host, struct lowering *l, struct want *tap, uint32_t vlan)
{
	char text[16];
	if (!vlan)
		return true;
	snprintf(text, sizeof(text), "%u", vlan);
	return set(host, l, tap, "vlans.pvid", text) && set(host, l, tap, "vlans.untagged", text) &&
	       set(host, l, tap, "vlans.tagged", "");
}

static struct want *lower_port(const struct weft_host *host, struct lowering *l, const struct weft_port *port)
{
	struct want *tap = host->want(l, "link", port->tap);
	struct want *bridge = host->want_find(l, "link", port->switch_name);
	if (!tap || !bridge) {
		host->refuse(l, port->path, "the bridge that this port is to join is nobody's");
		return NULL;
	}
	bool done = set(host, l, tap, "kind", "tap") &&
		    set(host, l, tap, "fixed.multiQueue", port->queues > 1 ? "true" : "false") &&
		    set(host, l, tap, "fixed.vnetHdr", "true") && set_mac(host, l, tap, port->mac) &&
		    set_mtu(host, l, tap, port->mtu) && set(host, l, tap, "up", "true") &&
		    set(host, l, tap, "master", port->switch_name) && set_vlan(host, l, tap, port->vlan) &&
		    set(host, l, tap, "port.isolated", port->isolated ? "true" : "false") &&
		    (!port->owner || set(host, l, tap, "info.owner", port->owner));
	if (!done)
		return NULL;
	host->needs(l, tap, bridge);
	return tap;
}

static const struct weft_port_backend bridge_backend = {.name = "bridge", .lower_port = lower_port};
static const struct weft_port_backend *const backends[] = {&bridge_backend};

__attribute__((visibility("default"))) extern const struct weft_plugin weft_plugin;
const struct weft_plugin weft_plugin = {
	.abi = WEFT_PLUGIN_ABI,
	.size = sizeof(struct weft_plugin),
	.name = "bridge",
	.port_backends = backends,
	.n_port_backends = sizeof(backends) / sizeof(backends[0]),
};
