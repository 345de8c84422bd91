/* SPDX-License-Identifier: Apache-2.0 */
/* Between server.c, which carries connections, and call.c, which carries the calls on them. */
#ifndef WEFT_API_CALL_H
#define WEFT_API_CALL_H

#include "api/server.h"

/* MHD's callbacks. */
enum MHD_Result call_access(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
			    const char *version, const char *data, size_t *data_size, void **con_cls);
void call_completed(void *ctx, struct MHD_Connection *connection, void **con_cls, enum MHD_RequestTerminationCode code);
void call_begin_all(void);
/* Ends all calls: whoever waits is forgotten, whatever is suspended goes on to its end. */
void call_end_all(void);

/* The life of a call, in this order; MHD's callbacks go through it, and tests without a connection (NULL). */
struct call *call_new(struct MHD_Connection *connection);
/* Answers already here when the call may not be made at all; its body is then read and thrown away. */
void call_check(struct call *call, const char *method, const char *url);
/* False when there is so much of it that the connection is to be closed. */
bool call_take_body(struct call *call, const char *data, size_t size);
/* Runs the handler, if there is no answer yet. */
void call_start(struct call *call);
/* The client has gone: nobody waits for an answer any more. */
void call_hang_up(struct call *call);
void call_free(struct call *call);

/* A connection was resumed. In server.c. */
void server_kick(void);

#endif
