/* SPDX-License-Identifier: Apache-2.0 */
/* Events: choosing among those that weftd still has, and printing one. */
#ifndef WEFT_CLI_EVENT_PRINT_H
#define WEFT_CLI_EVENT_PRINT_H

#include "cli/cli.h"

/* The last `max` events (0: all), of one object ("Guest/web") or of any (NULL), oldest first, as a list in *ret;
 * *ret_last is the number of the last event that there is. */
int events_get(struct cli *cli, const char *object, size_t max, json_t **ret, long long *ret_last);
bool event_is_of(const json_t *event, const char *object);
/* One line: time, type, what it is about, what happened. */
void event_print(const json_t *event, unsigned indent);

#endif
