/* SPDX-License-Identifier: Apache-2.0 */
/* The table of class qemu; see qemu-spec.h. */
#include "guestd/qemu-spec.h"

const char *const restart_names[] = {"always", "on-failure", "never"};
const char *const bus_names[] = {"virtio", "scsi", "sata"};
const char *const cache_names[] = {"none", "writeback", "writethrough", "directsync", "unsafe"};
const char *const io_names[] = {"threads", "native", "io_uring"};
const char *const discard_names[] = {"ignore", "unmap"};
const char *const zeroes_names[] = {"off", "on", "unmap"};
const char *const on_error_names[] = {"stop", "report"};
const char *const device_names[] = {"disk", "cdrom"};
const char *const format_names[] = {"raw", "qcow2"};
const char *const nic_names[] = {"virtio", "e1000e"};
static const char *const state_names[] = {"running", "paused"};

/* Another way to the same image is taken at the next start, and no reason for one. */
#define REMOTE struct qemu_remote
static const struct field remote_rows[] = {
	F_STRING("options", REMOTE, options, .flags = FIELD_WEAK, .doc = "What QEMU is told of it."),
	F_STRUCT("secret", REMOTE, secret, secret_table, .flags = FIELD_WEAK, .doc = "Where its key is."),
	F_STRING("owner", REMOTE, owner, .flags = FIELD_WEAK, .doc = "Whose key it is."),
};
const struct table qemu_remote_table = TABLE("qemu.disks.remote", REMOTE, remote_rows);

static const struct field layer_rows[] = {
	F_PATH("path", struct qemu_layer, path, .doc = "The image's file."),
	F_ENUM("format", struct qemu_layer, format, format_names, .doc = "How it is to be read."),
};
const struct table qemu_layer_table = TABLE("qemu.disks.layers", struct qemu_layer, layer_rows);

#define DISK struct qemu_disk
static const struct field disk_rows[] = {
	F_PATH("path", DISK, path, .doc = "The image's file or block device."),
	F_ENUM("format", DISK, format, format_names, .doc = "How the image is to be read."),
	F_BOOL("block", DISK, block, .doc = "Whether it is a block device."),
	F_ENUM("bus", DISK, bus, bus_names, .doc = "What the guest sees it on."),
	F_U32("unit", DISK, unit, .doc = "PCI port, SCSI id or SATA port."),
	F_ENUM("cache", DISK, cache, cache_names, .doc = "How the host caches it."),
	F_ENUM("io", DISK, io, io_names, .doc = "How QEMU does its I/O."),
	F_ENUM("discard", DISK, discard, discard_names, .doc = "What the guest's discards do."),
	F_ENUM("detectZeroes", DISK, zeroes, zeroes_names, .doc = "What writes of zeroes become."),
	F_ENUM("device", DISK, device, device_names, .doc = "Disk or CD-ROM."),
	F_STRING("serial", DISK, serial, .max = 36, .doc = "Serial number the guest sees."),
	F_BOOL("readOnly", DISK, read_only, .doc = "Whether it is write-protected."),
	F_U32("bootIndex", DISK, boot_index, .doc = "Place in the boot order."),
	F_ENUM("onError", DISK, on_error, on_error_names, .doc = "What an error of its storage does."),
	F_BOOL("shared", DISK, shared, .doc = "Whether others write to it at the same time."),
	F_STRUCT("remote", DISK, remote, qemu_remote_table, .doc = "How QEMU reaches it by itself."),
	F_STRUCTS("layers", DISK, layers, qemu_layer_table, .doc = "What its image is read through, nearest first."),
};
const struct table qemu_disk_table = TABLE("qemu.disks", DISK, disk_rows);

#define NIC struct qemu_nic
static const struct field nic_rows[] = {
	F_IFNAME("tap", NIC, tap, .doc = "Link on the host."),
	F_MAC("mac", NIC, mac, .doc = "The guest's address."),
	F_ENUM("model", NIC, model, nic_names, .doc = "What the guest sees."),
	F_U32("queues", NIC, queues, .doc = "Queue pairs."),
	F_U32("port", NIC, port, .doc = "PCI port."),
	F_U32("bootIndex", NIC, boot_index, .doc = "Place in the boot order."),
	F_U32("mtu", NIC, mtu, .doc = "The link's MTU, which a virtio card tells the guest."),
};
const struct table qemu_nic_table = TABLE("qemu.nics", NIC, nic_rows);

