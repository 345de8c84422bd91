/* SPDX-License-Identifier: Apache-2.0 */
/* What a new Volume begins as: a copy of a file, a full copy of another Volume, or a linked clone of one. Only the
 * last means anything once the volume is there. */
#include "core/env.h"
#include "stord/volume-spec.h"

struct want *volume_want(struct lowering *l, const char *volume)
{
	const struct object *object = lower_find(l, "Volume", volume);
	const struct volume_spec *spec = object ? object->spec : NULL;
	cleanup_free char *key = spec ? xprintf("%s/%s", spec->pool, volume) : NULL;
	return key ? want_find(l, "volume", key) : NULL;
}

static const struct volume_state *origin_state(struct lowering *l, const char *volume, const char *path)
{
	struct want *want = volume_want(l, volume);
	if (!want)
		lower_refuse(l, path, "Volume '%s' was refused", volume);
	return want ? want->spec : NULL;
}

static bool holds(struct lowering *l, const struct volume_state *origin, const char *name, uint64_t size)
{
	if (!size || size >= origin->size)
		return true;
	lower_refuse(l, "spec.size", "Volume '%s' has %s; a clone of it cannot be smaller", name,
		     scalar_size.format(NULL, &origin->size, lower_arena(l)));
	return false;
}

/* One that is there is a linked clone of what it was made as, or of nothing. */
static bool base_stays(struct lowering *l, const struct volume_state *state)
{
	const char *base = state->base ? state->base : "";
	const char *there = alloc_kept(l, "volume-place", "place"), *kept = alloc_kept(l, "volume-base", "base");
	const char *was = kept ? strchr(kept, '\n') : NULL;
	was = was ? was + 1 : "";
	if (!there || !streq(there, state->place) || streq(was, base) || !fact(l, "image/%s", there))
		return true;
	if (*was)
		lower_refuse(l, state->base ? "spec.base" : NULL,
			     "the base of a Volume cannot be changed, '%s' is based on '%s': make another Volume, with "
			     "`clone: %s` for a full copy of this one",
			     state->place, was, lower_object(l)->name);
	else
		lower_refuse(l, "spec.base",
			     "'%s' is there already and is not a linked clone: make another Volume with this base",
			     state->place);
	return false;
}

static bool linked_clone(struct lowering *l, const struct volume_spec *spec, struct volume_state *state)
{
	const struct pool_type *type = pool_type_at(state->type);
	const struct volume_state *base = origin_state(l, spec->base, "spec.base");
	if (!base)
		return false;
	const char *pool = ((const struct volume_spec *)lower_find(l, "Volume", spec->base)->spec)->pool;
	if (!streq(pool, spec->pool)) {
		lower_refuse(l, "spec.base",
			     "Volume '%s' is in Pool '%s', and a linked clone is in the pool of its base; `clone: %s` "
			     "makes a full copy",
			     spec->base, pool, spec->base);
		return false;
	}
	if (!type->volumes->link) {
		lower_refuse(l, "spec.base", "a Pool of type %s makes no linked clones; `clone: %s` makes a full copy",
			     type->name, spec->base);
		return false;
	}
	if (!holds(l, base, spec->base, spec->size))
		return false;
	state->base = base->place;
	state->base_format = base->format;
	state->present |= VOLUME_BASE | VOLUME_BASE_FORMAT;
	return type->volumes->link(l, base, state);
}

/* Whether tools of this host can read it by its place. */
static bool is_readable_here(enum stord_attach attach)
{
	switch (attach) {
	case STORD_FILE:
	case STORD_BLOCK:
		return true;
	case STORD_REMOTE:
		return false;
	}
	return false;
}

static bool full_clone(struct lowering *l, const struct volume_spec *spec, struct volume_state *state)
{
	const struct volume_state *origin = origin_state(l, spec->clone, "spec.clone");
	if (!origin || !holds(l, origin, spec->clone, spec->size))
		return false;
	const struct pool_type *from = pool_type_at(origin->type);
	bool own = origin->type == state->type && from->volumes->copies_own;
	if (!own && !is_readable_here(from->volumes->attach)) {
		lower_refuse(l, "spec.clone",
			     "Volume '%s' is in a Pool of type %s, which is not copied to one of type %s: export it to "
			     "a file and use `source`",
			     spec->clone, from->name, pool_type_at(state->type)->name);
		return false;
	}
	if (from->volumes->lends && !from->volumes->lends(l, origin, state))
		return false;
	state->clone = origin->place;
	state->clone_format = origin->format;
	state->clone_type = origin->type;
	state->present |= VOLUME_CLONE | VOLUME_CLONE_FORMAT | VOLUME_CLONE_TYPE;
	return true;
}

static void from_file(struct lowering *l, const struct volume_spec *spec, struct volume_state *state)
{
	state->source = spec->source.file;
	if (state->source[0] != '/')
		state->source = arena_printf(lower_arena(l), "%s/files/%s", env.state_dir, state->source);
	state->source_sha256 = spec->source.sha256;
	state->source_format = spec->source.format;
	state->present |= VOLUME_SOURCE | VOLUME_SOURCE_FORMAT | (state->source_sha256 ? VOLUME_SOURCE_SHA256 : 0);
}

bool volume_origin(struct lowering *l, const struct volume_spec *spec, struct volume_state *state)
{
	if (spec->source.file)
		from_file(l, spec, state);
	if (spec->clone && !full_clone(l, spec, state))
		return false;
	if (spec->base && !linked_clone(l, spec, state))
		return false;
	if (!base_stays(l, state))
		return false;
	if (state->base)
		alloc_fixed(l, "volume-base", "base", arena_printf(lower_arena(l), "%s\n%s", state->place, state->base),
			    NULL);
	return true;
}

void volume_origin_needs(struct lowering *l, const struct volume_spec *spec, struct want *volume)
{
	if (spec->base)
		needs(l, volume, volume_want(l, spec->base));
	/* Taken once: what becomes of the origin afterwards is nothing to it. */
	const struct volume_state *state = volume->spec;
	if (spec->clone && !fact(l, "image/%s", state->place))
		after(l, volume, volume_want(l, spec->clone));
}

const char *volume_clone_of(struct lowering *l, const char *volume)
{
	const struct object *other;
	for (size_t i = 0; (other = lower_object_at(l, i)); i++)
		if (other->kind == &stord_volume_kind && streq(((const struct volume_spec *)other->spec)->base, volume))
			return other->name;
	return NULL;
}
