/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming another user: groups, ids, capabilities, bounding set. Raw system calls, for the launcher links to libc
 * only. */
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "launcher/launcher.h"

static const int net_capabilities[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE};

void credentials_find(const struct request *request, struct credentials *ret)
{
	*ret = (struct credentials){.change = request->user, .net = request->net};
	if (!request->user)
		return;
	errno = 0;
	struct passwd *user = getpwnam(request->user);
	if (!user)
		die(errno ? errno : ESRCH, "there is no user '%s'; make it with: useradd -r -s /usr/sbin/nologin %s",
		    request->user, request->user);
	ret->uid = user->pw_uid;
	ret->gid = user->pw_gid;
	cleanup_free char *names = xstrdup(request->groups ? request->groups : "");
	for (char *rest = names, *name; (name = strsep(&rest, ","));) {
		if (!*name)
			continue;
		errno = 0;
		struct group *group = getgrnam(name);
		if (!group)
			die(errno ? errno : ESRCH, "there is no group '%s'; make it with: groupadd -r %s", name, name);
		if (ret->n_groups == ARRAY_SIZE(ret->groups))
			die(E2BIG, "more than %zu groups", ARRAY_SIZE(ret->groups));
		ret->groups[ret->n_groups++] = group->gr_gid;
	}
}

static bool is_net(int capability)
{
	for (size_t i = 0; i < ARRAY_SIZE(net_capabilities); i++)
		if (net_capabilities[i] == capability)
			return true;
	return false;
}

/* Nothing that is executed from here on can gain what is not kept. Ends at the first number this kernel does not
 * know. */
static void limit_bounding_set(bool keep_net)
{
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		if (!(keep_net && is_net(i)) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
			die(errno, "dropping capability %d: %s", i, strerror(errno));
}

static void set_capabilities(bool net)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	for (size_t i = 0; net && i < ARRAY_SIZE(net_capabilities); i++)
		data[0].permitted |= 1U << net_capabilities[i];
	data[0].effective = data[0].inheritable = data[0].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		die(errno, "setting capabilities: %s", strerror(errno));
	for (size_t i = 0; net && i < ARRAY_SIZE(net_capabilities); i++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, net_capabilities[i], 0, 0) < 0)
			die(errno, "keeping capability %d: %s", net_capabilities[i], strerror(errno));
}

void credentials_take(const struct credentials *credentials)
{
	if (!credentials->change)
		return;
	limit_bounding_set(credentials->net);
	if (setgroups(credentials->n_groups, credentials->groups) < 0)
		die(errno, "setgroups: %s", strerror(errno));
	if (setresgid(credentials->gid, credentials->gid, credentials->gid) < 0)
		die(errno, "setresgid: %s", strerror(errno));
	if (prctl(PR_SET_KEEPCAPS, credentials->net, 0, 0, 0) < 0)
		die(errno, "PR_SET_KEEPCAPS: %s", strerror(errno));
	if (setresuid(credentials->uid, credentials->uid, credentials->uid) < 0)
		die(errno, "setresuid: %s", strerror(errno));
	set_capabilities(credentials->net);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die(errno, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
}
