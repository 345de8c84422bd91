/* SPDX-License-Identifier: Apache-2.0 */
/* Image files in a directory, worked on by blocking calls: everything declared here runs in a child (child_call), never
 * in the daemon's own process. Functions return 0 or a positive errno, and on failure write one sentence to standard
 * error, which becomes the operation's error. */
#ifndef WEFT_STORD_IMAGE_H
#define WEFT_STORD_IMAGE_H

#include "core/util.h"

struct stat;

/* The first two are what volumes can be, all are what one can be made out of. */
enum image_format { IMAGE_RAW, IMAGE_QCOW2, IMAGE_VMDK, IMAGE_VDI, IMAGE_VHDX };
extern const char *const image_formats[2], *const image_source_formats[5];
enum image_preallocation { PREALLOCATION_OFF, PREALLOCATION_METADATA, PREALLOCATION_FALLOC, PREALLOCATION_FULL };
extern const char *const image_preallocations[4];

enum { IMAGE_MARK_MAX = 200, IMAGE_TEXT_MAX = 512, SNAPSHOT_NAME_MAX = 64 };

/* Which state of a file was looked into, so that it is not looked into again: qemu-img costs 15 ms, a stat none. */
struct image_stamp {
	uint64_t device, inode, changed_ns, bytes;
	uint64_t size; /* what was found inside: the disk's size */
	uint32_t n_snapshots;
	char backing[IMAGE_TEXT_MAX]; /* absolute, or what else the place of another volume is; empty: none */
};

/* What there is under an image's name. */
struct image_state {
	bool exists;
	bool regular;              /* else a symbolic link, a directory ...: never ours */
	bool readable;             /* the content is an image of that format; `problem` says why not */
	bool inactive;             /* it is there, but its device is not */
	char mark[IMAGE_MARK_MAX]; /* empty: none */
	uint64_t size, allocated;
	bool allocation_unknown; /* it would cost too much to find out */
	struct image_stamp stamp;
	uint64_t grain; /* sizes are multiples of this: one that is larger by less is as wanted; 0: of a byte */
	char problem[IMAGE_TEXT_MAX];
	char remedy[IMAGE_TEXT_MAX]; /* what to do about it; empty: what is done about any that is broken */
	char health[IMAGE_TEXT_MAX]; /* what is wrong although it is whole; empty: nothing */
};

/* One image and what is wanted of it. Strings are borrowed. */
struct image {
	const char *dir, *file; /* absolute directory; name in it */
	enum image_format format;
	enum image_preallocation preallocation;
	uint64_t size;             /* 0: that of what it begins as */
	const char *source;        /* absolute path of an image to begin as a copy of; NULL: empty */
	const char *source_sha256; /* hex; NULL: not checked */
	enum image_format source_format;
	bool source_is_volume; /* another volume of ours, which may be a device or stand on a base of its own */
	const char *base;      /* name of an image in `dir` that it is a linked clone of; NULL: none */
	enum image_format base_format;
	const char *mark;         /* "weft:ID:Volume/web" */
	const char *instance;     /* ID; part of temporary names */
	struct image_stamp known; /* of the last look; zeroed if there was none */
};

int image_look(const struct image *image, struct image_state *ret);
/* Makes it under a temporary name, marks it, gives it to weft-qemu and renames it, never over anything. */
int image_make(const struct image *image);
/* What is known of an empty one that was just made: looking into it would cost as much as making it. */
void image_made_empty(const struct image *image, struct image_stamp *ret);
/* Checks the source and copies it over what `file` is: a block device, which is there. */
int image_fill(const struct image *image);
/* Marks it (when it is adopted, and is no other weft's) and makes it at least `size` large. Never smaller. */
int image_change(const struct image *image, bool grow);
/* Deletes it if its mark is of our instance; what is not there is fine. */
int image_delete(const struct image *image);
/* Its snapshots, which only qcow2 has; struct volume_snapshots is in pool-type.h. */
struct volume_snapshots;
int image_snapshots(const struct image *image, struct volume_snapshots *ret);
enum image_snapshot_verb { SNAPSHOT_MAKE, SNAPSHOT_REVERT, SNAPSHOT_REMOVE };
int image_snapshot(const struct image *image, enum image_snapshot_verb verb, const char *name);
/* Deletes what an interrupted image_make() of this instance has left in a directory. */
int image_sweep(const char *dir, const char *instance);

/* Before a guest uses what is at `place`, a moment's look: EUCLEAN after a sentence if it is not whole, shrank, or
 * would have files opened that it names. */
int image_check_use(const char *place);
/* Of what is at `place`, which is to be written: 0 unless there are linked clones of it, whoever made them and whether
 * or not anybody wants them: then EBUSY after a sentence. Other images are read only if it ever had one. */
int image_check_base(const char *place);

/* mark.c: marks on files and directories: an extended attribute, else a hidden file beside it (.NAME.weft) that names
 * the inode. */
enum mark {
	MARK_OWNER, /* user.weft, "weft:ID:Volume/web" */
	MARK_BASE,  /* user.weft-base: there has been a linked clone of it */
	MARK_SIZE,  /* user.weft-size: the largest that its disk was seen, in bytes */
};
struct marked {
	int dir_fd;
	const char *file; /* in it */
	int fd;           /* of the file */
};
int mark_read(enum mark mark, const struct marked *on, char ret[static IMAGE_MARK_MAX]);
int mark_write(enum mark mark, const struct marked *on, const char *text);
void mark_remove(enum mark mark, const struct marked *on);
void mark_remove_all(const struct marked *on);
/* The owner's of a directory: an attribute or nothing. */
void mark_read_directory(int fd, char ret[static IMAGE_MARK_MAX]);
void mark_write_directory(int fd, const char *mark);

/* run.c: runs a program to its end; `out` and `errs` (bounded, NUL-terminated) may be NULL. Returns its exit status,
 * -errno when it could not be run. */
int run_program(const char *const *argv, char **out, char **errs);
/* The same with a descriptor as standard input, such as that of a secret. */
int run_program_from(int in_fd, const char *const *argv, char **out, char **errs);
/* The same with all there is to say about it. */
struct program {
	const char *const *argv;
	int in_fd;          /* standard input; 0: as it is */
	char **out, **errs; /* as above */
	bool whole;         /* it must not be killed in the middle: it goes on when its caller has to end */
	int number_fd;      /* its process's number (pid_t) is written here before it begins; 0: nowhere */
	/* Called every now and then while it runs, with what it has written so far in out_fd (pread); NULL: not. */
	void (*tick)(void *ctx, pid_t pid, int out_fd);
	void *ctx;
};
int run_it(const struct program *program);
/* Waits, in a child, until nobody else has what is opened here locked. Flags are open()'s. Returns the descriptor that
 * is closed to unlock; -1 where it cannot be had. */
int lock_wait(const char *path, int flags);
/* Writes a sentence to standard error; returns code. */
int say(int code, const char *fmt, ...) printf_like(2, 3);

#endif