#define SPEC struct qemu_spec
static const struct field rows[] = {
	F_ENUM("state", SPEC, state, state_names, .doc = "Whether its CPUs run."),
	F_ENUM("restart", SPEC, restart, restart_names, .doc = "What an end of it is answered by."),
	F_DURATION("shutdownTimeout", SPEC, shutdown_timeout_ms, .doc = "How long it may take to shut down."),
	/* Grows with every `guest restart`, so that clearing the override that carried it restarts nothing. */
	F_U64("serial", SPEC, serial, .flags = FIELD_RECREATE | FIELD_GROWS,
	      .doc = "Which start of it a person has asked for."),
	F_STRING("uuid", SPEC, uuid, .flags = FIELD_RESTART, .doc = "The machine's UUID."),
	F_STRING("machine", SPEC, machine, .flags = FIELD_RESTART, .doc = "Machine type."),
	F_U32("cpus", SPEC, cpus, .flags = FIELD_RESTART, .doc = "Virtual CPUs."),
	F_U32("sockets", SPEC, sockets, .flags = FIELD_RESTART, .doc = "Sockets they sit in."),
	F_U32("cores", SPEC, cores, .flags = FIELD_RESTART, .doc = "Cores a socket."),
	F_U32("threads", SPEC, threads, .flags = FIELD_RESTART, .doc = "Threads a core."),
	F_STRING("cpuModel", SPEC, cpu_model, .flags = FIELD_RESTART, .max = 256, .doc = "CPU model."),
	F_SIZE("memory", SPEC, memory, .flags = FIELD_RESTART, .doc = "Memory."),
	F_PATH("kernel", SPEC, kernel, .flags = FIELD_RESTART, .doc = "Kernel booted directly."),
	F_PATH("initrd", SPEC, initrd, .flags = FIELD_RESTART, .doc = "Its initial ramdisk."),
	F_STRING("cmdline", SPEC, cmdline, .flags = FIELD_RESTART | FIELD_LONG, .max = 2047,
		 .doc = "Its command line."),
	F_STRUCTS("disks", SPEC, disks, qemu_disk_table, .flags = FIELD_RESTART, .doc = "Disks."),
	F_STRUCTS("nics", SPEC, nics, qemu_nic_table, .flags = FIELD_RESTART, .doc = "Network interfaces."),
	F_BOOL("console", SPEC, console, .flags = FIELD_RESTART, .doc = "Whether it has a serial console."),
	F_U32("scsiPort", SPEC, scsi_port, .flags = FIELD_RESTART, .doc = "PCI port of the SCSI controller."),
	F_U32("rngPort", SPEC, rng_port, .flags = FIELD_RESTART, .doc = "PCI port of the random number generator."),
	F_U32("balloonPort", SPEC, balloon_port, .flags = FIELD_RESTART, .doc = "PCI port of the memory balloon."),
	F_U32("agentPort", SPEC, agent_port, .flags = FIELD_RESTART, .doc = "PCI port of the guest agent's channel."),
	F_LIST("leases", SPEC, leases, scalar_path, .flags = FIELD_RESTART,
	       .doc = "Files of which it holds a byte locked, which says that it lives."),
	F_U32("pid", SPEC, pid, .flags = FIELD_STATUS, .doc = "QEMU's process."),
	F_STRING("accel", SPEC, accel, .flags = FIELD_STATUS, .doc = "kvm or tcg."),
	F_STRING("accelReason", SPEC, accel_reason, .flags = FIELD_STATUS, .doc = "Why it is that."),
	F_STRING("runState", SPEC, run_state, .flags = FIELD_STATUS, .doc = "QEMU's own word for its state."),
	F_STRING("startedAt", SPEC, started_at, .flags = FIELD_STATUS, .doc = "When it was started."),
	F_STRING("qemuVersion", SPEC, version, .flags = FIELD_STATUS, .doc = "QEMU's version."),
};
const struct table qemu_table = TABLE("qemu", SPEC, rows);

static const struct field *row_of(const struct table *table, const char *row)
{
	const struct field *field = table_field(table, row);
	if (!field)
		abort();
	return field;
}

bool row_is_set(const struct table *table, const void *spec, const char *row)
{
	return is_present(spec, table, row_of(table, row));
}

void row_set(const struct table *table, void *spec, const char *row)
{
	*present_of(spec) |= UINT64_C(1) << (row_of(table, row) - table->fields);
}
