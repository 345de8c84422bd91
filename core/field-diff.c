/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing, merging and copying structs by their tables. "Differs" has two meanings: of what is wanted from what is
 * seen, where only the rows that the wanted side sets count, and of two wants, where everything does. See field.h. */
#include "core/field-internal.h"

enum mode {
	BY_WANT, /* a is wanted, b is seen */
	EXACT,
};

static bool struct_differs(const struct table *table, const void *a, const void *b, enum mode mode);

static bool scalar_equal(const struct scalar *scalar, const void *a, const void *b)
{
	return scalar->equal ? scalar->equal(a, b) : memcmp(a, b, scalar->size) == 0;
}

static uint64_t unsigned_value(const struct scalar *scalar, const void *value)
{
	return scalar->size == sizeof(uint32_t) ? *(const uint32_t *)value : *(const uint64_t *)value;
}

static const void *item_at(const struct field *row, const struct list *list, size_t i)
{
	return (const char *)list->items + i * field_item_size(row);
}

static bool item_differs(const struct field *row, const void *x, const void *y, enum mode mode)
{
	return row->shape == FIELD_STRUCTS ? struct_differs(row->table, x, y, mode) : !scalar_equal(row->scalar, x, y);
}

static bool list_has(const struct field *row, const struct list *list, const struct list *other, size_t i,
		     enum mode mode)
{
	for (size_t j = 0; j < list->n; j++)
		if (!item_differs(row, item_at(row, other, i), item_at(row, list, j), mode))
			return true;
	return false;
}

/* As sets: each item of the one has an equal in the other. (An item of b need not be found by its own rows: in BY_WANT
 * it may show more than a asks for, so the question is whether some item of a wants it.) */
static bool sets_differ(const struct field *row, const struct list *a, const struct list *b, enum mode mode)
{
	for (size_t i = 0; i < a->n; i++)
		if (!list_has(row, b, a, i, mode))
			return true;
	for (size_t j = 0; j < b->n; j++) {
		size_t i = 0;
		while (i < a->n && item_differs(row, item_at(row, a, i), item_at(row, b, j), mode))
			i++;
		if (i == a->n)
			return true;
	}
	return false;
}

static bool lists_differ(const struct field *row, const struct list *a, const struct list *b, enum mode mode)
{
	if (row->flags & FIELD_UNORDERED)
		return sets_differ(row, a, b, mode);
	if (a->n != b->n)
		return true;
	for (size_t i = 0; i < a->n; i++)
		if (item_differs(row, item_at(row, a, i), item_at(row, b, i), mode))
			return true;
	return false;
}

static bool scalar_differs(const struct field *row, const void *a, const void *b, enum mode mode)
{
	if (mode == BY_WANT && (row->flags & FIELD_GROWS))
		return unsigned_value(row->scalar, b) < unsigned_value(row->scalar, a);
	return !scalar_equal(row->scalar, a, b);
}

/* Compares the values of a row that both structs have. */
static bool value_differs(const struct field *row, const void *a, const void *b, enum mode mode)
{
	const void *x = row_const(row, a), *y = row_const(row, b);
	switch (row->shape) {
	case FIELD_SCALAR:
		return scalar_differs(row, x, y, mode);
	case FIELD_LIST:
	case FIELD_STRUCTS:
		return lists_differ(row, x, y, mode);
	case FIELD_STRUCT:
		return struct_differs(row->table, x, y, mode);
	case FIELD_VARIANT: {
		const struct table *table = field_variant(row, a);
		if (table != field_variant(row, b))
			return true;
		return table && struct_differs(table, *(void *const *)x, *(void *const *)y, mode);
	}
	}
	return true;
}

static bool row_differs(const struct table *table, const struct field *row, const void *a, const void *b,
			enum mode mode)
{
	bool in_a = is_present(a, table, row), in_b = b && is_present(b, table, row);
	if (mode == EXACT && in_a != in_b)
		return true;
	if (!in_a || (mode == BY_WANT && (row->flags & (FIELD_STATUS | FIELD_WEAK))))
		return false;
	return !in_b || value_differs(row, a, b, mode);
}

static bool struct_differs(const struct table *table, const void *a, const void *b, enum mode mode)
{
	for (size_t i = 0; i < table->n_fields; i++)
		if (row_differs(table, &table->fields[i], a, b, mode))
			return true;
	return false;
}

bool table_equal(const struct table *table, const void *a, const void *b)
{
	return a == b || !struct_differs(table, a, b, EXACT);
}

