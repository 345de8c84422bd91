/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables. A kind's spec, a resource's spec and every map inside them is a C struct that begins with
 * `uint64_t present` (bit i: row i was set) and is described by a table of rows. Decoding, defaults, error positions,
 * JSON and YAML output, the comparison of desired with observed, `weft explain`, the reference pages and the JSON
 * Schema all come from the rows; no kind has a parser of its own. Tables are counted, at most 64 rows each.
 *
 *     struct dns_spec { uint64_t present; const char *domain; struct list upstream; };
 *     static const struct field dns_rows[] = {
 *         F_STRING("domain", struct dns_spec, domain, .max = 253, .doc = "Its domain.", .example = "lan.test"),
 *         F_LIST("upstream", struct dns_spec, upstream, scalar_string, .doc = "Servers asked ..."),
 *     };
 *     const struct table dns_table = TABLE("Network.dns", struct dns_spec, dns_rows);
 */
#ifndef WEFT_CORE_FIELD_H
#define WEFT_CORE_FIELD_H

#include "core/node.h"
#include "core/value.h"

struct table;

enum field_shape {
	FIELD_SCALAR,
	FIELD_LIST,    /* struct list of scalars; a single scalar is accepted for a list of one */
	FIELD_STRUCT,  /* an embedded struct */
	FIELD_STRUCTS, /* struct list of structs; a scalar item sets the first row of its struct (names or maps with a
			  name) */
	FIELD_VARIANT, /* void *: a struct whose table choose() finds from the struct around it */
};

enum field_flag {
	FIELD_REQUIRED = 1 << 0,
	/* What a difference asks for (resource tables). None of the three: it is changed live by update(). */
	FIELD_RECREATE = 1 << 1,  /* remove, then create: disruptive */
	FIELD_RESTART = 1 << 2,   /* waits for the next cold start of what carries it: RestartNeeded, not drift */
	FIELD_REFUSE = 1 << 3,    /* can never change: a refusal that names it */
	FIELD_GROWS = 1 << 4,     /* observed >= desired counts as equal */
	FIELD_STATUS = 1 << 5,    /* observed only, shown, never compared */
	FIELD_SECRET = 1 << 6,    /* shown as "***", in no log, event or output */
	FIELD_UNORDERED = 1 << 7, /* a list compared as a set */
	FIELD_UNION = 1 << 8, /* two objects that want one resource: their lists are joined (without repeats) instead of
				 conflicting */
	FIELD_IRREVERSIBLE = 1 << 9, /* a change of it runs only after the revision is final */
	FIELD_LONG = 1 << 10,        /* long text: shown shortened in tables */
	FIELD_WEAK = 1 << 11,        /* desired only for creation: a later difference is left alone */
	FIELD_BOUND = 1 << 13,       /* what comes and goes with another row (a port's settings with its master): it is
					not given back by itself */
	FIELD_BESIDE = 1 << 12, /* VARIANT: its fields stand beside those of the struct around it, not in a map of their
				   own; present whenever choose() finds a table */
};

/* How a row travels in a netlink attribute, where that is all there is to it. NL_CENTI: ms as 1/100 s, the clock_t of
 * bridges. */
enum nl_form { NL_NONE, NL_U8, NL_U16, NL_U32, NL_U64, NL_BE16, NL_BE32, NL_STRING, NL_MAC, NL_IP, NL_FLAG, NL_CENTI };

enum { FIELD_LIST_MAX = 1024 };

struct field {
	const char *name; /* camelCase, as in YAML */
	enum field_shape shape;
	unsigned flags;
	const struct scalar *scalar;                       /* SCALAR, LIST */
	const struct table *table;                         /* STRUCT, STRUCTS */
	const struct table *(*choose)(const void *around); /* VARIANT; NULL result: the row must be absent */
	const struct table *(*choice)(size_t i);           /* BESIDE: every table that choose() may find; NULL ends */
	size_t offset;
	uint64_t min, max;        /* numbers: bounds when max > 0; strings: longest; lists: longest list is list_max */
	size_t list_max;          /* 0: FIELD_LIST_MAX */
	const char *def;          /* default, as text read by the scalar's parse(); its presence bit stays clear */
	const char *const *names; /* scalar_enum */
	size_t n_names;
	const char *ref;      /* names an object of this kind; "*" any */
	const char *singular; /* a second spelling for lists of one: "remote" for "remotes" */
	const char *doc;      /* one line, a sentence */
	const char *example;  /* as a person writes it; of a list one item, or "[a, b]" */
	uint16_t nl;          /* netlink attribute type */
	enum nl_form nl_form;
	const uint32_t *nl_values; /* scalar_enum: what each name is in the attribute; NULL: its number in `names` */
};

