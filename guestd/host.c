/* SPDX-License-Identifier: Apache-2.0 */
/* See host.h. A device node alone proves nothing: KVM is used where its node opens, the processor has the extension,
 * and a machine can be made. */
#include "guestd/host.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <linux/kvm.h>

#include "core/lower.h"

static const char *const programs[] = {"/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64",
				       "/usr/libexec/qemu-kvm"};

const char *host_qemu(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (access(programs[i], X_OK) == 0)
			return programs[i];
	return NULL;
}

const char *host_cpu_extension(void)
{
	cleanup_fclose FILE *file = fopen("/proc/cpuinfo", "re");
	char line[8192];
	while (file && fgets(line, sizeof(line), file))
		if (str_starts(line, "flags"))
			return strstr(line, " vmx") ? "vmx" : strstr(line, " svm") ? "svm" : NULL;
	return NULL;
}

/* QEMU opens the node itself, as its own user with the group kvm. */
static bool open_to_qemu(int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return false;
	if ((st.st_mode & 0006) == 0006)
		return true;
	const struct group *group = getgrnam("kvm");
	return (st.st_mode & 0060) == 0060 && group && group->gr_gid == st.st_gid;
}

bool host_kvm(struct arena *arena, const char **ret_reason)
{
	cleanup_close int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		*ret_reason = arena_printf(arena, "KVM cannot be used: open '/dev/kvm': %s", strerror(errno));
		return false;
	}
	if (!host_cpu_extension()) {
		*ret_reason = "KVM cannot be used: the processor shows neither vmx nor svm";
		return false;
	}
	cleanup_close int vm = ioctl(fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION ? ioctl(fd, KVM_CREATE_VM, 0) : -1;
	if (vm < 0) {
		*ret_reason = arena_printf(arena, "KVM cannot be used: it makes no machine: %s", strerror(errno));
		return false;
	}
	if (!open_to_qemu(fd)) {
		*ret_reason = "KVM cannot be used: /dev/kvm is not open to the group kvm";
		return false;
	}
	*ret_reason = "KVM works";
	return true;
}

bool host_vhost_net(void)
{
	cleanup_close int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	return fd >= 0;
}

static int answer_fact(void *ctx, const char *key, char **ret)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *text = NULL, *reason = NULL;
	if (streq(key, "kvm/usable"))
		text = host_kvm(arena, &reason) ? "true" : "false";
	else if (streq(key, "kvm/reason"))
		host_kvm(arena, &text);
	else if (streq(key, "vhost-net/usable"))
		text = host_vhost_net() ? "true" : "false";
	else if (streq(key, "qemu/program"))
		text = host_qemu();
	if (!text)
		return -ENOENT;
	*ret = xstrdup(text);
	return 0;
}

void host_facts_register(void)
{
	fact_register("kvm/", answer_fact, NULL);
	fact_register("vhost-net/", answer_fact, NULL);
	fact_register("qemu/", answer_fact, NULL);
}
