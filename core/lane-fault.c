/* SPDX-License-Identifier: Apache-2.0 */
/* See lane-fault.h. */
#include "core/lane-fault.h"

#include <systemd/sd-event.h>

#include "core/env.h"

enum fault { FAULT_NONE, FAULT_COUNT, FAULT_STOP, FAULT_FAIL, FAULT_DELAY };

static enum fault fault;
static unsigned long at, count;
static int fail_code = EIO;
static unsigned delay_ms;

struct fault_lane {
	struct lane lane;
	struct lane *inner;
	struct op *held; /* what the inner lane has not seen: delayed, or stopped before */
	sd_event_source *timer;
};

int lane_fault_setup(const char *text, struct err *err)
{
	char verb[8];
	if (streq(text, "count")) {
		fault = FAULT_COUNT;
		return 0;
	}
	unsigned long extra = 0;
	int n = sscanf(text, "%7[a-z]:%lu:%lu", verb, &at, &extra);
	fault = n < 2 || at == 0       ? FAULT_NONE
		: streq(verb, "stop")  ? FAULT_STOP
		: streq(verb, "fail")  ? FAULT_FAIL
		: streq(verb, "delay") ? FAULT_DELAY
				       : FAULT_NONE;
	if (fault == FAULT_NONE || (fault == FAULT_DELAY && n < 3))
		return err_set(err, EINVAL, "--fault takes count, stop:N, fail:N[:ERRNO] or delay:N:MS, not '%s'",
			       text);
	if (fault == FAULT_FAIL && n == 3)
		fail_code = (int)extra;
	delay_ms = (unsigned)extra;
	return 0;
}

static void to_inner(struct fault_lane *f, struct op *op)
{
	f->inner->engine = f->lane.engine;
	f->inner->ops->submit(f->inner, op);
}

static void hold(struct fault_lane *f, struct op *op)
{
	op->next = f->held;
	f->held = op;
}

static struct op *take_held(struct fault_lane *f)
{
	struct op *op = f->held;
	if (op) {
		f->held = op->next;
		op->next = NULL;
	}
	return op;
}

static int on_delay(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct fault_lane *f = ctx;
	to_inner(f, take_held(f));
	if (f->inner->ops->flush)
		f->inner->ops->flush(f->inner);
	return 0;
}

/* Only one operation is ever delayed, so that a lane needs one timer. */
static void delay(struct fault_lane *f, struct op *op)
{
	if (sd_event_add_time_relative(env.loop, &f->timer, CLOCK_BOOTTIME, (uint64_t)delay_ms * 1000, 1, on_delay, f) <
	    0)
		abort(); /* out of memory */
	hold(f, op);
}

static void tell(const struct op *op, const char *what)
{
	static const char *const verbs[] = {"observe", "create", "update", "remove"};
	fprintf(stderr, "weftd: fault: operation %lu, %s %s/%s%s\n", count, verbs[op->verb], op->class->name, op->key,
		what);
}

static void submit(struct lane *lane, struct op *op)
{
	struct fault_lane *f = container_of(lane, struct fault_lane, lane);
	if (fault == FAULT_STOP && count >= at) {
		hold(f, op);
		return;
	}
	if (op->verb == OP_OBSERVE) {
		to_inner(f, op);
		return;
	}
	bool hit = ++count == at;
	if (hit && fault == FAULT_STOP) {
		tell(op, ": weftd stops before it");
		hold(f, op);
		return;
	}
	if (hit && fault == FAULT_FAIL) {
		tell(op, ": it fails");
		op_fail(op, fail_code, "%s (injected)", strerror(fail_code));
		return;
	}
	if (hit && fault == FAULT_DELAY) {
		tell(op, ": it is delayed");
		delay(f, op);
		return;
	}
	tell(op, "");
	to_inner(f, op);
}

static void flush(struct lane *lane)
{
	struct fault_lane *f = container_of(lane, struct fault_lane, lane);
	if (f->inner->ops->flush)
		f->inner->ops->flush(f->inner);
}

static void cancel(struct lane *lane, struct op *op)
{
	struct fault_lane *f = container_of(lane, struct fault_lane, lane);
	for (const struct op *held = f->held; held; held = held->next)
		if (held == op)
			return;
	if (f->inner->ops->cancel && fault != FAULT_STOP)
		f->inner->ops->cancel(f->inner, op);
}

static void lane_free(struct lane *lane)
{
	struct fault_lane *f = container_of(lane, struct fault_lane, lane);
	sd_event_source_disable_unref(f->timer);
	f->inner->ops->free(f->inner);
	free(f);
}

static const struct lane_ops fault_ops = {.submit = submit, .flush = flush, .cancel = cancel, .free = lane_free};

struct lane *lane_fault_wrap(struct lane *inner)
{
	if (fault == FAULT_NONE)
		return inner;
	struct fault_lane *f = xcalloc(1, sizeof(*f));
	f->inner = inner;
	f->lane = (struct lane){.name = inner->name, .ops = &fault_ops};
	return &f->lane;
}
