/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the disks that are there are a Lun's, and what udev and multipathd are told of it: the pure parts. The lab
 * has them on real disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stord/lun.h"

#define WWID  "36001405a000000000004000800000000"
#define OTHER "36001405a000000100004000800000000"
enum { GIB = 1 << 30 };

/* ---- a host ---- */

static struct scsi_disk disks[8];
static struct map_path paths[4];
static struct lun_record records[2];
static struct lun_host host;
static struct lun_seen seen;

static int setup(void **state)
{
	memset(disks, 0, sizeof(disks));
	memset(paths, 0, sizeof(paths));
	memset(records, 0, sizeof(records));
	host = (struct lun_host){.disks = disks, .records = records, .maps.paths = paths};
	return 0;
}

static struct scsi_disk *add_disk(const char *name, const char *wwid, const char *address, const char *portal)
{
	struct scsi_disk *disk = &disks[host.n_disks++];
	strcpy(disk->name, name);
	strcpy(disk->wwid, wwid);
	strcpy(disk->address, address);
	strcpy(disk->portal, portal);
	strcpy(disk->serial, "a0");
	strcpy(disk->state, "running");
	strcpy(disk->target, "iqn.2003-01.example:san");
	disk->lun = strtoull(strrchr(address, ':') + 1, NULL, 10);
	disk->size = GIB;
	disk->sequence = host.n_disks;
	return disk;
}

static void add_map(const char *name, const char *wwid)
{
	struct scsi_disk *map = &disks[host.n_disks++];
	strcpy(map->name, name);
	strcpy(map->wwid, wwid);
	strcpy(map->map, "mpatha");
	map->size = GIB;
	map->sequence = 99;
}

static struct map_path *add_path(struct scsi_disk *disk)
{
	struct map_path *path = &paths[host.maps.n_paths++];
	strcpy(path->disk, disk->name);
	strcpy(path->map, "dm-0");
	strcpy(path->checker, "ready");
	strcpy(disk->holder, "dm-0");
	return path;
}

/* A map over two paths. */
static void add_mapped(void)
{
	add_map("dm-0", WWID);
	add_path(add_disk("sda", WWID, "1:0:0:0", "192.0.2.60:3260"));
	add_path(add_disk("sdc", WWID, "0:0:0:0", "198.51.100.60:3260"));
}

static void remember(const char *name, const char *wwid, uint64_t size, const char *known)
{
	struct lun_record *record = &records[host.n_records++];
	strcpy(record->name, name);
	strcpy(record->wwid, wwid);
	strcpy(record->paths, known);
	record->size = size;
}

static void judge(int use)
{
	const struct lun_state state = {.present = LUN_WWID, .wwid = WWID, .use = use};
	lun_judge(&host, "db", &state, &seen);
}

static void assert_refused(int code, const char *part)
{
	assert_int_equal(seen.code, code);
	if (!strstr(seen.text, part))
		fail_msg("'%s' is not in '%s'", part, seen.text);
}

static void assert_device(const char *device, const char *health)
{
	if (seen.code)
		fail_msg("refused: %s", seen.text);
	assert_string_equal(seen.device, device);
	if (health ? !strstr(seen.health, health) : seen.health[0] != '\0')
		fail_msg("health: '%s'", seen.health);
}

/* ---- which disk ---- */

static void test_one_disk(void **state)
{
	judge(LUN_EITHER);
	assert_refused(ENODEV, "no disk with WWID " WWID);
	add_disk("sdb", OTHER, "1:0:0:1", "");
	add_disk("sda", WWID, "1:0:0:0", "");
	judge(LUN_EITHER);
	assert_device("sda", NULL);
	judge(LUN_DISK);
	assert_device("sda", NULL);
	judge(LUN_MAP);
	assert_refused(ENODEV, "multipathd has made no map");
	remember("db", WWID, GIB, "");
	disks[1].size = 0; /* the storage has it no more */
	judge(LUN_EITHER);
	assert_refused(ENOMEDIUM, "the storage tells no size of it (sda)");
	assert_true(seen.dead);
}

static void test_its_map(void **state)
{
	add_mapped();
	judge(LUN_EITHER);
	assert_device("dm-0", NULL);
	assert_true(seen.map);
	assert_string_equal(seen.paths, "192.0.2.60:3260 198.51.100.60:3260");
	judge(LUN_DISK);
	assert_refused(EBUSY, "held by the map 'mpatha'");
}

static void test_paths_without_a_map(void **state)
{
	add_disk("sda", WWID, "1:0:0:0", "192.0.2.60:3260");
	add_disk("sdc", WWID, "0:0:0:0", "198.51.100.60:3260");
	judge(LUN_EITHER);
	assert_refused(ENOTUNIQ, "2 disks have the WWID");
	judge(LUN_DISK);
	assert_refused(ENOTUNIQ, "2 disks have the WWID");
}

