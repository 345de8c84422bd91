/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the text for iptables-restore that turns what was saved into what is wanted. Only what differs is mentioned,
 * since declaring a chain flushes it: rules of others, and of networks that did not change, keep their handles and
 * counters. */
#include "core/env.h"
#include "netd/rules.h"

/* The lines of one table, by the order in which they must come: declare, take jumps away, flush what goes, fill, jump,
 * delete what goes. */
enum part { PART_DECLARE, PART_UNJUMP, PART_FLUSH, PART_FILL, PART_JUMP, PART_DELETE, N_PARTS };
struct text {
	FILE *parts[N_PARTS];
	char *bytes[N_PARTS];
	size_t sizes[N_PARTS];
};

static void text_open(struct text *text)
{
	for (size_t i = 0; i < N_PARTS; i++) {
		text->parts[i] = open_memstream(&text->bytes[i], &text->sizes[i]);
		if (!text->parts[i])
			abort();
	}
}

/* Appends the table to `out` if there is anything in it. */
static void text_close(struct text *text, const char *table, FILE *out)
{
	size_t size = 0;
	for (size_t i = 0; i < N_PARTS; i++) {
		fclose(text->parts[i]);
		size += text->sizes[i];
	}
	if (size > 0)
		fprintf(out, "*%s\n", table);
	for (size_t i = 0; i < N_PARTS; i++) {
		if (size > 0)
			fputs(text->bytes[i], out);
		free(text->bytes[i]);
	}
	if (size > 0)
		fputs("COMMIT\n", out);
}

static const struct saved_chain *chain_of(const struct saved_table *table, const char *name)
{
	for (size_t i = 0; table && i < table->n_chains; i++)
		if (streq(table->chains[i].name, name))
			return &table->chains[i];
	return NULL;
}

static bool chain_is(const struct saved_chain *chain, const struct rules_chain *want)
{
	if (!chain || chain->n_rules != want->rules.n)
		return false;
	for (size_t i = 0; i < chain->n_rules; i++)
		if (!streq(chain->rules[i], list_at(&want->rules, const char *, i)))
			return false;
	return true;
}

static void render_chains(struct text *text, const struct saved_table *table, const struct rules_spec *want)
{
	for (size_t i = 0; want && i < want->chains.n; i++) {
		const struct rules_chain *chain = &list_at(&want->chains, struct rules_chain, i);
		if (chain_is(chain_of(table, chain->name), chain))
			continue;
		fprintf(text->parts[PART_DECLARE], ":%s - [0:0]\n", chain->name);
		for (size_t k = 0; k < chain->rules.n; k++)
			fprintf(text->parts[PART_FILL], "-A %s %s\n", chain->name,
				list_at(&chain->rules, const char *, k));
	}
}

static bool wants_chain(const struct rules_spec *want, const char *name)
{
	for (size_t i = 0; want && i < want->chains.n; i++)
		if (streq(list_at(&want->chains, struct rules_chain, i).name, name))
			return true;
	return false;
}

static void render_leaving_chains(struct text *text, const struct saved_table *table, const struct rules_change *change)
{
	for (size_t i = 0; table && i < table->n_chains; i++) {
		const char *name = table->chains[i].name;
		const char *of = rules_chain_network(name);
		if (!of || !streq(of, change->key->network) || wants_chain(change->want, name))
			continue;
		fprintf(text->parts[PART_FLUSH], "-F %s\n", name);
		fprintf(text->parts[PART_DELETE], "-X %s\n", name);
	}
}

static bool jump_is(const struct saved_jump *jump, const struct rules_jump *want)
{
	return streq(jump->from, want->from) && streq(jump->to, want->to) &&
	       streq(jump->match, want->match ? want->match : "");
}

static void render_jump(FILE *out, const struct rules_jump *jump, const char *mark)
{
	fprintf(out, "-%c %s %s%s-m comment --comment \"", jump->position == RULES_LAST ? 'A' : 'I', jump->from,
		jump->match ? jump->match : "", jump->match ? " " : "");
	if (mark)
		fputs(mark, out);
	else
		fprintf(out, "weft:%s:rules", env.instance);
	fprintf(out, "\" -j %s\n", jump->to);
}

/* Jumps that are wanted, each once, stay where they are; the rest of ours goes. */
static void render_jumps(struct text *text, const struct saved_table *table, const struct rules_change *change)
{
	size_t n_wanted = change->want ? change->want->jumps.n : 0, n_there = table ? table->n_jumps : 0;
	cleanup_free bool *there = xcalloc(n_wanted, sizeof(*there));
	for (size_t i = 0; i < n_there; i++) {
		const struct saved_jump *jump = &table->jumps[i];
		bool stays = false;
		if (!streq(rules_chain_network(jump->to), change->key->network) || !rules_is_our_mark(jump->mark))
			continue;
		for (size_t w = 0; w < n_wanted && !stays; w++)
			stays = !there[w] && jump_is(jump, &list_at(&change->want->jumps, struct rules_jump, w)) &&
				(there[w] = true);
		if (!stays)
			fprintf(text->parts[PART_UNJUMP], "-D %s %s\n", jump->from, jump->line);
	}
	for (size_t w = 0; w < n_wanted; w++)
		if (!there[w])
			render_jump(text->parts[PART_JUMP], &list_at(&change->want->jumps, struct rules_jump, w),
				    change->mark);
}

/* The tables in the order in which they first come up. */
static bool is_first_of_table(enum family family, const struct rules_change *changes, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (changes[k].key->family == family && streq(changes[k].key->table, changes[i].key->table))
			return false;
	return true;
}

static void render_table(const struct saved *saved, const struct rules_change *changes, size_t n, FILE *out)
{
	const struct rules_key *key = changes[0].key;
	const struct saved_table *table = saved_find(saved, key->table);
	struct text text = {0};
	text_open(&text);
	for (size_t i = 0; i < n; i++) {
		if (changes[i].key->family != key->family || !streq(changes[i].key->table, key->table))
			continue;
		render_chains(&text, table, changes[i].want);
		render_jumps(&text, table, &changes[i]);
		render_leaving_chains(&text, table, &changes[i]);
	}
	text_close(&text, key->table, out);
}

char *rules_render(const struct saved *saved, enum family family, const struct rules_change *changes, size_t n)
{
	char *bytes = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&bytes, &size);
	if (!out)
		abort();
	for (size_t i = 0; i < n; i++)
		if (changes[i].key->family == family && is_first_of_table(family, changes, i))
			render_table(saved, &changes[i], n - i, out);
	fclose(out);
	if (size > 0)
		return bytes;
	free(bytes);
	return NULL;
}
