/* SPDX-License-Identifier: Apache-2.0 */
/* A cold start: taps are opened on a thread, sockets are made, the launcher opens images and starts QEMU with its CPUs
 * stopped, its monitor answers, the record is written, the CPUs run. A weftd that dies in between leaves a record
 * without a pid, or a QEMU whose CPUs never ran; the next one finds either. */
#include "guestd/start.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "core/env.h"
#include "guestd/host.h"
#include "guestd/qemu.h"
#include "guestd/tap.h"
#include "guestd/worker.h"
#include "stord/volume.h"

enum { START_MS = 60000 };

struct start {
	struct instance *instance;
	struct op *op;
	const struct qemu_spec *spec;
	struct qemu_facts facts;
	const char *accel_reason;
	int *fds; /* borrowed by files; closed at the end: image locks live as long as any duplicate */
	size_t n_fds, cap_fds;
	struct launch_file *files;
	size_t n_files, cap_files;
	size_t n_secrets; /* disks whose secret is there, or that have none */
	struct arena *arena;
	struct err err;
};

static void start_free(struct start *start)
{
	for (size_t i = 0; i < start->n_fds; i++)
		close(start->fds[i]);
	arena_free(start->arena);
	free(start);
}

static void finish(struct start *start)
{
	struct op *op = start->op;
	struct instance *instance = start->instance;
	op->err = start->err;
	start_free(start);
	instance->starting = NULL;
	op_complete(op);
	instance_run_deferred(instance);
}

static void fail(struct start *start, const struct err *err)
{
	if (err != &start->err)
		start->err = *err;
	if (!instance_alive(start->instance))
		instance_forget(start->instance);
	finish(start);
}

static void pass_fd(struct start *start, int fd, int target)
{
	arena_grow(start->arena, start->fds, start->n_fds, start->cap_fds);
	start->fds[start->n_fds++] = fd;
	arena_grow(start->arena, start->files, start->n_files, start->cap_files);
	start->files[start->n_files++] = (struct launch_file){.fd = fd, .target_fd = target};
}

static void pass_path(struct start *start, const char *path, int open_flags, bool memfd, int target)
{
	arena_grow(start->arena, start->files, start->n_files, start->cap_files);
	start->files[start->n_files++] = (struct launch_file){
		.path = path, .open_flags = open_flags, .fd = -1, .memfd = memfd, .target_fd = target};
}

/* On the thread. */
static void open_taps(void *ctx)
{
	struct start *start = ctx;
	const struct qemu_spec *spec = start->spec;
	for (size_t i = 0; i < spec->nics.n && !start->err.code; i++) {
		const struct qemu_nic *nic = &list_at(&spec->nics, struct qemu_nic, i);
		int fds[NIC_QUEUES_MAX];
		if (tap_open(nic->tap, nic->queues, fds, &start->err) < 0)
			return;
		for (uint32_t q = 0; q < nic->queues; q++)
			pass_fd(start, fds[q], qemu_tap_fd(spec, i, q));
		if (nic->model != NIC_VIRTIO || !start->facts.vhost_net)
			continue;
		for (uint32_t q = 0; q < nic->queues; q++) {
			int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
			if (fd < 0) {
				err_errno(&start->err, errno, "open '/dev/vhost-net'");
				return;
			}
			pass_fd(start, fd, qemu_vhost_fd(spec, i, q));
		}
	}
}

static int listen_at(struct start *start, const char *file, int target)
{
	cleanup_free char *path = guest_path(start->instance->name, file);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(&start->err, errno, "socket");
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(&start->err, ENAMETOOLONG,
			       "the socket path '%s' is longer than the %zu characters that Linux allows: use a "
			       "shorter --root or name",
			       path, sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0)
		return err_errno(&start->err, errno, "listening at '%s'", path);
	pass_fd(start, take_fd(&fd), target);
	return 0;
}

static int open_log(struct start *start)
{
	cleanup_free char *path = guest_path(start->instance->name, "console.log");
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(&start->err, errno, "open '%s'", path);
	pass_fd(start, fd, QEMU_FD_CONSOLE_LOG);
	return 0;
}

static int make_channels(struct start *start)
{
	const struct qemu_spec *spec = start->spec;
	if (listen_at(start, "qmp.sock", QEMU_FD_QMP) < 0)
		return -start->err.code;
	if (spec->console && (listen_at(start, "console.sock", QEMU_FD_CONSOLE) < 0 || open_log(start) < 0))
		return -start->err.code;
	if (row_is_set(&qemu_table, spec, "agentPort") && listen_at(start, "agent.sock", QEMU_FD_AGENT) < 0)
		return -start->err.code;
	return 0;
}

