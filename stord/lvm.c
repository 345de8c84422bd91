/* SPDX-License-Identifier: Apache-2.0 */
/* See lvm.h. */
#include "stord/lvm.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

#include "core/env.h"
#include "core/lower.h"
#include "stord/image.h"

/* Monitoring is the host's own business (lvm2-monitor.service starts it at boot, as its lvm.conf says): a command that
 * started dmeventd from here would make it a child of ours. What is in use is refused at once and not after five
 * seconds of trying. The rest is how answers are written. */
static const char config[] =
	"activation { monitoring = 0 retry_deactivation = 0 } "
	"log { command_names = 0 prefix = \"  \" silent = 0 verbose = 0 report_command_log = 0 } "
	"report { time_format = \"%s\" list_item_separator = \",\" binary_values_as_numeric = 0 compact_output = 0 "
	"mark_hidden_devices = 1 }";

/* Those that are there. Links are followed here: lvm knows only those that udev has told it of. */
static char *devices_text(const struct list *devices)
{
	char *text = xstrdup("");
	for (size_t i = 0; devices && i < devices->n; i++) {
		cleanup_free char *real = realpath(list_at(devices, const char *, i), NULL);
		if (!real)
			continue;
		char *longer = xprintf("%s%s%s", text, *text ? "," : "", real);
		free(text);
		text = longer;
	}
	return text;
}

static bool has_no_device(const struct lvm *lvm)
{
	cleanup_free char *devices = devices_text(lvm->devices);
	return lvm->devices && lvm->devices->n && !*devices;
}

/* arguments[0] is the command; options of ours come after it. What changes something has its turn, or -1 where that
 * cannot be had; what asks has 0. */
static int run(const struct lvm *lvm, const char *const *arguments, int turn, char **out, char **errs)
{
	cleanup_free char *devices = devices_text(lvm->devices), *host = lvm_host_settings(lvm);
	cleanup_free char *settings = xprintf("%s%s", host, config);
	cleanup_free const char **argv = xcalloc(LVM_ARGUMENTS_MAX + 8, sizeof(*argv));
	size_t n = 0;
	argv[n++] = "lvm";
	argv[n++] = arguments[0];
	argv[n++] = "--config";
	argv[n++] = settings;
	if (*devices) {
		argv[n++] = "--devices";
		argv[n++] = devices;
	}
	for (size_t i = 1; arguments[i] && i < LVM_ARGUMENTS_MAX; i++)
		argv[n++] = arguments[i];
	return run_it(&(struct program){
		.argv = argv, .out = out, .errs = errs, .whole = turn != 0, .number_fd = turn > 0 ? turn : 0});
}

/* Takes the next line of what lvm wrote, without its indentation; NULL at the end. */
static char *next_line(char **rest)
{
	char *line = strsep(rest, "\n");
	return line ? line + strspn(line, " ") : NULL;
}

static bool is_chatter(const char *line)
{
	static const char *const beginnings[] = {
		"WARNING:",
		"Rounding",
		"See ",
		"Run `",
		"Thin pool volume with",
		"Skipping global lock",
		"Reading VG",
		"Reading without",
		"Starting locking",
	};
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
		if (str_starts(line, beginnings[i]))
			return true;
	return !*line;
}

/* lvm says why in the first line that is more than a warning, and after it what it could therefore not do. */
static const char *reason_of(char *errs)
{
	for (char *line; (line = next_line(&errs));)
		if (!is_chatter(line))
			return line;
	return "it did not say why";
}

