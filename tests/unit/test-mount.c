/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a mount as the kernel shows them, against those that are wanted; and finding a mount in its list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "core/util.h"
#include "stord/mount.h"

static void test_options(void **state)
{
	static const struct mount_seen nfs = {
		.exists = true,
		.options = "rw,nosuid,nodev,noexec,relatime,rw,vers=4.2,rsize=262144,hard,proto=tcp,timeo=600,sec=sys",
	};
	static const char *const there[] = {"hard",  "timeo=600", "vers=4.2", "nosuid",          "retry=0",
					    "noac?", "bg",        "rw",       "lookupcache=none"};
	static const char *const not_there[] = {"soft", "softerr", "timeo=60", "vers=4.1", "ro", "suid", "exec"};
	for (size_t i = 0; i < ARRAY_SIZE(there); i++)
		if (!mountinfo_has_option(&nfs, there[i]))
			fail_msg("%s is denied", there[i]);
	for (size_t i = 0; i < ARRAY_SIZE(not_there); i++)
		if (mountinfo_has_option(&nfs, not_there[i]))
			fail_msg("%s is taken for there", not_there[i]);
	/* Of a mount that is read-only while the filesystem is not, and the other way round. */
	static const struct mount_seen read_only = {.options = "ro,relatime,rw,stripe=4"};
	assert_true(mountinfo_has_option(&read_only, "ro"));
	assert_false(mountinfo_has_option(&read_only, "noatime") && mountinfo_has_option(&read_only, "stripe=8"));
}

/* What lies on top is what counts; a name with a blank is written in another way by the kernel. */
static void test_find(void **state)
{
	char dir[] = "/tmp/weft-test-mount.XXXXXX";
	if (!mkdtemp(dir) || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip(); /* only root mounts */
	cleanup_free char *where = xprintf("%s/a b", dir);
	struct mount_seen seen;
	assert_int_equal(mkdir(where, 0755), 0);
	assert_int_equal(mountinfo_find(where, &seen), 0);
	assert_false(seen.exists);
	assert_int_equal(mount("below", where, "tmpfs", 0, NULL), 0);
	assert_int_equal(mount("above", where, "tmpfs", MS_NOSUID | MS_RDONLY, "size=1m"), 0);
	assert_int_equal(mountinfo_find(where, &seen), 0);
	assert_true(seen.exists && seen.incarnation);
	assert_string_equal(seen.what, "above");
	assert_string_equal(seen.fs_type, "tmpfs");
	assert_true(mountinfo_has_option(&seen, "ro") && mountinfo_has_option(&seen, "size=1024k"));
	assert_int_equal(umount(where), 0);
	assert_int_equal(mountinfo_find(where, &seen), 0);
	assert_string_equal(seen.what, "below");
	assert_int_equal(umount(where), 0);
	rmdir(where);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_options), cmocka_unit_test(test_find)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
