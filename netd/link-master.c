/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to the fact "link/NAME/foreignMaster", see links.c: whose port a link is, unless weft has made that. */
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "netd/link.h"
#include "netd/netd.h"

struct seen_link {
	unsigned master; /* ifindex, 0: none */
	bool ours;
	char name[IFNAMSIZ];
};

static int take_link(const struct nlmsghdr *message, void *data)
{
	struct seen_link *seen = data;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, message, sizeof(struct ifinfomsg))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_MASTER:
			seen->master = mnl_attr_get_u32(attr);
			break;
		case IFLA_IFNAME:
			snprintf(seen->name, sizeof(seen->name), "%s", mnl_attr_get_str(attr));
			break;
		case IFLA_IFALIAS:
			seen->ours = link_alias_is_ours(mnl_attr_get_str(attr));
			break;
		}
	}
	return MNL_CB_OK;
}

/* Without a name: there is none. */
static struct seen_link ask(struct mnl_socket *socket, unsigned index)
{
	enum { ANSWER_BYTES = 65536 }; /* room for a link with all its attributes */
	struct seen_link seen = {0};
	char question[256];
	cleanup_free char *answer = xcalloc(1, ANSWER_BYTES);
	struct nlmsghdr *message = mnl_nlmsg_put_header(question);
	message->nlmsg_type = RTM_GETLINK;
	message->nlmsg_flags = NLM_F_REQUEST;
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->ifi_index = (int)index;
	ssize_t n = mnl_socket_sendto(socket, message, message->nlmsg_len) < 0
			    ? -1
			    : mnl_socket_recvfrom(socket, answer, ANSWER_BYTES);
	if (n > 0)
		(void)mnl_cb_run(answer, (size_t)n, 0, 0, take_link, &seen);
	return seen;
}

int netd_link_foreign_master(const char *name, char **ret)
{
	unsigned index = if_nametoindex(name);
	struct seen_link master = {0};
	struct mnl_socket *socket = index ? mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC) : NULL;
	if (!socket)
		return index ? -errno : -ENOENT;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0) {
		struct seen_link link = ask(socket, index);
		if (link.master)
			master = ask(socket, link.master);
	}
	mnl_socket_close(socket);
	if (!*master.name || master.ours)
		return -ENOENT;
	*ret = xstrdup(master.name);
	return 0;
}
