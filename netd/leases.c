/* SPDX-License-Identifier: Apache-2.0 */
/* dnsmasq's lease files: reading them (guests write the names in them, so nothing in them is believed), and taking
 * leases away from those who hold what is now somebody else's. A line for IPv4 is "EXPIRES MAC ADDRESS HOSTNAME
 * CLIENT-ID"; then comes "duid SERVER-DUID", and for IPv6 "EXPIRES IAID ADDRESS HOSTNAME CLIENT-DUID", where a T before
 * the IAID marks a temporary address. */
#include <ctype.h>
#include <dirent.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "core/child.h"
#include "core/env.h"
#include "netd/dnsmasq.h"
#include "netd/netd.h"

enum { FILE_MAX_BYTES = 32 << 20, RELEASE_MS = 3000, RELEASES_MAX = 64, DUID_MAX = 780 };

/* Names that a terminal or a log can bear; others are left out. */
static void take_hostname(const char *name, char ret[static 256])
{
	ret[0] = '\0';
	if (streq(name, "*") || strlen(name) > 255)
		return;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return;
	strcpy(ret, name);
}

/* A DUID of type 1 (link layer and time) or 3 (link layer) on Ethernet ends in the client's MAC. */
static bool duid_mac(const char *duid, struct mac *ret)
{
	size_t len = strlen(duid);
	bool with_time = str_starts(duid, "00:01:00:01:") && len == 14 * 3 - 1;
	bool without = str_starts(duid, "00:03:00:01:") && len == 10 * 3 - 1;
	return (with_time || without) && mac_parse(duid + len - 17, ret) == 0;
}

static bool parse_line(char *line, struct lease *lease)
{
	char *words[5], *save = NULL, *end;
	size_t n = 0;
	for (char *word = strtok_r(line, " \t\r", &save); word && n < ARRAY_SIZE(words);
	     word = strtok_r(NULL, " \t\r", &save))
		words[n++] = word;
	*lease = (struct lease){0};
	if (n != ARRAY_SIZE(words) || !isdigit((unsigned char)*words[0]) ||
	    strlen(words[4]) >= sizeof(lease->client_id))
		return false;
	lease->expires = strtoull(words[0], &end, 10);
	if (*end || ip_parse(words[2], &lease->ip) < 0)
		return false;
	if (lease->ip.family == 4) {
		lease->has_mac = mac_parse(words[1], &lease->mac) == 0;
	} else {
		lease->has_mac = duid_mac(words[4], &lease->mac);
		lease->iaid = (uint32_t)strtoul(words[1] + (*words[1] == 'T'), NULL, 10);
	}
	take_hostname(words[3], lease->hostname);
	strcpy(lease->client_id, words[4]);
	return true;
}

void lease_parse(const char *text, lease_fn *fn, void *ctx, char **ret_duid)
{
	cleanup_free char *copy = xstrdup(text);
	char *save = NULL;
	struct lease lease;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (str_starts(line, "duid ")) {
			if (ret_duid && !*ret_duid && strlen(line) < DUID_MAX)
				*ret_duid = xstrdup(line + 5);
		} else if (parse_line(line, &lease) && !fn(ctx, &lease)) {
			return;
		}
	}
}

void lease_each(const char *network, lease_fn *fn, void *ctx, char **ret_duid)
{
	cleanup_free char *path = dnsmasq_path(network, DNSMASQ_LEASES), *text = NULL;
	if (file_read(path, FILE_MAX_BYTES, &text, NULL) == 0)
		lease_parse(text, fn, ctx, ret_duid);
}

/* ---- weft lease list ---- */

struct known_client {
	struct mac mac;
	char *guest;
};
struct listing {
	const char *network;
	json_t *out;
	struct known_client *clients;
	size_t n_clients, cap_clients;
};

