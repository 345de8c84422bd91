/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP and JSON on a unix socket, RUN_DIR/weft.sock. See README.md for the paths. */
#ifndef WEFT_API_API_H
#define WEFT_API_API_H

#include "core/manager.h"

/* Listens, on env.loop. The manager is borrowed until api_stop(). */
int api_start(struct manager *manager, struct err *err);
/* Closes the socket and all connections; who waits for an answer is forgotten. */
void api_stop(void);

#endif
