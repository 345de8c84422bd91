/* SPDX-License-Identifier: Apache-2.0 */
/* Resource class lun/NAME, see lun.h. All operations of a round are one child's: it looks at the host once, and udev
 * reads its rules once, however many Luns there are. Whether a disk is the right one is said by lun-judge.c. */
#include "core/child.h"
#include "core/env.h"
#include "core/lane-async.h"
#include "stord/image-internal.h"
#include "stord/lun.h"
#include "stord/probe.h"
#include "stord/stord.h"

static const struct field lun_rows[] = {
	F_STRING("wwid", struct lun_state, wwid, .flags = FIELD_REFUSE, .max = DISK_WWID_MAX - 1,
		 .doc = "The disk that it is.", .example = "3600805f30015987000000000768a0019"),
	F_STRING("target", struct lun_state, target, .flags = FIELD_WEAK, .doc = "The target that offers it."),
	F_U64("number", struct lun_state, number, .flags = FIELD_WEAK, .doc = "Under which number."),
	F_ENUM("use", struct lun_state, use, lun_uses, .doc = "What the link leads to: a disk, the map of its paths."),
	F_SIZE("least", struct lun_state, least, .flags = FIELD_WEAK, .doc = "What it has at least."),
	F_BOOL("grown", struct lun_state, grown, .flags = FIELD_IRREVERSIBLE,
	       .doc = "Whether its map is as large as its paths."),
	F_STRING("diskWwid", struct lun_state, disk, .flags = FIELD_STATUS, .doc = "The disk that it is bound to."),
	F_SIZE("size", struct lun_state, size, .flags = FIELD_STATUS, .doc = "Its size."),
	F_STRING("device", struct lun_state, device, .flags = FIELD_STATUS, .doc = "What its link leads to now."),
	F_LIST("paths", struct lun_state, paths, scalar_string, .flags = FIELD_STATUS, .doc = "The ways to it."),
};
static const struct table lun_table = TABLE("lun", struct lun_state, lun_rows);

enum { CHILD_MS = 50 * 1000, LINK_MS = 10 * 1000, PERIOD_MS = 30 * 1000 };

/* One child's work. The operations outlive it. */
struct round {
	struct op **ops;
	size_t n, cap;
};

static const struct lun_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

/* ---- in the child ---- */

static void fail(struct lun_seen *seen, int code, const char *text)
{
	snprintf(seen->text, sizeof(seen->text), "%s", text);
	seen->code = code;
}

static unsigned n_words(const char *list)
{
	unsigned n = *list != '\0';
	for (; *list; list++)
		n += *list == ' ';
	return n;
}

/* What is known from now on. Observing remembers, too: how large it grew, and which paths it had. */
static int remember(struct lun_host *host, const char *name, int use, const struct lun_seen *seen)
{
	const struct lun_record *known = lun_record_find(host, name);
	struct lun_record record = {0};
	if (known)
		record = *known;
	memset(record.name, 0, sizeof(record.name));
	snprintf(record.name, sizeof(record.name), "%s", name);
	if (!known)
		snprintf(record.wwid, sizeof(record.wwid), "%s", seen->wwid);
	record.use = use;
	record.map = seen->map || use == LUN_MAP || (known && known->map && use != LUN_DISK);
	if (seen->size > record.size && seen->grown)
		record.size = seen->size;
	if (seen->map && n_words(seen->paths) >= n_words(record.paths) && !streq(seen->paths, record.paths)) {
		memset(record.paths, 0, sizeof(record.paths));
		snprintf(record.paths, sizeof(record.paths), "%s", seen->paths);
	}
	return lun_record_write(host, &record);
}

/* multipathd enlarges a map by its kernel's name. */
static void enlarge(const char *device, struct lun_seen *seen)
{
	cleanup_free char *command = xprintf("resize map %s", device), *answer = NULL;
	int fault = multipathd_ask(command, &answer);
	if (fault)
		fail(seen, fault, multipathd_fault_text(fault));
	else if (!str_starts(answer, "ok"))
		fail(seen, EIO, "multipathd does not enlarge its map; see systemctl status multipathd");
}

