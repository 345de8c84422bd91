/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and scalar types: what each accepts, its normal form, and what it says of what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "core/field.h"

static const char *const colours[] = {"red", "green", "blue"};
static const struct field small = {.min = 1, .max = 4094}, from_two = {.min = 2},
			  degrees = {.min = (uint64_t)-40, .max = 85},
			  colour = {.names = colours, .n_names = ARRAY_SIZE(colours)},
			  short_text = {.min = 1, .max = 5}, disk = {.min = 1 << 20, .max = 1ULL << 40},
			  pause_for = {.min = 1000, .max = 3600000}, reference = {.ref = "Bridge"},
			  share = {.min = 1, .max = 100};

static const struct row {
	const struct scalar *scalar;
	const struct field *field;
	const char *text;
	const char *normal; /* NULL: refused */
	const char *says;   /* part of the refusal */
} rows[] = {
	{&scalar_bool, NULL, "true", "true"},
	{&scalar_bool, NULL, "false", "false"},
	{&scalar_bool, NULL, "yes", NULL, "expected true or false\nwrite true"},
	{&scalar_bool, NULL, "Off", NULL, "write false"},
	{&scalar_bool, NULL, "maybe", NULL, "expected true or false"},
	{&scalar_u32, NULL, "0", "0"},
	{&scalar_u32, NULL, "4294967295", "4294967295"},
	{&scalar_u32, NULL, "4294967296", NULL, "from 0 to 4294967295"},
	{&scalar_u32, NULL, "99999999999999999999999999", NULL, "from 0 to 4294967295"},
	{&scalar_u32, NULL, "-1", NULL, "expected a whole number"},
	{&scalar_u32, NULL, "1.5", NULL, "expected a whole number"},
	{&scalar_u32, NULL, "0x10", NULL, "expected a whole number"},
	{&scalar_u32, NULL, "010", NULL, "expected a whole number"},
	{&scalar_u32, NULL, "", NULL, "expected a whole number"},
	{&scalar_u32, NULL, " 1", NULL, "expected a whole number"},
	{&scalar_u32, &small, "4094", "4094"},
	{&scalar_u32, &small, "4095", NULL, "from 1 to 4094"},
	{&scalar_u32, &small, "0", NULL, "from 1 to 4094"},
	{&scalar_u32, &small, "many", NULL, "from 1 to 4094"},
	{&scalar_u32, &from_two, "1", NULL, "from 2 on"},
	{&scalar_u64, NULL, "18446744073709551615", "18446744073709551615"},
	{&scalar_u64, NULL, "18446744073709551616", NULL, "from 0 to 18446744073709551615"},
	{&scalar_i32, NULL, "-2147483648", "-2147483648"},
	{&scalar_i32, NULL, "2147483648", NULL, "from -2147483648 to 2147483647"},
	{&scalar_i32, NULL, "--1", NULL, "whole number"},
	{&scalar_i32, NULL, "-", NULL, "whole number"},
	{&scalar_i32, &degrees, "-40", "-40"},
	{&scalar_i32, &degrees, "-41", NULL, "from -40 to 85"},
	{&scalar_enum, &colour, "green", "green"},
	{&scalar_enum, &colour, "Green", NULL, "expected red, green or blue"},
	{&scalar_string, NULL, "", ""},
	{&scalar_string, &short_text, "abcde", "abcde"},
	{&scalar_string, &short_text, "abcdef", NULL, "at most 5 bytes of text (this has 6)"},
	{&scalar_string, &short_text, "", NULL, "expected some text"},
	{&scalar_name, NULL, "web-1", "web-1"},
	{&scalar_name, NULL, "Web_1", NULL, "\nsuch as 'web-1'"},
	{&scalar_name, NULL, "-web", NULL, "begins and ends"},
	{&scalar_name, NULL, "", NULL, "begins and ends"},
	{&scalar_name, NULL, "a23456789012345678901234567890123456789012345678901234567890123",
	 "a23456789012345678901234567890123456789012345678901234567890123"},
	{&scalar_name, NULL, "a234567890123456789012345678901234567890123456789012345678901234", NULL, "at most 63"},
	{&scalar_name, &reference, "br_lan.7", "br_lan.7"},
	{&scalar_name, &reference, "br/lan", NULL, "begins and ends"},
	{&scalar_ifname, NULL, "br-lan.100", "br-lan.100"},
	{&scalar_ifname, NULL, "a234567890123456", NULL, "1 to 15 characters"},
	{&scalar_ifname, NULL, "a/b", NULL, "without blanks"},
	{&scalar_ifname, NULL, "a b", NULL, "without blanks"},
	{&scalar_ifname, NULL, "a:b", NULL, "without blanks"},
	{&scalar_ifname, NULL, "tap%d", NULL, "without blanks"},
	{&scalar_ifname, NULL, "ä", NULL, "without blanks"},
	{&scalar_ifname, NULL, "..", NULL, "keeps"},
	{&scalar_ifname, NULL, "all", NULL, "keeps"},
	{&scalar_ifname, NULL, "eth+", NULL, "end with '+'"},
	{&scalar_ifname, NULL, "-x", NULL, "begin with '-'"},
	{&scalar_path, NULL, "/var/lib/a..b/c", "/var/lib/a..b/c"},
	{&scalar_path, NULL, "../etc/shadow", NULL, "without '..'"},
	{&scalar_path, NULL, "a/../b", NULL, "without '..'"},
	{&scalar_path, NULL, "a/..", NULL, "without '..'"},
	{&scalar_path, NULL, "", NULL, "expected a path"},
	{&scalar_size, NULL, "64MiB", "64MiB"},
	{&scalar_size, NULL, "1024MiB", "1GiB"},
	{&scalar_size, NULL, "1.5GiB", "1536MiB"},
	{&scalar_size, NULL, "1000B", "1000B"},
	{&scalar_size, NULL, "0", "0"},
	{&scalar_size, NULL, "0GiB", "0"},
	{&scalar_size, NULL, "64", NULL, "\nwrite a unit: 64MiB"},
	{&scalar_size, NULL, "64M", NULL, "\nwrite 64MiB"},
	{&scalar_size, NULL, "64 MiB", NULL, "\nwrite 64MiB"},
	{&scalar_size, NULL, "64mib", NULL, "\nwrite 64MiB"},
	{&scalar_size, NULL, "2 gb", NULL, "\nwrite 2GiB"},
	{&scalar_size, NULL, "0.3B", NULL, "expected a size"},
	{&scalar_size, NULL, "lots", NULL, "expected a size such as 64MiB (B, KiB, MiB, GiB, TiB or PiB)"},
	{&scalar_size, NULL, "99999999PiB", NULL, "fits into 64 bits"},
	{&scalar_size, NULL, "1MiB2KiB", NULL, "expected a size"},
	{&scalar_size, &disk, "1MiB", "1MiB"},
	{&scalar_size, &disk, "1KiB", NULL, "from 1MiB to 1TiB"},
	{&scalar_size, &disk, "2TiB", NULL, "from 1MiB to 1TiB"},
	{&scalar_size, &disk, "99999999PiB", NULL, "from 1MiB to 1TiB"},
	{&scalar_duration, NULL, "1h30m", "1h30m"},
	{&scalar_duration, NULL, "90m", "1h30m"},
	{&scalar_duration, NULL, "0.5s", "500ms"},
	{&scalar_duration, NULL, "36h", "36h"},
	{&scalar_duration, NULL, "0", "0"},
	{&scalar_duration, NULL, "60", NULL, "\nwrite a unit: 60s"},
	{&scalar_duration, NULL, "5 sec", NULL, "\nwrite 5s"},
	{&scalar_duration, NULL, "30m1h", NULL, "expected a duration"},
	{&scalar_duration, NULL, "1s1s", NULL, "expected a duration"},
	{&scalar_duration, NULL, "9999999999999999h", NULL, "fits into 64 bits"},
	{&scalar_duration, &pause_for, "999ms", NULL, "from 1s to 1h"},
	{&scalar_rate, NULL, "2.5gbit", "2500mbit"},
	{&scalar_rate, NULL, "1000kbit", "1mbit"},
	{&scalar_rate, NULL, "100", NULL, "\nwrite a unit: 100mbit"},
	{&scalar_rate, NULL, "1Gbps", NULL, "\nwrite 1gbit"},
	{&scalar_percent, NULL, "90%", "90%"},
	{&scalar_percent, NULL, "90", NULL, "\nwrite a unit: 90%"},
	{&scalar_percent, NULL, "%", NULL, "expected a share"},
	{&scalar_percent, &share, "101%", NULL, "from 1% to 100%"},
	{&scalar_mac, NULL, "52:54:00:AB:cd:01", "52:54:00:ab:cd:01"},
	{&scalar_mac, NULL, "52-54-00-00-00-01", "52:54:00:00:00:01"},
	{&scalar_mac, NULL, "52:54-00:00:00:01", NULL, "expected a MAC address"},
	{&scalar_mac, NULL, "52:54:00:00:00", NULL, "expected a MAC address"},
	{&scalar_mac, NULL, "52:54:00:00:00:0g", NULL, "expected a MAC address"},
	{&scalar_mac, NULL, "01:54:00:00:00:01", NULL, "second digit is even"},
	{&scalar_mac, NULL, "00:00:00:00:00:00", NULL, "other than all zeros"},
	{&scalar_ip, NULL, "192.0.2.1", "192.0.2.1"},
	{&scalar_ip, NULL, "FD00:0:0::1", "fd00::1"},
	{&scalar_ip, NULL, "192.0.2.256", NULL, "IPv4 or IPv6"},
	{&scalar_ip, NULL, "192.0.2.01", NULL, "IPv4 or IPv6"},
	{&scalar_ip, NULL, "fe80::1%eth0", NULL, "zone"},
	{&scalar_ip, NULL, "192.0.2.1/24", NULL, "leave the prefix length"},
	{&scalar_ip4, NULL, "fd00::1", NULL, "expected an IPv4 address"},
	{&scalar_ip6, NULL, "192.0.2.1", NULL, "expected an IPv6 address"},
	{&scalar_prefix, NULL, "192.168.150.1/24", "192.168.150.1/24"},
	{&scalar_prefix, NULL, "fd42::1/128", "fd42::1/128"},
	{&scalar_prefix, NULL, "0.0.0.0/0", "0.0.0.0/0"},
	{&scalar_prefix, NULL, "192.168.150.1", NULL, "\nwrite the length: 192.168.150.1/24"},
	{&scalar_prefix, NULL, "fd42::1", NULL, "\nwrite the length: fd42::1/64"},
	{&scalar_prefix, NULL, "192.168.150.1/33", NULL, "\nthe length is a number from 0 to 32"},
	{&scalar_prefix, NULL, "fd42::1/129", NULL, "\nthe length is a number from 0 to 128"},
	{&scalar_prefix, NULL, "192.168.150.256/24", NULL, "\n'192.168.150.256' is no"},
	{&scalar_prefix, NULL, "192.168.150.1/255.0.255.0", NULL, "\nthe length is a number"},
	{&scalar_prefix, NULL, "192.168.150.1/0.0.0.0", NULL, "\nwrite 192.168.150.1/0"},
	{&scalar_prefix, NULL, "192.168.150.1/", NULL, "expected an address with"},
	{&scalar_prefix, NULL, "192.168.150.1/024", NULL, "expected an address with"},
	{&scalar_prefix, NULL, "192.168.150.1/255.255.255.0", NULL, "\nwrite 192.168.150.1/24"},
	{&scalar_range, NULL, "192.0.2.10-192.0.2.99", "192.0.2.10-192.0.2.99"},
	{&scalar_range, NULL, "fd00::10-fd00::99", "fd00::10-fd00::99"},
	{&scalar_range, NULL, "192.0.2.99-192.0.2.10", NULL, "\nwrite 192.0.2.10-192.0.2.99"},
	{&scalar_range, NULL, "192.0.2.10-fd00::1", NULL, "of one family"},
	{&scalar_range, NULL, "192.0.2.10-99", NULL, "two whole addresses"},
	{&scalar_range, NULL, "192.0.2.10", NULL, "two addresses"},
	{&scalar_destination, NULL, "default", "default"},
	{&scalar_destination, NULL, "10.0.0.0/8", "10.0.0.0/8"},
	{&scalar_destination, NULL, "192.0.2.7", "192.0.2.7/32"},
	{&scalar_destination, NULL, "fd00::/64", "fd00::/64"},
	{&scalar_destination, NULL, "fd00::1", "fd00::1/128"},
	{&scalar_destination, NULL, "0.0.0.0/0", "0.0.0.0/0"},
	{&scalar_destination, NULL, "10.0.0.1/8", NULL, "\nwrite 10.0.0.0/8"},
	{&scalar_destination, NULL, "10.0.0.0/33", NULL, "expected a network"},
	{&scalar_destination, NULL, "any", NULL, "expected a network"},
	{&scalar_endpoint, NULL, "192.0.2.1:80", "192.0.2.1:80"},
	{&scalar_endpoint, NULL, "[fd00::1]:80", "[fd00::1]:80"},
	{&scalar_endpoint, NULL, "fd00::1", NULL, "in brackets"},
	{&scalar_endpoint, NULL, "[192.0.2.1]:80", NULL, "expected ADDRESS:PORT"},
	{&scalar_endpoint, NULL, "8080", NULL, "\nwrite 0.0.0.0:8080"},
	{&scalar_endpoint, NULL, "192.0.2.1:0", NULL, "port from 1 to 65535"},
	{&scalar_endpoint, NULL, "192.0.2.1:65536", NULL, "port from 1 to 65535"},
	{&scalar_endpoint, NULL, "192.0.2.1:", NULL, "port from 1 to 65535"},
	{&scalar_endpoint, NULL, "host:80", NULL, "\nwrite the address itself"},
	{&scalar_endpoint, NULL, "192.0.2.1", NULL, "\nadd the port: 192.0.2.1:PORT"},
	{&scalar_endpoint, NULL, "words", NULL, "expected ADDRESS:PORT"},
	{&scalar_vlans, NULL, "20", "20"},
	{&scalar_vlans, NULL, "20-29", "20-29"},
	{&scalar_vlans, NULL, "4094,30,10,11,12,31,1", "1,10-12,30-31,4094"},
	{&scalar_vlans, NULL, "", ""},
	{&scalar_vlans, NULL, "0", NULL, "\na VLAN is a number from 1 to 4094"},
	{&scalar_vlans, NULL, "1-4095", NULL, "\na VLAN is a number from 1 to 4094"},
	{&scalar_vlans, NULL, "29-20", NULL, "\nwrite 20-29"},
	{&scalar_vlans, NULL, "20,", NULL, "expected VLANs such as"},
	{&scalar_vlans, NULL, ",20", NULL, "expected VLANs such as"},
	{&scalar_vlans, NULL, "20-", NULL, "expected VLANs such as"},
	{&scalar_vlans, NULL, "20-29-30", NULL, "expected VLANs such as"},
	{&scalar_vlans, NULL, "10 20", NULL, "expected VLANs such as"},
	{&scalar_vlans, NULL, "00020", NULL, "expected VLANs such as"},
};

