/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host is calm enough for a look that takes long to mean something: on a busy one a child that does nothing
 * at all takes its time as well. One such child is for all who want to know. */
#include "core/child.h"
#include "stord/stord.h"

enum { CHILD_MS = 60 * 1000 };

static struct {
	bool under_way;
	uint64_t began_ms, ended_began_ms; /* of the one under way; of the last that has ended */
} control;

static int do_nothing(void *ctx, int out_fd)
{
	return 0;
}

static void on_end(void *ctx, const struct child_result *result)
{
	control.under_way = false;
	control.ended_began_ms = control.began_ms;
}

bool stord_calm(uint64_t since_ms)
{
	if (control.ended_began_ms > since_ms)
		return true;
	if (!control.under_way) {
		control.under_way = true;
		control.began_ms = now_ms();
		child_call(do_nothing, NULL, CHILD_MS, on_end, NULL);
	}
	return false;
}
