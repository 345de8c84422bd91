/* SPDX-License-Identifier: Apache-2.0 */
/* Kind Guest: a virtual machine. It lowers into one QEMU (class qemu), what its networks want for each of its
 * interfaces, and the attachment of each tap to that QEMU (class tap-attach). */
#include "guestd/guest-spec.h"

#include "core/env.h"
#include "core/lower.h"
#include "guestd/guestd.h"
#include "guestd/override.h"
#include "guestd/qemu.h"
#include "netd/network.h"
#include "stord/volume.h"

static const char *const state_names[] = {"running", "paused", "stopped"};
static const char *const machine_names[] = {"q35"};
static const char *const boot_names[] = {"disk", "cdrom", "network"};

#define CPU struct guest_cpu
static const struct field cpu_rows[] = {
	F_U32("count", CPU, count, .min = 1, .max = 255, .def = "1", .doc = "Virtual CPUs.", .example = "2"),
	F_U32("sockets", CPU, sockets, .min = 1, .max = 255, .doc = "Sockets; what is left out follows from count.",
	      .example = "1"),
	F_U32("cores", CPU, cores, .min = 1, .max = 255, .doc = "Cores in a socket.", .example = "2"),
	F_U32("threads", CPU, threads, .min = 1, .max = 255, .doc = "Threads in a core.", .example = "1"),
	F_STRING("model", CPU, model, .max = 256, .def = "host",
		 .doc = "QEMU's CPU model, with features after commas; host is max where KVM cannot be used.",
		 .example = "host"),
};
const struct table guest_cpu_table = TABLE("Guest.cpu", CPU, cpu_rows);

static const struct field memory_rows[] = {
	F_SIZE("size", struct guest_memory, size, .flags = FIELD_REQUIRED, .doc = "Memory, in whole MiB.",
	       .example = "512MiB"),
};
static const struct table memory_table = TABLE("Guest.memory", struct guest_memory, memory_rows);

#define BOOT struct guest_boot_spec
static const struct field boot_rows[] = {
	F_PATH("kernel", BOOT, kernel,
	       .doc = "Linux kernel booted directly; a relative path is under the state directory's files/.",
	       .example = "vmlinuz"),
	F_PATH("initrd", BOOT, initrd, .doc = "Its initial ramdisk.", .example = "initrd.gz"),
	F_STRING("cmdline", BOOT, cmdline, .max = 2047, .doc = "The kernel's command line.",
		 .example = "console=ttyS0 quiet"),
	F_LIST("order", BOOT, order, scalar_enum, .names = boot_names, .n_names = ARRAY_SIZE(boot_names), .list_max = 3,
	       .doc = "What the firmware tries, first to last; left out: disks, then CD-ROMs.", .example = "disk"),
};
const struct table guest_boot_table = TABLE("Guest.boot", BOOT, boot_rows);

#define DISK struct guest_disk
static const struct field disk_rows[] = {
	F_REF("volume", DISK, volume, "Volume", .doc = "The Volume it is.", .example = "web-data"),
	F_REF("lun", DISK, lun, "Lun", .doc = "The Lun it is.", .example = "oramp1"),
	F_PATH("file", DISK, file,
	       .doc = "An image file instead; a relative path is under the state directory's files/.",
	       .example = "/srv/iso/debian.iso"),
	F_ENUM("format", DISK, format, format_names, .def = "raw", .doc = "Of a file: it is never guessed."),
	F_ENUM("bus", DISK, bus, bus_names, .doc = "What the guest sees it on; left out: virtio, for a CD-ROM sata."),
	F_ENUM("cache", DISK, cache, cache_names, .def = "writeback",
	       .doc = "How the host caches it; left out, a Lun is not cached."),
	F_ENUM("io", DISK, io, io_names, .def = "threads",
	       .doc = "How QEMU does its I/O; native, which a Lun has unless it says otherwise, needs cache none or "
		      "directsync."),
	F_ENUM("discard", DISK, discard, discard_names, .def = "ignore", .doc = "What the guest's discards do."),
	F_ENUM("detectZeroes", DISK, zeroes, zeroes_names, .def = "off",
	       .doc = "What writes of zeroes become; unmap needs discard: unmap."),
	F_STRING("serial", DISK, serial, .max = 36, .doc = "Serial number the guest sees.", .example = "ORA1"),
	F_BOOL("readOnly", DISK, read_only, .def = "false", .doc = "Write-protected; a CD-ROM always is."),
	F_ENUM("device", DISK, device, device_names, .def = "disk", .doc = "Disk or CD-ROM."),
	F_ENUM("onError", DISK, on_error, on_error_names, .def = "stop",
	       .doc = "When its storage gives an error or is full: the guest stands until it answers again and has "
		      "then "
		      "seen nothing, or is told of it, which suits those that mirror their disks themselves."),
};
const struct table guest_disk_table = TABLE("Guest.disks", DISK, disk_rows);

