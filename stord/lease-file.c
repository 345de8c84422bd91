/* SPDX-License-Identifier: Apache-2.0 */
/* Leases on images in a directory, which several hosts may have. Beside NAME.qcow2 stands .NAME.qcow2.weft-lease, a
 * line of JSON for each who uses it:
 *
 *     {"instance": "0123456789abcdef", "host": "alpha", "guest": "web", "since": "2026-11-21T18:02:11Z", "mode":
 * "alone"}
 *
 * The record is what refuses others. It outlives its holder, so that a host which is only cut off does not lose its
 * disk. Byte 0 of the file is locked by whoever reads and changes it. Another byte is locked by the QEMU of each
 * holder, which inherits it from the launcher: gone with the process, however that ends, and seen by all hosts, since
 * the locks of NFSv4 are the server's. By it a person who breaks a lease is kept from doing so to a guest that runs. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include <jansson.h>

#include "core/env.h"
#include "core/json-text.h"
#include "stord/lease.h"
#include "stord/mount.h"

enum {
	RECORD_MAX = 256 << 10,
	LOCK_TRIES = 40, /* and a time between them: who changes a record has it locked for a moment only */
	LOCK_TRY_MS = 50,
};

static const char *file_lock(struct arena *arena, const char *place)
{
	const char *name = strrchr(place, '/') + 1;
	return arena_printf(arena, "%.*s.%s.weft-lease", (int)(name - place), place, name);
}

static char *directory_of(const char *path)
{
	char *dir = xstrdup(path), *slash = strrchr(dir, '/');
	slash[slash == dir] = '\0';
	return dir;
}

static char *record_path(const struct lease_call *call)
{
	cleanup_arena struct arena *arena = arena_new();
	return xstrdup(file_lock(arena, call->place));
}

/* A filesystem without locks; then the record is all there is. */
static bool has_no_locks(int code)
{
	return code == ENOLCK || code == EOPNOTSUPP || code == EINVAL || code == ENOSYS;
}

/* EAGAIN: another one has it, and keeps it. */
static int lock_record(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	for (int i = 0; fcntl(fd, F_OFD_SETLK, &lock) < 0; i++) {
		if (has_no_locks(errno))
			return 0;
		if ((errno != EAGAIN && errno != EACCES && errno != EINTR) || i == LOCK_TRIES)
			return errno == EACCES ? EAGAIN : errno;
		usleep(LOCK_TRY_MS * 1000);
	}
	return 0;
}

static int say_not_opened(int code, const char *path)
{
	if (code == EAGAIN)
		return say(EBUSY,
			   "the lease '%s' is locked by another program, and has been for %d s: one of this host shows "
			   "in lslocks, else another host that has the pool hangs",
			   path, LOCK_TRIES * LOCK_TRY_MS / 1000);
	return say(code, "the lease '%s' cannot be opened: %s", path, strerror(code));
}

static enum lease_life life_of(int fd, const struct lease_holder *holder)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)lease_lock_byte(holder->instance, holder->guest),
		.l_len = 1,
	};
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return LEASE_UNKNOWN;
	if (lock.l_type != F_UNLCK)
		return LEASE_ALIVE;
	/* Of this very host it is known that nobody holds it. */
	return streq(holder->instance, env.instance) ? LEASE_ENDED : LEASE_UNKNOWN;
}

/* ---- the record ---- */

static uint64_t parse_time(const char *text)
{
	struct tm tm = {0};
	const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;
	return end && !*end ? (uint64_t)timegm(&tm) * 1000 : 0;
}

static bool take_text(const json_t *line, const char *key, char ret[static LEASE_TEXT_MAX])
{
	const char *text = json_string_value(json_object_get(line, key));
	if (!text || !*text || strlen(text) >= LEASE_TEXT_MAX)
		return false;
	strcpy(ret, text);
	return true;
}

static bool parse_holder(const json_t *line, struct lease_holder *ret)
{
	const char *mode = json_string_value(json_object_get(line, "mode"));
	*ret = (struct lease_holder){.since_ms = parse_time(json_string_value(json_object_get(line, "since")))};
	for (size_t i = 0; i < ARRAY_SIZE(lease_modes); i++)
		if (streq(mode, lease_modes[i]))
			ret->mode = (enum lease_mode)i;
	return take_text(line, "instance", ret->instance) && take_text(line, "host", ret->host) &&
	       take_text(line, "guest", ret->guest);
}

static bool parse_record(const char *text, size_t size, struct lease_seen *ret)
{
	for (const char *line = text, *end = text + size; line < end;) {
		size_t len = strcspn(line, "\n");
		json_t *json = json_loadb(line, len, 0, NULL);
		bool blank = strspn(line, " ") >= len;
		bool good = blank || (ret->n < LEASE_HOLDERS_MAX && json && parse_holder(json, &ret->holders[ret->n]));
		json_decref(json);
		if (!good)
			return false;
		ret->n += !blank;
		line += len + 1;
	}
	return true;
}

