/* SPDX-License-Identifier: Apache-2.0 */
/* What `weft doctor` says of this host as one for guests: acceleration, devices, QEMU, and the users it runs as. */
#include <dirent.h>
#include <grp.h>
#include <pwd.h>

#include "core/doctor.h"
#include "core/env.h"
#include "guestd/guestd.h"
#include "guestd/host.h"

static void look_at_processor(struct doctor *d)
{
	const char *extension = host_cpu_extension();
	if (extension)
		doctor_find(d, FINDING_OK, "processor", NULL, "it has %s", extension);
	else
		doctor_find(d, FINDING_WARN, "processor",
			    "turn on Intel VT-x or AMD-V (SVM) in the firmware; in a virtual machine, have its host "
			    "allow nested virtualization",
			    "/proc/cpuinfo shows neither vmx nor svm: guests run without KVM, many times slower");
}

static void look_at_kvm(struct doctor *d)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *reason = NULL;
	const char *remedy = "modprobe kvm_intel or kvm_amd; until then guests run by emulation (TCG)";
	if (host_kvm(arena, &reason)) {
		doctor_find(d, FINDING_OK, "/dev/kvm", NULL, "%s", reason);
		return;
	}
	if (access("/dev/kvm", F_OK) == 0 && !host_cpu_extension())
		remedy = "the node alone does nothing: see 'processor'; until then guests run by emulation (TCG)";
	else if (access("/dev/kvm", R_OK | W_OK) < 0 && errno == EACCES && geteuid() != 0)
		remedy = "ask as root, who alone can see whether it works";
	else if (access("/dev/kvm", F_OK) == 0)
		remedy = "chgrp kvm /dev/kvm && chmod 0660 /dev/kvm; a rule of udev's makes that last";
	doctor_find(d, FINDING_WARN, "/dev/kvm", remedy, "%s", reason);
}

static void look_at_vhost(struct doctor *d)
{
	if (host_vhost_net())
		doctor_find(d, FINDING_OK, "/dev/vhost-net", NULL,
			    "it opens: guests' frames need not pass through QEMU");
	else
		doctor_find(d, FINDING_WARN, "/dev/vhost-net", "modprobe vhost_net",
			    "open '/dev/vhost-net': %s; guests' frames pass through QEMU, which is slower",
			    strerror(errno));
}

static void look_at_iommu(struct doctor *d)
{
	DIR *dir = opendir("/sys/kernel/iommu_groups");
	size_t n = 0;
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	if (n)
		doctor_find(d, FINDING_OK, "IOMMU", NULL, "%zu groups of devices", n);
	else
		doctor_find(d, FINDING_WARN, "IOMMU",
			    "turn on VT-d or AMD-Vi in the firmware and boot with intel_iommu=on (Intel); nothing else "
			    "needs it",
			    "there is none: devices of this host cannot be handed to guests");
}

static void look_at_user(struct doctor *d)
{
	const struct passwd *user = getpwnam("weft-qemu");
	if (!user)
		doctor_find(d, FINDING_BAD, "user weft-qemu",
			    "scripts/setup makes it, or: useradd --system --user-group --no-create-home --shell "
			    "/usr/sbin/nologin weft-qemu",
			    "there is no such user: QEMU, which must not be root, cannot be started");
	else if (user->pw_uid == 0)
		doctor_find(d, FINDING_BAD, "user weft-qemu", "give it a user id of its own", "it has root's user id");
	else
		doctor_find(d, FINDING_OK, "user weft-qemu", NULL, "user id %u", user->pw_uid);
}

static void look_at_group(struct doctor *d, const char *name, const char *may)
{
	cleanup_free char *title = xprintf("group %s", name), *remedy = xprintf("groupadd --system %s", name);
	const struct group *group = getgrnam(name);
	if (!group) {
		doctor_find(d, FINDING_WARN, title, remedy, "there is none: only root can %s", may);
		return;
	}
	size_t n = 0;
	while (group->gr_mem[n])
		n++;
	doctor_find(d, FINDING_OK, title, NULL, "%zu member%s may %s", n, n == 1 ? "" : "s", may);
}

static void look_at_launcher(struct doctor *d)
{
	cleanup_free char *path = xprintf("%s/weft-launch", env.libexec_dir);
	if (access(path, X_OK) == 0)
		doctor_find(d, FINDING_OK, "weft-launch", NULL, "%s", path);
	else
		doctor_find(d, FINDING_BAD, "weft-launch", "install weft as a whole: cmake --install",
			    "%s: %s; neither guests nor DHCP servers can be started", path, strerror(errno));
}

static void look_at_qemu(struct doctor *d)
{
	const char *program = host_qemu();
	cleanup_free char *out = NULL;
	char version[64];
	if (!program)
		doctor_find(d, FINDING_BAD, "qemu-system-x86_64", "install it: apt install qemu-system-x86",
			    "it is not installed; no guest can be started");
	else if (doctor_run((const char *const[]){program, "--version", NULL}, &out) == 0 &&
		 doctor_version(out, version))
		doctor_find(d, FINDING_OK, "qemu-system-x86_64", NULL, "version %s", version);
	else
		doctor_find(d, FINDING_BAD, "qemu-system-x86_64",
			    "see what is wrong with it, or install it anew: apt install qemu-system-x86",
			    "%s --version fails: %.*s", program, (int)strcspn(out ? out : "", "\n"), out ? out : "");
}

void guestd_doctor(struct doctor *d)
{
	d->area = "guests";
	look_at_processor(d);
	look_at_kvm(d);
	look_at_vhost(d);
	look_at_iommu(d);
	look_at_qemu(d);
	look_at_launcher(d);
	look_at_user(d);
	look_at_group(d, "weft", "use weft");
	look_at_group(d, "weft-view", "look at it");
}
