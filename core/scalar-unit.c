/* SPDX-License-Identifier: Apache-2.0 */
/* The scalar types with units: sizes, durations, rates, shares. A bare number is refused with the unit it lacks, since
 * whoever wrote 64 may have meant bytes or MiB; only 0 needs none. See value.h. */
#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

#include "core/field.h"

struct unit {
	const char *name;
	uint64_t factor;
};
struct units {
	const char *what; /* "a size" */
	const char *example;
	const char *usual;        /* the unit that a bare number most likely lacks */
	bool sums;                /* 1h30m */
	const struct unit *items; /* largest first */
	size_t n;
};

static const struct unit size_units[] = {{"PiB", 1ULL << 50}, {"TiB", 1ULL << 40}, {"GiB", 1ULL << 30},
					 {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"B", 1}};
static const struct unit duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit rate_units[] = {
	{"tbit", 1000000000000}, {"gbit", 1000000000}, {"mbit", 1000000}, {"kbit", 1000}, {"bit", 1}};
static const struct units sizes = {"a size", "64MiB", "MiB", false, size_units, ARRAY_SIZE(size_units)};
static const struct units durations = {"a duration", "90s", "s", true, duration_units, ARRAY_SIZE(duration_units)};
static const struct units rates = {"a rate", "100mbit", "mbit", false, rate_units, ARRAY_SIZE(rate_units)};

/* Reads "2.5" and scales it. The fraction must come out whole; 10^15 is more digits than any unit needs. */
static int scaled(const char *digits, size_t len, uint64_t factor, uint64_t *ret)
{
	uint64_t whole = 0, fraction = 0, scale = 1;
	bool point = false;
	for (size_t i = 0; i < len; i++) {
		if (digits[i] == '.') {
			point = true;
			continue;
		}
		uint64_t digit = (uint64_t)(digits[i] - '0');
		if (point) {
			if (scale >= 1000000000000000)
				return -ERANGE;
			scale *= 10;
			fraction = fraction * 10 + digit;
		} else if (__builtin_mul_overflow(whole, (uint64_t)10, &whole) ||
			   __builtin_add_overflow(whole, digit, &whole)) {
			return -ERANGE;
		}
	}
	unsigned __int128 part = (unsigned __int128)fraction * factor;
	if (part % scale != 0)
		return -EINVAL;
	if (__builtin_mul_overflow(whole, factor, &whole) ||
	    __builtin_add_overflow(whole, (uint64_t)(part / scale), &whole))
		return -ERANGE;
	*ret = whole;
	return 0;
}

/* The length of digits with at most one point inside, 0 if there are none. */
static size_t number_len(const char *text)
{
	size_t len = strspn(text, "0123456789");
	if (len && text[len] == '.') {
		size_t more = strspn(text + len + 1, "0123456789");
		len = more ? len + 1 + more : 0;
	}
	return len;
}

