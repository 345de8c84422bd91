/* SPDX-License-Identifier: Apache-2.0 */
/* Classes qemu and tap-attach with a real QEMU and a guest of 512 bytes, in a network namespace of the test's own;
 * their verbs are driven through the lane as the engine does it. Needs root, QEMU and the assembler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "guestd/guestd.h"
#include "guestd/host.h"
#include "guestd/instance.h"
#include "guestd/qemu.h"

static char root[] = "/tmp/weft-test-qemu.XXXXXX";
static struct lane *lane;

/* ---- driving the lane ---- */

struct run {
	struct op op;
	bool done;
};

static void on_done(struct op *op)
{
	container_of(op, struct run, op)->done = true;
}

static void spin(const bool *done, unsigned ms)
{
	for (uint64_t end = now_ms() + ms; !*done && now_ms() < end;)
		assert_true(sd_event_run(env.loop, 50 * 1000) >= 0);
}

static void rest(unsigned ms)
{
	bool never = false;
	spin(&never, ms);
}

/* On guest web, or its only tap. */
static void begin(struct run *run, const struct resource_class *class, enum op_verb verb, const void *want,
		  const void *seen)
{
	*run = (struct run){.op = {.verb = verb,
				   .class = class,
				   .key = class == &guestd_qemu_class ? "web" : "web/web.0",
				   .want = want,
				   .seen = seen,
				   .lane = lane,
				   .done = on_done}};
	lane->ops->submit(lane, &run->op);
	lane->ops->flush(lane);
}

static void end(struct run *run, unsigned ms)
{
	spin(&run->done, ms);
	if (!run->done)
		fail_msg("no answer in %u ms", ms);
}

static void must(struct run *run, unsigned ms)
{
	end(run, ms);
	if (run->op.err.code)
		fail_msg("%s", run->op.err.text);
}

static const struct qemu_spec *look(struct run *run, const struct qemu_spec *want)
{
	observation_done(&run->op.obs);
	begin(run, &guestd_qemu_class, OP_OBSERVE, want, NULL);
	must(run, 10000);
	return run->op.obs.exists ? run->op.obs.spec : NULL;
}

/* ---- the guest ---- */

static char *path_of(const char *name)
{
	return xprintf("%s/%s", root, name);
}

static void make_disk(const char *name)
{
	cleanup_free char *text =
		xprintf("cd %s && as %s/tests/data/tiny-guest.S -o tiny.o && "
			"ld --oformat binary -Ttext 0x7c00 tiny.o -o %s && truncate -s 1M %s && chmod 600 %s",
			root, WEFT_SOURCE_DIR, name, name, name);
	assert_int_equal(system(text), 0);
}

static struct qemu_disk disk;
static struct qemu_nic nic;

static const char *const disk_rows[] = {"path", "format",  "block",        "bus",    "unit",     "cache",
					"io",   "discard", "detectZeroes", "device", "readOnly", "bootIndex"};
static const char *const nic_rows[] = {"tap", "mac", "model", "queues", "port", "bootIndex"};

