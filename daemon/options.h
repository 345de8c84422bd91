/* SPDX-License-Identifier: Apache-2.0 */
/* weftd's options: one table for reading them, for --help, and for the manual page. */
#ifndef WEFT_DAEMON_OPTIONS_H
#define WEFT_DAEMON_OPTIONS_H

#include "core/util.h"

struct daemon_option {
	const char *name;
	const char *argument; /* NULL: takes none */
	const char *doc;      /* a sentence without its full stop */
};
extern const struct daemon_option daemon_options[];
extern const size_t daemon_n_options;

struct daemon_settings {
	const char *root, *fault;
	bool doctor, import;
};
/* Returns 0 to go on, 1 when there is nothing more to do, -EINVAL for wrong usage, which it has said. */
int daemon_options_read(int argc, char **argv, struct daemon_settings *ret);

#endif
