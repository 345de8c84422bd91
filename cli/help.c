/* SPDX-License-Identifier: Apache-2.0 */
/* Help, out of the verbs' tables: `weft help`, `weft help apply`, `weft apply --help`. */
#include "cli/cli.h"
#include "cli/terminal.h"
#include "core/diag.h"

enum { SUMMARY_COLUMN = 22 };

static void print_overview(FILE *f)
{
	fputs("weft makes this host's networks, volumes and guests match what its manifests say.\n\n"
	      "usage: weft VERB [ARGUMENT...] [OPTION...]\n\n",
	      f);
	for (size_t i = 0; verbs[i]; i++)
		if (!verbs[i]->hidden)
			fprintf(f, "  %-*s%s\n", SUMMARY_COLUMN, verbs[i]->name, verbs[i]->summary);
	fputs("\n"
	      "  --socket PATH         the weftd to talk to; else $WEFT_SOCKET, else /run/weft/weft.sock\n"
	      "  --help, --version\n\n"
	      "'weft help VERB' says more. Exit status: 0 done, 1 failed, 2 wrong usage or manifest, 3 not Ready in\n"
	      "time (diff: there are differences).\n",
	      f);
}

static void print_choices(FILE *f, const struct cli_option *option)
{
	for (size_t i = 0; i < option->n_choices; i++)
		fprintf(f, "%s%s", i ? "|" : " (", option->choices[i]);
	fputs(option->n_choices ? ")" : "", f);
}

static void print_option(FILE *f, const struct cli_option *option)
{
	const char *before = !option->argument ? "" : option->type == OPTION_MAYBE_TIME ? "[=" : " ";
	const char *after = option->type == OPTION_MAYBE_TIME ? "]" : "";
	const char *argument = option->argument ? option->argument : "";
	cleanup_free char *spelling =
		option->letter ? xprintf("-%c, --%s%s%s%s", option->letter, option->name, before, argument, after)
			       : xprintf("--%s%s%s%s", option->name, before, argument, after);
	if (strlen(spelling) < SUMMARY_COLUMN)
		fprintf(f, "  %-*s%s", SUMMARY_COLUMN, spelling, option->doc);
	else
		fprintf(f, "  %s\n  %*s%s", spelling, SUMMARY_COLUMN, "", option->doc);
	print_choices(f, option);
	fputc('\n', f);
}

static void print_verb(const struct verb *verb, FILE *f)
{
	fprintf(f, "%s.\n\nusage: weft %s%s%s%s\n", verb->summary, verb->name, verb->arguments ? " " : "",
		verb->arguments ? verb->arguments : "", verb->n_options ? " [OPTION...]" : "");
	if (verb->text)
		fprintf(f, "\n%s\n", verb->text);
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
		fprintf(f, "  %-*s%s\n", SUMMARY_COLUMN, verb->name, verb->summary);
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
