/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as YAML. Laws: every diagnostic has a place in the text and can be shown without a control character
 * reaching the terminal; a text is refused or read; what was read without a fault is the same after being written and
 * read again. */
#include "core/node.h"
#include "core/utf8.h"
#include "tests/fuzz/fuzz.h"

static void check_shown(const struct diags *diags)
{
	cleanup_free char *text = diags_render(diags, false);
	size_t size = strlen(text);
	for (size_t i = 0; i < size;) {
		uint32_t c;
		size_t len = utf8_decode(text + i, size - i, &c);
		require(len && (c == '\n' || c == '\t' || !utf8_is_hidden(c)), "what is shown is plain text");
		i += len;
	}
	json_t *json = diags_to_json(diags);
	require(json_array_size(json) == diags->n, "all diagnostics become JSON");
	json_decref(json);
}

static void check_places(const struct diags *diags, const struct source *source)
{
	const char *line;
	size_t size;
	for (size_t i = 0; i < diags->n; i++) {
		const struct pos *pos = &diags->items[i]->pos;
		require(pos->source == source, "a diagnostic has a source");
		if (pos->line)
			require(source_line(source, pos->line, &line, &size) && pos->column > 0 &&
					pos->column <= utf8_count(line, size) + 1,
				"a diagnostic has a place in the text");
	}
}

/* A root that is null would be an empty document: it is never handed out, so each document is written and comes
 * back. */
static void check_written(struct node **docs, size_t n, struct arena *arena)
{
	json_t *all = json_array();
	const json_t **list = arena_alloc(arena, n * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		list[i] = node_to_json(docs[i]);
		json_array_append_new(all, (json_t *)list[i]);
	}
	cleanup_free char *text = yaml_from_json(list, n);
	struct source source = {"written", text, strlen(text)};
	struct diags diags = {.arena = arena};
	size_t n_back;
	struct node **back = yaml_parse(&source, arena, &diags, &n_back);
	require(diags.n_total == 0, "what was written can be read");
	require(n_back == n, "as many documents are read as were written");
	for (size_t i = 0; i < n; i++) {
		json_t *json = node_to_json(back[i]);
		require(json_equal(json, list[i]), "what was written is the same when read");
		json_decref(json);
	}
	json_decref(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_arena struct arena *arena = arena_new();
	struct source source = {"-", arena_strndup(arena, (const char *)data, size), size};
	struct diags diags = {.arena = arena};
	size_t n;
	struct node **docs = yaml_parse(&source, arena, &diags, &n);
	check_places(&diags, &source);
	diags_sort(&diags);
	check_shown(&diags);
	if (diags.n_total == 0)
		check_written(docs, n, arena);
	return 0;
}
