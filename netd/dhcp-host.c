/* SPDX-License-Identifier: Apache-2.0 */
/* The class `dhcp-host`: one client that a network's dnsmasq knows, key NETWORK/NAME. It is a file in the network's
 * hosts directory, which dnsmasq reads again on SIGHUP. A reservation does not win while somebody else holds the
 * address, and a lease outlives its guest, so leases are taken away where one comes, changes or goes. */
#include <dirent.h>

#include "core/lane-async.h"
#include "netd/dnsmasq.h"

enum { FILE_MAX_BYTES = 64 << 10 };

static const struct field dhcp_host_rows[] = {
	F_LIST("names", struct dhcp_host_spec, names, scalar_name, .flags = FIELD_UNION | FIELD_UNORDERED,
	       .doc = "DNS name it gets."),
	F_LIST("guests", struct dhcp_host_spec, guests, scalar_name, .flags = FIELD_UNION | FIELD_UNORDERED,
	       .doc = "Guest it is."),
	F_LIST("macs", struct dhcp_host_spec, macs, scalar_mac, .flags = FIELD_UNION | FIELD_UNORDERED,
	       .doc = "MAC it is known by; none: its addresses are kept free."),
	F_LIST("ips", struct dhcp_host_spec, ips, scalar_ip, .flags = FIELD_UNION | FIELD_UNORDERED,
	       .doc = "Addresses it gets."),
};
const struct table netd_dhcp_host_table = TABLE("dhcp-host", struct dhcp_host_spec, dhcp_host_rows);

uint64_t dhcp_host_all_rows(void)
{
	return (UINT64_C(1) << ARRAY_SIZE(dhcp_host_rows)) - 1;
}

/* # {"names": ["web"], ...}
 * 52:54:00:00:20:01,192.168.150.10,[fd42:150::10],web
 * The first line is the spec, to be read back; without a MAC, an id that no client has keeps the addresses from
 * others. */
char *dhcp_host_text(const char *name, const struct dhcp_host_spec *spec)
{
	json_t *json = table_to_json(&netd_dhcp_host_table, spec, 0);
	cleanup_free char *head = json_dumps(json, JSON_SORT_KEYS), *line = NULL;
	char text[IP_TEXT];
	size_t size;
	FILE *out = open_memstream(&line, &size);
	json_decref(json);
	if (!out || !head)
		abort();
	if (spec->macs.n == 0)
		fprintf(out, "id:weft-reserved-%s", name);
	for (size_t i = 0; i < spec->macs.n; i++)
		fprintf(out, "%s%s", i ? "," : "", mac_text(&list_at(&spec->macs, struct mac, i), text));
	for (size_t i = 0; i < spec->ips.n; i++) {
		const struct ip *ip = &list_at(&spec->ips, struct ip, i);
		fprintf(out, ip->family == 6 ? ",[%s]" : ",%s", ip_text(ip, text));
	}
	if (spec->names.n > 0)
		fprintf(out, ",%s", list_at(&spec->names, const char *, 0));
	fclose(out);
	return xprintf("# %s\n%s\n", head, line);
}

/* False if the file is not, to the letter, what dhcp_host_text() wrote. */
static bool read_back(const char *name, const char *text, struct arena *arena, struct dhcp_host_spec *ret)
{
	size_t len = strcspn(text, "\n");
	if (!str_starts(text, "# "))
		return false;
	json_t *json = json_loadb(text + 2, len - 2, 0, NULL);
	bool good = json && table_from_json(&netd_dhcp_host_table, json, arena, ret, NULL) == 0;
	json_decref(json);
	cleanup_free char *again = good ? dhcp_host_text(name, ret) : NULL;
	return good && streq(again, text);
}

void dhcp_host_each(const char *network, dhcp_host_fn *fn, void *ctx)
{
	cleanup_free char *path = dnsmasq_path(network, DNSMASQ_HOSTS);
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		cleanup_free char *file = xprintf("%s/%s", path, entries[i]->d_name), *text = NULL;
		cleanup_arena struct arena *arena = arena_new();
		struct dhcp_host_spec spec = {0};
		if (entries[i]->d_name[0] != '.' && file_read(file, FILE_MAX_BYTES, &text, NULL) == 0 &&
		    read_back(entries[i]->d_name, text, arena, &spec))
			fn(ctx, &spec);
		free(entries[i]);
	}
	free(entries);
}

