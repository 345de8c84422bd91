/* SPDX-License-Identifier: Apache-2.0 */
/* The links of virtual functions in lowering. Which link comes with which NIC's functions is known only once it is
 * there: udev names it. So one that a manifest names and that is not there yet comes after all the functions that are
 * to be made, and goes before them. */
#include "netd/link-map.h"
#include "netd/link.h"
#include "netd/vfs.h"

/* The Ethernets that are to have virtual functions. */
struct makers {
	const struct object **items;
	size_t n, cap;
};

static void *find_makers(struct lowering *l)
{
	const struct object *object;
	struct makers *makers = arena_new_of(lower_memo_arena(l), struct makers);
	for (size_t i = 0; (object = lower_object_at(l, i)); i++) {
		if (!netd_ethernet_makes_functions(object))
			continue;
		arena_grow(lower_memo_arena(l), makers->items, makers->n, makers->cap);
		makers->items[makers->n++] = object;
	}
	return makers;
}

static const struct makers *makers_of(struct lowering *l)
{
	return lower_memo(l, "makers-of-functions", find_makers);
}

enum { TOPIC_MAKERS = 1 };

static void tell_topics(struct lowering *l, const struct object *object)
{
	if (netd_ethernet_makes_functions(object))
		lower_touches(l, TOPIC_MAKERS);
}

static uint64_t ask_makers(struct lowering *l, const char *none, const char *nothing)
{
	const struct makers *makers = makers_of(l);
	uint64_t answer = 0;
	for (size_t i = 0; i < makers->n; i++)
		answer = lower_hash(answer, makers->items[i]->name);
	return answer;
}

static bool is_maker(const struct makers *makers, const char *name)
{
	for (size_t i = 0; i < makers->n; i++)
		if (streq(makers->items[i]->name, name))
			return true;
	return false;
}

/* Does another object make it, or say itself what it is? */
static bool is_of_another(struct lowering *l, const char *name)
{
	const struct object *object = link_object(l, name);
	return object && object != lower_object(l);
}

void vfs_lead_to(struct lowering *l, struct want *link)
{
	static const struct lower_topics topics = {tell_topics};
	const struct makers *makers = makers_of(l);
	lower_asked(l,
		    &(struct lower_question){ask_makers, "", NULL, ask_makers(l, NULL, NULL), {&topics, TOPIC_MAKERS}});
	if (!makers->n || is_maker(makers, link->key) || is_of_another(l, link->key))
		return;
	const char *nic = fact(l, "link/%s/functionOf", link->key);
	bool exists = nic || fact(l, "link/%s/exists", link->key);
	for (size_t i = 0; i < makers->n; i++) {
		if (exists && !streq(makers->items[i]->name, nic))
			continue;
		struct want *functions = want(l, &netd_vfs_class, NULL, "%s", makers->items[i]->name);
		if (!exists)
			after(l, link, functions);
		rests_on(l, link, functions);
	}
}