/* What lvm says of what people meet, as an errno and what to do. */
static const struct {
	const char *text;
	int code;
	const char *advice;
} known[] = {
	{"nsufficient free space", ENOSPC, "; add a device with vgextend, or ask for less"},
	{"nsufficient suitable allocatable extents", ENOSPC, "; add a device with vgextend, or ask for less"},
	{"not enough free", ENOSPC, "; add a device with vgextend, or ask for less"},
	{"reached threshold", ENOSPC, "; extend the thin pool with lvextend"},
	{" in use", EBUSY, ""},
	{"contains a filesystem in use", EBUSY, ""},
	{"already exists", EEXIST, ""},
	{"while PVs are missing", ENODEV,
	 "; bring the missing device back, or give it up with vgreduce --removemissing"},
	{"with system ID", EBUSY, ": it belongs to another host, which the status of its Pool tells more of"},
	{"locked by other host", EBUSY, ": a guest of that host uses it, or something is being done to it there"},
	{"incompatible mode", EBUSY, ": this host uses it, or shares it with others, until no guest of its own has it"},
	{"not stopped on other hosts", EBUSY,
	 ": delete its Pool there first, or stop its locks (vgchange --lock-stop); that such a host no longer "
	 "has them is known some 20 seconds later"},
	{"due to failed lock", ENOLCK, ": its locks cannot be had, which the status of its Pool tells more of"},
};

int lvm_explain(int status, char *errs, const char *what)
{
	if (status < 0 || status == 127)
		return say(ENOENT, "%s: the program 'lvm' cannot be run (%s); install the package lvm2", what,
			   status < 0 ? strerror(-status) : errs);
	const char *reason = reason_of(errs);
	size_t len = strlen(reason);
	if (len && reason[len - 1] == '.')
		len--;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strstr(reason, known[i].text))
			return say(known[i].code, "%s: %.*s%s", what, (int)len, reason, known[i].advice);
	return say(EIO, "%s: %.*s", what, (int)len, reason);
}

/* The command whose child is gone may be under way yet: what it was told to do is done before anything else is. */
static void wait_for_last(int turn)
{
	enum { NAME = 32 };
	pid_t last = 0;
	if (pread(turn, &last, sizeof(last), 0) != sizeof(last) || last <= 0)
		return;
	cleanup_close int fd = (int)syscall(SYS_pidfd_open, last, 0);
	cleanup_free char *path = xprintf("/proc/%d/comm", (int)last), *text = NULL;
	if (fd < 0 || file_read(path, NAME, &text, NULL) < 0 || !str_starts(text, "lvm\n"))
		return; /* somebody else has its number by now */
	struct pollfd ended = {.fd = fd, .events = POLLIN};
	while (poll(&ended, 1, -1) < 0 && errno == EINTR)
		;
}

/* Commands on one group wait for one another here: lvm would have them wait as well, but what waits there has to read
 * everything once more when its turn comes, and goes on waiting when its child is gone. Without the lock they do. */
static int wait_for_turn(const struct lvm *lvm)
{
	cleanup_free char *dir = xprintf("%s/lvm", env.run_dir), *path = xprintf("%s/%s.lock", dir, lvm->group);
	mkdir_all(dir, 0700);
	int turn = lock_wait(path, O_RDWR | O_CREAT);
	if (turn > 0)
		wait_for_last(turn);
	return turn;
}

int lvm_attempt_unless(const struct lvm *lvm, bool (*kept)(const char *name), const char *name,
		       const char *const *arguments, char **ret_errs)
{
	cleanup_close int turn = wait_for_turn(lvm);
	return kept && kept(name) ? 0 : run(lvm, arguments, turn, NULL, ret_errs);
}

int lvm_attempt(const struct lvm *lvm, const char *const *arguments, char **ret_errs)
{
	return lvm_attempt_unless(lvm, NULL, NULL, arguments, ret_errs);
}

int lvm_change(const struct lvm *lvm, const char *what, const char *const *arguments)
{
	cleanup_free char *errs = NULL;
	if (has_no_device(lvm))
		return say(ENODEV, "%s: no device of volume group '%s' is there", what, lvm->group);
	int status = lvm_attempt(lvm, arguments, &errs);
	return status == 0 ? 0 : lvm_explain(status, errs, what);
}

