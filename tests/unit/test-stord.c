/* SPDX-License-Identifier: Apache-2.0 */
/* Pools and volumes on real directories with the real qemu-img: their verbs as the lane runs them, without the
 * engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <systemd/sd-event.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "stord/stord.h"

enum { MIB = 1 << 20 };
static const char web_mark[] = "weft:0123456789abcdef:Volume/web";
static char root[] = "/tmp/weft-test-stord.XXXXXX";
static char *dir; /* of the pool; inside root */
static struct lane *lane;

static void done(struct op *op)
{
	op->node = op;
}

static struct op *run(const struct resource_class *class, enum op_verb verb, const void *spec, uint64_t rows)
{
	struct op *op = xcalloc(1, sizeof(*op));
	*op = (struct op){.verb = verb, .class = class, .lane = lane, .done = done, .rows = rows};
	op->key = class == &stord_pool_class ? "local" : "local/web";
	op->want = verb == OP_REMOVE ? NULL : spec;
	op->was = verb == OP_REMOVE ? spec : NULL;
	op->mark = verb == OP_REMOVE            ? NULL
		   : class == &stord_pool_class ? "weft:0123456789abcdef:Pool/local"
						: web_mark;
	lane->ops->submit(lane, op);
	lane->ops->flush(lane);
	for (int i = 0; i < 300 && !op->node; i++)
		assert_true(sd_event_run(env.loop, 100 * 1000) >= 0);
	assert_non_null(op->node);
	return op;
}

static void op_free(struct op **op)
{
	observation_done(&(*op)->obs);
	free(*op);
}
#define cleanup_op cleanup(op_free)

static void assert_fine(const struct op *op)
{
	assert_string_equal(op->err.text, "");
	assert_int_equal(op->err.code, 0);
	assert_true(op->obs.valid);
}

static struct pool_state pool_spec(void)
{
	return (struct pool_state){.present = POOL_TYPE | POOL_PLACE | POOL_SOURCE, .place = dir, .source = dir};
}

static struct volume_state volume_spec(const char *file, int format, uint64_t size)
{
	return (struct volume_state){.present = VOLUME_WANTED, .place = file, .format = format, .size = size};
}

static char *in_dir(const char *name)
{
	return xprintf("%s/%s", dir, name);
}

static size_t count_entries(void)
{
	size_t n = 0;
	DIR *entries = opendir(dir);
	assert_non_null(entries);
	for (struct dirent *e; (e = readdir(entries));)
		n += !streq(e->d_name, ".") && !streq(e->d_name, "..");
	closedir(entries);
	return n;
}

static void make_pool(void)
{
	struct pool_state spec = pool_spec();
	cleanup_op struct op *op = run(&stord_pool_class, OP_CREATE, &spec, 0);
	assert_fine(op);
}

static void test_pool_comes_and_goes(void **state)
{
	struct pool_state spec = pool_spec();
	cleanup_op struct op *none = run(&stord_pool_class, OP_OBSERVE, &spec, 0);
	assert_fine(none);
	assert_false(none->obs.exists);

	cleanup_op struct op *made = run(&stord_pool_class, OP_CREATE, &spec, 0);
	assert_fine(made);
	const struct pool_state *seen = made->obs.spec;
	assert_true(made->obs.exists && seen->capacity > 0 && seen->available > 0 && made->obs.incarnation);
	assert_int_equal(made->obs.owner, OWNER_OURS);
	assert_int_equal(table_diff(stord_pool_class.table, &spec, seen), 0);
	struct stat st;
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);

	cleanup_op struct op *gone = run(&stord_pool_class, OP_REMOVE, &spec, 0);
	assert_fine(gone);
	assert_false(gone->obs.exists);
	assert_int_equal(stat(dir, &st), -1);
}

static void test_pool_with_something_in_it_stays(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("precious");
	assert_int_equal(file_write_atomic(file, "x", 1, 0600), 0);
	struct pool_state spec = pool_spec();
	cleanup_op struct op *op = run(&stord_pool_class, OP_REMOVE, &spec, 0);
	assert_fine(op);
	assert_true(op->obs.exists);
	assert_int_equal(op->obs.owner, OWNER_FOREIGN);
	assert_int_equal(count_entries(), 1);
}

