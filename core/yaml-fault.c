/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml says "did not find expected key"; the table here says what that means, at the mark that helps: a quote that
 * is never closed is shown where it was opened. Used by yaml.c alone. */
#include "core/yaml-fault.h"
#include "core/utf8.h"

/* What was going wrong, as far as the message needs to know more than libyaml's words. */
struct fault {
	const char *problem, *context; /* libyaml's words; the context is "" when there is none */
	struct pos at, begun;          /* the problem's mark, the context's mark */
	const char *line;              /* the line of `at` */
	size_t line_size, byte;        /* its size and the byte that `at` is at */
	char here;                     /* the character at it; 0 at the end of the line */
	bool ended;                    /* is that the end of the text */
	struct diags *diags;
};

struct translation {
	const char *problem; /* NULL: any */
	const char *context; /* NULL: any */
	bool at_context;
	const char *text, *hint;
	const char *begun; /* a note at the context's mark */
	/* Where one sentence will not do. Returns false to leave it to the row's text. */
	bool (*explain)(struct fault *fault);
};

static bool is_first_of_line(const struct fault *fault)
{
	for (size_t i = 0; i < fault->byte; i++) {
		if (fault->line[i] != ' ' && fault->line[i] != '\t')
			return false;
	}
	return true;
}

static bool explain_tab(struct fault *fault)
{
	/* The mark may be at the blanks before the tab. */
	size_t i = fault->byte;
	while (i < fault->line_size && fault->line[i] == ' ')
		i++;
	if (i >= fault->line_size || fault->line[i] != '\t')
		return false;
	fault->at.column += (unsigned)(i - fault->byte);
	diag_hint(fault->diags, diag_add(fault->diags, fault->at, "a tab cannot indent in YAML"),
		  "indent with spaces, two a level");
	return true;
}

static bool explain_start(struct fault *fault)
{
	if (explain_tab(fault))
		return true;
	if (fault->here != '@' && fault->here != '`' && fault->here != '%')
		return false;
	diag_hint(fault->diags, diag_add(fault->diags, fault->at, "a value cannot start with '%c'", fault->here),
		  "put the whole value in quotes");
	return true;
}

/* "mode nat" and then "mtu: 1400" are one text to libyaml, with a stray ':'. If the line above stands in the same
 * column and has no ':', that is where one is missing. */
static bool explain_line_above(struct fault *fault)
{
	const char *above;
	size_t size, indent = strspn(fault->line, " "), above_indent = 0;
	struct pos pos = fault->at;
	pos.line--;
	if (!pos.line || !source_line(pos.source, pos.line, &above, &size))
		return false;
	while (above_indent < size && above[above_indent] == ' ')
		above_indent++;
	if (above_indent == size || above_indent != indent || strchr("#-\"'", above[indent]) ||
	    memchr(above, ':', size))
		return false;
	pos.column = (unsigned)indent + 1;
	pos.width = (unsigned)utf8_count(above + indent, size - indent);
	diag_hint(fault->diags, diag_add(fault->diags, pos, "a ':' is missing after this key"), "write 'key: value'");
	return true;
}

static bool explain_mapping_value(struct fault *fault)
{
	if (memmem(fault->line, fault->byte, ": ", 2) == NULL)
		return explain_line_above(fault);
	diag_hint(fault->diags, diag_add(fault->diags, fault->at, "a second ': ' in one line is not expected here"),
		  "put the value in quotes if the ':' belongs to it, else start a new line");
	return true;
}

static bool explain_block_key(struct fault *fault)
{
	struct diag *diag;
	char before = fault->byte > 0 ? fault->line[fault->byte - 1] : 0;
	if (fault->here == ':') {
		diag_add(fault->diags, fault->at, "a key is expected before ':'");
		return true;
	}
	if (fault->here == ']' || fault->here == '}') {
		diag = diag_add(fault->diags, fault->at, "this '%c' closes nothing", fault->here);
	} else if (is_first_of_line(fault) && fault->here == '-') {
		diag = diag_add(fault->diags, fault->at, "a list item is not expected here, where keys of a map are");
		diag_hint(fault->diags, diag, "check the indentation of this line");
	} else if (is_first_of_line(fault)) {
		diag = diag_add(fault->diags, fault->at, "the indentation of this line fits none of the lines above");
		diag_hint(fault->diags, diag, "keys of one map start in the same column");
	} else {
		diag = diag_add(fault->diags, fault->at, "unexpected text after the value");
		diag_hint(fault->diags, diag, "%s",
			  before == '\''  ? "inside of single quotes, write '' for a quote"
			  : before == '"' ? "inside of double quotes, write \\\" for a quote"
					  : "start a new line, or put the whole value in quotes");
	}
	diag_related(fault->diags, diag, fault->begun, "the map begins here");
	return true;
}

