/* SPDX-License-Identifier: Apache-2.0 */
/* qemu-img: its command lines, and what it says turned into sentences of ours. The format is always told and never
 * guessed: what a guest writes into a raw disk could otherwise make it a qcow2 image that names the host's files as its
 * backing. */
#include <jansson.h>

#include "stord/image-internal.h"

const char *const image_formats[2] = {"raw", "qcow2"};
const char *const image_preallocations[3] = {"off", "metadata", "falloc"};

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
 *  "format-specific": {"data": {"data-file": "disk.bin", ...}}, ...} */
static int read_info(const char *text, struct tool_info *ret)
{
	json_t *info = json_loads(text, 0, NULL);
	json_t *size = json_object_get(info, "virtual-size");
	json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
	const char *backing = json_string_value(json_object_get(info, "backing-filename"));
	const char *data_file = json_string_value(json_object_get(data, "data-file"));
	bool whole = json_is_integer(size);
	ret->size = (uint64_t)json_integer_value(size);
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
	const char *argv[] = {"qemu-img", "info", "--output=json", "-U", "-f", image_formats[format], path, NULL};
	int status = run_program(argv, &out, &errs);
	if (status == 0)
		return read_info(out, ret);
	snprintf(ret->problem, sizeof(ret->problem), "%s", status < 0 ? strerror(-status) : tool_reason(errs));
	return EINVAL;
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

int tool_no_room(const struct image *image)
{
	cleanup_free char *out = NULL;
	char wanted[32], there[32] = "unknown";
	const char *argv[] = {"stat", "-f", "-c", "%a %S", image->dir, NULL};
	unsigned long long blocks, block_size;
	if (run_program(argv, &out, NULL) == 0 && sscanf(out, "%llu %llu", &blocks, &block_size) == 2)
		tool_size_text(blocks * block_size, there);
	return say(ENOSPC,
		   "there is no room in '%s' for an image of %s (%s are free): free some space, ask for less, or use "
		   "preallocation: off",
		   image->dir, tool_size_text(image->size, wanted), there);
}

/* Turns what qemu-img said into an errno and a sentence. */
static int tool_failed(const struct image *image, int status, char *errs)
{
	const char *reason = status < 0 ? strerror(-status) : tool_reason(errs);
	if (strstr(reason, "No space left on device"))
		return tool_no_room(image);
	if (strstr(reason, "Disk quota exceeded"))
		return say(EDQUOT, "the disk quota in '%s' does not allow image '%s': %s", image->dir, image->file,
			   reason);
	if (strstr(reason, "\"write\" lock") || strstr(reason, "Is another process using the image"))
		return say(EBUSY, "image '%s' is in use by a running guest; it grows once the guest is off",
			   image->file);
	if (status == 127)
		return say(ENOENT, "the program 'qemu-img' cannot be run: %s", reason);
	return say(EIO, "image '%s': %s", image->file, reason);
}

/* qemu-img create -q -f qcow2 -o preallocation=off FILE SIZE */
int tool_create(const struct image *image, const char *file)
{
	cleanup_free char *path = image_path(image, file);
	cleanup_free char *options = xprintf("preallocation=%s", image_preallocations[image->preallocation]);
	cleanup_free char *size = xprintf("%llu", (unsigned long long)image->size), *errs = NULL;
	const char *argv[] = {"qemu-img", "create", "-q", "-f", image_formats[image->format],
			      "-o",       options,  path, size, NULL};
	int status = run_program(argv, NULL, &errs);
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
	int status = run_program(argv, NULL, &errs);
	return status == 0 ? 0 : tool_failed(image, status, errs);
}

/* qemu-img convert -q -f qcow2 -O raw -o preallocation=off SOURCE FILE */
int tool_convert(const struct image *image, const char *file)
{
	cleanup_free char *path = image_path(image, file), *errs = NULL;
	cleanup_free char *options = xprintf("preallocation=%s", image_preallocations[image->preallocation]);
	const char *argv[] = {"qemu-img",
			      "convert",
			      "-q",
			      "-f",
			      image_formats[image->source_format],
			      "-O",
			      image_formats[image->format],
			      "-o",
			      options,
			      image->source,
			      path,
			      NULL};
	int status = run_program(argv, NULL, &errs);
	return status == 0 ? 0 : tool_failed(image, status, errs);
}

/* qemu-img convert -q -n -f qcow2 -O raw SOURCE DEVICE */
int tool_overwrite(const struct image *image)
{
	cleanup_free char *path = image_path(image, image->file), *errs = NULL;
	const char *argv[] = {"qemu-img", "convert", "-q",          "-n", "-f", image_formats[image->source_format],
			      "-O",       "raw",     image->source, path, NULL};
	int status = run_program(argv, NULL, &errs);
	return status == 0 ? 0 : tool_failed(image, status, errs);
}
