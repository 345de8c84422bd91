/* SPDX-License-Identifier: Apache-2.0 */
/* What lowering reads beside the objects: facts of the host, recorded as read, and allocations, kept once made. */
#include "core/lower-internal.h"

struct fact_source {
	const char *prefix;
	fact_fn *fn;
	void *ctx;
};
static struct fact_source *sources;
static size_t n_sources, cap_sources;

void fact_register(const char *prefix, fact_fn *fn, void *ctx)
{
	for (size_t i = 0; i < n_sources; i++) {
		if (streq(sources[i].prefix, prefix)) {
			sources[i] = (struct fact_source){prefix, fn, ctx};
			return;
		}
	}
	grow(sources, n_sources, cap_sources);
	sources[n_sources++] = (struct fact_source){prefix, fn, ctx};
}

int fact_read(const char *key, char **ret)
{
	const struct fact_source *best = NULL;
	for (size_t i = 0; i < n_sources; i++)
		if (str_starts(key, sources[i].prefix) && (!best || strlen(sources[i].prefix) > strlen(best->prefix)))
			best = &sources[i];
	*ret = NULL;
	return best ? best->fn(best->ctx, key, ret) : -ENOENT;
}

static fact_changed_fn *listener;
static void *listener_ctx;

void fact_listen(fact_changed_fn *fn, void *ctx)
{
	listener = fn;
	listener_ctx = ctx;
}

void fact_changed(const char *key)
{
	if (listener)
		listener(listener_ctx, key);
}

static const char *record_fact(struct lowering *l, const char *key, const char *value)
{
	struct generation *gen = l->gen;
	struct lowered *lowered = l->lowered;
	const struct fact_row row = {arena_strdup(gen->arena, key), arena_strdup(gen->arena, value), l->object};
	arena_grow(gen->lists, gen->facts, gen->n_facts, gen->cap_facts);
	gen->facts[gen->n_facts++] = row;
	arena_grow(gen->arena, lowered->facts, lowered->n_facts, lowered->cap_facts);
	lowered->facts[lowered->n_facts++] = row;
	return row.value;
}

struct fact_value {
	const char *text;
};

static const struct fact_row *read_before(const struct lowering *l, const char *key)
{
	for (size_t i = 0; l->lowered && i < l->lowered->n_facts; i++)
		if (streq(l->lowered->facts[i].key, key))
			return &l->lowered->facts[i];
	return NULL;
}

const char *fact_known(struct choices *choices, const char *key)
{
	struct fact_value *known = strmap_get(&choices->facts, key);
	if (!known) {
		cleanup_free char *text = NULL;
		known = arena_new_of(choices->arena, struct fact_value);
		known->text = fact_read(key, &text) == 0 ? arena_strdup(choices->arena, text) : NULL;
		strmap_put(&choices->facts, arena_strdup(choices->arena, key), known);
	}
	return known->text;
}

const char *fact(struct lowering *l, const char *key_fmt, ...)
{
	va_list args;
	va_start(args, key_fmt);
	cleanup_free char *key = xvprintf(key_fmt, args);
	va_end(args);
	const struct fact_row *before = read_before(l, key);
	if (before)
		return before->value;
	const char *text = fact_known(l->choices, key);
	return l->lowered ? record_fact(l, key, text) : text;
}

bool fact_u64(struct lowering *l, uint64_t *ret, const char *key_fmt, ...)
{
	va_list args;
	va_start(args, key_fmt);
	cleanup_free char *key = xvprintf(key_fmt, args);
	va_end(args);
	const char *text = fact(l, "%s", key);
	if (!text || *text < '0' || *text > '9')
		return false;
	*ret = strtoull(text, NULL, 10);
	return true;
}

static const char *text_key(struct arena *arena, const char *space, const char *text)
{
	return arena_printf(arena, "%s\n%s", space, text);
}

static const char *slot_key(struct arena *arena, const char *object, const char *space, const char *slot)
{
	return arena_printf(arena, "%s\n%s\n%s", object, space, slot);
}

