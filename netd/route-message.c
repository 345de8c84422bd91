/* SPDX-License-Identifier: Apache-2.0 */
/* See route-message.h; and the texts of keys. */
#include "netd/route-message.h"

#include "netd/netlink-rows.h"

/* ---- keys ---- */

static const char *table_text(uint32_t table, char buf[static 16])
{
	if (table == ROUTE_TABLE_MAIN)
		return "main";
	snprintf(buf, 16, "%u", table);
	return buf;
}

const char *route_key_text(const struct route_key *key, char buf[static ROUTE_KEY_TEXT])
{
	char table[16], to[IP_TEXT], via[IP_TEXT];
	int n = snprintf(buf, ROUTE_KEY_TEXT, "ipv%d/%s/%s/%u", key->to.ip.family, table_text(key->table, table),
			 key->to.len ? prefix_text(&key->to, to) : "default", key->metric);
	char *end = buf + n;
	size_t left = (size_t)(ROUTE_KEY_TEXT - n);
	if (key->to.ip.family == 6 && *key->device)
		snprintf(end, left, key->via.family ? "/%s/%s" : "/%s", key->device, ip_text(&key->via, via));
	else if (key->tos)
		snprintf(end, left, "/tos%u", key->tos);
	return buf;
}

/* The next part of a key, up to a slash. */
static const char *next_part(char **rest)
{
	char *part = *rest, *slash = part ? strchr(part, '/') : NULL;
	if (slash)
		*slash++ = '\0';
	*rest = slash;
	return part;
}

static bool parse_number(const char *text, uint32_t *ret)
{
	char *end;
	if (!text || *text < '0' || *text > '9')
		return false;
	unsigned long n = strtoul(text, &end, 10);
	*ret = (uint32_t)n;
	return !*end && n <= UINT32_MAX;
}

static bool parse_to(char **rest, uint8_t family, struct ip_prefix *ret)
{
	char text[ROUTE_KEY_TEXT];
	const char *address = next_part(rest);
	*ret = (struct ip_prefix){.ip = {.family = family}};
	if (streq(address, "default"))
		return true;
	const char *len = next_part(rest);
	if (!address || !len)
		return false;
	snprintf(text, sizeof(text), "%s/%s", address, len);
	return prefix_parse(text, ret) == 0 && ret->ip.family == family;
}

static bool parse_tail(char *rest, struct route_key *ret)
{
	uint32_t tos = 0;
	if (!rest)
		return true;
	if (ret->to.ip.family == 4) {
		bool ok = str_starts(rest, "tos") && parse_number(rest + 3, &tos) && tos < 256;
		ret->tos = (uint8_t)tos;
		return ok;
	}
	const char *device = next_part(&rest);
	snprintf(ret->device, sizeof(ret->device), "%s", device);
	return *device && strlen(device) < IFNAMSIZ && (!rest || ip_parse(rest, &ret->via) == 0);
}

int route_key_parse(const char *text, struct route_key *ret, struct err *err)
{
	char copy[ROUTE_KEY_TEXT];
	char *rest = copy;
	*ret = (struct route_key){0};
	snprintf(copy, sizeof(copy), "%s", text);
	const char *family = next_part(&rest), *table = next_part(&rest);
	bool ok = streq(family, "ipv4") || streq(family, "ipv6");
	if (ok && streq(table, "main"))
		ret->table = ROUTE_TABLE_MAIN;
	else
		ok = ok && parse_number(table, &ret->table);
	ok = ok && parse_to(&rest, (uint8_t)(family[3] - '0'), &ret->to) &&
	     parse_number(next_part(&rest), &ret->metric) && parse_tail(rest, ret);
	return ok ? 0 : err_set(err, EINVAL, "'%s' is no key of a route", text);
}

/* ---- reading ---- */

static uint32_t u32_of(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint32_t) ? mnl_attr_get_u32(attr) : 0;
}

static struct ip ip_of(uint8_t family, const void *bytes, size_t size)
{
	struct ip ip = {.family = family == AF_INET ? 4 : 6};
	if (size != (family == AF_INET ? 4 : 16))
		return (struct ip){0};
	memcpy(ip.b, bytes, size);
	return ip;
}

static struct ip ip_of_attr(uint8_t family, const struct nlattr *attr)
{
	return ip_of(family, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
}

/* RTA_VIA: a router of the other family. */
static struct ip via_of(const struct nlattr *attr)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);
	size_t size = mnl_attr_get_payload_len(attr);
	if (size < sizeof(*via) || (via->rtvia_family != AF_INET && via->rtvia_family != AF_INET6))
		return (struct ip){0};
	return ip_of((uint8_t)via->rtvia_family, via->rtvia_addr, size - sizeof(*via));
}

