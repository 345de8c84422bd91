/* SPDX-License-Identifier: Apache-2.0 */
/* The stream that QMP is: a JSON object a line. See qmp.h. */
#include "guestd/qmp.h"

static bool is_blank(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (line[i] != ' ' && line[i] != '\r' && line[i] != '\t')
			return false;
	return true;
}

/* 1: go on; 0: the callee has had enough. */
static int take_line(const struct qmp_parser *parser, size_t size, struct err *err)
{
	const char *line = parser->buf;
	json_error_t why;
	if (is_blank(line, size))
		return 1;
	json_t *message = json_loadb(line, size, JSON_REJECT_DUPLICATES, &why);
	if (!message)
		return err_set(err, EPROTO, "QEMU's monitor sent what is no JSON: %s", why.text);
	if (!json_is_object(message)) {
		json_decref(message);
		return err_set(err, EPROTO, "QEMU's monitor sent JSON that is no object");
	}
	bool more = parser->fn(parser->ctx, message);
	json_decref(message);
	return more;
}

int qmp_parser_feed(struct qmp_parser *parser, const char *data, size_t size, struct err *err)
{
	while (size) {
		const char *end = memchr(data, '\n', size);
		size_t part = end ? (size_t)(end - data) : size;
		if (part > QMP_MESSAGE_MAX - parser->n)
			return err_set(err, EMSGSIZE, "QEMU's monitor sent a message of more than %d bytes",
				       QMP_MESSAGE_MAX);
		if (parser->n + part > parser->cap) {
			parser->cap = parser->n + part > 4096 ? 2 * (parser->n + part) : 4096;
			parser->buf = xrealloc(parser->buf, parser->cap, 1);
		}
		if (part)
			memcpy(parser->buf + parser->n, data, part);
		parser->n += part;
		if (!end)
			return 0;
		size_t line = parser->n;
		parser->n = 0;
		int r = take_line(parser, line, err);
		if (r <= 0)
			return r;
		data = end + 1;
		size -= part + 1;
	}
	return 0;
}

void qmp_parser_done(struct qmp_parser *parser)
{
	free(parser->buf);
	*parser = (struct qmp_parser){0};
}
