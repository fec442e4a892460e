/*
 * The thin module over SQLite: opening with our settings, prepared statements, transactions,
 * numbered migrations, and message bytes in chunks. SQL texts are constants of the callers.
 *
 * One handle belongs to one thread at a time, and is never carried across fork.
 */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct db;
struct stmt;

/* A migration: the statements that lead from version number-1 to number. */
struct db_migration {
    const char *sql;
};

/*
 * Opens name in the current directory (WAL, full synchronisation, pages of 4 KiB) and applies the
 * migrations it lacks, each in a transaction. A file that was made with larger pages keeps them.
 * ERR_CONFLICT when it is from a newer program.
 */
struct db *db_open(const char *name, const struct db_migration *migrations, size_t n,
                   struct err *e);
/*
 * From now on commits leave it to somebody else to write what is in the log to its place: to call
 * db_checkpoint with every CHECKPOINT_PAGES more that db_log_pages tells. With very many in the log a
 * commit does it all the same.
 */
enum { CHECKPOINT_PAGES = 4096 };
void db_leave_checkpoints(struct db *d);
unsigned db_log_pages(struct db *d);
/* Writes them, beside readers and the writer; on a handle of its own, also one for reading. */
MUST_USE bool db_checkpoint(struct db *d, struct err *e);
/*
 * Keeps at most so many KiB of the file in memory. Without it as much is mapped as fits, which is quick for
 * what is read again and again, and counts as the process's own.
 */
MUST_USE bool db_limit_memory(struct db *d, unsigned kib, struct err *e);
/* A second handle on the same file for reading only. */
struct db *db_open_reader(const char *name, struct err *e);
void db_close(struct db *d);

/*
 * Makes copy a copy of the database source, both paths, with source as it was at one moment, whoever
 * writes to it. A copy that is there is brought up to date in one transaction: what was there already of
 * message bytes is not written again. After a failure the copy is what it was before.
 *
 * fn does the copying, which is db_copy, in a process of its own maybe: what is in source may be meant to do harm, and
 * may contain any SQL.
 */
typedef bool db_copy_fn(void *ctx, const char *source, const char *to, bool is_new, bool *is_other, struct err *e);
MUST_USE bool db_backup(const char *source, const char *copy, db_copy_fn *fn, void *ctx, struct err *e);
/*
 * The file to, new and empty or an older copy, becomes one. is_other: it is of another version, and nothing was done.
 */
MUST_USE bool db_copy(const char *source, const char *to, bool is_new, bool *is_other, struct err *e);
/* For that: the copy, open as main, with source attached as src. */
struct db *db_open_copy(const char *copy, const char *source, struct err *e);

/*
 * For a process that may open nothing: from now on SQLite's files are opened and removed by these. Paths are absolute; a
 * relative name is one in "/0". open is like the call of that name, with O_PATH for a file that is only looked at; both set
 * errno.
 */
struct db_opener {
    int (*open)(void *ctx, const char *path, int flags, mode_t mode);
    int (*remove)(void *ctx, const char *path);
    void *ctx;
};
void db_open_by(const struct db_opener *o);

/* Runs statements that return nothing. */
MUST_USE bool db_exec(struct db *d, const char *sql, struct err *e);

/* BEGIN IMMEDIATE, COMMIT, ROLLBACK; a failed commit is rolled back. */
MUST_USE bool db_begin(struct db *d, struct err *e);
MUST_USE bool db_commit(struct db *d, struct err *e);
void db_rollback(struct db *d);
/* Part of a transaction that can be undone alone. */
MUST_USE bool db_savepoint(struct db *d, struct err *e);
MUST_USE bool db_release(struct db *d, struct err *e);
void db_undo(struct db *d);

/* A prepared statement from the handle's cache; sql must be a literal. NULL on failure. */
struct stmt *db_prepare(struct db *d, const char *sql, struct err *e);
/* Resets it and gives it back to the cache. */
void stmt_done(struct stmt **s);
/* Ready to run again with other parameters; it holds no picture of the file any more. */
void stmt_reset(struct stmt *s);
#define AUTO_STMT CLEANUP(stmt_done) struct stmt *

/* Parameters count from 1. Texts must stay until the statement is done. */
void stmt_bind_u64(struct stmt *s, int at, uint64_t v);
void stmt_bind_i64(struct stmt *s, int at, int64_t v);
void stmt_bind_str(struct stmt *s, int at, struct str v);
void stmt_bind_blob(struct stmt *s, int at, struct str v);
void stmt_bind_null(struct stmt *s, int at);

/* True when there is a row; false at the end, or on failure with *e set. */
MUST_USE bool stmt_step(struct stmt *s, struct err *e);
/* For statements without rows: true when it succeeded. ERR_CONFLICT for a broken uniqueness. */
MUST_USE bool stmt_run(struct stmt *s, struct err *e);
/* The same from a text, with nothing but numbers as its parameters; those below 0 as well. */
MUST_USE bool db_run(struct db *d, const char *sql, const uint64_t *numbers, size_t n, struct err *e);
#define DB_RUN(d, sql, e, ...)                                                                     \
    db_run((d), (sql), (const uint64_t[]){__VA_ARGS__}, COUNT(((const uint64_t[]){__VA_ARGS__})), (e))

/* Columns count from 0. Texts stay until the next step. */
uint64_t stmt_u64(struct stmt *s, int at);
int64_t stmt_i64(struct stmt *s, int at);
struct str stmt_str(struct stmt *s, int at);
bool stmt_is_null(struct stmt *s, int at);

uint64_t db_last_id(struct db *d);
uint64_t db_changes(struct db *d);

/* The steps that the statements of this handle took so far: how work grows, for tests. */
uint64_t db_steps(struct db *d);
/* Of these, how often the next row of a whole table was looked at. */
uint64_t db_scanned_rows(struct db *d);

/* SQLite's own checks of the file and of references: problems as lines, empty when there are none. */
MUST_USE bool db_check(struct db *d, struct buf *problems, struct err *e);

/*
 * Message bytes: table chunk(owner, number, size, codec, sum, bytes). put appends: every chunk but
 * the first and the last has CHUNK_BYTES. read gives the bytes [offset, offset + n) of an owner in
 * order to the callback.
 */
enum { CHUNK_BYTES = 256 * 1024 };
MUST_USE bool chunk_put(struct db *d, uint64_t owner, unsigned number, struct str bytes,
                        struct err *e);
typedef bool chunk_fn(void *ctx, struct str bytes);
MUST_USE bool chunk_read(struct db *d, uint64_t owner, uint64_t offset, uint64_t n, chunk_fn *fn,
                         void *ctx, struct err *e);
MUST_USE bool chunk_drop(struct db *d, uint64_t owner, struct err *e);
