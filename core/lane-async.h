/* SPDX-License-Identifier: Apache-2.0 */
/* A lane for classes whose verbs are functions on the engine's thread that start something (a child, a D-Bus call, a
 * QMP command) and call op_complete() when it is done, at once or later. It keeps a queue per slot (a volume group, a
 * server, a guest), so that one slow backend holds up only itself, and ends operations past their deadline with
 * ETIMEDOUT.
 *
 * Whose op is it? A verb never gets the engine's op but a copy of it that the lane makes, with a want, seen and key of
 * its own (deep, so they outlive the engine's). The verb calls op_complete() (or op_fail()) on that copy exactly once,
 * however late, and may use all of it until then. If the engine's op is still waiting, the results go over to it; if it
 * has timed out or was cancelled meanwhile, they are thrown away. So nothing that a late callback touches is ever gone,
 * and no verb has to ask whether its op is still wanted.
 *
 * A slot is free again when its operation has ended or timed out. The deadline counts from when the verb is called, not
 * from submission; it is a net below the deadlines that verbs give their own children and commands (which kill what
 * runs), and should be the longer one. op->lane_data is the class's.
 *
 * Cancelling gives back what has not started, or what has a cancel hook; the rest runs to its end. Freeing the lane
 * gives back all ops with ECANCELED.
 *
 * Nothing starts within submit(): flush() starts what may start, and answers given from within a verb are delivered one
 * by one from the outermost call, so that engine and verbs do not pile up on the stack. */
#ifndef WEFT_CORE_LANE_ASYNC_H
#define WEFT_CORE_LANE_ASYNC_H

#include "core/resource.h"

typedef void async_verb_fn(struct op *op);

enum { ASYNC_NO_DEADLINE = 0x7fffffff };

struct async_verbs {
	async_verb_fn *observe, *create, *update, *remove;
	/* Operations of one slot run one after the other, over all classes of the lane; NULL or a NULL result: several
	 * at once (at most 32 in a lane). Read at submission. */
	const char *(*slot)(const struct op *op);
	/* Called for an operation that is to end soon (cancelled or timed out; nobody waits for its result any more);
	 * NULL: it runs to its end. */
	void (*cancel)(struct op *op);
	/* Operations of this class that were submitted in one round, chained by op->next: for classes that do many in
	 * one go (one iptables-restore). Each is completed by itself (read op->next before). When set, the four verbs
	 * above are not used; the next batch of the class (and slot) starts when all of this one have ended. */
	void (*batch)(struct op *ops);
	/* Observations that follow each other in a slot, likewise chained: for classes where looking at many costs
	 * little more than at one. NULL: observe(), one by one. */
	void (*observe_many)(struct op *ops);
	/* The same of creations, where it is so for each of them. NULL: create(), one by one. */
	void (*create_many)(struct op *ops);
	bool (*is_quick)(const struct op *op);
	unsigned deadline_ms; /* 0: 60 s; ASYNC_NO_DEADLINE: what the verbs start keeps time by itself */
};

/* A new lane of this sort. The name is borrowed. */
struct lane *lane_async_new(const char *name);

#endif
