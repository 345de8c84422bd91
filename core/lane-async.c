/* SPDX-License-Identifier: Apache-2.0 */
/* See lane-async.h. A job is the lane's side of one operation: the engine's op (the client, NULL once it was answered)
 * and the copy that the verb works on. Jobs sit in the queue of their slot; pump() is the only place that starts verbs
 * and answers clients, and does not nest. */
#include "core/lane-async.h"

#include <systemd/sd-event.h>

#include "core/env.h"

enum { DEADLINE_DEFAULT_MS = 60000, SLOTLESS_MAX = 32 };

struct queue;

struct job {
	struct op op;      /* what the verb sees; first, so that the op is the job */
	struct op *client; /* what the engine gave; NULL once answered */
	struct lane_async *async;
	struct queue *queue;
	struct job *next;               /* in its queue, or in the list of the finished */
	struct job *all_next, **all_at; /* in the lane's list of all that are not gone; all_at NULL when taken out */
	sd_event_source *deadline;
	bool started;  /* the verb was called */
	bool released; /* counts no longer as running in its queue */
	bool returned; /* the verb has called op_complete() */
};

/* One after the other. The queue without a key is for those without a slot: several at once. */
struct queue {
	char *key;
	bool batch;
	struct job *waiting, **tail;
	unsigned n_running;
	struct queue *next;
};

struct lane_async {
	struct lane lane;
	struct queue *queues;
	struct job *jobs;
	struct job *finished, **finished_tail; /* returned by their verbs, not delivered yet */
	sd_event_source *later;                /* pumps on the loop's next turn */
	bool pumping, again, closed;
	unsigned refs; /* one for the lane's owner, one a job, one for who is working on it */
};

static const struct async_verbs *verbs_of(const struct op *op)
{
	return op->class->verbs;
}

static void lane_hold(struct lane_async *async)
{
	async->refs++;
}

static void lane_drop(struct lane_async *async)
{
	if (--async->refs == 0)
		free(async);
}

static void job_unlink(struct job *job)
{
	if (!job->all_at)
		return;
	*job->all_at = job->all_next;
	if (job->all_next)
		job->all_next->all_at = job->all_at;
	job->all_at = NULL;
}

static void job_free(struct job *job)
{
	struct lane_async *async = job->async;
	sd_event_source_disable_unref(job->deadline);
	job_unlink(job);
	observation_done(&job->op.obs);
	arena_free(job->op.arena);
	free(job);
	lane_drop(async);
}

/* The queue an operation belongs to; made when it is missing. Batches have queues of their own class. */
static struct queue *queue_for(struct lane_async *async, const struct op *op)
{
	const struct async_verbs *verbs = verbs_of(op);
	const char *slot = verbs->slot ? verbs->slot(op) : NULL;
	cleanup_free char *key = NULL;
	if (verbs->batch)
		key = xprintf("batch %s %s", op->class->name, slot ? slot : "");
	else if (slot)
		key = xprintf("slot %s", slot);
	for (struct queue *queue = async->queues; queue; queue = queue->next)
		if (streq(queue->key, key))
			return queue;
	struct queue *queue = xcalloc(1, sizeof(*queue));
	queue->key = take_ptr(key);
	queue->batch = verbs->batch;
	queue->tail = &queue->waiting;
	queue->next = async->queues;
	async->queues = queue;
	return queue;
}

/* Gives results to the engine's op and that op back. */
static void answer(struct job *job)
{
	struct op *client = take_ptr(job->client);
	if (!client)
		return;
	client->err = job->op.err;
	observation_done(&client->obs);
	client->obs = job->op.obs;
	job->op.obs = (struct observation){0};
	op_complete(client);
}

static void release(struct job *job)
{
	job->deadline = sd_event_source_disable_unref(job->deadline);
	if (!job->released && job->started)
		job->queue->n_running--;
	job->released = true;
}

static void pump(struct lane_async *async);

/* The verb's op_complete(). */
static void on_verb_done(struct op *op)
{
	struct job *job = (struct job *)op;
	struct lane_async *async = job->async;
	if (job->returned)
		abort(); /* a verb that completes twice would be a use after free next time */
	job->returned = true;
	if (async->closed) {
		job_free(job);
		return;
	}
	release(job);
	job->next = NULL;
	*async->finished_tail = job;
	async->finished_tail = &job->next;
	pump(async);
}

