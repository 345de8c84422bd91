/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about images share; nobody else includes this. As in image.h: blocking, for children, sentences on
 * standard error. */
#ifndef WEFT_STORD_IMAGE_INTERNAL_H
#define WEFT_STORD_IMAGE_INTERNAL_H

#include "stord/image.h"

static inline char *image_path(const struct image *image, const char *file)
{
	return xprintf("%s/%s", image->dir, file);
}
/* What it is called until it is whole, ".web.qcow2.ID.weft-new": hidden, and known as ours by its instance. */
static inline char *image_temporary(const struct image *image)
{
	return xprintf(".%s.%s.weft-new", image->file, image->instance);
}
int image_open_dir(const char *dir);
/* Opens what must be a regular file, not through a link. Returns the descriptor or -errno. */
int image_open(int dir_fd, const char *file, int flags, struct stat *st);
/* Images belong to the user that QEMU runs as; where it does not exist yet they stay root's, and are passed to QEMU
 * open. */
int image_give_to_qemu(const struct image *image, int fd);

/* image-make.c: is it there, an image of that format that needs no other file, and no larger than is wanted? Sets its
 * disk's size. */
int image_check_source(const struct image *image, uint64_t *ret_size);
/* image-header.c: what an image needs beside itself, read from its first bytes before any tool opens it, and with it
 * whatever it names. */
struct image_needs {
	char backing[IMAGE_TEXT_MAX]; /* as it is written there; empty: none */
	char backing_format[16];      /* likewise; empty: it would be guessed */
	bool other;                   /* data or extents in other files */
};
/* 0, or an errno with nothing said. What does not look like the format needs nothing: tools will tell. */
int image_read_needs(const char *path, enum image_format format, struct image_needs *ret);
int image_read_needs_of(int fd, enum image_format format, struct image_needs *ret);
/* Does the file end before what its tables say? As far as can be told without reading all of them. */
bool image_is_cut(int fd, enum image_format format);
/* Its disk's size, as its header has it; 0: not known. */
uint64_t image_read_size(int fd, enum image_format format);
/* Names, at most a few, of the images in a directory that are linked clones of one of its files; empty: none. */
void image_find_clones(int dir_fd, const char *file, char ret[static IMAGE_TEXT_MAX]);
/* image.c: EBUSY after a sentence if there are any; `what` is not done to it then: "deleted". */
int image_check_clones(const char *dir, int dir_fd, const char *file, const char *what);
/* Tools open what an image that was looked at says of its base; EINVAL after a sentence if that is not image->base. */
int image_check_backing(const struct image *image, const struct image_state *state);

/* image-snapshot.c: notes of what is being done to an image in place. 0, or an errno after a sentence. */
int image_begin(const struct image *image, const char *what);
/* It is done, or failed with `code`: then what it left is cleared away. */
void image_end(const struct image *image, int code);
/* If it was interrupted it is brought to an end. */
void image_mend(const struct image *image, int dir_fd);

/* tool.c */
struct tool_info {
	uint64_t size;
	uint32_t n_snapshots;
	char backing[IMAGE_TEXT_MAX];     /* another image or data file that it needs, absolute; empty: none */
	char problem[2 * IMAGE_TEXT_MAX]; /* set on failure: why it is not an image of that format */
};
/* What is inside; 0, or an errno with `problem` set and nothing said. */
int tool_look(const char *path, enum image_format format, struct tool_info *ret);
int tool_create(const struct image *image, const char *file);
int tool_resize(const struct image *image, const char *file);
/* Copies image->source into a new file of image->format. */
int tool_convert(const struct image *image, const char *file);
/* Copies it over image->file, which is there. */
int tool_overwrite(const struct image *image);
/* sha256sum of a file: 64 hexadecimal digits, freed by the caller. */
int tool_sha256(const char *path, char **ret);
/* Turns what qemu-img said into an errno and a sentence. */
int tool_failed(const struct image *image, int status, char *errs);
/* Says that a guest uses it, and returns an errno. */
int tool_in_use(const char *name);
/* The tick of a `qemu-img convert -p`: says how far it is. */
void tool_tell_copied(void *ctx, pid_t pid, int out_fd);
/* How much is free before something is begun. */
void tool_note_room(const char *dir);
/* Is there room for so much more, where all of it is allocated? Else ENOSPC after a sentence: failing half-way would
 * leave space taken that has to be found again. */
int tool_check_room(const struct image *image, uint64_t bytes);
/* What qemu-img complained about, out of all that it said, which is changed. */
const char *tool_reason(char *errs);
/* Says that there is not enough room; returns ENOSPC. */
int tool_no_room(const struct image *image);
/* "64.0 MiB"; returns buf. */
const char *tool_size_text(uint64_t bytes, char buf[static 32]);

#endif
