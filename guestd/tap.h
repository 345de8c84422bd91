/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of persistent taps: opened for a QEMU that starts, attached anew in a QEMU that runs. */
#ifndef WEFT_GUESTD_TAP_H
#define WEFT_GUESTD_TAP_H

#include "core/launch.h"
#include "guestd/qemu-spec.h"

/* Opens `queues` descriptors of a tap that exists and is persistent; 0 or -errno, and then none is open. */
int tap_open(const char *name, uint32_t queues, int *fds, struct err *err);

/* Is this descriptor of that process attached to the link `name` that exists now? 0 or -errno when it cannot be
 * told. */
int tap_attached(const struct process_id *id, int fd, const char *name, bool *ret);

struct tap_modes {
	int header;        /* bytes of the virtio-net header */
	unsigned offloads; /* TUN_F_*: what the guest takes */
};
struct tap_attachment {
	struct process_id id;
	const int *fds; /* numbers in that process */
	size_t n_fds;
	struct tap_modes modes;
};
/* Attaches a process's descriptors, those that are not, to the tap `name`. */
int tap_attach(const char *name, const struct tap_attachment *to, struct err *err);

#endif
