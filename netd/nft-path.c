/* SPDX-License-Identifier: Apache-2.0 */
/* Follows packets through the base chains of other people's tables; see nft-path.h. nft-match.c knows whether a rule's
 * match applies. */
#include "netd/nft-path.h"

#include "netd/nft-match.h"

enum { DEPTH_MAX = 16, RULES_MAX = 20000 };

struct chain {
	const char *family, *table, *name;
	const char *type, *hook, *policy; /* hook NULL: not a base chain */
	json_t **rules;                   /* "expr" of each, borrowed */
	size_t n_rules, cap_rules;
};
struct nft_ruleset {
	struct arena *arena;
	json_t *json;
	struct chain *chains;
	size_t n_chains, cap_chains;
};

enum verdict { VERDICT_NONE, VERDICT_ACCEPT, VERDICT_DROP };
struct walk {
	const struct nft_ruleset *ruleset;
	const struct packet *packet;
	const struct chain *base;
	unsigned n_rules; /* looked at */
};

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

static struct chain *find_chain(const struct nft_ruleset *ruleset, const char *family, const char *table,
				const char *name)
{
	for (size_t i = 0; i < ruleset->n_chains; i++) {
		struct chain *chain = &ruleset->chains[i];
		if (streq(chain->name, name) && streq(chain->table, table) && streq(chain->family, family))
			return chain;
	}
	return NULL;
}

static void add_chain(struct nft_ruleset *ruleset, const json_t *json)
{
	arena_grow(ruleset->arena, ruleset->chains, ruleset->n_chains, ruleset->cap_chains);
	ruleset->chains[ruleset->n_chains++] = (struct chain){
		.family = text_of(json, "family"),
		.table = text_of(json, "table"),
		.name = text_of(json, "name"),
		.type = text_of(json, "type"),
		.hook = json_string_value(json_object_get(json, "hook")),
		.policy = text_of(json, "policy"),
	};
}

/* Rules come right after each other for a chain, mostly. */
static void add_rule(struct nft_ruleset *ruleset, const json_t *json, struct chain **last)
{
	const char *family = text_of(json, "family"), *table = text_of(json, "table"), *name = text_of(json, "chain");
	struct chain *chain = *last;
	if (!chain || !streq(chain->name, name) || !streq(chain->table, table) || !streq(chain->family, family))
		chain = *last = find_chain(ruleset, family, table, name);
	json_t *expr = json_object_get(json, "expr");
	if (!chain || !json_is_array(expr))
		return;
	arena_grow(ruleset->arena, chain->rules, chain->n_rules, chain->cap_rules);
	chain->rules[chain->n_rules++] = expr;
}

int nft_ruleset_parse(const char *text, size_t size, struct nft_ruleset **ret, struct err *err)
{
	json_error_t error;
	json_t *json = json_loadb(text, size, 0, &error), *item;
	json_t *items = json_object_get(json, "nftables");
	if (!json_is_array(items)) {
		json_decref(json);
		return err_set(err, EPROTO, "the output of nft is not understood%s%s", json ? "" : ": ",
			       json ? "" : error.text);
	}
	struct arena *arena = arena_new();
	struct nft_ruleset *ruleset = arena_new_of(arena, struct nft_ruleset);
	*ruleset = (struct nft_ruleset){.arena = arena, .json = json};
	struct chain *last = NULL;
	size_t i;
	json_array_foreach(items, i, item)
		if (json_object_get(item, "chain"))
			add_chain(ruleset, json_object_get(item, "chain"));
	json_array_foreach(items, i, item)
		if (json_object_get(item, "rule"))
			add_rule(ruleset, json_object_get(item, "rule"), &last);
	*ret = ruleset;
	return 0;
}

struct nft_ruleset *nft_ruleset_free(struct nft_ruleset *ruleset)
{
	if (ruleset) {
		json_decref(ruleset->json);
		arena_free(ruleset->arena);
	}
	return NULL;
}

static enum verdict walk_chain(struct walk *walk, const struct chain *chain, bool maybe, unsigned depth);

