/* SPDX-License-Identifier: Apache-2.0 */
/* Resource session/POOL/PORTAL: this host logged in at one portal of an iSCSI target. iscsid keeps the session and
 * brings it back after an outage; weft logs in, sees how it stands, and logs out when nobody uses its disks. A session
 * that others have made to the same portal is used only where the Pool says adopt: true, and never ended. */
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/lane-async.h"
#include "stord/iscsi.h"
#include "stord/stord.h"

static const struct field session_rows[] = {
	F_OF(scalar_iscsi_name, const char *, "target", struct session_state, target, .flags = FIELD_RECREATE,
	     .doc = "Name of the target."),
	F_OF(scalar_portal, struct endpoint, "portal", struct session_state, portal, .flags = FIELD_RECREATE,
	     .doc = "Where it is logged in."),
	F_OF(scalar_iscsi_name, const char *, "initiator", struct session_state, initiator, .flags = FIELD_RECREATE,
	     .doc = "Name that this host logs in with."),
	F_STRUCT("chap", struct session_state, chap, chap_table, .flags = FIELD_WEAK,
		 .doc = "User and password; from the next login on."),
	F_STRUCT("mutualChap", struct session_state, mutual, chap_table, .flags = FIELD_WEAK,
		 .doc = "User and password of the target; from the next login on."),
	F_STRUCT("timeouts", struct session_state, timeouts, iscsi_timeouts_table, .flags = FIELD_WEAK,
		 .doc = "How long it waits for what; from the next login on."),
	F_STRING("state", struct session_state, state, .flags = FIELD_STATUS,
		 .doc = "How it stands: LOGGED_IN, FAILED, FREE."),
	F_STRING("session", struct session_state, name, .flags = FIELD_STATUS, .doc = "What the kernel calls it."),
	F_LIST("luns", struct session_state, luns, scalar_string, .flags = FIELD_STATUS,
	       .doc = "Its LUNs: number, disk and size.", .example = "1 sdb 10GiB"),
	F_BOOL("record", struct session_state, record,
	       .doc = "Whether open-iscsi has a record of it, without the passwords that a login needs."),
};
static const struct table session_table = TABLE("session", struct session_state, session_rows);

enum { LOOK_MS = 15 * 1000, CHANGE_MS = 45 * 1000, LANE_MS = 60 * 1000, LUNS_MAX = 256 };

/* What comes back from the child. */
struct lun_seen {
	uint64_t lun, size;
	char disk[32];
};
struct session_report {
	bool exists, ours;
	bool record;
	struct iscsi_seen seen;
	size_t n_luns;
	struct lun_seen luns[LUNS_MAX];
};
struct session_work {
	const struct op *op;
	bool rescan;
};

static const struct session_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

/* ---- in the child ---- */

/* Ours, if there is one; else somebody else's. */
static int find(const struct session_state *spec, struct session_report *ret)
{
	cleanup_free struct iscsi_seen *seen = NULL;
	size_t n;
	int code = iscsi_sessions(&seen, &n);
	for (size_t i = 0; !code && i < n && !ret->ours; i++) {
		if (!streq(seen[i].target, spec->target) || !scalar_portal.equal(&seen[i].portal, &spec->portal))
			continue;
		ret->exists = true;
		ret->ours = iscsi_is_ours(&seen[i]);
		ret->seen = seen[i];
	}
	return code;
}

static void find_luns(struct session_report *ret)
{
	cleanup_free struct scsi_disk *disks = NULL;
	cleanup_free char *name = xprintf("session%u", ret->seen.id);
	size_t n = 0;
	scsi_disks("/sys", &disks, &n);
	for (size_t i = 0; i < n && ret->n_luns < LUNS_MAX; i++) {
		if (!streq(disks[i].session, name))
			continue;
		struct lun_seen *lun = &ret->luns[ret->n_luns++];
		*lun = (struct lun_seen){.lun = disks[i].lun, .size = disks[i].size};
		strcpy(lun->disk, disks[i].name);
	}
}

/* A record without a session is what an interrupted login has left. */
static int tell(const struct session_work *work, int out_fd)
{
	const struct session_state *spec = spec_of(work->op);
	cleanup_free struct session_report *report = xcalloc(1, sizeof(*report));
	int code = find(spec, report);
	if (code)
		return code;
	if (!report->ours)
		iscsi_record_forget(spec);
	else if (work->rescan && iscsi_is_alive(&report->seen))
		iscsi_rescan(report->seen.id);
	if (report->exists)
		find_luns(report);
	/* A login that was interrupted has left one with passwords, or, where iscsid went on by itself, none. */
	report->record = !report->ours || iscsi_record_is_whole(spec, report->seen.group);
	return write(out_fd, report, sizeof(*report)) == (ssize_t)sizeof(*report) ? 0 : EIO;
}

static int do_observe(void *ctx, int out_fd)
{
	return tell(ctx, out_fd);
}

static int do_create(void *ctx, int out_fd)
{
	struct session_work *work = ctx;
	int code = iscsi_login(spec_of(work->op));
	work->rescan = false;
	return code ? code : tell(work, out_fd);
}

/* The session that the operation is about, which is to be there still. */
static int find_same(const struct session_work *work, struct session_report *ret)
{
	int code = find(spec_of(work->op), ret);
	if (!code && ret->ours && ret->seen.incarnation != work->op->incarnation)
		return say(ESTALE, "another session is there now");
	return code;
}

/* Of the session itself nothing is changed while it is there. */
static int do_update(void *ctx, int out_fd)
{
	struct session_work *work = ctx;
	struct session_report report = {0};
	int code = find_same(work, &report);
	if (!code && report.ours)
		code = iscsi_record_write(spec_of(work->op), NULL, report.seen.group);
	return code ? code : tell(work, out_fd);
}

