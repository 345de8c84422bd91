/* SPDX-License-Identifier: Apache-2.0 */
/* See qmp.h. A client is held while its callbacks run, so that they may close it. */
#include "guestd/qmp.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <systemd/sd-event.h>

#include "core/env.h"

enum { OUT_MAX = 1 << 20, READ_SIZE = 16384, GREETING_MS = 5000 };

struct pending {
	struct qmp *qmp;
	unsigned id;
	qmp_reply_fn *fn;
	void *ctx;
	char *command;
	unsigned deadline_ms;
	sd_event_source *deadline;
	struct pending *next;
};

struct qmp {
	const struct qmp_handler *handler;
	void *ctx;
	int fd;
	unsigned refs, next_id;
	bool ready, closed, overdue;
	sd_event_source *io, *ender;
	struct qmp_parser parser;
	char *out;
	size_t n_out, cap_out;
	char *held; /* commands given before it was ready */
	size_t n_held, cap_held;
	struct pending *pending;
	unsigned n_pending;
	char *version;
	struct err end; /* why it ends */
};

static void drop(struct qmp *qmp)
{
	if (--qmp->refs)
		return;
	qmp_parser_done(&qmp->parser);
	free(qmp->out);
	free(qmp->held);
	free(qmp->version);
	free(qmp);
}

static void pending_free(struct pending *pending)
{
	sd_event_source_disable_unref(pending->deadline);
	free(pending->command);
	free(pending);
}

static struct pending *pending_take(struct qmp *qmp, struct pending *wanted, json_int_t id)
{
	for (struct pending **at = &qmp->pending; *at; at = &(*at)->next) {
		struct pending *pending = *at;
		if (wanted ? pending != wanted : (json_int_t)pending->id != id)
			continue;
		*at = pending->next;
		qmp->n_pending--;
		return pending;
	}
	return NULL;
}

static void pending_end(struct pending *pending, const json_t *result, const struct err *err)
{
	pending->deadline = sd_event_source_disable_unref(pending->deadline);
	if (pending->fn)
		pending->fn(pending->ctx, result, err);
	pending_free(pending);
}

/* Ends the connection: all that wait are told, then (unless it was closed from our side) the handler. */
static void end(struct qmp *qmp, const struct err *err, bool ours)
{
	if (qmp->closed)
		return;
	qmp->closed = true;
	qmp->io = sd_event_source_disable_unref(qmp->io);
	qmp->ender = sd_event_source_disable_unref(qmp->ender);
	close(qmp->fd);
	qmp->fd = -1;
	while (qmp->pending)
		pending_end(pending_take(qmp, qmp->pending, 0), NULL, err);
	if (!ours && qmp->handler->closed)
		qmp->handler->closed(qmp->ctx, err);
	drop(qmp); /* the owner's */
}

struct qmp *qmp_close(struct qmp *qmp)
{
	if (qmp) {
		struct err err = {0};
		err_set(&err, ECANCELED, "the connection to QEMU's monitor was closed");
		end(qmp, &err, true);
	}
	return NULL;
}

static int on_end(sd_event_source *source, void *ctx)
{
	struct qmp *qmp = ctx;
	end(qmp, &qmp->end, false);
	return 0;
}

/* Ends it from the loop, so that nobody is called from within qmp_send(). */
static void end_later(struct qmp *qmp, int code, const char *what)
{
	if (qmp->closed || qmp->ender)
		return;
	err_errno(&qmp->end, code, "%s", what);
	if (sd_event_add_defer(env.loop, &qmp->ender, on_end, qmp) < 0)
		abort(); /* out of memory */
}

static void write_out(struct qmp *qmp)
{
	while (qmp->n_out) {
		ssize_t n = send(qmp->fd, qmp->out, qmp->n_out, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			end_later(qmp, errno, "writing to QEMU's monitor");
			return;
		}
		if (n < 0)
			break;
		memmove(qmp->out, qmp->out + n, qmp->n_out - (size_t)n);
		qmp->n_out -= (size_t)n;
	}
	sd_event_source_set_io_events(qmp->io, EPOLLIN | (qmp->n_out ? EPOLLOUT : 0));
}

static void append(char **buf, size_t *n, size_t *cap, const char *data, size_t size)
{
	if (*n + size > *cap) {
		*cap = 2 * (*n + size);
		*buf = xrealloc(*buf, *cap, 1);
	}
	memcpy(*buf + *n, data, size);
	*n += size;
}

static int on_overdue(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct pending *pending = ctx;
	struct qmp *qmp = pending->qmp;
	struct err err = {0};
	err_set(&err, ETIMEDOUT, "QEMU gave no answer to %s in %u ms", pending->command, pending->deadline_ms);
	qmp->refs++;
	qmp->overdue = true;
	pending_end(pending_take(qmp, pending, 0), NULL, &err);
	drop(qmp);
	return 0;
}