bool route_head_read(const struct nlmsghdr *message, struct route_head *ret)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header) ||
	    (header->rtm_family != AF_INET && header->rtm_family != AF_INET6) || (header->rtm_flags & RTM_F_CLONED))
		return false;
	*ret = (struct route_head){.table = header->rtm_table, .tos = header->rtm_tos};
	ret->to.ip.family = header->rtm_family == AF_INET ? 4 : 6;
	ret->to.len = header->rtm_dst_len;
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		uint16_t type = mnl_attr_get_type(attr);
		if (type == RTA_DST)
			ret->to.ip = ip_of_attr(header->rtm_family, attr);
		else if (type == RTA_TABLE)
			ret->table = u32_of(attr);
		else if (type == RTA_PRIORITY)
			ret->metric = u32_of(attr);
	}
	return ret->to.ip.family != 0;
}

static void read_way(struct kernel_route *route, uint8_t family, const struct nlattr *attr)
{
	switch (mnl_attr_get_type(attr)) {
	case RTA_GATEWAY:
		route->via = ip_of_attr(family, attr);
		break;
	case RTA_VIA:
		route->via = via_of(attr);
		break;
	case RTA_ENCAP:
	case RTA_ENCAP_TYPE:
	case RTA_NEWDST:
		route->opaque = true;
		break;
	default:
		break;
	}
}

static void read_attribute(struct kernel_route *route, uint8_t family, const struct nlattr *attr)
{
	switch (mnl_attr_get_type(attr)) {
	case RTA_OIF:
		route->device = (int)u32_of(attr);
		break;
	case RTA_PREFSRC:
		route->source = ip_of_attr(family, attr);
		break;
	case RTA_METRICS:
		free(route->metrics);
		route->metrics_size = mnl_attr_get_payload_len(attr);
		route->metrics = xcalloc(1, route->metrics_size + 1);
		memcpy(route->metrics, mnl_attr_get_payload(attr), route->metrics_size);
		break;
	case RTA_CACHEINFO:
		if (mnl_attr_get_payload_len(attr) >= sizeof(struct rta_cacheinfo)) {
			const struct rta_cacheinfo *info = mnl_attr_get_payload(attr);
			route->expires_s = info->rta_expires > 0 ? ((uint32_t)info->rta_expires + 99) / 100 : 0;
		}
		break;
	case RTA_SRC:
	case RTA_NH_ID:
	case RTA_FLOW:
		route->opaque = true;
		break;
	default:
		read_way(route, family, attr);
		break;
	}
}

static struct kernel_route *copy_route(const struct kernel_route *from)
{
	struct kernel_route *route = xcalloc(1, sizeof(*route));
	*route = *from;
	route->next = NULL;
	if (from->metrics) {
		route->metrics = xcalloc(1, from->metrics_size + 1);
		memcpy(route->metrics, from->metrics, from->metrics_size);
	}
	return route;
}

/* One route for each of the ways of a multipath route. */
static struct kernel_route *split_ways(const struct kernel_route *route, uint8_t family, const struct nlattr *multipath)
{
	struct kernel_route *first = NULL, **last = &first;
	const char *at = mnl_attr_get_payload(multipath);
	size_t left = mnl_attr_get_payload_len(multipath);
	while (left >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *hop = (const void *)at;
		size_t len = hop->rtnh_len;
		if (len < sizeof(*hop) || len > left)
			break;
		struct kernel_route *way = copy_route(route);
		way->shared = true;
		way->device = hop->rtnh_ifindex;
		way->on_link = hop->rtnh_flags & RTNH_F_ONLINK;
		const void *attributes = at + sizeof(*hop);
		const struct nlattr *attr;
		mnl_attr_for_each_payload(attributes, len - sizeof(*hop)) read_way(way, family, attr);
		*last = way;
		last = &way->next;
		len = MNL_ALIGN(len);
		at += len;
		left = left > len ? left - len : 0;
	}
	return first;
}

struct kernel_route *kernel_route_free(struct kernel_route *route)
{
	if (route)
		free(route->metrics);
	free(route);
	return NULL;
}

struct kernel_route *route_message_read(const struct nlmsghdr *message)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr, *multipath = NULL;
	struct route_head head;
	if (!route_head_read(message, &head))
		return NULL;
	struct kernel_route *route = xcalloc(1, sizeof(*route));
	*route = (struct kernel_route){.to = head.to,
				       .table = head.table,
				       .metric = head.metric,
				       .tos = head.tos,
				       .type = header->rtm_type,
				       .scope = header->rtm_scope,
				       .protocol = header->rtm_protocol,
				       .on_link = header->rtm_flags & RTNH_F_ONLINK};
	mnl_attr_for_each(attr, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attr) == RTA_MULTIPATH)
			multipath = attr;
		else
			read_attribute(route, header->rtm_family, attr);
	}
	if (!multipath)
		return route;
	struct kernel_route *ways = split_ways(route, header->rtm_family, multipath);
	kernel_route_free(route);
	return ways;
}

static const char *text_of(const struct ip *ip, struct arena *arena)
{
	char text[IP_TEXT];
	return ip->family ? arena_strdup(arena, ip_text(ip, text)) : "";
}

