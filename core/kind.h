/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds: what a person writes. A kind is one file that ends in one const vtable: a table of fields, check() for rules
 * across rows, lower() into resources. Registered by a line in the directory's CMakeLists (weft_kind(netd bridge)),
 * which writes the list. */
#ifndef WEFT_CORE_KIND_H
#define WEFT_CORE_KIND_H

#include "core/field.h"

struct lowering;
struct object;

enum kind_flag {
	KIND_NAME_IS_IFNAME =
		1 << 0, /* metadata.name becomes a link's name: checked as scalar_ifname, not as a DNS label */
	KIND_IS_REFUSED = 1 << 1, /* there so that check() can say what to write instead; of its spec nothing is said */
};

/* What check() sees of one object and may complain about. */
struct check {
	const struct object *object;
	struct diags *diags;
	/* Another object of the same configuration, NULL if there is none. Its spec is decoded, perhaps not yet
	 * checked. */
	const struct object *(*find)(const struct check *check, const char *kind, const char *name);
	/* Every object in turn, for rules between objects; start with i = 0, NULL ends. */
	const struct object *(*at)(const struct check *check, size_t i);
	void *ctx;
};

struct kind {
	const char *name;   /* "Network" */
	const char *plural; /* "networks" */
	const char *shorts; /* NULL, or an abbreviation for the command line: "net" */
	const char *doc;    /* one paragraph for `weft explain` */
	unsigned flags;
	const struct table *table; /* of the spec */
	/* Rules across rows and between objects; queues diagnostics with check_fault(). May be NULL. */
	void (*check)(const struct check *check);
	/* Turns the object into wants, with the functions of core/lower.h. Pure: reads its object, facts and
	 * allocations only. What it cannot do it refuses with lower_refuse(). */
	void (*lower)(struct lowering *l, const struct object *object);
	/* Columns of `weft get`: field paths or status names ("spec.mode", "status.leases"), comma separated after NAME
	 * and READY; NULL: none. */
	const char *columns;
};

struct object {
	const struct kind *kind;
	const char *name;
	const char *set;         /* the set it belongs to */
	void *spec;              /* kind->table's struct */
	const struct node *node; /* the whole document, with positions */
	uint64_t generation;     /* counts the changes of this object's content, from 1 */
	const char *file;        /* what it was read from, as the user named it; NULL if unknown */
};

/* Queues a fault at a path of the object's document ("spec.dhcp.range"), as deep as it leads. */
struct diag *check_fault(const struct check *check, const char *path, const char *fmt, ...) printf_like(3, 4);
struct pos object_pos(const struct object *object, const char *path);

const struct kind *kind_find(const char *name); /* any case, singular, plural or short; NULL if unknown */
const struct kind *kind_at(size_t i);           /* NULL ends */
/* Adds a kind (of this program or of a plugin) to the ones found above. -EEXIST if its name is taken. */
int kind_register(const struct kind *kind, struct err *err);

/* Decodes a document (apiVersion, kind, metadata, spec) into an object in `arena`. Faults are queued; NULL if not even
 * kind and name were readable. Only the document itself is looked at. */
struct object *object_decode(const struct node *doc, struct arena *arena, struct diags *diags);
/* JSON Schema (draft-07) of a document of any kind, for editors. */
json_t *kinds_schema(void);
/* The object as a document that can be applied again. */
json_t *object_to_json(const struct object *object, unsigned emit_flags);

#endif
