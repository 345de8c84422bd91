/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering: from decoded objects to the full set of wanted resources with their edges, called a generation. Pure: it
 * reads objects, facts and allocations, records which it read, and touches nothing. Objects are lowered in reference
 * order, so what an object refers to is lowered before it. */
#ifndef WEFT_CORE_LOWER_H
#define WEFT_CORE_LOWER_H

#include "core/kind.h"
#include "core/resource.h"
#include "core/strmap.h"

struct generation;

/* Who set a row of a want, and where in its document: for conflicts. */
struct want_origin {
	const struct object *object;
	const char *path; /* NULL: the object as a whole */
};

/* One wanted resource. Made by want(); the spec may still be set until lowering has ended. */
struct want {
	const struct resource_class *class;
	const char *key;
	void *spec;                   /* class->table's struct */
	const struct object **owners; /* the objects that want it; the first gives the mark */
	size_t n_owners, cap_owners;
	struct want **needs; /* create after these are Present; remove before they go */
	size_t n_needs, cap_needs;
	struct want **handovers; /* the removal of this waits for these to be Present */
	size_t n_handovers, cap_handovers;
	struct want **afters; /* made or changed only while these are Present */
	size_t n_afters, cap_afters;
	struct want **rests; /* gone before these go, although it comes without them */
	size_t n_rests, cap_rests;
	struct want *carrier; /* a cold start of the carrier takes this along */
	bool adopt;           /* may be taken over although somebody else made it */
	const char *mark;     /* set when lowering ends */
	void *defaults;       /* rows that hold where nobody says otherwise; NULL: none */
	const char *cost;     /* what a change of `costly` rows interrupts, a sentence; NULL: nothing */
	uint64_t costly;
	bool guards_gateway; /* the way to the default gateway leads over it */
	bool spare; /* one of several for one purpose: while another of its class is Present, what fails of it makes its
		       object Degraded, not un-Ready */
	struct want_origin *origins; /* one a row of the table: who set it; NULL once stored and read back */
	size_t index;                /* in the generation that it was made for */
	size_t hash;
	uint64_t stale; /* serial of a generation that does not carry it over */
};

/* Wants a resource: copies `spec` (may be NULL: set rows afterwards with want_set). Wanting the same id twice merges
 * row by row; rows that differ are a conflict that names both manifests. Never returns NULL. */
struct want *want(struct lowering *l, const struct resource_class *class, const void *spec, const char *key_fmt, ...)
	printf_like(4, 5);
/* Sets one row by name from text (see table_set_text); a fault is a programming error and aborts. */
void want_set(struct lowering *l, struct want *want, const char *row, const char *fmt, ...) printf_like(4, 5);
/* The same for a row that anybody, lowered before or after, may set to something else without a conflict. */
void want_default(struct lowering *l, struct want *want, const char *row, const char *fmt, ...) printf_like(4, 5);
/* A resource already wanted by an object lowered before; NULL if there is none. */
struct want *want_find(struct lowering *l, const char *class, const char *key);
void needs(struct lowering *l, struct want *a, struct want *b); /* a needs b; NULL b is ignored */
/* x goes once y has come; and where y goes as well, to what it was before weft, once it is that. */
void handover(struct lowering *l, struct want *x, struct want *y);
/* a is made or changed once b is Present; of their going this says nothing. */
void after(struct lowering *l, struct want *a, struct want *b);
/* a is gone before b goes, but comes without it: where any one of several b will do. */
void rests_on(struct lowering *l, struct want *a, struct want *b);
void carried(struct lowering *l, struct want *x, struct want *y); /* x rides in y's cold start */

/* A change of this row, where the thing is there already, interrupts what runs: the sentence says what and for how
 * long. An apply that has it in its plan asks for --confirm or --allow-disruption. */
void want_cost(struct lowering *l, struct want *want, const char *row, const char *fmt, ...) printf_like(4, 5);
/* The way to the default gateway leads over it: when it changes, a gateway that answered has to answer again. */
void want_guards_gateway(struct want *want);

/* Rows wanted from here on came from this path of the object ("spec.bridge"): conflicts then point at it. NULL: the
 * object. */
void lower_at(struct lowering *l, const char *path);
/* Refuses the object: queues a diagnostic at a path of its document (NULL: its name). */
struct diag *lower_refuse(struct lowering *l, const char *path, const char *fmt, ...) printf_like(3, 4);
/* Adds to a refusal where the object "Kind/name" stands, such as alloc_fixed() names. */
void lower_refuse_beside(struct lowering *l, struct diag *diag, const char *object);
struct diags *lower_diags(struct lowering *l);
/* Memory that lives as long as the generation. */
struct arena *lower_arena(struct lowering *l);
const struct object *lower_object(struct lowering *l);
/* An object of the same configuration; NULL if there is none. */
const struct object *lower_find(struct lowering *l, const char *kind, const char *name);
/* Every object of the configuration in turn, in reference order; NULL ends. */
const struct object *lower_object_at(struct lowering *l, size_t i);
/* What a module works out of the whole configuration, made when first asked for and kept while that is being lowered,
 * in lower_memo_arena(). The name is borrowed. Whatever an object gets to know by it is to be told to lower_asked(). */
