/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions of objects, out of the states of their resources. Recomputed after the engine did something, so that each
 * knows since when it is what it is, and only for those whose resources it was done to. */
#include "core/manager-internal.h"
#include "core/strmap.h"

/* The worst of some resources. */
struct worst {
	const char *class, *key, *reason;
	enum resource_state state;
	unsigned rank;
};

/* What the resources of an object say. */
struct tally {
	struct worst worst, worst_spare;
	unsigned n_repairs;
	unsigned rank_now, rank_spare_now; /* of what does not wait for the revision to be final */
	bool progressing, contested, restart_needed;
	bool spare_present; /* one of those that can stand in for each other */
	const char *health, *spare_health, *note;
	char progress[128];
	bool tells; /* how far it is changes without the engine's doing */
};

/* How bad a state is for what it belongs to; 0 is fine. */
static unsigned rank_of(const struct resource_view *view)
{
	switch (view->state) {
	case RES_PRESENT:
		return 0;
	case RES_ABSENT:
	case RES_UNKNOWN:
	case RES_BUSY:
		return 1;
	case RES_REMOVING:
		return 2;
	case RES_WAITING:
		return 3;
	case RES_FOREIGN:
		return 5;
	case RES_CONTESTED:
		return 6;
	case RES_FAILED:
		return 4;
	}
	return 1;
}

static void add_progress(struct tally *t, const struct resource_view *view)
{
	const char *progress = view->class->progress ? view->class->progress(view->key) : NULL;
	t->tells |= view->class->progress != NULL;
	if (progress && !t->progress[0])
		snprintf(t->progress, sizeof(t->progress), "%s", progress);
}

static void keep_worst(struct worst *worst, const struct resource_view *view)
{
	if (rank_of(view) > worst->rank)
		*worst = (struct worst){view->class->name, view->key, view->reason, view->state, rank_of(view)};
}

static void keep_rank(unsigned *rank, const struct resource_view *view)
{
	if (!view->for_final && rank_of(view) > *rank)
		*rank = rank_of(view);
}

static void add_view(struct tally *t, const struct resource_view *view)
{
	t->n_repairs += view->n_repairs;
	t->progressing |= rank_of(view) == 1;
	t->contested |= view->state == RES_CONTESTED;
	t->restart_needed |= view->restart_needed;
	const char **health = view->want->spare ? &t->spare_health : &t->health;
	if (view->health && !*health)
		*health = view->health;
	if (view->note && !t->note)
		t->note = view->note;
	if (view->state == RES_BUSY)
		add_progress(t, view);
	t->spare_present |= view->want->spare && view->state == RES_PRESENT;
	keep_worst(view->want->spare ? &t->worst_spare : &t->worst, view);
	keep_rank(view->want->spare ? &t->rank_spare_now : &t->rank_now, view);
}

/* As long as one of several does its work, what fails of the others is not what the object waits for. */
static void settle_spares(struct tally *t)
{
	const struct worst *spare = &t->worst_spare;
	if (!t->spare_present && spare->rank > t->worst.rank)
		t->worst = *spare;
	if (!t->spare_present && t->rank_spare_now > t->rank_now)
		t->rank_now = t->rank_spare_now;
	if (!t->health)
		t->health = t->spare_health;
	if (!t->health && t->spare_present && spare->rank > 1)
		t->health = spare->reason;
}

static struct tally tally_of(struct manager *m, const struct status *s)
{
	struct tally t = {0};
	struct resource_view view;
	for (size_t i = 0; i < s->n_wants; i++)
		if (engine_view_find(m->engine, s->wants[i]->class->name, s->wants[i]->key, &view) && view.want)
			add_view(&t, &view);
	settle_spares(&t);
	return t;
}

static void replace(char **text, const char *new)
{
	if (streq(*text, new))
		return;
	free(*text);
	*text = new ? xstrdup(new) : NULL;
}

static void status_clear(struct status *s)
{
	free(s->id);
	free(s->wants);
	free(s->reason);
	free(s->message);
	free(s->health);
	free(s->progress);
}

void statuses_free(struct manager *m)
{
	for (size_t i = 0; i < m->n_statuses; i++)
		status_clear(&m->statuses[i]);
	free(m->statuses);
	free(m->status_index);
	free(m->due);
	m->status_gen = generation_unref(m->status_gen);
}