static struct qemu_spec make_spec(const char *disk_name, bool with_nic)
{
	static char *path;
	free(path);
	path = path_of(disk_name);
	struct qemu_spec spec = {
		.state = RUN_RUNNING,
		.restart = RESTART_ON_FAILURE,
		.shutdown_timeout_ms = 20000,
		.uuid = "6d6f7265-7765-4674-8000-0000746e7974",
		.machine = "q35",
		.cpus = 1,
		.sockets = 1,
		.cores = 1,
		.threads = 1,
		.cpu_model = "host",
		.memory = 32 << 20,
		.console = true,
		.disks = {&disk, 1},
		.nics = {&nic, with_nic},
	};
	static const char *const set[] = {"state",    "restart", "shutdownTimeout", "serial", "uuid",
					  "machine",  "cpus",    "sockets",         "cores",  "threads",
					  "cpuModel", "memory",  "console",         "disks",  "nics"};
	for (size_t i = 0; i < ARRAY_SIZE(set); i++)
		row_set(&qemu_table, &spec, set[i]);
	disk = (struct qemu_disk){
		.path = path, .bus = BUS_VIRTIO, .unit = 1, .cache = CACHE_WRITEBACK, .boot_index = 2};
	for (size_t i = 0; i < ARRAY_SIZE(disk_rows); i++)
		row_set(&qemu_disk_table, &disk, disk_rows[i]);
	nic = (struct qemu_nic){.tap = "web.0",
				.mac = {{0x52, 0x54, 0, 0, 0, 1}},
				.model = NIC_VIRTIO,
				.queues = 1,
				.port = 2,
				.boot_index = 1};
	for (size_t i = 0; i < ARRAY_SIZE(nic_rows); i++)
		row_set(&qemu_nic_table, &nic, nic_rows[i]);
	return spec;
}

static bool has_said(const char *word)
{
	cleanup_free char *path = guestd_console_log_path("web");
	cleanup_free char *text = NULL;
	return file_read(path, 1 << 20, &text, NULL) == 0 && strstr(text, word);
}

static void wait_for_word(const char *word)
{
	for (int i = 0; i < 300 && !has_said(word); i++)
		rest(100);
	if (!has_said(word))
		fail_msg("the guest did not say %s", word);
}

static void type(const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_free char *path = guestd_console_path("web");
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	rest(300);
}

static void start_guest(const struct qemu_spec *spec)
{
	struct run run;
	begin(&run, &guestd_qemu_class, OP_CREATE, spec, NULL);
	must(&run, 60000);
	wait_for_word("BOOTED");
}

static void stop_guest(void)
{
	struct run seen = {0}, run;
	const struct qemu_spec *spec = look(&seen, NULL);
	begin(&run, &guestd_qemu_class, OP_REMOVE, NULL, spec);
	must(&run, 60000);
	observation_done(&run.op.obs);
	observation_done(&seen.op.obs);
	cleanup_free char *dir = guest_path("web", "");
	assert_int_equal(access(dir, F_OK), -1);
}

static void restart_weftd(void)
{
	lane->ops->free(lane);
	guestd_stop();
	guestd_start(NULL, NULL);
	lane = lane_async_new("guest");
}

/* ---- tests ---- */

/* Gone, or waiting for whoever inherited it to take note. */
static bool has_ended(int pid)
{
	cleanup_free char *path = xprintf("/proc/%d/stat", pid), *text = NULL;
	return file_read(path, 4096, &text, NULL) < 0 || str_starts(strrchr(text, ')'), ") Z");
}

static void test_it_runs_and_is_found_again(void **state)
{
	struct run run = {0};
	struct qemu_spec want = make_spec("a.img", false);
	assert_null(look(&run, &want));
	start_guest(&want);
	const struct qemu_spec *seen = look(&run, &want);
	assert_non_null(seen);
	assert_int_equal(table_diff(&qemu_table, &want, seen), 0);
	assert_string_equal(seen->run_state, "running");
	assert_null(run.op.obs.health);
	print_message("%s, %s, QEMU %s, pid %u\n", seen->accel, seen->accel_reason, seen->version, seen->pid);
	unsigned pid = seen->pid;
	uint64_t incarnation = run.op.obs.incarnation;

	cleanup_free char *path = xprintf("/proc/%u/status", pid);
	cleanup_free char *text = NULL, *uid = xprintf("\nUid:\t%u\t", getpwnam(QEMU_USER)->pw_uid);
	assert_int_equal(file_read(path, 65536, &text, NULL), 0);
	assert_non_null(strstr(text, uid));
	assert_non_null(strstr(text, "\nSeccomp:\t2\n"));
	assert_non_null(strstr(text, "\nCapEff:\t0000000000000000\n"));

	restart_weftd();
	seen = look(&run, &want);
	assert_non_null(seen);
	assert_int_equal(seen->pid, pid);
	assert_int_equal(run.op.obs.incarnation, incarnation);
	assert_int_equal(table_diff(&qemu_table, &want, seen), 0);

	want.memory = 64 << 20;
	uint64_t rows = table_diff(&qemu_table, &want, seen);
	assert_int_equal(table_flags(&qemu_table, rows) & (FIELD_RESTART | FIELD_RECREATE), FIELD_RESTART);
	observation_done(&run.op.obs);
	uint64_t before = now_ms();
	stop_guest();
	print_message("asked to shut down, gone after %d ms\n", (int)(now_ms() - before));
}

