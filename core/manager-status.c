/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions of objects, out of the states of their resources. Recomputed in one pass after the engine did something,
 * so that each knows since when it is what it is. */
#include "core/manager-internal.h"
#include "core/strmap.h"

/* The worst of some resources. */
struct worst {
	const char *class, *key, *reason;
	enum resource_state state;
	unsigned rank;
};

/* Objects of the current generation, sorted by pointer, each with what its resources say. */
struct tally {
	const struct object *object;
	struct worst worst, worst_spare;
	unsigned n_resources, n_repairs;
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

static int by_pointer(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;
	return (x->object > y->object) - (x->object < y->object);
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
	t->n_resources++;
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

/* Those of one object mostly stand together: the last one that was found is tried first. */
static struct tally *tally_of(struct tally *tallies, size_t n, const struct object *object, struct tally *last)
{
	struct tally key = {.object = object};
	return last && last->object == object ? last : bsearch(&key, tallies, n, sizeof(*tallies), by_pointer);
}

static struct tally *add_owners(struct tally *tallies, size_t n, const struct resource_view *view, struct tally *last)
{
	for (size_t i = 0; view->want && i < view->want->n_owners; i++) {
		struct tally *t = tally_of(tallies, n, view->want->owners[i], last);
		if (t)
			add_view(t, view);
		if (t)
			last = t;
	}
	return last;
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
	m->status_gen = generation_unref(m->status_gen);
}

static int status_by_pointer(const void *a, const void *b)
{
	const struct status *x = a, *y = b;
	return (x->object > y->object) - (x->object < y->object);
}

static struct status *status_at(const struct manager *m, const struct object *object)
{
	struct status key = {.object = object};
	if (!m->n_statuses)
		return NULL;
	return bsearch(&key, m->statuses, m->n_statuses, sizeof(key), status_by_pointer);
}

/* Takes what was known of an object; its place stays, empty. */
static bool take_status(struct status *into, struct status *from)
{
	if (!from || !from->id)
		return false;
	*into = *from;
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

/* Another generation has other objects: what was known of the same, or else of one of the same name, goes over. */
static void statuses_renew(struct manager *m, struct generation *gen, const struct tally *tallies)
{
	cleanup_arena struct arena *arena = arena_new();
	struct strmap names = strmap_in(arena);
	struct status *renewed = xcalloc(gen->n_objects, sizeof(*renewed));
	for (size_t i = 0; i < gen->n_objects; i++)
		take_status(&renewed[i], status_at(m, tallies[i].object));
	for (size_t i = 0; i < gen->n_objects; i++) {
		cleanup_free char *id = renewed[i].id ? NULL : object_id(tallies[i].object);
		if (id)
			name_statuses(m, &names);
		if (id && !take_status(&renewed[i], strmap_get(&names, id)))
			renewed[i] = (struct status){.id = take_ptr(id), .since_ms = wall_ms()};
		renewed[i].object = tallies[i].object;
	}
	statuses_free(m);
	m->statuses = renewed;
	m->n_statuses = gen->n_objects;
	m->status_gen = generation_ref(gen);
}

static bool is_refused(const struct manager *m, const struct object *object)
{
	const struct generation *gen = engine_generation(m->engine);
	for (size_t i = 0; i < gen->n_refused; i++)
		if (gen->refused[i] == object)
			return true;
	return false;
}

static void take_tally(struct manager *m, struct status *s, const struct tally *t)
{
	bool refused = is_refused(m, t->object), ready = t->worst.rank == 0 && !refused;
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

void statuses_refresh(struct manager *m)
{
	struct generation *gen = engine_generation(m->engine);
	m->statuses_stale = m->noticed = false;
	size_t n = gen->n_objects;
	cleanup_free struct tally *tallies = xcalloc(n, sizeof(*tallies));
	for (size_t i = 0; i < n; i++)
		tallies[i].object = gen->objects[i];
	qsort(tallies, n, sizeof(*tallies), by_pointer);
	struct resource_view view;
	struct tally *last = NULL;
	for (size_t i = 0; engine_view(m->engine, i, &view); i++)
		last = add_owners(tallies, n, &view, last);
	if (gen != m->status_gen)
		statuses_renew(m, gen, tallies);
	for (size_t i = 0; i < n; i++) {
		settle_spares(&tallies[i]);
		take_tally(m, &m->statuses[i], &tallies[i]);
		m->statuses_stale |= tallies[i].tells;
	}
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
	if (m->statuses_stale)
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
