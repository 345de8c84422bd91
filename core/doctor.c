/* SPDX-License-Identifier: Apache-2.0 */
/* See doctor.h: saying findings, and looking at programs, kernel modules and settings. */
#include "core/doctor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <jansson.h>

enum { DEADLINE_MS = 4000, OUTPUT_MAX = 4096, MODULES_MAX = 16 << 20 };

const char *const finding_levels[] = {"ok", "warn", "bad"};

void doctor_find(struct doctor *d, enum finding_level level, const char *name, const char *remedy, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	json_t *finding = json_pack("{s:s, s:s, s:s, s:s}", "area", d->area, "name", name, "level",
				    finding_levels[level], "text", text);
	/* What programs print need not be UTF-8. */
	if (!finding)
		finding = json_pack("{s:s, s:s, s:s, s:s}", "area", d->area, "name", name, "level",
				    finding_levels[level], "text", "what it says is no text");
	if (remedy)
		json_object_set_new(finding, "remedy", json_string(remedy));
	json_dumpf(finding, d->out, JSON_COMPACT);
	fputc('\n', d->out);
	fflush(d->out);
	json_decref(finding);
}

/* ---- children ---- */

/* Reads until the end, the deadline, or as much as anybody wants to see. */
static int read_bounded(int fd, uint64_t deadline, char *text, size_t *ret_size)
{
	for (*ret_size = 0;;) {
		uint64_t now = now_ms();
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		if (now >= deadline || poll(&poll_fd, 1, (int)(deadline - now)) == 0)
			return -ETIMEDOUT;
		char rest[512];
		size_t room = OUTPUT_MAX - *ret_size;
		ssize_t n = read(fd, room ? text + *ret_size : rest, room ? room : sizeof(rest));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		*ret_size += room ? (size_t)n : 0;
	}
}

/* Its exit status; a child that does not end by the deadline is killed, and left alone if even that does not help. */
static int reap(pid_t pid, uint64_t deadline)
{
	int status;
	for (bool killed = false;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			return killed ? -ETIMEDOUT : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (now_ms() >= deadline && killed)
			return -ETIMEDOUT;
		if (now_ms() >= deadline) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			killed = true;
			deadline = now_ms() + 200;
		}
		usleep(2000);
	}
}

static void become_program(const char *const *argv, int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	setenv("LC_ALL", "C", 1);
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

/* Either a program or a function. */
static int run_child(const char *const *argv, int (*fn)(const void *), const void *ctx, char **ret)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		if (argv)
			become_program(argv, fds[1]);
		/* Should it hang for ever, nobody waits for the other end of what this process was given. */
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(null, 1);
		_exit(fn(ctx));
	}
	int r = pid < 0 ? -errno : 0;
	close(fds[1]);
	uint64_t deadline = now_ms() + DEADLINE_MS;
	cleanup_free char *text = xcalloc(OUTPUT_MAX + 1, 1);
	size_t size = 0;
	if (r == 0)
		r = read_bounded(fds[0], deadline, text, &size);
	close(fds[0]);
	text[size] = '\0';
	int status = pid > 0 ? reap(pid, r < 0 ? 0 : deadline) : 0;
	r = r < 0 ? r : status;
	if (ret)
		*ret = take_ptr(text);
	return r;
}

int doctor_run(const char *const *argv, char **ret)
{
	return run_child(argv, NULL, NULL, ret);
}

int doctor_try(int (*fn)(const void *ctx), const void *ctx)
{
	return run_child(NULL, fn, ctx, NULL);
}

/* ---- areas ---- */

/* Returns where what it finds can be read; -1 if there is no process for it. */
static int begin_area(doctor_area_fn *area, pid_t *ret)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	*ret = fork();
	if (*ret == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 1); /* and no other: a child that hangs for ever does not keep that */
		close(fds[1]);
		area(&(struct doctor){.out = stdout});
		_exit(0);
	}
	close(fds[1]);
	if (*ret < 0)
		closep(&fds[0]);
	return *ret < 0 ? -1 : fds[0];
}

static void pass_on(int fd, FILE *out)
{
	char buffer[4096];
	ssize_t n;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EINTR)) {
		if (n > 0)
			fwrite(buffer, 1, (size_t)n, out);
		fflush(out);
	}
}

void doctor_look(FILE *out, doctor_area_fn *const *areas, size_t n)
{
	cleanup_free int *fds = xcalloc(n, sizeof(*fds));
	cleanup_free pid_t *pids = xcalloc(n, sizeof(*pids));
	fflush(stdout);
	for (size_t i = 0; i < n; i++)
		fds[i] = begin_area(areas[i], &pids[i]);
	for (size_t i = 0; i < n; i++) {
		if (fds[i] < 0) {
			areas[i](&(struct doctor){.out = out});
			continue;
		}
		pass_on(fds[i], out);
		close(fds[i]);
		while (waitpid(pids[i], NULL, 0) < 0 && errno == EINTR)
			;
	}
}

/* ---- programs ---- */

static bool is_in(const char *dir, size_t size, const char *name, char ret[static PATH_MAX])
{
	int n = snprintf(ret, PATH_MAX, "%.*s/%s", (int)size, dir, name);
	return size && n < PATH_MAX && access(ret, X_OK) == 0;
}

