/* SPDX-License-Identifier: Apache-2.0 */
/* Orders for snapshots of volumes: refused where they make no sense, given to the QEMU that has the volume open, or
 * else to its storage. They act at once, and are no part of what is wanted: taking them back with a revision would lose
 * data. */
#include "guestd/guestd.h"

#include "core/event.h"
#include "core/json-text.h"
#include "guestd/disk.h"
#include "stord/volume.h"

enum { QMP_SNAPSHOT_MS = 120 * 1000 };

static const struct {
	const char *name, *event, *past;
	const char *qmp; /* what QEMU calls it; NULL: it is not for a volume that is open */
	const char *loses;
} actions[] = {
	[STORD_SNAPSHOT_LIST] = {.name = "list"},
	[STORD_SNAPSHOT_CREATE] = {.name = "create",
				   .event = "SnapshotCreated",
				   .past = "was made",
				   .qmp = "blockdev-snapshot-internal-sync"},
	[STORD_SNAPSHOT_REVERT] = {.name = "revert",
				   .event = "SnapshotReverted",
				   .past = "is what the volume holds again",
				   .loses = "what was written to it since"},
	[STORD_SNAPSHOT_DELETE] = {.name = "delete",
				   .event = "SnapshotDeleted",
				   .past = "was deleted",
				   .qmp = "blockdev-snapshot-delete-internal-sync",
				   .loses = "what it holds"},
};

struct order {
	enum stord_volume_order what;
	char *volume, *snapshot, *who;
	char key[192];
	struct engine *engine;
	manager_done_fn *done;
	void *ctx;
};

static void answer(manager_done_fn *done, void *ctx, const char *result, const json_t *snapshots, const char *fmt, ...)
	printf_like(5, 6);
static void answer(manager_done_fn *done, void *ctx, const char *result, const json_t *snapshots, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvprintf(fmt, args);
	va_end(args);
	json_t *json = json_pack("{s:s, s:o}", "result", result, "message", json_host_text(text));
	if (snapshots)
		json_object_set(json, "snapshots", (json_t *)snapshots);
	done(ctx, json);
	json_decref(json);
}

static void finish(void *ctx, const json_t *snapshots, const struct err *err)
{
	struct order *order = ctx;
	cleanup_free char *object = xprintf("Volume/%s", order->volume);
	json_t *none = json_array();
	if (err) {
		answer(order->done, order->ctx, "failed", NULL, "%s", err->text);
	} else if (order->what == STORD_SNAPSHOT_LIST) {
		answer(order->done, order->ctx, "final", snapshots ? snapshots : none, "%zu snapshots",
		       json_array_size(snapshots));
	} else {
		event_text(actions[order->what].event, object, false, "snapshot '%s' %s, ordered by %s",
			   order->snapshot, actions[order->what].past, order->who);
		answer(order->done, order->ctx, "final", NULL, "snapshot '%s' %s", order->snapshot,
		       actions[order->what].past);
	}
	json_decref(none);
	free(order->volume);
	free(order->snapshot);
	free(order->who);
	free(order);
}

static void on_reply(void *ctx, const json_t *result, const struct err *err)
{
	struct order *order = ctx;
	engine_dirty(order->engine, "volume", order->key);
	finish(order, NULL, err);
}

/* QEMU has it open, so QEMU does it; the guest runs on, and what it has not written yet is not in it. */
static void by_qemu(struct order *order, const struct open_disk *disk)
{
	struct err err = {0};
	json_t *arguments = json_pack("{s:s, s:s}", "device", disk->node, "name", order->snapshot);
	if (instance_connect(disk->instance, &err) < 0) {
		json_decref(arguments);
		finish(order, NULL, &err);
		return;
	}
	const struct qmp_command command = {actions[order->what].qmp, arguments, QMP_SNAPSHOT_MS};
	if (qmp_send(disk->instance->qmp, &command, on_reply, order) == 0)
		return;
	err_set(&err, EBUSY, "too many commands wait for QEMU's monitor");
	finish(order, NULL, &err);
}

static bool is_name(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len < 64 && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* Why it is not done; freed by the caller, NULL if nothing speaks against it. */
static char *refusal(const struct snapshot_request *request, enum stord_volume_order what,
		     const struct stord_volume *volume, const struct open_disk *disk)
{
	const char *name = request->volume, *guest = disk->instance ? disk->instance->name : NULL;
	if (!volume->snapshots)
		return xprintf("volume '%s' is in a pool of type %s, which has no snapshots", name, volume->type);
	if (what == STORD_SNAPSHOT_LIST)
		return NULL;
	if (!is_name(request->snapshot))
		return xprintf("'%s' is no name for a snapshot: a letter, then letters, digits and '-', at most 63",
			       request->snapshot);
	if (volume->clone)
		return xprintf(
			"Volume '%s' is a linked clone of '%s', which is not changed meanwhile: make snapshots of "
			"the clone",
			volume->clone, name);
	if (guest && what == STORD_SNAPSHOT_REVERT)
		return xprintf("guest '%s' runs with volume '%s': shut it down first with `weft guest stop %s`", guest,
			       name, guest);
	if (guest && !volume->while_open && !streq(volume->format, "qcow2"))
		return xprintf("guest '%s' has volume '%s' open, which is %s: only qcow2 has snapshots there", guest,
			       name, volume->format);
	if (actions[what].loses && !request->sure)
		return xprintf("to %s snapshot '%s' of volume '%s' loses %s for good: say --yes if that is meant",
			       what == STORD_SNAPSHOT_REVERT ? "go back to" : actions[what].name, request->snapshot,
			       name, actions[what].loses);
	return NULL;
}

void guestd_snapshot(struct manager *m, const struct snapshot_request *request, manager_done_fn *done, void *ctx)
{
	struct engine *engine = manager_engine(m);
	struct stord_volume volume;
	struct open_disk disk = {0};
	size_t what = 0;
	while (what < ARRAY_SIZE(actions) && !streq(actions[what].name, request->action))
		what++;
	if (what == ARRAY_SIZE(actions)) {
		answer(done, ctx, "failed", NULL,
		       "'%s' is nothing to do with a snapshot: list, create, revert and delete are", request->action);
		return;
	}
	if (!stord_volume_find(engine_generation(engine), request->volume, &volume)) {
		answer(done, ctx, "failed", NULL, "there is no volume '%s'; `weft get volumes` lists them",
		       request->volume);
		return;
	}
	disk_find_open(volume.place, &disk);
	cleanup_free char *why = refusal(request, (enum stord_volume_order)what, &volume, &disk);
	if (why) {
		answer(done, ctx, "failed", NULL, "%s", why);
		return;
	}
	struct order *order = xcalloc(1, sizeof(*order));
	*order = (struct order){
		.what = (enum stord_volume_order)what,
		.volume = xstrdup(request->volume),
		.snapshot = xstrdup(request->snapshot),
		.who = xstrdup(request->who),
		.engine = engine,
		.done = done,
		.ctx = ctx,
	};
	snprintf(order->key, sizeof(order->key), "%s", volume.key);
	if (disk.instance && actions[what].qmp && !volume.while_open)
		by_qemu(order, &disk);
	else
		stord_volume_order(engine, &(struct stord_order){order->what, order->key, order->snapshot}, finish,
				   order);
}
