/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP client: its parser against what a hostile or broken QEMU may send, and the client against a server that the
 * test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "guestd/qmp.h"

/* ---- the parser ---- */

struct heard {
	unsigned n;
	unsigned enough; /* says so after this many */
	char last[64];
};

static bool hear(void *ctx, json_t *message)
{
	struct heard *heard = ctx;
	const char *text = json_string_value(json_object_get(message, "m"));
	heard->n++;
	snprintf(heard->last, sizeof(heard->last), "%s", text ? text : "");
	return heard->n != heard->enough;
}

static int feed(const char *text, size_t step, struct heard *heard, struct err *err)
{
	struct qmp_parser parser = {.fn = hear, .ctx = heard};
	size_t size = strlen(text);
	int r = 0;
	for (size_t at = 0; at < size && r == 0; at += step)
		r = qmp_parser_feed(&parser, text + at, size - at < step ? size - at : step, err);
	qmp_parser_done(&parser);
	return r;
}

static void test_messages_in_any_pieces(void **state)
{
	static const char text[] = "{\"m\": \"one\"}\r\n\r\n  \n{\"m\": \"two \\u00fc \\n\"}\n{\"m\": [{}], \"n\": "
				   "{\"m\": 1}}\n{\"m\": \"cut";
	for (size_t step = 1; step < sizeof(text); step++) {
		struct heard heard = {0};
		assert_int_equal(feed(text, step, &heard, NULL), 0);
		assert_int_equal(heard.n, 3);
	}
}

static void test_the_callee_may_have_had_enough(void **state)
{
	struct heard heard = {.enough = 1};
	assert_int_equal(feed("{\"m\":\"a\"}\n{\"m\":\"b\"}\n", 100, &heard, NULL), 0);
	assert_int_equal(heard.n, 1);
	assert_string_equal(heard.last, "a");
}

static void test_what_is_no_message(void **state)
{
	static const char *const bad[] = {
		"nonsense\n",
		"[1, 2]\n",
		"\"text\"\n",
		"17\n",
		"{\"m\": 1\n}\n",
		"{\"m\": 1, \"m\": 2}\n",
		"{\"m\": \"\xff\xfe\"}\n",
		"{\"m\": \"\\ud800\"}\n",
		"{\"m\": 1} {\"m\": 2}\n",
		"{\"m\": 1e99999}\n",
		"{\"m\": 123456789012345678901234567890}\n",
		"\x01\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct heard heard = {0};
		struct err err = {0};
		assert_int_equal(feed(bad[i], 3, &heard, &err), -EPROTO);
		assert_int_equal(heard.n, 0);
		assert_true(str_starts(err.text, "QEMU's monitor sent "));
	}
}

static void test_size_and_depth_are_bounded(void **state)
{
	struct heard heard = {0};
	struct err err = {0};
	cleanup_free char *big = xcalloc(QMP_MESSAGE_MAX + 2, 1);
	memset(big, ' ', QMP_MESSAGE_MAX + 1);
	assert_int_equal(feed(big, 4096, &heard, &err), -EMSGSIZE);
	memset(big, '[', QMP_MESSAGE_MAX + 1);
	memcpy(big, "{\"m\":", 5);
	big[100000] = '\n';
	assert_int_equal(feed(big, 100001, &heard, &err), -EPROTO);
	assert_int_equal(heard.n, 0);
}

/* NUL bytes are bytes like any other. */
static void test_nul_bytes(void **state)
{
	struct heard heard = {0};
	struct qmp_parser parser = {.fn = hear, .ctx = &heard};
	assert_int_equal(qmp_parser_feed(&parser, "\0\n", 2, NULL), -EPROTO);
	qmp_parser_done(&parser);
}

/* ---- the client ---- */

struct server {
	char dir[32];
	char path[64];
	int listener, fd;
};
struct client {
	struct qmp *qmp;
	bool ready, closed, replied, recovered, close_when_ready;
	char version[32], event[32];
	struct err err;
	int value;
};

static void on_ready(void *ctx, const char *version)
{
	struct client *client = ctx;
	client->ready = true;
	snprintf(client->version, sizeof(client->version), "%s", version);
	if (client->close_when_ready)
		client->qmp = qmp_close(client->qmp);
}
static void on_event(void *ctx, const char *name, const json_t *data)
{
	snprintf(((struct client *)ctx)->event, 32, "%s", name);
}
static void on_recovered(void *ctx)
{
	((struct client *)ctx)->recovered = true;
}
static void on_closed(void *ctx, const struct err *err)
{
	struct client *client = ctx;
	client->closed = true;
	client->qmp = NULL;
	client->err = *err;
}
static const struct qmp_handler handler = {on_ready, on_event, on_recovered, on_closed};

static void on_reply(void *ctx, const json_t *result, const struct err *err)
{
	struct client *client = ctx;
	client->replied = true;
	client->value = (int)json_integer_value(json_object_get(result, "value"));
	client->err = err ? *err : (struct err){0};
}

static void rest(unsigned ms)
{
	for (uint64_t end = now_ms() + ms; now_ms() < end;)
		assert_true(sd_event_run(env.loop, 5 * 1000) >= 0);
}

