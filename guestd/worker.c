/* SPDX-License-Identifier: Apache-2.0 */
/* See worker.h. A thread a job: there are few, and they are short. */
#include "guestd/worker.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include <systemd/sd-event.h>

#include "core/env.h"

struct job {
	void (*work)(void *ctx);
	void (*done)(void *ctx);
	void *ctx;
	int fd; /* an eventfd: the thread's last word */
	sd_event_source *source;
};

static void *run(void *arg)
{
	struct job *job = arg;
	job->work(job->ctx);
	while (eventfd_write(job->fd, 1) < 0 && errno == EINTR)
		;
	return NULL;
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct job *job = arg;
	sd_event_source_disable_unref(job->source);
	close(job->fd);
	job->done(job->ctx);
	free(job);
	return 0;
}

void worker_run(void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
	struct job *job = xcalloc(1, sizeof(*job));
	pthread_attr_t attributes;
	pthread_t thread;
	*job = (struct job){.work = work, .done = done, .ctx = ctx, .fd = eventfd(0, EFD_CLOEXEC)};
	if (job->fd >= 0 && sd_event_add_io(env.loop, &job->source, job->fd, EPOLLIN, on_done, job) >= 0) {
		pthread_attr_init(&attributes);
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		int r = pthread_create(&thread, &attributes, run, job);
		pthread_attr_destroy(&attributes);
		if (r == 0)
			return;
	}
	sd_event_source_disable_unref(job->source);
	if (job->fd >= 0)
		close(job->fd);
	free(job);
	work(ctx);
	done(ctx);
}
