/* SPDX-License-Identifier: Apache-2.0 */
/* See netlink-lane.h: the queues between the threads, and the rounds of work. Each struct member is used by one thread
 * only, or under the lock. */
#include "netd/netlink-lane.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "netd/netlink-kept.h"
#include "netd/route-cache.h"

enum { FAILURE_PAUSE_MS = 1000, LATE_MS = 250, ROUND_MS = 1000 };

struct op_queue {
	struct op *first, **last; /* last is NULL while the queue was never used */
};

struct netlink_lane {
	struct lane lane;
	/* Main thread. */
	struct op_queue submitted;
	sd_event_source *source;
	pthread_t thread;
	bool running;
	/* Between them. */
	pthread_mutex_t lock;
	struct op_queue queue, done;
	struct netlink_dirty *dirty;
	size_t n_dirty, cap_dirty;
	bool stop;
	int wake_fd, done_fd;
	atomic_uint n_resyncs;
	/* The lane's thread. */
	struct op_queue changes, removals;
	struct netlink_batch batch;
	struct netlink_cache cache;
};

static void push(struct op_queue *queue, struct op *op)
{
	if (!queue->last)
		queue->last = &queue->first;
	op->next = NULL;
	*queue->last = op;
	queue->last = &op->next;
}

static struct op *pop(struct op_queue *queue)
{
	struct op *op = queue->first;
	if (op) {
		queue->first = op->next;
		op->next = NULL;
	}
	if (!queue->first)
		queue->last = &queue->first;
	return op;
}

/* To its front, in this order. */
static void put_back(struct op_queue *queue, struct op **ops, size_t n)
{
	if (n > 0 && !queue->first)
		queue->last = &ops[n - 1]->next;
	while (n-- > 0) {
		ops[n]->next = queue->first;
		queue->first = ops[n];
	}
}

static struct op *take_all(struct op_queue *queue)
{
	struct op *first = queue->first;
	queue->first = NULL;
	queue->last = &queue->first;
	return first;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;
	/* It can only fail when the counter is full, and then the other side is awake already. */
	(void)!write(fd, &one, sizeof(one));
}

static void clear_fd(int fd)
{
	uint64_t n;
	(void)!read(fd, &n, sizeof(n));
}

/* ---- the lane's thread ---- */

static const struct netlink_verbs *verbs_of(const struct op *op)
{
	return op->class->verbs;
}

static int compare_ops(const void *a, const void *b)
{
	const struct op *x = *(const struct op *const *)a, *y = *(const struct op *const *)b;
	int r = strcmp(x->class->name, y->class->name);
	return r ? r : strcmp(x->key, y->key);
}

static bool is_answered(struct op *const *sorted, size_t n, const struct netlink_dirty *dirty)
{
	const struct resource_class class = {.name = dirty->class};
	const struct op wanted = {.class = &class, .key = dirty->key}, *key = &wanted;
	return dirty->class && dirty->key && bsearch(&key, sorted, n, sizeof(*sorted), compare_ops);
}

/* Hands over what was done and what is dirty. A mark of a resource whose fresh observation rides along is left out: it
 * is mostly the echo of our own change. */
static void hand_over(struct netlink_lane *lane, struct op **ops, size_t n)
{
	struct netlink_cache *cache = &lane->cache;
	struct op *sorted[NETLINK_ROUND];
	for (size_t i = 0; i < n; i++)
		sorted[i] = ops[i];
	qsort(sorted, n, sizeof(*sorted), compare_ops);
	atomic_store(&lane->n_resyncs, cache->n_resyncs);
	pthread_mutex_lock(&lane->lock);
	for (size_t i = 0; i < n; i++)
		push(&lane->done, ops[i]);
	for (size_t i = 0; i < cache->n_dirty; i++) {
		if (is_answered(sorted, n, &cache->dirty[i]))
			continue;
		grow(lane->dirty, lane->n_dirty, lane->cap_dirty);
		lane->dirty[lane->n_dirty++] =
			(struct netlink_dirty){cache->dirty[i].class, take_ptr(cache->dirty[i].key)};
	}
	bool any = lane->n_dirty > 0 || lane->done.first;
	pthread_mutex_unlock(&lane->lock);
	netlink_dirty_clear(cache);
	if (any)
		signal_fd(lane->done_fd);
}

static bool all_have_come(const struct netlink_lane *lane, struct op *const *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (verbs_of(ops[i])->has_come && !verbs_of(ops[i])->has_come(&lane->cache, ops[i]))
			return false;
	return true;
}

static void wait_for_events(struct netlink_lane *lane, struct op *const *ops, size_t n)
{
	struct pollfd fd = {.fd = mnl_socket_get_fd(lane->cache.events), .events = POLLIN};
	uint64_t until = now_ms() + LATE_MS, now;
	while (!all_have_come(lane, ops, n) && (now = now_ms()) < until)
		if (poll(&fd, 1, (int)(until - now)) <= 0 || netlink_cache_drain(&lane->cache, &lane->batch, NULL) < 0)
			return;
}

