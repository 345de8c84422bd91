/* SPDX-License-Identifier: Apache-2.0 */
/* See toy.h. */
#include "toy.h"

static const struct field rows[] = {
	F_U32("mtu", struct toy_spec, mtu, .doc = "Changed live.", .example = "1"),
	F_U32("type", struct toy_spec, type, .flags = FIELD_RECREATE, .doc = "Needs re-creation.", .example = "1"),
	F_U32("size", struct toy_spec, size, .flags = FIELD_GROWS | FIELD_IRREVERSIBLE, .doc = "Grows.",
	      .example = "1"),
	F_U32("model", struct toy_spec, model, .flags = FIELD_RESTART, .doc = "Waits.", .example = "1"),
	F_STRING("master", struct toy_spec, master, .doc = "Master.", .example = "n1"),
	F_BOOL("reclaim", struct toy_spec, reclaim, .flags = FIELD_WEAK, .doc = "May it be deleted.",
	       .example = "true"),
};
static const struct table table = TABLE("Toy", struct toy_spec, rows);

static bool has_type(const void *spec)
{
	return *(const uint64_t *)spec >> 1 & 1;
}

static bool may_delete(const void *spec)
{
	return ((const struct toy_spec *)spec)->reclaim;
}

static void weigh(const void *seen, const void *to, struct change *ret)
{
	const struct toy_spec *now = seen;
	ret->gentle = now->size == 0;
	ret->refused = now->model == TOY_HELD ? "somebody uses it" : NULL;
}

bool toy_calm;

static bool is_calm(uint64_t since_ms)
{
	return toy_calm;
}

static const struct resource_class link_class = {
	.name = "link", .table = &table, .lane = "toy", .flags = CLASS_TRANSACTIONAL, .creatable = has_type};
static const struct resource_class addr_class = {
	.name = "addr", .table = &table, .lane = "toy", .flags = CLASS_TRANSACTIONAL};
static const struct resource_class setting_class = {.name = "setting",
						    .table = &table,
						    .lane = "toy",
						    .flags = CLASS_TRANSACTIONAL | CLASS_INHERENT,
						    .weigh = weigh};
static const struct resource_class proc_class = {
	.name = "proc", .table = &table, .lane = "toy", .flags = CLASS_REMOVE_IRREVERSIBLE};
static const struct resource_class attach_class = {
	.name = "attach", .table = &table, .lane = "toy", .rebind = REBIND_UPDATE};
static const struct resource_class volume_class = {.name = "volume",
						   .table = &table,
						   .lane = "toy",
						   .flags = CLASS_KEEP | CLASS_PERSISTENT | CLASS_REMOVE_IRREVERSIBLE,
						   .disposable = may_delete,
						   .calm = is_calm};

static const struct resource_class helper_class = {
	.name = "helper", .table = &table, .lane = "toy", .rebind = REBIND_RECREATE};

const struct resource_class *const toy_classes[TOY_CLASSES] = {
	&link_class, &addr_class, &setting_class, &proc_class, &attach_class, &volume_class, &helper_class};

/* xorshift64*: the same everywhere for the same seed. */
uint64_t toy_random(struct toy_host *host, uint64_t below)
{
	host->rng ^= host->rng >> 12;
	host->rng ^= host->rng << 25;
	host->rng ^= host->rng >> 27;
	return (host->rng * 0x2545f4914f6cdd1d >> 33) % below;
}

static enum toy_class class_number(const struct resource_class *class)
{
	for (size_t i = 0; i < TOY_CLASSES; i++)
		if (toy_classes[i] == class)
			return (enum toy_class)i;
	abort();
}

static size_t name_number(const char *key)
{
	return (size_t)(key[1] - '0');
}

static struct toy_thing *thing_of(struct toy_host *host, const struct op *op)
{
	return &host->things[class_number(op->class)][name_number(op->key)];
}

static void fault(const struct op *op, const char *what)
{
	static const char *const verbs[] = {"observe", "create", "update", "remove"};
	fprintf(stderr, "toy: %s of %s/%s: %s\n", verbs[op->verb], op->class->name, op->key, what);
	abort();
}

static bool hangs_on_link(enum toy_class class)
{
	return class == TOY_ADDR || class == TOY_ATTACH || class == TOY_PROC || class == TOY_HELPER;
}

/* ---- what the kernel does by itself ---- */

static struct toy_thing *other_end(struct toy_host *host, const struct toy_thing *link)
{
	return link->type < TOY_PAIR ? NULL : &host->things[TOY_LINK][link->type - TOY_PAIR];
}

