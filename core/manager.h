/* SPDX-License-Identifier: Apache-2.0 */
/* The manager: what a person can ask for. Turns manifests into a checked generation, a revision in the store, a switch
 * of the engine; waits for it to be final, confirmed, verified, or takes it back. Everything the API and the command
 * line do goes through here; answers are JSON in the shapes below.
 *
 * Answer of apply, delete, rollback:
 *   {"result": "final" | "pending" | "dryRun" | "refused" | "disruptive" | "failed" | "notReady",
 *    "revision": 7, "message": "sentence", "confirmBy": "2026-01-02T03:04:05Z",
 *    "diagnostics": [...], "rendered": "text with carets", "plan": [STEP...],
 *    "objects": [{"kind","name","change": "created|changed|unchanged|deleted"}]}
 *   STEP: {"verb": "create|update|remove|unknown", "resource": "link/lan", "object": "Network/lan",
 *          "changes": [{"field","from","to"}], "disruptive": bool, "note": "sentence"}
 * The plan is in an answer "dryRun" or "disruptive", and with it "notes": [{"resource", "note"}] of what was as wanted
 * when it was last seen, and is being looked at: nothing waits for what does not answer.
 * "refused": the manifests have errors, nothing was touched (exit status 2).
 * "disruptive": asks for --confirm or --allow-disruption (1).
 * "failed": the host refused it and the old generation is back (1). "notReady": final, but not Ready in time (3).
 *
 * An object: {"apiVersion","kind","metadata":{"name","labels","set","generation"},"spec":{as written},
 *   "status":{"observedGeneration",
 *             "conditions":[{"type","status":"True|False|Unknown","reason","message","since"}], "repairs": n,
 *             "override": {"text","who","when"}, "details": {rows of STATUS of its resources, by class, those after the
 * first of a class by id}, "resources":[{"id","state","reason"}]}}     resources: only when asked for one object
 */
#ifndef WEFT_CORE_MANAGER_H
#define WEFT_CORE_MANAGER_H

#include "core/engine.h"
#include "core/store.h"

struct manager;

struct apply_request {
	const struct source *sources; /* copied; none for a diff: what is stored is compared */
	size_t n_sources;
	const char *set; /* NULL: "default" */
	bool prune, dry_run, atomic, allow_disruption;
	unsigned confirm_ms; /* 0: none */
	const char *verify;  /* "gateway", an address, or NULL */
	bool wait;
	unsigned wait_ms; /* 0: 60 s when wait */
	const char *who;  /* "root (uid 0)" */
	const char *what; /* the command, for history */
};
struct delete_request {
	const struct source *sources; /* delete -f: the objects named in them */
	size_t n_sources;
	const char *const *names; /* or "Kind/name" */
	size_t n_names;
	bool now; /* guests are killed, not asked */
	unsigned confirm_ms;
	bool dry_run, allow_disruption, wait;
	unsigned wait_ms;
	const char *who, *what;
};
struct override_request {
	const char *kind, *name;
	const char *text; /* what is ordered; NULL: as the manifest says again */
	const char *who;
};
/* Called once, with an answer that the callee may keep (json_incref). Freed after the call. */
typedef void manager_done_fn(void *ctx, json_t *answer);

int manager_new(struct manager **ret, struct err *err); /* opens the store, makes the engine; needs env */
struct manager *manager_free(struct manager *m);
struct engine *manager_engine(struct manager *m);
struct store *manager_store(struct manager *m);
/* Loads the last final generation and begins to converge; then the files of /etc/weft. After all lanes were added. */
int manager_start(struct manager *m, struct err *err);
void manager_reload(struct manager *m); /* SIGHUP: the files of /etc/weft again */

void manager_apply(struct manager *m, const struct apply_request *request, manager_done_fn *done, void *ctx);
void manager_delete(struct manager *m, const struct delete_request *request, manager_done_fn *done, void *ctx);
/* Of the request its sources, set and prune count; without sources it is the stored manifests that are compared. */
void manager_diff(struct manager *m, const struct apply_request *request, manager_done_fn *done, void *ctx);
void manager_confirm(struct manager *m, const char *who, manager_done_fn *done, void *ctx);
/* 0: cancel what is pending, else the one before. */
void manager_rollback(struct manager *m, uint64_t rev, const char *who, manager_done_fn *done, void *ctx);
/* Stops waiting for an answer (the client went away); the work goes on. */
void manager_forget(struct manager *m, manager_done_fn *done, void *ctx);

/* These answer at once. The caller owns the JSON. */
/* [{"revision","state","time","who","what","set","message","confirmBy"}], newest first. */
json_t *manager_history(struct manager *m);
/* A list of objects; NULL kind: all; NULL name: all. */
json_t *manager_objects(struct manager *m, const struct kind *kind, const char *name);
json_t *manager_resources(struct manager *m); /* [{"id","state","reason","objects":[...],"spec":{},"seen":{},...}] */
/* {"version","instance","revision","pending":{...},"converged":bool,"accel":...} */
json_t *manager_status(struct manager *m);
/* Sets (text) or clears (NULL) an override of an object and lowers anew. `done` as above. */
void manager_override(struct manager *m, const struct override_request *request, manager_done_fn *done, void *ctx);
/* A fact may have changed: objects that read it are lowered again. The key may end in '*'. */
void manager_fact_changed(struct manager *m, const char *key);

#endif
