/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary sequences of what a person can ask for, to a real manager with a real store, over a host in memory: pairs
 * of a step and its argument. Meanwhile operations fail, a rival takes things away, weftd crashes, and time passes (a
 * clock of its own, so that waiting costs nothing). Laws: every request is answered; when the noise stops the host
 * becomes as wanted, and diff says so; everything deleted, nothing of weft's is left. */
#include <systemd/sd-event.h>

#include <sys/stat.h>

#include "core/env.h"
#include "core/event.h"
#include "core/manager-internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory-host.h"

enum { STEPS_MAX = 24, PATIENCE = 500, TICK_MS = 2000 };
enum step { APPLY, APPLY_MORE, DELETE, CONFIRM, ROLLBACK, ORDER, LOSE, FAIL, CRASH, DIFF, WAIT, SETTLE, N_STEPS };
/* The argument of APPLY has a bit for each manifest, that of APPLY_MORE one for each option of the next. */
enum {
	MORE_PRUNE = 1,
	MORE_CONFIRM = 2,
	MORE_ATOMIC = 4,
	MORE_DRY = 8,
	MORE_WAIT = 16,
	MORE_SET = 32,
	MORE_OTHER = 64,
	MORE_ALLOW = 128
};

#define HEAD(kind, name) "apiVersion: weft/v1\nkind: " kind "\nmetadata: {name: " name "}\nspec: "
static const char *const manifests[][2] = {
	{HEAD("Bridge", "br1") "{addresses: [10.1.0.1/24]}\n",
	 HEAD("Bridge", "br1") "{addresses: [10.2.0.1/24], mtu: 1400}\n"},
	{HEAD("Bridge", "br2") "{ports: [tap2]}\n", HEAD("Bridge", "br2") "{ports: [tap2], mtu: 1300}\n"},
	{HEAD("Tap", "tap2") "{queues: 2}\n", HEAD("Tap", "tap2") "{queues: 1}\n"},
	{HEAD("Network", "lan") "{mode: nat, addresses: [192.168.150.1/24]}\n",
	 HEAD("Network", "lan") "{mode: isolated, addresses: [192.168.151.1/24], mtu: 1400}\n"},
	{HEAD("Pool", "local") "{type: dir, path: images}\n", HEAD("Pool", "local") "{type: dir, path: images}\n"},
	{HEAD("Volume", "data") "{pool: local, size: 1MiB}\n",
	 HEAD("Volume", "data") "{pool: local, size: 2MiB, reclaim: delete}\n"},
	{HEAD("Guest", "web") "{memory: {size: 32MiB}, interfaces: [{network: lan}], disks: [{volume: data}]}\n",
	 HEAD("Guest", "web") "{memory: {size: 64MiB}, interfaces: [{network: lan}]}\n"},
	{HEAD("Guest", "bad") "{memory: {size: 32}}\n",
	 HEAD("Network", "br1") "{mode: nat, addresses: [10.9.0.1/24]}\n"},
};
static const char *const names[] = {"Bridge/br1", "Bridge/br2",  "Tap/tap2",  "Network/lan",
				    "Pool/local", "Volume/data", "Guest/web", "Guest/no"};

static struct manager *manager;
static uint64_t clock_ms;
static unsigned n_asked, n_answered, more;

/* ---- in the places of the real ones ---- */

uint64_t now_ms(void)
{
	return clock_ms;
}

void event_emit(const struct event *event)
{
	require(event->type && event->text, "an event says what");
}

void event_text(const char *type, const char *object, bool warning, const char *fmt, ...)
{
}

/* ---- running ---- */

static void turn(void)
{
	for (int i = 0; sd_event_run(env.loop, 0) > 0; i++)
		require(i < 100000, "it comes to rest");
}

static void pass(uint64_t ms)
{
	clock_ms += ms;
	manager_schedule(manager);
	turn();
}

static bool converged(void)
{
	json_t *status = manager_status(manager);
	bool is = json_is_true(json_object_get(status, "converged")) && !json_object_get(status, "pending");
	json_decref(status);
	return is;
}

/* Waits for what is pending to run out as well. */
static bool settle(void)
{
	turn();
	for (int i = 0; i < PATIENCE && !(converged() && n_answered == n_asked); i++)
		pass(TICK_MS);
	return converged();
}

static void on_answer(void *ctx, json_t *answer)
{
	const char *result = json_string_value(json_object_get(answer, "result"));
	n_answered++;
	require(result != NULL, "an answer says what came of it");
	require(streq(result, "final") || *json_string_value(json_object_get(answer, "message")) != '\0' ||
			json_object_get(answer, "plan"),
		"what is not final is said why");
	json_t **ret = ctx;
	if (ret)
		*ret = json_incref(answer);
}

static void start(void)
{
	struct err err = {0};
	require(manager_new(&manager, &err) == 0, err.text);
	memory_host_attach(manager_engine(manager));
	require(manager_start(manager, &err) == 0, err.text);
	turn();
}

/* Whoever waited for an answer is gone too. */
static void crash(void)
{
	manager = manager_free(manager);
	n_asked = n_answered = 0;
	start();
}

/* ---- what is asked for ---- */

static size_t choose(uint8_t bits, struct source *sources)
{
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(manifests); i++) {
		if (!(bits >> i & 1))
			continue;
		const char *text = manifests[i][(more & MORE_OTHER) != 0];
		sources[n++] = (struct source){.name = "file.yaml", .text = text, .size = strlen(text)};
	}
	return n;
}