union value {
	char bytes[64];
	uint64_t align;
};

static bool equal(const struct scalar *scalar, const union value *a, const union value *b)
{
	return scalar->equal ? scalar->equal(a, b) : memcmp(a, b, scalar->size) == 0;
}

static void check_row(const struct row *row, struct arena *arena)
{
	union value value = {0}, again = {0};
	struct err err = {0};
	int r = row->scalar->parse(row->field, row->text, arena, &value, &err);
	if (!row->normal) {
		if (r != -EINVAL || !strstr(err.text, row->says))
			fail_msg("%s '%s': %d, says: %s", row->scalar->name, row->text, r, err.text);
		return;
	}
	if (r != 0)
		fail_msg("%s '%s': refused: %s", row->scalar->name, row->text, err.text);
	const char *normal = row->scalar->format(row->field, &value, arena);
	assert_string_equal(normal, row->normal);
	assert_int_equal(row->scalar->parse(row->field, normal, arena, &again, &err), 0);
	assert_true(equal(row->scalar, &value, &again));
}

static void test_scalars_accept_and_refuse(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i], arena);
}

/* Whatever is accepted has a normal form that is accepted and means the same. */
static void test_random_text_never_breaks_a_scalar(void **state)
{
	static const char alphabet[] = "0123456789abcdefghmstKMGTiB:.-/%[]+ ";
	unsigned seed = getenv("WEFT_SEED") ? (unsigned)atoi(getenv("WEFT_SEED")) : (unsigned)time(NULL);
	print_message("seed %u (set WEFT_SEED to repeat)\n", seed);
	for (unsigned round = 0; round < 100000; round++) {
		cleanup_arena struct arena *arena = arena_new();
		const struct row *row = &rows[(unsigned)rand_r(&seed) % ARRAY_SIZE(rows)];
		char text[80] = "";
		snprintf(text, sizeof(text), "%s", row->text);
		for (int k = rand_r(&seed) % 4; k >= 0; k--) {
			size_t len = strlen(text);
			text[(size_t)rand_r(&seed) % (len + 1)] =
				alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		}
		union value value = {0}, again = {0};
		struct err err = {0};
		if (row->scalar->parse(row->field, text, arena, &value, &err) < 0) {
			assert_true(err.text[0] != 0);
			continue;
		}
		const char *normal = row->scalar->format(row->field, &value, arena);
		if (row->scalar->parse(row->field, normal, arena, &again, &err) < 0 ||
		    !equal(row->scalar, &value, &again))
			fail_msg("%s '%s' has the normal form '%s', which differs: %s", row->scalar->name, text, normal,
				 err.text);
	}
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix value;
	assert_int_equal(prefix_parse(text, &value), 0);
	return value;
}

