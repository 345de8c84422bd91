/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says is mounted, by libmount, and the event that tells when that changes. See mount.h. */
#include <fcntl.h>
#include <libmount.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "stord/image.h"
#include "stord/mount.h"

static const char mountinfo[] = "/proc/self/mountinfo";

static void seen_from(struct libmnt_fs *fs, struct mount_seen *ret)
{
	const char *what = mnt_fs_get_srcpath(fs), *type = mnt_fs_get_fstype(fs);
	const char *of_mount = mnt_fs_get_vfs_options(fs), *of_fs = mnt_fs_get_fs_options(fs);
	ret->exists = true;
	ret->incarnation = (uint64_t)mnt_fs_get_id(fs) << 32 ^ mnt_fs_get_devno(fs);
	snprintf(ret->what, sizeof(ret->what), "%s", what ? what : "none");
	snprintf(ret->fs_type, sizeof(ret->fs_type), "%s", type ? type : "none");
	snprintf(ret->options, sizeof(ret->options), "%s,%s", of_mount ? of_mount : "", of_fs ? of_fs : "");
}

int mountinfo_find(const char *where, struct mount_seen *ret)
{
	*ret = (struct mount_seen){0};
	struct libmnt_table *table = mnt_new_table_from_file(mountinfo);
	if (!table)
		return errno ? -errno : -EIO;
	/* Backwards: the last one lies on top. Compared as text, as looking would touch the filesystem. */
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_BACKWARD);
	struct libmnt_fs *fs;
	while (!ret->exists && mnt_table_next_fs(table, iter, &fs) == 0)
		if (streq(mnt_fs_get_target(fs), where))
			seen_from(fs, ret);
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return 0;
}

bool mountinfo_is_there(const char *dir)
{
	cleanup_free char *ours = xprintf("%s/mounts/", env.state_dir);
	struct mount_seen seen;
	return !str_starts(dir, ours) || (mountinfo_find(dir, &seen) == 0 && seen.exists);
}

int mountinfo_check(const char *dir)
{
	return mountinfo_is_there(dir) ? 0 : say(ENOTCONN, "nothing is mounted at '%s'", dir);
}

/* The value of "name=value" in a list, "" for a bare "name"; NULL if it is not there. */
static const char *find_option(const char *list, const char *name, size_t len, size_t *ret_len)
{
	for (const char *at = list; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
		size_t size = strcspn(at, ",");
		if (size < len || memcmp(at, name, len) != 0 || (size > len && at[len] != '='))
			continue;
		*ret_len = size > len ? size - len - 1 : 0;
		return size > len ? at + len + 1 : at + len;
	}
	return NULL;
}

static bool shows(const struct mount_seen *seen, const char *name)
{
	size_t len;
	return find_option(seen->options, name, strlen(name), &len);
}

/* Of these one is shown at most, and it excludes the others. */
static bool excluded(const struct mount_seen *seen, const char *option)
{
	static const char *const groups[][4] = {{"hard", "soft", "softerr"}, {"ro", "rw"}};
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		bool member = false, other = false;
		for (size_t k = 0; k < ARRAY_SIZE(groups[i]) && groups[i][k]; k++) {
			member |= streq(groups[i][k], option);
			other |= !streq(groups[i][k], option) && shows(seen, groups[i][k]);
		}
		/* A read-only filesystem is shown as rw of the mount too, or the other way round. */
		if (member)
			return other && !shows(seen, option);
	}
	return false;
}

bool mountinfo_has_option(const struct mount_seen *seen, const char *option)
{
	size_t name = strcspn(option, "="), len;
	const char *value = option[name] ? option + name + 1 : "";
	const char *there = find_option(seen->options, option, name, &len);
	if (there)
		return strlen(value) == len && memcmp(value, there, len) == 0;
	if (option[name])
		return true; /* a value that is not shown */
	cleanup_free char *no = xprintf("no%s", option);
	const char *yes = str_starts(option, "no") ? option + strlen("no") : NULL;
	return !shows(seen, no) && !(yes && shows(seen, yes)) && !excluded(seen, option);
}

/* ---- the event ---- */

struct watched {
	char *key, *where;
	uint64_t state; /* of the last look: who is mounted there, and how */
	struct watched *next;
};
static struct watched *all;
static struct engine *watcher;
static sd_event_source *source;

static uint64_t state_of(const char *where)
{
	struct mount_seen seen;
	if (mountinfo_find(where, &seen) < 0 || !seen.exists)
		return 0;
	uint64_t sum = seen.incarnation;
	for (const char *c = seen.options; *c; c++)
		sum = sum * 31 + (unsigned char)*c;
	return sum | 1;
}

static int on_change(sd_event_source *from, int fd, uint32_t events, void *ctx)
{
	for (struct watched *w = all; w; w = w->next) {
		uint64_t now = state_of(w->where);
		if (now == w->state)
			continue;
		w->state = now;
		engine_dirty(watcher, "mount", w->key);
		engine_dirty(watcher, "pool", w->key);
	}
	return 0;
}

/* Others may mount and unmount all the time: looking a few times a second is enough. */
static void start_watching(struct engine *engine)
{
	enum { LOOKS = 5, IN_USEC = 1000 * 1000 };
	watcher = engine;
	if (source || !env.loop)
		return;
	int fd = open(mountinfo, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (sd_event_add_io(env.loop, &source, fd, EPOLLPRI, on_change, NULL) < 0) {
		close(fd);
		return;
	}
	sd_event_source_set_io_fd_own(source, true);
	sd_event_source_set_ratelimit(source, IN_USEC, LOOKS);
}

void mountinfo_watch(struct engine *engine, const char *key, const char *where)
{
	struct watched *w = all;
	while (w && !streq(w->key, key))
		w = w->next;
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		*w = (struct watched){.key = xstrdup(key), .next = all};
		all = w;
	}
	if (!streq(w->where, where)) {
		free(w->where);
		w->where = xstrdup(where);
	}
	w->state = state_of(where);
	start_watching(engine);
}

void mountinfo_unwatch(const char *key)
{
	for (struct watched **at = &all; *at; at = &(*at)->next) {
		struct watched *w = *at;
		if (!streq(w->key, key))
			continue;
		*at = w->next;
		free(w->key);
		free(w->where);
		free(w);
		return;
	}
}

void mountinfo_stop(void)
{
	while (all)
		mountinfo_unwatch(all->key);
	source = sd_event_source_disable_unref(source);
	watcher = NULL;
}
