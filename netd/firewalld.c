/* SPDX-License-Identifier: Apache-2.0 */
/* The class `firewalld-zone`: a bridge is in a zone of firewalld that lets guests through, where firewalld runs; its
 * own drops would win over any ACCEPT of ours. Membership is of firewalld's runtime, so it is told again after a reload
 * or restart, which the bus announces. Without firewalld, what is wanted counts as there. A zone that somebody chose
 * for the bridge is left alone. */
#include <sys/stat.h>
#include <systemd/sd-bus.h>

#include "core/env.h"
#include "core/lane-async.h"
#include "netd/firewall-backend.h"
#include "netd/firewall.h"

#define FIREWALLD      "org.fedoraproject.FirewallD1"
#define FIREWALLD_PATH "/org/fedoraproject/FirewallD1"
#define FIREWALLD_ZONE "org.fedoraproject.FirewallD1.zone"
#define BUS            "org.freedesktop.DBus"

enum { CALL_USEC = 10 * 1000 * 1000, ZONE_MAX = 64 };

/* The zones that do, best first: ours if it is installed (integration/firewalld), libvirt's which is like it, and the
 * one that every firewalld has. */
static const char *const good_zones[] = {"weft", "libvirt", "trusted"};

struct zone_spec {
	uint64_t present;
	const char *zone;
};
static const struct field zone_rows[] = {
	F_STRING("zone", struct zone_spec, zone, .flags = FIELD_STATUS, .doc = "Zone of the bridge."),
};
static const struct table zone_table = TABLE("firewalld-zone", struct zone_spec, zone_rows);

/* One operation on its way through the calls. */
struct job {
	struct job *next, **at;
	struct op *op;
	char zone[ZONE_MAX], default_zone[ZONE_MAX];
	bool changed; /* the call that changes it was made */
	void (*answered)(struct job *job, sd_bus_message *reply);
};

static struct {
	sd_bus *bus;
	firewall_changed_fn *changed;
	void *ctx;
	struct job *jobs;
} firewalld;

static void ask_zone(struct job *job);

static struct op *job_end(struct job *job)
{
	struct op *op = job->op;
	*job->at = job->next;
	if (job->next)
		job->next->at = job->at;
	free(job);
	return op;
}

static void fail_job(struct job *job, int code, const char *what)
{
	op_fail(job_end(job), code, "firewalld: %s", what);
}

/* There is no firewalld, or none that concerns this network: what is wanted is there, what is leaving has gone. */
static void end_without(struct job *job, const char *note)
{
	struct op *op = job_end(job);
	observation_begin(&op->obs, op->class, op->want);
	op->obs.owner = OWNER_OURS;
	op->obs.note = note;
	op_complete(op);
}

static bool is_good(const char *zone)
{
	for (size_t i = 0; i < ARRAY_SIZE(good_zones); i++)
		if (streq(zone, good_zones[i]))
			return true;
	return false;
}

/* Nobody's choice: no zone, or the one where everything is that nobody put anywhere. */
static bool is_unchosen(const struct job *job)
{
	return !*job->zone || (!is_good(job->zone) && streq(job->zone, job->default_zone));
}

static void end_seen(struct job *job)
{
	bool good = is_good(job->zone), chosen = !is_unchosen(job) && !good;
	char zone[ZONE_MAX];
	memcpy(zone, job->zone, sizeof(zone));
	struct op *op = job_end(job);
	struct zone_spec *seen = observation_begin(&op->obs, op->class, good || (chosen && op->want));
	op->obs.owner = OWNER_OURS;
	if (*zone) {
		seen->present = 1;
		seen->zone = arena_strdup(op->obs.arena, zone);
	}
	if (chosen)
		op->obs.note = arena_printf(
			op->obs.arena, "somebody put %s into firewalld's zone '%s'; it is left there", op->key, zone);
	op_complete(op);
}

static bool is_absent(const sd_bus_error *error)
{
	return sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.NameHasNoOwner") ||
	       sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.ServiceUnknown");
}

static int on_reply(sd_bus_message *reply, void *ctx, sd_bus_error *unused)
{
	struct job *job = ctx;
	const sd_bus_error *error = sd_bus_message_get_error(reply);
	if (!error)
		job->answered(job, reply);
	else if (is_absent(error))
		end_without(job, NULL);
	else
		fail_job(job, EIO, error->message ? error->message : error->name);
	return 0;
}

/* Calls without starting firewalld for it; all arguments are strings. */
static void call(struct job *job, const char *interface, const char *member, const char *a, const char *b)
{
	sd_bus_message *message = NULL;
	bool bus = streq(interface, BUS);
	int r = sd_bus_message_new_method_call(firewalld.bus, &message, bus ? BUS : FIREWALLD,
					       bus ? "/org/freedesktop/DBus" : FIREWALLD_PATH, interface, member);
	if (r >= 0)
		r = sd_bus_message_set_auto_start(message, false);
	if (r >= 0 && a)
		r = sd_bus_message_append(message, "s", a);
	if (r >= 0 && b)
		r = sd_bus_message_append(message, "s", b);
	if (r >= 0)
		r = sd_bus_call_async(firewalld.bus, NULL, message, on_reply, job, CALL_USEC);
	sd_bus_message_unref(message);
	if (r < 0)
		fail_job(job, -r, strerror(-r));
}

static void on_changed(struct job *job, sd_bus_message *reply)
{
	ask_zone(job);
}