static void send_and_settle(struct netlink_lane *lane, struct op **ops, size_t n)
{
	netlink_batch_send(&lane->batch);
	wait_for_events(lane, ops, n);
	for (size_t i = 0; i < n; i++)
		if (verbs_of(ops[i])->settle)
			verbs_of(ops[i])->settle(&lane->batch, ops[i]);
	netlink_batch_send(&lane->batch);
}

/* How many of them it has carried out: on a host whose links take long, those that are there are not to wait for the
 * others to be told of. */
static size_t run_changes(struct netlink_lane *lane, struct op **ops, size_t n, uint64_t until_ms)
{
	struct op *flying[NETLINK_IN_FLIGHT];
	size_t n_flying = 0;
	for (size_t i = 0; i < n; i++) {
		struct op *op = ops[i];
		if (op->verb == OP_OBSERVE)
			continue;
		if (n_flying == NETLINK_IN_FLIGHT || !netlink_batch_has_room(&lane->batch, NETLINK_OP_MESSAGES)) {
			send_and_settle(lane, flying, n_flying);
			n_flying = 0;
			/* Failures are seen, and said, by the drain at the end of the round. */
			(void)netlink_cache_drain(&lane->cache, &lane->batch, NULL);
			if (now_ms() >= until_ms)
				return i;
		}
		if (verbs_of(op)->encode(&lane->batch, &lane->cache, op) < 0 && !op->err.code)
			err_set(&op->err, EINVAL, "this cannot be said to the kernel");
		flying[n_flying++] = op;
	}
	send_and_settle(lane, flying, n_flying);
	return n;
}

/* Runs removals of a class that can do several at once; those of others one by one. `ops` are sorted by class. */
static void run_removals(struct netlink_lane *lane, struct op **ops, size_t n)
{
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && ops[to]->class == ops[from]->class;)
			to++;
		if (verbs_of(ops[from])->remove_many && to - from > 1)
			verbs_of(ops[from])->remove_many(&lane->batch, &lane->cache, ops + from, to - from);
		else
			run_changes(lane, ops + from, to - from, UINT64_MAX);
	}
}

/* Brings the cache up to date with regard to what these operations are about. */
static int look(struct netlink_lane *lane, struct op **ops, size_t n, struct err *err)
{
	bool watches = false;
	for (size_t i = 0; i < n; i++) {
		if (!verbs_of(ops[i])->watch)
			continue;
		verbs_of(ops[i])->watch(&lane->cache, ops[i]);
		watches = true;
	}
	int r = netlink_cache_drain(&lane->cache, &lane->batch, err);
	return r == 0 && watches ? route_cache_refresh(&lane->cache, err) : r;
}

static void run_round(struct netlink_lane *lane, struct op_queue *queue, size_t max)
{
	struct op *ops[NETLINK_ROUND];
	size_t n = 0;
	struct err err = {0};
	while (n < max && (ops[n] = pop(queue)))
		n++;
	if (queue == &lane->removals) {
		qsort(ops, n, sizeof(*ops), compare_ops);
		run_removals(lane, ops, n);
	} else {
		size_t done = run_changes(lane, ops, n, now_ms() + ROUND_MS);
		put_back(queue, ops + done, n - done);
		n = done;
	}
	int r = look(lane, ops, n, &err);
	if (r == 0 && lane->cache.kept)
		netlink_kept_give(&lane->cache, &lane->batch);
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			verbs_of(ops[i])->observe(&lane->cache, ops[i]);
		else if (!ops[i]->err.code)
			ops[i]->err = err;
	}
	hand_over(lane, ops, n);
}

/* Sorts what came in: removals wait until other work is done, since they are slow and nothing in the queue relies on
 * them. */
static bool take_queue(struct netlink_lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	struct op *op = take_all(&lane->queue);
	bool stop = lane->stop;
	pthread_mutex_unlock(&lane->lock);
	for (struct op *next; op; op = next) {
		next = op->next;
		push(op->verb == OP_REMOVE ? &lane->removals : &lane->changes, op);
	}
	return !stop;
}

static void wait_for_work(struct netlink_lane *lane, bool broken)
{
	struct pollfd fds[] = {
		{.fd = lane->wake_fd, .events = POLLIN},
		/* A socket that cannot be read is not polled for a while, so that it does not spin. */
		{.fd = broken ? -1 : mnl_socket_get_fd(lane->cache.events), .events = POLLIN},
		{.fd = broken ? -1 : route_cache_fd(&lane->cache), .events = POLLIN},
	};
	if (lane->changes.first || lane->removals.first)
		return;
	if (poll(fds, ARRAY_SIZE(fds), broken ? FAILURE_PAUSE_MS : -1) > 0 && fds[0].revents)
		clear_fd(lane->wake_fd);
}

static void *run(void *arg)
{
	struct netlink_lane *lane = arg;
	bool broken = false;
	for (;;) {
		wait_for_work(lane, broken);
		if (!take_queue(lane))
			return NULL;
		broken = netlink_cache_drain(&lane->cache, &lane->batch, NULL) < 0;
		if (lane->changes.first)
			run_round(lane, &lane->changes, NETLINK_ROUND);
		else if (lane->removals.first)
			run_round(lane, &lane->removals, NETLINK_REMOVE_ROUND);
		else
			hand_over(lane, NULL, 0);
	}
}

