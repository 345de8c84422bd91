/* SPDX-License-Identifier: Apache-2.0 */
/* The API's server and client against a manager that only pretends: many clients, slow ones, ones that leave, large
 * bodies, and who may do what. The server runs in a child process on a loop of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <systemd/sd-event.h>

#include "api/api.h"
#include "api/client.h"
#include "core/env.h"
#include "core/event.h"
#include "core/registry.h"

enum { GROUP_FULL = 71001, GROUP_VIEW = 71002, USER_NONE = 71003 };

/* Written by the server's process, read by the tests. */
static struct counts {
	unsigned applies, forgotten;
	size_t text_size;
	unsigned confirm_ms;
} * counts;

static char dir[64], socket_path[96];
static pid_t server_pid;

/* Instead of libc's: the groups need not be there. */
struct group *getgrnam(const char *name)
{
	static struct group group;
	group.gr_gid = streq(name, "weft") ? GROUP_FULL : GROUP_VIEW;
	return &group;
}

/* ---- a manager that pretends: an apply of the set "hold" is answered later, "for-ever" never ---- */

struct waiter {
	manager_done_fn *done;
	void *ctx;
};
static struct waiter held[256];

static void answer(const struct waiter *w, const char *result)
{
	json_t *json = json_pack("{s:s, s:s}", "result", result, "message", "so be it");
	w->done(w->ctx, json);
	json_decref(json);
}

static int on_later(sd_event_source *source, uint64_t time_us, void *ctx)
{
	struct waiter *slot = ctx, w = *slot;
	*slot = (struct waiter){0};
	if (w.done)
		answer(&w, "final");
	return 0;
}

void manager_apply(struct manager *m, const struct apply_request *request, manager_done_fn *done, void *ctx)
{
	counts->applies++;
	counts->confirm_ms = request->confirm_ms;
	counts->text_size = request->n_sources ? request->sources[0].size : 0;
	struct waiter w = {done, ctx};
	if (!streq(request->set, "hold") && !streq(request->set, "for-ever")) {
		answer(&w, request->set ? request->set : "final");
		return;
	}
	size_t i = 0;
	while (held[i].done)
		i++;
	held[i] = w;
	if (streq(request->set, "hold"))
		sd_event_add_time_relative(env.loop, NULL, CLOCK_MONOTONIC, 150000, 1000, on_later, &held[i]);
}

void manager_forget(struct manager *m, manager_done_fn *done, void *ctx)
{
	counts->forgotten++;
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		if (held[i].done == done && held[i].ctx == ctx)
			held[i] = (struct waiter){0};
}

void manager_delete(struct manager *m, const struct delete_request *request, manager_done_fn *done, void *ctx)
{
	answer(&(struct waiter){done, ctx}, streq(request->names[0], "Bridge/web") ? "final" : "refused");
}

void manager_diff(struct manager *m, const struct apply_request *request, manager_done_fn *done, void *ctx)
{
	answer(&(struct waiter){done, ctx}, "dryRun");
}

void manager_confirm(struct manager *m, const char *who, manager_done_fn *done, void *ctx)
{
	answer(&(struct waiter){done, ctx}, "failed");
}

void manager_rollback(struct manager *m, uint64_t rev, const char *who, manager_done_fn *done, void *ctx)
{
	answer(&(struct waiter){done, ctx}, rev == 7 ? "final" : "disruptive");
}

/* Emits as many events as the test has asked for in a file. */
json_t *manager_history(struct manager *m)
{
	cleanup_free char *path = xprintf("%s/events", dir), *text = NULL;
	int n = file_read(path, 100, &text, NULL) == 0 ? atoi(text) : 0;
	for (int i = 0; i < n; i++)
		event_text("Tested", "Thing/one", false, "event %d with some text to give it a size", i);
	return json_array();
}

json_t *manager_objects(struct manager *m, const struct kind *kind, const char *name)
{
	return json_array();
}

json_t *manager_resources(struct manager *m)
{
	return json_array();
}

