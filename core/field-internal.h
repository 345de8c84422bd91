/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind field.h share; nobody else includes this. */
#ifndef WEFT_CORE_FIELD_INTERNAL_H
#define WEFT_CORE_FIELD_INTERNAL_H

#include "core/field.h"

/* Where a row's value stands in its struct. */
static inline void *row_value(const struct field *row, void *spec)
{
	return (char *)spec + row->offset;
}
static inline const void *row_const(const struct field *row, const void *spec)
{
	return (const char *)spec + row->offset;
}
static inline uint64_t row_bit(const struct table *table, const struct field *row)
{
	return 1ULL << (row - table->fields);
}

/* The row of a name; *ret_singular (may be NULL) says whether it was its singular spelling. */
const struct field *field_by_name(const struct table *table, const char *name, size_t len, bool *ret_singular);
/* Sets every row's default, also those of embedded structs; no presence bits. */
void field_set_defaults(const struct table *table, void *spec, struct arena *arena);
/* Size of one item of a LIST or STRUCTS row. */
size_t field_item_size(const struct field *row);
/* The table of a VARIANT row's value; NULL if the struct around it has none or it is not set. */
const struct table *field_variant(const struct field *row, const void *spec);
/* Copies a row's value with all it points to; `into` and `from` are structs of one table. */
void field_copy_row(const struct field *row, void *into, const void *from, struct arena *arena);
/* One row as JSON; NULL if its value has no text. */
json_t *field_row_json(const struct field *row, const void *spec, unsigned emit_flags);
/* A text as messages quote it: cut between characters where it is long. */
const char *field_shown(struct arena *arena, const char *text);

#endif
