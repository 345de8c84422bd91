/* SPDX-License-Identifier: Apache-2.0 */
/* udev looks at a link as soon as there is one, and some (NetworkManager) decide by what its rules say then, for good
 * (integration/udev/80-weft.rules). Links that a descriptor makes have neither group nor mark at that instant. So they
 * are given the group at once, which is nearly always before a process of udev's has come to reading it, and udev is
 * told to look again once all is there. */
#include <fcntl.h>

#include "netd/link.h"

bool netd_drop_in_installed(const char *drop_in)
{
	static const char *const places[] = {"/etc", "/run", "/usr/lib", "/usr/local/lib", "/lib"};
	bool found = false;
	for (size_t i = 0; !found && i < ARRAY_SIZE(places); i++) {
		cleanup_free char *path = xprintf("%s/%s", places[i], drop_in);
		found = access(path, F_OK) == 0;
	}
	return found;
}

static void write_word(const char *name, const char *file, const char *word)
{
	cleanup_free char *path = xprintf("/sys/class/net/%s/%s", name, file);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, word, strlen(word)) < 0)
		errno = 0; /* it is gone again */
}

static bool udev_goes_by_rule(void)
{
	return access("/run/udev/control", F_OK) == 0 && netd_drop_in_installed("udev/rules.d/80-weft.rules");
}

void link_group_at_once(const char *name)
{
	char group[16];
	snprintf(group, sizeof(group), "%d", LINK_GROUP);
	if (udev_goes_by_rule())
		write_word(name, "netdev_group", group);
}

void link_tell_udev(const char *name)
{
	if (udev_goes_by_rule())
		write_word(name, "uevent", "change");
}