/* Answers before the verb does, which may go on for a while with its copy. */
static void answer_early(struct job *job, int code, const char *text)
{
	struct op *client = take_ptr(job->client);
	release(job);
	if (verbs_of(&job->op)->cancel)
		verbs_of(&job->op)->cancel(&job->op);
	if (client)
		op_fail(client, code, "%s", text);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct job *job = ctx;
	struct lane_async *async = job->async;
	static const char *const doing[] = {"looking at", "making", "changing", "removing"};
	unsigned ms = verbs_of(&job->op)->deadline_ms;
	ms = ms ? ms : DEADLINE_DEFAULT_MS;
	char text[256];
	snprintf(text, sizeof(text), "%s %s '%s' took longer than %u%s and was given up", doing[job->op.verb],
		 job->op.class->name, job->op.key, ms % 1000 ? ms : ms / 1000, ms % 1000 ? " ms" : " s");
	lane_hold(async); /* the answer may close the lane */
	answer_early(job, ETIMEDOUT, text);
	pump(async);
	lane_drop(async);
	return 0;
}

static void start_deadline(struct job *job)
{
	unsigned ms = verbs_of(&job->op)->deadline_ms;
	job->started = true;
	job->op.started_ms = now_ms();
	job->queue->n_running++;
	if (env.loop && ms != ASYNC_NO_DEADLINE &&
	    sd_event_add_time_relative(env.loop, &job->deadline, CLOCK_MONOTONIC,
				       (uint64_t)(ms ? ms : DEADLINE_DEFAULT_MS) * 1000, 1000, on_deadline, job) < 0)
		abort(); /* out of memory */
}

static void start_one(struct job *job)
{
	const struct async_verbs *verbs = verbs_of(&job->op);
	async_verb_fn *const by_verb[] = {verbs->observe, verbs->create, verbs->update, verbs->remove};
	async_verb_fn *verb = by_verb[job->op.verb];
	start_deadline(job);
	if (verb)
		verb(&job->op);
	else
		op_fail(&job->op, EOPNOTSUPP, "a %s cannot be changed like this", job->op.class->name);
}

static void start_batch(struct queue *queue)
{
	struct op *ops = NULL, **tail = &ops;
	struct job *next;
	for (struct job *job = queue->waiting; job; job = next) {
		next = job->next;
		start_deadline(job);
		*tail = &job->op;
		tail = &job->op.next;
	}
	*tail = NULL;
	queue->waiting = NULL;
	queue->tail = &queue->waiting;
	verbs_of(ops)->batch(ops);
}

static bool may_start(const struct queue *queue)
{
	return queue->waiting && queue->n_running < (queue->key ? 1 : SLOTLESS_MAX);
}

static struct job *queue_pop(struct queue *queue)
{
	struct job *job = queue->waiting;
	queue->waiting = job->next;
	if (!queue->waiting)
		queue->tail = &queue->waiting;
	job->next = NULL;
	return job;
}

typedef void many_fn(struct op *ops);

/* What does many like it at once; NULL: it is done by itself. */
static many_fn *many_of(const struct op *op)
{
	const struct async_verbs *verbs = verbs_of(op);
	if (op->verb == OP_OBSERVE)
		return verbs->observe_many;
	return op->verb == OP_CREATE && verbs->create_many && verbs->is_quick(op) ? verbs->create_many : NULL;
}

/* All that are next in the queue and are done together. */
static void start_many(struct queue *queue)
{
	many_fn *many = many_of(&queue->waiting->op);
	struct op *ops = NULL, **tail = &ops;
	while (queue->waiting && many_of(&queue->waiting->op) == many) {
		struct job *job = queue_pop(queue);
		start_deadline(job);
		*tail = &job->op;
		tail = &job->op.next;
	}
	*tail = NULL;
	many(ops);
}

/* Starts the next of a queue; false if nothing may start. */
static bool start_next(struct queue *queue)
{
	if (!may_start(queue))
		return false;
	if (queue->batch)
		start_batch(queue);
	else if (many_of(&queue->waiting->op))
		start_many(queue);
	else
		start_one(queue_pop(queue));
	return true;
}

static bool deliver_next(struct lane_async *async)
{
	struct job *job = async->finished;
	if (!job)
		return false;
	async->finished = job->next;
	if (!async->finished)
		async->finished_tail = &async->finished;
	job_unlink(job); /* the answer may close the lane */
	answer(job);
	job_free(job);
	return true;
}

static void drop_idle_queues(struct lane_async *async)
{
	for (struct queue **at = &async->queues; *at;) {
		struct queue *queue = *at;
		if (queue->waiting || queue->n_running) {
			at = &queue->next;
			continue;
		}
		*at = queue->next;
		free(queue->key);
		free(queue);
	}
}

/* Delivers what has finished and starts what may start, until there is neither. Verbs and answers that call back into
 * the lane only add to what this loop then finds. */
