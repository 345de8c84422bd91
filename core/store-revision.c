/* SPDX-License-Identifier: Apache-2.0 */
/* Revisions in the store: their rows, their states, and which of them may still have something on the host. */
#include "core/store-internal.h"

const char *const revision_state_names[] = {
	[REVISION_APPLYING] = "applying", [REVISION_UNCONFIRMED] = "unconfirmed", [REVISION_FINAL] = "final",
	[REVISION_UNDONE] = "undone",     [REVISION_REFUSED] = "refused",
};

/* A name that is not known counts as undone: it then is never converged to, and what it left is cleared away. */
static enum revision_state state_from_text(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(revision_state_names); i++)
		if (streq(text, revision_state_names[i]))
			return (enum revision_state)i;
	return REVISION_UNDONE;
}

static int insert_row(struct store *store, struct revision_row *row, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(
		store,
		"INSERT INTO revision (previous, state, time_ms, confirm_by_ms, who, what, set_name, message)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		&stmt, err);
	if (r < 0)
		return r;
	if (!row->time_ms)
		row->time_ms = wall_ms();
	store_bind_u64(stmt, 1, row->previous);
	store_bind_text(stmt, 2, revision_state_names[row->state]);
	store_bind_u64(stmt, 3, row->time_ms);
	store_bind_u64(stmt, 4, row->confirm_by_ms);
	store_bind_text(stmt, 5, row->who);
	store_bind_text(stmt, 6, row->what);
	store_bind_text(stmt, 7, row->set);
	store_bind_text(stmt, 8, row->message);
	r = store_run(store, stmt, err);
	if (r == 0)
		row->rev = (uint64_t)sqlite3_last_insert_rowid(store->db);
	return r;
}

enum { DELTAS_MAX = 32 }; /* one upon the other, before one is written as a whole again */

static int insert_lines(struct store *store, uint64_t rev, const struct generation *gen, bool delta, struct err *err)
{
	cleanup_free char *lines = NULL;
	size_t size = 0;
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = delta ? store_generation_write_delta(gen, &lines, &size, err)
		      : store_generation_write(gen, &lines, &size, err);
	if (r == 0)
		r = store_prepare(store, "INSERT INTO generation (rev, lines, base) VALUES (?1, ?2, ?3)", &stmt, err);
	if (r < 0)
		return r;
	store_bind_u64(stmt, 1, rev);
	store_bind_u64(stmt, 3, delta ? gen->basis_rev : 0);
	sqlite3_bind_text64(stmt, 2, lines, size, SQLITE_STATIC, SQLITE_UTF8);
	return store_run(store, stmt, err);
}

#ifdef WEFT_CHECKS
static void check_stored(struct store *store, const struct generation *gen)
{
	struct generation *back = NULL;
	struct err err = {0};
	if (store_get_generation(store, gen->rev, &back, &err) < 0)
		abort();
	generation_check_stored(gen, back);
	generation_unref(back);
}
#endif

int store_put_revision(struct store *store, struct revision_row *row, struct generation *gen, struct err *err)
{
	bool delta = gen->basis_rev && gen->n_deltas < DELTAS_MAX;
	int r = store_begin(store, err);
	if (r < 0)
		return r;
	r = insert_row(store, row, err);
	if (r == 0)
		r = insert_lines(store, row->rev, gen, delta, err);
	r = store_end(store, r, err);
	if (r == 0) {
		gen->rev = row->rev;
		gen->n_deltas = delta ? gen->n_deltas + 1 : 0;
#ifdef WEFT_CHECKS
		if (delta)
			check_stored(store, gen);
#endif
		return 0;
	}
	row->rev = 0;
	err_wrap(err, "store the revision");
	return r;
}

int store_update_revision(struct store *store, const struct revision_row *row, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(store, "UPDATE revision SET state = ?2, confirm_by_ms = ?3, message = ?4 WHERE rev = ?1",
			      &stmt, err);
	if (r < 0)
		return r;
	store_bind_u64(stmt, 1, row->rev);
	store_bind_text(stmt, 2, revision_state_names[row->state]);
	store_bind_u64(stmt, 3, row->confirm_by_ms);
	store_bind_text(stmt, 4, row->message);
	r = store_run(store, stmt, err);
	if (r == 0 && sqlite3_changes(store->db) == 0)
		return err_set(err, ENOENT, "there is no revision %llu", (unsigned long long)row->rev);
	return r;
}

int store_final_revision(struct store *store, uint64_t *ret, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(store, "SELECT max(rev) FROM revision WHERE state = 'final'", &stmt, err);
	if (r < 0)
		return r;
	r = store_next(store, stmt, err);
	if (r < 0)
		return r;
	*ret = r == 1 ? store_u64(stmt, 0) : 0;
	return 0;
}

int store_get_generation(struct store *store, uint64_t rev, struct generation **ret, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	cleanup_arena struct arena *arena = arena_new();
	struct source *texts = NULL;
	size_t n = 0, cap = 0;
	bool whole = false, final = false;
	/* The whole one at the end of the bases first. */
	int r = store_prepare(
		store,
		"WITH RECURSIVE chain (rev, base, depth) AS (SELECT rev, base, 0 FROM generation WHERE rev = ?1"
		" UNION ALL SELECT g.rev, g.base, depth + 1 FROM generation g JOIN chain c ON g.rev = c.base"
		" WHERE g.rev < c.rev)"
		" SELECT g.lines, g.base, (SELECT state FROM revision WHERE rev = ?1) = 'final'"
		" FROM chain c JOIN generation g ON g.rev = c.rev ORDER BY c.depth DESC",
		&stmt, err);
	if (r < 0)
		return r;
	store_bind_u64(stmt, 1, rev);
	while ((r = store_next(store, stmt, err)) == 1) {
		const char *lines = store_text(stmt, 0);
		size_t size = lines ? (size_t)sqlite3_column_bytes(stmt, 0) : 0;
		arena_grow(arena, texts, n, cap);
		texts[n++] = (struct source){.text = arena_strndup(arena, lines ? lines : "", size), .size = size};
		whole |= store_u64(stmt, 1) == 0;
		final = store_u64(stmt, 2) != 0;
	}
	if (r < 0)
		return r;
	if (n == 0)
		return err_set(err, ENOENT, "there is no revision %llu", (unsigned long long)rev);
	if (!whole) /* a part of it must not pass for all that is wanted */
		return err_set(err, EUCLEAN, "store %s: what revision %llu is based on is not there; %s", store->path,
			       (unsigned long long)rev, "restore it from a backup");
	*ret = store_generation_read(texts, n, rev);
	(*ret)->final = final;
	return 0;
}

int store_each_revision(struct store *store, store_revision_fn *fn, void *ctx, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(store,
			      "SELECT rev, previous, state, time_ms, confirm_by_ms, who, what, set_name, message"
			      " FROM revision ORDER BY rev DESC",
			      &stmt, err);
	while (r == 0 && (r = store_next(store, stmt, err)) == 1) {
		struct revision_row row = {
			.rev = store_u64(stmt, 0),
			.previous = store_u64(stmt, 1),
			.state = state_from_text(store_text(stmt, 2)),
			.time_ms = store_u64(stmt, 3),
			.confirm_by_ms = store_u64(stmt, 4),
			.who = store_text(stmt, 5),
			.what = store_text(stmt, 6),
			.set = store_text(stmt, 7),
			.message = store_text(stmt, 8),
		};
		fn(ctx, &row);
		r = 0;
	}
	return r;
}

int store_prune_revisions(struct store *store, unsigned keep, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	/* What a revision that is not final goes back to stays as well; the newest final one is never gone. */
	int r = store_prepare(store,
			      "WITH RECURSIVE kept (rev) AS (SELECT rev FROM revision WHERE gone = 0"
			      " OR rev IN (SELECT rev FROM revision ORDER BY rev DESC LIMIT ?1)"
			      " OR rev = (SELECT max(rev) FROM revision WHERE state = 'final')"
			      " OR rev IN (SELECT previous FROM revision WHERE state IN ('applying', 'unconfirmed'))"
			      " UNION SELECT g.base FROM generation g JOIN kept k ON g.rev = k.rev)"
			      " DELETE FROM revision WHERE rev NOT IN (SELECT rev FROM kept)",
			      &stmt, err);
	if (r < 0)
		return r;
	store_bind_u64(stmt, 1, keep);
	return store_run(store, stmt, err);
}

int store_each_leaving(struct store *store, void (*fn)(void *ctx, uint64_t rev), void *ctx, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	cleanup_free uint64_t *revs = NULL;
	size_t n = 0, cap = 0;
	int r = store_prepare(
		store,
		"SELECT rev FROM revision WHERE gone = 0"
		" AND rev != coalesce((SELECT max(rev) FROM revision WHERE state = 'final'), 0) ORDER BY rev",
		&stmt, err);
	while (r == 0 && (r = store_next(store, stmt, err)) == 1) {
		grow(revs, n, cap);
		revs[n++] = store_u64(stmt, 0);
		r = 0;
	}
	/* The statement has ended: fn may write. */
	for (size_t i = 0; r == 0 && i < n; i++)
		fn(ctx, revs[i]);
	return r;
}

int store_set_gone(struct store *store, uint64_t rev, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(store, "UPDATE revision SET gone = 1 WHERE rev = ?1", &stmt, err);
	if (r < 0)
		return r;
	store_bind_u64(stmt, 1, rev);
	return store_run(store, stmt, err);
}
