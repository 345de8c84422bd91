/* SPDX-License-Identifier: Apache-2.0 */
/* Resource classes and the operations on them. A resource is one thing the kernel or a daemon would name: a link, an
 * address, a sysctl, a QEMU. Its id is class/key. A class has a field table (desired and observed share the struct) and
 * four verbs, which its lane runs; it knows nothing of manifests, order, retry, rollback or events of others. */
#ifndef WEFT_CORE_RESOURCE_H
#define WEFT_CORE_RESOURCE_H

#include "core/field.h"

struct lane;
struct engine;
struct generation;

enum op_verb { OP_OBSERVE, OP_CREATE, OP_UPDATE, OP_REMOVE };

enum owner {
	OWNER_UNKNOWN, /* the class leaves no mark: the engine's own records decide */
	OWNER_OURS,    /* carries our mark with our instance id */
	OWNER_FOREIGN, /* carries no mark of ours, or another instance's */
};

/* What is there. */
struct observation {
	bool valid; /* was it looked at (a lane may fill this after any verb; the engine then need not ask again) */
	bool exists;
	enum owner owner;
	uint64_t incarnation; /* which instance this is: ifindex, pid with start time, inode; 0 if it has none */
	uint64_t bound; /* incarnation of its first need that it is bound to, as seen; 0: cannot be told (then what the
			   engine itself bound it to counts) */
	void *spec;     /* the class's struct, in `arena`; STATUS rows included; NULL if it does not exist */
	struct arena *arena; /* owned by the observation */
	const char *health;  /* in `arena`: NULL when it does its work, else a sentence that says what is wrong and what
				to do (object becomes Degraded) */
	const char *note;    /* in `arena`: something worth showing ("powered off by the guest"); NULL if none */
	const char *identity; /* in `arena`: which thing it is, in the class's words, to be known again for as long as
				 it is wanted (op->identity); NULL: as before */
};
void observation_done(struct observation *obs);
/* Starts one: valid, with an arena and a zeroed spec of the class. Sets exists. Returns the spec. */
struct resource_class;
void *observation_begin(struct observation *obs, const struct resource_class *class, bool exists);

/* One verb on one resource. Made and freed by the engine (or by a test); between submit and op_complete() it belongs to
 * the lane. Everything it points to stays valid and unchanged until then, so that a lane may work on it on another
 * thread. */
struct op {
	enum op_verb verb;
	const struct resource_class *class;
	const char *key;
	const void *want;     /* desired spec; NULL when it is to go */
	const void *was;      /* nobody wants it any more: the spec it was wanted with last; NULL if nobody knows */
	bool anew;            /* OP_REMOVE: on the way to being made anew */
	bool fresh;           /* OP_REMOVE: weft made it for a revision that was never final */
	bool hurry;           /* OP_REMOVE: a person wants it gone now: no asking, no waiting for it to end by itself */
	const void *seen;     /* spec of the last observation; NULL if there is none or it does not exist */
	uint64_t made;        /* the instance that weft made, whatever its name is now; 0 if it made none */
	uint64_t incarnation; /* of the instance that was seen: UPDATE and REMOVE hit this one or none (then ESTALE, and
				 it is looked at again) */
	const char *identity; /* what was said last of which thing it is, by this weftd or one before; NULL: nothing */
	uint64_t rows;        /* OP_UPDATE: the rows that differ */
	const char *mark; /* "weft:ID:KIND/NAME" of the first owner, for classes that leave a mark; NULL for OBSERVE of
			     what nobody wants */
	/* Results. err.code 0: done. */
	struct err err;
	struct observation obs;
	/* For the lane. */
	struct op *next;
	void *lane_data;
	struct lane *lane;
	/* For who made it: called by op_complete(), frees it. */
	void (*done)(struct op *op);
	void *node;
	struct generation *gen; /* owned: what it points to is this one's */
	uint64_t started_ms;
	struct arena *arena;
};

/* What to do about an error. */
enum answer {
	ANSWER_DEFAULT, /* transactional classes: refuse; others: retry */
	ANSWER_DONE,    /* it is as wanted all the same (deleting what is gone) */
	ANSWER_WAIT,    /* a need has gone: look again at it first */
	ANSWER_RETRY,   /* passing: again with backoff */
	ANSWER_REFUSE,  /* the host will not have it */
};
struct errno_rule {
	enum op_verb verb;
	int code; /* positive errno */
	enum answer answer;
};

/* What answers a need that has become another instance (a bridge made anew), beyond what observing shows. */
enum rebind {
	REBIND_OBSERVE, /* the observation tells all there is */
	REBIND_UPDATE,  /* update() with rows = 0 binds it again */
	REBIND_RECREATE,
};

