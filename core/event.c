/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of events, its followers, and the journal. See event.h. */
#include "core/event.h"

#include <sys/uio.h>
#include <syslog.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "core/json-text.h"

enum { RING_SIZE = 10000, TEXT_MAX = 4096, FOLLOWERS_MAX = 1024, JOURNAL_KNOWN_MS = 1000 };

struct follower {
	event_fn *fn; /* NULL: gone, its place is free */
	void *ctx;
};

/* Event number seq stands at seq % RING_SIZE; its texts are one allocation, pointed to by `type`. */
static struct event ring[RING_SIZE];
static uint64_t last_seq;
static struct follower *followers;
static size_t n_followers, cap_followers;

static size_t text_size(const char *s)
{
	return s ? strnlen(s, TEXT_MAX) + 1 : 0;
}

static const char *pack(char **room, const char *s)
{
	if (!s)
		return NULL;
	size_t len = strnlen(s, TEXT_MAX);
	char *copy = memcpy(*room, s, len);
	copy[len] = '\0';
	*room += len + 1;
	return copy;
}

static const struct event *keep(const struct event *event)
{
	struct event *slot = &ring[++last_seq % RING_SIZE];
	const char *type = event->type ? event->type : "Event";
	char *room = xcalloc(1, text_size(type) + text_size(event->object) + text_size(event->resource) +
					text_size(event->text));
	free((char *)slot->type);
	*slot = (struct event){
		.seq = last_seq,
		.time_ms = event->time_ms ? event->time_ms : wall_ms(),
		.warning = event->warning,
	};
	slot->type = pack(&room, type);
	slot->object = pack(&room, event->object);
	slot->resource = pack(&room, event->resource);
	slot->text = pack(&room, event->text);
	return slot;
}

static void to_stderr(const struct event *event)
{
	cleanup_free char *line = xprintf("%s%s%s%s%s%s%s%s", event->warning ? "warning: " : "", event->type,
					  event->object ? " " : "", event->object ? event->object : "",
					  event->resource ? " " : "", event->resource ? event->resource : "",
					  event->text && *event->text ? ": " : "", event->text ? event->text : "");
	for (char *p = line; *p; p++)
		if (((unsigned char)*p < ' ' && *p != '\n') || *p == 0x7f)
			*p = '?';
	size_t len = strlen(line);
	if (len && line[len - 1] == '\n')
		line[len - 1] = '\0';
	fprintf(stderr, "weftd: %s\n", line);
}

static void add_field(struct iovec *fields, int *n, const char *name, const char *value)
{
	if (!value)
		return;
	char *text = xprintf("%s=%s", name, value);
	fields[(*n)++] = (struct iovec){.iov_base = text, .iov_len = strlen(text)};
}

static void to_journal(const struct event *event)
{
	struct iovec fields[8];
	int n = 0;
	char number[24];
	snprintf(number, sizeof(number), "%llu", (unsigned long long)event->seq);
	add_field(fields, &n, "MESSAGE", event->text && *event->text ? event->text : event->type);
	add_field(fields, &n, "PRIORITY", event->warning ? "4" : "6");
	add_field(fields, &n, "SYSLOG_IDENTIFIER", "weftd");
	add_field(fields, &n, "WEFT_TYPE", event->type);
	add_field(fields, &n, "WEFT_OBJECT", event->object);
	add_field(fields, &n, "WEFT_RESOURCE", event->resource);
	add_field(fields, &n, "WEFT_SEQ", number);
	if (sd_journal_sendv(fields, n) < 0)
		to_stderr(event);
	for (int i = 0; i < n; i++)
		free(fields[i].iov_base);
}

/* Looked up anew every now and then: journald may be started after us. */
static bool has_journal(void)
{
	static uint64_t until_ms;
	static bool there;
	uint64_t now = now_ms();
	if (now >= until_ms) {
		there = access("/run/systemd/journal/socket", W_OK) == 0;
		until_ms = now + JOURNAL_KNOWN_MS;
	}
	return there;
}

static void write_out(const struct event *event)
{
	bool journal = has_journal();
	if (journal)
		to_journal(event);
	if (!journal || isatty(STDERR_FILENO))
		to_stderr(event);
}

void event_emit(const struct event *event)
{
	const struct event *kept = keep(event);
	/* A follower may emit itself, and with enough of that the slot is used anew: hand out what this event is
	 * now. */
	struct event now = *kept;
	write_out(&now);
	size_t n = n_followers;
	for (size_t i = 0; i < n && ring[now.seq % RING_SIZE].seq == now.seq; i++)
		if (followers[i].fn)
			followers[i].fn(followers[i].ctx, &now);
}

void event_text(const char *type, const char *object, bool warning, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	struct event event = {.type = type, .object = object, .text = text, .warning = warning};
	event_emit(&event);
}

void event_follow(event_fn *fn, void *ctx)
{
	for (size_t i = 0; i < n_followers; i++) {
		if (followers[i].fn)
			continue;
		followers[i] = (struct follower){fn, ctx};
		return;
	}
	grow(followers, n_followers, cap_followers);
	followers[n_followers++] = (struct follower){fn, ctx};
}

/* Leaves a hole, so that a follower may go in the middle of an emission. */
void event_unfollow(event_fn *fn, void *ctx)
{
	for (size_t i = 0; i < n_followers; i++)
		if (followers[i].fn == fn && followers[i].ctx == ctx)
			followers[i] = (struct follower){0};
}

void event_each(uint64_t after, event_fn *fn, void *ctx)
{
	uint64_t seq = last_seq > RING_SIZE ? last_seq - RING_SIZE + 1 : 1;
	if (after >= seq)
		seq = after == UINT64_MAX ? UINT64_MAX : after + 1;
	for (; seq <= last_seq; seq++)
		if (ring[seq % RING_SIZE].seq == seq)
			fn(ctx, &ring[seq % RING_SIZE]);
}

static const char *time_text(uint64_t time_ms, char *buf, size_t size)
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm tm;
	char day[32];
	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, size, "%s.%03uZ", day, (unsigned)(time_ms % 1000));
	return buf;
}

json_t *event_to_json(const struct event *event)
{
	char when[48];
	json_t *json = json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)event->seq, "time",
				 time_text(event->time_ms, when, sizeof(when)), "type", event->type);
	if (!json)
		abort();
	if (event->object)
		json_object_set_new(json, "object", json_host_text(event->object));
	if (event->resource)
		json_object_set_new(json, "resource", json_host_text(event->resource));
	json_object_set_new(json, "text", json_host_text(event->text ? event->text : ""));
	if (event->warning)
		json_object_set_new(json, "warning", json_true());
	return json;
}