void choices_init(struct choices *choices, struct arena *arena)
{
	*choices = (struct choices){.arena = arena,
				    .facts = strmap_in(arena),
				    .taken = strmap_in(arena),
				    .kept_texts = strmap_in(arena),
				    .kept_slots = strmap_in(arena),
				    .memos = strmap_in(arena),
				    .claims = strmap_in(arena)};
}

enum { ASKS_MANY = 32 };

/* What was kept, by text and by slot, once it is asked for often enough: it is much, and a small change asks a few
 * times. */
static bool knows_kept(struct lowering *l)
{
	struct choices *choices = l->choices;
	struct arena *arena = choices->arena;
	if (choices->knows_kept || (l->run->carry && ++choices->n_asks < ASKS_MANY))
		return choices->knows_kept;
	choices->knows_kept = true;
	for (size_t i = 0; i < l->input->n_allocs; i++) {
		const struct alloc_row *row = &l->input->allocs[i];
		strmap_put(&choices->kept_texts, text_key(arena, row->space, row->text), (void *)row->object);
		strmap_put(&choices->kept_slots, slot_key(arena, row->object, row->space, row->slot),
			   (void *)row->text);
	}
	return true;
}

/* The object that had it; the last one counts, as in the map. */
static const char *kept_by(struct lowering *l, const char *space, const char *text)
{
	if (knows_kept(l))
		return strmap_get(&l->choices->kept_texts, text_key(l->choices->arena, space, text));
	for (size_t i = l->input->n_allocs; i > 0; i--) {
		const struct alloc_row *row = &l->input->allocs[i - 1];
		if (streq(row->text, text) && streq(row->space, space))
			return row->object;
	}
	return NULL;
}

void *lower_memo(struct lowering *l, const char *name, void *(*make)(struct lowering *l))
{
	void *memo = strmap_get(&l->choices->memos, name);
	if (!memo) {
		bool hushed = l->hushed;
		l->hushed = true;
		memo = make(l);
		l->hushed = hushed;
		strmap_put(&l->choices->memos, name, memo);
	}
	return memo;
}

struct arena *lower_memo_arena(struct lowering *l)
{
	return l->choices->arena;
}

static void know_claims(struct lowering *l)
{
	struct choices *choices = l->choices;
	if (!choices->knows_claims && l->run->carry)
		carry_claims(l->run);
	choices->knows_claims = true;
}

const struct object *lower_claim(struct lowering *l, const char *what)
{
	struct lowered *lowered = l->lowered;
	know_claims(l);
	const struct object *other = strmap_get(&l->choices->claims, what);
	if (other)
		return other;
	what = arena_strdup(l->gen->arena, what);
	strmap_put(&l->choices->claims, what, (void *)l->object);
	arena_grow(l->gen->arena, lowered->claims, lowered->n_claims, lowered->cap_claims);
	lowered->claims[lowered->n_claims++] = what;
	return NULL;
}

static void take(struct lowering *l, const char *object, const char *space, const char *slot, const char *text)
{
	struct generation *gen = l->gen;
	struct lowered *lowered = l->lowered;
	const struct alloc_row row = {object, arena_strdup(gen->arena, space), arena_strdup(gen->arena, slot), text};
	arena_grow(gen->lists, gen->allocs, gen->n_allocs, gen->cap_allocs);
	gen->allocs[gen->n_allocs++] = row;
	arena_grow(gen->arena, lowered->allocs, lowered->n_allocs, lowered->cap_allocs);
	lowered->allocs[lowered->n_allocs++] = row;
	strmap_put(&l->choices->taken, text_key(l->choices->arena, space, text), (void *)object);
}

/* The object that holds a text in a space: of those lowered so far, then of those that held it before. */
static const char *holder(struct lowering *l, const char *space, const char *text, bool kept_too)
{
	const char *key = text_key(l->choices->arena, space, text);
	const char *object = strmap_get(&l->choices->taken, key);
	return object || !kept_too ? object : kept_by(l, space, text);
}

