/* SPDX-License-Identifier: Apache-2.0 */
/* Resource lease/POOL/VOLUME/GUEST: a guest of this host has the use of a volume. It exists if the storage says so;
 * what another holds is no difference to be repaired but a refusal, tried again until it is free. See lease.h. */
#include "stord/lease.h"

#include <time.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/lane-async.h"
#include "stord/probe.h"
#include "stord/stord.h"
#include "stord/volume.h"

const char *const lease_modes[] = {"alone", "shared", "read"};
const char *const lease_lives[] = {"unknown", "yes", "no"};

/* Adding a means is adding it to both. */
static const struct lease_means *const all_means[] = {
	NULL, &lease_by_file, &lease_by_rbd, &lease_by_reservation, &lease_by_group, &lease_by_lvmlockd};
static const char *const means_names[] = {"none", "file", "rbd", "reservation", "group", "lvmlockd"};

static const struct table *own_table(const void *around)
{
	const struct lease_means *means = lease_means_at(((const struct lease_state *)around)->means);
	return means ? means->table : NULL;
}

static const struct field lease_rows[] = {
	F_ENUM("means", struct lease_state, means, means_names, .flags = FIELD_RECREATE,
	       .doc = "How it is held on the storage."),
	F_STRING("place", struct lease_state, place, .flags = FIELD_RECREATE, .doc = "Where the volume is."),
	F_VARIANT("own", struct lease_state, own, own_table, .flags = FIELD_WEAK,
		  .doc = "What its storage needs to know beside that."),
	F_ENUM("mode", struct lease_state, mode, lease_modes,
	       .doc = "Alone, with others that share the volume, or with others that only read it."),
	F_STRING("host", struct lease_state, host, .flags = FIELD_STATUS, .doc = "The host that holds it."),
	F_STRING("since", struct lease_state, since, .flags = FIELD_STATUS, .doc = "Since when."),
};
static const struct table lease_table = TABLE("lease", struct lease_state, lease_rows);

enum { LOOK_MS = 20 * 1000, CHANGE_MS = 30 * 1000, PERIOD_MS = 60 * 1000 };

const struct lease_means *lease_means_at(int means)
{
	return all_means[means];
}

/* ---- what means have in common ---- */

struct lease_holder lease_self(void)
{
	struct lease_holder self = {.since_ms = wall_ms(), .life = LEASE_ALIVE};
	snprintf(self.instance, sizeof(self.instance), "%s", env.instance);
	if (gethostname(self.host, sizeof(self.host) - 1) < 0)
		strcpy(self.host, "?");
	return self;
}

bool lease_same_holder(const struct lease_holder *a, const struct lease_holder *b)
{
	return streq(a->instance, b->instance) && streq(a->guest, b->guest);
}

bool lease_bears(const struct lease_holder *a, const struct lease_holder *b)
{
	return lease_same_holder(a, b) || (a->mode == b->mode && a->mode != LEASE_ALONE);
}