static bool overlap(const char *a, const char *b)
{
	struct ip_prefix x = prefix(a), y = prefix(b);
	assert_int_equal(prefix_overlaps(&x, &y), prefix_overlaps(&y, &x));
	return prefix_overlaps(&x, &y);
}

static void test_prefixes(void **state)
{
	assert_true(overlap("10.0.0.1/24", "10.0.0.200/25"));
	assert_false(overlap("10.0.0.1/25", "10.0.0.200/25"));
	assert_true(overlap("0.0.0.0/0", "10.0.0.200/32"));
	assert_false(overlap("0.0.0.0/0", "::/0"));
	assert_true(overlap("fd00::/63", "fd00:0:0:1::/64"));
	assert_false(overlap("fd00::/64", "fd00:0:0:1::/64"));
	static const char *const networks[][2] = {{"192.168.150.77/24", "192.168.150.0/24"},
						  {"192.168.150.77/27", "192.168.150.64/27"},
						  {"192.168.150.77/0", "0.0.0.0/0"},
						  {"fd42:150::9/64", "fd42:150::/64"},
						  {"192.168.150.77/32", "192.168.150.77/32"}};
	char buf[IP_TEXT];
	for (size_t i = 0; i < ARRAY_SIZE(networks); i++) {
		struct ip_prefix value = prefix(networks[i][0]), network = prefix_network(&value);
		assert_string_equal(prefix_text(&network, buf), networks[i][1]);
		assert_true(prefix_contains(&network, &value.ip));
	}
	struct ip low, high;
	assert_int_equal(ip_parse("10.0.0.9", &low), 0);
	assert_int_equal(ip_parse("10.0.0.10", &high), 0);
	assert_true(ip_compare(&low, &high) < 0 && ip_compare(&high, &low) > 0 && ip_equal(&low, &low));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars_accept_and_refuse),
		cmocka_unit_test(test_random_text_never_breaks_a_scalar),
		cmocka_unit_test(test_prefixes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
