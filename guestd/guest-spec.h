/* SPDX-License-Identifier: Apache-2.0 */
/* The Guest as its manifest says it; see guest.c. */
#ifndef WEFT_GUESTD_GUEST_SPEC_H
#define WEFT_GUESTD_GUEST_SPEC_H

#include "core/kind.h"

enum guest_state { GUEST_RUNNING, GUEST_PAUSED, GUEST_STOPPED };
enum guest_boot { BOOT_DISK, BOOT_CDROM, BOOT_NETWORK };

struct guest_cpu {
	uint64_t present;
	uint32_t count, sockets, cores, threads;
	const char *model;
};
struct guest_memory {
	uint64_t present;
	uint64_t size;
};
struct guest_boot_spec {
	uint64_t present;
	const char *kernel, *initrd, *cmdline;
	struct list order; /* strings */
};
struct guest_disk {
	uint64_t present;
	const char *volume, *lun, *file;
	int format, bus, cache, io, discard, zeroes, device, on_error;
	const char *serial;
	bool read_only;
};
struct guest_nic {
	uint64_t present;
	const char *network;
	struct mac mac;
	struct list ips; /* struct ip */
	int model;
	uint32_t queues;
};
struct guest_console {
	uint64_t present;
	bool serial;
};
struct guest_spec {
	uint64_t present;
	int state;
	struct guest_cpu cpu;
	struct guest_memory memory;
	int machine;
	struct guest_boot_spec boot;
	struct list disks, nics;
	struct guest_console console;
	bool agent, rng, balloon;
	int restart;
	uint64_t shutdown_timeout_ms;
};
extern const struct table guest_table, guest_cpu_table, guest_boot_table, guest_disk_table, guest_nic_table;

/* The checks of rules across rows; guest-check.c. */
void guest_check(const struct check *check);
/* How the CPUs are laid out; false if what was said does not multiply. */
bool guest_topology(const struct guest_cpu *cpu, uint32_t ret[static 4]);

#endif
