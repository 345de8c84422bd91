/* SPDX-License-Identifier: Apache-2.0 */
/* weft guest console: the terminal becomes the guest's serial console, until Ctrl-]. Without a terminal, standard input
 * goes to the guest and what the guest says to standard output. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include "api/client.h"
#include "cli/cli.h"
#include "cli/console-log.h"
#include "cli/json.h"
#include "cli/terminal.h"

struct options {
	bool log;
	unsigned timeout_ms;
};

enum { ESCAPE = 0x1d /* Ctrl-] */, BLOCK = 4096, AFTER_INPUT_MS = 2000 };

static const struct cli_option rows[] = {
	FLAG_OPTION("log", struct options, log, "Only print what the console has said so far"),
	{.name = "timeout",
	 .type = OPTION_TIME,
	 .offset = offsetof(struct options, timeout_ms),
	 .argument = "TIME",
	 .doc = "When standard input is no terminal: how long to go on after its end (2s)"},
};

struct session {
	const char *guest;
	int fd;
	bool interactive; /* stdin and stdout are a terminal, which is raw */
	bool input_ended;
	unsigned after_ms;
	uint64_t end_ms; /* once the input has ended */
	struct termios before;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

/* ---- connecting ---- */

/* The path of a unix socket may be longer than an address has room for: its directory then stands for it by a
 * descriptor. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_free char *directory = xstrdup(path), *shorter = NULL;
	cleanup_close int at = -1;
	char *slash = strrchr(directory, '/');
	if (strlen(path) >= sizeof(address.sun_path) && slash) {
		*slash = '\0';
		at = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (at < 0)
			return -errno;
		shorter = xprintf("/proc/self/fd/%d/%s", at, slash + 1);
		path = shorter;
	}
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return take_fd(&fd);
}

static int connect_guest(const char *guest, const char *path, int *ret)
{
	int fd = connect_to(path);
	*ret = fd;
	if (fd >= 0)
		return CLI_DONE;
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return cli_fail(
			CLI_FAILED,
			"the console of guest '%s' is not there: it does not run ('weft get guest %s' says why; "
			"'weft guest console %s --log' shows what it said), or has console.serial: false",
			guest, guest, guest);
	if (fd == -EACCES || fd == -EPERM)
		return cli_fail(CLI_FAILED, "no permission to use the console of guest '%s'; be root", guest);
	return cli_fail(CLI_FAILED, "cannot reach the console of guest '%s' at %s: %s", guest, path, strerror(-fd));
}

/* ---- the terminal ---- */

static bool make_raw(struct session *session)
{
	if (!session->interactive || tcgetattr(STDIN_FILENO, &session->before) < 0)
		return false;
	struct termios raw = session->before;
	cfmakeraw(&raw);
	return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void make_normal(const struct session *session)
{
	/* What a guest may have left behind: colours, a hidden cursor. */
	static const char reset[] = "\033[0m\033[?25h\r\n";
	tcsetattr(STDIN_FILENO, TCSADRAIN, &session->before);
	if (write(STDOUT_FILENO, reset, sizeof(reset) - 1) < 0)
		return;
}

/* ---- carrying ---- */

static bool write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno != EINTR)
			return false;
		data += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool from_guest(struct session *session)
{
	char block[BLOCK];
	ssize_t n = read(session->fd, block, sizeof(block));
	if (n < 0 && errno == EINTR)
		return true;
	return n > 0 && write_all(STDOUT_FILENO, block, (size_t)n);
}

/* False when the person leaves. */
static bool to_guest(struct session *session)
{
	char block[BLOCK];
	ssize_t n = read(STDIN_FILENO, block, sizeof(block));
	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		session->input_ended = true;
		session->end_ms = now_ms() + session->after_ms;
		return !session->interactive;
	}
	const char *escape = session->interactive ? memchr(block, ESCAPE, (size_t)n) : NULL;
	size_t size = escape ? (size_t)(escape - block) : (size_t)n;
	return write_all(session->fd, block, size) && !escape;
}

static int time_left(const struct session *session)
{
	if (!session->input_ended)
		return -1;
	uint64_t now = now_ms();
	return now >= session->end_ms ? 0 : (int)(session->end_ms - now);
}

/* Returns true if the guest's side has ended it. */
static bool carry(struct session *session)
{
	while (!interrupted) {
		struct pollfd fds[] = {
			{.fd = session->fd, .events = POLLIN},
			{.fd = session->input_ended ? -1 : STDIN_FILENO, .events = POLLIN},
		};
		int n = poll(fds, ARRAY_SIZE(fds), time_left(session));
		if (n < 0 && errno != EINTR)
			return false;
		if (n == 0)
			return false;
		if (n > 0 && fds[0].revents && !from_guest(session))
			return true;
		if (n > 0 && fds[1].revents && !to_guest(session))
			return false;
	}
	return false;
}

static int attach(struct session *session, const char *log)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	if (!session->interactive)
		sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (session->interactive) {
		console_log_print(log, CONSOLE_TAIL_BYTES);
		print_styled(stdout, STYLE_NOTE,
			     "\n(console of guest '%s'; Ctrl-] leaves it, Enter asks for a prompt)\n", session->guest);
		fflush(stdout);
	}
	bool raw = make_raw(session), ended = carry(session);
	if (raw)
		make_normal(session);
	if (ended && session->interactive)
		print_styled(stdout, STYLE_NOTE, "(the guest has ended)\n");
	return CLI_DONE;
}

static int run_with(const struct options *options, const char *guest, const json_t *answer)
{
	const char *path = json_text(answer, "path"), *log = json_text(answer, "log");
	struct session session = {
		.guest = guest,
		.interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
		.after_ms = options->timeout_ms ? options->timeout_ms : AFTER_INPUT_MS,
	};
	if (options->log) {
		int r = console_log_print(log, 0);
		return r < 0 ? cli_fail(CLI_FAILED, "guest '%s' has said nothing yet: %s: %s", guest,
					log ? log : "no log", strerror(-r))
			     : CLI_DONE;
	}
	if (!path)
		return cli_fail(CLI_FAILED, "weftd does not know the console of guest '%s'", guest);
	int status = connect_guest(guest, path, &session.fd);
	if (status != CLI_DONE)
		return status;
	status = attach(&session, log);
	close(session.fd);
	return status;
}

static int run(struct cli *cli, const void *options)
{
	json_t *answer = NULL;
	cleanup_free char *name = client_escape(cli->args[0]);
	cleanup_free char *path = xprintf("/v1/guests/%s/console", name);
	int status = cli_get(cli, path, &answer);
	if (status == CLI_DONE)
		status = run_with(options, cli->args[0], answer);
	json_decref(answer);
	return status;
}

const struct verb verb_guest_console = {
	.name = "guest console",
	.arguments = "NAME",
	.summary = "Talk to the serial console of a guest",
	.text = "Ctrl-] leaves it. The end of what the console has said before is shown first. When standard input is "
		"no terminal it is sent to the guest, and what the guest says is printed.",
	.examples = "  weft guest console web\n  weft guest console web --log | grep -i error\n"
		    "  echo uptime | weft guest console web --timeout 5s",
	.options = rows,
	.n_options = ARRAY_SIZE(rows),
	.options_size = sizeof(struct options),
	.min_args = 1,
	.max_args = 1,
	.words = WORDS_GUESTS,
	.run = run,
};