void route_decode(const struct kernel_route *route, const char *device, struct route_spec *ret, struct arena *arena)
{
	ret->type = route->type;
	ret->device = device ? arena_strdup(arena, device) : "";
	ret->via = text_of(&route->via, arena);
	ret->source = text_of(&route->source, arena);
	ret->scope = route->scope;
	ret->on_link = route->on_link;
	ret->protocol = route->protocol;
	const struct table *metrics = table_field(&route_table, "metrics")->table;
	for (size_t i = 0; i < metrics->n_fields; i++)
		if (metrics->fields[i].scalar != &scalar_string)
			set_present(&ret->metrics, i); /* 0: none */
	netlink_get_rows(metrics, route->metrics, route->metrics_size, arena, &ret->metrics);
	for (size_t i = 0; i < route_table.n_fields; i++)
		set_present(ret, i);
}

/* ---- writing ---- */

static void put_ip(struct nlmsghdr *message, uint16_t type, const struct ip *ip)
{
	mnl_attr_put(message, type, ip->family == 4 ? 4 : 16, ip->b);
}

static void put_via(struct nlmsghdr *message, const struct ip *via, uint8_t family)
{
	char buf[sizeof(struct rtvia) + 16] = {0};
	struct rtvia *other = (void *)buf;
	size_t size = via->family == 4 ? 4 : 16;
	if (via->family == family) {
		put_ip(message, RTA_GATEWAY, via);
		return;
	}
	other->rtvia_family = via->family == 4 ? AF_INET : AF_INET6;
	memcpy(other->rtvia_addr, via->b, size);
	mnl_attr_put(message, RTA_VIA, sizeof(*other) + size, buf);
}

/* Metrics that are 0 are none, and left out. */
static int put_metrics(struct nlmsghdr *message, const struct route_metrics *metrics)
{
	const struct table *table = table_field(&route_table, "metrics")->table;
	uint64_t mask = 0;
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		const void *value = (const char *)metrics + row->offset;
		bool zero = row->scalar == &scalar_u32 && !*(const uint32_t *)value;
		if (is_present(metrics, table, row) && !zero)
			mask |= (uint64_t)1 << i;
	}
	if (!mask)
		return 0;
	struct nlattr *nest = mnl_attr_nest_start(message, RTA_METRICS);
	int r = netlink_put_rows(message, table, metrics, mask);
	mnl_attr_nest_end(message, nest);
	return r;
}

static int put_rows(struct nlmsghdr *message, const struct route_put *put)
{
	const struct route_spec *spec = put->spec;
	struct ip via, source;
	if (*spec->via && ip_parse(spec->via, &via) == 0)
		put_via(message, &via, put->key->to.ip.family);
	if (*spec->source && ip_parse(spec->source, &source) == 0)
		put_ip(message, RTA_PREFSRC, &source);
	if (put->expires_s)
		mnl_attr_put_u32(message, RTA_EXPIRES, put->expires_s);
	return put->type == RTM_NEWROUTE ? put_metrics(message, &spec->metrics) : 0;
}

int route_put(struct netlink_batch *batch, struct op *op, const struct route_put *put)
{
	const struct route_key *key = put->key;
	const struct route_spec *spec = put->spec;
	bool ip4 = key->to.ip.family == 4;
	struct nlmsghdr *message = netlink_batch_begin(batch, op, put->type, put->flags);
	struct rtmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->rtm_family = ip4 ? AF_INET : AF_INET6;
	header->rtm_dst_len = key->to.len;
	header->rtm_tos = key->tos;
	header->rtm_table = key->table < 256 ? (uint8_t)key->table : RT_TABLE_UNSPEC;
	header->rtm_protocol = has_row(spec, ROUTE_PROTOCOL_ROW) ? (uint8_t)spec->protocol : ROUTE_PROTOCOL;
	header->rtm_scope = ip4 ? (uint8_t)spec->scope : 0;
	header->rtm_type = (uint8_t)spec->type;
	header->rtm_flags = spec->on_link ? RTNH_F_ONLINK : 0;
	mnl_attr_put_u32(message, RTA_TABLE, key->table);
	if (key->to.len)
		put_ip(message, RTA_DST, &key->to.ip);
	if (key->metric)
		mnl_attr_put_u32(message, RTA_PRIORITY, key->metric);
	if (put->device)
		mnl_attr_put_u32(message, RTA_OIF, (uint32_t)put->device);
	int r = put_rows(message, put);
	netlink_batch_end(batch, message);
	return r;
}

int route_put_removal(struct netlink_batch *batch, struct op *op, const struct kernel_route *route)
{
	struct arena *arena = arena_new();
	struct route_spec spec = {0};
	struct route_key key = {.to = route->to, .table = route->table, .metric = route->metric, .tos = route->tos};
	route_decode(route, NULL, &spec, arena);
	if (route->shared)
		spec.protocol = RTPROT_UNSPEC; /* whichever */
	int r = route_put(
		batch, op,
		&(struct route_put){.type = RTM_DELROUTE, .key = &key, .spec = &spec, .device = route->device});
	arena_free(arena);
	return r;
}
