/* SPDX-License-Identifier: Apache-2.0 */
/* See utf8.h. */
#include "core/utf8.h"

size_t utf8_decode(const char *s, size_t size, uint32_t *ret)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	if (size == 0)
		return 0;
	uint8_t first = (uint8_t)s[0];
	size_t len = first < 0x80             ? 1
		     : (first & 0xe0) == 0xc0 ? 2
		     : (first & 0xf0) == 0xe0 ? 3
		     : (first & 0xf8) == 0xf0 ? 4
					      : 0;
	if (len == 0 || len > size)
		return 0;
	uint32_t c = len == 1 ? first : first & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (((uint8_t)s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((uint8_t)s[i] & 0x3f);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

size_t utf8_count(const char *s, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < size; n++) {
		uint32_t c;
		if ((uint8_t)s[i] < 0x80) {
			i++;
			continue;
		}
		size_t len = utf8_decode(s + i, size - i, &c);
		i += len ? len : 1;
	}
	return n;
}

size_t utf8_break(const char *s, size_t size)
{
	uint32_t c;
	/* Asked at every byte of large texts, so what cannot begin one is sorted out first. */
	if (size == 0 || (*s != '\n' && *s != '\r' && *s != '\xc2' && *s != '\xe2'))
		return 0;
	size_t len = utf8_decode(s, size, &c);
	if (len == 0)
		return 0;
	if (c == '\r' && size > 1 && s[1] == '\n')
		return 2;
	return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029 ? len : 0;
}

bool utf8_is_hidden(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
		return true;
	/* Zero-width and direction marks, separators, directional formatting, isolates, BOM and non-characters. */
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
	       c == 0x61c || c == 0xfeff || (c & 0xfffe) == 0xfffe;
}