/* What a change would be this time, where that hangs on what is there. */
struct change {
	bool gentle;         /* it interrupts nothing and can go back, whatever its rows say */
	const char *refused; /* as things are it is not to be made, and this sentence says why; NULL: it may be */
};

enum class_flag {
	CLASS_TRANSACTIONAL = 1 << 0, /* links, addresses, routes, rules, sysctls: a refusal rolls the apply back */
	CLASS_INHERENT =
		1 << 1, /* always there; never created or removed: giving it up restores the baseline (sysctls) */
	CLASS_PERSISTENT = 1 << 2, /* outlives a reboot (files, volumes) */
	CLASS_KEEP = 1 << 3,       /* giving it up never calls remove() unless its spec says so by class->disposable */
	CLASS_REMOVE_IRREVERSIBLE = 1 << 4, /* remove() runs only after the revision is final (stopping a guest) */
	CLASS_PRECIOUS = 1 << 5, /* what was there and is gone is not made anew: an empty one in its place would hide
				    the loss (a disk) */
	CLASS_ADOPT_UNMARKED =
		1 << 6,          /* what is adopted stays as it is, without our mark: to put it there would change it */
	CLASS_FLEETING = 1 << 7, /* the host loses it along with others (routes of a link that goes down): what is
				    adopted and has to be made anew is still what was there before weft */
	CLASS_EARLY_BASELINE = 1 << 8, /* how it was is kept while it still waits: what it waits for changes it */
};

struct resource_class {
	const char *name; /* "link" */
	const char *doc;
	const struct table *table;
	const char *lane;  /* name of the lane that carries it */
	const void *verbs; /* what that lane calls: see the lane's header */
	unsigned flags;
	enum rebind rebind;
	const struct errno_rule *rules;
	size_t n_rules;
	unsigned period_ms; /* observed anew this often; 0: events suffice */
	/* May this spec be created by us? NULL: always. A link without a kind, for example, is somebody else's and
	 * waited for; the sentence then says so ("link eth9 does not exist"). */
	bool (*creatable)(const void *spec);
	/* CLASS_KEEP: may giving it up remove it? */
	bool (*disposable)(const void *spec);
	/* How far the operation on it is that is under way, for status: "copying: 43 %", valid until the next call;
	 * NULL if there is nothing to say. May be NULL. */
	const char *(*progress)(const char *key);
	/* What is wrong with what it stands on, as far as that is known without looking at it: health where it has none
	 * of its own. NULL: nothing. engine_touch() whenever that becomes another. May be NULL. */
	const char *(*trouble)(const char *key);
	/* For what may never answer, as storage: is the host so calm that what takes no time, begun after `since_ms`,
	 * has been done by now? Who only asks does without a look that then still goes on. NULL: it always answers. */
	bool (*calm)(uint64_t since_ms);
	/* What it would be to change what is seen into this; `ret` is zeroed, and what it points to lives as long as
	 * `seen`. Pure. NULL: what the flags of the rows say. */
	void (*weigh)(const void *seen, const void *to, struct change *ret);
	/* What of others goes if it is removed, or made anew: "takes along ...", for plans; NULL if nothing. In
	 * `arena`. May be NULL. */
	const char *(*loss)(const char *key, bool anew, struct arena *arena);
};

const struct resource_class *class_find(const char *name);
const struct resource_class *class_at(size_t i); /* NULL ends */
int class_register(const struct resource_class *class, struct err *err);

/* A lane carries operations to one part of the host and gathers what is ready. All functions are called on the engine's
 * thread and never block. */
struct lane_ops {
	/* Takes an operation; it is given back by op_complete(), perhaps from within. */
	void (*submit)(struct lane *lane, struct op *op);
	/* Nothing more comes in this round: what was submitted may go. May be NULL. */
	void (*flush)(struct lane *lane);
	/* Asks to give an operation back soon, with ECANCELED if it was not done. May be NULL. */
	void (*cancel)(struct lane *lane, struct op *op);
	void (*free)(struct lane *lane);
};
struct lane {
	const char *name;
	const struct lane_ops *ops;
	struct engine *engine; /* set by engine_add_lane(); NULL when a test drives the lane: engine_dirty() then does
				  nothing */
};

/* Gives an operation back to the engine (on the engine's thread); results are in it. */
void op_complete(struct op *op);
/* Completes with an error; returns nothing so that verbs can `return op_fail(...)`-like in two lines. */
void op_fail(struct op *op, int code, const char *fmt, ...) printf_like(3, 4);

#endif
