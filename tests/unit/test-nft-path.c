/* SPDX-License-Identifier: Apache-2.0 */
/* Which rulesets of others are said to drop what a network needs. The rulesets are loaded into a network namespace of
 * the test's own, so that what is read is what nft prints. Needs root and nft. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>

#include "netd/nft-path.h"

#define INPUT   "table inet filter { chain input { type filter hook input priority 0; policy drop; "
#define FORWARD "table inet filter { chain forward { type filter hook forward priority 0; policy drop; "

static const struct {
	const char *rules;
	const char *fault; /* part of the sentence; NULL: none */
} cases[] = {
	{"", NULL},
	{INPUT "}; }", "'input' of table 'inet filter' drops DHCP requests"},
	{INPUT "iif lo accept; ct state established,related accept; tcp dport 22 accept; }; }", "DHCP requests"},
	{INPUT "iifname lan accept; }; }", NULL},
	{INPUT "iifname { lo, \"la*\" } accept; }; }", NULL},
	{INPUT "iifname { lo, eth0 } accept; }; }", "DHCP requests"},
	{INPUT "iifname != eth0 accept; }; }", NULL},
	{INPUT "udp dport 67 accept; icmpv6 type nd-neighbor-solicit accept; }; }", NULL},
	{INPUT "udp dport { 53, 60-70 } accept; }; }", "neighbour discovery"},
	{INPUT "meta l4proto { udp, ipv6-icmp } accept; }; }", NULL},
	{INPUT "iifname lan udp dport 67 limit rate 10/second accept; ip6 nexthdr ipv6-icmp accept; }; }", NULL},
	{INPUT "iifname lan tcp dport 22 accept; }; }", "DHCP requests"},
	{INPUT "ip saddr 192.168.150.0/24 accept; ip6 saddr fe80::/10 accept; iifname eth0 drop; }; }",
	 "DHCP requests"},
	/* Somebody's set may hold it: then nothing is claimed. */
	{"table inet filter { set lans { type ifname; elements = { lan }; }; chain input { type filter hook input "
	 "priority 0; policy drop; iifname @lans accept; }; }",
	 NULL},
	{"table inet filter { chain x { accept; }; chain y { return; }; chain input { type filter hook input priority "
	 "0; "
	 "policy drop; jump y; iifname vmap { eth0 : drop, lan : jump x }; }; }",
	 NULL},
	{"table inet filter { chain x { tcp dport 22 accept; }; chain input { type filter hook input priority 0; "
	 "policy accept; iifname lan goto x; drop; }; }",
	 NULL},
	{"table inet filter { chain x { tcp dport 22 accept; reject; }; chain input { type filter hook input priority "
	 "0; "
	 "policy accept; iifname lan goto x; }; }",
	 "'input' of table 'inet filter' drops DHCP requests"},
	{"table ip mine { chain pre { type filter hook prerouting priority -300; iifname lan drop; }; }",
	 "'pre' of table 'ip mine' drops DHCP requests"},
	{"table ip mine { chain pre { type filter hook prerouting priority -300; iifname lan ct state invalid drop; }; "
	 "}",
	 NULL},
	{"table ip mine { chain out { type filter hook output priority 0; oifname lan udp sport 67 drop; }; }",
	 "drops DHCP answers"},
	{FORWARD "}; }", "drops what guests send beyond the host"},
	{FORWARD "iifname lan accept; }; }", "drops the answers"},
	{FORWARD "iifname lan oifname eth0 accept; ct state established,related accept; }; }", NULL},
	{FORWARD "ip saddr 192.168.150.0/24 accept; ip daddr 192.168.150.0/24 accept; ip6 saddr fd42:150::/64 accept; "
		 "ip6 daddr fd42:150::/64 accept; }; }",
	 NULL},
	{FORWARD "ip saddr 10.0.0.0/8 accept; }; }", "beyond the host"},
	/* The built-in chains are where our own rules stand. */
	{"table ip filter { chain INPUT { type filter hook input priority 0; policy drop; }; }", NULL},
	/* As firewalld has it. */
	{"table inet firewalld { chain filter_INPUT { type filter hook input priority 10; policy accept; "
	 "ct state { established, related } accept; ct status dnat accept; iifname lo accept; "
	 "ct state invalid drop; jump zones; reject with icmpx admin-prohibited; }; "
	 "chain zones { goto public; }; chain public { tcp dport 22 accept; }; }",
	 "'filter_INPUT' of table 'inet firewalld' drops DHCP requests"},
	{"table inet firewalld { chain trusted { accept; }; chain filter_INPUT { type filter hook input priority 10; "
	 "policy accept; ct state { established, related } accept; jump zones; reject with icmpx admin-prohibited; }; "
	 "chain zones { iifname lan goto trusted; goto public; }; chain public { tcp dport 22 accept; }; }",
	 NULL},
};

