/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that outlive the daemon, one a network or a link: dnsmasq, DHCP clients. Starting, ending, finding again. Who
 * is running and what it was started with stands in process.json, and if that is lost, the helper is known by itself
 * (is_ours). Work on one helper never overlaps: the classes that use it have one slot for it. All on the engine's
 * thread. */
#ifndef WEFT_NETD_HELPER_H
#define WEFT_NETD_HELPER_H

#include <jansson.h>

#include "core/launch.h"

enum helper_file {
	HELPER_PID,     /* written by the helper itself; its appearance means that it works */
	HELPER_PROCESS, /* process.json */
	HELPER_LOG,     /* what it said on stderr when it would not start */
};
struct helper_kind {
	const char *class;   /* whose resource of the helper's name is marked dirty when it has ended */
	const char *program; /* "dnsmasq" */
	const char *package; /* that has it */
	const char *whose;   /* "network" */
	char *(*path)(const char *name, enum helper_file file); /* freed by the caller */
	/* Is this process, whose command line is `line`, the helper of that name? Asked of processes in weftd's own
	 * network namespace only. */
	bool (*is_ours)(const char *name, int pid, const char *line, size_t size);
	/* It starts processes of its own, which do not end when it is killed: they are in its process group. */
	bool leaves_group;
};

typedef void helper_done_fn(void *ctx, const struct err *err); /* err NULL: done */
/* The running helper of a name. False if there is none. It is watched from then on. */
bool helper_find(const struct helper_kind *kind, const char *name, struct process_id *ret);
/* What it was started with; NULL if that is not known. */
json_t *helper_started_with(const struct helper_kind *kind, const char *name, const struct process_id *id);
/* What the last one was started with, whether it runs or not; NULL if that is not known. */
json_t *helper_last_spec(const struct helper_kind *kind, const char *name);
/* Remembers what the running one was started with, or told since. */
int helper_remember(const struct helper_kind *kind, const char *name, const struct process_id *id, json_t *spec,
		    struct err *err);
struct helper_start {
	const char *description; /* of its unit */
	const char *const *argv;
	const struct launch_bind *binds;
	size_t n_binds;
	json_t *spec; /* to be remembered; the reference is taken */
};
/* Starts one; done when it works. */
void helper_start(const struct helper_kind *kind, const char *name, const struct helper_start *start,
		  helper_done_fn *done, void *ctx);
/* Ends the running one, if any, by a signal; done when it is gone. */
void helper_stop(const struct helper_kind *kind, const char *name, int signal, helper_done_fn *done, void *ctx);

struct engine;
void helpers_start(struct engine *engine);
/* Lets go of the processes, which go on. */
void helpers_stop(void);

#endif