/* A name that is not there makes lvm fail, after it has told of all that are. Any other complaint is an error: what
 * could not be read must not look as if it were gone. */
static bool only_absent(const char *errs)
{
	cleanup_free char *text = xstrdup(errs);
	char *rest = text;
	for (char *line; (line = next_line(&rest));)
		if (!is_chatter(line) && !str_starts(line, "Failed to find logical volume") &&
		    !(str_starts(line, "Volume group \"") && strstr(line, "\" not found")) &&
		    !str_starts(line, "Cannot process volume group") &&
		    !str_starts(line, "Failed to find physical volume"))
			return false;
	return true;
}

/* lvm lvs --reportformat json --units b --nosuffix -o lv_name,lv_size vg0/web
 * {"report": [{"lv": [{"lv_name": "web", "lv_size": "67108864"}]}]} */
int lvm_report(const struct lvm *lvm, const char *const *arguments, json_t **ret)
{
	const char *argv[LVM_ARGUMENTS_MAX] = {arguments[0], "--reportformat", "json", "--units", "b", "--nosuffix"};
	cleanup_free char *out = NULL, *errs = NULL, *what = NULL;
	size_t n = 6;
	if (has_no_device(lvm)) { /* without a list lvm would look everywhere */
		*ret = json_array();
		return 0;
	}
	for (size_t i = 1; arguments[i] && n + 1 < ARRAY_SIZE(argv); i++)
		argv[n++] = arguments[i];
	int status = run(lvm, argv, 0, &out, &errs);
	what = xprintf("volume group '%s' cannot be looked at", lvm->group);
	if (status != 0 && (status != 5 || !only_absent(errs)))
		return lvm_explain(status, errs, what);
	json_t *answer = json_loads(out, 0, NULL);
	json_t *report = json_array_get(json_object_get(answer, "report"), 0);
	*ret = json_incref(json_object_iter_value(json_object_iter(report)));
	json_decref(answer);
	return json_is_array(*ret) ? 0 : say(EPROTO, "%s: lvm's answer is no report", what);
}

const char *lvm_text(const json_t *row, const char *column)
{
	const char *text = json_string_value(json_object_get(row, column));
	return text ? text : "";
}

uint64_t lvm_bytes(const json_t *row, const char *column)
{
	return strtoull(lvm_text(row, column), NULL, 10);
}

double lvm_percent(const json_t *row, const char *column)
{
	return strtod(lvm_text(row, column), NULL);
}

uint64_t lvm_identity(const json_t *row, const char *column)
{
	return host_hash(lvm_text(row, column)) | 1;
}

/* "LVM-" and the identifiers of group and volume, without their dashes, as the kernel knows it. */
bool lvm_uuid_of_device(const char *place, char ret[static LVM_UUID_MAX])
{
	cleanup_free char *real = realpath(place, NULL), *file = NULL, *uuid = NULL;
	enum { PREFIX = 4 + 32, LENGTH = 32 };
	static const int groups[] = {6, 4, 4, 4, 4, 4, 6};
	if (!real)
		return false;
	file = xprintf("/sys/class/block/%s/dm/uuid", strrchr(real, '/') + 1);
	if (file_read(file, 256, &uuid, NULL) < 0 || !str_starts(uuid, "LVM-") || strlen(uuid) < PREFIX + LENGTH)
		return false;
	const char *from = uuid + PREFIX;
	for (size_t i = 0; i < ARRAY_SIZE(groups); from += groups[i++])
		ret += sprintf(ret, "%s%.*s", i ? "-" : "", groups[i], from);
	return true;
}

void lvm_tag(const json_t *row, const char *column, const char *beginning, char *ret, size_t size)
{
	cleanup_free char *tags = xstrdup(lvm_text(row, column));
	char *rest = tags;
	*ret = '\0';
	for (char *tag; (tag = strsep(&rest, ","));)
		if (str_starts(tag, beginning))
			snprintf(ret, size, "%s", tag);
}
