/* SPDX-License-Identifier: Apache-2.0 */
/* See files.h. */
#include "cli/files.h"

#include <dirent.h>
#include <sys/stat.h>

#include "cli/diagnostics.h"
#include "core/diag.h"
#include "core/utf8.h"

enum { FILE_MAX = 10 * 1024 * 1024, FILES_MAX = 10000 };

/* Where a text stops being what JSON, and then YAML, can carry; false if it does not. */
static bool find_damage(const char *text, size_t size, struct pos *ret)
{
	struct pos pos = {.line = 1, .column = 1, .width = 1};
	for (size_t i = 0; i < size;) {
		uint32_t c = 0;
		size_t len = utf8_decode(text + i, size - i, &c), end = utf8_break(text + i, size - i);
		if (!len || c == 0) {
			*ret = pos;
			return true;
		}
		pos.column = end ? 1 : pos.column + 1;
		pos.line += end > 0;
		i += end ? end : len;
	}
	return false;
}

static int refuse_damage(const char *name, const char *text, size_t size, struct pos pos)
{
	cleanup_arena struct arena *arena = arena_new();
	struct source source = {.name = name, .text = text, .size = size};
	struct diags diags = {.arena = arena};
	pos.source = &source;
	struct diag *diag = diag_add(&diags, pos, "this is no text in UTF-8");
	diag_hint(&diags, diag, "is it really a manifest?");
	cleanup_free char *rendered = diags_render(&diags, false);
	diagnostics_print(rendered);
	return CLI_USAGE;
}

static int read_all(int fd, char **ret, size_t *ret_size)
{
	cleanup_free char *text = NULL;
	size_t size = 0, cap = 0;
	for (ssize_t n = 1; n != 0; size += n > 0 ? (size_t)n : 0) {
		if (size > FILE_MAX)
			return -EFBIG;
		if (cap - size < 4096)
			text = xrealloc(text, cap = cap * 2 + 65536, 1);
		n = read(fd, text + size, cap - size - 1);
		if (n < 0 && errno != EINTR)
			return -errno;
	}
	text[size] = '\0';
	*ret = take_ptr(text);
	*ret_size = size;
	return 0;
}

static int add_file(json_t *files, const char *name)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	struct pos damage;
	int r = streq(name, "-") ? read_all(STDIN_FILENO, &text, &size) : file_read(name, FILE_MAX, &text, &size);
	if (r == -EFBIG)
		return cli_fail(CLI_USAGE, "%s is larger than %d MiB; divide it into several manifests", name,
				FILE_MAX >> 20);
	if (r < 0)
		return cli_fail(CLI_USAGE, "cannot read %s: %s", name, strerror(-r));
	if (find_damage(text, size, &damage))
		return refuse_damage(name, text, size, damage);
	json_t *file = json_pack("{s:s, s:s%}", "name", name, "text", text, size);
	if (!file)
		return cli_fail(CLI_USAGE, "the name of the file %s is not UTF-8", name);
	json_array_append_new(files, file);
	return CLI_DONE;
}

static int is_manifest(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');
	return entry->d_name[0] != '.' && dot && (streq(dot, ".yaml") || streq(dot, ".yml") || streq(dot, ".json"));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(json_t *files, const char *path)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, is_manifest, by_bytes), status = CLI_DONE;
	if (n < 0)
		return cli_fail(CLI_USAGE, "cannot read the directory %s: %s", path, strerror(errno));
	if (n == 0)
		status = cli_fail(CLI_USAGE, "the directory %s has no *.yaml, *.yml or *.json", path);
	if (n > FILES_MAX)
		status = cli_fail(CLI_USAGE, "the directory %s has more than %d manifests", path, FILES_MAX);
	for (int i = 0; i < n; i++) {
		cleanup_free char *name =
			xprintf("%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", entries[i]->d_name);
		if (status == CLI_DONE)
			status = add_file(files, name);
		free(entries[i]);
	}
	free(entries);
	return status;
}

int files_read(const struct texts *paths, json_t **ret)
{
	json_t *files = json_array();
	int status = CLI_DONE;
	bool stdin_read = false;
	for (size_t i = 0; i < paths->n && status == CLI_DONE; i++) {
		const char *path = paths->items[i];
		struct stat st;
		if (streq(path, "-") && stdin_read)
			status = cli_fail(CLI_USAGE, "-f - can be given once: standard input is read to its end");
		else if (!streq(path, "-") && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			status = add_directory(files, path);
		else
			status = add_file(files, path);
		stdin_read |= streq(path, "-");
	}
	if (status == CLI_DONE)
		*ret = json_incref(files);
	json_decref(files);
	return status;
}
