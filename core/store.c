/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the store, its lock and schema, transactions, overrides and small values. Revisions are in store-revision.c,
 * their content in store-generation.c, records in store-record.c. */
#include "core/store-internal.h"

#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <sys/stat.h>

enum {
	APPLICATION_ID = 0x77656674, /* "weft" */
	LOCK_TRIES = 200,            /* for one that was killed and has not quite gone */
	LOCK_PAUSE_US = 50000,
	BUSY_MS = 2000, /* for a person who writes with sqlite3(1); readers never block us */
};

/* migrations[i] leads from schema i to schema i + 1. */
static const char *const migrations[] = {
	"CREATE TABLE revision ("
	" rev INTEGER PRIMARY KEY AUTOINCREMENT,"
	" previous INTEGER NOT NULL,"
	" state TEXT NOT NULL,"
	" time_ms INTEGER NOT NULL,"
	" confirm_by_ms INTEGER NOT NULL,"
	" who TEXT, what TEXT, set_name TEXT, message TEXT,"
	" gone INTEGER NOT NULL DEFAULT 0);"
	"CREATE TABLE generation (rev INTEGER PRIMARY KEY REFERENCES revision(rev) ON DELETE CASCADE, lines BLOB NOT "
	"NULL);"
	"CREATE TABLE record ("
	" class TEXT NOT NULL, key TEXT NOT NULL, made INTEGER NOT NULL, incarnation INTEGER NOT NULL,"
	" fresh INTEGER NOT NULL, baseline TEXT, boot_id TEXT NOT NULL,"
	" PRIMARY KEY (class, key)) WITHOUT ROWID;"
	"CREATE TABLE override (object TEXT PRIMARY KEY, text TEXT NOT NULL, who TEXT, when_ms INTEGER NOT NULL) "
	"WITHOUT ROWID;"
	"CREATE TABLE value (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;",
	/* base: the revision from which the lines say the difference; 0: they are all. */
	"ALTER TABLE generation ADD COLUMN base INTEGER NOT NULL DEFAULT 0;",
	"ALTER TABLE record ADD COLUMN identity TEXT;",
};
enum { SCHEMA = ARRAY_SIZE(migrations) };

int store_error(struct store *store, const char *what, struct err *err)
{
	int code, extended = sqlite3_extended_errcode(store->db);
	const char *hint;
	switch (extended & 0xff) {
	case SQLITE_FULL:
		code = ENOSPC;
		hint = "; free some space in its file system";
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = EBUSY;
		hint = "; another program holds a transaction open in it, end that";
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = EUCLEAN;
		hint = "; restore it from a backup, or move it away and apply the manifests again";
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		code = EACCES;
		hint = "";
		break;
	default:
		code = EIO;
		hint = "";
	}
	if (store->depth)
		store->broken = true;
	int cause = sqlite3_system_errno(store->db);
	bool show_cause = cause && code == EIO;
	return err_set(err, code, "store %s: %s: %s%s%s%s", store->path, what, sqlite3_errmsg(store->db),
		       show_cause ? ": " : "", show_cause ? strerror(cause) : "", hint);
}

int store_exec(struct store *store, const char *sql, struct err *err)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_error(store, "write", err);
	return 0;
}

int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret, struct err *err)
{
	/* SQLite may have rolled back by itself: what follows would be written for good, outside of any transaction. */
	if (store->depth && store->broken)
		return err_set(err, EIO, "store %s: the transaction was given up after an error", store->path);
	if (sqlite3_prepare_v2(store->db, sql, -1, ret, NULL) != SQLITE_OK)
		return store_error(store, "prepare a statement", err);
	return 0;
}

int store_next(struct store *store, sqlite3_stmt *stmt, struct err *err)
{
	switch (sqlite3_step(stmt)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return store_error(store, sqlite3_stmt_readonly(stmt) ? "read" : "write", err);
	}
}

int store_run(struct store *store, sqlite3_stmt *stmt, struct err *err)
{
	int r = store_next(store, stmt, err);
	sqlite3_reset(stmt);
	return r < 0 ? r : 0;
}

void store_bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
	if (text)
		sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, i);
}

void store_bind_u64(sqlite3_stmt *stmt, int i, uint64_t value)
{
	sqlite3_bind_int64(stmt, i, (sqlite3_int64)value);
}

const char *store_text(sqlite3_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(stmt, column);
}

uint64_t store_u64(sqlite3_stmt *stmt, int column)
{
	return (uint64_t)sqlite3_column_int64(stmt, column);
}