static void add_client(void *ctx, const struct dhcp_host_spec *host)
{
	struct listing *listing = ctx;
	for (size_t i = 0; host->guests.n > 0 && i < host->macs.n; i++) {
		grow(listing->clients, listing->n_clients, listing->cap_clients);
		listing->clients[listing->n_clients++] = (struct known_client){
			list_at(&host->macs, struct mac, i), xstrdup(list_at(&host->guests, const char *, 0))};
	}
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *time_or_null(uint64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm tm;
	char text[64];
	if (seconds == 0 || !gmtime_r(&when, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_null();
	return json_string(text);
}

static bool list_lease(void *ctx, const struct lease *lease)
{
	struct listing *listing = ctx;
	const char *guest = NULL;
	char ip[IP_TEXT], mac[IP_TEXT];
	if (lease->expires && lease->expires < wall_ms() / 1000)
		return true;
	for (size_t i = 0; lease->has_mac && !guest && i < listing->n_clients; i++)
		if (memcmp(&listing->clients[i].mac, &lease->mac, sizeof(lease->mac)) == 0)
			guest = listing->clients[i].guest;
	json_t *row = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s}", "network", listing->network, "ip",
				ip_text(&lease->ip, ip), "mac",
				text_or_null(lease->has_mac ? mac_text(&lease->mac, mac) : NULL), "hostname",
				text_or_null(lease->hostname), "guest", text_or_null(guest), "expires",
				time_or_null(lease->expires), "family", lease->ip.family == 4 ? "ipv4" : "ipv6");
	if (row)
		json_array_append_new(listing->out, row);
	return true;
}

static void list_network(const char *network, json_t *out)
{
	struct listing listing = {.network = network, .out = out};
	dhcp_host_each(network, add_client, &listing);
	lease_each(network, list_lease, &listing, NULL);
	for (size_t i = 0; i < listing.n_clients; i++)
		free(listing.clients[i].guest);
	free(listing.clients);
}

json_t *netd_leases(void)
{
	cleanup_free char *path = xprintf("%s/networks", env.state_dir);
	json_t *out = json_array();
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.')
			list_network(entries[i]->d_name, out);
		free(entries[i]);
	}
	free(entries);
	return out;
}

/* ---- taking leases away ---- */

struct dropping {
	char *network;
	lease_fn *match;
	void *match_ctx;
	helper_done_fn *done;
	void *ctx;
	char *duid;
	struct lease *leases;
	size_t n_leases, cap_leases;
	size_t n_running; /* release programs */
	size_t n_looks;
};
static const unsigned look_after_ms[] = {20, 80, 400};

static void look_later(struct dropping *dropping);

static void dropping_end(struct dropping *dropping, const struct err *err)
{
	helper_done_fn *done = dropping->done;
	void *ctx = dropping->ctx;
	free(dropping->network);
	free(dropping->duid);
	free(dropping->leases);
	free(dropping);
	done(ctx, err);
}

static bool collect(void *ctx, const struct lease *lease)
{
	struct dropping *dropping = ctx;
	if (!dropping->match(dropping->match_ctx, lease))
		return true;
	grow(dropping->leases, dropping->n_leases, dropping->cap_leases);
	dropping->leases[dropping->n_leases++] = *lease;
	return true;
}

/* Reads again which leases are still there. */
static void collect_all(struct dropping *dropping)
{
	dropping->n_leases = 0;
	dropping->duid = (free(dropping->duid), NULL);
	lease_each(dropping->network, collect, dropping, &dropping->duid);
}

