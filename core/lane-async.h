/* SPDX-License-Identifier: Apache-2.0 */
/* A lane for classes whose verbs are functions on the engine's thread that start something (a child, a D-Bus call, a QMP command) and call
 * op_complete() when it is done, at once or later. It keeps a queue per slot (a volume group, a server, a guest), so that one slow backend holds up only
 * itself, and ends operations past their deadline with ETIMEDOUT. */
#ifndef WEFT_CORE_LANE_ASYNC_H
#define WEFT_CORE_LANE_ASYNC_H

#include "core/resource.h"

typedef void async_verb_fn(struct op *op);

struct async_verbs {
	async_verb_fn *observe, *create, *update, *remove;
	/* Operations of one slot run one after the other; NULL or a NULL result: all at once. */
	const char *(*slot)(const struct op *op);
	/* Called for an operation that is to end soon; NULL: it runs to its end. */
	void (*cancel)(struct op *op);
	/* Operations of this class that were submitted in one round, chained by op->next: for classes that do many in one go (one
	 * iptables-restore). When set, the four verbs above are not used. */
	void (*batch)(struct op *ops);
};

/* A new lane of this sort. The name is borrowed. */
struct lane *lane_async_new(const char *name);

#endif