static void test_our_descriptors_are_closed(void **state)
{
	struct qemu_spec want = make_spec("a.img", false);
	start_guest(&want);
	cleanup_free char *command = xprintf("ls -l /proc/%d/fd | grep -c a.img", getpid());
	assert_int_not_equal(system(command), 0);
	stop_guest();
}

static void test_pause_and_go_on(void **state)
{
	struct run run = {0}, change;
	struct qemu_spec want = make_spec("a.img", false);
	start_guest(&want);
	want.state = RUN_PAUSED;
	const struct qemu_spec *seen = look(&run, &want);
	uint64_t rows = table_diff(&qemu_table, &want, seen);
	assert_int_equal(table_flags(&qemu_table, rows), 0);
	for (int i = 0; i < 2; i++) {
		change = (struct run){.op = {.verb = OP_UPDATE,
					     .class = &guestd_qemu_class,
					     .key = "web",
					     .want = &want,
					     .seen = seen,
					     .rows = rows,
					     .lane = lane,
					     .done = on_done}};
		lane->ops->submit(lane, &change.op);
		lane->ops->flush(lane);
		must(&change, 5000);
		observation_done(&run.op.obs);
		seen = look(&run, &want);
		assert_int_equal(seen->state, want.state);
		want.state = RUN_RUNNING;
	}
	assert_string_equal(seen->run_state, "running");
	observation_done(&run.op.obs);
	stop_guest();
}

static void test_powered_off_from_inside_it_stays_off(void **state)
{
	struct run run = {0};
	struct qemu_spec want = make_spec("a.img", false);
	start_guest(&want);
	unsigned pid = look(&run, &want)->pid;
	type("q");
	const struct qemu_spec *seen = look(&run, &want);
	assert_non_null(seen);
	assert_string_equal(run.op.obs.note, "powered off by the guest");
	assert_string_equal(seen->run_state, "off");
	assert_int_equal(seen->pid, 0);
	assert_int_equal(table_diff(&qemu_table, &want, seen), 0);
	for (int i = 0; i < 50 && !has_ended((int)pid); i++)
		rest(100);
	assert_true(has_ended((int)pid));
	restart_weftd();
	assert_non_null(look(&run, &want));
	assert_string_equal(run.op.obs.note, "powered off by the guest");
	want.serial = 5; /* `weft guest start` */
	assert_null(look(&run, &want));
	start_guest(&want);
	want.restart = RESTART_ALWAYS;
	type("q");
	assert_null(look(&run, &want)); /* to be made anew */
	start_guest(&want);
	type("r");
	assert_string_equal(look(&run, &want)->run_state, "running");
	observation_done(&run.op.obs);
	stop_guest();
}

static void test_a_killed_one_is_told_from_one_that_went(void **state)
{
	struct run run = {0};
	struct qemu_spec want = make_spec("a.img", false);
	start_guest(&want);
	kill((int)look(&run, &want)->pid, SIGKILL);
	rest(300);
	assert_null(look(&run, &want));
	start_guest(&want);
	want.restart = RESTART_NEVER;
	kill((int)look(&run, &want)->pid, SIGKILL);
	rest(300);
	assert_non_null(look(&run, &want));
	assert_true(str_starts(run.op.obs.note, "QEMU crashed or was killed"));
	observation_done(&run.op.obs);
	stop_guest();
}

