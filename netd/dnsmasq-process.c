/* SPDX-License-Identifier: Apache-2.0 */
/* The dnsmasq processes: starting, ending, finding again. They outlive the daemon; who is running for a network and
 * what it was started with stands in process.json, and if that is lost, the command line names our configuration. Work
 * on one network never overlaps: both classes use one slot for it. */
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/unit.h"
#include "netd/dnsmasq.h"
#include "netd/netd.h"

enum { START_MS = 10000, STOP_MS = 3000, FILE_MAX_BYTES = 4 << 20 };

struct server {
	char *network;
	struct process_id id; /* pid 0: none known */
	struct process_watch *watch;
	bool scanned; /* once is enough: what we start ourselves is noted, or killed */
	/* What is going on: a start that waits for the pid file, or a stop that waits for the end. */
	bool starting;
	dnsmasq_done_fn *done;
	void *ctx;
	json_t *spec; /* while starting */
	sd_event_source *timer, *files;
	struct server *next;
};
static struct server *servers;
static struct engine *told; /* when a dnsmasq has ended; NULL: nobody */

static struct server *server_get(const char *network)
{
	for (struct server *server = servers; server; server = server->next)
		if (streq(server->network, network))
			return server;
	struct server *server = xcalloc(1, sizeof(*server));
	server->network = xstrdup(network);
	server->next = servers;
	servers = server;
	return server;
}

/* The service that it runs in where systemd does. */
static char *unit_of(const char *network)
{
	return xprintf("weft-dnsmasq-%s", network);
}

static void finish(struct server *server, const struct err *err)
{
	dnsmasq_done_fn *done = take_ptr(server->done);
	server->starting = false;
	server->timer = sd_event_source_disable_unref(server->timer);
	server->files = sd_event_source_disable_unref(server->files);
	json_decref(take_ptr(server->spec));
	if (done)
		done(server->ctx, err);
}

/* After an operation that took too long: what it began has not ended yet. */
static bool is_busy(const struct server *server, dnsmasq_done_fn *done, void *ctx)
{
	struct err err = {0};
	if (!server->done)
		return false;
	err_set(&err, EBUSY, "dnsmasq of network '%s' is still being %s", server->network,
		server->starting ? "started" : "ended");
	done(ctx, &err);
	return true;
}

/* The last line that dnsmasq wrote before it gave up, without its own name. */
static char *last_words(const char *network)
{
	cleanup_free char *path = dnsmasq_path(network, DNSMASQ_LOG), *text = NULL;
	if (file_read(path, FILE_MAX_BYTES, &text, NULL) < 0)
		return xstrdup("it said nothing");
	size_t len = strlen(text);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	const char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (str_starts(line, "dnsmasq: "))
		line += strlen("dnsmasq: ");
	return xstrdup(*line ? line : "it said nothing");
}

static void fill_gave_up(const struct server *server, struct err *err)
{
	cleanup_free char *words = last_words(server->network);
	bool taken = strstr(words, "Address already in use");
	err_set(err, EIO, "dnsmasq of network '%s' gave up: %.250s%s", server->network, words,
		taken ? "; stop what listens there, or bind it to other interfaces" : "");
}

static void on_exit_of(void *ctx, const struct process_id *id)
{
	struct server *server = ctx;
	struct err err = {0};
	cleanup_free char *unit = unit_of(server->network);
	unit_forget_service(unit);
	server->watch = NULL;
	server->id = (struct process_id){0};
	if (!server->done) {
		engine_dirty(told, netd_dnsmasq_class.name, server->network);
		return;
	}
	if (server->starting)
		fill_gave_up(server, &err);
	finish(server, err.code ? &err : NULL);
}

static void forget(struct server *server)
{
	process_unwatch(take_ptr(server->watch));
	server->id = (struct process_id){0};
}

static int watch(struct server *server, const struct process_id *id, struct err *err)
{
	forget(server);
	server->watch = process_watch(id, on_exit_of, server, err);
	if (!server->watch)
		return -ESRCH;
	server->id = *id;
	return 0;
}

/* ---- finding ---- */

static bool read_process(const char *network, struct process_id *ret, json_t **ret_spec)
{
	cleanup_free char *path = dnsmasq_path(network, DNSMASQ_PROCESS), *text = NULL;
	if (file_read(path, FILE_MAX_BYTES, &text, NULL) < 0)
		return false;
	json_t *json = json_loads(text, 0, NULL), *spec = NULL;
	json_int_t start = 0;
	int pid = 0;
	bool good = json_unpack(json, "{s:i, s:I, s:o}", "pid", &pid, "start", &start, "spec", &spec) == 0 && pid > 1;
	*ret = (struct process_id){pid, (uint64_t)start};
	if (good && ret_spec)
		*ret_spec = json_incref(spec);
	json_decref(json);
	return good;
}