struct table {
	const char *name; /* "Network", "Network.dhcp": what messages call the map */
	size_t size;      /* sizeof the struct */
	const struct field *fields;
	size_t n_fields;
	const char *doc; /* of what may stand beside other fields: a sentence on what it is for; else NULL */
	bool hidden;     /* a secret may stand here by mistake: no message shows the lines of one that is wrong */
};

/* clang-format off */
#define FIELD_TYPE(S, m, T) (sizeof(char[1 - 2 * !__builtin_types_compatible_p(__typeof__(((S *)0)->m), T)]) * 0)
#define F_ROW(n, S, m, T, shape_, ...) \
	{ .name = (n), .shape = (shape_), .offset = offsetof(S, m) + FIELD_TYPE(S, m, T), ##__VA_ARGS__ }
#define F_OF(sc, T, n, S, m, ...) F_ROW(n, S, m, T, FIELD_SCALAR, .scalar = &(sc), ##__VA_ARGS__)

#define F_BOOL(n, S, m, ...) F_OF(scalar_bool, bool, n, S, m, ##__VA_ARGS__)
#define F_U32(n, S, m, ...) F_OF(scalar_u32, uint32_t, n, S, m, ##__VA_ARGS__)
#define F_U64(n, S, m, ...) F_OF(scalar_u64, uint64_t, n, S, m, ##__VA_ARGS__)
#define F_I32(n, S, m, ...) F_OF(scalar_i32, int32_t, n, S, m, ##__VA_ARGS__)
#define F_ENUM(n, S, m, e, ...) F_OF(scalar_enum, int, n, S, m, .names = (e), .n_names = ARRAY_SIZE(e), ##__VA_ARGS__)
#define F_STRING(n, S, m, ...) F_OF(scalar_string, const char *, n, S, m, ##__VA_ARGS__)
#define F_NAME(n, S, m, ...) F_OF(scalar_name, const char *, n, S, m, ##__VA_ARGS__)
#define F_IFNAME(n, S, m, ...) F_OF(scalar_ifname, const char *, n, S, m, ##__VA_ARGS__)
#define F_PATH(n, S, m, ...) F_OF(scalar_path, const char *, n, S, m, ##__VA_ARGS__)
#define F_SIZE(n, S, m, ...) F_OF(scalar_size, uint64_t, n, S, m, ##__VA_ARGS__)
#define F_DURATION(n, S, m, ...) F_OF(scalar_duration, uint64_t, n, S, m, ##__VA_ARGS__)
#define F_RATE(n, S, m, ...) F_OF(scalar_rate, uint64_t, n, S, m, ##__VA_ARGS__)
#define F_PERCENT(n, S, m, ...) F_OF(scalar_percent, uint32_t, n, S, m, ##__VA_ARGS__)
#define F_MAC(n, S, m, ...) F_OF(scalar_mac, struct mac, n, S, m, ##__VA_ARGS__)
#define F_IP(n, S, m, ...) F_OF(scalar_ip, struct ip, n, S, m, ##__VA_ARGS__)
#define F_PREFIX(n, S, m, ...) F_OF(scalar_prefix, struct ip_prefix, n, S, m, ##__VA_ARGS__)
#define F_RANGE(n, S, m, ...) F_OF(scalar_range, struct ip_range, n, S, m, ##__VA_ARGS__)
#define F_ENDPOINT(n, S, m, ...) F_OF(scalar_endpoint, struct endpoint, n, S, m, ##__VA_ARGS__)
#define F_DESTINATION(n, S, m, ...) F_OF(scalar_destination, struct ip_prefix, n, S, m, ##__VA_ARGS__)
#define F_REF(n, S, m, k, ...) F_OF(scalar_name, const char *, n, S, m, .ref = (k), ##__VA_ARGS__)
#define F_LIST(n, S, m, sc, ...) F_ROW(n, S, m, struct list, FIELD_LIST, .scalar = &(sc), ##__VA_ARGS__)
#define F_STRUCT(n, S, m, t, ...) \
	{ .name = (n), .shape = FIELD_STRUCT, .table = &(t), .offset = offsetof(S, m), ##__VA_ARGS__ }
#define F_STRUCTS(n, S, m, t, ...) F_ROW(n, S, m, struct list, FIELD_STRUCTS, .table = &(t), ##__VA_ARGS__)
#define F_VARIANT(n, S, m, c, ...) F_ROW(n, S, m, void *, FIELD_VARIANT, .choose = (c), ##__VA_ARGS__)
#define F_BESIDE(n, S, m, c, all, ...) F_VARIANT(n, S, m, c, .choice = (all), .flags = FIELD_BESIDE, ##__VA_ARGS__)
#define TABLE(n, S, rows) { .name = (n), .size = sizeof(S), .fields = (rows), .n_fields = ARRAY_SIZE(rows) }
/* clang-format on */

/* The presence bits of a struct described by a table. */
static inline uint64_t *present_of(void *spec)
{
	return spec;
}
static inline bool is_present(const void *spec, const struct table *table, const struct field *row)
{
	return *(const uint64_t *)spec >> (row - table->fields) & 1;
}

const struct field *table_field(const struct table *table, const char *name); /* NULL if there is none */
/* Says that a row, by name, is there. */
static inline void mark_present(void *spec, const struct table *table, const char *name)
{
	*present_of(spec) |= UINT64_C(1) << (table_field(table, name) - table->fields);
}
/* The row whose fields stand beside the table's own; NULL if there is none. */
const struct field *table_beside(const struct table *table);
/* The table's own row of that name, or the one among what may stand beside it; NULL if there is none. */
const struct field *table_field_anywhere(const struct table *table, const char *name);
/* A row by path from this table down: "dhcp.hosts.ip" (no indexes). NULL if there is none. */
const struct field *table_field_path(const struct table *table, const char *path);

/* Text that the row accepts: its example, else one out of its default, choices, bounds or type; NULL for maps. */
const char *field_example(const struct field *row, struct arena *arena);

/* Decodes a map into a struct (zeroed by the callee, table->size bytes): sets defaults, presence bits and lists in
 * `arena`. Queues a diagnostic for every unknown, missing, repeated, ill-typed or out-of-range field and goes on.
 * `node` may be NULL or NODE_NULL: an empty map at `where`. Returns true if nothing was queued. */
struct decode_into {
	void *spec;
	struct arena *arena;
	struct diags *diags;
};
bool table_decode(const struct table *table, const struct node *node, struct pos where, const struct decode_into *into);
/* The same from JSON without positions, for what the store or the API gives back; the first fault goes to err. */
int table_from_json(const struct table *table, const json_t *json, struct arena *arena, void *out, struct err *err);

enum emit_flag {
	EMIT_DEFAULTS = 1 << 0, /* rows with a default too, and unset structs */
	EMIT_SECRETS = 1 << 1,  /* else "***" */
	EMIT_NO_STATUS = 1 << 2,
};
/* The struct as JSON: present rows in table order. Scalars in their normal form. decode(emit(x)) = x for every row. */
json_t *table_to_json(const struct table *table, const void *spec, unsigned emit_flags);

/* Sets one row from text, as a plugin does it: "mtu", "1400"; nested rows as "dhcp.lease". Appends to lists. */
struct set_into {
	const struct table *table;
	void *spec;
	struct arena *arena;
};
int table_set_text(const struct set_into *into, const char *path, const char *text, struct err *err);
void *table_copy(const struct table *table, const void *spec, struct arena *arena); /* deep */
/* Which present rows of `want` differ from `seen`; STATUS and WEAK rows never do, GROWS by >=. `seen` rows that are
 * absent differ. Nested structs and variants: by their own present rows. */
uint64_t table_diff(const struct table *table, const void *want, const void *seen);
/* Are all rows of both the same? */
bool table_equal(const struct table *table, const void *a, const void *b);
/* Adds rows of `from` that `into` lacks; UNION lists are joined. Returns the mask of rows that conflict (present in
 * both and different); those stay as in `into`. */
uint64_t table_merge(const struct table *table, void *into, const void *from, struct arena *arena);
/* The OR of the flags of the rows in mask. */
unsigned table_flags(const struct table *table, uint64_t mask);
/* One row's value as short text for events and diffs ("1400", "[eth0, eth1]"); secrets as ***; "none" when absent. In
 * `arena`. */
const char *table_row_text(const struct table *table, const void *spec, size_t row, struct arena *arena);
/* Calls fn for each object reference in a spec. Its path is made a text ("disks[0].volume") only by who needs it: that
 * takes longer than to find all references. */
struct ref_path;
typedef void table_ref_fn(void *ctx, const char *kind, const char *name, const struct ref_path *path);
void table_refs(const struct table *table, const void *spec, table_ref_fn *fn, void *ctx);
enum { REF_PATH_TEXT = 256 }; /* cut where it does not fit: it only serves to find a position */
const char *ref_path_text(const struct ref_path *path, char buf[static REF_PATH_TEXT]);
/* JSON Schema (draft-07) of a table, out of its rows. */
json_t *table_schema(const struct table *table);

#endif