static void test_two_disks_of_one_wwid(void **state)
{
	add_mapped();
	struct scsi_disk *third = add_disk("sde", WWID, "2:0:0:0", "");
	add_path(third);
	judge(LUN_EITHER);
	assert_device("dm-0", NULL);
	strcpy(third->serial, "a0000000-0000-4000-8000-000000000001");
	judge(LUN_EITHER);
	assert_refused(ENOTUNIQ, "two disks say that they are WWID");
	strcpy(third->serial, "a0");
	strcpy(third->address, "1:0:0:7"); /* beside sda, under another number */
	third->lun = 7;
	judge(LUN_MAP);
	assert_refused(ENOTUNIQ, "two disks say that they are WWID");
}

static void test_another_disk_under_its_number(void **state)
{
	const struct lun_state by_number = {.present = LUN_TARGET | LUN_NUMBER, .target = "iqn.2003-01.example:san"};
	remember("db", WWID, GIB, "");
	add_disk("sda", OTHER, "1:0:0:0", "");
	lun_judge(&host, "db", &by_number, &seen);
	assert_refused(EMEDIUMTYPE, "is bound to the disk with WWID " WWID);
	strcpy(disks[0].wwid, WWID);
	lun_judge(&host, "db", &by_number, &seen);
	assert_device("sda", NULL);
	add_disk("sdb", OTHER, "2:0:0:0", "");
	lun_judge(&host, "db", &by_number, &seen);
	assert_refused(ENOTUNIQ, "is one disk by way of");
	host.n_disks = 0;
	lun_judge(&host, "db", &by_number, &seen);
	assert_refused(ENODEV, "no disk with WWID " WWID);
	host.n_records = 0;
	lun_judge(&host, "db", &by_number, &seen);
	assert_refused(ENODEV, "shows no LUN 0");
}

static void test_a_disk_that_has_a_name(void **state)
{
	remember("logs", WWID, GIB, "");
	add_disk("sda", WWID, "1:0:0:0", "");
	judge(LUN_EITHER);
	assert_refused(EEXIST, "is Lun 'logs' already");
}

/* ---- its size ---- */

static void test_size(void **state)
{
	struct lun_state state_of_2 = {.present = LUN_WWID | LUN_LEAST, .wwid = WWID, .least = (uint64_t)2 * GIB};
	add_mapped();
	remember("db", WWID, GIB, "");
	lun_judge(&host, "db", &state_of_2, &seen);
	assert_refused(EMEDIUMTYPE, "less than the 2.0 GiB that its manifest says");
	disks[1].size = (uint64_t)2 * GIB;
	judge(LUN_EITHER);
	assert_device("dm-0", NULL);
	assert_true(seen.grown); /* the other path has not been asked yet */
	disks[2].size = (uint64_t)2 * GIB;
	judge(LUN_EITHER);
	assert_false(seen.grown);
	disks[0].size = (uint64_t)2 * GIB;
	lun_judge(&host, "db", &state_of_2, &seen);
	assert_device("dm-0", NULL);
	disks[1].size = 0; /* nor does the storage tell it by this way */
	judge(LUN_EITHER);
	assert_device("dm-0", NULL);
	disks[1].size = GIB / 2; /* the map does not know yet */
	judge(LUN_EITHER);
	assert_refused(EMEDIUMTYPE, "it shrank");
}

/* ---- its paths ---- */

static void test_path_down(void **state)
{
	add_mapped();
	remember("db", WWID, GIB, "192.0.2.60:3260 198.51.100.60:3260");
	paths[1].failed = true;
	judge(LUN_EITHER);
	assert_device("dm-0", "path 198.51.100.60:3260 (sdc) is down: failed; I/O goes on");
	paths[1].failed = false;
	strcpy(paths[0].checker, "faulty");
	judge(LUN_EITHER);
	assert_device("dm-0", "path 192.0.2.60:3260 (sda) is down: faulty");
	strcpy(disks[2].state, "transport-offline");
	judge(LUN_EITHER);
	assert_device("dm-0", "all paths are down");
}

static void test_path_gone(void **state)
{
	add_map("dm-0", WWID);
	remember("db", WWID, GIB, "192.0.2.60:3260 198.51.100.60:3260");
	judge(LUN_EITHER);
	assert_device("dm-0", "has no path at all");
	add_path(add_disk("sda", WWID, "1:0:0:0", "192.0.2.60:3260"));
	judge(LUN_EITHER);
	assert_device("dm-0", "path 198.51.100.60:3260 is gone");
	records[0].paths[0] = '\0';
	judge(LUN_EITHER);
	assert_device("dm-0", "has one path only (192.0.2.60:3260)");
	add_disk("sdc", WWID, "0:0:0:0", "198.51.100.60:3260");
	judge(LUN_EITHER);
	assert_device("dm-0", "sdc has the same WWID and is no path");
}

static void test_multipathd_hangs(void **state)
{
	add_mapped();
	host.maps.fault = ETIMEDOUT;
	judge(LUN_EITHER);
	assert_device("dm-0", "multipathd does not answer");
}

