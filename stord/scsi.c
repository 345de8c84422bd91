/* SPDX-License-Identifier: Apache-2.0 */
/* See scsi.h. The WWID is worked out as udev's scsi_id does it, so that it is the text that multipath, udev and weft
 * have for one and the same disk; what the kernel has cached of the disk suffices for that. */
#include "stord/scsi.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sysmacros.h>

enum { ATTRIBUTE_MAX = 4096, SCSI_DIRECT_ACCESS = 0, SCSI_HOST_MANAGED = 20, SECTOR = 512 };

/* An attribute's text without the space around it; false if there is none. */
static bool read_text(const char *dir, const char *name, char *ret, size_t size)
{
	cleanup_free char *path = xprintf("%s/%s", dir, name), *text = NULL;
	*ret = '\0';
	if (file_read(path, ATTRIBUTE_MAX, &text, NULL) < 0)
		return false;
	char *begin = text + strspn(text, " \t\n"), *end = begin + strlen(begin);
	while (end > begin && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	snprintf(ret, size, "%s", begin);
	return *ret;
}

static uint64_t read_number(const char *dir, const char *name)
{
	char text[32];
	return read_text(dir, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* ---- WWID ---- */

enum {
	PAGE_HEADER = 4,
	BINARY = 1,
	ASCII = 2,
	UTF8 = 3,
	ID_T10 = 1,
	ID_EUI64 = 2,
	ID_NAA = 3,
	ID_NAME = 8,
	ANY_NAA = 0
};

/* What scsi_id prefers, best first. The digit before the identifier is its type. */
static const struct {
	uint8_t type, naa, code_set;
} preferred[] = {
	{ID_NAA, 6, BINARY},       {ID_NAA, 6, ASCII},       {ID_NAA, 5, BINARY},   {ID_NAA, 5, ASCII},
	{ID_NAA, ANY_NAA, BINARY}, {ID_NAA, ANY_NAA, ASCII}, {ID_EUI64, 0, BINARY}, {ID_EUI64, 0, ASCII},
	{ID_T10, 0, BINARY},       {ID_T10, 0, ASCII},       {ID_NAME, 0, UTF8},
};

/* A descriptor: code set, type, reserved, length, identifier. Only those of the logical unit itself count. */
static bool descriptor_fits(const uint8_t *d, size_t i)
{
	bool of_unit = (d[1] & 0x30) == 0;
	if (!of_unit || (d[1] & 0xf) != preferred[i].type || (d[0] & 0xf) != preferred[i].code_set || !d[3])
		return false;
	if (preferred[i].type != ID_NAA || preferred[i].naa == ANY_NAA)
		return true;
	unsigned digit = preferred[i].code_set == BINARY ? d[4] >> 4 : (unsigned)(d[4] - '0');
	return digit == preferred[i].naa;
}

/* Runs of space become one '_', as in udev's names. */
static void put_text(const char *from, size_t len, char *to, size_t size)
{
	size_t n = 0;
	while (len && isspace((unsigned char)from[len - 1]))
		len--;
	for (size_t i = 0; i < len && from[i] && n + 1 < size; i++) {
		bool space = isspace((unsigned char)from[i]);
		if (space && (n == 0 || to[n - 1] == '_'))
			continue;
		to[n++] = space ? '_' : from[i];
	}
	to[n] = '\0';
}

static void put_identifier(const uint8_t *d, char ret[static DISK_WWID_MAX])
{
	size_t len = d[3], n = 0;
	ret[n++] = (char)('0' + (d[1] & 0xf));
	if ((d[0] & 0xf) != BINARY || (d[1] & 0xf) == ID_T10) {
		put_text((const char *)d + 4, len, ret + n, DISK_WWID_MAX - n);
		return;
	}
	for (size_t i = 0; i < len && n + 3 < DISK_WWID_MAX; i++, n += 2)
		snprintf(ret + n, 3, "%02x", d[4 + i]);
}

bool scsi_wwid_of_page(const uint8_t *page, size_t size, char ret[static DISK_WWID_MAX])
{
	*ret = '\0';
	if (size < PAGE_HEADER || page[1] != 0x83)
		return false;
	size_t told = PAGE_HEADER + ((size_t)page[2] << 8 | page[3]), end = told < size ? told : size;
	for (size_t i = 0; i < ARRAY_SIZE(preferred); i++)
		for (size_t at = PAGE_HEADER; at + 4 < end && at + 4 + page[at + 3] <= end; at += 4 + page[at + 3])
			if (descriptor_fits(page + at, i)) {
				put_identifier(page + at, ret);
				return true;
			}
	return false;
}

/* "naa.6001405..." of a kernel that shows no page: rarer than the page, and without its order. */
static void read_scsi_wwid(const char *device, struct scsi_disk *disk)
{
	cleanup_free char *path = xprintf("%s/vpd_pg83", device), *page = NULL;
	char text[DISK_WWID_MAX];
	size_t size;
	if (file_read(path, ATTRIBUTE_MAX, &page, &size) == 0 &&
	    scsi_wwid_of_page((const uint8_t *)page, size, disk->wwid))
		return;
	if (!read_text(device, "wwid", text, sizeof(text)))
		return;
	if (str_starts(text, "naa.") || str_starts(text, "eui."))
		snprintf(disk->wwid, sizeof(disk->wwid), "%c%s", text[0] == 'n' ? '3' : '2', text + 4);
}

/* Page 0x80: the unit's own serial number, after a header of four bytes. */
static void read_scsi_serial(const char *device, struct scsi_disk *disk)
{
	cleanup_free char *path = xprintf("%s/vpd_pg80", device), *page = NULL;
	size_t size;
	if (file_read(path, ATTRIBUTE_MAX, &page, &size) < 0 || size <= PAGE_HEADER)
		return;
	put_text(page + PAGE_HEADER, size - PAGE_HEADER, disk->serial, sizeof(disk->serial));
}

/* ---- how it is reached ---- */

/* The part of a path from a component that begins so ("/session"), up to its end; NULL if there is none. */
static const char *component(const char *path, const char *prefix, size_t *len)
{
	const char *at = strstr(path, prefix);
	if (!at || !isdigit((unsigned char)at[strlen(prefix)]))
		return NULL;
	*len = 1 + strcspn(at + 1, "/");
	return at;
}

static void read_portal(const char *session_dir, struct scsi_disk *disk)
{
	DIR *dir = opendir(session_dir);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		if (!str_starts(entry->d_name, "connection"))
			continue;
		cleanup_free char *connection =
			xprintf("%s/%s/iscsi_connection/%s", session_dir, entry->d_name, entry->d_name);
		char address[DISK_TEXT_MAX - 10], port[8];
		if (!read_text(connection, "persistent_address", address, sizeof(address)))
			continue;
		read_text(connection, "persistent_port", port, sizeof(port));
		bool ip6 = strchr(address, ':');
		snprintf(disk->portal, sizeof(disk->portal), "%s%s%s:%s", ip6 ? "[" : "", address, ip6 ? "]" : "",
			 port);
		break;
	}
	if (dir)
		closedir(dir);
}

/* `real` is the disk's place among the devices: .../host1/session2/target1:0:0/1:0:0:3 */
static void read_transport(const char *sys, const char *real, struct scsi_disk *disk)
{
	size_t len;
	const char *session = component(real, "/session", &len);
	const char *way = session                         ? "iscsi"
			  : strstr(real, "/rport-")       ? "fc"
			  : strstr(real, "/end_device-")  ? "sas"
			  : component(real, "/ata", &len) ? "ata"
			  : component(real, "/usb", &len) ? "usb"
							  : "scsi";
	snprintf(disk->transport, sizeof(disk->transport), "%s", way);
	if (session) {
		cleanup_free char *dir = xprintf("%.*s", (int)(session - real + (ptrdiff_t)len), real);
		snprintf(disk->session, sizeof(disk->session), "%.*s", (int)len - 1, session + 1);
		cleanup_free char *class = xprintf("%s/iscsi_session/%s", dir, disk->session);
		read_text(class, "targetname", disk->target, sizeof(disk->target));
		read_portal(dir, disk);
	} else if (streq(way, "fc")) {
		cleanup_free char *class = xprintf("%s/class/fc_transport/target%.*s", sys,
						   (int)(strrchr(disk->address, ':') - disk->address), disk->address);
		read_text(class, "port_name", disk->target, sizeof(disk->target));
	}
}

static bool read_scsi(const char *sys, const char *device, struct scsi_disk *disk)
{
	char real[PATH_MAX];
	uint64_t type = read_number(device, "type");
	if ((type != SCSI_DIRECT_ACCESS && type != SCSI_HOST_MANAGED) || !realpath(device, real))
		return false;
	snprintf(disk->address, sizeof(disk->address), "%s", strrchr(real, '/') + 1);
	const char *lun = strrchr(disk->address, ':');
	if (!lun)
		return false;
	disk->lun = strtoull(lun + 1, NULL, 10);
	read_scsi_wwid(device, disk);
	read_scsi_serial(device, disk);
	read_text(device, "vendor", disk->vendor, sizeof(disk->vendor));
	read_text(device, "model", disk->model, sizeof(disk->model));
	read_text(device, "state", disk->state, sizeof(disk->state));
	read_transport(sys, real, disk);
	return true;
}

static bool read_nvme(const char *block, const char *device, struct scsi_disk *disk)
{
	snprintf(disk->transport, sizeof(disk->transport), "nvme");
	read_text(block, "wwid", disk->wwid, sizeof(disk->wwid));
	read_text(device, "model", disk->model, sizeof(disk->model));
	read_text(device, "serial", disk->serial, sizeof(disk->serial));
	read_text(device, "state", disk->state, sizeof(disk->state));
	return true;
}

/* Its serial number is whatever whoever runs this host has said: nothing in the world makes that one of a kind. */
static bool read_virtio(const char *block, struct scsi_disk *disk)
{
	snprintf(disk->transport, sizeof(disk->transport), "virtio");
	read_text(block, "serial", disk->serial, sizeof(disk->serial));
	return true;
}

/* A device of device mapper counts if multipathd made it, of whole disks. */
static bool read_map(const char *block, struct scsi_disk *disk)
{
	char uuid[DISK_WWID_MAX + 8];
	if (!read_text(block, "dm/uuid", uuid, sizeof(uuid)) || !str_starts(uuid, "mpath-"))
		return false;
	snprintf(disk->transport, sizeof(disk->transport), "multipath");
	snprintf(disk->wwid, sizeof(disk->wwid), "%s", uuid + strlen("mpath-"));
	read_text(block, "dm/name", disk->map, sizeof(disk->map));
	return true;
}

static void read_holder(const char *block, struct scsi_disk *disk)
{
	cleanup_free char *path = xprintf("%s/holders", block);
	DIR *dir = opendir(path);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && (!disk->holder[0] || strcmp(entry->d_name, disk->holder) < 0))
			snprintf(disk->holder, sizeof(disk->holder), "%s", entry->d_name);
	if (dir)
		closedir(dir);
}

static bool read_kind(const char *sys, const char *block, struct scsi_disk *disk)
{
	cleanup_free char *device = xprintf("%s/device", block), *link = xprintf("%s/subsystem", device);
	char subsystem[PATH_MAX];
	ssize_t n = readlink(link, subsystem, sizeof(subsystem) - 1);
	if (n < 0)
		return read_map(block, disk);
	subsystem[n] = '\0';
	const char *name = strrchr(subsystem, '/') ? strrchr(subsystem, '/') + 1 : subsystem;
	if (streq(name, "scsi"))
		return read_scsi(sys, device, disk);
	if (str_starts(name, "nvme"))
		return read_nvme(block, device, disk);
	return streq(name, "virtio") && read_virtio(block, disk);
}

bool scsi_disk(const char *sys, const char *name, struct scsi_disk *ret)
{
	cleanup_free char *block = xprintf("%s/block/%s", sys, name);
	char number[32];
	unsigned major, minor;
	*ret = (struct scsi_disk){0};
	if (strchr(name, '/') || strlen(name) >= sizeof(ret->name) || read_number(block, "hidden") ||
	    !read_text(block, "dev", number, sizeof(number)) || sscanf(number, "%u:%u", &major, &minor) != 2)
		return false;
	strcpy(ret->name, name);
	ret->device = makedev(major, minor);
	ret->sequence = read_number(block, "diskseq");
	if (!ret->sequence) /* kernels before 5.15: numbers are used again, but not at once */
		ret->sequence = ret->device;
	ret->size = read_number(block, "size") * SECTOR;
	ret->read_only = read_number(block, "ro");
	read_holder(block, ret);
	return read_kind(sys, block, ret);
}

/* sdb before sdaa, dm-2 before dm-10. */
static int by_name(const void *a, const void *b)
{
	const char *x = ((const struct scsi_disk *)a)->name, *y = ((const struct scsi_disk *)b)->name;
	if (str_starts(x, "sd") && str_starts(y, "sd") && strlen(x) != strlen(y))
		return strlen(x) < strlen(y) ? -1 : 1;
	return strverscmp(x, y);
}

int scsi_disks(const char *sys, struct scsi_disk **ret, size_t *ret_n)
{
	cleanup_free char *path = xprintf("%s/block", sys);
	cleanup_free struct scsi_disk *disks = NULL;
	size_t n = 0, cap = 0;
	const struct dirent *entry;
	DIR *dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		grow(disks, n, cap);
		n += scsi_disk(sys, entry->d_name, &disks[n]);
	}
	closedir(dir);
	if (n)
		qsort(disks, n, sizeof(*disks), by_name);
	*ret = take_ptr(disks);
	*ret_n = n;
	return 0;
}
