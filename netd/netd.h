/* SPDX-License-Identifier: Apache-2.0 */
/* netd as the daemon sees it: what of it runs beside lowering and lanes. */
#ifndef WEFT_NETD_NETD_H
#define WEFT_NETD_NETD_H

#include "core/engine.h"

/* After the lanes were added: registers facts and begins to watch. What was started stays started when a later part fails; netd_stop() ends it. */
int netd_start(struct engine *engine, struct err *err);
void netd_stop(void);

/* Facts about links and settings: "link/NAME/exists", "link/NAME/mtu", "sysctl/PATH" (with slashes, below /proc/sys). */
int netd_links_start(struct engine *engine, struct err *err);

#endif