static void test_a_panic_is_answered_by_the_policy(void **state)
{
	struct run run = {0};
	struct qemu_spec want = make_spec("a.img", false);
	want.restart = RESTART_NEVER;
	start_guest(&want);
	type("p");
	assert_string_equal(look(&run, &want)->run_state, "guest-panicked");
	assert_non_null(run.op.obs.health);
	assert_int_equal(table_diff(&qemu_table, &want, run.op.obs.spec), 0);
	want.restart = RESTART_ON_FAILURE;
	assert_null(look(&run, &want));
	observation_done(&run.op.obs);
	start_guest(&want);
	stop_guest();
}

static void test_the_console_log_is_bounded(void **state)
{
	struct qemu_spec want = make_spec("a.img", false);
	start_guest(&want);
	cleanup_free char *path = guestd_console_log_path("web");
	cleanup_free char *command =
		xprintf("yes 'a line of a guest that talks too much' | head -c 3000000 >> %s", path);
	struct stat st;
	assert_int_equal(system(command), 0);
	rest(3000);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 1 << 20);
	assert_true(st.st_size > 200 << 10);
	off_t before = st.st_size;
	rest(1500);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > before); /* the guest goes on talking at its end */
	stop_guest();
}

static void test_a_stop_can_be_called_off(void **state)
{
	struct run run = {0}, stop;
	struct qemu_spec want = make_spec("a.img", false);
	start_guest(&want);
	type("c"); /* deaf now */
	begin(&stop, &guestd_qemu_class, OP_REMOVE, NULL, look(&run, &want));
	rest(500);
	assert_false(stop.done);
	lane->ops->cancel(lane, &stop.op);
	end(&stop, 1000);
	assert_int_equal(stop.op.err.code, ECANCELED);
	assert_string_equal(look(&run, &want)->run_state, "running");
	struct qemu_spec *seen = run.op.obs.spec;
	seen->shutdown_timeout_ms = 1000;
	uint64_t before = now_ms();
	begin(&stop, &guestd_qemu_class, OP_REMOVE, NULL, seen);
	must(&stop, 20000);
	assert_true(now_ms() - before >= 1000 && now_ms() - before < 5000);
	observation_done(&stop.op.obs);
	observation_done(&run.op.obs);
}

static void test_a_start_can_be_called_off(void **state)
{
	struct run run = {0}, start;
	struct qemu_spec want = make_spec("a.img", false);
	want.restart = RESTART_ALWAYS;
	start_guest(&want);
	int pid = (int)look(&run, &want)->pid;
	type("q");
	assert_null(look(&run, &want));
	begin(&start, &guestd_qemu_class, OP_CREATE, &want, NULL);
	assert_false(start.done); /* ends the old one first */
	lane->ops->cancel(lane, &start.op);
	end(&start, 100);
	assert_int_equal(start.op.err.code, ECANCELED);
	rest(1000);
	assert_true(has_ended(pid));
	assert_false(instance_alive(instance_find("web")));
	assert_null(look(&run, NULL));
	observation_done(&run.op.obs);
}

static void test_a_hung_qemu_is_no_hung_weftd(void **state)
{
	struct run run = {0}, stop;
	struct qemu_spec want = make_spec("a.img", false);
	start_guest(&want);
	int pid = (int)look(&run, &want)->pid;
	kill(pid, SIGSTOP);
	uint64_t before = now_ms();
	const struct qemu_spec *seen = look(&run, &want);
	assert_true(now_ms() - before < 4000);
	assert_non_null(seen);
	assert_non_null(run.op.obs.health);
	assert_int_equal(table_diff(&qemu_table, &want, seen), 0);
	kill(pid, SIGCONT);
	rest(300);
	assert_non_null(look(&run, &want));
	assert_null(run.op.obs.health);
	kill(pid, SIGSTOP);
	seen = look(&run, &want);
	begin(&stop, &guestd_qemu_class, OP_REMOVE, NULL, seen);
	must(&stop, 20000);
	assert_true(has_ended(pid));
	observation_done(&stop.op.obs);
	observation_done(&run.op.obs);
}

