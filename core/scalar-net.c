/* SPDX-License-Identifier: Apache-2.0 */
/* The scalar types of networks: MACs, addresses, prefixes, ranges, endpoints. They stand on value.c and add what a
 * person is told. */
#include "core/field.h"

static int parse_mac(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	struct mac mac;
	if (mac_parse(text, &mac) < 0)
		return err_set(err, EINVAL, "expected a MAC address such as 52:54:00:00:20:01");
	if (mac.b[0] & 1)
		return err_set(err, EINVAL, "expected the MAC address of a single station (its second digit is even)");
	if (!(mac.b[0] | mac.b[1] | mac.b[2] | mac.b[3] | mac.b[4] | mac.b[5]))
		return err_set(err, EINVAL, "expected a MAC address other than all zeros");
	*(struct mac *)out = mac;
	return 0;
}

static const char *format_mac(const struct field *field, const void *value, struct arena *arena)
{
	char buf[IP_TEXT];
	return arena_strdup(arena, mac_text(value, buf));
}

/* An address of a family (0: any). */
static int parse_family(const char *text, uint8_t family, struct ip *ret, struct err *err)
{
	static const char *const whats[] = {"an IPv4 or IPv6 address such as 192.0.2.1 or fd00::1",
					    "an IPv4 address such as 192.0.2.1", "an IPv6 address such as fd00::1"};
	const char *what = whats[family == 4 ? 1 : family == 6 ? 2 : 0];
	struct ip ip;
	if (strchr(text, '%'))
		return err_set(err, EINVAL, "expected %s\nleave the zone ('%%' and what follows) out", what);
	if (strchr(text, '/'))
		return err_set(err, EINVAL, "expected %s\nleave the prefix length ('/' and what follows) out", what);
	if (ip_parse(text, &ip) < 0 || (family && ip.family != family))
		return err_set(err, EINVAL, "expected %s", what);
	*ret = ip;
	return 0;
}

static int parse_ip(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	return parse_family(text, 0, out, err);
}

static int parse_ip4(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	return parse_family(text, 4, out, err);
}

static int parse_ip6(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	return parse_family(text, 6, out, err);
}

static const char *format_ip(const struct field *field, const void *value, struct arena *arena)
{
	char buf[IP_TEXT];
	return arena_strdup(arena, ip_text(value, buf));
}

static bool equal_ip(const void *a, const void *b)
{
	return ip_equal(a, b);
}

/* The length that a netmask such as 255.255.255.0 stands for; -1 if it is none. */
static int netmask_len(const char *text)
{
	struct ip mask;
	if (ip_parse(text, &mask) < 0 || mask.family != 4)
		return -1;
	uint32_t bits = (uint32_t)mask.b[0] << 24 | (uint32_t)mask.b[1] << 16 | (uint32_t)mask.b[2] << 8 | mask.b[3];
	int len = bits ? __builtin_popcount(bits) : 0;
	return bits == (len ? UINT32_MAX << (32 - len) : 0) ? len : -1;
}

static int parse_prefix(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	struct ip ip;
	if (prefix_parse(text, out) == 0)
		return 0;
	if (ip_parse(text, &ip) == 0)
		return err_set(err, EINVAL, "expected an address with its prefix length\nwrite the length: %s%s", text,
			       ip.family == 4 ? "/24" : "/64");
	const char *expected = "expected an address with its prefix length, such as 192.168.150.1/24 or fd00::1/64";
	const char *slash = strchr(text, '/');
	if (!slash || slash - text >= IP_TEXT)
		return err_set(err, EINVAL, "%s", expected);
	const char *address = arena_strndup(arena, text, (size_t)(slash - text));
	if (ip_parse(address, &ip) < 0)
		return err_set(err, EINVAL, "%s\n'%s' is no IPv4 or IPv6 address", expected, address);
	if (ip.family == 4 && netmask_len(slash + 1) >= 0)
		return err_set(err, EINVAL, "%s\nwrite %s/%d", expected, address, netmask_len(slash + 1));
	return err_set(err, EINVAL, "%s\nthe length is a number from 0 to %d", expected, ip.family == 4 ? 32 : 128);
}

static const char *format_prefix(const struct field *field, const void *value, struct arena *arena)
{
	char buf[IP_TEXT];
	return arena_strdup(arena, prefix_text(value, buf));
}

static bool equal_prefix(const void *a, const void *b)
{
	const struct ip_prefix *x = a, *y = b;
	return x->len == y->len && ip_equal(&x->ip, &y->ip);
}

