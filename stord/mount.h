/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts that pools stand on: resource mount/POOL. What a pool type wants mounted it says with mount_want(). */
#ifndef WEFT_STORD_MOUNT_H
#define WEFT_STORD_MOUNT_H

#include "core/lower.h"

struct mount_state {
	uint64_t present;
	const char *where;   /* directory, absolute */
	const char *what;    /* "192.0.2.50:/exports/images", "UUID=...", "/dev/sdb1" */
	const char *fs_type; /* "nfs", "ext4"; "auto": whatever is found there */
	struct list options; /* const char *: beside nosuid, nodev and noexec, which all have */
};

extern const struct resource_class stord_mount_class;

/* Wants a pool's mount. It is at mounts/POOL in the state directory, returned as ret_where. `options` are what a person
 * wrote and what the type adds. */
struct mount_plan {
	const char *pool, *what, *fs_type;
	const struct list *options; /* as a person wrote them */
	const char *more[2];        /* what the type adds; NULL: nothing */
};
struct want *mount_want(struct lowering *l, const struct mount_plan *plan, const char **ret_where);
/* Rules for options that a person writes; faults at `path`. */
void mount_check_options(const struct check *check, const struct list *options, const char *path);

/* mountinfo.c: what the kernel says is mounted. Reading it touches no filesystem, so it never hangs. */
struct mount_seen {
	bool exists;
	uint64_t incarnation;
	bool other_device;                           /* not the one that is wanted; not set by mountinfo_find() */
	char what[1024], fs_type[64], options[2048]; /* options: those of the mount and those of the filesystem */
};
/* The uppermost mount at a directory. 0 or -errno. */
int mountinfo_find(const char *where, struct mount_seen *ret);
/* Is something mounted at the directory, or is it none of ours? Otherwise an image would be made, or missed, in the
 * empty directory below. check() is for children: 0, or ENOTCONN and it was said. */
bool mountinfo_is_there(const char *dir);
int mountinfo_check(const char *dir);
/* Is the option, of those that are shown, there, or at least not contradicted? Some are never shown. */
bool mountinfo_has_option(const struct mount_seen *seen, const char *option);
/* Marks mount/KEY (and pool/KEY) dirty when what is mounted at `where` becomes another or none. Idempotent. */
void mountinfo_watch(struct engine *engine, const char *key, const char *where);
void mountinfo_unwatch(const char *key);
void mountinfo_stop(void);

#endif
