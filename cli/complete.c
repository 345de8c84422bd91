/* SPDX-License-Identifier: Apache-2.0 */
/* weft complete: what the last word of a command line may become, for the scripts that `weft completion` prints. Verbs
 * and options come from their tables, kinds and names from weftd; when that does not answer at once there are none, and
 * nothing is said. A line is a word, a tab, and what it means; the line ":files" stands for names of files. */
#include "cli/cli.h"

#include "api/client.h"
#include "cli/json.h"

enum { ASK_MS = 700, NAMES_SHOWN = 500 };

struct completion {
	const struct verb *verb;
	const char *first; /* the word before that of a verb of two words, NULL if there is none */
	const char *socket;
	const char *words[64]; /* arguments of the verb that stand before */
	size_t n_words;
	const char *current;
	const char *prefix; /* of the word, that stands before what is completed: "--output=" */
	size_t prefix_size;
	size_t n_shown;
	FILE *out;
};

/* Only what no shell would take for anything but a word. */
static bool is_plain(const char *word)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@+=:,-";
	return *word && word[strspn(word, safe)] == '\0';
}

static void offer(struct completion *c, const char *word, const char *meaning)
{
	if (!str_starts(word, c->current) || !is_plain(word) || c->n_shown++ >= NAMES_SHOWN)
		return;
	cleanup_free char *clean = xstrdup(meaning ? meaning : "");
	for (char *at = clean; *at; at++)
		*at = (unsigned char)*at < ' ' ? ' ' : *at;
	fprintf(c->out, "%.*s%s\t%s\n", (int)c->prefix_size, c->prefix ? c->prefix : "", word, clean);
}

/* ---- asking weftd ---- */

static json_t *ask(const struct completion *c, const char *path)
{
	struct client *client = client_new(client_socket(c->socket));
	json_t *answer = NULL;
	const struct client_call call = {.method = "GET", .path = path, .timeout_ms = ASK_MS};
	if (client_request(client, &call, &answer) != 200) {
		json_decref(answer);
		answer = NULL;
	}
	client_free(client);
	return answer;
}

