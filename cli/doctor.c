/* SPDX-License-Identifier: Apache-2.0 */
/* weft doctor: what this host lacks, with what to do about it. weftd looks; where none runs, its program looks without
 * serving. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "api/client.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/terminal.h"

enum { DAEMON_MS = 45000, LOCAL_MS = 30000, NAME_COLUMNS = 26, WRAP_COLUMNS = 110, NOT_FOUND = 127 };

struct options {
	int output;
	bool problems;
};

static const struct cli_option rows[] = {
	OUTPUT_OPTION(struct options, output, 2),
	{.name = "problems",
	 .letter = 'p',
	 .type = OPTION_FLAG,
	 .offset = offsetof(struct options, problems),
	 .doc = "Only what is not as it should be"},
};

/* ---- looking without a daemon ---- */

/* Beside this program, as in a build tree; installed; else somewhere in PATH. */
static void find_weftd(char path[static PATH_MAX])
{
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - sizeof("/weftd"));
	if (size > 0) {
		path[size] = '\0';
		strcpy(strrchr(path, '/'), "/weftd");
		if (access(path, X_OK) == 0)
			return;
	}
	snprintf(path, PATH_MAX, "%s/weftd", WEFT_SBINDIR);
	if (access(path, X_OK) < 0)
		strcpy(path, "weftd");
}

static void read_lines(FILE *f, json_t *findings)
{
	char line[16384];
	while (fgets(line, sizeof(line), f))
		json_array_append_new(findings, json_loads(line, 0, NULL));
}

/* weftd --doctor [--root DIR]; its findings are lines. The alarm that it inherits ends it if it hangs as a whole. */
static int look_here(const char *program, const char *root, json_t *findings)
{
	int fds[2], status = -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		const char *argv[] = {program, "--doctor", root ? "--root" : NULL, root, NULL};
		dup2(fds[1], STDOUT_FILENO);
		signal(SIGALRM, SIG_DFL);
		alarm(LOCAL_MS / 1000);
		execvp(program, (char *const *)argv);
		_exit(NOT_FOUND);
	}
	close(fds[1]);
	cleanup_fclose FILE *f = fdopen(fds[0], "r");
	if (pid < 0 || !f)
		return -errno;
	read_lines(f, findings);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The root of a weftd whose socket is ROOT/run/weft.sock; NULL for the system's. */
static char *root_of(const char *socket)
{
	static const char tail[] = "/run/weft.sock";
	size_t size = strlen(socket), end = sizeof(tail) - 1;
	return size > end && streq(socket + size - end, tail) ? xstrndup(socket, size - end) : NULL;
}

static void add(json_t *findings, const char *level, const char *name, const char *text, const char *remedy)
{
	json_array_append_new(findings, json_pack("{s:s, s:s, s:s, s:s, s:s*}", "area", "weftd", "name", name, "level",
						  level, "text", text, "remedy", remedy));
}

static json_t *look_without_daemon(struct cli *cli)
{
	json_t *findings = json_array();
	char program[PATH_MAX];
	cleanup_free char *root = root_of(client_socket(cli->socket)), *why = xstrdup(client_error(cli_client(cli)));
	char *cut = strstr(why, "; ");
	if (cut)
		*cut = '\0';
	add(findings, "bad", "weftd", why, "start it, as root: weftd; or name the socket of another with --socket");
	find_weftd(program);
	int status = look_here(program, root, findings);
	if (status == NOT_FOUND) {
		add(findings, "bad", "checks", "the program weftd is not installed, and it is what looks at the host",
		    "install weft as a whole: cmake --install");
	} else if (status != 0) {
		cleanup_free char *text =
			xprintf("%s --doctor %s", program, status < 0 ? strerror(-status) : "did not come to its end");
		add(findings, "bad", "checks", text, "what is missing here was not looked at; see what hangs or fails");
	}
	return findings;
}

/* ---- showing it ---- */

static enum style style_of(const char *level)
{
	return streq(level, "ok") ? STYLE_GOOD : streq(level, "warn") ? STYLE_WARN : STYLE_BAD;
}

