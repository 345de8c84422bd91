/* SPDX-License-Identifier: Apache-2.0 */
/* udev looks at a link as soon as there is one, and may not find weft's mark on it yet, which comes in a message of its
 * own. So it is told to look again, where a rule of weft's is installed by which others (NetworkManager,
 * systemd-networkd) know what is not theirs: integration/udev/80-weft.rules. */
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

void link_tell_udev(const char *name)
{
	static const char word[] = "change";
	if (access("/run/udev/control", F_OK) < 0 || !netd_drop_in_installed("udev/rules.d/80-weft.rules"))
		return;
	cleanup_free char *path = xprintf("/sys/class/net/%s/uevent", name);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, word, sizeof(word) - 1) < 0)
		errno = 0; /* it is gone again */
}