#define NIC struct guest_nic
static const struct field nic_rows[] = {
	F_REF("network", NIC, network, "Network", .flags = FIELD_REQUIRED, .doc = "The Network it is on.",
	      .example = "lan"),
	F_MAC("mac", NIC, mac, .doc = "Its address; left out: one is chosen and kept.", .example = "52:54:00:00:20:01"),
	F_LIST("ip", NIC, ips, scalar_ip, .list_max = 16, .doc = "Addresses reserved for it where weft serves DHCP.",
	       .example = "192.168.150.10"),
	F_ENUM("model", NIC, model, nic_names, .def = "virtio", .doc = "What the guest sees."),
	F_U32("queues", NIC, queues, .min = 1, .max = NIC_QUEUES_MAX, .def = "1", .doc = "Queue pairs, for virtio."),
};
const struct table guest_nic_table = TABLE("Guest.interfaces", NIC, nic_rows);

static const struct field console_rows[] = {
	F_BOOL("serial", struct guest_console, serial, .def = "true",
	       .doc = "A serial console, for `weft guest console`."),
};
static const struct table console_table = TABLE("Guest.console", struct guest_console, console_rows);

#define SPEC struct guest_spec
static const struct field rows[] = {
	F_ENUM("state", SPEC, state, state_names, .def = "running", .doc = "What is wanted of it."),
	F_STRUCT("cpu", SPEC, cpu, guest_cpu_table, .doc = "Its processors."),
	F_STRUCT("memory", SPEC, memory, memory_table, .flags = FIELD_REQUIRED, .doc = "Its memory."),
	F_ENUM("machine", SPEC, machine, machine_names, .def = "q35", .doc = "Machine type."),
	F_STRUCT("boot", SPEC, boot, guest_boot_table, .doc = "What it boots."),
	F_STRUCTS("disks", SPEC, disks, guest_disk_table, .list_max = PCI_PORTS, .doc = "Its disks."),
	F_STRUCTS("interfaces", SPEC, nics, guest_nic_table, .list_max = PCI_PORTS, .doc = "Its network interfaces."),
	F_STRUCT("console", SPEC, console, console_table, .doc = "Its console."),
	F_BOOL("agent", SPEC, agent, .def = "false", .doc = "A channel for the QEMU guest agent."),
	F_BOOL("rng", SPEC, rng, .def = "true", .doc = "A random number generator fed by the host."),
	F_BOOL("balloon", SPEC, balloon, .def = "true", .doc = "A memory balloon."),
	F_ENUM("restart", SPEC, restart, restart_names, .def = "on-failure",
	       .doc = "What an end of it is answered by: a poweroff from inside is no failure, a crash or a kill is."),
	F_DURATION("shutdownTimeout", SPEC, shutdown_timeout_ms, .def = "60s",
		   .doc = "How long it may take to shut down before it is killed."),
};
const struct table guest_table = TABLE("Guest", SPEC, rows);

/* What the functions below share while one guest is lowered. */
struct guest_lowering {
	struct lowering *l;
	const struct object *object;
	const struct guest_spec *guest;
	struct qemu_spec *qemu;
	struct want *want; /* NULL: it is to be off */
	struct stord_leases leases;
};

struct unit_range {
	unsigned first, last;
};

static bool propose_unit(void *ctx, unsigned attempt, char *buf, size_t size)
{
	const struct unit_range *range = ctx;
	if (attempt > range->last - range->first)
		return false;
	snprintf(buf, size, "%u", range->first + attempt);
	return true;
}

/* A place on a bus that stays with what `slot` names, whatever comes and goes beside it. */
static uint32_t unit_alloc(struct guest_lowering *g, const char *bus, const char *slot, struct unit_range range)
{
	const char *space = arena_printf(lower_arena(g->l), "%s/%s", bus, g->object->name);
	const char *text = alloc(g->l, space, slot, propose_unit, &range);
	if (!text) {
		lower_refuse(g->l, NULL, "guest '%s' has more devices than its %s bus has places (%u)", g->object->name,
			     bus, range.last - range.first + 1);
		return 0;
	}
	return (uint32_t)strtoul(text, NULL, 10);
}

