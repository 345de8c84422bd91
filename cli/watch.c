/* SPDX-License-Identifier: Apache-2.0 */
/* See watch.h. */
#include "cli/watch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "api/client.h"
#include "cli/terminal.h"

enum { GATHER_MS = 100, AGING_MS = 5000, FIRST_MS = 1000 };

struct watch {
	struct client *client;
	int wake;  /* eventfd; counts events */
	int ended; /* eventfd: the stream is over */
};

static bool on_event(void *ctx, const json_t *line)
{
	struct watch *watch = ctx;
	return eventfd_write(watch->wake, 1) == 0;
}

static void *follow(void *ctx)
{
	struct watch *watch = ctx;
	client_stream(watch->client, "/v1/events?follow=1", on_event, watch);
	eventfd_write(watch->ended, 1);
	return NULL;
}

/* Waits until something has happened and a little longer, since it rarely comes alone; the end of the stream ends
 * it. */
static bool wait_event(const struct watch *watch, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = watch->wake, .events = POLLIN}, {.fd = watch->ended, .events = POLLIN}};
	eventfd_t count;
	/* A changed size of the terminal ends it too. */
	if (poll(fds, 2, timeout_ms) < 0)
		return true;
	if (fds[1].revents)
		return false;
	if (fds[0].revents && eventfd_read(watch->wake, &count) == 0)
		poll(&fds[1], 1, GATHER_MS);
	return true;
}

static bool has_line(const char *text, const char *line, size_t size)
{
	for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (strncmp(at, line, size) == 0 && at[size] == '\n')
			return true;
	return false;
}

static void print_new_lines(const char *before, const char *now)
{
	for (const char *end; *now && (end = strchr(now, '\n')); now = end + 1)
		if (!has_line(before, now, (size_t)(end - now)))
			printf("%.*s\n", (int)(end - now), now);
	fflush(stdout);
}

/* The first lines of a text, as many as the screen holds with the cursor below them; a last line counts the others. */
static char *clip(const char *text, const struct terminal *terminal)
{
	size_t n = 0, room = terminal->height > 2 ? terminal->height - 2 : 1, shown = 0;
	for (const char *c = text; *c; c++) {
		n += *c == '\n';
		shown = n <= room && *c == '\n' ? (size_t)(c - text) + 1 : shown;
	}
	if (n <= room + 1)
		return xstrdup(text);
	return xprintf("%.*s%s and %zu more\n", (int)shown, text, terminal->utf8 ? "\u2026" : "...", n - room);
}

/* The rows of the screen that a text takes: lines that are too long for it take several. */
static size_t count_rows(const char *text, unsigned width)
{
	size_t rows = 0, columns = 0;
	for (; *text; text++) {
		if (*text == '\033') {
			text += strcspn(text, "m"); /* a style */
		} else if (*text == '\n') {
			rows += columns > width ? (columns + width - 1) / width : 1;
			columns = 0;
		} else {
			columns += ((unsigned char)*text & 0xc0) != 0x80;
		}
	}
	return rows;
}

static void redraw(const char *before, const char *now)
{
	struct terminal terminal = terminal_of(stdout);
	size_t n = count_rows(before, terminal.width);
	if (n)
		printf("\r\033[%zuA\033[J", n);
	fputs(now, stdout);
	fflush(stdout);
}

/* The text as it is to be shown. */
static char *look(render_fn *render, void *ctx, bool is_terminal)
{
	char *now = render(ctx);
	if (!now || !is_terminal)
		return now;
	struct terminal terminal = terminal_of(stdout);
	char *clipped = clip(now, &terminal);
	free(now);
	return clipped;
}

static int show(const struct watch *watch, render_fn *render, void *ctx)
{
	bool is_terminal = terminal_of(stdout).is_terminal;
	cleanup_free char *before = xstrdup("");
	/* Nothing is lost between the first look and the beginning of the stream. In a pipe only events count after
	 * that: ages are not news. */
	int timeout_ms;
	do {
		char *now = look(render, ctx, is_terminal);
		if (!now)
			return CLI_FAILED;
		if (!is_terminal)
			print_new_lines(before, now);
		else if (!streq(before, now))
			redraw(before, now);
		bool first = !*before;
		free(before);
		before = now;
		timeout_ms = first ? FIRST_MS : is_terminal ? AGING_MS : -1;
	} while (wait_event(watch, timeout_ms));
	return cli_fail(CLI_FAILED, "weftd has gone: the stream of its events ended");
}

static void on_resize(int signal)
{
}

int watch_text(struct cli *cli, render_fn *render, void *ctx)
{
	struct watch watch = {
		.client = client_new(client_socket(cli->socket)),
		.wake = eventfd(0, EFD_CLOEXEC),
		.ended = eventfd(0, EFD_CLOEXEC),
	};
	pthread_t thread;
	cli_client(cli); /* libcurl is set up by the first client, and not by two threads at once */
	if (watch.wake < 0 || watch.ended < 0 || pthread_create(&thread, NULL, follow, &watch) != 0)
		return cli_fail(CLI_FAILED, "cannot follow the events: %s", strerror(errno));
	sigaction(SIGWINCH, &(struct sigaction){.sa_handler = on_resize}, NULL);
	int status = show(&watch, render, ctx);
	/* The stream may be open for ever; the process ends now, and the thread with it. */
	fflush(stdout);
	_exit(status);
}
