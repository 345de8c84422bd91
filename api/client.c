/* SPDX-License-Identifier: Apache-2.0 */
/* The client over libcurl. See client.h. */
#include "api/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

enum {
	ANSWER_MAX = 256 * 1024 * 1024,
	CONNECT_MS = 10000,
	ERROR_MAX = 1024,
	/* A unix socket whose queue is full says so at once. */
	BUSY_TRIES = 200,
	BUSY_US = 25000,
};

struct client {
	CURL *curl;
	struct curl_slist *headers;
	char *socket;
	char error[ERROR_MAX];
	char curl_error[CURL_ERROR_SIZE];
	/* What has come of the answer; of a stream, the line that is not whole yet. */
	char *text;
	size_t size, cap;
	bool too_long;
	/* Of a stream; fn is NULL for a request. */
	client_line_fn *fn;
	void *ctx;
	bool stopped, damaged;
};

static void *checked(void *p)
{
	if (!p)
		abort();
	return p;
}

const char *client_socket(const char *option)
{
	if (option && *option)
		return option;
	const char *variable = getenv("WEFT_SOCKET");
	return variable && *variable ? variable : "/run/weft/weft.sock";
}

struct client *client_new(const char *socket_path)
{
	struct client *client = checked(calloc(1, sizeof(*client)));
	client->curl = checked(curl_easy_init());
	client->socket = checked(strdup(socket_path));
	client->headers = curl_slist_append(client->headers, "Content-Type: application/json");
	/* A local daemon need not be asked first whether it wants the body: that costs a round trip, or a second with
	 * one that is silent. */
	client->headers = checked(curl_slist_append(client->headers, "Expect:"));
	return client;
}

struct client *client_free(struct client *client)
{
	if (!client)
		return NULL;
	curl_slist_free_all(client->headers);
	curl_easy_cleanup(client->curl);
	free(client->socket);
	free(client->text);
	free(client);
	return NULL;
}

const char *client_error(const struct client *client)
{
	return client->error;
}

char *client_escape(const char *text)
{
	char *escaped = checked(curl_easy_escape(NULL, text, (int)strlen(text)));
	char *copy = checked(strdup(escaped));
	curl_free(escaped);
	return copy;
}

static bool keep(struct client *client, const char *data, size_t size)
{
	if (client->size + size > ANSWER_MAX) {
		client->too_long = true;
		return false;
	}
	if (client->cap - client->size < size) {
		client->cap = (client->cap + size) * 2;
		client->text = checked(realloc(client->text, client->cap));
	}
	memcpy(client->text + client->size, data, size);
	client->size += size;
	return true;
}

static bool hand_out_line(struct client *client, const char *text, size_t size)
{
	if (size == 0)
		return true;
	json_t *line = json_loadb(text, size, JSON_DECODE_ANY, NULL);
	client->damaged = !line;
	client->stopped = line && !client->fn(client->ctx, line);
	json_decref(line);
	return !client->damaged && !client->stopped;
}

static bool hand_out_lines(struct client *client)
{
	char *start = client->text, *end = client->text + client->size;
	bool more = true;
	for (char *newline; more && start < end && (newline = memchr(start, '\n', (size_t)(end - start)));
	     start = newline + 1)
		more = hand_out_line(client, start, (size_t)(newline - start));
	if (start > end)
		start = end;
	client->size = (size_t)(end - start);
	if (client->size)
		memmove(client->text, start, client->size);
	return more;
}

static size_t on_data(char *data, size_t one, size_t size, void *ctx)
{
	struct client *client = ctx;
	long status = 0;
	if (!keep(client, data, size))
		return 0;
	/* A refusal is one document, also where a stream was asked for. */
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	return client->fn && status == 200 && !hand_out_lines(client) ? 0 : size;
}

static void set_up(struct client *client, const char *method, const char *url, unsigned timeout_ms)
{
	CURL *curl = client->curl;
	curl_easy_reset(curl);
	client->size = 0;
	client->too_long = client->stopped = client->damaged = false;
	client->error[0] = client->curl_error[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->curl_error);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
}

