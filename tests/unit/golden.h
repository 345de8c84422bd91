/* SPDX-License-Identifier: Apache-2.0 */
/* Golden files: whole outputs kept under tests/golden and compared. WEFT_REGENERATE=1 writes them anew; the change is
 * then reviewed as a diff. */
#ifndef WEFT_TESTS_GOLDEN_H
#define WEFT_TESTS_GOLDEN_H

#include "core/util.h"

/* Is `text` what tests/golden/NAME holds? Says where they part if not. */
static inline bool golden_equal(const char *name, const char *text)
{
	cleanup_free char *path = xprintf("%s/tests/golden/%s", WEFT_SOURCE_DIR, name);
	cleanup_free char *kept = NULL;
	if (getenv("WEFT_REGENERATE"))
		return file_write_atomic(path, text, strlen(text), 0644) == 0;
	if (file_read(path, 1 << 22, &kept, NULL) < 0) {
		fprintf(stderr, "%s cannot be read; WEFT_REGENERATE=1 makes it\n", path);
		return false;
	}
	if (streq(kept, text))
		return true;
	unsigned line = 1;
	size_t at = 0, begin = 0;
	for (; kept[at] && kept[at] == text[at]; at++)
		if (kept[at] == '\n') {
			line++;
			begin = at + 1;
		}
	fprintf(stderr, "%s:%u: expected '%.*s', got '%.*s'; WEFT_REGENERATE=1 takes the new one\n", path, line,
		(int)strcspn(kept + begin, "\n"), kept + begin, (int)strcspn(text + begin, "\n"), text + begin);
	return false;
}

#endif
