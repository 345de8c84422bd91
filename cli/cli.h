/* SPDX-License-Identifier: Apache-2.0 */
/* What a verb of the command line is, and what it is given. A verb is one file that ends in one const struct verb,
 * named in the table of verbs.c; its options are a table of rows that fill a struct of its own, and its help is printed
 * from both. */
#ifndef WEFT_CLI_CLI_H
#define WEFT_CLI_CLI_H

#include <limits.h>

#include <jansson.h>

#include "core/util.h"

/* What the process exits with. */
enum cli_status {
	CLI_DONE = 0,
	CLI_FAILED = 1,    /* and said what */
	CLI_USAGE = 2,     /* wrong usage, or a wrong manifest */
	CLI_NOT_READY = 3, /* not Ready in time; diff: there are differences */
};

enum option_type {
	OPTION_FLAG,       /* bool */
	OPTION_TEXT,       /* const char *, NULL if it is not given */
	OPTION_TEXTS,      /* struct texts; may be given several times */
	OPTION_TIME,       /* unsigned: milliseconds, 0 if it is not given */
	OPTION_MAYBE_TIME, /* struct maybe_time; its argument only after a '=' */
	OPTION_CHOICE,     /* int: index into `choices`, 0 if it is not given */
	OPTION_COUNT,      /* unsigned */
};
/* What a word of the command line may be: for completion, which asks weftd. */
enum words {
	WORDS_NONE,
	WORDS_FILES,
	WORDS_OBJECTS, /* a kind and then names of it, or KIND/NAME */
	WORDS_LABELS,  /* KIND/NAME */
	WORDS_FIELDS,  /* KIND.FIELD.FIELD */
	WORDS_GUESTS,
	WORDS_NETWORKS,
	WORDS_POOLS,
	WORDS_VOLUMES,
	WORDS_SETS,
	WORDS_REVISIONS,
	WORDS_CHOICES, /* of an option: its own; of a verb: verb->choices */
};
struct texts {
	const char **items;
	size_t n, cap;
};
struct maybe_time {
	bool given;
	unsigned ms; /* 0: without a time */
};

struct cli_option {
	const char *name; /* without the dashes */
	char letter;      /* 0: none */
	enum option_type type;
	size_t offset;
	const char *argument; /* what help calls it; NULL: takes none */
	const char *const *choices;
	size_t n_choices;
	const char *doc;  /* one line */
	enum words words; /* what its argument may be; choices are offered anyway */
};

enum { ANY_NUMBER = INT_MAX }; /* of arguments */

struct cli;
struct verb {
	const char *name;      /* "apply", "guest start" */
	const char *arguments; /* "KIND [NAME...]"; NULL: none */
	const char *summary;   /* one line, a sentence without its full stop */
	const char *text;      /* more of it, NULL if there is nothing to add */
	const char *examples;  /* lines; NULL if none */
	const struct cli_option *options;
	size_t n_options;
	size_t options_size; /* of the struct that they fill */
	unsigned min_args, max_args;
	enum words words;           /* what its arguments may be */
	const char *const *choices; /* WORDS_CHOICES; NULL ends */
	bool hidden;                /* for programs: in no list */
	/* Returns an enum cli_status; has said what is wrong if it is not CLI_DONE. */
	int (*run)(struct cli *cli, const void *options);
};

struct client;
struct cli {
	const char *socket;
	const struct verb *verb;
	void *options;
	const char **args; /* what is no option, without the verb */
	size_t n_args;
	char *command;         /* as it was typed, for the history */
	struct client *client; /* see cli_client() */
};

/* The choices of --output, in the order of this enum. A verb offers the first few of them. */
enum output { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_WIDE, OUTPUT_NAME };
extern const char *const output_names[];
/* clang-format off */
#define OUTPUT_OPTION(S, m, n)                                                                                         \
	{.name = "output", .letter = 'o', .type = OPTION_CHOICE, .offset = offsetof(S, m), .argument = "FORMAT",       \
	 .choices = output_names, .n_choices = (n), .doc = "How to print it"}
/* With choices of the verb's own, an array. */
#define OWN_OUTPUT_OPTION(S, m, names)                                                                                 \
	{.name = "output", .letter = 'o', .type = OPTION_CHOICE, .offset = offsetof(S, m), .argument = "FORMAT",       \
	 .choices = (names), .n_choices = ARRAY_SIZE(names), .doc = "How to print it"}
#define FLAG_OPTION(n, S, m, d) {.name = (n), .type = OPTION_FLAG, .offset = offsetof(S, m), .doc = (d)}
#define FILE_OPTION(S, m)                                                                                              \
	{.name = "file", .letter = 'f', .type = OPTION_TEXTS, .offset = offsetof(S, m), .argument = "FILE|DIR|-",      \
	 .words = WORDS_FILES,                                                                                         \
	 .doc = "Manifests: a file, the *.yaml, *.yml and *.json of a directory, or standard input"}
/* clang-format on */

/* verbs.c: every verb, in the order of help. NULL ends. */
extern const struct verb *const verbs[];

/* Reads the command line into *cli. On CLI_USAGE it has said what is wrong; on CLI_DONE with a NULL verb it has printed
 * the help that was asked for, and there is nothing to run. */
int cli_parse(struct cli *cli, int argc, char **argv);
/* Runs what was parsed. */
int cli_run(struct cli *cli);
void cli_clear(struct cli *cli);

/* The options of all verbs. */
extern const struct cli_option cli_global_options[];
extern const size_t cli_n_global_options;
/* An option by name without dashes (size 1: or by its letter), of a verb or of all; before the verb is known (NULL), of
 * any verb. */
const struct cli_option *cli_find_option(const struct verb *verb, const char *name, size_t size);
const struct verb *cli_find_verb(const char *name);
/* Does an option as it stands on the command line ("-o", "--output") take the next word as its argument? */
bool cli_takes_next(const struct verb *verb, const char *arg);

/* completion.c: the script of a shell, "bash", "zsh" or "fish"; NULL for another. */
const char *completion_script(const char *shell);

/* help.c. The topic is a verb, the first word of several, or NULL for the overview. */
int help_print(const char *topic, FILE *f);

/* Says on stderr what went wrong: "weft: ...". Returns `status`. */
int cli_fail(int status, const char *fmt, ...) printf_like(2, 3);
/* The same, and where to read how it is used. Returns CLI_USAGE. */
int cli_misuse(const struct cli *cli, const char *fmt, ...) printf_like(2, 3);

/* The connection to weftd; made when first asked for. */
struct client *cli_client(struct cli *cli);
/* Asks weftd and returns its answer in *ret, owned by the caller. Refusals and failures are said. */
int cli_get(struct cli *cli, const char *path, json_t **ret);
int cli_post(struct cli *cli, const char *path, const json_t *body, json_t **ret);

#endif
