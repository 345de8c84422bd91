/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of core/launch.h share. */
#ifndef WEFT_CORE_LAUNCH_INTERNAL_H
#define WEFT_CORE_LAUNCH_INTERNAL_H

#include "core/launch.h"

/* The launcher as the command of a service of systemd's. request_fd is the socket with the request, borrowed; answer_fd
 * where its answer is read, taken. done is called later, once. */
void launch_in_unit(const struct launch_spec *spec, int request_fd, int answer_fd, launch_done_fn *done, void *ctx);

#endif
