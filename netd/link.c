/* SPDX-License-Identifier: Apache-2.0 */
/* See link.h: the table and the verbs of the class. */
#include "netd/link.h"

#include <limits.h>
#include <linux/if.h>
#include <linux/if_link.h>

#include "core/env.h"
#include "netd/netlink-kept.h"

static const struct table *choose_fixed(const void *around)
{
	const struct link_kind *kind = link_kind_find(((const struct link_spec *)around)->kind);
	return kind ? kind->fixed : NULL;
}

static const struct table *choose_info(const void *around)
{
	const struct link_kind *kind = link_kind_find(((const struct link_spec *)around)->kind);
	return kind ? kind->info : NULL;
}

static const struct table *choose_paused(const void *around)
{
	const struct link_kind *kind = link_kind_find(((const struct link_spec *)around)->kind);
	return kind ? kind->paused : NULL;
}

static const struct field link_rows[] = {
	[LINK_KIND] = F_STRING("kind", struct link_spec, kind, .max = 31, .flags = FIELD_RECREATE,
			       .doc = "What sort of link it is."),
	[LINK_MAC] = F_MAC("mac", struct link_spec, mac, .nl = IFLA_ADDRESS, .nl_form = NL_MAC, .doc = "Its MAC."),
	[LINK_MTU] = F_U32("mtu", struct link_spec, mtu, .nl = IFLA_MTU, .nl_form = NL_U32, .doc = "Its MTU."),
	[LINK_UP] = F_BOOL("up", struct link_spec, up, .doc = "Whether it is up."),
	[LINK_MASTER] = F_STRING("master", struct link_spec, master, .max = 15,
				 .doc = "What it is a port of; empty for nothing."),
	[LINK_PORT] = F_STRUCT("port", struct link_spec, port, link_port_table, .flags = FIELD_BOUND,
			       .doc = "What it is as a port of a bridge."),
	[LINK_VLANS] = F_STRUCT("vlans", struct link_spec, vlans, link_vlans_table, .flags = FIELD_BOUND,
				.doc = "Its VLANs as a port of a bridge, or those of a bridge's own end."),
	[LINK_LINK] = F_STRING("link", struct link_spec, link, .max = 15, .flags = FIELD_RECREATE,
			       .doc = "The link that it stands on, and goes with; empty for none."),
	[LINK_UNDERLAY] = F_STRING("underlay", struct link_spec, underlay, .max = 15,
				   .doc = "The link that its packets leave by; empty for what the routes say."),
	[LINK_FIXED] = F_VARIANT("fixed", struct link_spec, fixed, choose_fixed, .flags = FIELD_RECREATE,
				 .doc = "What only its kind has and cannot change while it lives."),
	[LINK_PAUSED] = F_VARIANT("paused", struct link_spec, paused, choose_paused,
				  .doc = "What only its kind has and can change only while it is down."),
	[LINK_INFO] = F_VARIANT("info", struct link_spec, info, choose_info, .doc = "What only its kind has."),
	[LINK_IFINDEX] =
		F_U32("ifindex", struct link_spec, ifindex, .flags = FIELD_STATUS, .doc = "The kernel's number of it."),
	[LINK_OPERSTATE] = F_STRING("operstate", struct link_spec, operstate, .flags = FIELD_STATUS,
				    .doc = "Its operational state."),
	[LINK_CARRIER] =
		F_BOOL("carrier", struct link_spec, carrier, .flags = FIELD_STATUS, .doc = "Whether it has a carrier."),
};
const struct table link_table = TABLE("link", struct link_spec, link_rows);

bool link_alias_is_ours(const char *alias)
{
	size_t size = strlen(env.instance);
	return alias && str_starts(alias, "weft:") && strncmp(alias + 5, env.instance, size) == 0 &&
	       alias[5 + size] == ':';
}

bool link_is_ours(const struct netlink_link *link)
{
	return link_alias_is_ours(link->alias);
}

/* ---- observe ---- */

