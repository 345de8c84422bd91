/* SPDX-License-Identifier: Apache-2.0 */
/* Help, out of the verbs' tables: `weft help`, `weft help apply`, `weft apply --help`. */
#include "cli/cli.h"
#include "cli/terminal.h"
#include "core/diag.h"

enum { INDENT = 2, SUMMARY_COLUMN = 22, TEXT_COLUMN = INDENT + SUMMARY_COLUMN, LIST_INDENT = 4, WRAP_COLUMNS = 100 };

static void print_item(FILE *f, const char *name, const char *text)
{
	bool fits = strlen(name) < SUMMARY_COLUMN;
	fprintf(f, "%*s%-*s", INDENT, "", SUMMARY_COLUMN, name);
	if (!fits)
		fprintf(f, "\n%*s", TEXT_COLUMN, "");
	print_folded(f, text, TEXT_COLUMN, TEXT_COLUMN, WRAP_COLUMNS);
}

/* Each line is one of its own; those of a list begin with blanks. */
static void print_prose(FILE *f, const char *text)
{
	while (*text) {
		size_t size = strcspn(text, "\n");
		cleanup_free char *line = xstrndup(text, size);
		print_folded(f, line, 0, *line == ' ' ? LIST_INDENT : 0, WRAP_COLUMNS);
		text += size + (text[size] == '\n');
	}
}

static void print_overview(FILE *f)
{
	print_prose(f, "weft makes this host's networks, volumes and guests match what its manifests say.");
	fputs("\nusage: weft VERB [ARGUMENT...] [OPTION...]\n\n", f);
	for (size_t i = 0; verbs[i]; i++)
		if (!verbs[i]->hidden)
			print_item(f, verbs[i]->name, verbs[i]->summary);
	fputc('\n', f);
	print_item(f, "--socket PATH", "the weftd to talk to; else $WEFT_SOCKET, else /run/weft/weft.sock");
	fputs("  --help, --version\n\n", f);
	print_prose(f, "'weft help VERB' says more. Exit status: 0 done, 1 failed, 2 wrong usage or manifest, 3 not "
		       "Ready in time (diff: there are differences).");
}

static char *doc_and_choices(const struct cli_option *option)
{
	char *text = xstrdup(option->doc);
	for (size_t i = 0; i < option->n_choices; i++) {
		char *longer = xprintf("%s%s%s%s", text, i ? "|" : " (", option->choices[i],
				       i + 1 == option->n_choices ? ")" : "");
		free(text);
		text = longer;
	}
	return text;
}

static void print_option(FILE *f, const struct cli_option *option)
{
	const char *before = !option->argument ? "" : option->type == OPTION_MAYBE_TIME ? "[=" : " ";
	const char *after = option->type == OPTION_MAYBE_TIME ? "]" : "";
	const char *argument = option->argument ? option->argument : "";
	cleanup_free char *spelling =
		option->letter ? xprintf("-%c, --%s%s%s%s", option->letter, option->name, before, argument, after)
			       : xprintf("--%s%s%s%s", option->name, before, argument, after);
	cleanup_free char *doc = doc_and_choices(option);
	print_item(f, spelling, doc);
}

static void print_verb(const struct verb *verb, FILE *f)
{
	fprintf(f, "%s.\n\nusage: weft %s%s%s%s\n", verb->summary, verb->name, verb->arguments ? " " : "",
		verb->arguments ? verb->arguments : "", verb->n_options ? " [OPTION...]" : "");
	if (verb->text) {
		fputc('\n', f);
		print_prose(f, verb->text);
	}
	if (verb->n_options)
		fputs("\noptions:\n", f);
	for (size_t i = 0; i < verb->n_options; i++)
		print_option(f, &verb->options[i]);
	if (verb->examples)
		fprintf(f, "\nexamples:\n%s\n", verb->examples);
}

static bool print_group(const char *topic, FILE *f)
{
	size_t n = 0, size = strlen(topic);
	for (size_t i = 0; verbs[i]; i++) {
		const struct verb *verb = verbs[i];
		if (!str_starts(verb->name, topic) || verb->name[size] != ' ')
			continue;
		if (n++ == 0)
			fprintf(f, "usage: weft %s ...\n\n", topic);
		print_item(f, verb->name, verb->summary);
	}
	if (n)
		fprintf(f, "\n'weft help %s %s' says more.\n", topic, "VERB");
	return n > 0;
}

int help_print(const char *topic, FILE *f)
{
	enum { NAMES_MAX = 64 };
	const char *names[NAMES_MAX], *near;
	size_t n = 0;
	if (!topic) {
		print_overview(f);
		return CLI_DONE;
	}
	for (; verbs[n] && n < NAMES_MAX; n++) {
		names[n] = verbs[n]->name;
		if (!streq(names[n], topic))
			continue;
		print_verb(verbs[n], f);
		return CLI_DONE;
	}
	if (print_group(topic, f))
		return CLI_DONE;
	near = nearest_name(topic, names, n);
	if (near)
		return cli_fail(CLI_USAGE, "there is no '%s'; did you mean 'weft help %s'?", topic, near);
	return cli_fail(CLI_USAGE, "there is no '%s'; 'weft help' lists what there is", topic);
}
