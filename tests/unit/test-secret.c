/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: where they may be read from, what of them can be found elsewhere while they are used, and that nothing is
 * left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/secret.h"

static char dir[] = "/tmp/weft-test-secret.XXXXXX";
static char *file;

static void put(const char *text, unsigned mode)
{
	assert_int_equal(file_write_atomic(file, text, strlen(text), mode), 0);
	assert_int_equal(chmod(file, mode), 0);
}

static void refused(const struct secret_ref *ref, int code, const char *why)
{
	struct secret secret;
	struct err err = {0};
	assert_int_equal(secret_read(ref, &secret, &err), -code);
	if (!strstr(err.text, why))
		fail_msg("refused with: %s", err.text);
	assert_null(secret.text);
}

static void test_read(void **state)
{
	struct secret_ref ref = {.present = 1, .file = file};
	struct secret secret;
	struct err err = {0};
	put("open sesame\n", 0600);
	assert_int_equal(secret_read(&ref, &secret, &err), 0);
	assert_string_equal(secret.text, "open sesame");
	assert_int_equal(secret.size, 11);
	secret_done(&secret);
	secret_done(&secret);

	struct secret_ref by_name = {.present = 2, .credential = "chap"};
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	assert_int_equal(secret_read(&by_name, &secret, &err), 0);
	assert_string_equal(secret.text, "open sesame");
	secret_done(&secret);
	by_name.credential = "other";
	refused(&by_name, ENOENT, "LoadCredential=other:PATH");
	unsetenv("CREDENTIALS_DIRECTORY");
	by_name.credential = "chap";
	refused(&by_name, ENOENT, "there is no credential 'chap'");
}

static void test_refused(void **state)
{
	struct secret_ref ref = {.present = 1, .file = file};
	static const unsigned open_to_others[] = {0644, 0640, 0660, 0604};
	for (size_t i = 0; i < ARRAY_SIZE(open_to_others); i++) {
		put("open sesame\n", open_to_others[i]);
		refused(&ref, EPERM, "chmod 600 ");
	}
	put("\n", 0600);
	refused(&ref, ENODATA, "is empty");
	cleanup_free char *much = xcalloc(SECRET_MAX + 2, 1);
	memset(much, 'x', SECRET_MAX + 1);
	put(much, 0600);
	refused(&ref, EFBIG, "cannot be read");
	ref.file = dir;
	refused(&ref, EINVAL, "not a regular file");
	ref.file = "/nonexistent";
	refused(&ref, ENOENT, "cannot be opened");
}

/* The flags of the mapping that holds an address: "dd" is in no core dump, "dc" is not copied by fork. */
static bool has_flag(const void *address, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[4096];
	bool inside = false, found = false;
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (unsigned long)address >= from && (unsigned long)address < to;
		else if (inside && str_starts(line, "VmFlags:"))
			found = strstr(line, flag);
	}
	fclose(f);
	return found;
}

static bool file_has(const char *path, const char *text)
{
	cleanup_free char *all = xcalloc(1 << 20, 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, all, 1 << 20);
	close(fd);
	return n > 0 && memmem(all, (size_t)n, text, strlen(text));
}

/* The program reads it from its standard input, and waits; meanwhile it is looked for. */
static void test_in_no_argument_and_no_environment(void **state)
{
	struct secret_ref ref = {.present = 1, .file = file};
	struct secret secret;
	put("open sesame\n", 0600);
	assert_int_equal(secret_read(&ref, &secret, NULL), 0);
	assert_true(has_flag(secret.text, " dd") && has_flag(secret.text, " dc"));
	int fd = secret_fd(&secret), out[2];
	assert_true(fd >= 0);
	assert_int_equal(pipe(out), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fd, 0);
		dup2(out[1], 1);
		execlp("sh", "sh", "-c", "read x; echo ${#x}; exec sleep 60", NULL);
		_exit(127);
	}
	char said[16] = "";
	assert_int_equal(read(out[0], said, sizeof(said) - 1), 3);
	assert_string_equal(said, "11\n");
	const pid_t both[] = {pid, getpid()};
	for (size_t i = 0; i < 2; i++) {
		cleanup_free char *args = xprintf("/proc/%d/cmdline", both[i]),
				  *env = xprintf("/proc/%d/environ", both[i]);
		assert_false(file_has(args, "sesame") || file_has(env, "sesame"));
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(write(fd, "x", 1), -1); /* sealed */
	close(fd);
	secret_done(&secret);
	assert_null(secret.text);
}

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	file = xprintf("%s/chap", dir);
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	rmdir(dir);
	free(file);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_in_no_argument_and_no_environment),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
