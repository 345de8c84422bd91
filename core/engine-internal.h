/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the engine share: nodes (one a resource, wanted or leaving) and their graph. Nobody else includes
 * this.
 *
 *   engine.c        public calls: generations, lanes, events, the loop
 *   engine-node.c   nodes, their index, their edges
 *   engine-decide.c what is to be done about a node: a pure function of what is known
 *   engine-op.c     carrying it out: records first, then lanes; what came of it
 *   engine-patience.c how long who asks waits for what is under way
 *   engine-view.c   outcome, views, plans, probes, the check of itself
 */
#ifndef WEFT_CORE_ENGINE_INTERNAL_H
#define WEFT_CORE_ENGINE_INTERNAL_H

#include "core/engine.h"

struct res;

struct res_list {
	struct res **items;
	size_t n, cap;
};

/* A need and the instance of it that this resource was bound to. */
struct need {
	struct res *res;
	uint64_t bound; /* 0: not bound yet */
};

enum { REPAIR_RING = 10, LONGEST_BACKOFF_MS = 60 * 1000 };

struct res {
	const struct resource_class *class;
	char *key;
	struct res *hash_next;
	size_t index;   /* in engine->nodes */
	size_t changed; /* place in engine->changed, from 1; 0: it is not there */

	struct want *want;  /* in the current generation; NULL: it leaves */
	struct want *old;   /* in the newest generation before that had it */
	bool old_final;     /* that generation was final */
	struct want *probe; /* of a generation that is only looked at */

	bool known; /* obs is what was last seen, and nothing has marked it dirty since */
	struct observation obs;
	uint64_t seen_ms;     /* when obs was */
	const void *seen_for; /* the spec with whose eyes, */
	uint64_t seen_gen;    /* and the serial of its generation */
	uint64_t look_ms;     /* how long looks took of late that came to something, at most */
	bool needs_asked;     /* the look under way takes long, so that what it needs is looked at as well */

	bool for_final; /* of its last decision */
	bool made, released, fresh;
	uint64_t made_incarnation;
	char *identity; /* as its class said last while it was wanted */
	json_t *baseline;
	void *baseline_spec;
	struct arena *baseline_arena;
	struct arena *back_arena; /* of the spec with which rows are given back */
	uint64_t taken; /* rows of the baseline that we have set, and that go back to it once they are not wanted */
	bool record_changed; /* made, baseline or identity is to be persisted before the next operation */

	enum resource_state state;
	struct err reason; /* text of the state */
	bool refused;      /* the host will not have it */
	bool restart_needed;
	bool tried;   /* since the last switch */
	bool excused; /* was not as wanted before the switch, which asks nothing else of it: no reason to take that
		       back */
	bool settled; /* has been as wanted since its want last changed: a difference now is drift */
	bool repairing, repair_counts; /* a repair is under way; it was a rival's doing */
	bool observe_failed;
	bool relink; /* its edges are taken down, and are to be made anew */
	bool hurry;  /* leaving, and a person does not want to wait */
	bool again;  /* marked dirty while an operation was under way */
	char *loss;  /* what drift was seen, for the event */
	struct op *op;
	bool queued;
	struct res *queue_next;

	unsigned attempts, stubborn;
	unsigned futile;   /* acknowledged creations and removals after which it did not come or go */
	uint64_t written;  /* rows of the last acknowledged update */
	uint64_t retry_ms; /* 0: none */
	uint64_t repaired_ms[REPAIR_RING];
	unsigned n_repairs, contests;

	struct need *needs; /* of want */
	size_t n_needs, cap_needs;
	struct res_list handovers;  /* of want or old: present, or back as they were, before this goes */
	struct res_list afters;     /* of want: present before this is made or changed */
	struct res_list rests;      /* of want: what goes only after this has gone */
	struct res_list dependents; /* whose want or old needs this, or rests on it */
	struct res_list followers;  /* whose handovers or afters name this, or that are carried by it */
	struct res *carrier;
};

struct poll {
	const struct resource_class *class;
	uint64_t next_ms;
};

struct probe {
	struct generation *gen; /* owned */
	size_t first;           /* of its wants: those before are wanted already */
	bool only_asked;        /* nothing is going to be done by what it finds */
	engine_done_fn *done;
	void *ctx;
	uint64_t late_ms; /* when what it waits for is passed over; UINT64_MAX: not by itself */
};

struct engine {
	struct engine_host host;
	struct lane **lanes;
	size_t n_lanes, cap_lanes;

