/* SPDX-License-Identifier: Apache-2.0 */
/* weft get: objects as a table, or as manifests that can be applied again. */
#include <ctype.h>

#include "api/client.h"
#include "cli/columns.h"
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/watch.h"

struct options {
	int output;
	bool watch;
};

static const char *const outputs[] = {"table", "json", "yaml", "wide", "name"};
static const struct cli_option rows[] = {
	OWN_OUTPUT_OPTION(struct options, output, outputs),
	{.name = "watch",
	 .letter = 'w',
	 .type = OPTION_FLAG,
	 .offset = offsetof(struct options, watch),
	 .doc = "Go on, and show what changes"},
};

static int get_selected(struct cli *cli, const struct selected *selected, json_t **ret)
{
	const char *kind = json_text(selected->kind, "name");
	cleanup_free char *name = selected->name ? client_escape(selected->name) : NULL;
	cleanup_free char *path =
		xprintf("/v1/objects%s%s%s%s", kind ? "/" : "", kind ? kind : "", name ? "/" : "", name ? name : "");
	return cli_get(cli, path, ret);
}

static int by_label(const void *a, const void *b)
{
	cleanup_free char *left = object_label(*(json_t *const *)a), *right = object_label(*(json_t *const *)b);
	return strcmp(left, right);
}

/* By kind and name: the order of one call is that of the next. */
static void add_sorted(json_t *list, const json_t *part)
{
	size_t n = json_array_size(part);
	json_t **items = xcalloc(n, sizeof(json_t *));
	for (size_t i = 0; i < n; i++)
		items[i] = json_array_get(part, i);
	qsort(items, n, sizeof(json_t *), by_label);
	for (size_t i = 0; i < n; i++)
		json_array_append(list, items[i]);
	free(items);
}

/* All that is selected in one list; of what is not there it is said so, and the rest is shown. */
static int get_objects(struct cli *cli, const struct selection *selection, json_t **ret)
{
	int status = CLI_DONE;
	*ret = json_array();
	for (size_t i = 0; i < selection->n; i++) {
		json_t *part = NULL;
		int one = get_selected(cli, &selection->items[i], &part);
		status = one == CLI_DONE ? status : one;
		if (json_is_array(part))
			add_sorted(*ret, part);
		else if (part)
			json_array_append(*ret, part);
		json_decref(part);
	}
	return status;
}

/* The kind that all of them are of, NULL if they differ. */
static const json_t *common_kind(const struct selection *selection)
{
	const json_t *kind = selection->items[0].kind;
	for (size_t i = 1; i < selection->n; i++)
		if (selection->items[i].kind != kind)
			return NULL;
	return kind;
}

static void print_names(const json_t *objects)
{
	const json_t *object;
	size_t i;
	json_array_foreach(objects, i, object) {
		cleanup_free char *label = object_label(object);
		for (char *c = label; *c && *c != '/'; c++)
			*c = (char)tolower((unsigned char)*c);
		print_styled(stdout, STYLE_PLAIN, "%s\n", label);
	}
}

static char *render(const struct selection *selection, const json_t *objects, bool wide, bool cut)
{
	struct terminal terminal = terminal_of(stdout);
	if (!cut)
		terminal.width = 0;
	struct text_table *table = objects_table(objects, common_kind(selection), wide);
	char *text = text_table_render(table, &terminal);
	text_table_free(table);
	return text;
}

static void print_objects(const struct selection *selection, const json_t *objects, enum output output)
{
	bool one = selection->n == 1 && selection->items[0].name && json_array_size(objects) == 1;
	const json_t *shown = one ? json_array_get(objects, 0) : objects;
	cleanup_free char *text = NULL;
	switch (output) {
	case OUTPUT_JSON:
		print_json(shown);
		break;
	case OUTPUT_YAML:
		print_yaml(shown);
		break;
	case OUTPUT_NAME:
		print_names(objects);
		break;
	case OUTPUT_TEXT:
	case OUTPUT_WIDE:
		text = render(selection, objects, output == OUTPUT_WIDE, output != OUTPUT_WIDE);
		if (json_array_size(objects))
			fputs(text, stdout);
		else
			fprintf(stderr, "there is none\n");
		break;
	}
}

struct watching {
	struct cli *cli;
	const struct selection *selection;
	bool wide;
};

static char *render_now(void *ctx)
{
	struct watching *w = ctx;
	json_t *objects = NULL;
	if (get_objects(w->cli, w->selection, &objects) != CLI_DONE) {
		json_decref(objects);
		return NULL;
	}
	char *text = render(w->selection, objects, w->wide, true);
	json_decref(objects);
	return text;
}

static int run_selection(struct cli *cli, const struct options *options, const struct selection *selection)
{
	json_t *objects = NULL;
	bool table = options->output == OUTPUT_TEXT || options->output == OUTPUT_WIDE;
	if (options->watch && !table)
		return cli_misuse(cli,
				  "--watch shows tables; for a stream of JSON there is 'weft events --follow -o json'");
	if (options->watch)
		return watch_text(cli, render_now, &(struct watching){cli, selection, options->output == OUTPUT_WIDE});
	int status = get_objects(cli, selection, &objects);
	if (status == CLI_DONE || json_array_size(objects))
		print_objects(selection, objects, options->output);
	json_decref(objects);
	return status;
}

static int run(struct cli *cli, const void *options)
{
	cleanup_selection struct selection selection;
	int status = selection_read(cli, &selection);
	return status == CLI_DONE ? run_selection(cli, options, &selection) : status;
}

const struct verb verb_get = {
	.name = "get",
	.arguments = "KIND [NAME...] | KIND/NAME... | all",
	.summary = "Show objects",
	.text = "KIND may be written in any case, singular, plural or short ('weft explain' lists them), several with "
		"commas between. What -o yaml and -o json print can be applied again.",
	.examples = "  weft get guests\n  weft get all -o wide\n  weft get net lan -o yaml > lan.yaml",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = ANY_NUMBER,
	.words = WORDS_OBJECTS,
	.run = run,
};
