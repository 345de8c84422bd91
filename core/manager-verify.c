/* SPDX-License-Identifier: Apache-2.0 */
/* Verification: whether an address answers after a change, and as long as the change waits to be confirmed. Of
 * "gateway", the default gateways of both families are pinged before the change: those that answer have to answer
 * afterwards; where none does, any one has to. A change of what the way to the gateway leads over is verified so
 * without being asked, if one answered. The pings are children: nothing waits for them. */
#include "core/manager-internal.h"

#include "core/child.h"

enum { ASKING_TRIES = 2, VERIFY_TRIES = 10, MISSES = 5, EVERY_MS = 1000 };

static const char *const gateways[VERIFY_TARGETS] = {"gateway/ipv4", "gateway/ipv6"};

/* A ping from afar: its job, or that round of pings, may be over when it ends. */
struct ping {
	struct manager *m;
	uint64_t serial;
	unsigned round;
	size_t target;
};

static bool is_gateway(const struct job *job)
{
	return streq(job->verify, "gateway");
}

static bool answers(const struct verify *v, bool of_gateway)
{
	bool any = false, all = true, required = false;
	for (size_t i = 0; i < VERIFY_TARGETS; i++) {
		any |= v->answered[i];
		required |= v->required[i];
		all &= v->answered[i] || !v->required[i];
	}
	return of_gateway && required ? all : any;
}

static void missed(struct manager *m, struct job *job, unsigned most)
{
	const struct verify *v = &job->verification;
	if (++job->verification.n_misses < most)
		return;
	const char *what = is_gateway(job) ? "the default gateway" : job->verify;
	if (is_gateway(job) && !v->asked[0] && !v->asked[1])
		job_undo(m, job, "there is no default gateway that could be verified");
	else if (job->phase == PHASE_CONFIRMING)
		job_undo(m, job, "%s stopped answering before it was confirmed", what);
	else
		job_undo(m, job, "%s did not answer one of %u pings", what, most);
}

static void asked_before(struct manager *m, struct job *job)
{
	struct verify *v = &job->verification;
	bool any = answers(v, false);
	if (!any && ++v->n_misses < ASKING_TRIES)
		return;
	memcpy(v->required, v->answered, sizeof(v->required));
	v->n_misses = 0;
	if (!any && v->implied)
		job->verify = NULL;
	job_begin(m, job);
}

static void round_done(struct manager *m, struct job *job)
{
	struct verify *v = &job->verification;
	if (job->phase == PHASE_ASKING) {
		asked_before(m, job);
	} else if (!answers(v, is_gateway(job))) {
		missed(m, job, job->phase == PHASE_CONFIRMING ? MISSES : VERIFY_TRIES);
	} else {
		v->n_misses = 0;
		if (job->phase == PHASE_VERIFYING)
			job_settled(m, job);
	}
	manager_schedule(m); /* for the next round, a second after this one began */
}

static void ping_done(void *ctx, const struct child_result *result)
{
	struct ping *ping = ctx;
	struct manager *m = ping->m;
	struct job *job = m->job && m->job->serial == ping->serial ? m->job : NULL;
	struct verify *v = job ? &job->verification : NULL;
	bool waited_for = v && v->round == ping->round && v->n_pinging > 0;
	size_t target = ping->target;
	free(ping);
	if (!waited_for)
		return;
	v->answered[target] = result->status == 0;
	if (--v->n_pinging == 0)
		round_done(m, job);
}

static void start_ping(struct manager *m, struct job *job, size_t target, const char *address)
{
	struct verify *v = &job->verification;
	struct ping *ping = xcalloc(1, sizeof(*ping));
	*ping = (struct ping){m, job->serial, v->round, target};
	v->asked[target] = true;
	v->n_pinging++;
	/* ping -n -q -c 1 -w 1 192.0.2.1 */
	const char *argv[] = {"ping", "-n", "-q", "-c", "1", "-w", "1", "--", address, NULL};
	child_run(&(struct child_spec){.argv = argv, .deadline_ms = 3000, .done = ping_done, .ctx = ping});
}

static void start_round(struct manager *m, struct job *job)
{
	struct verify *v = &job->verification;
	v->round++;
	v->n_pinging = 0;
	v->next_ms = now_ms() + EVERY_MS;
	memset(v->asked, 0, sizeof(v->asked));
	memset(v->answered, 0, sizeof(v->answered));
	if (!is_gateway(job))
		start_ping(m, job, 0, job->verify);
	for (size_t i = 0; is_gateway(job) && i < VERIFY_TARGETS; i++) {
		cleanup_free char *address = NULL;
		if (fact_read(gateways[i], &address) == 0)
			start_ping(m, job, i, address);
	}
	if (!v->n_pinging)
		round_done(m, job);
}

static void find_guard(void *ctx, const struct plan_step *step)
{
	*(bool *)ctx |= step->guards_gateway;
}

bool verify_ask_before(struct manager *m, struct job *job)
{
	bool guards = false;
	if (!job->verify)
		engine_plan_change(m->engine, job->gen, find_guard, &guards);
	if (guards) {
		job->verify = "gateway";
		job->verification.implied = true;
	}
	if (!job->verify || !is_gateway(job))
		return false;
	job->phase = PHASE_ASKING;
	start_round(m, job);
	return true;
}

void verify_begin(struct manager *m, struct job *job)
{
	job->phase = PHASE_VERIFYING;
	job->deadline_ms = 0;
	start_round(m, job);
}

void verify_stop(struct job *job)
{
	job->verification.n_pinging = 0;
}

uint64_t verify_due_ms(const struct job *job)
{
	bool verifies = job->verify &&
			(job->phase == PHASE_ASKING || job->phase == PHASE_VERIFYING || job->phase == PHASE_CONFIRMING);
	return verifies && !job->verification.n_pinging ? job->verification.next_ms : UINT64_MAX;
}

void verify_progress(struct manager *m, struct job *job)
{
	if (verify_due_ms(job) <= now_ms())
		start_round(m, job);
}