const char *lease_time_text(uint64_t ms, char buf[static 32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	if (!gmtime_r(&seconds, &tm) || !strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(buf, "?");
	return buf;
}

int lease_refuse(const struct lease_call *call, const struct lease_holder *holder)
{
	char since[32];
	bool here = streq(holder->instance, call->self.instance);
	cleanup_free char *where = here ? xstrdup("this host") : xprintf("host '%s'", holder->host);
	cleanup_free char *then =
		here || holder->life == LEASE_ALIVE
			? xstrdup("stop that guest first")
			: xprintf("stop that guest first; if its host is dead for good, `weft lease break %s`",
				  call->volume);
	cleanup_free char *when =
		holder->since_ms ? xprintf(" since %s", lease_time_text(holder->since_ms, since)) : xstrdup("");
	return say(EBUSY, "volume '%s' is used by guest '%s' on %s%s%s: %s", call->volume, holder->guest, where, when,
		   holder->mode == call->self.mode ? "" : ", in another way than is asked for here", then);
}

/* FNV-1a, below what a file offset can be. */
uint64_t lease_lock_byte(const char *instance, const char *guest)
{
	uint64_t sum = 0xcbf29ce484222325;
	cleanup_free char *text = xprintf("%s/%s", instance, guest);
	for (const char *p = text; *p; p++)
		sum = (sum ^ (unsigned char)*p) * 0x100000001b3;
	return 1 + sum % (UINT64_C(1) << 62);
}

uint64_t stord_lease_byte(const char *guest)
{
	return lease_lock_byte(env.instance, guest);
}

/* ---- in a child ---- */

struct lease_work {
	const struct op *op;
	lease_verb_fn *verb;
};
/* What comes back through the pipe. */
struct lease_answer {
	bool held;
	struct lease_holder own;
	char note[IMAGE_TEXT_MAX];
};

static const struct lease_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

static int do_verb(void *ctx, int out_fd)
{
	const struct lease_work *work = ctx;
	const struct lease_state *state = spec_of(work->op);
	cleanup_free char *key = xstrdup(work->op->key);
	char *rest = key;
	struct lease_call call = {.place = state->place, .own = state->own, .self = lease_self()};
	struct lease_seen seen = {0};
	call.pool = strsep(&rest, "/");
	call.volume = strsep(&rest, "/");
	call.self.mode = (enum lease_mode)state->mode;
	snprintf(call.self.guest, sizeof(call.self.guest), "%s", rest);
	struct lease_answer answer = {0};
	int code = work->verb(&call, &seen);
	if (code)
		return code;
	for (size_t i = 0; i < seen.n && !answer.held; i++)
		if ((answer.held = lease_same_holder(&seen.holders[i], &call.self)))
			answer.own = seen.holders[i];
	strcpy(answer.note, seen.note);
	return write(out_fd, &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : EIO;
}

/* ---- on the lane ---- */

static struct lease_state *see(struct op *op, bool exists)
{
	const struct lease_state *spec = spec_of(op);
	struct lease_state *seen = observation_begin(&op->obs, op->class, exists);
	if (!exists)
		return seen;
	op->obs.owner = OWNER_OURS;
	struct lease_state *copy = table_copy(&lease_table, spec, op->obs.arena);
	*seen = *copy;
	seen->present &= ~(uint64_t)(LEASE_ROW_HOST | LEASE_ROW_SINCE);
	return seen;
}

static void describe(struct op *op, const struct lease_answer *output)
{
	const struct lease_holder *own = &output->own;
	struct lease_state *seen = see(op, output->held);
	struct arena *arena = op->obs.arena;
	char since[32];
	if (output->note[0])
		op->obs.note = arena_strdup(arena, output->note);
	if (!output->held)
		return;
	seen->mode = own->mode;
	seen->host = arena_strdup(arena, own->host);
	seen->since = arena_strdup(arena, lease_time_text(own->since_ms, since));
	seen->present |= LEASE_ROW_HOST | LEASE_ROW_SINCE;
}

/* Who waits for this volume tries again at once. */
static void wake_others(const struct op *op)
{
	struct resource_view view;
	size_t len = (size_t)(strrchr(op->key, '/') - op->key) + 1;
	for (size_t i = 0; op->lane->engine && engine_view(op->lane->engine, i, &view); i++)
		if (view.class == op->class && view.want && view.state != RES_PRESENT &&
		    strncmp(view.key, op->key, len) == 0 && !streq(view.key, op->key))
			engine_retry(op->lane->engine, view.want->owners[0]);
}

static void finish(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	if (size != sizeof(struct lease_answer)) {
		op_fail(op, EPROTO, "lease %s was not told whole", op->key);
		return;
	}
	describe(op, data);
	if (op->verb == OP_REMOVE)
		wake_others(op);
	op_complete(op);
}

/* As it was seen last: what holds it goes on holding it. */
static void see_silent(struct op *op, const char *silence)
{
	const struct lease_state *before = op->seen;
	if (!before || op->verb != OP_OBSERVE) {
		op_fail(op, ETIMEDOUT, "%s", silence);
		return;
	}
	struct lease_state *seen = see(op, true);
	*seen = *(struct lease_state *)table_copy(&lease_table, before, op->obs.arena);
	op_complete(op);
}

static void gave_up(struct task *task, const char *said)
{
	see_silent(task->op, said);
}

static void late(struct task *task)
{
	see_silent(task->op, "its storage does not answer; who else has the volume is seen once it does");
}

static void start(struct op *op, lease_verb_fn *verb, unsigned deadline_ms)
{
	cleanup_free char *pool = xstrndup(op->key, strcspn(op->key, "/"));
	if (probe_silence(&probe_pools, pool)) {
		see_silent(op, probe_silence(&probe_pools, pool));
		return;
	}
	struct lease_work *work = xcalloc(1, sizeof(*work));
	*work = (struct lease_work){.op = op, .verb = verb};
	task_start((struct task){.op = op, .input = work, .finish = finish, .late = late, .gave_up = gave_up}, do_verb,
		   deadline_ms);
}

static const struct lease_means *means_of(const struct op *op)
{
	const struct lease_state *spec = spec_of(op);
	return spec ? lease_means_at(spec->means) : NULL;
}

static unsigned change_ms(const struct op *op)
{
	return means_of(op)->change_ms ? means_of(op)->change_ms : CHANGE_MS;
}

/* Nothing keeps others off: that is how it is, and is said. */
static void see_none(struct op *op)
{
	see(op, op->want && op->verb != OP_REMOVE);
	if (op->want)
		op->obs.note = "this pool's type has no leases: nothing keeps a guest of another host off the volume";
	op_complete(op);
}

static void lease_observe(struct op *op)
{
	if (means_of(op))
		start(op, means_of(op)->look, LOOK_MS);
	else
		see_none(op);
}

static void lease_take(struct op *op)
{
	if (means_of(op))
		start(op, means_of(op)->take, change_ms(op));
	else
		see_none(op);
}

static void lease_remove(struct op *op)
{
	if (means_of(op))
		start(op, means_of(op)->release, change_ms(op));
	else
		see_none(op);
}

/* As the class volume: a few at once in each pool. */
static const char *lease_slot(const struct op *op)
{
	static char slot[160];
	const char *last = strrchr(op->key, '/');
	unsigned sum = 0;
	for (const char *p = op->key; p < last; p++)
		sum = sum * 31 + (unsigned char)*p;
	snprintf(slot, sizeof(slot), "%.*s#%u", (int)strcspn(op->key, "/"), op->key, sum % 4);
	return slot;
}

static const struct async_verbs lease_verbs = {
	.observe = lease_observe,
	.create = lease_take,
	.update = lease_take,
	.remove = lease_remove,
	.slot = lease_slot,
	.cancel = task_cancel,
	.deadline_ms = ASYNC_NO_DEADLINE, /* children have their own, which what holds it may say */
};

static const struct errno_rule lease_rules[] = {
	{OP_CREATE, EUCLEAN, ANSWER_WAIT}, /* the volume is not what it was seen as, and says so itself */
};

const struct resource_class stord_lease_class = {
	.name = "lease",
	.doc = "The use of a volume by a guest of this host, held on the storage itself.",
	.table = &lease_table,
	.lane = "storage",
	.calm = stord_calm,
	.verbs = &lease_verbs,
	.flags = CLASS_PERSISTENT,
	.rules = lease_rules,
	.n_rules = ARRAY_SIZE(lease_rules),
	.period_ms = PERIOD_MS, /* of what other hosts do there, nothing tells */
};

struct want *lease_want(struct lowering *l, const struct lease_plan *plan)
{
	struct lease_state state = {
		.present = LEASE_ROWS_WANTED | (plan->own ? LEASE_ROW_OWN : 0),
		.place = plan->place,
		.own = plan->own,
		.mode = plan->mode,
	};
	for (size_t i = 0; i < ARRAY_SIZE(all_means); i++)
		if (all_means[i] == plan->means)
			state.means = (int)i;
	return want(l, &stord_lease_class, &state, "%s/%s/%s", plan->pool, plan->volume, plan->guest);
}