static const char *operstate_text(uint8_t state)
{
	/* RFC 2863, in the order of IF_OPER_... */
	static const char *const names[] = {"unknown", "notpresent", "down", "lowerlayerdown",
					    "testing", "dormant",    "up"};
	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static enum owner owner_of(const struct netlink_link *link, const struct op *op)
{
	if (link_is_ours(link))
		return OWNER_OURS;
	if (!op->want)
		return link->was_ours ? OWNER_OURS : OWNER_FOREIGN;
	/* Whoever wants no kind wants rows of somebody else's link, and has his consent. */
	return has_row(op->want, LINK_KIND) ? OWNER_FOREIGN : OWNER_UNKNOWN;
}

static const char *name_of(const struct netlink_cache *cache, int index)
{
	const struct netlink_link *link = index ? netlink_link_by_index(cache, index) : NULL;
	return link ? link->name : "";
}

/* One that has gone, and another namespace's, is no link of any name here. */
static void observe_lower(const struct netlink_cache *cache, const struct netlink_link *link, struct link_spec *seen,
			  struct arena *arena)
{
	const struct link_kind *kind = link_kind_of(link);
	const struct nlattr *attr;
	seen->link = arena_strdup(arena, link->elsewhere ? "" : name_of(cache, link->lower));
	set_present(seen, LINK_LINK);
	if (!kind || !kind->underlay)
		return;
	seen->underlay = "";
	set_present(seen, LINK_UNDERLAY);
	mnl_attr_for_each_payload(link->info.data, link->info.size)
	{
		if (mnl_attr_get_type(attr) != kind->underlay || mnl_attr_get_payload_len(attr) != sizeof(uint32_t))
			continue;
		int index = (int)mnl_attr_get_u32(attr);
		const char *name = name_of(cache, index);
		seen->underlay = index && !*name ? arena_printf(arena, "#%d", index) : arena_strdup(arena, name);
	}
}

static void *observe_variant(const struct netlink_link *link, const struct table *table, struct arena *arena)
{
	void *rows = arena_alloc(arena, table->size);
	netlink_get_rows(table, link->info.data, link->info.size, arena, rows);
	return rows;
}

static void observe_variants(const struct netlink_cache *cache, const struct netlink_link *link,
			     const struct link_spec *want, struct link_spec *seen, struct arena *arena)
{
	const struct link_kind *kind = link_kind_of(link);
	if (!kind)
		return;
	if (kind->fixed) {
		seen->fixed = observe_variant(link, kind->fixed, arena);
		set_present(seen, LINK_FIXED);
	}
	if (kind->paused) {
		seen->paused = observe_variant(link, kind->paused, arena);
		set_present(seen, LINK_PAUSED);
	}
	if (kind->info) {
		seen->info = observe_variant(link, kind->info, arena);
		set_present(seen, LINK_INFO);
	}
	if (kind->decode)
		kind->decode(cache, link, want, seen, arena);
}

void link_observe(const struct netlink_cache *cache, const struct netlink_link *link, const struct link_spec *want,
		  struct link_spec *seen, struct arena *arena)
{
	const struct link_kind *kind = link_kind_of(link);
	const struct netlink_link *master = link->master ? netlink_link_by_index(cache, link->master) : NULL;
	if (kind || *link->kind) {
		seen->kind = kind ? kind->name : arena_strdup(arena, link->kind);
		set_present(seen, LINK_KIND);
	}
	if (link->has_mac) {
		seen->mac = link->mac;
		set_present(seen, LINK_MAC);
	}
	seen->mtu = link->mtu;
	seen->up = link->flags & IFF_UP;
	seen->master = master ? arena_strdup(arena, master->name) : "";
	seen->ifindex = (uint32_t)link->index;
	seen->operstate = operstate_text(link->operstate);
	seen->carrier = link->carrier;
	set_present(seen, LINK_MTU);
	set_present(seen, LINK_UP);
	set_present(seen, LINK_MASTER);
	set_present(seen, LINK_IFINDEX);
	set_present(seen, LINK_OPERSTATE);
	set_present(seen, LINK_CARRIER);
	observe_lower(cache, link, seen, arena);
	link_observe_port(link, seen, arena);
	observe_variants(cache, link, want, seen, arena);
}

/* The link that weft made for this key, if somebody has given it another name. It is left alone where the other name is
 * one that weft looks after as well. */
static const struct netlink_link *find_renamed(const struct netlink_cache *cache, const struct op *op)
{
	const struct netlink_link *link =
		op->want && op->made && op->made <= INT_MAX ? netlink_link_by_index(cache, (int)op->made) : NULL;
	bool elsewhere =
		link && !streq(link->name, op->key) && !(netlink_watches(cache, link->name) & NETLINK_WATCH_LINK);
	return elsewhere && link_is_ours(link) && !netlink_link_by_name(cache, op->key) ? link : NULL;
}

/* The link that weft made for this key, if its name has gone to another link of weft's, as when somebody swaps two.
 * Both have to say so: the record of which was made, and the marks. */
static const struct netlink_link *find_swapped(const struct netlink_cache *cache, const struct op *op)
{
	const struct netlink_link *other = netlink_link_by_name(cache, op->key);
	const struct netlink_link *link = op->want && op->mark && op->made && op->made <= INT_MAX
						  ? netlink_link_by_index(cache, (int)op->made)
						  : NULL;
	bool swapped = link && other && link != other && link_is_ours(other) && link_is_ours(link);
	return swapped && streq(link->alias, op->mark) && !streq(other->alias, op->mark) ? link : NULL;
}

static void observe(struct netlink_cache *cache, struct op *op)
{
	int master = (int)(intptr_t)op->lane_data; /* of the message just answered */
	op->lane_data = NULL;
	if (op->err.code)
		link_explain(cache, op, master);
	const struct netlink_link *swapped = find_swapped(cache, op),
				  *renamed = swapped ? swapped : find_renamed(cache, op);
	struct netlink_link *link = swapped ? NULL : netlink_link_by_name(cache, op->key);
	struct link_spec *seen = observation_begin(&op->obs, op->class, link != NULL);
	netlink_cache_watch(cache, op->key, NETLINK_WATCH_LINK);
	if (renamed)
		op->obs.note = arena_printf(op->obs.arena, "it was renamed to '%s'", renamed->name);
	if (!link)
		return;
	link->was_ours |= link_is_ours(link);
	op->obs.owner = owner_of(link, op);
	op->obs.incarnation = (uint64_t)link->index;
	link_observe(cache, link, op->want, seen, op->obs.arena);
	const struct link_kind *kind = link_kind_of(link);
	if (!kind || !kind->health)
		return;
	netlink_cache_watch(cache, op->key, NETLINK_WATCH_PORTS);
	op->obs.health = kind->health(cache, link, seen, op->obs.arena);
}

/* ---- create ---- */

/* One operation's way into messages: its kind, and the other links that its want names, by index (0: none). */
struct writing {
	const struct netlink_cache *cache;
	struct op *op;
	const struct link_kind *kind;
	int master, lower, underlay;
};

static int find_other(struct writing *w, const char *name, const char *what_for, int *ret)
{
	if (!name || !*name)
		return 0;
	const struct netlink_link *link = netlink_link_by_name(w->cache, name);
	if (!link)
		return err_set(&w->op->err, ENODEV, "link '%s', which it is to %s, does not exist", name, what_for);
	*ret = link->index;
	return 0;
}

static int find_others(struct writing *w)
{
	const struct link_spec *want = w->op->want;
	int r = find_other(w, want->master, "be a port of", &w->master);
	if (r == 0)
		r = find_other(w, want->link, "stand on", &w->lower);
	return r == 0 ? find_other(w, want->underlay, "send by", &w->underlay) : r;
}

static struct nlmsghdr *begin_link(struct netlink_batch *batch, struct op *op, uint16_t flags, struct ifinfomsg **ret)
{
	struct nlmsghdr *message = netlink_batch_begin(batch, op, RTM_NEWLINK, flags);
	*ret = mnl_nlmsg_put_extra_header(message, sizeof(**ret));
	return message;
}

/* Puts the rows that every link has; `spec` is mostly the want itself. */
static int put_common(struct nlmsghdr *message, const struct writing *w, const struct link_spec *spec, uint64_t rows)
{
	struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	if (rows & 1 << LINK_UP && has_row(spec, LINK_UP)) {
		header->ifi_change = IFF_UP;
		header->ifi_flags = spec->up ? IFF_UP : 0;
	}
	if (rows & 1 << LINK_MASTER && has_row(spec, LINK_MASTER))
		mnl_attr_put_u32(message, IFLA_MASTER, (uint32_t)w->master);
	if (rows & 1 << LINK_LINK && w->lower)
		mnl_attr_put_u32(message, IFLA_LINK, (uint32_t)w->lower);
	return netlink_put_rows(message, &link_table, spec, rows);
}

/* What only its kind has: the rows of these masks. */
struct info_rows {
	uint64_t fixed, paused, info;
	bool underlay, created;
};

static int put_info_data(struct nlmsghdr *message, const struct writing *w, const struct info_rows *rows)
{
	const struct link_spec *want = w->op->want;
	const struct link_kind *kind = w->kind;
	int r = 0;
	if (rows->fixed && kind->fixed && has_row(want, LINK_FIXED))
		r = netlink_put_rows(message, kind->fixed, want->fixed, rows->fixed);
	if (r == 0 && rows->paused && kind->paused && has_row(want, LINK_PAUSED))
		r = netlink_put_rows(message, kind->paused, want->paused, rows->paused);
	if (r == 0 && rows->info && kind->info && has_row(want, LINK_INFO))
		r = netlink_put_rows(message, kind->info, want->info, rows->info);
	if (rows->underlay && kind->underlay && has_row(want, LINK_UNDERLAY))
		mnl_attr_put_u32(message, kind->underlay, (uint32_t)w->underlay);
	if (r == 0 && rows->info && kind->put_more)
		kind->put_more(message, w->cache, want, rows->info);
	if (rows->created && kind->put)
		kind->put(message, want);
	return r;
}

static int put_info(struct nlmsghdr *message, const struct writing *w, const struct info_rows *rows)
{
	struct nlattr *nest = mnl_attr_nest_start(message, IFLA_LINKINFO);
	mnl_attr_put_strz(message, IFLA_INFO_KIND, w->kind->kernel_name);
	struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	int r = put_info_data(message, w, rows);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, nest);
	return r;
}