/* A list in brackets that is not closed usually swallowed the next line, so that the fault shows up far from its
 * cause. */
static bool explain_flow(struct fault *fault)
{
	bool list = strstr(fault->context, "sequence") != NULL;
	if (fault->at.line == fault->begun.line && !fault->ended)
		return false;
	struct diag *diag = diag_add(fault->diags, fault->begun, "this '%c' is not closed", list ? '[' : '{');
	diag_hint(fault->diags, diag, "write '%c' at its end, and ',' between its items", list ? ']' : '}');
	diag_related(fault->diags, diag, fault->at,
		     fault->ended ? "the text ends here" : "what is here does not belong to it");
	return true;
}

static bool explain_flow_node(struct fault *fault)
{
	if (fault->here == '-' && is_first_of_line(fault)) {
		diag_add(fault->diags, fault->at, "a '[' or '{' above is not closed before this line");
		return true;
	}
	/* [::]:80 */
	if (fault->here == ':' || (fault->byte > 0 && fault->line[fault->byte - 1] == ':' && fault->here != ' ')) {
		diag_hint(fault->diags, diag_add(fault->diags, fault->at, "a value cannot begin with ':'"),
			  "put IPv6 addresses that begin with ':' or '[' in quotes");
		return true;
	}
	if (fault->here != ',' && fault->here != ']' && fault->here != '}')
		return false;
	diag_add(fault->diags, fault->at, "a value is expected before '%c'", fault->here);
	return true;
}

static bool explain_unopened(struct fault *fault)
{
	if (fault->here != ']' && fault->here != '}')
		return false;
	diag_add(fault->diags, fault->at, "this '%c' closes nothing", fault->here);
	return true;
}

static bool explain_missing_colon(struct fault *fault)
{
	struct diag *diag = diag_add(fault->diags, fault->begun, "a ':' is missing after this key");
	diag_hint(fault->diags, diag, "write 'key: value', or check the indentation if it goes on from the line above");
	return true;
}

/* The first row that fits is taken. */
static const struct translation translations[] = {
	{"found unexpected end of stream", "while scanning a quoted scalar", true, "this quote is never closed",
	 "write the same quote at the end of the value"},
	{"found unexpected document indicator", "while scanning a quoted scalar", true,
	 "this quote is not closed before the next '---'", "write the same quote at the end of the value"},
	{"found unknown escape character", NULL, false, "unknown escape in double quotes",
	 "write \\\\ for a backslash, or use single quotes"},
	{"found invalid Unicode character escape code", NULL, false, "this escape is no character"},
	{"did not find expected hexdecimal number", NULL, false, "hexadecimal digits are expected here",
	 "write \\\\ for a backslash, or use single quotes"},
	{"mapping values are not allowed in this context", NULL, false, "a ':' is not expected here",
	 "check the indentation of this line and of the one above", .explain = explain_mapping_value},
	{"block sequence entries are not allowed in this context", NULL, false, "a list cannot start here",
	 "start it on a line of its own, below its key"},
	{"block mapping keys are not allowed in this context", NULL, false, "a key cannot start here",
	 "start the map on a line of its own"},
	{"found a tab character that violates indentation", NULL, false, "a tab cannot indent in YAML",
	 "indent with spaces, two a level", .explain = explain_tab},
	{"found a tab character where an indentation space is expected", NULL, false, "a tab cannot indent in YAML",
	 "indent with spaces, two a level", .explain = explain_tab},
	{"found character that cannot start any token", NULL, false, "unexpected character",
	 "put the whole value in quotes if it belongs to one", .explain = explain_start},
	{"could not find expected ':'", NULL, true, "a ':' is missing after this key",
	 .explain = explain_missing_colon},
	{"did not find expected key", "while parsing a block mapping", false, "a key is expected here",
	 .explain = explain_block_key},
	{"did not find expected '-' indicator", NULL, false, "another item of the list is expected here",
	 "start items with '- ' in the same column, and indent less what comes after the list", "the list begins here"},
	{"did not find expected ',' or ']'", NULL, false, "',' or ']' is expected here", NULL, "the list begins here",
	 explain_flow},
	{"did not find expected ',' or '}'", NULL, false, "',' or '}' is expected here",
	 "put the value in quotes if it has a ':' or ',' of its own", "the map begins here", explain_flow},
	{"did not find expected node content", "while parsing a flow node", false, "a value is expected here",
	 "is a ']' or '}' missing?", .explain = explain_flow_node},
	{"did not find expected node content", NULL, false, "a value is expected here",
	 "put the value in quotes if it begins with one of ] } ,"},
	{"did not find expected comment or line break", "while scanning a block scalar", false,
	 "the text starts on the line after '|' or '>'", "put the value in quotes if it begins with '|' or '>'"},
	{NULL, "while scanning a block scalar", false, "what follows '|' or '>' is not understood",
	 "put the value in quotes if it begins with '|' or '>'"},
	{NULL, "while scanning an anchor", true, "anchors (&name) are not supported",
	 "put the value in quotes if it begins with '&'"},
	{NULL, "while scanning an alias", true, "aliases (*name) are not supported",
	 "put the value in quotes if it begins with '*'"},
	{NULL, "while scanning a tag", true, "tags (!name) are not supported",
	 "put the value in quotes if it begins with '!'"},
	{NULL, "while parsing a tag", true, "tags (!name) are not supported",
	 "put the value in quotes if it begins with '!'"},
	{"found undefined tag handle", NULL, false, "tags (!name) are not supported",
	 "put the value in quotes if it begins with '!'"},
	{"did not find expected <document start>", NULL, false, "'---' is expected before another document",
	 .explain = explain_unopened},
	{"found incompatible YAML document", NULL, false, "this version of YAML is not supported",
	 "leave the %YAML line out"},
	{NULL, "while scanning a directive", false, "this directive is not understood", "leave the line out"},
	{NULL, "while scanning a %YAML directive", false, "this directive is not understood", "leave the line out"},
	{NULL, "while scanning a %TAG directive", false, "this directive is not understood", "leave the line out"},
};

