/* SPDX-License-Identifier: Apache-2.0 */
/* See json-text.h. */
#include "core/json-text.h"

#include "core/utf8.h"

json_t *json_host_text(const char *text)
{
	json_t *json = json_string(text);
	if (json || !text)
		return json;
	cleanup_free char *copy = xstrdup(text);
	size_t size = strlen(copy);
	for (size_t i = 0; i < size;) {
		uint32_t c;
		size_t len = utf8_decode(copy + i, size - i, &c);
		if (len == 0)
			copy[i] = '?';
		i += len ? len : 1;
	}
	return json_string(copy);
}
