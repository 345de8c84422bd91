/* SPDX-License-Identifier: Apache-2.0 */
/* Instead of libFuzzer where there is no clang: runs a target over files and directories of them. Options are
 * libFuzzer's and ignored. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>

enum { INPUT_MAX = 16 << 20 };

/* In memory of just its size, so that a read past its end is seen. */
static void run_file(const char *path)
{
	cleanup_free char *text = NULL;
	size_t size;
	int r = file_read(path, INPUT_MAX, &text, &size);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-r));
		exit(1);
	}
	cleanup_free uint8_t *data = xcalloc(1, size);
	memcpy(data, text, size);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
}

static int run_directory(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort), files = 0;
	for (int i = 0; i < n; i++) {
		cleanup_free char *file = xprintf("%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && ++files)
			run_file(file);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return n < 0 ? -1 : files;
}

int main(int argc, char **argv)
{
	int files = 0;
	for (int i = 1; i < argc; i++) {
		if (*argv[i] == '-')
			continue;
		int n = run_directory(argv[i]);
		if (n < 0)
			run_file(argv[i]);
		files += n < 0 ? 1 : n;
	}
	fprintf(stderr, "%d inputs\n", files);
	return files ? 0 : 1;
}
