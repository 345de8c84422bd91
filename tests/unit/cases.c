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
	env = (struct env){.root = "", .run_dir = "/run/weft", .state_dir = "/var/lib/weft", .etc_dir = "/etc/weft",
			   .libexec_dir = "/usr/libexec/weft", .instance = "0123456789abcdef"};
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
		cleanup_free char *file = xprintf("%s/%s", path, entries[i]->d_name), *shown = xprintf("%s/%s", name, entries[i]->d_name);
		add_source(g, file, shown);
		free(entries[i]);
	}
	free(entries);
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
	diags_sort(&g->diags);
}

static bool run_case(const char *directory, const char *entry, const char *suffix, case_text_fn *text)
{
	cleanup_free char *path = xprintf("%s/tests/golden/%s/%s", WEFT_SOURCE_DIR, directory, entry);
	cleanup_free char *expected = xprintf("%s/%.*s.%s", directory, (int)strcspn(entry, "."), entry, suffix);
	struct manifests *g = xcalloc(1, sizeof(*g));
	struct stat st;
	g->gen = generation_new(NULL);
	g->diags.arena = g->gen->arena;
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
	generation_unref(g->gen);
	free(g);
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