static void test_directory_of_somebody_else_is_used_as_it_is(void **state)
{
	assert_int_equal(mkdir_all(dir, 0750), 0);
	struct pool_state spec = pool_spec();
	cleanup_op struct op *op = run(&stord_pool_class, OP_OBSERVE, &spec, 0);
	assert_fine(op);
	assert_true(op->obs.exists);
	assert_int_equal(op->obs.owner, OWNER_UNKNOWN);
	struct stat st;
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
}

static void test_pool_that_everybody_may_write_is_refused(void **state)
{
	make_pool();
	assert_int_equal(chmod(dir, 0777), 0);
	struct pool_state spec = pool_spec();
	cleanup_op struct op *op = run(&stord_pool_class, OP_OBSERVE, &spec, 0);
	assert_int_equal(op->err.code, EPERM);
	assert_non_null(strstr(op->err.text, "can be written by everybody"));
}

static void test_half_made_images_are_swept(void **state)
{
	assert_int_equal(mkdir_all(dir, 0711), 0);
	cleanup_free char *ours = in_dir(".web.qcow2.0123456789abcdef.weft-new"),
			  *theirs = in_dir(".web.qcow2.fedcba9876543210.weft-new");
	assert_int_equal(file_write_atomic(ours, "x", 1, 0600), 0);
	assert_int_equal(file_write_atomic(theirs, "x", 1, 0600), 0);
	make_pool();
	assert_int_equal(access(ours, F_OK), -1);
	assert_int_equal(access(theirs, F_OK), 0);
}

static void check_life(int format)
{
	make_pool();
	cleanup_free char *file = in_dir(format == IMAGE_RAW ? "web.raw" : "web.qcow2");
	struct volume_state spec = volume_spec(file, format, 8 * MIB);
	cleanup_op struct op *none = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	assert_fine(none);
	assert_false(none->obs.exists);

	cleanup_op struct op *made = run(&stord_volume_class, OP_CREATE, &spec, 0);
	assert_fine(made);
	assert_true(made->obs.exists && made->obs.owner == OWNER_OURS && made->obs.incarnation);
	assert_null(made->obs.health);
	assert_int_equal(table_diff(stord_volume_class.table, &spec, made->obs.spec), 0);
	struct stat st;
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(count_entries(), 1);

	spec.size = 16 * MIB;
	assert_int_equal(table_diff(stord_volume_class.table, &spec, made->obs.spec), VOLUME_SIZE);
	cleanup_op struct op *grown = run(&stord_volume_class, OP_UPDATE, &spec, VOLUME_SIZE);
	assert_fine(grown);
	assert_int_equal(((struct volume_state *)grown->obs.spec)->size, 16 * MIB);
	assert_true(grown->obs.incarnation == made->obs.incarnation);

	/* Smaller is as good as equal, and is never done. */
	spec.size = 4 * MIB;
	assert_int_equal(table_diff(stord_volume_class.table, &spec, grown->obs.spec), 0);
	cleanup_op struct op *same = run(&stord_volume_class, OP_UPDATE, &spec, VOLUME_SIZE);
	assert_fine(same);
	assert_int_equal(((struct volume_state *)same->obs.spec)->size, 16 * MIB);
	assert_non_null(strstr(same->obs.note, "never shrinks"));

	cleanup_op struct op *gone = run(&stord_volume_class, OP_REMOVE, &spec, 0);
	assert_fine(gone);
	assert_false(gone->obs.exists);
	assert_int_equal(count_entries(), 0);
}

static void test_qcow2_is_made_grown_deleted(void **state)
{
	check_life(IMAGE_QCOW2);
}

static void test_raw_is_made_grown_deleted(void **state)
{
	check_life(IMAGE_RAW);
}

/* A raw disk into which a guest has written a qcow2 header stays a raw disk. */
static void test_raw_is_never_probed(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("web.raw");
	struct volume_state spec = volume_spec(file, IMAGE_RAW, MIB);
	cleanup_op struct op *made = run(&stord_volume_class, OP_CREATE, &spec, 0);
	assert_fine(made);
	cleanup_free char *command = xprintf("qemu-img create -q -f qcow2 -b /etc/passwd -F raw %s/x 64M && dd if=%s/x "
					     "of=%s conv=notrunc status=none bs=4096 count=1 && rm %s/x",
					     root, root, file, root);
	assert_int_equal(system(command), 0);
	cleanup_op struct op *op = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	assert_fine(op);
	assert_int_equal(((struct volume_state *)op->obs.spec)->size, MIB);
	assert_null(op->obs.health);
}

