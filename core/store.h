/* SPDX-License-Identifier: Apache-2.0 */
/* The store: SQLite in WAL mode under the state directory (weft.db). Holds revisions with their manifests, facts,
 * allocations and lowered resources, what we made, baselines, overrides. Everything that must survive a power cut is
 * synced before the call returns. */
#ifndef WEFT_CORE_STORE_H
#define WEFT_CORE_STORE_H

#include "core/engine.h"

struct store;

enum revision_state { REVISION_APPLYING, REVISION_UNCONFIRMED, REVISION_FINAL, REVISION_UNDONE, REVISION_REFUSED };
extern const char *const revision_state_names[];

struct revision_row {
	uint64_t rev, previous; /* previous: the final one it goes back to; 0: nothing */
	enum revision_state state;
	uint64_t time_ms, confirm_by_ms; /* wall clock; confirm_by_ms 0: none */
	const char *who;                 /* "root (uid 0)" */
	const char *what;                /* "apply -f lan.yaml" */
	const char *set;
	const char *message; /* why it was undone */
};

int store_open(const char *path, struct store **ret, struct err *err);
struct store *store_close(struct store *store);

int store_begin(struct store *store, struct err *err);
int store_commit(struct store *store, struct err *err);
void store_abort(struct store *store);

/* Writes a revision with its generation in one transaction; assigns row->rev. Of a generation that carries over one
 * that is stored, only the difference is written. */
int store_put_revision(struct store *store, struct revision_row *row, struct generation *gen, struct err *err);
/* Writes what may change of a stored row: state, confirm_by_ms and message. */
int store_update_revision(struct store *store, const struct revision_row *row, struct err *err);
/* The newest final one, 0 if there is none: which must not be mistaken for one that cannot be read, since then nothing
 * would be wanted. */
int store_final_revision(struct store *store, uint64_t *ret, struct err *err);
/* Reads a stored generation back without lowering; its objects are decoded from the stored manifests. */
int store_get_generation(struct store *store, uint64_t rev, struct generation **ret, struct err *err);
typedef void store_revision_fn(void *ctx, const struct revision_row *row);
int store_each_revision(struct store *store, store_revision_fn *fn, void *ctx, struct err *err); /* newest first */
/* Keeps the last `keep` revisions, those that may still have something on the host, and those that others are stored as
 * a difference from. */
int store_prune_revisions(struct store *store, unsigned keep, struct err *err);

int store_put_records(struct store *store, const struct engine_record *records, size_t n, struct err *err);
typedef void store_record_fn(void *ctx, const struct engine_record *record);
int store_each_record(struct store *store, store_record_fn *fn, void *ctx, struct err *err);
/* Revisions that are not final or were replaced and whose resources may still be there. */
int store_each_leaving(struct store *store, void (*fn)(void *ctx, uint64_t rev), void *ctx, struct err *err);
int store_set_gone(struct store *store, uint64_t rev, struct err *err); /* nothing of it is left that is not wanted */

int store_put_override(struct store *store, const char *object, const char *text, const char *who,
		       struct err *err); /* text NULL: clear */
int store_get_overrides(struct store *store, struct arena *arena, struct override_row **ret, size_t *ret_n,
			struct err *err);
/* Small values by key: hashes of refused files and the like. NULL: delete. `ret` is malloc'ed, NULL if there is
 * none. */
int store_put_value(struct store *store, const char *key, const char *text, struct err *err);
int store_get_value(struct store *store, const char *key, char **ret, struct err *err);

#endif
