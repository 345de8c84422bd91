/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary requests to the API, without a socket: a byte of choices, a line "METHOD PATH?QUERY", the body. The manager
 * only pretends. Laws: what may not be done is not done; a call is answered once, with a status and JSON, a refusal
 * with a message; a client that has gone is forgotten. */
#include "api/call.h"
#include "core/child.h"
#include "core/event.h"
#include "tests/fuzz/fuzz.h"

/* The first byte of an input. */
enum { CHOICE_ACCESS = 3, CHOICE_LATER = 1 << 2, CHOICE_HANG_UP = 1 << 3 };
enum { FILLS_MAX = 64, PIECE = 1000 };

static unsigned choice;
static char *query;
static struct call *calling;
static struct {
	manager_done_fn *done;
	void *ctx;
} held;

/* ---- what is in the places of MHD, of children and of the manager ---- */

/* The whole query is the value of each key. */
const char *MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key)
{
	return *query ? query : NULL;
}

/* The body is what the child says. */
struct child *child_run(const struct child_spec *spec)
{
	cleanup_free char *out = xstrndup(calling->body ? calling->body : "", calling->body_size);
	const struct child_result result = {.out = out, .out_size = strlen(out)};
	spec->done(spec->ctx, &result);
	return NULL;
}

static void answer(manager_done_fn *done, void *ctx, const char *result)
{
	json_t *json = json_pack("{s:s, s:s}", "result", result ? result : "final", "message", "so be it");
	require(json != NULL, "texts that reach the manager are UTF-8");
	done(ctx, json);
	json_decref(json);
}

static void answer_or_hold(manager_done_fn *done, void *ctx, const char *result)
{
	require(calling->peer.access == ACCESS_FULL, "only those change something who may");
	if (!(choice & CHOICE_LATER)) {
		answer(done, ctx, result);
		return;
	}
	held.done = done;
	held.ctx = ctx;
}

static void check_sources(const struct source *sources, size_t n)
{
	for (size_t i = 0; i < n; i++)
		require(sources[i].name && strlen(sources[i].text) == sources[i].size, "a file has a name and a text");
}

void manager_apply(struct manager *m, const struct apply_request *request, manager_done_fn *done, void *ctx)
{
	check_sources(request->sources, request->n_sources);
	require(request->who && request->what, "it is known who asks for what");
	answer_or_hold(done, ctx, request->set);
}

void manager_diff(struct manager *m, const struct apply_request *request, manager_done_fn *done, void *ctx)
{
	check_sources(request->sources, request->n_sources);
	answer_or_hold(done, ctx, request->set);
}

void manager_delete(struct manager *m, const struct delete_request *request, manager_done_fn *done, void *ctx)
{
	check_sources(request->sources, request->n_sources);
	require(request->n_sources + request->n_names > 0, "something is named");
	answer_or_hold(done, ctx, request->n_names ? request->names[0] : NULL);
}

void manager_confirm(struct manager *m, const char *who, manager_done_fn *done, void *ctx)
{
	answer_or_hold(done, ctx, "failed");
}

void manager_rollback(struct manager *m, uint64_t rev, const char *who, manager_done_fn *done, void *ctx)
{
	answer_or_hold(done, ctx, "locked");
}

void manager_override(struct manager *m, const struct override_request *request, manager_done_fn *done, void *ctx)
{
	require(streq(request->name, "web"), "only a guest that exists is ordered about");
	answer_or_hold(done, ctx, "final");
}

void manager_forget(struct manager *m, manager_done_fn *done, void *ctx)
{
	require(!held.done || (held.done == done && held.ctx == ctx), "who is forgotten has waited");
	held.done = NULL;
}

json_t *manager_history(struct manager *m)
{
	return json_array();
}

json_t *manager_objects(struct manager *m, const struct kind *kind, const char *name)
{
	json_t *list = json_array();
	if (streq(name, "web"))
		json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:{s:s}}", "kind", "Guest", "metadata", "name",
						      "web", "spec", "state", "running"));
	return list;
}

json_t *manager_resources(struct manager *m)
{
	return json_array();
}

json_t *manager_status(struct manager *m)
{
	return json_object();
}

struct engine *manager_engine(struct manager *m)
{
	static struct engine_host host;
	static struct engine *engine;
	return engine ? engine : (engine = engine_new(&host));
}

/* ---- a call ---- */

static void read_stream(struct call *call)
{
	char buffer[PIECE];
	ssize_t n = 1;
	for (int i = 0; i < FILLS_MAX && n > 0; i++) {
		n = call->fill(call, buffer, sizeof(buffer));
		require(n <= (ssize_t)sizeof(buffer), "a stream keeps within its buffer");
	}
}

static void check_answer(const struct call *call)
{
	require(call->status >= 200 && call->status < 600, "an answer has a status");
	require(call->status < 400 || json_is_string(json_object_get(call->answer, "message")),
		"a refusal says what is wrong");
	require(call->peer.access != ACCESS_NONE || call->status == MHD_HTTP_FORBIDDEN, "a stranger may nothing");
	require_json(json_incref(call->answer), "an answer is JSON");
}

static void run(struct call *call, char *line, const uint8_t *body, size_t size)
{
	char *path = line + strcspn(line, " ");
	if (*path)
		*path++ = '\0';
	query = path + strcspn(path, "?");
	if (*query)
		*query++ = '\0';
	call_check(call, line, path);
	for (size_t at = 0; at < size; at += PIECE)
		require(call_take_body(call, (const char *)body + at, size - at < PIECE ? size - at : PIECE),
			"a body of this size is taken");
	call_start(call);
	if (choice & CHOICE_HANG_UP) {
		call_hang_up(call);
		require(!held.done, "a client that has gone is forgotten");
		return;
	}
	if (held.done) {
		manager_done_fn *done = held.done;
		held.done = NULL;
		answer(done, held.ctx, NULL);
	}
	if (call->fill)
		read_stream(call);
	else
		check_answer(call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_setup();
	if (size == 0)
		return 0;
	choice = data[0];
	data++;
	size--;
	const uint8_t *end = memchr(data, '\n', size);
	size_t length = end ? (size_t)(end - data) : size;
	cleanup_free char *line = xstrndup((const char *)data, length);
	struct call *call = calling = call_new(NULL);
	call->peer = (struct peer){.access = (choice & CHOICE_ACCESS) % N_ACCESS, .who = "somebody (uid 1)"};
	run(call, line, data + length, size - length);
	call_free(call);
	event_text("Tested", "Thing/one", false, "an event");
	return 0;
}
