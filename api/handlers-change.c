/* SPDX-License-Identifier: Apache-2.0 */
/* What changes the configuration: apply, delete, confirm, rollback; and diff, which takes the same. Bodies are decoded
 * by field tables; answers come from the manager, perhaps much later. */
#include "api/server.h"

/* ---- bodies ---- */

struct file_body {
	uint64_t present;
	const char *name, *text;
};
static const struct field file_rows[] = {
	F_STRING("name", struct file_body, name, .max = 4096, .flags = FIELD_REQUIRED,
		 .doc = "Name of the file, for messages."),
	F_STRING("text", struct file_body, text, .flags = FIELD_REQUIRED, .doc = "The manifests in it."),
};
static const struct table file_table = TABLE("files", struct file_body, file_rows);

struct change_body {
	uint64_t present;
	struct list files, names;
	const char *set, *verify, *command;
	bool prune, dry_run, atomic, allow_disruption, wait, now;
	uint64_t confirm_ms;
	uint32_t wait_ms;
};
#define FILES_ROW F_STRUCTS("files", struct change_body, files, file_table, .list_max = 10000, .doc = "Manifests.")
#define NAMES_ROW \
	F_LIST("names", struct change_body, names, scalar_string, .list_max = 10000, .doc = "Objects, as Kind/name.")
#define SET_ROW F_STRING("set", struct change_body, set, .max = 63, .doc = "The set they belong to.")
#define PRUNE_ROW \
	F_BOOL("prune", struct change_body, prune, .doc = "Delete what the set had and the files no longer have.")
#define DRY_RUN_ROW F_BOOL("dryRun", struct change_body, dry_run, .doc = "Only say what would be done.")
#define CONFIRM_ROW \
	F_DURATION("confirm", struct change_body, confirm_ms, .doc = "Go back unless confirmed in this time.")
#define ALLOW_ROW   F_BOOL("allowDisruption", struct change_body, allow_disruption, .doc = "Interrupt traffic.")
#define WAIT_ROW    F_BOOL("wait", struct change_body, wait, .doc = "Answer when everything is Ready.")
#define WAIT_MS_ROW F_U32("waitMs", struct change_body, wait_ms, .doc = "How long to wait for it, in milliseconds.")
#define COMMAND_ROW \
	F_STRING("command", struct change_body, command, .max = 4096, .doc = "The command, for the history.")

static const struct field apply_rows[] = {
	FILES_ROW,
	SET_ROW,
	PRUNE_ROW,
	DRY_RUN_ROW,
	CONFIRM_ROW,
	F_STRING("verify", struct change_body, verify, .max = 64,
		 .doc = "Go back unless this address, or the gateway, answers."),
	F_BOOL("atomic", struct change_body, atomic, .doc = "Go back unless everything is Ready in time."),
	ALLOW_ROW,
	WAIT_ROW,
	WAIT_MS_ROW,
	COMMAND_ROW,
};
static const struct table apply_table = TABLE("apply", struct change_body, apply_rows);

static const struct field delete_rows[] = {
	FILES_ROW,
	NAMES_ROW,
	DRY_RUN_ROW,
	CONFIRM_ROW,
	ALLOW_ROW,
	WAIT_ROW,
	WAIT_MS_ROW,
	COMMAND_ROW,
	F_BOOL("now", struct change_body, now, .doc = "Kill guests instead of asking them to stop."),
};
static const struct table delete_table = TABLE("delete", struct change_body, delete_rows);

static const struct field diff_rows[] = {FILES_ROW, SET_ROW, PRUNE_ROW};
static const struct table diff_table = TABLE("diff", struct change_body, diff_rows);

struct rollback_body {
	uint64_t present;
	uint64_t revision;
};
static const struct field rollback_rows[] = {
	F_U64("revision", struct rollback_body, revision,
	      .doc = "The revision to apply anew; without it, the one before."),
};
static const struct table rollback_table = TABLE("rollback", struct rollback_body, rollback_rows);

/* A time may also be a number of milliseconds. */
static void number_to_duration(json_t *body, const char *key)
{
	const json_t *value = json_object_get(body, key);
	char text[32];
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return;
	snprintf(text, sizeof(text), "%lldms", (long long)json_integer_value(value));
	json_object_set_new(body, key, json_string(text));
}

static const struct change_body *read_body(struct call *call, const struct table *table)
{
	json_t *json = call_json(call);
	if (!json)
		return NULL;
	number_to_duration(json, "confirm");
	const struct change_body *body = call_decode(call, table, json);
	json_decref(json);
	if (!body || body->confirm_ms <= UINT32_MAX)
		return body;
	call_refuse(call, MHD_HTTP_BAD_REQUEST, "the request's body: confirm is longer than 49 days");
	return NULL;
}

static struct source *sources_of(struct call *call, const struct change_body *body)
{
	struct source *sources = arena_alloc(call->arena, (body->files.n + 1) * sizeof(*sources));
	for (size_t i = 0; i < body->files.n; i++) {
		const struct file_body *file = &list_at(&body->files, struct file_body, i);
		sources[i] = (struct source){.name = file->name, .text = file->text, .size = strlen(file->text)};
	}
	return sources;
}

