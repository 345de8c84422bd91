/* SPDX-License-Identifier: Apache-2.0 */
/* weft explain: what can be written in a manifest, from the daemon's own field tables. */
#include "cli/json.h"
#include "cli/kinds.h"
#include "cli/table.h"
#include "core/diag.h"

struct options {
	bool recursive;
	int output;
};

static const struct cli_option rows[] = {
	FLAG_OPTION("recursive", struct options, recursive, "With the fields of fields"),
	OUTPUT_OPTION(struct options, output, 3),
};

enum { WRAP_COLUMNS = 100 };

static void print_doc(const char *doc, size_t indent)
{
	printf("%*s", (int)indent, "");
	print_folded(stdout, doc, indent, indent, WRAP_COLUMNS);
}

/* "size", "list of prefix", "map", "list of maps", "one of nat, isolated". */
static char *type_words(const json_t *field)
{
	const char *shape = json_text(field, "shape"), *type = json_text(field, "type");
	cleanup_free char *values = json_line(json_at(field, "values"));
	if (streq(shape, "maps"))
		return xstrdup("list of maps");
	if (!type)
		return xstrdup(shape ? shape : "?");
	cleanup_free char *one = *values ? xprintf("one of %s", values) : xstrdup(type);
	return streq(shape, "list") ? xprintf("list of %s", one) : xstrdup(one);
}

static void print_fact(const char *name, const char *text)
{
	if (text && *text)
		print_styled(stdout, STYLE_PLAIN, "  %-12s%s\n", name, text);
}

static void print_change_words(const json_t *field)
{
	if (json_is_true(json_at(field, "recreate")))
		print_fact("change:", "what it makes is made anew, which interrupts what uses it");
	if (json_is_true(json_at(field, "restart")))
		print_fact("change:", "takes effect at the next start of the guest");
	if (json_is_true(json_at(field, "secret")))
		print_fact("secret:", "it is never shown");
}

static void print_facts(const json_t *field)
{
	cleanup_free char *type = type_words(field), *default_text = json_line(json_at(field, "default"));
	cleanup_free char *min = json_line(json_at(field, "min")), *max = json_line(json_at(field, "max"));
	cleanup_free char *bounds = *max ? xprintf("%s to %s", *min ? min : "0", max) : NULL;
	const char *ref = json_text(field, "ref"), *type_name = json_text(field, "type");
	bool number =
		type_name && !streq(type_name, "string") && !streq(type_name, "text") && !streq(type_name, "path");
	print_fact("of:", json_text(field, "of"));
	print_fact("type:", type);
	print_fact("", json_text(field, "typeDoc"));
	if (json_is_true(json_at(field, "required")))
		print_fact("required:", "yes");
	print_fact("default:", default_text);
	if (number)
		print_fact("bounds:", bounds);
	print_fact("example:", json_text(field, "example"));
	if (ref)
		print_fact("names:", streq(ref, "*") ? "a link: an object's, or one of the host" : ref);
	print_fact("also:", json_text(field, "singular"));
	print_change_words(field);
}

static void print_field_line(const json_t *field, unsigned indent)
{
	cleanup_free char *type = type_words(field);
	const char *doc = json_text(field, "doc"), *name = json_text(field, "name");
	bool required = json_is_true(json_at(field, "required"));
	print_styled(stdout, STYLE_STRONG, "%*s%s", (int)indent, "", name ? name : "?");
	print_styled(stdout, STYLE_NOTE, "  <%s>", type);
	print_styled(stdout, STYLE_WARN, "%s", required ? "  required" : "");
	if (json_text(field, "of"))
		print_styled(stdout, STYLE_NOTE, "  (%s)", json_text(field, "of"));
	putchar('\n');
	if (doc)
		print_doc(doc, indent + 4);
}

static void print_fields(const json_t *fields, unsigned indent, bool recursive)
{
	const json_t *field;
	size_t i;
	json_array_foreach(fields, i, field) {
		print_field_line(field, indent);
		if (recursive)
			print_fields(json_at(field, "fields"), indent + 4, true);
	}
}

static const json_t *find_field(const json_t *fields, const char *name)
{
	const json_t *field;
	size_t i;
	json_array_foreach(fields, i, field) {
		if (streq(json_text(field, "name"), name) || streq(json_text(field, "singular"), name))
			return field;
	}
	return NULL;
}

