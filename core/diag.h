/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics for what people write: each has a position, one sentence, perhaps a hint and related positions. Decoding
 * queues them and goes on, so that one run shows all faults. Rendered as
 *
 *     lan.yaml:6:11: error: unknown field 'proto' in Vlan
 *        6 |     proto: 802.1Q
 *          |     ^~~~~
 *       hint: did you mean 'protocol'?
 *     lan.yaml:2:1: note: first defined here
 *
 * Columns and caret widths count code points, tabs advance as in the source line. */
#ifndef WEFT_CORE_DIAG_H
#define WEFT_CORE_DIAG_H

#include <jansson.h>

#include "core/arena.h"

/* One text that manifests came from. Borrowed by every position in it, so it lives as long as they do. */
struct source {
	const char *name; /* as the user named it; "-" is shown as "<stdin>" */
	const char *text; /* NUL-terminated; may contain anything */
	size_t size;
};

struct pos {
	const struct source *source; /* NULL: no position (the thing did not come from a file) */
	unsigned line, column;       /* from 1, in code points; 0 when unknown */
	unsigned width;              /* code points to underline; 0 is shown as 1 */
};

enum { DIAGS_MAX = 32, DIAG_RELATED_MAX = 4, DIAG_HIDDEN_MAX = 8 };

struct diag {
	struct pos pos;
	const char *text; /* sentence, lower case, no full stop */
	const char *hint; /* NULL if none */
	struct {
		struct pos pos;
		const char *text;
	} related[DIAG_RELATED_MAX];
	size_t n_related;
};

/* A queue of at most DIAGS_MAX diagnostics; further ones are counted only. */
struct diags {
	struct arena *arena; /* borrowed; texts live here */
	struct diag *items[DIAGS_MAX];
	size_t n;
	size_t n_total;                     /* counting what found no room */
	struct pos hidden[DIAG_HIDDEN_MAX]; /* lines that are not shown */
	size_t n_hidden;                    /* more than there is room for: no line is */
	struct diag scratch;                /* what diag_add() hands out when there is no room */
};

/* A line of a source (from 1) without its end and without a byte order mark; false if there is no such line. Lines end
 * as YAML counts them: LF, CR LF, CR, NEL, LS or PS. */
bool source_line(const struct source *source, unsigned line, const char **ret, size_t *ret_size);

/* Queues one. Never returns NULL: past DIAGS_MAX it hands out a scratch one. */
struct diag *diag_add(struct diags *diags, struct pos pos, const char *fmt, ...) printf_like(3, 4);
void diag_hint(struct diags *diags, struct diag *diag, const char *fmt, ...) printf_like(3, 4);
void diag_related(struct diags *diags, struct diag *diag, struct pos pos, const char *fmt, ...) printf_like(4, 5);

/* Shows this line in no message: a secret stands in it. */
void diags_hide(struct diags *diags, struct pos pos);

/* Sorted by source (in the order of first appearance), line, column. */
void diags_sort(struct diags *diags);
/* The text above, to be freed by the caller. With `color`, ANSI sequences mark "error", carets and hints. Control
 * characters of the source are made visible, never passed to the terminal. */
char *diags_render(const struct diags *diags, bool color);
/* [{"file","line","column","message","hint","related":[...]}]: what the API answers with. */
json_t *diags_to_json(const struct diags *diags);

/* The nearest of `names` within an edit distance that a typo can have; NULL if none is near. Case is ignored. */
const char *nearest_name(const char *name, const char *const *names, size_t n_names);

#endif
