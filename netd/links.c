/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about the host's links and settings, asked of the kernel when lowering wants them. See netd.h. */
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "netd/link.h"
#include "netd/netd.h"
#include "netd/netlink-cache.h"
#include "netd/sysctl.h"
#include "netd/vfs.h"

/* The MTU of a link; -ENOENT if there is no such link. */
static int link_mtu(const char *name, int *ret)
{
	struct ifreq request = {0};
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFMTU, &request) < 0)
		return errno == ENODEV ? -ENOENT : -errno;
	*ret = request.ifr_mtu;
	return 0;
}

/* "true" or "false" of a bridge; -ENOENT of another link. */
static int vlan_filtering(const char *name, char **ret)
{
	char path[96];
	cleanup_free char *text = NULL;
	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge/vlan_filtering", name);
	int r = file_read(path, 16, &text, NULL);
	if (r == 0)
		*ret = xstrdup(*text == '1' ? "true" : "false");
	return r;
}

static int vfs_fact(const char *name, char **ret)
{
	uint32_t most;
	int r = vfs_most(name, &most);
	if (r == 0)
		*ret = xprintf("%u", most);
	return r;
}

/* "link/NAME/mtu", "link/NAME/exists", "link/NAME/vlanFiltering", "link/NAME/foreignMaster", "link/NAME/vfs",
 * "link/NAME/functionOf". */
static int link_fact(void *ctx, const char *key, char **ret)
{
	char name[IFNAMSIZ];
	int mtu = 0;
	const char *what = netlink_fact_link(key, name);
	if (!what)
		return -ENOENT;
	int r = link_mtu(name, &mtu);
	if (r < 0)
		return r;
	if (streq(what, "/vlanFiltering"))
		return vlan_filtering(name, ret);
	if (streq(what, "/foreignMaster"))
		return netd_link_foreign_master(name, ret);
	if (streq(what, "/vfs"))
		return vfs_fact(name, ret);
	if (streq(what, "/functionOf"))
		return vfs_nic_of(name, ret);
	if (streq(what, "/mtu"))
		*ret = xprintf("%d", mtu);
	else if (streq(what, "/exists"))
		*ret = xstrdup("true");
	else
		return -ENOENT;
	return 0;
}

static bool leads_on(int index)
{
	struct ifreq request = {0};
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || !if_indextoname((unsigned)index, request.ifr_name) || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return false;
	return netlink_leads_on((unsigned short)request.ifr_flags);
}

struct address_search {
	struct ip ip;
	int index; /* the lowest of links that have it; 0: none yet */
};

static void take_address(void *ctx, const struct nlmsghdr *message)
{
	struct address_search *search = ctx;
	struct netlink_address address;
	if (message->nlmsg_type != RTM_NEWADDR || !netlink_address_read(message, &address))
		return;
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	int index = (int)header->ifa_index;
	if (ip_equal(&address.prefix.ip, &search->ip) && (!search->index || index < search->index) && leads_on(index))
		search->index = index;
}

/* While the lane has no sure answer. */
static int ask_link_with(const struct ip *ip, char name[static IFNAMSIZ])
{
	struct address_search search = {.ip = *ip};
	const struct netlink_question question = {
		.type = RTM_GETADDR,
		.family = search.ip.family == 4 ? AF_INET : AF_INET6,
		.fn = take_address,
		.ctx = &search,
	};
	int r = netlink_ask_once(&question, NULL);
	if (r < 0)
		return r;
	return search.index && if_indextoname((unsigned)search.index, name) ? 0 : -ENOENT;
}

/* "link-with/ADDRESS" */
static int link_with_fact(void *ctx, const char *key, char **ret)
{
	struct ip ip;
	char name[IFNAMSIZ];
	netlink_facts_watch("address");
	if (ip_parse(key + strlen("link-with/"), &ip) < 0)
		return -ENOENT;
	int r = netlink_facts_link_with(&ip, name);
	if (r == -EAGAIN)
		r = ask_link_with(&ip, name);
	if (r == 0)
		*ret = xstrdup(name);
	return r;
}

static int sysctl_fact(void *ctx, const char *key, char **ret)
{
	int r = sysctl_read(key + strlen("sysctl/"), ret);
	return r == -ENOTDIR || r == -EINVAL ? -ENOENT : r;
}

static struct engine *engine_of_entries;

static bool has_entry(const char *key)
{
	struct resource_view view;
	return engine_view_find(engine_of_entries, "fdb", key, &view);
}

int netd_links_start(struct engine *engine, struct err *err)
{
	engine_of_entries = engine;
	link_loss_start(engine ? has_entry : NULL);
	fact_register("link/", link_fact, NULL);
	fact_register("link-with/", link_with_fact, NULL);
	netd_towards_start();
	fact_register("sysctl/", sysctl_fact, NULL);
	return 0;
}
