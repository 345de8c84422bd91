/* SPDX-License-Identifier: Apache-2.0 */
/* See err.h. */
#include "core/err.h"

int err_set(struct err *err, int code, const char *fmt, ...)
{
	if (!err)
		return -code;
	va_list args;
	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	err->code = code;
	return -code;
}

int err_errno(struct err *err, int code, const char *fmt, ...)
{
	if (!err)
		return -code;
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	err->code = code;
	if (len >= 0 && (size_t)len < sizeof(err->text))
		snprintf(err->text + len, sizeof(err->text) - (size_t)len, ": %s", strerror(code));
	return -code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	if (!err)
		return 0;
	struct err inner = *err;
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len < sizeof(err->text))
		snprintf(err->text + len, sizeof(err->text) - (size_t)len, ": %s", inner.text);
	return -err->code;
}