uint64_t table_diff(const struct table *table, const void *want, const void *seen)
{
	uint64_t mask = 0;
	for (size_t i = 0; i < table->n_fields; i++)
		if (row_differs(table, &table->fields[i], want, seen, BY_WANT))
			mask |= 1ULL << i;
	return mask;
}

unsigned table_flags(const struct table *table, uint64_t mask)
{
	unsigned flags = 0;
	for (size_t i = 0; i < table->n_fields; i++)
		if (mask >> i & 1)
			flags |= table->fields[i].flags;
	return flags;
}

static void copy_scalar(const struct scalar *scalar, void *into, const void *from, struct arena *arena)
{
	memcpy(into, from, scalar->size);
	if (scalar->text)
		*(const char **)into = arena_strdup(arena, *(const char *const *)from);
}

static void copy_rows(const struct table *table, void *into, const void *from, struct arena *arena)
{
	memcpy(into, from, table->size);
	for (size_t i = 0; i < table->n_fields; i++)
		field_copy_row(&table->fields[i], into, from, arena);
}

static void copy_list(const struct field *row, struct list *into, const struct list *from, struct arena *arena)
{
	size_t size = field_item_size(row), n = from->n;
	const char *source = from->items;
	char *items = n ? arena_alloc(arena, n * size) : NULL;
	for (size_t i = 0; i < n; i++) {
		if (row->shape == FIELD_STRUCTS)
			copy_rows(row->table, items + i * size, source + i * size, arena);
		else
			copy_scalar(row->scalar, items + i * size, source + i * size, arena);
	}
	*into = (struct list){items, n};
}

void field_copy_row(const struct field *row, void *into, const void *from, struct arena *arena)
{
	void *x = row_value(row, into);
	const void *y = row_const(row, from);
	const struct table *table;
	switch (row->shape) {
	case FIELD_SCALAR:
		copy_scalar(row->scalar, x, y, arena);
		break;
	case FIELD_LIST:
	case FIELD_STRUCTS:
		copy_list(row, x, y, arena);
		break;
	case FIELD_STRUCT:
		copy_rows(row->table, x, y, arena);
		break;
	case FIELD_VARIANT:
		table = field_variant(row, from);
		*(void **)x = table ? table_copy(table, *(void *const *)y, arena) : NULL;
		break;
	}
}

void *table_copy(const struct table *table, const void *spec, struct arena *arena)
{
	void *copy = arena_alloc(arena, table->size);
	copy_rows(table, copy, spec, arena);
	return copy;
}

/* Adds the items of `from` that `into` has no equal of. */
static void join_lists(const struct field *row, struct list *into, const struct list *from, struct arena *arena)
{
	size_t size = field_item_size(row), n = into->n;
	struct list copy, joined = {arena_alloc(arena, (n + from->n) * size), n};
	copy_list(row, &copy, from, arena);
	if (n)
		memcpy(joined.items, into->items, n * size);
	for (size_t i = 0; i < copy.n; i++) {
		if (list_has(row, &joined, &copy, i, EXACT))
			continue;
		memcpy((char *)joined.items + joined.n * size, (char *)copy.items + i * size, size);
		joined.n++;
	}
	*into = joined;
}

/* Merges the values of a row that both structs have; true if they conflict. */
static bool merge_row(const struct field *row, void *into, const void *from, struct arena *arena)
{
	bool is_list = row->shape == FIELD_LIST || row->shape == FIELD_STRUCTS;
	if (is_list && (row->flags & FIELD_UNION)) {
		join_lists(row, row_value(row, into), row_const(row, from), arena);
		return false;
	}
	if (row->shape == FIELD_STRUCT)
		return table_merge(row->table, row_value(row, into), row_const(row, from), arena) != 0;
	const struct table *table = row->shape == FIELD_VARIANT ? field_variant(row, into) : NULL;
	if (table && table == field_variant(row, from))
		return table_merge(table, *(void **)row_value(row, into), *(void *const *)row_const(row, from),
				   arena) != 0;
	return value_differs(row, into, from, EXACT);
}

uint64_t table_merge(const struct table *table, void *into, const void *from, struct arena *arena)
{
	uint64_t conflicts = 0;
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if (!is_present(from, table, row))
			continue;
		if (!is_present(into, table, row)) {
			field_copy_row(row, into, from, arena);
			*present_of(into) |= 1ULL << i;
		} else if (merge_row(row, into, from, arena)) {
			conflicts |= 1ULL << i;
		}
	}
	return conflicts;
}
