/* SPDX-License-Identifier: Apache-2.0 */
/* What a link holds, as text and back. See holdings.h. */
#include "netd/holdings.h"

enum { HELD_MAX = 16384 };

static const struct field address_rows[] = {
	F_PREFIX("address", struct held_address, address, .doc = "The address."),
	F_U32("flags", struct held_address, flags, .doc = "The kernel's flags of it."),
	F_U32("scope", struct held_address, scope, .doc = "How far it may be seen."),
	F_U32("metric", struct held_address, metric, .doc = "Metric of the route to its subnet."),
	F_U64("lease", struct held_address, lease_s, .doc = "Seconds that it lasts; 0 for ever."),
};
static const struct table address_table = TABLE("holdings.addresses", struct held_address, address_rows);

static const struct field route_rows[] = {
	F_STRING("key", struct held_route, key, .doc = "Its key as a resource."),
	F_STRUCT("route", struct held_route, route, route_table, .doc = "What it is."),
};
static const struct table held_route_table = TABLE("holdings.routes", struct held_route, route_rows);

static const struct field holdings_rows[] = {
	F_STRING("boot", struct holdings, boot, .doc = "The boot that this is of."),
	F_MAC("mac", struct holdings, mac, .doc = "The MAC of the link."),
	F_STRUCTS("addresses", struct holdings, addresses, address_table, .list_max = HELD_MAX,
		  .doc = "Its addresses."),
	F_STRUCTS("routes", struct holdings, routes, held_route_table, .list_max = HELD_MAX, .doc = "Its routes."),
	F_LIST("immovable", struct holdings, immovable, scalar_string, .list_max = HELD_MAX,
	       .doc = "Routes of it that cannot be made over another link."),
	F_LIST("neighbours", struct holdings, neighbours, scalar_string, .list_max = HELD_MAX,
	       .doc = "Neighbours that were set for good."),
};
const struct table holdings_table = TABLE("holdings", struct holdings, holdings_rows);

struct holdings *holdings_parse(const char *text, struct arena *arena)
{
	json_t *json = text ? json_loads(text, 0, NULL) : NULL;
	struct holdings *holdings = arena_new_of(arena, struct holdings);
	struct err err;
	int r = json ? table_from_json(&holdings_table, json, arena, holdings, &err) : -EINVAL;
	json_decref(json);
	return r < 0 ? NULL : holdings;
}

const char *holdings_text(const struct holdings *holdings, struct arena *arena)
{
	json_t *json = table_to_json(&holdings_table, holdings, 0);
	char *text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	const char *kept = arena_strdup(arena, text);
	free(text);
	return kept;
}
