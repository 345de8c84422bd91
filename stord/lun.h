/* SPDX-License-Identifier: Apache-2.0 */
/* LUNs under names that last: resource lun/NAME, the link /dev/weft/lun/NAME to the disk with a WWID, or to the map of
 * its paths. udev keeps the link, by rules that weftd writes (lun-rules.c), so it is right at boot, after logout and
 * login and whatever order disks come in, also while weftd does not run. Which disk a name is bound to, and how large
 * it was, stands in luns/NAME.json in the state directory. */
#ifndef WEFT_STORD_LUN_H
#define WEFT_STORD_LUN_H

#include "core/resource.h"
#include "stord/multipath.h"
#include "stord/volume.h"

enum lun_use {
	LUN_EITHER, /* the map if there is one, else the disk */
	LUN_DISK,
	LUN_MAP,
};
extern const char *const lun_uses[3];

/* resource lun/NAME */
struct lun_state {
	uint64_t present;
	const char *wwid;   /* NULL: that of ... */
	const char *target; /* ... this target's ... */
	uint64_t number;    /* ... LUN */
	int use;
	uint64_t least;   /* bytes that it has at least */
	bool grown;       /* its map is as large as its paths */
	const char *disk; /* observed, as the rest */
	uint64_t size;
	const char *device;
	struct list paths; /* strings */
};
/* Its rows, as presence bits. */
enum {
	LUN_WWID = 1 << 0,
	LUN_TARGET = 1 << 1,
	LUN_NUMBER = 1 << 2,
	LUN_USE = 1 << 3,
	LUN_LEAST = 1 << 4,
	LUN_GROWN = 1 << 5,
	LUN_DISK_WWID = 1 << 6,
	LUN_SIZE = 1 << 7,
	LUN_DEVICE = 1 << 8,
	LUN_PATHS = 1 << 9,
};
extern const struct resource_class stord_lun_class;

/* Registers the fact "lun/NAME": the WWID that the name is bound to. */
void lun_start(void);
/* lun-list.c: looks anew at what disks there are, in a child. */
void lun_list_look(void);
void lun_list_stop(void);

/* ---- what the following files share; in children, but for what is pure ---- */

enum { LUN_NAME_MAX = 64, LUN_SENTENCE_MAX = 512, LUN_PATHS_MAX = 1024 };
#define LUN_LINKS "/dev/weft/lun"

/* What is remembered of a Lun. */
struct lun_record {
	char name[LUN_NAME_MAX], wwid[DISK_WWID_MAX];
	uint64_t size; /* bytes when it was seen last; 0: never seen */
	int use;
	bool map;                  /* a map of it was seen, or is wanted */
	bool made;                 /* multipathd would not have made it by itself */
	char paths[LUN_PATHS_MAX]; /* its paths when it had most of them, a space between two */
};
/* All that there is to judge by. */
struct lun_host {
	struct scsi_disk *disks;
	size_t n_disks;
	struct map_states maps;
	struct lun_record *records;
	size_t n_records, cap_records;
};
/* What there is of one Lun. Goes through a pipe. */
struct lun_seen {
	int code; /* of the sentence in `text`: it is not what it should be, and is not used */
	char text[LUN_SENTENCE_MAX];
	char wwid[DISK_WWID_MAX]; /* which disk it is; empty: not known yet */
	char device[32];          /* kernel's name of what the link is to point at; empty: it is not there */
	uint64_t size, incarnation;
	bool map;
	bool dead;     /* nothing of it works: no path of its map, or it is down itself */
	bool unmapped; /* its map is wanted, and there are only its paths */
	bool grown;
	int use;     /* as recorded */
	bool known;  /* it is recorded */
	bool linked; /* the link points there, and the rules keep it so */
	char paths[LUN_PATHS_MAX];
	char health[LUN_SENTENCE_MAX];
};

/* lun-judge.c: pure. Fills all but `use`, `known` and `linked`. */
void lun_judge(const struct lun_host *host, const char *name, const struct lun_state *state, struct lun_seen *ret);
struct lun_record *lun_record_find(const struct lun_host *host, const char *name);
/* "192.0.2.60:3260" of iSCSI, else H:C:T:L, else the disk's name: what a person knows a path by. */
const char *lun_path_name(const struct scsi_disk *disk);

/* Why a path carries nothing (`path` may be NULL); NULL if it does. */
const char *lun_path_fault(const struct scsi_disk *disk, const struct map_path *path);

/* lun-rules.c: pure: what udev and multipathd are told, from all records. Freed by the caller. */
char *lun_udev_rules(const struct lun_record *records, size_t n);
/* `others` is what multipathd is configured with by others: a WWID that stands there is left to them; `key` is what
 * this host's guests reserve disks with (lease-lun.c), 16 hexadecimal digits. */
char *lun_multipath_rules(const struct lun_record *records, size_t n, const char *others, const char *key);
/* Can it stand in such files as it is? */
bool lun_wwid_is_plain(const char *wwid);

/* lun-map.c: blocking. Has multipathd make the map that a Lun wants, whatever it is configured to do by itself; it is
 * given until until_ms to appear. False if it did not. */
bool lun_map_make(struct lun_host *host, const char *name, uint64_t until_ms);
/* The Lun of this record goes: so does what was made for it. */
void lun_map_unmake(const struct lun_host *host, const struct lun_record *record);

/* lun-host.c: blocking. */
void lun_host_read(struct lun_host *ret);
void lun_host_done(struct lun_host *host);
/* What is remembered of one Lun; false if nothing is. */
bool lun_record_read(const char *name, struct lun_record *ret);
/* The Lun's link leads to this device (the kernel's name), and our rules say so. */
bool lun_is_linked(const char *name, const char *device);
/* Another weftd of this host has it. */
bool lun_name_is_taken(const struct lun_host *host, const char *name);
/* Remembers. 0 or a positive errno, said. */
int lun_record_write(struct lun_host *host, const struct lun_record *record);
/* Forgets: first what rules are made of, and the file when they have been made. 0 or a positive errno. */
void lun_record_drop(struct lun_host *host, const char *name);
int lun_record_remove(const char *name);
/* Write the rules as the records now want them, and let udev and multipathd read them. What could not be done is said
 * in ret (empty if all was). */
void lun_tell_udev(const struct lun_host *host, char ret[static LUN_SENTENCE_MAX]);
void lun_tell_multipathd(const struct lun_host *host, char ret[static LUN_SENTENCE_MAX]);
/* Lets udev look at a device (the kernel's name) anew, or, without one, at what the Lun's link leads to. */
void lun_ask_udev(const char *name, const char *device);
/* Waits until the link of a name leads to the device, or, if that is NULL, is gone; without udev it makes it so. False
 * if it did not happen in time. */
bool lun_wait_linked(const char *name, const char *device, uint64_t until_ms);

#endif