/* What is kept from encode() to settle(). */
struct making {
	const struct link_kind *kind;
	int renamed; /* this link gets its name back, 0: none */
	int evicted; /* this one has had it meanwhile, 0: none */
	int fd;      /* -1: made by rtnetlink */
	int master;  /* what the message named, 0: nothing */
};

/* What it becomes a port of; NULL for nothing. */
static const struct netlink_link *joined(const struct writing *w)
{
	bool joins = w->master && (w->op->verb == OP_CREATE || w->op->rows & 1 << LINK_MASTER);
	return joins ? netlink_link_by_index(w->cache, w->master) : NULL;
}

static bool takes_only_down(const struct netlink_link *master)
{
	const struct link_kind *kind = master ? link_kind_of(master) : NULL;
	return kind && kind->ports_join_down;
}

static void remember(const struct writing *w, int fd, int master)
{
	struct making *making = xcalloc(1, sizeof(*making));
	*making = (struct making){.kind = w->kind, .fd = fd, .master = master};
	w->op->lane_data = making;
}

/* The mark, and for links that a descriptor keeps all settings, in one message about the link of this name. Such a link
 * has no carrier once its descriptor is closed, which the kernel notices up to a second later: a bridge would meanwhile
 * open its port and close it again, walking over all its ports both times. As dormant it is left alone until then. */