static char *ruleset_of(const char *rules)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size), *load = popen("nft -f -", "w");
	fprintf(load, "flush ruleset\n%s\n", rules);
	if (pclose(load) != 0)
		fail_msg("nft does not take: %s", rules);
	FILE *list = popen("nft -j -t list ruleset", "r");
	for (int c; (c = fgetc(list)) != EOF;)
		fputc(c, out);
	pclose(list);
	fclose(out);
	return text;
}

static struct ip_prefix prefixes[2];
static const struct nft_path path = {.bridge = "lan", .prefixes = {prefixes, 2}, .dhcp = true, .forward = true};

static void test_cases(void **state)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		skip();
	if (system("ip link set lo up; ip link add lan type bridge; ip link add eth0 type bridge") != 0)
		skip();
	prefix_parse("192.168.150.1/24", &prefixes[0]);
	prefix_parse("fd42:150::1/64", &prefixes[1]);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = ruleset_of(cases[i].rules);
		cleanup_arena struct arena *arena = arena_new();
		struct nft_ruleset *ruleset;
		struct err err;
		assert_int_equal(nft_ruleset_parse(text, strlen(text), &ruleset, &err), 0);
		const char *fault = nft_path_fault(ruleset, &path, arena);
		if (!cases[i].fault != !fault || (fault && !strstr(fault, cases[i].fault)))
			fail_msg("%s\n  expected: %s\n  got: %s", cases[i].rules, cases[i].fault, fault);
		nft_ruleset_free(ruleset);
	}
}

/* Rings of jumps, deep nests and rubbish end. */
static void test_hostile(void **state)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{}",
		"{\"nftables\": 3}",
		"{\"nftables\": [3, null, {}, {\"chain\": 3}, {\"rule\": []}]}",
		"{\"nftables\": [{\"chain\": {\"family\": \"inet\", \"table\": \"t\", \"name\": \"c\", \"type\": "
		"\"filter\", "
		"\"hook\": \"input\", \"policy\": \"drop\"}}, {\"rule\": {\"family\": \"inet\", \"table\": \"t\", "
		"\"chain\": "
		"\"c\", \"expr\": [{\"jump\": {\"target\": \"c\"}}]}}, {\"rule\": {\"family\": \"inet\", \"table\": "
		"\"t\", "
		"\"chain\": \"c\", \"expr\": [{\"jump\": {\"target\": \"c\"}}, {\"match\": {}}, {\"vmap\": 3}, "
		"{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"iifname\"}}}}]}}]}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_arena struct arena *arena = arena_new();
		struct nft_ruleset *ruleset = NULL;
		struct err err;
		if (nft_ruleset_parse(texts[i], strlen(texts[i]), &ruleset, &err) == 0)
			nft_path_fault(ruleset, &path, arena);
		nft_ruleset_free(ruleset);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_hostile)};
	return cmocka_run_group_tests_name("nft-path", tests, NULL, NULL);
}
