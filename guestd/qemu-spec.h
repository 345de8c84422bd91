/* SPDX-License-Identifier: Apache-2.0 */
/* What one QEMU is: the spec of class qemu, desired and observed alike. Guests lower into it, argv.c turns it into a
 * command line, record.c keeps the one a QEMU was started with. Rows that a running QEMU cannot change wait for its
 * next cold start. */
#ifndef WEFT_GUESTD_QEMU_SPEC_H
#define WEFT_GUESTD_QEMU_SPEC_H

#include "core/resource.h"
#include "core/secret.h"

enum run_state { RUN_RUNNING, RUN_PAUSED };
enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };
enum disk_bus { BUS_VIRTIO, BUS_SCSI, BUS_SATA };
enum disk_cache { CACHE_NONE, CACHE_WRITEBACK, CACHE_WRITETHROUGH, CACHE_DIRECTSYNC, CACHE_UNSAFE };
enum disk_io { IO_THREADS, IO_NATIVE, IO_URING };
enum disk_discard { DISCARD_IGNORE, DISCARD_UNMAP };
enum disk_zeroes { ZEROES_OFF, ZEROES_ON, ZEROES_UNMAP };
enum disk_on_error { ON_ERROR_STOP, ON_ERROR_REPORT };
enum disk_device { DEVICE_DISK, DEVICE_CDROM };
enum disk_format { FORMAT_RAW, FORMAT_QCOW2 };
enum nic_model { NIC_VIRTIO, NIC_E1000E };

/* The words of these enums, shared by the manifest and the resource. */
extern const char *const restart_names[3];
extern const char *const bus_names[3], *const cache_names[5], *const io_names[3];
extern const char *const discard_names[2], *const zeroes_names[3];
extern const char *const on_error_names[2];
extern const char *const device_names[2], *const format_names[2], *const nic_names[2];

enum { SATA_UNITS = 6, SCSI_UNITS = 64, PCI_PORTS = 32, NIC_QUEUES_MAX = 16 };

/* An image that QEMU reaches over a network by itself. */
struct qemu_remote {
	uint64_t present;
	const char *options; /* of -blockdev, up to where the id of the secret follows */
	struct secret_ref secret;
	const char *owner; /* whose of the secrets in a keyring */
};

/* An image that a disk's is read through. */
struct qemu_layer {
	uint64_t present;
	const char *path;
	int format;
};

struct qemu_disk {
	uint64_t present;
	const char *path; /* file or block device; with `remote` only a name */
	struct qemu_remote remote;
	int format;
	bool block;
	int bus;
	uint32_t unit; /* PCI port (virtio), SCSI id, SATA port */
	int cache, io, discard, zeroes, device, on_error;
	const char *serial;
	bool read_only;
	uint32_t boot_index; /* present: the firmware tries it, lowest first */
	bool shared;         /* others write to it at the same time */
	struct list layers;  /* its base, the base of that ... */
};

struct qemu_nic {
	uint64_t present;
	const char *tap;
	struct mac mac;
	int model;
	uint32_t queues, port, boot_index, mtu;
};

struct qemu_spec {
	uint64_t present;
	int state, restart;
	uint64_t shutdown_timeout_ms, serial;
	const char *uuid, *machine;
	uint32_t cpus, sockets, cores, threads;
	const char *cpu_model;
	uint64_t memory;
	const char *kernel, *initrd, *cmdline;
	struct list disks, nics;
	bool console;
	uint32_t scsi_port, rng_port, balloon_port, agent_port; /* PCI ports; present: there is one */
	struct list leases; /* const char *: files of which it holds a byte locked */
	/* Observed only. */
	uint32_t pid;
	const char *accel, *accel_reason, *run_state, *started_at, *version;
};

extern const struct table qemu_layer_table, qemu_remote_table, qemu_disk_table, qemu_nic_table, qemu_table;

/* Is the row of this name set? Say that it is; a name that is not in the table aborts. */
bool row_is_set(const struct table *table, const void *spec, const char *row);
void row_set(const struct table *table, void *spec, const char *row);

#endif