static int put_alias(struct netlink_batch *batch, const struct writing *w, uint64_t rows)
{
	struct ifinfomsg *header;
	struct nlmsghdr *message = begin_link(batch, w->op, 0, &header);
	mnl_attr_put_strz(message, IFLA_IFNAME, w->op->key);
	if (w->op->mark)
		mnl_attr_put_strz(message, IFLA_IFALIAS, w->op->mark);
	if (((const struct making *)w->op->lane_data)->fd >= 0) {
		mnl_attr_put_u8(message, IFLA_OPERSTATE, IF_OPER_DORMANT);
		mnl_attr_put_u32(message, IFLA_GROUP, LINK_GROUP);
	}
	int r = put_common(message, w, w->op->want, rows);
	netlink_batch_end(batch, message);
	return r;
}

/* It is raised only when the descriptor is closed: a tap that somebody holds has a carrier, and would join the bridge,
 * speak IPv6 and leave again at once. What it is as a port is set before. */
static int create_by_descriptor(struct netlink_batch *batch, const struct writing *w)
{
	cleanup_close int fd = -1;
	int r = w->kind->open(w->op->key, w->op->want, &fd, &w->op->err);
	if (r < 0)
		return r;
	link_group_at_once(w->op->key);
	remember(w, take_fd(&fd), w->master);
	r = put_alias(batch, w, ~(uint64_t)(1 << LINK_UP));
	if (r < 0 || (!has_row(w->op->want, LINK_PORT) && !has_row(w->op->want, LINK_VLANS)))
		return r; /* most have nothing to set, and asking for the index takes time */
	const struct link_port_change change = {
		.index = (int)if_nametoindex(w->op->key), .rows = w->op->rows, .joins = joined(w)};
	return link_put_port(batch, w->op, &change);
}