static char *lower(const char *text)
{
	char *copy = xstrdup(text ? text : "");
	for (char *c = copy; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	return copy;
}

/* The first sentence of a paragraph. */
static char *first_sentence(const char *text)
{
	const char *end = text ? strstr(text, ". ") : NULL;
	return end ? xstrndup(text, (size_t)(end - text)) : xstrdup(text ? text : "");
}

static void offer_kinds(struct completion *c, const char *after)
{
	json_t *kinds = ask(c, "/v1/kinds"), *kind;
	size_t i;
	json_array_foreach(kinds, i, kind) {
		cleanup_free char *name = lower(json_text(kind, "name")), *doc = first_sentence(json_text(kind, "doc"));
		cleanup_free char *word = xprintf("%s%s", name, after);
		offer(c, word, doc);
	}
	json_decref(kinds);
}

/* Names of one kind's objects, each after `before`. */
static void offer_names(struct completion *c, const char *kind, const char *before)
{
	cleanup_free char *escaped = client_escape(kind), *path = xprintf("/v1/objects/%s", escaped);
	json_t *objects = ask(c, path), *object;
	size_t i;
	json_array_foreach(objects, i, object) {
		const char *name = json_text(object, "metadata.name"), *of = json_text(object, "kind");
		cleanup_free char *word = xprintf("%s%s", before, name ? name : "");
		cleanup_free char *meaning =
			xprintf("%s%s", of ? of : "", object_is_ready(object) ? "" : ", not Ready");
		offer(c, word, meaning);
	}
	json_decref(objects);
}

static void offer_labels(struct completion *c)
{
	const char *slash = strchr(c->current, '/');
	if (!slash) {
		offer_kinds(c, "/");
		return;
	}
	cleanup_free char *kind = xstrndup(c->current, (size_t)(slash - c->current)), *before = xprintf("%s/", kind);
	offer_names(c, kind, before);
}

static void offer_objects(struct completion *c)
{
	if (strchr(c->current, '/') || (c->n_words && strchr(c->words[0], '/'))) {
		offer_labels(c);
	} else if (c->n_words) {
		offer_names(c, c->words[0], "");
	} else {
		offer_kinds(c, "");
		offer(c, "all", "every object");
	}
}

/* The fields below the last dot of what stands there: "guest.disks." */
static void offer_fields(struct completion *c)
{
	const char *dot = strrchr(c->current, '.');
	if (!dot) {
		offer_kinds(c, "");
		return;
	}
	cleanup_free char *before = xstrndup(c->current, (size_t)(dot - c->current) + 1), *copy = xstrdup(before);
	char *rest = copy, *word = strsep(&rest, ".");
	cleanup_free char *escaped = client_escape(word), *path = xprintf("/v1/kinds/%s", escaped);
	json_t *kind = ask(c, path), *fields = json_at(kind, "fields"), *field;
	size_t i;
	while (rest && *rest && (word = strsep(&rest, "."))) {
		json_t *found = NULL;
		json_array_foreach(fields, i, field)
			found = streq(json_text(field, "name"), word) ? field : found;
		fields = json_at(found, "fields");
	}
	json_array_foreach(fields, i, field) {
		cleanup_free char *name = xprintf("%s%s", before, json_text(field, "name"));
		offer(c, name, json_text(field, "doc"));
	}
	json_decref(kind);
}

static void offer_sets(struct completion *c)
{
	json_t *objects = ask(c, "/v1/objects"), *object, *seen = json_object();
	size_t i;
	json_array_foreach(objects, i, object) {
		const char *set = json_text(object, "metadata.set");
		if (set && !json_object_get(seen, set))
			offer(c, set, "a set of manifests");
		if (set)
			json_object_set_new(seen, set, json_true());
	}
	json_decref(seen);
	json_decref(objects);
}

static void offer_revisions(struct completion *c)
{
	json_t *history = ask(c, "/v1/history"), *revision;
	size_t i;
	json_array_foreach(history, i, revision) {
		cleanup_free char *number = json_line(json_at(revision, "revision"));
		const char *what = json_text(revision, "what"), *time = json_text(revision, "time");
		cleanup_free char *ago = time_ago(time), *meaning = xprintf("%s ago: %s", ago, what ? what : "");
		offer(c, number, meaning);
	}
	json_decref(history);
}

/* ---- what may stand here ---- */

static void offer_words(struct completion *c, enum words words, const char *const *choices)
{
	switch (words) {
	case WORDS_NONE:
		break;
	case WORDS_FILES:
		fputs(":files\n", c->out);
		break;
	case WORDS_OBJECTS:
		offer_objects(c);
		break;
	case WORDS_LABELS:
		offer_labels(c);
		break;
	case WORDS_FIELDS:
		offer_fields(c);
		break;
	case WORDS_GUESTS:
		offer_names(c, "Guest", "");
		break;
	case WORDS_NETWORKS:
		offer_names(c, "Network", "");
		break;
	case WORDS_POOLS:
		offer_names(c, "Pool", "");
		break;
	case WORDS_VOLUMES:
		offer_names(c, "Volume", "");
		break;
	case WORDS_SETS:
		offer_sets(c);
		break;
	case WORDS_REVISIONS:
		offer_revisions(c);
		break;
	case WORDS_CHOICES:
		for (; choices && *choices; choices++)
			offer(c, *choices, NULL);
		break;
	}
}

static void offer_argument(struct completion *c, const struct cli_option *option)
{
	for (size_t i = 0; i < option->n_choices; i++)
		offer(c, option->choices[i], NULL);
	offer_words(c, option->words, NULL);
}

static void offer_option(struct completion *c, const struct cli_option *option)
{
	cleanup_free char *name = xprintf("--%s", option->name), *with = xprintf("%s=", name);
	offer(c, name, option->doc);
	if (option->type == OPTION_MAYBE_TIME)
		offer(c, with, option->doc);
}

static void offer_options(struct completion *c)
{
	for (size_t i = 0; c->verb && i < c->verb->n_options; i++)
		offer_option(c, &c->verb->options[i]);
	for (size_t i = 0; i < cli_n_global_options; i++)
		offer_option(c, &cli_global_options[i]);
}

/* First words, or the second ones of verbs of two. Those with one first word stand together in the table. */
static void offer_verbs(struct completion *c)
{
	cleanup_free char *first = c->first ? xprintf("%s ", c->first) : xstrdup(""), *before = NULL;
	for (size_t i = 0; verbs[i]; i++) {
		const char *rest = verbs[i]->name + strlen(first);
		if (verbs[i]->hidden || !str_starts(verbs[i]->name, first))
			continue;
		char *word = xstrndup(rest, strcspn(rest, " "));
		if (!streq(word, before))
			offer(c, word, streq(word, rest) ? verbs[i]->summary : "Several verbs");
		free(before);
		before = word;
	}
	if (!c->first)
		offer(c, "help", "Say how a verb is used");
}

static void offer_here(struct completion *c)
{
	const char *equals = strchr(c->current, '=');
	if (str_starts(c->current, "--") && equals) {
		size_t size = (size_t)(equals - c->current);
		const struct cli_option *option = cli_find_option(c->verb, c->current + 2, size - 2);
		c->prefix = c->current;
		c->prefix_size = size + 1;
		c->current = equals + 1;
		if (option)
			offer_argument(c, option);
	} else if (c->current[0] == '-') {
		offer_options(c);
	} else if (!c->verb || c->first) {
		offer_verbs(c);
	} else if (c->n_words < c->verb->max_args) {
		offer_words(c, c->verb->words, c->verb->choices);
	}
}

/* ---- reading what stands before ---- */

static bool is_group(const char *word)
{
	for (size_t i = 0; verbs[i]; i++)
		if (str_starts(verbs[i]->name, word) && verbs[i]->name[strlen(word)] == ' ')
			return true;
	return false;
}

static void take_word(struct completion *c, const char *word)
{
	cleanup_free char *pair = c->first ? xprintf("%s %s", c->first, word) : NULL;
	if (c->verb) {
		if (c->n_words < ARRAY_SIZE(c->words))
			c->words[c->n_words++] = word;
	} else if (pair) {
		c->verb = cli_find_verb(pair);
		c->first = c->verb ? NULL : c->first;
	} else if (!streq(word, "help")) {
		c->verb = cli_find_verb(word);
		c->first = !c->verb && is_group(word) ? word : NULL;
	}
}

/* The option whose argument the word after `word` is; the last one of "-wo". */
static const struct cli_option *option_before(const struct completion *c, const char *word)
{
	if (word[0] != '-' || !word[1] || !cli_takes_next(c->verb, word))
		return NULL;
	if (word[1] == '-')
		return cli_find_option(c->verb, word + 2, strlen(word + 2));
	return cli_find_option(c->verb, word + strlen(word) - 1, 1);
}

/* The words are those after "weft", up to the cursor; the last one is what is to be completed, perhaps "". */
static void complete(const char *const *words, size_t n, const char *socket, FILE *out)
{
	struct completion c = {.current = n ? words[n - 1] : "", .socket = socket, .out = out};
	const struct cli_option *pending = NULL;
	bool plain = false; /* after "--" nothing is an option */
	for (size_t i = 0; i + 1 < n; i++) {
		const char *word = words[i];
		if (pending || (!plain && str_starts(word, "--socket="))) {
			bool here = !pending || streq(pending->name, "socket");
			c.socket = here ? (pending ? word : word + strlen("--socket=")) : c.socket;
			pending = NULL;
		} else if (!plain && streq(word, "--")) {
			plain = true;
		} else if (!plain && word[0] == '-' && word[1]) {
			pending = option_before(&c, word);
		} else {
			take_word(&c, word);
		}
	}
	if (pending)
		offer_argument(&c, pending);
	else
		offer_here(&c);
}

static int run(struct cli *cli, const void *options)
{
	complete(cli->args, cli->n_args, cli->socket, stdout);
	return CLI_DONE;
}

const struct verb verb_complete = {
	.name = "complete",
	.arguments = "-- [WORD...] LAST-WORD",
	.summary = "Say what the last word of a command line may become",
	.text = "For the scripts that 'weft completion' prints.",
	.max_args = ANY_NUMBER,
	.hidden = true,
	.run = run,
};
