/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/import/host: what this host's links would be as manifests. Reading a host that has many of them takes a
 * while, so that another process of this program does it (weftd --import), one for each who asks. */
#include "api/server.h"

#include "core/child.h"
#include "core/env.h"

enum { IMPORT_MS = 60000, ANSWER_MAX = 64 << 20 };

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

static void take_out(struct asking *asking)
{
	struct asking **at = &all;
	while (*at != asking)
		at = &(*at)->next;
	*at = asking->next;
	free(asking);
}

static void on_read(void *ctx, const struct child_result *result)
{
	struct asking *asking = ctx;
	struct call *call = asking->call;
	take_out(asking);
	if (!call)
		return;
	json_t *answer = result->status == 0 ? json_loadb(result->out, result->out_size, 0, NULL) : NULL;
	if (answer)
		call_answer(call, MHD_HTTP_OK, answer);
	else
		call_refuse(call, MHD_HTTP_INTERNAL_SERVER_ERROR, "the host's links could not be read: %s",
			    result->status ? result->err.text : "the answer is no JSON");
}

void handle_import(struct call *call)
{
	struct asking *asking = xcalloc(1, sizeof(*asking));
	*asking = (struct asking){.call = call, .next = all};
	all = asking;
	call->cancel = forget;
	const char *argv[] = {"/proc/self/exe", "--import", *env.root ? "--root" : NULL, env.root, NULL};
	child_run(&(struct child_spec){
		.argv = argv, .deadline_ms = IMPORT_MS, .max_output = ANSWER_MAX, .done = on_read, .ctx = asking});
}