/* The kernel ignores IFLA_IFALIAS in the message that makes a link; so the mark is a second message of the same
 * sendmsg, and what must be known of the link from its first instant is its group. A bridge takes the MTU in the first
 * message for a passing one, and goes on to follow its ports; so that is set by the second as well, and must be another
 * one before. */
static int create_by_message(struct netlink_batch *batch, const struct writing *w)
{
	struct ifinfomsg *header;
	struct link_spec first = *(const struct link_spec *)w->op->want;
	remember(w, -1, w->master);
	struct nlmsghdr *message = begin_link(batch, w->op, NLM_F_CREATE | NLM_F_EXCL, &header);
	mnl_attr_put_strz(message, IFLA_IFNAME, w->op->key);
	mnl_attr_put_u32(message, IFLA_GROUP, LINK_GROUP);
	if (w->kind->follows_mtu)
		first.mtu ^= 1;
	uint64_t later = takes_only_down(joined(w)) ? 1 << LINK_UP : 0; /* its master raises it */
	int r = put_common(message, w, &first, ~later);
	uint64_t known =
		w->kind->info && has_row(&first, LINK_INFO) ? netlink_rows_at_default(w->kind->info, first.info) : 0;
	if (r == 0)
		r = put_info(message, w, &(struct info_rows){UINT64_MAX, UINT64_MAX, ~known, w->underlay != 0, true});
	netlink_batch_end(batch, message);
	return r < 0 ? r : put_alias(batch, w, w->kind->follows_mtu ? 1 << LINK_MTU : 0);
}

static void put_name(struct netlink_batch *batch, struct op *op, int index, const char *name)
{
	struct ifinfomsg *header;
	struct nlmsghdr *message = begin_link(batch, op, 0, &header);
	header->ifi_index = index;
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	netlink_batch_end(batch, message);
}

/* One that has the name goes out of the way first, to a name that nobody looks after, and gets its own back from there.
 */
static void put_names(struct netlink_batch *batch, struct op *op, const struct making *making)
{
	char aside[IFNAMSIZ];
	snprintf(aside, sizeof(aside), "weft-%d", making->evicted);
	if (making->evicted)
		put_name(batch, op, making->evicted, aside);
	put_name(batch, op, making->renamed, op->key);
}

