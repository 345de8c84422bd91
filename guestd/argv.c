/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of a QEMU: a pure function of its spec and of what the host can do. Everything it opens comes as a
 * descriptor. Every device that can be plugged sits in a PCIe port of its own, at an address that does not depend on
 * the others. QEMU 7.2 and 10 understand it. */
#include "guestd/qemu.h"

struct argv {
	struct arena *arena;
	const struct qemu_spec *spec;
	const struct qemu_facts *facts;
	const char **items;
	size_t n, cap;
};

int qemu_disk_fd(size_t disk)
{
	return QEMU_FD_FIRST_DISK + (int)disk;
}

int qemu_tap_fd(const struct qemu_spec *spec, size_t nic, uint32_t queue)
{
	int fd = qemu_disk_fd(spec->disks.n);
	for (size_t i = 0; i < nic; i++)
		fd += (int)list_at(&spec->nics, struct qemu_nic, i).queues;
	return fd + (int)queue;
}

int qemu_vhost_fd(const struct qemu_spec *spec, size_t nic, uint32_t queue)
{
	int first = qemu_tap_fd(spec, spec->nics.n, 0);
	return first + qemu_tap_fd(spec, nic, queue) - qemu_tap_fd(spec, 0, 0);
}

int qemu_lease_fd(const struct qemu_spec *spec, size_t lease)
{
	return qemu_vhost_fd(spec, spec->nics.n, 0) + (int)lease;
}

int qemu_layer_fd(const struct qemu_spec *spec, size_t disk, size_t layer)
{
	int fd = qemu_lease_fd(spec, spec->leases.n);
	for (size_t i = 0; i < disk; i++)
		fd += (int)list_at(&spec->disks, struct qemu_disk, i).layers.n;
	return fd + (int)layer;
}

static void add(struct argv *a, const char *item)
{
	arena_grow(a->arena, a->items, a->n, a->cap);
	a->items[a->n++] = item;
}

static void add_option(struct argv *a, const char *option, const char *fmt, ...) printf_like(3, 4);
static void add_option(struct argv *a, const char *option, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	add(a, option);
	add(a, arena_vprintf(a->arena, fmt, args));
	va_end(args);
}

/* In QEMU's option syntax a comma within a value is doubled. */
static const char *quoted(struct argv *a, const char *text)
{
	char *out = arena_alloc(a->arena, 2 * strlen(text) + 1), *p = out;
	for (; *text; text++) {
		if (*text == ',')
			*p++ = ',';
		*p++ = *text;
	}
	return out;
}

static const char *on_off(bool on)
{
	return on ? "on" : "off";
}

static bool has(struct argv *a, const char *row)
{
	return row_is_set(&qemu_table, a->spec, row);
}

