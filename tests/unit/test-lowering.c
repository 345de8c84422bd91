/* SPDX-License-Identifier: Apache-2.0 */
/* Good manifests and the resources they become, with edges, allocations and the facts that were asked for:
 * tests/golden/lowering/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/cases.h"

static json_t *id_of(const struct want *want)
{
	return json_sprintf("%s/%s", want->class->name, want->key);
}

static void add_ids(json_t *doc, const char *key, struct want *const *wants, size_t n)
{
	json_t *ids = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(ids, id_of(wants[i]));
	if (n)
		json_object_set(doc, key, ids);
	json_decref(ids);
}

static json_t *want_doc(const struct want *want)
{
	json_t *doc = json_object(), *owners = json_array();
	for (size_t i = 0; i < want->n_owners; i++)
		json_array_append_new(owners,
				      json_sprintf("%s/%s", want->owners[i]->kind->name, want->owners[i]->name));
	json_object_set_new(doc, "resource", id_of(want));
	json_object_set_new(doc, "objects", owners);
	json_object_set_new(doc, "spec", table_to_json(want->class->table, want->spec, EMIT_SECRETS));
	add_ids(doc, "needs", want->needs, want->n_needs);
	add_ids(doc, "handovers", want->handovers, want->n_handovers);
	add_ids(doc, "afters", want->afters, want->n_afters);
	add_ids(doc, "rests", want->rests, want->n_rests);
	if (want->carrier)
		json_object_set_new(doc, "carrier", id_of(want->carrier));
	if (want->adopt)
		json_object_set_new(doc, "adopt", json_true());
	if (want->guards_gateway)
		json_object_set_new(doc, "guardsGateway", json_true());
	if (want->cost)
		json_object_set_new(doc, "cost", json_string(want->cost));
	return doc;
}

static json_t *choices_doc(const struct generation *gen)
{
	json_t *allocs = json_array(), *facts = json_array();
	for (size_t i = 0; i < gen->n_allocs; i++) {
		const struct alloc_row *row = &gen->allocs[i];
		json_array_append_new(allocs,
				      json_sprintf("%s %s %s: %s", row->object, row->space, row->slot, row->text));
	}
	for (size_t i = 0; i < gen->n_facts; i++) {
		const struct fact_row *row = &gen->facts[i];
		json_array_append_new(facts, json_sprintf("%s/%s %s: %s", row->reader->kind->name, row->reader->name,
							  row->key, row->value ? row->value : "none"));
	}
	return json_pack("{s:o, s:o}", "allocations", allocs, "facts", facts);
}

static char *what_becomes_of_it(const struct manifests *manifests)
{
	const struct generation *gen = manifests->gen;
	cleanup_free char *faults = diags_render(&manifests->diags, false);
	if (manifests->diags.n)
		fail_msg("%s", faults);
	size_t n = gen->n_wants + 1;
	json_t **docs = xcalloc(n, sizeof(*docs));
	for (size_t i = 0; i < gen->n_wants; i++)
		docs[i] = want_doc(gen->wants[i]);
	docs[n - 1] = choices_doc(gen);
	char *text = yaml_from_json((const json_t *const *)docs, n);
	for (size_t i = 0; i < n; i++)
		json_decref(docs[i]);
	free(docs);
	return text;
}

static void test_lowering(void **state)
{
	cases_run("lowering", "lowered", what_becomes_of_it);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lowering)};
	cases_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