static void put_flags(struct netlink_batch *batch, struct op *op, int index, unsigned flags)
{
	struct ifinfomsg *header;
	struct nlmsghdr *message = begin_link(batch, op, 0, &header);
	header->ifi_index = index;
	header->ifi_change = IFF_UP;
	header->ifi_flags = flags;
	netlink_batch_end(batch, message);
}

/* Its other rows, and what lives on it, are looked at afterwards as ever. */
static int rename_back(struct netlink_batch *batch, struct op *op, const struct netlink_link *link,
		       const struct netlink_link *evicted)
{
	remember(&(struct writing){.op = op}, -1, 0);
	struct making *making = op->lane_data;
	making->renamed = link->index;
	making->evicted = evicted ? evicted->index : 0;
	put_names(batch, op, making);
	return 0;
}

/* Kernels before 6.2 rename only what is down. */
static void rename_while_down(struct netlink_batch *batch, struct op *op, const struct making *making)
{
	op->err = (struct err){0};
	if (making->evicted)
		put_flags(batch, op, making->evicted, 0);
	put_flags(batch, op, making->renamed, 0);
	put_names(batch, op, making);
	put_flags(batch, op, making->renamed, IFF_UP);
	if (making->evicted)
		put_flags(batch, op, making->evicted, IFF_UP);
}

static int encode_create(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	const struct netlink_link *swapped = find_swapped(cache, op), *renamed = find_renamed(cache, op);
	const struct link_spec *want = op->want;
	const struct link_kind *kind = has_row(want, LINK_KIND) ? link_kind_find(want->kind) : NULL;
	struct writing w = {.cache = cache, .op = op, .kind = kind};
	if (!kind)
		return err_set(&op->err, ENODEV, "link '%s' does not exist", op->key);
	if (strlen(op->key) >= IFNAMSIZ)
		return err_set(&op->err, EINVAL, "'%s' is too long for the name of a link", op->key);
	if (swapped)
		return rename_back(batch, op, swapped, netlink_link_by_name(cache, op->key));
	if (renamed)
		return rename_back(batch, op, renamed, NULL);
	if (netlink_link_by_name(cache, op->key))
		return err_set(&op->err, EEXIST, "there is a link '%s' already", op->key);
	int r = find_others(&w);
	if (r == 0 && kind->prepare)
		r = kind->prepare(cache, op);
	if (r < 0)
		return r;
	return kind->open ? create_by_descriptor(batch, &w) : create_by_message(batch, &w);
}

/* Somebody made a link of this name in the instant between our look and our message: ours failed, and the mark that
 * followed went to his. It is taken back. */
static void unmark(struct netlink_batch *batch, const char *name)
{
	struct ifinfomsg *header;
	struct nlmsghdr *message = begin_link(batch, NULL, 0, &header);
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	mnl_attr_put_strz(message, IFLA_IFALIAS, "");
	netlink_batch_end(batch, message);
}

static void raise_link(struct netlink_batch *batch, struct op *op)
{
	const struct link_spec *want = op->want;
	struct ifinfomsg *header;
	if (!has_row(want, LINK_UP) || !want->up)
		return;
	struct nlmsghdr *message = begin_link(batch, op, 0, &header);
	mnl_attr_put_strz(message, IFLA_IFNAME, op->key);
	put_common(message, &(struct writing){.op = op}, want, 1 << LINK_UP);
	netlink_batch_end(batch, message);
}

static void settle(struct netlink_batch *batch, struct op *op)
{
	cleanup_free struct making *making = op->lane_data;
	op->lane_data = NULL;
	if (!making)
		return;
	op->lane_data = (void *)(intptr_t)making->master; /* for observe() */
	if (making->renamed) {
		if (op->err.code == EBUSY)
			rename_while_down(batch, op, making);
		return;
	}
	if (making->fd < 0 && op->verb == OP_CREATE && op->err.code == EEXIST)
		unmark(batch, op->key);
	if (making->fd < 0)
		return;
	if (!op->err.code && op->mark)
		link_tell_udev(op->key);
	bool kept = !op->err.code && making->kind->keep(making->fd, &op->err) == 0;
	closep(&making->fd);
	if (kept)
		raise_link(batch, op);
}

