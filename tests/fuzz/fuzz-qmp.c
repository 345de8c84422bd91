/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes from a QEMU's monitor, cut into pieces by NUL bytes, while its guest is looked at, paused, or its tap
 * attached anew. The first byte chooses. QEMU is a process that sleeps. Laws: every operation ends, once; what is seen
 * can be shown and stored. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "guestd/instance.h"
#include "guestd/qemu.h"
#include "tests/fuzz/fuzz.h"

enum { ROUNDS_MAX = 64, WAIT_US = 2000000, PIECE_MAX = 16384 };
/* The first byte of an input. */
enum {
	CHOICE_WANTED = 1 << 0,
	CHOICE_UPDATE = 1 << 1,
	CHOICE_TAP = 1 << 2,
	CHOICE_GREETED = 1 << 3,
	CHOICE_POLICY = 4
};

static struct process_id qemu;
static int listener = -1;
static unsigned n_done;

static void be_qemu(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

/* One for many inputs; anew if it was ended. */
static void have_qemu(void)
{
	if (process_alive(&qemu))
		return;
	qemu.pid = fork();
	if (qemu.pid == 0)
		be_qemu();
	if (qemu.pid < 0 || process_start_time(qemu.pid, &qemu.start) < 0)
		abort();
}

static void listen_once(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_free char *dir = guest_path("web", ""), *path = guest_path("web", "qmp.sock");
	if (listener >= 0)
		return;
	signal(SIGCHLD, SIG_IGN);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (mkdir_all(dir, 0700) < 0 || sd_event_new(&env.loop) < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 16) < 0)
		abort();
}

static void keep_record(int policy)
{
	struct err err = {0};
	json_t *record = json_pack("{s:s, s:i, s:I, s:{s:s, s:s}, s:{s:[i]}}", "boot", env.boot_id, "pid", qemu.pid,
				   "start", (json_int_t)qemu.start, "spec", "state", "running", "restart",
				   restart_names[policy], "taps", "web.0", 0);
	if (record_save("web", record, &err) < 0)
		abort();
	json_decref(record);
}

/* Until nothing happens any more. */
static void run_loop(uint64_t wait_us)
{
	for (int i = 0; i < ROUNDS_MAX && sd_event_run(env.loop, wait_us) > 0; i++)
		wait_us = 0;
}

static void say(int *fd, const char *text, size_t size)
{
	char thrown_away[PIECE_MAX];
	if (*fd < 0)
		*fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (*fd >= 0 && size)
		(void)!send(*fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	run_loop(0);
	if (*fd >= 0 && recv(*fd, thrown_away, sizeof(thrown_away), MSG_DONTWAIT) == 0) {
		close(*fd); /* it hung up, and may connect anew */
		*fd = -1;
	}
}

/* The commands given before the greeting are held back, so that this one has the number after them. */
static void greet(int *fd)
{
	static const char greeting[] = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": "
				       "7}}, \"capabilities\": []}}\n";
	static const char ready[] = "{\"return\": {}, \"id\": 2}\n";
	say(fd, greeting, sizeof(greeting) - 1);
	say(fd, ready, sizeof(ready) - 1);
}

static void on_done(struct op *op)
{
	n_done++;
	if (op->obs.valid && op->obs.exists)
		require_json(table_to_json(op->class->table, op->obs.spec, EMIT_SECRETS), "what is seen can be shown");
}

static void start(struct op *op, unsigned choice)
{
	static struct qemu_spec want;
	static struct tap_attach_spec want_tap = {.model = NIC_VIRTIO, .port = 3, .tap = "web.0", .attached = true};
	const struct resource_class *class = choice & CHOICE_TAP ? &guestd_tap_attach_class : &guestd_qemu_class;
	const struct async_verbs *verbs = class->verbs;
	bool update = choice & CHOICE_UPDATE;
	want.state = RUN_PAUSED;
	want.restart = (int)(choice >> CHOICE_POLICY) % 3;
	row_set(&qemu_table, &want, "state");
	row_set(&qemu_table, &want, "restart");
	*op = (struct op){.verb = update ? OP_UPDATE : OP_OBSERVE, .class = class, .done = on_done, .rows = UINT64_MAX};
	op->key = choice & CHOICE_TAP ? "web/web.0" : "web";
	if (update || choice & CHOICE_WANTED)
		op->want = choice & CHOICE_TAP ? (const void *)&want_tap : &want;
	n_done = 0;
	(update ? verbs->update : verbs->observe)(op);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct op op;
	int fd = -1;
	unsigned choice = size ? data[0] : 0;
	fuzz_setup();
	listen_once();
	have_qemu();
	keep_record((int)(choice >> CHOICE_POLICY) % 3);
	start(&op, choice);
	data += size > 0;
	size -= size > 0;
	if (choice & CHOICE_GREETED)
		greet(&fd);
	while (size) {
		size_t piece_size;
		cleanup_free char *piece = fuzz_part(&data, &size, &piece_size);
		say(&fd, piece, piece_size);
	}
	closep(&fd);
	run_loop(0);
	instances_free();
	/* A tap is worked on by a thread. */
	for (int i = 0; i < ROUNDS_MAX && !n_done; i++)
		run_loop(WAIT_US);
	require(n_done == 1, "an operation ends once");
	observation_done(&op.obs);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
	return 0;
}