bool doctor_program(const char *name, char ret[static PATH_MAX])
{
	static const char usual[] = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";
	const char *path = getenv("PATH"), *places[] = {path ? path : "", usual};
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		for (const char *dir = places[i]; *dir; dir += strcspn(dir, ":"), dir += *dir == ':')
			if (is_in(dir, strcspn(dir, ":"), name, ret))
				return true;
	return false;
}

bool doctor_version(const char *text, char ret[static 64])
{
	for (const char *c = text; (c = strpbrk(c, "0123456789")); c += strspn(c, "0123456789")) {
		size_t digits = strspn(c, "0123456789"), size = strspn(c, "0123456789.");
		bool begins = c == text || strchr(" \tvV-", c[-1]);
		if (!begins || c[digits] != '.' || size == digits + 1 || size >= 64)
			continue;
		memcpy(ret, c, size);
		ret[size - (c[size - 1] == '.')] = '\0';
		ret[size] = '\0';
		return true;
	}
	return false;
}

static void look_for(struct doctor *d, const struct doctor_program *row)
{
	char path[PATH_MAX], version[64];
	cleanup_free char *remedy = xprintf("install it: apt install %s", row->package), *out = NULL;
	if (!doctor_program(row->name, path)) {
		doctor_find(d, row->missing, row->name, remedy, "it is not installed; %s", row->why);
		return;
	}
	int status = doctor_run((const char *const[]){path, row->argument, NULL}, &out);
	if (status == -ETIMEDOUT)
		doctor_find(d, row->missing, row->name, "see why it hangs", "%s gave no answer in %d s", path,
			    DEADLINE_MS / 1000);
	else if (status == 126 || status == 127)
		doctor_find(d, row->missing, row->name, remedy, "%s cannot be run: %.*s", path, (int)strcspn(out, "\n"),
			    out);
	else if (doctor_version(out, version))
		doctor_find(d, FINDING_OK, row->name, NULL, "version %s", version);
	else
		doctor_find(d, FINDING_OK, row->name, NULL, "%s", path);
}

void doctor_programs(struct doctor *d, const struct doctor_program *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		look_for(d, &rows[i]);
}

/* ---- the kernel ---- */

/* Is there a line with ".../NAME.ko", perhaps compressed? Dashes and underscores are the same in names of modules. */
static bool lists_module(const char *path, const char *name)
{
	cleanup_free char *text = NULL, *dashes = xprintf("/%s.ko", name), *underscores = xprintf("/%s.ko", name);
	if (file_read(path, MODULES_MAX, &text, NULL) < 0)
		return false;
	for (char *c = dashes; *c; c++)
		*c = *c == '_' ? '-' : *c;
	/* In modules.dep the others on a line are what it depends on; they have lines of their own. */
	return strstr(text, dashes) || strstr(text, underscores);
}

enum module_state doctor_module_state(const char *name, const char *modules)
{
	struct utsname host;
	uname(&host);
	cleanup_free char *own = xprintf("/lib/modules/%s", host.release), *loaded = xprintf("/sys/module/%s", name);
	modules = modules ? modules : own;
	cleanup_free char *builtin = xprintf("%s/modules.builtin", modules), *dep = xprintf("%s/modules.dep", modules);
	if (access(loaded, F_OK) == 0)
		return MODULE_LOADED;
	if (lists_module(builtin, name))
		return MODULE_BUILTIN;
	return lists_module(dep, name) ? MODULE_LOADABLE : MODULE_MISSING;
}

static void look_at_module(struct doctor *d, const struct doctor_module *row)
{
	enum module_state state = doctor_module_state(row->name, NULL);
	cleanup_free char *name = xprintf("module %s", row->name);
	if (state == MODULE_MISSING && row->works && row->works())
		state = MODULE_BUILTIN;
	bool locked = doctor_setting("kernel/modules_disabled") == 1;
	cleanup_free char *load =
		xprintf("modprobe %s; to have it after each boot, name it in /etc/modules-load.d/weft.conf", row->name);
	switch (state) {
	case MODULE_MISSING:
		doctor_find(d, row->missing, name,
			    row->missing == FINDING_OK
				    ? NULL
				    : "use a kernel that has it: distributions put it into the kernel's own or its "
				      "\"extra\" modules package",
			    "this kernel has none; %s", row->why);
		break;
	case MODULE_LOADABLE:
		if (locked)
			doctor_find(d, row->missing, name, "name it in /etc/modules-load.d/weft.conf and reboot",
				    "it is not loaded, and kernel.modules_disabled forbids loading it; %s", row->why);
		else
			doctor_find(d, FINDING_OK, name, load,
				    "not loaded yet; it is there to be loaded when it is needed");
		break;
	case MODULE_BUILTIN:
		doctor_find(d, FINDING_OK, name, NULL, "built in");
		break;
	case MODULE_LOADED:
		doctor_find(d, FINDING_OK, name, NULL, "there");
		break;
	}
}

void doctor_modules(struct doctor *d, const struct doctor_module *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		look_at_module(d, &rows[i]);
}

long long doctor_setting(const char *name)
{
	cleanup_free char *path = xprintf("/proc/sys/%s", name), *text = NULL;
	char *end;
	if (file_read(path, 256, &text, NULL) < 0)
		return -1;
	long long value = strtoll(text, &end, 10);
	return end == text ? -1 : value;
}
