/* SPDX-License-Identifier: Apache-2.0 */
/* Events: what changed, was repaired, failed. Kept in a ring (the last 10,000), handed to followers, written to the
 * journal with fields when there is one. */
#ifndef WEFT_CORE_EVENT_H
#define WEFT_CORE_EVENT_H

#include <jansson.h>

#include "core/util.h"

struct event {
	uint64_t seq;     /* from 1, set by event_emit() */
	uint64_t time_ms; /* wall clock, set by event_emit() when 0 */
	const char *
		type; /* "Applied" "Repaired" "Failed" "Contested" "Created" ...; CamelCase, what `weft events` shows */
	const char *object;   /* "Network/lan"; NULL if none */
	const char *resource; /* "link/lan"; NULL if none */
	const char *text;     /* sentence */
	bool warning;
};
void event_emit(const struct event *event);
void event_text(const char *type, const char *object, bool warning, const char *fmt, ...) printf_like(4, 5);

/* Followers are told of each new one; the pointer is valid during the call. */
typedef void event_fn(void *ctx, const struct event *event);
void event_follow(event_fn *fn, void *ctx);
void event_unfollow(event_fn *fn, void *ctx);
/* The kept events with seq > after, oldest first. */
void event_each(uint64_t after, event_fn *fn, void *ctx);
json_t *event_to_json(const struct event *event);

#endif
