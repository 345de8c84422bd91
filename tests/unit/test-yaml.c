/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to nodes with places, every refusal at its own mark, and YAML out of JSON that reads back as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/node.h"

struct parsed {
	struct arena *arena;
	struct source source;
	struct diags diags;
	struct node **docs;
	size_t n;
};

static struct parsed *parse_size(const char *text, size_t size)
{
	struct arena *arena = arena_new();
	struct parsed *p = arena_new_of(arena, struct parsed);
	p->arena = arena;
	p->source = (struct source){"f", text, size};
	p->diags.arena = arena;
	p->docs = yaml_parse(&p->source, arena, &p->diags, &p->n);
	diags_sort(&p->diags);
	return p;
}

static struct parsed *parse(const char *text)
{
	return parse_size(text, strlen(text));
}

static void parsed_freep(struct parsed **p)
{
	if (*p)
		arena_free((*p)->arena);
}
#define cleanup_parsed cleanup(parsed_freep)

static void check_json(const char *text, const char *expected)
{
	cleanup_parsed struct parsed *p = parse(text);
	assert_int_equal(p->diags.n_total, 0);
	json_t *list = json_array();
	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(list, node_to_json(p->docs[i]));
	cleanup_free char *dumped = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	assert_string_equal(dumped, expected);
}

static void test_documents_become_nodes(void **state)
{
	check_json("", "[]");
	check_json("# nothing\n", "[]");
	check_json("---\n---\n# x\n---\na: 1\n--- ~\n...\n", "[{\"a\":1}]");
	check_json("a: [x, \"1\", 1, 01, -3, true, yes, ~, 'true', 99999999999999999999]\n",
		   "[{\"a\":[\"x\",\"1\",1,\"01\",-3,true,\"yes\",null,\"true\",\"99999999999999999999\"]}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents_become_nodes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
