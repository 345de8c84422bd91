/* SPDX-License-Identifier: Apache-2.0 */
/* The manual pages, in the macros of man(7). */
#include "docs/generator/reference.h"

enum { WORD_MAX = 32 };

/* Text in which nothing is taken for a request or an escape. Long words may be broken. */
static void put(FILE *f, const char *text)
{
	size_t word = 0;
	for (bool begins = true; *text; text++) {
		word = *text == ' ' || *text == '\n' ? 0 : word + 1;
		if (word > WORD_MAX && word % WORD_MAX == 1)
			fputs("\\:", f);
		if (begins && (*text == '.' || *text == '\''))
			fputs("\\&", f);
		if (*text == '\\')
			fputs("\\e", f);
		else if (*text == '-')
			fputs("\\-", f);
		else
			fputc(*text, f);
		begins = *text == '\n';
	}
}

static void put_line(FILE *f, const char *text)
{
	put(f, text);
	fputc('\n', f);
}

static void begin(FILE *f, const char *name, const char *section, const char *summary)
{
	fprintf(f,
		".\\\" Made of the tables in the code; not to be edited.\n.TH %s %s \"\" \"weft\" \"weft\"\n.SH NAME\n",
		name, section);
	for (const char *c = name; *c; c++)
		fputc(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c, f);
	fputs(" \\- ", f);
	put_line(f, summary);
}

/* A term in bold, and what it is. */
static void item(FILE *f, const char *term, const char *text)
{
	fputs(".TP\n.B \"", f);
	put(f, term);
	fputs("\"\n", f);
	put_line(f, text);
}

static void literal(FILE *f, const char *text)
{
	fputs(".PP\n.nf\n", f);
	put(f, text);
	fputs(text[strlen(text) - 1] == '\n' ? ".fi\n" : "\n.fi\n", f);
}

static void paragraph(FILE *f, const char *text)
{
	fputs(".PP\n", f);
	put_line(f, text);
}

/* ---- weft(1) ---- */

static void put_option(FILE *f, const struct cli_option *option, struct arena *arena)
{
	const char *choices = option_choices(option, arena);
	item(f, option_text(option, arena),
	     arena_printf(arena, "%s%s%s.", option->doc, choices ? ": " : "", choices ? choices : ""));
}

/* Texts of verbs may end in an indented list. */
static void put_verb(FILE *f, const struct verb *verb, struct arena *arena)
{
	fputs(".SS ", f);
	put_line(f, arena_printf(arena, "\"%s%s%s%s\"", verb->name, verb->arguments ? " " : "",
				 verb->arguments ? verb->arguments : "", verb->n_options ? " [OPTION...]" : ""));
	put_line(f, arena_printf(arena, "%s.", verb->summary));
	const char *list = verb->text ? strstr(verb->text, "\n  ") : NULL;
	if (verb->text)
		paragraph(f, list ? arena_strndup(arena, verb->text, (size_t)(list - verb->text)) : verb->text);
	if (list)
		literal(f, list + 1);
	for (size_t i = 0; i < verb->n_options; i++)
		put_option(f, &verb->options[i], arena);
	if (verb->examples)
		literal(f, verb->examples);
}

void write_weft_1(FILE *f)
{
	cleanup_arena struct arena *arena = arena_new();
	begin(f, "WEFT", "1", "make this host's networks, volumes and guests match manifests");
	fputs(".SH SYNOPSIS\n.B weft\n.I VERB\n.RI [ ARGUMENT ...]\n.RI [ OPTION ...]\n.SH DESCRIPTION\n", f);
	put_line(f, "weft talks to weftd(8), which makes one Linux host match what manifests, described in "
		    "weft.yaml(5), say, and keeps it so.");
	paragraph(f, "Options may stand anywhere. KIND is a kind in any case, singular, plural or short.");
	fputs(".SH OPTIONS\n", f);
	for (size_t i = 0; i < cli_n_global_options; i++)
		put_option(f, &cli_global_options[i], arena);
	fputs(".SH VERBS\n", f);
	for (size_t i = 0; verbs[i]; i++)
		if (!verbs[i]->hidden)
			put_verb(f, verbs[i], arena);
	fputs(".SH \"EXIT STATUS\"\n", f);
	item(f, "0", "Done.");
	item(f, "1", "Failed, and said what.");
	item(f, "2", "Wrong usage or manifest.");
	item(f, "3", "Not Ready in time; of diff: there are differences.");
	fputs(".SH ENVIRONMENT\n", f);
	item(f, "WEFT_SOCKET", "The socket of weftd; --socket comes before it.");
	item(f, "NO_COLOR", "If it is set and not empty, nothing is coloured. Without a terminal nothing is anyway.");
	fputs(".SH \"SEE ALSO\"\n.BR weftd (8),\n.BR weft.yaml (5)\n", f);
}

/* ---- weftd(8) ---- */

