/* SPDX-License-Identifier: Apache-2.0 */
/* What is ordered of a guest beside its manifest, and where its console is. */
#include "api/server.h"

#include "guestd/guestd.h"

/* Answers with 404 when there is no such guest. */
static bool guest_exists(struct call *call)
{
	const struct kind *kind = kind_find("Guest");
	json_t *objects = kind ? manager_objects(api_manager(), kind, call->args[0]) : NULL;
	bool exists = json_is_array(objects) ? json_array_size(objects) > 0 : json_is_object(objects);
	json_decref(objects);
	if (!exists)
		call_refuse(call, MHD_HTTP_NOT_FOUND, "there is no guest '%s'", call->args[0]);
	return exists;
}

void handle_guest_action(struct call *call)
{
	if (!guest_exists(call))
		return;
	call->cancel = call_forget_result;
	const struct guest_request request = {call->args[0], call->args[1], call->peer.who};
	guestd_action(api_manager(), &request, call_answer_result, call);
}

void handle_host_down(struct call *call)
{
	call->cancel = call_forget_result;
	guestd_host_down(call_answer_result, call);
}

void handle_host_up(struct call *call)
{
	guestd_host_up();
	call_answer(call, MHD_HTTP_OK,
		    json_pack("{s:s, s:s}", "result", "final", "message", "guests are started again"));
}

void handle_guest_console(struct call *call)
{
	if (!guest_exists(call))
		return;
	cleanup_free char *path = guestd_console_path(call->args[0]), *log = guestd_console_log_path(call->args[0]);
	call_answer(call, MHD_HTTP_OK, json_pack("{s:s, s:s}", "path", path, "log", log));
}
