/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of images: those that qcow2 keeps inside of the file. They need no further files, so nothing has to follow
 * when an image is moved or a guest is started, and a running QEMU can make and remove them. Raw images have none.
 *
 * While qemu-img is at an image, a note beside it says what it does there (".web.qcow2.ID.weft-begun"). One that is
 * found when the image is looked at tells of an interruption: space that belongs to nobody is given back then, and what
 * was half reverted is reverted. */
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "stord/image-internal.h"
#include "stord/pool-type.h"

static char *note_name(const struct image *image)
{
	return xprintf(".%s.%s.weft-begun", image->file, image->instance);
}

static int write_note(const struct image *image, int dir_fd, const char *what)
{
	cleanup_free char *name = note_name(image);
	cleanup_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || dprintf(fd, "%s\n", what) < 0 || fsync(fd) < 0 || fsync(dir_fd) < 0) {
		int code = errno;
		unlinkat(dir_fd, name, 0);
		return code == ENOSPC ? tool_no_room(image)
				      : say(code, "'%s/%s' cannot be written: %s", image->dir, name, strerror(code));
	}
	return 0;
}

/* qemu-img snapshot -q -a NAME --image-opts driver=qcow2,file.driver=file,file.filename=FILE
 * It has no way to say the format other than this one. */
static int change_snapshot(const struct image *image, const char *option, const char *name)
{
	cleanup_free char *path = image_path(image, image->file), *quoted = xcalloc(2 * strlen(path) + 1, 1);
	for (char *from = path, *to = quoted; *from; from++) {
		*to++ = *from;
		if (*from == ',')
			*to++ = ',';
	}
	cleanup_free char *opened = xprintf("driver=qcow2,file.driver=file,file.filename=%s", quoted), *errs = NULL;
	const char *argv[] = {"qemu-img", "snapshot", "-q", option, name, "--image-opts", opened, NULL};
	int status = run_program(argv, NULL, &errs);
	return status == 0 ? 0 : tool_failed(image, status, errs);
}

/* What is behind the last cluster in use is nobody's, unless somebody has the image open by now: QEMU locks these bytes
 * of what it has open. */
static void cut_to(const char *path, uint64_t end)
{
	struct stat st;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 200};
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0 && fstat(fd, &st) == 0 && end && (uint64_t)st.st_size > end &&
	    ftruncate(fd, (off_t)end) < 0)
		say(errno, "'%s' cannot be cut to what is in use: %s", path, strerror(errno));
}

/* qemu-img check --output=json -r leaks -f qcow2 FILE
 * {"image-end-offset": 262144, "check-errors": 0, ...}, and 0 if all is well by then */
static void give_back_leaks(const struct image *image)
{
	cleanup_free char *path = image_path(image, image->file), *out = NULL, *errs = NULL;
	const char *argv[] = {"qemu-img", "check", "--output=json", "-r", "leaks", "-f", "qcow2", path, NULL};
	if (run_program(argv, &out, &errs) != 0)
		return;
	json_t *check = json_loads(out, 0, NULL);
	cut_to(path, (uint64_t)json_integer_value(json_object_get(check, "image-end-offset")));
	json_decref(check);
}

int image_begin(const struct image *image, const char *what)
{
	cleanup_close int dir_fd = image_open_dir(image->dir);
	if (dir_fd < 0)
		return say(errno, "directory '%s' cannot be opened: %s", image->dir, strerror(errno));
	return write_note(image, dir_fd, what);
}

void image_end(const struct image *image, int code)
{
	cleanup_close int dir_fd = image_open_dir(image->dir);
	cleanup_free char *name = note_name(image);
	if (code && image->format == IMAGE_QCOW2)
		give_back_leaks(image);
	unlinkat(dir_fd, name, 0);
}

/* It goes back to the size of then. */
static void forget_size(const struct image *image)
{
	struct stat st;
	cleanup_close int dir_fd = image_open_dir(image->dir);
	cleanup_close int fd = image_open(dir_fd, image->file, O_RDONLY, &st);
	if (fd >= 0)
		mark_remove(MARK_SIZE, &(struct marked){dir_fd, image->file, fd});
}