/* An NFS mount may keep its locks to itself. */
static void look_at_mount(const char *path, struct lease_seen *ret)
{
	struct mount_seen mount;
	cleanup_free char *dir = directory_of(path);
	if (mountinfo_find(dir, &mount) == 0 && mount.exists && str_starts(mount.fs_type, "nfs") &&
	    (strstr(mount.options, "nolock") || strstr(mount.options, "local_lock=all") ||
	     strstr(mount.options, "local_lock=posix")))
		snprintf(ret->note, sizeof(ret->note),
			 "'%s' is mounted without locks: no other host sees whether the guest still runs", dir);
}

static int read_record(int fd, const char *path, struct lease_seen *ret)
{
	cleanup_free char *text = xcalloc(RECORD_MAX + 1, 1);
	ssize_t size = pread(fd, text, RECORD_MAX, 0);
	*ret = (struct lease_seen){0};
	if (size < 0)
		return say(errno, "the lease '%s' cannot be read: %s", path, strerror(errno));
	if (!parse_record(text, (size_t)size, ret))
		return say(
			EBADMSG,
			"the lease '%s' is not as weft writes it: find out which guests of which hosts use the image, "
			"and delete the file if there are none",
			path);
	look_at_mount(path, ret);
	return 0;
}

/* Each asks the server, so only where it matters. */
static void see_lives(int fd, struct lease_seen *seen)
{
	for (size_t i = 0; i < seen->n; i++)
		seen->holders[i].life = life_of(fd, &seen->holders[i]);
}

static char *record_text(const struct lease_seen *seen)
{
	char *text = xstrdup("");
	for (size_t i = 0; i < seen->n; i++) {
		char since[32];
		const struct lease_holder *holder = &seen->holders[i];
		json_t *line = json_pack("{s:s, s:o, s:s, s:s, s:s}", "instance", holder->instance, "host",
					 json_host_text(holder->host), "guest", holder->guest, "since",
					 lease_time_text(holder->since_ms, since), "mode", lease_modes[holder->mode]);
		cleanup_free char *json = json_dumps(line, 0), *before = text;
		text = xprintf("%s%s\n", before, json ? json : "");
		json_decref(line);
	}
	return text;
}

/* In one write, with spaces over what is left of the longer one before: never half of it. Not by another file in its
 * place, since the locks are on this one. */
static int write_record(int fd, const struct lease_seen *seen)
{
	struct stat st;
	cleanup_free char *text = record_text(seen);
	size_t len = strlen(text);
	if (fstat(fd, &st) < 0)
		return errno;
	size_t size = st.st_size > (off_t)len && st.st_size <= RECORD_MAX ? (size_t)st.st_size : len;
	cleanup_free char *padded = xcalloc(size + 1, 1);
	memset(padded, ' ', size);
	memcpy(padded, text, len);
	ssize_t n = pwrite(fd, padded, size, 0);
	if (n != (ssize_t)size)
		return n < 0 ? errno : ENOSPC;
	if (ftruncate(fd, (off_t)len) < 0 || fsync(fd) < 0)
		return errno;
	return 0;
}

/* ---- opening it ---- */

/* Is this still the file under its name? Whoever gave the last lease back has deleted it. */
static bool is_current(int fd, const char *path)
{
	struct stat st, named;
	return fstat(fd, &st) == 0 && st.st_nlink && lstat(path, &named) == 0 && named.st_ino == st.st_ino &&
	       named.st_dev == st.st_dev;
}

/* Who may open it may lock it, and so hold up whoever has the image. On a server that makes root nobody this may not
 * be ours to say. */
static void keep_private(int fd)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_mode & 077)
		(void)!fchmod(fd, 0600);
}

/* The descriptor, with the record locked for writing; -errno. */
static int open_record(const char *path, bool make)
{
	for (;;) {
		cleanup_close int fd =
			open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (make ? O_CREAT : 0), 0600);
		if (fd < 0)
			return -errno;
		int code = lock_record(fd, F_WRLCK);
		if (code && code != ESTALE)
			return -code;
		if (code || !is_current(fd, path))
			continue;
		keep_private(fd);
		return take_fd(&fd);
	}
}

static void add(struct lease_seen *seen, const struct lease_holder *holder)
{
	if (seen->n < LEASE_HOLDERS_MAX)
		seen->holders[seen->n++] = *holder;
}

static void take_out(struct lease_seen *seen, size_t i)
{
	seen->n--;
	memmove(&seen->holders[i], &seen->holders[i + 1], (seen->n - i) * sizeof(seen->holders[0]));
}

/* Nobody writes where nobody can. */
static bool only_reads(const struct lease_call *call, const char *path)
{
	struct statvfs fs;
	cleanup_free char *dir = directory_of(path);
	return call->self.mode == LEASE_READ && call->self.guest[0] && statvfs(dir, &fs) == 0 &&
	       (fs.f_flag & ST_RDONLY);
}

