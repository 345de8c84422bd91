/* SPDX-License-Identifier: Apache-2.0 */
/* What `dhcp4` and `dhcp6` of a link become. See dhcp-client.h. */
#include "netd/dhcp-client.h"
#include "netd/link-common.h"

/* Settings that dhcpcd would change itself: they are put back when it goes. It makes IPv6 addresses of what routers
 * say, and so the kernel is not to. */
static void want_settings(struct lowering *l, struct want *client, struct want *link, const struct link_common *common)
{
	const struct {
		bool wanted;
		const char *family, *name, *value;
	} settings[] = {
		{common->dhcp4, "ipv4", "promote_secondaries", "1"},
		{common->dhcp6, "ipv6", "accept_ra", "0"},
		{common->dhcp6, "ipv6", "addr_gen_mode", "1"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (!settings[i].wanted)
			continue;
		struct want *sysctl = want(l, class_find("sysctl"), NULL, "net/%s/conf/%s/%s", settings[i].family,
					   link->key, settings[i].name);
		want_set(l, sysctl, "value", "%s", settings[i].value);
		needs(l, sysctl, link);
		needs(l, client, sysctl);
	}
}

/* On a link that weft may take over as it is, an address that somebody else keeps stays his as long as he keeps it. */
static bool is_left(struct lowering *l, const struct want *link, const struct link_common *common, int family)
{
	return common->adopt && fact(l, "leased/%s/ipv%d", link->key, family);
}

void link_dhcp_want(struct lowering *l, struct want *link, const struct link_common *said)
{
	struct link_common asked = *said;
	const struct link_common *common = &asked;
	asked.dhcp4 = said->dhcp4 && !is_left(l, link, said, 4);
	asked.dhcp6 = said->dhcp6 && !is_left(l, link, said, 6);
	if (!common->dhcp4 && !common->dhcp6)
		return;
	lower_at(l, common->dhcp4 ? "spec.dhcp4" : "spec.dhcp6");
	struct want *client = want(l, &netd_dhcp_client_class, NULL, "%s", link->key);
	want_set(l, client, "ipv4", "%s", common->dhcp4 ? "true" : "false");
	want_set(l, client, "ipv6", "%s", common->dhcp6 ? "true" : "false");
	want_default(l, client, "metric", "%u", common->dhcp_metric);
	want_set(l, client, "clientId", "%s", common->dhcp_client_id);
	want_default(l, client, "known", "false");
	want_cost(l, client, "metric", "its client starts anew for that, and %s has no address for some seconds",
		  link->key);
	want_cost(l, client, "clientId", "whoever is called otherwise may get another address");
	needs(l, client, link);
	want_settings(l, client, link, common);
	lower_at(l, NULL);
}

struct want *link_dhcp_want_known(struct lowering *l, struct want *link, int family)
{
	struct want *client = want_find(l, netd_dhcp_client_class.name, link->key);
	const struct dhcp_client_spec *spec = client ? client->spec : NULL;
	if (!spec || !(family == 4 ? spec->ipv4 : spec->ipv6))
		return NULL;
	want_set(l, client, "known", "true");
	struct want *lease = want(l, &netd_dhcp_lease_class, NULL, "%s/ipv%d", link->key, family);
	want_set(l, lease, "confirmed", "true");
	needs(l, lease, client);
	return lease;
}
