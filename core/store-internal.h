/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share: the connection, statements, transactions that nest, and how SQLite's errors become
 * ours. */
#ifndef WEFT_CORE_STORE_INTERNAL_H
#define WEFT_CORE_STORE_INTERNAL_H

#include <sqlite3.h>

#include "core/store.h"

struct store {
	sqlite3 *db;
	char *path;
	int lock_fd;    /* the lock on PATH.lock; see store.c */
	unsigned depth; /* of store_begin() */
	bool broken;    /* something within the transaction failed: it can only be aborted */
};

static inline void store_stmt_freep(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}
#define cleanup_stmt cleanup(store_stmt_freep)

/* Takes the connection's last error: "store /var/lib/weft/weft.db: <what>: database or disk is full; free some space
 * ...". */
int store_error(struct store *store, const char *what, struct err *err);
int store_exec(struct store *store, const char *sql, struct err *err);
int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret, struct err *err);
/* Runs a statement that gives no rows and makes it ready to be bound again. */
int store_run(struct store *store, sqlite3_stmt *stmt, struct err *err);
/* Steps to the next row: 1, 0 at the end, or -errno. */
int store_next(struct store *store, sqlite3_stmt *stmt, struct err *err);

/* The text stays the caller's and must live until the statement has run; NULL binds NULL. */
void store_bind_text(sqlite3_stmt *stmt, int i, const char *text);
void store_bind_u64(sqlite3_stmt *stmt, int i, uint64_t value);
const char *store_text(sqlite3_stmt *stmt, int column); /* until the next step; NULL for NULL */
uint64_t store_u64(sqlite3_stmt *stmt, int column);

/* Ends a transaction begun with store_begin(): commits when r is 0, else aborts. Returns the error, if any. */
int store_end(struct store *store, int r, struct err *err);

/* A generation as lines of JSON, one an object, fact, allocation or resource; freed by the caller. */
int store_generation_write(const struct generation *gen, char **ret, size_t *ret_size, struct err *err);
/* The same of what differs from the generation that it carries over. */
int store_generation_write_delta(const struct generation *gen, char **ret, size_t *ret_size, struct err *err);
/* Reads one back: a whole one, then what differs from it, then what differs from that. Lines that cannot be used any
 * more are left out, each with an event. */
struct generation *store_generation_read(const struct source *texts, size_t n, uint64_t rev);

#endif
