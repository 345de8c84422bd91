/* SPDX-License-Identifier: Apache-2.0 */
/* `weft import host`: reads what the kernel has, makes objects of it (import-link.c), and then goes the whole way that
 * an apply would go up to its first change: the objects are checked and lowered, and what they want is held against
 * what is there. What is refused is left out, what would change is told. See import.h. */
#include "netd/import.h"

#include "core/diag.h"
#include "netd/netd.h"
#include "netd/netlink-fdb.h"
#include "netd/route-cache.h"

extern const struct kind netd_ethernet_kind;

/* ---- reading the host ---- */

static void take_routes(void *ctx, const struct nlmsghdr *message)
{
	struct kernel_route ***end = ctx;
	if (message->nlmsg_type == RTM_NEWROUTE)
		**end = route_message_read(message);
	while (**end)
		*end = &(**end)->next;
}

static int read_host(struct importing *host, struct netlink_batch *batch, struct err *err)
{
	struct kernel_route **end = &host->routes;
	struct netlink_question question = {.type = RTM_GETROUTE, .family = AF_INET, .fn = take_routes, .ctx = &end};
	int r = netlink_batch_open(batch, err);
	if (r == 0)
		r = netlink_cache_open(host->cache, batch, 0, err);
	if (r == 0)
		r = netlink_fdb_open(host->cache, err);
	if (r == 0)
		r = netlink_ask(batch, &question, err);
	question.family = AF_INET6;
	return r == 0 ? netlink_ask(batch, &question, err) : r;
}

/* ---- objects ---- */

struct found {
	struct object **objects;
	size_t n, cap;
};

/* Each value has a line of its own, by which a fault tells what it is about. */
static void place(struct node *node, const struct source *source, unsigned *line)
{
	node->pos = (struct pos){.source = source, .line = ++*line, .column = 1};
	for (size_t i = 0; i < node->n; i++) {
		place(node->items[i], source, line);
		if (node->keys)
			place(node->keys[i], source, line);
	}
}

/* Faults are told by the object's name, which stands for its file. */
static struct object *make_object(struct importing *host, const struct kind *kind, const char *name, json_t *spec)
{
	struct diags diags = {.arena = host->arena};
	unsigned line = 0;
	struct source *source = arena_alloc(host->arena, sizeof(*source));
	*source = (struct source){.name = arena_strdup(host->arena, name), .text = ""};
	json_t *json = json_pack("{s:s, s:s, s:{s:s}, s:o}", "apiVersion", "weft/v1", "kind", kind->name, "metadata",
				 "name", name, "spec", spec);
	struct node *doc = node_from_json(json, host->arena);
	json_decref(json);
	place(doc, source, &line);
	struct object *object = object_decode(doc, host->arena, &diags);
	if (diags.n || !object) {
		import_remark(host, "%s is left out: as %s, %s.", name, kind->name,
			      diags.n ? diags.items[0]->text : "it cannot be read");
		return NULL;
	}
	return object;
}

static void add_object(struct importing *host, struct found *found, const struct kind *kind, const char *name,
		       json_t *spec)
{
	struct object *object = make_object(host, kind, name, spec);
	if (!object)
		return;
	grow(found->objects, found->n, found->cap);
	found->objects[found->n++] = object;
}

static bool is_other_end(const struct importing *host, const struct found *found, const char *name)
{
	for (size_t i = 0; i < found->n; i++) {
		const struct object *object = found->objects[i];
		for (size_t k = 0; k < n_link_kinds; k++) {
			if (link_kinds[k]->object != object->kind || !link_kinds[k]->other_end)
				continue;
			if (streq(link_kinds[k]->other_end(host->arena, object)->name, name))
				return true;
		}
	}
	return false;
}

static bool has_routes(const struct importing *host, const struct netlink_link *link)
{
	const struct kernel_route *r = host->routes;
	while (r && (r->device != link->index || !import_is_static(r)))
		r = r->next;
	return r;
}

