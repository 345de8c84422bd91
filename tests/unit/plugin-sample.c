/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin for test-plugin.c, built in several ways: what is right, and what must be refused. */
#include "weft/plugin.h"

#ifndef SAMPLE_ABI
#define SAMPLE_ABI WEFT_PLUGIN_ABI
#endif
#ifndef SAMPLE_SIZE
#define SAMPLE_SIZE sizeof(struct weft_plugin)
#endif
#ifndef SAMPLE_SYMBOL
#define SAMPLE_SYMBOL weft_plugin
#endif

static struct want *lower_port(const struct weft_host *host, struct lowering *l, const struct weft_port *port)
{
	struct want *tap = host->want(l, "sample", port->tap);
	if (!tap || !host->want_set(l, tap, "mtu", "1400") ||
	    !host->want_set(l, tap, "text", host->fact(l, "sample/fact")))
		return NULL;
	if (host->want_set(l, tap, "mtu", "much") || host->want_set(l, tap, "nonsense", "1"))
		return NULL;
	if (host->want(l, "no-such-class", "x"))
		return NULL;
	struct want *second = host->want(l, "sample", "second");
	host->needs(l, second, host->want_find(l, "sample", port->tap));
	host->refuse(l, port->path, "refused by the sample");
	return second;
}

#ifdef SAMPLE_HALF
static const struct weft_port_backend backend = {.lower_port = lower_port};
#else
static const struct weft_port_backend backend = {.name = "sample", .lower_port = lower_port};
#endif
static const struct weft_port_backend *const backends[] = {&backend};

__attribute__((visibility("default"))) extern const struct weft_plugin SAMPLE_SYMBOL;
const struct weft_plugin SAMPLE_SYMBOL = {SAMPLE_ABI, SAMPLE_SIZE, "sample", backends, 1};
