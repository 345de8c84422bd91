/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the parts of netd, in the order in which they rely on each other. See netd.h. */
#include "netd/netd.h"

#include "netd/firewall.h"
#include "netd/netlink-lookup.h"

int netd_start(struct engine *engine, struct err *err)
{
	int r = netd_links_start(engine, err);
	netd_holdings_start(engine);
	netd_gateway_start();
	netd_leased_start();
	netd_vfs_start(engine);
	if (r == 0)
		r = netd_firewall_start(engine, err);
	if (r == 0)
		r = netd_dhcp_start(engine, err);
	return r;
}

void netd_stop(void)
{
	netd_dhcp_stop();
	netd_firewall_stop();
	netd_vfs_stop();
	netd_towards_stop();
	netlink_lookup_stop();
}
