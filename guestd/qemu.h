/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of this directory and the command line of a QEMU. */
#ifndef WEFT_GUESTD_QEMU_H
#define WEFT_GUESTD_QEMU_H

#include "guestd/qemu-spec.h"

#define QEMU_USER "weft-qemu"

extern const struct resource_class guestd_qemu_class, guestd_tap_attach_class;

struct tap_attach_spec {
	uint64_t present;
	const char *tap;
	bool attached;
	int model;
	uint32_t port;
};
extern const struct table tap_attach_table;

/* What a command line depends on besides the spec. */
struct qemu_facts {
	const char *name; /* of the guest */
	const char *program;
	bool kvm, vhost_net;
};

/* The descriptors a QEMU is started with, by number: fixed places, so that the command line is a pure function. */
enum qemu_fd {
	QEMU_FD_QMP = 10,
	QEMU_FD_CONSOLE,
	QEMU_FD_CONSOLE_LOG,
	QEMU_FD_AGENT,
	QEMU_FD_KERNEL,
	QEMU_FD_INITRD,
	QEMU_FD_FIRST_DISK
};
int qemu_disk_fd(size_t disk);
int qemu_tap_fd(const struct qemu_spec *spec, size_t nic, uint32_t queue);
int qemu_vhost_fd(const struct qemu_spec *spec, size_t nic, uint32_t queue);
/* Of the lock on a lease: QEMU does not know of it, and holds it as long as it lives. */
int qemu_lease_fd(const struct qemu_spec *spec, size_t lease);
int qemu_layer_fd(const struct qemu_spec *spec, size_t disk, size_t layer);

/* NULL-terminated, in `arena`. Pure. */
const char *const *qemu_argv(const struct qemu_spec *spec, const struct qemu_facts *facts, struct arena *arena);

#endif
