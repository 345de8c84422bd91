/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of tables in words; see reference.h. */
#include "docs/generator/reference.h"

static const char *joined_names(const struct field *row, struct arena *arena)
{
	const char *text = "";
	for (size_t i = 0; i < row->n_names; i++)
		text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", row->names[i]);
	return text;
}

static const char *one_type(const struct field *row, struct arena *arena)
{
	if (row->ref && streq(row->ref, "*"))
		return "name of a link";
	if (row->ref)
		return arena_printf(arena, "name of a %s", row->ref);
	if (row->n_names)
		return arena_printf(arena, "one of %s", joined_names(row, arena));
	return row->scalar->name;
}

const char *row_type(const struct field *row, struct arena *arena)
{
	switch (row->shape) {
	case FIELD_SCALAR:
		return one_type(row, arena);
	case FIELD_LIST:
		return row->n_names ? arena_printf(arena, "list, each %s", one_type(row, arena))
				    : arena_printf(arena, "list of %s", one_type(row, arena));
	case FIELD_STRUCT:
	case FIELD_VARIANT:
		return "map";
	case FIELD_STRUCTS:
		return "list of maps";
	}
	return "";
}

const struct table *row_table(const struct field *row)
{
	return row->shape == FIELD_STRUCT || row->shape == FIELD_STRUCTS ? row->table : NULL;
}

/* A bound as it would be written in a manifest. */
static const char *bound_text(const struct field *row, uint64_t bound, struct arena *arena)
{
	uint32_t narrow = (uint32_t)bound;
	const void *value = row->scalar->size == sizeof(narrow) ? (const void *)&narrow : &bound;
	return row->scalar->format(row, value, arena);
}

static const char *bounds(const struct field *row, struct arena *arena)
{
	enum { LONG_TEXT = 1000 };
	const struct scalar *scalar = row->scalar;
	if (!scalar || !row->max || row->n_names)
		return "";
	if (scalar->text)
		return row->max < LONG_TEXT ? arena_printf(arena, "At most %llu bytes. ", (unsigned long long)row->max)
					    : "";
	return arena_printf(arena, "From %s to %s. ", bound_text(row, row->min, arena),
			    bound_text(row, row->max, arena));
}

const char *row_notes(const struct field *row, const char *quote, struct arena *arena)
{
	const char *text =
		arena_printf(arena, "%s%s", row->flags & FIELD_REQUIRED ? "Required. " : "", bounds(row, arena));
	if (row->list_max)
		text = arena_printf(arena, "%sAt most %zu. ", text, row->list_max);
	if (row->flags & FIELD_SECRET)
		text = arena_printf(arena, "%sNever shown. ", text);
	if (row->singular)
		text = arena_printf(arena, "%sAlso written %s%s%s. ", text, quote, row->singular, quote);
	if (row->example && !row_table(row))
		text = arena_printf(arena, "%sExample: %s%s%s. ", text, quote, row->example, quote);
	size_t size = strlen(text);
	return arena_strndup(arena, text, size ? size - 1 : 0);
}

/* ---- the least manifest ---- */

static const char *least_fields(const struct table *table, unsigned indent, struct arena *arena)
{
	const char *text = "";
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if (row->flags & FIELD_BESIDE) /* the examples of the fields before are for the first choice */
			text = arena_printf(arena, "%s%s", text, least_fields(row->choice(0), indent, arena));
		if (!(row->flags & FIELD_REQUIRED))
			continue;
		const char *value = "";
		if (row->shape == FIELD_SCALAR || row->shape == FIELD_LIST) {
			const char *example = field_example(row, arena);
			bool list = row->shape == FIELD_LIST && example[0] != '[';
			value = arena_printf(arena, " %s%s%s\n", list ? "[" : "", example, list ? "]" : "");
		} else {
			value = arena_printf(arena, "\n%s", least_fields(row->table, indent + 2, arena));
		}
		text = arena_printf(arena, "%s%*s%s:%s", text, (int)indent, "", row->name, value);
	}
	return text;
}

const char *least_manifest(const struct kind *kind, struct arena *arena)
{
	const char *fields = least_fields(kind->table, 2, arena);
	return arena_printf(arena, "apiVersion: weft/v1\nkind: %s\nmetadata: {name: example}\nspec:%s%s", kind->name,
			    *fields ? "\n" : " {}\n", fields);
}

/* ---- options ---- */

const char *option_text(const struct cli_option *option, struct arena *arena)
{
	const char *letter = option->letter ? arena_printf(arena, "-%c, ", option->letter) : "";
	if (!option->argument)
		return arena_printf(arena, "%s--%s", letter, option->name);
	bool maybe = option->type == OPTION_MAYBE_TIME;
	return arena_printf(arena, "%s--%s%s%s%s", letter, option->name, maybe ? "[=" : " ", option->argument,
			    maybe ? "]" : "");
}

const char *option_choices(const struct cli_option *option, struct arena *arena)
{
	const char *text = NULL;
	for (size_t i = 0; i < option->n_choices; i++)
		text = arena_printf(arena, "%s%s%s", text ? text : "", i ? ", " : "", option->choices[i]);
	return text;
}

/* ---- scalars ---- */

enum { SCALARS_MAX = 64 };
static const struct scalar *scalars[SCALARS_MAX];

static void note_scalars(const struct table *table)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		size_t k = 0;
		for (size_t t = 0; (row->flags & FIELD_BESIDE) && row->choice(t); t++)
			note_scalars(row->choice(t));
		if (row_table(row))
			note_scalars(row_table(row));
		if (!row->scalar || row->n_names)
			continue;
		while (scalars[k] && !streq(scalars[k]->name, row->scalar->name))
			k++;
		if (k + 1 < SCALARS_MAX)
			scalars[k] = row->scalar;
	}
}

const struct scalar *scalar_used(size_t i)
{
	static bool noted;
	const struct kind *kind;
	for (size_t k = 0; !noted && (kind = kind_at(k)); k++)
		note_scalars(kind->table);
	noted = true;
	return i < SCALARS_MAX ? scalars[i] : NULL;
}
