/* SPDX-License-Identifier: Apache-2.0 */
/* See change.h. */
#include "cli/change.h"

#include <ctype.h>

#include "api/client.h"
#include "cli/diagnostics.h"
#include "cli/json.h"

static const struct outcome {
	const char *result;
	int status;
	bool objects; /* the list of what was changed is true */
	bool plan;    /* the plan is what is of interest */
} outcomes[] = {
	{"final", CLI_DONE, true, false},     {"pending", CLI_DONE, true, false},
	{"dryRun", CLI_DONE, false, true},    {"notReady", CLI_NOT_READY, true, false},
	{"refused", CLI_USAGE, false, false}, {"disruptive", CLI_FAILED, false, true},
};

static struct outcome outcome_of(const json_t *answer)
{
	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
		if (streq(outcomes[i].result, json_text(answer, "result")))
			return outcomes[i];
	return (struct outcome){.status = CLI_FAILED};
}

static void print_change(const json_t *object)
{
	static const struct {
		const char *change;
		enum style style;
	} styles[] = {
		{"created", STYLE_GOOD}, {"changed", STYLE_WARN}, {"deleted", STYLE_BAD}, {"unchanged", STYLE_FAINT}};
	const char *change = json_text(object, "change");
	cleanup_free char *label = object_label(object);
	enum style style = STYLE_PLAIN;
	for (size_t i = 0; i < ARRAY_SIZE(styles); i++)
		if (streq(styles[i].change, change))
			style = styles[i].style;
	for (char *c = label; *c && *c != '/'; c++)
		*c = (char)tolower((unsigned char)*c);
	print_styled(stdout, STYLE_PLAIN, "%s ", label);
	print_styled(stdout, style, "%s\n", change ? change : "?");
}

static void print_pending(const json_t *answer)
{
	const char *by = json_text(answer, "confirmBy");
	cleanup_free char *at = time_local(by);
	long long left = (long long)time_parse(by) - (long long)(wall_ms() / 1000);
	printf("revision %lld is in place until it is confirmed; it is taken back at %s (in %lld s)\n",
	       (long long)json_integer_value(json_at(answer, "revision")), at, left > 0 ? left : 0);
	puts("  to keep it:       weft confirm\n  to take it back:  weft rollback");
}

static void print_answer(const json_t *answer, const struct outcome *outcome, const char *what)
{
	const char *message = json_text(answer, "message");
	const json_t *object;
	size_t i;
	if (outcome->objects)
		json_array_foreach(json_at(answer, "objects"), i, object)
			print_change(object);
	if (outcome->plan)
		plan_print(answer, false);
	diagnostics_print(json_text(answer, "rendered"));
	if (streq(outcome->result, "pending"))
		print_pending(answer);
	else if (outcome->status == CLI_DONE)
		print_styled(stdout, STYLE_PLAIN, "%s%s%s%s\n", what, *what ? " is ordered (" : "",
			     message ? message : "done", *what ? ")" : "");
	else
		cli_fail(outcome->status, "%s%s%s", what, *what ? ": " : "",
			 message ? message : "it failed, and weftd did not say why");
}

static int tell(struct cli *cli, int status, const json_t *answer, const char *what, enum output output)
{
	/* Without a result it is a refusal of the request itself, or no answer at all. */
	if (status < 0 || !json_text(answer, "result"))
		return cli_fail(status == 400 || status == 413 ? CLI_USAGE : CLI_FAILED, "%s",
				client_error(cli_client(cli)));
	struct outcome outcome = outcome_of(answer);
	if (output == OUTPUT_JSON)
		print_json(answer);
	else if (output == OUTPUT_YAML)
		print_yaml(answer);
	else
		print_answer(answer, &outcome, what);
	return outcome.status;
}

static int request(struct cli *cli, const struct client_call *call, bool progress, json_t **ret)
{
	if (progress && terminal_of(stderr).is_terminal)
		return progress_request(cli, call, ret);
	return client_request(cli_client(cli), call, ret);
}

int change_run(struct cli *cli, const char *path, const json_t *body, enum output output, bool progress)
{
	json_t *answer = NULL;
	int status =
		request(cli, &(struct client_call){"POST", path, body}, progress && output == OUTPUT_TEXT, &answer);
	status = tell(cli, status, answer, "", output);
	json_decref(answer);
	return status;
}

int change_order(struct cli *cli, const char *path, const char *what, enum output output)
{
	json_t *answer = NULL;
	int status = request(cli, &(struct client_call){"POST", path}, output == OUTPUT_TEXT, &answer);
	status = tell(cli, status, answer, what, output);
	json_decref(answer);
	return status;
}

int change_long_order(struct cli *cli, const char *path, const struct progress_of *of, enum output output)
{
	const struct client_call call = {"POST", path};
	bool draws = output == OUTPUT_TEXT && terminal_of(stderr).is_terminal;
	json_t *answer = NULL;
	int status = draws ? progress_order(cli, &call, of, &answer) : client_request(cli_client(cli), &call, &answer);
	status = tell(cli, status, answer, of->what, output);
	json_decref(answer);
	return status;
}
