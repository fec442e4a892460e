#include "reports/reports_priv.h"
#include "text/date.h"

static bool suppress(struct reports *r, bool is_tls, struct str address, int64_t until_unix,
                     struct str comment, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(r->db, "INSERT OR REPLACE INTO suppressed (is_tls, address, until_unix, "
                                    "comment) VALUES (?,?,?,?)", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, is_tls);
    stmt_bind_str(s, 2, arena_lower(&a, address));
    stmt_bind_i64(s, 3, until_unix);
    stmt_bind_str(s, 4, comment);
    return stmt_run(s, e);
}

bool reports_suppress(struct reports *r, bool is_tls, struct str address, int64_t until_unix,
                      struct str comment, struct err *e)
{
    return reports_begin(r, e) &&
           reports_end(r, suppress(r, is_tls, address, until_unix, comment, e), e);
}

static bool unsuppress(struct reports *r, bool is_tls, struct str address, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(r->db, "DELETE FROM suppressed WHERE is_tls = ? AND address = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, is_tls);
    stmt_bind_str(s, 2, arena_lower(&a, address));
    return stmt_run(s, e) && (db_changes(r->db) || fail(e, ERR_NOT_FOUND, "no such address"));
}

bool reports_unsuppress(struct reports *r, bool is_tls, struct str address, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, unsuppress(r, is_tls, address, e), e);
}

bool reports_is_suppressed(struct reports *r, bool is_tls, struct str address, int64_t now_unix,
                           bool *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(r->db, "SELECT 1 FROM suppressed WHERE is_tls = ? AND address = ? AND "
                                    "until_unix > ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, is_tls);
    stmt_bind_str(s, 2, arena_lower(&a, address));
    stmt_bind_i64(s, 3, now_unix);
    *out = stmt_step(s, e);
    return e->kind == ERR_NONE;
}

bool reports_list_suppressed(struct reports *r, bool is_tls, struct buf *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT address, until_unix, comment FROM suppressed "
                                    "WHERE is_tls = ? ORDER BY address", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, is_tls);
    while (stmt_step(s, e)) {
        buf_put(out, stmt_str(s, 0));
        BUF_PUT(out, " until ");
        date_put_rfc3339(out, stmt_i64(s, 1));
        BUF_PUT(out, " ");
        buf_put(out, stmt_str(s, 2));
        BUF_PUT(out, "\n");
    }
    return e->kind == ERR_NONE;
}
