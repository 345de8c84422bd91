/* SPDX-License-Identifier: Apache-2.0 */
/* iptables-nft makes built-in tables and base chains on first use and leaves them behind. This notes which of them were
 * not there before us, in a file under the runtime directory, and takes them away again when they are empty. */
#include <sys/stat.h>

#include "core/env.h"
#include "netd/firewall-backend.h"
#include "netd/nft-dump.h"

enum { NOTES_FILE_MAX = 64 << 10, NOTES_MAX = 64 };

struct note {
	enum family family;
	char table[32], chain[64]; /* chain "": the table itself */
};
static struct note notes[NOTES_MAX];
static size_t n_notes;
static bool loaded;

static char *notes_path(void)
{
	return env.run_dir ? xprintf("%s/nft-made", env.run_dir) : NULL;
}

/* Lines "ipv4 nat POSTROUTING" and "ipv4 nat". */
static void load_notes(void)
{
	cleanup_free char *path = notes_path(), *text = NULL;
	if (loaded)
		return;
	loaded = true;
	if (!path || file_read(path, NOTES_FILE_MAX, &text, NULL) < 0)
		return;
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n")) && n_notes < NOTES_MAX) {
		char family[8];
		struct note note = {0};
		if (sscanf(line, "%7s %31s %63s", family, note.table, note.chain) < 2)
			continue;
		note.family = streq(family, family_names[FAMILY_IPV6]) ? FAMILY_IPV6 : FAMILY_IPV4;
		notes[n_notes++] = note;
	}
}

/* An error costs no more than an empty table that stays. */
static void save_notes(void)
{
	cleanup_free char *path = notes_path(), *text = NULL;
	size_t size = 0;
	if (!path)
		return;
	if (n_notes == 0) {
		unlink(path);
		return;
	}
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	for (size_t i = 0; i < n_notes; i++)
		fprintf(out, "%s %s%s%s\n", family_names[notes[i].family], notes[i].table, *notes[i].chain ? " " : "",
			notes[i].chain);
	fclose(out);
	file_write_atomic(path, text, size, 0600);
}

static bool is_noted(enum family family, const char *table, const char *chain)
{
	for (size_t i = 0; i < n_notes; i++)
		if (notes[i].family == family && streq(notes[i].table, table) && streq(notes[i].chain, chain))
			return true;
	return false;
}

static bool note_if_missing(const struct nft_chains *chains, enum family family, const char *table, const char *chain)
{
	if (n_notes == NOTES_MAX || nft_chains_find(chains, table, chain) || is_noted(family, table, chain))
		return false;
	struct note *note = &notes[n_notes++];
	*note = (struct note){.family = family};
	snprintf(note->table, sizeof(note->table), "%s", table);
	snprintf(note->chain, sizeof(note->chain), "%s", chain);
	return true;
}

void firewall_note_missing(enum family family, const char *table)
{
	static const char *const built_in[] = {"", "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};
	struct nft_chains chains = {0};
	bool changed = false;
	load_notes();
	if (firewall_backend() != BACKEND_NFT || nft_dump_chains(family, &chains) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++)
		changed = note_if_missing(&chains, family, table, built_in[i]) || changed;
	nft_chains_done(&chains);
	if (changed)
		save_notes();
}

bool firewall_has_leftovers(void)
{
	load_notes();
	return n_notes > 0 && firewall_backend() == BACKEND_NFT;
}

/* True if something was deleted: the generation is then another. */
static bool sweep_one(const struct note *note)
{
	struct nft_chains chains = {0};
	if (nft_dump_chains(note->family, &chains) < 0)
		return false;
	const struct nft_chain *chain = nft_chains_find(&chains, note->table, note->chain);
	bool deleted = chain && !chain->drops && (chain->base || !*note->chain) &&
		       nft_delete_empty(note->family, note->table, note->chain, chains.generation) == 0;
	nft_chains_done(&chains);
	return deleted;
}

int firewall_sweep(void *ctx, int out_fd)
{
	/* Chains before the tables they stand in. */
	for (size_t i = 0; i < n_notes; i++)
		if (*notes[i].chain)
			sweep_one(&notes[i]);
	for (size_t i = 0; i < n_notes; i++)
		if (!*notes[i].chain)
			sweep_one(&notes[i]);
	return 0;
}

void firewall_forget_swept(void)
{
	struct nft_chains chains[N_FAMILIES] = {0};
	size_t n = 0;
	for (int family = 0; family < N_FAMILIES; family++)
		if (nft_dump_chains(family, &chains[family]) < 0)
			goto out;
	for (size_t i = 0; i < n_notes; i++)
		if (nft_chains_find(&chains[notes[i].family], notes[i].table, notes[i].chain))
			notes[n++] = notes[i];
	if (n != n_notes) {
		n_notes = n;
		save_notes();
	}
out:
	for (int family = 0; family < N_FAMILIES; family++)
		nft_chains_done(&chains[family]);
}