static void vanish(struct toy_host *host, enum toy_class class, size_t name)
{
	struct toy_thing *t = &host->things[class][name], *end = class == TOY_LINK ? other_end(host, t) : NULL;
	t->exists = t->foreign = t->marked = t->touched = false;
	t->type = 0;
	if (class != TOY_LINK)
		return;
	if (end)
		vanish(host, class, (size_t)(end - host->things[class]));
	if (host->things[TOY_SETTING][name].model == TOY_HELD)
		host->things[TOY_SETTING][name].model = 0;
	/* Addresses go with their link, without an event; ports lose their master; attachments hang in the air. */
	host->things[TOY_ADDR][name].exists = false;
	host->things[TOY_ADDR][name].foreign = false;
	for (size_t i = 0; i < TOY_NAMES; i++) {
		struct toy_thing *port = &host->things[TOY_LINK][i];
		if (port->master[0] && name_number(port->master) == name)
			port->master[0] = '\0';
	}
}

static void observe(struct toy_host *host, struct op *op)
{
	const struct toy_thing *t = thing_of(host, op);
	enum toy_class class = class_number(op->class);
	struct toy_spec *spec = observation_begin(&op->obs, op->class, t->exists);
	if (!t->exists)
		return;
	bool marks = class == TOY_LINK || class == TOY_PROC || class == TOY_VOLUME;
	bool part = class == TOY_LINK && op->want && !has_type(op->want);
	op->obs.owner = !marks || part ? OWNER_UNKNOWN : t->marked ? OWNER_OURS : OWNER_FOREIGN;
	op->obs.incarnation = t->incarnation;
	op->obs.bound = class == TOY_ATTACH || class == TOY_HELPER ? t->bound : 0;
	if (class == TOY_VOLUME)
		op->obs.identity = op->identity
					   ? arena_strdup(op->obs.arena, op->identity)
					   : arena_printf(op->obs.arena, "%llu", (unsigned long long)t->incarnation);
	*spec = (struct toy_spec){0x1f, t->mtu, t->type, t->size, t->model, arena_strdup(op->obs.arena, t->master),
				  false};
}

static void write_rows(struct toy_thing *t, const struct toy_spec *spec, uint64_t rows_mask)
{
	rows_mask &= spec->present;
	if (rows_mask & 1)
		t->mtu = spec->mtu;
	if (rows_mask & 2)
		t->type = spec->type;
	if (rows_mask & 4)
		t->size = spec->size;
	if (rows_mask & 8)
		t->model = spec->model;
	if (rows_mask & 16)
		snprintf(t->master, sizeof(t->master), "%s", spec->master);
}

static bool link_is_there(const struct toy_host *host, const char *name)
{
	return !*name || host->things[TOY_LINK][name_number(name)].exists;
}

static int do_create(struct toy_host *host, struct op *op)
{
	struct toy_thing *t = thing_of(host, op);
	enum toy_class class = class_number(op->class);
	const struct toy_spec *spec = op->want;
	if (class == TOY_SETTING)
		fault(op, "it is always there");
	if (t->exists)
		return EEXIST;
	bool hangs = hangs_on_link(class);
	if (hangs && !host->things[TOY_LINK][name_number(op->key)].exists)
		return host->strict ? (fault(op, "its link is not there"), 0) : ENODEV;
	if (spec->present & 16 && !link_is_there(host, spec->master))
		return ENODEV;
	*t = (struct toy_thing){.exists = true, .marked = op->mark != NULL, .incarnation = host->next_incarnation++};
	t->fresh = op->lane_data != NULL;
	t->bound = host->things[TOY_LINK][name_number(op->key)].incarnation;
	write_rows(t, spec, ~(uint64_t)0);
	t->exists = !host->dies;
	if (class == TOY_LINK && t->exists && other_end(host, t))
		toy_provide(host, (size_t)(other_end(host, t) - host->things[class]));
	return 0;
}

static int do_update(struct toy_host *host, struct op *op)
{
	struct toy_thing *t = thing_of(host, op);
	enum toy_class class = class_number(op->class);
	const struct toy_spec *spec = op->want;
	if (!t->exists)
		return ENOENT;
	if (t->incarnation != op->incarnation || host->stale)
		return ESTALE;
	if (t->foreign && class == TOY_LINK && has_type(spec) && op->mark)
		fault(op, "it is somebody else's");
	if (op->rows & 2)
		fault(op, "its type cannot be changed");
	if ((op->rows & 4) && op->lane_data && !(class == TOY_SETTING && t->size == 0))
		fault(op, "growing before the revision is final");
	if ((op->rows & 16) && !link_is_there(host, spec->master))
		return ENODEV;
	if (!t->touched && op->mark) {
		t->before_mtu = t->mtu;
		t->touched = true;
	}
	if (!host->deaf)
		write_rows(t, spec, op->rows);
	if (class == TOY_SETTING && host->brings)
		toy_provide(host, host->brings);
	if (op->mark && !(class == TOY_LINK && !has_type(spec)))
		t->marked = true;
	if (!op->mark)
		t->touched = false;
	t->bound = host->things[TOY_LINK][name_number(op->key)].incarnation;
	return 0;
}

