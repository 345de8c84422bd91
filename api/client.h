/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to weftd from a program: blocking requests with JSON on its unix socket, and streams of JSON lines. Its own
 * library, which needs nothing of the daemon's; what the paths and documents mean is in api/README.md.
 *
 *     struct client *client = client_new(client_socket(NULL));
 *     json_t *answer = NULL;
 *     int status = client_request(client, &(struct client_call){"GET", "/v1/status"}, &answer);
 *     if (status < 0)
 *         fprintf(stderr, "weft: %s\n", client_error(client));
 */
#ifndef WEFT_API_CLIENT_H
#define WEFT_API_CLIENT_H

#include <stdbool.h>

#include <jansson.h>

struct client;

/* The socket to use: the option where it is given, else $WEFT_SOCKET, else /run/weft/weft.sock. Borrowed. */
const char *client_socket(const char *option);

struct client *client_new(const char *socket_path);
struct client *client_free(struct client *client); /* NULL is fine; returns NULL */

struct client_call {
	const char *method, *path;
	const json_t *body;  /* or NULL */
	unsigned timeout_ms; /* 0: none */
};
/* Sends a request and waits for its answer. Returns the HTTP status (200, 409, ...) with the answer's JSON in *ret
 * (owned by the caller; NULL when there was none), or -errno when there was no answer: -ENOENT and -ECONNREFUSED (no
 * daemon), -EACCES, -ETIMEDOUT (after timeout_ms), -EPROTO. For these, and for statuses from 400 on,
 * client_error() is a sentence; `ret` may be NULL. */
int client_request(struct client *client, const struct client_call *call, json_t **ret);

/* Reads a stream of JSON lines and hands out each as it comes (borrowed); false ends the stream. Returns as
 * client_request(): 200 when the stream has ended from either side. */
typedef bool client_line_fn(void *ctx, const json_t *line);
int client_stream(struct client *client, const char *path, client_line_fn *fn, void *ctx);

/* Why the last call failed; "" if it did not. Valid until the next call. */
const char *client_error(const struct client *client);

/* A path segment or query value, escaped; freed by the caller. */
char *client_escape(const char *text);

#endif