static int parse_range(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	struct ip_range range;
	char first[IP_TEXT];
	const char *dash = strchr(text, '-');
	if (!dash || (size_t)(dash - text) >= sizeof(first))
		return err_set(err, EINVAL,
			       "expected two addresses with a '-' between them, such as 192.0.2.10-192.0.2.99");
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = 0;
	if (ip_parse(first, &range.first) < 0 || ip_parse(dash + 1, &range.last) < 0)
		return err_set(err, EINVAL,
			       "expected two whole addresses with a '-' between them, such as 192.0.2.10-192.0.2.99");
	if (range.first.family != range.last.family)
		return err_set(err, EINVAL, "expected two addresses of one family");
	if (ip_compare(&range.first, &range.last) > 0)
		return err_set(err, EINVAL, "expected the lower address first\nwrite %s-%s", dash + 1, first);
	*(struct ip_range *)out = range;
	return 0;
}

static const char *format_range(const struct field *field, const void *value, struct arena *arena)
{
	const struct ip_range *range = value;
	char first[IP_TEXT], last[IP_TEXT];
	return arena_printf(arena, "%s-%s", ip_text(&range->first, first), ip_text(&range->last, last));
}

static bool equal_range(const void *a, const void *b)
{
	const struct ip_range *x = a, *y = b;
	return ip_equal(&x->first, &y->first) && ip_equal(&x->last, &y->last);
}

/* Splits "192.0.2.1:80" or "[fd00::1]:80" into address and digits. */
static int split_endpoint(const char *text, char address[static IP_TEXT], const char **ret_port)
{
	const char *colon = strrchr(text, ':');
	if (!colon)
		return -EINVAL;
	size_t len = (size_t)(colon - text);
	bool brackets = text[0] == '[' && len > 1 && text[len - 1] == ']';
	if (brackets) {
		text++;
		len -= 2;
	}
	if (len >= IP_TEXT)
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = 0;
	*ret_port = colon + 1;
	return brackets == !!strchr(address, ':') ? 0 : -EINVAL;
}

static int parse_endpoint(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	struct endpoint endpoint = {0};
	struct ip ip;
	char address[IP_TEXT];
	const char *port = NULL, *expected = "expected ADDRESS:PORT, such as 192.0.2.1:80 or [fd00::1]:80";
	size_t n_digits = strspn(text, "0123456789");
	if (n_digits && n_digits < 6 && !text[n_digits])
		return err_set(err, EINVAL, "%s\nwrite 0.0.0.0:%s for all addresses", expected, text);
	if (ip_parse(text, &ip) == 0 && ip.family == 6)
		return err_set(err, EINVAL, "%s\nwrite an IPv6 address in brackets, with its port", expected);
	if (ip_parse(text, &ip) == 0)
		return err_set(err, EINVAL, "%s\nadd the port: %s:PORT", expected, text);
	if (split_endpoint(text, address, &port) < 0)
		return err_set(err, EINVAL, "%s", expected);
	if (ip_parse(address, &endpoint.ip) < 0)
		return err_set(err, EINVAL, "%s\nwrite the address itself; names are not looked up", expected);
	n_digits = strspn(port, "0123456789");
	unsigned long n = n_digits && n_digits < 6 && !port[n_digits] && port[0] != '0' ? strtoul(port, NULL, 10) : 0;
	if (n < 1 || n > 65535)
		return err_set(err, EINVAL, "expected a port from 1 to 65535 after the address");
	endpoint.port = (uint16_t)n;
	*(struct endpoint *)out = endpoint;
	return 0;
}

static const char *format_endpoint(const struct field *field, const void *value, struct arena *arena)
{
	const struct endpoint *endpoint = value;
	char buf[IP_TEXT];
	ip_text(&endpoint->ip, buf);
	return arena_printf(arena, endpoint->ip.family == 6 ? "[%s]:%u" : "%s:%u", buf, endpoint->port);
}

static bool equal_endpoint(const void *a, const void *b)
{
	const struct endpoint *x = a, *y = b;
	return x->port == y->port && ip_equal(&x->ip, &y->ip);
}

