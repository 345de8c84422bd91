/* SPDX-License-Identifier: Apache-2.0 */
/* How manifests write portals and names of iSCSI, and what several files know of a login: CHAP and timeouts. */
#include <ctype.h>

#include "stord/iscsi.h"

const char *portal_text(const struct endpoint *portal, struct arena *arena)
{
	return scalar_endpoint.format(NULL, portal, arena);
}

static int parse_portal(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err)
{
	struct endpoint portal = {.port = ISCSI_PORT};
	struct err ignored = {0};
	size_t len = strlen(text);
	bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
	cleanup_free char *inner = brackets ? xstrndup(text + 1, len - 2) : xstrdup(text);
	bool bare = ip_parse(inner, &portal.ip) == 0 && (!brackets || portal.ip.family == 6);
	if (!bare && scalar_endpoint.parse(NULL, text, arena, &portal, &ignored) < 0)
		return err_set(err, EINVAL,
			       "expected a portal such as 192.0.2.60, 192.0.2.60:3260 or [fd00::60]:3260\n"
			       "names are not looked up: write the address itself");
	*(struct endpoint *)out = portal;
	return 0;
}

static const char *format_portal(const struct field *field, const void *value, struct arena *arena)
{
	return portal_text(value, arena);
}

static bool equal_portal(const void *a, const void *b)
{
	return scalar_endpoint.equal(a, b);
}

const struct scalar scalar_portal = {
	.name = "portal",
	.doc = "an address, with :PORT where it is not 3260; IPv6 with a port in brackets",
	.example = "192.0.2.60",
	.size = sizeof(struct endpoint),
	.json = JSON_FORM_STRING,
	.parse = parse_portal,
	.format = format_portal,
	.equal = equal_portal,
};

static bool is_hex(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

/* RFC 3720, 3.2.6.3: iqn.YYYY-MM.a reversed domain, then perhaps a colon and any name; lower case throughout. */
static bool is_iscsi_name(const char *text)
{
	size_t len = strlen(text);
	if (len >= ISCSI_NAME_MAX || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.:") != len)
		return false;
	if (str_starts(text, "eui."))
		return is_hex(text + 4, 16);
	if (str_starts(text, "naa."))
		return is_hex(text + 4, 16) || is_hex(text + 4, 32);
	if (!str_starts(text, "iqn.") || len < 13 || !isalnum((unsigned char)text[12]))
		return false;
	for (size_t i = 4; i < 11; i++)
		if (i == 8 ? text[i] != '-' : !isdigit((unsigned char)text[i]))
			return false;
	int month = atoi(text + 9);
	return text[11] == '.' && month >= 1 && month <= 12;
}

static int parse_iscsi_name(const struct field *field, const char *text, struct arena *arena, void *out,
			    struct err *err)
{
	if (!is_iscsi_name(text))
		return err_set(err, EINVAL,
			       "expected a name of iSCSI such as iqn.2003-01.org.example:san1 (a year, a month, a "
			       "reversed domain), eui. or naa. and hexadecimal digits; all in lower case");
	*(const char **)out = arena_strdup(arena, text);
	return 0;
}

static const char *format_iscsi_name(const struct field *field, const void *value, struct arena *arena)
{
	return *(const char *const *)value;
}

static bool equal_iscsi_name(const void *a, const void *b)
{
	return streq(*(const char *const *)a, *(const char *const *)b);
}

const struct scalar scalar_iscsi_name = {
	.name = "iSCSI name",
	.doc = "iqn.YYYY-MM.REVERSED.DOMAIN:NAME, eui.DIGITS or naa.DIGITS",
	.pattern = "^(iqn\\.[0-9]{4}-[0-9]{2}\\.[a-z0-9][a-z0-9.:-]*|eui\\.[0-9a-f]{16}|naa\\.[0-9a-f]{16}([0-9a-f]{16}"
		   ")?)$",
	.example = "iqn.2003-01.org.example:san1",
	.size = sizeof(const char *),
	.json = JSON_FORM_STRING,
	.text = true,
	.parse = parse_iscsi_name,
	.format = format_iscsi_name,
	.equal = equal_iscsi_name,
};

static const struct field chap_rows[] = {
	F_STRING("user", struct chap_spec, user, .flags = FIELD_REQUIRED, .max = 255, .doc = "Name to log in with.",
		 .example = "host1"),
	F_STRUCT("password", struct chap_spec, password, secret_table, .flags = FIELD_REQUIRED,
		 .doc = "Where the password is."),
};
const struct table chap_table = TABLE("CHAP", struct chap_spec, chap_rows);

#define SECONDS(n, m, d, lo, hi, text)                                                                         \
	F_DURATION(n, struct iscsi_timeouts, m, .def = (d), .min = (lo)*1000, .max = (hi)*1000, .doc = (text), \
		   .example = "10s")
static const struct field timeouts_rows[] = {
	F_DURATION("replacement", struct iscsi_timeouts, replacement, .min = 1000, .max = 86400 * 1000ULL,
		   .doc = "How long I/O waits for a portal that is away before it fails, or goes by another one; 5s "
			  "with multipath, 2m without. multipathd may set its own.",
		   .example = "20s"),
	SECONDS("noopInterval", noop_interval, "2s", 1, 600, "How often a silent portal is asked whether it is there."),
	SECONDS("noopTimeout", noop_timeout, "3s", 1, 600, "How long it has for the answer."),
	SECONDS("login", login, "5s", 1, 60, "How long a login may take."),
};
const struct table iscsi_timeouts_table = TABLE("Pool.timeouts", struct iscsi_timeouts, timeouts_rows);
