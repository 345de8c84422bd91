/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions of objects, out of the states of their resources. Recomputed in one pass after the engine did something, so that
 * each knows since when it is what it is. */
#include "core/manager-internal.h"

/* Objects of the current generation, sorted by pointer, each with what its resources say. */
struct tally {
	const struct object *object;
	const char *worst_class, *worst_key, *worst_reason;
	enum resource_state worst;
	unsigned rank, n_resources, n_repairs;
	bool progressing, contested, restart_needed;
	const char *health, *note;
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

static void add_view(struct tally *t, const struct resource_view *view)
{
	unsigned rank = rank_of(view);
	t->n_resources++;
	t->n_repairs += view->n_repairs;
	t->progressing |= rank == 1;
	t->contested |= view->state == RES_CONTESTED;
	t->restart_needed |= view->restart_needed;
	if (view->health && !t->health)
		t->health = view->health;
	if (view->note && !t->note)
		t->note = view->note;
	if (rank <= t->rank)
		return;
	t->rank = rank;
	t->worst = view->state;
	t->worst_class = view->class->name;
	t->worst_key = view->key;
	t->worst_reason = view->reason;
}

static void add_owners(struct tally *tallies, size_t n, const struct resource_view *view)
{
	for (size_t i = 0; view->want && i < view->want->n_owners; i++) {
		struct tally key = {.object = view->want->owners[i]};
		struct tally *t = bsearch(&key, tallies, n, sizeof(*tallies), by_pointer);
		if (t)
			add_view(t, view);
	}
}

static void replace(char **text, char *new)
{
	free(*text);
	*text = new;
}

static struct status *status_obtain(struct manager *m, char *id)
{
	for (size_t i = 0; i < m->n_statuses; i++) {
		if (!streq(m->statuses[i].id, id))
			continue;
		free(id);
		return &m->statuses[i];
	}
	grow(m->statuses, m->n_statuses, m->cap_statuses);
	struct status *s = &m->statuses[m->n_statuses++];
	*s = (struct status){.id = id, .since_ms = wall_ms()};
	return s;
}

static bool is_refused(const struct manager *m, const struct object *object)
{
	const struct generation *gen = engine_generation(m->engine);
	for (size_t i = 0; i < gen->n_refused; i++)
		if (gen->refused[i] == object)
			return true;
	return false;
}

static void take_tally(struct manager *m, const struct tally *t)
{
	struct status *s = status_obtain(m, object_id(t->object));
	bool refused = is_refused(m, t->object), ready = t->rank == 0 && !refused;
	s->seen = true;
	if (s->ready != ready)
		s->since_ms = wall_ms();
	s->ready = ready;
	s->progressing = t->progressing;
	s->degraded = t->health != NULL;
	s->contested = t->contested;
	s->restart_needed = t->restart_needed;
	s->n_repairs = t->n_repairs;
	replace(&s->health, t->health ? xstrdup(t->health) : NULL);
	replace(&s->reason, xstrdup(refused ? "Refused" : ready ? "AsWanted" : resource_state_names[t->worst]));
	if (refused)
		replace(&s->message, xstrdup("its manifest was refused; `weft events` says why"));
	else if (ready)
		replace(&s->message, t->note ? xstrdup(t->note) : NULL);
	else
		replace(&s->message, xprintf("%s/%s: %s", t->worst_class, t->worst_key,
					     t->worst_reason && *t->worst_reason ? t->worst_reason
										 : resource_state_names[t->worst]));
}

static void drop_unseen(struct manager *m)
{
	size_t kept = 0;
	for (size_t i = 0; i < m->n_statuses; i++) {
		struct status *s = &m->statuses[i];
		if (s->seen) {
			m->statuses[kept++] = *s;
			continue;
		}
		free(s->id);
		free(s->reason);
		free(s->message);
		free(s->health);
	}
	m->n_statuses = kept;
}

void statuses_refresh(struct manager *m)
{
	const struct generation *gen = engine_generation(m->engine);
	m->statuses_stale = false;
	size_t n = gen->n_objects;
	cleanup_free struct tally *tallies = xcalloc(n, sizeof(*tallies));
	for (size_t i = 0; i < n; i++)
		tallies[i].object = gen->objects[i];
	qsort(tallies, n, sizeof(*tallies), by_pointer);
	struct resource_view view;
	for (size_t i = 0; engine_view(m->engine, i, &view); i++)
		add_owners(tallies, n, &view);
	for (size_t i = 0; i < m->n_statuses; i++)
		m->statuses[i].seen = false;
	for (size_t i = 0; i < n; i++)
		take_tally(m, &tallies[i]);
	drop_unseen(m);
}

const struct status *status_find(struct manager *m, const char *id)
{
	for (size_t i = 0; i < m->n_statuses; i++)
		if (streq(m->statuses[i].id, id))
			return &m->statuses[i];
	return NULL;
}

/* Are those of `ids` that exist Ready? */
bool statuses_ready(struct manager *m, const char *const *ids, size_t n, const struct status **ret_not)
{
	if (m->statuses_stale)
		statuses_refresh(m);
	for (size_t i = 0; i < n; i++) {
		const struct status *s = status_find(m, ids[i]);
		if (s && !s->ready) {
			*ret_not = s;
			return false;
		}
	}
	return true;
}
