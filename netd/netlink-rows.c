/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink-rows.h. */
#include "netd/netlink-rows.h"

#include <arpa/inet.h>

enum { LONGEST_STRING = 1024 };

static uint64_t read_number(const struct field *row, const void *value)
{
	uint64_t n = 0;
	if (row->scalar->size == sizeof(uint64_t))
		memcpy(&n, value, sizeof(n));
	else if (row->nl_values)
		n = row->nl_values[*(const int *)value];
	else if (row->scalar->size == sizeof(uint32_t))
		n = *(const uint32_t *)value;
	else
		n = *(const uint8_t *)value;
	return n;
}

/* Which name of an enum the kernel's number stands for; false if none does. */
static bool name_of(const struct field *row, uint64_t n, uint64_t *ret)
{
	for (size_t i = 0; i < row->n_names; i++) {
		if (n == (row->nl_values ? row->nl_values[i] : i)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static void write_number(const struct field *row, void *value, uint64_t n)
{
	uint32_t small = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
	if (row->scalar == &scalar_bool)
		*(bool *)value = n != 0;
	else if (row->scalar->size == sizeof(uint64_t))
		memcpy(value, &n, sizeof(n));
	else
		memcpy(value, &small, sizeof(small));
}

static int put_string(struct nlmsghdr *message, const struct field *row, const char *text)
{
	if (!text || strlen(text) > LONGEST_STRING)
		return -E2BIG;
	mnl_attr_put_strz(message, row->nl, text);
	return 0;
}

static int put_row(struct nlmsghdr *message, const struct field *row, const void *value)
{
	switch (row->nl_form) {
	case NL_NONE:
		return 0;
	case NL_U8:
		mnl_attr_put_u8(message, row->nl, (uint8_t)read_number(row, value));
		return 0;
	case NL_U16:
		mnl_attr_put_u16(message, row->nl, (uint16_t)read_number(row, value));
		return 0;
	case NL_U32:
		mnl_attr_put_u32(message, row->nl, (uint32_t)read_number(row, value));
		return 0;
	case NL_U64:
		mnl_attr_put_u64(message, row->nl, read_number(row, value));
		return 0;
	case NL_BE16:
		mnl_attr_put_u16(message, row->nl, htons((uint16_t)read_number(row, value)));
		return 0;
	case NL_BE32:
		mnl_attr_put_u32(message, row->nl, htonl((uint32_t)read_number(row, value)));
		return 0;
	case NL_CENTI:
		mnl_attr_put_u32(message, row->nl, (uint32_t)(read_number(row, value) / 10));
		return 0;
	case NL_STRING:
		return put_string(message, row, *(const char *const *)value);
	case NL_MAC:
		mnl_attr_put(message, row->nl, sizeof(struct mac), value);
		return 0;
	case NL_IP:
		mnl_attr_put(message, row->nl, ((const struct ip *)value)->family == 4 ? 4 : 16,
			     ((const struct ip *)value)->b);
		return 0;
	case NL_FLAG:
		if (read_number(row, value))
			mnl_attr_put(message, row->nl, 0, NULL);
		return 0;
	}
	return 0;
}

int netlink_put_rows(struct nlmsghdr *message, const struct table *table, const void *spec, uint64_t mask)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if (!(mask >> i & 1) || !is_present(spec, table, row))
			continue;
		int r = put_row(message, row, (const char *)spec + row->offset);
		if (r < 0)
			return r;
	}
	return 0;
}

bool netlink_has_rows(const struct table *table, uint64_t mask)
{
	for (size_t i = 0; i < table->n_fields; i++)
		if (mask >> i & 1 && table->fields[i].nl_form != NL_NONE)
			return true;
	return false;
}

/* The number that an attribute of 1, 2, 4 or 8 bytes holds; false if it has another size. */
static bool get_number(const struct field *row, const struct nlattr *attr, uint64_t *ret)
{
	switch (mnl_attr_get_payload_len(attr)) {
	case 1:
		*ret = mnl_attr_get_u8(attr);
		break;
	case 2:
		*ret = mnl_attr_get_u16(attr);
		if (row->nl_form == NL_BE16)
			*ret = ntohs((uint16_t)*ret);
		break;
	case 4:
		*ret = mnl_attr_get_u32(attr);
		if (row->nl_form == NL_BE32)
			*ret = ntohl((uint32_t)*ret);
		break;
	case 8:
		*ret = mnl_attr_get_u64(attr);
		break;
	default:
		return false;
	}
	if (row->nl_form == NL_CENTI)
		*ret *= 10;
	return true;
}

static bool get_row(const struct field *row, const struct nlattr *attr, struct arena *arena, void *value)
{
	size_t size = mnl_attr_get_payload_len(attr);
	uint64_t n = 1;
	switch (row->nl_form) {
	case NL_NONE:
		return false;
	case NL_STRING: {
		const char *text = mnl_attr_get_payload(attr);
		*(const char **)value = arena_strndup(arena, text, strnlen(text, size));
		return true;
	}
	case NL_MAC:
		if (size != sizeof(struct mac))
			return false;
		memcpy(value, mnl_attr_get_payload(attr), size);
		return true;
	case NL_IP:
		if (size != 4 && size != 16)
			return false;
		((struct ip *)value)->family = size == 4 ? 4 : 6;
		memcpy(((struct ip *)value)->b, mnl_attr_get_payload(attr), size);
		return true;
	case NL_FLAG:
		write_number(row, value, n);
		return true;
	case NL_U8:
	case NL_U16:
	case NL_U32:
	case NL_U64:
	case NL_BE16:
	case NL_BE32:
	case NL_CENTI:
		if (!get_number(row, attr, &n) || (row->scalar == &scalar_enum && !name_of(row, n, &n)))
			return false;
		write_number(row, value, n);
		return true;
	}
	return false;
}

/* What the kernel leaves out is as the row's default says. */
static void set_defaults(const struct table *table, struct arena *arena, void *spec)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if (!row->def || row->nl_form == NL_NONE)
			continue;
		(void)row->scalar->parse(row, row->def, arena, (char *)spec + row->offset, NULL);
		set_present(spec, i);
	}
}

void netlink_get_rows(const struct table *table, const void *attrs, size_t size, struct arena *arena, void *spec)
{
	const struct nlattr *attr;
	set_defaults(table, arena, spec);
	if (size == 0)
		return; /* attrs may be NULL then */
	mnl_attr_for_each_payload(attrs, size)
	{
		for (size_t i = 0; i < table->n_fields; i++) {
			const struct field *row = &table->fields[i];
			if (row->nl_form == NL_NONE || row->nl != mnl_attr_get_type(attr))
				continue;
			if (get_row(row, attr, arena, (char *)spec + row->offset))
				set_present(spec, i);
		}
	}
}

static bool read_default(const struct field *row, struct arena *arena, void *value)
{
	struct err err = {0};
	return row->def && row->shape == FIELD_SCALAR && row->scalar->parse(row, row->def, arena, value, &err) == 0;
}

uint64_t netlink_rows_at_default(const struct table *table, const void *spec)
{
	cleanup_arena struct arena *arena = arena_new();
	uint64_t mask = 0;
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		_Alignas(16) char value[64] = {0};
		if (!is_present(spec, table, row) || !read_default(row, arena, value))
			continue;
		if (memcmp(value, (const char *)spec + row->offset, row->scalar->size) == 0)
			mask |= (uint64_t)1 << i;
	}
	return mask;
}
