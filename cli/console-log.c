/* SPDX-License-Identifier: Apache-2.0 */
/* See console-log.h. */
#include "cli/console-log.h"

enum { LOG_MAX = 64 * 1024 * 1024 };

/* The length of the escape sequence at `text`: CSI ("\033[0;32m"), OSC ("\033]0;title\a") or two characters. */
static size_t sequence_size(const char *text, size_t size)
{
	size_t i = 2;
	if (size < 2)
		return size;
	if (text[1] == '[') {
		while (i < size && (unsigned char)text[i] >= 0x20 && (unsigned char)text[i] < 0x40)
			i++;
		return i < size ? i + 1 : size;
	}
	if (text[1] != ']' && text[1] != 'P' && text[1] != '^' && text[1] != '_')
		return 2;
	while (i < size && text[i] != '\a' && text[i] != '\033' && text[i] != '\n')
		i++;
	if (i < size && text[i] == '\033')
		return i + 1 < size && text[i + 1] == '\\' ? i + 2 : i;
	return i < size && text[i] == '\a' ? i + 1 : i;
}

size_t console_log_filter(char *text, size_t size)
{
	size_t kept = 0;
	for (size_t i = 0; i < size;) {
		unsigned char c = (unsigned char)text[i];
		bool sequence = c == '\033';
		size_t n = sequence ? sequence_size(text + i, size - i) : 1;
		bool color = sequence && n > 2 && text[i + 1] == '[' && text[i + n - 1] == 'm';
		bool plain = !sequence && ((c >= ' ' && c != 0x7f) || c == '\n' || c == '\t');
		if (color || plain) {
			memmove(text + kept, text + i, n);
			kept += n;
		}
		i += n;
	}
	return kept;
}

static const char *last_lines(const char *text, size_t size, size_t tail)
{
	const char *start = text + (tail && size > tail ? size - tail : 0);
	const char *newline = start > text ? memchr(start, '\n', (size_t)(text + size - start)) : NULL;
	return newline ? newline + 1 : start;
}

int console_log_print(const char *path, size_t tail)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r = path ? file_read(path, LOG_MAX, &text, &size) : -ENOENT;
	if (r < 0)
		return r;
	if (isatty(STDOUT_FILENO))
		size = console_log_filter(text, size);
	const char *start = last_lines(text, size, tail);
	fwrite(start, 1, (size_t)(text + size - start), stdout);
	if (isatty(STDOUT_FILENO))
		fputs("\033[0m", stdout);
	return 0;
}
