/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says on its console goes into a file that QEMU appends to. A guest that talks without end must not fill
 * the host: past a bound, all but the last part is dropped. */
#include "guestd/instance.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <systemd/sd-event.h>

#include "core/env.h"

enum { LOG_MAX = 1 << 20, LOG_KEPT = 256 << 10, LOOK_EVERY_MS = 2000 };

/* QEMU's descriptor is in append mode, so it goes on at the new end; what it says in between may come before what is
 * kept. */
static void trim(const char *path)
{
	cleanup_close int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= LOG_MAX)
		return;
	cleanup_free char *kept = xcalloc(LOG_KEPT, 1);
	ssize_t n = pread(fd, kept, LOG_KEPT, st.st_size - LOG_KEPT);
	if (ftruncate(fd, 0) < 0 || n <= 0)
		return;
	const char *line = memchr(kept, '\n', (size_t)n);
	const char *from = line ? line + 1 : kept;
	if (write(fd, from, (size_t)(kept + n - from)) < 0)
		return; /* the file system is full: less is kept */
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *ctx)
{
	console_log_watch(ctx);
	return 0;
}

/* Not looked at again for a while. sd_event_source_set_ratelimit() would do that, but of inotify it keeps the event it
 * holds back in a buffer that all watches share: the loop spins, and nobody else hears of anything. */
static int on_change(sd_event_source *source, const struct inotify_event *event, void *ctx)
{
	struct instance *instance = ctx;
	instance->log_watch = sd_event_source_disable_unref(instance->log_watch);
	if (sd_event_add_time_relative(env.loop, &instance->log_watch, CLOCK_MONOTONIC, (uint64_t)LOOK_EVERY_MS * 1000,
				       0, on_pause_over, instance) < 0)
		abort(); /* out of memory */
	return 0;
}

void console_log_watch(struct instance *instance)
{
	cleanup_free char *path = guest_path(instance->name, "console.log");
	instance->log_watch = sd_event_source_disable_unref(instance->log_watch);
	trim(path);
	/* Without a watch the log grows; the guest matters more. */
	sd_event_add_inotify(env.loop, &instance->log_watch, path, IN_MODIFY, on_change, instance);
}