static void say(struct server *server, const char *text)
{
	assert_int_equal(send(server->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	rest(30);
}

static const char *heard_by(struct server *server)
{
	static char buf[4096];
	ssize_t n = recv(server->fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void meet(struct server *server, struct client *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	*server = (struct server){.dir = "/tmp/weft-test-qmp.XXXXXX"};
	assert_non_null(mkdtemp(server->dir));
	snprintf(server->path, sizeof(server->path), "%s/sock", server->dir);
	strcpy(address.sun_path, server->path);
	server->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->listener, 1), 0);
	assert_int_equal(qmp_open(server->path, &handler, client, &client->qmp, &client->err), 0);
	server->fd = accept(server->listener, NULL, NULL);
	assert_true(server->fd >= 0);
}

static void part(struct server *server, struct client *client)
{
	client->qmp = qmp_close(client->qmp);
	if (server->fd >= 0)
		close(server->fd);
	close(server->listener);
	unlink(server->path);
	rmdir(server->dir);
}

#define GREETING                                                                                               \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, " \
	"\"capabilities\": []}}\r\n"

static void test_a_conversation(void **state)
{
	struct server server;
	struct client client = {0};
	meet(&server, &client);
	assert_int_equal(qmp_send(client.qmp, &(struct qmp_command){"first", json_pack("{s:i}", "a", 1), 1000},
				  on_reply, &client),
			 0);
	rest(20);
	assert_string_equal(heard_by(&server), ""); /* not before the greeting */
	say(&server, GREETING);
	assert_string_equal(heard_by(&server), "{\"execute\":\"qmp_capabilities\",\"id\":2}\n");
	assert_false(client.ready);
	say(&server, "{\"return\": {}, \"id\": 2}\r\n");
	assert_true(client.ready);
	assert_string_equal(client.version, "7.2.22");
	assert_string_equal(heard_by(&server), "{\"execute\":\"first\",\"id\":1,\"arguments\":{\"a\":1}}\n");
	say(&server, "{\"timestamp\": {}, \"event\": \"STOP\"}\r\n{\"return\": {}, \"id\": 99}\r\n{\"return\": {}, "
		     "\"id\": \"1\"}\r\n{}\r\n");
	assert_string_equal(client.event, "STOP");
	assert_false(client.replied);
	say(&server, "{\"return\": {\"value\": 5}, \"id\": 1}\r\n");
	assert_true(client.replied);
	assert_int_equal(client.value, 5);
	client.replied = false;
	qmp_send(client.qmp, &(struct qmp_command){"second", NULL, 1000}, on_reply, &client);
	say(&server, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}, \"id\": 3}\r\n");
	assert_string_equal(client.err.text, "QEMU refused second: no such thing");
	part(&server, &client);
	assert_false(client.closed);
}

static void test_a_server_that_hangs(void **state)
{
	struct server server;
	struct client client = {0};
	meet(&server, &client);
	say(&server, GREETING "{\"return\": {}, \"id\": 1}\r\n");
	qmp_send(client.qmp, &(struct qmp_command){"slow", NULL, 50}, on_reply, &client);
	rest(150);
	assert_int_equal(client.err.code, ETIMEDOUT);
	assert_string_equal(client.err.text, "QEMU gave no answer to slow in 50 ms");
	client.replied = false;
	say(&server, "{\"return\": {}, \"id\": 2}\r\n"); /* too late */
	assert_false(client.replied);
	assert_true(client.recovered);
	part(&server, &client);
}

static void test_a_server_that_goes(void **state)
{
	struct server server;
	struct client client = {0};
	meet(&server, &client);
	qmp_send(client.qmp, &(struct qmp_command){"last", NULL, 1000}, on_reply, &client);
	close(server.fd);
	server.fd = -1;
	rest(50);
	assert_true(client.replied);
	assert_true(client.closed);
	assert_int_equal(client.err.code, ECONNRESET);
	part(&server, &client);
}

static void test_garbage_ends_it(void **state)
{
	struct server server;
	struct client client = {0};
	meet(&server, &client);
	say(&server, GREETING "what?\n");
	assert_true(client.closed);
	assert_int_equal(client.err.code, EPROTO);
	part(&server, &client);
}

static void test_it_may_be_closed_from_within(void **state)
{
	struct server server;
	struct client client = {.close_when_ready = true};
	meet(&server, &client);
	qmp_send(client.qmp, &(struct qmp_command){"never", NULL, 1000}, on_reply, &client);
	say(&server, GREETING "{\"return\": {}, \"id\": 2}\r\n{\"event\": \"STOP\"}\r\n");
	assert_true(client.replied);
	assert_int_equal(client.err.code, ECANCELED);
	assert_string_equal(client.event, "");
	part(&server, &client);
}

static void test_what_waits_is_bounded(void **state)
{
	struct server server;
	struct client client = {0};
	int r = 0, n = 0;
	meet(&server, &client);
	while ((r = qmp_send(client.qmp, &(struct qmp_command){"more", NULL, 1000}, NULL, NULL)) == 0)
		n++;
	assert_int_equal(r, -ENOBUFS);
	assert_int_equal(n, QMP_PENDING_MAX);
	part(&server, &client);
}

static int set_up(void **state)
{
	struct sd_event *loop;
	assert_true(sd_event_default(&loop) >= 0);
	env.loop = loop;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_in_any_pieces),
		cmocka_unit_test(test_the_callee_may_have_had_enough),
		cmocka_unit_test(test_what_is_no_message),
		cmocka_unit_test(test_size_and_depth_are_bounded),
		cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_a_conversation),
		cmocka_unit_test(test_a_server_that_hangs),
		cmocka_unit_test(test_a_server_that_goes),
		cmocka_unit_test(test_garbage_ends_it),
		cmocka_unit_test(test_it_may_be_closed_from_within),
		cmocka_unit_test(test_what_waits_is_bounded),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
