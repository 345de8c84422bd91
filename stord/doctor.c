/* SPDX-License-Identifier: Apache-2.0 */
/* What `weft doctor` says of storage: the tool that makes images, room where weft keeps its state, what keeps the names
 * and paths of Luns, and what pools in Ceph clusters want. */
#include <sys/statvfs.h>

#include "core/doctor.h"
#include "core/env.h"
#include "stord/ceph.h"
#include "stord/image-internal.h"
#include "stord/multipath.h"
#include "stord/stord.h"

enum { LITTLE_MIB = 512, FULL_PERCENT = 98 };

static const struct doctor_program programs[] = {
	{"qemu-img", "--version", "qemu-utils", "volumes are made with it", FINDING_BAD},
};

/* In a child, as the directory may be on a server that is away. Exits with 0 for room enough, 1 for too little, 2 for
 * none to see. */
static int look_at_room(const void *path)
{
	struct statvfs fs;
	if (statvfs(path, &fs) < 0)
		return 2;
	uint64_t mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
	return mib < LITTLE_MIB || (fs.f_blocks && (fs.f_blocks - fs.f_bavail) * 100 / fs.f_blocks >= FULL_PERCENT);
}

static void look_at_state(struct doctor *d)
{
	char room[32] = "";
	struct statvfs fs;
	if (access(env.state_dir, F_OK) < 0 && errno == ENOENT) {
		doctor_find(d, FINDING_OK, "state directory", NULL, "%s is not there yet; weftd makes it",
			    env.state_dir);
		return;
	}
	int r = doctor_try(look_at_room, env.state_dir);
	if (r == -ETIMEDOUT) {
		doctor_find(d, FINDING_BAD, "state directory", "keep it on a disk of this host", "%s does not answer",
			    env.state_dir);
		return;
	}
	if (r >= 2 || r < 0 || statvfs(env.state_dir, &fs) < 0) {
		doctor_find(d, FINDING_WARN, "state directory", "ask as root", "%s cannot be looked at", env.state_dir);
		return;
	}
	tool_size_text((uint64_t)fs.f_bavail * fs.f_frsize, room);
	if (r == 1)
		doctor_find(d, FINDING_WARN, "state directory",
			    "free some space: a full disk stops changes, and guests that write", "%s has only %s free",
			    env.state_dir, room);
	else
		doctor_find(d, FINDING_OK, "state directory", NULL, "%s, %s free", env.state_dir, room);
}

static int ask_multipathd(const void *ctx)
{
	cleanup_free char *answer = NULL;
	int fault = multipathd_ask("show daemon", &answer);
	return fault == ECONNREFUSED ? 1 : fault ? 2 : 0;
}

/* Disks with several paths and one name want udev, and multipathd. */
static void look_at_luns(struct doctor *d)
{
	char path[PATH_MAX];
	if (access("/run/udev/control", F_OK) < 0)
		doctor_find(d, FINDING_WARN, "udev", "install udev (package udev), or apply Luns only where it runs",
			    "udev does not run: names of Luns are made by weftd alone, and are missing until it runs");
	else
		doctor_find(d, FINDING_OK, "udev", NULL, "keeps the names of Luns");
	if (!doctor_program("multipathd", path)) {
		doctor_find(d, FINDING_WARN, "multipathd", "apt install multipath-tools",
			    "multipathd is not installed: Luns have one path only");
		return;
	}
	int r = doctor_try(ask_multipathd, NULL);
	if (r == 0)
		doctor_find(d, FINDING_OK, "multipathd", NULL, "answers");
	else if (r == 1)
		doctor_find(d, FINDING_WARN, "multipathd", "systemctl enable --now multipathd",
			    "multipathd does not run: Luns have one path only");
	else
		doctor_find(d, FINDING_BAD, "multipathd", "systemctl restart multipathd; running maps stay",
			    "multipathd does not answer: no path that fails comes back");
}

/* Ceph's libraries are not weftd's own, so that a child has to look. */
static int load_ceph(const void *ctx)
{
	return ceph_missing() ? 1 : 0;
}

static void look_at_ceph(struct doctor *d)
{
	const char *argv[] = {"qemu-img", "info", "--image-opts", "driver=rbd", NULL};
	cleanup_free char *said = NULL;
	if (doctor_try(load_ceph, NULL) != 0) {
		doctor_find(d, FINDING_WARN, "Ceph", "apt install librbd1 qemu-block-extra, if there are to be any",
			    "its libraries are not installed: no Pools of type rbd");
		return;
	}
	/* One with the driver complains of what it was not told. */
	if (doctor_run(argv, &said) < 0 || !said || strstr(said, "Unknown driver"))
		doctor_find(d, FINDING_WARN, "Ceph", "apt install qemu-block-extra",
			    "QEMU has no driver for it: guests cannot use volumes in Pools of type rbd");
	else
		doctor_find(d, FINDING_OK, "Ceph", NULL, "its libraries and QEMU's driver for it are there");
}

void stord_doctor(struct doctor *d)
{
	d->area = "storage";
	doctor_programs(d, programs, ARRAY_SIZE(programs));
	stord_doctor_iscsi(d);
	stord_doctor_lvm(d);
	look_at_state(d);
	look_at_luns(d);
	look_at_ceph(d);
}
