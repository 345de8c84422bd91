/* SPDX-License-Identifier: Apache-2.0 */
/* The link kind tap. rtnetlink cannot make one: it is made through /dev/net/tun, stays alone while the descriptor is
 * held, and is made persistent last, when it carries its mark and its settings; so a tap that is half made is gone by
 * itself, whatever happens. */
#include <fcntl.h>
#include <grp.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <pwd.h>
#include <sys/ioctl.h>

#include "netd/bridge.h"
#include "netd/link-map.h"
#include "netd/link.h"

enum { USER_KEPT_MS = 1000 };

enum { FIXED_MULTI_QUEUE, FIXED_VNET_HDR };
struct tap_fixed {
	uint64_t present;
	bool multi_queue, vnet_hdr;
};

enum { INFO_OWNER, INFO_GROUP, INFO_QUEUES };
struct tap_info {
	uint64_t present;
	const char *owner, *group;
	uint32_t queues;
};

/* Whoever opens a tap sets vnetHdr anew, so it is said at creation and never compared. */
static const struct field fixed_rows[] = {
	[FIXED_MULTI_QUEUE] =
		F_BOOL("multiQueue", struct tap_fixed, multi_queue, .nl = IFLA_TUN_MULTI_QUEUE, .nl_form = NL_U8,
		       .flags = FIELD_RECREATE, .doc = "Whether several descriptors can be attached."),
	[FIXED_VNET_HDR] = F_BOOL("vnetHdr", struct tap_fixed, vnet_hdr, .flags = FIELD_WEAK,
				  .doc = "Whether frames carry a virtio header until somebody opens it otherwise."),
};
static const struct table fixed_table = TABLE("link.tap.fixed", struct tap_fixed, fixed_rows);

static const struct field info_rows[] = {
	[INFO_OWNER] = F_STRING("owner", struct tap_info, owner, .max = 63, .doc = "User that may open it."),
	[INFO_GROUP] = F_STRING("group", struct tap_info, group, .max = 63, .doc = "Group that may open it."),
	[INFO_QUEUES] = F_U32("queues", struct tap_info, queues, .nl = IFLA_TUN_NUM_QUEUES, .nl_form = NL_U32,
			      .flags = FIELD_STATUS, .doc = "Descriptors attached now."),
};
static const struct table info_table = TABLE("link.tap", struct tap_info, info_rows);

static bool attr_u32(const struct netlink_link *link, uint16_t type, uint32_t *ret)
{
	const struct nlattr *attr;
	mnl_attr_for_each_payload(link->info.data, link->info.size)
	{
		if (mnl_attr_get_type(attr) == type && mnl_attr_get_payload_len(attr) == sizeof(uint32_t)) {
			*ret = mnl_attr_get_u32(attr);
			return true;
		}
	}
	return false;
}

static bool is_tap(const struct netlink_link *link)
{
	const struct nlattr *attr;
	mnl_attr_for_each_payload(link->info.data, link->info.size) if (mnl_attr_get_type(attr) == IFLA_TUN_TYPE &&
									mnl_attr_get_payload_len(attr) ==
										1) return mnl_attr_get_u8(attr) ==
		IFF_TAP;
	return false;
}

static bool parse_id(const char *text, unsigned long *ret)
{
	char *end;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret < UINT32_MAX;
}

static int look_up_user(const char *name, unsigned long *ret, struct err *err)
{
	char buf[4096];
	struct passwd entry, *found = NULL;
	getpwnam_r(name, &entry, buf, sizeof(buf), &found);
	if (!found)
		return err_set(err, ENOENT, "there is no user '%s' on this host; make it, or name another owner", name);
	*ret = found->pw_uid;
	return 0;
}

/* A thousand taps of one user are one look-up: the last answer is kept for a moment. */
static int user_id(const char *name, unsigned long *ret, struct err *err)
{
	static _Thread_local struct {
		char name[64];
		unsigned long id;
		uint64_t until_ms;
	} last;
	if (parse_id(name, ret))
		return 0;
	if (now_ms() >= last.until_ms || !streq(last.name, name)) {
		int r = look_up_user(name, &last.id, err);
		if (r < 0)
			return r;
		snprintf(last.name, sizeof(last.name), "%s", name);
		last.until_ms = now_ms() + USER_KEPT_MS;
	}
	*ret = last.id;
	return 0;
}

static int group_id(const char *name, unsigned long *ret, struct err *err)
{
	char buf[16384];
	struct group entry, *found = NULL;
	if (parse_id(name, ret))
		return 0;
	getgrnam_r(name, &entry, buf, sizeof(buf), &found);
	if (!found)
		return err_set(err, ENOENT, "there is no group '%s' on this host; make it, or name another", name);
	*ret = found->gr_gid;
	return 0;
}

