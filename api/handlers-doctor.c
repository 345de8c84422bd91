/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/doctor: what this host lacks. Looking may block, so that another process of this program does it (weftd
 * --doctor); all who ask meanwhile get its answer. What only this weftd knows, its plugins, is added here.
 *
 *     {"findings": [{"area": "guests", "name": "/dev/kvm", "level": "ok|warn|bad", "text": "...", "remedy": "..."}]} */
#include "api/server.h"

#include "core/child.h"
#include "core/env.h"
#include "core/plugin.h"

enum { DOCTOR_MS = 30000, WAITING_MAX = 256 };

static struct call *waiting[WAITING_MAX];
static size_t n_waiting;
static bool looking;

static void forget(struct call *call)
{
	for (size_t i = 0; i < n_waiting; i++)
		if (waiting[i] == call) {
			waiting[i] = waiting[--n_waiting];
			return;
		}
}

static void add_finding(json_t *findings, const char *name, const char *level, const char *text, const char *remedy)
{
	json_array_append_new(findings, json_pack("{s:s, s:s, s:s, s:s, s:s*}", "area", "weftd", "name", name, "level",
						  level, "text", text, "remedy", remedy));
}

static void add_own(json_t *findings)
{
	struct plugin_info info;
	add_finding(findings, "weftd", "ok", "version " WEFT_VERSION ", running", NULL);
	for (size_t i = 0; plugin_at(i, &info); i++) {
		cleanup_free char *name = xprintf("plugin %s", info.name);
		cleanup_free char *text = xprintf("%s: %s", info.path, info.why_not ? info.why_not : "loaded");
		add_finding(findings, name, info.why_not ? "bad" : "ok", text,
			    info.why_not ? "put that right, or take the file away; then restart weftd" : NULL);
	}
}

static void on_looked(void *ctx, const struct child_result *result)
{
	json_t *findings = json_array();
	add_own(findings);
	for (const char *line = result->out, *end; line && (end = strchr(line, '\n')); line = end + 1)
		json_array_append_new(findings, json_loadb(line, (size_t)(end - line), 0, NULL));
	if (result->status != 0)
		add_finding(findings, "checks", "bad", result->err.text,
			    "what is missing here was not looked at; see what hangs or fails");
	looking = false;
	while (n_waiting > 0)
		call_answer(waiting[--n_waiting], MHD_HTTP_OK, json_pack("{s:O}", "findings", findings));
	json_decref(findings);
}

void handle_doctor(struct call *call)
{
	if (n_waiting == WAITING_MAX) {
		call_refuse(call, MHD_HTTP_SERVICE_UNAVAILABLE,
			    "too many are waiting for the doctor; try again in a while");
		return;
	}
	call->cancel = forget;
	waiting[n_waiting++] = call;
	if (looking)
		return;
	looking = true;
	const bool rooted = *env.root;
	const char *argv[] = {"/proc/self/exe", "--doctor", rooted ? "--root" : NULL, env.root, NULL};
	child_run(
		&(struct child_spec){.argv = argv, .deadline_ms = DOCTOR_MS, .max_output = 1 << 20, .done = on_looked});
}
