/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: reading, printing, comparing. The scalar types that fields are made of stand on these; so does whatever
 * reads addresses from the host. See value.h. */
#include <arpa/inet.h>

#include "core/value.h"

static size_t ip_size(const struct ip *ip)
{
	return ip->family == 4 ? 4 : ip->family == 6 ? 16 : 0;
}

const char *ip_text(const struct ip *ip, char buf[static IP_TEXT])
{
	buf[0] = 0;
	if (ip->family == 4 || ip->family == 6)
		inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->b, buf, IP_TEXT);
	return buf;
}

const char *prefix_text(const struct ip_prefix *prefix, char buf[static IP_TEXT])
{
	ip_text(&prefix->ip, buf);
	size_t len = strlen(buf);
	snprintf(buf + len, IP_TEXT - len, "/%u", prefix->len);
	return buf;
}

const char *mac_text(const struct mac *mac, char buf[static IP_TEXT])
{
	const uint8_t *b = mac->b;
	snprintf(buf, IP_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	return buf;
}

int ip_compare(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, ip_size(a));
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return ip_compare(a, b) == 0;
}

bool ip_is_link_local(const struct ip *ip)
{
	return ip->family == 6 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned n_bits)
{
	if (memcmp(a, b, n_bits / 8) != 0)
		return false;
	unsigned rest = n_bits % 8;
	return !rest || ((a[n_bits / 8] ^ b[n_bits / 8]) >> (8 - rest)) == 0;
}

bool prefix_contains(const struct ip_prefix *prefix, const struct ip *ip)
{
	return prefix->ip.family == ip->family && same_bits(prefix->ip.b, ip->b, prefix->len);
}

bool prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->ip.family == b->ip.family && same_bits(a->ip.b, b->ip.b, a->len < b->len ? a->len : b->len);
}

struct ip_prefix prefix_network(const struct ip_prefix *prefix)
{
	struct ip_prefix network = *prefix;
	size_t size = ip_size(&prefix->ip);
	for (size_t i = 0; i < size; i++) {
		unsigned first = (unsigned)i * 8; /* number of this byte's first bit */
		if (first >= prefix->len)
			network.ip.b[i] = 0;
		else if (prefix->len - first < 8)
			network.ip.b[i] &= (uint8_t)(0xff << (8 - (prefix->len - first)));
	}
	return network;
}

int ip_parse(const char *text, struct ip *ret)
{
	struct ip ip = {0};
	if (inet_pton(AF_INET, text, ip.b) == 1)
		ip.family = 4;
	else if (inet_pton(AF_INET6, text, ip.b) == 1)
		ip.family = 6;
	else
		return -EINVAL;
	*ret = ip;
	return 0;
}

int prefix_parse(const char *text, struct ip_prefix *ret)
{
	char address[IP_TEXT];
	const char *slash = strchr(text, '/');
	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = 0;
	struct ip_prefix prefix = {0};
	if (ip_parse(address, &prefix.ip) < 0)
		return -EINVAL;
	const char *digits = slash + 1;
	size_t n = strspn(digits, "0123456789");
	if (n < 1 || n > 3 || digits[n] || (n > 1 && digits[0] == '0'))
		return -EINVAL;
	unsigned long len = strtoul(digits, NULL, 10);
	if (len > ip_size(&prefix.ip) * 8)
		return -EINVAL;
	prefix.len = (uint8_t)len;
	*ret = prefix;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int mac_parse(const char *text, struct mac *ret)
{
	struct mac mac;
	if (strlen(text) != 17 || (text[2] != ':' && text[2] != '-'))
		return -EINVAL;
	for (size_t i = 0; i < 6; i++) {
		const char *pair = text + i * 3;
		int high = hex_digit(pair[0]), low = hex_digit(pair[1]);
		if (high < 0 || low < 0 || (i < 5 && pair[2] != text[2]))
			return -EINVAL;
		mac.b[i] = (uint8_t)(high << 4 | low);
	}
	*ret = mac;
	return 0;
}
