/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what can be asked. Adding a path is adding a row, a handler, and a line in README.md. */
#include "api/server.h"

static const struct route routes[] = {
	{"POST", "/v1/apply", handle_apply, true},
	{"POST", "/v1/delete", handle_delete, true},
	/* Reads only, but what it compares with may hold anything: for those who may apply it. */
	{"POST", "/v1/diff", handle_diff, true},
	{"POST", "/v1/confirm", handle_confirm, true},
	{"POST", "/v1/rollback", handle_rollback, true},
	{"GET", "/v1/history", handle_history, false},
	{"GET", "/v1/objects", handle_objects, false},
	{"GET", "/v1/objects/*", handle_objects, false},
	{"GET", "/v1/objects/*/*", handle_objects, false},
	{"GET", "/v1/resources", handle_resources, false},
	{"GET", "/v1/status", handle_status, false},
	{"GET", "/v1/events", handle_events, false},
	{"GET", "/v1/kinds", handle_kinds, false},
	{"GET", "/v1/kinds/*", handle_kinds, false},
	{"GET", "/v1/plugins", handle_plugins, false},
	{"GET", "/v1/leases", handle_leases, false},
	{"GET", "/v1/leases/volumes", handle_volume_leases, false},
	{"POST", "/v1/leases/volumes/*/break", handle_lease_break, true},
	{"GET", "/v1/luns", handle_luns, false},
	{"GET", "/v1/doctor", handle_doctor, false},
	{"GET", "/v1/import/host", handle_import, true},
	{"GET", "/v1/topology", handle_topology, false},
	{"GET", "/v1/guests/*/console", handle_guest_console, true},
	{"POST", "/v1/guests/*/*", handle_guest_action, true},
	{"GET", "/v1/volumes/*/snapshots", handle_snapshots, false},
	{"GET", "/v1/volumes/*/order", handle_order_progress, false},
	{"POST", "/v1/volumes/*/snapshots/*/*", handle_snapshot_order, true},
	{"POST", "/v1/host/down", handle_host_down, true},
	{"POST", "/v1/host/up", handle_host_up, true},
};

/* The next segment of a path: its length, and where it begins. */
static size_t segment(const char **path)
{
	*path += **path == '/';
	return strcspn(*path, "/");
}

static bool matches(const char *pattern, const char *path)
{
	while (*pattern && *path) {
		size_t want = segment(&pattern), have = segment(&path);
		bool any = want == 1 && *pattern == '*';
		if (any ? have == 0 : want != have || memcmp(pattern, path, have) != 0)
			return false;
		pattern += want;
		path += have;
	}
	return *pattern == '\0' && (*path == '\0' || strcmp(path, "/") == 0);
}

static void take_arguments(const char *pattern, const char *path, struct call *call)
{
	size_t n = 0;
	while (*pattern && *path) {
		size_t want = segment(&pattern), have = segment(&path);
		if (*pattern == '*' && n < CALL_ARGS_MAX)
			call->args[n++] = arena_strndup(call->arena, path, have);
		pattern += want;
		path += have;
	}
}

const struct route *route_find(const char *method, const char *path, struct call *call, unsigned *ret_status)
{
	*ret_status = MHD_HTTP_NOT_FOUND;
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (!matches(routes[i].path, path))
			continue;
		if (!streq(routes[i].method, method)) {
			*ret_status = MHD_HTTP_METHOD_NOT_ALLOWED;
			continue;
		}
		take_arguments(routes[i].path, path, call);
		return &routes[i];
	}
	return NULL;
}