static void list_files(struct start *start)
{
	const struct qemu_spec *spec = start->spec;
	if (row_is_set(&qemu_table, spec, "kernel"))
		pass_path(start, spec->kernel, O_RDONLY, true, QEMU_FD_KERNEL);
	if (row_is_set(&qemu_table, spec, "initrd"))
		pass_path(start, spec->initrd, O_RDONLY, true, QEMU_FD_INITRD);
	for (size_t i = 0; i < spec->disks.n; i++) {
		const struct qemu_disk *disk = &list_at(&spec->disks, struct qemu_disk, i);
		if (row_is_set(&qemu_disk_table, disk, "remote"))
			continue;
		/* QEMU 10 takes a descriptor only if it bypasses the cache just as the disk is to. */
		bool direct = disk->cache == CACHE_NONE || disk->cache == CACHE_DIRECTSYNC;
		pass_path(start, disk->path, (disk->read_only ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0), false,
			  qemu_disk_fd(i));
		for (size_t k = 0; k < disk->layers.n; k++)
			pass_path(start, list_at(&disk->layers, struct qemu_layer, k).path,
				  O_RDONLY | (direct ? O_DIRECT : 0), false, qemu_layer_fd(spec, i, k));
	}
	for (size_t i = 0; i < spec->leases.n; i++) {
		pass_path(start, list_at(&spec->leases, const char *, i), O_RDWR, false, qemu_lease_fd(spec, i));
		start->files[start->n_files - 1].lock_byte = stord_lease_byte(start->instance->name);
	}
}

static json_t *tap_numbers(const struct qemu_spec *spec)
{
	json_t *taps = json_object();
	for (size_t i = 0; i < spec->nics.n; i++) {
		const struct qemu_nic *nic = &list_at(&spec->nics, struct qemu_nic, i);
		json_t *fds = json_array();
		for (uint32_t q = 0; q < nic->queues; q++)
			json_array_append_new(fds, json_integer(qemu_tap_fd(spec, i, q)));
		json_object_set_new(taps, nic->tap, fds);
	}
	return taps;
}

static json_t *new_record(struct start *start)
{
	char at[32];
	time_t now = time(NULL);
	struct tm tm;
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o}", "boot", env.boot_id, "accel",
			 start->facts.kvm ? "kvm" : "tcg", "accelReason", start->accel_reason, "startedAt", at, "vhost",
			 start->facts.vhost_net, "taps", tap_numbers(start->spec), "spec",
			 table_to_json(&qemu_table, start->spec, EMIT_DEFAULTS | EMIT_SECRETS | EMIT_NO_STATUS));
}

static void on_running(void *ctx, const json_t *result, const struct err *err)
{
	struct start *start = ctx;
	struct instance *instance = start->instance;
	if (!err) {
		if (instance->version)
			instance_note(instance, "version", instance->version, NULL);
		finish(start);
		return;
	}
	start->err = *err;
	cleanup_free char *words = instance_last_words(instance);
	if (err->code == ECONNRESET || err->code == EPIPE)
		err_set(&start->err, EIO, "QEMU ended as soon as it was started: %s",
			*words ? words : "it did not say why");
	if (err->code == ECANCELED || !instance_alive(instance)) {
		fail(start, &start->err);
		return;
	}
	/* It is no use as it is; the next attempt begins by ending what is left of this one. */
	instance_end(instance, END_TERM, 0, NULL, NULL);
	finish(start);
}

static void on_launched(void *ctx, const struct process_id *id, const struct err *err)
{
	struct start *start = ctx;
	struct instance *instance = start->instance;
	while (start->n_fds)
		close(start->fds[--start->n_fds]);
	if (err) {
		fail(start, err);
		return;
	}
	json_object_set_new(instance->record, "pid", json_integer(id->pid));
	json_object_set_new(instance->record, "start", json_integer((json_int_t)id->start));
	if (instance_save(instance, &start->err) < 0 || instance_adopt(instance, id, &start->err) < 0 ||
	    instance_connect(instance, &start->err) < 0) {
		process_signal(id, SIGKILL);
		fail(start, &start->err);
		return;
	}
	const struct qmp_command command = {start->spec->state == RUN_RUNNING ? "cont" : "query-status", NULL,
					    START_MS};
	if (qmp_send(instance->qmp, &command, on_running, start) < 0)
		abort(); /* nothing was sent before it */
}

