/* SPDX-License-Identifier: Apache-2.0 */
/* See route-filter.h. The kernel writes RTA_TABLE first and RTA_DST right after it, so that a destination stands at a
 * fixed place. */
#include "netd/route-filter.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

enum {
	AT_TYPE = offsetof(struct nlmsghdr, nlmsg_type),
	AT_FAMILY_AND_LENGTH = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_family),
	AT_FAMILY = AT_FAMILY_AND_LENGTH,
	AT_LENGTH = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_dst_len),
	AT_PROTOCOL = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol),
	AT_DESTINATION = NLMSG_HDRLEN + sizeof(struct rtmsg) + 8 + sizeof(struct rtattr),
	LONGEST = 6, /* instructions for one of them */
};

struct program {
	struct sock_filter code[40 + ROUTE_FILTER_MAX * LONGEST];
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

static int attach(int fd, struct program *p)
{
	struct sock_fprog program = {p->n, p->code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
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
	return attach(fd, &p);
}

/* ---- on the way to addresses ---- */

enum { CELL_SHIFT, CELL_SUBNET };

static void op(struct program *p, uint16_t code, uint32_t k)
{
	p->code[p->n++] = (struct sock_filter)BPF_STMT(code, k);
}

/* Of a destination the first 32 bits at most count, and of these as many as it has: shifted down, they are kept in a
 * cell, and so is by how many. */
static void load_subnet(struct program *p)
{
	load(p, BPF_B, AT_LENGTH);
	p->code[p->n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 32, 0, 1);
	op(p, BPF_LD | BPF_IMM, 32);
	op(p, BPF_MISC | BPF_TAX, 0);
	op(p, BPF_LD | BPF_IMM, 32);
	op(p, BPF_ALU | BPF_SUB | BPF_X, 0);
	op(p, BPF_ST, CELL_SHIFT);
	op(p, BPF_MISC | BPF_TAX, 0);
	load(p, BPF_W, AT_DESTINATION);
	op(p, BPF_ALU | BPF_RSH | BPF_X, 0);
	op(p, BPF_ST, CELL_SUBNET);
}

static void add_address(struct program *p, const struct ip *ip)
{
	uint32_t first;
	memcpy(&first, ip->b, sizeof(first));
	op(p, BPF_LD | BPF_IMM, ntohl(first));
	op(p, BPF_LDX | BPF_MEM, CELL_SHIFT);
	op(p, BPF_ALU | BPF_RSH | BPF_X, 0);
	op(p, BPF_LDX | BPF_MEM, CELL_SUBNET);
	p->code[p->n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1);
	answer(p, true);
}

static void add_family(struct program *p, uint8_t family, const struct ip *addresses, size_t n)
{
	load(p, BPF_B, AT_FAMILY);
	unless(p, family == 4 ? AF_INET : AF_INET6, 1);
	op(p, BPF_JMP | BPF_JA, 1);
	unsigned short over = p->n++; /* a conditional jump does not reach as far */
	load_subnet(p);
	for (size_t i = 0; i < n; i++)
		if (addresses[i].family == family)
			add_address(p, &addresses[i]);
	answer(p, false);
	p->code[over] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)(p->n - over - 1));
}

int route_filter_attach_towards(int fd, const struct ip *addresses, size_t n)
{
	struct program p = {0};
	if (n <= ROUTE_FILTER_MAX) {
		load(&p, BPF_H, AT_TYPE);
		unless(&p, htons(RTM_NEWRULE), 1);
		answer(&p, true);
		unless(&p, htons(RTM_DELRULE), 1);
		answer(&p, true);
		load(&p, BPF_B, AT_LENGTH);
		unless(&p, 0, 1); /* a default route */
		answer(&p, true);
		add_family(&p, 4, addresses, n);
		add_family(&p, 6, addresses, n);
	}
	answer(&p, n > ROUTE_FILTER_MAX);
	return attach(fd, &p);
}