static uint32_t *slot_of(const struct manager *m, const struct object *object)
{
	uint64_t h = (uint64_t)(uintptr_t)object * 0x9e3779b97f4a7c15;
	size_t i = (size_t)(h >> 32) & (m->status_index_size - 1);
	while (m->status_index[i] && m->statuses[m->status_index[i] - 1].object != object)
		i = (i + 1) & (m->status_index_size - 1);
	return &m->status_index[i];
}

static struct status *status_at(const struct manager *m, const struct object *object)
{
	uint32_t place = m->status_index_size ? *slot_of(m, object) : 0;
	return place ? &m->statuses[place - 1] : NULL;
}

static void make_due(struct manager *m, struct status *s)
{
	if (s->due)
		return;
	s->due = true;
	grow(m->due, m->n_due, m->cap_due);
	m->due[m->n_due++] = (uint32_t)(s - m->statuses);
}

/* ---- another generation ---- */

/* Takes what was known of an object; its place stays, empty. */
static bool take_status(struct status *into, struct status *from)
{
	if (!from || !from->id)
		return false;
	const struct object *object = into->object;
	*into = *from;
	into->object = object;
	*from = (struct status){.object = from->object};
	return true;
}

/* Those that are left, by name. */
static void name_statuses(const struct manager *m, struct strmap *names)
{
	if (names->n)
		return;
	for (size_t i = 0; i < m->n_statuses; i++)
		if (m->statuses[i].id)
			strmap_put(names, m->statuses[i].id, &m->statuses[i]);
}

/* Of the same object, or else of one of the same name. */
static void take_known(struct manager *m, struct status *into, struct strmap *names)
{
	if (take_status(into, status_at(m, into->object)))
		return;
	cleanup_free char *id = object_id(into->object);
	name_statuses(m, names);
	if (!take_status(into, strmap_get(names, id)))
		*into = (struct status){.object = into->object, .id = take_ptr(id), .since_ms = wall_ms()};
}

static void index_statuses(struct manager *m)
{
	for (m->status_index_size = 64; m->status_index_size < m->n_statuses * 2;)
		m->status_index_size *= 2;
	m->status_index = xcalloc(m->status_index_size, sizeof(*m->status_index));
	for (size_t i = 0; i < m->n_statuses; i++)
		*slot_of(m, m->statuses[i].object) = (uint32_t)i + 1;
}

/* What is carried over belongs to objects that are: those that were lowered anew have others. */
static void list_wants(struct manager *m, const struct generation *gen, bool little)
{
	for (size_t i = 0; i < m->n_statuses; i++) {
		if (little && !gen->anew[i])
			continue;
		m->statuses[i].n_wants = 0;
		make_due(m, &m->statuses[i]);
	}
	for (size_t i = little ? gen->n_carried : 0; i < gen->n_wants; i++) {
		for (size_t k = 0; k < gen->wants[i]->n_owners; k++) {
			struct status *s = status_at(m, gen->wants[i]->owners[k]);
			if (!s)
				continue;
			grow(s->wants, s->n_wants, s->cap_wants);
			s->wants[s->n_wants++] = gen->wants[i];
		}
	}
}

static void statuses_renew(struct manager *m, struct generation *gen)
{
	cleanup_arena struct arena *arena = arena_new();
	struct strmap names = strmap_in(arena);
	struct status *renewed = xcalloc(gen->n_objects + 1, sizeof(*renewed));
	bool little = m->status_gen && gen->basis == m->status_gen->serial;
	for (size_t i = 0; i < gen->n_objects; i++) {
		renewed[i].object = gen->objects[i];
		take_status(&renewed[i], status_at(m, renewed[i].object));
	}
	for (size_t i = 0; i < gen->n_objects; i++)
		if (!renewed[i].id)
			take_known(m, &renewed[i], &names);
	statuses_free(m);
	m->statuses = renewed;
	m->n_statuses = gen->n_objects;
	m->status_gen = generation_ref(gen);
	m->due = NULL;
	m->n_due = m->cap_due = 0;
	index_statuses(m);
	for (size_t i = 0; i < m->n_statuses; i++) {
		bool due = renewed[i].due;
		renewed[i].due = false;
		if (due)
			make_due(m, &renewed[i]);
	}
	list_wants(m, gen, little);
}

/* ---- what they are ---- */

