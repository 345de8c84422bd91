/* SPDX-License-Identifier: Apache-2.0 */
/* See tap.h. */
#include "guestd/tap.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <linux/if_tun.h>

enum { TAP_FLAGS = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

static int set_iff(int fd, const char *name, int flags)
{
	struct ifreq request = {.ifr_flags = (short)flags};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
}

/* Attaches one descriptor. Taps are multi-queue or not from birth, and only attaching tells which. A name that no tap
 * has would make a new one, which is seen by its not being persistent, and goes with the descriptor. */
static int attach(int fd, const char *name)
{
	struct ifreq seen = {0};
	if (!if_nametoindex(name))
		return -ENODEV;
	int r = set_iff(fd, name, TAP_FLAGS | IFF_MULTI_QUEUE);
	if (r == -EINVAL)
		r = set_iff(fd, name, TAP_FLAGS);
	if (r < 0)
		return r;
	if (ioctl(fd, TUNGETIFF, &seen) < 0)
		return -errno;
	return seen.ifr_flags & IFF_PERSIST ? 0 : -ENODEV;
}

static int attach_error(int r, const char *name, struct err *err)
{
	if (r == -EBUSY)
		return err_set(err, EBUSY, "another program has tap '%s' open", name);
	if (r == -ENODEV)
		return err_set(err, ENODEV, "tap '%s' does not exist", name);
	if (r == -E2BIG)
		return err_set(err, E2BIG, "tap '%s' has no queue left", name);
	return err_errno(err, -r, "attaching to tap '%s'", name);
}

int tap_open(const char *name, uint32_t queues, int *fds, struct err *err)
{
	uint32_t n = 0;
	int r = 0;
	for (; n < queues; n++) {
		fds[n] = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (fds[n] < 0) {
			r = err_errno(err, errno, "open '/dev/net/tun'");
			break;
		}
		r = attach(fds[n], name);
		if (r < 0) {
			r = attach_error(r, name, err);
			n++;
			break;
		}
	}
	while (r < 0 && n)
		close(fds[--n]);
	return r;
}

/* /proc/PID/fdinfo/FD of a tun descriptor has "iff:\tweb.0", without a name when it is attached to none. */
int tap_attached(const struct process_id *id, int fd, const char *name, bool *ret)
{
	char path[64], want[IFNAMSIZ + 8];
	cleanup_free char *text = NULL;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", id->pid, fd);
	int r = file_read(path, 4096, &text, NULL);
	if (r < 0)
		return r;
	const char *line = strstr(text, "iff:\t");
	if (!line)
		return -EBADF;
	int len = snprintf(want, sizeof(want), "iff:\t%s", name);
	*ret = strncmp(line, want, (size_t)len) == 0 && (line[len] == '\n' || !line[len]);
	return 0;
}

static int attach_one(int pidfd, int number, const char *name, const struct tap_modes *modes, struct err *err)
{
	cleanup_close int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		return err_errno(err, errno, "taking QEMU's descriptor of tap '%s'", name);
	int r = attach(fd, name);
	if (r < 0)
		return attach_error(r, name, err);
	if (ioctl(fd, TUNSETVNETHDRSZ, &modes->header) < 0)
		return err_errno(err, errno, "setting the header size of tap '%s'", name);
	if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)modes->offloads) < 0)
		return err_errno(err, errno, "setting the offloads of tap '%s'", name);
	return 0;
}

int tap_attach(const char *name, const struct tap_attachment *to, struct err *err)
{
	const struct process_id *id = &to->id;
	cleanup_close int pidfd = process_open(id);
	if (pidfd < 0)
		return err_set(err, ESRCH, "QEMU (pid %d) has ended", id->pid);
	for (size_t i = 0; i < to->n_fds; i++) {
		bool attached = false;
		int r = tap_attached(id, to->fds[i], name, &attached);
		if (r < 0)
			return err_errno(err, -r, "looking at descriptor %d of QEMU (pid %d)", to->fds[i], id->pid);
		if (!attached && (r = attach_one(pidfd, to->fds[i], name, &to->modes, err)) < 0)
			return r;
	}
	return 0;
}
