#include "db/db.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

// A message changes a row or two in each of some twenty tables and indexes, and the log takes a page for
// each: with pages of 16 KiB it was written 35 times over.
enum { BUSY_TIMEOUT_MS = 5000, MMAP_BYTES = 256 << 20, MOST_LOG_PAGES = 16 * CHECKPOINT_PAGES };

struct stmt {
    sqlite3_stmt *s;
    struct db *db;
    bool in_use;
    struct stmt *next; // further statements of the same text, for nested use
};

struct db {
    sqlite3 *handle;
    bool is_doomed; // the transaction that is open may not be committed
    atomic_uint log_pages;
    struct map statements; // text -> struct stmt
};

static bool fail_sql(struct err *e, struct db *d, int rc, const char *what)
{
    enum err_kind kind = ERR_TEMPORARY;
    // What cannot be made longer is the file for shared memory, at the first use of a database.
    bool is_full = (rc & 0xff) == SQLITE_FULL || rc == SQLITE_IOERR_SHMSIZE;
    const char *text = is_full ? sqlite3_errstr(SQLITE_FULL)
                       : d && d->handle ? sqlite3_errmsg(d->handle) : sqlite3_errstr(rc);

    if ((rc & 0xff) == SQLITE_CONSTRAINT)
        kind = ERR_CONFLICT;
    else if ((rc & 0xff) == SQLITE_ERROR || (rc & 0xff) == SQLITE_MISUSE)
        kind = ERR_BUG;
    (void)fail(e, kind, "database: %s: %s", what, text);
    if (e)
        e->is_full = is_full;
    return false;
}