static bool is_refused(const struct manager *m, const struct object *object)
{
	const struct generation *gen = m->status_gen;
	for (size_t i = 0; i < gen->n_refused; i++)
		if (gen->refused[i] == object)
			return true;
	return false;
}

static void take_tally(const struct manager *m, struct status *s, const struct tally *t)
{
	bool refused = is_refused(m, s->object), ready = t->worst.rank == 0 && !refused;
	if (s->ready != ready)
		s->since_ms = wall_ms();
	s->ready = ready;
	s->ready_now = t->rank_now == 0 && !refused;
	s->progressing = t->progressing;
	s->degraded = t->health != NULL;
	s->contested = t->contested;
	s->restart_needed = t->restart_needed;
	s->n_repairs = t->n_repairs;
	replace(&s->health, t->health);
	replace(&s->progress, t->progress[0] ? t->progress : NULL);
	replace(&s->reason, refused ? "Refused" : ready ? "AsWanted" : resource_state_names[t->worst.state]);
	if (refused || ready) {
		replace(&s->message, refused ? "its manifest was refused; `weft events` says why" : t->note);
		return;
	}
	cleanup_free char *message =
		xprintf("%s/%s: %s", t->worst.class, t->worst.key,
			t->worst.state == RES_BUSY && t->progress[0] ? t->progress
			: t->worst.reason && *t->worst.reason        ? t->worst.reason
								     : resource_state_names[t->worst.state]);
	replace(&s->message, message);
}

#ifdef WEFT_CHECKS
static bool same_status(const struct status *a, const struct status *b)
{
	return a->ready == b->ready && a->progressing == b->progressing && a->degraded == b->degraded &&
	       a->contested == b->contested && a->restart_needed == b->restart_needed && a->n_repairs == b->n_repairs &&
	       streq(a->reason, b->reason) && streq(a->message, b->message) && streq(a->health, b->health);
}

/* Those that were passed over would come out as they are. */
static void check_statuses(struct manager *m)
{
	for (size_t i = 0; i < m->n_statuses; i++) {
		struct status *s = &m->statuses[i], again = {.object = s->object};
		if (s->due)
			continue;
		struct tally t = tally_of(m, s);
		take_tally(m, &again, &t);
		if (!same_status(s, &again)) {
			fprintf(stderr, "manager: the status of %s is out of date\n", s->id);
			abort();
		}
		status_clear(&again);
	}
}
#endif

static void owners_due(void *ctx, const struct want *want)
{
	struct manager *m = ctx;
	for (size_t i = 0; i < want->n_owners; i++) {
		struct status *s = status_at(m, want->owners[i]);
		if (s)
			make_due(m, s);
	}
}

/* How far an operation is changes without the engine's doing: such a one stays due. */
void statuses_refresh(struct manager *m)
{
	m->noticed = false;
	if (engine_generation(m->engine) != m->status_gen)
		statuses_renew(m, engine_generation(m->engine));
	engine_each_changed(m->engine, owners_due, m);
	size_t n = m->n_due;
	m->n_due = 0;
	for (size_t i = 0; i < n; i++) {
		struct status *s = &m->statuses[m->due[i]];
		struct tally t = tally_of(m, s);
		take_tally(m, s, &t);
		s->due = false;
		if (t.tells)
			make_due(m, s);
	}
#ifdef WEFT_CHECKS
	check_statuses(m);
#endif
}

void statuses_refresh_all(struct manager *m)
{
	statuses_refresh(m);
	for (size_t i = 0; i < m->n_statuses; i++)
		make_due(m, &m->statuses[i]);
	statuses_refresh(m);
}

const struct status *status_of(struct manager *m, const struct object *object)
{
	return status_at(m, object);
}

static bool is_among(const char *id, const char *const *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (streq(ids[i], id))
			return true;
	return false;
}

bool statuses_ready(struct manager *m, const char *const *ids, size_t n, bool but_for_final,
		    const struct status **ret_not)
{
	if (but_for_final)
		statuses_refresh_all(m); /* what waits for something that waits is not told of by itself */
	else
		statuses_refresh(m);
	for (size_t i = 0; i < m->n_statuses; i++) {
		const struct status *s = &m->statuses[i];
		if ((but_for_final ? s->ready_now : s->ready) || !is_among(m->statuses[i].id, ids, n))
			continue;
		*ret_not = &m->statuses[i];
		return false;
	}
	return true;
}