/* A name that is taken, or a record that cannot be written, keeps it from being made. What is not there yet is
 * remembered all the same if its WWID is known: udev then links it when it comes. */
static void prepare(struct lun_host *host, const struct op *op, struct lun_seen *seen)
{
	lun_judge(host, op->key, op->want, seen);
	if (lun_name_is_taken(host, op->key)) {
		fail(seen, EEXIST,
		     "another weftd of this host has a Lun of that name; links below " LUN_LINKS
		     " are the host's, so choose another name");
		return;
	}
	const struct lun_state *want = op->want;
	bool known = seen->wwid[0] && (!seen->code || seen->code == ENODEV);
	if (known && remember(host, op->key, want->use, seen) != 0)
		fail(seen, EIO, "what is known of it cannot be written to the state directory");
	if (!seen->code && op->verb == OP_UPDATE && !seen->grown)
		enlarge(seen->device, seen);
}

static void tell(const struct lun_host *host, const struct round *round, struct lun_seen *seen,
		 void (*whom)(const struct lun_host *host, char ret[static LUN_SENTENCE_MAX]))
{
	char text[LUN_SENTENCE_MAX];
	whom(host, text);
	for (size_t i = 0; text[0] && i < round->n; i++)
		if (round->ops[i]->verb != OP_OBSERVE && !seen[i].code)
			fail(&seen[i], EIO, text);
}

/* What one gives up another may take. */
static void give_up(struct lun_host *host, const struct round *round)
{
	for (size_t i = 0; i < round->n; i++) {
		const struct op *op = round->ops[i];
		const struct lun_record *record = op->verb == OP_REMOVE ? lun_record_find(host, op->key) : NULL;
		if (record)
			lun_map_unmake(host, record);
		if (record)
			lun_record_drop(host, op->key);
	}
}

/* Once multipathd knows the names. A name that another has taken gets no map either. */
static void make_maps(struct lun_host *host, const struct round *round, struct lun_seen *seen)
{
	uint64_t until = now_ms() + LINK_MS;
	for (size_t i = 0; i < round->n; i++)
		if (seen[i].code == ENODEV && seen[i].unmapped && lun_map_make(host, round->ops[i]->key, until))
			lun_judge(host, round->ops[i]->key, round->ops[i]->want, &seen[i]);
}

static void change(struct lun_host *host, const struct round *round, struct lun_seen *seen)
{
	give_up(host, round);
	for (size_t i = 0; i < round->n; i++)
		if (round->ops[i]->verb == OP_CREATE || round->ops[i]->verb == OP_UPDATE)
			prepare(host, round->ops[i], &seen[i]);
	tell(host, round, seen, lun_tell_udev);
	for (size_t i = 0; i < round->n; i++) {
		const struct op *op = round->ops[i];
		if (op->verb == OP_OBSERVE)
			continue;
		if (!seen[i].device[0] || !lun_is_linked(op->key, seen[i].device))
			lun_ask_udev(op->key, NULL);
		if (seen[i].device[0] && !lun_is_linked(op->key, seen[i].device))
			lun_ask_udev(op->key, seen[i].device);
	}
	tell(host, round, seen, lun_tell_multipathd);
	make_maps(host, round, seen);
	for (size_t i = 0; i < round->n; i++)
		if (round->ops[i]->verb == OP_REMOVE && !seen[i].code && lun_record_remove(round->ops[i]->key) != 0)
			fail(&seen[i], EIO, "what is known of it cannot be removed from the state directory");
}

