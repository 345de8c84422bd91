/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping storage. See stord.h. */
#include "stord/stord.h"

int stord_start(struct engine *engine, struct err *err)
{
	memory_start();
	return 0;
}

void stord_stop(void)
{
	watch_stop();
	memory_stop();
}