/* Of two ends one object is made, and it can say the routes of the first end only. */
static bool leaves_it_to_the_other(const struct importing *host, const struct netlink_link *link)
{
	const struct link_kind *kind = link_kind_of(link);
	const struct netlink_link *other = link->elsewhere ? NULL : netlink_link_by_index(host->cache, link->lower);
	return kind && kind->other_end && other && import_takes(other, NULL) && other->index > link->index &&
	       !has_routes(host, link) && has_routes(host, other);
}

/* What cannot be made anew may still have its addresses and routes looked after, as a link that is there already. */
static void add_link(struct importing *host, struct found *found, const struct netlink_link *link)
{
	const struct link_kind *link_kind = link_kind_of(link);
	struct link_spec *seen = arena_alloc(host->arena, sizeof(*seen));
	const char *why = NULL;
	bool whole = import_takes(link, &why);
	if ((!whole && !why) || is_other_end(host, found, link->name) || leaves_it_to_the_other(host, link))
		return;
	const struct kind *kind = whole && link_kind ? link_kind->object : &netd_ethernet_kind;
	link_observe(host->cache, link, NULL, seen, host->arena);
	const struct link_import import = {host, link, seen};
	json_t *spec = import_spec(&import, kind);
	if (!whole)
		import_remark(host, "%s (%s) %s: %s.", link->name, link->kind,
			      spec ? "is taken as a link that is there already, by its addresses and routes alone"
				   : "is left out",
			      why);
	if (spec)
		add_object(host, found, kind, link->name, spec);
}

static void add_links(struct importing *host, struct found *found)
{
	const struct netlink_link **links;
	size_t n = import_links(host, 0, &links);
	for (size_t i = 0; i < n; i++)
		add_link(host, found, links[i]);
	free(links);
}

/* Such as blackhole; IPv6 has them on the loopback. */
static void tell_routes_without_link(struct importing *host)
{
	char text[IP_TEXT];
	for (const struct kernel_route *r = host->routes; r; r = r->next) {
		const struct netlink_link *link = r->device ? netlink_link_by_index(host->cache, r->device) : NULL;
		if (import_is_static(r) && (!link || link->flags & IFF_LOOPBACK))
			import_remark(host, "The route to %s leads to no link, and stays as it is.",
				      prefix_text(&r->to, text));
	}
}

/* ---- going the way of an apply ---- */

/* The kernel makes many a tunnel with an MTU that does not fit. Such a one is taken without it, rather than not at all.
 */
static struct object *without_mtu(struct importing *host, const struct object *object, const struct diag *fault)
{
	static const char path[] = "spec.mtu";
	const struct field *row = table_field(object->kind->table, "mtu");
	if (!row || !is_present(object->spec, object->kind->table, row) ||
	    object_pos(object, path).line != fault->pos.line)
		return NULL;
	import_remark(host, "%s: its MTU is not said, for %s.", object->name, fault->text);
	json_t *json = object_to_json(object, 0), *spec = json_object_get(json, "spec");
	json_object_del(spec, "mtu");
	struct object *other = make_object(host, object->kind, object->name, json_incref(spec));
	json_decref(json);
	return other;
}

/* Takes out the objects that the faults are about, or what of them is at fault; false if there are none such. */
static bool leave_out(struct importing *host, struct found *found, const struct diags *diags)
{
	size_t before = found->n;
	bool changed = false;
	for (size_t i = 0; i < diags->n; i++) {
		const struct diag *diag = diags->items[i];
		for (size_t k = 0; diag->pos.source && k < found->n; k++) {
			if (!streq(found->objects[k]->name, diag->pos.source->name))
				continue;
			struct object *other = without_mtu(host, found->objects[k], diag);
			if (other) {
				found->objects[k] = other;
				changed = true;
				break;
			}
			import_remark(host, "%s is left out: %s.", diag->pos.source->name, diag->text);
			memmove(&found->objects[k], &found->objects[k + 1], (--found->n - k) * sizeof(*found->objects));
			break;
		}
	}
	return changed || found->n < before;
}

