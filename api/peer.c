/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a connection, and what that one may do: root and the members of the group `weft`
 * everything, members of `weft-view` may read. Everybody may connect, so that a refusal can be a sentence. */
#include "api/server.h"

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>

enum { GROUPS_MAX = 1024 };
static const gid_t no_group = (gid_t)-1;
static gid_t group_full = (gid_t)-1, group_view = (gid_t)-1;

/* Asked once, before the loop runs: a directory server may take its time. */
static gid_t group_id(const char *name)
{
	const struct group *group = getgrnam(name);
	return group ? group->gr_gid : no_group;
}

void peer_setup(void)
{
	group_full = group_id("weft");
	group_view = group_id("weft-view");
}

static enum access access_of_group(gid_t gid)
{
	if (gid == no_group)
		return ACCESS_NONE;
	if (gid == group_full)
		return ACCESS_FULL;
	return gid == group_view ? ACCESS_VIEW : ACCESS_NONE;
}

/* From /etc/passwd alone, which cannot hang. */
static void describe(struct peer *peer)
{
	cleanup_fclose FILE *file = fopen("/etc/passwd", "re");
	for (const struct passwd *user; file && (user = fgetpwent(file));) {
		if (user->pw_uid != peer->uid)
			continue;
		snprintf(peer->who, sizeof(peer->who), "%.48s (uid %u)", user->pw_name, peer->uid);
		return;
	}
	snprintf(peer->who, sizeof(peer->who), "uid %u", peer->uid);
}

int peer_read(int fd, struct peer *ret)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return -errno;
	*ret = (struct peer){.uid = cred.uid, .access = access_of_group(cred.gid)};
	if (cred.uid == 0 || cred.uid == geteuid())
		ret->access = ACCESS_FULL;
	static gid_t groups[GROUPS_MAX];
	socklen_t groups_size = sizeof(groups);
	/* A peer in more groups than fit gets what its primary group gives. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_size) < 0)
		groups_size = 0;
	for (size_t i = 0; i < groups_size / sizeof(gid_t); i++)
		if (access_of_group(groups[i]) > ret->access)
			ret->access = access_of_group(groups[i]);
	describe(ret);
	return 0;
}
