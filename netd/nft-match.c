/* SPDX-License-Identifier: Apache-2.0 */
/* See nft-match.h. Shapes as libnftables prints them: {"match": {"op": "==", "left": {"meta": {"key": "iifname"}},
 * "right": "lan"}}. */
#include "netd/nft-match.h"

/* A value of the packet: a text, a number, an address, or nothing known. */
struct value {
	const char *text;
	const struct ip *ip;
	unsigned number;
	bool speaks; /* a match of this speaks of the network */
};

void match_and(struct match *match, enum match_is is, bool mentions)
{
	if (is < match->is)
		match->is = is;
	match->mentions = match->mentions || mentions;
}

static bool is_protocol(const char *name, const char *protocol)
{
	return streq(name, protocol) || (streq(name, "ipv6-icmp") && streq(protocol, "icmpv6"));
}

static struct value meta_value(const struct packet *packet, const char *key)
{
	if (streq(key, "iifname") || streq(key, "iif"))
		return (struct value){.text = packet->iifname, .speaks = true};
	if (streq(key, "oifname") || streq(key, "oif"))
		return (struct value){.text = packet->oifname, .speaks = true};
	if (streq(key, "l4proto"))
		return (struct value){.text = packet->protocol};
	if (streq(key, "nfproto"))
		return (struct value){.text = packet->six ? "ipv6" : "ipv4"};
	return (struct value){0};
}

static struct value payload_value(const struct packet *packet, const char *protocol, const char *field)
{
	if (streq(field, "sport"))
		return (struct value){.number = packet->sport};
	if (streq(field, "dport"))
		return (struct value){.number = packet->dport};
	if (streq(field, "saddr"))
		return (struct value){.ip = packet->source, .speaks = true};
	if (streq(field, "daddr"))
		return (struct value){.ip = packet->destination, .speaks = true};
	if (streq(field, "protocol") || streq(field, "nexthdr"))
		return (struct value){.text = packet->protocol};
	if (streq(protocol, "icmpv6") && streq(field, "type"))
		return (struct value){.text = packet->icmp};
	return (struct value){0};
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

static struct value value_of(const struct packet *packet, const json_t *left)
{
	const json_t *meta = json_object_get(left, "meta"), *payload = json_object_get(left, "payload");
	if (meta)
		return meta_value(packet, text_of(meta, "key"));
	if (payload)
		return payload_value(packet, text_of(payload, "protocol"), text_of(payload, "field"));
	if (streq(text_of(json_object_get(left, "ct"), "key"), "state"))
		return (struct value){.text = packet->state};
	return (struct value){0};
}

/* A match of a header is a match of the protocol as well: `udp dport 67` does not print that it asks for UDP. */
static enum match_is implied(const struct packet *packet, const json_t *left)
{
	static const char *const transports[] = {"tcp",  "udp",    "udplite", "sctp", "dccp",
						 "icmp", "icmpv6", "esp",     "ah"};
	const char *protocol = text_of(json_object_get(left, "payload"), "protocol");
	if (streq(protocol, "ip") || streq(protocol, "ip6"))
		return streq(protocol, packet->six ? "ip6" : "ip") ? MATCH_YES : MATCH_NO;
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++) {
		if (!streq(protocol, transports[i]))
			continue;
		return !packet->protocol ? MATCH_MAYBE : is_protocol(protocol, packet->protocol) ? MATCH_YES : MATCH_NO;
	}
	return MATCH_YES;
}

static bool text_fits(const char *pattern, const char *text)
{
	size_t size = strlen(pattern);
	if (size > 0 && pattern[size - 1] == '*')
		return strncmp(pattern, text, size - 1) == 0;
	return streq(pattern, text);
}

static bool ip_in_range(const struct ip *ip, const json_t *from, const json_t *to)
{
	struct ip first, last;
	const char *a = json_string_value(from), *b = json_string_value(to);
	return a && b && ip_parse(a, &first) == 0 && ip_parse(b, &last) == 0 && ip_compare(&first, ip) <= 0 &&
	       ip_compare(ip, &last) <= 0;
}

