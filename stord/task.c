/* SPDX-License-Identifier: Apache-2.0 */
/* Storage may block for ever, so each verb is one function that runs in a child; see stord.h. */
#include "core/child.h"
#include "stord/progress.h"
#include "stord/stord.h"

static struct task *under_way; /* those that change something */

static void forget(struct task *task)
{
	task->progress = progress_free(task->progress);
	for (struct task **at = &under_way; *at; at = &(*at)->next)
		if (*at == task) {
			*at = task->next;
			return;
		}
}

const char *task_progress(const struct resource_class *class, const char *key)
{
	static char text[64];
	const struct task *task = under_way;
	while (task && (task->op->class != class || !streq(task->op->key, key)))
		task = task->next;
	cleanup_free char *progress = task ? progress_text(task->progress) : NULL;
	if (!progress)
		return NULL;
	snprintf(text, sizeof(text), "%s", progress);
	return text;
}

static void on_done(void *ctx, const struct child_result *result)
{
	struct task *task = ctx;
	task->op->lane_data = NULL;
	forget(task);
	if (result->status == 0) {
		task->finish(task, result->out, result->out_size);
	} else if (result->timed_out && task->late) {
		task->late(task);
	} else if (result->err.code == ETIMEDOUT && task->gave_up) {
		task->gave_up(task, result->err.text);
	} else {
		task->op->err = result->err;
		op_complete(task->op);
	}
	if (!task->keep_input)
		free(task->input);
	free(task);
}

/* In the child. */
static int do_work(void *ctx, int out_fd)
{
	struct task *task = ctx;
	progress_use(task->progress);
	return task->work(task->input, out_fd);
}

static uint64_t how_far(const struct child *child, void *ctx)
{
	const struct task *task = ctx;
	return child_io(child) + progress_number(task->progress);
}

void task_start(struct task start, int (*work)(void *input, int out_fd), unsigned deadline_ms)
{
	struct task *task = xcalloc(1, sizeof(*task));
	*task = start;
	task->op->lane_data = task;
	task->work = work;
	if (task->op->verb != OP_OBSERVE) {
		task->progress = progress_new();
		task->next = under_way;
		under_way = task;
	}
	task->child = child_run(&(struct child_spec){
		.func = do_work,
		.func_ctx = task,
		.deadline_ms = deadline_ms,
		.progress = task->patient ? how_far : NULL,
		.done = on_done,
		.ctx = task,
	});
}

void task_cancel(struct op *op)
{
	struct task *task = op->lane_data;
	if (task)
		child_kill(task->child);
}