/* udev makes links as it comes to them. */
static void wait_for_links(const struct round *round, struct lun_seen *seen)
{
	uint64_t until = now_ms() + LINK_MS;
	for (size_t i = 0; i < round->n; i++) {
		const struct op *op = round->ops[i];
		bool remove = op->verb == OP_REMOVE;
		if (op->verb == OP_OBSERVE || seen[i].code || (!remove && !seen[i].device[0]))
			continue;
		if (!lun_wait_linked(op->key, remove ? NULL : seen[i].device, until))
			fail(&seen[i], ETIMEDOUT,
			     remove ? "udev has not removed its link in 10 s; see udevadm info"
				    : "udev has not made its link in 10 s; see systemctl status systemd-udevd");
	}
}

static bool changes_anything(const struct round *round)
{
	for (size_t i = 0; i < round->n; i++)
		if (round->ops[i]->verb != OP_OBSERVE)
			return true;
	return false;
}

static int write_all(int fd, const void *data, size_t size)
{
	for (size_t n = 0; n < size;) {
		ssize_t written = write(fd, (const char *)data + n, size - n);
		if (written < 0 && errno != EINTR)
			return errno;
		n += written > 0 ? (size_t)written : 0;
	}
	return 0;
}

static void look(struct lun_host *host, const struct op *op, struct lun_seen *seen)
{
	lun_judge(host, op->key, spec_of(op), seen);
	const struct lun_record *record = lun_record_find(host, op->key);
	seen->linked = seen->device[0] && record && lun_is_linked(op->key, seen->device);
	seen->known = record;
	seen->use = record ? record->use : LUN_EITHER;
	if (seen->linked && !seen->code && op->want)
		remember(host, op->key, record->use, seen); /* what cannot be written now is tried next time */
}

/* Runs in the child: changes what is to be changed, then looks at all of it anew. */
static int do_round(void *ctx, int out_fd)
{
	const struct round *round = ctx;
	cleanup_free struct lun_seen *seen = xcalloc(round->n, sizeof(*seen));
	struct lun_host host;
	lun_host_read(&host);
	if (changes_anything(round)) {
		change(&host, round, seen);
		wait_for_links(round, seen);
		lun_host_done(&host);
		lun_host_read(&host);
	}
	for (size_t i = 0; i < round->n; i++) {
		const struct op *op = round->ops[i];
		bool done = op->verb == OP_OBSERVE || !seen[i].code;
		if (done && spec_of(op))
			look(&host, op, &seen[i]);
	}
	lun_host_done(&host);
	return write_all(out_fd, seen, round->n * sizeof(*seen));
}

/* ---- in the daemon ---- */