static void launch_qemu(struct start *start)
{
	struct instance *instance = start->instance;
	if (make_channels(start) < 0) {
		fail(start, &start->err);
		return;
	}
	list_files(start);
	cleanup_free char *log = guest_path(instance->name, "qemu.log");
	cleanup_free char *unit = guest_unit(instance->name);
	cleanup_free char *description = xprintf("weft guest %s", instance->name);
	const struct launch_spec spec = {
		.name = unit,
		.description = description,
		.machine = true,
		.argv = qemu_argv(start->spec, &start->facts, start->arena),
		.user = QEMU_USER,
		.groups = start->facts.kvm ? "kvm" : NULL,
		.log_path = log,
		.files = start->files,
		.n_files = start->n_files,
		.deadline_ms = 30000,
	};
	if (launch(&spec, on_launched, start, &start->err) < 0)
		fail(start, &start->err);
}

static void fetch_secrets(struct start *start);

static void on_secret(void *ctx, int fd, const struct err *err)
{
	struct start *start = ctx;
	if (err) {
		fail(start, err);
		return;
	}
	pass_fd(start, fd, qemu_disk_fd(start->n_secrets++));
	fetch_secrets(start);
}

/* One after the other; then all is there that a child or a thread has to bring. */
static void fetch_secrets(struct start *start)
{
	const struct list *disks = &start->spec->disks;
	for (; start->n_secrets < disks->n; start->n_secrets++) {
		const struct qemu_disk *disk = &list_at(disks, struct qemu_disk, start->n_secrets);
		if (!row_is_set(&qemu_disk_table, disk, "remote"))
			continue;
		stord_secret_fetch(&(struct stord_secret){disk->remote.secret, disk->remote.owner}, on_secret, start);
		return;
	}
	launch_qemu(start);
}

static void on_taps(void *ctx)
{
	struct start *start = ctx;
	if (start->err.code)
		fail(start, &start->err);
	else
		fetch_secrets(start);
}

static int prepare(struct start *start)
{
	struct instance *instance = start->instance;
	cleanup_free char *dir = guest_path(instance->name, "");
	start->facts =
		(struct qemu_facts){.name = instance->name, .program = host_qemu(), .vhost_net = host_vhost_net()};
	start->facts.kvm = host_kvm(start->arena, &start->accel_reason);
	if (!start->facts.program)
		return err_set(&start->err, ENOENT, "there is no QEMU on this host: install qemu-system-x86");
	if (!start->facts.kvm && str_starts(start->spec->cpu_model, "host"))
		start->accel_reason = arena_printf(start->arena, "%s; its CPU model host is max", start->accel_reason);
	int r = mkdir_all(dir, 0700);
	if (r < 0)
		return err_errno(&start->err, -r, "make '%s'", dir);
	cleanup_free char *log = guest_path(instance->name, "qemu.log");
	unlink(log); /* the last words of another QEMU would mislead */
	json_decref(instance->record);
	instance->record = new_record(start);
	instance->kill = false;
	return instance_save(instance, &start->err);
}

void guest_start(struct instance *instance, struct op *op)
{
	struct start *start = xcalloc(1, sizeof(*start));
	start->instance = instance;
	start->op = op;
	start->spec = op->want;
	start->arena = arena_new();
	instance->starting = op;
	if (prepare(start) < 0)
		fail(start, &start->err);
	else
		worker_run(open_taps, on_taps, start);
}

static bool cmdline_has_uuid(int pid, const char *uuid)
{
	char path[64];
	cleanup_free char *text = NULL;
	size_t size = 0;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	if (file_read(path, 1 << 20, &text, &size) < 0)
		return false;
	for (size_t at = 0; at < size; at += strlen(text + at) + 1)
		if (streq(text + at, "-uuid"))
			return at + strlen("-uuid") + 1 < size && streq(text + at + strlen("-uuid") + 1, uuid);
	return false;
}

bool guest_start_leftover(const json_t *record, struct process_id *ret)
{
	const char *uuid = record_text(json_object_get(record, "spec"), "uuid");
	DIR *proc = uuid ? opendir("/proc") : NULL;
	bool found = false;
	for (struct dirent *entry; proc && !found && (entry = readdir(proc));) {
		int pid = atoi(entry->d_name);
		if (pid <= 0 || !cmdline_has_uuid(pid, uuid))
			continue;
		ret->pid = pid;
		found = process_start_time(pid, &ret->start) == 0 && cmdline_has_uuid(pid, uuid);
	}
	if (proc)
		closedir(proc);
	return found;
}