static int check_mount(const char *path)
{
	cleanup_free char *dir = directory_of(path);
	return mountinfo_check(dir);
}

static int file_look(const struct lease_call *call, struct lease_seen *ret)
{
	cleanup_free char *path = record_path(call);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int code = fd < 0 ? errno : lock_record(fd, F_RDLCK);
	*ret = (struct lease_seen){0};
	if (fd < 0 && only_reads(call, path)) {
		add(ret, &call->self);
		return 0;
	}
	if (code == ENOENT || code == ENOTDIR)
		return 0;
	if (code)
		return say_not_opened(code, path);
	code = read_record(fd, path, ret);
	if (!code && !call->self.guest[0])
		see_lives(fd, ret);
	return code;
}

/* What a guest of this very host held, and does not any more: nobody knows better than we that it has ended. */
static bool is_over(const struct lease_call *call, const struct lease_holder *holder)
{
	return streq(holder->instance, call->self.instance) && holder->life == LEASE_ENDED;
}

/* The record as it is to be with self in it. */
static int enter(const struct lease_call *call, int fd, struct lease_seen *seen)
{
	struct lease_holder self = call->self;
	for (size_t i = 0; i < seen->n;) {
		struct lease_holder *holder = &seen->holders[i];
		bool same = lease_same_holder(holder, &self), bears = lease_bears(holder, &self);
		if (same)
			self.since_ms = holder->since_ms;
		if (!bears)
			holder->life = life_of(fd, holder);
		if (!bears && !is_over(call, holder))
			return lease_refuse(call, holder);
		if (same || !bears)
			take_out(seen, i);
		else
			i++;
	}
	if (seen->n == LEASE_HOLDERS_MAX)
		return say(EUSERS, "volume '%s' is used by %d guests, and there is room for no more", call->volume,
			   LEASE_HOLDERS_MAX);
	add(seen, &self);
	return 0;
}

static int file_take(const struct lease_call *call, struct lease_seen *ret)
{
	cleanup_free char *path = record_path(call);
	int code = check_mount(path);
	if (code || only_reads(call, path))
		return code ? code : file_look(call, ret);
	cleanup_close int fd = open_record(path, true);
	if (fd < 0)
		return say_not_opened(-fd, path);
	code = read_record(fd, path, ret);
	if (!code)
		code = enter(call, fd, ret);
	if (!code)
		code = image_check_use(call->place);
	if (!code && call->self.mode != LEASE_READ)
		code = image_check_base(call->place);
	if (code)
		return code;
	code = write_record(fd, ret);
	return code ? say(code, "the lease '%s' cannot be written: %s", path, strerror(code))
		    : read_record(fd, path, ret);
}

/* An empty record is none. */
static int leave(int fd, const char *path, struct lease_seen *seen)
{
	int code = seen->n ? write_record(fd, seen) : unlink(path) < 0 ? errno : 0;
	return code ? say(code, "the lease '%s' cannot be given back: %s", path, strerror(code)) : 0;
}

static int file_release(const struct lease_call *call, struct lease_seen *ret)
{
	cleanup_free char *path = record_path(call);
	*ret = (struct lease_seen){0};
	cleanup_close int fd = open_record(path, false);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -EROFS)
		return 0; /* also when its pool is not mounted any more: then it is out of reach */
	if (fd < 0)
		return say_not_opened(-fd, path);
	int code = read_record(fd, path, ret);
	for (size_t i = 0; !code && i < ret->n; i++)
		if (lease_same_holder(&ret->holders[i], &call->self)) {
			take_out(ret, i);
			return leave(fd, path, ret);
		}
	return code;
}

static int file_break_off(const struct lease_call *call, struct lease_seen *ret)
{
	cleanup_free char *path = record_path(call);
	int code = check_mount(path);
	*ret = (struct lease_seen){0};
	if (code)
		return code;
	cleanup_close int fd = open_record(path, false);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return say_not_opened(-fd, path);
	code = read_record(fd, path, ret);
	if (!code)
		see_lives(fd, ret);
	for (size_t i = 0; !code && i < ret->n; i++)
		if (ret->holders[i].life == LEASE_ALIVE)
			return say(
				EBUSY,
				"guest '%s' on host '%s' runs and holds volume '%s': a lease is broken only of what is "
				"dead; stop the guest there",
				ret->holders[i].guest, ret->holders[i].host, call->volume);
	return code ? code : leave(fd, path, &(struct lease_seen){0});
}

const struct lease_means lease_by_file = {
	.name = "file",
	.doc = "a record and a lock beside the image",
	.look = file_look,
	.take = file_take,
	.release = file_release,
	.break_off = file_break_off,
	.lock = file_lock,
};