static int no_connection(struct client *client)
{
	long code = 0;
	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &code);
	if (code == EACCES || code == EPERM) {
		snprintf(client->error, sizeof(client->error),
			 "no permission to use weftd's socket %s; be root or a member of the group 'weft'",
			 client->socket);
		return -EACCES;
	}
	if (code == ENOENT || code == ECONNREFUSED)
		snprintf(client->error, sizeof(client->error),
			 "weftd does not run: %s at %s; start it, or name the socket of another with --socket or "
			 "WEFT_SOCKET",
			 code == ENOENT ? "there is no socket" : "nobody listens", client->socket);
	else
		snprintf(client->error, sizeof(client->error), "cannot reach weftd at %s: %s", client->socket,
			 code ? strerror((int)code) : client->curl_error);
	return code ? -(int)code : -ECONNREFUSED;
}

static int no_answer(struct client *client, CURLcode result, unsigned timeout_ms)
{
	if (result == CURLE_COULDNT_CONNECT)
		return no_connection(client);
	if (result == CURLE_OPERATION_TIMEDOUT) {
		snprintf(client->error, sizeof(client->error), "weftd at %s gave no answer in %u ms", client->socket,
			 timeout_ms);
		return -ETIMEDOUT;
	}
	if (client->too_long)
		snprintf(client->error, sizeof(client->error), "weftd's answer is longer than %d MiB",
			 ANSWER_MAX >> 20);
	else if (client->damaged)
		snprintf(client->error, sizeof(client->error), "weftd sent a line that is no JSON");
	else
		snprintf(client->error, sizeof(client->error), "the connection to weftd at %s broke: %s",
			 client->socket, client->curl_error[0] ? client->curl_error : curl_easy_strerror(result));
	return -EPROTO;
}

static int finish(struct client *client, CURLcode result, unsigned timeout_ms, json_t **ret)
{
	if (ret)
		*ret = NULL;
	if (result != CURLE_OK && !client->stopped)
		return no_answer(client, result, timeout_ms);
	long status = 0;
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	if (client->fn && status == 200)
		return 200;
	json_t *answer = client->size ? json_loadb(client->text, client->size, JSON_DECODE_ANY, NULL) : NULL;
	if (client->size && !answer) {
		snprintf(client->error, sizeof(client->error), "weftd answered %ld with something that is no JSON",
			 status);
		return -EPROTO;
	}
	const char *message = json_string_value(json_object_get(answer, "message"));
	if (status >= 400 && message)
		snprintf(client->error, sizeof(client->error), "%s", message);
	else if (status >= 400)
		snprintf(client->error, sizeof(client->error), "weftd answered %ld", status);
	if (ret)
		*ret = answer;
	else
		json_decref(answer);
	return (int)status;
}

static CURLcode perform(struct client *client)
{
	long code = 0;
	CURLcode result = curl_easy_perform(client->curl);
	for (int i = 0; i < BUSY_TRIES && result == CURLE_COULDNT_CONNECT; i++) {
		curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &code);
		if (code != EAGAIN)
			break;
		usleep(BUSY_US);
		result = curl_easy_perform(client->curl);
	}
	return result;
}

static char *url_of(const char *path)
{
	char *url = NULL;
	if (asprintf(&url, "http://weft%s", path) < 0)
		abort();
	return url;
}

int client_request(struct client *client, const struct client_call *call, json_t **ret)
{
	char *url = url_of(call->path), *text = NULL;
	client->fn = NULL;
	set_up(client, call->method, url, call->timeout_ms);
	if (call->body) {
		text = checked(json_dumps(call->body, JSON_COMPACT));
		curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(text));
		curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, text);
	} else if (strcmp(call->method, "POST") == 0) {
		curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, "");
	}
	int r = finish(client, perform(client), call->timeout_ms, ret);
	free(text);
	free(url);
	return r;
}

int client_stream(struct client *client, const char *path, client_line_fn *fn, void *ctx)
{
	char *url = url_of(path);
	client->fn = fn;
	client->ctx = ctx;
	set_up(client, "GET", url, 0);
	int r = finish(client, perform(client), 0, NULL);
	free(url);
	return r;
}
