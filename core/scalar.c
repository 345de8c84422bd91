/* SPDX-License-Identifier: Apache-2.0 */
/* The scalar types without units: booleans, whole numbers, choices, strings, names and paths. Their parse() says what
 * was expected, in the words of the row where it has some. See value.h; scalar-unit.c and scalar-net.c have the
 * others. */
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <strings.h>

#include "core/field.h"

static int parse_bool(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	static const char *const yes[] = {"yes", "on", "y", "1", "true"}, *const no[] = {"no", "off", "n", "0",
											 "false"};
	if (streq(text, "true") || streq(text, "false")) {
		*(bool *)out = text[0] == 't';
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (strcasecmp(text, yes[i]) == 0)
			return err_set(err, EINVAL, "expected true or false\nwrite true");
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (strcasecmp(text, no[i]) == 0)
			return err_set(err, EINVAL, "expected true or false\nwrite false");
	return err_set(err, EINVAL, "expected true or false");
}

static const char *format_bool(const struct field *field, const void *value, struct arena *arena)
{
	return *(const bool *)value ? "true" : "false";
}

/* Decimal digits without sign, leading zeros or blanks. */
static int parse_digits(const char *text, uint64_t *ret)
{
	uint64_t n = 0;
	if (!*text || (text[0] == '0' && text[1]))
		return -EINVAL;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) || __builtin_add_overflow(n, (uint64_t)(*c - '0'), &n))
			return -ERANGE;
	}
	*ret = n;
	return 0;
}

static int parse_unsigned(const struct field *field, const char *text, uint64_t type_max, uint64_t *ret,
			  struct err *err)
{
	uint64_t min = field ? field->min : 0, max = field && field->max ? field->max : type_max;
	int r = parse_digits(text, ret);
	if (r == 0 && *ret >= min && *ret <= max)
		return 0;
	/* A type's own bound says nothing to a person unless the number went past it. */
	if (max == type_max && r != -ERANGE && !(r == 0 && *ret > max)) {
		if (min)
			return err_set(err, EINVAL, "expected a whole number from %" PRIu64 " on", min);
		return err_set(err, EINVAL, "expected a whole number");
	}
	return err_set(err, EINVAL, "expected a whole number from %" PRIu64 " to %" PRIu64, min, max);
}

static int parse_u32(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	uint64_t n;
	int r = parse_unsigned(field, text, UINT32_MAX, &n, err);
	if (r == 0)
		*(uint32_t *)out = (uint32_t)n;
	return r;
}

static const char *format_u32(const struct field *field, const void *value, struct arena *arena)
{
	return arena_printf(arena, "%" PRIu32, *(const uint32_t *)value);
}

static int parse_u64(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	uint64_t n;
	int r = parse_unsigned(field, text, UINT64_MAX, &n, err);
	if (r == 0)
		*(uint64_t *)out = n;
	return r;
}

static const char *format_u64(const struct field *field, const void *value, struct arena *arena)
{
	return arena_printf(arena, "%" PRIu64, *(const uint64_t *)value);
}

static int parse_i32(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	int64_t min = INT32_MIN, max = INT32_MAX;
	if (field && (field->min || field->max)) {
		min = (int64_t)field->min;
		max = field->max || min < 0 ? (int64_t)field->max : INT32_MAX;
	}
	uint64_t n = 0;
	bool negative = text[0] == '-';
	int r = parse_digits(text + negative, &n);
	if (r == 0 && n <= (uint64_t)INT32_MAX + 1) {
		int64_t value = negative ? -(int64_t)n : (int64_t)n;
		if (value >= min && value <= max) {
			*(int32_t *)out = (int32_t)value;
			return 0;
		}
	}
	return err_set(err, EINVAL, "expected a whole number from %" PRId64 " to %" PRId64, min, max);
}

static const char *format_i32(const struct field *field, const void *value, struct arena *arena)
{
	return arena_printf(arena, "%" PRId32, *(const int32_t *)value);
}

static int parse_enum(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	size_t n = field ? field->n_names : 0;
	for (size_t i = 0; i < n; i++) {
		if (streq(field->names[i], text)) {
			*(int *)out = (int)i;
			return 0;
		}
	}
	char list[320] = "";
	for (size_t i = 0, len = 0; i < n && len < sizeof(list) - 1; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? i + 1 == n ? " or " : ", " : "",
					field->names[i]);
	return err_set(err, EINVAL, "expected %s", list);
}

static const char *format_enum(const struct field *field, const void *value, struct arena *arena)
{
	int i = *(const int *)value;
	return field && i >= 0 && (size_t)i < field->n_names ? field->names[i] : NULL;
}

static const char *format_text(const struct field *field, const void *value, struct arena *arena)
{
	return *(const char *const *)value;
}

static bool equal_text(const void *a, const void *b)
{
	return streq(*(const char *const *)a, *(const char *const *)b);
}

static int keep_text(const char *text, struct arena *arena, void *out)
{
	*(const char **)out = arena_strdup(arena, text);
	return 0;
}

static int parse_string(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	size_t size = strlen(text);
	if (field && field->max && size > field->max)
		return err_set(err, EINVAL, "expected at most %" PRIu64 " bytes of text (this has %zu)", field->max,
			       size);
	if (field && size < field->min)
		return err_set(err, EINVAL,
			       field->min == 1 ? "expected some text" : "expected at least %" PRIu64 " bytes of text",
			       field->min);
	return keep_text(text, arena, out);
}

