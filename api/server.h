/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers see of the server: one call, who makes it, its body, and the ways to answer. */
#ifndef WEFT_API_SERVER_H
#define WEFT_API_SERVER_H

#include <sys/types.h>

#include <jansson.h>
#include <microhttpd.h>

#include "core/manager.h"

struct sd_event_source;
struct call;

enum access { ACCESS_NONE, ACCESS_VIEW, ACCESS_FULL, N_ACCESS };
enum { CALL_ARGS_MAX = 4, CALL_BODY_MAX = 10 * 1024 * 1024 };

typedef void handler_fn(struct call *call);
struct route {
	const char *method;
	const char *path; /* segments; "*" stands for one of any text, which becomes an argument */
	handler_fn *handler;
	bool write; /* needs ACCESS_FULL */
};
/* The route of a request, with copies of its arguments in call->args; else NULL, and *ret_status is 404 or 405. */
const struct route *route_find(const char *method, const char *path, struct call *call, unsigned *ret_status);

struct peer {
	uid_t uid;
	enum access access;
	char who[80]; /* "root (uid 0)" */
};
/* Who is at the other end of a connection, from the kernel. */
int peer_read(int fd, struct peer *ret);
/* Looks up the groups that may use the socket. */
void peer_setup(void);

struct call {
	struct MHD_Connection *connection;
	struct peer peer;
	const struct route *route;
	char *args[CALL_ARGS_MAX];
	struct arena *arena; /* lives as long as the call */
	char *body;
	size_t body_size, body_cap;
	bool body_too_long;
	size_t body_seen; /* with what was thrown away */
	bool started;     /* the handler has run */
	bool settled;     /* MHD waits for the handler, and not for more to read */
	bool suspended;
	bool hung_up; /* the client has gone */
	/* The answer: a status of 0 is none yet. */
	unsigned status;
	json_t *answer;
	/* Set by a handler that answers later: the client has gone, do not call back. */
	void (*cancel)(struct call *call);
	/* Of a stream: fills the buffer with at most `room` bytes. Returns 0 when there is nothing now, -1 at the
	 * end. */
	ssize_t (*fill)(struct call *call, char *buffer, size_t room);
	void (*stream_done)(struct call *call);
	void *stream;
	struct sd_event_source *hangup;
	struct call *next, *previous; /* of the server's list */
};

/* Answers; takes the JSON. At once or later, exactly once. */
void call_answer(struct call *call, unsigned status, json_t *answer);
/* Answers {"message": sentence}. */
void call_refuse(struct call *call, unsigned status, const char *fmt, ...) printf_like(3, 4);
/* Begins a stream of lines with status 200. */
void call_stream(struct call *call, ssize_t (*fill)(struct call *, char *, size_t), void (*done)(struct call *),
		 void *stream);
/* There is something to send in a stream that had nothing. */
void call_wake(struct call *call);
const char *call_query(struct call *call, const char *key); /* NULL if it is not there */
/* Decodes the body by a field table (in call->arena), "" counting as {}; answers with 400 and returns NULL when it
 * cannot. */
void *call_body(struct call *call, const struct table *table);
/* As call_body(), from JSON that was read (and perhaps changed) before. */
json_t *call_json(struct call *call);
void *call_decode(struct call *call, const struct table *table, const json_t *json);

/* For the manager's calls: a manager_done_fn whose ctx is the call, and the `cancel` that goes with it. */
void call_answer_result(void *ctx, json_t *answer);
void call_forget_result(struct call *call);

struct manager *api_manager(void);

/* Handlers, listed in routes.c. */
handler_fn handle_apply, handle_delete, handle_diff, handle_confirm, handle_rollback;
handler_fn handle_history, handle_objects, handle_resources, handle_status, handle_plugins, handle_leases, handle_luns,
	handle_snapshots, handle_order_progress, handle_snapshot_order, handle_doctor, handle_import;
handler_fn handle_kinds, handle_events, handle_topology, handle_guest_action, handle_guest_console, handle_host_down,
	handle_host_up, handle_volume_leases, handle_lease_break;

#endif