static const char *kept_choice(struct lowering *l, const char *object, const char *space, const char *slot)
{
	if (knows_kept(l))
		return strmap_get(&l->choices->kept_slots, slot_key(l->choices->arena, object, space, slot));
	for (size_t i = l->input->n_allocs; i > 0; i--) {
		const struct alloc_row *row = &l->input->allocs[i - 1];
		if (streq(row->slot, slot) && streq(row->object, object) && streq(row->space, space))
			return row->text;
	}
	return NULL;
}

const char *alloc_kept(struct lowering *l, const char *space, const char *slot)
{
	return kept_choice(l, lower_object_id(l), space, slot);
}

enum { MAX_ATTEMPTS = 4096 };

const char *alloc(struct lowering *l, const char *space, const char *slot, alloc_propose_fn *propose, void *ctx)
{
	const char *object = lower_object_id(l);
	const char *kept = kept_choice(l, object, space, slot);
	if (kept && !holder(l, space, kept, false)) {
		kept = arena_strdup(l->gen->arena, kept);
		take(l, object, space, slot, kept);
		return kept;
	}
	char buf[256];
	for (unsigned attempt = 0; attempt < MAX_ATTEMPTS && propose(ctx, attempt, buf, sizeof(buf)); attempt++) {
		if (holder(l, space, buf, true))
			continue;
		const char *text = arena_strdup(l->gen->arena, buf);
		take(l, object, space, slot, text);
		return text;
	}
	return NULL;
}

bool alloc_fixed(struct lowering *l, const char *space, const char *slot, const char *text, const char **ret_holder)
{
	const char *object = lower_object_id(l);
	const char *other = holder(l, space, text, false);
	const char *kept = l->run->carry ? holder(l, space, text, true) : NULL;
	if (kept && !streq(kept, object)) /* it may be carried over, and whose it is goes by the order of all */
		carry_collides(l, NULL);
	if (other) {
		if (ret_holder)
			*ret_holder = other;
		return false;
	}
	take(l, object, space, slot, arena_strdup(l->gen->arena, text));
	return true;
}

struct mac_proposal {
	const char *object, *slot;
};

static bool propose_mac(void *ctx, unsigned attempt, char *buf, size_t size)
{
	const struct mac_proposal *p = ctx;
	char text[512];
	snprintf(text, sizeof(text), "mac/%s/%s/%u", p->object, p->slot, attempt);
	uint64_t h = host_hash(text);
	snprintf(buf, size, "52:54:00:%02x:%02x:%02x", (unsigned)(h & 0xff), (unsigned)(h >> 8 & 0xff),
		 (unsigned)(h >> 16 & 0xff));
	return true;
}

const char *alloc_mac(struct lowering *l, const char *slot)
{
	struct mac_proposal proposal = {lower_object_id(l), slot};
	return alloc(l, "mac", slot, propose_mac, &proposal);
}

enum { LINK_NAME_MAX = 15 };

static bool propose_link_name(void *ctx, unsigned attempt, char *buf, size_t size)
{
	const char *preferred = ctx;
	if (attempt == 0 && strlen(preferred) <= LINK_NAME_MAX) {
		snprintf(buf, size, "%s", preferred);
		return true;
	}
	char text[512];
	snprintf(text, sizeof(text), "link/%s/%u", preferred, attempt);
	snprintf(buf, size, "weft%08x", (unsigned)(host_hash(text) & 0xffffffff));
	return true;
}

/* A name that a link of the manifests has verbatim is no candidate. */
const char *alloc_link_name(struct lowering *l, const char *slot, const char *preferred)
{
	for (size_t i = 0; kind_at(i); i++)
		if ((kind_at(i)->flags & KIND_NAME_IS_IFNAME) &&
		    configuration_find(l->config, kind_at(i)->name, preferred))
			preferred = arena_printf(l->gen->arena, "%s (a link of that name exists)", preferred);
	return alloc(l, "link", slot, propose_link_name, (void *)preferred);
}