static int do_remove(struct toy_host *host, struct op *op)
{
	struct toy_thing *t = thing_of(host, op);
	enum toy_class class = class_number(op->class);
	if (op->lane_data && (op->class->flags & CLASS_REMOVE_IRREVERSIBLE))
		fault(op, "irreversible before the revision is final");
	if (!t->exists)
		return ENOENT;
	if (t->incarnation != op->incarnation)
		return ESTALE;
	if (t->foreign && class != TOY_ADDR && class != TOY_ATTACH && class != TOY_HELPER)
		fault(op, "it is somebody else's");
	if (class == TOY_VOLUME && !t->fresh && !(op->was && may_delete(op->was)))
		fault(op, "bytes are lost");
	if (host->strict && class == TOY_LINK && host->things[TOY_ATTACH][name_number(op->key)].exists && !op->was)
		fault(op, "something hangs on it");
	if (!host->immortal)
		vanish(host, class, name_number(op->key));
	return 0;
}

static void perform(struct toy_host *host, struct op *op)
{
	int code = 0;
	switch (op->verb) {
	case OP_OBSERVE:
		break;
	case OP_CREATE:
		code = do_create(host, op);
		break;
	case OP_UPDATE:
		code = do_update(host, op);
		break;
	case OP_REMOVE:
		code = do_remove(host, op);
		break;
	}
	if (code)
		err_errno(&op->err, code, "toy");
}

void toy_do(struct toy_host *host, size_t n)
{
	struct op *op = host->ops[n];
	memmove(&host->ops[n], &host->ops[n + 1], (--host->n_ops - n) * sizeof(*host->ops));
	host->n_done++;
	if (toy_random(host, 100) < host->fail_percent) {
		static const int codes[] = {EIO, EINVAL, EBUSY, ETIMEDOUT, ECANCELED};
		int code = codes[toy_random(host, ARRAY_SIZE(codes))];
		if (code == ETIMEDOUT && toy_random(host, 2))
			perform(host, op); /* it happened, but nobody heard */
		err_errno(&op->err, code, "toy");
		op_complete(op);
		return;
	}
	perform(host, op);
	if (op->verb == OP_OBSERVE || toy_random(host, 2))
		observe(host, op);
	op_complete(op);
}

void toy_crash(struct toy_host *host)
{
	for (size_t i = 0; i < host->n_ops; i++) {
		if (toy_random(host, 2))
			perform(host, host->ops[i]);
		observation_done(&host->ops[i]->obs);
	}
	host->n_ops = 0; /* freed with their engine */
}

/* ---- rivals ---- */

static void rival_makes(struct toy_host *host, struct toy_thing *t, enum toy_class class, size_t name)
{
	bool hangs = hangs_on_link(class);
	if (hangs && !host->things[TOY_LINK][name].exists)
		return;
	*t = (struct toy_thing){.exists = true, .foreign = true, .incarnation = host->next_incarnation++};
	t->mtu = (uint32_t)toy_random(host, 3);
	t->bound = host->things[TOY_LINK][name].incarnation;
}

void toy_provide(struct toy_host *host, size_t name)
{
	host->things[TOY_LINK][name] =
		(struct toy_thing){.exists = true, .foreign = true, .incarnation = host->next_incarnation++};
}

void toy_rival(struct toy_host *host, bool lose_event)
{
	enum toy_class class = (enum toy_class)toy_random(host, TOY_CLASSES);
	size_t name = toy_random(host, TOY_NAMES);
	struct toy_thing *t = &host->things[class][name];
	bool was_there = t->exists;
	if (class == TOY_VOLUME)
		return; /* nobody touches other people's files */
	if (!was_there && class != TOY_SETTING) {
		if (toy_random(host, 4) == 0)
			rival_makes(host, t, class, name);
	} else if (class == TOY_SETTING || toy_random(host, 2)) {
		t->mtu = (uint32_t)toy_random(host, 3) + 10;
	} else {
		vanish(host, class, name);
	}
	if (lose_event)
		return;
	char key[] = {'n', (char)('0' + name), '\0'};
	engine_dirty(host->engine, toy_classes[class]->name, key);
	if (class != TOY_LINK)
		return;
	engine_dirty(host->engine, "addr", key); /* events mark generously */
	engine_dirty(host->engine, "link", NULL);
}