void image_mend(const struct image *image, int dir_fd)
{
	struct stat st;
	char text[SNAPSHOT_NAME_MAX + 32] = "";
	cleanup_free char *name = note_name(image);
	cleanup_close int fd = image_open(dir_fd, name, O_RDONLY, &st);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return;
	text[strcspn(text, "\n")] = '\0';
	int code = 0;
	if (str_starts(text, "revert ")) {
		forget_size(image);
		code = change_snapshot(image, "-a", text + strlen("revert "));
	}
	if (code != EBUSY) /* a guest that has it open by now is left alone; the next look may find it closed */
		image_end(image, EINTR);
}

static void add(struct volume_snapshots *list, const json_t *item)
{
	const char *name = json_string_value(json_object_get(item, "name"));
	if (!name || strlen(name) >= SNAPSHOT_NAME_MAX)
		return;
	grow(list->items, list->n, list->cap);
	struct volume_snapshot *snapshot = &list->items[list->n++];
	*snapshot = (struct volume_snapshot){
		.made_s = (uint64_t)json_integer_value(json_object_get(item, "date-sec")),
	};
	snprintf(snapshot->name, sizeof(snapshot->name), "%s", name);
}

/* qemu-img info --output=json -U -f qcow2 FILE
 * {"snapshots": [{"id": "1", "name": "before", "date-sec": 1767225600, ...}], ...} */
int image_snapshots(const struct image *image, struct volume_snapshots *ret)
{
	cleanup_free char *path = image_path(image, image->file), *out = NULL, *errs = NULL;
	const char *argv[] = {"qemu-img", "info", "--output=json", "-U", "-f", "qcow2", path, NULL};
	if (image->format != IMAGE_QCOW2)
		return say(ENOTSUP,
			   "'%s/%s' is a raw image, and such have no snapshots: make a Volume with `clone` of it and "
			   "format: qcow2, and use that",
			   image->dir, image->file);
	int status = run_program(argv, &out, &errs);
	if (status != 0)
		return tool_failed(image, status, errs);
	json_t *info = json_loads(out, 0, NULL), *item;
	size_t i;
	json_array_foreach(json_object_get(info, "snapshots"), i, item)
		add(ret, item);
	json_decref(info);
	return 0;
}

static int has_snapshot(const struct image *image, const char *name, bool *ret)
{
	struct volume_snapshots list = {0};
	int code = image_snapshots(image, &list);
	*ret = false;
	for (size_t i = 0; i < list.n; i++)
		*ret |= streq(list.items[i].name, name);
	free(list.items);
	return code;
}

/* There is no telling what a snapshot will take. */
static struct image without_size(const struct image *image)
{
	struct image copy = *image;
	copy.size = 0;
	copy.source = NULL;
	return copy;
}

static int check_clones(const struct image *image, const char *what)
{
	cleanup_close int dir_fd = image_open_dir(image->dir);
	return image_check_clones(image->dir, dir_fd, image->file, what);
}

int image_snapshot(const struct image *of, enum image_snapshot_verb verb, const char *name)
{
	const struct image sizeless = without_size(of), *image = &sizeless;
	static const struct {
		const char *option, *word;
	} verbs[] = {[SNAPSHOT_MAKE] = {"-c", "make"},
		     [SNAPSHOT_REVERT] = {"-a", "revert"},
		     [SNAPSHOT_REMOVE] = {"-d", "remove"}};
	struct image_state state;
	bool there;
	int code = image_look(image, &state);
	if (!code && (!state.exists || !state.readable || !streq(state.mark, image->mark)))
		code = say(EPERM, "image '%s/%s' is not there, not whole or not this weft's", image->dir, image->file);
	if (!code)
		code = image_check_backing(image, &state);
	if (!code)
		code = has_snapshot(image, name, &there);
	if (!code && verb != SNAPSHOT_MAKE)
		code = check_clones(image, verb == SNAPSHOT_REVERT ? "reverted" : "changed");
	if (code)
		return code;
	if (verb == SNAPSHOT_MAKE && there)
		return say(EEXIST, "image '%s' has a snapshot '%s' already", image->file, name);
	if (verb != SNAPSHOT_MAKE && !there)
		return say(ENOENT, "image '%s' has no snapshot '%s'", image->file, name);
	cleanup_free char *what = xprintf("%s %s", verbs[verb].word, name);
	tool_note_room(image->dir);
	code = image_begin(image, what);
	if (code)
		return code;
	if (verb == SNAPSHOT_REVERT)
		forget_size(image);
	code = change_snapshot(image, verbs[verb].option, name);
	image_end(image, code);
	return code;
}
