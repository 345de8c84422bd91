/* SPDX-License-Identifier: Apache-2.0 */
/* A QMP client on the event loop: commands with deadlines, events as they come. A QEMU that hangs costs its callers
 * their deadlines and nothing else; what it sends is bounded and never trusted. */
#ifndef WEFT_GUESTD_QMP_H
#define WEFT_GUESTD_QMP_H

#include <jansson.h>

#include "core/err.h"

enum { QMP_MESSAGE_MAX = 1 << 20, QMP_PENDING_MAX = 64 };

/* Cuts a byte stream into JSON objects, one a line. */
struct qmp_parser {
	bool (*fn)(void *ctx, json_t *message); /* called for every message; false ends the feeding */
	void *ctx;
	char *buf;
	size_t n, cap;
};
/* -EPROTO for what is no JSON object, -EMSGSIZE for a message that is too long; the stream is of no use after that. */
int qmp_parser_feed(struct qmp_parser *parser, const char *data, size_t size, struct err *err);
void qmp_parser_done(struct qmp_parser *parser);

struct qmp;
struct qmp_handler {
	/* Greeted and willing to take commands. */
	void (*ready)(void *ctx, const char *version);
	void (*event)(void *ctx, const char *name, const json_t *data);
	/* It says something again after a command had passed its deadline. */
	void (*recovered)(void *ctx);
	/* The connection has ended by itself; the client is freed after the call. */
	void (*closed)(void *ctx, const struct err *err);
};

/* Connects on env.loop. The handler is borrowed. */
int qmp_open(const char *path, const struct qmp_handler *handler, void *ctx, struct qmp **ret, struct err *err);
/* Ends it; commands that wait get ECANCELED before it returns; the handler is not called any more. Returns NULL. */
struct qmp *qmp_close(struct qmp *qmp);

/* `result` is the command's "return", borrowed; NULL with an error: what QEMU said, ETIMEDOUT, ECONNRESET,
 * ECANCELED. */
typedef void qmp_reply_fn(void *ctx, const json_t *result, const struct err *err);
struct qmp_command {
	const char *name;
	json_t *arguments; /* may be NULL */
	unsigned deadline_ms;
};
/* Sends a command (before `ready`: as soon as it is). Takes its arguments. fn is called once, never from
 * within. fn may be NULL. */
int qmp_send(struct qmp *qmp, const struct qmp_command *command, qmp_reply_fn *fn, void *ctx);
/* Sends a command whose answer nobody waits for. */
void qmp_tell(struct qmp *qmp, const char *command);

#endif
