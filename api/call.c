/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one call: collecting its body, running its handler, waiting for an answer that comes later, sending it or
 * a stream. A call that waits, and a stream that has nothing to send, is suspended: MHD would spin on it. A suspended
 * connection is not looked at by MHD, so the hang-up of its client is watched here. */
#include "api/call.h"

#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/json-text.h"

enum {
	DISCARD_MAX = 64 * 1024 * 1024, /* of a body that is too long: read to its end, so that the refusal is seen */
	STREAM_BLOCK = 32 * 1024,
	STREAM_IDLE_S = 3600, /* of a reader that has stopped: a person with a pager takes his time */
};

static struct call *calls;
static bool ending;

static int on_hangup(sd_event_source *source, int fd, uint32_t events, void *ctx);

struct call *call_new(struct MHD_Connection *connection)
{
	struct call *call = xcalloc(1, sizeof(*call));
	call->connection = connection;
	call->arena = arena_new();
	const union MHD_ConnectionInfo *info =
		connection ? MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD) : NULL;
	if (!info || peer_read(info->connect_fd, &call->peer) < 0)
		call->peer = (struct peer){.uid = (uid_t)-1, .who = "nobody"};
	call->next = calls;
	if (calls)
		calls->previous = call;
	calls = call;
	/* No events are asked for: EPOLLHUP comes all the same, once the client has closed both directions. One that
	 * has only ended its sending still reads. */
	if (info && env.loop)
		sd_event_add_io(env.loop, &call->hangup, info->connect_fd, 0, on_hangup, call);
	return call;
}

void call_free(struct call *call)
{
	if (call->cancel)
		call->cancel(call);
	if (call->stream_done)
		call->stream_done(call);
	if (call->previous)
		call->previous->next = call->next;
	else
		calls = call->next;
	if (call->next)
		call->next->previous = call->previous;
	sd_event_source_disable_unref(call->hangup);
	json_decref(call->answer);
	arena_free(call->arena);
	free(call->body);
	free(call);
}

static void resume(struct call *call)
{
	if (!call->suspended)
		return;
	call->suspended = false;
	MHD_resume_connection(call->connection);
	server_kick();
}

static void suspend(struct call *call)
{
	if (call->suspended || ending || call->hung_up)
		return;
	call->suspended = true;
	MHD_suspend_connection(call->connection);
}

void call_hang_up(struct call *call)
{
	call->hung_up = true;
	if (call->cancel)
		call->cancel(call);
	call->cancel = NULL;
	resume(call);
}

static int on_hangup(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	call_hang_up(ctx);
	return 0;
}

void call_begin_all(void)
{
	ending = false;
}

void call_end_all(void)
{
	ending = true;
	for (struct call *call = calls; call; call = call->next)
		call_hang_up(call);
}

void call_answer(struct call *call, unsigned status, json_t *answer)
{
	call->cancel = NULL;
	call->status = status;
	call->answer = answer;
	resume(call);
}

void call_refuse(struct call *call, unsigned status, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	const char *sentence = arena_vprintf(call->arena, fmt, args);
	va_end(args);
	/* What a client sent may be in it and need not be UTF-8. */
	call_answer(call, status, json_pack("{s:o}", "message", json_host_text(sentence)));
}

void call_stream(struct call *call, ssize_t (*fill)(struct call *, char *, size_t), void (*done)(struct call *),
		 void *stream)
{
	call->fill = fill;
	call->stream_done = done;
	call->stream = stream;
}

void call_wake(struct call *call)
{
	resume(call);
}

const char *call_query(struct call *call, const char *key)
{
	return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, key);
}

json_t *call_json(struct call *call)
{
	if (!call->body_size)
		return json_object();
	json_error_t fault;
	json_t *json = json_loadb(call->body, call->body_size, JSON_REJECT_DUPLICATES, &fault);
	if (json_is_object(json))
		return json;
	call_refuse(call, MHD_HTTP_BAD_REQUEST, "the request's body is no JSON object: %s",
		    json ? "expected {...}" : fault.text);
	json_decref(json);
	return NULL;
}

void *call_decode(struct call *call, const struct table *table, const json_t *json)
{
	struct err err = {0};
	void *spec = arena_alloc(call->arena, table->size);
	if (table_from_json(table, json, call->arena, spec, &err) == 0)
		return spec;
	call_refuse(call, MHD_HTTP_BAD_REQUEST, "the request's body: %s", err.text);
	return NULL;
}

