/* SPDX-License-Identifier: Apache-2.0 */
/* The kind Ethernet: a link that is there already, mostly a NIC. It is never made or removed; what the manifest says of
 * it is set, and goes back to what it was when the object goes. */
#include "netd/link-common.h"
#include "netd/vfs.h"

extern const struct kind netd_ethernet_kind;

struct ethernet_spec {
	struct link_common common;
	uint32_t vfs;
};

static const struct field ethernet_rows[] = {
	F_U32("vfs", struct ethernet_spec, vfs, .max = UINT16_MAX,
	      .doc = "How many virtual functions (SR-IOV) it has; another number than 0 is had by removing all first.",
	      .example = "4"),
	LINK_MAC_ROW(struct ethernet_spec),
	LINK_BRIDGE_ROW(struct ethernet_spec),
	LINK_DHCP_ROWS(struct ethernet_spec),
	LINK_COMMON_ROWS(struct ethernet_spec),
};
static const struct table ethernet_table = TABLE("Ethernet", struct ethernet_spec, ethernet_rows);

static bool can_have(struct lowering *l, const struct object *object, uint32_t vfs)
{
	uint64_t most = 0;
	bool exists = fact(l, "link/%s/exists", object->name);
	if (fact_u64(l, &most, "link/%s/vfs", object->name) ? vfs <= most : !exists)
		return true;
	if (most)
		lower_refuse(l, "spec.vfs", "%s can have %llu virtual functions at most", object->name,
			     (unsigned long long)most);
	else
		lower_refuse(l, "spec.vfs",
			     "%s is no NIC with SR-IOV, or its driver or the firmware has that switched off; leave vfs "
			     "out",
			     object->name);
	return false;
}

static bool makes_functions(const struct object *object)
{
	return object->kind == &netd_ethernet_kind && ((const struct ethernet_spec *)object->spec)->vfs;
}

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
		if (!makes_functions(object))
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
	if (makes_functions(object))
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

/* A link that is not there yet may be that of a virtual function, and comes with it. */
static void come_after_functions(struct lowering *l, struct want *link)
{
	const struct makers *makers = makers_of(l);
	static const struct lower_topics topics = {tell_topics};
	lower_asked(l,
		    &(struct lower_question){ask_makers, "", NULL, ask_makers(l, NULL, NULL), {&topics, TOPIC_MAKERS}});
	if (!makers->n || fact(l, "link/%s/exists", link->key))
		return;
	for (size_t i = 0; i < makers->n; i++)
		if (!streq(makers->items[i]->name, link->key))
			after(l, link, want(l, &netd_vfs_class, NULL, "%s", makers->items[i]->name));
}

static void ethernet_lower(struct lowering *l, const struct object *object)
{
	const struct link_common_plan plan = {0};
	const struct ethernet_spec *spec = object->spec;
	struct want *link = link_common_want(l, object, &plan);
	bool said = is_present(spec, &ethernet_table, table_field(&ethernet_table, "vfs"));
	if (link && !spec->vfs)
		come_after_functions(l, link);
	if (!link || !said || !can_have(l, object, spec->vfs))
		return;
	lower_at(l, "spec.vfs");
	struct want *vfs = want(l, &netd_vfs_class, NULL, "%s", object->name);
	want_set(l, vfs, "count", "%u", spec->vfs);
	want_cost(l, vfs, "count", "all virtual functions that %s has go for that, and the others come anew",
		  object->name);
	needs(l, vfs, link);
	lower_at(l, NULL);
}

const struct kind netd_ethernet_kind = {
	.name = "Ethernet",
	.plural = "ethernets",
	.shorts = "nic",
	.doc = "A link that is there already, mostly a NIC, named as the object: its MTU, addresses and the like. It "
	       "is "
	       "given back as it was when the object goes.",
	.flags = KIND_NAME_IS_IFNAME,
	.table = &ethernet_table,
	.check = link_common_check,
	.lower = ethernet_lower,
	.columns = "spec.addresses,spec.mtu",
};