static void test_a_start_that_was_cut_off_leaves_nothing(void **state)
{
	struct run run = {0};
	struct qemu_spec want = make_spec("a.img", false);
	start_guest(&want);
	int pid = (int)look(&run, &want)->pid;
	struct instance *instance = instance_find("web");
	json_object_del(instance->record, "pid");
	json_object_del(instance->record, "start");
	assert_int_equal(instance_save(instance, NULL), 0);
	restart_weftd();
	assert_null(look(&run, &want));
	observation_done(&run.op.obs);
	start_guest(&want); /* ends the other one first: it holds the image */
	assert_true(has_ended(pid));
	stop_guest();
}

static void test_refusals_say_why(void **state)
{
	struct run run;
	struct qemu_spec want = make_spec("missing.img", false);
	begin(&run, &guestd_qemu_class, OP_CREATE, &want, NULL);
	end(&run, 30000);
	print_message("%s\n", run.op.err.text);
	assert_int_equal(run.op.err.code, ENOENT);
	assert_non_null(strstr(run.op.err.text, "missing.img"));
	want = make_spec("a.img", false);
	want.cpu_model = "Z80";
	begin(&run, &guestd_qemu_class, OP_CREATE, &want, NULL);
	end(&run, 30000);
	print_message("%s\n", run.op.err.text);
	assert_non_null(strstr(run.op.err.text, "Z80"));
	want = make_spec("a.img", true);
	begin(&run, &guestd_qemu_class, OP_CREATE, &want, NULL);
	end(&run, 30000);
	print_message("%s\n", run.op.err.text);
	assert_int_equal(run.op.err.code, ENODEV);
}

/* ---- taps ---- */

static void make_tap(const char *name)
{
	cleanup_free char *command = xprintf(
		"ip tuntap add %s mode tap multi_queue vnet_hdr user %s && ip link set %s up", name, QEMU_USER, name);
	assert_int_equal(system(command), 0);
}

/* Counts frames with the guest's address that come out of the tap. */
static int frames(const char *name, unsigned ms)
{
	cleanup_close int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
	uint8_t frame[2048];
	int n = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	for (uint64_t end_ms = now_ms() + ms; now_ms() < end_ms && !n; rest(50))
		for (ssize_t size; (size = recv(fd, frame, sizeof(frame), 0)) > 0;)
			n += size > 14 && memcmp(frame + 6, nic.mac.b, 6) == 0;
	return n;
}

/* Of QEMU's main thread, which reads the taps; the guest's processor has a thread of its own. */
static unsigned cpu_ticks(unsigned pid)
{
	cleanup_free char *path = xprintf("/proc/%u/task/%u/stat", pid, pid), *text = NULL;
	unsigned user = 0, system_time = 0;
	assert_int_equal(file_read(path, 4096, &text, NULL), 0);
	assert_int_equal(
		sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %u %u", &user, &system_time),
		2);
	return user + system_time;
}

static bool attached(struct run *run, const struct tap_attach_spec *want)
{
	observation_done(&run->op.obs);
	begin(run, &guestd_tap_attach_class, OP_OBSERVE, want, NULL);
	must(run, 5000);
	return run->op.obs.exists && ((struct tap_attach_spec *)run->op.obs.spec)->attached;
}