/* One number with its unit; moves *text past it. */
static int parse_part(const struct units *units, const char **text, const struct unit **ret_unit, uint64_t *ret)
{
	size_t len = number_len(*text),
	       word = strspn(*text + len, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	if (!len || !word)
		return -EINVAL;
	for (size_t i = 0; i < units->n; i++) {
		const struct unit *unit = &units->items[i];
		if (strlen(unit->name) != word || strncmp(unit->name, *text + len, word) != 0)
			continue;
		int r = scaled(*text, len, unit->factor, ret);
		*text += len + word;
		*ret_unit = unit;
		return r;
	}
	return -EINVAL;
}

static int parse_sum(const struct units *units, const char *text, uint64_t *ret)
{
	uint64_t sum = 0;
	const struct unit *last = NULL, *unit = NULL;
	do {
		uint64_t part;
		int r = parse_part(units, &text, &unit, &part);
		if (r < 0)
			return r;
		/* Larger units come first, each once. */
		if (last && unit->factor >= last->factor)
			return -EINVAL;
		if (__builtin_add_overflow(sum, part, &sum))
			return -ERANGE;
		last = unit;
	} while (*text && units->sums);
	*ret = sum;
	return *text ? -EINVAL : 0;
}

static const char *format_units(const struct units *units, uint64_t value, char *buf, size_t size)
{
	buf[0] = 0;
	size_t len = 0;
	for (size_t i = 0; i < units->n && value; i++) {
		uint64_t factor = units->items[i].factor;
		if (units->sums ? value < factor : value % factor != 0)
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%" PRIu64 "%s", value / factor, units->items[i].name);
		value = units->sums ? value % factor : 0;
	}
	return buf[0] ? buf : "0";
}

/* What a person may have meant: the right unit for 64M, 64mb, 64 MiB, 5sec, 1gbps; empty if that cannot be told. */
static const char *meant(const struct units *units, const char *text, char *buf, size_t size)
{
	static const char *const aliases[][2] = {
		{"k", "KiB"},     {"kb", "KiB"},      {"m", "MiB"},       {"mb", "MiB"},    {"g", "GiB"},
		{"gb", "GiB"},    {"t", "TiB"},       {"tb", "TiB"},      {"byte", "B"},    {"bytes", "B"},
		{"sec", "s"},     {"second", "s"},    {"seconds", "s"},   {"secs", "s"},    {"min", "m"},
		{"mins", "m"},    {"minute", "m"},    {"minutes", "m"},   {"hour", "h"},    {"hours", "h"},
		{"hr", "h"},      {"msec", "ms"},     {"bps", "bit"},     {"kbps", "kbit"}, {"mbps", "mbit"},
		{"gbps", "gbit"}, {"mbit/s", "mbit"}, {"gbit/s", "gbit"}, {"k", "kbit"},    {"m", "mbit"},
		{"g", "gbit"},    {"t", "tbit"}};
	size_t len = number_len(text);
	const char *word = text + len + strspn(text + len, " ");
	buf[0] = 0;
	if (!len || len > 20)
		return buf;
	for (size_t i = 0; i < units->n; i++) {
		const char *name = units->items[i].name;
		bool match = strcasecmp(word, name) == 0;
		for (size_t k = 0; k < ARRAY_SIZE(aliases) && !match; k++)
			match = strcasecmp(word, aliases[k][0]) == 0 && streq(name, aliases[k][1]);
		if (match) {
			snprintf(buf, size, "%.*s%s", (int)len, text, name);
			break;
		}
	}
	return buf;
}

static int unit_fault(const struct units *units, const struct field *field, const char *text, struct err *err)
{
	const char *example = field && field->example ? field->example : units->example;
	char words[64] = "", probably[64];
	for (size_t i = units->n, len = 0; i-- > 0;)
		len += (size_t)snprintf(words + len, sizeof(words) - len, "%s%s", len ? i ? ", " : " or " : "",
					units->items[i].name);
	if (*text && number_len(text) == strlen(text))
		return err_set(err, EINVAL, "expected %s with its unit (%s)\nwrite a unit: %.20s%s", units->what, words,
			       text, units->usual);
	if (*meant(units, text, probably, sizeof(probably)))
		return err_set(err, EINVAL, "expected %s in %s\nwrite %s", units->what, words, probably);
	return err_set(err, EINVAL, "expected %s such as %s (%s)", units->what, example, words);
}

static int parse_units(const struct units *units, const struct field *field, const char *text, uint64_t *ret,
		       struct err *err)
{
	uint64_t value = 0, min = field ? field->min : 0, max = field && field->max ? field->max : UINT64_MAX;
	int r = streq(text, "0") ? 0 : parse_sum(units, text, &value);
	if (r == -EINVAL)
		return unit_fault(units, field, text, err);
	char low[64], high[64];
	if (r == 0 && value >= min && value <= max) {
		*ret = value;
		return 0;
	}
	if (max == UINT64_MAX && r == 0)
		return err_set(err, EINVAL, "expected %s of at least %s", units->what,
			       format_units(units, min, low, sizeof(low)));
	if (max == UINT64_MAX)
		return err_set(err, EINVAL, "expected %s that fits into 64 bits", units->what);
	return err_set(err, EINVAL, "expected %s from %s to %s", units->what,
		       format_units(units, min, low, sizeof(low)), format_units(units, max, high, sizeof(high)));
}

static const char *format_in(const struct units *units, const void *value, struct arena *arena)
{
	char buf[64];
	return arena_strdup(arena, format_units(units, *(const uint64_t *)value, buf, sizeof(buf)));
}

static int parse_size(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	return parse_units(&sizes, field, text, out, err);
}

static const char *format_size(const struct field *field, const void *value, struct arena *arena)
{
	return format_in(&sizes, value, arena);
}

static int parse_duration(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	return parse_units(&durations, field, text, out, err);
}

static const char *format_duration(const struct field *field, const void *value, struct arena *arena)
{
	return format_in(&durations, value, arena);
}

static int parse_rate(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	return parse_units(&rates, field, text, out, err);
}

static const char *format_rate(const struct field *field, const void *value, struct arena *arena)
{
	return format_in(&rates, value, arena);
}

static int parse_percent(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	uint64_t min = field ? field->min : 0, max = field && field->max ? field->max : 1000000;
	size_t len = strspn(text, "0123456789");
	if (!len || len > 7 || (len > 1 && text[0] == '0') || !streq(text + len, "%")) {
		if (len && !text[len])
			return err_set(err, EINVAL, "expected a share with its unit\nwrite a unit: %.10s%%", text);
		return err_set(err, EINVAL, "expected a share such as %s",
			       field && field->example ? field->example : "90%");
	}
	unsigned long value = strtoul(text, NULL, 10);
	if (value < min || value > max)
		return err_set(err, EINVAL, "expected a share from %" PRIu64 "%% to %" PRIu64 "%%", min, max);
	*(uint32_t *)out = (uint32_t)value;
	return 0;
}

static const char *format_percent(const struct field *field, const void *value, struct arena *arena)
{
	return arena_printf(arena, "%" PRIu32 "%%", *(const uint32_t *)value);
}

const struct scalar scalar_size = {.name = "size",
				   .doc = "bytes with B, KiB, MiB, GiB, TiB or PiB",
				   .pattern = "^(0|[0-9]+(\\.[0-9]+)?([KMGTP]i)?B)$",
				   .example = "64MiB",
				   .size = sizeof(uint64_t),
				   .json = JSON_FORM_STRING,
				   .zero = true,
				   .parse = parse_size,
				   .format = format_size};
const struct scalar scalar_duration = {
	.name = "duration",
	.doc = "a time with ms, s, m or h, such as 1h30m",
	.pattern = "^(0|([0-9]+(\\.[0-9]+)?h)?([0-9]+(\\.[0-9]+)?m)?([0-9]+(\\.[0-9]+)?s)?([0-9]+ms)?)$",
	.example = "90s",
	.size = sizeof(uint64_t),
	.json = JSON_FORM_STRING,
	.zero = true,
	.parse = parse_duration,
	.format = format_duration};
const struct scalar scalar_rate = {.name = "rate",
				   .doc = "bits a second with bit, kbit, mbit, gbit or tbit",
				   .pattern = "^(0|[0-9]+(\\.[0-9]+)?[kmgt]?bit)$",
				   .example = "100mbit",
				   .size = sizeof(uint64_t),
				   .json = JSON_FORM_STRING,
				   .zero = true,
				   .parse = parse_rate,
				   .format = format_rate};
const struct scalar scalar_percent = {.name = "share",
				      .doc = "a share with %",
				      .pattern = "^[0-9]+%$",
				      .example = "90%",
				      .size = sizeof(uint32_t),
				      .json = JSON_FORM_STRING,
				      .parse = parse_percent,
				      .format = format_percent};