json_t *manager_status(struct manager *m)
{
	return json_pack("{s:s}", "version", "test");
}

void manager_override(struct manager *m, const struct override_request *request, manager_done_fn *done, void *ctx)
{
	answer(&(struct waiter){done, ctx}, "final");
}

struct engine *manager_engine(struct manager *m)
{
	static struct engine_host host;
	static struct engine *engine;
	return engine ? engine : (engine = engine_new(&host));
}

/* ---- the server's process ---- */

static int on_term(sd_event_source *source, const struct signalfd_siginfo *info, void *ctx)
{
	return sd_event_exit(env.loop, 0);
}

static void serve(int ready)
{
	struct err err = {0};
	sigset_t mask;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	sd_event_new(&env.loop);
	sd_event_add_signal(env.loop, NULL, SIGTERM, on_term, NULL);
	env.run_dir = dir;
	if (api_start((struct manager *)&held, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(3);
	}
	dup2(null, STDERR_FILENO);
	if (write(ready, "r", 1) != 1)
		_exit(4);
	close(ready);
	sd_event_loop(env.loop);
	api_stop();
	_exit(0);
}

static int start_server(void **state)
{
	strcpy(dir, "/tmp/weft-test-api.XXXXXX");
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ready[2];
	char byte;
	if (!mkdtemp(dir) || chmod(dir, 0755) < 0 || counts == MAP_FAILED || pipe(ready) < 0)
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/weft.sock", dir);
	fflush(stdout);
	server_pid = fork();
	if (server_pid == 0) {
		close(ready[0]);
		serve(ready[1]);
	}
	close(ready[1]);
	ssize_t n = read(ready[0], &byte, 1);
	close(ready[0]);
	return n == 1 ? 0 : -1;
}

static int stop_server(void **state)
{
	int status;
	kill(server_pid, SIGTERM);
	waitpid(server_pid, &status, 0);
	cleanup_free char *command = xprintf("rm -rf '%s'", dir);
	return status != 0 || access(socket_path, F_OK) == 0 || system(command) != 0 ? -1 : 0;
}

/* ---- helpers ---- */

static int ask(const char *method, const char *path, json_t *body, char **ret_message)
{
	struct client *client = client_new(socket_path);
	json_t *json = NULL;
	int status = client_request(client, &(struct client_call){method, path, body, 10000}, &json);
	const char *message = json_string_value(json_object_get(json, "message"));
	if (ret_message)
		*ret_message = message ? xstrdup(message) : NULL;
	json_decref(json);
	json_decref(body);
	client_free(client);
	return status;
}

static int raw_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(address.sun_path, socket_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void raw_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void raw_apply(int fd, const char *set)
{
	char body[64], text[256];
	snprintf(body, sizeof(body), "{\"set\":\"%s\"}", set);
	snprintf(text, sizeof(text), "POST /v1/apply HTTP/1.1\r\nHost: weft\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	raw_send(fd, text);
}

/* The first bytes of an answer, waited for. */
static void raw_expect(int fd, const char *start)
{
	char text[64] = "";
	struct pollfd p = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
	text[strlen(start)] = '\0';
	assert_string_equal(text, start);
}

static void wait_for(const unsigned *counter, unsigned value)
{
	for (int i = 0; i < 500 && *(const volatile unsigned *)counter < value; i++)
		usleep(10000);
	assert_int_equal(*counter, value);
}

static void emit_events(int n)
{
	cleanup_free char *path = xprintf("%s/events", dir), *text = xprintf("%d", n);
	file_write_atomic(path, text, strlen(text), 0600);
	assert_int_equal(ask("GET", "/v1/history", NULL, NULL), 200);
	unlink(path);
}

/* ---- tests ---- */

static void test_statuses(void **state)
{
	char *message;
	assert_int_equal(ask("GET", "/v1/status", NULL, NULL), 200);
	assert_int_equal(ask("GET", "/v1/nothing", NULL, &message), 404);
	assert_string_equal(message, "there is no /v1/nothing");
	free(message);
	assert_int_equal(ask("GET", "/v1/objects/Netwrok", NULL, NULL), 404);
	assert_int_equal(ask("POST", "/v1/status", NULL, NULL), 405);
	assert_int_equal(ask("POST", "/v1/guests/web/start", NULL, NULL), 404);
	assert_int_equal(ask("GET", "/v1/guests/web/console", NULL, NULL), 404);
	assert_int_equal(ask("GET", "/v1/kinds", NULL, NULL), 200);
	assert_int_equal(ask("GET", "/v1/topology", NULL, NULL), 200);
	assert_int_equal(ask("GET", "/v1/leases", NULL, NULL), 200);
	assert_int_equal(ask("POST", "/v1/apply", json_pack("{s:b}", "prnue", 1), &message), 400);
	assert_non_null(strstr(message, "prnue"));
	free(message);
	assert_int_equal(ask("POST", "/v1/apply", json_pack("{s:i}", "confirm", 61000), NULL), 200);
	assert_int_equal(counts->confirm_ms, 61000);
	assert_int_equal(ask("POST", "/v1/apply", json_pack("{s:s}", "confirm", "1m"), NULL), 200);
	assert_int_equal(counts->confirm_ms, 60000);
	assert_int_equal(ask("POST", "/v1/apply", json_pack("{s:s}", "set", "refused"), NULL), 400);
	assert_int_equal(ask("POST", "/v1/apply", json_pack("{s:s}", "set", "disruptive"), &message), 409);
	assert_string_equal(message, "so be it");
	free(message);
	assert_int_equal(ask("POST", "/v1/delete", json_pack("{s:[s]}", "names", "bridges/web"), NULL), 200);
	assert_int_equal(ask("POST", "/v1/delete", NULL, NULL), 400);
	assert_int_equal(ask("POST", "/v1/diff", NULL, NULL), 200);
	assert_int_equal(ask("POST", "/v1/confirm", NULL, NULL), 409);
	assert_int_equal(ask("POST", "/v1/rollback", json_pack("{s:i}", "revision", 7), NULL), 200);
	int fd = raw_connect();
	raw_send(fd, "POST /v1/apply HTTP/1.1\r\nHost: weft\r\nContent-Length: 3\r\n\r\n{]}");
	raw_expect(fd, "HTTP/1.1 400 ");
	close(fd);
}

static void test_many_clients_wait_at_once(void **state)
{
	int fds[100];
	unsigned before = counts->applies;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = raw_connect();
		raw_apply(fds[i], "hold");
	}
	wait_for(&counts->applies, before + 100);
	assert_int_equal(ask("GET", "/v1/status", NULL, NULL), 200);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		raw_expect(fds[i], "HTTP/1.1 200 OK");
		close(fds[i]);
	}
}

static void test_client_that_leaves_is_forgotten(void **state)
{
	unsigned applies = counts->applies, forgotten = counts->forgotten;
	int fd = raw_connect();
	raw_apply(fd, "for-ever");
	wait_for(&counts->applies, applies + 1);
	assert_int_equal(counts->forgotten, forgotten);
	close(fd);
	wait_for(&counts->forgotten, forgotten + 1);
	/* One that only ended its sending still gets its answer. */
	fd = raw_connect();
	raw_apply(fd, "hold");
	shutdown(fd, SHUT_WR);
	raw_expect(fd, "HTTP/1.1 200 OK");
	close(fd);
	assert_int_equal(counts->forgotten, forgotten + 1);
	/* And one that sends and is gone at once. */
	fd = raw_connect();
	raw_apply(fd, "hold");
	close(fd);
	assert_int_equal(ask("GET", "/v1/status", NULL, NULL), 200);
}

static void test_half_a_request_holds_up_nobody(void **state)
{
	int head = raw_connect(), body = raw_connect(), junk = raw_connect();
	raw_send(head, "GET /v1/sta");
	raw_send(body, "POST /v1/apply HTTP/1.1\r\nHost: weft\r\nContent-Length: 1000\r\n\r\n{\"set\":");
	raw_send(junk, "\x16\x03\x01\xff\xff rubbish\r\n\r\n");
	for (int i = 0; i < 20; i++)
		assert_int_equal(ask("GET", "/v1/status", NULL, NULL), 200);
	close(head);
	close(body);
	close(junk);
	assert_int_equal(ask("GET", "/v1/status", NULL, NULL), 200);
}

static json_t *large_body(size_t size)
{
	char *text = xcalloc(1, size + 1);
	memset(text, 'x', size);
	json_t *body = json_pack("{s:[{s:s, s:s}]}", "files", "name", "large.yaml", "text", text);
	free(text);
	return body;
}

static void test_large_bodies(void **state)
{
	char *message;
	assert_int_equal(ask("POST", "/v1/apply", large_body(10 * 1024 * 1024 - 100), NULL), 200);
	assert_int_equal(counts->text_size, 10 * 1024 * 1024 - 100);
	unsigned applies = counts->applies;
	assert_int_equal(ask("POST", "/v1/apply", large_body(12 * 1024 * 1024), &message), 413);
	assert_non_null(strstr(message, "larger than 10 MiB"));
	free(message);
	assert_int_equal(counts->applies, applies);
	/* What goes on for ever is cut off. */
	assert_true(ask("POST", "/v1/apply", large_body(80 * 1024 * 1024), NULL) < 0);
	assert_int_equal(ask("GET", "/v1/status", NULL, NULL), 200);
}

static bool count_line(void *ctx, const json_t *line)
{
	unsigned *n = ctx;
	return ++n[0] < n[1];
}

static void test_events_without_follow_end(void **state)
{
	struct client *client = client_new(socket_path);
	unsigned n[2] = {0, UINT32_MAX};
	emit_events(10);
	assert_int_equal(client_stream(client, "/v1/events", count_line, n), 200);
	assert_int_equal(n[0], 10);
	n[0] = 0;
	assert_int_equal(client_stream(client, "/v1/events?after=7", count_line, n), 200);
	assert_int_equal(n[0], 3);
	assert_int_equal(client_stream(client, "/v1/events?after=x", count_line, n), 400);
	assert_non_null(strstr(client_error(client), "after=x"));
	client_free(client);
}

/* A follower in a process of its own, which ends after `want` lines. */
static pid_t follow(unsigned want)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid)
		return pid;
	alarm(30);
	struct client *client = client_new(socket_path);
	unsigned n[2] = {0, want};
	int status = client_stream(client, "/v1/events?follow=1", count_line, n);
	_exit(status == 200 && n[0] == want ? 0 : 1);
}