/* Was this process killed, with a thread of it still held up in the kernel (a netlink message can take seconds)? */
static bool is_ending(pid_t pid)
{
	cleanup_free char *path = xprintf("/proc/%d/status", pid), *text = NULL;
	if (file_read(path, 65536, &text, NULL) < 0)
		return true;
	const char *state = strstr(text, "\nState:\t"), *pending = strstr(text, "\nShdPnd:\t");
	bool dead = state && strchr("ZX", state[strlen("\nState:\t")]);
	unsigned long long signals = pending ? strtoull(pending + strlen("\nShdPnd:\t"), NULL, 16) : 0;
	return dead || (signals >> (SIGKILL - 1) & 1);
}

/* Takes the lock; 0, or -EBUSY with its holder (0 if that is not known), or -errno. */
static int try_lock(int fd, pid_t *ret_holder)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	*ret_holder = 0;
	if (fcntl(fd, F_SETLK, &whole) == 0)
		return 0;
	if (errno != EACCES && errno != EAGAIN)
		return -errno;
	if (fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK && whole.l_pid > 0)
		*ret_holder = whole.l_pid;
	return -EBUSY;
}

/* One weftd a state directory. A record lock, not flock(): a forked child that hangs in the kernel would inherit a
 * flock and keep the next weftd out. It goes when this process closes the file, so nothing else here may open it. */
static int lock(struct store *store, struct err *err)
{
	cleanup_free char *path = xprintf("%s.lock", store->path);
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock_fd < 0)
		return err_errno(err, errno, "open %s", path);
	pid_t pid = 0;
	int r = try_lock(store->lock_fd, &pid);
	for (int i = 0; i < LOCK_TRIES && r == -EBUSY && pid && is_ending(pid); i++) {
		usleep(LOCK_PAUSE_US);
		r = try_lock(store->lock_fd, &pid);
	}
	if (r == 0)
		return 0;
	if (r != -EBUSY)
		return err_errno(err, -r, "lock %s", path);
	char holder[32] = "";
	if (pid)
		snprintf(holder, sizeof(holder), " (pid %d)", pid);
	return err_set(err, EBUSY, "another weftd%s uses the store %s; stop it, or give this one a --root of its own",
		       holder, store->path);
}

/* Made by us and not by SQLite, for its mode: manifests hold secrets. The journal files inherit it. */
static int make_file(const char *path, bool *ret_new, struct err *err)
{
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "open the store %s", path);
	*ret_new = st.st_size == 0;
	return 0;
}

static int sync_parent(const char *path, struct err *err)
{
	cleanup_free char *copy = xstrdup(path);
	const char *dir = dirname(copy);
	cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_errno(err, errno, "sync the directory %s", dir);
	return 0;
}

static int pragma_number(struct store *store, const char *sql, int *ret, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(store, sql, &stmt, err);
	if (r == 0)
		r = store_next(store, stmt, err);
	if (r < 0)
		return r;
	*ret = sqlite3_column_int(stmt, 0);
	return 0;
}

static int migrate(struct store *store, int from, struct err *err)
{
	int r = store_begin(store, err);
	if (r < 0)
		return r;
	for (int i = from; r == 0 && i < SCHEMA; i++)
		r = store_exec(store, migrations[i], err);
	char sql[128];
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID, SCHEMA);
	if (r == 0)
		r = store_exec(store, sql, err);
	return store_end(store, r, err);
}

static int check_schema(struct store *store, bool fresh, struct err *err)
{
	int application = 0, version = 0, tables = 0;
	int r = pragma_number(store, "PRAGMA application_id", &application, err);
	if (r == 0)
		r = pragma_number(store, "PRAGMA user_version", &version, err);
	if (r == 0)
		r = pragma_number(store, "SELECT count(*) FROM sqlite_master", &tables, err);
	if (r < 0)
		return r;
	/* A file without tables is one that was being made when the power went. */
	if (tables > 0 && application != APPLICATION_ID)
		return err_set(err, EUCLEAN, "%s is a database, but not a store of weft; move it away", store->path);
	if (version > SCHEMA)
		return err_set(err, EPROTO,
			       "the store %s was written by a newer weft (its schema is %d, this weft knows up to %d); "
			       "install that weft again, or restore a store from before",
			       store->path, version, SCHEMA);
	if (version < SCHEMA)
		r = migrate(store, tables ? version : 0, err);
	return r == 0 && fresh ? sync_parent(store->path, err) : r;
}

