/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of this host as the kernel names them: SCSI (and what looks like it: SATA, SAS, USB, FC, iSCSI), virtio,
 * NVMe, and the maps that multipathd makes of several. Read from sysfs alone, which never waits for a disk. */
#ifndef WEFT_STORD_SCSI_H
#define WEFT_STORD_SCSI_H

#include "core/util.h"

enum { DISK_WWID_MAX = 256, DISK_TEXT_MAX = 64, DISK_TARGET_MAX = 224 };

/* One disk or map. Goes through pipes: no pointers; what is not known is empty. */
struct scsi_disk {
	char name[32];            /* "sda", "nvme0n1", "dm-3" */
	char wwid[DISK_WWID_MAX]; /* as udev's scsi_id and multipath write it: "36001405..." (NAA), "2..." (EUI-64);
				     "eui...." of NVMe */
	char vendor[DISK_TEXT_MAX], model[DISK_TEXT_MAX], serial[DISK_TEXT_MAX];
	char transport[16]; /* "iscsi", "fc", "sas", "ata", "usb", "scsi", "virtio", "nvme"; "multipath": a map */
	char address[32];   /* H:C:T:L; only SCSI */
	uint64_t lun;       /* its L */
	char target[DISK_TARGET_MAX]; /* iSCSI: the target's name; FC: the port's WWPN */
	char portal[DISK_TEXT_MAX];   /* iSCSI: "192.0.2.60:3260" */
	char session[DISK_TEXT_MAX];  /* iSCSI: "session3" */
	char state[DISK_TEXT_MAX];    /* SCSI, NVMe: "running", "offline", "transport-offline", "live" */
	char map[DISK_TEXT_MAX * 2];  /* of a map: the name device mapper has for it, as below /dev/mapper */
	char holder[DISK_TEXT_MAX];   /* what stands on it: "dm-3"; of a path, its map */
	uint64_t size;                /* bytes */
	uint64_t device;              /* dev_t */
	uint64_t sequence;            /* which instance this is, until the next boot: never used again for another */
	bool read_only;
};

/* All of them, by name as a person would order them (sda, sdb, sdaa). `sys` is where sysfs is: "/sys". Returns 0 or
 * -errno; the array is the caller's to free. */
int scsi_disks(const char *sys, struct scsi_disk **ret, size_t *ret_n);
/* One of them, by its kernel's name; false if there is no such disk. */
bool scsi_disk(const char *sys, const char *name, struct scsi_disk *ret);
/* The WWID out of the bytes of a vital product data page 0x83, in the order in which udev's scsi_id looks for one;
 * false if there is none in it. */
bool scsi_wwid_of_page(const uint8_t *page, size_t size, char ret[static DISK_WWID_MAX]);

#endif