struct arena *lower_memo_arena(struct lowering *l);
void *lower_memo(struct lowering *l, const char *name, void *(*make)(struct lowering *l));
/* A sort of topics: tells lower_touches() every one that an object, which may not be there any more, has to do with. An
 * answer about a topic is another one only once an object that has to do with it is. */
struct lower_topics {
	void (*tell)(struct lowering *l, const struct object *object);
};
void lower_touches(struct lowering *l, uint64_t number);
struct lower_topic {
	const struct lower_topics *sort; /* NULL: whatever is changed, the answer may be another one */
	uint64_t number;                 /* by lower_hash() of a name, say */
};
struct lower_basis;
/* The object got to know something of the configuration by another way than the functions here: the answer to a
 * question that can be asked again, so that it is lowered anew once the answer is another one. */
typedef uint64_t lower_question_fn(struct lowering *l, const char *a, const char *b);
struct lower_question {
	lower_question_fn *fn;
	const char *a, *b; /* copied; b may be NULL */
	uint64_t answer;
	struct lower_topic topic;
	struct lower_basis *basis; /* instead of a topic: what lower_gather() gave when the answer was found; or NULL */
};
void lower_asked(struct lowering *l, const struct lower_question *question);
/* What is asked from here on goes into one answer, and is noted as what that hangs on; lower_gathered() ends it, and
 * says what to call the basis. Such a question, when it is asked again, tells lower_asked() again: the answer may be
 * the same and hang on something else. */
struct lower_basis *lower_gather(struct lowering *l);
struct lower_basis *lower_gathered(struct lowering *l, struct lower_basis *basis);
uint64_t lower_hash(uint64_t before, const char *text); /* for answers; begin with 0; NULL is a text of its own */
/* What only one object can have ("vni 5001 of port 4789"): the object that has it already, NULL if it now is this
 * one's. */
const struct object *lower_claim(struct lowering *l, const char *what);
/* What a person has ordered beside the manifest (`weft guest stop`): the override's text, NULL if there is none. */
const char *lower_override(struct lowering *l);

/* Facts: what lowering may know of the host, by key. Text, or NULL if the host has no such thing. Recorded as read. */
const char *fact(struct lowering *l, const char *key_fmt, ...) printf_like(2, 3);
bool fact_u64(struct lowering *l, uint64_t *ret, const char *key_fmt, ...) printf_like(3, 4);
/* Besides lowering, the manager asks for "gateway/ipv4" and "gateway/ipv6". Who answers facts whose key begins with
 * prefix ("link/", "program/"). `ret` is malloc'ed; return 0, -ENOENT (no such thing) or -errno. */
typedef int fact_fn(void *ctx, const char *key, char **ret);
void fact_register(const char *prefix, fact_fn *fn, void *ctx);
/* Asks now, outside lowering. 0, -ENOENT or -errno; `ret` is malloc'ed. */
int fact_read(const char *key, char **ret);
/* Tells the one listener that facts may have another value now; the key may end in '*'. On the main thread, outside
 * lowering. */
void fact_changed(const char *key);
typedef void fact_changed_fn(void *ctx, const char *key);
void fact_listen(fact_changed_fn *fn, void *ctx); /* NULL: nobody */

/* Allocations: choices that must not change once made. Kept under (object, slot); no two objects hold one text in a
 * space. propose() writes the attempt-th candidate (from 0) into buf and returns false when it has none left. NULL if
 * none was free (refuse then). */
typedef bool alloc_propose_fn(void *ctx, unsigned attempt, char *buf, size_t size);
const char *alloc(struct lowering *l, const char *space, const char *slot, alloc_propose_fn *propose, void *ctx);
/* Takes a text that the manifest fixes, so that no allocation gets it; false if another object holds it: `ret_holder`
 * is then "Kind/name". */
bool alloc_fixed(struct lowering *l, const char *space, const char *slot, const char *text, const char **ret_holder);
/* What the configuration before had under a slot of this object, NULL if nothing: for fields that must not change while
 * the thing exists. */
const char *alloc_kept(struct lowering *l, const char *space, const char *slot);
/* The two allocations everybody needs. A locally administered MAC 52:54:00:... derived from host id, object, slot; a
 * link name: "preferred" if it fits 15 characters and is free, else a short one. */
