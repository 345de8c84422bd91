/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and stops what the firewall's classes need beside their lanes: the fact firewall/backend, the listener to
 * nftables, and for iptables-legacy, which tells nobody of changes, a timer. */
#include "netd/firewall.h"

#include <systemd/sd-event.h>

#include "core/env.h"
#include "netd/firewall-backend.h"

enum { LEGACY_PERIOD_MS = 4000 };

static struct engine *the_engine;
static sd_event_source *legacy_timer;

/* firewall/backend: "nft" or "legacy"; firewall/ipv6: "true" if the kernel has IPv6 at all. */
static int firewall_fact(void *ctx, const char *key, char **ret)
{
	if (streq(key, "firewall/backend"))
		*ret = xstrdup(backend_names[firewall_backend()]);
	else if (streq(key, "firewall/ipv6") && access("/proc/self/net/if_inet6", F_OK) == 0)
		*ret = xstrdup("true");
	else
		return -ENOENT;
	return 0;
}

static void on_changed(void *ctx, const char *class)
{
	engine_dirty(the_engine, class, NULL);
}

static int arm_legacy_timer(void)
{
	int r = sd_event_source_set_time_relative(legacy_timer, (uint64_t)LEGACY_PERIOD_MS * 1000);
	return r < 0 ? r : sd_event_source_set_enabled(legacy_timer, SD_EVENT_ONESHOT);
}

static int on_legacy_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	engine_dirty(the_engine, "rules", NULL);
	return arm_legacy_timer();
}

int netd_firewall_start(struct engine *engine, struct err *err)
{
	the_engine = engine;
	firewalld_start(on_changed, NULL);
	fact_register("firewall/", firewall_fact, NULL);
	if (firewall_backend() == BACKEND_LEGACY) {
		int r = sd_event_add_time(env.loop, &legacy_timer, CLOCK_BOOTTIME, 0, 500000, on_legacy_timer, NULL);
		if (r >= 0)
			r = arm_legacy_timer();
		if (r < 0)
			return err_errno(err, -r, "watch iptables-legacy");
	}
	return nft_events_start(on_changed, NULL, err);
}

void netd_firewall_stop(void)
{
	nft_events_stop();
	firewalld_stop();
	legacy_timer = sd_event_source_disable_unref(legacy_timer);
	the_engine = NULL;
}