static unsigned long switches(void)
{
	cleanup_free char *path = xprintf("/proc/%d/status", server_pid), *text = NULL;
	assert_int_equal(file_read(path, 65536, &text, NULL), 0);
	return strtoul(strstr(text, "\nvoluntary_ctxt_switches:") + strlen("\nvoluntary_ctxt_switches:"), NULL, 10);
}

static void test_idle_followers_cost_nothing(void **state)
{
	pid_t pids[3];
	int status;
	emit_events(1);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = follow(5);
	int waiting = raw_connect();
	raw_apply(waiting, "for-ever");
	usleep(300000);
	unsigned long before = switches();
	usleep(1500000);
	assert_int_equal(switches() - before, 0);
	emit_events(4);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
	/* Followers that have left leave nothing behind. */
	emit_events(10);
	usleep(100000);
	before = switches();
	usleep(500000);
	assert_int_equal(switches() - before, 0);
	close(waiting);
}

static void test_slow_reader_misses_and_is_told(void **state)
{
	int fd = raw_connect();
	raw_send(fd, "GET /v1/events?follow=1 HTTP/1.1\r\nHost: weft\r\n\r\n");
	emit_events(1);
	for (int i = 0; i < 3; i++)
		emit_events(9000);
	size_t size = 0, room = 64 * 1024 * 1024;
	cleanup_free char *text = xcalloc(1, room + 1);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	while (size < room && poll(&p, 1, 1000) == 1) {
		ssize_t n = recv(fd, text + size, room - size, 0);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	assert_non_null(strstr(text, "{\"missed\":"));
	assert_non_null(strstr(text, "event 8999 "));
	close(fd);
}

/* Asks as another user; the exit status tells the answer's in hundreds and units. */
static int ask_as(uid_t uid, gid_t group, const char *method, const char *path)
{
	fflush(stdout);
	pid_t pid = fork();
	int status;
	if (pid == 0) {
		if (setgroups(group ? 1 : 0, &group) < 0 || setgid(uid) < 0 || setuid(uid) < 0)
			_exit(99);
		char *message = NULL;
		int answered = ask(method, path, NULL, &message);
		_exit(answered == 403 && !strstr(message, "group 'weft'") ? 98 : answered / 100 * 10 + answered % 10);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void test_who_may_do_what(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(ask_as(USER_NONE, 0, "GET", "/v1/status"), 43);
	assert_int_equal(ask_as(USER_NONE, GROUP_VIEW, "GET", "/v1/status"), 20);
	assert_int_equal(ask_as(USER_NONE, GROUP_VIEW, "POST", "/v1/apply"), 43);
	assert_int_equal(ask_as(USER_NONE, GROUP_FULL, "POST", "/v1/apply"), 20);
}

static void test_strangers_do_not_keep_others_out(void **state)
{
	if (geteuid() != 0)
		skip();
	int ready[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(20);
		if (setgroups(0, NULL) < 0 || setgid(USER_NONE) < 0 || setuid(USER_NONE) < 0)
			_exit(1);
		for (int i = 0; i < 600; i++)
			raw_connect();
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(ask("GET", "/v1/status", NULL, NULL), 200);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void test_client_says_what_is_wrong(void **state)
{
	const struct client_call status = {"GET", "/v1/status"};
	struct client *client = client_new("/nowhere/weft.sock");
	assert_int_equal(client_request(client, &status, NULL), -ENOENT);
	assert_non_null(strstr(client_error(client), "weftd does not run: there is no socket at /nowhere/weft.sock"));
	client_free(client);
	client = client_new(socket_path);
	json_t *body = json_pack("{s:s}", "set", "for-ever");
	const struct client_call apply = {"POST", "/v1/apply", body, 200};
	assert_int_equal(client_request(client, &apply, NULL), -ETIMEDOUT);
	json_decref(body);
	assert_non_null(strstr(client_error(client), "gave no answer in 200 ms"));
	client_free(client);
	cleanup_free char *path = xprintf("%s/dead.sock", dir);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	client = client_new(path);
	assert_int_equal(client_request(client, &status, NULL), -ECONNREFUSED);
	client_free(client);
	cleanup_free char *escaped = client_escape("a b/c");
	assert_string_equal(escaped, "a%20b%2Fc");
}

/* The server ends in good order while clients wait and follow; the teardown looks at its exit status. */
static void test_stops_with_clients_waiting(void **state)
{
	int fd = raw_connect();
	raw_apply(fd, "for-ever");
	int following = raw_connect();
	raw_send(following, "GET /v1/events?follow=1 HTTP/1.1\r\nHost: weft\r\n\r\n");
	raw_expect(following, "HTTP/1.1 200 OK");
}

int main(void)
{
	registry_init();
#define TEST(f) cmocka_unit_test_setup_teardown(f, start_server, stop_server)
	const struct CMUnitTest tests[] = {
		TEST(test_statuses),
		TEST(test_many_clients_wait_at_once),
		TEST(test_client_that_leaves_is_forgotten),
		TEST(test_half_a_request_holds_up_nobody),
		TEST(test_large_bodies),
		TEST(test_events_without_follow_end),
		TEST(test_idle_followers_cost_nothing),
		TEST(test_slow_reader_misses_and_is_told),
		TEST(test_who_may_do_what),
		TEST(test_strangers_do_not_keep_others_out),
		TEST(test_client_says_what_is_wrong),
		TEST(test_stops_with_clients_waiting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