/* What a verdict statement comes to. `ends`: the chain ends here even without a verdict (goto, return). */
static enum verdict follow(struct walk *walk, const json_t *statement, bool unsure, unsigned depth, bool *ends)
{
	if (json_object_get(statement, "accept") || json_object_get(statement, "queue"))
		return unsure ? VERDICT_NONE : VERDICT_ACCEPT;
	if (json_object_get(statement, "drop") || json_object_get(statement, "reject"))
		return VERDICT_DROP;
	*ends = json_object_get(statement, "return") || json_object_get(statement, "goto");
	json_t *to = json_object_get(statement, "goto");
	to = to ? to : json_object_get(statement, "jump");
	const struct chain *target =
		to ? find_chain(walk->ruleset, walk->base->family, walk->base->table, text_of(to, "target")) : NULL;
	return target ? walk_chain(walk, target, unsure, depth + 1) : VERDICT_NONE;
}

/* vmap: the key's value selects a verdict. */
static enum verdict follow_map(struct walk *walk, const json_t *map, struct match *match, unsigned depth, bool *ends)
{
	json_t *set = json_object_get(json_object_get(map, "data"), "set"), *element;
	size_t i;
	if (!json_is_array(set)) { /* a named map */
		match_and(match, MATCH_MAYBE, true);
		return VERDICT_NONE;
	}
	json_array_foreach(set, i, element) {
		struct match one = match_value(walk->packet, json_object_get(map, "key"), json_array_get(element, 0));
		if (one.is == MATCH_YES && match->is == MATCH_YES) {
			match_and(match, one.is, one.mentions);
			return follow(walk, json_array_get(element, 1), false, depth, ends);
		}
	}
	return VERDICT_NONE;
}

/* One rule: all its matches, then its verdict. `maybe`: it is not certain that the packet comes here, nor did any rule
 * on the way speak of the network. What may apply counts only if it accepts, and only if it speaks of the network. */
static enum verdict walk_rule(struct walk *walk, const json_t *expr, bool maybe, unsigned depth, bool *ends)
{
	struct match match = {MATCH_YES, false};
	enum verdict verdict = VERDICT_NONE;
	bool stops = false, unsure = maybe;
	size_t i;
	json_t *statement;
	json_array_foreach(expr, i, statement) {
		json_t *map = json_object_get(statement, "vmap");
		match_statement(walk->packet, statement, &match);
		if (match.is == MATCH_NO)
			return VERDICT_NONE;
		unsure = !match.mentions && (maybe || match.is == MATCH_MAYBE);
		verdict = map ? follow_map(walk, map, &match, depth, &stops)
			      : follow(walk, statement, unsure, depth, &stops);
		if (verdict != VERDICT_NONE || stops)
			break;
	}
	if (match.is == MATCH_YES && !maybe) {
		*ends = stops;
		return verdict;
	}
	return verdict == VERDICT_ACCEPT ? VERDICT_ACCEPT : VERDICT_NONE;
}

static enum verdict walk_chain(struct walk *walk, const struct chain *chain, bool maybe, unsigned depth)
{
	if (depth > DEPTH_MAX)
		return VERDICT_ACCEPT;
	for (size_t i = 0; i < chain->n_rules; i++) {
		bool ends = false;
		if (++walk->n_rules > RULES_MAX)
			return VERDICT_ACCEPT;
		enum verdict verdict = walk_rule(walk, chain->rules[i], maybe, depth, &ends);
		if (verdict != VERDICT_NONE || ends)
			return verdict;
	}
	return VERDICT_NONE;
}

/* The base chains that iptables-nft makes: there our own jumps stand first. */
static bool is_iptables_chain(const struct chain *chain)
{
	static const char *const tables[] = {"filter", "nat", "mangle", "raw", "security"};
	static const char *const names[] = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};
	bool table = false, name = false;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		table = table || streq(chain->table, tables[i]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		name = name || streq(chain->name, names[i]);
	return table && name && (streq(chain->family, "ip") || streq(chain->family, "ip6"));
}

static bool sees(const struct chain *chain, const struct packet *packet, const char *const *hooks)
{
	bool hooked = false;
	for (; chain->hook && *hooks; hooks++)
		hooked = hooked || streq(chain->hook, *hooks);
	if (!hooked || !streq(chain->type, "filter") || is_iptables_chain(chain))
		return false;
	if (streq(chain->family, "inet"))
		return true;
	return streq(chain->family, packet->six ? "ip6" : "ip");
}