/* Breaks a text at blanks; all lines but the first are indented. */
static void print_wrapped(const char *text, size_t indent, enum style style)
{
	struct terminal terminal = terminal_of(stdout);
	size_t width = terminal.width && terminal.width < WRAP_COLUMNS ? terminal.width : WRAP_COLUMNS;
	size_t room = width > indent + 20 ? width - indent : 20;
	for (bool first = true; *text; first = false) {
		size_t cut = strlen(text);
		if (cut > room) {
			for (cut = room; cut > 0 && text[cut] != ' '; cut--)
				;
			cut = cut ? cut : terminal.width ? room : strcspn(text, " ");
		}
		print_styled(stdout, STYLE_PLAIN, "%*s", first ? 0 : (int)indent, "");
		print_styled(stdout, style, "%.*s", (int)cut, text);
		putchar('\n');
		text += cut + strspn(text + cut, " ");
	}
}

static void print_finding(const json_t *finding)
{
	const char *level = json_text(finding, "level"), *name = json_text(finding, "name");
	const char *text = json_text(finding, "text"), *remedy = json_text(finding, "remedy");
	enum { LEVEL_COLUMNS = 6, INDENT = 2 + LEVEL_COLUMNS + NAME_COLUMNS };
	bool utf8 = terminal_of(stdout).utf8;
	if (!level || !name || !text)
		return;
	size_t columns = text_columns(name);
	print_styled(stdout, style_of(level), "  %-*s", LEVEL_COLUMNS, level);
	print_styled(stdout, STYLE_PLAIN, "%s", name);
	if (columns + 1 < NAME_COLUMNS)
		printf("%*s", (int)(NAME_COLUMNS - columns), "");
	else
		printf("\n%*s", INDENT, "");
	print_wrapped(text, INDENT, STYLE_PLAIN);
	if (!remedy || streq(level, "ok"))
		return;
	printf("%*s", INDENT, "");
	print_styled(stdout, STYLE_NOTE, "%s ", utf8 ? "\u2192" : "->");
	print_wrapped(remedy, INDENT + (utf8 ? 2 : 3), STYLE_NOTE);
}

static size_t count(const json_t *findings, const char *level)
{
	const json_t *finding;
	size_t n = 0, i;
	json_array_foreach(findings, i, finding)
		n += streq(json_text(finding, "level"), level);
	return n;
}

static void print_findings(const json_t *findings, bool problems)
{
	const char *area = "";
	const json_t *finding;
	size_t i;
	json_array_foreach(findings, i, finding) {
		const char *of = json_text(finding, "area");
		if (problems && streq(json_text(finding, "level"), "ok"))
			continue;
		if (of && !streq(of, area))
			print_styled(stdout, STYLE_STRONG, "%s%s\n", *area ? "\n" : "", of);
		area = of ? of : area;
		print_finding(finding);
	}
	size_t bad = count(findings, "bad"), warn = count(findings, "warn");
	printf("%s%zu bad, %zu to know of, %zu fine\n", *area ? "\n" : "", bad, warn, count(findings, "ok"));
}

static int run(struct cli *cli, const void *opaque)
{
	const struct options *options = opaque;
	json_t *answer = NULL, *findings = NULL;
	const struct client_call call = {.method = "GET", .path = "/v1/doctor", .timeout_ms = DAEMON_MS};
	int status = client_request(cli_client(cli), &call, &answer);
	bool daemon = status == 200;
	if (daemon)
		findings = json_incref(json_at(answer, "findings"));
	else if (status < 0 && status != -EACCES)
		findings = look_without_daemon(cli);
	json_decref(answer);
	if (!findings)
		return cli_fail(CLI_FAILED, "%s", client_error(cli_client(cli)));
	status = count(findings, "bad") ? CLI_FAILED : CLI_DONE;
	if (options->output == OUTPUT_JSON) {
		json_t *shown = json_pack("{s:b, s:o}", "daemon", daemon, "findings", findings);
		print_json(shown);
		json_decref(shown);
		return status;
	}
	print_findings(findings, options->problems);
	json_decref(findings);
	return status;
}

const struct verb verb_doctor = {
	.name = "doctor",
	.summary = "Say what this host lacks, and what to do about it",
	.text = "Looks at virtualization, devices, kernel modules, programs, users, settings, and other programs that "
		"work on the network. Changes nothing. Also works where no weftd runs; some of it shows only to root. "
		"Exits "
		"with 1 if something is bad.",
	.examples = "  weft doctor\n  weft doctor --problems",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.run = run,
};
