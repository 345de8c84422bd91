/* SPDX-License-Identifier: Apache-2.0 */
/* What the writers of reference pages share: rows of field tables in words. Pages are made of the tables of kinds,
 * verbs and options alone, so that they cannot say anything else than the programs do. */
#ifndef WEFT_DOCS_REFERENCE_H
#define WEFT_DOCS_REFERENCE_H

#include "cli/cli.h"
#include "core/kind.h"
#include "daemon/options.h"

typedef void page_fn(FILE *f);
page_fn write_index, write_command_line, write_schema;  /* markdown.c; schema for editors */
page_fn write_weft_1, write_weftd_8, write_weft_yaml_5; /* man.c */
page_fn write_bash, write_zsh, write_fish;              /* main.c */
void write_kind(const struct kind *kind, FILE *f);      /* markdown.c */

/* words.c */
/* "size", "list of address", "one of nat, isolated", "name of a Network", "map". In `arena`, as all below. */
const char *row_type(const struct field *row, struct arena *arena);
/* "Required. At most 36 bytes. Example: 64MiB." what a row says beside its doc; "" if nothing. `quote` is put around
 * what is typed. */
const char *row_notes(const struct field *row, const char *quote, struct arena *arena);
/* The fields of a map, NULL if it is none. */
const struct table *row_table(const struct field *row);
/* A manifest with what must be there and nothing else. */
const char *least_manifest(const struct kind *kind, struct arena *arena);
/* "--output FORMAT", "--wait[=TIME]" */
const char *option_text(const struct cli_option *option, struct arena *arena);
/* "text|json" or NULL. */
const char *option_choices(const struct cli_option *option, struct arena *arena);
/* Scalar types that kinds use, by name; NULL ends. */
const struct scalar *scalar_used(size_t i);

#endif
