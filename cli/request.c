/* SPDX-License-Identifier: Apache-2.0 */
/* Saying what is wrong, and asking weftd. */
#include "cli/cli.h"

#include "api/client.h"
#include "cli/terminal.h"

const char *const output_names[] = {"text", "json", "yaml", "wide", "name"};

int cli_fail(int status, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	fflush(stdout);
	print_styled(stderr, STYLE_BAD, "weft:");
	print_styled(stderr, STYLE_PLAIN, " %s\n", text);
	return status;
}

int cli_misuse(const struct cli *cli, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	const struct verb *verb = cli->verb;
	cli_fail(CLI_USAGE, "%s%s%s", verb ? verb->name : "", verb ? ": " : "", text);
	if (verb)
		fprintf(stderr, "usage: weft %s%s%s%s   ('weft help %s' says more)\n", verb->name,
			verb->arguments ? " " : "", verb->arguments ? verb->arguments : "",
			verb->n_options ? " [OPTION...]" : "", verb->name);
	else
		fputs("usage: weft VERB [ARGUMENT...] [OPTION...]   ('weft help' says more)\n", stderr);
	return CLI_USAGE;
}

struct client *cli_client(struct cli *cli)
{
	if (!cli->client)
		cli->client = client_new(client_socket(cli->socket));
	return cli->client;
}

static int ask(struct cli *cli, const char *method, const char *path, const json_t *body, json_t **ret)
{
	json_t *answer = NULL;
	int status = client_request(cli_client(cli), &(struct client_call){method, path, body}, &answer);
	*ret = answer;
	if (status >= 0 && status < 400 && answer)
		return CLI_DONE;
	json_decref(answer);
	*ret = NULL;
	const char *why = client_error(cli_client(cli));
	return cli_fail(CLI_FAILED, "%s", *why ? why : "weftd gave an empty answer");
}

int cli_get(struct cli *cli, const char *path, json_t **ret)
{
	return ask(cli, "GET", path, NULL, ret);
}

int cli_post(struct cli *cli, const char *path, const json_t *body, json_t **ret)
{
	return ask(cli, "POST", path, body, ret);
}

int cli_run(struct cli *cli)
{
	int status = cli->verb->run(cli, cli->options);
	cli->client = client_free(cli->client);
	if (fflush(stdout) != 0 || ferror(stdout))
		return status ? status : cli_fail(CLI_FAILED, "cannot write the output: %s", strerror(errno));
	return status;
}
