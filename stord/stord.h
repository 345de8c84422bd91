/* SPDX-License-Identifier: Apache-2.0 */
/* Storage as the daemon sees it: started once its lanes exist. Also what the files of this directory share: what is
 * remembered of images and pools between operations. */
#ifndef WEFT_STORD_STORD_H
#define WEFT_STORD_STORD_H

#include <jansson.h>

#include "core/resource.h"
#include "stord/image.h"

/* Registers facts; from here on events mark the engine's resources dirty. */
int stord_start(struct engine *engine, struct err *err);
void stord_stop(void);
/* What disks there are, named or not, as seen last; at once, whatever storage does: {"luns": [{"name" of the Lun,
 * "wwid", "device" (null: it is away), "size" in bytes, "vendor", "model", "serial", "transport", "readOnly", "target",
 * "lun", "map", "policy", "queueing", "content", "paths": [{"name", "device", "state": "up" or what is wrong,
 * "address", "target", "session", "kernel", "checker"}], "users": ["Guest db", "volume group vg0", "mount /srv"]}],
 * "seen" (wall clock in ms), "note"}; what is not known is left out. */
json_t *stord_luns(struct engine *engine);
/* calm.c: resource_class.calm for all of storage. Asked again until it says so. */
bool stord_calm(uint64_t since_ms);
/* Says what it finds of this host; see core/doctor.h. */
struct doctor;
void stord_doctor(struct doctor *d);
void stord_doctor_iscsi(struct doctor *d);
void stord_doctor_lvm(struct doctor *d);

/* resource pool/NAME: a place for volumes, see pool-type.h. */
struct pool_state {
	uint64_t present;
	int type;                     /* index of pool_types */
	const char *place, *source;   /* see struct pool_plan */
	void *own;                    /* the type's own struct */
	uint64_t capacity, available; /* bytes; observed */
	const char *last_seen;        /* when it worked last; only while it does not */
	const char *location;         /* as source, to be shown */
	struct list devices;          /* observed: block devices that it stands on */
	bool active;                  /* it is in use on this host */
	const char *identity;         /* which thing it has been; wanted of those that an earlier weftd knew by it */
	bool grown;                   /* it uses all that its devices have */
};
/* Its rows, as presence bits. */
enum {
	POOL_TYPE = 1 << 0,
	POOL_PLACE = 1 << 1,
	POOL_SOURCE = 1 << 2,
	POOL_OWN = 1 << 3,
	POOL_CAPACITY = 1 << 4,
	POOL_AVAILABLE = 1 << 5,
	POOL_LAST_SEEN = 1 << 6,
	POOL_LOCATION = 1 << 7,
	POOL_DEVICES = 1 << 8,
	POOL_ACTIVE = 1 << 9, /* wanted where a pool may be there without being in use */
	POOL_IDENTITY = 1 << 10,
	POOL_GROWN = 1 << 11,                             /* wanted where its devices may grow */
	POOL_WANTED = POOL_TYPE | POOL_SOURCE | POOL_OWN, /* and POOL_PLACE where it has one */
};

