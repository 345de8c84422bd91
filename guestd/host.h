/* SPDX-License-Identifier: Apache-2.0 */
/* What this host can do for guests, looked at anew each time it is asked. */
#ifndef WEFT_GUESTD_HOST_H
#define WEFT_GUESTD_HOST_H

#include "core/arena.h"

/* Does KVM truly work for QEMU's user? `ret_reason`, in `arena`, says why (not). */
bool host_kvm(struct arena *arena, const char **ret_reason);
bool host_vhost_net(void);
/* "vmx" or "svm", what the processor shows of virtualization; NULL if neither. */
const char *host_cpu_extension(void);
/* QEMU's program; NULL if there is none. */
const char *host_qemu(void);
/* Answers the facts kvm/usable, kvm/reason, vhost-net/usable and qemu/program. */
void host_facts_register(void);

#endif
