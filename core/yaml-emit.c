/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to YAML in block style: see node.h. A writer of our own rather than libyaml's emitter, which quotes after the
 * rules of one version: a string is written plain only if no reader of any version takes it for something else. */
#include "core/node.h"
#include "core/utf8.h"

#include <ctype.h>
#include <strings.h>

/* A key longer than this needs the form "? key"; YAML lets a plain one have 1024. */
enum { KEY_MAX = 1000 };

static void indent(FILE *out, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		fputs("  ", out);
}

/* Words that some version of YAML reads as a boolean or null. Special numbers (.inf, .nan) begin with what is no
 * start. */
static bool is_word_of_yaml(const char *text)
{
	static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

/* Numbers in any base, with exponents, base-60 ones (MAC addresses!) and timestamps. What has two dots or more and
 * nothing but digits beside them is an address or a version. */
static bool is_like_number(const char *text)
{
	size_t len = strlen(text), n_dots = 0;
	if (!isdigit((uint8_t)text[0]))
		return false;
	for (const char *p = text; *p; p++)
		n_dots += *p == '.';
	if (n_dots >= 2 && strspn(text, "0123456789.") == len)
		return false;
	return strspn(text, "0123456789abcdefABCDEFxXoO_.:+- tTzZ") == len;
}

static bool is_plain_start(char c)
{
	return isalnum((uint8_t)c) || c == '_' || c == '/' || (uint8_t)c >= 0x80;
}

static bool is_plain(const char *text)
{
	size_t size = strlen(text);
	if (!is_plain_start(text[0]) || text[size - 1] == ' ' || is_word_of_yaml(text) || is_like_number(text))
		return false;
	for (size_t i = 0; i < size;) {
		uint32_t c;
		size_t len = utf8_decode(text + i, size - i, &c);
		bool safe =
			len && (c >= 0x80 ? !utf8_is_hidden(c) : isalnum((int)c) || strchr("_-./+@%=:,;() ", (int)c));
		if (!safe || (c == ':' && (text[i + 1] == ' ' || !text[i + 1])))
			return false;
		i += len;
	}
	return true;
}

static void write_escape(FILE *out, uint32_t c)
{
	if (c == '\n')
		fputs("\\n", out);
	else if (c == '\t')
		fputs("\\t", out);
	else if (c == '"' || c == '\\')
		fprintf(out, "\\%c", (int)c);
	else if (c < 0x100)
		fprintf(out, "\\x%02x", (unsigned)c);
	else
		fprintf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

static void write_quoted(FILE *out, const char *text)
{
	size_t size = strlen(text);
	fputc('"', out);
	for (size_t i = 0; i < size;) {
		uint32_t c = 0xfffd;
		size_t len = utf8_decode(text + i, size - i, &c);
		if (len == 0 || utf8_is_hidden(c) || c == '"' || c == '\\')
			write_escape(out, c);
		else
			fwrite(text + i, 1, len, out);
		i += len ? len : 1;
	}
	fputc('"', out);
}

/* Can it be a literal block, with nothing in it that an editor or reader would change? It ends in one line end or none,
 * no line is of blanks alone or begins with a tab, and the first one begins with something that can be seen. */
static bool is_block(const char *text)
{
	size_t size = strlen(text);
	const char *first_end = strchr(text, '\n');
	if (!first_end || isspace((uint8_t)text[0]) || (size > 1 && str_starts(text + size - 2, "\n\n")))
		return false;
	for (size_t i = 0; i < size;) {
		uint32_t c;
		size_t len = utf8_decode(text + i, size - i, &c);
		if (len == 0 || (utf8_is_hidden(c) && c != '\n' && c != '\t'))
			return false;
		bool blank = c == ' ' || c == '\t';
		if (blank && (text[i + 1] == '\n' || text[i + 1] == '\0' || (c == '\t' && text[i - 1] == '\n')))
			return false;
		i += len;
	}
	return true;
}

static void write_block(FILE *out, const char *text, unsigned depth)
{
	size_t size = strlen(text);
	fputs(text[size - 1] == '\n' ? "|" : "|-", out);
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, "\n");
		fputc('\n', out);
		if (len)
			indent(out, depth);
		fwrite(p, 1, len, out);
		p += len + (p[len] == '\n');
	}
}

/* `depth` is the indentation of what a block would hold; 0 at the top, where there are no blocks. */
static void write_string(FILE *out, const char *text, unsigned depth)
{
	if (is_plain(text))
		fputs(text, out);
	else if (depth > 0 && is_block(text))
		write_block(out, text, depth);
	else
		write_quoted(out, text);
}

static void write_scalar(FILE *out, const json_t *json, unsigned depth)
{
	if (json_is_string(json)) {
		write_string(out, json_string_value(json), depth);
		return;
	}
	cleanup_free char *text = json_dumps(json, JSON_ENCODE_ANY);
	fputs(text ? text : "null", out);
}

static void write_inside(FILE *out, const json_t *json, unsigned depth);

static bool has_children(const json_t *json)
{
	return json_object_size(json) > 0 || json_array_size(json) > 0;
}

/* The value of a key, with what separates it from the ':'. */
static void write_value(FILE *out, const json_t *value, unsigned depth)
{
	if (has_children(value)) {
		fputc('\n', out);
		indent(out, depth + 1);
		write_inside(out, value, depth + 1);
		return;
	}
	fputc(' ', out);
	write_scalar(out, value, depth + 1);
	fputc('\n', out);
}

static void write_key(FILE *out, const char *key, unsigned depth)
{
	bool is_long = strlen(key) > KEY_MAX;
	if (is_long)
		fputs("? ", out);
	if (is_plain(key))
		fputs(key, out);
	else
		write_quoted(out, key);
	if (is_long) {
		fputc('\n', out);
		indent(out, depth);
	}
	fputc(':', out);
}

/* The children of a map or list. The first one stands where the output is at; the others on lines of their own. */
static void write_inside(FILE *out, const json_t *json, unsigned depth)
{
	const char *key;
	json_t *value;
	size_t i;
	bool first = true;
	json_object_foreach((json_t *)json, key, value) {
		if (!first)
			indent(out, depth);
		first = false;
		write_key(out, key, depth);
		write_value(out, value, depth);
	}
	json_array_foreach((json_t *)json, i, value) {
		if (i > 0)
			indent(out, depth);
		fputs("- ", out);
		if (has_children(value)) {
			write_inside(out, value, depth + 1);
			continue;
		}
		write_scalar(out, value, depth + 1);
		fputc('\n', out);
	}
}

char *yaml_from_json(const json_t *const *docs, size_t n_docs)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	for (size_t i = 0; i < n_docs; i++) {
		fputs("---\n", out);
		if (has_children(docs[i])) {
			write_inside(out, docs[i], 0);
			continue;
		}
		write_scalar(out, docs[i], 0);
		fputc('\n', out);
	}
	fclose(out);
	return text;
}
