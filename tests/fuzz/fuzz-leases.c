/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as dnsmasq's lease file, in which guests write names. Laws: what is listed is JSON; names hold
 * nothing that a terminal would mind; an address is one. */
#include "core/env.h"
#include "netd/dnsmasq.h"
#include "netd/netd.h"
#include "tests/fuzz/fuzz.h"

static bool check_lease(void *ctx, const struct lease *lease)
{
	char text[IP_TEXT];
	struct ip ip;
	for (const char *p = lease->hostname; *p; p++)
		require(*p > ' ' && *p < 0x7f, "a host name is plain");
	for (const char *p = lease->client_id; *p; p++)
		require(!strchr(" \t\n\r", *p), "a client id is one word");
	require(ip_parse(ip_text(&lease->ip, text), &ip) == 0 && ip_equal(&ip, &lease->ip), "an address is one");
	(*(size_t *)ctx)++;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_setup();
	cleanup_free char *duid = NULL, *text = xstrndup((const char *)data, size);
	size_t n = 0;
	lease_parse(text, check_lease, &n, &duid);
	cleanup_free char *path = dnsmasq_path("lan", DNSMASQ_LEASES);
	static bool made;
	made = made || dnsmasq_make_dirs("lan") == 0;
	FILE *file = fopen(path, "we");
	if (!file || fwrite(data, 1, size, file) != size || fclose(file))
		abort();
	json_t *list = netd_leases();
	require(json_array_size(list) <= n, "no lease is listed twice");
	require_json(list, "leases are JSON");
	return 0;
}