/* What is wanted of the objects that are left, NULL if they are refused for no fault of one of them. */
static struct generation *lower_found(struct importing *host, struct found *found)
{
	for (;;) {
		struct generation *gen = generation_new(NULL);
		struct diags diags = {.arena = host->arena};
		struct lower_input input = {.objects = found->objects, .n_objects = found->n};
		if (lower_all(gen, &input, &diags) == 0)
			return gen;
		generation_unref(gen);
		if (!leave_out(host, found, &diags)) {
			import_remark(host, "Together they would be refused: %s.",
				      diags.n ? diags.items[0]->text : "nobody says why");
			return NULL;
		}
	}
}

static void tell_difference(struct importing *host, const struct want *want, const struct observation *obs)
{
	const struct table *table = want->class->table;
	if (!obs->exists) {
		import_remark(host, "Applied, this would be made: %s %s.", want->class->name, want->key);
		return;
	}
	uint64_t rows = table_diff(table, want->spec, obs->spec);
	for (size_t i = 0; i < table->n_fields; i++)
		if (rows >> i & 1)
			import_remark(host, "Applied, this would change: %s of %s %s, from %s to %s.",
				      table->fields[i].name, want->class->name, want->key,
				      table_row_text(table, obs->spec, i, host->arena),
				      table_row_text(table, want->spec, i, host->arena));
}

static int compare_all(struct importing *host, const struct generation *gen, struct err *err)
{
	struct op *ops = xcalloc(gen->n_wants + 1, sizeof(*ops));
	for (size_t i = 0; i < gen->n_wants; i++) {
		const struct want *want = gen->wants[i];
		const struct netlink_verbs *verbs = want->class->verbs;
		ops[i] = (struct op){.verb = OP_OBSERVE, .class = want->class, .key = want->key, .want = want->spec};
		if (streq(want->class->lane, "netlink") && verbs->watch)
			verbs->watch(host->cache, &ops[i]);
	}
	int r = route_cache_refresh(host->cache, err);
	for (size_t i = 0; r == 0 && i < gen->n_wants; i++) {
		const struct netlink_verbs *verbs = gen->wants[i]->class->verbs;
		if (!streq(gen->wants[i]->class->lane, "netlink"))
			continue;
		verbs->observe(host->cache, &ops[i]);
		tell_difference(host, gen->wants[i], &ops[i].obs);
		observation_done(&ops[i].obs);
	}
	free(ops);
	return r;
}

static json_t *documents(const struct found *found)
{
	json_t *objects = json_array();
	for (size_t i = 0; i < found->n; i++)
		json_array_append_new(objects, object_to_json(found->objects[i], 0));
	return objects;
}

json_t *netd_import(struct err *err)
{
	struct importing host = {
		.cache = xcalloc(1, sizeof(*host.cache)), .arena = arena_new(), .remarks = json_array()};
	struct netlink_batch *batch = xcalloc(1, sizeof(*batch));
	struct found found = {0};
	struct generation *gen = NULL;
	int r = netd_links_start(NULL, err);
	netd_leased_start();
	if (r == 0)
		r = read_host(&host, batch, err);
	if (r == 0) {
		add_links(&host, &found);
		tell_routes_without_link(&host);
		gen = lower_found(&host, &found);
	}
	if (gen)
		r = compare_all(&host, gen, err);
	json_t *answer = r == 0 ? json_pack("{s:o, s:O}", "objects", documents(&found), "remarks", host.remarks) : NULL;
	generation_unref(gen);
	for (struct kernel_route *route = host.routes, *next; route; route = next) {
		next = route->next;
		kernel_route_free(route);
	}
	free(found.objects);
	netlink_cache_close(host.cache);
	netlink_batch_close(batch);
	free(host.cache);
	free(batch);
	arena_free(host.arena);
	json_decref(host.remarks);
	return answer;
}
