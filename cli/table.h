/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for the terminal: columns as wide as their longest cell, cut with an ellipsis where the terminal is too narrow
 * for them. */
#ifndef WEFT_CLI_TABLE_H
#define WEFT_CLI_TABLE_H

#include "cli/terminal.h"

struct text_table;

struct text_table *text_table_new(const char *const *headings, size_t n_columns);
struct text_table *text_table_free(struct text_table *table);
/* The next cell, row by row. NULL and "" are shown as "-". */
void text_table_cell(struct text_table *table, enum style style, const char *text);
size_t text_table_rows(const struct text_table *table);
/* The table as text, to be freed by the caller. Each line fits terminal->width columns where that can be: the widest
 * columns give way first, the first one last. A width of 0 cuts nothing. */
char *text_table_render(const struct text_table *table, const struct terminal *terminal);
/* On stdout. */
void text_table_print(const struct text_table *table);

#endif
