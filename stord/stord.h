/* SPDX-License-Identifier: Apache-2.0 */
/* Storage as the daemon sees it: started once its lanes exist. Also what the files of this directory share: what is
 * remembered of images and pools between operations. */
#ifndef WEFT_STORD_STORD_H
#define WEFT_STORD_STORD_H

#include "core/resource.h"
#include "stord/image.h"

/* Registers facts; from here on events mark the engine's resources dirty. */
int stord_start(struct engine *engine, struct err *err);
void stord_stop(void);
/* Says what it finds of this host; see core/doctor.h. */
struct doctor;
void stord_doctor(struct doctor *d);

/* resource pool/NAME: a directory. */
enum pool_type { POOL_DIR };
extern const char *const pool_types[1];
struct pool_state {
	uint64_t present;
	int type;
	const char *path;             /* absolute, normal form */
	uint64_t capacity, available; /* bytes; observed */
};

/* resource volume/POOL/NAME: an image file in it. */
enum reclaim { RECLAIM_KEEP, RECLAIM_DELETE };
extern const char *const reclaims[2];
struct volume_state {
	uint64_t present;
	const char *file; /* absolute */
	int format;       /* enum image_format */
	uint64_t size;
	int preallocation, reclaim;
	const char *source, *source_sha256; /* what it began as a copy of; NULL: empty */
	int source_format;
	uint64_t allocated;  /* observed */
	const char *backing; /* observed */
};

extern const struct resource_class stord_pool_class, stord_volume_class;

/* memory.c: what was last seen, by path; answers the facts "image/PATH" (its size in bytes) and "pool/PATH"
 * ("present"), so that lowering can refuse what would shrink or lose an image that is there. */
void memory_put_image(const char *path, const struct image_state *state);
/* The stamp of the last look; zeroed if there was none. */
struct image_stamp memory_image(const char *path);
void memory_put_pool(const char *path, bool exists);
bool memory_has_pool(const char *path);
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
	void *input; /* what the function gets; freed afterwards */
	/* Called with what the function wrote, when it returned 0; completes the op. */
	void (*finish)(struct task *task, const void *output, size_t size);
};
void task_start(struct task task, int (*work)(void *input, int out_fd), unsigned deadline_ms);
/* For async_verbs.cancel. */
void task_cancel(struct op *op);

#endif