static uint32_t port_alloc(struct guest_lowering *g, const char *slot)
{
	return unit_alloc(g, "pci", slot, (struct unit_range){1, PCI_PORTS});
}

static const char *file_path(struct guest_lowering *g, const char *path)
{
	if (!path || path[0] == '/')
		return path;
	return arena_printf(lower_arena(g->l), "%s/files/%s", env.state_dir ? env.state_dir : "", path);
}

/* The place of a device in the boot order: devices of one sort follow one another. 0: it is not tried. */
static uint32_t boot_index(const struct guest_spec *guest, enum guest_boot sort, size_t i)
{
	static const int usual[] = {BOOT_DISK, BOOT_CDROM};
	const struct list *order = &guest->boot.order;
	const int *sorts = order->n ? order->items : usual;
	size_t n = order->n ? order->n : ARRAY_SIZE(usual);
	for (size_t at = 0; at < n; at++)
		if (sorts[at] == (int)sort)
			return (uint32_t)(1 + at * 2 * PCI_PORTS + i);
	return 0;
}

static uint32_t disk_unit(struct guest_lowering *g, int bus, const char *slot)
{
	switch ((enum disk_bus)bus) {
	case BUS_VIRTIO:
		return port_alloc(g, slot);
	case BUS_SCSI:
		return unit_alloc(g, "scsi", slot, (struct unit_range){0, SCSI_UNITS - 1});
	case BUS_SATA:
		return unit_alloc(g, "sata", slot, (struct unit_range){0, SATA_UNITS - 1});
	}
	return 0;
}

/* Where the image is: a Volume or a Lun knows, a file says. */
static bool disk_image(struct guest_lowering *g, const struct guest_disk *disk, size_t i, struct stord_image *image)
{
	if (disk->volume)
		return stord_volume_image(g->l, disk->volume,
					  arena_printf(lower_arena(g->l), "spec.disks[%zu].volume", i), image);
	if (disk->lun)
		return stord_lun_image(g->l, disk->lun, arena_printf(lower_arena(g->l), "spec.disks[%zu].lun", i),
				       image);
	*image = (struct stord_image){
		.path = file_path(g, disk->file),
		.format = format_names[disk->format],
		.attach = str_starts(disk->file, "/dev/") ? STORD_BLOCK : STORD_FILE,
	};
	return true;
}

static void lower_remote(const struct stord_remote *remote, struct qemu_disk *out)
{
	out->remote.options = remote->options;
	out->remote.secret = remote->secret.ref;
	out->remote.owner = remote->secret.owner;
	row_set(&qemu_remote_table, &out->remote, "options");
	row_set(&qemu_remote_table, &out->remote, "secret");
	row_set(&qemu_remote_table, &out->remote, "owner");
	row_set(&qemu_disk_table, out, "remote");
}

/* What others are read through must stay as it is. */
static bool may_write(struct guest_lowering *g, const struct guest_disk *disk, size_t i,
		      const struct stord_image *image)
{
	if (!g->want || !image->clone || disk->read_only || disk->device == DEVICE_CDROM)
		return true;
	lower_refuse(g->l, arena_printf(lower_arena(g->l), "spec.disks[%zu].volume", i),
		     "Volume '%s' is the base of Volume '%s' and must not be written: set readOnly: true, or give the "
		     "guest a linked clone of it",
		     disk->volume, image->clone);
	return false;
}

static void add_layers(struct guest_lowering *g, const struct stord_image *image, struct qemu_disk *out)
{
	struct qemu_layer *layers = arena_alloc(lower_arena(g->l), (image->n_layers + 1) * sizeof(*layers));
	for (size_t i = 0; i < image->n_layers; i++) {
		layers[i].path = image->layers[i].path;
		layers[i].format = streq(image->layers[i].format, "qcow2") ? FORMAT_QCOW2 : FORMAT_RAW;
		row_set(&qemu_layer_table, &layers[i], "path");
		row_set(&qemu_layer_table, &layers[i], "format");
	}
	out->layers = (struct list){layers, image->n_layers};
	if (image->n_layers)
		row_set(&qemu_disk_table, out, "layers");
}