const char *alloc_mac(struct lowering *l, const char *slot);
const char *alloc_link_name(struct lowering *l, const char *slot, const char *preferred);
/* A stable 64-bit number out of the host's random id and a text (SipHash): for MACs of bridges and the like. */
uint64_t host_hash(const char *text);

/* A configuration with everything lowered. */
struct fact_row {
	const char *key, *value;
	const struct object *reader;
};
struct alloc_row {
	const char *object, *space, *slot, *text;
};
struct override_row {
	const char *object, *text, *who;
	uint64_t when_ms;
};
struct generation {
	struct arena *arena;  /* owns what was lowered for this generation; later ones that carry it over share it */
	struct arena *lists;  /* owns the lists below, and what else is this generation's alone */
	struct arena **older; /* those of earlier ones, of which something is carried over */
	size_t n_older;
	size_t size_anew;         /* bytes of the last one in this line that was lowered from nothing */
	struct lowered **lowered; /* of each object, how it was lowered; NULL where that is not known */
	struct object **objects;
	size_t n_objects, cap_objects;
	struct want **wants;
	size_t n_wants, cap_wants;
	struct fact_row *facts;
	size_t n_facts, cap_facts;
	struct alloc_row *allocs;
	size_t n_allocs, cap_allocs;
	const struct object **refused; /* objects whose lowering was refused (lenient mode) */
	size_t n_refused, cap_refused;
	struct want **table; /* hash by class and key */
	size_t table_size;
	uint64_t serial; /* no two generations have the same */
	uint64_t basis;  /* the one from which wants[0..n_carried) are carried over; 0: none */
	size_t n_carried;
	struct want **gone; /* those of the basis that are not */
	size_t n_gone;
	const bool *anew;           /* of each object: was it lowered anew */
	const struct object **left; /* of the basis, that are not there any more */
	size_t n_left;
	uint64_t rev, basis_rev; /* as what this one, and the basis, are stored; 0: not yet */
	unsigned n_deltas;       /* on the way from this one to one that is stored as a whole */
	bool final;              /* it is, or was once: only then what it says of bytes to be deleted counts */
	unsigned refs;
};
/* What lowering an object asked of the host and chose. */
const struct fact_row *lowered_facts(const struct lowered *lowered, size_t *ret_n);
const struct alloc_row *lowered_allocs(const struct lowered *lowered, size_t *ret_n);
struct generation *generation_new(struct arena *arena); /* takes the arena; NULL makes one */
struct generation *generation_ref(struct generation *gen);
struct generation *generation_unref(struct generation *gen);
struct want *generation_find(const struct generation *gen, const char *class, const char *key);
/* Is it one that was lowered for an earlier generation? */
bool generation_carries(const struct generation *gen, const struct want *want);
/* Forgets wants, facts and allocations, for lowering once more. */
void generation_clear_wants(struct generation *gen);
/* Makes room for n wants. */
void generation_reserve(struct generation *gen, size_t n);
/* Adds one that belongs to an earlier generation, and is not in this one yet. */
void generation_share(struct generation *gen, struct want *want);
/* Keeps alive what it carries over from another. */
void generation_share_arenas(struct generation *gen, const struct generation *before);
/* One that is in no list, though it may have the id of another. */
struct want *generation_scrap(struct generation *gen, const struct resource_class *class, const char *key);
struct want *generation_add(struct generation *gen, const struct resource_class *class, const char *key, void *spec);

struct lower_input {
	struct object **objects; /* all objects of the new configuration, in gen's arena */
	size_t n_objects;
	const struct alloc_row *allocs; /* kept choices */
	size_t n_allocs;
	const struct override_row *overrides;
	size_t n_overrides;
	const struct object *const *tolerated; /* may be refused all the same, in silence: they were before */
	size_t n_tolerated;
	bool lenient; /* leave refused objects, and what refers to them, out instead of failing */
	/* lower_carry() only: the generation before. Objects that are unchanged are the same pointers as in it. */
	const struct generation *before;
};
/* Checks references and cycles, runs check() and lower() of every object, finds conflicts. Everything wrong is queued
 * in diags. Returns 0, or -EINVAL when the configuration is refused. */
int lower_all(struct generation *gen, const struct lower_input *input, struct diags *diags);
/* The same for a configuration that differs little from the one before: what no change reaches is carried over, as the
 * same pointers. Gives up with -EAGAIN where it is not sure of the same outcome, and wherever something is to be
 * refused; the generation is then to be lowered from nothing. */
int lower_carry(struct generation *gen, const struct lower_input *input);
/* Aborts unless lowering from nothing gives the same; for debug builds and tests. */
void lower_check(const struct generation *gen, const struct lower_input *input);
/* The same unless what was read back from the store is what was put there. */
void generation_check_stored(const struct generation *gen, const struct generation *back);

#endif