static void put_paths(struct lun_state *state, const struct lun_seen *seen, struct arena *arena)
{
	char *names = arena_strdup(arena, seen->paths), *rest;
	const char **items = arena_alloc(arena, (n_words(names) + 1) * sizeof(*items));
	size_t n = 0;
	for (char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
		items[n++] = name;
	state->paths = (struct list){.items = items, .n = n};
}

/* multipathd asks the paths of its maps; a disk without one is asked here, since its state in sysfs is that of the way
 * to it: what a storage answers for a LUN that it has no more does not show there. */
static void ask_from_now_on(const struct op *op, const struct lun_seen *seen)
{
	if (!op->want)
		probe_end(&probe_luns, op->key);
	else if (seen->map && op->lane->engine)
		probe_begin_unasked(op->lane->engine, &probe_luns, op->key);
	else if (seen->linked && op->lane->engine)
		probe_begin(op->lane->engine, &probe_luns, op->key, op->want);
	if (seen->map && !seen->dead)
		probe_note(&probe_luns, op->key, NULL);
}

static const char *health_of(const struct op *op, const struct lun_seen *seen)
{
	const char *last = probe_last(&probe_luns, op->key), *silence = probe_silence(&probe_luns, op->key);
	struct arena *arena = op->obs.arena;
	if (seen->dead && last)
		return arena_printf(arena, "%s; it was last seen to work at %s", seen->health, last);
	if (seen->health[0])
		return arena_strdup(arena, seen->health);
	return silence ? arena_strdup(arena, silence) : NULL;
}

/* It is there when the link leads to the right disk. */
static void describe(struct op *op, const struct lun_seen *seen)
{
	const struct lun_state *spec = spec_of(op);
	/* For giving it up, what is known of it counts, too: the disk may be away. */
	bool exists = seen->linked || (!op->want && seen->known);
	struct lun_state *state = observation_begin(&op->obs, op->class, exists);
	struct arena *arena = op->obs.arena;
	op->obs.owner = OWNER_OURS;
	op->obs.incarnation = seen->incarnation;
	op->obs.health = health_of(op, seen);
	if (!exists)
		return;
	state->present = (spec->present & (LUN_USE | LUN_GROWN)) | LUN_DISK_WWID | LUN_SIZE | LUN_DEVICE | LUN_PATHS |
			 (spec->wwid ? LUN_WWID : 0);
	state->wwid = state->disk = arena_strdup(arena, seen->wwid);
	state->use = seen->use;
	state->grown = seen->grown;
	state->size = seen->size;
	state->device = arena_printf(arena, "/dev/%s", seen->device);
	put_paths(state, seen, arena);
}

static void tell_user(const struct op *op, const struct lun_seen *seen)
{
	const struct lun_state *before = op->seen;
	cleanup_free char *place = xprintf(LUN_LINKS "/%s", op->key);
	if (op->want && seen->linked && (!before || before->size != seen->size))
		volume_tell_user(place, seen->size);
}

static void answer(struct op *op, const struct lun_seen *seen)
{
	bool leaving = !op->want;
	bool absent = seen->code == ENODEV && op->verb == OP_OBSERVE; /* making it will say so, and prepare for it */
	const char *last = seen->dead ? probe_last(&probe_luns, op->key) : NULL;
	if (seen->code && !leaving && !absent) {
		op_fail(op, seen->code, "%s%s%s", seen->text, last ? "; it was last seen to work at " : "",
			last ? last : "");
		return;
	}
	ask_from_now_on(op, seen);
	describe(op, seen);
	tell_user(op, seen);
	if (absent)
		op->obs.note = arena_strdup(op->obs.arena, seen->text);
	if (seen->code && op->verb == OP_REMOVE) {
		op_fail(op, seen->code, "%s", seen->text);
		return;
	}
	op_complete(op);
}

static void on_done(void *ctx, const struct child_result *result)
{
	struct round *round = ctx;
	const struct lun_seen *seen = (const void *)result->out;
	bool whole = result->status == 0 && result->out_size == round->n * sizeof(*seen);
	for (size_t i = 0; i < round->n; i++) {
		struct op *op = round->ops[i];
		if (whole) {
			answer(op, &seen[i]);
		} else if (result->status == 0) {
			op_fail(op, EPROTO, "Lun %s was not told whole", op->key);
		} else {
			op->err = result->err;
			op_complete(op);
		}
	}
	free(round->ops);
	free(round);
}

static void batch(struct op *ops)
{
	struct round *round = xcalloc(1, sizeof(*round));
	for (struct op *op = ops; op; op = op->next) {
		grow(round->ops, round->n, round->cap);
		round->ops[round->n++] = op;
	}
	child_call(do_round, round, CHILD_MS, on_done, round);
}

/* "lun/NAME": the WWID that a name is bound to. */
static int answer_fact(void *ctx, const char *key, char **ret)
{
	struct lun_record record;
	if (!lun_record_read(key + strlen("lun/"), &record))
		return -ENOENT;
	*ret = xstrdup(record.wwid);
	return 0;
}

void lun_start(void)
{
	fact_register("lun/", answer_fact, NULL);
}

static const struct async_verbs lun_verbs = {.batch = batch};

const struct resource_class stord_lun_class = {
	.name = "lun",
	.doc = "The link /dev/weft/lun/NAME to a disk with a WWID, or to the map of its paths.",
	.table = &lun_table,
	.lane = "storage",
	.calm = stord_calm,
	.verbs = &lun_verbs,
	.flags = CLASS_PERSISTENT,
	.period_ms = PERIOD_MS, /* for what multipathd finds out by itself */
};