static bool same_link(int pid, const char *name)
{
	char theirs[64], mine[64], a[64], b[64];
	snprintf(theirs, sizeof(theirs), "/proc/%d/%s", pid, name);
	snprintf(mine, sizeof(mine), "/proc/self/%s", name);
	ssize_t n = readlink(theirs, a, sizeof(a)), m = readlink(mine, b, sizeof(b));
	return n > 0 && n == m && memcmp(a, b, (size_t)n) == 0;
}

/* Somebody else could call a program of his the same, but not under these users. */
static bool trusted_user(int pid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st) < 0)
		return false;
	static const char *const names[] = {"dnsmasq", "nobody"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct passwd *user = getpwnam(names[i]);
		if (user && user->pw_uid == st.st_uid)
			return true;
	}
	return st.st_uid == 0;
}

/* dnsmasq --keep-in-foreground --conf-file=STATE/networks/lan/dnsmasq.conf */
static bool is_ours(const char *network, int pid)
{
	cleanup_free char *conf = dnsmasq_path(network, DNSMASQ_CONF), *last = xprintf("--conf-file=%s", conf),
			  *text = NULL;
	char path[64];
	size_t size = 0;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	if (file_read(path, FILE_MAX_BYTES, &text, &size) < 0)
		return false;
	size_t len = strlen(last) + 1;
	return size > len && memcmp(text + size - len, last, len) == 0 && text[size - len - 1] == '\0' &&
	       trusted_user(pid) && same_link(pid, "ns/net");
}

static bool scan_processes(const char *network, struct process_id *ret)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	bool found = false;
	while (dir && !found && (entry = readdir(dir))) {
		int pid = atoi(entry->d_name);
		found = pid > 1 && is_ours(network, pid) && process_start_time(pid, &ret->start) == 0;
		ret->pid = pid;
	}
	if (dir)
		closedir(dir);
	return found;
}

bool dnsmasq_find(const char *network, struct process_id *ret)
{
	struct server *server = server_get(network);
	struct process_id id;
	if (!server->id.pid || !process_alive(&server->id)) {
		forget(server); /* its end may not have been dispatched yet */
		bool known = read_process(network, &id, NULL) && process_alive(&id) && is_ours(network, id.pid);
		bool lost = !known && !server->scanned;
		server->scanned = true;
		if (!known && !(lost && scan_processes(network, &id)))
			return false;
		if (watch(server, &id, NULL) < 0)
			return false;
	}
	*ret = server->id;
	return true;
}

struct dnsmasq_spec *dnsmasq_started_with(const char *network, const struct process_id *id, struct arena *arena)
{
	struct process_id written;
	json_t *json = NULL;
	if (!read_process(network, &written, &json))
		return NULL;
	struct dnsmasq_spec *spec = NULL;
	if (written.pid == id->pid && written.start == id->start) {
		spec = arena_new_of(arena, struct dnsmasq_spec);
		if (table_from_json(&netd_dnsmasq_table, json, arena, spec, NULL) < 0)
			spec = NULL;
	}
	json_decref(json);
	return spec;
}

static int write_process(const char *network, const struct process_id *id, json_t *spec, struct err *err)
{
	cleanup_free char *path = dnsmasq_path(network, DNSMASQ_PROCESS);
	json_t *json = json_pack("{s:i, s:I, s:O}", "pid", id->pid, "start", (json_int_t)id->start, "spec", spec);
	cleanup_free char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	json_decref(json);
	int r = text ? file_write_atomic(path, text, strlen(text), 0600) : -EINVAL;
	return r < 0 ? err_errno(err, -r, "write %s", path) : 0;
}

int dnsmasq_remember(const char *network, const struct process_id *id, const struct dnsmasq_spec *spec, struct err *err)
{
	json_t *json = table_to_json(&netd_dnsmasq_table, spec, EMIT_NO_STATUS);
	int r = write_process(network, id, json, err);
	json_decref(json);
	return r;
}

/* ---- starting ---- */

static bool has_pid_file(const struct server *server)
{
	cleanup_free char *path = dnsmasq_path(server->network, DNSMASQ_PID), *text = NULL;
	return file_read(path, 64, &text, NULL) == 0 && atoi(text) == server->id.pid;
}

static int on_file(sd_event_source *source, const struct inotify_event *event, void *ctx)
{
	struct server *server = ctx;
	if (has_pid_file(server))
		finish(server, NULL);
	return 0;
}

static int on_slow_start(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct server *server = ctx;
	struct err err = {0};
	err_set(&err, ETIMEDOUT, "dnsmasq of network '%s' did not begin to serve within %d s", server->network,
		START_MS / 1000);
	process_signal(&server->id, SIGKILL);
	finish(server, &err);
	return 0;
}

/* dnsmasq writes its pid file when its sockets are open. */
static int await_service(struct server *server, struct err *err)
{
	cleanup_free char *dir = xprintf("%s/networks/%s", env.run_dir, server->network);
	int r = sd_event_add_inotify(env.loop, &server->files, dir, IN_CLOSE_WRITE | IN_MOVED_TO, on_file, server);
	if (r >= 0)
		r = sd_event_add_time_relative(env.loop, &server->timer, CLOCK_MONOTONIC, (uint64_t)START_MS * 1000,
					       1000, on_slow_start, server);
	return r < 0 ? err_errno(err, -r, "watch %s", dir) : 0;
}