static const struct chain *dropping_chain(const struct nft_ruleset *ruleset, const struct packet *packet,
					  const char *const *hooks)
{
	for (size_t i = 0; i < ruleset->n_chains; i++) {
		const struct chain *chain = &ruleset->chains[i];
		struct walk walk = {ruleset, packet, chain, 0};
		if (!sees(chain, packet, hooks))
			continue;
		enum verdict verdict = walk_chain(&walk, chain, false, 0);
		if (verdict == VERDICT_DROP || (verdict == VERDICT_NONE && streq(chain->policy, "drop")))
			return chain;
	}
	return NULL;
}

struct probe {
	struct packet packet;
	const char *hooks[3];
	const char *what, *remedy;
	bool wanted;
};

static const char *run_probe(const struct nft_ruleset *ruleset, const struct probe *probe, const char *bridge,
			     struct arena *arena)
{
	const struct chain *chain = probe->wanted ? dropping_chain(ruleset, &probe->packet, probe->hooks) : NULL;
	if (!chain)
		return NULL;
	return arena_printf(arena,
			    "the nftables chain '%s' of table '%s %s' drops %s; accept it there, for example with: nft "
			    "insert rule %s %s %s %s \"%s\" accept",
			    chain->name, chain->family, chain->table, probe->what, chain->family, chain->table,
			    chain->name, probe->remedy, bridge);
}

static const char *forward_fault(const struct nft_ruleset *ruleset, const struct nft_path *path,
				 const struct ip_prefix *prefix, struct arena *arena)
{
	bool six = prefix->ip.family == 6;
	const struct probe probes[] = {
		{.packet = {.bridge = path->bridge,
			    .six = six,
			    .iifname = path->bridge,
			    .state = "new",
			    .source = &prefix->ip},
		 .hooks = {"prerouting", "forward"},
		 .what = "what guests send beyond the host",
		 .remedy = "iifname",
		 .wanted = true},
		{.packet = {.bridge = path->bridge,
			    .six = six,
			    .oifname = path->bridge,
			    .state = "established",
			    .destination = &prefix->ip},
		 .hooks = {"forward"},
		 .what = "the answers to what guests send beyond the host",
		 .remedy = "oifname",
		 .wanted = true},
	};
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		const char *fault = run_probe(ruleset, &probes[i], path->bridge, arena);
		if (fault)
			return fault;
	}
	return NULL;
}

static bool has_six(const struct nft_path *path)
{
	for (size_t i = 0; i < path->prefixes.n; i++)
		if (list_at(&path->prefixes, struct ip_prefix, i).ip.family == 6)
			return true;
	return false;
}

const char *nft_path_fault(const struct nft_ruleset *ruleset, const struct nft_path *path, struct arena *arena)
{
	const char *bridge = path->bridge;
	static const struct ip nowhere = {.family = 4}, everywhere = {.family = 4, .b = {255, 255, 255, 255}};
	const struct probe probes[] = {
		{.packet = {.bridge = bridge,
			    .iifname = bridge,
			    .protocol = "udp",
			    .sport = 68,
			    .dport = 67,
			    .state = "new",
			    .source = &nowhere,
			    .destination = &everywhere},
		 .hooks = {"prerouting", "input"},
		 .what = "DHCP requests of guests",
		 .remedy = "iifname",
		 .wanted = path->dhcp},
		{.packet = {.bridge = bridge, .oifname = bridge, .protocol = "udp", .sport = 67, .dport = 68},
		 .hooks = {"output"},
		 .what = "DHCP answers to guests",
		 .remedy = "oifname",
		 .wanted = path->dhcp},
		{.packet = {.bridge = bridge,
			    .six = true,
			    .iifname = bridge,
			    .protocol = "icmpv6",
			    .icmp = "nd-neighbor-solicit",
			    .state = "untracked"},
		 .hooks = {"prerouting", "input"},
		 .what = "neighbour discovery of guests",
		 .remedy = "iifname",
		 .wanted = has_six(path)},
	};
	const char *fault = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(probes) && !fault; i++)
		fault = run_probe(ruleset, &probes[i], bridge, arena);
	for (size_t i = 0; i < path->prefixes.n && path->forward && !fault; i++)
		fault = forward_fault(ruleset, path, &list_at(&path->prefixes, struct ip_prefix, i), arena);
	return fault;
}