static void add_base(struct argv *a)
{
	const struct qemu_spec *spec = a->spec;
	add_option(a, "-name", "guest=%s,process=weft-%s,debug-threads=on", a->facts->name, a->facts->name);
	add_option(a, "-uuid", "%s", spec->uuid);
	add(a, "-nodefaults");
	add(a, "-no-user-config");
	/* Stays there, paused, when the guest has gone: whoever looks later still sees why. */
	add(a, "-no-shutdown");
	add_option(a, "-action", "panic=pause");
	add(a, "-S");
	add_option(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add_option(a, "-msg", "timestamp=on");
	add_option(a, "-machine", "%s,accel=%s,usb=off,vmport=off,dump-guest-core=off", quoted(a, spec->machine),
		   a->facts->kvm ? "kvm" : "tcg");
	/* "host" is a promise only KVM can keep; the nearest thing TCG has is all that it can emulate. */
	bool host = str_starts(spec->cpu_model, "host") && (!spec->cpu_model[4] || spec->cpu_model[4] == ',');
	if (host && !a->facts->kvm)
		add_option(a, "-cpu", "max%s", spec->cpu_model + 4);
	else
		add_option(a, "-cpu", "%s", spec->cpu_model);
	add_option(a, "-smp", "cpus=%u,sockets=%u,cores=%u,threads=%u", spec->cpus, spec->sockets, spec->cores,
		   spec->threads);
	add_option(a, "-m", "size=%lluM", (unsigned long long)(spec->memory >> 20));
	add_option(a, "-rtc", "base=utc");
	add_option(a, "-display", "none");
	add_option(a, "-device", "pvpanic");
}

static void add_boot(struct argv *a)
{
	add_option(a, "-boot", "menu=off,strict=on");
	if (has(a, "kernel"))
		add_option(a, "-kernel", "/dev/fd/%d", QEMU_FD_KERNEL);
	if (has(a, "initrd"))
		add_option(a, "-initrd", "/dev/fd/%d", QEMU_FD_INITRD);
	if (has(a, "cmdline"))
		add_option(a, "-append", "%s", a->spec->cmdline);
}

static void add_channels(struct argv *a)
{
	add_option(a, "-chardev", "socket,id=qmp,fd=%d,server=on,wait=off", QEMU_FD_QMP);
	add_option(a, "-mon", "chardev=qmp,mode=control");
	if (!a->spec->console) {
		add_option(a, "-serial", "none");
		return;
	}
	add_option(a, "-add-fd", "fd=%d,set=%d", QEMU_FD_CONSOLE_LOG, QEMU_FD_CONSOLE_LOG);
	add_option(a, "-chardev", "socket,id=console,fd=%d,server=on,wait=off,logfile=/dev/fdset/%d,logappend=on",
		   QEMU_FD_CONSOLE, QEMU_FD_CONSOLE_LOG);
	add_option(a, "-serial", "chardev:console");
}

/* One port of eight to a slot, from slot 2 on; the chassis number is what the guest may call the slot. */
static void add_port(struct argv *a, uint32_t port)
{
	add_option(a, "-device", "pcie-root-port,id=port%u,chassis=%u,port=%u,bus=pcie.0,addr=0x%x.0x%x%s", port, port,
		   port, 2 + (port - 1) / 8, (port - 1) % 8, (port - 1) % 8 == 0 ? ",multifunction=on" : "");
}

static void mark_port(bool used[static PCI_PORTS + 1], uint32_t port)
{
	if (port >= 1 && port <= PCI_PORTS)
		used[port] = true;
}

/* Function 0 of a slot has to be there for the others to be found. */
static void add_ports(struct argv *a)
{
	const struct qemu_spec *spec = a->spec;
	bool used[PCI_PORTS + 1] = {false};
	for (size_t i = 0; i < spec->disks.n; i++) {
		const struct qemu_disk *disk = &list_at(&spec->disks, struct qemu_disk, i);
		if (disk->bus == BUS_VIRTIO)
			mark_port(used, disk->unit);
	}
	for (size_t i = 0; i < spec->nics.n; i++)
		mark_port(used, list_at(&spec->nics, struct qemu_nic, i).port);
	mark_port(used, spec->scsi_port);
	mark_port(used, spec->rng_port);
	mark_port(used, spec->balloon_port);
	mark_port(used, spec->agent_port);
	for (uint32_t port = PCI_PORTS; port >= 1; port--)
		if (used[port])
			used[port - (port - 1) % 8] = true;
	for (uint32_t port = 1; port <= PCI_PORTS; port++)
		if (used[port])
			add_port(a, port);
}

struct cache_flags {
	bool writeback, direct, no_flush;
};
static const struct cache_flags cache_flags[] = {
	[CACHE_NONE] = {true, true, false},           [CACHE_WRITEBACK] = {true, false, false},
	[CACHE_WRITETHROUGH] = {false, false, false}, [CACHE_DIRECTSYNC] = {false, true, false},
	[CACHE_UNSAFE] = {true, false, true},
};

static void add_file(struct argv *a, size_t i, const char *id, const char *flags)
{
	const struct qemu_disk *disk = &list_at(&a->spec->disks, struct qemu_disk, i);
	int fd = qemu_disk_fd(i);
	add_option(a, "-add-fd", "fd=%d,set=%d", fd, fd);
	add_option(a, "-blockdev", "driver=%s,node-name=%s-file,filename=/dev/fdset/%d,aio=%s,%s",
		   disk->block ? "host_device" : "file", id, fd, io_names[disk->io], flags);
}

/* What has to stay secret comes as a descriptor, too. */
static void add_remote(struct argv *a, size_t i, const char *id, const char *flags)
{
	const struct qemu_disk *disk = &list_at(&a->spec->disks, struct qemu_disk, i);
	add_option(a, "-object", "secret,id=%s-secret,file=/dev/fd/%d,format=base64", id, qemu_disk_fd(i));
	add_option(a, "-blockdev", "%s%s-secret,node-name=%s-file,%s", disk->remote.options, id, id, flags);
}

/* From the lowest up, each read-only and named, so that QEMU opens nothing by what an image says of its base. What says
 * more than its Volume does never gets here: stord refuses it. */
static const char *add_layers(struct argv *a, size_t i, const char *id)
{
	const struct qemu_disk *disk = &list_at(&a->spec->disks, struct qemu_disk, i);
	const char *backing = "";
	for (size_t k = disk->layers.n; k-- > 0;) {
		const struct qemu_layer *layer = &list_at(&disk->layers, struct qemu_layer, k);
		const char *node = arena_printf(a->arena, "%s-base%zu", id, k + 1);
		int fd = qemu_layer_fd(a->spec, i, k);
		add_option(a, "-add-fd", "fd=%d,set=%d", fd, fd);
		add_option(a, "-blockdev",
			   "driver=file,node-name=%s-file,filename=/dev/fdset/%d,aio=%s,cache.direct=%s,"
			   "auto-read-only=off,read-only=on",
			   node, fd, io_names[disk->io], on_off(cache_flags[disk->cache].direct));
		add_option(a, "-blockdev", "driver=%s,node-name=%s,file=%s-file%s,read-only=on",
			   format_names[layer->format], node, node, backing);
		backing = arena_printf(a->arena, ",backing=%s", node);
	}
	return backing;
}

static void add_blockdev(struct argv *a, size_t i, const char *id)
{
	const char *backing = add_layers(a, i, id);
	const struct qemu_disk *disk = &list_at(&a->spec->disks, struct qemu_disk, i);
	const struct cache_flags *cache = &cache_flags[disk->cache];
	const char *flags = arena_printf(
		a->arena, "cache.direct=%s,cache.no-flush=%s,discard=%s,auto-read-only=off,read-only=%s",
		on_off(cache->direct), on_off(cache->no_flush), discard_names[disk->discard], on_off(disk->read_only));
	bool remote = row_is_set(&qemu_disk_table, disk, "remote");
	(remote ? add_remote : add_file)(a, i, id, flags);
	add_option(a, "-blockdev", "driver=%s,node-name=%s,file=%s-file%s,discard=%s,detect-zeroes=%s,read-only=%s",
		   format_names[disk->format], id, id, backing, discard_names[disk->discard],
		   zeroes_names[disk->zeroes], on_off(disk->read_only));
}

static const char *disk_id(struct argv *a, const struct qemu_disk *disk)
{
	return arena_printf(a->arena, "%s-disk%u", bus_names[disk->bus], disk->unit);
}

static const char *disk_front(struct argv *a, const struct qemu_disk *disk)
{
	const char *kind = disk->device == DEVICE_CDROM ? "cd" : "hd";
	switch ((enum disk_bus)disk->bus) {
	case BUS_VIRTIO:
		return arena_printf(a->arena, "virtio-blk-pci,bus=port%u", disk->unit);
	case BUS_SCSI:
		return arena_printf(a->arena, "scsi-%s,bus=scsi.0,scsi-id=%u,lun=0", kind, disk->unit);
	case BUS_SATA:
		return arena_printf(a->arena, "ide-%s,bus=ide.%u", kind, disk->unit);
	}
	return "";
}

static void add_disk(struct argv *a, size_t i)
{
	const struct qemu_disk *disk = &list_at(&a->spec->disks, struct qemu_disk, i);
	const char *id = disk_id(a, disk);
	add_blockdev(a, i, id);
	const char *device = arena_printf(a->arena, "%s,drive=%s,id=%s-device", disk_front(a, disk), id, id);
	if (disk->device == DEVICE_DISK)
		device =
			arena_printf(a->arena, "%s,write-cache=%s", device, on_off(cache_flags[disk->cache].writeback));
	device = arena_printf(a->arena, "%s,werror=%s,rerror=%s", device, on_error_names[disk->on_error],
			      on_error_names[disk->on_error]);
	if (disk->shared)
		device = arena_printf(a->arena, "%s,share-rw=on", device);
	if (row_is_set(&qemu_disk_table, disk, "bootIndex"))
		device = arena_printf(a->arena, "%s,bootindex=%u", device, disk->boot_index);
	if (row_is_set(&qemu_disk_table, disk, "serial"))
		device = arena_printf(a->arena, "%s,serial=%s", device, quoted(a, disk->serial));
	add_option(a, "-device", "%s", device);
}

static const char *fd_list(struct argv *a, size_t nic, int (*fd)(const struct qemu_spec *, size_t, uint32_t))
{
	const char *text = "";
	for (uint32_t q = 0; q < list_at(&a->spec->nics, struct qemu_nic, nic).queues; q++)
		text = arena_printf(a->arena, "%s%s%d", text, q ? ":" : "", fd(a->spec, nic, q));
	return text;
}

static void add_nic(struct argv *a, size_t i)
{
	const struct qemu_nic *nic = &list_at(&a->spec->nics, struct qemu_nic, i);
	bool virtio = nic->model == NIC_VIRTIO, vhost = virtio && a->facts->vhost_net;
	char mac[IP_TEXT];
	add_option(a, "-netdev", "tap,id=nic%u,fds=%s%s%s", nic->port, fd_list(a, i, qemu_tap_fd),
		   vhost ? ",vhost=on,vhostfds=" : "", vhost ? fd_list(a, i, qemu_vhost_fd) : "");
	const char *device = arena_printf(a->arena, "%s,bus=port%u,netdev=nic%u,id=nic%u-device,mac=%s",
					  virtio ? "virtio-net-pci" : "e1000e", nic->port, nic->port, nic->port,
					  mac_text(&nic->mac, mac));
	if (nic->queues > 1)
		device = arena_printf(a->arena, "%s,mq=on,vectors=%u", device, 2 * nic->queues + 2);
	if (virtio && row_is_set(&qemu_nic_table, nic, "mtu"))
		device = arena_printf(a->arena, "%s,host_mtu=%u", device, nic->mtu);
	if (row_is_set(&qemu_nic_table, nic, "bootIndex"))
		device = arena_printf(a->arena, "%s,bootindex=%u", device, nic->boot_index);
	else
		device = arena_printf(a->arena, "%s,romfile=", device);
	add_option(a, "-device", "%s", device);
}

static void add_extras(struct argv *a)
{
	const struct qemu_spec *spec = a->spec;
	if (has(a, "rngPort")) {
		add_option(a, "-object", "rng-random,id=rng,filename=/dev/urandom");
		add_option(a, "-device", "virtio-rng-pci,bus=port%u,rng=rng,id=rng-device", spec->rng_port);
	}
	if (has(a, "balloonPort"))
		add_option(a, "-device", "virtio-balloon-pci,bus=port%u,id=balloon", spec->balloon_port);
	if (has(a, "agentPort")) {
		add_option(a, "-device", "virtio-serial-pci,bus=port%u,id=serial", spec->agent_port);
		add_option(a, "-chardev", "socket,id=agent,fd=%d,server=on,wait=off", QEMU_FD_AGENT);
		add_option(a, "-device", "virtserialport,bus=serial.0,chardev=agent,name=org.qemu.guest_agent.0");
	}
}

const char *const *qemu_argv(const struct qemu_spec *spec, const struct qemu_facts *facts, struct arena *arena)
{
	struct argv a = {.arena = arena, .spec = spec, .facts = facts};
	add(&a, facts->program);
	add_base(&a);
	add_boot(&a);
	add_channels(&a);
	add_ports(&a);
	if (has(&a, "scsiPort"))
		add_option(&a, "-device", "virtio-scsi-pci,bus=port%u,id=scsi", spec->scsi_port);
	for (size_t i = 0; i < spec->disks.n; i++)
		add_disk(&a, i);
	for (size_t i = 0; i < spec->nics.n; i++)
		add_nic(&a, i);
	add_extras(&a);
	add(&a, NULL);
	return a.items;
}
