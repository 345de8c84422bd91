/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of VLANs, written as ids and ranges with commas between them. The value is the text itself in its normal form,
 * so that it is kept, compared and printed like any other text. */
#include "core/value.h"

enum { VLAN_MAX = 4094 };

static bool read_id(const char **at, unsigned *ret)
{
	unsigned n = 0, digits = 0;
	for (; **at >= '0' && **at <= '9' && digits < 5; (*at)++, digits++)
		n = n * 10 + (unsigned)(**at - '0');
	*ret = n;
	return digits > 0 && digits < 5;
}

/* Reads "20" or "20-29" at *at and goes behind it. */
static bool read_range(const char **at, unsigned *ret_first, unsigned *ret_last)
{
	if (!read_id(at, ret_first))
		return false;
	*ret_last = *ret_first;
	if (**at != '-')
		return true;
	(*at)++;
	return read_id(at, ret_last);
}

static int parse_set(const char *text, struct vlan_set *ret, struct err *err)
{
	static const char expected[] = "expected VLANs such as 20, 20-29 or 10,20-29";
	*ret = (struct vlan_set){0};
	for (const char *at = text; *at;) {
		unsigned first, last;
		if (!read_range(&at, &first, &last) || (*at && *at != ',') || (*at && !at[1]))
			return err_set(err, EINVAL, expected);
		if (first < 1 || first > VLAN_MAX || last < 1 || last > VLAN_MAX)
			return err_set(err, EINVAL, "%s\na VLAN is a number from 1 to %d", expected, VLAN_MAX);
		if (first > last)
			return err_set(err, EINVAL, "%s\nwrite %u-%u", expected, last, first);
		for (; first <= last; first++)
			vlan_set_put(ret, first, true);
		at += *at == ',';
	}
	return 0;
}

int vlan_set_parse(const char *text, struct vlan_set *ret)
{
	struct err err = {0};
	return parse_set(text, ret, &err);
}

/* The first VLAN from this one on, VLAN_MAX + 1 if there is none. Most sets are empty, and written for every port. */
static unsigned next_vlan(const struct vlan_set *set, unsigned from)
{
	for (unsigned vlan = from; vlan <= VLAN_MAX; vlan = (vlan / 64 + 1) * 64) {
		uint64_t bits = set->bits[vlan / 64] >> vlan % 64;
		if (bits)
			return vlan + (unsigned)__builtin_ctzll(bits);
	}
	return VLAN_MAX + 1;
}

const char *vlan_set_text(const struct vlan_set *set, struct arena *arena)
{
	const char *text = "";
	unsigned last;
	for (unsigned first = next_vlan(set, 1); first <= VLAN_MAX; first = next_vlan(set, last + 1)) {
		last = first;
		while (last < VLAN_MAX && vlan_set_has(set, last + 1))
			last++;
		text = arena_printf(arena, last > first ? "%s%s%u-%u" : "%s%s%u", text, *text ? "," : "", first, last);
	}
	return text;
}

static int parse_vlans(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	struct vlan_set set;
	int r = parse_set(text, &set, err);
	if (r == 0)
		*(const char **)out = vlan_set_text(&set, arena);
	return r;
}

static const char *format_vlans(const struct field *field, const void *value, struct arena *arena)
{
	return *(const char *const *)value;
}

static bool equal_vlans(const void *a, const void *b)
{
	return streq(*(const char *const *)a, *(const char *const *)b);
}

const struct scalar scalar_vlans = {.name = "VLANs",
				    .doc = "VLANs from 1 to 4094, ids and ranges with commas between them",
				    .pattern = "^([0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*)?$",
				    .example = "20-29",
				    .size = sizeof(const char *),
				    .json = JSON_FORM_STRING,
				    .text = true,
				    .number = true,
				    .parse = parse_vlans,
				    .format = format_vlans,
				    .equal = equal_vlans};
