/* SPDX-License-Identifier: Apache-2.0 */
/* See terminal.h. */
#include "cli/terminal.h"

#include <langinfo.h>
#include <sys/ioctl.h>

#include "core/utf8.h"

static bool wants_color(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	return !(no_color && *no_color) && term && *term && !streq(term, "dumb");
}

static struct winsize size_of(int fd)
{
	struct winsize size = {0};
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0)
		return size;
	return (struct winsize){.ws_col = 80, .ws_row = 24};
}

struct terminal terminal_of(FILE *f)
{
	int fd = fileno(f);
	bool is_terminal = isatty(fd);
	struct winsize size = size_of(fd);
	return (struct terminal){
		.is_terminal = is_terminal,
		.color = is_terminal && wants_color(),
		.utf8 = streq(nl_langinfo(CODESET), "UTF-8"),
		.width = is_terminal ? size.ws_col : 0,
		.height = is_terminal ? size.ws_row : 0,
	};
}

const char *style_on(const struct terminal *terminal, enum style style)
{
	static const char *const sequences[] = {
		[STYLE_PLAIN] = "",        [STYLE_STRONG] = "\033[1m", [STYLE_FAINT] = "\033[2m",
		[STYLE_GOOD] = "\033[32m", [STYLE_WARN] = "\033[33m",  [STYLE_BAD] = "\033[31m",
		[STYLE_NOTE] = "\033[36m",
	};
	return terminal->color ? sequences[style] : "";
}

const char *style_off(const struct terminal *terminal, enum style style)
{
	return terminal->color && style != STYLE_PLAIN ? "\033[0m" : "";
}

char *text_visible(const char *text, bool lines)
{
	size_t size = strlen(text), n = 0;
	/* The longest replacement of one byte is \xNN; of a code point of two or more, \u{NNNNNN}. */
	char *out = xcalloc(size * 5 + 1, 1);
	for (size_t i = 0; i < size;) {
		uint32_t c = 0;
		size_t len = utf8_decode(text + i, size - i, &c);
		bool keep = len && (!utf8_is_hidden(c) || (lines && (c == '\n' || c == '\t')));
		if (keep) {
			memcpy(out + n, text + i, len);
			n += len;
		} else if (len > 1) {
			n += (size_t)sprintf(out + n, "\\u{%x}", c);
		} else {
			n += (size_t)sprintf(out + n, "\\x%02x", (unsigned char)text[i]);
		}
		i += len ? len : 1;
	}
	return out;
}

size_t text_columns(const char *text)
{
	return utf8_count(text, strlen(text));
}

void print_styled(FILE *f, enum style style, const char *fmt, ...)
{
	struct terminal terminal = terminal_of(f);
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	cleanup_free char *visible = text_visible(text, true);
	fprintf(f, "%s%s%s", style_on(&terminal, style), visible, style_off(&terminal, style));
}

static size_t line_size(const char *text, size_t room)
{
	size_t size = strlen(text), columns = 0, blank = 0;
	for (size_t i = 0; i < size; columns++) {
		uint32_t c;
		if (columns == room)
			return blank ? blank : i;
		blank = text[i] == ' ' ? i : blank;
		i += utf8_decode(text + i, size - i, &c);
	}
	return size;
}

void print_folded(FILE *f, const char *text, size_t used, size_t indent, size_t otherwise)
{
	enum { ROOM_MIN = 16 };
	struct terminal terminal = terminal_of(f);
	cleanup_free char *visible = text_visible(text, false);
	size_t width = terminal.width ? terminal.width : otherwise;
	const char *at = visible;
	while (width && *at) {
		size_t room = width > used + ROOM_MIN ? width - used : ROOM_MIN, size = line_size(at, room);
		if (!at[size])
			break;
		fprintf(f, "%.*s\n%*s", (int)size, at, (int)indent, "");
		at += size + strspn(at + size, " ");
		used = indent;
	}
	fprintf(f, "%s\n", at);
}