void *call_body(struct call *call, const struct table *table)
{
	json_t *json = call_json(call);
	void *spec = json ? call_decode(call, table, json) : NULL;
	json_decref(json);
	return spec;
}

/* ---- MHD's side ---- */

static enum MHD_Result send_answer(struct call *call)
{
	char *text = call->answer ? json_dumps(call->answer, JSON_COMPACT) : NULL;
	if (!text)
		text = xstrdup("{}");
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	enum MHD_Result r = MHD_queue_response(call->connection, call->status, response);
	MHD_destroy_response(response);
	return r;
}

static ssize_t read_stream(void *ctx, uint64_t position, char *buffer, size_t room)
{
	struct call *call = ctx;
	if (call->hung_up || ending)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	ssize_t n = call->fill(call, buffer, room);
	if (n < 0)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n == 0)
		suspend(call);
	return n;
}

static enum MHD_Result send_stream(struct call *call)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, call, NULL);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/jsonl");
	MHD_set_connection_option(call->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)STREAM_IDLE_S);
	enum MHD_Result r = MHD_queue_response(call->connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return r;
}

void call_check(struct call *call, const char *method, const char *url)
{
	unsigned status;
	call->route = route_find(method, url, call, &status);
	if (call->peer.access == ACCESS_NONE)
		call_refuse(call, MHD_HTTP_FORBIDDEN,
			    "%s may not use weft; be root, or a member of the group 'weft' (or 'weft-view' for "
			    "reading) and log in anew",
			    call->peer.who);
	else if (!call->route)
		call_refuse(call, status,
			    status == MHD_HTTP_NOT_FOUND ? "there is no %s" : "%s is not asked for in this way", url);
	else if (call->route->write && call->peer.access < ACCESS_FULL)
		call_refuse(call, MHD_HTTP_FORBIDDEN,
			    "%s may only read; be root or a member of the group 'weft' for this", call->peer.who);
}

bool call_take_body(struct call *call, const char *data, size_t size)
{
	call->body_seen += size;
	if (call->status) /* refused already */
		return call->body_seen <= DISCARD_MAX;
	if (call->body_too_long || call->body_size + size > CALL_BODY_MAX) {
		call->body_too_long = true;
		free(call->body);
		call->body = NULL;
		call->body_size = call->body_cap = 0;
		return call->body_seen <= DISCARD_MAX;
	}
	if (call->body_cap - call->body_size < size) {
		call->body_cap = (call->body_cap + size) * 2;
		call->body = xrealloc(call->body, call->body_cap, 1);
	}
	memcpy(call->body + call->body_size, data, size);
	call->body_size += size;
	return true;
}

void call_start(struct call *call)
{
	call->started = true;
	if (call->status)
		return;
	if (call->body_too_long)
		call_refuse(call, MHD_HTTP_CONTENT_TOO_LARGE,
			    "the request is larger than %d MiB; apply the manifests in parts, with a set each",
			    CALL_BODY_MAX >> 20);
	else
		call->route->handler(call);
}

enum MHD_Result call_access(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
			    const char *version, const char *data, size_t *data_size, void **con_cls)
{
	struct call *call = *con_cls;
	if (!call) {
		*con_cls = call = call_new(connection);
		call_check(call, method, url);
		return MHD_YES;
	}
	if (*data_size) {
		bool more = call_take_body(call, data, *data_size);
		*data_size = 0;
		return more ? MHD_YES : MHD_NO;
	}
	if (!call->started)
		call_start(call);
	if (call->status)
		return send_answer(call);
	if (call->fill)
		return send_stream(call);
	if (call->hung_up || ending)
		return MHD_NO;
	/* A connection that is suspended in the round that read its request is read again when it is resumed, before
	 * anything else: MHD would find the end of a client that has ended its sending, and close. In the next round it
	 * knows that there is nothing to read. */
	if (call->settled)
		suspend(call);
	call->settled = true;
	return MHD_YES;
}

void call_completed(void *ctx, struct MHD_Connection *connection, void **con_cls, enum MHD_RequestTerminationCode code)
{
	if (*con_cls)
		call_free(*con_cls);
	*con_cls = NULL;
}
