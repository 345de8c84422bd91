/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine must know of single resources across a crash: that we make them, how they were before us,
 * and which thing they are. */
#include "core/store-internal.h"

#include "core/env.h"
#include "core/event.h"

static int put_record(struct store *store, sqlite3_stmt *put, const struct engine_record *record, struct err *err)
{
	cleanup_free char *baseline =
		record->baseline ? json_dumps(record->baseline, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	store_bind_text(put, 1, record->class);
	store_bind_text(put, 2, record->key);
	store_bind_u64(put, 3, record->made);
	store_bind_text(put, 4, baseline);
	store_bind_text(put, 5, env.boot_id);
	store_bind_u64(put, 6, record->incarnation);
	store_bind_u64(put, 7, record->fresh);
	store_bind_text(put, 8, record->identity);
	int r = store_run(store, put, err);
	sqlite3_clear_bindings(put);
	return r;
}

static int drop_record(struct store *store, sqlite3_stmt *drop, const struct engine_record *record, struct err *err)
{
	store_bind_text(drop, 1, record->class);
	store_bind_text(drop, 2, record->key);
	return store_run(store, drop, err);
}

int store_put_records(struct store *store, const struct engine_record *records, size_t n, struct err *err)
{
	if (n == 0)
		return 0;
	cleanup_stmt sqlite3_stmt *put = NULL, *drop = NULL;
	int r = store_begin(store, err);
	if (r < 0)
		return r;
	r = store_prepare(store,
			  "INSERT OR REPLACE INTO record (class, key, made, baseline, boot_id, incarnation, fresh,"
			  " identity) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			  &put, err);
	if (r == 0)
		r = store_prepare(store, "DELETE FROM record WHERE class = ?1 AND key = ?2", &drop, err);
	for (size_t i = 0; i < n && r == 0; i++)
		r = records[i].forget ? drop_record(store, drop, &records[i], err)
				      : put_record(store, put, &records[i], err);
	r = store_end(store, r, err);
	if (r < 0)
		err_wrap(err, "store what is about to be made");
	return r;
}

static json_t *read_baseline(const char *text, const char *class, const char *key)
{
	json_t *baseline = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	if (text && !baseline)
		event_text("StoreDamaged", NULL, true,
			   "the store's record of %s/%s is damaged: how it was before weft is not known any more",
			   class, key);
	return baseline;
}

int store_each_record(struct store *store, store_record_fn *fn, void *ctx, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(store,
			      "SELECT class, key, made, baseline, boot_id, incarnation, fresh, identity FROM record"
			      " ORDER BY class, key",
			      &stmt, err);
	while (r == 0 && (r = store_next(store, stmt, err)) == 1) {
		struct engine_record record = {
			.class = store_text(stmt, 0),
			.key = store_text(stmt, 1),
			.made = store_u64(stmt, 2) != 0,
			.incarnation = store_u64(stmt, 5),
			.fresh = store_u64(stmt, 6) != 0,
			.identity = store_text(stmt, 7),
			.old_boot = !streq(store_text(stmt, 4), env.boot_id),
		};
		record.baseline = read_baseline(store_text(stmt, 3), record.class, record.key);
		fn(ctx, &record);
		json_decref(record.baseline);
		r = 0;
	}
	return r;
}
