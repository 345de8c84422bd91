/* SPDX-License-Identifier: Apache-2.0 */
/* What of others goes with a link, for plans: addresses and the like that weft brings back where the link is made anew
 * (netlink-kept.h), and a tunnel's forwarding entries, which it does not. */
#include "netd/link.h"
#include "netd/netlink-fdb.h"
#include "netd/netlink-kept.h"

static link_entry_fn *has_entry;

void link_loss_start(link_entry_fn *fn)
{
	has_entry = fn;
}

enum { NAMED_MAX = 12 }; /* of each sort; then that there are more */

struct names {
	const char *text; /* NULL: none */
	size_t n;
};

struct loss {
	const char *key;
	struct arena *arena;
	int index; /* of the link, 0: there is nothing to look at */
	bool knows_proto;
	const char *refusal;
	struct names addresses, kept, entries;
};

static void add(struct loss *loss, struct names *names, const char *name)
{
	if (names->n++ < NAMED_MAX)
		names->text = arena_printf(loss->arena, "%s%s%s", names->text ? names->text : "",
					   names->text ? ", " : "", name);
	else if (names->n == NAMED_MAX + 1)
		names->text = arena_printf(loss->arena, "%s and more", names->text);
}

/* ---- what the cache knows ---- */

/* Only the engine's records know whose a forwarding entry is. */
static bool is_foreign_entry(const struct netlink_link *link, const struct netlink_fdb *entry)
{
	char key[NETLINK_FDB_KEY];
	return has_entry && !has_entry(netlink_fdb_key(link, entry, key));
}

static void add_entries(struct loss *loss, const struct netlink_link *link)
{
	char mac[IP_TEXT], remote[IP_TEXT];
	for (const struct netlink_fdb *e = link->fdb; e; e = e->next)
		if (is_foreign_entry(link, e))
			add(loss, &loss->entries,
			    arena_printf(loss->arena, "the forwarding of %s to %s", mac_text(&e->mac, mac),
					 ip_text(&e->remote, remote)));
}

static void look(const struct netlink_cache *cache, void *ctx)
{
	struct loss *loss = ctx;
	const struct netlink_link *link = netlink_link_by_name(cache, loss->key);
	struct err err = {0};
	char text[IP_TEXT];
	if (!link || !link_is_ours(link))
		return;
	loss->index = link->index;
	loss->knows_proto = cache->knows_proto;
	if (link_refuse_foreign(cache, link, &err) < 0)
		loss->refusal = arena_strdup(loss->arena, err.text);
	for (const struct netlink_address *a = link->addresses; a && cache->knows_proto; a = a->next)
		if (netlink_kept_address(a))
			add(loss, &loss->addresses, prefix_text(&a->prefix, text));
	add_entries(loss, link);
}

/* ---- what only the kernel knows ---- */

static void take(void *ctx, const struct nlmsghdr *message)
{
	struct loss *loss = ctx;
	if (netlink_kept_link(message) == loss->index && (message->nlmsg_type != RTM_NEWADDR || loss->knows_proto))
		add(loss, &loss->kept, netlink_kept_text(message, loss->arena));
}

/* Everybody waits for the answers, and a host may have a million routes: so much time, in so much. */
enum { ASK_MS = 300, WINDOW_MS = 5000 };

static void ask(struct loss *loss)
{
	static uint64_t window_ms, spent_ms;
	uint64_t now = now_ms();
	if (now - window_ms > WINDOW_MS) {
		window_ms = now;
		spent_ms = 0;
	}
	if (spent_ms > ASK_MS)
		return;
	struct netlink_batch *batch = xcalloc(1, sizeof(*batch)); /* too large for a stack */
	if (netlink_batch_open(batch, NULL) == 0)
		(void)netlink_kept_ask(batch, loss->index, take, loss);
	netlink_batch_close(batch);
	free(batch);
	spent_ms += now_ms() - now;
}

/* Of one that goes for good only what is known anyway: there may be thousands of them. */
const char *link_loss(const char *key, bool anew, struct arena *arena)
{
	struct loss loss = {.key = key, .arena = arena};
	netlink_facts_look(look, &loss);
	if (loss.refusal)
		return arena_printf(arena, "is refused: %s", loss.refusal);
	if (!anew || !loss.index) {
		struct names all = loss.addresses;
		if (loss.entries.text)
			add(&loss, &all, loss.entries.text);
		return all.text ? arena_printf(arena, "takes along %s, which weft did not put there", all.text) : NULL;
	}
	ask(&loss);
	const char *lost = loss.entries.text ? arena_printf(arena, "takes along %s, which weft did not put there",
							    loss.entries.text)
					     : NULL;
	if (!loss.kept.text)
		return lost;
	return arena_printf(arena, "%s%sinterrupts for a moment what others put there: %s", lost ? lost : "",
			    lost ? ", and " : "", loss.kept.text);
}
