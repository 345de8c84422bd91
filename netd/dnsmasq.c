/* SPDX-License-Identifier: Apache-2.0 */
/* The class `dnsmasq`: the DHCP, DNS and RA server of a network, key NETWORK. What it was started with is compared, not
 * what its files say, so an untouched one is never restarted. Records are changed by a signal; everything else by a
 * restart of some milliseconds, over which leases persist. A bridge that is made anew needs nothing: dnsmasq follows it
 * by itself (bind-dynamic). */
#include "core/lane-async.h"
#include "netd/dnsmasq.h"

static int write_text(const char *network, enum dnsmasq_file file, const char *text, struct err *err)
{
	cleanup_free char *path = dnsmasq_path(network, file);
	int r = file_write_atomic(path, text, strlen(text), 0644);
	return r < 0 ? err_errno(err, -r, "write %s", path) : 0;
}

static int write_records(const struct op *op, struct err *err)
{
	cleanup_free char *text = dnsmasq_records(op->want);
	return write_text(op->key, DNSMASQ_RECORDS, text, err);
}

static int write_files(const struct op *op, struct err *err)
{
	int r = dnsmasq_make_dirs(op->key);
	if (r < 0)
		return err_errno(err, -r, "make the directories of network '%s'", op->key);
	cleanup_free char *conf = dnsmasq_config(op->key, op->want, dnsmasq_user(op->key));
	r = write_text(op->key, DNSMASQ_CONF, conf, err);
	return r < 0 ? r : write_records(op, err);
}

static void finish(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	if (err)
		op->err = *err;
	op_complete(op);
}

static void observe(struct op *op)
{
	struct process_id id;
	bool exists = dnsmasq_find(op->key, &id);
	struct dnsmasq_spec *seen = observation_begin(&op->obs, op->class, exists);
	if (exists) {
		const struct dnsmasq_spec *started = dnsmasq_started_with(op->key, &id, op->obs.arena);
		if (started)
			*seen = *started;
		seen->pid = (uint32_t)id.pid;
		mark_present(seen, op->class->table, "pid");
		op->obs.owner = OWNER_OURS;
		op->obs.incarnation = id.start << 22 ^ (uint64_t)id.pid;
		if (streq(dnsmasq_user(op->key), "root"))
			op->obs.note =
				"dnsmasq runs as root, since the state directory lies in one that is closed to others";
	}
	op_complete(op);
}

static void start_it(void *ctx, const struct err *failed)
{
	struct op *op = ctx;
	if (failed)
		op->err = *failed;
	if (op->err.code || write_files(op, &op->err) < 0)
		op_complete(op);
	else
		dnsmasq_start(op->key, op->want, finish, op);
}

/* Whatever runs with our configuration, perhaps half started by a daemon that was killed, goes first. */
static void restart(struct op *op)
{
	dnsmasq_stop(op->key, start_it, op);
}

static void update(struct op *op)
{
	const struct field *records = table_field(op->class->table, "records");
	struct process_id id;
	if (op->rows != UINT64_C(1) << (records - op->class->table->fields) || !dnsmasq_find(op->key, &id)) {
		restart(op);
		return;
	}
	if (write_records(op, &op->err) == 0 && dnsmasq_remember(op->key, &id, op->want, &op->err) == 0)
		dnsmasq_reload(op->key);
	op_complete(op);
}

static void clear_files(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	for (int file = DNSMASQ_CONF; file <= DNSMASQ_LOG; file++) {
		cleanup_free char *path = dnsmasq_path(op->key, file);
		if (file == DNSMASQ_HOSTS)
			rmdir(path); /* stays while clients are in it */
		else
			unlink(path);
	}
	dnsmasq_remove_dirs(op->key);
	finish(op, err);
}

static void take_away(struct op *op)
{
	dnsmasq_stop(op->key, clear_files, op);
}

static const char *slot(const struct op *op)
{
	return op->key;
}

static const struct async_verbs verbs = {
	.observe = observe,
	.create = restart,
	.update = update,
	.remove = take_away,
	.slot = slot,
	.deadline_ms = 30000,
};

const struct resource_class netd_dnsmasq_class = {
	.name = "dnsmasq",
	.doc = "DHCP, DNS and router advertisements on a bridge, by a dnsmasq process.",
	.table = &netd_dnsmasq_table,
	.lane = DNSMASQ_LANE,
	.verbs = &verbs,
};
