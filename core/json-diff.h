/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two JSON values, place by place, for people: a change of one rule in one chain is one line and
 * not both lists whole. */
#ifndef WEFT_CORE_JSON_DIFF_H
#define WEFT_CORE_JSON_DIFF_H

#include <jansson.h>

/* Appends {"field": "chains[PRE].rules", "from": text or null, "to": text or null} for each place below `path` where
 * `to` wants something else than `from` has. Keys that only `from` has are not compared. Maps in lists are matched by
 * their "name". */
void json_changes(json_t *out, const char *path, const json_t *from, const json_t *to);

#endif
