/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel means when it refuses a link in a word or two: which module is missing, who has taken the link
 * already, what takes no ports. */
#include "netd/link.h"

/* Links that take the frames of the one they stand on, as a bridge does those of its ports: one sort of taker a link.
 */
static bool is_taker(const struct netlink_link *link)
{
	static const char *const kinds[] = {"macvlan", "macvtap", "ipvlan", "ipvtap"};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (streq(link->kind, kinds[i]))
			return true;
	return false;
}

static const struct netlink_link *taker_on(const struct netlink_cache *cache, const struct netlink_link *lower)
{
	for (size_t i = 0; i < NETLINK_BUCKETS; i++)
		for (const struct netlink_link *l = cache->by_index[i]; l; l = l->next_by_index)
			if (l->lower == lower->index && !l->elsewhere && is_taker(l))
				return l;
	return NULL;
}

static void explain_unknown_kind(struct op *op)
{
	const struct link_spec *want = op->want;
	const struct link_kind *kind = has_row(want, LINK_KIND) ? link_kind_find(want->kind) : NULL;
	if (!kind || !strstr(op->err.text, "nknown device type"))
		return;
	err_set(&op->err, EOPNOTSUPP,
		"this kernel makes no links of kind %s as it is: try modprobe %s; if there is no such module, install "
		"the one of this kernel, or boot a kernel that has it",
		kind->kernel_name, kind->module ? kind->module : kind->kernel_name);
}

/* Another taker than the one that `taker` is to be. */
static void explain_taken(const struct netlink_cache *cache, const struct netlink_link *link, const char *taker,
			  struct op *op)
{
	const struct netlink_link *master = link->master ? netlink_link_by_index(cache, link->master) : NULL;
	const struct netlink_link *on = taker_on(cache, link);
	if (master)
		err_set(&op->err, EBUSY,
			"link '%s' is a port of '%s' already, which takes its frames; take it off there, or use '%s' "
			"instead of it",
			link->name, master->name, master->name);
	else if (on)
		err_set(&op->err, EBUSY,
			"'%s' (%s) stands on link '%s' and takes its frames, so that %s cannot have them; remove that "
			"first",
			on->name, on->kind, link->name, taker);
	else
		err_set(&op->err, EBUSY,
			"something takes the frames of link '%s' already, Open vSwitch perhaps, so that %s cannot have "
			"them; end that first",
			link->name, taker);
}

static void explain_busy(const struct netlink_cache *cache, const struct netlink_link *master, struct op *op)
{
	const struct link_spec *want = op->want;
	const struct netlink_link *link = netlink_link_by_name(cache, op->key);
	const struct netlink_link *lower =
		op->verb == OP_CREATE && has_row(want, LINK_LINK) ? netlink_link_by_name(cache, want->link) : NULL;
	char taker[IFNAMSIZ + 2];
	snprintf(taker, sizeof(taker), "'%s'", master ? master->name : op->key);
	if (master && link)
		explain_taken(cache, link, taker, op);
	else if (lower && (lower->master || taker_on(cache, lower)))
		explain_taken(cache, lower, taker, op);
	else
		err_set(&op->err, EBUSY,
			"the kernel calls the link busy: somebody else is just changing it, or uses it");
}

/* The kinds of links that do, "Bridge, Bond, Vrf". */
static const char *who_takes_ports(char *buf, size_t size)
{
	size_t used = 0;
	for (size_t i = 0; i < n_link_kinds && used < size; i++)
		if (link_kinds[i]->takes_ports && !(link_kinds[i]->object->flags & KIND_IS_REFUSED))
			used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "",
						 link_kinds[i]->object->name);
	return buf;
}

static void explain_unsupported(const struct netlink_link *master, struct op *op)
{
	const struct link_kind *kind = master ? link_kind_of(master) : NULL;
	char others[128] = "";
	if (master && !(kind && kind->takes_ports)) {
		err_set(&op->err, EOPNOTSUPP, "'%s' (%s) takes no ports; only links of these kinds do: %s",
			master->name,
			kind            ? kind->name
			: *master->kind ? master->kind
					: "a NIC",
			who_takes_ports(others, sizeof(others)));
		return;
	}
	if (op->verb == OP_CREATE) {
		explain_unknown_kind(op);
		return;
	}
	for (size_t i = 0; i < link_table.n_fields; i++) {
		if (!(op->rows >> i & 1))
			continue;
		err_wrap(&op->err, "this kernel, or the link's driver, cannot change its %s while it is there",
			 link_table.fields[i].name);
		return;
	}
}

/* The kernel's word for a master that went while the message was under way is EINVAL, which says nothing. */
void link_explain(const struct netlink_cache *cache, struct op *op, int master_index)
{
	const struct netlink_link *master = master_index ? netlink_link_by_index(cache, master_index) : NULL;
	if (!op->want || !str_starts(op->err.text, "kernel: "))
		return;
	if (op->err.code == EINVAL && master_index && !master)
		err_set(&op->err, ENODEV, "link '%s', which it is to be a port of, has just gone",
			((const struct link_spec *)op->want)->master);
	else if (op->err.code == EBUSY)
		explain_busy(cache, master, op);
	else if (op->err.code == EOPNOTSUPP)
		explain_unsupported(master, op);
}
