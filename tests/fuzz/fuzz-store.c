/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as the lines of a stored generation: a damaged store, or one of another version. Laws: reading ends
 * with a generation whose edges stay within it; what was read is the same after it was written and read again. */
#include "core/store-internal.h"
#include "tests/fuzz/fuzz.h"

static void check_edges(const struct generation *gen)
{
	for (size_t i = 0; i < gen->n_wants; i++) {
		const struct want *want = gen->wants[i];
		require(want->index == i && generation_find(gen, want->class->name, want->key) == want,
			"a resource is found by its name");
		for (size_t k = 0; k < want->n_needs; k++)
			require(gen->wants[want->needs[k]->index] == want->needs[k], "needs stay within");
		for (size_t k = 0; k < want->n_owners; k++)
			require(want->owners[k]->kind && want->owners[k]->name, "owners are objects");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *first = NULL, *second = NULL;
	size_t first_size, second_size;
	struct err err = {0};
	fuzz_setup();
	struct generation *gen =
		store_generation_read(&(struct source){.text = (const char *)data, .size = size}, 1, 1);
	check_edges(gen);
	require(store_generation_write(gen, &first, &first_size, &err) == 0, "what was read can be stored");
	struct generation *back = store_generation_read(&(struct source){.text = first, .size = first_size}, 1, 2);
	check_edges(back);
	require(store_generation_write(back, &second, &second_size, &err) == 0, "and stored again");
	require(first_size == second_size && memcmp(first, second, first_size) == 0,
		"a stored generation stays as it is");
	generation_unref(gen);
	generation_unref(back);
	return 0;
}