static void test_a_deleted_tap_is_attached_again(void **state)
{
	struct run run = {0}, qemu = {0}, change, removal;
	struct qemu_spec want = make_spec("a.img", true);
	struct tap_attach_spec attach = {.tap = "web.0", .attached = true, .model = NIC_VIRTIO, .port = 2};
	row_set(&tap_attach_table, &attach, "tap");
	row_set(&tap_attach_table, &attach, "attached");
	make_tap("web.0");
	begin(&run, &guestd_qemu_class, OP_CREATE, &want, NULL);
	must(&run, 30000);
	unsigned pid = look(&qemu, &want)->pid;
	assert_true(attached(&run, &attach));
	assert_true(frames("web.0", 30000) > 0); /* the boot ROM asks for an address */
	assert_int_equal(system("ip link del web.0"), 0);
	assert_false(attached(&run, &attach));
	assert_true(run.op.obs.exists);
	unsigned before = cpu_ticks(pid);
	rest(1000);
	unsigned spinning = cpu_ticks(pid) - before;
	begin(&change, &guestd_tap_attach_class, OP_UPDATE, &attach, run.op.obs.spec);
	end(&change, 5000);
	assert_int_equal(change.op.err.code, ENODEV);
	make_tap("web.0");
	assert_false(attached(&run, &attach));
	begin(&change, &guestd_tap_attach_class, OP_UPDATE, &attach, run.op.obs.spec);
	must(&change, 5000);
	assert_true(attached(&run, &attach));
	assert_true(frames("web.0", 30000) > 0);
	before = cpu_ticks(pid);
	rest(1000);
	print_message("QEMU's processor time: %u ticks a second without the tap, %u with it again\n", spinning,
		      cpu_ticks(pid) - before);

	begin(&removal, &guestd_tap_attach_class, OP_REMOVE, NULL, run.op.obs.spec);
	rest(300);
	assert_false(removal.done); /* it goes with QEMU */
	struct qemu_spec *seen = qemu.op.obs.spec;
	seen->shutdown_timeout_ms = 100;
	begin(&change, &guestd_qemu_class, OP_REMOVE, NULL, seen);
	must(&change, 20000);
	must(&removal, 1000);
	observation_done(&change.op.obs);
	observation_done(&removal.op.obs);
	observation_done(&run.op.obs);
	observation_done(&qemu.op.obs);
	assert_int_equal(system("ip link del web.0"), 0);
}

/* Every device and way of caching that a manifest can ask for is one that this QEMU takes. */
static void test_every_device_is_taken(void **state)
{
	struct qemu_spec want = make_spec("a.img", true);
	struct qemu_disk disks[8];
	struct qemu_nic nics[2] = {nic, nic};
	char names[8][8], *paths[8];
	size_t n = 0;
	make_tap("web.0");
	make_tap("web.1");
	for (; n < ARRAY_SIZE(disks); n++) {
		snprintf(names[n], sizeof(names[n]), "%zu.img", n);
		make_disk(names[n]);
		paths[n] = path_of(names[n]);
		disks[n] = disk;
		disks[n].path = paths[n];
		disks[n].unit = 10 + (uint32_t)n;
		disks[n].boot_index = 10 + (uint32_t)n;
		disks[n].cache = (int)n % 5;
		disks[n].discard = (int)n % 2;
		disks[n].zeroes = n % 2 ? (int)n % 3 : ZEROES_ON;
		disks[n].serial = "A,B=1";
		row_set(&qemu_disk_table, &disks[n], "serial");
	}
	disks[0].io = IO_NATIVE; /* with cache none */
	disks[1].io = IO_URING;
	disks[4].bus = disks[5].bus = BUS_SCSI;
	disks[5].read_only = true;
	disks[6].bus = disks[7].bus = BUS_SATA;
	disks[6].unit = 0;
	disks[7].unit = 5;
	disks[7].device = DEVICE_CDROM;
	disks[7].read_only = true;
	nics[0].queues = 2;
	nics[1].tap = "web.1";
	nics[1].model = NIC_E1000E;
	nics[1].port = 31;
	for (int i = 0; i < 2; i++)
		*present_of(&nics[i]) &=
			~(UINT64_C(1) << (table_field(&qemu_nic_table, "bootIndex") - qemu_nic_table.fields));
	want.disks = (struct list){disks, n};
	want.nics = (struct list){nics, 2};
	want.scsi_port = 4;
	want.rng_port = 5;
	want.balloon_port = 6;
	want.agent_port = 32;
	row_set(&qemu_table, &want, "scsiPort");
	row_set(&qemu_table, &want, "rngPort");
	row_set(&qemu_table, &want, "balloonPort");
	row_set(&qemu_table, &want, "agentPort");
	want.cpus = 4;
	want.cores = want.threads = 2;
	start_guest(&want);
	struct run run = {0};
	assert_int_equal(table_diff(&qemu_table, &want, look(&run, &want)), 0);
	observation_done(&run.op.obs);
	stop_guest();
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	assert_int_equal(system("ip link del web.0 && ip link del web.1"), 0);
}

