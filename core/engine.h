/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: makes the host equal to the current generation and keeps it so, over the union of what is wanted and what
 * is still there of what was. Written once; knows no class by name. It is driven by level: events mark resources
 * dirty, dirty ones are observed, compared, and handed to their lane. It has one thread, no clock and no loop of its
 * own, so a test can drive it through a million steps: see struct engine_host. */
#ifndef WEFT_CORE_ENGINE_H
#define WEFT_CORE_ENGINE_H

#include "core/lower.h"

enum resource_state {
	RES_UNKNOWN, /* not looked at yet */
	RES_ABSENT,
	RES_PRESENT,
	RES_BUSY,      /* an operation is under way */
	RES_WAITING,   /* for a need, a handover, the revision to be final */
	RES_REMOVING,  /* its removal is held up by what does not cooperate */
	RES_FAILED,    /* tried again at retry_ms */
	RES_CONTESTED, /* a rival keeps changing it; tried again at retry_ms */
	RES_FOREIGN,   /* exists, is not ours, is not touched */
};
extern const char *const resource_state_names[];

/* One resource as the engine sees it; for status, diff and tests. Pointers live until the next call into the engine. */
struct resource_view {
	const struct resource_class *class;
	const char *key;
	enum resource_state state;
	const struct want *want; /* NULL: nobody wants it, it is leaving */
	const void *seen;        /* observed spec; NULL if it does not exist or is unknown */
	const void *baseline;    /* as it was before weft, which it goes back to; NULL if weft made it or has not
				    changed it */
	bool known, exists, made, restart_needed;
	bool for_final; /* it, or what it needs, waits for the revision to be final, and for nothing else */
	uint64_t incarnation;
	const char *reason; /* sentence: the error, what it waits for, what keeps undoing it; NULL */
	const char *health, *note;
	const char *identity; /* which thing it is, see struct observation; NULL if its class does not say */
	uint64_t retry_ms;    /* of the host's clock */
	unsigned n_repairs;
};

/* What happened to a resource; becomes events. */
enum engine_notice_type {
	NOTICE_CREATED,
	NOTICE_UPDATED,
	NOTICE_REMOVED,
	NOTICE_REPAIRED,
	NOTICE_FAILED,
	NOTICE_CONTESTED,
	NOTICE_FOREIGN,
	NOTICE_RECOVERED,
	NOTICE_HEALTH
};
struct engine_notice {
	enum engine_notice_type type;
	const struct resource_class *class;
	const char *key;
	const struct want *want;
	const char *text; /* "mtu 1400 -> 1500 by somebody else; set back" */
};

/* A record that must be on disk before operations run; see ENGINE: made, baseline. */
struct engine_record {
	const char *class, *key;
	bool made;            /* we are about to create it, or have */
	uint64_t incarnation; /* which instance we made, 0 while unknown: with it a lost mark is drift, not somebody
				 else's thing */
	const char *identity; /* see struct observation; NULL: none */
	bool fresh; /* made by a revision that is not final: taken back with it even where its class keeps things (a
		       volume's bytes) */
	json_t *baseline; /* as it was before us, and which rows are ours to give back; NULL if there was nothing or
			     nothing is kept */
	bool forget;      /* drop the record */
	bool old_boot;    /* given back by the store: written before the last boot; not read when it is put */
};

struct engine_host {
	void *ctx;
	uint64_t (*now_ms)(void *ctx); /* monotonic */
	/* Puts records on disk; called before lanes are flushed. An error keeps the operations from running. */
	int (*persist)(void *ctx, const struct engine_record *records, size_t n, struct err *err);
	void (*notice)(void *ctx, const struct engine_notice *notice);
	/* There is something to run: call engine_run() soon (not from within). */
	void (*wake)(void *ctx);
};

enum engine_outcome { ENGINE_RUNNING, ENGINE_SETTLED, ENGINE_REFUSED };

struct engine *engine_new(const struct engine_host *host);
struct engine *engine_free(struct engine *engine);
void engine_add_lane(struct engine *engine, struct lane *lane); /* takes it; freed with the engine */
struct lane *engine_lane(struct engine *engine, const char *name);