/* ---- the main thread ---- */

static struct netlink_lane *of(struct lane *lane)
{
	return container_of(lane, struct netlink_lane, lane);
}

static void submit(struct lane *lane, struct op *op)
{
	push(&of(lane)->submitted, op);
}

static void flush(struct lane *base)
{
	struct netlink_lane *lane = of(base);
	if (!lane->submitted.first)
		return;
	pthread_mutex_lock(&lane->lock);
	for (struct op *op; (op = pop(&lane->submitted));)
		push(&lane->queue, op);
	pthread_mutex_unlock(&lane->lock);
	signal_fd(lane->wake_fd);
}

/* Dirty marks first: an operation given back may make the engine look at what they are about. */
static int dispatch(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	struct netlink_lane *lane = ctx;
	clear_fd(fd);
	pthread_mutex_lock(&lane->lock);
	struct op *op = take_all(&lane->done);
	struct netlink_dirty *dirty = take_ptr(lane->dirty);
	size_t n_dirty = lane->n_dirty;
	lane->n_dirty = lane->cap_dirty = 0;
	pthread_mutex_unlock(&lane->lock);
	for (size_t i = 0; i < n_dirty; i++) {
		if (dirty[i].class)
			engine_dirty(lane->lane.engine, dirty[i].class, dirty[i].key);
		else
			fact_changed(dirty[i].key);
		free(dirty[i].key);
	}
	free(dirty);
	for (struct op *next; op; op = next) {
		next = op->next;
		op->next = NULL;
		op_complete(op);
	}
	return 0;
}

static void stop_thread(struct netlink_lane *lane)
{
	if (!lane->running)
		return;
	pthread_mutex_lock(&lane->lock);
	lane->stop = true;
	pthread_mutex_unlock(&lane->lock);
	signal_fd(lane->wake_fd);
	pthread_join(lane->thread, NULL);
	lane->running = false;
}

static void give_back(struct op_queue *queue)
{
	for (struct op *op; (op = pop(queue));) {
		err_set(&op->err, ECANCELED, "the netlink lane is closed");
		op_complete(op);
	}
}

static void lane_free(struct lane *base)
{
	struct netlink_lane *lane = of(base);
	stop_thread(lane);
	netlink_facts_open(NULL);
	give_back(&lane->submitted);
	give_back(&lane->queue);
	give_back(&lane->changes);
	give_back(&lane->removals);
	give_back(&lane->done);
	sd_event_source_disable_unref(lane->source);
	netlink_cache_close(&lane->cache);
	netlink_batch_close(&lane->batch);
	for (size_t i = 0; i < lane->n_dirty; i++)
		free(lane->dirty[i].key);
	free(lane->dirty);
	closep(&lane->wake_fd);
	closep(&lane->done_fd);
	pthread_mutex_destroy(&lane->lock);
	free(lane);
}

static const struct lane_ops netlink_lane_ops = {.submit = submit, .flush = flush, .free = lane_free};

/* Signals are the main thread's business: the lane's thread blocks them all. */
static int start_thread(struct netlink_lane *lane, struct err *err)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(&lane->thread, NULL, run, lane);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return err_errno(err, r, "start the netlink thread");
	pthread_setname_np(lane->thread, "weft-netlink");
	lane->running = true;
	return 0;
}

static int lane_open(struct netlink_lane *lane, int event_buffer_bytes, struct err *err)
{
	lane->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lane->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lane->wake_fd < 0 || lane->done_fd < 0)
		return err_errno(err, errno, "make an eventfd");
	lane->batch.sink = netlink_cache_message;
	lane->batch.sink_ctx = &lane->cache;
	int r = netlink_batch_open(&lane->batch, err);
	if (r == 0)
		r = netlink_cache_open(&lane->cache, &lane->batch, event_buffer_bytes, err);
	if (r < 0)
		return r;
	netlink_facts_open(&lane->cache);
	r = sd_event_add_io(env.loop, &lane->source, lane->done_fd, EPOLLIN, dispatch, lane);
	if (r < 0)
		return err_errno(err, -r, "watch the netlink thread");
	return start_thread(lane, err);
}

struct lane *netd_netlink_lane_new_sized(int event_buffer_bytes, struct err *err)
{
	struct netlink_lane *lane = xcalloc(1, sizeof(*lane));
	lane->lane.name = "netlink";
	lane->lane.ops = &netlink_lane_ops;
	lane->wake_fd = lane->done_fd = -1;
	pthread_mutex_init(&lane->lock, NULL);
	if (lane_open(lane, event_buffer_bytes, err) < 0) {
		err_wrap(err, "netlink");
		lane_free(&lane->lane);
		return NULL;
	}
	return &lane->lane;
}

struct lane *netd_netlink_lane_new(struct err *err)
{
	return netd_netlink_lane_new_sized(0, err);
}

unsigned netd_netlink_lane_resyncs(struct lane *lane)
{
	return atomic_load(&of(lane)->n_resyncs);
}
