/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of iptables: reading what iptables-save prints, and finding what of it is ours. Pure, so that tests need no
 * kernel. See rules.h. */
#include "core/env.h"
#include "netd/rules.h"

const char *const family_names[N_FAMILIES] = {"ipv4", "ipv6"};

int rules_key_parse(const char *key, struct rules_key *ret, struct err *err)
{
	const char *table = strchr(key, '/');
	const char *network = table ? strchr(table + 1, '/') : NULL;
	struct rules_key parsed = {.family = str_starts(key, "ipv6/") ? FAMILY_IPV6 : FAMILY_IPV4};
	if (!network || !network[1] || (!str_starts(key, "ipv4/") && !str_starts(key, "ipv6/")))
		return err_set(err, EINVAL, "the key '%s' is not of the form ipv4|ipv6/TABLE/NETWORK", key);
	size_t size = (size_t)(network - table - 1);
	if (size == 0 || size >= sizeof(parsed.table))
		return err_set(err, EINVAL, "the key '%s' names no table of iptables", key);
	memcpy(parsed.table, table + 1, size);
	parsed.network = network + 1;
	*ret = parsed;
	return 0;
}

const char *rules_chain_network(const char *chain)
{
	if (!str_starts(chain, "WEFT-"))
		return NULL;
	const char *dash = strchr(chain + 5, '-');
	return dash && dash > chain + 5 && dash[1] ? dash + 1 : NULL;
}

static bool is_plain(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	return *text != '\0';
}

static int check_chain(const struct rules_chain *chain, const char *network, struct err *err)
{
	const char *of = rules_chain_network(chain->name);
	if (!of || !streq(of, network) || strlen(chain->name) > CHAIN_NAME_MAX || !is_plain(chain->name) ||
	    strchr(chain->name, ' '))
		return err_set(err, EINVAL,
			       "the chain '%s' cannot be one of %s: it must be WEFT-PART-%s, at most %d characters",
			       chain->name, network, network, CHAIN_NAME_MAX);
	for (size_t i = 0; i < chain->rules.n; i++)
		if (!is_plain(list_at(&chain->rules, const char *, i)))
			return err_set(err, EINVAL, "rule %zu of the chain '%s' is empty or has control characters",
				       i + 1, chain->name);
	return 0;
}

