/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by hand, as strict as its definition: what comes from outside is decoded a code point at a time, so that
 * columns can be counted and nothing invalid or invisible reaches a terminal. */
#ifndef WEFT_CORE_UTF8_H
#define WEFT_CORE_UTF8_H

#include "core/util.h"

/* The code point at `s`, of which at most `size` bytes may be read. Returns its length in bytes; 0 if the bytes are no
 * UTF-8 (overlong forms, surrogates and the end of the text in between included) or `size` is 0. */
size_t utf8_decode(const char *s, size_t size, uint32_t *ret);
/* Code points of a text; a byte that is no UTF-8 counts as one. */
size_t utf8_count(const char *s, size_t size);
/* The length of the line break at `s`: 0 if there is none. YAML's set: LF, CR LF, CR, NEL, LS and PS. */
size_t utf8_break(const char *s, size_t size);
/* Would a terminal or a reader not show it as itself: controls, line separators, marks of direction, BOM. */
bool utf8_is_hidden(uint32_t c);

#endif