static int no_such_field(const json_t *fields, const char *where, const char *name)
{
	enum { NAMES_MAX = 128 };
	const char *names[NAMES_MAX];
	const json_t *field;
	size_t n = 0, i;
	json_array_foreach(fields, i, field) {
		if (n < NAMES_MAX && json_text(field, "name"))
			names[n++] = json_text(field, "name");
	}
	const char *near = nearest_name(name, names, n);
	return cli_fail(CLI_USAGE, "%s has no field '%s'%s%s%s", where, name, near ? "; did you mean '" : "",
			near ? near : "", near ? "'?" : "");
}

/* Follows "dhcp.hosts", also with "spec." before it, as manifests have it. */
static int walk(const json_t *kind, char *path, const json_t **ret)
{
	const json_t *at = kind;
	cleanup_free char *where = xstrdup(json_text(kind, "name"));
	char *rest = path;
	if (str_starts(rest, "spec."))
		rest += strlen("spec.");
	if (streq(rest, "spec"))
		rest = NULL;
	for (char *name; rest && (name = strsep(&rest, "."));) {
		const json_t *fields = json_at(at, "fields");
		at = find_field(fields, name);
		if (!at)
			return no_such_field(fields, where, name);
		char *deeper = xprintf("%s.%s", where, name);
		free(where);
		where = deeper;
	}
	*ret = at;
	return CLI_DONE;
}

static void print_kind_list(const json_t *kinds)
{
	static const char *const headings[] = {"KIND", "PLURAL", "SHORT", "WHAT IT IS"};
	struct text_table *table = text_table_new(headings, ARRAY_SIZE(headings));
	const json_t *kind;
	size_t i;
	json_array_foreach(kinds, i, kind) {
		text_table_cell(table, STYLE_STRONG, json_text(kind, "name"));
		text_table_cell(table, STYLE_PLAIN, json_text(kind, "plural"));
		text_table_cell(table, STYLE_PLAIN, json_text(kind, "short"));
		text_table_cell(table, STYLE_PLAIN, json_text(kind, "doc"));
	}
	text_table_print(table);
	text_table_free(table);
}

static void print_explained(const json_t *what, const char *title, bool is_kind, bool recursive)
{
	const char *doc = json_text(what, "doc");
	print_styled(stdout, STYLE_STRONG, "%s\n", title);
	if (doc)
		print_doc(doc, 2);
	if (!is_kind)
		print_facts(what);
	if (!json_array_size(json_at(what, "fields")))
		return;
	print_styled(stdout, STYLE_STRONG, "\nfields%s:\n", is_kind ? " of its spec" : "");
	print_fields(json_at(what, "fields"), 2, recursive);
}

static int explain(struct cli *cli, const struct options *options, const json_t *kinds)
{
	cleanup_free char *copy = xstrdup(cli->args[0]);
	char *path = copy, *word = strsep(&path, ".");
	const json_t *kind = kinds_need(kinds, word), *what = NULL;
	if (!kind)
		return CLI_USAGE;
	cleanup_free char *title = xprintf("%s%s%s", json_text(kind, "name"), path ? "." : "", path ? path : "");
	int status = walk(kind, path ? path : (char[]){"spec"}, &what);
	if (status != CLI_DONE)
		return status;
	if (options->output == OUTPUT_JSON)
		print_json(what);
	else if (options->output == OUTPUT_YAML)
		print_yaml(what);
	else
		print_explained(what, title, what == kind, options->recursive);
	return CLI_DONE;
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *kinds = NULL;
	int status = kinds_load(cli, &kinds);
	if (status != CLI_DONE)
		return status;
	if (cli->n_args)
		status = explain(cli, options, kinds);
	else if (options->output == OUTPUT_JSON)
		print_json(kinds);
	else if (options->output == OUTPUT_YAML)
		print_yaml(kinds);
	else
		print_kind_list(kinds);
	json_decref(kinds);
	return status;
}

const struct verb verb_explain = {
	.name = "explain",
	.arguments = "[KIND[.FIELD...]]",
	.summary = "Say what can be written in a manifest",
	.examples = "  weft explain\n  weft explain network.dhcp\n  weft explain guest --recursive",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.max_args = 1,
	.words = WORDS_FIELDS,
	.run = run,
};