static bool ip_fits(const struct ip *ip, const json_t *right)
{
	const json_t *prefix = json_object_get(right, "prefix"), *range = json_object_get(right, "range");
	if (range)
		return ip_in_range(ip, json_array_get(range, 0), json_array_get(range, 1));
	struct ip_prefix network = {.len = ip->family == 6 ? 128 : 32};
	const char *text = prefix ? text_of(prefix, "addr") : json_string_value(right);
	if (!text || ip_parse(text, &network.ip) < 0)
		return false;
	if (prefix)
		network.len = (uint8_t)json_integer_value(json_object_get(prefix, "len"));
	return network.ip.family == ip->family && prefix_contains(&network, ip);
}

/* Ports are printed as numbers, unless somebody asked nft for names. */
static enum match_is number_fits(unsigned number, const json_t *right)
{
	const json_t *range = json_object_get(right, "range");
	json_int_t from = json_integer_value(range ? json_array_get(range, 0) : right);
	json_int_t to = json_integer_value(range ? json_array_get(range, 1) : right);
	if (!range && !json_is_integer(right))
		return MATCH_MAYBE;
	return from <= number && number <= to ? MATCH_YES : MATCH_NO;
}

static enum match_is one_fits(const struct value *value, const json_t *right)
{
	const char *text = json_string_value(right);
	if (text && *text == '@')
		return MATCH_MAYBE;
	if (value->ip)
		return ip_fits(value->ip, right) ? MATCH_YES : MATCH_NO;
	if (value->number)
		return number_fits(value->number, right);
	if (value->text && text)
		return text_fits(text, value->text) || is_protocol(text, value->text) ? MATCH_YES : MATCH_NO;
	return MATCH_MAYBE;
}

static enum match_is any_fits(const struct value *value, const json_t *right)
{
	const json_t *list = json_object_get(right, "set");
	enum match_is best = MATCH_NO;
	json_t *item;
	size_t i;
	if (!list && json_is_array(right))
		list = right;
	if (!list)
		return one_fits(value, right);
	json_array_foreach(list, i, item) {
		/* Elements with a comment, a counter or a timeout are wrapped. */
		const json_t *inner = json_object_get(json_object_get(item, "elem"), "val");
		enum match_is one = one_fits(value, inner ? inner : item);
		best = one > best ? one : best;
	}
	return best;
}

static bool is_named_set(const json_t *right)
{
	const char *text = json_string_value(right);
	return text && *text == '@';
}

struct match match_value(const struct packet *packet, const json_t *left, const json_t *right)
{
	struct value value = value_of(packet, left);
	struct match match = {MATCH_MAYBE, false};
	if (value.text || value.ip || value.number)
		match.is = any_fits(&value, right);
	match.mentions = value.speaks && (match.is == MATCH_YES || is_named_set(right));
	enum match_is protocol = implied(packet, left);
	if (protocol < match.is)
		match.is = protocol;
	return match;
}

static struct match match_comparison(const struct packet *packet, const json_t *comparison)
{
	const char *op = text_of(comparison, "op");
	const json_t *left = json_object_get(comparison, "left");
	struct match match = match_value(packet, left, json_object_get(comparison, "right"));
	if (streq(op, "==") || streq(op, "in"))
		return match;
	if (!streq(op, "!="))
		return (struct match){MATCH_MAYBE, false};
	/* What is implied is not negated. */
	if (implied(packet, left) == MATCH_NO)
		return (struct match){MATCH_NO, false};
	match.is = match.is == MATCH_YES ? MATCH_NO : match.is == MATCH_NO ? MATCH_YES : MATCH_MAYBE;
	match.mentions = match.mentions && match.is == MATCH_MAYBE;
	return match;
}

void match_statement(const struct packet *packet, const json_t *statement, struct match *match)
{
	/* Known to let every packet go on. */
	static const char *const harmless[] = {"counter", "log",     "accept",   "drop",     "reject", "jump",
					       "goto",    "return",  "continue", "vmap",     "mangle", "queue",
					       "notrack", "comment", "meta",     "ct helper"};
	const json_t *comparison = json_object_get(statement, "match");
	if (comparison) {
		struct match one = match_comparison(packet, comparison);
		match_and(match, one.is, one.mentions);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (json_object_get(statement, harmless[i]))
			return;
	/* limit, quota, xt, a set's update ... */
	match_and(match, MATCH_MAYBE, false);
}
