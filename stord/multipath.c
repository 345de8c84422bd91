/* SPDX-License-Identifier: Apache-2.0 */
/* See multipath.h. multipathd speaks over an abstract socket: a size (of the machine's word), then as many bytes, in
 * both directions. The kernel is asked by the ioctl that `dmsetup status --noflush` uses. */
#include "stord/multipath.h"

#include <fcntl.h>
#include <jansson.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>

#include "stord/image.h"

enum { ANSWER_MS = 1500, ANSWER_MAX = 64 << 20, STATUS_MAX = 64 << 10 };

static const char socket_name[] = "/org/kernel/linux/storage/multipathd";

static int connect_to_daemon(void)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX}; /* a name that begins with NUL is abstract */
	struct timeval patience = {.tv_sec = ANSWER_MS / 1000, .tv_usec = ANSWER_MS % 1000 * 1000};
	memcpy(address.sun_path + 1, socket_name, strlen(socket_name));
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(socket_name));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (struct sockaddr *)&address, size) < 0)
		return -errno;
	return take_fd(&fd);
}

static int receive(int fd, void *data, size_t size)
{
	for (size_t n = 0; n < size;) {
		ssize_t got = recv(fd, (char *)data + n, size - n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 ? ECONNRESET : errno == EAGAIN ? ETIMEDOUT : errno;
		n += (size_t)got;
	}
	return 0;
}

int multipathd_ask(const char *command, char **ret)
{
	cleanup_close int fd = connect_to_daemon();
	cleanup_free char *answer = NULL;
	size_t size = strlen(command) + 1;
	*ret = NULL;
	if (fd < 0)
		return fd == -EAGAIN ? ETIMEDOUT : -fd; /* its queue of callers is full: it takes none */
	if (send(fd, &size, sizeof(size), MSG_NOSIGNAL) != (ssize_t)sizeof(size) ||
	    send(fd, command, size, MSG_NOSIGNAL) != (ssize_t)size)
		return errno == EAGAIN ? ETIMEDOUT : errno;
	int code = receive(fd, &size, sizeof(size));
	if (code)
		return code;
	if (size > ANSWER_MAX)
		return EPROTO;
	answer = xcalloc(size + 1, 1);
	code = receive(fd, answer, size);
	if (!code && streq(answer, "timeout\n"))
		code = ETIMEDOUT;
	if (!code)
		*ret = take_ptr(answer);
	return code;
}

/* multipath -f weft-data */
static int flush_without_daemon(const char *map)
{
	const char *const argv[] = {"multipath", "-f", map, NULL};
	return run_program(argv, NULL, NULL) == 0 ? 0 : EBUSY;
}

int map_flush(const char *map)
{
	cleanup_free char *command = xprintf("del map %s", map), *answer = NULL;
	int fault = multipathd_ask(command, &answer);
	if (fault == ECONNREFUSED)
		return flush_without_daemon(map);
	return fault ? fault : str_starts(answer, "ok") ? 0 : EBUSY;
}

const char *multipathd_fault_text(int fault)
{
	if (fault == ETIMEDOUT)
		return "multipathd does not answer; see systemctl status multipathd";
	if (fault == ECONNREFUSED)
		return "multipathd does not run, or not where weftd reaches it; start it with systemctl start "
		       "multipathd";
	return "multipathd cannot be asked; see systemctl status multipathd";
}

/* ---- the kernel's side ---- */

enum path_use map_status_of(const char *status, unsigned major, unsigned minor)
{
	char number[32];
	int len = snprintf(number, sizeof(number), " %u:%u ", major, minor);
	const char *at = strstr(status, number);
	if (!at)
		return PATH_UNKNOWN;
	return at[len] == 'A' ? PATH_USED : at[len] == 'F' ? PATH_FAILED : PATH_UNKNOWN;
}

/* `buf` begins as the question and ends as the answer. NULL if there is none. */
static const char *read_status(int control, const char *map, void *buf)
{
	struct dm_ioctl *io = buf;
	memset(io, 0, sizeof(*io));
	io->version[0] = DM_VERSION_MAJOR;
	io->data_size = STATUS_MAX;
	io->data_start = sizeof(*io);
	io->flags = DM_NOFLUSH_FLAG; /* otherwise it would wait for what is under way */
	snprintf(io->name, sizeof(io->name), "%s", map);
	if (ioctl(control, DM_TABLE_STATUS, io) < 0 || (io->flags & DM_BUFFER_FULL_FLAG) || io->target_count != 1)
		return NULL;
	const struct dm_target_spec *target = (const void *)((const char *)buf + io->data_start);
	return streq(target->target_type, "multipath") ? (const char *)(target + 1) : NULL;
}

static void add_paths(struct map_states *states, const struct scsi_disk *map, const char *status,
		      const struct scsi_disk *disks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (disks[i].map[0] || !streq(disks[i].holder, map->name))
			continue;
		grow(states->paths, states->n_paths, states->cap_paths);
		struct map_path *path = &states->paths[states->n_paths++];
		*path = (struct map_path){
			.failed = status &&
				  map_status_of(status, major(disks[i].device), minor(disks[i].device)) == PATH_FAILED,
		};
		strcpy(path->map, map->name);
		strcpy(path->disk, disks[i].name);
	}
}