/* "guest/web" is "Guest/web"; a kind that is not known stays as it is, for the manager to refuse. */
static void name_kinds(struct call *call, const struct list *names)
{
	for (size_t i = 0; i < names->n; i++) {
		const char **name = &list_at(names, const char *, i), *slash = strchr(*name, '/');
		const char *word = slash ? arena_strndup(call->arena, *name, (size_t)(slash - *name)) : NULL;
		const struct kind *kind = word ? kind_find(word) : NULL;
		if (kind)
			*name = arena_printf(call->arena, "%s%s", kind->name, slash);
	}
}

/* ---- answers ---- */

static const struct {
	const char *result;
	unsigned status;
} statuses[] = {
	{"final", MHD_HTTP_OK},        {"pending", MHD_HTTP_OK},          {"dryRun", MHD_HTTP_OK},
	{"notReady", MHD_HTTP_OK},     {"refused", MHD_HTTP_BAD_REQUEST}, {"disruptive", MHD_HTTP_CONFLICT},
	{"failed", MHD_HTTP_CONFLICT}, {"locked", MHD_HTTP_CONFLICT},     {"notFound", MHD_HTTP_NOT_FOUND},
};

void call_answer_result(void *ctx, json_t *answer)
{
	const char *result = json_string_value(json_object_get(answer, "result"));
	unsigned status = result ? MHD_HTTP_INTERNAL_SERVER_ERROR : MHD_HTTP_OK;
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (streq(statuses[i].result, result))
			status = statuses[i].status;
	call_answer(ctx, status, json_incref(answer));
}

void call_forget_result(struct call *call)
{
	manager_forget(api_manager(), call_answer_result, call);
}

/* ---- handlers ---- */

/* An address may name the link that it is on: fe80::1%br0. */
static bool can_be_verified(const char *verify)
{
	struct ip ip;
	cleanup_free char *address = xstrndup(verify, strcspn(verify, "%"));
	return streq(verify, "gateway") || ip_parse(address, &ip) == 0;
}

void handle_apply(struct call *call)
{
	const struct change_body *body = read_body(call, &apply_table);
	if (!body)
		return;
	if (body->verify && !can_be_verified(body->verify)) {
		call_refuse(call, MHD_HTTP_BAD_REQUEST,
			    "'%s' cannot be verified; write an IP address, or 'gateway' for the default gateways",
			    body->verify);
		return;
	}
	struct apply_request request = {
		.sources = sources_of(call, body),
		.n_sources = body->files.n,
		.set = body->set,
		.prune = body->prune,
		.dry_run = body->dry_run,
		.atomic = body->atomic,
		.allow_disruption = body->allow_disruption,
		.confirm_ms = (unsigned)body->confirm_ms,
		.verify = body->verify,
		.wait = body->wait,
		.wait_ms = body->wait_ms,
		.who = call->peer.who,
		.what = body->command ? body->command : "apply",
	};
	call->cancel = call_forget_result;
	manager_apply(api_manager(), &request, call_answer_result, call);
}

void handle_delete(struct call *call)
{
	const struct change_body *body = read_body(call, &delete_table);
	if (!body)
		return;
	if (body->files.n + body->names.n == 0) {
		call_refuse(call, MHD_HTTP_BAD_REQUEST, "nothing to delete was named; name objects or give manifests");
		return;
	}
	name_kinds(call, &body->names);
	struct delete_request request = {
		.sources = sources_of(call, body),
		.n_sources = body->files.n,
		.names = body->names.items,
		.n_names = body->names.n,
		.now = body->now,
		.confirm_ms = (unsigned)body->confirm_ms,
		.dry_run = body->dry_run,
		.allow_disruption = body->allow_disruption,
		.wait = body->wait,
		.wait_ms = body->wait_ms,
		.who = call->peer.who,
		.what = body->command ? body->command : "delete",
	};
	call->cancel = call_forget_result;
	manager_delete(api_manager(), &request, call_answer_result, call);
}

void handle_diff(struct call *call)
{
	const struct change_body *body = read_body(call, &diff_table);
	if (!body)
		return;
	struct apply_request request = {
		.sources = body->files.n ? sources_of(call, body) : NULL,
		.n_sources = body->files.n,
		.set = body->set,
		.prune = body->prune,
	};
	call->cancel = call_forget_result;
	manager_diff(api_manager(), &request, call_answer_result, call);
}

void handle_confirm(struct call *call)
{
	call->cancel = call_forget_result;
	manager_confirm(api_manager(), call->peer.who, call_answer_result, call);
}

void handle_rollback(struct call *call)
{
	const struct rollback_body *body = call_body(call, &rollback_table);
	if (!body)
		return;
	call->cancel = call_forget_result;
	manager_rollback(api_manager(), body->revision, call->peer.who, call_answer_result, call);
}
