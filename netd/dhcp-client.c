/* SPDX-License-Identifier: Apache-2.0 */
/* The classes `dhcp-client` and `dhcp-lease`. A client that has just been started is waited for until it has an
 * address, but not long: one that finds no server goes on looking, and its link is Degraded meanwhile. See
 * dhcp-client.h. */
#include "netd/dhcp-client.h"

#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "netd/dhcp-client-process.h"

enum { LEASE_MS = 12000, LOOK_AGAIN_MS = 60000 };

/* Operations that wait for a lease. */
struct waiting {
	struct op *op;
	sd_event_source *timer;
	struct waiting *next;
};
static struct waiting *waitings;

static bool has_all(const struct op *op)
{
	const struct dhcp_client_spec *want = op->want;
	return (!want->ipv4 || dhcp_client_has_address(op->key, 4)) &&
	       (!want->ipv6 || dhcp_client_has_address(op->key, 6));
}

static void end_waiting(struct waiting *waiting)
{
	struct op *op = waiting->op;
	for (struct waiting **at = &waitings; *at; at = &(*at)->next) {
		if (*at == waiting) {
			*at = waiting->next;
			break;
		}
	}
	sd_event_source_disable_unref(waiting->timer);
	free(waiting);
	op_complete(op);
}

static int on_late(sd_event_source *source, uint64_t usec, void *ctx)
{
	end_waiting(ctx);
	return 0;
}

static void on_heard(const char *link)
{
	for (struct waiting *waiting = waitings, *next; waiting; waiting = next) {
		next = waiting->next;
		if (streq(waiting->op->key, link) && has_all(waiting->op))
			end_waiting(waiting);
	}
}

static void on_started(void *ctx, const struct err *failed)
{
	struct op *op = ctx;
	if (failed)
		op->err = *failed;
	if (failed || has_all(op)) {
		op_complete(op);
		return;
	}
	struct waiting *waiting = xcalloc(1, sizeof(*waiting));
	waiting->op = op;
	waiting->next = waitings;
	waitings = waiting;
	dhcp_client_watch(op->key);
	dhcp_client_listen(on_heard);
	if (sd_event_add_time_relative(env.loop, &waiting->timer, CLOCK_MONOTONIC, (uint64_t)LEASE_MS * 1000, 1000,
				       on_late, waiting) < 0)
		abort(); /* out of memory */
}

/* ---- the client ---- */

static const char *what_is_missing(const struct op *op, const struct dhcp_client_spec *seen, struct arena *arena)
{
	bool four = !seen->ipv4 || dhcp_client_has_address(op->key, 4);
	return arena_printf(
		arena,
		"no %s gives %s an %s address: see whether one is on that link and knows this host; it gets "
		"an address as soon as one answers",
		four ? "router or DHCPv6 server" : "DHCP server", op->key, four ? "IPv6" : "IPv4");
}

static void observe(struct op *op)
{
	struct process_id id;
	bool exists = dhcp_client_find(op->key, &id);
	struct dhcp_client_spec *seen = observation_begin(&op->obs, op->class, exists);
	json_t *started = exists ? dhcp_client_started_with(op->key, &id) : NULL;
	if (exists) {
		dhcp_client_watch(op->key);
		if (started)
			table_from_json(op->class->table, started, op->obs.arena, seen, NULL);
		if (!dhcp_client_read(op->key, seen, op->obs.arena))
			op->obs.health = what_is_missing(op, seen, op->obs.arena);
		seen->pid = (uint32_t)id.pid;
		mark_present(seen, op->class->table, "pid");
		op->obs.owner = OWNER_OURS;
		op->obs.incarnation = id.start << 22 ^ (uint64_t)id.pid;
	}
	json_decref(started);
	op_complete(op);
}

static int write_files(const struct op *op, struct err *err)
{
	int r = dhcp_client_make_dirs(op->key);
	if (r < 0)
		return err_errno(err, -r, "make the directories of the DHCP client of link '%s'", op->key);
	cleanup_free char *path = dhcp_client_path(op->key, DHCP_CLIENT_CONF),
			  *text = dhcp_client_config(op->key, op->want);
	r = file_write_atomic(path, text, strlen(text), 0644);
	return r < 0 ? err_errno(err, -r, "write %s", path) : 0;
}

