/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of running guests: what volumes hang on them, and their growth. See disk.h. */
#include "guestd/disk.h"

#include "guestd/qemu-spec.h"
#include "stord/volume.h"

enum { RESIZE_MS = 120 * 1000, QUERY_MS = 5000 };

static bool is_open_as(const json_t *disk, const char *place)
{
	return streq(record_text(disk, "path"), place) && !json_is_true(json_object_get(disk, "readOnly"));
}

/* By the record of what it was started with: the manifest may say something else by now. */
static bool find_in(struct instance *instance, const char *place, struct open_disk *ret)
{
	const json_t *disks = json_object_get(json_object_get(instance->record, "spec"), "disks"), *disk;
	size_t i;
	json_array_foreach(disks, i, disk) {
		if (!is_open_as(disk, place))
			continue;
		const char *bus = record_text(disk, "bus");
		ret->instance = instance;
		snprintf(ret->node, sizeof(ret->node), "%s-disk%lld", bus ? bus : "",
			 (long long)json_integer_value(json_object_get(disk, "unit")));
		return true;
	}
	return false;
}

bool disk_find_open(const char *place, struct open_disk *ret)
{
	for (struct instance *instance = instances_first(); instance; instance = instance->next)
		if (instance->record && find_in(instance, place, ret) && !record_text(instance->record, "off") &&
		    instance_alive(instance))
			return true;
	ret->instance = NULL;
	return false;
}

static const char *user_of(const char *place)
{
	struct open_disk disk;
	return disk_find_open(place, &disk) ? disk.instance->name : NULL;
}

struct growth {
	char *place, *node;
	uint64_t size;
	stord_grown_fn *done;
	void *ctx;
};

static void finish(struct growth *growth, const struct err *err)
{
	if (growth->done)
		growth->done(growth->ctx, err);
	free(growth->place);
	free(growth->node);
	free(growth);
}

static void on_resized(void *ctx, const json_t *result, const struct err *err)
{
	finish(ctx, err);
}

/* What a node of QEMU's is large; 0 if there is none of the name. */
static uint64_t size_of(const json_t *nodes, const char *name)
{
	const json_t *node;
	size_t i;
	json_array_foreach(nodes, i, node)
		if (streq(record_text(node, "node-name"), name))
			return (uint64_t)json_integer_value(
				json_object_get(json_object_get(node, "image"), "virtual-size"));
	return 0;
}

static void on_nodes(void *ctx, const json_t *nodes, const struct err *err)
{
	struct growth *growth = ctx;
	struct open_disk disk;
	uint64_t size = size_of(nodes, growth->node);
	struct err gone = {0};
	if (err || size >= growth->size) {
		finish(growth, err);
		return;
	}
	if (!size || !disk_find_open(growth->place, &disk) || !disk.instance->qmp) {
		err_set(&gone, EAGAIN, "the guest that has '%s' open is ending", growth->place);
		finish(growth, &gone);
		return;
	}
	struct qmp_command command = {
		"block_resize", json_pack("{s:s, s:I}", "node-name", growth->node, "size", (json_int_t)growth->size),
		RESIZE_MS};
	if (qmp_send(disk.instance->qmp, &command, on_resized, growth) == 0)
		return;
	err_set(&gone, EBUSY, "too many commands wait for QEMU's monitor");
	finish(growth, &gone);
}

/* Only ever larger: QEMU would make it smaller as well. */
static void resize(const char *place, uint64_t size, stord_grown_fn *done, void *ctx)
{
	struct open_disk disk;
	struct err err = {0};
	struct growth *growth = xcalloc(1, sizeof(*growth));
	*growth = (struct growth){.place = xstrdup(place), .size = size, .done = done, .ctx = ctx};
	const struct qmp_command command = {"query-named-block-nodes", json_pack("{s:b}", "flat", true), QUERY_MS};
	if (!disk_find_open(place, &disk))
		err_set(&err, EAGAIN, "the guest that had '%s' open has ended", place);
	else if (instance_connect(disk.instance, &err) == 0) {
		growth->node = xstrdup(disk.node);
		if (qmp_send(disk.instance->qmp, &command, on_nodes, growth) == 0)
			return;
		err_set(&err, EBUSY, "too many commands wait for QEMU's monitor");
		finish(growth, &err);
		return;
	}
	json_decref(command.arguments);
	finish(growth, &err);
}

const struct stord_user disk_user = {.guest = user_of, .resize = resize};
