/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the manager share. Nobody else includes this.
 *
 *   manager.c          its life: store, engine, loop, loading what was
 *   manager-job.c      one change at a time: the queue of jobs and the way of each, from check to final or back
 *   manager-config.c   from requests and stored objects to the objects of the next configuration
 *   manager-request.c  the public requests
 *   manager-verify.c   pings before, after and while a change waits to be confirmed
 *   manager-status.c   conditions of objects
 *   manager-answer.c   JSON of plans, history, resources
 *   manager-files.c    the set `system`, out of the files of /etc/weft
 */
#ifndef WEFT_CORE_MANAGER_INTERNAL_H
#define WEFT_CORE_MANAGER_INTERNAL_H

#include <systemd/sd-event.h>

#include "core/manager.h"

enum job_type { JOB_APPLY, JOB_DELETE, JOB_ROLLBACK, JOB_OVERRIDE, JOB_RELOWER, JOB_FILES, JOB_DIFF };

enum job_phase {
	PHASE_QUEUED,
	PHASE_PROBING,
	PHASE_ASKING, /* whether the gateway answers before */
	PHASE_APPLYING,
	PHASE_VERIFYING,
	PHASE_CONFIRMING,
	PHASE_UNDOING,
	PHASE_WAITING
};

enum { VERIFY_TARGETS = 2 }; /* IPv4 and IPv6; of an address the first only */

struct verify {
	bool implied;                                         /* nobody asked for it */
	bool required[VERIFY_TARGETS];                        /* answered before the change */
	bool asked[VERIFY_TARGETS], answered[VERIFY_TARGETS]; /* in this round */
	unsigned round, n_pinging;
	unsigned n_misses; /* rounds in a row without an answer */
	uint64_t next_ms;
};

struct job {
	uint64_t serial; /* no two jobs have the same */
	enum job_type type;
	enum job_phase phase;
	struct job *next;
	struct arena *arena; /* of the request; the generation has its own */

	/* What was asked. */
	struct source *sources;
	size_t n_sources;
	const char **names; /* JOB_DELETE: "Kind/name" */
	size_t n_names;
	const char *set, *who, *what, *verify;
	bool prune, dry_run, atomic, allow_disruption, wait, now;
	unsigned confirm_ms, wait_ms;
	uint64_t rev; /* JOB_ROLLBACK */
	const char *override_object, *override_text;

	/* What became of it. */
	struct diags diags;
	struct generation *gen;
	struct revision_row row;
	json_t *answer;       /* built up on the way */
	const char **touched; /* "Kind/name" of the objects it names */
	size_t n_touched, cap_touched;
	bool changes;         /* some object differs from what is stored */
	char *failure;        /* why it is taken back */
	bool taken_back;      /* by a person, who now waits for it to be so */
	uint64_t deadline_ms; /* of the phase, engine's clock */
	size_t n_unsettled;   /* while applying: when its deadline was set */
	struct verify verification;

	manager_done_fn *done; /* NULL once answered or forgotten */
	void *ctx;
};

/* Conditions of one object, as last computed. */
struct status {
	const struct object *object;
	char *id;                  /* "Kind/name" */
	const struct want **wants; /* its resources */
	size_t n_wants, cap_wants;
	bool due; /* one of them may be another than when it was computed */
	bool ready, progressing, degraded, contested, restart_needed;
	bool ready_now;         /* but for what waits until the revision is final; as of statuses_refresh_all() */
	char *reason, *message; /* of Ready; of Degraded in health */
	char *health;
	char *progress;    /* of Progressing; NULL: nothing is said */
	uint64_t since_ms; /* wall clock: since when Ready is what it is */
	unsigned n_repairs;
};

struct manager {
	struct store *store;
	struct engine *engine;
	sd_event_source *run_source, *timer_source, *job_timer;
	struct generation *final; /* what is final and wanted (but for a pending job) */
	uint64_t final_rev;
	struct job *job; /* being carried out; a pending confirm holds this place */
	struct job *queue, **queue_tail;
	struct job *waiting;    /* final, waiting for Ready */
	uint64_t look_again_ms; /* not before that, whether they are */
	bool look_later;
	uint64_t *leaving; /* revisions that may still have something on the host */
	size_t n_leaving, cap_leaving;
	char **suspects; /* keys of facts, or beginnings of keys with a *, that may have changed */
	size_t n_suspects, cap_suspects;
	uint64_t facts_due_ms;   /* not looked at before */
	struct status *statuses; /* of status_gen's objects, in their order */
	size_t n_statuses;
	uint32_t *status_index; /* hash of their objects' pointers: places from 1 */
	size_t status_index_size;
	uint32_t *due; /* places of those to be computed anew */
	size_t n_due, cap_due;
	struct generation *status_gen; /* owned */
	bool noticed;                  /* the engine told of something since statuses were refreshed */
};

/* manager-config.c */
int config_build(struct manager *m, struct job *job);
struct object *object_carry(const struct object *object, struct arena *arena);

/* manager-job.c */
struct job *job_new(enum job_type type, manager_done_fn *done, void *ctx);
void job_submit(struct manager *m, struct job *job);
void job_progress(struct manager *m); /* after each run of the engine, and on timers */
void job_answer(struct job *job, const char *result, const char *fmt, ...) printf_like(3, 4);
void job_undo(struct manager *m, struct job *job, const char *fmt, ...) printf_like(3, 4);
void job_confirm(struct manager *m, struct job *job);
void job_begin(struct manager *m, struct job *job);   /* checked and asked for: now it is done */
void job_settled(struct manager *m, struct job *job); /* the host has it, and what was to be verified is */
struct job *job_free(struct job *job);
void manager_schedule(struct manager *m);
void manager_forget_leaving(struct manager *m);

/* manager-verify.c */
/* Asks, if need be, who answers before the change, and then begins it; false if there is nothing to ask. */
bool verify_ask_before(struct manager *m, struct job *job);
void verify_begin(struct manager *m, struct job *job);
void verify_stop(struct job *job);
uint64_t verify_due_ms(const struct job *job); /* when it is to go on, UINT64_MAX: not by itself */
void verify_progress(struct manager *m, struct job *job);

/* manager-status.c */
void statuses_refresh(struct manager *m); /* those of which something may have changed */
void statuses_refresh_all(struct manager *m);
const struct status *status_of(struct manager *m, const struct object *object); /* NULL if it has none */
void statuses_free(struct manager *m);
/* Are those of `ids` that exist Ready? Or would be, but for what waits until the revision is final. */
bool statuses_ready(struct manager *m, const char *const *ids, size_t n, bool but_for_final,
		    const struct status **ret_not);

/* manager-answer.c */
/* Adds the plan to an answer, and what is to be said beside it; returns how many steps it has. */
size_t plan_add(struct manager *m, struct generation *gen, json_t *answer);
bool plan_is_disruptive(struct manager *m, struct generation *gen);
const char *time_text(uint64_t wall, char buf[static 32]);
char *object_id(const struct object *object);

/* manager-files.c */
void files_load(struct manager *m);
bool files_owns(struct manager *m, const struct object *object);

#endif