int rules_check(const struct rules_spec *spec, const char *network, struct err *err)
{
	for (size_t i = 0; i < spec->chains.n; i++) {
		int r = check_chain(&list_at(&spec->chains, struct rules_chain, i), network, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < spec->jumps.n; i++) {
		const struct rules_jump *jump = &list_at(&spec->jumps, struct rules_jump, i);
		const char *of = rules_chain_network(jump->to);
		if (!of || !streq(of, network) || !is_plain(jump->from) || strchr(jump->from, ' ') ||
		    (jump->match && !is_plain(jump->match)))
			return err_set(err, EINVAL, "the jump from '%s' to '%s' does not lead into a chain of %s",
				       jump->from, jump->to, network);
	}
	return 0;
}

static struct saved_chain *find_chain(const struct saved_table *table, const char *name)
{
	for (size_t i = table->n_chains; i > 0; i--)
		if (streq(table->chains[i - 1].name, name))
			return &table->chains[i - 1];
	return NULL;
}

const struct saved_table *saved_find(const struct saved *saved, const char *name)
{
	for (size_t i = 0; saved && i < saved->n_tables; i++)
		if (streq(saved->tables[i].name, name))
			return &saved->tables[i];
	return NULL;
}

static struct saved_table *add_table(struct saved *saved, const char *name)
{
	struct saved_table *table = (struct saved_table *)saved_find(saved, name);
	if (table)
		return table;
	arena_grow(saved->arena, saved->tables, saved->n_tables, saved->cap_tables);
	table = &saved->tables[saved->n_tables++];
	*table = (struct saved_table){.name = name};
	return table;
}

/* [-i lan] -m comment --comment "weft:ID:Network/lan" -j WEFT-IN-lan */
static void read_jump(struct saved *saved, struct saved_table *table, const char *from, const char *line)
{
	static const char before[] = "-m comment --comment \"weft:";
	const char *comment = strstr(line, before);
	const char *mark = comment ? comment + sizeof(before) - 1 - strlen("weft:") : NULL;
	const char *end = mark ? strchr(mark, '"') : NULL;
	if (!end || !str_starts(end, "\" -j ") || !rules_chain_network(end + 5) || strchr(end + 5, ' '))
		return;
	struct saved_jump jump = {.from = from, .to = end + 5, .line = line, .match = ""};
	jump.mark = arena_strndup(saved->arena, mark, (size_t)(end - mark));
	if (comment > line)
		jump.match = arena_strndup(saved->arena, line, (size_t)(comment - line - 1));
	arena_grow(saved->arena, table->jumps, table->n_jumps, table->cap_jumps);
	table->jumps[table->n_jumps++] = jump;
}

/* -A CHAIN REST; rules without any match or target have no rest. */
static int read_rule(struct saved *saved, struct saved_table *table, char *line, struct err *err)
{
	char *name = line + 3;
	char *rest = strchr(name, ' ');
	if (rest)
		*rest++ = '\0';
	struct saved_chain *chain = find_chain(table, name);
	if (!chain)
		return err_set(err, EPROTO, "iptables-save printed a rule of the chain '%s' that it had not announced",
			       name);
	arena_grow(saved->arena, chain->rules, chain->n_rules, chain->cap_rules);
	chain->rules[chain->n_rules++] = rest ? rest : "";
	if (rest)
		read_jump(saved, table, chain->name, rest);
	return 0;
}

/* :CHAIN POLICY [0:0] */
static void read_chain(struct saved *saved, struct saved_table *table, char *line)
{
	char *name = line + 1;
	char *policy = strchr(name, ' ');
	if (policy)
		*policy++ = '\0';
	if (policy)
		policy[strcspn(policy, " ")] = '\0';
	arena_grow(saved->arena, table->chains, table->n_chains, table->cap_chains);
	table->chains[table->n_chains++] = (struct saved_chain){
		.name = name,
		.policy = policy && !streq(policy, "-") ? policy : NULL,
	};
}

/* # Table `filter' is incompatible, use 'nft' tool. */
static void read_remark(struct saved *saved, char *line)
{
	static const char before[] = "# Table `";
	char *end = str_starts(line, before) ? strchr(line, '\'') : NULL;
	if (!end || !str_starts(end, "' is incompatible"))
		return;
	*end = '\0';
	add_table(saved, line + sizeof(before) - 1)->unreadable = true;
}

static int read_line(struct saved *saved, size_t *current, char *line, struct err *err)
{
	struct saved_table *table = *current ? &saved->tables[*current - 1] : NULL;
	switch (line[0]) {
	case '#':
		read_remark(saved, line);
		return 0;
	case '*':
		table = add_table(saved, line + 1);
		*current = (size_t)(table - saved->tables) + 1;
		return 0;
	case 'C': /* COMMIT */
	case '\0':
		return 0;
	case ':':
		if (!table)
			break;
		read_chain(saved, table, line);
		return 0;
	case '-':
		if (!table || !str_starts(line, "-A "))
			break;
		return read_rule(saved, table, line, err);
	}
	return err_set(err, EPROTO, "iptables-save printed a line that is not understood: '%.80s'", line);
}

int saved_parse(const char *text, struct saved **ret, struct err *err)
{
	struct arena *arena = arena_new();
	struct saved *saved = arena_new_of(arena, struct saved);
	saved->arena = arena;
	char *rest = arena_strdup(arena, text), *line;
	size_t current = 0;
	while ((line = strsep(&rest, "\n"))) {
		size_t len = strlen(line);
		while (len > 0 && line[len - 1] == ' ')
			line[--len] = '\0';
		int r = read_line(saved, &current, line, err);
		if (r < 0) {
			arena_free(arena);
			return r;
		}
	}
	*ret = saved;
	return 0;
}

struct saved *saved_free(struct saved *saved)
{
	if (saved)
		arena_free(saved->arena);
	return NULL;
}

bool rules_is_our_mark(const char *mark)
{
	size_t size = strlen(env.instance);
	return str_starts(mark, "weft:") && strncmp(mark + 5, env.instance, size) == 0 && mark[5 + size] == ':';
}

static void see_chain(struct observation *obs, const struct saved_chain *chain, struct rules_chain *to)
{
	const char **rules = arena_alloc(obs->arena, (chain->n_rules + 1) * sizeof(*rules));
	for (size_t i = 0; i < chain->n_rules; i++)
		rules[i] = arena_strdup(obs->arena, chain->rules[i]);
	*to = (struct rules_chain){
		.present = 3,
		.name = arena_strdup(obs->arena, chain->name),
		.rules = {.items = rules, .n = chain->n_rules},
	};
}

static const struct rules_jump *wanted_jump(const struct rules_spec *want, const struct saved_jump *jump)
{
	for (size_t i = 0; want && i < want->jumps.n; i++) {
		const struct rules_jump *w = &list_at(&want->jumps, struct rules_jump, i);
		if (streq(w->from, jump->from) && streq(w->to, jump->to) &&
		    streq(w->match ? w->match : "", jump->match))
			return w;
	}
	return NULL;
}

/* Whether a jump stands first or last is told once, when it is put there: others may come to stand before it later, and
 * that is their right. */
static void see_jump(struct observation *obs, const struct saved_jump *jump, const struct rules_jump *wanted,
		     struct rules_jump *to)
{
	*to = (struct rules_jump){
		.present = *jump->match ? 15 : 7,
		.from = arena_strdup(obs->arena, jump->from),
		.to = arena_strdup(obs->arena, jump->to),
		.position = wanted ? wanted->position : RULES_FIRST,
		.match = *jump->match ? arena_strdup(obs->arena, jump->match) : NULL,
	};
}

static bool is_chain_of(const struct saved_chain *chain, const char *network)
{
	const char *of = rules_chain_network(chain->name);
	return of && streq(of, network);
}

static bool is_jump_of(const struct saved_jump *jump, const char *network)
{
	return streq(rules_chain_network(jump->to), network);
}

/* Those of the wanted order first, then whatever else there is, in the order of the kernel. */
static void see_chains(struct observation *obs, const struct saved_table *table, const char *network,
		       const struct rules_spec *want)
{
	struct rules_spec *spec = obs->spec;
	size_t n = want ? want->chains.n : 0;
	for (size_t i = 0; i < table->n_chains; i++)
		n += is_chain_of(&table->chains[i], network);
	if (n == 0)
		return;
	struct rules_chain *seen = arena_alloc(obs->arena, n * sizeof(*seen));
	cleanup_free bool *taken = xcalloc(table->n_chains, sizeof(*taken));
	for (size_t i = 0; want && i < want->chains.n; i++) {
		const struct saved_chain *chain = find_chain(table, list_at(&want->chains, struct rules_chain, i).name);
		if (!chain || taken[chain - table->chains] || !is_chain_of(chain, network))
			continue;
		taken[chain - table->chains] = true;
		see_chain(obs, chain, &seen[spec->chains.n++]);
	}
	for (size_t i = 0; i < table->n_chains; i++)
		if (!taken[i] && is_chain_of(&table->chains[i], network))
			see_chain(obs, &table->chains[i], &seen[spec->chains.n++]);
	spec->chains.items = seen;
}

static void see_jumps(struct observation *obs, const struct saved_table *table, const char *network,
		      const struct rules_spec *want)
{
	struct rules_spec *spec = obs->spec;
	size_t n = 0;
	for (size_t i = 0; i < table->n_jumps; i++)
		n += is_jump_of(&table->jumps[i], network);
	if (n == 0)
		return;
	struct rules_jump *seen = arena_alloc(obs->arena, n * sizeof(*seen));
	cleanup_free bool *taken = xcalloc(table->n_jumps, sizeof(*taken));
	for (size_t w = 0; want && w < want->jumps.n; w++) {
		const struct rules_jump *wanted = &list_at(&want->jumps, struct rules_jump, w);
		for (size_t i = 0; i < table->n_jumps; i++) {
			if (taken[i] || !is_jump_of(&table->jumps[i], network) ||
			    wanted_jump(want, &table->jumps[i]) != wanted)
				continue;
			taken[i] = true;
			see_jump(obs, &table->jumps[i], wanted, &seen[spec->jumps.n++]);
			break;
		}
	}
	for (size_t i = 0; i < table->n_jumps; i++)
		if (!taken[i] && is_jump_of(&table->jumps[i], network))
			see_jump(obs, &table->jumps[i], NULL, &seen[spec->jumps.n++]);
	spec->jumps.items = seen;
}

void rules_observe(const struct saved *saved, const struct rules_key *key, const struct rules_spec *want,
		   struct observation *obs)
{
	const struct saved_table *table = saved_find(saved, key->table);
	struct rules_spec *spec = observation_begin(obs, &netd_rules_class, false);
	spec->present = 1 << RULES_CHAINS | 1 << RULES_JUMPS;
	if (!table)
		return;
	see_chains(obs, table, key->network, want);
	see_jumps(obs, table, key->network, want);
	obs->exists = spec->chains.n > 0 || spec->jumps.n > 0;
	for (size_t i = 0; i < table->n_jumps; i++) {
		const struct saved_jump *jump = &table->jumps[i];
		if (!is_jump_of(jump, key->network))
			continue;
		if (!rules_is_our_mark(jump->mark)) {
			obs->owner = OWNER_FOREIGN;
			return;
		}
		obs->owner = OWNER_OURS;
	}
}
