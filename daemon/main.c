/* SPDX-License-Identifier: Apache-2.0 */
/* weftd: options, signals, the parts in their order, readiness and watchdog. What it does is in core/manager.h. */
#include <signal.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "api/api.h"
#include "core/doctor.h"
#include "core/env.h"
#include "core/lane-async.h"
#include "core/lane-fault.h"
#include "core/manager.h"
#include "core/plugin.h"
#include "core/registry.h"
#include "core/unit.h"
#include "daemon/options.h"
#include "guestd/guestd.h"
#include "netd/netd.h"
#include "netd/netlink-lane.h"
#include "stord/stord.h"

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *ctx)
{
	sd_notify(0, "RELOADING=1");
	manager_reload(ctx);
	sd_notify(0, "READY=1");
	return 0;
}

static int add_signals(struct manager *m, struct err *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int r = sd_event_add_signal(env.loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(env.loop, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(env.loop, NULL, SIGHUP, on_hangup, m);
	if (r >= 0)
		r = sd_event_set_watchdog(env.loop, true);
	return r < 0 ? err_errno(err, -r, "prepare signals and watchdog") : 0;
}

/* The netlink lane is its own; every other lane that a class names is of the asynchronous sort. */
static int add_lanes(struct engine *engine, struct err *err)
{
	struct lane *netlink = netd_netlink_lane_new(err);
	if (!netlink)
		return err_wrap(err, "start the netlink lane");
	engine_add_lane(engine, lane_fault_wrap(netlink));
	for (size_t i = 0; class_at(i); i++)
		if (!engine_lane(engine, class_at(i)->lane))
			engine_add_lane(engine, lane_fault_wrap(lane_async_new(class_at(i)->lane)));
	return 0;
}

static int start_parts(struct manager *m, struct err *err)
{
	struct engine *engine = manager_engine(m);
	int r = add_lanes(engine, err);
	if (r == 0)
		r = netd_start(engine, err);
	if (r == 0)
		r = stord_start(engine, err);
	if (r == 0)
		r = guestd_start(engine, err);
	if (r == 0)
		r = manager_start(m, err);
	if (r == 0)
		r = api_start(m, err);
	return r;
}

/* Links, rules, helpers and guests stay as they are. */
static void stop_parts(struct manager *m)
{
	sd_notify(0, "STOPPING=1");
	api_stop();
	guestd_stop();
	stord_stop();
	netd_stop();
	units_stop();
	manager_free(m);
}

static int run(const struct daemon_settings *options, struct err *err)
{
	if (geteuid() != 0)
		return err_set(err, EPERM, "weftd changes links, rules and mounts and has to run as root");
	int r = options->fault ? lane_fault_setup(options->fault, err) : 0;
	if (r == 0)
		r = env_setup(options->root, err);
	if (r < 0)
		return r;
	r = sd_event_default(&env.loop);
	if (r < 0)
		return err_errno(err, -r, "make the event loop");
	registry_init();
	cleanup_free char *plugins = xprintf("%s/plugins", env.libexec_dir);
	plugins_load(plugins);
	struct manager *m = NULL;
	r = manager_new(&m, err);
	if (r == 0)
		r = add_signals(m, err);
	if (r == 0)
		r = start_parts(m, err);
	if (r == 0) {
		sd_notify(0, "READY=1\nSTATUS=serving");
		r = sd_event_loop(env.loop);
		if (r < 0)
			r = err_errno(err, -r, "the event loop has ended");
	}
	stop_parts(m);
	env.loop = sd_event_unref(env.loop);
	return r;
}

/* Changes nothing, and needs no root: what cannot be seen without it is said. */
static int look(const struct daemon_settings *options)
{
	static doctor_area_fn *const areas[] = {guestd_doctor, netd_doctor, stord_doctor};
	env_look(options->root);
	doctor_look(stdout, areas, ARRAY_SIZE(areas));
	return ferror(stdout) ? 1 : 0;
}

/* Changes nothing. */
static int import(const struct daemon_settings *options)
{
	struct err err = {0};
	env_look(options->root);
	registry_init();
	json_t *found = netd_import(&err);
	if (!found) {
		fprintf(stderr, "weftd: %s\n", err.text);
		return 1;
	}
	json_dumpf(found, stdout, JSON_COMPACT);
	json_decref(found);
	return ferror(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct daemon_settings options = {0};
	int r = daemon_options_read(argc, argv, &options);
	if (r != 0)
		return r < 0 ? 2 : 0;
	if (options.doctor)
		return look(&options);
	if (options.import)
		return import(&options);
	struct err err = {0};
	if (run(&options, &err) < 0) {
		fprintf(stderr, "weftd: %s\n", err.text);
		return 1;
	}
	return 0;
}
