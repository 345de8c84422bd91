/* SPDX-License-Identifier: Apache-2.0 */
/* See watch.h. */
#include "cli/watch.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "api/client.h"
#include "cli/terminal.h"

enum { GATHER_MS = 100, AGING_MS = 5000 };

struct watch {
	struct client *client;
	int wake; /* eventfd; counts events */
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

/* Waits until something has happened and a little longer, since it rarely comes alone; the end of the stream ends it. */
static bool wait_event(const struct watch *watch)
{
	struct pollfd fds[] = {{.fd = watch->wake, .events = POLLIN}, {.fd = watch->ended, .events = POLLIN}};
	eventfd_t count;
	poll(fds, 2, AGING_MS);
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

static size_t count_lines(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void redraw(const char *before, const char *now)
{
	size_t n = count_lines(before);
	if (n)
		printf("\033[%zuA\033[J", n);
	fputs(now, stdout);
	fflush(stdout);
}

static int show(const struct watch *watch, render_fn *render, void *ctx)
{
	bool is_terminal = terminal_of(stdout).is_terminal;
	cleanup_free char *before = xstrdup("");
	do {
		char *now = render(ctx);
		if (!now)
			return CLI_FAILED;
		if (!is_terminal)
			print_new_lines(before, now);
		else if (!streq(before, now))
			redraw(before, now);
		free(before);
		before = now;
	} while (wait_event(watch));
	return cli_fail(CLI_FAILED, "weftd has gone: the stream of its events ended");
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
	int status = show(&watch, render, ctx);
	/* The stream may be open for ever; the process ends now, and the thread with it. */
	fflush(stdout);
	_exit(status);
}