void write_weftd_8(FILE *f)
{
	cleanup_arena struct arena *arena = arena_new();
	begin(f, "WEFTD", "8", "keep this host as weft's manifests say");
	fputs(".SH SYNOPSIS\n.B weftd\n.RI [ OPTION ...]\n.SH DESCRIPTION\n", f);
	put_line(f, "weftd makes one Linux host's networks, storage and guests what their manifests say, and keeps "
		    "them so: what others "
		    "change is repaired as soon as the kernel tells of it. It is spoken to with weft(1). Guests and "
		    "DHCP servers "
		    "outlive it. It runs as root.");
	paragraph(f, "At its start, and on SIGHUP, the manifests of /etc/weft are applied as the set system.");
	fputs(".SH OPTIONS\n", f);
	for (size_t i = 0; i < daemon_n_options; i++) {
		const struct daemon_option *row = &daemon_options[i];
		item(f,
		     arena_printf(arena, "--%s%s%s", row->name, row->argument ? " " : "",
				  row->argument ? row->argument : ""),
		     arena_printf(arena, "%s.", row->doc));
	}
	fputs(".SH SIGNALS\n", f);
	item(f, "SIGHUP", "Applies the files of /etc/weft again.");
	item(f, "SIGTERM, SIGINT", "End it. Links, rules and guests stay.");
	fputs(".SH FILES\n", f);
	item(f, "/etc/weft/*.yaml", "Manifests of the set system.");
	item(f, "/run/weft/weft.sock",
	     "The socket: for root and the group weft, and to look only for the group weft-view.");
	item(f, "/var/lib/weft", "The state: manifests, revisions, images of pools with relative paths.");
	item(f, "/var/lib/weft/files", "What manifests name by relative paths: kernels, images to copy.");
	paragraph(f, "With --root DIR these are DIR/etc, DIR/run and DIR/lib.");
	fputs(".SH \"SEE ALSO\"\n.BR weft (1),\n.BR weft.yaml (5)\n", f);
}

/* ---- weft.yaml(5) ---- */

static void put_row(FILE *f, const struct field *row, const char *path, struct arena *arena)
{
	const char *notes = row_notes(row, "", arena), *type = row_type(row, arena);
	const char *def = row->def ? arena_printf(arena, ", default %s", row->def) : "";
	item(f, path,
	     arena_printf(arena, "(%s%s) %s%s%s", type, def, row->doc ? row->doc : "", *notes ? " " : "", notes));
}

static void put_rows(FILE *f, const struct table *table, const char *before, struct arena *arena);

/* Fields that are there with one choice only, under a heading of their own. */
static void put_beside(FILE *f, const struct field *beside, const char *before, struct arena *arena)
{
	const struct table *table;
	for (size_t i = 0; (table = beside->choice(i)); i++) {
		fputs(".SS \"", f);
		put_line(f, arena_printf(arena, "%s\"", table->name));
		if (table->doc)
			put_line(f, table->doc);
		put_rows(f, table, before, arena);
	}
}

static void put_rows(FILE *f, const struct table *table, const char *before, struct arena *arena)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct field *row = &table->fields[i];
		if (row->flags & FIELD_BESIDE)
			put_beside(f, row, before, arena);
		if (row->flags & (FIELD_STATUS | FIELD_BESIDE))
			continue;
		const char *path = arena_printf(arena, "%s%s", before, row->name);
		put_row(f, row, path, arena);
		if (row_table(row))
			put_rows(f, row_table(row),
				 arena_printf(arena, "%s%s.", path, row->shape == FIELD_STRUCTS ? "[]" : ""), arena);
	}
}

void write_weft_yaml_5(FILE *f)
{
	cleanup_arena struct arena *arena = arena_new();
	const struct kind *kind;
	const struct scalar *scalar;
	begin(f, "WEFT.YAML", "5", "manifests of weft");
	fputs(".SH DESCRIPTION\n", f);
	put_line(f, "A manifest is a file of YAML documents. Each has apiVersion: weft/v1, a kind, metadata with a "
		    "name and perhaps labels (a map of "
		    "texts), and a spec, whose fields are below. An unknown field is an error. weft explain shows the "
		    "same.");
	paragraph(f, "A list of one may be written without brackets; a map of which only the name is given may be "
		     "written as that name. "
		     "Relative paths of pools are under the state directory, other relative paths under its files/.");
	fputs(".SH VALUES\n", f);
	for (size_t i = 0; (scalar = scalar_used(i)); i++)
		item(f, scalar->name,
		     arena_printf(arena, "%s%s%s", scalar->doc, scalar->example ? "; for example " : "",
				  scalar->example ? scalar->example : ""));
	for (size_t i = 0; (kind = kind_at(i)); i++) {
		fputs(".SH \"KIND ", f);
		put_line(f, arena_printf(arena, "%s\"", kind->name));
		put_line(f, kind->doc);
		paragraph(f, "The least that is needed:");
		literal(f, least_manifest(kind, arena));
		put_rows(f, kind->table, "spec.", arena);
	}
	fputs(".SH \"SEE ALSO\"\n.BR weft (1),\n.BR weftd (8)\n", f);
}