static void on_zones(struct job *job, sd_bus_message *reply)
{
	char **zones = NULL;
	const char *best = NULL;
	int r = sd_bus_message_read_strv(reply, &zones);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(good_zones) && !best; i++)
		for (char **zone = zones; zone && *zone; zone++)
			if (streq(*zone, good_zones[i]))
				best = good_zones[i];
	for (char **zone = zones; zone && *zone; zone++)
		free(*zone);
	free(zones);
	if (!best) {
		fail_job(job, ENOENT,
			 "it has none of the zones weft, libvirt and trusted; install integration/firewalld/weft.xml");
		return;
	}
	job->changed = true;
	job->answered = on_changed;
	call(job, FIREWALLD_ZONE, "changeZoneOfInterface", best, job->op->key);
}

/* All is known: change it, or say what it is. */
static void decide(struct job *job)
{
	if (!job->changed && job->op->verb == OP_CREATE && is_unchosen(job)) {
		job->answered = on_zones;
		call(job, FIREWALLD_ZONE, "getZones", NULL, NULL);
	} else if (!job->changed && job->op->verb == OP_REMOVE && is_good(job->zone)) {
		job->changed = true;
		job->answered = on_changed;
		call(job, FIREWALLD_ZONE, "removeInterface", job->zone, job->op->key);
	} else {
		end_seen(job);
	}
}

static bool read_name(sd_bus_message *reply, char to[static ZONE_MAX])
{
	const char *text;
	if (sd_bus_message_read(reply, "s", &text) < 0)
		return false;
	snprintf(to, ZONE_MAX, "%s", text);
	return true;
}

static void on_default_zone(struct job *job, sd_bus_message *reply)
{
	if (read_name(reply, job->default_zone))
		decide(job);
	else
		fail_job(job, EPROTO, "its answer is not understood");
}

static void on_zone(struct job *job, sd_bus_message *reply)
{
	if (!read_name(reply, job->zone)) {
		fail_job(job, EPROTO, "its answer is not understood");
		return;
	}
	if (!*job->zone || is_good(job->zone)) {
		decide(job);
		return;
	}
	job->answered = on_default_zone;
	call(job, FIREWALLD, "getDefaultZone", NULL, NULL);
}

static void ask_zone(struct job *job)
{
	job->answered = on_zone;
	call(job, FIREWALLD_ZONE, "getZoneOfInterface", job->op->key, NULL);
}

/* The bus is found by a path, so a weftd in a network namespace sees the firewalld of another. */
static bool is_in_our_netns(uint32_t pid)
{
	char path[64];
	struct stat ours, theirs;
	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	return stat("/proc/self/ns/net", &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

static void on_pid(struct job *job, sd_bus_message *reply)
{
	uint32_t pid = 0;
	if (sd_bus_message_read(reply, "u", &pid) < 0 || !is_in_our_netns(pid))
		end_without(job, "firewalld runs in another network namespace");
	else
		ask_zone(job);
}

static int on_signal(sd_bus_message *message, void *ctx, sd_bus_error *unused)
{
	if (firewalld.changed)
		firewalld.changed(firewalld.ctx, "firewalld-zone");
	return 0;
}

static void close_bus(void)
{
	sd_bus *bus = firewalld.bus;
	firewalld.bus = NULL;
	while (firewalld.jobs)
		fail_job(firewalld.jobs, ECANCELED, "the bus was closed");
	sd_bus_close_unref(bus);
}

/* The listener's answers are not waited for: a match that fails costs an event. */
static int watch_bus(sd_bus *bus)
{
	int r = sd_bus_attach_event(bus, env.loop, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_add_match_async(bus, NULL,
					   "type='signal',sender='" BUS "',interface='" BUS
					   "',member='NameOwnerChanged',"
					   "arg0='" FIREWALLD "'",
					   on_signal, NULL, NULL);
	if (r >= 0)
		r = sd_bus_match_signal_async(bus, NULL, FIREWALLD, FIREWALLD_PATH, FIREWALLD, "Reloaded", on_signal,
					      NULL, NULL);
	if (r >= 0)
		r = sd_bus_match_signal_async(bus, NULL, FIREWALLD, FIREWALLD_PATH, FIREWALLD_ZONE, NULL, on_signal,
					      NULL, NULL);
	return r;
}

/* False where there is no bus; a bus that went away is looked for again at the next operation. */
static bool open_bus(void)
{
	if (firewalld.bus && sd_bus_is_open(firewalld.bus) > 0)
		return true;
	close_bus();
	if (!env.loop || sd_bus_open_system(&firewalld.bus) < 0)
		return false;
	if (watch_bus(firewalld.bus) >= 0)
		return true;
	close_bus();
	return false;
}

static void run(struct op *op)
{
	struct job *job = xcalloc(1, sizeof(*job));
	bool open = open_bus();
	job->op = op;
	job->next = firewalld.jobs;
	job->at = &firewalld.jobs;
	if (job->next)
		job->next->at = &job->next;
	firewalld.jobs = job;
	if (!open) {
		end_without(job, NULL);
		return;
	}
	job->answered = on_pid;
	call(job, BUS, "GetConnectionUnixProcessID", FIREWALLD, NULL);
}

void firewalld_start(firewall_changed_fn *fn, void *ctx)
{
	firewalld.changed = fn;
	firewalld.ctx = ctx;
}

void firewalld_stop(void)
{
	close_bus();
	firewalld.changed = NULL;
}

static const struct async_verbs verbs = {.observe = run, .create = run, .update = run, .remove = run};

const struct resource_class netd_firewalld_zone_class = {
	.name = "firewalld-zone",
	.doc = "A bridge's place among the zones of firewalld, where that runs.",
	.table = &zone_table,
	.lane = "firewalld",
	.verbs = &verbs,
};
