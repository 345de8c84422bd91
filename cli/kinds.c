/* SPDX-License-Identifier: Apache-2.0 */
/* See kinds.h. */
#include "cli/kinds.h"

#include <strings.h>

#include "cli/json.h"
#include "core/diag.h"

int kinds_load(struct cli *cli, json_t **ret)
{
	return cli_get(cli, "/v1/kinds", ret);
}

static bool is_called(const json_t *kind, const char *key, const char *word)
{
	const char *name = json_text(kind, key);
	return name && strcasecmp(name, word) == 0;
}

/* Several short names stand with commas between. */
static bool is_short(const json_t *kind, const char *word)
{
	cleanup_free char *shorts = xstrdup(json_text(kind, "short") ? json_text(kind, "short") : "");
	char *rest = shorts;
	for (char *one; (one = strsep(&rest, ", "));)
		if (*one && strcasecmp(one, word) == 0)
			return true;
	return false;
}

const json_t *kinds_find(const json_t *kinds, const char *word)
{
	const json_t *kind;
	size_t i;
	json_array_foreach(kinds, i, kind) {
		if (is_called(kind, "name", word) || is_called(kind, "plural", word) || is_short(kind, word))
			return kind;
	}
	return NULL;
}

const json_t *kinds_need(const json_t *kinds, const char *word)
{
	enum { NAMES_MAX = 256 };
	const char *names[NAMES_MAX];
	size_t n = 0, i;
	const json_t *kind = kinds_find(kinds, word);
	if (kind)
		return kind;
	json_array_foreach(kinds, i, kind) {
		if (n < NAMES_MAX && json_text(kind, "name"))
			names[n++] = json_text(kind, "name");
	}
	const char *near = nearest_name(word, names, n);
	if (near)
		cli_fail(CLI_USAGE, "there is no kind '%s'; did you mean '%s'?", word, near);
	else
		cli_fail(CLI_USAGE, "there is no kind '%s'; 'weft explain' lists the kinds", word);
	return NULL;
}

static void add(struct selection *selection, const json_t *kind, const char *name)
{
	grow(selection->items, selection->n, selection->cap);
	selection->items[selection->n++] = (struct selected){kind, name};
}

static char *keep(struct selection *selection, const char *text)
{
	grow(selection->texts, selection->n_texts, selection->cap_texts);
	return selection->texts[selection->n_texts++] = xstrdup(text);
}

static int add_kinds(struct selection *selection, const char *words)
{
	char *rest = keep(selection, words);
	for (char *word; (word = strsep(&rest, ","));) {
		const json_t *kind = kinds_need(selection->kinds, word);
		if (!kind)
			return CLI_USAGE;
		add(selection, kind, NULL);
	}
	return CLI_DONE;
}

static int add_pair(struct selection *selection, const char *arg)
{
	char *name = keep(selection, arg), *word = strsep(&name, "/");
	if (!name || !*name)
		return cli_fail(CLI_USAGE, "'%s': expected KIND/NAME", arg);
	const json_t *kind = kinds_need(selection->kinds, word);
	if (!kind)
		return CLI_USAGE;
	add(selection, kind, name);
	return CLI_DONE;
}

static int read_args(struct cli *cli, struct selection *selection)
{
	const char *first = cli->args[0];
	int status = CLI_DONE;
	if (strchr(first, '/')) {
		for (size_t i = 0; i < cli->n_args && status == CLI_DONE; i++)
			status = add_pair(selection, cli->args[i]);
		return status;
	}
	if (cli->n_args == 1 && strcasecmp(first, "all") == 0)
		add(selection, NULL, NULL);
	else if (cli->n_args == 1)
		return add_kinds(selection, first);
	const json_t *kind = cli->n_args > 1 ? kinds_need(selection->kinds, first) : NULL;
	if (cli->n_args > 1 && !kind)
		return CLI_USAGE;
	for (size_t i = 1; i < cli->n_args; i++) {
		if (strchr(cli->args[i], '/'))
			return cli_misuse(cli, "'%s': write either KIND NAME... or KIND/NAME...", cli->args[i]);
		add(selection, kind, cli->args[i]);
	}
	return CLI_DONE;
}

int selection_read(struct cli *cli, struct selection *ret)
{
	*ret = (struct selection){0};
	int status = kinds_load(cli, &ret->kinds);
	if (status != CLI_DONE)
		return status;
	return read_args(cli, ret);
}

void selection_clear(struct selection *selection)
{
	for (size_t i = 0; i < selection->n_texts; i++)
		free(selection->texts[i]);
	free(selection->texts);
	free(selection->items);
	json_decref(selection->kinds);
	*selection = (struct selection){0};
}
