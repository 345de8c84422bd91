/* SPDX-License-Identifier: Apache-2.0 */
/* The tree between text and objects: scalars, maps and lists, each with the position it was read from. YAML is read
 * through libyaml's events (for the marks); JSON through jansson (no positions). Bounds: 10 MiB a source, depth 32,
 * 100,000 nodes a document. Anchors, aliases, tags, merge keys, duplicate keys, non-UTF-8 and complex keys are refused,
 * each at its own mark. */
#ifndef WEFT_CORE_NODE_H
#define WEFT_CORE_NODE_H

#include "core/diag.h"

enum node_type { NODE_NULL, NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
	enum node_type type;
	struct pos pos;
	const char *text;    /* NODE_SCALAR: the value; NUL bytes are refused by the parser */
	bool quoted;         /* NODE_SCALAR: was it quoted or a block, hence surely a string */
	size_t n;            /* NODE_MAP and NODE_LIST: number of children */
	struct node **items; /* children */
	struct node **keys;  /* NODE_MAP: scalar nodes, as many as items */
};

/* Reads all documents of a source; faults are queued and the documents that could be read are returned, in `arena`. An
 * empty document is left out. */
struct node **yaml_parse(const struct source *source, struct arena *arena, struct diags *diags, size_t *ret_n);
/* Appends a document in block style with `---` before it: keys in the order of the object, strings quoted where a
 * YAML 1.1 or 1.2 reader would take them for something else. The text is freed by the caller. */
char *yaml_from_json(const json_t *const *docs, size_t n_docs);

/* Do two say the same in the same order? Positions and quotes are passed over; trees that say the same in another way
 * may differ. */
bool node_equal(const struct node *a, const struct node *b);
struct node *node_from_json(const json_t *json, struct arena *arena);
/* Plain scalars true, false and whole numbers become JSON's; everything else that is a scalar a string. */
json_t *node_to_json(const struct node *node);
/* The child of a map, NULL if it is not there or `node` is no map (or NULL). */
const struct node *node_get(const struct node *node, const char *key);
/* The key node of a child; NULL as node_get. */
const struct node *node_key(const struct node *node, const char *key);
/* Follows a path such as "spec.dhcp.hosts[0].ip" as far as it leads; returns the deepest node found, so that there is
 * always a position to show. `ret_whole` (may be NULL) says whether the whole path was there. */
const struct node *node_find(const struct node *node, const char *path, bool *ret_whole);

#endif