/* What no other host sees must not stay in this one's memory, and what a storage network carries need not. */
static int disk_cache(const struct guest_disk *disk, const struct stord_image *image)
{
	bool said = row_is_set(&guest_disk_table, disk, "cache");
	return !said && (image->shared || disk->lun) ? CACHE_NONE : disk->cache;
}

static int disk_io(const struct guest_disk *disk, int cache)
{
	bool said = row_is_set(&guest_disk_table, disk, "io"),
	     direct = cache == CACHE_NONE || cache == CACHE_DIRECTSYNC;
	return !said && disk->lun && direct ? IO_NATIVE : disk->io;
}

/* What its place on a bus is kept for. */
static const char *disk_slot(struct guest_lowering *g, const struct guest_disk *disk)
{
	return disk->lun ? arena_printf(lower_arena(g->l), "disk/lun/%s", disk->lun)
			 : arena_printf(lower_arena(g->l), "disk/%s", disk->volume ? disk->volume : disk->file);
}

static void lower_disk(struct guest_lowering *g, size_t i, struct qemu_disk *out)
{
	const struct guest_disk *disk = &list_at(&g->guest->disks, struct guest_disk, i);
	struct arena *arena = lower_arena(g->l);
	struct stord_image image = {0};
	lower_at(g->l, arena_printf(arena, "spec.disks[%zu]", i));
	if (!disk_image(g, disk, i, &image))
		return;
	const char *slot = disk_slot(g, disk);
	bool cdrom = disk->device == DEVICE_CDROM;
	if (!may_write(g, disk, i, &image))
		return;
	add_layers(g, &image, out);
	out->path = image.path;
	out->format = streq(image.format, "qcow2") ? FORMAT_QCOW2 : FORMAT_RAW;
	out->block = image.attach == STORD_BLOCK;
	out->bus = row_is_set(&guest_disk_table, disk, "bus") ? disk->bus : cdrom ? BUS_SATA : BUS_VIRTIO;
	out->unit = disk_unit(g, out->bus, slot);
	out->cache = disk_cache(disk, &image);
	if (image.shared && out->cache != CACHE_NONE && out->cache != CACHE_DIRECTSYNC)
		lower_refuse(
			g->l, arena_printf(arena, "spec.disks[%zu].cache", i),
			"what a host caches of a shared volume the others do not see: use cache: none or directsync");
	out->io = disk_io(disk, out->cache);
	out->discard = disk->discard;
	out->zeroes = disk->zeroes;
	out->device = disk->device;
	out->on_error = disk->on_error;
	out->read_only = disk->read_only || cdrom;
	static const char *const always[] = {"path",    "format",       "block",  "bus",      "unit",   "cache",  "io",
					     "discard", "detectZeroes", "device", "readOnly", "shared", "onError"};
	for (size_t k = 0; k < ARRAY_SIZE(always); k++)
		row_set(&qemu_disk_table, out, always[k]);
	if (image.attach == STORD_REMOTE)
		lower_remote(&image.remote, out);
	if ((out->serial = disk->serial))
		row_set(&qemu_disk_table, out, "serial");
	if ((out->boot_index = boot_index(g->guest, cdrom ? BOOT_CDROM : BOOT_DISK, i)))
		row_set(&qemu_disk_table, out, "bootIndex");
	if (out->bus == BUS_SCSI && !row_is_set(&qemu_table, g->qemu, "scsiPort")) {
		g->qemu->scsi_port = port_alloc(g, "scsi");
		row_set(&qemu_table, g->qemu, "scsiPort");
	}
	out->shared = image.shared;
	if (g->want)
		needs(g->l, g->want, image.want);
	if (g->want && disk->volume)
		stord_volume_leases(g->l, disk->volume, g->object->name, out->read_only, &g->leases);
	if (g->want && disk->lun)
		needs(g->l, g->want, stord_lun_lease(g->l, disk->lun, g->object->name, out->read_only));
}

/* Two disks may be based on one volume. */
static void lower_leases(struct guest_lowering *g)
{
	const char **locks = arena_alloc(lower_arena(g->l), (g->leases.n + 1) * sizeof(*locks));
	size_t n = 0;
	for (size_t i = 0; i < g->leases.n; i++) {
		const char *lock = g->leases.items[i].lock;
		bool known = !lock;
		for (size_t k = 0; !known && k < n; k++)
			known = streq(locks[k], lock);
		if (!known)
			locks[n++] = lock;
		needs(g->l, g->want, g->leases.items[i].want);
	}
	g->qemu->leases = (struct list){locks, n};
	if (n)
		row_set(&qemu_table, g->qemu, "leases");
}

