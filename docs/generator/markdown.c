/* SPDX-License-Identifier: Apache-2.0 */
/* The pages of docs/reference/: one for each kind, one for the command line, an index; and the JSON Schema beside
 * them. */
#include "docs/generator/reference.h"

static const char made[] = "<!-- Made of the tables in the code; not to be edited. WEFT_REGENERATE=1 ctest -R "
			   "reference makes it anew. -->\n\n";

/* A cell of a table: what would end it is escaped. */
static void put_cell(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			fputc('\\', f);
		fputc(*text == '\n' ? ' ' : *text, f);
	}
}

static void write_row(FILE *f, const struct field *row, struct arena *arena)
{
	const char *notes = row_notes(row, "`", arena);
	fprintf(f, "| `%s` | ", row->name);
	put_cell(f, row_type(row, arena));
	fputs(" | ", f);
	if (row->def)
		fprintf(f, "`%s`", row->def);
	fputs(" | ", f);
	put_cell(f, row->doc ? row->doc : "");
	if (*notes)
		fputc(' ', f);
	put_cell(f, notes);
	fputs(" |\n", f);
}

/* A map's rows, then the maps in it. */
static void write_table(FILE *f, const struct table *table, const char *path, struct arena *arena)
{
	fputs("\n| field | type | default | |\n|---|---|---|---|\n", f);
	for (size_t i = 0; i < table->n_fields; i++)
		if (!(table->fields[i].flags & (FIELD_STATUS | FIELD_BESIDE)))
			write_row(f, &table->fields[i], arena);
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		for (size_t t = 0; (row->flags & FIELD_BESIDE) && row->choice(t); t++) {
			const struct table *choice = row->choice(t);
			fprintf(f, "\n## %s\n\n%s\n", choice->name, choice->doc ? choice->doc : "");
			write_table(f, choice, path, arena);
		}
		if (!row_table(row) || (row->flags & FIELD_STATUS))
			continue;
		const char *below =
			arena_printf(arena, "%s.%s%s", path, row->name, row->shape == FIELD_STRUCTS ? "[]" : "");
		fprintf(f, "\n## %s\n\n%s\n", below, row->doc ? row->doc : "");
		write_table(f, row_table(row), below, arena);
	}
}

void write_kind(const struct kind *kind, FILE *f)
{
	cleanup_arena struct arena *arena = arena_new();
	fprintf(f, "%s# %s\n\n%s\n\n", made, kind->name, kind->doc);
	if (kind->flags & KIND_NAME_IS_IFNAME)
		fputs("Its `metadata.name` is the name of a link: at most 15 characters.\n\n", f);
	fprintf(f, "On the command line: `%s`, `%s`%s%s%s.\n\n", kind->name, kind->plural, kind->shorts ? ", `" : "",
		kind->shorts ? kind->shorts : "", kind->shorts ? "`" : "");
	fprintf(f, "The least that is needed:\n\n```yaml\n%s```\n\n## spec\n", least_manifest(kind, arena));
	write_table(f, kind->table, "spec", arena);
}

void write_index(FILE *f)
{
	const struct kind *kind;
	const struct scalar *scalar;
	fprintf(f,
		"%s# Reference\n\n"
		"Everything that can be written, out of the tables that weft itself reads by; `weft explain` shows the "
		"same.\n"
		"[command-line.md](command-line.md) has the verbs of `weft`. [weft.schema.json](weft.schema.json) is a "
		"JSON Schema:\n"
		"editors complete and check manifests with it, for example with this first line:\n\n"
		"```yaml\n# yaml-language-server: $schema=/usr/share/weft/weft.schema.json\n```\n\n"
		"## Documents\n\n"
		"A file holds one document or several with `---` between. Each has\n\n"
		"| field | |\n|---|---|\n"
		"| `apiVersion` | `weft/v1` |\n"
		"| `kind` | one of the kinds below |\n"
		"| `metadata.name` | what it is called; one name a kind. Lower-case letters, digits and dashes, at "
		"most 63; of kinds "
		"that are links, a link's name |\n"
		"| `metadata.labels` | a map of texts, which weft keeps for you |\n"
		"| `spec` | what its kind says |\n\n"
		"## Kinds\n\n| kind | |\n|---|---|\n",
		made);
	for (size_t i = 0; (kind = kind_at(i)); i++) {
		fprintf(f, "| [%s](%s.md) | ", kind->name, kind->plural);
		put_cell(f, kind->doc);
		fputs(" |\n", f);
	}
	fputs("\n## Values\n\n| type | written as | example |\n|---|---|---|\n", f);
	for (size_t i = 0; (scalar = scalar_used(i)); i++)
		fprintf(f, "| %s | %s | %s%s%s |\n", scalar->name, scalar->doc, scalar->example ? "`" : "",
			scalar->example ? scalar->example : "", scalar->example ? "`" : "");
	fputs("\nA list of one may be written without brackets. A map of which only the name is given may be written "
	      "as that name.\n",
	      f);
}

static void write_verb(FILE *f, const struct verb *verb, struct arena *arena)
{
	fprintf(f, "\n## weft %s\n\n%s.\n\n```\nweft %s%s%s%s\n```\n", verb->name, verb->summary, verb->name,
		verb->arguments ? " " : "", verb->arguments ? verb->arguments : "",
		verb->n_options ? " [OPTION...]" : "");
	if (verb->text)
		fprintf(f, "\n%s\n", verb->text);
	if (verb->n_options)
		fputs("\n| option | |\n|---|---|\n", f);
	for (size_t i = 0; i < verb->n_options; i++) {
		const char *choices = option_choices(&verb->options[i], arena);
		fputs("| `", f);
		put_cell(f, option_text(&verb->options[i], arena));
		fputs("` | ", f);
		put_cell(f, verb->options[i].doc);
		fprintf(f, "%s%s |\n", choices ? ": " : "", choices ? choices : "");
	}
	if (verb->examples)
		fprintf(f, "\n```\n%s\n```\n", verb->examples);
}

void write_command_line(FILE *f)
{
	cleanup_arena struct arena *arena = arena_new();
	fprintf(f,
		"%s# The command line\n\n"
		"`weft VERB [ARGUMENT...] [OPTION...]`; options may stand anywhere. KIND is a kind in any case, "
		"singular, plural or short.\n\n"
		"| option of every verb | |\n|---|---|\n",
		made);
	for (size_t i = 0; i < cli_n_global_options; i++)
		fprintf(f, "| `%s` | %s |\n", option_text(&cli_global_options[i], arena), cli_global_options[i].doc);
	fputs("\nExit status: 0 done, 1 failed, 2 wrong usage or manifest, 3 not Ready in time (diff: there are "
	      "differences).\n",
	      f);
	for (size_t i = 0; verbs[i]; i++)
		if (!verbs[i]->hidden)
			write_verb(f, verbs[i], arena);
}

void write_schema(FILE *f)
{
	json_t *schema = kinds_schema();
	json_dumpf(schema, f, JSON_INDENT(1));
	fputc('\n', f);
	json_decref(schema);
}