/* ---- what the kernel and multipathd say ---- */

static void test_status_of_the_kernel(void **state)
{
	static const char status[] = "2 0 1 0 1 1 A 0 2 2 8:32 A 0 0 1 8:0 F 3 0 1 ";
	assert_int_equal(map_status_of(status, 8, 32), PATH_USED);
	assert_int_equal(map_status_of(status, 8, 0), PATH_FAILED);
	assert_int_equal(map_status_of(status, 8, 3), PATH_UNKNOWN);
	assert_int_equal(map_status_of("2 0 1 0 1 1 A 0 1 2 8:0", 8, 0), PATH_UNKNOWN);
	assert_int_equal(map_status_of("", 8, 0), PATH_UNKNOWN);
}

static void test_states_of_multipathd(void **state)
{
	add_mapped();
	assert_true(map_states_take(&host.maps, "{\"maps\": [{\"sysfs\": \"dm-0\", \"queueing\": \"on\", "
						"\"path_groups\": [{\"selector\": \"service-time "
						"0\", \"paths\": [{\"dev\": \"sdc\", \"chk_st\": \"faulty\"}, "
						"{\"dev\": \"sdz\", \"chk_st\": \"ready\"}, "
						"{\"dev\": 7}]}]}]}"));
	assert_string_equal(paths[1].checker, "faulty");
	assert_string_equal(paths[0].checker, "ready");
	assert_int_equal(host.maps.n_maps, 1);
	assert_string_equal(host.maps.maps[0].policy, "service-time 0");
	free(host.maps.maps);
	assert_false(map_states_take(&host.maps, "fail\n"));
	assert_false(map_states_take(&host.maps, "{\"maps\": 7}"));
}

/* ---- what udev and multipathd are told ---- */

static void assert_has(const char *text, const char *part, bool has)
{
	if (!strstr(text, part) == has)
		fail_msg("'%s' is%s in:\n%s", part, has ? " not" : "", text);
}

static void test_rules_of_udev(void **state)
{
	static const char map[] = "ENV{DM_UUID}==\"mpath-" WWID "\", SYMLINK+=\"weft/lun/db\"";
	static const char disk[] = "ATTR{device/wwid}==\"naa.6001405a000000000004000800000000\", "
				   "SYMLINK+=\"weft/lun/db\"";
	remember("db", WWID, 0, "");
	for (int use = LUN_EITHER; use <= LUN_MAP; use++) {
		records[0].use = use;
		char *text = lun_udev_rules(records, 1);
		assert_has(text, map, use != LUN_DISK);
		assert_has(text, disk, use != LUN_MAP);
		free(text);
	}
	strcpy(records[0].wwid, "eui.0025385b71b00a3c");
	records[0].use = LUN_DISK;
	char *text = lun_udev_rules(records, 1);
	assert_has(text, "ATTR{wwid}==\"eui.0025385b71b00a3c\", SYMLINK+=\"weft/lun/db\"", true);
	free(text);
}

static void test_rules_of_multipathd(void **state)
{
	remember("db", WWID, 0, "");
	remember("logs", OTHER, 0, "");
	records[0].map = records[1].map = true;
	char *text = lun_multipath_rules(records, 2, "multipaths { multipath { wwid " OTHER " alias mine } }",
					 "00c0ffee00c0ffee");
	assert_has(text, "wwid \"" WWID "\"", true);
	assert_has(text, "alias \"weft-db\"", true);
	assert_has(text, "reservation_key 0x00c0ffee00c0ffee\n", true);
	assert_has(text, OTHER, false);
	free(text);
	records[0].map = false;
	text = lun_multipath_rules(records, 1, "", "00c0ffee00c0ffee");
	assert_has(text, "\twwid", false);
	free(text);
}

static void test_plain_wwids(void **state)
{
	assert_true(lun_wwid_is_plain(WWID));
	assert_true(lun_wwid_is_plain("eui.0025385b71b00a3c"));
	assert_true(lun_wwid_is_plain("1ATA_WDC-WD10:7"));
	assert_false(lun_wwid_is_plain(""));
	assert_false(lun_wwid_is_plain("3\""));
	assert_false(lun_wwid_is_plain("3*"));
	assert_false(lun_wwid_is_plain("3 6"));
	assert_false(lun_wwid_is_plain("3\n"));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_disk),
		TEST(test_its_map),
		TEST(test_paths_without_a_map),
		TEST(test_two_disks_of_one_wwid),
		TEST(test_another_disk_under_its_number),
		TEST(test_a_disk_that_has_a_name),
		TEST(test_size),
		TEST(test_path_down),
		TEST(test_path_gone),
		TEST(test_multipathd_hangs),
		TEST(test_status_of_the_kernel),
		TEST(test_states_of_multipathd),
		TEST(test_rules_of_udev),
		TEST(test_rules_of_multipathd),
		TEST(test_plain_wwids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
