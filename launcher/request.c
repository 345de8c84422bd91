/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the request and opening what it names. */
#include "core/launch-request.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "launcher/launcher.h"

static size_t receive_fds(int fds[static LAUNCH_FDS_MAX])
{
	char byte, control[CMSG_SPACE(sizeof(int) * LAUNCH_FDS_MAX)] __attribute__((aligned(sizeof(long))));
	struct msghdr message = {
		.msg_iov = &(struct iovec){.iov_base = &byte, .iov_len = 1},
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(LAUNCH_SOCKET, &message, MSG_CMSG_CLOEXEC);
	if (n < 0)
		die(errno, "no request on descriptor %d: %s", LAUNCH_SOCKET, strerror(errno));
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    (message.msg_flags & MSG_CTRUNC))
		die(EPROTO, "the request came without its descriptors");
	size_t n_fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(header), n_fds * sizeof(int));
	return n_fds;
}

static char *read_text(int fd, size_t *ret_size)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > LAUNCH_REQUEST_MAX)
		die(EPROTO, "the request is empty or too large");
	char *text = xcalloc((size_t)st.st_size + 1, 1);
	if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		die(EIO, "the request could not be read");
	*ret_size = (size_t)st.st_size;
	return text;
}

static int copy_to_memory(int from, const char *path)
{
	struct stat st;
	if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
		die(EINVAL, "'%s' is not a regular file", path);
	int to = memfd_create("weft-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (to < 0)
		die(errno, "memory for '%s': %s", path, strerror(errno));
	for (;;) {
		ssize_t n = sendfile(to, from, NULL, 16 << 20);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die(errno, "copying '%s' into memory: %s", path, strerror(errno));
		if (n == 0)
			break;
	}
	if (lseek(to, 0, SEEK_SET) < 0 ||
	    fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		die(errno, "sealing the copy of '%s': %s", path, strerror(errno));
	close(from);
	return to;
}

static void add_fd(struct request *request, int fd, int target)
{
	if (target < 3 || target > LAUNCH_TARGET_MAX)
		die(EPROTO, "descriptor %d is out of range", target);
	for (size_t i = 0; i < request->n_files; i++)
		if (request->files[i].target == target)
			die(EINVAL, "two files want to be descriptor %d", target);
	grow(request->files, request->n_files, request->cap_files);
	request->files[request->n_files++] = (struct open_file){.fd = fd, .target = target};
}

static void open_file(struct request *request, const char *value)
{
	int target, flags, memfd, at = 0;
	if (sscanf(value, "%d %d %d %n", &target, &flags, &memfd, &at) != 3 || !value[at])
		die(EPROTO, "file '%s' cannot be understood", value);
	const char *path = value + at;
	int fd = open(path, (flags & ~O_CREAT) | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		die(errno, "'%s' cannot be opened: %s", path, strerror(errno));
	add_fd(request, memfd ? copy_to_memory(fd, path) : fd, target);
}

/* On a filesystem that can only be read nobody writes, and there is nothing to lock. */
static bool is_read_only(const char *path)
{
	struct statvfs fs;
	cleanup_free char *dir = xstrdup(path);
	*(strrchr(dir, '/') + 1) = '\0';
	return statvfs(dir, &fs) == 0 && (fs.f_flag & ST_RDONLY);
}

static void lock_file(struct request *request, const char *value)
{
	int target, at = 0;
	unsigned long long byte;
	if (sscanf(value, "%d %llu %n", &target, &byte, &at) != 2 || value[at] != '/')
		die(EPROTO, "lock '%s' cannot be understood", value);
	const char *path = value + at;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	if (fd < 0 && (errno == ENOENT || errno == EROFS) && is_read_only(path))
		return;
	if (fd < 0)
		die(errno, "'%s' cannot be opened: %s", path, strerror(errno));
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0 && (errno == EAGAIN || errno == EACCES))
		die(EBUSY, "'%s' is locked by another process, which uses what it stands for", path);
	add_fd(request, fd, target);
}

static void add_bind(struct request *request, char *value)
{
	char *blank = strchr(value, ' ');
	if (*value != '/' || !blank || blank[1] != '/')
		die(EPROTO, "bind '%s' cannot be understood", value);
	*blank = '\0';
	grow(request->binds, request->n_binds, request->cap_binds);
	request->binds[request->n_binds++] = (struct bind_mount){.to = value, .from = blank + 1};
}

static void take_pair(struct request *request, const char *name, char *value, const int *fds, size_t n_fds)
{
	if (streq(name, "arg")) {
		grow(request->argv, request->n_args + 1, request->cap_args);
		request->argv[request->n_args++] = value;
		request->argv[request->n_args] = NULL;
	} else if (streq(name, "user")) {
		request->user = value;
	} else if (streq(name, "groups")) {
		request->groups = value;
	} else if (streq(name, "log")) {
		request->log = value;
	} else if (streq(name, "net")) {
		request->net = true;
	} else if (streq(name, "bind")) {
		add_bind(request, value);
	} else if (streq(name, "answer")) {
		size_t index = strtoul(value, NULL, 10);
		if (index < 1 || index >= n_fds)
			die(EPROTO, "answer '%s' cannot be understood", value);
		request->answer = fds[index];
		answer_at(request->answer);
	} else if (streq(name, "file")) {
		open_file(request, value);
	} else if (streq(name, "lock")) {
		lock_file(request, value);
	} else if (streq(name, "fd")) {
		int target;
		size_t index;
		if (sscanf(value, "%d %zu", &target, &index) != 2 || index < 1 || index >= n_fds)
			die(EPROTO, "descriptor '%s' cannot be understood", value);
		add_fd(request, fds[index], target);
	} else {
		die(EPROTO, "'%s' is not known to this launcher: daemon and launcher are of different versions", name);
	}
}

void request_read(struct request *request)
{
	int fds[LAUNCH_FDS_MAX];
	size_t n_fds = receive_fds(fds), size;
	request->text = read_text(fds[0], &size);
	close(fds[0]);
	for (char *p = request->text, *end = p + size; p < end;) {
		char *name = p, *value = name + strlen(name) + 1;
		if (value >= end)
			die(EPROTO, "the request ends in the middle");
		p = value + strlen(value) + 1;
		take_pair(request, name, value, fds, n_fds);
	}
	if (!request->n_args)
		die(EPROTO, "the request names no program");
}