/* ---- the lane ---- */

/* What this comes after is there when it is handed over. */
static void check_order(const struct toy_host *host, const struct op *op)
{
	struct generation *gen = engine_generation(host->engine);
	const struct want *w = gen ? generation_find(gen, op->class->name, op->key) : NULL;
	bool makes = op->verb == OP_CREATE || op->verb == OP_UPDATE;
	for (size_t i = 0; host->strict && makes && w && op->want == w->spec && i < w->n_afters; i++) {
		const struct toy_spec *spec = w->afters[i]->spec;
		const struct toy_thing *t = &host->things[TOY_SETTING][name_number(w->afters[i]->key)];
		if (t->mtu != spec->mtu)
			fault(op, "what it comes after is not there");
	}
}

static void submit(struct lane *lane, struct op *op)
{
	struct toy_host *host = container_of(lane, struct toy_host, lane);
	check_order(host, op);
	grow(host->ops, host->n_ops, host->cap_ops);
	host->ops[host->n_ops++] = op;
	op->lane_data = host->pending ? host : NULL; /* was it handed over while nothing was final */
}

/* Some can be called off, some are done first, some take their time. */
static void cancel(struct lane *lane, struct op *op)
{
	struct toy_host *host = container_of(lane, struct toy_host, lane);
	size_t i = 0;
	while (i < host->n_ops && host->ops[i] != op)
		i++;
	if (i == host->n_ops || (!host->obedient && toy_random(host, 3) == 0))
		return;
	host->n_cancels++;
	memmove(&host->ops[i], &host->ops[i + 1], (--host->n_ops - i) * sizeof(*host->ops));
	if (!host->obedient && toy_random(host, 4) == 0)
		perform(host, op);
	else
		err_set(&op->err, ECANCELED, "toy: was called off");
	op_complete(op);
}

static void lane_free(struct lane *lane)
{
}

static const struct lane_ops lane_ops = {.submit = submit, .cancel = cancel, .free = lane_free};

void toy_init(struct toy_host *host, uint64_t seed)
{
	*host = (struct toy_host){.rng = seed * 2 + 0x9e3779b97f4a7c15, .next_incarnation = 1, .clock_ms = 1000};
	host->lane = (struct lane){.name = "toy", .ops = &lane_ops};
	for (size_t i = 0; i < TOY_NAMES; i++)
		host->things[TOY_SETTING][i] = (struct toy_thing){.exists = true, .foreign = true, .incarnation = 1};
	for (size_t i = 0; i < TOY_CLASSES; i++)
		if (!class_find(toy_classes[i]->name) && class_register(toy_classes[i], NULL) < 0)
			abort();
}

struct engine *toy_start(struct toy_host *host, const struct engine_host *callbacks, const struct toy_disk *disk)
{
	host->engine = engine_new(callbacks);
	engine_add_lane(host->engine, &host->lane);
	for (size_t i = 0; i < disk->n; i++)
		engine_load_record(host->engine, &disk->records[i]);
	return host->engine;
}

/* ---- the disk ---- */

const struct engine_record *toy_disk_find(const struct toy_disk *disk, const char *class, const char *key)
{
	for (size_t i = 0; i < disk->n; i++)
		if (streq(disk->records[i].class, class) && streq(disk->records[i].key, key))
			return &disk->records[i];
	return NULL;
}

static void drop(struct toy_disk *disk, const struct engine_record *record)
{
	struct engine_record *r = &disk->records[record - disk->records];
	json_decref(r->baseline);
	free((char *)r->key);
	free((char *)r->identity);
	*r = disk->records[--disk->n];
}

void toy_disk_write(struct toy_disk *disk, const struct engine_record *records, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct engine_record *before = toy_disk_find(disk, records[i].class, records[i].key);
		if (before)
			drop(disk, before);
		if (records[i].forget)
			continue;
		if (disk->n == ARRAY_SIZE(disk->records))
			abort();
		struct engine_record *r = &disk->records[disk->n++];
		*r = records[i];
		r->key = xstrdup(records[i].key);
		r->identity = r->identity ? xstrdup(r->identity) : NULL;
		json_incref(r->baseline);
	}
}

void toy_disk_clear(struct toy_disk *disk)
{
	while (disk->n)
		drop(disk, &disk->records[0]);
}