static struct apply_request request_of(const struct source *sources, size_t n)
{
	return (struct apply_request){
		.sources = sources,
		.n_sources = n,
		.set = more & MORE_SET ? "other" : NULL,
		.prune = more & MORE_PRUNE,
		.confirm_ms = more & MORE_CONFIRM ? 30000 : 0,
		.atomic = more & MORE_ATOMIC,
		.dry_run = more & MORE_DRY,
		.wait = more & MORE_WAIT,
		.allow_disruption = more & MORE_ALLOW,
		.who = "somebody",
		.what = "fuzz",
	};
}

static void ask_delete(uint8_t bits)
{
	const char *chosen[ARRAY_SIZE(names)];
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (bits >> i & 1)
			chosen[n++] = names[i];
	const struct delete_request request = {.names = chosen,
					       .n_names = n,
					       .now = more & MORE_ATOMIC,
					       .confirm_ms = more & MORE_CONFIRM ? 30000 : 0,
					       .dry_run = more & MORE_DRY,
					       .allow_disruption = true,
					       .wait = more & MORE_WAIT,
					       .who = "somebody",
					       .what = "fuzz"};
	manager_delete(manager, &request, on_answer, NULL);
}

static void order(uint8_t arg)
{
	const struct override_request request = {.kind = "Guest",
						 .name = "web",
						 .text = arg & 1   ? "stopped"
							 : arg & 2 ? "paused"
								   : NULL,
						 .who = "somebody"};
	manager_override(manager, &request, on_answer, NULL);
}

static bool ask(enum step step, uint8_t arg)
{
	struct source sources[ARRAY_SIZE(manifests)];
	struct apply_request request;
	switch (step) {
	case APPLY:
	case DIFF:
		request = request_of(sources, choose(arg, sources));
		if (step == DIFF)
			manager_diff(manager, &request, on_answer, NULL);
		else
			manager_apply(manager, &request, on_answer, NULL);
		more = 0;
		return true;
	case DELETE:
		ask_delete(arg);
		more = 0;
		return true;
	case CONFIRM:
		manager_confirm(manager, "somebody", on_answer, NULL);
		return true;
	case ROLLBACK:
		manager_rollback(manager, arg % 8, "somebody", on_answer, NULL);
		return true;
	case ORDER:
		order(arg);
		return true;
	case APPLY_MORE:
	case LOSE:
	case FAIL:
	case CRASH:
	case WAIT:
	case SETTLE:
	case N_STEPS:
		return false;
	}
	return false;
}

static void happen(enum step step, uint8_t arg)
{
	if (step == APPLY_MORE)
		more = arg;
	else if (step == LOSE)
		memory_host_lose(manager_engine(manager), arg);
	else if (step == FAIL)
		memory_host_fail(arg % 32);
	else if (step == CRASH)
		crash();
	else if (step == WAIT)
		pass((uint64_t)arg * 100);
	else if (step == SETTLE)
		settle();
}

static void step(enum step step, uint8_t arg)
{
	n_asked++; /* first: an answer may come at once */
	if (!ask(step, arg)) {
		n_asked--;
		happen(step, arg);
	}
	/* An odd argument leaves what was asked for under way. */
	if (!(arg & 1))
		turn();
}

/* ---- laws ---- */

static void require_settled(const char *law)
{
	bool settled = settle();
	json_t *resources = settled ? NULL : manager_resources(manager);
	if (resources)
		json_dumpf(resources, stderr, JSON_INDENT(1));
	json_decref(resources);
	require(settled, law);
	require(n_asked == n_answered, "all requests are answered");
}

static void check_diff(void)
{
	json_t *answer = NULL;
	const struct apply_request request = {.who = "somebody", .what = "fuzz"};
	n_asked++;
	manager_diff(manager, &request, on_answer, &answer);
	turn();
	require(answer != NULL, "diff is answered");
	size_t i;
	json_t *difference;
	json_array_foreach(json_object_get(answer, "plan"), i, difference) {
		if (json_is_true(json_object_get(difference, "restartNeeded")))
			continue;
		json_dumpf(difference, stderr, JSON_INDENT(1));
		require(false, "nothing differs");
	}
	json_decref(answer);
}

static void check_end(void)
{
	char left[4096] = "";
	memory_host_fail(0);
	require_settled("the host becomes as wanted");
	check_diff();
	json_t *objects = manager_objects(manager, NULL, NULL);
	const char *all[64];
	cleanup_arena struct arena *arena = arena_new();
	size_t n = json_array_size(objects);
	for (size_t i = 0; i < n; i++) {
		const json_t *object = json_array_get(objects, i);
		all[i] = arena_printf(arena, "%s/%s", json_string_value(json_object_get(object, "kind")),
				      json_string_value(json_object_get(json_object_get(object, "metadata"), "name")));
	}
	json_decref(objects);
	const struct delete_request request = {
		.names = all, .n_names = n, .now = true, .allow_disruption = true, .who = "somebody", .what = "fuzz"};
	n_asked += n > 0;
	if (n)
		manager_delete(manager, &request, on_answer, NULL);
	require_settled("all is deleted");
	if (memory_host_left(left, sizeof(left)))
		fprintf(stderr, "left:%s\n", left);
	require(!*left, "nothing of weft's is left");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const files[] = {"weft.db", "weft.db-wal", "weft.db-shm", "weft.db.lock"};
	fuzz_setup();
	mkdir(env.state_dir, 0700);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *path = xprintf("%s/%s", env.state_dir, files[i]);
		unlink(path);
	}
	require(sd_event_new(&env.loop) >= 0, "there is a loop");
	clock_ms = (uint64_t)1 << 40; /* the loop's own clock never comes there */
	n_asked = n_answered = more = 0;
	start();
	for (size_t i = 0; i + 1 < size && i < (size_t)2 * STEPS_MAX; i += 2)
		step(data[i] % N_STEPS, data[i + 1]);
	check_end();
	manager = manager_free(manager);
	env.loop = sd_event_unref(env.loop);
	memory_host_clear();
	return 0;
}