static void start_it(void *ctx, const struct err *failed)
{
	struct op *op = ctx;
	if (failed)
		op->err = *failed;
	if (op->err.code || write_files(op, &op->err) < 0)
		op_complete(op);
	else
		dhcp_client_start(op->key, op->want, on_started, op);
}

/* Whatever runs with our configuration, perhaps half started by a daemon that was killed, goes first. */
static void create(struct op *op)
{
	dhcp_client_stop(op->key, false, start_it, op);
}

/* What it has set was set with what it was told before, and is taken away, or would stay beside the new. With no row to
 * change its link is another one, which has nothing of it. */
static void update(struct op *op)
{
	dhcp_client_stop(op->key, op->rows != 0, start_it, op);
}

static void clear_files(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	if (err)
		op->err = *err;
	else
		dhcp_client_remove_dirs(op->key);
	op_complete(op);
}

/* A lease that somebody else knows of as well is not given back: it is still his. */
static void take_away(struct op *op)
{
	const struct dhcp_client_spec *was = op->was ? op->was : op->seen;
	dhcp_client_stop(op->key, !(was && was->known), clear_files, op);
}

static const char *slot(const struct op *op)
{
	return op->key;
}

static const struct async_verbs client_verbs = {
	.observe = observe,
	.create = create,
	.update = update,
	.remove = take_away,
	.slot = slot,
	.deadline_ms = 40000,
};

/* Its end is told, and so is what it hears; what nobody tells is that it hears nothing. */
const struct resource_class netd_dhcp_client_class = {
	.name = "dhcp-client",
	.doc = "A dhcpcd process that gets a link's addresses; its key is the link.",
	.table = &netd_dhcp_client_table,
	.lane = DHCP_CLIENT_LANE,
	.verbs = &client_verbs,
	.rebind = REBIND_UPDATE,
	.period_ms = LOOK_AGAIN_MS,
};

/* ---- the lease ---- */

struct lease_spec {
	uint64_t present;
	bool confirmed;
};
static const struct field lease_rows[] = {
	F_BOOL("confirmed", struct lease_spec, confirmed, .doc = "Whether a server has said that it is the link's."),
};
static const struct table lease_table = TABLE("dhcp-lease", struct lease_spec, lease_rows);

/* "br1/ipv4" */
static bool is_there(const struct op *op)
{
	cleanup_free char *link = xstrdup(op->key);
	char *slash = strrchr(link, '/');
	struct process_id id;
	if (!slash)
		return false;
	*slash = '\0';
	return dhcp_client_find(link, &id) && dhcp_client_has_address(link, streq(slash + 1, "ipv4") ? 4 : 6);
}

static void lease_observe(struct op *op)
{
	bool there = is_there(op);
	struct lease_spec *seen = observation_begin(&op->obs, op->class, there);
	if (there) {
		seen->confirmed = true;
		mark_present(seen, &lease_table, "confirmed");
		op->obs.owner = OWNER_OURS;
	}
	op_complete(op);
}

/* Its client, which it needs, has been waited for already. */
static void lease_create(struct op *op)
{
	if (is_there(op))
		op_complete(op);
	else
		op_fail(op, ETIMEDOUT,
			"no DHCP server has confirmed the lease of %s within %d s: see whether the server knows it by "
			"the MAC, or say dhcpClientId as the client had it that leased the address",
			op->key, LEASE_MS / 1000);
}

/* What is given up is the wait for it: it goes with its client. */
static void lease_remove(struct op *op)
{
	observation_begin(&op->obs, op->class, false);
	op_complete(op);
}

static const struct async_verbs lease_verbs = {
	.observe = lease_observe,
	.create = lease_create,
	.update = lease_create,
	.remove = lease_remove,
};

static const struct errno_rule lease_errnos[] = {{OP_CREATE, ETIMEDOUT, ANSWER_REFUSE}};

const struct resource_class netd_dhcp_lease_class = {
	.name = "dhcp-lease",
	.doc = "That a link's DHCP client has an address; its key is LINK/FAMILY.",
	.table = &lease_table,
	.lane = DHCP_CLIENT_LANE,
	.verbs = &lease_verbs,
	.flags = CLASS_TRANSACTIONAL,
	.rules = lease_errnos,
	.n_rules = ARRAY_SIZE(lease_errnos),
};