static bool is_label(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return len > 0 && len <= 63 && !text[len] && text[0] != '-' && text[len - 1] != '-';
}

/* What the kernel takes for a link's name, less what other programs' configuration takes for something else: a leading
 * '-' is an option, a trailing '+' or a '*' a wildcard, quotes and commas end a word. Returns what is wrong, or
 * NULL. */
static const char *ifname_fault(const char *text)
{
	size_t size = strlen(text);
	if (size == 0 || size > 15)
		return "expected a link name of 1 to 15 characters";
	if (streq(text, ".") || streq(text, "..") || streq(text, "default") || streq(text, "all"))
		return "expected another link name: the kernel keeps '.', '..', 'all' and 'default' for itself";
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("/:%\"'\\,*", *c))
			return "expected a link name without blanks and without any of / : % \" ' \\ , *";
	if (text[0] == '-' || text[size - 1] == '+')
		return "expected a link name that does not begin with '-' or end with '+'";
	return NULL;
}

static int parse_name(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	/* A reference may name an object of a kind that is called like its link. */
	if (is_label(text) || (field && field->ref && !ifname_fault(text)))
		return keep_text(text, arena, out);
	char lower[64] = "";
	for (size_t i = 0; i < sizeof(lower) - 1 && text[i]; i++)
		lower[i] = text[i] == '_' || text[i] == ' ' || text[i] == '.' ? '-'
									      : (char)tolower((unsigned char)text[i]);
	const char *expected =
		"expected a name of lower case letters, digits and '-', at most 63 characters, that begins and ends "
		"with a letter or digit";
	if (strlen(text) < sizeof(lower) && is_label(lower))
		return err_set(err, EINVAL, "%s\nsuch as '%s'", expected, lower);
	return err_set(err, EINVAL, "%s", expected);
}

static int parse_ifname(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	const char *fault = ifname_fault(text);
	return fault ? err_set(err, EINVAL, "%s", fault) : keep_text(text, arena, out);
}

static int parse_path(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	size_t size = strlen(text), max = field && field->max ? field->max : PATH_MAX - 1;
	if (size == 0 || size > max)
		return err_set(err, EINVAL, "expected a path of 1 to %zu bytes", max);
	for (const char *part = text; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || !part[2]))
			return err_set(err, EINVAL, "expected a path without '..'");
	}
	return keep_text(text, arena, out);
}

const struct scalar scalar_bool = {.name = "boolean",
				   .doc = "true or false",
				   .example = "true",
				   .size = sizeof(bool),
				   .json = JSON_FORM_BOOL,
				   .parse = parse_bool,
				   .format = format_bool};
const struct scalar scalar_u32 = {.name = "number",
				  .doc = "a whole number",
				  .example = "1",
				  .size = sizeof(uint32_t),
				  .json = JSON_FORM_NUMBER,
				  .parse = parse_u32,
				  .format = format_u32};
const struct scalar scalar_u64 = {.name = "number",
				  .doc = "a whole number",
				  .example = "1",
				  .size = sizeof(uint64_t),
				  .json = JSON_FORM_NUMBER,
				  .parse = parse_u64,
				  .format = format_u64};
const struct scalar scalar_i32 = {.name = "number",
				  .doc = "a whole number, perhaps negative",
				  .example = "1",
				  .size = sizeof(int32_t),
				  .json = JSON_FORM_NUMBER,
				  .parse = parse_i32,
				  .format = format_i32};
const struct scalar scalar_enum = {.name = "choice",
				   .doc = "one of the listed words",
				   .size = sizeof(int),
				   .json = JSON_FORM_STRING,
				   .parse = parse_enum,
				   .format = format_enum};
const struct scalar scalar_string = {.name = "string",
				     .doc = "any text",
				     .example = "text",
				     .size = sizeof(char *),
				     .json = JSON_FORM_STRING,
				     .text = true,
				     .parse = parse_string,
				     .format = format_text,
				     .equal = equal_text};
const struct scalar scalar_name = {.name = "name",
				   .doc = "lower case letters, digits and '-', at most 63 characters",
				   .pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
				   .example = "web",
				   .size = sizeof(char *),
				   .json = JSON_FORM_STRING,
				   .text = true,
				   .parse = parse_name,
				   .format = format_text,
				   .equal = equal_text};
const struct scalar scalar_ifname = {.name = "link name",
				     .doc = "a link's name, at most 15 characters",
				     .pattern = "^[^-/:%\"'\\\\,* ][^/:%\"'\\\\,* ]{0,14}$",
				     .example = "eth0",
				     .size = sizeof(char *),
				     .json = JSON_FORM_STRING,
				     .text = true,
				     .parse = parse_ifname,
				     .format = format_text,
				     .equal = equal_text};
const struct scalar scalar_path = {.name = "path",
				   .doc = "a path without '..'",
				   .pattern = "^(?!(.*/)?\\.\\.(/|$)).+$",
				   .example = "images",
				   .size = sizeof(char *),
				   .json = JSON_FORM_STRING,
				   .text = true,
				   .parse = parse_path,
				   .format = format_text,
				   .equal = equal_text};
