/* SPDX-License-Identifier: Apache-2.0 */
/* What a DHCP client is told and what it says: its configuration, its files, and the words its hook leaves. See
 * dhcp-client.h. */
#include <sys/stat.h>

#include "core/env.h"
#include "netd/dhcp-client.h"

enum { SAID_MAX = 64 << 10, LIST_MAX = 64 };

static const struct field client_rows[] = {
	F_BOOL("ipv4", struct dhcp_client_spec, ipv4, .doc = "Asks for an IPv4 address."),
	F_BOOL("ipv6", struct dhcp_client_spec, ipv6, .doc = "Asks for IPv6 addresses."),
	F_U32("metric", struct dhcp_client_spec, metric, .doc = "Metric of its routes."),
	F_STRING("clientId", struct dhcp_client_spec, client_id, .doc = "What it tells the server that it is."),
	F_BOOL("known", struct dhcp_client_spec, known,
	       .doc = "What it asks for is the host's already, by another's lease."),
	F_LIST("addresses", struct dhcp_client_spec, addresses, scalar_prefix, .flags = FIELD_STATUS,
	       .doc = "Addresses that it was given."),
	F_LIST("routers", struct dhcp_client_spec, routers, scalar_ip, .flags = FIELD_STATUS, .doc = "Routers."),
	F_LIST("nameServers", struct dhcp_client_spec, name_servers, scalar_ip, .flags = FIELD_STATUS,
	       .doc = "DNS servers, which the host is not told to use."),
	F_IP("server", struct dhcp_client_spec, server, .flags = FIELD_STATUS, .doc = "The server of the IPv4 lease."),
	F_DURATION("lease", struct dhcp_client_spec, lease_ms, .flags = FIELD_STATUS,
		   .doc = "How long the IPv4 address is lent each time."),
	F_U32("pid", struct dhcp_client_spec, pid, .flags = FIELD_STATUS, .doc = "Process."),
};
const struct table netd_dhcp_client_table = TABLE("dhcp-client", struct dhcp_client_spec, client_rows);

bool dhcp_client_id_valid(const char *text)
{
	size_t n = 0;
	for (;; text += 3, n++) {
		if (!strchr("0123456789abcdefABCDEF", text[0]) || !text[0] ||
		    !strchr("0123456789abcdefABCDEF", text[1]) || !text[1])
			return false;
		if (!text[2])
			return n >= 1 && n < 64;
		if (text[2] != ':')
			return false;
	}
}

/* ---- files ---- */

char *dhcp_client_path(const char *link, enum dhcp_client_file file)
{
	static const char *const names[] = {
		[DHCP_CLIENT_DIR] = "",     [DHCP_CLIENT_CONF] = "/conf", [DHCP_CLIENT_PROCESS] = "/process.json",
		[DHCP_CLIENT_LOG] = "/log", [DHCP_CLIENT_RUN] = "/run",   [DHCP_CLIENT_SAID] = "/run/said",
	};
	if (file == DHCP_CLIENT_PID)
		return xprintf("%s/dhcp/%s/run/%s.pid", env.run_dir, link, link);
	if (file == DHCP_CLIENT_STATE)
		return xprintf("%s/dhcp/%s", env.state_dir, link);
	return xprintf("%s/dhcp/%s%s", env.run_dir, link, names[file]);
}

/* One that stays the host's as long as weft's instance does: DHCP Unique Identifier of type UUID. */
static int write_duid(const char *state)
{
	cleanup_free char *path = xprintf("%s/duid", state);
	char text[64];
	int n = snprintf(text, sizeof(text), "00:04");
	for (unsigned half = 0; half < 2; half++) {
		uint64_t bits = host_hash(half ? "duid, second half" : "duid, first half");
		for (unsigned i = 0; i < 8; i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, ":%02x", (unsigned)(bits >> 8 * i & 0xff));
	}
	n += snprintf(text + n, sizeof(text) - (size_t)n, "\n");
	return file_write_atomic(path, text, (size_t)n, 0640);
}

int dhcp_client_make_dirs(const char *link)
{
	cleanup_free char *said = dhcp_client_path(link, DHCP_CLIENT_SAID),
			  *state = dhcp_client_path(link, DHCP_CLIENT_STATE);
	int r = mkdir_all(said, 0755);
	if (r == 0)
		r = mkdir_all(state, 0755);
	return r < 0 ? r : write_duid(state);
}