/* "nic/lan", "nic/lan/1" for the second one there: what is kept for an interface stays with it when others come or go
 * before it. */
static const char *nic_slot(struct guest_lowering *g, size_t i)
{
	const struct guest_nic *nics = g->guest->nics.items;
	size_t before = 0;
	for (size_t k = 0; k < i; k++)
		before += streq(nics[k].network, nics[i].network);
	return before ? arena_printf(lower_arena(g->l), "nic/%s/%zu", nics[i].network, before)
		      : arena_printf(lower_arena(g->l), "nic/%s", nics[i].network);
}

static bool nic_mac(struct guest_lowering *g, size_t i, const char *slot, struct mac *ret)
{
	const struct guest_nic *nic = &list_at(&g->guest->nics, struct guest_nic, i);
	const char *text, *holder = NULL;
	if (!row_is_set(&guest_nic_table, nic, "mac"))
		return (text = alloc_mac(g->l, slot)) && mac_parse(text, ret) == 0;
	char buf[IP_TEXT];
	*ret = nic->mac;
	if (alloc_fixed(g->l, "mac", slot, mac_text(&nic->mac, buf), &holder))
		return true;
	struct diag *diag = lower_refuse(g->l, arena_printf(lower_arena(g->l), "spec.interfaces[%zu].mac", i),
					 "%s has the address %s already", holder ? holder : "another object", buf);
	lower_refuse_beside(g->l, diag, holder);
	return false;
}

/* The tap's QEMU end: it is there as soon as QEMU was started with it, and made anew when the tap was. */
static void want_attachment(struct guest_lowering *g, const struct qemu_nic *nic, struct want *tap)
{
	if (!g->want)
		return;
	struct tap_attach_spec spec = {.tap = nic->tap, .attached = true, .model = nic->model, .port = nic->port};
	row_set(&tap_attach_table, &spec, "tap");
	row_set(&tap_attach_table, &spec, "attached");
	row_set(&tap_attach_table, &spec, "model");
	row_set(&tap_attach_table, &spec, "port");
	struct want *attach = want(g->l, &guestd_tap_attach_class, &spec, "%s/%s", g->object->name, nic->tap);
	needs(g->l, attach, tap);
	carried(g->l, attach, g->want);
	needs(g->l, g->want, tap);
}

static void lower_nic(struct guest_lowering *g, size_t i, struct qemu_nic *out)
{
	const struct guest_nic *nic = &list_at(&g->guest->nics, struct guest_nic, i);
	struct arena *arena = lower_arena(g->l);
	const char *slot = nic_slot(g, i), *path = arena_printf(arena, "spec.interfaces[%zu]", i);
	char buf[IP_TEXT];
	lower_at(g->l, path);
	out->tap = alloc_link_name(g->l, slot, arena_printf(arena, "%s.%zu", g->object->name, i));
	if (!nic_mac(g, i, slot, &out->mac) || !out->tap)
		return;
	out->model = nic->model;
	out->queues = nic->queues;
	out->port = port_alloc(g, slot);
	out->mtu = netd_port_mtu(g->l, nic->network);
	static const char *const always[] = {"tap", "mac", "model", "queues", "port", "mtu"};
	for (size_t k = 0; k < ARRAY_SIZE(always); k++)
		row_set(&qemu_nic_table, out, always[k]);
	if ((out->boot_index = boot_index(g->guest, BOOT_NETWORK, i)))
		row_set(&qemu_nic_table, out, "bootIndex");
	struct netd_port port = {
		.network = nic->network,
		.guest = g->object->name,
		.first = strchr(slot + strlen("nic/"), '/') == NULL,
		.tap = out->tap,
		.mac = arena_strdup(arena, mac_text(&out->mac, buf)),
		.owner = QEMU_USER,
		.ips = nic->ips,
		.queues = nic->queues,
		.path = path,
	};
	struct want *tap = netd_port_want(g->l, &port);
	if (tap)
		want_attachment(g, out, tap);
}

static void lower_boot(struct guest_lowering *g)
{
	const struct guest_boot_spec *boot = &g->guest->boot;
	if ((g->qemu->kernel = file_path(g, boot->kernel)))
		row_set(&qemu_table, g->qemu, "kernel");
	if ((g->qemu->initrd = file_path(g, boot->initrd)))
		row_set(&qemu_table, g->qemu, "initrd");
	if ((g->qemu->cmdline = boot->cmdline))
		row_set(&qemu_table, g->qemu, "cmdline");
}

