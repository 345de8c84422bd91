/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values. A function that can fail returns 0 or -errno and takes a `struct err *` last; callers on
 * the way up prepend what they were doing: "pool 'fast': open '/dev/x': No such file or directory".
 * Libraries do not log; whoever handles an error logs or reports it, once. */
#ifndef WEFT_CORE_ERR_H
#define WEFT_CORE_ERR_H

#include "core/util.h"

struct err {
	int code;       /* positive errno, 0 when there is no error */
	char text[480]; /* a sentence without a full stop: what, why, what to do */
};

/* Sets code and text; `code` is a positive errno. Returns -code, so that `return err_set(...)` reads well.
 * `err` may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) printf_like(3, 4);
/* As err_set, with ": " and strerror(code) appended. */
int err_errno(struct err *err, int code, const char *fmt, ...) printf_like(3, 4);
/* Prepends context and ": " to an error already set. Returns -err->code. */
int err_wrap(struct err *err, const char *fmt, ...) printf_like(2, 3);

#endif
