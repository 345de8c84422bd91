/* SPDX-License-Identifier: Apache-2.0 */
/* Networks without a host: the files that their dnsmasq gets (tests/golden/dnsmasq/), what is read from the leases
 * that it and the guests write; and what the DHCP clients of links are told (tests/golden/dhcp-client/). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/env.h"
#include "netd/dhcp-client.h"
#include "netd/dnsmasq.h"
#include "netd/netd.h"
#include "tests/unit/cases.h"

static void put_host(FILE *out, const struct want *want)
{
	cleanup_free char *text = dhcp_host_text(strchr(want->key, '/') + 1, want->spec);
	fprintf(out, "---- client %s\n%s", want->key, text);
}

/* What each want has put there. */
static char *put_all(const struct manifests *manifests, void (*put)(FILE *out, const struct want *want))
{
	const struct generation *gen = manifests->gen;
	cleanup_free char *faults = diags_render(&manifests->diags, false);
	char *all = NULL;
	size_t size;
	FILE *out = open_memstream(&all, &size);
	if (manifests->diags.n)
		fail_msg("%s", faults);
	for (size_t i = 0; i < gen->n_wants; i++)
		put(out, gen->wants[i]);
	fclose(out);
	return all;
}

static void put_server(FILE *out, const struct want *want)
{
	if (want->class == &netd_dhcp_host_class)
		put_host(out, want);
	if (want->class != &netd_dnsmasq_class)
		return;
	cleanup_free char *conf = dnsmasq_config(want->key, want->spec, "dnsmasq"),
			  *records = dnsmasq_records(want->spec);
	fprintf(out, "---- configuration of %s\n%s---- records of %s\n%s", want->key, conf, want->key, records);
}

static char *files_of(const struct manifests *manifests)
{
	return put_all(manifests, put_server);
}

static void test_files(void **state)
{
	cases_run("dnsmasq", "files", files_of);
}

static void put_client(FILE *out, const struct want *want)
{
	if (want->class != &netd_dhcp_client_class)
		return;
	cleanup_free char *conf = dhcp_client_config(want->key, want->spec);
	fprintf(out, "---- configuration of %s\n%s", want->key, conf);
}

static char *client_files_of(const struct manifests *manifests)
{
	return put_all(manifests, put_client);
}

static void test_client_files(void **state)
{
	cases_run("dhcp-client", "conf", client_files_of);
}

/* ---- leases ---- */

struct found {
	struct lease leases[16];
	size_t n;
};

static bool take(void *ctx, const struct lease *lease)
{
	struct found *found = ctx;
	found->leases[found->n++] = *lease;
	return found->n < 16;
}

static void test_leases_are_read(void **state)
{
	cleanup_free char *duid = NULL;
	struct found found = {0};
	lease_parse("1795275253 52:54:00:00:00:02 192.168.150.135 web 01:52:54:00:00:00:02\n"
		    "0 52:54:00:00:00:03 192.168.150.136 * *\n"
		    "duid 00:01:00:01:32:94:68:0f:9e:27:38:d8:c6:77\n"
		    "1795275254 7 fd42:150::8888 db 00:03:00:01:52:54:00:00:00:01\n"
		    "1795275255 T9 fd42:150::9999 * 00:01:00:01:32:94:68:0f:52:54:00:00:00:04\n"
		    "1795275256 8 fd42:150::aaaa * 00:04:11:22:33:44:55:66:77:88\n",
		    take, &found, &duid);
	assert_int_equal(found.n, 5);
	assert_string_equal(duid, "00:01:00:01:32:94:68:0f:9e:27:38:d8:c6:77");
	assert_string_equal(found.leases[0].hostname, "web");
	assert_string_equal(found.leases[0].client_id, "01:52:54:00:00:00:02");
	assert_true(found.leases[0].has_mac && found.leases[0].mac.b[5] == 2 && found.leases[0].expires == 1795275253);
	assert_true(found.leases[1].has_mac && !*found.leases[1].hostname && !found.leases[1].expires);
	assert_true(found.leases[2].has_mac && found.leases[2].mac.b[5] == 1 && found.leases[2].iaid == 7);
	assert_true(found.leases[3].has_mac && found.leases[3].mac.b[5] == 4 && found.leases[3].iaid == 9);
	assert_false(found.leases[4].has_mac);
}

/* Guests choose names and client ids. */
static void test_hostile_leases_are_borne(void **state)
{
	struct found found = {0};
	char *text = xcalloc(1, 100000);
	strcpy(text, "\n\n   \nduid\nduid \nx y z\n1 2 3 4 5\n-1 52:54:00:00:00:02 192.168.150.1 a *\n"
		     "18446744073709551616999 52:54:00:00:00:02 192.168.150.2 \033[31m *\n"
		     "1795275253 no-mac 192.168.150.3 a;b *\n1795275253 52:54:00:00:00:02 999.1.1.1 a *\n"
		     "1795275253 52:54:00:00:00:02 192.168.150.4 a\n1795275253 52:54:00:00:00:02 192.168.150.5 ");
	memset(text + strlen(text), 'n', 5000);
	strcat(text, " *\n1795275253 52:54:00:00:00:02 192.168.150.6 a ");
	memset(text + strlen(text), 'c', 5000);
	strcat(text, "\n1795275253 52:54:00:00:00:02 192.168.150.7 last * and more");
	lease_parse(text, take, &found, NULL);
	free(text);
	assert_int_equal(found.n, 4);
	assert_int_equal(found.leases[0].ip.b[3], 2);
	assert_string_equal(found.leases[0].hostname, "");
	assert_int_equal(found.leases[1].ip.b[3], 3);
	assert_false(found.leases[1].has_mac);
	assert_string_equal(found.leases[1].hostname, "");
	assert_int_equal(found.leases[2].ip.b[3], 5);
	assert_string_equal(found.leases[2].hostname, "");
	assert_string_equal(found.leases[3].hostname, "last");
}

static void test_no_networks_have_no_leases(void **state)
{
	env.state_dir = "/nowhere";
	json_t *leases = netd_leases();
	assert_int_equal(json_array_size(leases), 0);
	json_decref(leases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_client_files),
		cmocka_unit_test(test_leases_are_read),
		cmocka_unit_test(test_hostile_leases_are_borne),
		cmocka_unit_test(test_no_networks_have_no_leases),
	};
	cases_setup();
	env.state_dir = "/var/lib/weft";
	env.run_dir = "/run/weft";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
