/* SPDX-License-Identifier: Apache-2.0 */
/* Events as a stream of JSON lines. A follower keeps only the number of the last event it has sent and reads on from
 * the ring: a slow one costs nothing, and one that was too slow is told how many it missed. */
#include "api/server.h"

#include "core/event.h"

enum { CHUNK_BYTES = 64 * 1024 };

struct follower {
	struct call *call;
	uint64_t after; /* the last one that is in `text` */
	bool follow;
	char *text; /* lines to send */
	size_t size, cap, sent;
};

static void append(struct follower *f, json_t *json)
{
	cleanup_free char *line = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	size_t size = line ? strlen(line) : 0;
	if (!line)
		return;
	if (f->cap - f->size < size + 1) {
		f->cap = (f->cap + size + 1) * 2;
		f->text = xrealloc(f->text, f->cap, 1);
	}
	memcpy(f->text + f->size, line, size);
	f->text[f->size + size] = '\n';
	f->size += size + 1;
}

static void take_event(void *ctx, const struct event *event)
{
	struct follower *f = ctx;
	if (f->size >= CHUNK_BYTES)
		return;
	if (f->after && event->seq > f->after + 1)
		append(f, json_pack("{s:I}", "missed", (json_int_t)(event->seq - f->after - 1)));
	f->after = event->seq;
	append(f, event_to_json(event));
}

static ssize_t fill(struct call *call, char *buffer, size_t room)
{
	struct follower *f = call->stream;
	if (f->sent == f->size) {
		f->sent = f->size = 0;
		event_each(f->after, take_event, f);
	}
	size_t n = f->size - f->sent < room ? f->size - f->sent : room;
	memcpy(buffer, f->text + f->sent, n);
	f->sent += n;
	return n == 0 && !f->follow ? -1 : (ssize_t)n;
}

static void on_event(void *ctx, const struct event *event)
{
	struct follower *f = ctx;
	call_wake(f->call);
}

static void done(struct call *call)
{
	struct follower *f = call->stream;
	event_unfollow(on_event, f);
	free(f->text);
	free(f);
}

static bool read_after(const char *text, uint64_t *ret)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	*ret = value;
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

void handle_events(struct call *call)
{
	const char *after = call_query(call, "after"), *follow = call_query(call, "follow");
	uint64_t seq = 0;
	if (after && !read_after(after, &seq)) {
		call_refuse(call, MHD_HTTP_BAD_REQUEST, "after=%s is no number of an event", after);
		return;
	}
	struct follower *f = xcalloc(1, sizeof(*f));
	*f = (struct follower){
		.call = call, .after = seq, .follow = follow && !streq(follow, "0") && !streq(follow, "false")};
	f->text = xcalloc(1, f->cap = 4096);
	call_stream(call, fill, done, f);
	if (f->follow)
		event_follow(on_event, f);
}