/* What the store knows of a resource from before; call before engine_switch(). */
void engine_load_record(struct engine *engine, const struct engine_record *record);
/* Makes a generation current; the one before becomes outgoing, what of it is not wanted any more is removed. With
 * `pending`, irreversible operations wait for engine_final(), and a refusal of a transactional class ends in
 * ENGINE_REFUSED. Takes a reference. */
void engine_switch(struct engine *engine, struct generation *gen, bool pending);
/* Adds resources of an older generation that may still be there (crash recovery): they leave unless the current one
 * wants them. Oldest first. */
void engine_leave(struct engine *engine, struct generation *old);
struct generation *engine_generation(struct engine *engine);
void engine_final(struct engine *engine);
/* What is leaving goes without being asked to end by itself (`weft delete --now`). */
void engine_hurry(struct engine *engine);
/* Works until nothing is left to do without an answer from outside. Returns the time of the next timer (host clock),
 * UINT64_MAX if none. */
uint64_t engine_run(struct engine *engine);
/* Of the pending switch: running; settled (transactional ones Present or gone, others tried once or waiting); refused,
 * with the reason. */
enum engine_outcome engine_outcome(struct engine *engine, struct err *why);
/* How many keep it from being settled. */
size_t engine_unsettled(const struct engine *engine);
/* Is everything wanted Present and everything else gone? */
bool engine_converged(struct engine *engine);

/* Is anything that nobody wants still there, or not yet known to be gone? */
bool engine_leaving(struct engine *engine);

/* Events: mark generously. A key of NULL marks the whole class. */
void engine_dirty(struct engine *engine, const char *class, const char *key);
/* What is to be said of a resource is another by now (resource_class.trouble); it is not looked at. */
void engine_touch(struct engine *engine, const char *class, const char *key);
/* Observes everything anew. */
void engine_resync(struct engine *engine);
/* Drops waiting times: failed and contested ones are tried now. Of one object, or all when NULL. */
void engine_retry(struct engine *engine, const struct object *object);

/* Calls fn for each wanted resource of which something may be another since the last call. */
typedef void engine_changed_fn(void *ctx, const struct want *want);
void engine_each_changed(struct engine *engine, engine_changed_fn *fn, void *ctx);

/* Does a look at it that is under way take so long that nothing seems to answer there? */
bool engine_is_silent(struct engine *engine, const char *class, const char *key);

/* Every resource in turn; i from 0; false ends. */
bool engine_view(struct engine *engine, size_t i, struct resource_view *view);
bool engine_view_find(struct engine *engine, const char *class, const char *key, struct resource_view *view);

/* What switching to a generation would do, from what is observed: for diff, dry run, and the question whether it is
 * disruptive. Calls fn for every resource that would change. Resources not yet observed (new ones) are reported with
 * verb OP_OBSERVE unless observed by engine_probe() first. */
struct plan_step {
	const struct resource_class *class;
	const char *key;
	enum op_verb verb; /* CREATE, UPDATE, REMOVE; OBSERVE: not known yet */
	uint64_t rows;
	const void *want, *seen;
	const struct object *owner; /* NULL when leaving and its object is gone */
	bool disruptive, restart_needed, irreversible;
	bool guards_gateway; /* the way to the default gateway leads over it */
	const char *note;    /* "exists and is not weft's", what a disruption costs; NULL if none */
	const char *stale;   /* of what was not just seen: when it was, and why it is not now; NULL */
	bool aside; /* OBSERVE: as wanted when it was last seen, not long ago, and being looked at: hardly a change */
};
typedef void plan_fn(void *ctx, const struct plan_step *step);
void engine_plan(struct engine *engine, struct generation *gen, plan_fn *fn, void *ctx);
/* The same without what differs now and would whether or not it is switched to. */
void engine_plan_change(struct engine *engine, struct generation *gen, plan_fn *fn, void *ctx);
/* Observes every resource of a generation without wanting any, then calls done (from engine_run()). For who only asks:
 * what does not answer soon is left unknown. Takes a reference. */
typedef void engine_done_fn(void *ctx);
void engine_probe(struct engine *engine, struct generation *gen, engine_done_fn *done, void *ctx);
/* The same of those that engine_plan_change() asks for, for who goes on to change them: he waits longer. */
void engine_probe_change(struct engine *engine, struct generation *gen, engine_done_fn *done, void *ctx);

/* Aborts when incremental state differs from a full recompute; for debug builds and tests. */
void engine_check(struct engine *engine);

#endif
