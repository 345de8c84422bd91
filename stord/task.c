/* SPDX-License-Identifier: Apache-2.0 */
/* Storage may block for ever, so each verb is one function that runs in a child; see stord.h. */
#include "core/child.h"
#include "stord/stord.h"

static void on_done(void *ctx, const struct child_result *result)
{
	struct task *task = ctx;
	task->op->lane_data = NULL;
	if (result->status == 0) {
		task->finish(task, result->out, result->out_size);
	} else if (result->timed_out && task->late) {
		task->late(task);
	} else {
		task->op->err = result->err;
		op_complete(task->op);
	}
	if (!task->keep_input)
		free(task->input);
	free(task);
}

void task_start(struct task start, int (*work)(void *input, int out_fd), unsigned deadline_ms)
{
	struct task *task = xcalloc(1, sizeof(*task));
	*task = start;
	task->op->lane_data = task;
	task->child = child_call(work, task->input, deadline_ms, on_done, task);
}

void task_cancel(struct op *op)
{
	struct task *task = op->lane_data;
	if (task)
		child_kill(task->child);
}
