/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of a Ceph pool's manifest and keyring, and what QEMU is told of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stord/ceph.h"
#include "stord/keyring.h"

static void test_monitors(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
	} good[] = {
		{"192.0.2.70:6789", "192.0.2.70", 6789},       {"192.0.2.70", "192.0.2.70", 0},
		{"[2001:db8::70]:3300", "2001:db8::70", 3300}, {"[2001:db8::70]", "2001:db8::70", 0},
		{"mon-a.example", "mon-a.example", 0},
	};
	static const char *const bad[] = {"",
					  ":6789",
					  "192.0.2.70:",
					  "192.0.2.70:0",
					  "192.0.2.70:65536",
					  "[::1",
					  "::1",
					  "[192.0.2.70]",
					  "192.0.2.70,x",
					  "192.0.2.70:67 89",
					  "-a:1",
					  "a=b",
					  "a:1:2",
					  "[::1]x:3300",
					  "a/b",
					  "a b:1",
					  "a:18446744073709551617"};
	struct ceph_monitor monitor;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(ceph_monitor_parse(good[i].text, &monitor));
		assert_string_equal(monitor.host, good[i].host);
		assert_int_equal(monitor.port, good[i].port);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (ceph_monitor_parse(bad[i], &monitor))
			fail_msg("'%s' was taken for a monitor", bad[i]);
}

static void finds(const char *text, const char *key)
{
	cleanup_free char *copy = xstrdup(text);
	struct secret secret = {.text = copy, .size = strlen(copy)};
	const char *found = keyring_find(&secret, "client.weft");
	if (!streq(found, key))
		fail_msg("found %s in:\n%s", found ? found : "nothing", text);
}

static void test_keyrings(void **state)
{
	finds("AQAB==", "AQAB==");
	finds(" \n AQAB== \n\n", "AQAB==");
	finds("[client.weft]\n\tkey = AQAB==\n\tcaps mon = \"profile rbd\"", "AQAB==");
	finds("[client.admin]\n\tkey = AQAA==\n[client.weft]\n\tcaps mon = \"allow\"\nkey=AQAB==\r\n", "AQAB==");
	finds("[client.weft2]\n\tkey = AQAA==\n", NULL);
	finds("[client.admin]\n\tkey = AQAA==\n", NULL);
	finds("[client.weft]\n\tkeyring = x\n", NULL);
	finds("[client.weft]\n\tkey =\n", NULL);
	finds("[client.weft]\n", NULL);
	finds("\n", NULL);
}

static void test_qemu_options(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *monitors[] = {"192.0.2.70:6789", "[2001:db8::70]"};
	const struct ceph_spec spec = {
		.pool = "vms",
		.namespace = "tests",
		.monitors = {monitors, ARRAY_SIZE(monitors)},
		.user = "weft",
	};
	assert_string_equal(ceph_qemu_options(arena, &spec, "web"),
			    "driver=rbd,pool=vms,namespace=tests,image=web,user=weft,server.0.host=192.0.2.70,"
			    "server.0.port=6789,server.1.host=2001:db8::70,server.1.port=3300,"
			    "server.2.host=2001:db8::70,server.2.port=6789,auth-client-required.0=cephx,key-secret=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_monitors),
		cmocka_unit_test(test_keyrings),
		cmocka_unit_test(test_qemu_options),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