static void remove_in(const char *dir, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *path = xprintf("%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

void dhcp_client_remove_dirs(const char *link)
{
	cleanup_free char *dir = dhcp_client_path(link, DHCP_CLIENT_DIR),
			  *run = dhcp_client_path(link, DHCP_CLIENT_RUN),
			  *state = dhcp_client_path(link, DHCP_CLIENT_STATE);
	cleanup_free char *all_run = xprintf("%s/dhcp", env.run_dir), *all_state = xprintf("%s/dhcp", env.state_dir);
	cleanup_free char *pid = xprintf("%s.pid", link), *socket = xprintf("%s.sock", link),
			  *open = xprintf("%s.unpriv.sock", link);
	cleanup_free char *socket4 = xprintf("%s-4.sock", link), *open4 = xprintf("%s-4.unpriv.sock", link);
	cleanup_free char *socket6 = xprintf("%s-6.sock", link), *open6 = xprintf("%s-6.unpriv.sock", link);
	cleanup_free char *said = dhcp_client_path(link, DHCP_CLIENT_SAID);
	cleanup_free char *lease = xprintf("%s.lease", link), *lease6 = xprintf("%s.lease6", link);
	const char *const in_run[] = {pid, socket, open, socket4, open4, socket6, open6};
	const char *const in_said[] = {"dhcp", "dhcp6", "ra"};
	const char *const in_dir[] = {"conf", "process.json", "log"};
	const char *const in_state[] = {lease, lease6, "duid", "secret"};
	remove_in(said, in_said, ARRAY_SIZE(in_said));
	remove_in(run, in_run, ARRAY_SIZE(in_run));
	remove_in(dir, in_dir, ARRAY_SIZE(in_dir));
	remove_in(state, in_state, ARRAY_SIZE(in_state));
	rmdir(all_run);
	rmdir(all_state);
}

/* ---- what it is told ---- */

char *dhcp_client_config(const char *link, const struct dhcp_client_spec *spec)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	fprintf(out, "# Written by weftd for link %s; changes are lost.\n", link);
	if (!spec->ipv6)
		fprintf(out, "ipv4only\n");
	if (!spec->ipv4)
		fprintf(out, "ipv6only\n");
	fprintf(out, "script %s/weft-dhcp-hook\n", env.libexec_dir);
	fprintf(out, "metric %u\ntimeout 0\nnodelay\nnoipv4ll\npersistent\n", spec->metric);
	fprintf(out, "option classless_static_routes\noption domain_name_servers\n");
	if (streq(spec->client_id, "duid"))
		fprintf(out, "duid\n");
	else
		fprintf(out, "clientid%s%s\n", streq(spec->client_id, "mac") ? "" : " ",
			streq(spec->client_id, "mac") ? ""
						      : spec->client_id); /* without bytes: hardware type and MAC */
	if (spec->known)
		fprintf(out, "noarp\n");
	fclose(out);
	return text;
}

/* ---- what it says ---- */

struct reading {
	struct dhcp_client_spec *to;
	struct arena *arena;
	size_t cap_addresses, cap_routers, cap_servers;
	bool has4, has6;
};

static void add_ip(struct arena *arena, struct list *list, size_t *cap, const char *text)
{
	struct ip *items = list->items, ip;
	if (list->n == LIST_MAX || ip_parse(text, &ip) < 0)
		return;
	size_t n = list->n;
	arena_grow(arena, items, n, *cap);
	items[n] = ip;
	*list = (struct list){items, n + 1};
}

static void add_address(struct reading *r, const char *text)
{
	struct ip_prefix *items = r->to->addresses.items, prefix;
	size_t n = r->to->addresses.n;
	if (n == LIST_MAX || prefix_parse(text, &prefix) < 0)
		return;
	arena_grow(r->arena, items, n, r->cap_addresses);
	items[n] = prefix;
	r->to->addresses = (struct list){items, n + 1};
	r->has4 |= prefix.ip.family == 4;
	r->has6 |= prefix.ip.family == 6;
}

static void take_line(struct reading *r, const char *line)
{
	struct dhcp_client_spec *to = r->to;
	const char *value = strchr(line, ' ');
	if (!value++)
		return;
	if (str_starts(line, "address "))
		add_address(r, value);
	else if (str_starts(line, "router "))
		add_ip(r->arena, &to->routers, &r->cap_routers, value);
	else if (str_starts(line, "dns "))
		add_ip(r->arena, &to->name_servers, &r->cap_servers, value);
	else if (str_starts(line, "server ") && ip_parse(value, &to->server) == 0)
		mark_present(to, &netd_dhcp_client_table, "server");
	else if (str_starts(line, "seconds ")) {
		to->lease_ms = strtoull(value, NULL, 10) % UINT32_MAX * 1000;
		mark_present(to, &netd_dhcp_client_table, "lease");
	}
}

static void read_said(struct reading *r, const char *link, const char *protocol)
{
	cleanup_free char *said = dhcp_client_path(link, DHCP_CLIENT_SAID), *path = xprintf("%s/%s", said, protocol),
			  *text = NULL;
	if (file_read(path, SAID_MAX, &text, NULL) < 0)
		return;
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
		take_line(r, line);
}

static void read_all(struct reading *r, const char *link)
{
	static const char *const protocols[] = {"dhcp", "dhcp6", "ra"};
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		read_said(r, link, protocols[i]);
}

bool dhcp_client_read(const char *link, struct dhcp_client_spec *ret, struct arena *arena)
{
	struct reading r = {.to = ret, .arena = arena};
	read_all(&r, link);
	static const char *const lists[] = {"addresses", "routers", "nameServers"};
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		mark_present(ret, &netd_dhcp_client_table, lists[i]);
	return (r.has4 || !ret->ipv4) && (r.has6 || !ret->ipv6);
}

bool dhcp_client_has_address(const char *link, int family)
{
	cleanup_arena struct arena *arena = arena_new();
	struct dhcp_client_spec spec = {0};
	struct reading r = {.to = &spec, .arena = arena};
	read_all(&r, link);
	return family == 4 ? r.has4 : r.has6;
}