void map_states_read(const struct scsi_disk *disks, size_t n, struct map_states *ret)
{
	cleanup_close int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	cleanup_free void *buf = xcalloc(STATUS_MAX, 1);
	cleanup_free char *json = NULL;
	bool any = false;
	*ret = (struct map_states){0};
	for (size_t i = 0; i < n; i++)
		if (disks[i].map[0]) {
			any = true;
			add_paths(ret, &disks[i], control < 0 ? NULL : read_status(control, disks[i].map, buf), disks,
				  n);
		}
	if (!any)
		return;
	ret->fault = multipathd_ask("show maps json", &json);
	if (!ret->fault && !map_states_take(ret, json))
		ret->fault = EPROTO;
}

/* ---- multipathd's side ---- */

static struct map_path *path_of(struct map_states *states, const char *disk)
{
	for (size_t i = 0; i < states->n_paths; i++)
		if (streq(states->paths[i].disk, disk))
			return &states->paths[i];
	return NULL;
}

static void take_group(struct map_states *states, const json_t *group)
{
	const json_t *path;
	size_t i;
	json_array_foreach(json_object_get(group, "paths"), i, path) {
		const char *disk = json_string_value(json_object_get(path, "dev"));
		const char *checker = json_string_value(json_object_get(path, "chk_st"));
		struct map_path *known = disk && checker ? path_of(states, disk) : NULL;
		if (known)
			snprintf(known->checker, sizeof(known->checker), "%s", checker);
	}
}

static void take_policy(struct map_states *states, const json_t *map, const json_t *group)
{
	const char *name = json_string_value(json_object_get(map, "sysfs"));
	const char *policy = json_string_value(json_object_get(group, "selector"));
	const char *queueing = json_string_value(json_object_get(map, "queueing"));
	if (!name || !policy || !queueing)
		return;
	grow(states->maps, states->n_maps, states->cap_maps);
	struct map_policy *ret = &states->maps[states->n_maps++];
	snprintf(ret->map, sizeof(ret->map), "%s", name);
	snprintf(ret->policy, sizeof(ret->policy), "%s", policy);
	snprintf(ret->queueing, sizeof(ret->queueing), "%s", queueing);
}

bool map_states_take(struct map_states *states, const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	const json_t *maps = json_object_get(json, "maps"), *map, *group;
	bool is_that = json_is_array(maps);
	size_t i, k;
	json_array_foreach(maps, i, map) {
		json_array_foreach(json_object_get(map, "path_groups"), k, group) {
			take_group(states, group);
			if (k == 0)
				take_policy(states, map, group);
		}
	}
	json_decref(json);
	return is_that;
}

void map_states_done(struct map_states *states)
{
	free(states->paths);
	free(states->maps);
	*states = (struct map_states){0};
}