/* What a route leads to. */
static int parse_destination(const struct field *field, const char *text, struct arena *arena, void *out,
			     struct err *err)
{
	struct ip_prefix prefix = {0};
	char buf[IP_TEXT];
	bool is_default = strcmp(text, "default") == 0;
	if (!is_default && ip_parse(text, &prefix.ip) == 0)
		prefix.len = prefix.ip.family == 4 ? 32 : 128;
	else if (!is_default && prefix_parse(text, &prefix) < 0)
		return err_set(err, EINVAL, "expected a network such as 10.0.0.0/8 or fd00::/64, or default");
	struct ip_prefix network = prefix_network(&prefix);
	if (!ip_equal(&network.ip, &prefix.ip))
		return err_set(err, EINVAL, "expected a network, with no bits set behind its length\nwrite %s",
			       prefix_text(&network, buf));
	*(struct ip_prefix *)out = prefix;
	return 0;
}

static const char *format_destination(const struct field *field, const void *value, struct arena *arena)
{
	return ((const struct ip_prefix *)value)->ip.family ? format_prefix(field, value, arena) : "default";
}

#define IP4 "[0-9]{1,3}(\\.[0-9]{1,3}){3}"
#define IP6 "[0-9a-fA-F:.]*:[0-9a-fA-F:.]*"

const struct scalar scalar_mac = {.name = "mac",
				  .doc = "a MAC address of one station, such as 52:54:00:00:20:01",
				  .pattern =
					  "^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$|^([0-9a-fA-F]{2}-){5}[0-9a-fA-F]{2}$",
				  .example = "52:54:00:00:20:01",
				  .size = sizeof(struct mac),
				  .json = JSON_FORM_STRING,
				  .parse = parse_mac,
				  .format = format_mac};
const struct scalar scalar_ip = {.name = "address",
				 .doc = "an IPv4 or IPv6 address",
				 .pattern = "^(" IP4 "|" IP6 ")$",
				 .example = "192.0.2.1",
				 .size = sizeof(struct ip),
				 .json = JSON_FORM_STRING,
				 .parse = parse_ip,
				 .format = format_ip,
				 .equal = equal_ip};
const struct scalar scalar_ip4 = {.name = "IPv4 address",
				  .doc = "an IPv4 address",
				  .pattern = "^" IP4 "$",
				  .example = "192.0.2.1",
				  .size = sizeof(struct ip),
				  .json = JSON_FORM_STRING,
				  .parse = parse_ip4,
				  .format = format_ip,
				  .equal = equal_ip};
const struct scalar scalar_ip6 = {.name = "IPv6 address",
				  .doc = "an IPv6 address",
				  .pattern = "^" IP6 "$",
				  .example = "fd00::1",
				  .size = sizeof(struct ip),
				  .json = JSON_FORM_STRING,
				  .parse = parse_ip6,
				  .format = format_ip,
				  .equal = equal_ip};
const struct scalar scalar_prefix = {.name = "address/length",
				     .doc = "an address with its prefix length",
				     .pattern = "^(" IP4 "|" IP6 ")/[0-9]{1,3}$",
				     .example = "192.168.150.1/24",
				     .size = sizeof(struct ip_prefix),
				     .json = JSON_FORM_STRING,
				     .parse = parse_prefix,
				     .format = format_prefix,
				     .equal = equal_prefix};
const struct scalar scalar_range = {.name = "range",
				    .doc = "two addresses, FIRST-LAST, both included",
				    .pattern = "^(" IP4 "-" IP4 "|" IP6 "-" IP6 ")$",
				    .example = "192.0.2.10-192.0.2.99",
				    .size = sizeof(struct ip_range),
				    .json = JSON_FORM_STRING,
				    .parse = parse_range,
				    .format = format_range,
				    .equal = equal_range};
const struct scalar scalar_endpoint = {.name = "endpoint",
				       .doc = "ADDRESS:PORT, IPv6 in brackets",
				       .pattern = "^(" IP4 "|\\[" IP6 "\\]):[0-9]{1,5}$",
				       .example = "192.0.2.1:80",
				       .size = sizeof(struct endpoint),
				       .json = JSON_FORM_STRING,
				       .parse = parse_endpoint,
				       .format = format_endpoint,
				       .equal = equal_endpoint};
const struct scalar scalar_destination = {.name = "destination",
					  .doc = "a network with its prefix length, an address, or default",
					  .pattern = "^(default|(" IP4 "|" IP6 ")(/[0-9]{1,3})?)$",
					  .example = "10.0.0.0/8",
					  .size = sizeof(struct ip_prefix),
					  .json = JSON_FORM_STRING,
					  .parse = parse_destination,
					  .format = format_destination,
					  .equal = equal_prefix};
