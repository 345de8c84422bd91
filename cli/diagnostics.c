/* SPDX-License-Identifier: Apache-2.0 */
/* See diagnostics.h. */
#include "cli/diagnostics.h"

static const struct mark {
	const char *text;
	enum style style;
} marks[] = {
	{": error: ", STYLE_BAD},
	{": warning: ", STYLE_WARN},
	{": note: ", STYLE_NOTE},
};

/* "lan.yaml:6:11: error: unknown field": the position strong, the word in its colour. */
static bool print_head(const char *line)
{
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		const char *at = strstr(line, marks[i].text);
		if (!at)
			continue;
		const char *rest = at + strlen(marks[i].text);
		print_styled(stderr, STYLE_STRONG, "%.*s:", (int)(at - line), line);
		print_styled(stderr, marks[i].style, "%.*s", (int)(rest - at - 2), at + 1);
		print_styled(stderr, STYLE_PLAIN, " %s\n", rest);
		return true;
	}
	return false;
}

/* "       |     ^~~~~" */
static bool print_caret(const char *line)
{
	size_t bar = strspn(line, " ");
	if (line[bar] != '|')
		return false;
	size_t blank = strspn(line + bar + 1, " \t");
	if (line[bar + 1 + blank] != '^')
		return false;
	print_styled(stderr, STYLE_PLAIN, "%.*s", (int)(bar + 1 + blank), line);
	print_styled(stderr, STYLE_BAD, "%s\n", line + bar + 1 + blank);
	return true;
}

static bool print_hint(const char *line)
{
	size_t blank = strspn(line, " ");
	if (!str_starts(line + blank, "hint: "))
		return false;
	print_styled(stderr, STYLE_GOOD, "%.*shint:", (int)blank, line);
	print_styled(stderr, STYLE_PLAIN, " %s\n", line + blank + strlen("hint: "));
	return true;
}

void diagnostics_print(const char *rendered)
{
	cleanup_free char *copy = xstrdup(rendered ? rendered : "");
	char *rest = copy;
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (!*line && !rest)
			break;
		/* Lines of the manifest stand behind a bar and may look like anything. */
		bool source = strspn(line, " 0123456789") > 0 && line[strspn(line, " 0123456789")] == '|';
		if (!(source ? print_caret(line) : print_hint(line) || print_head(line)))
			print_styled(stderr, STYLE_PLAIN, "%s\n", line);
	}
}
