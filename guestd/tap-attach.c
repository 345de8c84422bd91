/* SPDX-License-Identifier: Apache-2.0 */
/* Class tap-attach: what ties a running QEMU to its tap. A QEMU is started with its taps attached; when a tap is
 * deleted and made anew, the descriptors in QEMU are attached to the new one, from outside. It goes with the QEMU. */
#include "guestd/qemu.h"

#include <limits.h>

#include <linux/if_tun.h>

#include "guestd/host-down.h"
#include "guestd/instance.h"
#include "guestd/tap.h"
#include "guestd/worker.h"

enum { QUERY_MS = 2000, SET_LINK_MS = 10000, HEADER_OLD = 10, HEADER_NEW = 12 };

#define SPEC struct tap_attach_spec
static const struct field rows[] = {
	F_IFNAME("tap", SPEC, tap, .doc = "The tap."),
	F_BOOL("attached", SPEC, attached, .doc = "Whether all its queues are tied to QEMU."),
	F_ENUM("model", SPEC, model, nic_names, .flags = FIELD_WEAK, .doc = "What the guest sees."),
	F_U32("port", SPEC, port, .flags = FIELD_WEAK, .doc = "PCI port of the guest's device."),
};
const struct table tap_attach_table = TABLE("tap-attach", SPEC, rows);

struct work {
	struct op *op;
	struct process_id id;
	char tap[16];
	int fds[NIC_QUEUES_MAX];
	size_t n_fds;
	struct tap_modes modes;
	char device[24]; /* QEMU's, whose kernel half (vhost-net) has to take the tap anew; "": it has none */
	struct err err;
};

/* "web/web.0": the guest, and its tap. */
static struct instance *instance_of(const struct op *op, const char **ret_tap)
{
	const char *slash = strchr(op->key, '/');
	cleanup_free char *guest = xstrndup(op->key, slash ? (size_t)(slash - op->key) : strlen(op->key));
	*ret_tap = slash ? slash + 1 : "";
	return instance_get(guest);
}

static void see(struct op *op, struct instance *instance, bool attached, const char *note)
{
	const char *tap;
	instance_of(op, &tap);
	struct tap_attach_spec *spec = observation_begin(&op->obs, op->class, true);
	spec->tap = arena_strdup(op->obs.arena, tap);
	spec->attached = attached;
	row_set(&tap_attach_table, spec, "tap");
	row_set(&tap_attach_table, spec, "attached");
	op->obs.owner = OWNER_OURS;
	op->obs.note = note;
	op->obs.incarnation = instance->id.start << 22 ^ (uint64_t)instance->id.pid;
	op_complete(op);
}

static void see_nothing(struct op *op)
{
	observation_begin(&op->obs, op->class, false);
	op_complete(op);
}

static void observe(struct op *op)
{
	const char *tap;
	struct instance *instance = instance_of(op, &tap);
	int fds[NIC_QUEUES_MAX];
	bool all = true;
	bool kept_off = host_is_down() && !instance_alive(instance);
	if (op->want && (kept_off || record_text(instance->record, "off"))) {
		see(op, instance, true, "the guest is off");
		return;
	}
	if (!instance_alive(instance) || !json_object_get(instance->record, "pid")) {
		see_nothing(op);
		return;
	}
	size_t n = record_tap_fds(instance->record, tap, fds, ARRAY_SIZE(fds));
	if (!n) {
		if (op->want)
			see(op, instance, true, "is plugged in at the guest's next start");
		else
			see_nothing(op);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		bool attached = false;
		int r = tap_attached(&instance->id, fds[i], tap, &attached);
		if (r == -ENOENT || r == -ESRCH) {
			see(op, instance, true, "QEMU is ending"); /* looked at again when it has */
			return;
		}
		if (r < 0) {
			op_fail(op, -r, "descriptor %d of QEMU (pid %d) cannot be read: %s", fds[i], instance->id.pid,
				strerror(-r));
			return;
		}
		all &= attached;
	}
	see(op, instance, all, NULL);
}

static void work_on(void *ctx)
{
	struct work *work = ctx;
	const struct tap_attachment attachment = {work->id, work->fds, work->n_fds, work->modes};
	tap_attach(work->tap, &attachment, &work->err);
}

static void complete(struct work *work)
{
	work->op->err = work->err;
	op_complete(work->op);
	free(work);
}

static struct qmp *monitor_of(const struct work *work)
{
	const char *tap;
	struct instance *instance = instance_of(work->op, &tap);
	return instance_alive(instance) ? instance->qmp : NULL;
}

static int set_link(struct work *work, bool up, qmp_reply_fn *fn)
{
	struct qmp *qmp = monitor_of(work);
	struct qmp_command command = {"set_link", NULL, SET_LINK_MS};
	if (qmp)
		command.arguments = json_pack("{s:s, s:b}", "name", work->device, "up", up);
	if (!qmp || qmp_send(qmp, &command, fn, work) < 0)
		return err_set(&work->err, EAGAIN, "the guest's QEMU does not answer");
	return 0;
}

static void on_up(void *ctx, const json_t *result, const struct err *err)
{
	struct work *work = ctx;
	if (err)
		work->err = *err;
	complete(work);
}

