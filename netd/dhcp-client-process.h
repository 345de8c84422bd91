/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of DHCP clients, and the watch over what they say, for the two classes in dhcp-client.c. All on the
 * engine's thread. */
#ifndef WEFT_NETD_DHCP_CLIENT_PROCESS_H
#define WEFT_NETD_DHCP_CLIENT_PROCESS_H

#include "netd/dhcp-client.h"

bool dhcp_client_find(const char *link, struct process_id *ret);
/* What it was started with; NULL if that is not known. */
json_t *dhcp_client_started_with(const char *link, const struct process_id *id);
/* With the configuration on disk. */
void dhcp_client_start(const char *link, const struct dhcp_client_spec *spec, helper_done_fn *done, void *ctx);
void dhcp_client_stop(const char *link, bool release, helper_done_fn *done, void *ctx);
/* What is said of this link from now on marks both classes dirty. */
void dhcp_client_watch(const char *link);
/* And is told to fn, the one listener. */
void dhcp_client_listen(void (*fn)(const char *link));

struct engine;
void netd_dhcp_clients_start(struct engine *engine);
void netd_dhcp_clients_stop(void);

#endif
