/* SPDX-License-Identifier: Apache-2.0 */
/* See cases.h. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/env.h"
#include "core/plugin.h"
#include "core/registry.h"
#include "tests/unit/cases.h"
#include "tests/unit/golden.h"

enum { MAX_BYTES = 16 << 20 };

/* The case that is being run, for facts. */
static const struct manifests *answering;

static int answer_fact(void *ctx, const char *key, char **ret)
{
	size_t len = strlen(key);
	for (size_t i = 0; answering && i < answering->n_facts; i++) {
		const char *fact = answering->facts[i];
		if (strncmp(fact, key, len) == 0 && str_starts(fact + len, " = ")) {
			*ret = xstrdup(fact + len + strlen(" = "));
			return 0;
		}
	}
	return -ENOENT;
}

void cases_setup(void)
{
	registry_init();
	plugins_load(WEFT_PLUGINS_DIR);
	fact_register("", answer_fact, NULL);
	env = (struct env){.root = "",
			   .run_dir = "/run/weft",
			   .state_dir = "/var/lib/weft",
			   .etc_dir = "/etc/weft",
			   .libexec_dir = "/usr/libexec/weft",
			   .instance = "0123456789abcdef"};
}

/* "KEY = VALUE" after each "# fact ". */
static void read_facts(struct manifests *g, const char *text)
{
	for (const char *at = text; (at = strstr(at, "# fact ")) && g->n_facts < CASES_FACTS; at++) {
		const char *start = at + strlen("# fact ");
		g->facts[g->n_facts++] = arena_strndup(g->gen->arena, start, strcspn(start, "\n"));
	}
}

static void add_source(struct manifests *g, const char *path, const char *name)
{
	cleanup_free char *text = NULL;
	size_t size;
	assert_int_equal(file_read(path, MAX_BYTES, &text, &size), 0);
	assert_true(g->n_sources < CASES_SOURCES);
	struct arena *arena = g->gen->arena;
	g->sources[g->n_sources++] = (struct source){arena_strdup(arena, name), arena_strndup(arena, text, size), size};
	read_facts(g, g->sources[g->n_sources - 1].text);
}

static int is_yaml(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return len > 5 && streq(entry->d_name + len - 5, ".yaml");
}

static void add_directory(struct manifests *g, const char *path, const char *name)
{
	struct dirent **entries;
	int n = scandir(path, &entries, is_yaml, alphasort);
	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		cleanup_free char *file = xprintf("%s/%s", path, entries[i]->d_name),
				  *shown = xprintf("%s/%s", name, entries[i]->d_name);
		add_source(g, file, shown);
		free(entries[i]);
	}
	free(entries);
}

/* What was lowered is stored as JSON and must come back as it was. */
static void check_stored(const struct want *want)
{
	cleanup_arena struct arena *arena = arena_new();
	const struct table *table = want->class->table;
	void *again = arena_alloc(arena, table->size);
	struct err err = {0};
	json_t *json = table_to_json(table, want->spec, EMIT_SECRETS);
	if (table_from_json(table, json, arena, again, &err) < 0)
		fail_msg("%s/%s cannot be read back from the store: %s", want->class->name, want->key, err.text);
	json_t *second = table_to_json(table, again, EMIT_SECRETS);
	if (!json_equal(json, second) || table_diff(table, want->spec, again) || table_diff(table, again, want->spec))
		fail_msg("%s/%s comes back from the store as something else", want->class->name, want->key);
	json_decref(json);
	json_decref(second);
}

/* What is printed of an object can be applied again, and is the same object. */
static void check_printed(const struct object *object)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	json_t *json = object_to_json(object, EMIT_SECRETS);
	const json_t *const docs[] = {json};
	cleanup_free char *text = yaml_from_json(docs, 1);
	struct source source = {"printed.yaml", text, strlen(text)};
	size_t n;
	struct node **nodes = yaml_parse(&source, arena, &diags, &n);
	struct object *again = n == 1 ? object_decode(nodes[0], arena, &diags) : NULL;
	json_t *second = again ? object_to_json(again, EMIT_SECRETS) : NULL;
	if (diags.n || !second || !json_equal(json, second))
		fail_msg("%s/%s cannot be applied as it is printed: %s\n%s", object->kind->name, object->name,
			 diags.n ? diags.items[0]->text : "it differs", text);
	json_decref(json);
	json_decref(second);
}

static void check_laws(const struct manifests *m)
{
	for (size_t i = 0; i < m->gen->n_wants; i++)
		check_stored(m->gen->wants[i]);
	for (size_t i = 0; i < m->n_objects; i++)
		check_printed(m->objects[i]);
}

static void decode_and_lower(struct manifests *g)
{
	for (size_t s = 0; s < g->n_sources; s++) {
		size_t n;
		struct node **docs = yaml_parse(&g->sources[s], g->gen->arena, &g->diags, &n);
		for (size_t i = 0; i < n; i++) {
			struct object *object = object_decode(docs[i], g->gen->arena, &g->diags);
			if (object && g->n_objects < CASES_OBJECTS)
				g->objects[g->n_objects++] = object;
		}
	}
	struct lower_input input = {.objects = g->objects, .n_objects = g->n_objects};
	if (!g->diags.n)
		lower_all(g->gen, &input, &g->diags);
	if (!g->diags.n)
		check_laws(g);
	diags_sort(&g->diags);
}

static struct manifests *manifests_new(void)
{
	struct manifests *m = xcalloc(1, sizeof(*m));
	m->gen = generation_new(NULL);
	m->diags.arena = m->gen->arena;
	return m;
}

static void manifests_free(struct manifests *m)
{
	generation_unref(m->gen);
	free(m);
}

size_t cases_try(const char *text, size_t size)
{
	struct manifests *m = manifests_new();
	m->sources[m->n_sources++] = (struct source){"random.yaml", text, size};
	decode_and_lower(m);
	free(diags_render(&m->diags, false));
	size_t n = m->diags.n;
	manifests_free(m);
	return n;
}

static bool run_case(const char *directory, const char *entry, const char *suffix, case_text_fn *text)
{
	cleanup_free char *path = xprintf("%s/tests/golden/%s/%s", WEFT_SOURCE_DIR, directory, entry);
	cleanup_free char *expected = xprintf("%s/%.*s.%s", directory, (int)strcspn(entry, "."), entry, suffix);
	struct manifests *g = manifests_new();
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	if (S_ISDIR(st.st_mode))
		add_directory(g, path, entry);
	else
		add_source(g, path, entry);
	answering = g;
	decode_and_lower(g);
	answering = NULL;
	cleanup_free char *said = text(g);
	bool equal = golden_equal(expected, said);
	manifests_free(g);
	return equal;
}

static int is_case(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && (is_yaml(entry) || !strchr(entry->d_name, '.'));
}

void cases_run(const char *directory, const char *suffix, case_text_fn *text)
{
	cleanup_free char *path = xprintf("%s/tests/golden/%s", WEFT_SOURCE_DIR, directory);
	struct dirent **entries;
	int n = scandir(path, &entries, is_case, alphasort), faults = 0;
	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		faults += !run_case(directory, entries[i]->d_name, suffix, text);
		free(entries[i]);
	}
	free(entries);
	assert_int_equal(faults, 0);
	print_message("%d cases\n", n);
}
