/* SPDX-License-Identifier: Apache-2.0 */
/* See lease-target.h. */
#include "stord/lease-target.h"

#include "core/json-text.h"
#include "stord/lun.h"
#include "stord/pool-type.h"

static const void *copy_own(const struct lease_means *means, const void *own, struct arena *arena)
{
	return own && means->table ? table_copy(means->table, own, arena) : NULL;
}

bool lease_target_of(const struct resource_view *view, struct arena *arena, struct lease_target *ret)
{
	if (view->want && view->class == &stord_lun_class) {
		*ret = (struct lease_target){
			.pool = LEASE_OF_LUN,
			.volume = arena_strdup(arena, view->key),
			.place = arena_printf(arena, LUN_LINKS "/%s", view->key),
			.means = &lease_by_reservation,
		};
		return true;
	}
	const struct volume_state *state = view->want && view->class == &stord_volume_class ? view->want->spec : NULL;
	const struct lease_means *means = state ? volume_leases(state) : NULL;
	if (!means)
		return false;
	size_t len = strcspn(view->key, "/");
	*ret = (struct lease_target){
		.pool = arena_strndup(arena, view->key, len),
		.volume = arena_strdup(arena, view->key + len + 1),
		.place = arena_strdup(arena, state->place),
		.own = copy_own(means, state->own, arena),
		.means = means,
	};
	return true;
}

struct lease_call lease_target_call(const struct lease_target *target)
{
	return (struct lease_call){
		.pool = target->pool,
		.volume = target->volume,
		.place = target->place,
		.own = target->own,
		.self = lease_self(),
	};
}

static json_t *holder_json(const struct lease_call *call, const struct lease_holder *holder)
{
	char since[32];
	json_t *guest = streq(holder->guest, "?") ? json_null() : json_host_text(holder->guest);
	return json_pack("{s:s, s:s, s:o, s:o, s:s?, s:s, s:s, s:s}", "pool", call->pool, "volume", call->volume,
			 "host", json_host_text(holder->host), "guest", guest, "since",
			 holder->since_ms ? lease_time_text(holder->since_ms, since) : NULL, "mode",
			 lease_modes[holder->mode], "alive", lease_lives[holder->life], "instance", holder->instance);
}

void lease_tell(const struct lease_call *call, const struct lease_seen *seen, int out_fd)
{
	for (size_t i = 0; i < seen->n; i++) {
		json_t *json = holder_json(call, &seen->holders[i]);
		cleanup_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
		if (text)
			dprintf(out_fd, "%s\n", text);
		json_decref(json);
	}
}

json_t *lease_told(const struct child_result *result)
{
	json_t *told = json_array();
	for (const char *line = result->out, *end; line && (end = strchr(line, '\n')); line = end + 1)
		json_array_append_new(told, json_loadb(line, (size_t)(end - line), 0, NULL));
	return told;
}
