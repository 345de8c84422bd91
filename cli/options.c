/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the command line: options may stand anywhere, before the verb too. One pass finds the verb, for which it is
 * enough to know of each option whether an argument follows it (the same for all verbs that have it); a second one
 * reads the options by the verb's table. */
#include "cli/cli.h"

#include "core/diag.h"
#include "core/value.h"

enum { TIME_MAX_MS = 24 * 3600 * 1000, COMMAND_MAX = 1000 };

const struct cli_option cli_global_options[] = {
	{.name = "socket",
	 .type = OPTION_TEXT,
	 .argument = "PATH",
	 .words = WORDS_FILES,
	 .doc = "The weftd to talk to; else $WEFT_SOCKET, else /run/weft/weft.sock"},
	{.name = "help", .letter = 'h', .doc = "Say how it is used"},
	{.name = "version", .letter = 'V', .doc = "Say which version this is"},
};
const size_t cli_n_global_options = ARRAY_SIZE(cli_global_options);

struct parser {
	struct cli *cli;
	int argc;
	char **argv;
	bool help, version;
	const char **words; /* what is no option */
	size_t n_words, cap_words;
};

static const struct cli_option *in_table(const struct cli_option *rows, size_t n, const char *name, size_t size)
{
	for (size_t i = 0; i < n; i++)
		if (size == 1 ? rows[i].letter == *name
			      : strlen(rows[i].name) == size && !memcmp(rows[i].name, name, size))
			return &rows[i];
	return NULL;
}

static const struct cli_option *find_global(const char *name, size_t size)
{
	return in_table(cli_global_options, ARRAY_SIZE(cli_global_options), name, size);
}

/* By the verb's table and the global ones; before the verb is known, by those of all verbs. */
const struct cli_option *cli_find_option(const struct verb *verb, const char *name, size_t size)
{
	const struct cli_option *found = find_global(name, size);
	if (!found && verb)
		return in_table(verb->options, verb->n_options, name, size);
	for (size_t i = 0; !found && verbs[i]; i++)
		found = in_table(verbs[i]->options, verbs[i]->n_options, name, size);
	return found;
}

/* ---- the verb ---- */

static void add_word(struct parser *p, const char *word)
{
	grow(p->words, p->n_words, p->cap_words);
	p->words[p->n_words++] = word;
}

bool cli_takes_next(const struct verb *verb, const char *arg)
{
	const struct cli_option *option = NULL;
	if (str_starts(arg, "--")) {
		if (!strchr(arg, '='))
			option = cli_find_option(verb, arg + 2, strlen(arg + 2));
		return option && option->argument && option->type != OPTION_MAYBE_TIME;
	}
	for (arg++; *arg; arg++) {
		option = cli_find_option(verb, arg, 1);
		if (option && option->argument)
			return !arg[1];
	}
	return false;
}

static void gather_words(struct parser *p, const struct verb *verb)
{
	p->n_words = 0;
	for (int i = 1; i < p->argc; i++) {
		const char *arg = p->argv[i];
		if (streq(arg, "--")) {
			while (++i < p->argc)
				add_word(p, p->argv[i]);
			return;
		}
		if (arg[0] != '-' || !arg[1])
			add_word(p, arg);
		else if (cli_takes_next(verb, arg))
			i++;
	}
}