	struct generation *current;
	struct generation **gens; /* those that nodes still point into, current one too */
	size_t n_gens, cap_gens;
	size_t sift_at; /* so many of them are sifted, whatever is under way */
	uint64_t switched_ms;
	bool pending;

	struct res **nodes;
	size_t n_nodes, cap_nodes;
	struct res **buckets;
	size_t n_buckets;

	struct res *queue, **queue_tail;
	struct op **ready; /* decided, not yet with their lanes */
	size_t n_ready, cap_ready;
	size_t n_busy;
	bool running;
	struct res **changed; /* since somebody asked for them; NULL: it has gone since */
	size_t n_changed, cap_changed;
	uint64_t next_retry_ms; /* no node's retry_ms is earlier; UINT64_MAX: none */
	struct poll *polls;
	size_t n_polls, cap_polls;
	struct engine_record *forgets; /* records to drop, keys owned */
	size_t n_forgets, cap_forgets;
	bool records_changed; /* some are not on disk yet */
	bool records_urgent;  /* and have to be before anything is done */

	struct probe *probes;
	size_t n_probes, cap_probes;
};

/* What is to be done about a node. */
struct decision {
	enum resource_state state; /* if nothing is done */
	bool act;
	enum op_verb verb;
	uint64_t rows;
	const void *spec; /* what the operation aims at */
	bool released;    /* nothing of it is left that is ours: the node can go */
	bool refused;     /* transactional: the apply cannot stand */
	bool held;        /* until its next try */
	bool restart_needed;
	bool adopt;     /* keep a baseline first */
	bool stubborn;  /* present, though it keeps another binding or loses its mark */
	bool fails;     /* for `reason`, as an operation fails: again with backoff */
	bool contest;   /* hold back: a rival undoes it */
	bool for_final; /* it cannot go back, and waits until the revision is final */
	uint64_t differs;
	char reason[sizeof(((struct err *)0)->text)];
};

/* engine.c */
bool same_want(const struct want *a, const struct want *b);

/* engine-node.c */
struct res *res_find(const struct engine *e, const char *class, const char *key);
struct res *res_obtain(struct engine *e, const struct resource_class *class, const char *key);
void res_free(struct engine *e, struct res *res);
void res_queue(struct engine *e, struct res *res);
void res_changed(struct engine *e, struct res *res);     /* something that a view shows may be another */
void res_forget_seen(struct engine *e, struct res *res); /* observe it anew */
void res_link_all(struct engine *e);                     /* edges anew out of wants and olds */
/* The same for some: each is taken down while its want and old are what they were, then all that were are made anew. */
void res_unlink(struct engine *e, struct res *res);
void res_relink(struct engine *e);
void res_neighbours_queue(struct engine *e, struct res *res);
void res_instance_changed(struct engine *e, struct res *res, bool was_there);
bool res_is_there(const struct res *res);
const struct want *res_want(const struct res *res);
struct res *res_old_need(struct engine *e, const struct res *res, size_t i);

/* engine-decide.c */
struct change res_weigh(const struct res *res, const void *to); /* it exists */
void decide(const struct engine *e, const struct res *res, struct decision *d);
/* All that it waits for, directly or by what it needs, is that the revision is final. */
bool waits_for_final(const struct res *res);
bool caused_by_need(const struct res *res);

/* engine-op.c */
void res_step(struct engine *e, struct res *res);
void op_free(struct op *op);
void ops_start(struct engine *e);
void ops_persist(struct engine *e);
void res_set_retry(struct engine *e, struct res *res, uint64_t at_ms);
void res_notice(struct engine *e, struct res *res, enum engine_notice_type type, const char *text);

/* engine-view.c */
/* Does the generation carry over wants of the current one? Then only the others can make a difference. */
bool differs_little(const struct engine *e, const struct generation *gen);
void probe_check(struct engine *e);
/* The same of those that probes wait for. */
uint64_t probe_next_late(const struct engine *e);

/* engine-patience.c */
/* Does an apply wait no longer for what is under way there? */
bool is_long(const struct engine *e, const struct res *r);
/* When the next operation that is under way will have taken so long; UINT64_MAX: none. */
uint64_t engine_next_long(const struct engine *e);
/* Until when a probe waits for what is under way; UINT64_MAX: to its end, or nothing is. */
uint64_t look_awaited_until(const struct engine *e, const struct res *r, bool only_asked);
/* The look that is under way may well come to something yet. */
bool is_given_time(const struct engine *e, const struct res *r);
/* What looks that take long need is looked at as well. Returns when there is more to do; UINT64_MAX: nothing. */
uint64_t looks_ask_needs(struct engine *e);

#endif
