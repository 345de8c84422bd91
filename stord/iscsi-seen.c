/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions as the kernel has them, by libopeniscsiusr; what it does not tell (whether they work, what uses their disks)
 * by sysfs and /proc. */
#include <dirent.h>
#include <fcntl.h>
#include <libopeniscsiusr.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/env.h"
#include "core/process-list.h"
#include "stord/iscsi.h"
#include "stord/multipath.h"

static bool read_attribute(unsigned id, const char *name, char *ret, size_t size)
{
	cleanup_free char *path = xprintf("/sys/class/iscsi_session/session%u/%s", id, name), *text = NULL;
	bool there = file_read(path, 4096, &text, NULL) == 0;
	snprintf(ret, size, "%.*s", there ? (int)strcspn(text, "\n") : 0, there ? text : "");
	return there;
}

bool iscsi_state(unsigned id, char ret[static ISCSI_STATE_MAX])
{
	return read_attribute(id, "state", ret, ISCSI_STATE_MAX);
}

unsigned iscsi_count_alive(const char *target, bool ours)
{
	cleanup_free char *prefix = xprintf("weft-%s", env.instance);
	DIR *dir = opendir("/sys/class/iscsi_session");
	unsigned n = 0;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char name[ISCSI_NAME_MAX], iface[ISCSI_IFACE_MAX], state[ISCSI_STATE_MAX];
		unsigned id;
		if (sscanf(entry->d_name, "session%u", &id) != 1)
			continue;
		read_attribute(id, "targetname", name, sizeof(name));
		read_attribute(id, "ifacename", iface, sizeof(iface));
		n += streq(name, target) && (!ours || str_starts(iface, prefix)) && iscsi_state(id, state) &&
		     streq(state, "LOGGED_IN");
	}
	if (dir)
		closedir(dir);
	return n;
}

static bool take(struct iscsi_session *session, struct iscsi_seen *ret)
{
	struct iscsi_iface *iface = iscsi_session_iface_get(session);
	*ret = (struct iscsi_seen){
		.id = iscsi_session_sid_get(session),
		.group = iscsi_session_tpgt_get(session),
		.portal.port = (uint16_t)iscsi_session_persistent_port_get(session),
	};
	cleanup_free char *path = xprintf("/sys/class/iscsi_session/session%u", ret->id);
	struct stat st;
	snprintf(ret->target, sizeof(ret->target), "%s", iscsi_session_target_name_get(session));
	snprintf(ret->iface, sizeof(ret->iface), "%s", iface ? iscsi_iface_name_get(iface) : "");
	snprintf(ret->initiator, sizeof(ret->initiator), "%s", iface ? iscsi_iface_iname_get(iface) : "");
	ip_parse(iscsi_session_persistent_address_get(session), &ret->portal.ip);
	if (!iscsi_state(ret->id, ret->state) || stat(path, &st) < 0)
		return false; /* it has gone meanwhile */
	ret->incarnation = st.st_ino;
	return true;
}

/* The library reads passwords as well, out of files that only root can read: this child leaves no core dump. */
int iscsi_sessions(struct iscsi_seen **ret, size_t *ret_n)
{
	*ret = NULL;
	*ret_n = 0;
	if (access("/sys/class/iscsi_session", F_OK) < 0)
		return 0;
	prctl(PR_SET_DUMPABLE, 0);
	struct iscsi_context *context = iscsi_context_new();
	struct iscsi_session **sessions = NULL;
	uint32_t n = 0;
	if (!context)
		return say(ENOMEM, "the iSCSI sessions of this host cannot be read");
	int r = iscsi_sessions_get(context, &sessions, &n);
	if (r == LIBISCSI_OK) {
		*ret = xcalloc(n + 1, sizeof(**ret));
		for (uint32_t i = 0; i < n; i++)
			*ret_n += take(sessions[i], &(*ret)[*ret_n]);
		iscsi_sessions_free(sessions, n);
	}
	iscsi_context_free(context);
	return r == LIBISCSI_OK ? 0 : say(EIO, "the iSCSI sessions of this host cannot be read: %s", iscsi_strerror(r));
}

bool iscsi_is_ours(const struct iscsi_seen *seen)
{
	cleanup_free char *prefix = xprintf("weft-%s", env.instance);
	return str_starts(seen->iface, prefix);
}

bool iscsi_is_alive(const struct iscsi_seen *seen)
{
	return streq(seen->state, "LOGGED_IN");
}

/* ---- who uses a disk ---- */

/* One that has gone meanwhile uses nothing. */
static bool is_watcher(const char *name)
{
	return !*name || str_starts(name, "multipathd") || str_starts(name, "(udev-worker)") ||
	       str_starts(name, "systemd-udevd") || str_starts(name, "weftd"); /* which asks whether it answers */
}