/* At the end of a text that does not end in a line break, libyaml counts one more line: that is the end of the last. */
static struct pos pos_of(const struct source *source, yaml_mark_t mark, unsigned base_line)
{
	struct pos pos = {source, base_line + (unsigned)mark.line + 1, (unsigned)mark.column + 1, 1};
	const char *line;
	size_t size;
	if (pos.line > 1 && !source_line(source, pos.line, &line, &size) &&
	    source_line(source, pos.line - 1, &line, &size)) {
		pos.line--;
		pos.column = (unsigned)utf8_count(line, size) + 1;
	}
	return pos;
}

/* Finds the byte that a column begins at. */
static void find_here(struct fault *fault)
{
	uint32_t c;
	if (!source_line(fault->at.source, fault->at.line, &fault->line, &fault->line_size)) {
		fault->line = "";
		return;
	}
	for (unsigned column = 1; column < fault->at.column && fault->byte < fault->line_size; column++) {
		size_t len = utf8_decode(fault->line + fault->byte, fault->line_size - fault->byte, &c);
		fault->byte += len ? len : 1;
	}
	if (fault->byte < fault->line_size)
		fault->here = fault->line[fault->byte];
	fault->ended = fault->line + fault->byte >= fault->at.source->text + fault->at.source->size;
}

static bool fits(const struct translation *row, const struct fault *fault)
{
	return (!row->problem || streq(row->problem, fault->problem)) &&
	       (!row->context || str_starts(fault->context, row->context));
}

static void translate(struct fault *fault)
{
	for (size_t i = 0; i < ARRAY_SIZE(translations); i++) {
		const struct translation *row = &translations[i];
		if (!fits(row, fault))
			continue;
		if (row->explain && row->explain(fault))
			return;
		struct diag *diag = diag_add(fault->diags, row->at_context ? fault->begun : fault->at, "%s", row->text);
		if (row->hint)
			diag_hint(fault->diags, diag, "%s", row->hint);
		if (row->begun)
			diag_related(fault->diags, diag, fault->begun, "%s", row->begun);
		return;
	}
	diag_add(fault->diags, fault->at, "this is no valid YAML: %s%s%s", fault->problem, *fault->context ? " " : "",
		 fault->context);
}

unsigned yaml_fault_queue(const yaml_parser_t *parser, const struct source *source, unsigned base_line,
			  struct diags *diags)
{
	struct fault fault = {
		.problem = parser->problem ? parser->problem : "unknown error",
		.context = parser->context ? parser->context : "",
		.at = pos_of(source, parser->problem_mark, base_line),
		.begun = pos_of(source, parser->context_mark, base_line),
		.diags = diags,
	};
	if (parser->error == YAML_MEMORY_ERROR)
		abort();
	/* The reader has no marks. What it would refuse was found before, in yaml.c. */
	if (parser->error == YAML_READER_ERROR)
		fault.at = pos_of(source, parser->mark, base_line);
	unsigned stopped = fault.at.line;
	find_here(&fault);
	translate(&fault);
	return stopped;
}
