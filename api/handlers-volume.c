/* SPDX-License-Identifier: Apache-2.0 */
/* What is ordered of a volume beside its manifest: snapshots. */
#include "api/server.h"

#include "guestd/guestd.h"
#include "stord/volume.h"

/* The order goes on to its end although who asked has gone. */
struct waiting {
	struct call *call; /* NULL: has gone */
};

static void on_done(void *ctx, json_t *answer)
{
	struct waiting *waiting = ctx;
	if (waiting->call) {
		waiting->call->stream = NULL;
		call_answer_result(waiting->call, answer);
	}
	free(waiting);
}

static void forget(struct call *call)
{
	struct waiting *waiting = call->stream;
	if (waiting)
		waiting->call = NULL;
	call->stream = NULL;
}

static void order(struct call *call, const char *snapshot, const char *action)
{
	const char *sure = call_query(call, "sure");
	struct waiting *waiting = xcalloc(1, sizeof(*waiting));
	waiting->call = call;
	call->stream = waiting;
	call->cancel = forget;
	const struct snapshot_request request = {
		.volume = call->args[0],
		.action = action,
		.snapshot = snapshot,
		.who = call->peer.who,
		.sure = streq(sure, "1"),
	};
	guestd_snapshot(api_manager(), &request, on_done, waiting);
}

void handle_snapshots(struct call *call)
{
	order(call, "", "list");
}

void handle_order_progress(struct call *call)
{
	struct stord_volume volume;
	struct engine *engine = manager_engine(api_manager());
	bool known = stord_volume_find(engine_generation(engine), call->args[0], &volume);
	const char *progress = known ? stord_order_progress(volume.key) : NULL;
	call_answer(call, 200, json_pack("{s:s*}", "progress", progress));
}

void handle_snapshot_order(struct call *call)
{
	order(call, call->args[1], call->args[2]);
}