struct use {
	const char *disk, *device;
	char *ret; /* IMAGE_TEXT_MAX */
};

static bool say_if_used(void *ctx, const char *pid)
{
	const struct use *use = ctx;
	char buf[PROCESS_NAME];
	const char *name = process_has_open(pid, use->device) ? process_name(pid, buf) : "";
	if (is_watcher(name))
		return false;
	snprintf(use->ret, IMAGE_TEXT_MAX, "%s is open in %s (%s)", use->disk, name, pid);
	return true;
}

static bool find_process(const char *disk, char ret[static IMAGE_TEXT_MAX])
{
	cleanup_free char *device = xprintf("/dev/%s", disk);
	return process_each(say_if_used, &(struct use){disk, device, ret});
}

/* "36 25 8:16 / /mnt/data rw,... - ext4 /dev/sdb rw" */
static bool find_mount(const struct scsi_disk *disk, char ret[static IMAGE_TEXT_MAX])
{
	cleanup_free char *text = NULL, *number = xprintf(" %u:%u ", major(disk->device), minor(disk->device));
	if (file_read("/proc/self/mountinfo", 16 << 20, &text, NULL) < 0)
		return false;
	char *at = strstr(text, number), where[256];
	if (!at || sscanf(at + strlen(number), "%*s %255s", where) != 1)
		return false;
	snprintf(ret, IMAGE_TEXT_MAX, "%s is mounted at %s", disk->name, where);
	return true;
}

/* Is there another way to the disks of a map than by this session? */
static bool has_other_path(const char *map, const char *session)
{
	cleanup_free struct scsi_disk *disks = NULL;
	size_t n = 0;
	if (scsi_disks("/sys", &disks, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (streq(disks[i].holder, map) && !streq(disks[i].session, session) &&
		    streq(disks[i].state, "running"))
			return true;
	return false;
}

static bool find_holder(const struct scsi_disk *disk, char ret[static IMAGE_TEXT_MAX])
{
	if (!disk->holder[0])
		return false;
	cleanup_free char *path = xprintf("/sys/block/%s/dm/name", disk->holder), *name = NULL;
	file_read(path, 256, &name, NULL);
	snprintf(ret, IMAGE_TEXT_MAX, "%s is part of %.*s", disk->name, name ? (int)strcspn(name, "\n") : 32,
		 name ? name : disk->holder);
	return true;
}

/* Mounted, part of something, opened by somebody, or claimed by the kernel for whatever else. */
static bool is_used(const struct scsi_disk *disk, char ret[static IMAGE_TEXT_MAX])
{
	if (find_holder(disk, ret) || find_mount(disk, ret) || find_process(disk->name, ret))
		return true;
	cleanup_free char *device = xprintf("/dev/%s", disk->name);
	cleanup_close int fd = open(device, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 || errno != EBUSY)
		return false;
	snprintf(ret, IMAGE_TEXT_MAX, "%s is in use", disk->name);
	return true;
}

/* The map that the disk is the last path of, into ret; false if there is none. */
static bool last_path_of(const struct scsi_disk *disk, const char *session, struct scsi_disk *ret)
{
	return disk->holder[0] && scsi_disk("/sys", disk->holder, ret) && ret->map[0] &&
	       !has_other_path(ret->name, session);
}

int iscsi_flush_maps(const struct iscsi_seen *seen, char ret[static IMAGE_TEXT_MAX])
{
	cleanup_free struct scsi_disk *disks = NULL;
	cleanup_free char *session = xprintf("session%u", seen->id);
	size_t n = 0;
	int code = 0;
	scsi_disks("/sys", &disks, &n); /* without sysfs there are none */
	for (size_t i = 0; !code && i < n; i++) {
		struct scsi_disk map;
		if (!streq(disks[i].session, session) || !last_path_of(&disks[i], session, &map))
			continue;
		code = map_flush(map.map);
		snprintf(ret, IMAGE_TEXT_MAX, "%s is the last path of the map '%s', which does not go: %s",
			 disks[i].name, map.map, code == EBUSY ? "it is in use" : multipathd_fault_text(code));
	}
	return code;
}

void iscsi_user_of(const struct iscsi_seen *seen, char ret[static IMAGE_TEXT_MAX])
{
	cleanup_free struct scsi_disk *disks = NULL;
	cleanup_free char *session = xprintf("session%u", seen->id);
	size_t n = 0;
	ret[0] = '\0';
	if (scsi_disks("/sys", &disks, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct scsi_disk map;
		if (!streq(disks[i].session, session))
			continue;
		bool in_map = disks[i].holder[0] && scsi_disk("/sys", disks[i].holder, &map) && map.map[0];
		if (in_map ? !has_other_path(map.name, session) && is_used(&map, ret) : is_used(&disks[i], ret))
			return;
	}
	ret[0] = '\0';
}
