/* SPDX-License-Identifier: Apache-2.0 */
/* weft-reference SOURCE-DIR: compares the reference pages, manual pages, completion scripts and the schema under
 * SOURCE-DIR/docs with what the tables say; exit status 1 if one is stale. With WEFT_REGENERATE=1 in the environment it
 * writes them. A program of the build, not installed. */
#include "core/registry.h"
#include "docs/generator/reference.h"

enum { PAGE_MAX = 16 << 20 };

void write_bash(FILE *f)
{
	fputs(completion_script("bash"), f);
}

void write_zsh(FILE *f)
{
	fputs(completion_script("zsh"), f);
}

void write_fish(FILE *f)
{
	fputs(completion_script("fish"), f);
}

static const struct page {
	const char *path;
	page_fn *write;
} pages[] = {
	{"reference/README.md", write_index},
	{"reference/command-line.md", write_command_line},
	{"reference/weft.schema.json", write_schema},
	{"man/weft.1", write_weft_1},
	{"man/weftd.8", write_weftd_8},
	{"man/weft.yaml.5", write_weft_yaml_5},
	{"completion/weft.bash", write_bash},
	{"completion/_weft", write_zsh},
	{"completion/weft.fish", write_fish},
};

/* Is the file as it should be, or has it been made so? */
static bool settle(const char *directory, const char *name, const char *text)
{
	cleanup_free char *path = xprintf("%s/docs/%s", directory, name), *kept = NULL;
	if (file_read(path, PAGE_MAX, &kept, NULL) == 0 && streq(kept, text))
		return true;
	if (!getenv("WEFT_REGENERATE")) {
		fprintf(stderr, "%s is stale; WEFT_REGENERATE=1 makes it anew\n", path);
		return false;
	}
	char *slash = strrchr(path, '/');
	*slash = '\0';
	bool made = mkdir_all(path, 0755) == 0;
	*slash = '/';
	return made && file_write_atomic(path, text, strlen(text), 0644) == 0;
}

static bool settle_page(const char *directory, const struct page *page, const struct kind *kind)
{
	char *text = NULL;
	size_t size = 0;
	cleanup_free char *name = kind ? xprintf("reference/%s.md", kind->plural) : xstrdup(page->path);
	FILE *f = open_memstream(&text, &size);
	if (!f)
		abort();
	if (kind)
		write_kind(kind, f);
	else
		page->write(f);
	fclose(f);
	bool good = settle(directory, name, text);
	free(text);
	return good;
}

int main(int argc, char **argv)
{
	size_t stale = 0;
	if (argc != 2) {
		fputs("usage: weft-reference SOURCE-DIR\n", stderr);
		return 2;
	}
	registry_init();
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		stale += !settle_page(argv[1], &pages[i], NULL);
	for (size_t i = 0; kind_at(i); i++)
		stale += !settle_page(argv[1], NULL, kind_at(i));
	return stale > 0;
}
