/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lowering share; nobody else includes this.
 *
 *   lower.c         what a kind's lower() calls: wants, edges, refusals
 *   lower-choice.c  facts, allocations and claims
 *   lower-trace.c   what an object looked at and added to on the way
 *   lower-topic.c   which answers a change may have changed
 *   lower-all.c     a whole configuration, from nothing
 *   lower-carry.c   one that differs little from that before
 *   lower-check.c   the laws of the two
 *   lower-circle.c  wants that stand on themselves
 */
#ifndef WEFT_CORE_LOWER_INTERNAL_H
#define WEFT_CORE_LOWER_INTERNAL_H

#include "core/configuration.h"
#include "core/lower.h"
#include "core/strmap.h"

/* Facts and allocations by name, for one run over all objects. */
struct choices {
	struct arena *arena; /* of the maps */
	bool knows_kept, knows_claims;
	unsigned n_asks;
	struct strmap facts;      /* key -> struct fact_value */
	struct strmap taken;      /* space and text -> id of the object that holds it in this run */
	struct strmap kept_texts; /* the same for what was kept from before */
	struct strmap kept_slots; /* object, space and slot -> text */
	struct strmap memos;      /* what modules have worked out of the whole configuration */
	struct strmap claims;     /* what only one can have -> struct object */
};

/* What was asked to find one answer; for all who were given it. */
struct lower_basis {
	struct lower_topic *topics;
	size_t n_topics, cap_topics;
	struct lower_basis **others;
	size_t n_others, cap_others;
	bool anything; /* one of the questions has no topic */
	uint64_t digest;
	struct lower_basis *around; /* while it is gathered: what is then gathered on */
	uint64_t serial;            /* of the generation for which it was last looked at, */
	bool touched;               /* and found so */
};
/* The topics of what differs from before. */
struct touched {
	struct arena *arena;
	const struct object **objects; /* that are others now, were, or came */
	size_t n_objects, cap_objects;
	const struct lower_topics **told; /* sorts whose topics are among those below */
	size_t n_told, cap_told;
	struct lower_topic *slots; /* hash */
	size_t n, size;
};

struct asked {
	struct lower_question *items;
	size_t n, cap;
	bool around; /* looked at all objects in turn */
};
/* A look for a want of somebody else's. */
struct look {
	const char *class, *key;
	struct want *found; /* NULL: there was none */
};

/* How an object was lowered: all that went into it, and all that came of it. Never changed once its generation is
 * lowered, as later ones share it. */
struct lowered {
	const struct object *object;
	struct asked by_check, by_lower;
	struct want **wants; /* that it wants or adds to */
	size_t n_wants, cap_wants;
	struct look *looks;
	size_t n_looks, cap_looks;
	struct fact_row *facts;
	size_t n_facts, cap_facts;
	struct alloc_row *allocs;
	size_t n_allocs, cap_allocs;
	const char **claims;
	size_t n_claims, cap_claims;
};

/* Of one run over a configuration. */
struct run {
	struct generation *gen;
	const struct lower_input *input;
	struct diags *diags;
	struct diags aside;          /* of what may be refused in silence */
	struct configuration config; /* in reference order after sort() */
	struct choices choices;
	struct carry *carry; /* lower-carry.c's; NULL: from nothing */
	struct touched *touched;
	/* By slot in the configuration's index. */
	bool *out; /* refused, or refers to something refused */
	uint8_t *marks;
	size_t *seats; /* place in the order */
	struct object **sorted;
	size_t n_sorted;
	struct lowered **lowered; /* by seat */
};

struct lowering {
	struct generation *gen;
	const struct lower_input *input;
	const struct configuration *config;
	struct choices *choices;
	struct diags *diags;
	const struct object *object; /* being lowered */
	const char *path;            /* of lower_at() */
	bool refused;                /* the object that is being lowered */
	struct run *run;
	struct lowered *lowered; /* NULL: nothing is noted */
	struct asked *asked;     /* of it, by check() or lower() */
	bool hushed;             /* what is asked is covered by what is asked of the outcome */
	struct lower_basis *gathering;
	const struct lower_topics *telling;
	struct arena *arena; /* for what lower() keeps */
};

void choices_init(struct choices *choices, struct arena *arena);
/* The fact's text as of this run. */
const char *fact_known(struct choices *choices, const char *key);

/* Calls fn with each circle of needs: every one of the wants needs the next, and the last the first. What is carried
 * over is in none. */
typedef void lower_circle_fn(void *ctx, struct want *const *wants, size_t n);
void lower_circles(const struct generation *gen, lower_circle_fn *fn, void *ctx);
/* "Kind/name" of the object that is being lowered, in the generation's arena. */
const char *lower_object_id(struct lowering *l);
/* As want_set(), for text from outside. */
int want_set_text(struct lowering *l, struct want *want, const char *row, const char *text, struct err *err);

/* lower-trace.c */
/* The object adds to a want. False if that is carried over and must stay as it is: then this way of lowering is given
 * up later, and nothing is to be done now. */
bool lower_touch(struct lowering *l, struct want *want);
void lower_looked(struct lowering *l, const char *class, const char *key, struct want *found);
uint64_t lower_ask_object(struct lowering *l, const char *kind, const char *name);
struct lower_topic lower_topic_object(const char *kind, const char *name);
uint64_t lower_ask_override(struct lowering *l, const char *a, const char *b);

/* lower-topic.c */
void basis_add(struct lowering *l, const struct lower_question *q);
void touched_add(struct touched *touched, const struct object *object);
bool question_is_touched(struct run *run, const struct lower_question *q);

/* lower-all.c */
void run_begin(struct run *run, struct generation *gen, const struct lower_input *input, struct diags *diags);
size_t run_slot(const struct run *run, const struct object *object);
void run_check(struct run *run, const struct object *object, struct lowered *lowered);
struct lowering run_lowering(struct run *run, const struct object *object, struct lowered *lowered);
void run_publish_want(struct generation *gen, struct want *want);

/* lower-carry.c */
/* Would a want that is carried over be there already, were all lowered in order? */
bool carry_shows(const struct lowering *l, const struct want *want);
void carry_claims(struct run *run);
void carry_collides(struct lowering *l, struct want *want); /* NULL: it is to be given up altogether */

#endif
