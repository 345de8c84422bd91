/* SPDX-License-Identifier: Apache-2.0 */
/* What rules there are between the rows of a Guest; see guest.c. */
#include "guestd/guest-spec.h"

#include "guestd/qemu-spec.h"
#include "stord/volume.h"

bool guest_topology(const struct guest_cpu *cpu, uint32_t ret[static 4])
{
	uint32_t threads = cpu->threads ? cpu->threads : 1;
	uint32_t given = (cpu->sockets ? cpu->sockets : 1) * (cpu->cores ? cpu->cores : 1) * threads;
	bool counted = row_is_set(&guest_cpu_table, cpu, "count");
	uint32_t count = counted || given == 1 ? cpu->count : given;
	uint32_t sockets = cpu->sockets, cores = cpu->cores;
	if (!cores)
		cores = count / ((sockets ? sockets : 1) * threads);
	if (!sockets)
		sockets = cores ? count / (cores * threads) : 0;
	memcpy(ret, (uint32_t[4]){count, sockets, cores, threads}, 4 * sizeof(uint32_t));
	return (uint64_t)sockets * cores * threads == count;
}

static void check_cpu(const struct check *check, const struct guest_spec *guest)
{
	uint32_t cpu[4];
	if (!guest_topology(&guest->cpu, cpu))
		check_fault(check, "spec.cpu", "sockets, cores and threads do not multiply to %u CPUs", cpu[0]);
	else if (cpu[0] > 255)
		check_fault(check, "spec.cpu", "%u CPUs are more than the 255 that a guest may have", cpu[0]);
	const char *model = guest->cpu.model;
	if (!model || !*model ||
	    model[strspn(model, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,+=-")])
		check_fault(check, "spec.cpu.model",
			    "'%s' is no CPU model: expected letters, digits and features after commas",
			    model ? model : "");
}

static void check_memory(const struct check *check, const struct guest_spec *guest)
{
	const uint64_t mib = 1 << 20;
	uint64_t size = guest->memory.size;
	if (!size && !row_is_set(&guest_table, guest, "memory"))
		return; /* said already: it is required */
	if (size < mib || size % mib || size > (UINT64_C(1) << 44))
		check_fault(check, "spec.memory.size",
			    "a guest's memory is whole MiB, at least 1MiB and at most 16TiB");
}

static void check_boot(const struct check *check, const struct guest_spec *guest)
{
	const struct guest_boot_spec *boot = &guest->boot;
	if (!boot->kernel && boot->initrd)
		check_fault(check, "spec.boot.initrd", "an initrd needs a kernel: set boot.kernel");
	if (!boot->kernel && boot->cmdline)
		check_fault(check, "spec.boot.cmdline", "a command line needs a kernel: set boot.kernel");
	for (size_t i = 0; i < boot->order.n; i++)
		for (size_t k = 0; k < i; k++)
			if (list_at(&boot->order, int, i) == list_at(&boot->order, int, k)) {
				check_fault(check, "spec.boot.order",
					    "each of disk, cdrom and network may stand in the order once");
				return;
			}
}

static void check_disk_rules(const struct check *check, const struct guest_disk *disk, const char *path)
{
	bool bus_given = row_is_set(&guest_disk_table, disk, "bus");
	bool uncached = disk->lun && !row_is_set(&guest_disk_table, disk, "cache");
	if ((disk->volume != NULL) + (disk->lun != NULL) + (disk->file != NULL) != 1)
		check_fault(check, path, "a disk is either a volume, a lun or a file");
	if (disk->lun && row_is_set(&guest_disk_table, disk, "format"))
		check_fault(check, path, "format belongs to a file; a Lun is raw");
	if (disk->volume && row_is_set(&guest_disk_table, disk, "format"))
		check_fault(check, path, "format belongs to a file; a Volume knows its own");
	if (disk->io == IO_NATIVE && !uncached && disk->cache != CACHE_NONE && disk->cache != CACHE_DIRECTSYNC)
		check_fault(check, path, "io: native needs cache: none or cache: directsync");
	if (disk->zeroes == ZEROES_UNMAP && disk->discard != DISCARD_UNMAP)
		check_fault(check, path, "detectZeroes: unmap needs discard: unmap");
	if (disk->device == DEVICE_CDROM && bus_given && disk->bus == BUS_VIRTIO)
		check_fault(check, path, "a CD-ROM is on bus sata or scsi");
	if (disk->serial && strlen(disk->serial) > 20 && (!bus_given || disk->bus != BUS_SCSI))
		check_fault(check, path, "a serial number has at most 20 characters, on bus scsi 36");
	for (const char *c = disk->serial; c && *c; c++)
		if (*c <= ' ' || *c > '~') {
			check_fault(check, path, "a serial number is printable ASCII without spaces");
			break;
		}
	if (disk->read_only && disk->device == DEVICE_DISK && bus_given && disk->bus == BUS_SATA)
		check_fault(check, path,
			    "a disk on bus sata cannot be read-only: use virtio or scsi, or device: cdrom");
}

static bool is_written(const struct guest_disk *disk)
{
	return !disk->read_only && disk->device != DEVICE_CDROM;
}

static bool same_image(const struct guest_disk *a, const struct guest_disk *b)
{
	return (a->volume && streq(a->volume, b->volume)) || (a->lun && streq(a->lun, b->lun)) ||
	       (a->file && streq(a->file, b->file));
}

static bool may_be_shared(const struct check *check, const struct guest_disk *disk)
{
	const struct object *volume = disk->volume ? check->find(check, "Volume", disk->volume) : NULL;
	const struct object *lun = disk->lun ? check->find(check, "Lun", disk->lun) : NULL;
	return (volume && stord_volume_is_shared(volume)) || (lun && stord_lun_is_shared(lun));
}

/* Two guests that write one image tear it; QEMU's own lock would only let the second one fail at its start. */
static void check_sharing(const struct check *check, const struct guest_disk *disk, const char *path,
			  const struct object *other)
{
	const struct guest_spec *theirs = other->spec;
	for (size_t k = 0; k < theirs->disks.n; k++) {
		const struct guest_disk *their = &list_at(&theirs->disks, struct guest_disk, k);
		if (!same_image(disk, their) || (!is_written(disk) && !is_written(their)) || may_be_shared(check, disk))
			continue;
		cleanup_free char *their_path = xprintf("spec.disks[%zu]", k);
		struct diag *diag =
			check_fault(check, path, "Guest '%s' has this disk as well, and one of the two may write to it",
				    other->name);
		diag_related(check->diags, diag, object_pos(other, their_path), "the other one is here");
		diag_hint(
			check->diags, diag,
			"set readOnly: true in both, or state: stopped in one of them, or, for a cluster's filesystem, "
			"shared: true in the Volume or Lun");
		return;
	}
}

/* With the guests before this one, so that each pair is complained about once. */
static void check_shared(const struct check *check, const struct guest_spec *guest, size_t i, const char *path)
{
	const struct object *other;
	for (size_t k = 0; guest->state != GUEST_STOPPED && (other = check->at(check, k)) && other != check->object;
	     k++) {
		const struct guest_spec *theirs = other->spec;
		if (other->kind == check->object->kind && theirs->state != GUEST_STOPPED)
			check_sharing(check, &list_at(&guest->disks, struct guest_disk, i), path, other);
	}
}

static void check_disks(const struct check *check, const struct guest_spec *guest)
{
	const struct guest_disk *disks = guest->disks.items;
	for (size_t i = 0; i < guest->disks.n; i++) {
		cleanup_free char *path = xprintf("spec.disks[%zu]", i);
		check_disk_rules(check, &disks[i], path);
		for (size_t k = 0; k < i; k++)
			if (same_image(&disks[i], &disks[k]))
				check_fault(check, path, "this image is disks[%zu] already", k);
		check_shared(check, guest, i, path);
	}
}

static void check_nics(const struct check *check, const struct guest_spec *guest)
{
	const struct guest_nic *nics = guest->nics.items;
	for (size_t i = 0; i < guest->nics.n; i++) {
		cleanup_free char *path = xprintf("spec.interfaces[%zu]", i);
		if (nics[i].queues > 1 && nics[i].model != NIC_VIRTIO)
			check_fault(check, path, "only model: virtio has more than one queue");
	}
}

void guest_check(const struct check *check)
{
	const struct guest_spec *guest = check->object->spec;
	check_cpu(check, guest);
	check_memory(check, guest);
	check_boot(check, guest);
	check_disks(check, guest);
	check_nics(check, guest);
}