static void pump(struct lane_async *async)
{
	async->again = true;
	if (async->pumping)
		return;
	async->pumping = true;
	lane_hold(async); /* an answer may close the lane */
	while (async->again && !async->closed) {
		async->again = false;
		while (!async->closed && deliver_next(async))
			;
		for (struct queue *queue = async->queues; queue && !async->closed; queue = queue->next)
			while (!async->closed && start_next(queue))
				;
	}
	if (!async->closed)
		drop_idle_queues(async);
	async->pumping = false;
	lane_drop(async);
}

static int on_later(sd_event_source *source, void *ctx)
{
	struct lane_async *async = ctx;
	async->later = sd_event_source_disable_unref(async->later);
	pump(async);
	return 0;
}

/* Where many are called off in a row, those that wait are not to be started before their turn comes. */
static void pump_later(struct lane_async *async)
{
	if (!async->later && sd_event_add_defer(env.loop, &async->later, on_later, async) < 0)
		abort(); /* out of memory */
}

static void async_submit(struct lane *lane, struct op *client)
{
	struct lane_async *async = container_of(lane, struct lane_async, lane);
	struct job *job = xcalloc(1, sizeof(*job));
	struct arena *arena = arena_new();
	const struct table *table = client->class->table;
	job->async = async;
	job->client = client;
	job->op = (struct op){
		.verb = client->verb,
		.class = client->class,
		.key = arena_strdup(arena, client->key),
		.want = client->want ? table_copy(table, client->want, arena) : NULL,
		.seen = client->seen ? table_copy(table, client->seen, arena) : NULL,
		.was = client->was ? table_copy(table, client->was, arena) : NULL,
		.rows = client->rows,
		.fresh = client->fresh,
		.hurry = client->hurry,
		.incarnation = client->incarnation,
		.identity = arena_strdup(arena, client->identity),
		.mark = arena_strdup(arena, client->mark),
		.lane = lane,
		.done = on_verb_done,
		.arena = arena,
	};
	client->lane_data = job;
	lane_hold(async);
	job->all_next = async->jobs;
	job->all_at = &async->jobs;
	if (async->jobs)
		async->jobs->all_at = &job->all_next;
	async->jobs = job;
	job->queue = queue_for(async, &job->op);
	*job->queue->tail = job;
	job->queue->tail = &job->next;
}

static void async_flush(struct lane *lane)
{
	pump(container_of(lane, struct lane_async, lane));
}

static bool queue_take(struct job *job)
{
	struct queue *queue = job->queue;
	for (struct job **at = &queue->waiting; *at; at = &(*at)->next) {
		if (*at != job)
			continue;
		*at = job->next;
		if (queue->tail == &job->next)
			queue->tail = at;
		return true;
	}
	return false;
}

static void async_cancel(struct lane *lane, struct op *client)
{
	struct lane_async *async = container_of(lane, struct lane_async, lane);
	struct job *job = client->lane_data;
	const char *why = "was called off";
	if (!job || job->returned)
		return; /* never came here (a lane in front holds it), or its answer is on the way */
	if (!job->started) {
		queue_take(job);
		job->client = NULL;
		job_free(job);
		op_fail(client, ECANCELED, "%s", why);
		return;
	}
	/* What cannot be stopped is waited for: the host is still being changed. */
	if (!verbs_of(&job->op)->cancel)
		return;
	pump_later(async);
	answer_early(job, ECANCELED, why);
}

/* Gives back all that is with the lane. Verbs that still run keep their copies, and those the memory of the lane. */
static void async_free(struct lane *lane)
{
	struct lane_async *async = container_of(lane, struct lane_async, lane);
	lane_hold(async);
	async->closed = true;
	async->later = sd_event_source_disable_unref(async->later);
	while (async->jobs) {
		struct job *job = async->jobs;
		struct op *client = take_ptr(job->client);
		job->deadline = sd_event_source_disable_unref(job->deadline);
		job_unlink(job);
		if (job->returned || !job->started)
			job_free(job);
		if (client)
			op_fail(client, ECANCELED, "the daemon is stopping");
	}
	while (async->queues) {
		struct queue *queue = async->queues;
		async->queues = queue->next;
		free(queue->key);
		free(queue);
	}
	lane->engine = NULL;
	async->refs--; /* the owner's; what is held above is left */
	lane_drop(async);
}

static const struct lane_ops async_ops = {
	.submit = async_submit,
	.flush = async_flush,
	.cancel = async_cancel,
	.free = async_free,
};

struct lane *lane_async_new(const char *name)
{
	struct lane_async *async = xcalloc(1, sizeof(*async));
	async->lane.name = name;
	async->lane.ops = &async_ops;
	async->finished_tail = &async->finished;
	async->refs = 1;
	return &async->lane;
}
