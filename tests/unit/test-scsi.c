/* SPDX-License-Identifier: Apache-2.0 */
/* The WWID of a disk out of what it says of itself. The bytes are those of real disks; the lab asks udev about its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stord/scsi.h"

/* A page 0x83 around descriptors given as hex. */
static bool wwid_of(const char *hex, char ret[static DISK_WWID_MAX])
{
	uint8_t page[512] = {0, 0x83};
	size_t n = 4;
	unsigned byte;
	for (int len = 0; sscanf(hex, "%2x%n", &byte, &len) == 1; hex += len)
		page[n++] = (uint8_t)byte;
	page[3] = (uint8_t)(n - 4);
	return scsi_wwid_of_page(page, n, ret);
}

#define NAA6  "01 03 00 10 60 01 40 5a 00 00 00 30 00 04 00 08 00 00 00 00"
#define NAA5  "01 03 00 08 50 01 43 80 12 34 56 78"
#define EUI64 "01 02 00 08 00 25 38 00 00 00 00 01"
#define T10   "02 01 00 0c 41 54 41 20 20 20 44 49 53 4b 20 37"
#define NAME  "03 08 00 08 69 71 6e 2e 61 3a 62 00"
#define PORT  "61 93 00 08 50 01 43 80 12 34 56 79"

static void test_prefers_as_udev_does(void **state)
{
	char wwid[DISK_WWID_MAX];
	assert_true(wwid_of(T10 " " NAA5 " " NAA6, wwid));
	assert_string_equal(wwid, "36001405a000000300004000800000000");
	assert_true(wwid_of(EUI64 " " NAA5, wwid));
	assert_string_equal(wwid, "35001438012345678");
	assert_true(wwid_of(T10 " " EUI64, wwid));
	assert_string_equal(wwid, "20025380000000001");
	assert_true(wwid_of(NAME " " T10, wwid));
	assert_string_equal(wwid, "1ATA_DISK_7");
	assert_true(wwid_of(NAME, wwid));
	assert_string_equal(wwid, "8iqn.a:b");
}

static void test_a_port_is_no_disk(void **state)
{
	char wwid[DISK_WWID_MAX];
	assert_false(wwid_of(PORT, wwid));
	assert_true(wwid_of(PORT " " NAA6, wwid));
	assert_string_equal(wwid, "36001405a000000300004000800000000");
}

/* Every length of a page, and descriptors that claim more than there is. */
static void test_damaged_pages(void **state)
{
	static const uint8_t page[] = {0, 0x83, 0, 24, 1, 3, 0, 200, 0x60, 1, 1, 3, 0, 8, 0x50, 1, 2, 3, 4, 5, 6, 7};
	char wwid[DISK_WWID_MAX];
	for (size_t size = 0; size <= sizeof(page); size++)
		assert_false(scsi_wwid_of_page(page, size, wwid));
	assert_false(scsi_wwid_of_page((const uint8_t[]){0, 0x80, 0, 0}, 4, wwid));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefers_as_udev_does),
		cmocka_unit_test(test_a_port_is_no_disk),
		cmocka_unit_test(test_damaged_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