static void test_foreign_files_are_left_alone(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("web.qcow2"), *text = NULL;
	assert_int_equal(file_write_atomic(file, "my thesis", 9, 0644), 0);
	struct volume_state spec = volume_spec(file, IMAGE_QCOW2, MIB);
	cleanup_op struct op *op = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	assert_fine(op);
	assert_int_equal(op->obs.owner, OWNER_FOREIGN);
	cleanup_op struct op *over = run(&stord_volume_class, OP_CREATE, &spec, 0);
	assert_int_equal(over->err.code, EEXIST);
	cleanup_op struct op *adopt = run(&stord_volume_class, OP_UPDATE, &spec, VOLUME_SIZE);
	assert_int_equal(adopt->err.code, EINVAL);
	assert_non_null(strstr(adopt->err.text, "is not an image of format qcow2"));
	cleanup_op struct op *gone = run(&stord_volume_class, OP_REMOVE, &spec, 0);
	assert_int_equal(gone->err.code, EPERM);
	assert_int_equal(file_read(file, 100, &text, NULL), 0);
	assert_string_equal(text, "my thesis");
	assert_int_equal(count_entries(), 1);

	unlink(file);
	assert_int_equal(symlink("/etc/passwd", file), 0);
	cleanup_op struct op *link = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	assert_fine(link);
	assert_true(link->obs.exists && link->obs.owner == OWNER_FOREIGN);
}

static void test_images_of_other_volumes_and_instances_are_foreign(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("web.qcow2");
	struct volume_state spec = volume_spec(file, IMAGE_QCOW2, MIB);
	cleanup_op struct op *made = run(&stord_volume_class, OP_CREATE, &spec, 0);
	assert_fine(made);
	static const char *const others[] = {"weft:0123456789abcdef:Volume/db", "weft:fedcba9876543210:Volume/web"};
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_int_equal(setxattr(file, "user.weft", others[i], strlen(others[i]), 0), 0);
		cleanup_op struct op *op = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
		assert_fine(op);
		assert_int_equal(op->obs.owner, OWNER_FOREIGN);
		assert_non_null(strstr(op->obs.note, others[i]));
	}
	/* An adoption marks it, but not what another weft has. */
	char mark[100] = "";
	spec.adopt = true;
	cleanup_op struct op *theirs = run(&stord_volume_class, OP_UPDATE, &spec, 0);
	assert_fine(theirs);
	assert_int_equal(theirs->obs.owner, OWNER_UNKNOWN);
	assert_true(getxattr(file, "user.weft", mark, sizeof(mark)) > 0);
	assert_string_equal(mark, others[1]);
	assert_int_equal(setxattr(file, "user.weft", others[0], strlen(others[0]), 0), 0);
	cleanup_op struct op *adopted = run(&stord_volume_class, OP_UPDATE, &spec, 0);
	assert_fine(adopted);
	assert_int_equal(adopted->obs.owner, OWNER_OURS);
}

static void test_detached_image_is_known_again(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("web.qcow2");
	struct volume_state spec = volume_spec(file, IMAGE_QCOW2, MIB);
	cleanup_op struct op *made = run(&stord_volume_class, OP_CREATE, &spec, 0);
	assert_fine(made);
	memory_stop(); /* another daemon */
	cleanup_op struct op *op = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	assert_fine(op);
	assert_int_equal(op->obs.owner, OWNER_OURS);
	assert_int_equal(table_diff(stord_volume_class.table, &spec, op->obs.spec), 0);
	assert_false(stord_volume_class.disposable(&spec));
	spec.reclaim = RECLAIM_DELETE;
	assert_true(stord_volume_class.disposable(&spec));
}

static void test_damaged_image_of_ours_is_an_error(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("web.qcow2");
	struct volume_state spec = volume_spec(file, IMAGE_QCOW2, MIB);
	cleanup_op struct op *made = run(&stord_volume_class, OP_CREATE, &spec, 0);
	assert_fine(made);
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, "XXXXXXXX", 8), 8);
	close(fd);
	cleanup_op struct op *op = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	assert_int_equal(op->err.code, EINVAL);
	assert_non_null(strstr(op->err.text, "is not a whole qcow2 image (Could not open"));
}

