/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary text as the output of `nft -j list ruleset`. Laws: it is read or refused with a sentence; following packets
 * through it ends; what is found is a sentence that JSON can carry. */
#include "netd/nft-path.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ip_prefix prefixes[2];
	struct nft_ruleset *ruleset = NULL;
	struct err err = {0};
	cleanup_arena struct arena *arena = arena_new();
	if (prefix_parse("192.168.150.1/24", &prefixes[0]) < 0 || prefix_parse("fd42:150::1/64", &prefixes[1]) < 0)
		abort();
	const struct nft_path path = {.bridge = "lan", .prefixes = {prefixes, 2}, .dhcp = true, .forward = true};
	int r = nft_ruleset_parse((const char *)data, size, &ruleset, &err);
	require((r == 0) == (ruleset != NULL) && (r == 0 || *err.text), "it is read, or refused with a sentence");
	const char *fault = ruleset ? nft_path_fault(ruleset, &path, arena) : NULL;
	if (fault)
		require_json(json_string(fault), "a fault is plain text");
	nft_ruleset_free(ruleset);
	return 0;
}