/* ---- keys ---- */

static const char *name_of(const struct op *op)
{
	const char *slash = strchr(op->key, '/');
	return slash ? slash + 1 : op->key;
}

static const char *network_of(const struct op *op)
{
	return arena_strndup(op->arena, op->key, strcspn(op->key, "/"));
}

static char *file_of(const struct op *op)
{
	cleanup_free char *dir = dnsmasq_path(network_of(op), DNSMASQ_HOSTS);
	return xprintf("%s/%s", dir, name_of(op));
}

/* The network: what is done to dnsmasq and to its clients happens one after the other. */
static const char *slot(const struct op *op)
{
	static char network[256];
	snprintf(network, sizeof(network), "%.*s", (int)strcspn(op->key, "/"), op->key);
	return network;
}

/* ---- leases ---- */

struct rival {
	struct list keep, ips; /* these MACs may hold these addresses, nobody else */
	struct list gone;      /* these MACs hold nothing any more */
};

static bool has_mac(const struct list *macs, const struct mac *mac)
{
	for (size_t i = 0; i < macs->n; i++)
		if (memcmp(&list_at(macs, struct mac, i), mac, sizeof(*mac)) == 0)
			return true;
	return false;
}

/* An IPv6 client whose DUID does not tell its MAC may be the right one and is left alone. */
static bool is_rival(void *ctx, const struct lease *lease)
{
	const struct rival *rival = ctx;
	if (!lease->has_mac)
		return false;
	if (has_mac(&rival->gone, &lease->mac) && !has_mac(&rival->keep, &lease->mac))
		return true;
	for (size_t i = 0; i < rival->ips.n; i++)
		if (ip_equal(&list_at(&rival->ips, struct ip, i), &lease->ip))
			return !has_mac(&rival->keep, &lease->mac);
	return false;
}

static void finish(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	if (err)
		op->err = *err;
	op_complete(op);
}

static void drop_leases(struct op *op)
{
	const struct dhcp_host_spec *want = op->want, *seen = op->seen;
	struct rival *rival = arena_new_of(op->arena, struct rival);
	if (want) {
		rival->keep = want->macs;
		rival->ips = want->ips;
	}
	if (seen)
		rival->gone = seen->macs;
	lease_drop(network_of(op), is_rival, rival, finish, op);
}

/* ---- verbs ---- */

static void observe(struct op *op)
{
	cleanup_free char *path = file_of(op), *text = NULL;
	dhcp_watch(network_of(op)); /* before looking, so that no change is missed */
	int r = file_read(path, FILE_MAX_BYTES, &text, NULL);
	struct dhcp_host_spec *seen = observation_begin(&op->obs, op->class, r != -ENOENT);
	if (r != -ENOENT)
		op->obs.owner = OWNER_OURS; /* whatever lies there: the directory is ours */
	if (r == 0 && !read_back(name_of(op), text, op->obs.arena, seen))
		*seen = (struct dhcp_host_spec){0};
	op_complete(op);
}

static void put(struct op *op)
{
	cleanup_free char *path = file_of(op), *text = dhcp_host_text(name_of(op), op->want);
	int r = dnsmasq_make_dirs(network_of(op));
	if (r == 0)
		r = file_write_atomic(path, text, strlen(text), 0644);
	if (r < 0) {
		op_fail(op, -r, "write %s: %s", path, strerror(-r));
		return;
	}
	dhcp_watch(network_of(op));
	dnsmasq_reload(network_of(op));
	drop_leases(op);
}

static void take_away(struct op *op)
{
	cleanup_free char *path = file_of(op);
	if (unlink(path) < 0 && errno != ENOENT) {
		op_fail(op, errno, "remove %s: %s", path, strerror(errno));
		return;
	}
	dnsmasq_remove_dirs(network_of(op)); /* if nothing else is in them */
	dnsmasq_reload(network_of(op));
	drop_leases(op);
}

static const struct async_verbs verbs = {
	.observe = observe,
	.create = put,
	.update = put,
	.remove = take_away,
	.slot = slot,
	.deadline_ms = 30000,
};

const struct resource_class netd_dhcp_host_class = {
	.name = "dhcp-host",
	.doc = "A client that a network's DHCP server knows.",
	.table = &netd_dhcp_host_table,
	.lane = DNSMASQ_LANE,
	.verbs = &verbs,
};