/* ---- update ---- */

static uint64_t info_differences(const struct link_kind *kind, const struct op *op)
{
	const struct link_spec *want = op->want, *seen = op->seen;
	if (!kind || !kind->info || !(op->rows & 1 << LINK_INFO) || !has_row(want, LINK_INFO))
		return 0;
	if (!seen || !has_row(seen, LINK_INFO) || !streq(seen->kind, want->kind))
		return *(const uint64_t *)want->info;
	return table_diff(kind->info, want->info, seen->info);
}

/* What is said of the kind's own rows in an update: what differs, or all of it where the kernel resets what is left
 * out. */
static struct info_rows info_to_say(const struct writing *w, uint64_t info)
{
	bool underlay = w->op->rows & 1 << LINK_UNDERLAY;
	uint64_t paused = w->op->rows & 1 << LINK_PAUSED ? UINT64_MAX : 0;
	bool any = underlay || paused || (info && (w->kind->put_more || netlink_has_rows(w->kind->info, info)));
	if (any && w->kind->whole)
		return (struct info_rows){UINT64_MAX, UINT64_MAX, UINT64_MAX, w->underlay != 0, false};
	return (struct info_rows){0, paused, any ? info : 0, underlay, false};
}

/* Some changes ask for a link that is down, and some leave it so. What was up, or is to be, is up again afterwards; not
 * by the message itself, since kernels before 6.2 raise it first and then let it join. */
struct pause {
	bool before, after;
};
static struct pause pause_for(const struct writing *w, const struct netlink_link *link)
{
	const struct link_spec *want = w->op->want;
	bool is_up = link->flags & IFF_UP, stays_up = has_row(want, LINK_UP) ? want->up : is_up;
	bool changes = w->op->rows & 1 << LINK_PAUSED;
	bool moves = w->op->rows & 1 << LINK_MASTER, joins = takes_only_down(joined(w));
	bool leaves = moves && link->master && takes_only_down(netlink_link_by_index(w->cache, link->master));
	return (struct pause){is_up && (changes || joins), stays_up && (changes || joins || leaves)};
}

/* In a message of its own: tunnels refuse an MTU beside it, and some take theirs anew, so that is said afterwards. */
static int put_info_alone(struct netlink_batch *batch, const struct writing *w, const struct netlink_link *link,
			  const struct info_rows *rows)
{
	struct ifinfomsg *header;
	struct nlmsghdr *message = begin_link(batch, w->op, 0, &header);
	header->ifi_index = link->index;
	int r = put_info(message, w, rows);
	netlink_batch_end(batch, message);
	return r;
}

static int encode_update(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	const struct link_spec *want = op->want;
	const struct netlink_link *link = netlink_link_by_name(cache, op->key);
	struct ifinfomsg *header;
	int r;
	if (!link)
		return err_set(&op->err, ENODEV, "link '%s' does not exist", op->key);
	struct writing w = {.cache = cache, .op = op, .kind = link_kind_of(link)};
	if ((r = find_others(&w)) < 0)
		return r;
	uint64_t info = info_differences(w.kind, op);
	if (info && w.kind->change && (r = w.kind->change(op, info)) < 0)
		return r;
	remember(&w, -1, op->rows & 1 << LINK_MASTER ? w.master : 0);
	struct info_rows rows = w.kind ? info_to_say(&w, info) : (struct info_rows){0};
	bool any = rows.fixed || rows.paused || rows.info || rows.underlay;
	const struct pause pause = pause_for(&w, link);
	if (pause.before)
		put_flags(batch, op, link->index, 0);
	if (any && (r = put_info_alone(batch, &w, link, &rows)) < 0)
		return r;
	struct nlmsghdr *message = begin_link(batch, op, 0, &header);
	header->ifi_index = link->index;
	uint64_t common = op->rows | (any ? 1 << LINK_MTU : 0);
	r = put_common(message, &w, want, pause.after ? common & ~(uint64_t)(1 << LINK_UP) : common);
	/* A link of ours whose mark was wiped off is marked again; an adopted one is not ours and stays unmarked. */
	if (op->mark && !link->alias && link->was_ours)
		mnl_attr_put_strz(message, IFLA_IFALIAS, op->mark);
	netlink_batch_end(batch, message);
	if (pause.after)
		put_flags(batch, op, link->index, IFF_UP);
	const struct link_port_change change = {
		.index = link->index, .rows = op->rows, .link = link, .joins = joined(&w)};
	return r < 0 ? r : link_put_port(batch, op, &change);
}