int store_open(const char *path, struct store **ret, struct err *err)
{
	struct store *store = xcalloc(1, sizeof(*store));
	store->path = xstrdup(path);
	store->lock_fd = -1;
	bool fresh = false;
	int r = lock(store, err);
	if (r == 0)
		r = make_file(path, &fresh, err);
	if (r == 0 && sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		r = store_error(store, "open", err);
	if (r == 0) {
		sqlite3_extended_result_codes(store->db, 1);
		sqlite3_busy_timeout(store->db, BUSY_MS);
		r = store_exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
			       err);
	}
	if (r == 0)
		r = check_schema(store, fresh, err);
	if (r < 0) {
		store_close(store);
		return r;
	}
	*ret = store;
	return 0;
}

struct store *store_close(struct store *store)
{
	if (!store)
		return NULL;
	sqlite3_close(store->db);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	free(store->path);
	free(store);
	return NULL;
}

int store_begin(struct store *store, struct err *err)
{
	if (store->depth == 0) {
		int r = store_exec(store, "BEGIN IMMEDIATE", err);
		if (r < 0)
			return r;
		store->broken = false;
	}
	store->depth++;
	return 0;
}

int store_commit(struct store *store, struct err *err)
{
	if (store->depth > 1) {
		store->depth--;
		return 0;
	}
	if (store->broken) {
		store_abort(store);
		return err_set(err, EIO, "store %s: the transaction was given up after an error", store->path);
	}
	int r = store_exec(store, "COMMIT", err);
	if (r < 0)
		store_abort(store);
	else
		store->depth = 0;
	return r;
}

/* Of a nested one: what is around it can only be aborted too. */
void store_abort(struct store *store)
{
	if (store->depth > 1) {
		store->depth--;
		store->broken = true;
		return;
	}
	/* SQLite itself may have rolled back after a full disk. */
	if (!sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	store->depth = 0;
	store->broken = false;
}

int store_end(struct store *store, int r, struct err *err)
{
	if (r == 0)
		return store_commit(store, err);
	store_abort(store);
	return r;
}

int store_put_override(struct store *store, const char *object, const char *text, const char *who, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(
		store,
		text ? "INSERT OR REPLACE INTO override (object, text, who, when_ms) VALUES (?1, ?2, ?3, ?4)"
		     : "DELETE FROM override WHERE object = ?1",
		&stmt, err);
	if (r < 0)
		return r;
	store_bind_text(stmt, 1, object);
	if (text) {
		store_bind_text(stmt, 2, text);
		store_bind_text(stmt, 3, who);
		store_bind_u64(stmt, 4, wall_ms());
	}
	return store_run(store, stmt, err);
}

int store_get_overrides(struct store *store, struct arena *arena, struct override_row **ret, size_t *ret_n,
			struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	struct override_row *rows = NULL;
	size_t n = 0, cap = 0;
	int r = store_prepare(store, "SELECT object, text, who, when_ms FROM override ORDER BY object", &stmt, err);
	while (r == 0 && (r = store_next(store, stmt, err)) == 1) {
		arena_grow(arena, rows, n, cap);
		rows[n++] = (struct override_row){
			.object = arena_strdup(arena, store_text(stmt, 0)),
			.text = arena_strdup(arena, store_text(stmt, 1)),
			.who = arena_strdup(arena, store_text(stmt, 2)),
			.when_ms = store_u64(stmt, 3),
		};
		r = 0;
	}
	if (r < 0)
		return r;
	*ret = rows;
	*ret_n = n;
	return 0;
}

int store_put_value(struct store *store, const char *key, const char *text, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(store,
			      text ? "INSERT OR REPLACE INTO value (key, text) VALUES (?1, ?2)"
				   : "DELETE FROM value WHERE key = ?1",
			      &stmt, err);
	if (r < 0)
		return r;
	store_bind_text(stmt, 1, key);
	if (text)
		store_bind_text(stmt, 2, text);
	return store_run(store, stmt, err);
}

int store_get_value(struct store *store, const char *key, char **ret, struct err *err)
{
	cleanup_stmt sqlite3_stmt *stmt = NULL;
	int r = store_prepare(store, "SELECT text FROM value WHERE key = ?1", &stmt, err);
	if (r < 0)
		return r;
	store_bind_text(stmt, 1, key);
	r = store_next(store, stmt, err);
	if (r < 0)
		return r;
	const char *text = r == 1 ? store_text(stmt, 0) : NULL;
	*ret = text ? xstrdup(text) : NULL;
	return 0;
}