static void test_growing_waits_for_a_running_guest(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("web.qcow2");
	struct volume_state spec = volume_spec(file, IMAGE_QCOW2, MIB);
	cleanup_op struct op *made = run(&stord_volume_class, OP_CREATE, &spec, 0);
	assert_fine(made);
	cleanup_free char *command = xprintf("exec qemu-io -f qcow2 -c 'sleep 20000' %s", file);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	usleep(300 * 1000);
	spec.size = 2 * MIB;
	cleanup_op struct op *op = run(&stord_volume_class, OP_UPDATE, &spec, VOLUME_SIZE);
	assert_int_equal(op->err.code, EBUSY);
	assert_string_equal(op->err.text,
			    "image 'web.qcow2' is in use by a running guest; this is done once the guest is off");
	/* Looking is not held up by it. */
	cleanup_op struct op *look = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	assert_fine(look);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cleanup_op struct op *grown = run(&stord_volume_class, OP_UPDATE, &spec, VOLUME_SIZE);
	assert_fine(grown);
}

static void shell(const char *fmt, ...) printf_like(1, 2);
static void shell(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *command = xvprintf(fmt, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void refuse_source(struct volume_state spec, const char *why)
{
	cleanup_op struct op *op = run(&stord_volume_class, OP_CREATE, &spec, 0);
	if (!op->err.code || !strstr(op->err.text, why))
		fail_msg("expected '%s', got '%s'", why, op->err.text);
	assert_int_equal(count_entries(), 0);
}

static void test_source_is_copied(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("web.raw"), *source = xprintf("%s/source", root), *text = NULL;
	shell("qemu-img create -q -f qcow2 %s 2M && qemu-io -f qcow2 -c 'write -q -P 0x41 1M 4k' %s", source, source);
	struct volume_state spec = volume_spec(file, IMAGE_RAW, 4 * MIB);
	spec.source = source;
	spec.source_format = IMAGE_QCOW2;
	spec.source_sha256 = "0000000000000000000000000000000000000000000000000000000000000000";
	refuse_source(spec, "is not what the manifest says: its SHA-256 is ");
	spec.source_sha256 = NULL;
	spec.size = MIB;
	refuse_source(spec, "is a disk of 2.0 MiB, larger than the volume's 1.0 MiB");
	spec.size = 4 * MIB;
	spec.source = "/nowhere/image";
	refuse_source(spec, "source '/nowhere/image': No such file or directory");
	spec.source = "/etc/passwd";
	refuse_source(spec, "source '/etc/passwd' is not a qcow2 image: Could not open");
	cleanup_free char *layered = xprintf("%s/layered", root);
	shell("qemu-img create -q -f qcow2 -b /etc/passwd -F raw %s 2M", layered);
	spec.source = layered;
	refuse_source(spec, "needs another file, '/etc/passwd'");
	unlink(layered);

	spec.source = source;
	cleanup_op struct op *made = run(&stord_volume_class, OP_CREATE, &spec, 0);
	unlink(source);
	assert_fine(made);
	assert_int_equal(((struct volume_state *)made->obs.spec)->size, 4 * MIB);
	assert_int_equal(table_diff(stord_volume_class.table, &spec, made->obs.spec), 0);
	assert_int_equal(file_read(file, 8 * MIB, &text, NULL), 0);
	assert_true(text[MIB] == 0x41 && text[MIB + 4095] == 0x41 && text[MIB - 1] == 0 && text[MIB + 4096] == 0);
}

static void test_an_operation_that_is_called_off_leaves_nothing(void **state)
{
	make_pool();
	cleanup_free char *file = in_dir("web.raw"), *big = xprintf("%s/big", root);
	shell("truncate -s 3G %s", big);
	struct volume_state spec = volume_spec(file, IMAGE_RAW, (uint64_t)3 << 30);
	spec.source = big;
	spec.source_sha256 = "0000000000000000000000000000000000000000000000000000000000000000";
	cleanup_op struct op *op = xcalloc(1, sizeof(*op));
	*op = (struct op){.verb = OP_CREATE,
			  .class = &stord_volume_class,
			  .key = "local/web",
			  .want = &spec,
			  .mark = web_mark,
			  .lane = lane,
			  .done = done};
	lane->ops->submit(lane, op);
	lane->ops->flush(lane);
	sd_event_run(env.loop, 100 * 1000);
	assert_null(op->node);
	lane->ops->cancel(lane, op);
	assert_non_null(op->node);
	assert_int_equal(op->err.code, ECANCELED);
	for (int i = 0; i < 20; i++)
		sd_event_run(env.loop, 20 * 1000);
	unlink(big);
	/* Whatever it had begun goes with the pool. */
	cleanup_free char *half = in_dir(".web.raw.0123456789abcdef.weft-new");
	assert_int_equal(file_write_atomic(half, "x", 1, 0600), 0);
	struct pool_state pool = pool_spec();
	cleanup_op struct op *gone = run(&stord_pool_class, OP_REMOVE, &pool, 0);
	assert_fine(gone);
	assert_false(gone->obs.exists);
}

static void mount_small(const char *type, const char *options)
{
	assert_int_equal(mkdir_all(dir, 0711), 0);
	assert_int_equal(mount("weft-test", dir, type, 0, options), 0);
	assert_int_equal(chmod(dir, 0711), 0);
}

static void test_no_room_leaves_nothing(void **state)
{
	mount_small("tmpfs", "size=4m");
	make_pool();
	cleanup_free char *file = in_dir("web.raw");
	struct volume_state spec = volume_spec(file, IMAGE_RAW, 64 * MIB);
	spec.preallocation = PREALLOCATION_FALLOC;
	cleanup_op struct op *op = run(&stord_volume_class, OP_CREATE, &spec, 0);
	size_t n = count_entries();
	umount(dir);
	assert_int_equal(op->err.code, ENOSPC);
	assert_non_null(strstr(op->err.text, "which needs 64.0 MiB (4.0 MiB are free): free some space, ask for "
					     "less, or use preallocation: off"));
	assert_int_equal(n, 0);
}

static void test_marks_beside_the_image_where_there_are_no_attributes(void **state)
{
	mount_small("ramfs", NULL);
	make_pool();
	cleanup_free char *file = in_dir("web.raw"), *side = in_dir(".web.raw.weft"), *other = in_dir("other");
	struct volume_state spec = volume_spec(file, IMAGE_RAW, MIB);
	cleanup_op struct op *made = run(&stord_volume_class, OP_CREATE, &spec, 0);
	bool has_side = access(side, F_OK) == 0;
	/* Another file put in its place is not ours. */
	int fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	bool swapped = fd >= 0 && close(fd) == 0;
	cleanup_op struct op *ours = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	swapped = swapped && rename(other, file) == 0;
	cleanup_op struct op *theirs = run(&stord_volume_class, OP_OBSERVE, &spec, 0);
	umount(dir);
	assert_fine(made);
	assert_true(has_side && swapped);
	assert_int_equal(made->obs.owner, OWNER_OURS);
	assert_int_equal(ours->obs.owner, OWNER_OURS);
	assert_int_equal(theirs->obs.owner, OWNER_FOREIGN);
}

static int setup(void **state)
{
	if (!mkdtemp(root))
		return -1;
	memcpy(env.instance, "0123456789abcdef", sizeof(env.instance));
	env.state_dir = root;
	dir = xprintf("%s/pool", root);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	return sd_event_new(&env.loop) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	env.loop = sd_event_unref(env.loop);
	free(dir);
	return rmdir(root);
}

static int begin(void **state)
{
	lane = lane_async_new("storage");
	return 0;
}

static int end(void **state)
{
	lane->ops->free(lane);
	stord_stop();
	umount(dir);
	cleanup_free char *command = xprintf("rm -rf %s", dir);
	return system(command);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pool_comes_and_goes),
		TEST(test_pool_with_something_in_it_stays),
		TEST(test_directory_of_somebody_else_is_used_as_it_is),
		TEST(test_pool_that_everybody_may_write_is_refused),
		TEST(test_half_made_images_are_swept),
		TEST(test_qcow2_is_made_grown_deleted),
		TEST(test_raw_is_made_grown_deleted),
		TEST(test_raw_is_never_probed),
		TEST(test_foreign_files_are_left_alone),
		TEST(test_images_of_other_volumes_and_instances_are_foreign),
		TEST(test_detached_image_is_known_again),
		TEST(test_damaged_image_of_ours_is_an_error),
		TEST(test_growing_waits_for_a_running_guest),
		TEST(test_source_is_copied),
		TEST(test_an_operation_that_is_called_off_leaves_nothing),
		TEST(test_no_room_leaves_nothing),
		TEST(test_marks_beside_the_image_where_there_are_no_attributes),
	};
	if (geteuid() != 0 || access("/usr/bin/qemu-img", X_OK) < 0) {
		printf("skipped: needs root and qemu-img\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