/* Writes the lease file without the matching lines; only while no dnsmasq has it open. */
static int edit_file(struct dropping *dropping)
{
	cleanup_free char *path = dnsmasq_path(dropping->network, DNSMASQ_LEASES), *text = NULL, *kept = NULL;
	size_t size;
	int r = file_read(path, FILE_MAX_BYTES, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	FILE *out = open_memstream(&kept, &size);
	if (!out)
		abort();
	for (char *line = text, *next; *line; line = next) {
		size_t len = strcspn(line, "\n");
		next = line + len + (line[len] == '\n');
		cleanup_free char *copy = xstrndup(line, len);
		struct lease lease;
		if (!parse_line(copy, &lease) || !dropping->match(dropping->match_ctx, &lease))
			fprintf(out, "%.*s\n", (int)len, line);
	}
	fclose(out);
	return file_write_atomic(path, kept, size, 0644);
}

static void drop_restarted(void *ctx, const struct err *err)
{
	dropping_end(ctx, err);
}

static void drop_stopped(void *ctx, const struct err *err)
{
	struct dropping *dropping = ctx;
	struct err failed = {0};
	int r = err ? 0 : edit_file(dropping);
	if (r < 0)
		err_errno(&failed, -r, "write the leases of network '%s'", dropping->network);
	if (err || r < 0) {
		dropping_end(dropping, err ? err : &failed);
		return;
	}
	dnsmasq_start_again(dropping->network, drop_restarted, dropping);
}

/* dnsmasq holds its leases in memory: what it will not release is taken out of the file between two of its lives. */
static void drop_by_restart(struct dropping *dropping)
{
	dnsmasq_stop(dropping->network, drop_stopped, dropping);
}

/* dnsmasq works on a release when it gets to it, and does not answer: the file is looked at a few times. */
static int on_look(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct dropping *dropping = ctx;
	sd_event_source_disable_unref(source);
	collect_all(dropping);
	if (dropping->n_leases == 0)
		dropping_end(dropping, NULL);
	else if (dropping->n_looks < ARRAY_SIZE(look_after_ms))
		look_later(dropping);
	else
		drop_by_restart(dropping);
	return 0;
}

static void look_later(struct dropping *dropping)
{
	uint64_t usec = (uint64_t)look_after_ms[dropping->n_looks++] * 1000;
	sd_event_source *timer;
	if (sd_event_add_time_relative(env.loop, &timer, CLOCK_MONOTONIC, usec, 1000, on_look, dropping) < 0)
		abort(); /* out of memory */
}

static void on_released(void *ctx, const struct child_result *result)
{
	struct dropping *dropping = ctx;
	if (--dropping->n_running == 0)
		look_later(dropping);
}

/* dhcp_release lan 192.168.150.10 52:54:00:00:20:01 01:52:54:00:00:20:01
 * dhcp_release6 --iface lan --client-id 00:03:... --server-id 00:01:... --iaid 1 --ip fd42:150::10 */
static void release_one(struct dropping *dropping, const char *interface, const struct lease *lease)
{
	char ip[IP_TEXT], mac[IP_TEXT], iaid[16];
	snprintf(iaid, sizeof(iaid), "%u", lease->iaid);
	ip_text(&lease->ip, ip);
	mac_text(&lease->mac, mac);
	const char *four[] = {
		"dhcp_release", interface, ip, mac, streq(lease->client_id, "*") ? NULL : lease->client_id, NULL};
	const char *six[] = {"dhcp_release6",
			     "--iface",
			     interface,
			     "--client-id",
			     lease->client_id,
			     "--server-id",
			     dropping->duid,
			     "--iaid",
			     iaid,
			     "--ip",
			     ip,
			     NULL};
	struct child_spec spec = {
		.argv = lease->ip.family == 4 ? four : six,
		.deadline_ms = RELEASE_MS,
		.max_output = 4096,
		.done = on_released,
		.ctx = dropping,
	};
	dropping->n_running++;
	child_run(&spec);
}

void lease_drop(const char *network, lease_fn *match, void *match_ctx, helper_done_fn *done, void *ctx)
{
	struct dropping *dropping = xcalloc(1, sizeof(*dropping));
	*dropping = (struct dropping){
		.network = xstrdup(network), .match = match, .match_ctx = match_ctx, .done = done, .ctx = ctx};
	cleanup_arena struct arena *arena = arena_new();
	struct process_id id;
	collect_all(dropping);
	if (dropping->n_leases == 0) {
		dropping_end(dropping, NULL);
		return;
	}
	if (!dnsmasq_find(network, &id)) {
		struct err err = {0};
		int r = edit_file(dropping);
		if (r < 0)
			err_errno(&err, -r, "write the leases of network '%s'", network);
		dropping_end(dropping, r < 0 ? &err : NULL);
		return;
	}
	const struct dnsmasq_spec *spec = dnsmasq_started_with(network, &id, arena);
	bool possible = spec && spec->interface && dropping->n_leases <= RELEASES_MAX;
	for (size_t i = 0; possible && i < dropping->n_leases; i++) {
		const struct lease *lease = &dropping->leases[i];
		possible = lease->ip.family == 4 ? lease->has_mac : dropping->duid != NULL;
	}
	if (!possible) {
		drop_by_restart(dropping);
		return;
	}
	for (size_t i = 0; i < dropping->n_leases; i++)
		release_one(dropping, spec->interface, &dropping->leases[i]);
}
