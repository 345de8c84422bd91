/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/leases/volumes, POST /v1/leases/volumes/NAME/break: leases on volumes, wherever their holders are. The
 * storage is asked, which takes its time. */
#include "api/server.h"

#include "stord/lease-admin.h"

/* The call, NULL once the client has left: then the answer has nobody to go to. */
struct asking {
	struct call *call;
	struct asking *next;
};
static struct asking *all;

static void forget(struct call *call)
{
	for (struct asking *a = all; a; a = a->next)
		if (a->call == call)
			a->call = NULL;
}

static struct asking *ask(struct call *call)
{
	struct asking *asking = xcalloc(1, sizeof(*asking));
	*asking = (struct asking){.call = call, .next = all};
	all = asking;
	call->cancel = forget;
	return asking;
}

static struct call *end(struct asking *asking)
{
	struct call *call = asking->call;
	struct asking **at = &all;
	while (*at != asking)
		at = &(*at)->next;
	*at = asking->next;
	free(asking);
	return call;
}

static void on_listed(void *ctx, json_t *answer)
{
	struct call *call = end(ctx);
	if (call)
		call_answer(call, MHD_HTTP_OK, answer);
	else
		json_decref(answer);
}

void handle_volume_leases(struct call *call)
{
	stord_lease_list(manager_engine(api_manager()), on_listed, ask(call));
}

static void on_broken(void *ctx, json_t *broken, const struct err *err)
{
	struct call *call = end(ctx);
	if (!call)
		json_decref(broken);
	else if (broken)
		call_answer(call, MHD_HTTP_OK, json_pack("{s:s, s:o}", "result", "final", "broken", broken));
	else
		call_refuse(call, err->code == ENOENT ? MHD_HTTP_NOT_FOUND : MHD_HTTP_CONFLICT, "%s", err->text);
}

void handle_lease_break(struct call *call)
{
	const struct lease_break what = {call->args[0], call->peer.who};
	stord_lease_break(manager_engine(api_manager()), &what, on_broken, ask(call));
}