static void on_down(void *ctx, const json_t *result, const struct err *err)
{
	struct work *work = ctx;
	if (err)
		work->err = *err;
	if (err || set_link(work, true, on_up) < 0)
		complete(work);
}

/* vhost-net gave the queues up as the tap went. QEMU hands them to it once more when the guest's link goes down and up
 * again. */
static void worked(void *ctx)
{
	struct work *work = ctx;
	if (work->err.code || !*work->device || set_link(work, false, on_down) < 0)
		complete(work);
}

static bool has_feature(const json_t *features, const char *name)
{
	size_t i;
	json_t *item;
	json_array_foreach(features, i, item)
		if (json_is_string(item) && str_starts(json_string_value(item), name))
			return true;
	return false;
}

/* What the guest's driver agreed to take decides how frames are handed to it. Without an answer: the header of today's
 * devices, and nothing that the guest may not expect. */
static void on_features(void *ctx, const json_t *result, const struct err *err)
{
	static const struct {
		const char *name;
		unsigned offload;
	} offloads[] = {
		{"VIRTIO_NET_F_GUEST_CSUM:", TUN_F_CSUM}, {"VIRTIO_NET_F_GUEST_TSO4:", TUN_F_TSO4},
		{"VIRTIO_NET_F_GUEST_TSO6:", TUN_F_TSO6}, {"VIRTIO_NET_F_GUEST_ECN:", TUN_F_TSO_ECN},
		{"VIRTIO_NET_F_GUEST_UFO:", TUN_F_UFO},
	};
	struct work *work = ctx;
	const json_t *guest = json_object_get(result, "guest-features");
	const json_t *device = json_object_get(guest, "dev-features"),
		     *transport = json_object_get(guest, "transports");
	work->modes.header = HEADER_NEW;
	if (guest && !has_feature(device, "VIRTIO_NET_F_MRG_RXBUF:") && !has_feature(transport, "VIRTIO_F_VERSION_1:"))
		work->modes.header = HEADER_OLD;
	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if (has_feature(device, offloads[i].name))
			work->modes.offloads |= offloads[i].offload;
	worker_run(work_on, worked, work);
}

static void attach(struct op *op)
{
	const struct tap_attach_spec *want = op->want;
	const char *tap;
	struct instance *instance = instance_of(op, &tap);
	if (!instance_alive(instance)) {
		op_fail(op, EAGAIN, "the guest's QEMU does not run");
		return;
	}
	struct work *work = xcalloc(1, sizeof(*work));
	work->op = op;
	work->id = instance->id;
	snprintf(work->tap, sizeof(work->tap), "%s", tap);
	work->n_fds = record_tap_fds(instance->record, tap, work->fds, ARRAY_SIZE(work->fds));
	work->modes.header = HEADER_OLD;
	cleanup_free char *device = xprintf("/machine/peripheral/nic%u-device/virtio-backend", want->port);
	struct qmp_command command = {"x-query-virtio-status", NULL, QUERY_MS};
	if (want->model == NIC_VIRTIO && json_is_true(json_object_get(instance->record, "vhost")))
		snprintf(work->device, sizeof(work->device), "nic%u-device", want->port);
	if (want->model != NIC_VIRTIO) {
		worker_run(work_on, worked, work);
	} else if (instance_connect(instance, &work->err) < 0) {
		on_features(work, NULL, NULL);
	} else {
		command.arguments = json_pack("{s:s}", "path", device);
		if (qmp_send(instance->qmp, &command, on_features, work) < 0)
			on_features(work, NULL, NULL);
	}
}

/* Without QEMU's help a device cannot be taken out of it: the tap is let go when QEMU ends. */
static void on_ended(void *ctx, const struct err *err)
{
	struct op *op = ctx;
	if (err)
		op_fail(op, err->code, "%s", err->text);
	else
		see_nothing(op);
}

static void remove_it(struct op *op)
{
	const char *tap;
	struct instance *instance = instance_of(op, &tap);
	if (instance_alive(instance))
		waiters_add(&instance->waiters, on_ended, op);
	else
		see_nothing(op);
}

static void cancel(struct op *op)
{
	const char *tap;
	if (op->verb == OP_REMOVE && waiters_take(&instance_of(op, &tap)->waiters, on_ended, op))
		op_fail(op, ECANCELED, "was called off");
}

static const char *slot(const struct op *op)
{
	return op->key;
}

static const struct async_verbs verbs = {
	.observe = observe,
	.create = attach,
	.update = attach,
	.remove = remove_it,
	.slot = slot,
	.cancel = cancel,
	.deadline_ms = INT_MAX, /* a removal waits for the guest; the others have deadlines of their own */
};

static const struct errno_rule rules[] = {
	{OP_CREATE, ENODEV, ANSWER_WAIT},
	{OP_UPDATE, ENODEV, ANSWER_WAIT},
	{OP_UPDATE, ESRCH, ANSWER_RETRY},
};

const struct resource_class guestd_tap_attach_class = {
	.name = "tap-attach",
	.doc = "The attachment of a guest's tap to its QEMU.",
	.table = &tap_attach_table,
	.lane = "guest",
	.verbs = &verbs,
	.flags = CLASS_REMOVE_IRREVERSIBLE,
	.rules = rules,
	.n_rules = ARRAY_SIZE(rules),
};
