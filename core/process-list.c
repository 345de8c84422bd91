/* SPDX-License-Identifier: Apache-2.0 */
/* See process-list.h. */
#include "core/process-list.h"

#include <dirent.h>

#include "core/util.h"

bool process_each(process_each_fn *fn, void *ctx)
{
	DIR *dir = opendir("/proc");
	bool stopped = false;
	for (struct dirent *entry; dir && !stopped && (entry = readdir(dir));)
		stopped = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && fn(ctx, entry->d_name);
	if (dir)
		closedir(dir);
	return stopped;
}

const char *process_name(const char *pid, char buf[static PROCESS_NAME])
{
	cleanup_free char *path = xprintf("/proc/%s/comm", pid), *name = NULL;
	if (file_read(path, PROCESS_NAME, &name, NULL) < 0)
		return "";
	snprintf(buf, PROCESS_NAME, "%.*s", (int)strcspn(name, "\n"), name);
	return buf;
}

bool process_has_open(const char *pid, const char *file)
{
	cleanup_free char *fds = xprintf("/proc/%s/fd", pid);
	DIR *dir = opendir(fds);
	bool found = false;
	for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
		char target[512];
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		found = streq(target, file);
	}
	if (dir)
		closedir(dir);
	return found;
}