bool db_exec(struct db *d, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(d->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK || fail_sql(e, d, rc, "exec");
}

// A cache of pages begins with room for twenty, which most of ours never need: a database is read where it is mapped.
static void configure(void)
{
    sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

static struct db *open_handle(const char *name, int flags, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct db *d = heap_alloc(sizeof *d);
    int rc = pthread_once(&once, configure) ? SQLITE_ERROR : sqlite3_open_v2(name, &d->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc != SQLITE_OK) {
        fail_sql(e, d, rc, name);
        db_close(d);
        return NULL;
    }
    sqlite3_extended_result_codes(d->handle, 1);
    sqlite3_busy_timeout(d->handle, BUSY_TIMEOUT_MS);
    sqlite3_db_config(d->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return d;
}

static bool prepare_control(struct db *d, struct err *e);

// After each commit, in place of SQLite's own: its checkpoints would keep those waiting who commit.
static int on_commit(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    struct db *d = ctx;

    atomic_store(&d->log_pages, (unsigned)pages);
    if (pages >= MOST_LOG_PAGES)
        sqlite3_wal_checkpoint_v2(handle, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

void db_leave_checkpoints(struct db *d)
{
    sqlite3_wal_hook(d->handle, on_commit, d);
}

unsigned db_log_pages(struct db *d)
{
    return atomic_load(&d->log_pages);
}

bool db_checkpoint(struct db *d, struct err *e)
{
    int rc = sqlite3_wal_checkpoint_v2(d->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    return rc == SQLITE_OK || fail_sql(e, d, rc, "checkpoint");
}

static bool user_version(struct db *d, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(d, "PRAGMA user_version", e);

    if (!s || !stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0);
    return true;
}

static bool migrate(struct db *d, const struct db_migration *migrations, size_t n, struct err *e)
{
    uint64_t version;

    if (!user_version(d, &version, e))
        return false;
    if (version > n)
        return fail(e, ERR_CONFLICT, "database has version %llu, this program knows %zu: it was "
                    "written by a newer mox", (unsigned long long)version, n);
    for (; version < n; version++) {
        char set[64];

        snprintf(set, sizeof set, "PRAGMA user_version = %llu", (unsigned long long)version + 1);
        if (!db_begin(d, e))
            return false;
        if (!db_exec(d, migrations[version].sql, e) || !db_exec(d, set, e)) {
            db_rollback(d);
            return fail_in(e, "migration %llu", (unsigned long long)version + 1);
        }
        if (!db_commit(d, e))
            return false;
    }
    return true;
}

struct db *db_open(const char *name, const struct db_migration *migrations, size_t n,
                   struct err *e)
{
    struct db *d = open_handle(name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e);
    char sizes[96];

    if (!d)
        return NULL;
    snprintf(sizes, sizeof sizes, "PRAGMA mmap_size = %d; PRAGMA wal_autocheckpoint = %d",
             MMAP_BYTES, CHECKPOINT_PAGES);
    if (db_exec(d,
                "PRAGMA page_size = 4096;"
                "PRAGMA journal_mode = WAL;"
                "PRAGMA synchronous = FULL;"
                "PRAGMA temp_store = MEMORY;"
                "PRAGMA foreign_keys = ON;"
                "PRAGMA cache_size = -8192;"
                "PRAGMA journal_size_limit = 67108864",
                e) &&
        db_exec(d, sizes, e) && migrate(d, migrations, n, e) && prepare_control(d, e))
        return d;
    fail_in(e, "%s", name);
    db_close(d);
    return NULL;
}

bool db_limit_memory(struct db *d, unsigned kib, struct err *e)
{
    char sizes[96];

    snprintf(sizes, sizeof sizes, "PRAGMA mmap_size = 0; PRAGMA cache_size = -%u", kib);
    return db_exec(d, sizes, e);
}

struct db *db_open_reader(const char *name, struct err *e)
{
    struct db *d = open_handle(name, SQLITE_OPEN_READWRITE, e);
    char mmap_pragma[64];

    snprintf(mmap_pragma, sizeof mmap_pragma, "PRAGMA mmap_size = %d", MMAP_BYTES);
    if (d && db_exec(d, "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; "
                        "PRAGMA cache_size = -2048", e) && db_exec(d, mmap_pragma, e))
        return d;
    db_close(d);
    return NULL;
}

struct db *db_open_copy(const char *copy, const char *source, struct err *e)
{
    struct db *d = open_handle(copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e);

    // A rollback journal: at rest the copy is one file.
    if (d && db_exec(d, "PRAGMA main.journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; "
                        "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192", e)) {
        AUTO_STMT s = db_prepare(d, "ATTACH ? AS src", e);

        if (s) {
            stmt_bind_str(s, 1, str_of(source));
            if (stmt_run(s, e))
                return d;
        }
    }
    db_close(d);
    return NULL;
}

void db_close(struct db *d)
{
    size_t at = 0;

    if (!d)
        return;
    for (struct map_entry *entry; (entry = map_each(&d->statements, &at));)
        for (struct stmt *s = entry->value, *next; s; s = next) {
            next = s->next;
            sqlite3_finalize(s->s);
            free(s);
        }
    map_fini(&d->statements);
    sqlite3_close(d->handle);
    free(d);
}

// Prepared like all others: in the middle of trouble there may be no memory for parsing SQL.
static const char begin_sql[] = "BEGIN IMMEDIATE", commit_sql[] = "COMMIT",
                  rollback_sql[] = "ROLLBACK", savepoint_sql[] = "SAVEPOINT job",
                  release_sql[] = "RELEASE job", undo_sql[] = "ROLLBACK TO job";

static bool control(struct db *d, const char *sql, struct err *e)
{
    AUTO_STMT s = db_prepare(d, sql, e);

    return s && stmt_run(s, e);
}

static bool prepare_control(struct db *d, struct err *e)
{
    static const char *const all[] = {begin_sql, commit_sql, rollback_sql, savepoint_sql,
                                      release_sql, undo_sql};

    for (size_t i = 0; i < COUNT(all); i++) {
        AUTO_STMT s = db_prepare(d, all[i], e);

        if (!s)
            return false;
    }
    return true;
}

bool db_begin(struct db *d, struct err *e)
{
    d->is_doomed = false;
    return control(d, begin_sql, e);
}

bool db_commit(struct db *d, struct err *e)
{
    if (d->is_doomed)
        (void)fail(e, ERR_TEMPORARY, "database: a change could not be undone");
    else if (control(d, commit_sql, e))
        return true;
    db_rollback(d);
    return false;
}

void db_rollback(struct db *d)
{
    struct err ignored = {0};

    // A failing disk may have rolled back already; then there is nothing left to undo.
    if (!sqlite3_get_autocommit(d->handle))
        (void)control(d, rollback_sql, &ignored);
}

bool db_savepoint(struct db *d, struct err *e)
{
    // A failing disk may have rolled all back; a savepoint alone would then be its own transaction.
    if (sqlite3_get_autocommit(d->handle))
        return fail(e, ERR_TEMPORARY, "database: the transaction was rolled back");
    return control(d, savepoint_sql, e);
}

bool db_release(struct db *d, struct err *e)
{
    return control(d, release_sql, e);
}

void db_undo(struct db *d)
{
    struct err ignored = {0};

    // If it cannot be undone alone, nothing of the transaction may stay.
    if (!sqlite3_get_autocommit(d->handle) &&
        !(control(d, undo_sql, &ignored) && control(d, release_sql, &ignored)))
        d->is_doomed = true;
}

struct stmt *db_prepare(struct db *d, const char *sql, struct err *e)
{
    struct stmt *first = map_get(&d->statements, str_of(sql)), *s;
    int rc;

    for (s = first; s; s = s->next)
        if (!s->in_use) {
            s->in_use = true;
            return s;
        }
    s = heap_alloc(sizeof *s);
    s->db = d;
    s->in_use = true;
    rc = sqlite3_prepare_v3(d->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->s, NULL);
    if (rc != SQLITE_OK) {
        fail_sql(e, d, rc, "prepare");
        free(s);
        return NULL;
    }
    if (first) {
        s->next = first->next;
        first->next = s;
    } else {
        map_put(&d->statements, str_of(sql), s);
    }
    return s;
}

void stmt_done(struct stmt **s)
{
    if (!*s)
        return;
    sqlite3_reset((*s)->s);
    sqlite3_clear_bindings((*s)->s);
    (*s)->in_use = false;
    *s = NULL;
}

void stmt_bind_u64(struct stmt *s, int at, uint64_t v)
{
    sqlite3_bind_int64(s->s, at, (sqlite3_int64)v);
}

void stmt_bind_i64(struct stmt *s, int at, int64_t v)
{
    sqlite3_bind_int64(s->s, at, v);
}

void stmt_bind_str(struct stmt *s, int at, struct str v)
{
    sqlite3_bind_text64(s->s, at, v.n ? v.p : "", v.n, SQLITE_STATIC, SQLITE_UTF8);
}

void stmt_bind_blob(struct stmt *s, int at, struct str v)
{
    sqlite3_bind_blob64(s->s, at, v.n ? v.p : "", v.n, SQLITE_STATIC);
}

void stmt_bind_null(struct stmt *s, int at)
{
    sqlite3_bind_null(s->s, at);
}

bool stmt_step(struct stmt *s, struct err *e)
{
    int rc = sqlite3_step(s->s);

    if (rc == SQLITE_ROW)
        return true;
    if (rc != SQLITE_DONE)
        fail_sql(e, s->db, rc, "step");
    return false;
}

void stmt_reset(struct stmt *s)
{
    sqlite3_reset(s->s);
}

bool stmt_run(struct stmt *s, struct err *e)
{
    int rc = sqlite3_step(s->s);
    bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW || fail_sql(e, s->db, rc, "step");

    sqlite3_reset(s->s);
    return ok;
}

bool db_run(struct db *d, const char *sql, const uint64_t *numbers, size_t n, struct err *e)
{
    AUTO_STMT s = db_prepare(d, sql, e);

    if (!s)
        return false;
    for (size_t i = 0; i < n; i++)
        stmt_bind_u64(s, (int)i + 1, numbers[i]);
    return stmt_run(s, e);
}

uint64_t stmt_u64(struct stmt *s, int at)
{
    return (uint64_t)sqlite3_column_int64(s->s, at);
}

int64_t stmt_i64(struct stmt *s, int at)
{
    return sqlite3_column_int64(s->s, at);
}

struct str stmt_str(struct stmt *s, int at)
{
    const void *p = sqlite3_column_blob(s->s, at);

    return p ? str_at(p, (size_t)sqlite3_column_bytes(s->s, at)) : (struct str){"", 0};
}

bool stmt_is_null(struct stmt *s, int at)
{
    return sqlite3_column_type(s->s, at) == SQLITE_NULL;
}

uint64_t db_last_id(struct db *d)
{
    return (uint64_t)sqlite3_last_insert_rowid(d->handle);
}

uint64_t db_changes(struct db *d)
{
    return (uint64_t)sqlite3_changes64(d->handle);
}

static uint64_t sum_of_statements(struct db *d, int what)
{
    uint64_t n = 0;

    for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(d->handle, s));)
        n += (uint64_t)sqlite3_stmt_status(s, what, 0);
    return n;
}

uint64_t db_steps(struct db *d)
{
    return sum_of_statements(d, SQLITE_STMTSTATUS_VM_STEP);
}

uint64_t db_scanned_rows(struct db *d)
{
    return sum_of_statements(d, SQLITE_STMTSTATUS_FULLSCAN_STEP);
}

bool db_check(struct db *d, struct buf *problems, struct err *e)
{
    AUTO_STMT s = db_prepare(d, "PRAGMA integrity_check(100)", e);
    AUTO_STMT keys = db_prepare(d, "PRAGMA foreign_key_check", e);

    while (s && stmt_step(s, e))
        if (!str_eq(stmt_str(s, 0), STR("ok"))) {
            buf_put(problems, stmt_str(s, 0));
            buf_put_char(problems, '\n');
        }
    while (s && keys && e->kind == ERR_NONE && stmt_step(keys, e))
        buf_printf(problems, "a row of %.*s refers to a row of %.*s that is not there\n",
                   STR_FMT(stmt_str(keys, 0)), STR_FMT(stmt_str(keys, 2)));
    return s && keys && e->kind == ERR_NONE;
}