const struct verb *cli_find_verb(const char *name)
{
	for (size_t i = 0; verbs[i]; i++)
		if (streq(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static bool is_first_word(const struct verb *verb, const char *word)
{
	return str_starts(verb->name, word) && verb->name[strlen(word)] == ' ';
}

static int no_such_verb(const char *word, const char *prefix)
{
	enum { NAMES_MAX = 64 };
	const char *names[NAMES_MAX] = {"help"};
	size_t n = prefix ? 0 : 1;
	for (size_t i = 0; verbs[i] && n < NAMES_MAX; i++) {
		const char *name = verbs[i]->name;
		if (!prefix)
			names[n++] = name;
		else if (is_first_word(verbs[i], prefix))
			names[n++] = name + strlen(prefix) + 1;
	}
	const char *near = nearest_name(word, names, n);
	const char *first = prefix ? prefix : "", *space = prefix ? " " : "";
	if (near)
		return cli_fail(CLI_USAGE, "there is no '%s%s%s'; did you mean 'weft %s%s%s'?", first, space, word,
				first, space, near);
	return cli_fail(CLI_USAGE, "there is no '%s%s%s'; 'weft help%s%s' lists what there is", first, space, word,
			space, first);
}

/* Finds the verb that the words name, and how many of them it takes. */
static int choose_verb(struct parser *p, size_t *ret_taken)
{
	const char *word = p->words[0];
	p->cli->verb = cli_find_verb(word);
	*ret_taken = 1;
	if (p->cli->verb)
		return CLI_DONE;
	bool group = false;
	for (size_t i = 0; verbs[i] && !group; i++)
		group = is_first_word(verbs[i], word);
	if (!group)
		return no_such_verb(word, NULL);
	if (p->n_words < 2 && p->help)
		return CLI_DONE;
	if (p->n_words < 2) {
		help_print(word, stderr);
		return CLI_USAGE;
	}
	cleanup_free char *name = xprintf("%s %s", word, p->words[1]);
	p->cli->verb = cli_find_verb(name);
	*ret_taken = 2;
	return p->cli->verb ? CLI_DONE : no_such_verb(p->words[1], word);
}

/* ---- options ---- */

static int read_time(struct cli *cli, const struct cli_option *option, const char *text, unsigned *ret)
{
	struct err err = {0};
	uint64_t ms;
	if (scalar_duration.parse(NULL, text, NULL, &ms, &err) < 0 || ms == 0 || ms > TIME_MAX_MS)
		return cli_misuse(cli, "--%s %s: expected a time such as 60s or 5m, at most 24h", option->name, text);
	*ret = (unsigned)ms;
	return CLI_DONE;
}

static int read_choice(struct cli *cli, const struct cli_option *option, const char *text, int *ret)
{
	cleanup_free char *list = xstrdup("");
	for (size_t i = 0; i < option->n_choices; i++) {
		if (streq(option->choices[i], text)) {
			*ret = (int)i;
			return CLI_DONE;
		}
		char *longer = xprintf("%s%s%s", list, i ? ", " : "", option->choices[i]);
		free(list);
		list = longer;
	}
	const char *near = nearest_name(text, option->choices, option->n_choices);
	return cli_misuse(cli, "--%s %s: expected one of %s%s%s%s", option->name, text, list,
			  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int read_count(struct cli *cli, const struct cli_option *option, const char *text, unsigned *ret)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value > INT32_MAX)
		return cli_misuse(cli, "--%s %s: expected a number", option->name, text);
	*ret = (unsigned)value;
	return CLI_DONE;
}

static int set_option(struct cli *cli, const struct cli_option *option, const char *argument)
{
	void *at = (char *)cli->options + option->offset;
	struct texts *texts;
	struct maybe_time *maybe;
	switch (option->type) {
	case OPTION_FLAG:
		*(bool *)at = true;
		break;
	case OPTION_TEXT:
		*(const char **)at = argument;
		break;
	case OPTION_TEXTS:
		texts = at;
		grow(texts->items, texts->n, texts->cap);
		texts->items[texts->n++] = argument;
		break;
	case OPTION_TIME:
		return read_time(cli, option, argument, at);
	case OPTION_MAYBE_TIME:
		maybe = at;
		maybe->given = true;
		return argument ? read_time(cli, option, argument, &maybe->ms) : CLI_DONE;
	case OPTION_CHOICE:
		return read_choice(cli, option, argument, at);
	case OPTION_COUNT:
		return read_count(cli, option, argument, at);
	}
	return CLI_DONE;
}

static int take_option(struct parser *p, const struct cli_option *option, const char *argument)
{
	if (option == &cli_global_options[0])
		p->cli->socket = argument;
	else if (option == &cli_global_options[1])
		p->help = true;
	else if (option == &cli_global_options[2])
		p->version = true;
	else if (p->cli->options)
		return set_option(p->cli, option, argument);
	return CLI_DONE;
}

static int unknown_option(struct parser *p, const char *name, size_t size)
{
	enum { NAMES_MAX = 64 };
	const struct verb *verb = p->cli->verb;
	const char *names[NAMES_MAX], *near = NULL;
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(cli_global_options); i++)
		names[n++] = cli_global_options[i].name;
	for (size_t i = 0; verb && i < verb->n_options && n < NAMES_MAX; i++)
		names[n++] = verb->options[i].name;
	cleanup_free char *text = xstrndup(name, size);
	if (size > 1)
		near = nearest_name(text, names, n);
	return cli_misuse(p->cli, "there is no option '-%s%s'%s%s%s", size > 1 ? "-" : "", text,
			  near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "");
}

/* One "--name", "--name=argument" or "--name argument". */
static int read_long(struct parser *p, int *i)
{
	const char *name = p->argv[*i] + 2, *equals = strchr(name, '=');
	size_t size = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_option *option = size > 1 ? cli_find_option(p->cli->verb, name, size) : NULL;
	if (!option)
		return unknown_option(p, name, size);
	const char *argument = equals ? equals + 1 : NULL;
	if (argument && !option->argument)
		return cli_misuse(p->cli, "--%s takes no argument", option->name);
	if (!argument && option->argument && option->type != OPTION_MAYBE_TIME) {
		if (*i + 1 >= p->argc)
			return cli_misuse(p->cli, "--%s needs an argument: %s", option->name, option->argument);
		argument = p->argv[++*i];
	}
	return take_option(p, option, argument);
}

/* "-o json", "-ojson", or several letters in one word of which the last may take an argument. */
static int read_short(struct parser *p, int *i)
{
	for (const char *at = p->argv[*i] + 1; *at; at++) {
		const struct cli_option *option = cli_find_option(p->cli->verb, at, 1);
		const char *argument = NULL;
		if (!option)
			return unknown_option(p, at, 1);
		if (option->argument && at[1])
			argument = at[1] == '=' ? at + 2 : at + 1;
		else if (option->argument && *i + 1 < p->argc)
			argument = p->argv[++*i];
		else if (option->argument)
			return cli_misuse(p->cli, "-%c needs an argument: %s", option->letter, option->argument);
		int status = take_option(p, option, argument);
		if (status != CLI_DONE || argument)
			return status;
	}
	return CLI_DONE;
}

static int read_options(struct parser *p)
{
	for (int i = 1; i < p->argc; i++) {
		const char *arg = p->argv[i];
		int status = CLI_DONE;
		if (streq(arg, "--"))
			break;
		if (str_starts(arg, "--"))
			status = read_long(p, &i);
		else if (arg[0] == '-' && arg[1])
			status = read_short(p, &i);
		if (status != CLI_DONE)
			return status;
	}
	return CLI_DONE;
}

/* Options that are the same for all verbs are known before the verb is. */
static void look_for_help(struct parser *p)
{
	for (int i = 1; i < p->argc && !streq(p->argv[i], "--"); i++) {
		p->help |= streq(p->argv[i], "--help") || streq(p->argv[i], "-h");
		p->version |= streq(p->argv[i], "--version") || streq(p->argv[i], "-V");
	}
}

/* As it was typed, for the history: without the socket, which says nothing there, and cut where it becomes too long. */
static char *command_line(int argc, char **argv)
{
	char *text = xstrdup("weft");
	for (int i = 1; i < argc && strlen(text) < COMMAND_MAX; i++) {
		if (streq(argv[i], "--socket"))
			i++;
		if (i >= argc || streq(argv[i - 1], "--socket") || str_starts(argv[i], "--socket="))
			continue;
		char *longer = xprintf("%s %s", text, argv[i]);
		free(text);
		text = longer;
	}
	size_t size = strlen(text);
	if (size <= COMMAND_MAX)
		return text;
	for (size = COMMAND_MAX; size && ((unsigned char)text[size] & 0xc0) == 0x80;)
		size--;
	strcpy(text + size, "...");
	return text;
}

static int wrong_count(struct cli *cli)
{
	const struct verb *verb = cli->verb;
	if (cli->n_args > verb->max_args && verb->max_args == 0)
		return cli_misuse(cli, "'%s' is too much: %s takes no arguments", cli->args[0], verb->name);
	if (cli->n_args > verb->max_args)
		return cli_misuse(cli, "'%s' is too much", cli->args[verb->max_args]);
	return cli_misuse(cli, "expected %s", verb->arguments);
}

static int parse_verb(struct parser *p)
{
	size_t taken = 0;
	struct cli *cli = p->cli;
	int status = choose_verb(p, &taken);
	if (status != CLI_DONE)
		return status;
	if (p->help || !cli->verb) {
		status = help_print(cli->verb ? cli->verb->name : p->words[0], stdout);
		cli->verb = NULL;
		return status;
	}
	cli->options = xcalloc(1, cli->verb->options_size ? cli->verb->options_size : 1);
	status = read_options(p);
	if (status != CLI_DONE)
		return status;
	gather_words(p, cli->verb);
	cli->args = xcalloc(p->n_words + 1, sizeof(*cli->args));
	for (size_t i = taken; i < p->n_words; i++)
		cli->args[cli->n_args++] = p->words[i];
	if (cli->n_args < cli->verb->min_args || cli->n_args > cli->verb->max_args)
		return wrong_count(cli);
	return CLI_DONE;
}

static int parse(struct parser *p)
{
	p->cli->command = command_line(p->argc, p->argv);
	look_for_help(p);
	gather_words(p, NULL);
	if (p->version) {
		puts("weft " WEFT_VERSION);
		return CLI_DONE;
	}
	if (p->n_words && streq(p->words[0], "help")) {
		cleanup_free char *topic = p->n_words > 2 ? xprintf("%s %s", p->words[1], p->words[2]) : NULL;
		return help_print(topic ? topic : p->n_words > 1 ? p->words[1] : NULL, stdout);
	}
	if (p->n_words)
		return parse_verb(p);
	if (p->help)
		return help_print(NULL, stdout);
	int status = read_options(p);
	if (status == CLI_DONE)
		help_print(NULL, stderr);
	return CLI_USAGE;
}

int cli_parse(struct cli *cli, int argc, char **argv)
{
	struct parser p = {.cli = cli, .argc = argc, .argv = argv};
	int status = parse(&p);
	free(p.words);
	return status;
}

void cli_clear(struct cli *cli)
{
	for (size_t i = 0; cli->verb && i < cli->verb->n_options; i++)
		if (cli->options && cli->verb->options[i].type == OPTION_TEXTS)
			free(((struct texts *)((char *)cli->options + cli->verb->options[i].offset))->items);
	free(cli->options);
	free(cli->args);
	free(cli->command);
	*cli = (struct cli){0};
}