int qmp_send(struct qmp *qmp, const struct qmp_command *command, qmp_reply_fn *fn, void *ctx)
{
	json_t *message = json_pack("{s:s, s:i, s:o*}", "execute", command->name, "id", (int)++qmp->next_id,
				    "arguments", command->arguments);
	cleanup_free char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	json_decref(message);
	if (!text)
		return -EINVAL;
	size_t size = strlen(text);
	text[size] = '\n'; /* in the NUL's place: it is sent by size */
	if (qmp->closed)
		return -ECONNRESET;
	if (qmp->n_out + qmp->n_held + size >= OUT_MAX || qmp->n_pending >= QMP_PENDING_MAX)
		return -ENOBUFS;
	struct pending *pending = xcalloc(1, sizeof(*pending));
	*pending = (struct pending){.qmp = qmp,
				    .id = qmp->next_id,
				    .fn = fn,
				    .ctx = ctx,
				    .command = xstrdup(command->name),
				    .deadline_ms = command->deadline_ms,
				    .next = qmp->pending};
	qmp->pending = pending;
	qmp->n_pending++;
	if (sd_event_add_time_relative(env.loop, &pending->deadline, CLOCK_MONOTONIC,
				       (uint64_t)command->deadline_ms * 1000, 0, on_overdue, pending) < 0)
		abort(); /* out of memory */
	if (!qmp->ready && !streq(command->name, "qmp_capabilities")) {
		append(&qmp->held, &qmp->n_held, &qmp->cap_held, text, size + 1);
		return 0;
	}
	append(&qmp->out, &qmp->n_out, &qmp->cap_out, text, size + 1);
	write_out(qmp);
	return 0;
}

void qmp_tell(struct qmp *qmp, const char *command)
{
	qmp_send(qmp, &(struct qmp_command){command, NULL, GREETING_MS}, NULL, NULL);
}

static void on_capabilities(void *ctx, const json_t *result, const struct err *err)
{
	struct qmp *qmp = ctx;
	if (err)
		return; /* what was held back runs into its own deadline, or the connection has ended */
	qmp->ready = true;
	append(&qmp->out, &qmp->n_out, &qmp->cap_out, qmp->held ? qmp->held : "", qmp->n_held);
	qmp->n_held = 0;
	write_out(qmp);
	if (!qmp->closed && qmp->handler->ready)
		qmp->handler->ready(qmp->ctx, qmp->version);
}

static void on_greeting(struct qmp *qmp, const json_t *greeting)
{
	int major = 0, minor = 0, micro = 0;
	if (qmp->version)
		return;
	json_unpack((json_t *)greeting, "{s:{s:{s:i, s:i, s:i}}}", "version", "qemu", "major", &major, "minor", &minor,
		    "micro", &micro);
	qmp->version = xprintf("%d.%d.%d", major, minor, micro);
	qmp_send(qmp, &(struct qmp_command){"qmp_capabilities", NULL, GREETING_MS}, on_capabilities, qmp);
}

static void on_reply(struct qmp *qmp, const json_t *message, const json_t *failure)
{
	const json_t *id = json_object_get(message, "id");
	struct pending *pending = json_is_integer(id) ? pending_take(qmp, NULL, json_integer_value(id)) : NULL;
	if (!pending)
		return; /* its deadline has passed */
	if (!failure) {
		pending_end(pending, json_object_get(message, "return"), NULL);
		return;
	}
	struct err err = {0};
	const char *text = json_string_value(json_object_get(failure, "desc"));
	err_set(&err, EIO, "QEMU refused %s: %.300s", pending->command, text ? text : "it did not say why");
	pending_end(pending, NULL, &err);
}

static bool on_message(void *ctx, json_t *message)
{
	struct qmp *qmp = ctx;
	const json_t *part;
	if (qmp->overdue) {
		qmp->overdue = false;
		if (qmp->handler->recovered)
			qmp->handler->recovered(qmp->ctx);
	}
	if (qmp->closed)
		return false;
	if ((part = json_object_get(message, "QMP")))
		on_greeting(qmp, part);
	else if ((part = json_object_get(message, "event")) && json_is_string(part) && qmp->handler->event)
		qmp->handler->event(qmp->ctx, json_string_value(part), json_object_get(message, "data"));
	else if (json_object_get(message, "return"))
		on_reply(qmp, message, NULL);
	else if ((part = json_object_get(message, "error")))
		on_reply(qmp, message, part);
	return !qmp->closed;
}

static void read_in(struct qmp *qmp)
{
	char buf[READ_SIZE];
	struct err err = {0};
	ssize_t n = recv(qmp->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && qmp_parser_feed(&qmp->parser, buf, (size_t)n, &err) == 0)
		return;
	if (n == 0)
		err_set(&err, ECONNRESET, "QEMU closed its monitor");
	else if (n < 0)
		err_errno(&err, errno, "reading from QEMU's monitor");
	end(qmp, &err, false);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct qmp *qmp = ctx;
	qmp->refs++;
	if (events & EPOLLOUT)
		write_out(qmp);
	if (!qmp->closed && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		read_in(qmp);
	drop(qmp);
	return 0;
}

int qmp_open(const char *path, const struct qmp_handler *handler, void *ctx, struct qmp **ret, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ENAMETOOLONG,
			       "the socket path '%s' is longer than the %zu characters that Linux allows", path,
			       sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, errno, "socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_errno(err, errno, "connecting to '%s'", path);
	struct qmp *qmp = xcalloc(1, sizeof(*qmp));
	*qmp = (struct qmp){
		.handler = handler, .ctx = ctx, .fd = fd, .refs = 1, .parser = {.fn = on_message, .ctx = qmp}};
	int r = sd_event_add_io(env.loop, &qmp->io, fd, EPOLLIN, on_io, qmp);
	if (r < 0) {
		free(qmp);
		return err_errno(err, -r, "watching '%s'", path);
	}
	(void)take_fd(&fd);
	*ret = qmp;
	return 0;
}
