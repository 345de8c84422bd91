/* SPDX-License-Identifier: Apache-2.0 */
/* qemu-img: its command lines, and what it says turned into sentences of ours. The format is always told and never
 * guessed: what a guest writes into a raw disk could otherwise make it a qcow2 image that names the host's files as its
 * backing. */
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "stord/image-internal.h"
#include "stord/progress.h"

const char *const image_formats[2] = {"raw", "qcow2"};
const char *const image_source_formats[5] = {"raw", "qcow2", "vmdk", "vdi", "vhdx"};
const char *const image_preallocations[4] = {"off", "metadata", "falloc", "full"};

/* qemu-img says "qemu-img: Could not open 'x': Image is not in qcow2 format": its name is dropped, the last line
 * kept. */
const char *tool_reason(char *errs)
{
	size_t len = strlen(errs);
	while (len > 0 && (errs[len - 1] == '\n' || errs[len - 1] == ' '))
		errs[--len] = '\0';
	char *line = strrchr(errs, '\n');
	line = line ? line + 1 : errs;
	return str_starts(line, "qemu-img: ") ? line + strlen("qemu-img: ") : line;
}

/* qemu-img info --output=json -U -f qcow2 FILE
 * {"virtual-size": 67108864, "format": "qcow2", "backing-filename": "base.qcow2",
 *  "full-backing-filename": "/images/base.qcow2", "snapshots": [...],
 *  "format-specific": {"data": {"data-file": "disk.bin", ...}}, ...} */
static int read_info(const char *text, struct tool_info *ret)
{
	json_t *info = json_loads(text, 0, NULL);
	json_t *size = json_object_get(info, "virtual-size");
	json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
	const char *backing = json_string_value(json_object_get(info, "full-backing-filename"));
	if (!backing)
		backing = json_string_value(json_object_get(info, "backing-filename"));
	const char *data_file = json_string_value(json_object_get(data, "data-file"));
	bool whole = json_is_integer(size);
	ret->size = (uint64_t)json_integer_value(size);
	ret->n_snapshots = (uint32_t)json_array_size(json_object_get(info, "snapshots"));
	snprintf(ret->backing, sizeof(ret->backing), "%s", backing ? backing : data_file ? data_file : "");
	if (!whole)
		snprintf(ret->problem, sizeof(ret->problem), "qemu-img does not tell its size");
	json_decref(info);
	return whole ? 0 : EINVAL;
}

int tool_look(const char *path, enum image_format format, struct tool_info *ret)
{
	*ret = (struct tool_info){0};
	cleanup_free char *out = NULL, *errs = NULL;
	const char *argv[] = {"qemu-img", "info", "--output=json", "-U", "-f", image_source_formats[format],
			      path,       NULL};
	int status = run_program(argv, &out, &errs);
	if (status == 0)
		return read_info(out, ret);
	const char *reason = status < 0 ? strerror(-status) : tool_reason(errs);
	snprintf(ret->problem, sizeof(ret->problem), "%s", *reason ? reason : "qemu-img was killed");
	return EINVAL;
}

/* qemu-img measure --output=json -f vmdk -O qcow2 SOURCE
 * {"required": 327680, "fully-allocated": 67436544} */
static uint64_t measure(const struct image *image)
{
	cleanup_free char *out = NULL;
	const char *argv[] = {"qemu-img",
			      "measure",
			      "--output=json",
			      "-f",
			      image_source_formats[image->source_format],
			      "-O",
			      image_formats[image->format],
			      image->source,
			      NULL};
	if (run_program(argv, &out, NULL) != 0)
		return 0;
	const bool whole = image->preallocation >= PREALLOCATION_FALLOC;
	json_t *sizes = json_loads(out, 0, NULL);
	json_int_t size = json_integer_value(json_object_get(sizes, whole ? "fully-allocated" : "required"));
	json_decref(sizes);
	return (uint64_t)size;
}