/* ---- around them ---- */

static int remove_entry(const char *path, const struct stat *st, int type_of, struct FTW *ftw)
{
	return remove(path);
}

static int set_up(void **state)
{
	assert_non_null(mkdtemp(root));
	chmod(root, 0711);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	struct sd_event *loop;
	struct err err = {0};
	assert_true(sd_event_default(&loop) >= 0);
	if (env_setup(root, &err) < 0)
		fail_msg("%s", err.text);
	env.loop = loop;
	/* The loop reaps the launcher's children by SIGCHLD. */
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	make_disk("a.img");
	guestd_start(NULL, NULL);
	lane = lane_async_new("guest");
	return 0;
}

/* A test that failed may have left its guest. */
static int end_guest(void **state)
{
	struct instance *instance = instance_get("web");
	if (instance_alive(instance)) {
		kill(instance->id.pid, SIGKILL);
		rest(500);
	}
	if (instance->record)
		instance_forget(instance);
	for (int i = 0; i < 2; i++) {
		cleanup_free char *command = xprintf("ip link del web.%d 2>/dev/null", i);
		(void)!system(command);
	}
	return 0;
}

static int tear_down(void **state)
{
	lane->ops->free(lane);
	guestd_stop();
	return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	if (getuid() != 0 || !host_qemu() || !getpwnam(QEMU_USER) || system("as --version >/dev/null 2>&1") != 0) {
		fprintf(stderr, "skipped: needs root, QEMU, the user " QEMU_USER " and the assembler\n");
		return 77;
	}
	if (!getenv("WEFT_SLOW_TESTS")) {
		fprintf(stderr, "skipped: takes half a minute; WEFT_SLOW_TESTS=1 runs it\n");
		return 77;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_it_runs_and_is_found_again, end_guest),
		cmocka_unit_test_teardown(test_our_descriptors_are_closed, end_guest),
		cmocka_unit_test_teardown(test_pause_and_go_on, end_guest),
		cmocka_unit_test_teardown(test_powered_off_from_inside_it_stays_off, end_guest),
		cmocka_unit_test_teardown(test_a_killed_one_is_told_from_one_that_went, end_guest),
		cmocka_unit_test_teardown(test_a_panic_is_answered_by_the_policy, end_guest),
		cmocka_unit_test_teardown(test_the_console_log_is_bounded, end_guest),
		cmocka_unit_test_teardown(test_a_stop_can_be_called_off, end_guest),
		cmocka_unit_test_teardown(test_a_start_can_be_called_off, end_guest),
		cmocka_unit_test_teardown(test_a_hung_qemu_is_no_hung_weftd, end_guest),
		cmocka_unit_test_teardown(test_a_start_that_was_cut_off_leaves_nothing, end_guest),
		cmocka_unit_test_teardown(test_refusals_say_why, end_guest),
		cmocka_unit_test_teardown(test_every_device_is_taken, end_guest),
		cmocka_unit_test_teardown(test_a_deleted_tap_is_attached_again, end_guest),
	};
	cmocka_set_test_filter(getenv("WEFT_TEST"));
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
