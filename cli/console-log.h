/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest has said on its console, as it stands in its log. */
#ifndef WEFT_CLI_CONSOLE_LOG_H
#define WEFT_CLI_CONSOLE_LOG_H

#include "core/util.h"

enum { CONSOLE_TAIL_BYTES = 2000 };

/* Prints the log, or its last lines of together at most `tail` bytes when that is not 0. On a terminal only text and
 * colours pass: what else an old screen did would be done to this one. Returns 0 or -errno. */
int console_log_print(const char *path, size_t tail);
/* The same filter on a text of `size` bytes, in place; returns the new size. */
size_t console_log_filter(char *text, size_t size);

#endif
