/* SPDX-License-Identifier: Apache-2.0 */
/* Which guests of this host have the use of a volume, where the storage itself knows hosts only: a file for each guest
 * in the state directory, DIRECTORY/VOLUME/GUEST, with how and since when. */
#include <dirent.h>

#include "core/env.h"
#include "stord/lease.h"

static char *path_of(const struct lease_call *call, const char *directory, const char *guest)
{
	return xprintf("%s/%s/%s/%s", env.state_dir, directory, call->volume, guest);
}

static bool read_one(const struct lease_call *call, const char *directory, const char *guest, struct lease_holder *ret)
{
	cleanup_free char *path = path_of(call, directory, guest), *text = NULL;
	char mode[16] = "";
	unsigned long long since = 0;
	if (file_read(path, 256, &text, NULL) < 0)
		return false;
	sscanf(text, "%15s %llu", mode, &since);
	*ret = call->self;
	ret->since_ms = since;
	ret->mode = LEASE_ALONE;
	for (size_t i = 0; i < ARRAY_SIZE(lease_modes); i++)
		if (streq(mode, lease_modes[i]))
			ret->mode = (enum lease_mode)i;
	snprintf(ret->guest, sizeof(ret->guest), "%s", guest);
	return true;
}

int lease_local_write(const struct lease_call *call, const char *directory)
{
	cleanup_free char *dir = path_of(call, directory, ""), *path = path_of(call, directory, call->self.guest);
	struct lease_holder before = {0};
	bool held = read_one(call, directory, call->self.guest, &before);
	if (held && before.mode == call->self.mode)
		return 0;
	cleanup_free char *text = xprintf("%s %llu\n", lease_modes[call->self.mode],
					  (unsigned long long)(held ? before.since_ms : call->self.since_ms));
	int r = mkdir_all(dir, 0700);
	if (r == 0)
		r = file_write_atomic(path, text, strlen(text), 0600);
	return r < 0 ? say(-r, "'%s' cannot be written: %s", path, strerror(-r)) : 0;
}

int lease_local_drop(const struct lease_call *call, const char *directory, bool *ret_last)
{
	cleanup_free char *path = path_of(call, directory, call->self.guest), *dir = path_of(call, directory, "");
	cleanup_free char *all = xprintf("%s/%s", env.state_dir, directory);
	if (unlink(path) < 0 && errno != ENOENT)
		return say(errno, "'%s' cannot be removed: %s", path, strerror(errno));
	*ret_last = rmdir(dir) == 0 || errno == ENOENT;
	rmdir(all); /* not while another volume has something in it */
	return 0;
}

void lease_local_list(const struct lease_call *call, const char *directory, struct lease_seen *ret)
{
	cleanup_free char *path = path_of(call, directory, "");
	DIR *dir = opendir(path);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && ret->n < LEASE_HOLDERS_MAX &&
		    read_one(call, directory, entry->d_name, &ret->holders[ret->n]))
			ret->n++;
	if (dir)
		closedir(dir);
}
