/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the terminal: its width, whether it shows colours and box characters; and printing that never sends
 * it anything that it would act on, as names and messages come from files, guests and the network. */
#ifndef WEFT_CLI_TERMINAL_H
#define WEFT_CLI_TERMINAL_H

#include "core/util.h"

enum style { STYLE_PLAIN, STYLE_STRONG, STYLE_FAINT, STYLE_GOOD, STYLE_WARN, STYLE_BAD, STYLE_NOTE };

struct terminal {
	bool is_terminal;
	bool color;
	bool utf8;
	unsigned width;  /* 0: unlimited */
	unsigned height; /* 0: unlimited */
};
/* Of stdout or stderr; its width as it is now. */
struct terminal terminal_of(FILE *f);

/* The sequence that begins a style, and the one that ends it; "" without colours. */
const char *style_on(const struct terminal *terminal, enum style style);
const char *style_off(const struct terminal *terminal, enum style style);

/* A copy in which control characters and bytes that are no UTF-8 are visible; line ends and tabs stay when `lines`.
 * Freed by the caller. */
char *text_visible(const char *text, bool lines);
/* Columns that a text takes: its code points. */
size_t text_columns(const char *text);

/* Prints a text, broken at blanks where the terminal is too narrow: the line has `used` columns already,
 * further ones are indented. Ends the line. Elsewhere than on a terminal, lines have `otherwise` columns (0: as many as
 * it takes). */
void print_folded(FILE *f, const char *text, size_t used, size_t indent, size_t otherwise);

/* Prints formatted text in a style, made visible (lines stay). */
void print_styled(FILE *f, enum style style, const char *fmt, ...) printf_like(3, 4);

#endif