/* ---- remove ---- */

const struct netlink_link *link_to_remove(const struct netlink_cache *cache, const struct op *op)
{
	const struct netlink_link *link = netlink_link_by_name(cache, op->key);
	const struct link_spec *seen = op->seen;
	if (!link || link_is_ours(link) || (seen && seen->ifindex == (uint32_t)link->index))
		return link;
	return NULL;
}

int link_encode_remove(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	const struct netlink_link *link = link_to_remove(cache, op);
	struct ifinfomsg *header;
	if (!link)
		return 0;
	int r = link_refuse_foreign(cache, link, &op->err);
	if (r < 0)
		return r;
	if (op->anew)
		netlink_kept_take(cache, batch, link);
	struct nlmsghdr *message = netlink_batch_begin(batch, op, RTM_DELLINK, 0);
	header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->ifi_index = link->index;
	netlink_batch_end(batch, message);
	return 0;
}

static int encode(struct netlink_batch *batch, struct netlink_cache *cache, struct op *op)
{
	switch (op->verb) {
	case OP_OBSERVE:
		return 0;
	case OP_CREATE:
		return encode_create(batch, cache, op);
	case OP_UPDATE:
		return encode_update(batch, cache, op);
	case OP_REMOVE:
		return link_encode_remove(batch, cache, op);
	}
	return 0;
}

static const struct netlink_verbs link_verbs = {
	.observe = observe,
	.encode = encode,
	.settle = settle,
	.remove_many = link_remove_many,
};

static bool creatable(const void *spec)
{
	return has_row(spec, LINK_KIND);
}

/* EBUSY: the device is just being renamed, torn down, or moved by somebody else. */
static const struct errno_rule link_errnos[] = {
	{OP_CREATE, EEXIST, ANSWER_RETRY},  {OP_CREATE, ENODEV, ANSWER_WAIT},   {OP_CREATE, ENOBUFS, ANSWER_RETRY},
	{OP_CREATE, EAGAIN, ANSWER_RETRY},  {OP_CREATE, ENOMEM, ANSWER_RETRY},  {OP_UPDATE, ENODEV, ANSWER_WAIT},
	{OP_UPDATE, ENOBUFS, ANSWER_RETRY}, {OP_UPDATE, EAGAIN, ANSWER_RETRY},  {OP_UPDATE, ENOMEM, ANSWER_RETRY},
	{OP_REMOVE, ENODEV, ANSWER_DONE},   {OP_REMOVE, ENOBUFS, ANSWER_RETRY}, {OP_REMOVE, EAGAIN, ANSWER_RETRY},
	{OP_REMOVE, EBUSY, ANSWER_RETRY},   {OP_REMOVE, ENOMEM, ANSWER_RETRY},
};

const struct resource_class netd_link_class = {
	.name = "link",
	.doc = "A network interface; its key is its name.",
	.table = &link_table,
	.lane = "netlink",
	.verbs = &link_verbs,
	.flags = CLASS_TRANSACTIONAL | CLASS_ADOPT_UNMARKED,
	.rules = link_errnos,
	.n_rules = ARRAY_SIZE(link_errnos),
	.creatable = creatable,
	.loss = link_loss,
};
