/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of this host, ours or not, by what /proc says of them. Any thread, and children. */
#ifndef WEFT_CORE_PROCESS_LIST_H
#define WEFT_CORE_PROCESS_LIST_H

#include <stdbool.h>

/* Calls fn with the pid of each, as text, until it says true; whether it did. */
typedef bool process_each_fn(void *ctx, const char *pid);
bool process_each(process_each_fn *fn, void *ctx);
/* What the kernel calls it (/proc/PID/comm); "" if it has gone. */
enum { PROCESS_NAME = 64 };
const char *process_name(const char *pid, char buf[static PROCESS_NAME]);
/* Has it this file open, by the path that the link in /proc/PID/fd shows? */
bool process_has_open(const char *pid, const char *file);

#endif