static int do_remove(void *ctx, int out_fd)
{
	struct session_work *work = ctx;
	struct session_report report = {0};
	int code = find_same(work, &report);
	if (!code && report.ours)
		code = iscsi_logout(spec_of(work->op), &report.seen);
	work->rescan = false;
	return code ? code : tell(work, out_fd);
}

/* ---- in the daemon ---- */

static const char *lun_text(const struct lun_seen *lun, struct arena *arena)
{
	return arena_printf(arena, "%llu %s %s", (unsigned long long)lun->lun, lun->disk,
			    scalar_size.format(NULL, &lun->size, arena));
}

static void describe(struct op *op, const struct session_report *report)
{
	const struct session_state *spec = spec_of(op);
	struct session_state *seen = observation_begin(&op->obs, op->class, report->exists);
	struct arena *arena = op->obs.arena;
	const char *portal = portal_text(&spec->portal, arena);
	op->obs.incarnation = report->seen.incarnation;
	op->obs.owner = !report->exists ? OWNER_UNKNOWN : report->ours ? OWNER_OURS : OWNER_FOREIGN;
	if (!report->exists)
		return;
	const char **luns = arena_alloc(arena, (report->n_luns + 1) * sizeof(*luns));
	for (size_t i = 0; i < report->n_luns; i++)
		luns[i] = lun_text(&report->luns[i], arena);
	*seen = (struct session_state){
		.present = SESSION_TARGET | SESSION_PORTAL | SESSION_INITIATOR | SESSION_STATE | SESSION_NAME |
			   SESSION_LUNS | SESSION_RECORD,
		.target = arena_strdup(arena, report->seen.target),
		.portal = report->seen.portal,
		.initiator = arena_strdup(arena, report->seen.initiator),
		.state = arena_strdup(arena, report->seen.state),
		.name = arena_printf(arena, "session%u", report->seen.id),
		.luns = {luns, report->n_luns},
		.record = report->record,
	};
	if (!iscsi_is_alive(&report->seen))
		op->obs.health = arena_printf(arena,
					      "portal %s of target %s does not answer; what goes by it takes another "
					      "portal or waits, and it is logged in again when it comes back",
					      portal, spec->target);
	if (!report->ours)
		op->obs.note = arena_printf(arena, "portal %s: session %u is not weft's (interface %s)", portal,
					    report->seen.id, report->seen.iface);
}

/* What a pool is is told by its sessions. */
static void tell_pool(const struct op *op)
{
	cleanup_free char *pool = xstrndup(op->key, strcspn(op->key, "/"));
	if (op->lane->engine)
		engine_dirty(op->lane->engine, "pool", pool);
}

static bool has_changed(const struct op *op, const struct session_report *report)
{
	const struct session_state *before = op->seen;
	return op->verb != OP_OBSERVE || !before != !report->exists ||
	       (before && !streq(before->state, report->seen.state));
}

static void finish(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct session_report *report = data;
	if (size != sizeof(*report)) {
		op_fail(op, EPROTO, "session %s was not told whole", op->key);
		return;
	}
	describe(op, report);
	if (op->want && report->exists && op->lane->engine)
		session_watch(op->lane->engine, op->key, &report->seen);
	else
		session_unwatch(op->key);
	if (has_changed(op, report))
		tell_pool(op);
	op_complete(op);
}

static void late(struct task *task)
{
	static const char *const doing[] = {"looking at the session with", "the login at",
					    "the record of the session with", "the logout at"};
	struct op *op = task->op;
	cleanup_arena struct arena *arena = arena_new();
	op_fail(op, ETIMEDOUT, "%s portal %s took longer than %d s", doing[op->verb],
		portal_text(&spec_of(op)->portal, arena), (op->verb == OP_OBSERVE ? LOOK_MS : CHANGE_MS) / 1000);
}

static void start(struct op *op, int (*work)(void *, int))
{
	const struct session_state *spec = spec_of(op);
	if (!spec || !spec->target) { /* nobody knows what it was: there is nothing of it to see */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
		return;
	}
	struct session_work *input = xcalloc(1, sizeof(*input));
	*input = (struct session_work){.op = op, .rescan = op->want && session_rescan_due(op->key)};
	task_start((struct task){.op = op, .input = input, .finish = finish, .late = late}, work,
		   op->verb == OP_OBSERVE ? LOOK_MS : CHANGE_MS);
}

static void session_observe(struct op *op)
{
	start(op, do_observe);
}

static void session_create(struct op *op)
{
	start(op, do_create);
}

static void session_update(struct op *op)
{
	start(op, do_update);
}

static void session_remove(struct op *op)
{
	start(op, do_remove);
}

/* A portal that is away holds up itself alone. */
static const char *session_slot(const struct op *op)
{
	static char slot[192];
	snprintf(slot, sizeof(slot), "session/%s", op->key);
	return slot;
}

static const struct async_verbs session_verbs = {
	.observe = session_observe,
	.create = session_create,
	.update = session_update,
	.remove = session_remove,
	.slot = session_slot,
	.cancel = task_cancel,
	.deadline_ms = LANE_MS,
};

const struct resource_class stord_session_class = {
	.name = "session",
	.doc = "This host logged in at a portal of an iSCSI target.",
	.table = &session_table,
	.lane = "storage",
	.calm = stord_calm,
	.verbs = &session_verbs,
	.flags = CLASS_REMOVE_IRREVERSIBLE | CLASS_ADOPT_UNMARKED,
	.period_ms = 60 * 1000, /* for LUNs that have grown without a word from the target */
};