static int set_owner(int fd, const struct tap_info *info, uint64_t rows, struct err *err)
{
	unsigned long id = 0;
	if (rows & 1 << INFO_OWNER && has_row(info, INFO_OWNER)) {
		int r = user_id(info->owner, &id, err);
		if (r < 0)
			return r;
		if (ioctl(fd, TUNSETOWNER, id) < 0)
			return err_errno(err, errno, "set the owner of the tap");
	}
	if (rows & 1 << INFO_GROUP && has_row(info, INFO_GROUP)) {
		int r = group_id(info->group, &id, err);
		if (r < 0)
			return r;
		if (ioctl(fd, TUNSETGROUP, id) < 0)
			return err_errno(err, errno, "set the group of the tap");
	}
	return 0;
}

static int attach(const char *name, const struct tap_fixed *fixed, int extra_flags, int *ret_fd, struct err *err)
{
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV))
		return err_set(err, errno, "this kernel has no taps: load its module tun, or make /dev/net/tun");
	if (fd < 0)
		return err_errno(err, errno, "open /dev/net/tun");
	struct ifreq request = {0};
	int flags = IFF_TAP | IFF_NO_PI | extra_flags;
	if (fixed && has_row(fixed, FIXED_MULTI_QUEUE) && fixed->multi_queue)
		flags |= IFF_MULTI_QUEUE;
	if (fixed && has_row(fixed, FIXED_VNET_HDR) && fixed->vnet_hdr)
		flags |= IFF_VNET_HDR;
	request.ifr_flags = (short)flags;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return err_errno(err, errno, "open the tap '%s'", name);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int tap_open(const char *name, const struct link_spec *spec, int *ret_fd, struct err *err)
{
	cleanup_close int fd = -1;
	/* Exclusive: a link of this name that somebody made just now stays his. */
	int r = attach(name, has_row(spec, LINK_FIXED) ? spec->fixed : NULL, IFF_TUN_EXCL, &fd, err);
	if (r == 0 && has_row(spec, LINK_INFO))
		r = set_owner(fd, spec->info, UINT64_MAX, err);
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

static int tap_keep(int fd, struct err *err)
{
	return ioctl(fd, TUNSETPERSIST, 1) < 0 ? err_errno(err, errno, "make the tap persistent") : 0;
}

/* Opening it attaches a queue for a moment; the flags must be those it was made with. */
static int tap_change(struct op *op, uint64_t rows)
{
	const struct link_spec *want = op->want, *seen = op->seen;
	cleanup_close int fd = -1;
	if (!(rows & (1 << INFO_OWNER | 1 << INFO_GROUP)))
		return 0;
	int r = attach(op->key, seen && has_row(seen, LINK_FIXED) ? seen->fixed : NULL, 0, &fd, &op->err);
	return r < 0 ? r : set_owner(fd, want->info, rows, &op->err);
}

static const char *owner_text(const char *wanted, uint32_t id, struct arena *arena)
{
	unsigned long same;
	char buf[4096];
	struct passwd entry, *found = NULL;
	/* The same user under the spelling that the manifest has is no difference. */
	if (wanted && user_id(wanted, &same, NULL) == 0 && same == id)
		return arena_strdup(arena, wanted);
	getpwuid_r(id, &entry, buf, sizeof(buf), &found);
	return found ? arena_strdup(arena, found->pw_name) : arena_printf(arena, "%u", id);
}

static const char *group_text(const char *wanted, uint32_t id, struct arena *arena)
{
	unsigned long same;
	char buf[16384];
	struct group entry, *found = NULL;
	if (wanted && group_id(wanted, &same, NULL) == 0 && same == id)
		return arena_strdup(arena, wanted);
	getgrgid_r(id, &entry, buf, sizeof(buf), &found);
	return found ? arena_strdup(arena, found->gr_name) : arena_printf(arena, "%u", id);
}

static void tap_decode(const struct netlink_cache *cache, const struct netlink_link *link, const struct link_spec *want,
		       struct link_spec *seen, struct arena *arena)
{
	const struct tap_info *wanted = want && has_row(want, LINK_INFO) ? want->info : NULL;
	struct tap_info *info = seen->info;
	uint32_t id;
	if (attr_u32(link, IFLA_TUN_OWNER, &id)) {
		info->owner = owner_text(wanted && has_row(wanted, INFO_OWNER) ? wanted->owner : NULL, id, arena);
		set_present(info, INFO_OWNER);
	}
	if (attr_u32(link, IFLA_TUN_GROUP, &id)) {
		info->group = group_text(wanted && has_row(wanted, INFO_GROUP) ? wanted->group : NULL, id, arena);
		set_present(info, INFO_GROUP);
	}
}

static uint32_t tap_mtu(struct lowering *l, const struct object *object)
{
	const char *bridge = link_bridge_of(l, object->name);
	uint32_t mtu = bridge ? link_mtu(l, bridge) : 0;
	return mtu ? mtu : STANDARD_MTU;
}

extern const struct link_kind link_tap;
const struct link_kind link_tap = {
	.name = "tap",
	.object = &netd_tap_kind,
	.kernel_name = "tun",
	.passing = "it is a tap, which comes and goes with the program that uses it",
	.follows_bridge = true,
	.mtu = tap_mtu,
	.fixed = &fixed_table,
	.info = &info_table,
	.is = is_tap,
	.open = tap_open,
	.keep = tap_keep,
	.change = tap_change,
	.decode = tap_decode,
};
