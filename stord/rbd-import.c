/* SPDX-License-Identifier: Apache-2.0 */
/* Copying an image file into an image of Ceph: qemu-img does it, which knows all formats and leaves out zeros. It gets
 * the key through its standard input. */
#include "core/env.h"
#include "stord/image-internal.h"
#include "stord/rbd-image.h"

static struct image source_of(const struct volume_call *call)
{
	const struct volume_state *state = call->state;
	return (struct image){
		.size = state->size,
		.source = state->clone ? state->clone : state->source,
		.source_sha256 = state->clone ? NULL : state->source_sha256,
		.source_format = (enum image_format)(state->clone ? state->clone_format : state->source_format),
		.source_is_volume = state->clone,
	};
}

static int key_fd(const struct ceph_spec *spec, int *ret)
{
	cleanup_secret struct secret secret = {0};
	const char *key = NULL;
	int code = ceph_key(spec, &secret, &key);
	if (code)
		return code;
	struct secret only = {.text = (char *)key, .size = strlen(key)};
	*ret = secret_fd(&only);
	return *ret < 0 ? say(-*ret, "no memory for the key: %s", strerror(-*ret)) : 0;
}

static int copy_failed(const struct volume_call *call, int status, char *errs)
{
	const char *reason = status < 0 ? strerror(-status) : tool_reason(errs);
	if (strstr(reason, "Unknown driver"))
		return say(ENOPKG, "%s: qemu-img knows no images of Ceph: install the package qemu-block-extra",
			   call->state->place);
	return say(EIO, "%s: copying '%s': %s", call->state->place,
		   call->state->clone ? call->state->clone : call->state->source, reason);
}

/* qemu-img convert -q -n --object secret,id=key,file=/dev/fd/0,format=base64 -f qcow2 --target-image-opts SOURCE
 *	driver=rbd,pool=vms,image=web.ID.weft-new,user=weft,...,key-secret=key */
static int copy(const struct volume_call *call, const struct image *image, const char *name)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_close int fd = -1;
	cleanup_free char *errs = NULL;
	int code = key_fd(call->state->own, &fd);
	if (code)
		return code;
	const char *to = arena_printf(arena, "%skey", ceph_qemu_options(arena, call->state->own, name));
	const char *argv[] = {"qemu-img",
			      "convert",
			      "-q",
			      "-n",
			      "--object",
			      "secret,id=key,file=/dev/fd/0,format=base64",
			      "-f",
			      image_source_formats[image->source_format],
			      "--target-image-opts",
			      image->source,
			      to,
			      NULL};
	int status = run_program_from(fd, argv, NULL, &errs);
	return status == 0 ? 0 : copy_failed(call, status, errs);
}

int rbd_import(const struct volume_call *call, const char *name)
{
	const struct image image = source_of(call);
	uint64_t size;
	int code = image_check_source(&image, &size);
	return code ? code : copy(call, &image, name);
}
