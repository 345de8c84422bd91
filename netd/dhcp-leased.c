/* SPDX-License-Identifier: Apache-2.0 */
/* The facts "leased/LINK/ipv4" and "leased/LINK/ipv6": does somebody else keep an address there that he has for a time
 * only, another DHCP client or the kernel by a router's word? What weft's own client has is none such, also while it is
 * just starting anew. See dhcp-want.c. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "netd/address.h"
#include "netd/dhcp-client.h"
#include "netd/dhcp-client-process.h"
#include "netd/netd.h"

bool address_is_leased(const struct netlink_address *address)
{
	return address->valid_until_s && address->proto != ADDRESS_PROTO_OF_WEFT;
}

struct search {
	int link;
	bool found;
};

static void take(void *ctx, const struct nlmsghdr *message)
{
	struct search *search = ctx;
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct netlink_address address;
	if (message->nlmsg_type == RTM_NEWADDR && netlink_address_read(message, &address) &&
	    (int)header->ifa_index == search->link)
		search->found |= address_is_leased(&address);
}

static bool is_leased(int index, int family)
{
	struct search search = {.link = index};
	const struct netlink_question question = {.type = RTM_GETADDR,
						  .family = family == 4 ? AF_INET : AF_INET6,
						  .link = index,
						  .fn = take,
						  .ctx = &search};
	(void)netlink_ask_once(&question, NULL);
	return search.found;
}

static bool is_ours(const char *link, int family)
{
	struct process_id id;
	if (dhcp_client_has_address(link, family))
		return true;
	json_t *started = dhcp_client_find(link, &id) ? dhcp_client_started_with(link, &id) : NULL;
	bool asks = json_is_true(json_object_get(started, family == 4 ? "ipv4" : "ipv6"));
	json_decref(started);
	return asks;
}

static int leased_fact(void *ctx, const char *key, char **ret)
{
	char name[IFNAMSIZ];
	const char *what = netlink_fact_link(key, name);
	if (!what)
		return -ENOENT;
	int index = (int)if_nametoindex(name), family = streq(what, "/ipv4") ? 4 : 6;
	if (!index || is_ours(name, family) || !is_leased(index, family))
		return -ENOENT;
	*ret = xstrdup("true");
	return 0;
}

void netd_leased_start(void)
{
	fact_register("leased/", leased_fact, NULL);
}
