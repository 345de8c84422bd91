/* SPDX-License-Identifier: Apache-2.0 */
/* See route-filter.h. The kernel writes RTA_TABLE first and RTA_DST right after it, so that a destination stands at a
 * fixed place. */
#include "netd/route-filter.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

enum {
	AT_FAMILY_AND_LENGTH = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_family),
	AT_PROTOCOL = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol),
	AT_DESTINATION = NLMSG_HDRLEN + sizeof(struct rtmsg) + 8 + sizeof(struct rtattr),
	LONGEST = 5, /* instructions for one of them */
};

struct program {
	struct sock_filter code[8 + ROUTE_FILTER_MAX * LONGEST];
	unsigned short n;
};

static void load(struct program *p, uint16_t size, uint32_t at)
{
	p->code[p->n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_ABS | size, at);
}

/* Goes on if the number loaded is this one, else skips so many. */
static void unless(struct program *p, uint32_t value, uint8_t skip)
{
	p->code[p->n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}

static void answer(struct program *p, bool pass)
{
	p->code[p->n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, pass ? UINT32_MAX : 0);
}

/* What is loaded is taken for a number in network order. */
static void add_destination(struct program *p, const struct ip_prefix *to)
{
	uint32_t family = to->ip.family == 4 ? AF_INET : AF_INET6, first;
	memcpy(&first, to->ip.b, sizeof(first));
	load(p, BPF_H, AT_FAMILY_AND_LENGTH);
	unless(p, family << 8 | to->len, to->len ? 3 : 1);
	if (to->len) {
		load(p, BPF_W, AT_DESTINATION);
		unless(p, ntohl(first), 1);
	}
	answer(p, true);
}

int route_filter_attach(int fd, const struct ip_prefix *destinations, size_t n)
{
	struct program p = {0};
	if (n > 0 && n <= ROUTE_FILTER_MAX) {
		load(&p, BPF_B, AT_PROTOCOL);
		unless(&p, ROUTE_PROTOCOL, 1);
		answer(&p, true);
		for (size_t i = 0; i < n; i++)
			add_destination(&p, &destinations[i]);
		answer(&p, false);
	} else {
		answer(&p, true);
	}
	struct sock_fprog program = {p.n, p.code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}
