/* SPDX-License-Identifier: Apache-2.0 */
/* Files that come and go in pools, by inotify. Events only mark dirty; what has happened is seen by looking. Our own
 * temporary and mark files begin with a dot and are passed over. */
#include <systemd/sd-event.h>

#include "core/engine.h"
#include "core/env.h"
#include "core/watch.h"
#include "stord/stord.h"

struct watch {
	char *pool, *path;
	char *awaited; /* it is path's parent that is watched, for this to come; else NULL */
	struct engine *engine;
	sd_event_source *source;
	struct watch *next;
};
static struct watch *watches;

static void watch_free(struct watch *watch)
{
	sd_event_source_disable_unref(watch->source);
	free(watch->pool);
	free(watch->path);
	free(watch->awaited);
	free(watch);
}

void unwatch_pool(const char *pool)
{
	for (struct watch **at = &watches; *at; at = &(*at)->next) {
		struct watch *watch = *at;
		if (!streq(watch->pool, pool))
			continue;
		*at = watch->next;
		watch_free(watch);
		return;
	}
}

/* "web.qcow2" in pool "local" is volume/local/web. */
static void mark_file(const struct watch *watch, const char *file)
{
	const char *dot = strrchr(file, '.');
	if (file[0] == '.' || !dot)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(image_formats); i++) {
		if (!streq(dot + 1, image_formats[i]))
			continue;
		cleanup_free char *key = xprintf("%s/%.*s", watch->pool, (int)(dot - file), file);
		engine_dirty(watch->engine, "volume", key);
	}
}

static void mark_all(struct engine *engine)
{
	engine_dirty(engine, "pool", NULL);
	engine_dirty(engine, "volume", NULL);
}

static int on_event(sd_event_source *source, const struct inotify_event *event, void *ctx)
{
	struct watch *watch = ctx;
	bool all = event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED);
	if (!all) {
		if (event->len && watch->awaited && streq(event->name, watch->awaited))
			mark_all(watch->engine);
		else if (event->len && !watch->awaited)
			mark_file(watch, event->name);
		return 0;
	}
	struct engine *engine = watch->engine;
	if (!(event->mask & IN_Q_OVERFLOW))
		unwatch_pool(watch->pool); /* made again when the pool is looked at */
	mark_all(engine);
	return 0;
}

static void watch_directory(struct watch *watch, const char *path)
{
	/* Without a watch (too many of them, or the directory has just gone) the class's period is what is left. */
	if (sd_event_add_inotify(env.loop, &watch->source, path, WATCH_NAMES | IN_ONLYDIR, on_event, watch) < 0) {
		watch_free(watch);
		return;
	}
	watch->next = watches;
	watches = watch;
}

/* NULL if that is watched already, or nothing can be. */
static struct watch *watch_new(struct engine *engine, const char *pool, const char *path, const char *awaited)
{
	for (struct watch *watch = watches; watch; watch = watch->next)
		if (streq(watch->pool, pool) && streq(watch->path, path) && streq(watch->awaited, awaited))
			return NULL;
	unwatch_pool(pool);
	if (!env.loop)
		return NULL;
	struct watch *watch = xcalloc(1, sizeof(*watch));
	*watch = (struct watch){.pool = xstrdup(pool),
				.path = xstrdup(path),
				.awaited = awaited ? xstrdup(awaited) : NULL,
				.engine = engine};
	return watch;
}

void watch_pool(struct engine *engine, const char *pool, const char *path)
{
	struct watch *watch = watch_new(engine, pool, path, NULL);
	if (watch)
		watch_directory(watch, path);
}

void watch_for_pool(struct engine *engine, const char *pool, const char *path)
{
	cleanup_free char *parent = xstrdup(path);
	char *slash = strrchr(parent, '/');
	*slash = '\0';
	struct watch *watch = watch_new(engine, pool, path, slash + 1);
	if (watch)
		watch_directory(watch, *parent ? parent : "/");
}

void watch_stop(void)
{
	while (watches)
		unwatch_pool(watches->pool);
}
