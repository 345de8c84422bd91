/* SPDX-License-Identifier: Apache-2.0 */
/* The values that fields hold, and the scalar types that read and print them. Every scalar type has one
 * canonical text: what parse() accepts in several spellings, format() prints in one (its normal form). */
#ifndef WEFT_CORE_VALUE_H
#define WEFT_CORE_VALUE_H

#include "core/arena.h"
#include "core/err.h"

struct mac {
	uint8_t b[6];
};
struct ip {
	uint8_t family; /* 4, 6, or 0 for none */
	uint8_t b[16];  /* network order; IPv4 in the first four */
};
struct ip_prefix { /* an address with its length: host bits are kept */
	struct ip ip;
	uint8_t len;
};
struct ip_range { /* both ends included, one family */
	struct ip first, last;
};
struct endpoint { /* "192.0.2.1:80", "[fd00::1]:80" */
	struct ip ip;
	uint16_t port;
};
struct vlan_set {
	uint64_t bits[64]; /* bit i % 64 of word i / 64: VLAN i; 1 to 4094 */
};
struct list {
	void *items;
	size_t n;
};
#define list_at(list, type, i) (((type *)(list)->items)[i])

struct field;

enum json_form { JSON_FORM_STRING, JSON_FORM_NUMBER, JSON_FORM_BOOL };

struct scalar {
	const char *name;    /* "size", "mac": what `weft explain` prints */
	const char *doc;     /* how it is written: "bytes with KiB, MiB, GiB or TiB" */
	const char *pattern; /* JSON Schema pattern, NULL if any */
	const char *example; /* "64MiB" */
	size_t size;         /* bytes of the C value */
	enum json_form json;
	bool text;   /* the value is a const char * that a deep copy has to duplicate */
	bool zero;   /* a value with a unit of which a bare 0 is accepted */
	bool number; /* text that may be a bare number */
	/* Reads text into *out. On failure returns -EINVAL and says in err what was expected ("expected a size such as
	 * 64MiB"); after a line break there may be a hint ("write a unit: 64MiB"). `field` may be NULL: no bounds. */
	int (*parse)(const struct field *field, const char *text, struct arena *arena, void *out, struct err *err);
	const char *(*format)(const struct field *field, const void *value, struct arena *arena);
	bool (*equal)(const void *a, const void *b); /* NULL: compares bytes */
};

/*                                 C type            written as */
extern const struct scalar
	scalar_bool,     /* bool             true, false only (quoted or yes/no/on/off: an error that says so) */
	scalar_u32,      /* uint32_t         decimal; bounded by field min/max when max > 0 */
	scalar_u64,      /* uint64_t */
	scalar_i32,      /* int32_t */
	scalar_enum,     /* int              index into field->names */
	scalar_string,   /* const char *     any text; field max = longest in bytes when > 0 */
	scalar_name,     /* const char *     DNS label, at most 63 */
	scalar_ifname,   /* const char *     at most 15 bytes, no '/', space, ':' or '%', not "." or "..", "default" or
			    "all" */
	scalar_path,     /* const char *     no NUL, no ".." component */
	scalar_size,     /* uint64_t bytes   64MiB; a bare number is an error, but 0 */
	scalar_duration, /* uint64_t ms      100ms 4s 1h 1h30m; a bare number is an error, but 0 */
	scalar_rate,     /* uint64_t bit/s   100mbit 2.5gbit */
	scalar_percent,  /* uint32_t         90% */
	scalar_mac,      /* struct mac       52:54:00:00:20:01, '-' too; multicast and all zeros refused */
	scalar_ip,       /* struct ip        both families; a zone is refused */
	scalar_ip4, scalar_ip6, /* struct ip    one family */
	scalar_prefix,          /* struct ip_prefix 192.168.150.1/24; the length is required */
	scalar_range,           /* struct ip_range  192.0.2.10-192.0.2.99, first <= last */
	scalar_endpoint,        /* struct endpoint  ADDRESS:PORT */
	scalar_destination,     /* struct ip_prefix 10.0.0.0/8, an address by itself, or default (family 0) */
	scalar_vlans;           /* const char *     ids and ranges 10,20-29, in order and joined; "" is none */

/* Text of values into a static-size buffer of the caller's; returns buf. */
enum { IP_TEXT = 64 };
const char *ip_text(const struct ip *ip, char buf[static IP_TEXT]);
const char *prefix_text(const struct ip_prefix *prefix, char buf[static IP_TEXT]);
const char *mac_text(const struct mac *mac, char buf[static IP_TEXT]);
bool ip_equal(const struct ip *a, const struct ip *b);
bool ip_is_link_local(const struct ip *ip); /* fe80::/10, RFC 4291 */
int ip_compare(const struct ip *a, const struct ip *b); /* family, then bytes */
bool prefix_contains(const struct ip_prefix *prefix, const struct ip *ip);
bool prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);
/* The network of a prefix: host bits cleared. */
struct ip_prefix prefix_network(const struct ip_prefix *prefix);
/* Reads without a field, for what comes from the host. Return 0 or -EINVAL. */
int ip_parse(const char *text, struct ip *ret);
int prefix_parse(const char *text, struct ip_prefix *ret);
int mac_parse(const char *text, struct mac *ret);
int vlan_set_parse(const char *text, struct vlan_set *ret);
const char *vlan_set_text(const struct vlan_set *set, struct arena *arena);
static inline bool vlan_set_has(const struct vlan_set *set, unsigned id)
{
	return set->bits[id / 64] >> id % 64 & 1;
}
static inline void vlan_set_put(struct vlan_set *set, unsigned id, bool in)
{
	uint64_t bit = (uint64_t)1 << id % 64;
	set->bits[id / 64] = in ? set->bits[id / 64] | bit : set->bits[id / 64] & ~bit;
}

#endif
