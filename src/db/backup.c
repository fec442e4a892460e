/*
 * A copy of a database that others may be writing to: one picture of it, in one transaction of the copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "db/db.h"
#include "os/fd.h"

// Rows that never change, once they are there: only new ones are copied, and those that are gone leave.
// They are nearly all of a database.
static const struct {
    struct str table;
    const char *leave, *copy;
} immutable[] = {
    {STR_("chunk"),
     "DELETE FROM main.chunk AS d WHERE NOT EXISTS (SELECT 1 FROM src.chunk s WHERE s.owner = d.owner AND "
     "s.number = d.number AND s.sum = d.sum AND s.size = d.size)",
     "INSERT INTO main.chunk SELECT * FROM src.chunk s WHERE NOT EXISTS (SELECT 1 FROM main.chunk d WHERE "
     "d.owner = s.owner AND d.number = s.number)"},
    {STR_("email"),
     "DELETE FROM main.email AS d WHERE NOT EXISTS (SELECT 1 FROM src.email s WHERE s.id = d.id)",
     "INSERT INTO main.email SELECT * FROM src.email s WHERE NOT EXISTS (SELECT 1 FROM main.email d WHERE "
     "d.id = s.id)"},
    {STR_("header"),
     "DELETE FROM main.header AS d WHERE NOT EXISTS (SELECT 1 FROM src.header s WHERE s.email = d.email)",
     "INSERT INTO main.header SELECT * FROM src.header s WHERE NOT EXISTS (SELECT 1 FROM main.header d WHERE "
     "d.email = s.email)"},
};

struct names {
    struct arena *a;
    struct str *items;
    size_t n, cap;
};

static bool query(struct db *d, struct names *out, const char *sql, struct err *e)
{
    AUTO_STMT s = db_prepare(d, sql, e);

    if (!s)
        return false;
    while (stmt_step(s, e))
        *ARENA_PUSH(out->a, out->items, &out->n, &out->cap) = arena_dup(out->a, stmt_str(s, 0));
    return !e->kind;
}

static bool exec(struct db *d, struct arena *a, struct str sql, struct err *e)
{
    return db_exec(d, arena_cstring(a, sql), e);
}

static bool number(struct db *d, const char *sql, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(d, sql, e);

    if (!s || !stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0);
    return true;
}

// Whether both have the same tables, indexes and version; the copy of a new file has none.
static bool is_same_schema(struct db *d, bool *out, struct err *e)
{
    static const char differences[] =
        "SELECT (SELECT count(*) FROM (SELECT name, sql FROM src.sqlite_schema EXCEPT SELECT name, sql FROM "
        "main.sqlite_schema)) + (SELECT count(*) FROM (SELECT name, sql FROM main.sqlite_schema EXCEPT SELECT "
        "name, sql FROM src.sqlite_schema))";
    uint64_t n, own, other;

    if (!number(d, differences, &n, e) || !number(d, "PRAGMA main.user_version", &own, e) ||
        !number(d, "PRAGMA src.user_version", &other, e))
        return false;
    *out = !n && own == other;
    return true;
}

static bool make_schema(struct db *d, struct arena *a, const char *kind_sql, struct err *e)
{
    struct names sql = {.a = a};

    if (!query(d, &sql, kind_sql, e))
        return false;
    for (size_t i = 0; i < sql.n; i++)
        if (!exec(d, a, sql.items[i], e))
            return false;
    return true;
}

static bool copy_table(struct db *d, struct arena *a, struct str table, struct err *e)
{
    for (size_t i = 0; i < COUNT(immutable); i++)
        if (str_eq(table, immutable[i].table))
            return db_exec(d, immutable[i].leave, e) && db_exec(d, immutable[i].copy, e);
    return exec(d, a, arena_printf(a, "DELETE FROM main.\"%.*s\"", STR_FMT(table)), e) &&
           exec(d, a, arena_printf(a, "INSERT INTO main.\"%.*s\" SELECT * FROM src.\"%.*s\"",
                                   STR_FMT(table), STR_FMT(table)), e);
}

static bool copy_tables(struct db *d, struct arena *a, struct err *e)
{
    struct names tables = {.a = a};

    // sqlite_sequence, too: numbers that were used once are never used again.
    if (!query(d, &tables, "SELECT name FROM src.sqlite_schema WHERE type = 'table' AND "
               "(name = 'sqlite_sequence' OR name NOT LIKE 'sqlite_%')", e))
        return false;
    for (size_t i = 0; i < tables.n; i++)
        if (!copy_table(d, a, tables.items[i], e))
            return false;
    return true;
}

static bool copy_version(struct db *d, struct arena *a, struct err *e)
{
    uint64_t version;

    return number(d, "PRAGMA src.user_version", &version, e) &&
           exec(d, a, arena_printf(a, "PRAGMA main.user_version = %llu", (unsigned long long)version), e);
}

static bool fill(struct db *d, struct arena *a, bool is_new, struct err *e)
{
    // Indexes are made at the end: in order, and not entry by entry.
    return (!is_new || (make_schema(d, a, "SELECT sql FROM src.sqlite_schema WHERE type = 'table' AND name "
                                    "NOT LIKE 'sqlite_%'", e) && copy_version(d, a, e))) &&
           copy_tables(d, a, e) &&
           (!is_new || make_schema(d, a, "SELECT sql FROM src.sqlite_schema WHERE type = 'index' AND sql IS "
                                   "NOT NULL", e));
}

// In the open copy. is_other: it is of another version, and nothing was done.
static bool copy_into(struct db *d, bool is_new, bool *is_other, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    bool is_same;

    // Not IMMEDIATE, which would keep the source's writers out.
    if (!db_exec(d, "BEGIN", e))
        return false;
    if (!is_new && is_same_schema(d, &is_same, e)) {
        *is_other = !is_same;
        if (*is_other)
            return db_exec(d, "ROLLBACK", e);
    }
    if (!e->kind && fill(d, &a, is_new, e) && db_exec(d, "COMMIT", e))
        return true;
    (void)!db_exec(d, "ROLLBACK", &(struct err){0});
    return false;
}

bool db_copy(const char *source, const char *to, bool is_new, bool *is_other, struct err *e)
{
    struct db *d = db_open_copy(to, source, e);
    bool is_ok = d && copy_into(d, is_new, is_other, e);

    if (d)
        db_close(d);
    return is_ok;
}

static bool sync_directory_of(const char *path, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    ptrdiff_t slash = str_find_last(str_of(path), '/');
    const char *dir = slash < 0 ? "." : arena_cstring(&a, str_at(path, (size_t)slash + 1));
    AUTO_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return (fd >= 0 && fsync(fd) == 0) || fail_errno(e, "syncing %s", dir);
}

bool db_backup(const char *source, const char *copy, db_copy_fn *fn, void *ctx, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const char *beside = arena_cstring(&a, arena_printf(&a, "%s.new", copy));
    bool is_other = access(copy, F_OK) != 0;

    if (!is_other && !fn(ctx, source, copy, false, &is_other, e))
        return fail_in(e, "%s", copy);
    if (!is_other)
        return true;
    if (unlink(beside) && errno != ENOENT)
        return fail_errno(e, "removing %s", beside);
    if (!fn(ctx, source, beside, true, &is_other, e))
        return fail_in(e, "%s", beside);
    if (rename(beside, copy))
        return fail_errno(e, "renaming %s", beside);
    return sync_directory_of(copy, e);
}