/* resource volume/POOL/NAME: a volume in it. */
enum reclaim { RECLAIM_KEEP, RECLAIM_DELETE };
extern const char *const reclaims[2];
struct volume_state {
	uint64_t present;
	int type;          /* of its pool */
	const char *place; /* file or block device, absolute; or what else its pool type calls it */
	void *own;         /* what its pool type needs to know beside that; mostly nothing */
	int format;        /* enum image_format */
	uint64_t size;     /* 0: that of what it begins as */
	int preallocation, reclaim;
	const char *source, *source_sha256; /* the file it begins as a copy of; NULL: none */
	int source_format;
	const char *base; /* place of the volume of its pool that it is a linked clone of; NULL: none */
	int base_format;
	const char *clone;            /* place of the volume that it begins as a full copy of; NULL: none */
	int clone_format, clone_type; /* that one's, and its pool's */
	uint64_t allocated;           /* observed */
	const char *backing;          /* observed: place of what it is based on */
	uint32_t snapshots;           /* observed */
	bool adopt;                   /* what another weft made is used as well, and stays that one's */
	bool active;                  /* its device is there */
};
enum {
	VOLUME_TYPE = 1 << 0,
	VOLUME_PLACE = 1 << 1,
	VOLUME_OWN = 1 << 2,
	VOLUME_FORMAT = 1 << 3,
	VOLUME_SIZE = 1 << 4,
	VOLUME_PREALLOCATION = 1 << 5,
	VOLUME_RECLAIM = 1 << 6,
	VOLUME_SOURCE = 1 << 7,
	VOLUME_SOURCE_SHA256 = 1 << 8,
	VOLUME_SOURCE_FORMAT = 1 << 9,
	VOLUME_ALLOCATED = 1 << 10,
	VOLUME_BACKING = 1 << 11,
	VOLUME_BASE = 1 << 12,
	VOLUME_BASE_FORMAT = 1 << 13,
	VOLUME_CLONE = 1 << 14,
	VOLUME_CLONE_FORMAT = 1 << 15,
	VOLUME_CLONE_TYPE = 1 << 16,
	VOLUME_SNAPSHOTS = 1 << 17,
	VOLUME_ADOPT = 1 << 18,
	VOLUME_ACTIVE = 1 << 19, /* wanted where a volume may be there without its device */
	VOLUME_WANTED =
		VOLUME_TYPE | VOLUME_PLACE | VOLUME_FORMAT | VOLUME_SIZE | VOLUME_PREALLOCATION | VOLUME_RECLAIM,
};

extern const struct resource_class stord_pool_class, stord_volume_class;

/* pool.c: which thing a Pool has been ever since it was there first, out of what is kept of it (op->identity,
 * resource_view.identity); NULL: that is not known. */
const char *pool_identity(const struct pool_state *spec, const char *kept, struct arena *arena);

/* volume.c: a running guest that has what is at `place` open for writing hears how large it is by now. */
void volume_tell_user(const char *place, uint64_t size);
/* For other operations on volumes. Which queue they are in (`state`: as the volume is wanted; NULL: it is not); */
const char *volume_slot_of(const char *key, const struct volume_state *state);
/* and, in the child, whether a guest of another host is in the way: 0, or an errno after a sentence. */
struct volume_call;
int volume_check_use(const struct volume_call *call);

/* memory.c: what was last seen; answers the facts "image/PLACE" (a volume's size in bytes) and "pool/SOURCE"
 * ("present"), so that lowering can refuse what would shrink or lose what is there. */
void memory_put_image(const char *place, const struct image_state *state);
/* The stamp of the last look; zeroed if there was none. */
struct image_stamp memory_image(const char *place);
void memory_put_pool(const char *source, bool exists);
bool memory_has_pool(const char *source);
/* There is something, but not what the pool is; returns whether that was so before. */
bool memory_fault_pool(const char *source, bool fault);
void memory_start(void);
void memory_stop(void);

/* watch.c: inotify on the directories of local pools: an image that appears or vanishes is looked at. Idempotent;
 * watching again what is watched costs nothing. */
void watch_pool(struct engine *engine, const char *pool, const char *path);
/* The directory is not there: tells when it comes. */
void watch_for_pool(struct engine *engine, const char *pool, const char *path);
void unwatch_pool(const char *pool);
void watch_stop(void);

/* task.c: an operation whose work is one function in a child. */
struct task {
	struct op *op;
	struct child *child;
	void *input;     /* what the function gets; freed afterwards */
	bool keep_input; /* or not: it is the operation itself */
	bool patient;    /* it may take as long as it likes: the deadline is for how long it stands still */
	/* Called with what the function wrote, when it returned 0; completes the op. */
	void (*finish)(struct task *task, const void *output, size_t size);
	/* Called instead when it took too long and was killed; completes the op. NULL: it fails in general words. */
	void (*late)(struct task *task);
	/* The same when the work itself said ETIMEDOUT, with its sentence. */
	void (*gave_up)(struct task *task, const char *said);
	/* task.c's own. */
	int (*work)(void *input, int out_fd);
	struct progress *progress;
	struct task *next;
};
void task_start(struct task task, int (*work)(void *input, int out_fd), unsigned deadline_ms);
/* How far an operation is that changes a resource: "copying: 43 %", valid until the next call; NULL if there is none or
 * it has not said (progress.h). */
const char *task_progress(const struct resource_class *class, const char *key);
/* For async_verbs.cancel. */
void task_cancel(struct op *op);

#endif
