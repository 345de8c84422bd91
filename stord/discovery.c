/* SPDX-License-Identifier: Apache-2.0 */
/* Resource discovery/POOL: at which portals a target is to be had, as one of its addresses tells (SendTargets). The
 * answer is a fact, out of which the Pool's sessions are lowered; it is kept in portals/POOL in the state directory, so
 * that a host that starts while that address is away still logs in at the portals that are not. */
#include <dirent.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "core/lower.h"
#include "stord/iscsi.h"
#include "stord/stord.h"

static const struct field discovery_rows[] = {
	F_OF(scalar_portal, struct endpoint, "address", struct discovery_state, address, .flags = FIELD_RECREATE,
	     .doc = "Whom to ask."),
	F_OF(scalar_iscsi_name, const char *, "target", struct discovery_state, target, .flags = FIELD_RECREATE,
	     .doc = "For which target."),
	F_OF(scalar_iscsi_name, const char *, "initiator", struct discovery_state, initiator, .flags = FIELD_WEAK,
	     .doc = "As whom to ask."),
	F_LIST("portals", struct discovery_state, portals, scalar_string, .flags = FIELD_STATUS,
	       .doc = "The portals that it has told.", .example = "192.0.2.60:3260"),
};
static const struct table discovery_table = TABLE("discovery", struct discovery_state, discovery_rows);

enum { ASK_MS = 20 * 1000, TEXT_MAX = 16 << 10, PERIOD_MS = 10 * 60 * 1000 };

struct discovery_report {
	char text[TEXT_MAX]; /* "ADDRESS TARGET PORTAL..."; empty: nothing was ever told */
};
struct discovery_work {
	const struct op *op;
	bool ask;
};

/* What is known, by pool; of the daemon. */
static struct known {
	char *pool, *text;
	uint64_t asked_ms;
	struct known *next;
} * known;

static const struct discovery_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

static char *file_of(const char *pool)
{
	return xprintf("%s/portals/%s", env.state_dir, pool);
}

/* ---- what is known ---- */

static struct known *find(const char *pool)
{
	for (struct known *k = known; k; k = k->next)
		if (streq(k->pool, pool))
			return k;
	return NULL;
}

static struct known *obtain(const char *pool)
{
	struct known *k = find(pool);
	if (k)
		return k;
	k = xcalloc(1, sizeof(*k));
	*k = (struct known){.pool = xstrdup(pool), .next = known};
	return known = k;
}

static void learn(const char *pool, const char *text)
{
	struct known *k = obtain(pool);
	if (streq(k->text ? k->text : "", text))
		return;
	cleanup_free char *key = xprintf("iscsi-portals/%s", pool);
	free(k->text);
	k->text = *text ? xstrdup(text) : NULL;
	fact_changed(key);
}

static int answer(void *ctx, const char *key, char **ret)
{
	const struct known *k = find(key + strlen("iscsi-portals/"));
	if (!k || !k->text)
		return -ENOENT;
	*ret = xstrdup(k->text);
	return 0;
}

void discovery_start(void)
{
	cleanup_free char *path = xprintf("%s/portals", env.state_dir);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		cleanup_free char *file = file_of(entry->d_name), *text = NULL;
		if (entry->d_name[0] == '.' || strchr(entry->d_name, '.') || file_read(file, TEXT_MAX, &text, NULL) < 0)
			continue;
		text[strcspn(text, "\n")] = '\0';
		obtain(entry->d_name)->text = xstrdup(text);
	}
	if (dir)
		closedir(dir);
	fact_register("iscsi-portals/", answer, NULL);
}

void discovery_stop(void)
{
	while (known) {
		struct known *k = known;
		known = k->next;
		free(k->pool);
		free(k->text);
		free(k);
	}
}

/* ---- in the child ---- */

/* What was told when the same was asked before. */
static void recall(const struct op *op, struct discovery_report *ret)
{
	const struct discovery_state *spec = spec_of(op);
	cleanup_arena struct arena *arena = arena_new();
	cleanup_free char *file = file_of(op->key), *text = NULL;
	cleanup_free char *asked = xprintf("%s %s ", portal_text(&spec->address, arena), spec->target);
	if (file_read(file, TEXT_MAX - 1, &text, NULL) == 0 && str_starts(text, asked))
		snprintf(ret->text, TEXT_MAX, "%.*s", (int)strcspn(text, "\n"), text);
}

static int ask(const struct op *op, struct discovery_report *ret)
{
	const struct discovery_state *spec = spec_of(op);
	cleanup_arena struct arena *arena = arena_new();
	cleanup_free char *dir = xprintf("%s/portals", env.state_dir), *file = file_of(op->key), *portals = NULL;
	int code = iscsi_discover(&spec->address, spec->target, spec->initiator, &portals);
	if (code)
		return code;
	snprintf(ret->text, TEXT_MAX - 1, "%s %s %s", portal_text(&spec->address, arena), spec->target, portals);
	cleanup_free char *line = xprintf("%s\n", ret->text);
	int r = mkdir_all(dir, 0700);
	if (r == 0)
		r = file_write_atomic(file, line, strlen(line), 0600);
	return r < 0 ? say(-r, "'%s' cannot be written: %s", file, strerror(-r)) : 0;
}

