/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out where this weftd lives, makes its directories, and makes or reads its ids. See env.h. */
#include "core/env.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/random.h>
#include <sys/stat.h>

struct env env;

enum { ID_LEN = 16, BOOT_ID_LEN = 36, ID_FILE_MAX = 4096 };

/* Makes a directory with its parents; the mode is set whatever the umask is, but an existing directory keeps its
 * own. */
static int make_dir(const char *path, unsigned mode, struct err *err)
{
	struct stat st;
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : err_set(err, ENOTDIR, "%s is not a directory; remove it", path);
	int r = mkdir_all(path, 0755);
	if (r < 0)
		return err_errno(err, -r, "make directory %s", path);
	if (chmod(path, mode) < 0)
		return err_errno(err, errno, "set the mode of %s", path);
	return 0;
}

static int sync_dir(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
}

static void hex_text(const uint8_t *bytes, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++)
		sprintf(ret + 2 * i, "%02x", bytes[i]);
}

static bool hex_parse(const char *text, size_t n_bytes, uint8_t *ret)
{
	for (size_t i = 0; i < n_bytes; i++) {
		if (!isxdigit((unsigned char)text[2 * i]) || !isxdigit((unsigned char)text[2 * i + 1]))
			return false;
		char pair[3] = {text[2 * i], text[2 * i + 1]};
		ret[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return text[2 * n_bytes] == '\n' || text[2 * n_bytes] == '\0';
}

/* Reads a random id of the state directory, or makes it. It is synced with its directory before it is used: a mark
 * whose id a power cut has eaten would make everything foreign. */
static int state_id(const char *name, size_t n_bytes, uint8_t *ret, struct err *err)
{
	cleanup_free char *path = xprintf("%s/%s", env.state_dir, name), *text = NULL;
	int r = file_read(path, ID_FILE_MAX, &text, NULL);
	if (r == 0 && hex_parse(text, n_bytes, ret))
		return 0;
	if (r == 0)
		return err_set(err, EINVAL,
			       "%s is damaged: expected %zu hex digits; restore it from a backup (removing it gives "
			       "this host a new id, and everything weft made before then counts as foreign)",
			       path, 2 * n_bytes);
	if (r != -ENOENT)
		return err_errno(err, -r, "read %s", path);
	char line[2 * ID_LEN + 2];
	if (getrandom(ret, n_bytes, 0) != (ssize_t)n_bytes)
		return err_errno(err, errno, "get random bytes for %s", path);
	hex_text(ret, n_bytes, line);
	line[2 * n_bytes] = '\n';
	r = file_write_atomic(path, line, 2 * n_bytes + 1, 0600);
	if (r == 0)
		r = sync_dir(env.state_dir);
	return r < 0 ? err_errno(err, -r, "write %s", path) : 0;
}

/* So that somebody who only looks knows what is ours. */
static void look_at_instance(void)
{
	cleanup_free char *path = xprintf("%s/instance", env.state_dir), *text = NULL;
	uint8_t id[ID_LEN / 2];
	if (file_read(path, ID_FILE_MAX, &text, NULL) == 0 && hex_parse(text, sizeof(id), id))
		hex_text(id, sizeof(id), env.instance);
}

static int read_boot_id(struct err *err)
{
	const char *path = "/proc/sys/kernel/random/boot_id";
	cleanup_free char *text = NULL;
	int r = file_read(path, ID_FILE_MAX, &text, NULL);
	if (r < 0)
		return err_errno(err, -r, "read %s", path);
	text[strcspn(text, "\n")] = '\0';
	if (strlen(text) != BOOT_ID_LEN)
		return err_set(err, EINVAL, "%s holds no boot id", path);
	memcpy(env.boot_id, text, BOOT_ID_LEN + 1);
	return 0;
}

static bool holds_helpers(const char *dir)
{
	cleanup_free char *launcher = xprintf("%s/weft-launch", dir);
	return access(launcher, X_OK) == 0;
}

/* In the build tree helpers stand beside the program, or above it for test programs; installed, in LIBEXECDIR/weft. */
static char *find_libexec(void)
{
	char program[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (size <= 0)
		return xstrdup(WEFT_LIBEXECDIR);
	program[size] = '\0';
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(program, '/');
		if (!slash || slash == program)
			break;
		*slash = '\0';
		if (holds_helpers(program))
			return xstrdup(program);
	}
	return xstrdup(WEFT_LIBEXECDIR);
}

static void env_done(void)
{
	free((char *)env.root);
	free((char *)env.run_dir);
	free((char *)env.state_dir);
	free((char *)env.etc_dir);
	free((char *)env.libexec_dir);
	env = (struct env){.loop = env.loop};
}

static void set_system_paths(void)
{
	env.root = xstrdup("");
	env.run_dir = xstrdup("/run/weft");
	env.state_dir = xstrdup("/var/lib/weft");
	env.etc_dir = xstrdup("/etc/weft");
}

static void set_paths_below(void)
{
	env.run_dir = xprintf("%s/run", env.root);
	env.state_dir = xprintf("%s/lib", env.root);
	env.etc_dir = xprintf("%s/etc", env.root);
}

static int set_paths(const char *root, struct err *err)
{
	if (!root || !*root) {
		set_system_paths();
		return 0;
	}
	int r = make_dir(root, 0755, err);
	if (r < 0)
		return r;
	/* Absolute, since helpers that outlive us have another working directory. */
	env.root = realpath(root, NULL);
	if (!env.root)
		return err_errno(err, errno, "resolve %s", root);
	set_paths_below();
	return 0;
}

void env_look(const char *root)
{
	env_done();
	env.libexec_dir = find_libexec();
	char *real = root && *root ? realpath(root, NULL) : NULL;
	if (root && *root) {
		env.root = real ? real : xstrdup(root);
		set_paths_below();
	} else {
		set_system_paths();
	}
	look_at_instance();
}

int env_setup(const char *root, struct err *err)
{
	env_done();
	int r = set_paths(root, err);
	if (r < 0)
		return r;
	env.libexec_dir = find_libexec();
	uint8_t id[ID_LEN / 2];
	/* Others may pass through the state directory to their images, but not list it. */
	if ((r = make_dir(env.run_dir, 0755, err)) < 0 || (r = make_dir(env.state_dir, 0711, err)) < 0 ||
	    (r = make_dir(env.etc_dir, 0755, err)) < 0 || (r = state_id("instance", sizeof(id), id, err)) < 0 ||
	    (r = state_id("host-key", sizeof(env.host_key), env.host_key, err)) < 0)
		return r;
	hex_text(id, sizeof(id), env.instance);
	return read_boot_id(err);
}