static void lower_extras(struct guest_lowering *g)
{
	const struct {
		bool wanted;
		const char *row, *slot;
		uint32_t *port;
	} extras[] = {
		{g->guest->rng, "rngPort", "rng", &g->qemu->rng_port},
		{g->guest->balloon, "balloonPort", "balloon", &g->qemu->balloon_port},
		{g->guest->agent, "agentPort", "agent", &g->qemu->agent_port},
	};
	for (size_t i = 0; i < ARRAY_SIZE(extras); i++) {
		if (!extras[i].wanted)
			continue;
		*extras[i].port = port_alloc(g, extras[i].slot);
		row_set(&qemu_table, g->qemu, extras[i].row);
	}
}

static void lower_machine(struct guest_lowering *g, const struct guest_order *order)
{
	const struct guest_spec *guest = g->guest;
	struct qemu_spec *qemu = g->qemu;
	uint32_t cpu[4];
	uint64_t high = host_hash(arena_printf(lower_arena(g->l), "uuid/1/%s", g->object->name));
	uint64_t low = host_hash(arena_printf(lower_arena(g->l), "uuid/2/%s", g->object->name));
	guest_topology(&guest->cpu, cpu);
	qemu->state = order->state == GUEST_PAUSED ? RUN_PAUSED : RUN_RUNNING;
	qemu->restart = guest->restart;
	qemu->shutdown_timeout_ms = guest->shutdown_timeout_ms;
	qemu->serial = order->serial;
	/* Version 4, variant 1, as of random bits. */
	qemu->uuid = arena_printf(lower_arena(g->l), "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(high >> 32),
				  (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xfff,
				  0x8000 | ((unsigned)(low >> 48) & 0x3fff), (unsigned long long)low & 0xffffffffffff);
	qemu->machine = machine_names[guest->machine];
	qemu->cpus = cpu[0];
	qemu->sockets = cpu[1];
	qemu->cores = cpu[2];
	qemu->threads = cpu[3];
	qemu->cpu_model = guest->cpu.model;
	qemu->memory = guest->memory.size;
	qemu->console = guest->console.serial;
	static const char *const always[] = {"state",    "restart", "shutdownTimeout", "serial", "uuid",
					     "machine",  "cpus",    "sockets",         "cores",  "threads",
					     "cpuModel", "memory",  "console"};
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		row_set(&qemu_table, qemu, always[i]);
}

static void lower(struct lowering *l, const struct object *object)
{
	const struct guest_spec *guest = object->spec;
	struct arena *arena = lower_arena(l);
	struct guest_order order = guest_order_parse(lower_override(l), guest->state);
	struct guest_lowering g = {.l = l, .object = object, .guest = guest};

	/* Whether it is to run or not: its taps stay, and so do the addresses reserved for it. */
	if (order.state != GUEST_STOPPED) {
		g.want = want(l, &guestd_qemu_class, NULL, "%s", object->name);
		g.qemu = g.want->spec;
	} else {
		g.qemu = arena_new_of(arena, struct qemu_spec);
	}
	lower_machine(&g, &order);
	lower_boot(&g);
	lower_extras(&g);
	struct qemu_disk *disks = arena_alloc(arena, guest->disks.n * sizeof(*disks));
	for (size_t i = 0; i < guest->disks.n; i++)
		lower_disk(&g, i, &disks[i]);
	lower_leases(&g);
	struct qemu_nic *nics = arena_alloc(arena, guest->nics.n * sizeof(*nics));
	for (size_t i = 0; i < guest->nics.n; i++)
		lower_nic(&g, i, &nics[i]);
	g.qemu->disks = (struct list){disks, guest->disks.n};
	g.qemu->nics = (struct list){nics, guest->nics.n};
	row_set(&qemu_table, g.qemu, "disks");
	row_set(&qemu_table, g.qemu, "nics");
	lower_at(l, NULL);
}

const struct kind guestd_guest_kind = {
	.name = "Guest",
	.plural = "guests",
	.shorts = "vm",
	.doc = "A virtual machine run by QEMU, with disks on Volumes or files and interfaces on Networks. It outlives "
	       "weftd.",
	.table = &guest_table,
	.check = guest_check,
	.lower = lower,
	.columns = "status.runState,spec.memory.size,status.accel,status.pid",
};