static int tell(const struct discovery_report *report, int out_fd)
{
	return write(out_fd, report, sizeof(*report)) == (ssize_t)sizeof(*report) ? 0 : EIO;
}

/* Who does not answer when asked again has said what is to be known: its portals tell of themselves. */
static int do_observe(void *ctx, int out_fd)
{
	const struct discovery_work *work = ctx;
	cleanup_free struct discovery_report *report = xcalloc(1, sizeof(*report));
	if (!work->ask || ask(work->op, report) != 0)
		recall(work->op, report);
	return tell(report, out_fd);
}

static int do_create(void *ctx, int out_fd)
{
	const struct discovery_work *work = ctx;
	cleanup_free struct discovery_report *report = xcalloc(1, sizeof(*report));
	int code = ask(work->op, report);
	return code ? code : tell(report, out_fd);
}

static int do_remove(void *ctx, int out_fd)
{
	const struct discovery_work *work = ctx;
	cleanup_free struct discovery_report *report = xcalloc(1, sizeof(*report));
	cleanup_free char *file = file_of(work->op->key), *dir = xprintf("%s/portals", env.state_dir);
	if (unlink(file) < 0 && errno != ENOENT)
		return say(errno, "'%s' cannot be deleted: %s", file, strerror(errno));
	rmdir(dir);
	return tell(report, out_fd);
}

/* ---- in the daemon ---- */

static void describe(struct op *op, const char *text)
{
	const struct discovery_state *spec = spec_of(op);
	struct discovery_state *seen = observation_begin(&op->obs, op->class, *text);
	struct arena *arena = op->obs.arena;
	if (!*text)
		return;
	char *rest = arena_strdup(arena, text);
	const char **portals = arena_alloc(arena, (strlen(text) / 2 + 1) * sizeof(*portals));
	size_t n = 0;
	strsep(&rest, " "); /* the address */
	strsep(&rest, " "); /* the target */
	for (char *portal; (portal = strsep(&rest, " "));)
		portals[n++] = portal;
	*seen = (struct discovery_state){
		.present = DISCOVERY_ADDRESS | DISCOVERY_TARGET | DISCOVERY_PORTALS,
		.address = spec->address,
		.target = arena_strdup(arena, spec->target),
		.portals = {portals, n},
	};
	op->obs.owner = OWNER_OURS; /* a file in our own directory */
}

static void finish(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct discovery_report *report = data;
	if (size != sizeof(*report)) {
		op_fail(op, EPROTO, "discovery %s was not told whole", op->key);
		return;
	}
	describe(op, report->text);
	if (op->want || op->verb == OP_REMOVE)
		learn(op->key, report->text);
	op_complete(op);
}

static void late(struct task *task)
{
	cleanup_arena struct arena *arena = arena_new();
	op_fail(task->op, ETIMEDOUT, "%s does not answer", portal_text(&spec_of(task->op)->address, arena));
}

/* It is asked again every now and then: a target may get another portal. */
static bool is_due(const struct op *op)
{
	struct known *k = op->want && op->verb == OP_OBSERVE ? find(op->key) : NULL;
	if (!k || !k->text || now_ms() - k->asked_ms < PERIOD_MS)
		return false;
	k->asked_ms = now_ms();
	return true;
}

static void start(struct op *op, int (*work)(void *, int))
{
	const struct discovery_state *spec = spec_of(op);
	if (!spec || !spec->target) { /* nobody knows what it was: there is nothing of it to see */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
		return;
	}
	struct discovery_work *input = xcalloc(1, sizeof(*input));
	*input = (struct discovery_work){.op = op, .ask = is_due(op)};
	task_start((struct task){.op = op, .input = input, .finish = finish, .late = late}, work, ASK_MS);
}

static void discovery_observe(struct op *op)
{
	start(op, do_observe);
}

static void discovery_create(struct op *op)
{
	obtain(op->key)->asked_ms = now_ms();
	start(op, do_create);
}

static void discovery_remove(struct op *op)
{
	start(op, do_remove);
}

static const char *discovery_slot(const struct op *op)
{
	static char slot[128];
	snprintf(slot, sizeof(slot), "discovery/%s", op->key);
	return slot;
}

static const struct async_verbs discovery_verbs = {
	.observe = discovery_observe,
	.create = discovery_create,
	.update = discovery_observe,
	.remove = discovery_remove,
	.slot = discovery_slot,
	.cancel = task_cancel,
};

const struct resource_class stord_discovery_class = {
	.name = "discovery",
	.doc = "The portals of an iSCSI target, as an address of it tells them.",
	.table = &discovery_table,
	.lane = "storage",
	.calm = stord_calm,
	.verbs = &discovery_verbs,
	.flags = CLASS_PERSISTENT,
	.period_ms = PERIOD_MS,
};