static void on_launched(void *ctx, const struct process_id *id, const struct err *failed)
{
	struct server *server = ctx;
	struct err err = failed ? *failed : (struct err){0};
	if (err.code == ENOENT)
		err_set(&err, ENOENT, "there is no program dnsmasq; install the package dnsmasq-base");
	if (!err.code && write_process(server->network, id, server->spec, &err) == 0 && watch(server, id, &err) == 0)
		await_service(server, &err);
	if (err.code == ESRCH) /* gone before it could be watched */
		fill_gave_up(server, &err);
	if (err.code && !failed)
		process_signal(id, SIGKILL); /* nobody would know of it */
	if (err.code) {
		finish(server, &err);
	} else if (has_pid_file(server)) {
		finish(server, NULL);
	}
}

static void start(struct server *server, json_t *spec, dnsmasq_done_fn *done, void *ctx)
{
	cleanup_free char *conf = dnsmasq_path(server->network, DNSMASQ_CONF),
			  *option = xprintf("--conf-file=%s", conf);
	cleanup_free char *pid = dnsmasq_path(server->network, DNSMASQ_PID),
			  *log = dnsmasq_path(server->network, DNSMASQ_LOG);
	cleanup_free char *name = unit_of(server->network);
	cleanup_free char *description = xprintf("DHCP and DNS of weft network %s", server->network);
	struct err err = {0};
	if (is_busy(server, done, ctx)) {
		json_decref(spec);
		return;
	}
	server->starting = true;
	server->done = done;
	server->ctx = ctx;
	server->spec = spec;
	unlink(pid);
	unlink(log);
	struct launch_spec how = {
		.name = name,
		.description = description,
		.argv = (const char *const[]){"dnsmasq", "--keep-in-foreground", option, NULL},
		.log_path = log,
	};
	if (launch(&how, on_launched, server, &err) < 0)
		finish(server, &err);
}

void dnsmasq_start(const char *network, const struct dnsmasq_spec *spec, dnsmasq_done_fn *done, void *ctx)
{
	start(server_get(network), table_to_json(&netd_dnsmasq_table, spec, EMIT_NO_STATUS), done, ctx);
}

void dnsmasq_start_again(const char *network, dnsmasq_done_fn *done, void *ctx)
{
	struct process_id id;
	json_t *spec = NULL;
	if (read_process(network, &id, &spec)) {
		start(server_get(network), spec, done, ctx);
		return;
	}
	struct err err = {0};
	err_set(&err, ENOENT, "it is not known any more how dnsmasq of network '%s' was started", network);
	done(ctx, &err);
}

/* ---- ending ---- */

static int on_slow_stop(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct server *server = ctx;
	process_signal(&server->id, SIGKILL);
	return 0;
}

void dnsmasq_stop(const char *network, dnsmasq_done_fn *done, void *ctx)
{
	struct server *server = server_get(network);
	struct process_id id;
	if (is_busy(server, done, ctx))
		return;
	if (!dnsmasq_find(network, &id) || process_signal(&id, SIGTERM) < 0) {
		done(ctx, NULL);
		return;
	}
	server->done = done;
	server->ctx = ctx;
	if (sd_event_add_time_relative(env.loop, &server->timer, CLOCK_MONOTONIC, (uint64_t)STOP_MS * 1000, 1000,
				       on_slow_stop, server) < 0)
		abort(); /* out of memory */
}

void dnsmasq_reload(const char *network)
{
	struct process_id id;
	if (dnsmasq_find(network, &id))
		process_signal(&id, SIGHUP);
}

/* ---- who it is ---- */

const char *dnsmasq_user(const char *network)
{
	cleanup_free char *path = dnsmasq_path(network, DNSMASQ_HOSTS);
	for (char *slash = path + strlen(path); slash && slash != path; slash = strrchr(path, '/')) {
		struct stat st;
		*slash = '\0';
		if (stat(path, &st) == 0 && !(st.st_mode & S_IXOTH))
			return "root";
	}
	return getpwnam("dnsmasq") ? "dnsmasq" : "nobody";
}

int netd_dhcp_start(struct engine *engine, struct err *err)
{
	told = engine;
	dhcp_watch_start(engine);
	return 0;
}

/* Lets go of the processes, which go on. */
void netd_dhcp_stop(void)
{
	told = NULL;
	dhcp_watch_stop();
	while (servers) {
		struct server *server = servers;
		servers = server->next;
		process_unwatch(take_ptr(server->watch));
		if (server->done)
			continue; /* the launcher will still call back */
		sd_event_source_disable_unref(server->timer);
		sd_event_source_disable_unref(server->files);
		json_decref(server->spec);
		free(server->network);
		free(server);
	}
}
