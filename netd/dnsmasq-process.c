/* SPDX-License-Identifier: Apache-2.0 */
/* The dnsmasq processes, as helpers (helper.h): dnsmasq writes its pid file when its sockets are open, and its command
 * line names our configuration. */
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>

#include "netd/dhcp-client-process.h"
#include "netd/dnsmasq.h"
#include "netd/netd.h"

static char *path_of(const char *network, enum helper_file file)
{
	static const enum dnsmasq_file files[] = {
		[HELPER_PID] = DNSMASQ_PID, [HELPER_PROCESS] = DNSMASQ_PROCESS, [HELPER_LOG] = DNSMASQ_LOG};
	return dnsmasq_path(network, files[file]);
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
static bool is_ours(const char *network, int pid, const char *line, size_t size)
{
	cleanup_free char *conf = dnsmasq_path(network, DNSMASQ_CONF), *last = xprintf("--conf-file=%s", conf);
	size_t len = strlen(last) + 1;
	return size > len && memcmp(line + size - len, last, len) == 0 && line[size - len - 1] == '\0' &&
	       trusted_user(pid);
}

static const struct helper_kind dnsmasq = {
	.class = "dnsmasq",
	.program = "dnsmasq",
	.package = "dnsmasq-base",
	.whose = "network",
	.path = path_of,
	.is_ours = is_ours,
};

bool dnsmasq_find(const char *network, struct process_id *ret)
{
	return helper_find(&dnsmasq, network, ret);
}

struct dnsmasq_spec *dnsmasq_started_with(const char *network, const struct process_id *id, struct arena *arena)
{
	json_t *json = helper_started_with(&dnsmasq, network, id);
	struct dnsmasq_spec *spec = json ? arena_new_of(arena, struct dnsmasq_spec) : NULL;
	if (spec && table_from_json(&netd_dnsmasq_table, json, arena, spec, NULL) < 0)
		spec = NULL;
	json_decref(json);
	return spec;
}

int dnsmasq_remember(const char *network, const struct process_id *id, const struct dnsmasq_spec *spec, struct err *err)
{
	json_t *json = table_to_json(&netd_dnsmasq_table, spec, EMIT_NO_STATUS);
	int r = helper_remember(&dnsmasq, network, id, json, err);
	json_decref(json);
	return r;
}

static void start(const char *network, json_t *spec, helper_done_fn *done, void *ctx)
{
	cleanup_free char *conf = dnsmasq_path(network, DNSMASQ_CONF), *option = xprintf("--conf-file=%s", conf);
	cleanup_free char *description = xprintf("DHCP and DNS of weft network %s", network);
	const struct helper_start how = {
		.description = description,
		.argv = (const char *const[]){"dnsmasq", "--keep-in-foreground", option, NULL},
		.spec = spec,
	};
	helper_start(&dnsmasq, network, &how, done, ctx);
}

void dnsmasq_start(const char *network, const struct dnsmasq_spec *spec, helper_done_fn *done, void *ctx)
{
	start(network, table_to_json(&netd_dnsmasq_table, spec, EMIT_NO_STATUS), done, ctx);
}

void dnsmasq_start_again(const char *network, helper_done_fn *done, void *ctx)
{
	json_t *spec = helper_last_spec(&dnsmasq, network);
	if (spec) {
		start(network, spec, done, ctx);
		return;
	}
	struct err err = {0};
	err_set(&err, ENOENT, "it is not known any more how dnsmasq of network '%s' was started", network);
	done(ctx, &err);
}

void dnsmasq_stop(const char *network, helper_done_fn *done, void *ctx)
{
	helper_stop(&dnsmasq, network, SIGTERM, done, ctx);
}

void dnsmasq_reload(const char *network)
{
	struct process_id id;
	if (dnsmasq_find(network, &id))
		process_signal(&id, SIGHUP);
}

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
	helpers_start(engine);
	dhcp_watch_start(engine);
	netd_dhcp_clients_start(engine);
	return 0;
}

void netd_dhcp_stop(void)
{
	netd_dhcp_clients_stop();
	dhcp_watch_stop();
	helpers_stop();
}
