/* SPDX-License-Identifier: Apache-2.0 */
/* The dhcpcd processes, as helpers (helper.h), and the watch over what their hook hears. See dhcp-client.h. */
#include "netd/dhcp-client-process.h"

#include <signal.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/watch.h"

struct watch {
	char *link;
	sd_event_source *source;
	struct watch *next;
};
static struct watch *watches;
static struct engine *told;
static void (*heard)(const char *link); /* by an operation that waits */

static char *path_of(const char *link, enum helper_file file)
{
	static const enum dhcp_client_file files[] = {
		[HELPER_PID] = DHCP_CLIENT_PID, [HELPER_PROCESS] = DHCP_CLIENT_PROCESS, [HELPER_LOG] = DHCP_CLIENT_LOG};
	return dhcp_client_path(link, files[file]);
}

/* It writes its title over its command line: "dhcpcd: br1 [ip4]"; and its number where only root does. */
static bool is_ours(const char *link, int pid, const char *line, size_t size)
{
	cleanup_free char *path = dhcp_client_path(link, DHCP_CLIENT_PID), *text = NULL;
	return size > 6 && str_starts(line, "dhcpcd") && file_read(path, 64, &text, NULL) == 0 && atoi(text) == pid;
}

static const struct helper_kind dhcpcd = {
	.class = "dhcp-client",
	.program = "dhcpcd",
	.package = "dhcpcd-base",
	.whose = "link",
	.path = path_of,
	.is_ours = is_ours,
	.leaves_group = true,
};

bool dhcp_client_find(const char *link, struct process_id *ret)
{
	return helper_find(&dhcpcd, link, ret);
}

json_t *dhcp_client_started_with(const char *link, const struct process_id *id)
{
	return helper_started_with(&dhcpcd, link, id);
}

void dhcp_client_start(const char *link, const struct dhcp_client_spec *spec, helper_done_fn *done, void *ctx)
{
	cleanup_free char *conf = dhcp_client_path(link, DHCP_CLIENT_CONF),
			  *run = dhcp_client_path(link, DHCP_CLIENT_RUN),
			  *state = dhcp_client_path(link, DHCP_CLIENT_STATE);
	cleanup_free char *description = xprintf("DHCP client of weft on %s", link);
	const struct launch_bind binds[] = {{run, "/run/dhcpcd"}, {state, "/var/lib/dhcpcd"}};
	const struct helper_start how = {
		.description = description,
		.argv = (const char *const[]){"dhcpcd", "--nobackground", "--config", conf, link, NULL},
		.binds = binds,
		.n_binds = ARRAY_SIZE(binds),
		.spec = table_to_json(&netd_dhcp_client_table, spec, EMIT_NO_STATUS),
	};
	helper_start(&dhcpcd, link, &how, done, ctx);
}

/* At SIGALRM it gives its leases back and takes its addresses away; at SIGTERM it leaves them where they are. */
void dhcp_client_stop(const char *link, bool release, helper_done_fn *done, void *ctx)
{
	helper_stop(&dhcpcd, link, release ? SIGALRM : SIGTERM, done, ctx);
}

/* ---- what the hook hears ---- */

static void watch_free(struct watch *watch)
{
	for (struct watch **at = &watches; *at; at = &(*at)->next) {
		if (*at == watch) {
			*at = watch->next;
			break;
		}
	}
	sd_event_source_disable_unref(watch->source);
	free(watch->link);
	free(watch);
}

static bool is_word(const char *name)
{
	return streq(name, "dhcp") || streq(name, "dhcp6") || streq(name, "ra");
}

static int on_event(sd_event_source *source, const struct inotify_event *event, void *ctx)
{
	struct watch *watch = ctx;
	if (event->len && !is_word(event->name))
		return 0;
	engine_dirty(told, netd_dhcp_client_class.name, watch->link);
	engine_dirty(told, netd_dhcp_lease_class.name, NULL);
	if (heard)
		heard(watch->link);
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
		watch_free(watch);
	return 0;
}

void dhcp_client_watch(const char *link)
{
	for (struct watch *watch = watches; watch; watch = watch->next)
		if (streq(watch->link, link))
			return;
	if (!told)
		return;
	cleanup_free char *path = dhcp_client_path(link, DHCP_CLIENT_SAID);
	struct watch *watch = xcalloc(1, sizeof(*watch));
	watch->link = xstrdup(link);
	watch->next = watches;
	watches = watch;
	if (sd_event_add_inotify(env.loop, &watch->source, path, WATCH_FILES | IN_ONLYDIR, on_event, watch) < 0)
		watch_free(watch); /* not there yet */
}

void dhcp_client_listen(void (*fn)(const char *link))
{
	heard = fn;
}

void netd_dhcp_clients_start(struct engine *engine)
{
	told = engine;
}

void netd_dhcp_clients_stop(void)
{
	told = NULL;
	heard = NULL;
	while (watches)
		watch_free(watches);
}