/* A size as people write it, rounded down to what two digits can say. */
const char *tool_size_text(uint64_t bytes, char buf[static 32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	snprintf(buf, 32, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

static uint64_t room; /* when it was begun: what is half-made goes again */

void tool_note_room(const char *dir)
{
	struct statvfs fs;
	room = statvfs(dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

int tool_check_room(const struct image *image, uint64_t bytes)
{
	bool all = image->preallocation == PREALLOCATION_FALLOC || image->preallocation == PREALLOCATION_FULL;
	return all && bytes > room ? tool_no_room(image) : 0;
}

int tool_no_room(const struct image *image)
{
	char wanted[32], there[32];
	uint64_t size = image->source ? measure(image) : 0;
	size = size ? size : image->size;
	tool_size_text(room, there);
	if (!size || image->preallocation == PREALLOCATION_OFF)
		return say(ENOSPC, "there is no room in '%s' for image '%s'%s%s (%s are free): free some space",
			   image->dir, image->file, size ? ", which needs " : "",
			   size ? tool_size_text(size, wanted) : "", there);
	return say(ENOSPC,
		   "there is no room in '%s' for image '%s', which needs %s (%s are free): free some space, ask for "
		   "less, or use "
		   "preallocation: off",
		   image->dir, image->file, tool_size_text(size, wanted), there);
}

int tool_in_use(const char *name)
{
	return say(EBUSY, "image '%s' is in use by a running guest; this is done once the guest is off", name);
}

/* Turns what qemu-img said into an errno and a sentence. */
int tool_failed(const struct image *image, int status, char *errs)
{
	const char *reason = status < 0 ? strerror(-status) : tool_reason(errs);
	if (strstr(reason, "No space left on device"))
		return tool_no_room(image);
	if (strstr(reason, "Disk quota exceeded"))
		return say(EDQUOT, "the disk quota in '%s' does not allow image '%s': %s", image->dir, image->file,
			   reason);
	if (strstr(reason, "\"write\" lock") || strstr(reason, "Is another process using the image"))
		return tool_in_use(image->source && strstr(reason, image->source) ? image->source : image->file);
	if (status == 127)
		return say(ENOENT, "the program 'qemu-img' cannot be run: %s", reason);
	return say(EIO, "image '%s': %s", image->file, reason);
}

/* What is allocated so far, of all that is to be. */
struct filling {
	const char *path;
	uint64_t size;
};

static void tell_filling(void *ctx, pid_t pid, int out_fd)
{
	const struct filling *filling = ctx;
	struct stat st;
	if (filling->size && stat(filling->path, &st) == 0)
		progress_say("allocating", 100.0 * (double)st.st_blocks * 512 / (double)filling->size);
}

/* qemu-img create -q -f qcow2 -o preallocation=off [-b base.qcow2 -F qcow2] FILE SIZE */
int tool_create(const struct image *image, const char *file)
{
	cleanup_free char *path = image_path(image, file);
	cleanup_free char *options = xprintf("preallocation=%s", image_preallocations[image->preallocation]);
	cleanup_free char *size = xprintf("%llu", (unsigned long long)image->size), *errs = NULL;
	const char *alone[] = {"qemu-img", "create", "-q", "-f", image_formats[image->format],
			       "-o",       options,  path, size, NULL};
	const char *linked[] = {"qemu-img",
				"create",
				"-q",
				"-f",
				image_formats[image->format],
				"-b",
				image->base,
				"-F",
				image_formats[image->base_format],
				path,
				image->size ? size : NULL,
				NULL};
	struct filling filling = {path, image->size};
	int status = run_it(&(struct program){
		.argv = image->base ? linked : alone, .errs = &errs, .tick = tell_filling, .ctx = &filling});
	return status == 0 ? 0 : tool_failed(image, status, errs);
}

/* qemu-img resize -q -f qcow2 [--preallocation=falloc] FILE SIZE */
int tool_resize(const struct image *image, const char *file)
{
	cleanup_free char *path = image_path(image, file), *errs = NULL;
	cleanup_free char *size = xprintf("%llu", (unsigned long long)image->size);
	cleanup_free char *preallocation = xprintf("--preallocation=%s", image_preallocations[image->preallocation]);
	const char *argv[] = {"qemu-img",    "resize", "-q", "-f", image_formats[image->format],
			      preallocation, path,     size, NULL};
	struct filling filling = {path, image->preallocation == PREALLOCATION_FULL ? image->size : 0};
	int status = run_it(&(struct program){.argv = argv, .errs = &errs, .tick = tell_filling, .ctx = &filling});
	return status == 0 ? 0 : tool_failed(image, status, errs);
}

/* "    (43.05/100%)\r", again and again; the last one counts. */
void tool_tell_copied(void *ctx, pid_t pid, int out_fd)
{
	char text[64];
	struct stat st;
	if (fstat(out_fd, &st) < 0)
		return;
	off_t from = st.st_size > (off_t)sizeof(text) - 1 ? st.st_size - ((off_t)sizeof(text) - 1) : 0;
	ssize_t n = pread(out_fd, text, sizeof(text) - 1, from);
	text[n > 0 ? n : 0] = '\0';
	const char *last = strrchr(text, '(');
	if (last && strchr(last, '/'))
		progress_say("copying", strtod(last + 1, NULL));
}

static int convert(const struct image *image, const char *const *argv)
{
	cleanup_free char *errs = NULL;
	int status = run_it(&(struct program){.argv = argv, .errs = &errs, .tick = tool_tell_copied});
	return status == 0 ? 0 : tool_failed(image, status, errs);
}

/* qemu-img convert -p -f vmdk -O raw -o preallocation=off SOURCE FILE */
int tool_convert(const struct image *image, const char *file)
{
	cleanup_free char *path = image_path(image, file);
	cleanup_free char *options = xprintf("preallocation=%s", image_preallocations[image->preallocation]);
	const char *argv[] = {"qemu-img",
			      "convert",
			      "-p",
			      "-f",
			      image_source_formats[image->source_format],
			      "-O",
			      image_formats[image->format],
			      "-o",
			      options,
			      image->source,
			      path,
			      NULL};
	return convert(image, argv);
}

/* qemu-img convert -p -n -f vmdk -O raw SOURCE DEVICE */
int tool_overwrite(const struct image *image)
{
	cleanup_free char *path = image_path(image, image->file);
	const char *format = image_source_formats[image->source_format];
	const char *argv[] = {"qemu-img", "convert", "-p", "-n", "-f", format, "-O", "raw", image->source, path, NULL};
	return convert(image, argv);
}

/* Where it is in the file, as the kernel knows: nobody else tells. */
static void tell_summed(void *ctx, pid_t pid, int out_fd)
{
	const uint64_t *size = ctx;
	cleanup_free char *path = xprintf("/proc/%d/fdinfo/0", (int)pid), *text = NULL;
	unsigned long long at;
	if (file_read(path, 4096, &text, NULL) == 0 && sscanf(text, "pos: %llu", &at) == 1 && *size)
		progress_say("checking its SHA-256", 100.0 * (double)at / (double)*size);
}

/* sha256sum --binary --zero <FILE
 * 9f86d0... *- */
int tool_sha256(const char *path, char **ret)
{
	cleanup_free char *out = NULL, *errs = NULL;
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return say(errno, "source '%s' cannot be read: %s", path, strerror(errno));
	uint64_t size = (uint64_t)st.st_size;
	const char *argv[] = {"sha256sum", "--binary", "--zero", NULL};
	int status = run_it(&(struct program){
		.argv = argv, .in_fd = fd, .out = &out, .errs = &errs, .tick = tell_summed, .ctx = &size});
	if (status != 0 || strlen(out) < 64)
		return say(EIO, "source '%s' cannot be read: %.*s", path, (int)strcspn(errs ? errs : "", "\n"),
			   errs ? errs : strerror(-status));
	*ret = xstrndup(out, 64);
	return 0;
}
