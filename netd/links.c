/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about the host's links and settings, asked of the kernel when lowering wants them. See netd.h. */
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/lower.h"
#include "netd/netd.h"
#include "netd/sysctl.h"

/* The MTU of a link; -ENOENT if there is no such link. */
static int link_mtu(const char *name, int *ret)
{
	struct ifreq request = {0};
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFMTU, &request) < 0)
		return errno == ENODEV ? -ENOENT : -errno;
	*ret = request.ifr_mtu;
	return 0;
}

/* "true" or "false" of a bridge; -ENOENT of another link. */
static int vlan_filtering(const char *name, char **ret)
{
	char path[96];
	cleanup_free char *text = NULL;
	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge/vlan_filtering", name);
	int r = file_read(path, 16, &text, NULL);
	if (r == 0)
		*ret = xstrdup(*text == '1' ? "true" : "false");
	return r;
}

/* "link/NAME/mtu", "link/NAME/exists", "link/NAME/vlanFiltering". */
static int link_fact(void *ctx, const char *key, char **ret)
{
	char name[IFNAMSIZ];
	int mtu = 0;
	key += strlen("link/");
	const char *what = strrchr(key, '/');
	if (!what || what == key || what - key >= IFNAMSIZ)
		return -ENOENT;
	snprintf(name, sizeof(name), "%.*s", (int)(what - key), key);
	int r = link_mtu(name, &mtu);
	if (r < 0)
		return r;
	if (streq(what, "/vlanFiltering"))
		return vlan_filtering(name, ret);
	if (streq(what, "/mtu"))
		*ret = xprintf("%d", mtu);
	else if (streq(what, "/exists"))
		*ret = xstrdup("true");
	else
		return -ENOENT;
	return 0;
}

static int sysctl_fact(void *ctx, const char *key, char **ret)
{
	int r = sysctl_read(key + strlen("sysctl/"), ret);
	return r == -ENOTDIR || r == -EINVAL ? -ENOENT : r;
}

int netd_links_start(struct engine *engine, struct err *err)
{
	fact_register("link/", link_fact, NULL);
	fact_register("sysctl/", sysctl_fact, NULL);
	return 0;
}
