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

/* A connection was resumed. In server.c. */
void server_kick(void);

#endif
